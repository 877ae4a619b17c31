"""UniLM (Dong et al., 2019), sections 2.1 to 2.3."""
import torch
from torch import nn
import torch.nn.functional as F
from pieces import all_pairs, attend, label_loss, put

ACT = {"gelu": F.gelu, "relu": F.relu}


class UniLm(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, w = c, c["hidden_size"]
        e = "bert.embeddings."
        self.word = put(self, e + "word_embeddings", nn.Embedding(c["vocab_size"], w))
        self.place = put(self, e + "position_embeddings", nn.Embedding(c["max_position_embeddings"], w))
        self.kind = put(self, e + "token_type_embeddings", nn.Embedding(c["type_vocab_size"], w))
        self.norm = put(self, e + "LayerNorm", nn.LayerNorm(w, c["layer_norm_eps"]))
        self.steps = []
        for i in range(c["num_hidden_layers"]):
            p = f"bert.encoder.layer.{i}."
            names = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
                     "o": "attention.output.dense"}
            step = {k: put(self, p + n, nn.Linear(w, w)) for k, n in names.items()}
            step["n1"] = put(self, p + "attention.output.LayerNorm", nn.LayerNorm(w, c["layer_norm_eps"]))
            step["up"] = put(self, p + "intermediate.dense", nn.Linear(w, c["intermediate_size"]))
            step["down"] = put(self, p + "output.dense", nn.Linear(c["intermediate_size"], w))
            step["n2"] = put(self, p + "output.LayerNorm", nn.LayerNorm(w, c["layer_norm_eps"]))
            self.steps.append(step)
        self.dense = put(self, "cls.predictions.transform.dense", nn.Linear(w, w))
        self.out_norm = put(self, "cls.predictions.transform.LayerNorm", nn.LayerNorm(w, c["layer_norm_eps"]))
        self._modules["cls"]._modules["predictions"].bias = nn.Parameter(torch.zeros(c["vocab_size"]))
        for name in ("word", "place", "kind", "norm", "dense", "out_norm"):    # registered once, under the file's names
            module = self._modules.pop(name)
            object.__setattr__(self, name, module)

    def forward(self, input_ids, token_type_ids=None, attention_mask=None, labels=None):
        c = self.c
        b, t = input_ids.shape
        kinds = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        present = torch.ones(b, t).bool() if attention_mask is None else attention_mask.bool()
        seen = torch.zeros(b, t, t).bool()
        for r in range(b):
            for i in range(t):
                for j in range(t):
                    k, o = int(kinds[r, i]), int(kinds[r, j])
                    seen[r, i, j] = bool(present[r, j]) and (
                        True if k in (0, 1) else j <= i if k == 2 else j >= i if k == 3 else
                        o == 4 if k == 4 else o == 4 or j <= i)
        x = self.norm(self.word(input_ids) + self.kind(kinds) + self.place(torch.arange(t)))
        act = ACT[c["hidden_act"]]
        for s in self.steps:
            x = s["n1"](x + s["o"](attend(s["q"](x), s["k"](x), s["v"](x), c["num_attention_heads"], seen)))
            x = s["n2"](x + s["down"](act(s["up"](x))))
        h = self.out_norm(act(self.dense(x)))
        logits = h @ self.word.weight.T + self.cls.predictions.bias
        out = {"logits": logits, "last_hidden_state": x}
        if labels is not None:
            out["loss"] = label_loss(logits, labels)
        return out


def cases():
    def config(**more):
        c = dict(architectures=["UniLm"], model_type="unilm", vocab_size=29, hidden_size=10, num_hidden_layers=2,
                 num_attention_heads=2, intermediate_size=17, max_position_embeddings=12, type_vocab_size=6,
                 hidden_act="gelu", layer_norm_eps=1e-5, tie_word_embeddings=True)
        return {**c, **more}

    def labels(ids, share=0.4):
        return torch.where(torch.rand(ids.shape) < share, ids, torch.tensor(-100))

    ids = lambda b, t, v=29: torch.randint(0, v, (b, t))
    # both ways, with padding
    x = ids(2, 7)
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    kinds = torch.tensor([[0] * 3 + [1] * 4, [0] * 2 + [1] * 5])
    c = config()
    yield "unilm-both", c, UniLm(c), dict(input_ids=x, token_type_ids=kinds, attention_mask=mask, labels=labels(x))
    # from the left, one head, an odd width
    x = ids(3, 5)
    c = config(hidden_size=7, num_attention_heads=1, hidden_act="relu")
    yield "unilm-left", c, UniLm(c), dict(input_ids=x, token_type_ids=torch.full_like(x, 2), labels=labels(x))
    # from the right, with padding at the end: what is padded sees nothing
    x = ids(2, 6)
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    c = config(hidden_size=9, num_attention_heads=3, num_hidden_layers=3)
    yield "unilm-right", c, UniLm(c), dict(input_ids=x, token_type_ids=torch.full_like(x, 3), attention_mask=mask)
    # a first text and a second, of different lengths, with padding
    x = ids(3, 8)
    kinds = torch.tensor([[4] * 3 + [5] * 5, [4] * 6 + [5] * 2, [4] * 1 + [5] * 7])
    mask = torch.tensor([[1] * 8, [1] * 8, [1] * 5 + [0] * 3])
    c = config(hidden_size=12, num_attention_heads=4)
    yield "unilm-second", c, UniLm(c), dict(input_ids=x, token_type_ids=kinds, attention_mask=mask, labels=labels(x))
    # all modes in one batch, no mask
    x = ids(4, 6)
    kinds = torch.tensor([[0, 0, 1, 1, 1, 1], [2] * 6, [3] * 6, [4, 4, 4, 5, 5, 5]])
    c = config()
    yield "unilm-mixed", c, UniLm(c), dict(input_ids=x, token_type_ids=kinds)
    # one token
    c = config(num_hidden_layers=1, hidden_size=5, num_attention_heads=1)
    yield "unilm-one", c, UniLm(c), dict(input_ids=ids(1, 1), token_type_ids=torch.tensor([[5]]))
