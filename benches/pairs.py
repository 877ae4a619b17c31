"""Two sides in turns."""
import time

from .interval import interval, summary

# Threads that wait for more work in a loop have gone to sleep by then.
SETTLED = 0.05


def pairs(ours, theirs, count):
    """So many pairs: who begins changes. Times of both, and the ratio theirs ÷ ours with the interval of its median."""
    rows, idle, spent = [], 0.0, 0.0
    for number in range(count):
        turn = {}
        for side, other in [(ours, theirs), (theirs, ours)][:: -1 if number % 2 else 1]:
            time.sleep(SETTLED)
            before, start = other.seconds(), time.perf_counter()
            turn[side] = side.go()
            idle += other.seconds() - before
            spent += time.perf_counter() - start
        rows.append((turn[ours], turn[theirs]))
    ratios = [t / o for o, t in rows]
    return {
        "ms": summary([t for _, t in rows]),
        "weft_ms": summary([o for o, _ in rows]),
        "ratio": summary(ratios, 3),
        "interval": [round(value, 3) for value in interval(ratios)],
        "pairs": count,
        "at_once": theirs.at_once,
        # Of a core: what the side that waits takes from the one that computes.
        "waiting": round(idle / spent, 4),
    }


def difference(ours, theirs):
    """The largest difference of outputs, relative to the largest value of each; of indices: how many differ."""
    worst = 0.0
    for mine, other in zip(ours, theirs):
        for name, value in other.items():
            if name == "sequences":
                worst = max(worst, float((mine[name] != value).sum()))
            else:
                worst = max(worst, float(abs(mine[name] - value).max() / max(abs(value).max(), 1e-30)))
    return worst
