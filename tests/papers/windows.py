"""LM-Infinite (Han et al., 2023), StreamingLLM (Xiao et al., 2023) and parallel context windows (Ratner et al., 2023) in a small LLaMA.
Scores are computed one pair at a time from the distance that the paper gives it."""
import math
import torch
from torch import nn
import torch.nn.functional as F
from pieces import RmsNorm, next_loss


def turn(x, place):
    """x [key] at a place, halves layout."""
    half = x.shape[0] // 2
    angle = place * 10000.0 ** (-torch.arange(half).double() / half)
    c, s = angle.cos(), angle.sin()
    return torch.cat([x[:half] * c - x[half:] * s, x[half:] * c + x[:half] * s])


class Attention(nn.Module):
    def __init__(self, w, heads):
        super().__init__()
        self.heads = heads
        for n in "qkvo":
            setattr(self, n + "_proj", nn.Linear(w, w, bias=False))

    def forward(self, x, seen, distance):
        """distance(b, i, j): how far the key at j lies behind the query at i."""
        b, t, w = x.shape
        split = lambda y: y.view(b, t, self.heads, -1)
        q, k, v = split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x))
        out = torch.zeros_like(q)
        for r in range(b):
            for i in range(t):
                js = [j for j in range(t) if seen[r][i][j]]
                if not js:
                    continue
                for h in range(self.heads):
                    score = torch.stack([turn(q[r, i, h], distance(r, i, j)) @ k[r, j, h] for j in js])
                    p = (score / math.sqrt(q.shape[-1])).softmax(0)
                    out[r, i, h] = sum(p[n] * v[r, j, h] for n, j in enumerate(js))
        return self.o_proj(out.reshape(b, t, w))


class Mlp(nn.Module):
    def __init__(self, w, inner):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(w, inner, bias=False), nn.Linear(w, inner, bias=False)
        self.down_proj = nn.Linear(inner, w, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, w, heads, inner, epsilon):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(w, epsilon), RmsNorm(w, epsilon)
        self.self_attn, self.mlp = Attention(w, heads), Mlp(w, inner)

    def forward(self, x, seen, distance):
        x = x + self.self_attn(self.input_layernorm(x), seen, distance)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, c, epsilon):
        super().__init__()
        w = c["hidden_size"]
        self.embed_tokens, self.norm = nn.Embedding(c["vocab_size"], w), RmsNorm(w, epsilon)
        self.layers = nn.ModuleList(
            [Layer(w, c["num_attention_heads"], c["intermediate_size"], epsilon) for _ in range(c["num_hidden_layers"])])


class Llama(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.model = c, Body(c, c.get("rms_norm_eps", 1e-6))
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)

    def run(self, ids, seen, distance, labels):
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, seen, distance)
        x = self.model.norm(x)
        logits = self.lm_head(x)
        out = {"logits": logits, "last_hidden_state": x}
        if labels is not None:
            out["loss"] = next_loss(logits, labels)
        return out


class LambdaLm(Llama):
    def forward(self, input_ids, attention_mask=None, labels=None):
        c, (b, t) = self.c, input_ids.shape
        first, width, limit = c["num_sink_tokens"], c["sliding_window"], c["limit_distance"]
        present = torch.ones(b, t) if attention_mask is None else attention_mask
        seen = [[[bool(present[r, j]) and j <= i and (j < first or i - j < width) for j in range(t)]
                 for i in range(t)] for r in range(b)]

        def distance(r, i, j):
            if limit > 0:                                # LM-Infinite, section 4: min(d, L)
                return min(i - j, limit)
            cache = [n for n in range(i + 1) if n < first or i - n < width]     # StreamingLLM, section 3.2: places in the cache
            return len(cache) - 1 - cache.index(j)

        return self.run(input_ids, seen, distance, labels)


class ParallelWindows(Llama):
    def forward(self, input_ids, window, position_ids, attention_mask=None, labels=None):
        b, t = input_ids.shape
        present = torch.ones(b, t) if attention_mask is None else attention_mask
        seen = [[[bool(present[r, j]) and j <= i and (window[r, i] < 0 or bool(window[r, i] == window[r, j])) for j in range(t)]
                 for i in range(t)] for r in range(b)]
        return self.run(input_ids, seen, lambda r, i, j: int(position_ids[r, i] - position_ids[r, j]), labels)


def cases():
    def config(kind, **more):
        c = dict(architectures=[kind], model_type={"LambdaLm": "lambda"}.get(kind, "parallel_windows"), vocab_size=23,
                 hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=9)
        return {**c, **(dict(num_sink_tokens=2, sliding_window=4, limit_distance=6) if kind == "LambdaLm" else
                        dict(rms_norm_eps=1e-5)), **more}

    ids = lambda *s: torch.randint(0, 23, s)
    c = config("LambdaLm")
    x = ids(2, 14)
    mask = torch.tensor([[1] * 14, [1] * 11 + [0] * 3])
    yield "lambda", c, LambdaLm(c), dict(input_ids=x, attention_mask=mask, labels=torch.where(mask == 1, x, -100))
    c = config("LambdaLm", limit_distance=4, num_attention_heads=1, hidden_size=6, num_sink_tokens=1)
    yield "lambda-limit", c, LambdaLm(c), dict(input_ids=ids(1, 11))
    c = config("LambdaLm", limit_distance=0, num_sink_tokens=3, sliding_window=3)
    x = ids(2, 12)
    yield "lambda-streaming", c, LambdaLm(c), dict(input_ids=x, labels=x.clone())
    c = config("LambdaLm", num_hidden_layers=1)
    yield "lambda-one", c, LambdaLm(c), dict(input_ids=ids(1, 1))

    def lay(windows, task):
        """windows: their lengths; then so many tokens of the task, behind the longest."""
        w = [n for n, l in enumerate(windows) for _ in range(l)] + [-1] * task
        p = [i for l in windows for i in range(l)] + [max(windows, default=0) + i for i in range(task)]
        return w, p

    def both(*rows):
        w, p = zip(*(lay(*r) for r in rows))
        return dict(window=torch.tensor(w), position_ids=torch.tensor(p))

    c = config("ParallelWindows")
    x = ids(2, 11)
    yield "windows", c, ParallelWindows(c), dict(input_ids=x, labels=x.clone(), **both(([3, 4], 4), ([2, 2, 5], 2)))
    c = config("ParallelWindows", num_attention_heads=1, hidden_size=6, num_hidden_layers=3)
    x = ids(2, 9)
    mask = torch.tensor([[1] * 9, [1, 1, 0, 1, 1, 1, 1, 1, 0]])     # a window that is padded, and the task
    yield "windows-padded", c, ParallelWindows(c), dict(input_ids=x, attention_mask=mask, **both(([3, 3], 3), ([3, 3], 3)))
    c = config("ParallelWindows", hidden_size=12, num_attention_heads=3)
    yield "windows-none", c, ParallelWindows(c), dict(input_ids=ids(2, 5), **both(([], 5), ([5], 0)))
    c = config("ParallelWindows", num_hidden_layers=1)
    yield "windows-one", c, ParallelWindows(c), dict(input_ids=ids(1, 1), **both(([], 1)))
