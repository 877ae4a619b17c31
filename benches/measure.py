"""A workload from its weights to its result, one file of JSON, which holds what is done so far."""
import subprocess
import sys
import time

from .interval import summary
from .machine import digest, machine, versions
from .pairs import difference, pairs
from .peers import PACKAGES
from .result import begun, write
from .side import Failed, Side
from .weft import Weft
from .workloads import ROOT, WORKLOADS

# How often Weft takes turns with what the machine can do, and seconds between.
ROUNDS, SETTLE = 10, 5


class Measure:
    """One workload, to be measured against peers."""

    def __init__(self, name, options):
        self.name, self.workload, self.options = name, WORKLOADS[name], options
        self.file = options.out / f"{name}.json"
        self.folder = options.folder / name
        now = {"workload": name, "weft": digest(options.weft), "threads": self.workload.threads, "machine": machine()}
        self.result = begun(self.file, now, options.again)
        self.result.setdefault("peers", {})

    def missing(self):
        """Peers to be measured: those that are asked for and installed, and were not measured with these versions and so many pairs."""
        for peer in self.workload.peers:
            if self.options.peers and peer not in self.options.peers:
                continue
            found, done = versions(PACKAGES[peer]), self.result["peers"].get(peer, {})
            if found is None:
                print(f"{self.name}: {peer} is not installed ({', '.join(PACKAGES[peer])}): left out", flush=True)
            elif done.get("versions") != found or done.get("pairs", 0) < self.options.pairs:
                yield peer, found

    def run(self):
        """Measures what is missing; gives the result."""
        wanted = list(self.missing())
        if not wanted and "ours" in self.result:
            return self.result
        self.workload.prepare(self.folder)
        weft = Weft(self.options.weft, self.workload, self.folder)
        ours = weft.cold()
        with weft.side() as side:
            outputs, ours["first_s"] = side.warm(self.folder, self.options.least)
            ours["memory_mb"] = round(side.memory())
            for peer, found in wanted:
                try:
                    row = self.pair(side, outputs, peer)
                except Failed as error:
                    row = {"failed": str(error)}
                self.result["peers"][peer] = {**row, "versions": found}
                print(f"{self.name}: {peer}: {row.get('failed') or row['interval']}", flush=True)
                write(self.file, self.result)
            self.result["ours"] = ours | self.reached(side)
        write(self.file, self.result)
        return self.result

    def pair(self, side, outputs, peer):
        """A peer beside Weft."""
        command = [sys.executable, "-m", "benches.peers", peer, self.name, self.folder]
        log = self.folder / f"{peer}.log"
        # What a peer makes of the weights before it starts is not timed.
        with open(log, "w") as said:
            subprocess.run([*command, "--prepare"], cwd=ROOT, check=False, stdout=said, stderr=said)
        cache = self.folder / "cache"
        subprocess.run(["rm", "-rf", cache], check=True)
        environment = {"TORCHINDUCTOR_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
        with Side(command, self.workload.threads, log, **environment) as theirs:
            found, first = theirs.warm(self.folder, self.options.least)
            row = {"difference": difference(outputs, found), "start_s": first}
            row |= pairs(side, theirs, self.options.pairs)
            row["memory_mb"] = round(theirs.memory())
        row["agrees"] = row["difference"] <= self.workload.tolerance
        return row

    def reached(self, side):
        """Weft's times, in turns with what the machine can do at that moment, and the share of that which they are."""
        done = {
            "operations": lambda most: self.workload.operations / (times[-1] / 1e3),
            # Each token behind the first reads all parameters.
            "bandwidth": lambda most: most["parameters"] / (most["token"] / 1e3) if self.workload.reads else 0,
        }
        times, shares, ceilings = [], {key: [] for key in done}, {key: [] for key in done}
        for _ in range(min(self.options.pairs, ROUNDS)):
            # What is measured of the machine gives back a gigabyte, which the system takes away seconds later, while others run.
            settled = time.monotonic() + SETTLE
            while time.monotonic() < settled:
                side.go()
            times.append(side.go())
            most = side.ceilings()
            for key, of in done.items():
                shares[key].append(of(most) / most[key])
                ceilings[key].append(most[key] / 1e9)
        found = {f"share_of_{key}": summary(values, 4) for key, values in shares.items() if any(values)}
        return {"ms": summary(times), **{f"{key}_g": summary(values, 1) for key, values in ceilings.items()}, **found}
