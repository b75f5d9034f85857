"""Windows of several devices → the rows of them that are new, as a model of a series takes them.

Knows what is remembered of a device and how counters become slopes, but no model. What is remembered is an array: what
is known of the counters (`Slopes`), then `Memory`. Letters: B windows, W of them of each of D devices, T rows, n new
rows, C channels, M numbers remembered.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.series.memory import Memory
from models.series.slopes import Slopes

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def as_rows(values: Floats, mask: Mask) -> Floats:
    """(B, n, C) → (n, B, C), NaN without a reading."""
    rows: Floats = np.where(mask, values, np.float32(np.nan)).transpose(1, 0, 2)
    return rows


def following_rows(
    slopes: Slopes, values: Floats, mask: Mask, memory: Floats, steps: Sequence[int]
) -> tuple[Floats, Floats, Memory]:
    """The rows of windows that are new.

    Args:
        values, mask: (W D, T, C), the first windows of D devices before their second ones.
        memory: (D, M) what is remembered before them.
        steps: how many rows are new in each of a device's W windows.

    Returns:
        The (n, D, C) new rows with slopes in place of counters, what is known of the counters after them, and what is
        remembered of everything else before them.
    """
    K, D, T = slopes.width, len(memory), values.shape[1]
    known = np.where(memory[:, K:][:, :1] > 0, memory[:, :K], slopes.unknown(D))
    new = [
        as_rows(values[w * D : (w + 1) * D, T - n :], mask[w * D : (w + 1) * D, T - n :])
        for w, n in enumerate(steps)
    ]
    rows, left = slopes.apply(np.concatenate(new), known)
    return rows, left, Memory.unpacked(memory[:, K:], values.shape[2])


def looked_at(mask: Mask, begun: Mask, new: NDArray[np.int64], of: NDArray[np.intp]) -> NDArray[np.int64]:
    """(B,) how many of the newest rows are looked at: a course begins with its first reading.

    Args:
        mask: (B, T, C).
        begun: (D,) devices whose course has begun.
        new: (B,) rows that are new.
        of: (B,) the device of each window.
    """
    begun, counts = begun.copy(), new.copy()
    early = np.flatnonzero(~begun[of])
    heard = np.asarray(mask[early].any(2))
    there = np.where(heard.any(1), mask.shape[1] - heard.argmax(1), 0)
    for b, rows in zip(early.tolist(), there.tolist(), strict=True):
        if not begun[of[b]]:
            counts[b] = min(counts[b], rows)
            begun[of[b]] = counts[b] > 0
    return counts


def alike(
    counts: NDArray[np.int64], of: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], list[int]]]:
    """Devices whose windows have as many new rows each: the devices, their windows, the first ones before the second
    ones, and how many rows are new in each of a device's. Windows without a new row are passed over."""
    windows: dict[int, list[int]] = {}
    for b in np.flatnonzero(counts).tolist():
        windows.setdefault(int(of[b]), []).append(b)
    grouped: dict[tuple[int, ...], list[int]] = {}
    for device, own in windows.items():
        grouped.setdefault(tuple(counts[own].tolist()), []).append(device)
    for steps, devices in grouped.items():
        yield np.array(devices), np.array([windows[device] for device in devices]).T.ravel(), list(steps)
