"""Weft against a peer (PyTorch eager where nothing else is said), interleaved in one run: median of the paired ratios (PyTorch's time ÷ Weft's) with its 95 % interval.

    python benches/ratio.py WORKLOAD  [--pairs 30] [--weft target/release/weft] [--out benches/results/FILE.json]

WORKLOAD: nanogpt, nanogpt_big, gpt2_128, gpt2_256, bert1, bert8, experts, experts_jax, decode.

Both sides compute the same from the same weights, which is checked first. Needs torch, numpy, safetensors; bert, experts and decode need transformers, experts_jax jax.
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


EXPERTS, CHOICES, WIDTH, HIDDEN, TOKENS = 8, 2, 512, 1024, 256


def experts(peer):
    def workload(folder):
        """A block of experts: the gradients of Σ y² for its input and all of its weights."""
        draw = np.random.RandomState(0)
        x = draw.randn(TOKENS, WIDTH).astype(np.float32)
        score = (draw.randn(EXPERTS, WIDTH) * 0.05).astype(np.float32)
        both = (draw.randn(EXPERTS, 2 * HIDDEN, WIDTH) * 0.02).astype(np.float32)
        down = (draw.randn(EXPERTS, WIDTH, HIDDEN) * 0.02).astype(np.float32)
        gate, up = both[:, :HIDDEN].copy(), both[:, HIDDEN:].copy()
        ours = {"x": x, "layer.router.score.weight": score, "layer.gate": gate, "layer.up": up, "layer.down": down}
        save_file(ours, folder / "weights.safetensors")
        save_file({"scale": np.ones(1, np.float32)}, folder / "inputs.safetensors")
        run = peer(x, score, both, down)
        spec = ROOT / "benches/experts.weft"

        def check(weft):
            save_file({"scale": np.ones((1, 1), np.float32)}, folder / "batches.safetensors")
            command = [weft, "train", spec, "--weights", folder / "weights.safetensors"]
            command += ["--batches", folder / "batches.safetensors", "--gradients", folder / "gradients.safetensors", "--quiet"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            got, (loss, *theirs) = load_file(folder / "gradients.safetensors"), run()
            gu = np.concatenate([got["grad.layer.gate"], got["grad.layer.up"]], axis=1)
            mine = [got["grad.x"], got["grad.layer.router.score.weight"], gu, got["grad.layer.down"]]
            relative = [np.abs(a - np.asarray(b)).max() / np.abs(np.asarray(b)).max() for a, b in zip(mine, theirs)]
            return float(max(abs(float(got["loss"]) - loss) / loss, *relative))

        return spec, "experts", "gradients", run, check

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


def torch_grouped(x, score, both, down):
    """transformers' Mixtral block, its experts by torch's grouped product."""
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    config = MixtralConfig(hidden_size=WIDTH, intermediate_size=HIDDEN, num_local_experts=EXPERTS, num_experts_per_tok=CHOICES)
    config._experts_implementation = "grouped_mm"
    block = MixtralSparseMoeBlock(config).train()
    values = {"gate_up": both, "down": down}
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            value = next((v for part, v in values.items() if part in name), score)
            parameter.copy_(torch.from_numpy(value))
    given = torch.from_numpy(x)[None].requires_grad_(True)
    parameters = dict(block.named_parameters())
    of = lambda part: next(p for name, p in parameters.items() if part in name)
    router = next(p for name, p in parameters.items() if not any(part in name for part in values))

    def run():
        block.zero_grad(set_to_none=True)
        given.grad = None
        y = block(given)
        loss = ((y[0] if isinstance(y, tuple) else y) ** 2).sum()
        loss.backward()
        return loss.item(), given.grad[0], router.grad, of("gate_up").grad, of("down").grad

    return run


def jax_capacity(x, score, both, down):
    """Each expert gets room for a number of rows, which here is enough for all of them."""
    import jax
    import jax.numpy as jnp

    room = 96

    def loss(x, score, both, down):
        share, chosen = jax.lax.top_k(jax.nn.softmax(x @ score.T, -1), CHOICES)
        share = (share / share.sum(-1, keepdims=True)).reshape(-1)
        chosen = chosen.reshape(-1)
        hot = jax.nn.one_hot(chosen, EXPERTS, dtype=jnp.int32)
        rank = ((jnp.cumsum(hot, 0) - 1) * hot).sum(-1)
        fits = rank < room
        rows = jnp.zeros((EXPERTS, room, WIDTH))
        rows = rows.at[chosen, jnp.where(fits, rank, room)].set(x[jnp.arange(TOKENS * CHOICES) // CHOICES], mode="drop")
        gate, up = jnp.split(jnp.einsum("ecd,efd->ecf", rows, both), 2, -1)
        y = jnp.einsum("ecf,edf->ecd", jax.nn.silu(gate) * up, down)
        y = y[chosen, jnp.clip(rank, 0, room - 1)] * jnp.where(fits, share, 0)[:, None]
        return (y.reshape(TOKENS, CHOICES, WIDTH).sum(1) ** 2).sum()

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))
    given = [jnp.asarray(value) for value in (x, score, both, down)]

    def run():
        value, gradients = step(*given)
        jax.block_until_ready(gradients)
        return float(value), *gradients

    return run


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


WORKLOADS = {
    "nanogpt": nanogpt,
    "nanogpt_big": nanogpt_big,
    "gpt2_128": gpt2(128),
    "gpt2_256": gpt2(256),
    "bert1": bert(1),
    "bert8": bert(8),
    "experts": experts(torch_grouped),
    "experts_jax": experts(jax_capacity),
    "decode": decode,
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
        if program == "gradients":
            # No executable has this program: it is compiled where it is timed.
            exe, timed = args.weft, [args.weft, "bench", spec, program, "--item", item]
        else:
            subprocess.run([args.weft, "build", spec, "--item", item, "-o", exe], check=True, stdout=subprocess.DEVNULL)
            timed = [exe, "bench", program]
        difference = check(exe)
        for _ in range(3):
            run()
        at_once = {"nanogpt": 10, "experts": 5, "experts_jax": 5, "bert1": 2, "bert8": 2}.get(args.workload, 1)
        command = [*timed, "--inputs", folder / "inputs.safetensors", "--weights", folder / "weights.safetensors"]
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
        "peer_ms": round(float(np.median([t for t, _ in pairs])), 2),
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
