"""How a rhythm strays from the healthy signal under it, since when, and a picture of both.

Arrays in, arrays out; knows no network. Letters: B windows, T rows, P time patches; one channel.
"""

import numpy as np
from numpy.typing import NDArray

from models.scoring import Explanation

SWING_SPREAD = 0.15
"""The log of a healthy machine's swing over the expected one varies by about so much."""

Floats = NDArray[np.float32]


def swing(values: Floats, healthy: Floats, seen: NDArray[np.bool_]) -> Floats:
    """(B, T) readings and healthy signal → (B,) how much more (or less) it swings than it should, in spreads.

    NaN where fewer than three readings were made.
    """
    n = seen.sum(1)
    some = np.maximum(n, 1)

    def deviation(x: Floats) -> NDArray[np.floating]:
        kept = np.where(seen, x, 0.0)
        mean = kept.sum(1) / some
        variance = (np.where(seen, x - mean[:, None], 0.0) ** 2).sum(1) / some
        root: NDArray[np.floating] = np.sqrt(variance)
        return root

    ratio = np.log((deviation(values) + 1e-3) / (deviation(healthy) + 1e-3)) / SWING_SPREAD
    return np.where(n >= 3, ratio, np.nan).astype(np.float32)


def off_rows(
    values: Floats, healthy: Floats, seen: NDArray[np.bool_], certain: float, patches: int
) -> NDArray[np.int16]:
    """(B,) rows up to the window's end for which the signal has been off, 0 where it is not.

    A patch is off when it strays by more than `certain` (in the unit) on average. A faulty breath touches the healthy
    one now and then, so a quarter of the window may pass between two patches that are off.
    """
    B, T = values.shape
    strayed, told = _patches(np.where(seen, np.abs(values - healthy), 0.0), seen, patches)
    off = (strayed > certain) & (told > 0)
    since = np.zeros(B, np.int16)
    calm = np.zeros(B, np.int64)
    for p in range(patches - 1, -1, -1):
        calm = np.where(off[:, p] & (calm <= patches // 4), 0, calm + 1)
        since[calm == 0] = (patches - p) * (T // patches)
    return since


def explained(
    values: Floats, healthy: Floats, seen: NDArray[np.bool_], certain: float, patches: int
) -> Explanation:
    """The healthy signal, a band of `certain` to either side, and where in time the readings leave it.

    The attention of a single channel can only lie in time: in proportion to the squared distance from the healthy
    signal, the newer the heavier.
    """
    B, T = values.shape
    newer = np.exp(-np.arange(T - 1, -1, -1) * 4 / T)
    squares = np.where(seen, (values - healthy) ** 2, 0.0) * newer + 1e-6 * newer
    energy = squares.reshape(B, patches, T // patches).sum(2)
    attention = energy / np.maximum(energy.sum(1, keepdims=True), 1e-30)
    return Explanation(
        healthy[..., None].astype(np.float32),
        (healthy - certain)[..., None].astype(np.float32),
        (healthy + certain)[..., None].astype(np.float32),
        attention[..., None].astype(np.float32),
    )


def _patches(
    x: NDArray[np.floating], seen: NDArray[np.bool_], patches: int
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """(B, T) → mean over the readings of each patch and how many they are, (B, P)."""
    shape = (len(x), patches, x.shape[1] // patches)
    told = seen.reshape(shape).sum(2)
    return x.reshape(shape).sum(2) / np.maximum(told, 1), told
