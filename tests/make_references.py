"""Makes reference cases from transformers: `python tests/make_references.py [FAMILY…]` with torch, transformers and safetensors.

Each case is a folder under `tests/references/random/` with `config.json`, `model.safetensors`, `inputs.safetensors`,
`expected.safetensors` and `case.json`, as the cases beside it. Computed in float64 from random weights, every bias and norm among them.
"""

import json
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

OUT = Path(__file__).parent / "references" / "random"

# Names of architecture, number of the case, what differs from the smallest model of the family, and the inputs:
# rows, length, and on which side they are padded.
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
SMALL = dict(vocab_size=61, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4)
DECODER = dict(SMALL, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False)
CASES = {
    "LlamaForCausalLM": (DECODER, [
        (dict(num_key_value_heads=1, attention_bias=True, rope_parameters=LLAMA3), (3, 11, "right")),
        (dict(hidden_size=30, num_attention_heads=3, num_key_value_heads=3, mlp_bias=True, head_dim=14,
              tie_word_embeddings=True, rope_parameters=dict(rope_type="linear", factor=2.5, rope_theta=1e4)), (2, 9, "left")),
        (dict(num_hidden_layers=3, hidden_act="gelu", rms_norm_eps=1e-3), (2, 1, None)),
    ]),
    "MistralForCausalLM": (DECODER, [
        (dict(num_key_value_heads=1, sliding_window=4), (3, 13, "right")),
        (dict(head_dim=10, sliding_window=None, tie_word_embeddings=True), (2, 9, "left")),
        (dict(num_attention_heads=3, num_key_value_heads=3, sliding_window=1), (1, 7, None)),
    ]),
    "Qwen2ForCausalLM": (DECODER, [
        (dict(num_key_value_heads=1, use_sliding_window=True, sliding_window=3, max_window_layers=1, num_hidden_layers=4),
         (3, 12, "right")),
        (dict(hidden_size=36, num_attention_heads=6, num_key_value_heads=3, tie_word_embeddings=True), (2, 9, "left")),
        (dict(layer_types=["sliding_attention", "full_attention"] * 2 + ["sliding_attention"], sliding_window=2,
              use_sliding_window=True, num_hidden_layers=5), (2, 10, None)),
    ]),
    "GPTNeoXForCausalLM": (dict(SMALL, max_position_embeddings=64), [
        (dict(rope_parameters=dict(ROPE, partial_rotary_factor=0.5), hidden_size=32), (3, 11, "right")),
        (dict(use_parallel_residual=False, attention_bias=False, rope_parameters=dict(ROPE, partial_rotary_factor=1.0)), (2, 9, "left")),
        (dict(hidden_size=30, num_attention_heads=3, num_hidden_layers=3, hidden_act="gelu_new", tie_word_embeddings=True,
              rope_parameters=dict(ROPE, partial_rotary_factor=0.4)), (2, 1, None)),
    ]),
}


def randomise(model, generator):
    """Every parameter: norms about 1, biases about 0, tables 0.5, matrices by their width."""
    for name, p in model.named_parameters():
        n = torch.randn(p.shape, generator=generator, dtype=torch.float32)
        if p.ndim < 2:
            scale = 1 + 0.25 * n if "norm" in name.lower() and name.endswith("weight") else 0.3 * n
        elif "embed" in name or "wte" in name or "wpe" in name or "shared" in name:
            scale = 0.5 * n
        else:
            scale = n / p.shape[-1] ** 0.5
        with torch.no_grad():
            p.copy_(scale)


def mask(rows, length, side, draw):
    present = np.ones((rows, length), np.int64)
    for row in range(1, rows):
        missing = int(draw.integers(1, length)) if length > 1 else 0
        if side == "right":
            present[row, length - missing:] = 0
        elif side == "left":
            present[row, :missing] = 0
    return present


@contextmanager
def doubles():
    """What the library computes in float32 for half precision is float64 too."""
    single, to_single = torch.float32, torch.Tensor.float
    torch.float32, torch.Tensor.float = torch.float64, torch.Tensor.double
    yield
    torch.float32, torch.Tensor.float = single, to_single


def make(architecture, number, config, shape):
    seed = sum(map(ord, architecture)) * 10 + number
    torch.manual_seed(seed)
    cls = getattr(transformers, architecture)
    config = cls.config_class(**config)
    config.architectures = [architecture]
    config._attn_implementation = "eager"
    model = cls(config).eval()
    randomise(model, torch.Generator().manual_seed(seed))
    draw = np.random.default_rng(seed + 1)
    rows, length, side = shape
    ids = draw.integers(5, config.vocab_size, (rows, length))
    present = mask(rows, length, side, draw)
    # The first place of a text is predicted by nothing that has a meaning.
    counts = present * (np.cumsum(present, axis=1) > 1)
    labels = np.where(counts == 1, draw.integers(5, config.vocab_size, (rows, length)), -100)
    inputs = dict(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(present), labels=torch.from_numpy(labels))
    folder = OUT / f"{config.model_type}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = model.double()
    kept = {}
    base = getattr(model, model.base_model_prefix)
    base.register_forward_hook(lambda _, __, out: kept.update(last_hidden_state=out[0]))
    with torch.no_grad(), doubles():
        out = model(**inputs)
    expected = dict(logits=out.logits, last_hidden_state=kept["last_hidden_state"], loss=out.loss)
    # A place that sees padding alone has a result without meaning: the first places, or those whose window is behind the text.
    blind = side == "left" or side is not None and getattr(config, "sliding_window", None) is not None
    if blind:
        for name in ("logits", "last_hidden_state"):
            expected[name] = expected[name] * torch.from_numpy(present)[..., None]
    if not counts.any():
        del expected["loss"]
    save_file({name: tensor.float().contiguous() for name, tensor in expected.items()}, folder / "expected.safetensors")
    save_file(inputs, folder / "inputs.safetensors")
    about = dict(kind="forward", hf_class=architecture, seed=seed, tolerance=dict(rtol=1e-4, atol=1e-4),
                 outputs=sorted(expected), present=blind)
    (folder / "case.json").write_text(json.dumps(about, indent=1) + "\n")
    print(folder.name)


def main(families):
    for architecture, (base, cases) in CASES.items():
        for number, (changes, shape) in enumerate(cases):
            if not families or architecture in families:
                make(architecture, number, {**base, **changes}, shape)


main(sys.argv[1:])
