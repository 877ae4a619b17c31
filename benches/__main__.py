"""`python -m benches`: measures Weft beside every peer that is installed, writes benches/results/WORKLOAD.json, prints a table.

What was measured before with the same commit, machine and versions is kept: a run that was stopped goes on where it was.
With --kernels or --ablation it measures Weft alone, and writes benches/results/kernels.json or ablation.json.
"""
import argparse
import sys
from pathlib import Path

from .measure import Measure
from .peers import PACKAGES
from .reports import REPORTS, report
from .table import table
from .workloads import ROOT, WORKLOADS


def main():
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="only this one; may be given several times")
    parser.add_argument("--peers", action="append", choices=PACKAGES, help="only this one; may be given several times")
    parser.add_argument("--pairs", type=int, default=24, help="how often the two take turns")
    parser.add_argument("--least", type=float, default=200, metavar="MS", help="a turn of what is faster takes several runs")
    for name, (what, *_) in REPORTS.items():
        parser.add_argument(f"--{name}", dest="reports", action="append_const", const=name, help=what)
    parser.add_argument("--again", action="store_true", help="measure what was measured before")
    parser.add_argument("--weft", type=Path, default=ROOT / "target/release/weft")
    parser.add_argument("--out", type=Path, default=ROOT / "benches/results")
    parser.add_argument("--folder", type=Path, default=ROOT / "target/bench", help="for weights and what peers make of them")
    options = parser.parse_args()
    # Processes are started in other folders.
    for name in ("weft", "out", "folder"):
        setattr(options, name, getattr(options, name).resolve())
    if options.reports:
        for name in options.reports:
            report(name, options)
        return 0
    results = [Measure(name, options).run() for name in options.workload or WORKLOADS]
    print(table(results))
    rows = [row for result in results for row in result["peers"].values()]
    return 0 if all(row.get("agrees") for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
