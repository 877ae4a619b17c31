"""PyTorch, eager or compiled; BERT, GPT-2 and the experts are those of `transformers`."""
import os

import torch
import torch.nn.functional as F

torch.set_num_threads(int(os.environ.get("BENCH_THREADS", "2")))

# What models go through before they are called.
ready = lambda model: model


def compile_models():
    """Models are compiled from here on."""
    global ready
    ready = torch.compile


def tensors(arrays):
    return {name: torch.from_numpy(value) for name, value in arrays.items()}


def product(case):
    weight, x = tensors(case.weights())["weight"], tensors(case.inputs())["x"]
    y = torch.empty(x.shape[0], weight.shape[0])

    def run():
        with torch.inference_mode():
            return {"y": torch.mm(x, weight.T, out=y)}

    return run


def attention(case):
    given = tensors(case.weights())

    def run():
        with torch.inference_mode():
            return {"output": F.scaled_dot_product_attention(given["q"], given["k"], given["v"], is_causal=True)}

    return run


def attention_gradients(case):
    q, k, v = (tensors(case.weights())[name].requires_grad_() for name in "qkv")

    def run():
        loss = F.scaled_dot_product_attention(q, k, v, is_causal=True).square().sum()
        return {"loss": loss, **{f"grad.{name}": value for name, value in zip("qkv", torch.autograd.grad(loss, (q, k, v)))}}

    return run


def bert(case):
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(), add_pooling_layer=False).eval()
    model.load_state_dict(tensors(case.weights()), strict=False)
    model, ids = ready(model), torch.from_numpy(case.inputs()["ids"])

    def run():
        with torch.inference_mode():
            return {"hidden": model(ids).last_hidden_state}

    return run


def gpt2_model(case):
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))
    missing, _ = model.load_state_dict(tensors(case.weights()), strict=False)
    # The head is the table of tokens.
    assert missing == ["lm_head.weight"], missing
    return model


def gpt2(case):
    model, given = gpt2_model(case).train(), tensors(case.inputs())

    def loss_of(ids, following):
        logits = model(input_ids=ids, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), following.flatten())

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    return steps(ready(loss_of), optimizer, given)


def steps(loss_of, optimizer, given, before=lambda number: None, clip=None):
    """Training: a step a run."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    number = 0

    def run():
        nonlocal number
        number += 1
        before(number)
        loss = loss_of(given["ids"], given["next"])
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {"loss": torch.tensor(loss.item())}

    return run


def decode(case):
    model, ids = gpt2_model(case).eval(), torch.from_numpy(case.inputs()["ids"])
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, 0
    count = case.sizes["tokens"]
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": count, "min_new_tokens": count, "do_sample": False}

    def run():
        with torch.inference_mode():
            return {"sequences": model.generate(ids, **options)}

    return run


class NanoGpt(torch.nn.Module):
    """nanoGPT without biases: queries, keys and values in one product, as it has them."""

    def __init__(self, given, layers, heads, width, context):
        super().__init__()
        self.layers, self.heads, self.width = layers, heads, width
        values = {name: given[name] for name in ("tokens", "positions", "norm.scale")}
        for layer in range(layers):
            at = f"layers.{layer}."
            parts = [given[f"{at}attention.{part}.weight"].reshape(-1, width) for part in ("query", "keys", "values")]
            values[f"{at}attention"] = torch.cat(parts)
            values[f"{at}output"] = given[f"{at}attention.output.weight"].flatten(1)
            for name in ("mlp.up.weight", "mlp.down.weight", "norm_attention.scale", "norm_mlp.scale"):
                values[at + name] = given[at + name]
        self.values = torch.nn.ParameterDict({name.replace(".", "_"): torch.nn.Parameter(value.clone()) for name, value in values.items()})

    def forward(self, ids, following):
        p, (batch, time) = self.values, ids.shape
        norm = lambda x, name: F.layer_norm(x, (self.width,), p[name])
        x = p["tokens"][ids] + p["positions"][:time]
        for layer in range(self.layers):
            at = f"layers_{layer}_"
            split = F.linear(norm(x, at + "norm_attention_scale"), p[at + "attention"]).split(self.width, dim=2)
            q, k, v = (part.view(batch, time, self.heads, -1).transpose(1, 2) for part in split)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, time, self.width)
            x = x + F.linear(y, p[at + "output"])
            h = F.gelu(F.linear(norm(x, at + "norm_mlp_scale"), p[at + "mlp_up_weight"]))
            x = x + F.linear(h, p[at + "mlp_down_weight"])
        logits = F.linear(norm(x, "norm_scale"), p["tokens"])
        return F.cross_entropy(logits.flatten(0, 1), following.flatten())


def nanogpt(case):
    return nanogpt_step(case, tensors(case.inputs()))[1]


def nanogpt_step(case, given):
    """The model, and its training on a batch that may be overwritten."""
    from .schedule import rate

    model = NanoGpt(tensors(case.weights()), **case.sizes)
    groups = [([p for p in model.parameters() if (p.dim() > 1) == matrices], 0.1 * matrices) for matrices in (True, False)]
    groups = [{"params": params, "weight_decay": decay} for params, decay in groups]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)

    def before(number):
        for group in optimizer.param_groups:
            group["lr"] = rate(number)

    return model, steps(ready(model), optimizer, given, before, clip=1.0)


def experts(case):
    """Mixtral's block, its experts by torch's grouped product."""
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    sizes, given = case.sizes, tensors(case.weights())
    config = MixtralConfig(
        hidden_size=sizes["width"],
        intermediate_size=sizes["hidden"],
        num_local_experts=sizes["experts"],
        num_experts_per_tok=sizes["active"],
    )
    config._experts_implementation = "grouped_mm"
    block = MixtralSparseMoeBlock(config).train()
    values = {"gate_up": torch.cat([given["layer.gate"], given["layer.up"]], 1), "down": given["layer.down"]}
    parameters = {}
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            part = next((part for part in values if part in name), "router")
            parameter.copy_(values.get(part, given["layer.router.score.weight"]))
            parameters[part] = parameter
    x, called = given["x"][None].requires_grad_(), ready(block)

    def run():
        block.zero_grad(set_to_none=True)
        x.grad = None
        y = called(x)
        loss = (y[0] if isinstance(y, tuple) else y).square().sum()
        loss.backward()
        gate, up = parameters["gate_up"].grad.split(sizes["hidden"], 1)
        gradients = {"layer.router.score.weight": parameters["router"].grad, "layer.gate": gate, "layer.up": up}
        gradients |= {"x": x.grad[0], "layer.down": parameters["down"].grad}
        return {"loss": loss, **{f"grad.{name}": value for name, value in gradients.items()}}

    return run
