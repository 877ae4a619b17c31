"""What is measured: a program of a specification, its weights and inputs, and who else computes it."""
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import numpy as np
from safetensors.numpy import save_file

from . import weights

ROOT = Path(__file__).parent.parent
SPECS = ROOT / "benches/specs"
TORCH = ("eager", "compile")
SCALE = lambda: {"scale": np.ones(1, np.float32)}


@dataclass(frozen=True)
class Workload:
    """A workload. `kind` names the function of a peer's module that makes it, which gets `sizes`."""

    kind: str
    spec: Path
    item: str
    program: str
    weights: Callable[[], dict]
    inputs: Callable[[], dict]
    peers: tuple
    sizes: dict = field(default_factory=dict)
    settings: tuple = ()
    threads: int = 2
    # The largest difference that rounding explains; of indices: how many may differ.
    tolerance: float = 1e-4
    # What is set against the machine's ceilings: the operations of a run; that each token reads all parameters.
    operations: float = 0
    reads: bool = False

    def prepare(self, folder):
        """Weights and inputs as files, drawn anew where they are missing."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, made in [("weights", self.weights), ("inputs", self.inputs)]:
            if not (folder / f"{name}.safetensors").exists():
                save_file(made(), folder / f"{name}.safetensors")


def bert(rows):
    given = lambda: weights.ids(30522, rows, 128)
    peers = (*TORCH, "jax", "onnxruntime", "openvino")
    return Workload("bert", SPECS / "bert.weft", "Encoder", "forward", weights.bert, given, peers, {"rows": rows})


def gpt2(time):
    given, settings = lambda: weights.batch(50257, 4, time), (f"time={time}",)
    return Workload("gpt2", SPECS / "gpt2.weft", "small", "train_step", weights.gpt2, given, (*TORCH, "jax"), settings=settings)


def nanogpt(spec, item, time, layers, heads, width):
    sizes = {"layers": layers, "heads": heads, "width": width, "context": time}
    vocabulary = lambda: len(set((ROOT / "examples/data/shakespeare.txt").read_text()))
    drawn = lambda: weights.nanogpt(**sizes, vocabulary=vocabulary())
    given = lambda: weights.batch(vocabulary(), 12, time)
    return Workload("nanogpt", ROOT / spec, item, "train_step", drawn, given, (*TORCH, "jax"), sizes)


def experts():
    sizes = {"experts": 8, "width": 512, "hidden": 1024, "tokens": 256}
    drawn = lambda: weights.experts(**sizes)
    return Workload("experts", SPECS / "experts.weft", "experts", "gradients", drawn, SCALE, (*TORCH, "jax"), sizes | {"active": 2})


def attention(program, rows, heads, length, width):
    sizes = {"rows": rows, "heads": heads, "length": length, "width": width}
    drawn = lambda: weights.attention(**sizes)
    settings = tuple(f"{name}={size}" for name, size in sizes.items())
    kind = {"forward": "attention", "gradients": "attention_gradients"}[program]
    # Of the pairs that the mask leaves, two products forward, five more backward.
    work = 2 * rows * heads * length * (length + 1) / 2 * width * (2 if program == "forward" else 7)
    item = "Heads" if program == "forward" else "attention"
    return Workload(kind, SPECS / "attention.weft", item, program, drawn, SCALE, ("eager",), sizes, settings, operations=work)


PRODUCT = Workload(
    "product",
    SPECS / "product.weft",
    "Product",
    "forward",
    lambda: {"weight": weights.normal(np.random.default_rng(0), (1024, 1024), 1.0)},
    lambda: {"x": weights.normal(np.random.default_rng(1), (1024, 1024), 1.0)},
    ("eager", "jax", "onnxruntime"),
    threads=1,
    operations=2 * 1024**3,
)
DECODE = Workload(
    "decode",
    SPECS / "gpt2.weft",
    "Gpt2",
    "decode",
    weights.gpt2,
    lambda: weights.ids(50257, 1, 32),
    ("eager", "jax", "onnxruntime", "openvino", "llama"),
    {"tokens": 128},
    tolerance=0,
    reads=True,
)

WORKLOADS = {
    "bert1": bert(1),
    "bert8": bert(8),
    "gpt2_128": gpt2(128),
    "gpt2_256": gpt2(256),
    "decode": DECODE,
    "nanogpt": nanogpt("examples/shakespeare.weft", "shakespeare", 64, 4, 4, 128),
    "nanogpt_big": nanogpt("benches/specs/nanogpt_big.weft", "big", 256, 6, 6, 384),
    "experts": experts(),
    "product": PRODUCT,
    "attention_forward": attention("forward", 8, 12, 256, 64),
    "attention_gradients": attention("gradients", 8, 12, 256, 64),
}
