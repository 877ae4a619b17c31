"""A side: a process that computes when it is asked.

It reads lines and answers each with one: `go N` with the milliseconds of N runs, `save FILE` with those of one run whose outputs go
into the file (safetensors), Weft's also `ceilings` with what the machine can do. In between it waits for a line.
"""
import json
import os
import subprocess
import time

import numpy as np
from safetensors.numpy import load_file

TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """The process ended before it answered."""


class Side:
    """A running side."""

    def __init__(self, command, threads, log, **environment):
        self.log, self.started, self.at_once = log, time.perf_counter(), 1
        count = str(threads)
        env = {**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "BENCH_THREADS": count, **environment}
        with open(log, "w") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=env
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, line):
        """The answer to a line."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            said = open(self.log, errors="replace").read().strip().splitlines()
            raise Failed(said[-1] if said else "it ended without a word")
        return answer

    def save(self, file):
        """Milliseconds and outputs of one run."""
        ms = float(self.ask(f"save {file}"))
        return ms, {name: np.asarray(value, np.float64) for name, value in load_file(file).items()}

    def go(self):
        """Mean milliseconds of a turn."""
        return float(np.mean([float(ms) for ms in self.ask(f"go {self.at_once}").split()]))

    def warm(self, folder, least_ms):
        """Outputs of the first three runs, and the seconds from the start to the first; a turn then takes at least so long."""
        outputs, times = [], []
        for _ in range(3):
            ms, found = self.save(folder / "outputs.safetensors")
            since = time.perf_counter() - self.started
            outputs.append(found)
            times.append((ms, round(since, 3)))
        self.at_once = max(1, round(least_ms / min(ms for ms, _ in times)))
        return outputs, times[0][1]

    def ceilings(self):
        """Operations and bytes a second that the machine can do, and the bytes of the parameters."""
        return json.loads(self.ask("ceilings"))

    def seconds(self):
        """Seconds of processors that it has used."""
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self):
        """The most megabytes that it has held."""
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
