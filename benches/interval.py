"""Medians and what they may be."""
from math import comb
from statistics import median


def interval(values):
    """Order statistics between which the median lies with at least 95 %, whatever the distribution; all values where they are few."""
    values, n = sorted(values), len(values)
    below, rank = 0.0, 0
    while rank < n // 2 and below + comb(n, rank) / 2**n <= 0.025:
        below += comb(n, rank) / 2**n
        rank += 1
    low = max(rank - 1, 0)
    return values[low], values[n - 1 - low]


def summary(values, digits=2):
    """Median, and the values that a tenth lies below and above."""
    values = sorted(values)
    tenth = (len(values) - 1) // 10
    return {"median": round(median(values), digits), "spread": [round(values[tenth], digits), round(values[-1 - tenth], digits)]}
