"""Causal filters over rows: what came before, never what comes after. First axis = rows."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.floating]


def late(x: Array, rows: int, before: Array | float) -> Array:
    """What stood `rows` earlier; `before` where there was nothing yet."""
    if rows == 0:
        return x
    filled: Array = np.concatenate([np.broadcast_to(before, (rows, *x.shape[1:])).astype(x.dtype), x[:-rows]])
    return filled[: len(x)]


def slow_mean(x: Array, rows: float, begin: Array | float) -> Array:
    """Exponentially weighted mean with a memory of `rows`, from `begin` on."""
    keep = float(np.exp(-1 / rows))
    start = keep * np.broadcast_to(begin, x.shape[1:])[None].astype(np.float64)
    mean: Array = lfilter([1 - keep], [1, -keep], x, axis=0, zi=start)[0]
    return mean


def faded_mean(x: Array, rows: int, fade: float) -> Array:
    """Mean over the newest `rows`, weights falling by 1/e in `fade` rows; the first row stands before itself."""
    weight = np.exp(-np.arange(rows) / fade)
    padded = np.concatenate([np.repeat(x[:1], rows, 0), x])
    mean: Array = lfilter(weight / weight.sum(), [1.0], padded, axis=0)[rows:]
    return mean


def peak_hold(x: Array, rows: float) -> Array:
    """The largest value so far, where what is past fades by 1/e in `rows`."""
    keep, held = np.exp(-1 / rows), np.array(x, dtype=np.float64)
    for t in range(1, len(held)):
        np.maximum(held[t], keep * held[t - 1], out=held[t])
    return held
