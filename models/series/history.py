"""Causal filters over rows that come piece by piece: what came before, never what comes after. First axis = rows.

Every filter takes what it has to know of the rows before, so that a series gives the same numbers whole and in pieces.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.floating]
FEW = 64
"""Up to so many rows the library's filter, made for long ones, is slower than a loop."""


def late(past: Array, x: Array, rows: int) -> Array:
    """What stood `rows` earlier; `past` are the rows before `x`, at least so many."""
    stood, n = past[len(past) - rows :], len(x)
    return stood[:n] if rows >= n else np.concatenate([stood, x[: n - rows]])


def slow_mean(x: Array, rows: float, before: Array) -> Array:
    """Exponentially weighted mean with a memory of `rows`; `before` is its value before the first row."""
    keep = float(np.exp(-1 / rows))
    mean: Array
    if len(x) > FEW:
        mean = lfilter([1 - keep], [1, -keep], x, axis=0, zi=keep * before[None].astype(np.float64))[0]
        return mean
    mean = (1 - keep) * np.asarray(x, np.float64)
    for row in mean:
        row += keep * before
        before = row
    return mean


def faded_mean(past: Array, x: Array, rows: int, fade: float) -> Array:
    """Mean over the newest `rows`, weights falling by 1/e in `fade` rows; `past` are the rows before `x`, at least
    `rows` - 1."""
    weight = np.exp(-np.arange(rows) / fade)
    both, n = np.concatenate([past[len(past) - rows + 1 :], x]), len(x)
    mean = np.zeros(x.shape)
    for age, part in enumerate(weight / weight.sum()):
        begin = rows - 1 - age
        mean += part * both[begin : begin + n]
    return mean


def mean_and_spread(past: Array, x: Array, rows: range) -> tuple[Array, Array]:
    """Mean and standard deviation of the rows that lie so many `rows` behind; `past` are the rows before `x`, at least
    as many as the last of them."""
    stood = [late(past, x, behind) for behind in rows]
    mean = sum(stood[1:], stood[0]) / len(rows)
    squares = [(row - mean) ** 2 for row in stood]
    return mean, np.sqrt(sum(squares[1:], squares[0]) / len(rows))


def peak_hold(x: Array, rows: float, before: Array | float = 0.0) -> Array:
    """The largest value so far, where what is past fades by 1/e in `rows`; `before` was held before the first row."""
    keep, held = np.exp(-1 / rows), np.array(x, dtype=np.float64)
    for t in range(len(held)):
        before = np.maximum(held[t], keep * before, out=held[t])
    return held
