"""The process of a peer: `python -m benches.peers PEER WORKLOAD FOLDER [--prepare]`."""
import importlib
import os
import sys
import time
from pathlib import Path

# Read by libraries when they are imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if os.environ.get("BENCH_THREADS") == "1":
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.sched_setaffinity(0, list(os.sched_getaffinity(0))[-1:])

import numpy as np
from safetensors.numpy import save_file

from ..workloads import WORKLOADS
from . import Case

MODULES = {
    "eager": "pytorch",
    "compile": "pytorch",
    "jax": "jax_models",
    "onnxruntime": "onnx_runtime",
    "openvino": "open_vino",
    "llama": "llama_cpp",
}


def main():
    peer, name, folder, *rest = sys.argv[1:]
    workload = WORKLOADS[name]
    module = importlib.import_module(f".{MODULES[peer]}", __package__)
    case = Case(Path(folder), workload.sizes, workload.threads, rest == ["--prepare"])
    if peer == "compile":
        module.compile_models()
    run = getattr(module, workload.kind)(case)
    if case.prepare:
        return
    # Libraries print what they like; answers are ours.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        word, _, argument = line.rstrip("\n").partition(" ")
        times = []
        for _ in range(int(argument) if word == "go" else 1):
            start = time.perf_counter()
            outputs = run()
            times.append((time.perf_counter() - start) * 1e3)
        if word == "save":
            save_file({name: array(value) for name, value in outputs.items()}, argument)
        print(*(f"{ms:.4f}" for ms in times), file=answers, flush=True)


def array(value):
    """A value of any system."""
    value = value.detach() if hasattr(value, "detach") else value
    return np.ascontiguousarray(np.asarray(value))


if __name__ == "__main__":
    main()
