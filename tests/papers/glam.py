"""GLaM (Du et al., 2022), section 4, with T5's biases (Raffel et al., 2020) and the balance loss of GShard (Lepikhin et al., 2021)."""
import math
import torch
from torch import nn
import torch.nn.functional as F
from pieces import RmsNorm, attend, next_loss


def bucket(back, buckets=32, furthest=128):
    """Causal: back >= 0; the first half exact, the others by logarithm."""
    if back < buckets // 2:
        return max(back, 0)
    exact = buckets // 2
    return min(exact + int(math.log(back / exact) / math.log(furthest / exact) * (buckets - exact)), buckets - 1)


class Attention(nn.Module):
    def __init__(self, w, heads, dim):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(w, heads * dim, bias=False) for _ in range(3))
        self.o_proj = nn.Linear(heads * dim, w, bias=False)
        self.relative_attention_bias = nn.Embedding(32, heads)

    def forward(self, x, present):
        t = x.shape[1]
        seen = torch.ones(t, t).tril().bool()[None] & present[:, None, :]
        which = torch.tensor([[bucket(i - j) for j in range(t)] for i in range(t)])
        bias = self.relative_attention_bias(which).permute(2, 0, 1)
        return self.o_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, seen, bias=bias))


class Dense(nn.Module):
    def __init__(self, w, inner):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(w, inner, bias=False), nn.Linear(w, inner, bias=False)
        self.down_proj = nn.Linear(inner, w, bias=False)

    def forward(self, x, present):
        return self.down_proj(F.gelu(self.gate_proj(x)) * self.up_proj(x)), 0.0


class Expert(nn.Module):
    def __init__(self, w, inner):
        super().__init__()
        self.wi, self.wo = nn.Linear(w, inner, bias=False), nn.Linear(inner, w, bias=False)


class Mixture(nn.Module):
    def __init__(self, w, inner, experts):
        super().__init__()
        self.gate = nn.Linear(w, experts, bias=False)
        self.experts = nn.ModuleList([Expert(w, inner) for _ in range(experts)])

    def forward(self, x, present):
        p = self.gate(x).softmax(-1)
        y = torch.zeros_like(x)
        n = len(self.experts)
        firsts, shares, tokens = torch.zeros(n).double(), torch.zeros(n).double(), 0
        for b in range(x.shape[0]):
            for t in range(x.shape[1]):
                order = sorted(range(n), key=lambda e: -float(p[b, t, e]))[:2]
                total = sum(p[b, t, e] for e in order)
                for e in order:
                    m = self.experts[e]
                    y[b, t] += p[b, t, e] / total * m.wo(F.gelu(m.wi(x[b, t])))
                if present[b, t]:
                    firsts[order[0]] += 1
                    shares += p[b, t]
                    tokens += 1
        return y, n * sum((firsts / tokens) * (shares / tokens))


class Layer(nn.Module):
    def __init__(self, c, sparse):
        super().__init__()
        w = c["hidden_size"]
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(w, 1e-6), RmsNorm(w, 1e-6)
        self.self_attn = Attention(w, c["num_attention_heads"], c["head_dim"])
        self.mlp = Mixture(w, c["intermediate_size"], c["num_experts"]) if sparse else Dense(w, c["intermediate_size"])

    def forward(self, x, present):
        x = x + self.self_attn(self.input_layernorm(x), present)
        y, aux = self.mlp(self.post_attention_layernorm(x), present)
        return x + y, aux


class Body(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList([Layer(c, i % 2 == 0) for i in range(c["num_hidden_layers"])])
        self.norm = RmsNorm(c["hidden_size"], 1e-6)


class Glam(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.model = Body(c)

    def forward(self, input_ids, attention_mask=None, labels=None):
        present = torch.ones_like(input_ids).bool() if attention_mask is None else attention_mask.bool()
        x, total = self.model.embed_tokens(input_ids), 0.0
        for layer in self.model.layers:
            x, aux = layer(x, present)
            total = total + aux
        x = self.model.norm(x)
        logits = x @ self.model.embed_tokens.weight.T
        out = {"logits": logits, "last_hidden_state": x, "aux_loss": total}
        if labels is not None:
            out["loss"] = next_loss(logits, labels) + 0.01 * total
        return out


def cases():
    def config(**more):
        c = dict(architectures=["Glam"], model_type="glam", vocab_size=29, hidden_size=8, num_hidden_layers=2,
                 num_attention_heads=2, head_dim=4, intermediate_size=10, num_experts=4, hidden_act="gelu")
        return {**c, **more}

    ids = lambda b, t: torch.randint(0, 29, (b, t))
    c = config()
    x = ids(2, 21)                                      # far enough for biases that several distances share
    yield "glam", c, Glam(c), dict(input_ids=x, labels=x.clone())
    c = config(hidden_size=7, num_attention_heads=1, head_dim=6, num_hidden_layers=3, num_experts=3)
    x = ids(3, 6)
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [0] * 1 + [1] * 5])
    yield "glam-padded", c, Glam(c), dict(input_ids=x, attention_mask=mask, labels=torch.where(mask == 1, x, -100))
    c = config(hidden_size=9, num_attention_heads=3, head_dim=4, num_experts=5, num_hidden_layers=1, intermediate_size=5)
    yield "glam-wide-heads", c, Glam(c), dict(input_ids=ids(2, 5))
    c = config(num_experts=2)
    yield "glam-one", c, Glam(c), dict(input_ids=ids(1, 1))
