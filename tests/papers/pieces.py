"""What the reference modules share: modules by dotted names, attention from its definition, losses."""
import math
import torch
from torch import nn
import torch.nn.functional as F


def put(root, name, module):
    """Adds a module under a dotted name."""
    *path, last = name.split(".")
    for p in path:
        if p not in root._modules:
            root.add_module(p, nn.Module())
        root = root._modules[p]
    root.add_module(last, module)
    return module


class RmsNorm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

    def forward(self, x):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.epsilon) * self.weight


class Highway(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.map, self.gate = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, x):
        t = torch.sigmoid(self.gate(x))
        return t * torch.relu(self.map(x)) + (1 - t) * x


def attend(q, k, v, heads, seen, scale=None, bias=0):
    """q [batch, t, f], k and v [batch, s, f]; seen [batch, t, s] says who sees whom; nothing seen gives 0."""
    b, t, f = q.shape
    split = lambda x: x.view(b, x.shape[1], heads, -1).transpose(1, 2)
    q, k, v = split(q), split(k), split(v)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    score = q @ k.transpose(-1, -2) * scale + bias
    p = score.masked_fill(~seen[:, None], float("-inf")).softmax(-1).nan_to_num()
    return (p @ v).transpose(1, 2).reshape(b, t, -1)


def label_loss(logits, labels):
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=-100)


def next_loss(logits, labels):
    return label_loss(logits[:, :-1], labels[:, 1:])


def all_pairs(batch, t):
    i = torch.arange(t)
    return i[None, :, None].expand(batch, t, t), i[None, None, :].expand(batch, t, t)
