"""The example's whole training beside PyTorch's: the same initial weights and batches, losses and held-out losses compared.

    python -m benches.demo [--weft target/release/weft] [--folder target/bench/demo]
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from .weights import nanogpt
from .workloads import ROOT

SIZES = {"layers": 4, "heads": 4, "width": 128, "context": 64}
BATCH, STEPS, EVERY = 12, 2000, 250


def text():
    """Tokens to learn from, those held out, and how many there are."""
    characters = (ROOT / "examples/data/shakespeare.txt").read_text()
    alphabet = {c: i for i, c in enumerate(sorted(set(characters)))}
    ids = np.array([alphabet[c] for c in characters], np.int64)
    cut = len(ids) - len(ids) // 10
    return ids[:cut], ids[cut:], len(alphabet)


def prepare(folder):
    """Weights and all batches."""
    ids, _, vocabulary = text()
    save_file(nanogpt(**SIZES, vocabulary=vocabulary), folder / "weights.safetensors")
    draw, time = np.random.default_rng(1337), SIZES["context"]
    starts = draw.integers(0, len(ids) - time, (STEPS, BATCH, 1)) + np.arange(time)
    save_file({"ids": ids[starts], "next": ids[starts + 1]}, folder / "batches.safetensors")


def ours(weft, folder):
    """Weft's losses and held-out losses by step."""
    subprocess.run([weft, "build", ROOT / "examples/shakespeare.weft", "-o", folder / "exe"], check=True)
    given = ["--weights", folder / "weights.safetensors", "--batches", folder / "batches.safetensors"]
    subprocess.run([folder / "exe", "train", *given, "--out", folder / "run"], check=True)
    rows = [json.loads(line) for line in open(folder / "run/metrics.jsonl")]
    held_out = {row["step"]: row[name] for row in rows for name in ("held_out_loss", "held_out") if row.get(name) is not None}
    return {row["step"]: row["loss"] for row in rows if "loss" in row and "step" in row}, held_out


def theirs(folder):
    """PyTorch's."""
    import torch

    from .peers import Case, pytorch

    batches, (_, ids, _) = load_file(folder / "batches.safetensors"), text()
    given = {name: torch.from_numpy(value[0]) for name, value in batches.items()}
    model, step = pytorch.nanogpt_step(Case(folder, SIZES, 2, False), given)
    windows, time = (len(ids) - 1) // SIZES["context"], SIZES["context"]
    x, y = (torch.from_numpy(ids[at : at + windows * time]).view(windows, time) for at in (0, 1))
    losses, held_out = {}, {}
    for number in range(1, STEPS + 1):
        for name, value in batches.items():
            given[name].copy_(torch.from_numpy(value[number - 1]))
        losses[number] = float(step()["loss"])
        if number % EVERY == 0:
            with torch.no_grad():
                parts = [(model(a, b).item(), len(a)) for a, b in zip(x.split(256), y.split(256))]
            held_out[number] = sum(loss * rows for loss, rows in parts) / windows
    return losses, held_out


def main():
    parser = argparse.ArgumentParser(prog="python -m benches.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--weft", type=Path, default=ROOT / "target/release/weft")
    parser.add_argument("--folder", type=Path, default=ROOT / "target/bench/demo")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    prepare(options.folder)
    (mine, mine_held), (other, other_held) = ours(options.weft.resolve(), options.folder.resolve()), theirs(options.folder)
    first = max(abs(mine[step] - other[step]) / other[step] for step in range(1, 11))
    gaps = {step: abs(mine_held[step] - other_held[step]) for step in sorted(mine_held) if step in other_held}
    print(f"first 10 losses: largest relative difference {first:.2e}")
    for step, gap in gaps.items():
        print(f"step {step}: held-out {mine_held[step]:.4f}, PyTorch {other_held[step]:.4f}, difference {gap:.4f}")
    return 0 if first < 1e-4 and gaps and max(gaps.values()) < 0.02 else 1


if __name__ == "__main__":
    sys.exit(main())
