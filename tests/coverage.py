"""Writes `docs/coverage.md`: `python tests/coverage.py target/release/weft > docs/coverage.md`, with numpy and safetensors.

Imports every reference case of a forward pass and computes it, unoptimised and optimised. The tests check the same against each case's
tolerance; this says how near it is.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

REFERENCES = Path(__file__).parent / "references"

HEAD = """# What is covered

Each row is a model of the library that `weft import` makes of transformers' files. The numbers are the largest |found − expected| ÷
(1 + |expected|) over all outputs of a case, in float32, against transformers in float64; the tolerance of each case is 1e-4 of both. The
cases lie in `tests/references`, three of random sizes for each architecture (odd widths, one head of keys, one token, padding on
either side, optional parts there and not), made by `tests/make_references.py`. What transformers does not have is held against PyTorch
modules written from the papers' equations (`tests/papers`, by `tests/make_paper_references.py`). `tests/coverage.py` wrote this page.

| architecture | text | cases | unoptimised | optimised |
| --- | --- | --- | --- | --- |"""


def error(folder, found):
    about = json.loads((folder / "case.json").read_text())
    expected = load_file(folder / "expected.safetensors")
    worst = 0.0
    for name in about["outputs"]:
        a, b = found[name].astype(float), expected[name].astype(float)
        if about.get("present") and a.ndim > 1:
            there = load_file(folder / "inputs.safetensors")["attention_mask"].astype(bool)
            a, b = a[there], b[there]
        with np.errstate(invalid="ignore"):
            off = np.where(a == b, 0, np.abs(a - b) / (1 + np.abs(b)))
        worst = max(worst, float(np.max(off, initial=0)))
    return worst


def main(weft):
    rows, cases = {}, []
    with tempfile.TemporaryDirectory() as place:
        spec, out = Path(place) / "model.weft", Path(place) / "out.safetensors"
        for config in sorted(REFERENCES.glob("**/config.json")):
            folder = config.parent
            if json.loads((folder / "case.json").read_text())["kind"] != "forward":
                continue
            subprocess.run([weft, "import", folder, "-o", spec], check=True, capture_output=True)
            uses = [line.split() for line in spec.read_text().splitlines() if line.startswith("use ")]
            made = spec.read_text().split("model Imported = ")[1].split("(")[0]
            module = next(words[1].rstrip(":") for words in uses if made in [word.rstrip(",") for word in words])
            errors = []
            for options in (["--no-optimise"], []):
                inputs = folder / "inputs.safetensors"
                run = [weft, "run", spec, "--inputs", inputs, "--output", out, "--quiet", *options]
                subprocess.run(run, check=True, capture_output=True)
                errors.append(error(folder, load_file(out)))
            architecture = json.loads(config.read_text())["architectures"][0]
            rows.setdefault((architecture, module), []).append(errors)
            cases.append((folder.relative_to(REFERENCES), errors))
    print(HEAD)
    for (architecture, module), errors in sorted(rows.items()):
        plain, fast = (max(column) for column in zip(*errors))
        file = module.removeprefix("std.")
        print(f"| {architecture} | [{module}](../stdlib/{file}.weft) | {len(errors)} | {plain:.1e} | {fast:.1e} |")
    print("\n| case | unoptimised | optimised |\n| --- | --- | --- |")
    for case, (plain, fast) in cases:
        print(f"| {case} | {plain:.1e} | {fast:.1e} |")


main(sys.argv[1])
