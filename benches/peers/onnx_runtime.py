"""ONNX Runtime."""
import numpy as np
import onnxruntime

from ..weights import GPT2
from . import onnx_graphs


def session(case, make):
    """The session of a model, whose file is made where it is missing."""
    file = case.folder / "model.onnx"
    if not file.exists():
        make(case.weights(), file=file)
    if case.prepare:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = case.threads
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def plain(case, make, output):
    """A model that is called with the inputs as they are."""
    model, inputs = session(case, make), case.inputs()
    return lambda: {output: model.run([output], inputs)[0]}


def product(case):
    return plain(case, onnx_graphs.product, "y")


def bert(case):
    return plain(case, lambda weights, file: onnx_graphs.bert(weights, case.sizes["rows"], file), "hidden")


def decode(case):
    """Greedy, with keys and values inserted in place."""
    model = session(case, onnx_graphs.gpt2)
    if model is None:
        return None
    ids, count = case.inputs()["ids"], case.sizes["tokens"]
    start, value = ids.shape[1], onnxruntime.OrtValue.ortvalue_from_numpy
    binding = model.io_binding()
    for layer in range(GPT2["layers"]):
        for part in "kv":
            kept = value(np.zeros((1, GPT2["heads"], start + count, 64), np.float32))
            binding.bind_ortvalue_input(f"past.{layer}.{part}", kept)
            binding.bind_ortvalue_output(f"now.{layer}.{part}", kept)
    logits = value(np.zeros((1, 1, GPT2["vocabulary"]), np.float32))
    binding.bind_ortvalue_output("logits", logits)

    def following(tokens, place):
        end = place + tokens.shape[1]
        binding.bind_ortvalue_input("ids", value(tokens))
        binding.bind_ortvalue_input("places", value(np.arange(place, end)[None]))
        binding.bind_ortvalue_input("last", value(np.array([end - 1], np.int32)))
        binding.bind_ortvalue_input("total", value(np.array(end, np.int32)))
        model.run_with_iobinding(binding)
        return logits.numpy().argmax()

    def run():
        added = [following(ids, 0)]
        for place in range(start, start + count - 1):
            added.append(following(np.array([added[-1:]]), place))
        return {"sequences": np.concatenate([ids[0], added])[None]}

    return run
