"""The rate of `examples/shakespeare.weft`."""
import math


def rate(step, peak=1e-3, floor=1e-4, warmup=100, total=2000):
    """From 0 to the peak in a line, then down by half a cosine."""
    if step < warmup:
        return peak * step / warmup
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * min(1, (step - warmup) / (total - warmup))))
