"""JAX: the models written with it, each program compiled as a whole."""
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from .schedule import rate
from ..weights import GPT2


def arrays(values):
    return {name: jnp.asarray(value.astype(np.int32) if value.dtype == np.int64 else value) for name, value in values.items()}


def product(case):
    call = jax.jit(lambda x, w: x @ w.T)
    x, weight = arrays(case.inputs())["x"], arrays(case.weights())["weight"]
    return lambda: {"y": call(x, weight).block_until_ready()}


def norm(x, scale, shift=0.0, epsilon=1e-5):
    mean = x.mean(-1, keepdims=True)
    variance = jnp.square(x - mean).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + epsilon) * scale + shift


def attend(q, k, v, mask=None):
    """`[batch, time, head, key]`."""
    scores = jnp.einsum("bthd,bshd->bhts", q, k) / np.float32(np.sqrt(q.shape[-1]))
    scores = scores if mask is None else jnp.where(mask, scores, -1e9)
    return jnp.einsum("bhts,bshd->bthd", jax.nn.softmax(scores, -1), v).reshape(*q.shape[:2], -1)


def causal(time):
    return jnp.tril(jnp.ones((time, time), bool))


def cross_entropy(logits, following):
    chosen = jnp.take_along_axis(logits, following[..., None], -1)[..., 0]
    return (jax.nn.logsumexp(logits, -1) - chosen).mean()


def bert(case):
    given, ids = arrays(case.weights()), arrays(case.inputs())["ids"]

    def forward(p, ids):
        linear = lambda x, name: x @ p[f"{name}.weight"].T + p[f"{name}.bias"]
        normed = lambda x, name: norm(x, p[f"{name}.weight"], p[f"{name}.bias"], 1e-12)
        of = lambda name: p[f"embeddings.{name}_embeddings.weight"]
        x = normed(of("word")[ids] + of("position")[: ids.shape[1]] + of("token_type")[0], "embeddings.LayerNorm")
        for layer in range(12):
            at = f"encoder.layer.{layer}."
            q, k, v = (linear(x, f"{at}attention.self.{n}").reshape(*ids.shape, 12, 64) for n in ("query", "key", "value"))
            x = normed(x + linear(attend(q, k, v), at + "attention.output.dense"), at + "attention.output.LayerNorm")
            h = jax.nn.gelu(linear(x, at + "intermediate.dense"), approximate=False)
            x = normed(x + linear(h, at + "output.dense"), at + "output.LayerNorm")
        return x

    call = jax.jit(forward)
    return lambda: {"hidden": call(given, ids).block_until_ready()}


def training(loss_of, parameters, given, rate, beta2=0.999, decay=lambda p: 0.01, clip=None):
    """A step of AdamW a run."""

    def update(state, step, rate, ids, following):
        p, m, v = state
        loss, g = jax.value_and_grad(loss_of)(p, ids, following)
        if clip:
            length = jnp.sqrt(sum(jnp.square(x).sum() for x in g.values()))
            g = {k: x * jnp.minimum(1.0, clip / (length + 1e-6)) for k, x in g.items()}
        m = {k: 0.9 * m[k] + 0.1 * g[k] for k in p}
        v = {k: beta2 * v[k] + (1 - beta2) * jnp.square(g[k]) for k in p}
        by = lambda k: (m[k] / (1 - 0.9**step)) / (jnp.sqrt(v[k] / (1 - beta2**step)) + 1e-8)
        return loss, ({k: p[k] * (1 - rate * decay(p[k])) - rate * by(k) for k in p}, m, v)

    call = jax.jit(update, donate_argnums=0)
    zeros = lambda: {name: jnp.zeros_like(value) for name, value in parameters.items()}
    state, step = (parameters, zeros(), zeros()), 0

    def run():
        nonlocal state, step
        step += 1
        loss, state = call(state, np.float32(step), np.float32(rate(step)), given["ids"], given["next"])
        jax.block_until_ready(state)
        return {"loss": loss}

    return run


def gpt2_weights(case):
    return {name.removeprefix("transformer."): value for name, value in arrays(case.weights()).items()}


def gpt2_block(p, at, x, attention):
    """A layer; `attention` gets queries, keys and values, each `[…, feature]`."""
    linear = lambda x, name: x @ p[f"{at}{name}.weight"] + p[f"{at}{name}.bias"]
    normed = lambda x, name: norm(x, p[f"{at}{name}.weight"], p[f"{at}{name}.bias"])
    x = x + linear(attention(*jnp.split(linear(normed(x, "ln_1"), "attn.c_attn"), 3, -1)), "attn.c_proj")
    return x + linear(jax.nn.gelu(linear(normed(x, "ln_2"), "mlp.c_fc")), "mlp.c_proj")


