"""What Weft's time is made of: its kernels beside the roofline, and what each set of rewrite rules is worth."""
import json
import re
import subprocess

from .interval import interval, summary
from .machine import digest, machine
from .result import begun, write
from .weft import arguments, files, source
from .workloads import WORKLOADS

# How long the runs of a profile take together, and at least how many they are.
SECONDS, RUNS = 5, 3
# Kernels that are written down.
MOST = 10


def asked(command):
    """What a command of Weft prints."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(str(part) for part in command)}: {done.stderr.strip()}")
    return done.stdout


def profile(options, workload, folder, runs):
    """The median of so many runs, in milliseconds, and what was measured of their kernels."""
    command = [options.weft, "bench", *source(workload), *arguments(workload, folder), "--repeat", runs]
    said = asked([*command, "--quiet", f"--profile={folder / 'profile'}"])
    return float(re.search(r"median ([\d.]+) ms", said)[1]), json.loads((folder / "profile/kernels.json").read_text())


def kernels(options, workload, folder):
    """A workload's most expensive launches; times are those of one run: its median, and means of kernels."""
    runs = max(RUNS, round(SECONDS * 1e3 / profile(options, workload, folder, 1)[0]))
    ms, found = profile(options, workload, folder, runs)
    of_run = lambda key: 1e3 * sum(kernel[key] for kernel in found["kernels"]) / runs
    all_ms, least_ms = of_run("seconds"), of_run("least_seconds")
    row = lambda kernel: {
        "kernel": kernel["kernel"],
        "parameters": kernel["parameters"],
        "calls": kernel["calls"] / runs,
        "ms": round(1e3 * kernel["seconds"] / runs, 4),
        "share_of_time": round(1e3 * kernel["seconds"] / runs / all_ms, 4),
        "gflop_s": round(kernel["operations"] / kernel["seconds"] / 1e9, 1),
        "gb_s": round(kernel["bytes"] / kernel["seconds"] / 1e9, 1),
        "share_of_roofline": round(kernel["least_seconds"] / kernel["seconds"], 4),
    }
    return {
        "threads": found["threads"],
        "runs": runs,
        "gflop_s": round(found["operations_per_second"] / 1e9, 1),
        "gb_s": round(found["bytes_per_second"] / 1e9, 1),
        "ms": ms,
        "kernels_ms": round(all_ms, 4),
        "least_ms": round(least_ms, 4),
        "share_of_roofline": round(least_ms / all_ms, 4),
        "launches": len(found["kernels"]),
        "most_expensive": [row(kernel) for kernel in found["kernels"][:MOST]],
    }


def ablation(options, workload, folder):
    """What leaving out each set of rewrite rules changes: the median of the ratios without ÷ with, its interval, and the rules that fire."""
    command = [options.weft, "explain", "--rewrites", *source(workload), "--program", workload.program]
    said = asked([*command, "--measure", *files(workload, folder), "--pairs", options.pairs, "--json"])
    rows = [row for row in map(json.loads, said.splitlines()) if "without" in row]
    sets = {}
    for row in rows:
        sets[row["without"]] = {"rules": row["rules"], "same_code": not row["ratios"]}
        if row["ratios"]:
            sets[row["without"]] |= {"ms": summary(row["ms"]), "ratio": summary(row["ratios"], 4)}
            sets[row["without"]]["interval"] = [round(value, 4) for value in interval(row["ratios"])]
    return {"threads": workload.threads, "pairs": options.pairs, "without": sets}


def of_kernels(name, row):
    """A workload's kernels as lines."""
    yield (
        f"{name}: median {row['ms']:.2f} ms; {row['launches']} launches take {row['kernels_ms']:.2f} ms, at the roofline {row['least_ms']:.2f} ms "
        f"({100 * row['share_of_roofline']:.0f} %; {row['gflop_s']:.0f} GFLOP/s, {row['gb_s']:.1f} GB/s, {row['threads']} threads)"
    )
    yield f"{'ms':>10} {'share':>6} {'calls':>6} {'GFLOP/s':>8} {'GB/s':>6} {'roof':>6}  kernel"
    for kernel in row["most_expensive"]:
        yield (
            f"{kernel['ms']:>10.3f} {100 * kernel['share_of_time']:>4.1f} % {kernel['calls']:>6g} {kernel['gflop_s']:>8.1f} {kernel['gb_s']:>6.1f} "
            f"{100 * kernel['share_of_roofline']:>4.0f} %  {kernel['kernel']:<24} {kernel['parameters']}"
        )


def of_ablation(name, row):
    """A workload's sets of rules as lines."""
    yield f"{name} ({row['pairs']} pairs): without"
    for without, found in row["without"].items():
        changed = "the same code"
        if not found["same_code"]:
            median, low, high = (100 * (ratio - 1) for ratio in (found["ratio"]["median"], *found["interval"]))
            changed = f"{median:+.1f} % ({low:+.1f} … {high:+.1f}) of {found['ms']['median']:.2f} ms"
        yield f"  {without:<14}{changed:<38}{', '.join(found['rules'])}"


REPORTS = {
    "kernels": ("instead: the most expensive kernels of each workload, and what share of the roofline they reach", kernels, of_kernels),
    "ablation": ("instead: what each set of rewrite rules is worth, in so many --pairs", ablation, of_ablation),
}


def report(name, options):
    """Measures what is missing, writes NAME.json, prints it."""
    _, measure, lines = REPORTS[name]
    file = options.out / f"{name}.json"
    result = begun(file, {"weft": digest(options.weft), "machine": machine()}, False)
    workloads = result.setdefault("workloads", {})
    for workload in options.workload or WORKLOADS:
        done = workloads.get(workload)
        if options.again or done is None or done.get("pairs", options.pairs) < options.pairs:
            folder = options.folder / workload
            WORKLOADS[workload].prepare(folder)
            done = workloads[workload] = measure(options, WORKLOADS[workload], folder)
            write(file, result)
        print("\n".join(lines(workload, done)), flush=True)
