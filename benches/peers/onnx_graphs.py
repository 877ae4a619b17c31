"""ONNX graphs with the fused operators of ONNX Runtime: what its optimizer makes of models whose patterns it knows."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..weights import GPT2

FUSED = "com.microsoft"
FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32


class Graph:
    """A graph that is being written."""

    def __init__(self, weights):
        self.weights, self.nodes, self.constants, self.inputs, self.outputs = weights, [], [], [], []

    def input(self, name, kind, shape):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name, kind, shape):
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name):
        """A weight under its name."""
        return self.constant(self.weights[name])

    def scale_and_shift(self, name):
        return self.weight(f"{name}.weight"), self.weight(f"{name}.bias")

    def op(self, kind, operands, outputs=None, domain="", **attributes):
        """An operator; its first output, unless its outputs have names."""
        outputs = outputs or [f"t{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, operands, outputs, domain=domain, **attributes))
        return outputs[0]

    def save(self, file):
        graph = helper.make_graph(self.nodes, "graph", self.inputs, self.outputs, self.constants)
        versions = [helper.make_opsetid("", 17), helper.make_opsetid(FUSED, 1)]
        onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=8), file)


def product(weights, file):
    g = Graph(weights)
    g.op("MatMul", [g.input("x", FLOAT, [1024, 1024]), g.constant(weights["weight"].T)], [g.output("y", FLOAT, [1024, 1024])])
    g.save(file)


def bert(weights, rows, file):
    """BERT-base of `rows` × 128 tokens."""
    g, time = Graph(weights), 128
    linear = lambda x, name: g.op("MatMul", [x, g.constant(weights[f"{name}.weight"].T)])
    ids = g.input("ids", INT64, [rows, time])
    of = lambda name: weights[f"embeddings.{name}_embeddings.weight"]
    x = g.op("Add", [g.op("Gather", [g.constant(of("word")), ids]), g.constant(of("position")[:time] + of("token_type")[0])])
    x = g.op("LayerNormalization", [x, *g.scale_and_shift("embeddings.LayerNorm")], epsilon=1e-12, axis=-1)

    def joined(x, before, name, output=None):
        """Adds what the layer `name` of dense and norm makes of x."""
        scale, shift = g.scale_and_shift(f"{name}.LayerNorm")
        operands = [linear(x, f"{name}.dense"), before, scale, shift, g.weight(f"{name}.dense.bias")]
        return g.op("SkipLayerNormalization", operands, output, FUSED, epsilon=1e-12)

    for layer in range(12):
        at = f"encoder.layer.{layer}."
        parts = [f"{at}attention.self.{name}" for name in ("query", "key", "value")]
        weight = np.concatenate([weights[f"{part}.weight"].T for part in parts], 1)
        bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
        y = g.op("Attention", [x, g.constant(weight), g.constant(bias)], domain=FUSED, num_heads=12)
        x = joined(y, x, f"{at}attention.output")
        h = g.op("BiasGelu", [linear(x, f"{at}intermediate.dense"), g.weight(f"{at}intermediate.dense.bias")], domain=FUSED)
        x = joined(h, x, f"{at}output", [g.output("hidden", FLOAT, [rows, time, 768])] if layer == 11 else None)
    g.save(file)


def gpt2(weights, file):
    """GPT-2 small for new places of one row, whose keys and values are inserted where they are kept."""
    g, heads = Graph({name.removeprefix("transformer."): value for name, value in weights.items()}), GPT2["heads"]
    new = [1, "new"]
    ids, places = g.input("ids", INT64, new), g.input("places", INT64, new)
    last, total = g.input("last", INT32, [1]), g.input("total", INT32, [])
    table = g.weight("wte.weight")
    x = g.op("Add", [g.op("Gather", [table, ids]), g.op("Gather", [g.weight("wpe.weight"), places])])
    h = g.op("LayerNormalization", [x, *g.scale_and_shift("h.0.ln_1")], epsilon=1e-5, axis=-1)
    linear = lambda x, name: g.op("MatMul", [x, g.weight(f"{name}.weight")])

    def joined(y, before, norm, bias, at):
        """The sum of both and a bias, normed, and the sum."""
        outputs = [f"{at}.normed", "", "", f"{at}.sum"]
        operands = [y, before, *g.scale_and_shift(norm), g.weight(bias)]
        return g.op("SkipLayerNormalization", operands, outputs, FUSED, epsilon=1e-5), outputs[3]

    for layer in range(GPT2["layers"]):
        at = f"h.{layer}"
        past = [g.input(f"past.{layer}.{part}", FLOAT, [1, heads, "capacity", 64]) for part in "kv"]
        now = [g.output(f"now.{layer}.{part}", FLOAT, [1, heads, "capacity", 64]) for part in "kv"]
        joint = g.op("Add", [linear(h, f"{at}.attn.c_attn"), g.weight(f"{at}.attn.c_attn.bias")])
        operands = [joint, "", "", *past, last, total]
        y = g.op("GroupQueryAttention", operands, [f"{at}.attended", *now], FUSED, num_heads=heads, kv_num_heads=heads)
        h, x = joined(linear(y, f"{at}.attn.c_proj"), x, f"{at}.ln_2", f"{at}.attn.c_proj.bias", f"{at}.a")
        u = g.op("FastGelu", [linear(h, f"{at}.mlp.c_fc"), g.weight(f"{at}.mlp.c_fc.bias")], domain=FUSED)
        after = "ln_f" if layer == GPT2["layers"] - 1 else f"h.{layer + 1}.ln_1"
        h, x = joined(linear(u, f"{at}.mlp.c_proj"), x, after, f"{at}.mlp.c_proj.bias", f"{at}.m")
    bounds = [g.constant(np.array([value], np.int64)) for value in (-1, np.iinfo(np.int64).max, 1)]
    logits = g.output("logits", FLOAT, [1, 1, GPT2["vocabulary"]])
    g.op("MatMul", [g.op("Slice", [h, *bounds]), g.constant(weights["transformer.wte.weight"].T)], [logits])
    g.save(file)