def gpt2(case):
    def loss_of(p, ids, following):
        time, heads = ids.shape[1], GPT2["heads"]
        split = lambda z: z.reshape(*ids.shape, heads, -1)
        x = p["wte.weight"][ids] + p["wpe.weight"][:time]
        for layer in range(GPT2["layers"]):
            x = gpt2_block(p, f"h.{layer}.", x, lambda q, k, v: attend(split(q), split(k), split(v), causal(time)))
        logits = norm(x, p["ln_f.weight"], p["ln_f.bias"]) @ p["wte.weight"].T
        return cross_entropy(logits, following)

    return training(loss_of, gpt2_weights(case), arrays(case.inputs()), lambda step: 1e-4)


def decode(case):
    """All tokens in one compiled loop; keys and values have their full length from the start."""
    p, ids, count = gpt2_weights(case), arrays(case.inputs())["ids"], case.sizes["tokens"]
    start, heads = ids.shape[1], GPT2["heads"]
    length = start + count

    def forward(p, kept, tokens, place):
        """The next token behind `tokens` that begin at a place."""
        places = place + jnp.arange(tokens.shape[0])
        x, mask, now = p["wte.weight"][tokens] + p["wpe.weight"][places], jnp.arange(length) <= places[:, None], []
        split = lambda z: z.reshape(-1, heads, x.shape[-1] // heads)

        def attention(layer, q, k, v):
            k, v = (jax.lax.dynamic_update_slice(old, split(new), (place, 0, 0)) for old, new in zip(kept[layer], (k, v)))
            now.append((k, v))
            return attend(split(q)[None], k[None], v[None], mask)[0]

        for layer in range(GPT2["layers"]):
            x = gpt2_block(p, f"h.{layer}.", x, partial(attention, layer))
        logits = p["wte.weight"] @ norm(x[-1], p["ln_f.weight"], p["ln_f.bias"])
        return now, jnp.argmax(logits).astype(jnp.int32)[None]

    def write(p, ids):
        empty = jnp.zeros((length, heads, GPT2["width"] // heads))
        kept, token = forward(p, [(empty, empty)] * GPT2["layers"], ids[0], 0)

        def one(carry, place):
            kept, token = forward(p, *carry, place)
            return (kept, token), token[0]

        _, added = jax.lax.scan(one, (kept, token), start + jnp.arange(count - 1))
        return jnp.concatenate([ids[0], token, added])[None]

    call = jax.jit(write)
    return lambda: {"sequences": call(p, ids).block_until_ready()}


def nanogpt(case):
    layers, heads, width = (case.sizes[name] for name in ("layers", "heads", "width"))

    def loss_of(p, ids, following):
        split = lambda x, name: (x @ p[name].reshape(-1, width).T).reshape(*ids.shape, heads, -1)
        x = p["tokens"][ids] + p["positions"][: ids.shape[1]]
        for layer in range(layers):
            at = f"layers.{layer}."
            h = norm(x, p[at + "norm_attention.scale"])
            q, k, v = (split(h, f"{at}attention.{name}.weight") for name in ("query", "keys", "values"))
            x = x + attend(q, k, v, causal(ids.shape[1])) @ p[at + "attention.output.weight"].reshape(width, -1).T
            h = jax.nn.gelu(norm(x, p[at + "norm_mlp.scale"]) @ p[at + "mlp.up.weight"].T, approximate=False)
            x = x + h @ p[at + "mlp.down.weight"].T
        return cross_entropy(norm(x, p["norm.scale"]) @ p["tokens"].T, following)

    decay = lambda p: 0.1 if p.ndim > 1 else 0.0
    return training(loss_of, arrays(case.weights()), arrays(case.inputs()), rate, 0.99, decay, clip=1.0)


def experts(case):
    """Each expert gets room for a number of rows, which here is enough for all of them."""
    room, count, active = 96, case.sizes["experts"], case.sizes["active"]
    p = arrays(case.weights())
    tokens, width = p["x"].shape

    def loss_of(p):
        share, chosen = jax.lax.top_k(jax.nn.softmax(p["x"] @ p["layer.router.score.weight"].T, -1), active)
        share, chosen = (share / share.sum(-1, keepdims=True)).reshape(-1), chosen.reshape(-1)
        hot = jax.nn.one_hot(chosen, count, dtype=jnp.int32)
        rank = ((jnp.cumsum(hot, 0) - 1) * hot).sum(-1)
        fits = rank < room
        rows = jnp.zeros((count, room, width)).at[chosen, jnp.where(fits, rank, room)]
        rows = rows.set(p["x"][jnp.arange(tokens * active) // active], mode="drop")
        h = jax.nn.silu(jnp.einsum("ecd,efd->ecf", rows, p["layer.gate"])) * jnp.einsum("ecd,efd->ecf", rows, p["layer.up"])
        y = jnp.einsum("ecf,edf->ecd", h, p["layer.down"])
        y = y[chosen, jnp.clip(rank, 0, room - 1)] * jnp.where(fits, share, 0)[:, None]
        return jnp.square(y.reshape(tokens, active, width).sum(1)).sum()

    call = jax.jit(jax.value_and_grad(loss_of))

    def run():
        loss, gradients = jax.block_until_ready(call(p))
        return {"loss": loss, **{f"grad.{name}": value for name, value in gradients.items()}}

    return run
