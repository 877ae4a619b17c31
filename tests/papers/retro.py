"""RETRO (Borgeaud et al., 2022), algorithm 1 and the listing of chunked cross-attention in the appendix, with rotary positions."""
import torch
from torch import nn
import torch.nn.functional as F
from pieces import RmsNorm, attend, next_loss


def rotate(x, heads):
    """Halves layout; x [batch, t, heads * key]."""
    b, t, f = x.shape
    x = x.view(b, t, heads, -1)
    half = x.shape[-1] // 2
    angle = torch.arange(t).double()[:, None] * 10000.0 ** (-torch.arange(half).double() / half)
    c, s = angle.cos()[None, :, None], angle.sin()[None, :, None]
    a, z = x[..., :half], x[..., half:]
    return torch.cat([a * c - z * s, z * c + a * s], -1).reshape(b, t, f)


class SelfAttention(nn.Module):
    def __init__(self, w, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        for n in "qkvo":
            setattr(self, n + "_proj", nn.Linear(w, w, bias=False))

    def forward(self, x):
        t = x.shape[1]
        seen = torch.ones(t, t).bool()
        seen = (seen.tril() if self.causal else seen)[None]
        q, k = rotate(self.q_proj(x), self.heads), rotate(self.k_proj(x), self.heads)
        return self.o_proj(attend(q, k, self.v_proj(x), self.heads, seen))


class Cross(nn.Module):
    def __init__(self, w, heads):
        super().__init__()
        self.heads, self.norm = heads, RmsNorm(w, 1e-6)
        for n in "qkvo":
            setattr(self, n + "_proj", nn.Linear(w, w, bias=False))

    def ca(self, h, y, seen=None):
        """h [b, t, w] reads y [b, s, w]; seen [b, s]."""
        seen = torch.ones(y.shape[:2]).bool() if seen is None else seen
        seen = seen[:, None, :].expand(-1, h.shape[1], -1)
        return self.o_proj(attend(self.q_proj(h), self.k_proj(y), self.v_proj(y), self.heads, seen))


class Layer(nn.Module):
    def __init__(self, c, causal, reads):
        super().__init__()
        w = c["hidden_size"]
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(w, 1e-6), RmsNorm(w, 1e-6)
        self.self_attn = SelfAttention(w, c["num_attention_heads"], causal)
        if reads:
            self.cross_attn = Cross(w, c["num_attention_heads"])
        self.fc1 = nn.Linear(w, c["intermediate_size"], bias=False)
        self.fc2 = nn.Linear(c["intermediate_size"], w, bias=False)

    def attn(self, x):
        return x + self.self_attn(self.input_layernorm(x))

    def ffw(self, x):
        return x + self.fc2(F.gelu(self.fc1(self.post_attention_layernorm(x))))

    def cca(self, x, e, known, m):
        """The appendix: shift by m - 1, pad, split, attend chunk by chunk, put back behind m - 1 zeros, cut."""
        b, n, w = x.shape
        l, k, r = e.shape[1:4]
        h = F.pad(self.cross_attn.norm(x)[:, m - 1:], (0, 0, 0, l * m))[:, :l * m].reshape(b, l, m, w)
        out = []
        for u in range(l):
            y = e[:, u].reshape(b, k * r, w)
            seen = known[:, u].repeat_interleave(r, dim=1)
            out.append(self.cross_attn.ca(h[:, u], y, seen))
        out = F.pad(torch.cat(out, 1), (0, 0, m - 1, 0))[:, :n]
        return x + out


class Retro(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        first = c["first_cross_attention_layer"]
        self.decoder = nn.ModuleList([Layer(c, True, i in range(first, 100, 3)) for i in range(c["num_hidden_layers"])])
        self.encoder = nn.ModuleList([Layer(c, False, True) for _ in range(2)])
        self.norm = RmsNorm(c["hidden_size"], 1e-6)

    def forward(self, input_ids, neighbours, known=None, labels=None):
        m, first = self.c["chunk_length"], self.c["first_cross_attention_layer"]
        b, l, k, r = neighbours.shape
        known = torch.ones(b, l, k).bool() if known is None else known.bool()
        x = self.embed_tokens(input_ids)
        for i, layer in enumerate(self.decoder):
            x = layer.attn(x)
            if i == first:
                e = torch.empty(b, l, k, r, x.shape[-1]).double()
                for u in range(l):
                    h = x[:, u * m:(u + 1) * m]
                    for j in range(k):
                        y = self.embed_tokens(neighbours[:, u, j])
                        for enc in self.encoder:
                            y = enc.attn(y)
                            y = y + enc.cross_attn.ca(enc.cross_attn.norm(y), h)
                            y = enc.ffw(y)
                        e[:, u, j] = y
            if hasattr(layer, "cross_attn"):
                x = layer.cca(x, e, known, m)
            x = layer.ffw(x)
        x = self.norm(x)
        logits = x @ self.embed_tokens.weight.T
        out = {"logits": logits, "last_hidden_state": x}
        if labels is not None:
            out["loss"] = next_loss(logits, labels)
        return out


def cases():
    def config(**more):
        c = dict(architectures=["Retro"], model_type="retro", vocab_size=23, hidden_size=8, num_hidden_layers=2,
                 num_attention_heads=2, intermediate_size=9, chunk_length=4, first_cross_attention_layer=0)
        return {**c, **more}

    ids = lambda *s: torch.randint(0, 23, s)
    c = config(first_cross_attention_layer=1, num_hidden_layers=2)
    x = ids(2, 12)
    yield "retro", c, Retro(c), dict(input_ids=x, neighbours=ids(2, 3, 2, 5), labels=x.clone())
    # some neighbours do not count, of one chunk none; one head; what follows the last whole chunk
    c = config(hidden_size=6, num_attention_heads=1, chunk_length=3, num_hidden_layers=1)
    known = torch.tensor([[[1, 1], [1, 0]], [[0, 1], [0, 0]]])
    x = ids(2, 8)
    labels = torch.where(torch.rand(2, 8) < 0.5, x, -100)
    yield "retro-known", c, Retro(c), dict(input_ids=x, neighbours=ids(2, 2, 2, 4), known=known, labels=labels)
    # two layers that read, one neighbour
    c = config(chunk_length=2, num_hidden_layers=4, hidden_size=4, num_attention_heads=1, intermediate_size=5)
    yield "retro-deep", c, Retro(c), dict(input_ids=ids(1, 6), neighbours=ids(1, 3, 1, 3))
    # one token is a chunk
    c = config(chunk_length=1, num_hidden_layers=1, hidden_size=6, num_attention_heads=3)
    yield "retro-one", c, Retro(c), dict(input_ids=ids(1, 1), neighbours=ids(1, 1, 2, 1))
