"""Seo et al. (2017): bidirectional attention flow. Each pair of texts is computed alone, without padding."""

import torch
from torch import nn
from pieces import Highway


class Bidaf(nn.Module):
    def __init__(self, config):
        super().__init__()
        word, letter, d = config["embedding_size"], config["character_embedding_size"], config["hidden_size"]
        both = word + config["num_filters"]
        self.word_embedding = nn.Embedding(config["vocab_size"], word)
        self.character_embedding = nn.Embedding(config["character_vocab_size"], letter)
        self.convolution = nn.Conv1d(letter, config["num_filters"], config["filter_width"])
        self.highways = nn.ModuleList(Highway(both) for _ in range(config["num_highway_layers"]))
        self.contextual = nn.LSTM(both, d, batch_first=True, bidirectional=True)
        self.similarity = nn.Linear(6 * d, 1, bias=False)
        self.modelling = nn.ModuleList([nn.LSTM(8 * d, d, batch_first=True, bidirectional=True),
                                        nn.LSTM(2 * d, d, batch_first=True, bidirectional=True)])
        self.ending = nn.LSTM(2 * d, d, batch_first=True, bidirectional=True)
        self.start, self.end = nn.Linear(10 * d, 1, bias=False), nn.Linear(10 * d, 1, bias=False)

    def read(self, ids, letters):
        parts = self.convolution(self.character_embedding(letters).transpose(1, 2)).relu().amax(-1)
        x = torch.cat([self.word_embedding(ids), parts], -1)
        for layer in self.highways:
            x = layer(x)
        return self.contextual(x[None])[0][0]

    def pair(self, text, letters, question, question_letters):
        h, u = self.read(text, letters), self.read(question, question_letters)
        t, j = len(h), len(u)
        s = torch.stack([torch.stack([self.similarity(torch.cat([h[a], u[b], h[a] * u[b]]))[0] for b in range(j)]) for a in range(t)])
        to_query = s.softmax(1) @ u
        to_context = (s.amax(1).softmax(0) @ h).expand(t, -1)
        g = torch.cat([h, to_query, h * to_query, h * to_context], -1)
        m = g
        for layer in self.modelling:
            m = layer(m[None])[0][0]
        e = self.ending(m[None])[0][0]
        return self.start(torch.cat([g, m], -1))[:, 0], self.end(torch.cat([g, e], -1))[:, 0], m

    def forward(self, input_ids, input_characters, question_ids, question_characters, attention_mask=None, question_mask=None,
                start_positions=None, end_positions=None):
        b, length = input_ids.shape
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        asked = torch.ones_like(question_ids) if question_mask is None else question_mask
        starts, ends = (torch.full((b, length), float("-inf"), dtype=torch.float64) for _ in range(2))
        hidden = torch.zeros(b, length, 2 * self.ending.hidden_size, dtype=torch.float64)
        loss = 0.0
        for i in range(b):
            t, j = int(mask[i].sum()), int(asked[i].sum())
            starts[i, :t], ends[i, :t], hidden[i, :t] = self.pair(
                input_ids[i, :t], input_characters[i, :t], question_ids[i, :j], question_characters[i, :j])
            if start_positions is not None:
                loss = loss - (starts[i, :t].log_softmax(0)[start_positions[i]] + ends[i, :t].log_softmax(0)[end_positions[i]]) / b
        out = {"start_logits": starts, "end_logits": ends, "last_hidden_state": hidden}
        return out if start_positions is None else out | {"loss": loss}


def padded(lengths):
    return (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()


def cases():
    def case(name, texts, questions, letters=(6, 6), answers=True, **sizes):
        config = {"architectures": ["Bidaf"], "model_type": "bidaf", "vocab_size": 30, "character_vocab_size": 13, "embedding_size": 5,
                  "character_embedding_size": 3, "num_filters": 4, "filter_width": 3, "hidden_size": 5, "num_highway_layers": 2} | sizes
        inputs = {}
        for kind, lengths, width in (("input", texts, letters[0]), ("question", questions, letters[1])):
            mask = padded(lengths)
            inputs[f"{kind}_ids"] = torch.randint(1, config["vocab_size"], mask.shape) * mask
            inputs[f"{kind}_characters"] = torch.randint(1, config["character_vocab_size"], (*mask.shape, width)) * mask[..., None]
            if min(lengths) < max(lengths):
                inputs["attention_mask" if kind == "input" else "question_mask"] = mask
        if answers:
            inputs["start_positions"] = torch.tensor([0 if n == 1 else n // 2 - 1 for n in texts])
            inputs["end_positions"] = torch.tensor([n - 1 for n in texts])
        return f"bidaf_{name}", config, Bidaf(config), inputs

    yield case("padded", [9, 4, 6], [2, 5, 3])
    yield case("whole", [7, 7], [3, 3], hidden_size=7, filter_width=5)
    yield case("one_word", [1], [1])
    yield case("short", [1, 5], [4, 1], letters=(5, 8), num_highway_layers=1, filter_width=1)
    yield case("plain", [6, 2], [3, 3], letters=(3, 4), answers=False, num_highway_layers=3, num_filters=7)
