"""The fleet's fault-free rows: split by device, cut into windows, digested. Knows no network and no file."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Series:
    """One device's fault-free rows on the grid, in time order without a break."""

    device: str
    values: NDArray[np.float32]
    """(R, C) in units, NaN without a reading."""
    mask: NDArray[np.bool_]
    """(R, C)."""


def as_series(device: str, values: NDArray[np.float32]) -> Series:
    """(R, C) rows, NaN without a reading."""
    return Series(device, values, np.isfinite(values))


class Split(NamedTuple):
    """Three parts of the fleet without a device in common."""

    ground: list[Series]
    evidence: list[Series]
    calibration: list[Series]


def split_fleet(series: Sequence[Series], rows: int, seed: int, brief: Sequence[Series] = ()) -> Split:
    """Split by device, 35 : 40 : 25; with `brief` series, which all teach what is normal, 20 : 50 : 30.

    A device's settings hardly change, so networks that see few devices know each of them by its settings, its own bias
    with it, and are far too sure of what to expect of the next one. What is normal takes many devices, if only for a
    short while each; the rare look-alikes and the threshold take long runs.
    With fewer than four devices every series is cut in time instead, 50 : 25 : 25.

    Raises:
        ValueError: a device has a brief series and another one.
    """
    devices = sorted({s.device for s in series})
    if twice := sorted({s.device for s in brief} & set(devices)):
        raise ValueError(f"{twice[0]} has a brief series and another one; no device may be in two parts")
    if len(devices) >= 4:
        order = np.random.default_rng(seed).permutation(len(devices))
        first, second = (int(len(devices) * part) for part in ((0.2, 0.7) if brief else (0.35, 0.75)))
        first, second = max(1, first), max(2, second)
        part = {devices[d]: int(i >= first) + int(i >= second) for i, d in enumerate(order)}
        ground, evidence, calibration = ([s for s in series if part[s.device] == p] for p in range(3))
        return Split([*ground, *brief], evidence, calibration)
    parts: tuple[list[Series], list[Series], list[Series]] = (list(brief), [], [])
    for s in series:
        edges = [0, len(s.values) // 2, len(s.values) * 3 // 4, len(s.values)]
        for p in range(3):
            cut = slice(edges[p], edges[p + 1])
            if edges[p + 1] - edges[p] >= rows:
                parts[p].append(Series(s.device, s.values[cut], s.mask[cut]))
    return Split(*parts)


def windows_of(series: Series, rows: int, stride: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Every due window of a series: views (N, rows, C) into it, end rows `stride` apart."""
    values = np.lib.stride_tricks.sliding_window_view(series.values, rows, 0)[::stride].transpose(0, 2, 1)
    mask = np.lib.stride_tricks.sliding_window_view(series.mask, rows, 0)[::stride].transpose(0, 2, 1)
    return values, mask


def draw(
    series: Sequence[Series], rows: int, count: int, min_rows: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`count` windows from anywhere in the series; one in ten is partial, as those of a new device are.

    Raises:
        ValueError: no series is as long as a window.
    """
    long_enough = [s for s in series if len(s.values) >= rows]
    if not long_enough:
        raise ValueError(f"no series has the {rows} rows of one window")
    room = np.array([len(s.values) - rows + 1 for s in long_enough], float)
    which = rng.choice(len(long_enough), count, p=room / room.sum())
    C = long_enough[0].values.shape[1]
    values, mask = np.empty((count, rows, C), np.float32), np.empty((count, rows, C), np.bool_)
    for i, w in enumerate(which):
        first = int(rng.integers(int(room[w])))
        values[i], mask[i] = (
            long_enough[w].values[first : first + rows],
            long_enough[w].mask[first : first + rows],
        )
    if 0 < min_rows < rows:
        for partial in np.flatnonzero(rng.random(count) < 0.1):
            hidden = int(rng.integers(1, rows - min_rows + 1))
            values[partial, :hidden], mask[partial, :hidden] = np.nan, False
    return values, mask


def as_new(series: Series, rows: int, min_rows: int) -> Series:
    """The same series with the partial windows before it that a new device begins with."""
    if not 0 < min_rows < rows:
        return series
    blank = np.zeros((rows - min_rows, series.mask.shape[1]), np.bool_)
    values = np.concatenate([np.where(blank, 0, np.nan).astype(np.float32), series.values])
    return Series(series.device, values, np.concatenate([blank, series.mask]))


def data_digest(series: Iterable[Series]) -> str:
    """SHA-256 over devices, readings and masks."""
    digest = hashlib.sha256()
    for s in series:
        digest.update(s.device.encode())
        digest.update(np.ascontiguousarray(np.where(s.mask, s.values, 0)).tobytes())
        digest.update(np.packbits(s.mask).tobytes())
    return digest.hexdigest()
