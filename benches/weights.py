"""Weights and inputs that all sides read, drawn from one seed, under the names that the models' own files have."""
import math

import numpy as np

GPT2 = {"layers": 12, "heads": 12, "width": 768, "vocabulary": 50257, "context": 1024}


def normal(draw, shape, std=0.02):
    return (draw.standard_normal(shape) * std).astype(np.float32)


def norm(name, width):
    return {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}


def bert():
    """BERT-base without the pooler: the names of `transformers`."""
    draw, width = np.random.default_rng(0), 768
    linear = lambda name, rows, columns: {f"{name}.weight": normal(draw, (rows, columns)), f"{name}.bias": normal(draw, rows)}
    out = {f"embeddings.{name}_embeddings.weight": normal(draw, (rows, width)) for name, rows in [("word", 30522), ("position", 512), ("token_type", 2)]}
    out |= norm("embeddings.LayerNorm", width)
    for layer in range(12):
        at = f"encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            out |= linear(f"{at}attention.self.{name}", width, width)
        out |= linear(f"{at}attention.output.dense", width, width) | norm(f"{at}attention.output.LayerNorm", width)
        out |= linear(f"{at}intermediate.dense", 4 * width, width)
        out |= linear(f"{at}output.dense", width, 4 * width) | norm(f"{at}output.LayerNorm", width)
    return out


def gpt2():
    """GPT-2 small: the names of `transformers`; matrices are [input, output]."""
    draw, width = np.random.default_rng(0), GPT2["width"]
    out = {"wte.weight": normal(draw, (GPT2["vocabulary"], width)), "wpe.weight": normal(draw, (GPT2["context"], width))}
    small = 0.02 / math.sqrt(2 * GPT2["layers"])
    for layer in range(GPT2["layers"]):
        at = f"h.{layer}."
        out |= norm(f"{at}ln_1", width) | norm(f"{at}ln_2", width)
        for name, rows, columns, std in [
            ("attn.c_attn", width, 3 * width, 0.02),
            ("attn.c_proj", width, width, small),
            ("mlp.c_fc", width, 4 * width, 0.02),
            ("mlp.c_proj", 4 * width, width, small),
        ]:
            out |= {f"{at}{name}.weight": normal(draw, (rows, columns), std), f"{at}{name}.bias": np.zeros(columns, np.float32)}
    return {f"transformer.{name}": value for name, value in (out | norm("ln_f", width)).items()}


def nanogpt(layers, heads, width, context, vocabulary):
    """nanoGPT without biases: the names of the specification; matrices are [output, input], those of attention by heads."""
    draw, key = np.random.default_rng(1337), width // heads
    ones = np.ones(width, np.float32)
    out = {"tokens": normal(draw, (vocabulary, width)), "positions": normal(draw, (context, width)), "norm.scale": ones.copy()}
    small = 0.02 / math.sqrt(2 * layers)
    for layer in range(layers):
        at = f"layers.{layer}."
        out[f"{at}attention.query.weight"] = normal(draw, (heads, 1, key, width))
        out[f"{at}attention.keys.weight"] = normal(draw, (heads, key, width))
        out[f"{at}attention.values.weight"] = normal(draw, (heads, key, width))
        out[f"{at}attention.output.weight"] = normal(draw, (width, heads, 1, key), small)
        out[f"{at}mlp.up.weight"] = normal(draw, (4 * width, width))
        out[f"{at}mlp.down.weight"] = normal(draw, (width, 4 * width), small)
        out |= {f"{at}norm_attention.scale": ones.copy(), f"{at}norm_mlp.scale": ones.copy()}
    return out


def experts(experts, width, hidden, tokens):
    """A block of experts and its input."""
    draw = np.random.default_rng(0)
    return {
        "x": normal(draw, (tokens, width), 1.0),
        "layer.router.score.weight": normal(draw, (experts, width), 0.05),
        "layer.gate": normal(draw, (experts, hidden, width)),
        "layer.up": normal(draw, (experts, hidden, width)),
        "layer.down": normal(draw, (experts, width, hidden)),
    }


def attention(rows, heads, length, width):
    """Queries, keys and values."""
    draw = np.random.default_rng(0)
    return {name: normal(draw, (rows, heads, length, width), 1.0) for name in "qkv"}


def ids(vocabulary, rows, length):
    """Tokens to read."""
    return {"ids": np.random.default_rng(0).integers(0, vocabulary, (rows, length))}


def batch(vocabulary, rows, length):
    """Tokens to learn from: each with the one that follows."""
    text = ids(vocabulary, rows, length + 1)["ids"]
    return {"ids": text[:, :-1].copy(), "next": text[:, 1:].copy()}
