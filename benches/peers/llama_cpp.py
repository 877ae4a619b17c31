"""llama.cpp."""
import gguf
import llama_cpp
import numpy as np

from ..weights import GPT2

# Weft's, and transformers', names of a layer's parts -> llama.cpp's.
PARTS = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def write(weights, file):
    """GPT-2 small in llama.cpp's format, float32."""
    weights = {name.removeprefix("transformer."): value for name, value in weights.items()}
    out = gguf.GGUFWriter(file, "gpt2")
    out.add_block_count(GPT2["layers"])
    out.add_context_length(GPT2["context"])
    out.add_embedding_length(GPT2["width"])
    out.add_feed_forward_length(4 * GPT2["width"])
    out.add_head_count(GPT2["heads"])
    out.add_layer_norm_eps(1e-5)
    out.add_vocab_size(GPT2["vocabulary"])
    out.add_tokenizer_model("none")
    names = {"token_embd": "wte", "position_embd": "wpe", "output_norm": "ln_f"}
    names |= {f"blk.{layer}.{to}": f"h.{layer}.{of}" for layer in range(GPT2["layers"]) for of, to in PARTS.items()}
    for to, of in names.items():
        weight = weights[f"{of}.weight"]
        # Matrices are [output, input] here.
        out.add_tensor(f"{to}.weight", np.ascontiguousarray(weight.T if of.startswith("h.") else weight))
        if f"{of}.bias" in weights:
            out.add_tensor(f"{to}.bias", weights[f"{of}.bias"])
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


# Kept, so that it is not freed while the library may call it.
SILENCE = llama_cpp.llama_log_callback(lambda level, text, data: None)


def decode(case):
    file = case.folder / "model.gguf"
    if not file.exists():
        write(case.weights(), file)
    if case.prepare:
        return None
    llama_cpp.llama_log_set(SILENCE, None)
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(file).encode(), llama_cpp.llama_model_default_params())
    assert model, "llama.cpp did not load the model"
    options = llama_cpp.llama_context_default_params()
    options.n_ctx, options.n_batch = 256, 64
    options.n_threads = options.n_threads_batch = case.threads
    context = llama_cpp.llama_init_from_model(model, options)
    assert context, "llama.cpp did not make a context"
    ids, count = case.inputs()["ids"][0].tolist(), case.sizes["tokens"]

    def following(tokens):
        # The batch points to it.
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        status = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(tokens)))
        assert status == 0, f"llama.cpp did not decode: {status}"
        logits = llama_cpp.llama_get_logits_ith(context, -1)
        return int(np.ctypeslib.as_array(logits, (GPT2["vocabulary"],)).argmax())

    def run():
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        added = [following(ids)]
        for _ in range(count - 1):
            added.append(following(added[-1:]))
        return {"sequences": np.array([ids + added])}

    return run
