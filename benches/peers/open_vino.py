"""OpenVINO, of models that PyTorch describes."""
import numpy as np
import openvino
import torch
import torch.nn.functional as F

from ..weights import GPT2


def compiled(case, make):
    """A compiled model, whose file is made where it is missing."""
    file = case.folder / "openvino.xml"
    if case.prepare:
        if not file.exists():
            with torch.no_grad():
                openvino.save_model(make(), file, compress_to_fp16=False)
        return None
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": case.threads, "PERFORMANCE_HINT": "LATENCY"}
    options |= {"KV_CACHE_PRECISION": "f32"}
    return openvino.Core().compile_model(file, "CPU", options).create_infer_request()


class Hidden(torch.nn.Module):
    """A model whose only output is its last hidden state."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        return self.model(ids).last_hidden_state


def bert(case):
    def make():
        from transformers import BertConfig, BertModel

        model = BertModel(BertConfig(), add_pooling_layer=False).eval()
        model.load_state_dict({name: torch.from_numpy(value) for name, value in case.weights().items()}, strict=False)
        ids = torch.from_numpy(case.inputs()["ids"])
        return openvino.convert_model(Hidden(model), example_input=ids, input=[(list(ids.shape),)])

    request, ids = compiled(case, make), case.inputs()["ids"]
    return lambda: {"hidden": request.infer([ids])[0]}


class Gpt2(torch.nn.Module):
    """GPT-2 for new places of one row: logits of the last, and all keys and values."""

    def __init__(self, weights):
        super().__init__()
        for name, value in weights.items():
            self.register_buffer(name.removeprefix("transformer.").replace(".", "_"), torch.from_numpy(value))

    def of(self, name):
        return getattr(self, name.replace(".", "_"))

    def forward(self, ids, places, *past):
        width, heads, kept = GPT2["width"], GPT2["heads"], []
        linear = lambda x, name: torch.matmul(x, self.of(f"{name}.weight")) + self.of(f"{name}.bias")
        norm = lambda x, name: F.layer_norm(x, (width,), self.of(f"{name}.weight"), self.of(f"{name}.bias"), 1e-5)
        x = self.of("wte.weight")[ids] + self.of("wpe.weight")[places]
        mask = (torch.arange(past[0].shape[2] + ids.shape[1])[None, :] <= places[0][:, None])[None, None]
        for layer in range(GPT2["layers"]):
            at = f"h.{layer}."
            parts = linear(norm(x, at + "ln_1"), at + "attn.c_attn").split(width, -1)
            q, k, v = (part.view(1, -1, heads, width // heads).transpose(1, 2) for part in parts)
            k, v = torch.cat([past[2 * layer], k], 2), torch.cat([past[2 * layer + 1], v], 2)
            kept += [k, v]
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(1, -1, width)
            x = x + linear(y, at + "attn.c_proj")
            x = x + linear(F.gelu(linear(norm(x, at + "ln_2"), at + "mlp.c_fc"), approximate="tanh"), at + "mlp.c_proj")
        return F.linear(norm(x[:, -1:], "ln_f"), self.of("wte.weight")), *kept


def stateful_gpt2(case):
    """The model with keys and values as its state."""
    from openvino._offline_transformations import apply_make_stateful_transformation

    count, shape = 2 * GPT2["layers"], [1, GPT2["heads"], 5, GPT2["width"] // GPT2["heads"]]
    example = (torch.zeros(1, 3, dtype=torch.long), torch.arange(5, 8)[None], *(torch.zeros(shape) for _ in range(count)))
    model = openvino.convert_model(Gpt2(case.weights()).eval(), example_input=example)
    past, now = [f"past{i}" for i in range(count)], [f"now{i}" for i in range(count)]
    for tensors, names in [(model.inputs, ["ids", "places", *past]), (model.outputs, ["logits", *now])]:
        for tensor, name in zip(tensors, names):
            tensor.get_tensor().set_names({name})
    free = openvino.PartialShape([*shape[:2], -1, shape[3]])
    model.reshape({"ids": openvino.PartialShape([1, -1]), "places": openvino.PartialShape([1, -1]), **dict.fromkeys(past, free)})
    apply_make_stateful_transformation(model, dict(zip(past, now)))
    return model


def decode(case):
    request = compiled(case, lambda: stateful_gpt2(case))
    ids, count = case.inputs()["ids"], case.sizes["tokens"]
    start = ids.shape[1]

    def following(tokens, place):
        places = np.arange(place, place + tokens.shape[1])[None]
        return request.infer({"ids": tokens, "places": places})[0].argmax()

    def run():
        request.reset_state()
        added = [following(ids, 0)]
        for place in range(start, start + count - 1):
            added.append(following(np.array([added[-1:]]), place))
        return {"sequences": np.concatenate([ids[0], added])[None]}

    return run
