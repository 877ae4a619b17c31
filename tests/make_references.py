"""Makes reference cases from transformers: `python tests/make_references.py [FAMILY…]` with torch, transformers and safetensors.

Each case is a folder under `tests/references/random/` with `config.json`, `model.safetensors`, `inputs.safetensors`,
`expected.safetensors` and `case.json`, as the cases beside it. Computed in float64 from random weights, every bias and norm among them.
"""

import json
import re
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
ENCODER = dict(SMALL, max_position_embeddings=40, type_vocab_size=2)
SEQ2SEQ_T5 = dict(vocab_size=61, d_model=24, d_kv=6, d_ff=40, num_layers=2, num_heads=4, tie_word_embeddings=True)
SEQ2SEQ_BART = dict(vocab_size=61, d_model=24, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                    decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=36, max_position_embeddings=32)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=0.9,
            beta_fast=4.0, beta_slow=1.0)
DEEPSEEK = dict(DECODER, num_key_value_heads=4, kv_lora_rank=10, q_lora_rank=14, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5,
                n_routed_experts=6, n_shared_experts=1, num_experts_per_tok=2, n_group=2, topk_group=1, moe_intermediate_size=9,
                first_k_dense_replace=1)
CASES = {
    "LlamaForCausalLM": (DECODER, [
        (dict(num_key_value_heads=1, attention_bias=True, rope_parameters=LLAMA3), (3, 11, "right")),
        (dict(hidden_size=30, num_attention_heads=3, num_key_value_heads=3, mlp_bias=True, head_dim=14,
              tie_word_embeddings=True, rope_parameters=dict(rope_type="linear", factor=2.5, rope_theta=1e4)), (2, 9, "left")),
        (dict(num_hidden_layers=3, hidden_act="gelu", rms_norm_eps=1e-3), (2, 1, None)),
        (dict(num_hidden_layers=1, rope_parameters=YARN, head_dim=16), (2, 13, None)),
        (dict(num_hidden_layers=1, rope_parameters={k: v for k, v in YARN.items() if "mscale" not in k and "beta" not in k} | dict(original_max_position_embeddings=64),
              head_dim=64), (2, 9, "left")),
        (dict(num_hidden_layers=1, rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=3.0, original_max_position_embeddings=32, truncate=False,
                                   attention_factor=0.8), head_dim=12), (2, 9, "right")),
        (dict(num_hidden_layers=1, rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=3.0), max_position_embeddings=8, head_dim=10), (2, 13, None)),
        (dict(num_hidden_layers=1, rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=3.0), max_position_embeddings=64), (2, 9, "right")),
        (dict(num_hidden_layers=1, rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.5, 2.5], long_factor=[1.5, 4.0, 9.0],
                                   original_max_position_embeddings=8), max_position_embeddings=32), (2, 13, None)),
        (dict(num_hidden_layers=1, rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.5, 2.5], long_factor=[1.5, 4.0, 9.0],
                                   original_max_position_embeddings=16, attention_factor=1.3), max_position_embeddings=32), (2, 9, "right")),
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
    "CohereForCausalLM": (dict(DECODER, pad_token_id=0, tie_word_embeddings=True), [
        (dict(num_key_value_heads=1, attention_bias=True, logit_scale=0.3), (3, 11, "right")),
        (dict(hidden_size=30, num_attention_heads=3, num_key_value_heads=3, num_hidden_layers=3, hidden_act="gelu"), (2, 9, "left")),
        (dict(num_attention_heads=6, tie_word_embeddings=False, rope_parameters=ROPE), (2, 1, None)),
    ]),
    "GlmForCausalLM": (dict(DECODER, pad_token_id=0, head_dim=8), [
        (dict(num_key_value_heads=1), (3, 11, "right")),
        (dict(attention_bias=False, head_dim=12, rope_parameters=dict(ROPE, partial_rotary_factor=1.0)), (2, 9, "left")),
        (dict(num_attention_heads=3, num_key_value_heads=3, num_hidden_layers=3, tie_word_embeddings=True,
              rope_parameters=dict(ROPE, partial_rotary_factor=0.25)), (2, 1, None)),
    ]),
    "SmolLM3ForCausalLM": (dict(DECODER, pad_token_id=0), [
        (dict(num_key_value_heads=1, num_hidden_layers=5, mlp_bias=True), (3, 11, "right")),
        (dict(no_rope_layers=[0, 1, 1], num_hidden_layers=3, attention_bias=True, tie_word_embeddings=True), (2, 9, "left")),
        (dict(no_rope_layer_interval=2, num_attention_heads=3, num_key_value_heads=3, hidden_size=30), (2, 1, None)),
    ]),
    "GPTNeoXForCausalLM": (dict(SMALL, max_position_embeddings=64), [
        (dict(rope_parameters=dict(ROPE, partial_rotary_factor=0.5), hidden_size=32), (3, 11, "right")),
        (dict(use_parallel_residual=False, attention_bias=False, rope_parameters=dict(ROPE, partial_rotary_factor=1.0)), (2, 9, "left")),
        (dict(hidden_size=30, num_attention_heads=3, num_hidden_layers=3, hidden_act="gelu_new", tie_word_embeddings=True,
              rope_parameters=dict(ROPE, partial_rotary_factor=0.4)), (2, 1, None)),
    ]),
    "Qwen3ForCausalLM": (DECODER, [
        (dict(num_key_value_heads=1, attention_bias=True, head_dim=10), (3, 11, "right")),
        (dict(tie_word_embeddings=True, use_sliding_window=True, sliding_window=2, max_window_layers=2, num_hidden_layers=3,
              head_dim=6), (2, 9, "left")),
        (dict(num_attention_heads=3, num_key_value_heads=3, head_dim=8), (2, 1, None)),
    ]),
    "GPT2LMHeadModel": (dict(vocab_size=61, n_embd=24, n_layer=2, n_head=4, n_positions=32), [
        (dict(n_inner=20, activation_function="relu"), (3, 11, "right")),
        (dict(n_embd=30, n_head=3, n_layer=3, layer_norm_epsilon=1e-3), (2, 9, "left")),
        (dict(n_head=1, activation_function="gelu"), (2, 1, None)),
    ]),
    "BloomForCausalLM": (dict(vocab_size=61, hidden_size=24, n_layer=2, n_head=4), [
        (dict(hidden_size=30, n_head=3), (3, 11, "right")),
        (dict(hidden_size=36, n_head=6, n_layer=3, layer_norm_epsilon=1e-3), (2, 9, "left")),
        (dict(n_head=1), (2, 1, None)),
    ]),
    "MixtralForCausalLM": (dict(DECODER, num_local_experts=4, num_experts_per_tok=2, rope_parameters=ROPE), [
        (dict(num_key_value_heads=1, num_experts_per_tok=1, output_router_logits=True), (3, 11, "right")),
        (dict(num_local_experts=5, num_experts_per_tok=3, head_dim=10, sliding_window=3), (2, 9, "left")),
        (dict(num_hidden_layers=3, num_local_experts=2, num_experts_per_tok=2), (2, 1, None)),
    ]),
    "BertModel": (ENCODER, [
        (dict(num_attention_heads=3, hidden_size=30, type_vocab_size=3), (3, 11, "right")),
        (dict(hidden_act="relu", num_hidden_layers=3), (2, 9, "left")),
        (dict(num_attention_heads=1, intermediate_size=7), (2, 1, None)),
    ]),
    "BertForMaskedLM": (ENCODER, [
        (dict(num_attention_heads=3, hidden_size=30, hidden_act="gelu_new"), (3, 11, "right")),
        (dict(num_hidden_layers=1, layer_norm_eps=1e-3), (2, 9, "left")),
        (dict(num_attention_heads=1), (2, 1, None)),
    ]),
    "BertForSequenceClassification": (ENCODER, [
        (dict(num_labels=5), (3, 11, "right")),
        (dict(num_labels=3, hidden_size=30, num_attention_heads=5), (2, 9, "left")),
        (dict(num_labels=2, num_attention_heads=1), (2, 1, None)),
        (dict(num_labels=1, problem_type="regression"), (3, 11, "right")),
        (dict(num_labels=3, problem_type="multi_label_classification", hidden_size=30, num_attention_heads=5), (2, 9, "left")),
        (dict(num_labels=4, problem_type="regression", num_attention_heads=1), (2, 1, None)),
        (dict(num_labels=2, problem_type="multi_label_classification", hidden_act="relu"), (3, 5, "right")),
    ]),
    "BertForQuestionAnswering": (ENCODER, [
        (dict(hidden_act="silu"), (3, 11, "right")),
        (dict(hidden_size=30, num_attention_heads=5), (2, 9, "left")),
        (dict(num_attention_heads=1), (2, 1, None)),
    ]),
    "RobertaForMaskedLM": (dict(ENCODER, type_vocab_size=1, pad_token_id=1), [
        (dict(num_attention_heads=3, hidden_size=30), (3, 11, "right")),
        (dict(num_hidden_layers=3, type_vocab_size=2, pad_token_id=3), (2, 9, "left")),
        (dict(num_attention_heads=1), (2, 1, None)),
    ]),
    "ElectraForPreTraining": (dict(ENCODER, embedding_size=14), [
        (dict(embedding_size=24, hidden_act="relu"), (3, 11, "right")),
        (dict(hidden_size=30, num_attention_heads=5, embedding_size=7), (2, 9, "left")),
        (dict(num_attention_heads=1), (2, 1, None)),
    ]),
    "T5ForConditionalGeneration": (SEQ2SEQ_T5, [
        (dict(num_heads=3, d_kv=5, feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=1), (3, 11, "right")),
        (dict(num_layers=3, num_decoder_layers=2, relative_attention_num_buckets=6, relative_attention_max_distance=9), (2, 19, "left")),
        (dict(num_heads=1, feed_forward_proj="gated-silu"), (2, 1, None)),
    ]),
    "MT5ForConditionalGeneration": (SEQ2SEQ_T5, [
        (dict(num_heads=3, d_kv=5, tie_word_embeddings=False), (3, 11, "right")),
        (dict(feed_forward_proj="relu", tie_word_embeddings=True), (2, 9, "left")),
        (dict(num_heads=1), (2, 1, None)),
    ]),
    "BartForConditionalGeneration": (SEQ2SEQ_BART, [
        (dict(encoder_layers=1, decoder_layers=3, decoder_attention_heads=2, scale_embedding=True), (3, 11, "right")),
        (dict(d_model=30, encoder_attention_heads=3, decoder_attention_heads=5, activation_function="relu"), (2, 9, "left")),
        (dict(encoder_attention_heads=1, decoder_attention_heads=1, decoder_ffn_dim=11), (2, 1, None)),
    ]),
    "SwitchTransformersForConditionalGeneration": (dict(SEQ2SEQ_T5, num_experts=3, expert_capacity=4, num_sparse_encoder_layers=1,
                                                        num_sparse_decoder_layers=1), [
        (dict(num_layers=5, num_sparse_encoder_layers=2, num_decoder_layers=3, num_sparse_decoder_layers=1), (3, 11, "right")),
        (dict(num_layers=2, num_sparse_encoder_layers=2, expert_capacity=2, num_heads=3), (2, 9, "left")),
        (dict(num_heads=1, num_experts=1), (2, 1, None)),
    ]),
    "MBartForConditionalGeneration": (SEQ2SEQ_BART, [
        (dict(encoder_layers=1, decoder_layers=3, scale_embedding=True), (3, 11, "right")),
        (dict(d_model=30, encoder_attention_heads=3, decoder_attention_heads=5), (2, 9, "left")),
        (dict(encoder_attention_heads=1, decoder_attention_heads=1), (2, 1, None)),
    ]),
    "PegasusForConditionalGeneration": (SEQ2SEQ_BART, [
        (dict(encoder_layers=1, decoder_layers=3, scale_embedding=True, activation_function="relu"), (3, 11, "right")),
        (dict(d_model=30, encoder_attention_heads=3, decoder_attention_heads=5), (2, 9, "left")),
        (dict(encoder_attention_heads=1, decoder_attention_heads=1), (2, 1, None)),
    ]),
    "MarianMTModel": (dict(SEQ2SEQ_BART, pad_token_id=60, decoder_start_token_id=60, eos_token_id=0, forced_eos_token_id=0), [
        (dict(encoder_layers=1, decoder_layers=3, scale_embedding=True, activation_function="swish"), (3, 11, "right")),
        (dict(d_model=30, encoder_attention_heads=3, decoder_attention_heads=5), (2, 9, "left")),
        (dict(encoder_attention_heads=1, decoder_attention_heads=1), (2, 1, None)),
    ]),
    "XLMRobertaForMaskedLM": (dict(ENCODER, type_vocab_size=1, pad_token_id=1), [
        (dict(num_attention_heads=3, hidden_size=30), (3, 11, "right")),
        (dict(num_hidden_layers=3), (2, 9, "left")),
        (dict(num_attention_heads=1), (2, 1, None)),
    ]),
    "OpenAIGPTLMHeadModel": (dict(vocab_size=61, n_embd=24, n_layer=2, n_head=4, n_positions=32), [
        (dict(afn="relu"), (3, 11, "right")),
        (dict(n_embd=30, n_head=3, n_layer=3, layer_norm_epsilon=1e-3), (2, 9, "left")),
        (dict(n_head=1, afn="swish"), (2, 1, None)),
    ]),
    "BertForTokenClassification": (ENCODER, [
        (dict(num_labels=5), (3, 11, "right")),
        (dict(num_labels=3, hidden_size=30, num_attention_heads=5), (2, 9, "left")),
        (dict(num_attention_heads=1), (2, 1, None)),
    ]),
    "BertForMultipleChoice": (ENCODER, [
        (dict(hidden_act="silu"), (3, 11, "right")),
        (dict(hidden_size=30, num_attention_heads=5), (2, 9, "left")),
        (dict(num_attention_heads=1), (2, 1, None)),
    ]),
    "BertForNextSentencePrediction": (ENCODER, [
        (dict(hidden_act="silu"), (3, 11, "right")),
        (dict(hidden_size=30, num_attention_heads=5), (2, 9, "left")),
        (dict(num_attention_heads=1), (2, 1, None)),
    ]),
    "OPTForCausalLM": (dict(vocab_size=61, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, ffn_dim=40, max_position_embeddings=32,
                            dropout=0.0), [
        (dict(word_embed_proj_dim=14, activation_function="gelu"), (3, 11, "right")),
        (dict(do_layer_norm_before=False, enable_bias=False), (2, 9, "left")),
        (dict(num_attention_heads=1, num_hidden_layers=3), (2, 1, None)),
    ]),
    "PhiForCausalLM": (dict(DECODER, partial_rotary_factor=0.5), [
        (dict(num_key_value_heads=1, hidden_size=32), (3, 11, "right")),
        (dict(hidden_size=30, num_attention_heads=3, num_key_value_heads=3, rope_parameters=dict(ROPE, partial_rotary_factor=0.4)), (2, 9, "left")),
        (dict(hidden_size=32, hidden_act="relu"), (2, 1, None)),
    ]),
    "Gemma2ForCausalLM": (dict(DECODER, head_dim=8, tie_word_embeddings=True, query_pre_attn_scalar=8, sliding_window=3), [
        (dict(num_key_value_heads=1, num_hidden_layers=3), (3, 11, "right")),
        (dict(head_dim=10, query_pre_attn_scalar=5, attn_logit_softcapping=None, final_logit_softcapping=None), (2, 9, "left")),
        (dict(attn_logit_softcapping=2.0, final_logit_softcapping=3.0, num_hidden_layers=4), (2, 6, None)),
    ]),
    "Olmo2ForCausalLM": (DECODER, [
        (dict(num_key_value_heads=1), (3, 11, "right")),
        (dict(hidden_size=30, num_attention_heads=3, num_key_value_heads=3, attention_bias=True, tie_word_embeddings=True), (2, 9, "left")),
        (dict(num_hidden_layers=3, rms_norm_eps=1e-3), (2, 1, None)),
    ]),
    "DistilBertForMaskedLM": (dict(vocab_size=61, dim=24, n_layers=2, n_heads=4, hidden_dim=40, max_position_embeddings=32), [
        (dict(dim=30, n_heads=3, activation="relu"), (3, 11, "right")),
        (dict(n_layers=3), (2, 9, "left")),
        (dict(n_heads=1), (2, 1, None)),
    ]),
    "AlbertForMaskedLM": (dict(ENCODER, embedding_size=14), [
        (dict(num_attention_heads=3, hidden_size=30), (3, 11, "right")),
        (dict(num_hidden_layers=4, hidden_act="gelu"), (2, 9, "left")),
        (dict(num_attention_heads=1, num_hidden_layers=1), (2, 1, None)),
    ]),
    "DeepseekV3ForCausalLM": (DEEPSEEK, [
        (dict(num_hidden_layers=3, routed_scaling_factor=1.7), (3, 11, "right")),
        (dict(q_lora_rank=None, attention_bias=True, norm_topk_prob=False, n_routed_experts=8, n_group=4, topk_group=2, n_shared_experts=2,
              num_experts_per_tok=3, first_k_dense_replace=0, rope_interleave=False, tie_word_embeddings=True), (2, 9, "left")),
        (dict(num_attention_heads=1, num_key_value_heads=1, first_k_dense_replace=2, n_group=1, topk_group=1), (2, 1, None)),
        (dict(rope_parameters=YARN), (2, 7, None)),
    ]),
    "DeepseekV2ForCausalLM": (dict(DEEPSEEK, n_group=None, topk_group=None), [
        (dict(num_hidden_layers=3, routed_scaling_factor=1.7), (3, 11, "right")),
        (dict(q_lora_rank=None, attention_bias=True, mlp_bias=False, topk_method="group_limited_greedy", n_routed_experts=8, n_group=4,
              topk_group=2, n_shared_experts=2, num_experts_per_tok=3, first_k_dense_replace=0, tie_word_embeddings=True), (2, 9, "left")),
        (dict(num_attention_heads=1, num_key_value_heads=1, first_k_dense_replace=2), (2, 1, None)),
    ]),
    "XLMWithLMHeadModel": (dict(vocab_size=61, emb_dim=24, n_layers=2, n_heads=4, max_position_embeddings=32), [
        (dict(n_langs=3, emb_dim=30, n_heads=3), (3, 11, "right")),
        (dict(gelu_activation=False, sinusoidal_embeddings=True, n_langs=3, use_lang_emb=False, layer_norm_eps=1e-3), (2, 9, "left")),
        (dict(causal=True, n_layers=3), (3, 10, "right")),
        (dict(n_heads=1), (2, 1, None)),
    ]),
    "RwkvForCausalLM": (dict(vocab_size=61, hidden_size=24, num_hidden_layers=2, context_length=32), [
        (dict(num_hidden_layers=5, rescale_every=2, layer_norm_epsilon=1e-2), (3, 11, "right")),
        (dict(attention_hidden_size=14, intermediate_size=33, use_cache=False, rescale_every=0, tie_word_embeddings=True), (2, 9, None)),
        (dict(num_hidden_layers=3, rescale_every=1, use_cache=False), (2, 1, None)),
    ]),
    "LlamaForSequenceClassification": (dict(DECODER, pad_token_id=2), [
        (dict(num_labels=1, num_key_value_heads=1), (3, 11, "right")),
        (dict(num_labels=5, hidden_size=30, num_attention_heads=3, num_key_value_heads=3), (3, 9, "left")),
        (dict(num_labels=3, problem_type="single_label_classification", num_hidden_layers=1), (2, 1, None)),
        (dict(num_labels=1, pad_token_id=None), (1, 7, None)),
        (dict(num_labels=3, problem_type="multi_label_classification", tie_word_embeddings=True), (3, 6, "right")),
    ]),
}


