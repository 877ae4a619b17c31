"""Luong, Pham and Manning (2015): global attention over an LSTM encoder, input feeding; `additive` is Bahdanau, Cho and Bengio's (2015) score."""

import torch
from torch import nn


class Additive(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.query, self.keys = nn.Linear(size, size, bias=False), nn.Linear(size, size, bias=False)
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, h, memory):
        return torch.tanh(self.query(h)[:, None] + self.keys(memory)) @ self.weight


class General(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.query = nn.Linear(size, size, bias=False)

    def forward(self, h, memory):
        return (self.query(h)[:, None] * memory).sum(-1)


class Dot(nn.Module):
    def __init__(self, size):
        super().__init__()

    def forward(self, h, memory):
        return (memory @ h[:, :, None])[..., 0]


class Seq2SeqLstm(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, hidden, vocab = config["embedding_size"], config["hidden_size"], config["vocab_size"]
        self.source_embedding = nn.Embedding(config.get("source_vocab_size", vocab), width)
        self.target_embedding = nn.Embedding(vocab, width)
        self.encoder = nn.LSTM(width, hidden, batch_first=True)
        self.decoder = nn.LSTM(width + hidden, hidden, batch_first=True)
        self.score = {"dot": Dot, "general": General, "additive": Additive}[config["attention_form"]](hidden)
        self.combine = nn.Linear(2 * hidden, hidden, bias=False)
        self.head = nn.Linear(hidden, vocab)

    def forward(self, input_ids, decoder_input_ids, attention_mask=None, labels=None):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        rows = []
        for ids, mask in zip(input_ids, attention_mask):  # each row alone and without its padding
            rows.append(self.encoder(self.source_embedding(ids[: int(mask.sum())])[None]))
        length = input_ids.shape[1]
        memory = torch.stack([torch.cat([r[0], r[0][-1:].expand(length - len(r[0]), -1)]) for r in (row[0] for row in rows)])
        state = tuple(torch.cat([row[1][i] for row in rows], 1) for i in range(2))
        fed = torch.zeros(len(rows), memory.shape[2], dtype=memory.dtype)
        outputs = []
        for t in range(decoder_input_ids.shape[1]):
            x = torch.cat([self.target_embedding(decoder_input_ids[:, t]), fed], -1)
            _, state = self.decoder(x[:, None], state)
            h = state[0][0]
            score = self.score(h, memory).masked_fill(attention_mask == 0, float("-inf"))
            found = (score.softmax(-1)[:, :, None] * memory).sum(1)
            fed = torch.tanh(self.combine(torch.cat([found, h], -1)))
            outputs.append(fed)
        hidden = torch.stack(outputs, 1)
        logits = self.head(hidden)
        out = {"logits": logits, "last_hidden_state": hidden, "encoder_last_hidden_state": memory}
        if labels is not None:
            out["loss"] = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        return out


def padded(lengths, size):
    return (torch.arange(size)[None] < torch.tensor(lengths)[:, None]).long()


def cases():
    def case(name, form, lengths, target, **sizes):
        config = {"architectures": ["Seq2SeqLstm"], "model_type": "seq2seq_lstm", "vocab_size": 29, "embedding_size": 7,
                  "hidden_size": 11, "attention_form": form,
                  "is_encoder_decoder": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2} | sizes
        source = max(lengths)
        words = config.get("source_vocab_size", config["vocab_size"])
        mask = padded(lengths, source)
        inputs = {"input_ids": torch.randint(3, words, (len(lengths), source)) * mask,
                  "decoder_input_ids": torch.randint(1, config["vocab_size"], (len(lengths), target))}
        if min(lengths) < source:
            inputs["attention_mask"] = mask
        labels = torch.randint(1, config["vocab_size"], (len(lengths), target))
        if target > 2:
            labels[-1, -1] = -100
        inputs["labels"] = labels
        return f"seq2seq_lstm_{name}", config, Seq2SeqLstm(config), inputs

    yield case("dot", "dot", [6, 3, 1], 4)
    yield case("general", "general", [5, 5], 7, source_vocab_size=17)
    yield case("additive", "additive", [2, 7], 5, embedding_size=9, hidden_size=5)
    yield case("dot_2", "dot", [4, 6], 3)
    yield case("general_2", "general", [3, 9, 8], 1, hidden_size=13)
    yield case("additive_2", "additive", [5, 2], 6, embedding_size=6)
    yield case("one_word", "additive", [1], 1)
