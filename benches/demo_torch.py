"""The demo's model in PyTorch, from the same initial weights and batches as Weft.

    python benches/demo_torch.py prepare DIR        weights.safetensors, batches.safetensors from one seed
    python benches/demo_torch.py train DIR          trains on them; writes DIR/torch.jsonl (losses, held-out losses)
    python benches/demo_torch.py compare DIR WEFT.jsonl

Weft's side, with DIR as above:

    EXE train --weights DIR/weights.safetensors --batches DIR/batches.safetensors --out DIR/weft
"""
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file

TEXT = Path(__file__).parent.parent / "examples/data/shakespeare.txt"
LAYERS, HEADS, WIDTH, CONTEXT, BATCH, STEPS, EVERY = 4, 4, 128, 64, 12, 2000, 250


def resize(layers, heads, width, context):
    """Another size of the model than the demo's."""
    global LAYERS, HEADS, WIDTH, CONTEXT
    LAYERS, HEADS, WIDTH, CONTEXT = layers, heads, width, context


def matrices():
    """Name within a layer -> shape in Weft's file."""
    key = WIDTH // HEADS
    return {
        "attention.query.weight": (HEADS, 1, key, WIDTH),
        "attention.keys.weight": (HEADS, key, WIDTH),
        "attention.values.weight": (HEADS, key, WIDTH),
        "attention.output.weight": (WIDTH, HEADS, 1, key),
        "mlp.up.weight": (4 * WIDTH, WIDTH),
        "mlp.down.weight": (WIDTH, 4 * WIDTH),
    }


def text():
    characters = TEXT.read_text()
    alphabet = {c: i for i, c in enumerate(sorted(set(characters)))}
    ids = np.array([alphabet[c] for c in characters], np.int64)
    cut = len(ids) - len(ids) // 10
    return ids[:cut], ids[cut:], len(alphabet)


def prepare(folder, seed=1337, batches=STEPS):
    train, _, vocab = text()
    rng = np.random.default_rng(seed)
    normal = lambda shape, std: (rng.standard_normal(shape) * std).astype(np.float32)
    out = {"tokens": normal((vocab, WIDTH), 0.02), "positions": normal((CONTEXT, WIDTH), 0.02), "norm.scale": np.ones(WIDTH, np.float32)}
    for layer in range(LAYERS):
        for name, shape in matrices().items():
            std = 0.02 / math.sqrt(2 * LAYERS) if name in ("attention.output.weight", "mlp.down.weight") else 0.02
            out[f"layers.{layer}.{name}"] = normal(shape, std)
        for norm in ("norm_attention", "norm_mlp"):
            out[f"layers.{layer}.{norm}.scale"] = np.ones(WIDTH, np.float32)
    save_file(out, folder / "weights.safetensors")
    starts = rng.integers(0, len(train) - CONTEXT, (batches, BATCH, 1)) + np.arange(CONTEXT)
    save_file({"ids": train[starts], "next": train[starts + 1]}, folder / "batches.safetensors")


class Model(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.p = torch.nn.ParameterDict({k.replace(".", "/"): torch.nn.Parameter(torch.tensor(v)) for k, v in weights.items()})

    def forward(self, ids):
        p, (batch, time) = self.p, ids.shape
        norm = lambda x, name: F.layer_norm(x, (WIDTH,), p[name + "/scale"])
        x = p["tokens"][ids] + p["positions"][:time]
        for i in range(LAYERS):
            at = lambda name: p[f"layers/{i}/" + name.replace(".", "/")].flatten(1) if name == "attention.output.weight" else p[f"layers/{i}/" + name.replace(".", "/")].reshape(-1, WIDTH)
            h = norm(x, f"layers/{i}/norm_attention")
            q, k, v = (F.linear(h, at(f"attention.{n}.weight")).view(batch, time, HEADS, WIDTH // HEADS).transpose(1, 2) for n in ("query", "keys", "values"))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, time, WIDTH)
            x = x + F.linear(y, at("attention.output.weight"))
            h = F.gelu(F.linear(norm(x, f"layers/{i}/norm_mlp"), p[f"layers/{i}/mlp/up/weight"]))
            x = x + F.linear(h, p[f"layers/{i}/mlp/down/weight"])
        return F.linear(norm(x, "norm"), p["tokens"])


def rate(step, peak=1e-3, floor=1e-4, warmup=100):
    if step < warmup:
        return peak * step / warmup
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * min(1, (step - warmup) / (STEPS - warmup))))


def optimizer(model):
    # A parameter's axes in Weft, not its flattened matrix, decide on decay; both have two or more for every matrix here.
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=1e-3, betas=(0.9, 0.99))


def loss_of(model, ids, next_ids):
    logits = model(ids)
    return F.cross_entropy(logits.flatten(0, 1), next_ids.flatten())


def step(model, opt, ids, next_ids, number):
    for group in opt.param_groups:
        group["lr"] = rate(number)
    loss = loss_of(model, ids, next_ids)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step()
    opt.zero_grad(set_to_none=True)
    return loss.item()


@torch.no_grad()
def held_out_loss(model, ids):
    total, count = 0.0, 0
    windows = (len(ids) - 1) // CONTEXT
    x = torch.tensor(ids[: windows * CONTEXT]).view(windows, CONTEXT)
    y = torch.tensor(ids[1 : windows * CONTEXT + 1]).view(windows, CONTEXT)
    for at in range(0, windows, 256):
        n = y[at : at + 256].numel()
        total += loss_of(model, x[at : at + 256], y[at : at + 256]).item() * n
        count += n
    return total / count


def train(folder):
    torch.set_num_threads(2)
    model = Model(load_file(folder / "weights.safetensors"))
    opt, batches, held_out = optimizer(model), load_file(folder / "batches.safetensors"), text()[1]
    with open(folder / "torch.jsonl", "w") as out:
        for number in range(1, STEPS + 1):
            ids, next_ids = (torch.tensor(batches[k][number - 1]) for k in ("ids", "next"))
            row = {"step": number, "loss": step(model, opt, ids, next_ids, number)}
            if number % EVERY == 0:
                row["held_out"] = held_out_loss(model, held_out)
                print(row, flush=True)
            out.write(json.dumps(row) + "\n")


def compare(folder, ours):
    rows = lambda path: [json.loads(line) for line in open(path)]
    theirs = {r["step"]: r for r in rows(folder / "torch.jsonl")}
    losses = {r["step"]: r["loss"] for r in rows(ours) if "loss" in r and "step" in r}
    held = {r["step"]: r[k] for r in rows(ours) for k in ("held_out_loss", "held_out") if r.get(k) is not None}
    first = max(abs(losses[s] - theirs[s]["loss"]) / theirs[s]["loss"] for s in range(1, 11))
    gaps = {s: abs(held[s] - theirs[s]["held_out"]) for s in sorted(held) if "held_out" in theirs.get(s, {})}
    print(f"first 10 losses: largest relative difference {first:.2e}")
    for s, gap in gaps.items():
        print(f"step {s}: held-out {held[s]:.4f}, PyTorch {theirs[s]['held_out']:.4f}, difference {gap:.4f}")
    return 0 if first < 1e-4 and gaps and max(gaps.values()) < 0.02 else 1


if __name__ == "__main__":
    command, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    sys.exit({"prepare": prepare, "train": train, "compare": lambda f: compare(f, sys.argv[3])}[command](folder))
