"""Whether transformers loads what `weft export` writes, with equal results: `python tests/check_exports.py target/release/weft [CASE…]`.

Each case of `tests/references` is imported, exported, and loaded again; both models compute the case's inputs in float32.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

REFERENCES = Path(__file__).parent / "references"
CASES = [
    "llama", "bert-mlm", "t5", "bart", "bloom", "gpt2", "electra-rtd", "roberta-mlm", "mixtral", "switch",
    *sorted(f"random/{case.name}" for case in (REFERENCES / "random").iterdir()),
]


def outputs(folder, architecture, inputs):
    architecture = getattr(transformers, architecture)
    config = architecture.config_class.from_pretrained(folder)
    config._attn_implementation = config._experts_implementation = "eager"
    model = architecture.from_pretrained(folder, config=config).eval()
    with torch.no_grad():
        out = model(**inputs)
    return {name: out[name] for name in ("logits", "start_logits", "prediction_logits", "pooler_output") if out.get(name) is not None}


def main(weft):
    worst = 0.0
    for case in (sys.argv[2:] or CASES):
        folder = REFERENCES / case
        about = json.loads((folder / "case.json").read_text())
        with tempfile.TemporaryDirectory() as place:
            spec, to = Path(place) / "model.weft", Path(place) / "model"
            done = subprocess.run([weft, "import", folder, "-o", spec], capture_output=True, text=True)
            done = done if done.returncode else subprocess.run([weft, "export", spec, "-o", to], capture_output=True, text=True)
            if done.returncode:
                print(f"{case}: {done.stderr.strip()}")
                continue
            inputs = load_file(folder / "inputs.safetensors")
            try:
                before, after = (outputs(path, about["hf_class"], inputs) for path in (folder, to))
            except (AssertionError, AttributeError, RuntimeError, ValueError) as error:
                print(f"{case}: {error}")
                continue
        difference = max(float((before[name] - after[name]).abs().nan_to_num().max()) for name in before)
        worst = max(worst, difference)
        print(f"{case}: {difference:.1e}")
    print(f"largest difference: {worst:.1e}")


main(sys.argv[1])
