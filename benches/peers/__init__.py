"""Other systems. A module has a function for each kind of workload that its system computes: it gets a [`Case`] and gives a function
that runs once and returns outputs by name; what is to be made before the process is timed is made where `case.prepare` is set."""
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file

# Peer -> packages whose versions are recorded; without one of them the peer is left out.
PACKAGES = {
    "eager": ("torch", "transformers"),
    "compile": ("torch", "transformers"),
    "jax": ("jax",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "torch"),
    "llama": ("llama_cpp_python", "gguf"),
}


@dataclass(frozen=True)
class Case:
    """A workload as a peer sees it."""

    folder: Path
    sizes: dict
    threads: int
    # Only make files.
    prepare: bool

    def weights(self):
        """Names to arrays."""
        return load_file(self.folder / "weights.safetensors")

    def inputs(self):
        """Names to arrays."""
        return load_file(self.folder / "inputs.safetensors")
