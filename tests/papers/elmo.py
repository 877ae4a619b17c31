"""Peters et al. (2018): ELMo, two layers in each direction over words made of characters. Each text is computed alone."""

import torch
from torch import nn
from pieces import Highway


class Elmo(nn.Module):
    def __init__(self, config):
        super().__init__()
        letter, filters, width = config["character_embedding_size"], config["num_filters"], config["hidden_size"]
        windows = config["num_windows"]
        self.character_embedding = nn.Embedding(config["character_vocab_size"], letter)
        self.convolutions = nn.ModuleList(nn.Conv1d(letter, filters, n + 1) for n in range(windows))
        self.highways = nn.ModuleList(Highway(windows * filters) for _ in range(config["num_highway_layers"]))
        self.projection = nn.Linear(windows * filters, width)
        self.forward_layers = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(2))
        self.backward_layers = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(2))
        self.head = nn.Linear(width, config["vocab_size"])
        self.mix, self.scale = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(()))

    def one(self, letters):
        """[time, letter] to the levels x, h_1, h_2 of either direction."""
        e = self.character_embedding(letters).transpose(1, 2)
        x = torch.cat([torch.relu(c(e)).amax(-1) for c in self.convolutions], -1)
        for layer in self.highways:
            x = layer(x)
        x = self.projection(x)
        levels = [torch.cat([x, x], -1)]
        forth, back = x[None], x.flip(0)[None]
        for i, (ahead, behind) in enumerate(zip(self.forward_layers, self.backward_layers)):
            new_forth, new_back = ahead(forth)[0], behind(back)[0]
            forth, back = (new_forth, new_back) if i == 0 else (forth + new_forth, back + new_back)
            levels.append(torch.cat([forth[0], back[0].flip(0)], -1))
        return torch.stack(levels)

    def forward(self, input_ids, attention_mask=None, labels=None):
        b, length = input_ids.shape[:2]
        mask = torch.ones(b, length, dtype=torch.int64) if attention_mask is None else attention_mask
        width = self.projection.out_features
        levels = torch.zeros(3, b, length, 2 * width, dtype=torch.float64)
        for i in range(b):
            n = int(mask[i].sum())
            levels[:, i, :n] = self.one(input_ids[i, :n])
        top = levels[2]
        ahead, behind = self.head(top[..., :width]), self.head(top[..., width:])
        elmo = self.scale * sum(s * h for s, h in zip(self.mix.softmax(0), levels))
        out = {"logits": ahead, "backward_logits": behind, "last_hidden_state": top, "elmo": elmo}
        if labels is not None:
            nll = nn.functional.cross_entropy
            out["loss"] = nll(ahead[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100) + nll(
                behind[:, 1:].flatten(0, 1), labels[:, :-1].flatten(), ignore_index=-100)
        return out


def cases():
    def case(name, lengths, letters, answers=True, **sizes):
        config = {"architectures": ["Elmo"], "model_type": "elmo", "vocab_size": 27, "character_vocab_size": 13,
                  "character_embedding_size": 5, "num_windows": 3, "num_filters": 4, "num_highway_layers": 2, "hidden_size": 7} | sizes
        mask = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()
        inputs = {"input_ids": torch.randint(1, 13, (*mask.shape, letters)) * mask[..., None]}
        if min(lengths) < max(lengths):
            inputs["attention_mask"] = mask
        if answers:
            inputs["labels"] = torch.where(mask == 1, torch.randint(0, 27, mask.shape), -100)
        return f"elmo_{name}", config, Elmo(config), inputs

    yield case("padded", [7, 3, 1], 6)
    yield case("whole", [5, 5], 5, num_windows=4, num_filters=3, hidden_size=9)
    yield case("one_word", [1], 4, answers=False, num_highway_layers=1)
    yield case("one_window", [2, 6], 3, num_windows=1, num_filters=6, hidden_size=5, num_highway_layers=1)
