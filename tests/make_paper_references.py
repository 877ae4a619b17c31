"""Makes reference cases of models that transformers does not have: `python tests/make_paper_references.py [FAMILY…]` with torch and
safetensors. Each `tests/papers/FAMILY.py` is written from its paper's equations; its `cases()` yields (name, config, module, inputs), where
the module takes the inputs by name and gives a dictionary of tensors. The cases have the form of those beside them.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).parent / "references" / "papers"
FAMILIES = Path(__file__).parent / "papers"


def write(name, config, module, inputs):
    """One case, computed in float64 from random numbers that float32 holds."""
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn_like(p) * (0.3 if p.ndim > 1 else 0.5))
            p.copy_(p.float().double())
        expected = module(**inputs)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file({k: v.float().contiguous() for k, v in module.state_dict().items()}, folder / "model.safetensors")
    save_file({k: v.contiguous() for k, v in inputs.items()}, folder / "inputs.safetensors")
    save_file({k: v.contiguous() for k, v in expected.items()}, folder / "expected.safetensors")
    about = {"kind": "forward", "hf_class": config["architectures"][0], "tolerance": {"rtol": 1e-4, "atol": 1e-4},
             "outputs": sorted(expected), "present": False}
    (folder / "case.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(FAMILIES))
    for family in sys.argv[1:] or sorted(path.stem for path in FAMILIES.glob("*.py") if path.stem != "pieces"):
        torch.manual_seed(0)
        for name, config, module, inputs in import_module(family).cases():
            write(name, config, module.double(), inputs)
            print(name)