def randomise(model, generator):
    """Every parameter: norms about 1, biases about 0, tables 0.5, matrices by their width."""
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        n = torch.randn(p.shape, generator=generator, dtype=torch.float32)
        if p.ndim < 2:
            scale = 1 + 0.25 * n if "norm" in name.lower() and name.endswith("weight") else 0.3 * n
        elif "embed" in name or "wte" in name or "wpe" in name or "shared" in name:
            scale = 0.5 * n
        else:
            scale = n / p.shape[-1] ** 0.5
        with torch.no_grad():
            p.copy_(scale)
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
    if "final_logits_bias" in dict(model.named_buffers()):
        model.final_logits_bias.copy_(0.3 * torch.randn(model.final_logits_bias.shape, generator=generator))


def name_of(architecture):
    """`BertForMaskedLM`: `bert_for_masked_lm`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", architecture).lower()


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


def given(architecture, config, rows, length, side, draw):
    """The inputs that an architecture takes, with labels."""
    words = lambda time: draw.integers(5, config.vocab_size, (rows, time))
    present = mask(rows, length, side, draw)
    inputs = dict(input_ids=words(length), attention_mask=present)
    if config.is_encoder_decoder:
        time = max(1, length - 3)
        labels = words(time)
        labels[-1, time // 2 + 1:] = -100
        inputs |= dict(decoder_input_ids=words(time), labels=labels)
    elif architecture.endswith(("CausalLM", "LMHeadModel")):
        # The first place of a text is predicted by nothing that has a meaning.
        counts = present * (np.cumsum(present, axis=1) > 1)
        inputs |= dict(labels=np.where(counts == 1, words(length), -100))
    elif architecture.endswith("MaskedLM"):
        inputs |= dict(labels=np.where(draw.random((rows, length)) < 0.5, words(length), -100))
        inputs["labels"][0, 0] = 7
    elif architecture.endswith("SequenceClassification"):
        kind = config.problem_type or ("regression" if config.num_labels == 1 else "single_label_classification")
        if kind == "regression":
            inputs |= dict(labels=draw.standard_normal((rows, config.num_labels)))
        elif kind == "multi_label_classification":
            inputs |= dict(labels=draw.integers(0, 2, (rows, config.num_labels)).astype(float))
        else:
            inputs |= dict(labels=draw.integers(0, config.num_labels, rows))
        if config.pad_token_id is not None and config.model_type == "llama":
            inputs["input_ids"] = np.where(present == 1, inputs["input_ids"], config.pad_token_id)
    elif architecture.endswith("TokenClassification"):
        inputs |= dict(labels=np.where(present == 1, draw.integers(0, config.num_labels, (rows, length)), -100))
    elif architecture.endswith("NextSentencePrediction"):
        inputs |= dict(labels=draw.integers(0, 2, rows))
    elif architecture.endswith("MultipleChoice"):
        endings = np.stack([inputs["input_ids"], words(length), words(length)], axis=1)
        inputs = dict(input_ids=endings, attention_mask=np.stack([present] * 3, axis=1), labels=draw.integers(0, 3, rows),
                      token_type_ids=draw.integers(0, config.type_vocab_size, endings.shape))
        return {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}
    elif architecture.endswith("QuestionAnswering"):
        inputs |= dict(start_positions=draw.integers(0, length, rows), end_positions=draw.integers(0, length, rows))
    elif architecture == "ElectraForPreTraining":
        inputs |= dict(labels=draw.integers(0, 2, (rows, length)))
    if "bert" in config.model_type and "distil" not in config.model_type or config.model_type == "electra":
        inputs |= dict(token_type_ids=draw.integers(0, config.type_vocab_size, (rows, length)))
    if config.model_type == "xlm" and config.n_langs > 1:
        inputs |= dict(langs=draw.integers(0, config.n_langs, (rows, length)))
    if "roberta" in config.model_type:
        inputs["input_ids"] = np.where(present == 1, inputs["input_ids"], config.pad_token_id)
    return {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}


def make(architecture, number, config, shape):
    seed = sum(map(ord, architecture)) * 10 + number
    torch.manual_seed(seed)
    cls = getattr(transformers, architecture)
    config = cls.config_class(**config)
    config.architectures = [architecture]
    config._attn_implementation = config._experts_implementation = "eager"
    model = cls(config).eval()
    randomise(model, torch.Generator().manual_seed(seed))
    draw = np.random.default_rng(seed + 1)
    rows, length, side = shape
    inputs = given(architecture, config, rows, length, side, draw)
    present = inputs["attention_mask"]
    folder = OUT / f"{name_of(architecture)}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = model.double()
    kept = {}
    base = getattr(model, model.base_model_prefix, model)
    if not config.is_encoder_decoder:
        base.register_forward_hook(lambda _, __, out: kept.update(last_hidden_state=out[0]))
        if hasattr(base, "decoder"):
            base.decoder.register_forward_hook(lambda _, __, out: kept.update(last_hidden_state=out[0]))
    elif hasattr(model, "decoder"):
        model.decoder.register_forward_hook(lambda _, __, out: kept.update(last_hidden_state=out[0]))
    else:
        base.register_forward_hook(lambda _, __, out: kept.update(last_hidden_state=out[0]))
    with torch.no_grad(), doubles():
        out = model(**inputs)
    names = ("logits", "loss", "pooler_output", "prediction_logits", "seq_relationship_logits", "start_logits", "end_logits",
             "encoder_last_hidden_state", "aux_loss")
    expected = {name: out[name] for name in names if out.get(name) is not None} | kept
    if architecture.endswith("MultipleChoice") or architecture == "LlamaForSequenceClassification" and side == "left":
        del expected["last_hidden_state"]
    # A place that sees padding alone has a result without meaning: the first places of a decoder, or those whose window is behind
    # the text.
    causal = architecture.endswith(("CausalLM", "LMHeadModel"))
    blind = causal and (side == "left" or side is not None and getattr(config, "sliding_window", None) is not None)
    if blind:
        for name in ("logits", "last_hidden_state"):
            expected[name] = expected[name] * present[..., None]
    if "loss" in expected and not bool(torch.isfinite(expected["loss"])):
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
