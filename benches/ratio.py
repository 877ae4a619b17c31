"""Weft against PyTorch eager, interleaved in one run: median of the paired ratios (PyTorch's time ÷ Weft's) with its 95 % interval.

    python benches/ratio.py nanogpt | nanogpt_big | gpt2_128 | gpt2_256 | bert1 | bert8  [--pairs 30] [--weft target/release/weft] [--out benches/results/FILE.json]

Both sides compute the same from the same weights, which is checked first. Needs torch, numpy, safetensors; bert needs transformers.
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
    demo_torch.prepare(folder, batches=3)
    batch = {k: v[0].copy() for k, v in load_file(folder / "batches.safetensors").items()}
    save_file(batch, folder / "inputs.safetensors")
    model = demo_torch.Model(load_file(folder / "weights.safetensors"))
    opt = demo_torch.optimizer(model)
    ids, following = torch.tensor(batch["ids"]), torch.tensor(batch["next"])
    losses = []
    run = lambda: losses.append(demo_torch.step(model, opt, ids, following, len(losses) + 1))
    spec = ROOT / "examples/shakespeare.weft"

    return spec, "shakespeare", "train_step", run, first_losses(folder, batch, run, losses)


def first_losses(folder, batch, run, losses):
    """Compares the losses of three steps on one batch."""

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

    return check


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


def nanogpt_big(folder):
    """nanoGPT's setting for Shakespeare on a GPU: 6 layers, 384 wide, 12 × 256 tokens."""
    demo_torch.resize(layers=6, heads=6, width=384, context=256)
    text = (ROOT / "examples/shakespeare.weft").read_text().replace('"data/', f'"{ROOT}/examples/data/')
    for small, big in [("context: 64, width: 128, depth: 4, heads: 4", "context: 256, width: 384, depth: 6, heads: 6"), ("time = 64", "time = 256")]:
        assert small in text
        text = text.replace(small, big)
    spec = folder / "big.weft"
    spec.write_text(text)
    return spec, *nanogpt(folder)[1:]


def gpt2(time):
    def workload(folder):
        """GPT-2 small, a training step of 4 × `time` tokens, AdamW included."""
        from transformers import GPT2Config, GPT2LMHeadModel

        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)).train()
        weights = {k: v.detach().numpy().copy() for k, v in model.state_dict().items() if k != "lm_head.weight"}
        save_file(weights, folder / "weights.safetensors")
        ids = np.random.RandomState(0).randint(0, 50257, (4, time + 1)).astype(np.int64)
        batch = {"ids": ids[:, :-1].copy(), "next": ids[:, 1:].copy()}
        save_file(batch, folder / "inputs.safetensors")
        opt = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
        x, following = torch.tensor(batch["ids"]), torch.tensor(batch["next"])
        losses = []

        def run():
            logits = model(input_ids=x, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), following.flatten())
            loss.backward()
            opt.step()
            opt.zero_grad(set_to_none=True)
            losses.append(loss.item())

        spec = folder / "gpt2.weft"
        spec.write_text(
            "use std.gpt2: Gpt2\nuse std.objectives: next_token\nuse std.optimizers: adamw\n\n"
            "train small {\n  data = batches()\n  model = Gpt2()\n  objective = next_token()\n"
            f"  optimizer = adamw(rate: 1e-4, decay: 0.01)\n  batch = 4\n  time = {time}\n  steps = 3\n}}\n"
        )
        return spec, "small", "train_step", run, first_losses(folder, batch, run, losses)

    return workload


WORKLOADS = {
    "nanogpt": nanogpt,
    "nanogpt_big": nanogpt_big,
    "gpt2_128": gpt2(128),
    "gpt2_256": gpt2(256),
    "bert1": bert(1),
    "bert8": bert(8),
}


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
        at_once = {"nanogpt": 10, "bert1": 2, "bert8": 2}.get(args.workload, 1)
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
