"""Weft's side of a workload."""
import re
import subprocess
import time

from .side import Side


def files(workload, folder):
    """What a program of a workload reads, and how many threads it has."""
    given = ["--inputs", folder / "inputs.safetensors", "--weights", folder / "weights.safetensors"]
    return [*given, "--threads", workload.threads]


def arguments(workload, folder):
    """What `bench` is told of a workload, whether an executable or `weft` runs it."""
    tokens = ["--tokens", workload.sizes["tokens"]] if "tokens" in workload.sizes else []
    return [workload.program, *files(workload, folder), *tokens]


def source(workload):
    """The specification and what is compiled of it."""
    return [workload.spec, "--item", workload.item, *(part for setting in workload.settings for part in ("--set", setting))]


class Weft:
    """A workload compiled."""

    def __init__(self, weft, workload, folder):
        self.weft, self.workload, self.folder, self.exe = weft, workload, folder, folder / "exe"
        self.build_s = None
        if workload.program != "gradients":
            start = time.perf_counter()
            subprocess.run([weft, "build", *source(workload), "-o", self.exe], check=True, stdout=subprocess.DEVNULL)
            self.build_s = round(time.perf_counter() - start, 2)

    def side(self):
        """The process that is timed: the executable, where there is one with the program."""
        if self.build_s is None:
            return self.compiling()
        return self.start([self.exe, "bench"])

    def compiling(self):
        """A process that compiles first: what a user waits for who changes the specification."""
        return self.start([self.weft, "bench", "--timings", *source(self.workload)])

    def start(self, command):
        command = [*command, *arguments(self.workload, self.folder), "--on-request"]
        return Side(command, self.workload.threads, self.folder / "weft.log")

    def cold(self):
        """Seconds from the start of `weft` to the first result, and what of them is compiling, and of that rewriting."""
        with self.compiling() as side:
            side.save(self.folder / "outputs.safetensors")
            seconds = time.perf_counter() - side.started
        said = re.search(r"^compiled in ([\d.]+) ms, of which rewriting ([\d.]+) %", open(self.folder / "weft.log").read(), re.M)
        compile_s, share = (float(said[1]) / 1e3, float(said[2]) / 100) if said else (None, None)
        return {"build_s": self.build_s, "start_s": round(seconds, 3), "compile_s": compile_s, "rewriting": share}
