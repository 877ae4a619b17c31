"""Weft against PyTorch eager, interleaved in one run: median of the paired ratios (PyTorch's time ÷ Weft's) with its 95 % interval.

    python benches/ratio.py nanogpt | bert1 | bert8 | decode  [--pairs 30] [--weft target/release/weft] [--out benches/results/FILE.json]

Both sides compute the same from the same weights, which is checked first. Needs torch, numpy, safetensors; bert and decode need
transformers.
"""
import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))
import demo_torch

ROOT = Path(__file__).parent.parent
THREADS = 2


def nanogpt(folder):
    """nanoGPT's small setting: one training step, AdamW and clipping included."""
    demo_torch.prepare(folder)
    batch = {k: v[0].copy() for k, v in load_file(folder / "batches.safetensors").items()}
    save_file(batch, folder / "inputs.safetensors")
    model = demo_torch.Model(load_file(folder / "weights.safetensors"))
    opt = demo_torch.optimizer(model)
    ids, following = torch.tensor(batch["ids"]), torch.tensor(batch["next"])
    losses = []
    run = lambda: losses.append(demo_torch.step(model, opt, ids, following, len(losses) + 1))
    spec = ROOT / "examples/shakespeare.weft"

    def check(exe):
        short = {k: np.stack([v] * 3) for k, v in batch.items()}
        save_file(short, folder / "short.safetensors")
        command = [exe, "train", "--weights", folder / "weights.safetensors", "--batches", folder / "short.safetensors"]
        subprocess.run([*command, "--steps", "3", "--out", folder / "run", "--quiet"], check=True, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in open(folder / "run/metrics.jsonl")]
        ours = [row["loss"] for row in rows if "loss" in row][:3]
        for _ in range(3):
            run()
        return max(abs(a - b) / b for a, b in zip(ours, losses))

    return spec, "shakespeare", "train_step", run, check


def bert(rows):
    def workload(folder):
        """BERT-base's encoder, forward, `rows` × 128 tokens."""
        from transformers import BertConfig, BertModel

        torch.manual_seed(0)
        model = BertModel(BertConfig(), add_pooling_layer=False).eval()
        save_file({k: v.numpy() for k, v in model.state_dict().items() if "position_ids" not in k}, folder / "weights.safetensors")
        ids = np.random.RandomState(0).randint(0, 30522, (rows, 128)).astype(np.int64)
        save_file({"ids": ids}, folder / "inputs.safetensors")
        x = torch.from_numpy(ids)

        def run():
            with torch.inference_mode():
                return model(x).last_hidden_state

        def check(exe):
            command = [exe, "run", "--weights", folder / "weights.safetensors", "--inputs", folder / "inputs.safetensors"]
            subprocess.run([*command, "--output", folder / "out.safetensors"], check=True)
            return float(np.abs(load_file(folder / "out.safetensors")["hidden"] - run().numpy()).max())

        spec = folder / "bert.weft"
        spec.write_text("use std.bert: Bert\n")
        return spec, "Bert", "forward", run, check

    return workload


def decode(folder):
    """GPT-2 small with random weights, greedy: 128 tokens behind 32, one row, the prompt's places included in the time."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config()).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    weights = {k: v.numpy() for k, v in model.state_dict().items() if not k.startswith("lm_head")}
    save_file(weights, folder / "weights.safetensors")
    ids = np.random.RandomState(0).randint(0, 50257, (1, 32)).astype(np.int64)
    save_file({"ids": ids}, folder / "inputs.safetensors")
    x = torch.from_numpy(ids)
    options = dict(attention_mask=torch.ones_like(x), max_new_tokens=128, min_new_tokens=128, do_sample=False)

    def run():
        with torch.inference_mode():
            return model.generate(x, **options)

    def check(exe):
        command = [exe, "bench", "decode", "--weights", folder / "weights.safetensors", "--inputs", folder / "inputs.safetensors"]
        subprocess.run([*command, "--output", folder / "out.safetensors", "--repeat", "3", "--threads", str(THREADS)], check=True)
        return int((load_file(folder / "out.safetensors")["sequences"] != run().numpy()).sum())

    spec = folder / "gpt2.weft"
    spec.write_text("use std.gpt2: Gpt2\n")
    return spec, "Gpt2", "decode", run, check


WORKLOADS = {"nanogpt": nanogpt, "bert1": bert(1), "bert8": bert(8), "decode": decode}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--weft", default=str(ROOT / "target/release/weft"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec, item, program, run, check = WORKLOADS[args.workload](folder)
        exe = folder / "exe"
        subprocess.run([args.weft, "build", spec, "--item", item, "-o", exe], check=True, stdout=subprocess.DEVNULL)
        difference = check(exe)
        for _ in range(3):
            run()
        at_once = 10 if program == "train_step" else 2
        command = [exe, "bench", program, "--inputs", folder / "inputs.safetensors", "--weights", folder / "weights.safetensors"]
        command += ["--on-request", "--repeat", str(at_once), "--threads", str(THREADS)]
        ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pairs = []
        for _ in range(args.pairs):
            start = time.perf_counter()
            for _ in range(at_once):
                run()
            theirs = (time.perf_counter() - start) * 1e3 / at_once
            ours.stdin.write("go\n")
            ours.stdin.flush()
            pairs.append((theirs, float(np.mean([float(t) for t in ours.stdout.readline().split()]))))
        ours.stdin.close()
        ours.wait()
    ratios = np.sort([t / w for t, w in pairs])
    n = len(ratios)
    margin = int(np.floor(n / 2 - 0.98 * np.sqrt(n)))  # order statistics that hold the median with 95 %
    result = {
        "workload": args.workload,
        "torch_ms": round(float(np.median([t for t, _ in pairs])), 2),
        "weft_ms": round(float(np.median([w for _, w in pairs])), 2),
        "ratio": round(float(np.median(ratios)), 3),
        "interval": [round(float(ratios[max(0, margin)]), 3), round(float(ratios[min(n - 1, n - 1 - margin)]), 3)],
        "pairs": n,
        "difference": difference,
        "threads": THREADS,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    print(json.dumps(result))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
