"""Prefix LM (Raffel et al., 2020, section 3.2.1, figure 3, right), with the parts of T5 (section 2.1)."""
import math
import torch
from torch import nn
import torch.nn.functional as F
from pieces import RmsNorm, attend, next_loss


def bucket(away, buckets, furthest):
    """away = source - time; what comes after has the second half of the buckets."""
    each = buckets // 2
    start, d = (each, away) if away > 0 else (0, -away)
    exact = each // 2
    if d >= exact:
        d = min(exact + int(math.log(d / exact) / math.log(furthest / exact) * (each - exact) + 1e-5), each - 1)
    return start + d


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        w, inner = c["hidden_size"], c["num_attention_heads"] * c["head_dim"]
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(w, inner, bias=False) for _ in range(3))
        self.o_proj, self.heads = nn.Linear(inner, w, bias=False), c["num_attention_heads"]

    def forward(self, x, seen, bias):
        return self.o_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, seen, 1.0, bias))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.wi = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.wo = nn.Linear(c["intermediate_size"], c["hidden_size"], bias=False)
        self.act = {"relu": F.relu, "gelu": F.gelu}[c["hidden_act"]]

    def forward(self, x):
        return self.wo(self.act(self.wi(x)))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        w, e = c["hidden_size"], c["rms_norm_eps"]
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(w, e), RmsNorm(w, e)
        self.self_attn, self.mlp = Attention(c), Mlp(c)

    def forward(self, x, seen, bias):
        x = x + self.self_attn(self.input_layernorm(x), seen, bias)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.relative_attention_bias = nn.Embedding(c["relative_attention_num_buckets"], c["num_attention_heads"])
        self.layers = nn.ModuleList([Layer(c) for _ in range(c["num_hidden_layers"])])
        self.norm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])


class PrefixLm(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.model = c, Body(c)

    def forward(self, input_ids, given=None, attention_mask=None, labels=None):
        c, m, (b, t) = self.c, self.model, input_ids.shape
        given = torch.zeros(b).long() if given is None else given
        present = torch.ones(b, t) if attention_mask is None else attention_mask
        seen = torch.tensor([[[bool(present[r, j]) and (j < int(given[r]) or j <= i) for j in range(t)]
                              for i in range(t)] for r in range(b)])
        which = torch.tensor([[bucket(j - i, c["relative_attention_num_buckets"], c["relative_attention_max_distance"])
                               for j in range(t)] for i in range(t)])
        bias = m.relative_attention_bias(which).permute(2, 0, 1)
        x = m.embed_tokens(input_ids)
        for layer in m.layers:
            x = layer(x, seen, bias)
        x = m.norm(x)
        logits = (x / math.sqrt(x.shape[-1])) @ m.embed_tokens.weight.T
        out = {"logits": logits, "last_hidden_state": x}
        if labels is not None:
            kept = torch.tensor([[int(labels[r, j]) if j >= int(given[r]) else -100 for j in range(t)] for r in range(b)])
            out["loss"] = next_loss(logits, kept)
        return out


def cases():
    def config(**more):
        c = dict(architectures=["PrefixLm"], model_type="prefix_lm", vocab_size=23, hidden_size=8, num_hidden_layers=2,
                 num_attention_heads=2, head_dim=4, intermediate_size=9, relative_attention_num_buckets=8,
                 relative_attention_max_distance=12, hidden_act="relu", rms_norm_eps=1e-6)
        return {**c, **more}

    ids = lambda *s: torch.randint(0, 23, s)
    c = config()
    x = ids(3, 15)
    yield "prefix", c, PrefixLm(c), dict(input_ids=x, given=torch.tensor([5, 1, 12]), labels=x.clone())
    c = config(hidden_size=7, num_attention_heads=1, head_dim=5, hidden_act="gelu", num_hidden_layers=3)
    x = ids(2, 8)
    mask = torch.tensor([[1] * 8, [0, 0] + [1] * 4 + [0] * 2])
    yield "prefix-padded", c, PrefixLm(c), dict(input_ids=x, given=torch.tensor([3, 4]), attention_mask=mask,
                                                labels=torch.where(mask == 1, x, -100))
    c = config()
    x = ids(2, 6)
    yield "prefix-none", c, PrefixLm(c), dict(input_ids=x, labels=x.clone())       # a language model
    c = config(hidden_size=9, num_attention_heads=3, head_dim=2)
    yield "prefix-all", c, PrefixLm(c), dict(input_ids=ids(2, 7), given=torch.tensor([7, 9]))      # an encoder
    c = config(num_hidden_layers=1)
    yield "prefix-one", c, PrefixLm(c), dict(input_ids=ids(1, 1), given=torch.tensor([1]))
