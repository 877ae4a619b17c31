"""Causal attention, forward and backward, beside PyTorch's `scaled_dot_product_attention`: turn by turn, on one thread, the fastest
of each turn; medians of the rates and of the paired ratios (Weft's by PyTorch's).

    python benches/attention.py [--turns 7] [--weft target/release/examples/attention] [--out benches/results/attention_torch.json]
"""
import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch

SIZES = [(8, 12, 256, 64), (4, 12, 1024, 64), (12, 4, 64, 32)]


def theirs(batch, heads, length, key, seconds=1.0):
    """GFLOP/s forward and backward, of the pairs that the mask leaves."""
    q, k, v = (torch.randn(batch, heads, length, key, requires_grad=True) for _ in range(3))
    g = torch.randn(batch, heads, length, key)
    flops = 2.0 * batch * heads * length * (length + 1) / 2 * key
    best = [float("inf"), float("inf")]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        middle = time.perf_counter()
        torch.autograd.grad(out, (q, k, v), g)
        best = [min(best[0], middle - start), min(best[1], time.perf_counter() - middle)]
    return flops * 2 / best[0] / 1e9, flops * 5 / best[1] / 1e9


def ours(program, size):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        subprocess.run([program, size, "causal", "--json", file.name], check=True, stdout=subprocess.DEVNULL)
        row = json.load(open(file.name))[0]
    return row["forward_gflops"], row["backward_gflops"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--weft", default="target/release/examples/attention")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for size in SIZES:
        name = "x".join(map(str, size))
        turns = [(ours(args.weft, name), theirs(*size)) for _ in range(args.turns)]
        row = {"size": name}
        for i, what in enumerate(["forward", "backward"]):
            row[f"{what}_weft_gflops"] = round(statistics.median(w[i] for w, _ in turns), 1)
            row[f"{what}_torch_gflops"] = round(statistics.median(t[i] for _, t in turns), 1)
            row[f"{what}_ratio"] = round(statistics.median(w[i] / t[i] for w, t in turns), 3)
        print(json.dumps(row), flush=True)
        rows.append(row)
    if args.out:
        args.out.write_text(json.dumps({"torch": torch.__version__, "threads": 1, "turns": args.turns, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
