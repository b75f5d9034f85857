"""Synthetic faults on fault-free windows, so that attention can learn where faults are.

The faults are generic and know no device: a group of channels that usually move together shifts, scales, shakes, damps
or freezes, at once or after each other, lasting, growing or on and off, .5 to tens of spreads large. Some windows get a
lasting small drift that is *not* labelled, so that a unit's own bias is no fault. Changes too small to be seen carry no
label either. Letters: B windows, T rows, M channels that can be at fault, N cells: the channels of windows that get
a fault, a few of the B x M.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

KINDS = ("offset", "gain", "noise", "damp", "freeze", "wave")
KIND_WEIGHTS = (0.46, 0.16, 0.16, 0.05, 0.07, 0.10)


@dataclass(frozen=True, slots=True)
class InjectionConfig:
    """What kind of faults, how often."""

    faulty: float = 0.6
    """Part of the windows that get a fault."""
    smallest: float = 0.5
    largest: float = 40.0
    """Amplitudes in spreads of the expected level, drawn log-uniformly."""
    drifting: float = 0.5
    """Part of the windows that get an unlabelled lasting drift."""
    drift: float = 0.8
    """Largest unlabelled drift, in spreads."""
    seen_from: float = 2.5
    """A channel is labelled from this effective amplitude on ..."""
    unseen_to: float = 1.0
    """... and surely not labelled below this one; between the two it does not count."""


class Injected(NamedTuple):
    """Windows with faults."""

    values: NDArray[np.float32]
    """(B, T, M) in units; a copy."""
    label: NDArray[np.float32]
    """(B, M) 1 where the channel is at fault."""
    weight: NDArray[np.float32]
    """(B, M) 0 where the change is neither clearly there nor clearly absent."""


def inject(
    values: NDArray[np.float32], mask: NDArray[np.bool_], unit: NDArray[np.float32], noise: NDArray[np.float32],
    together: NDArray[np.float32], counters: NDArray[np.bool_], config: InjectionConfig, rng: np.random.Generator,
) -> Injected:  # fmt: skip
    """Put faults into (B, T, M) windows.

    Args:
        values: readings in units, NaN or anything where `mask` is False.
        unit: (B, M) spread of the expected level in units (of the slope a row, for a counter).
        noise: (M,) usual standard deviation inside a window.
        together: (M, M) how strongly channels usually move together, 0 to 1.
        counters: (M,) True for counters, whose slope is changed, not their level.
    """
    B, T, M = values.shape
    faulty = rng.random((B, 1)) < config.faulty
    group = _groups(B, together, rng) & faulty
    size = np.exp(rng.uniform(np.log(config.smallest), np.log(config.largest), (B, 1)))
    size = size * np.where(rng.random((B, M)) < 0.5, 1.0, rng.uniform(0.2, 1.0, (B, M)))
    kind = np.where(rng.random((B, M)) < 0.6, rng.choice(len(KINDS), (B, 1), p=KIND_WEIGHTS),
                    rng.choice(len(KINDS), (B, M), p=KIND_WEIGHTS))  # fmt: skip
    kind = np.where(counters & np.isin(kind, (2, 3, 5)), 0, kind)
    b, m = np.nonzero(group)
    cells = _Cells(
        np.where(mask[b, :, m], values[b, :, m], 0.0).astype(np.float64), mask[b, :, m], unit[b, m].astype(np.float64),
        noise[m].astype(np.float64), counters[m], kind[b, m], size[b, m], _course(B, T, M, b, m, rng),
    )  # fmt: skip
    changed = _change(cells, b, B, rng)
    out = _drifted(values, unit, counters, ~group, config, rng)
    out[b, :, m] = changed
    effect = np.zeros((B, M))
    effect[b, m] = _effect(changed - cells.clean, cells)
    label = effect >= config.seen_from
    weight = ~group | label | (effect < config.unseen_to)
    return Injected(out, label.astype(np.float32), weight.astype(np.float32))


class _Cells(NamedTuple):
    """The N channels of windows that get a fault; float64."""

    clean: NDArray[np.float64]
    """(N, T) readings, 0 without one."""
    mask: NDArray[np.bool_]
    """(N, T)"""
    unit: NDArray[np.float64]
    noise: NDArray[np.float64]
    counter: NDArray[np.bool_]
    kind: NDArray[np.int64]
    size: NDArray[np.float64]
    course: NDArray[np.float64]
    """(N, T) 0 to 1"""

    def of(self, chosen: NDArray[np.bool_]) -> "_Cells":
        """Those of the cells that are `chosen`, (N,)."""
        return _Cells(
            self.clean[chosen], self.mask[chosen], self.unit[chosen], self.noise[chosen], self.counter[chosen],
            self.kind[chosen], self.size[chosen], self.course[chosen],
        )  # fmt: skip


def _drifted(
    values: NDArray[np.float32], unit: NDArray[np.float32], counters: NDArray[np.bool_], free: NDArray[np.bool_],
    config: InjectionConfig, rng: np.random.Generator,
) -> NDArray[np.float32]:  # fmt: skip
    """A copy of the windows; some channels that get no fault get a lasting drift, of a counter's slope."""
    B, T, M = values.shape
    drift = (rng.random((B, 1)) < config.drifting) & (rng.random((B, M)) < 0.3) & free
    level = (rng.uniform(-config.drift, config.drift, (B, M)) * unit * drift).astype(np.float32)
    out: NDArray[np.float32] = values + np.where(counters, 0, level)[:, None, :]
    out[..., counters] += level[:, None, counters] * np.arange(T, dtype=np.float32)[:, None]
    return out


def _groups(B: int, together: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(B, M) bool: one channel, and with it some of those that usually move with it; sometimes any others."""
    M = len(together)
    first = rng.integers(M, size=B)
    appetite = rng.choice([0.0, 0.4, 0.9], size=(B, 1), p=[0.4, 0.35, 0.25])
    others = rng.random((B, M)) < appetite * np.maximum(together[first], 0.15 * rng.random((B, 1)))
    others[np.arange(B), first] = True
    return others


def _course(
    B: int, T: int, M: int, b: NDArray[np.intp], m: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.float64]:
    """(N, T) how far the fault is there in the cells (b, m), row by row: lasting, growing, or on and off."""
    onset = np.where(rng.random((B, 1)) < 0.55, -1.0, rng.uniform(0, 0.85 * T, (B, 1)))
    onset = onset + np.where(rng.random((B, M)) < 0.3, rng.uniform(0, 0.2 * T, (B, M)), 0.0) * (onset >= 0)
    length = np.where(rng.random(B) < 0.35, rng.uniform(0.1, 1.5, B) * T, 0.5)
    t = np.arange(T, dtype=np.float64)
    course: NDArray[np.float64] = np.clip((t - onset[b, m][:, None]) / length[b][:, None], 0.0, 1.0)
    period, phase, duty = rng.uniform(0.06, 0.6, B) * T, rng.random(B), rng.uniform(0.3, 0.8, B)
    blinks = np.flatnonzero((rng.random(B) < 0.15)[b])
    of = b[blinks]
    course[blinks] *= ((t / period[of][:, None] + phase[of][:, None]) % 1.0) < duty[of][:, None]
    return course


def _change(cells: _Cells, b: NDArray[np.intp], B: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N, T) faulty readings; `b` is the window of each cell, so that those of a window swing together."""
    sign = np.where(rng.random(len(b)) < 0.5, -1.0, 1.0)
    swing = rng.uniform(4, 24, B)[b]
    out = np.empty_like(cells.clean)
    for kind in range(len(KINDS)):
        chosen = cells.kind == kind
        c = cells.of(chosen)
        match KINDS[kind]:
            case "offset":
                out[chosen] = c.clean + _shift(c, sign[chosen])
            case "gain":
                out[chosen] = c.clean + _gain(c, _shift(c, sign[chosen]))
            case "noise":
                shaken = rng.standard_normal(c.clean.shape) * (c.noise * c.size)[:, None]
                out[chosen] = c.clean + shaken * c.course
            case "damp":
                middle = _middle(c)
                out[chosen] = middle + (c.clean - middle) * (1 - 0.9 * c.course)
            case "freeze":
                out[chosen] = _hold(c.clean, c.mask, c.course > 0.5)
            case "wave":
                out[chosen] = c.clean + _wave(c, swing[chosen], rng)
    return out


def _shift(c: _Cells, sign: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a counter the slope shifts, so its level runs away."""
    shift = c.course * (sign * c.size * c.unit)[:, None]
    return np.where(c.counter[:, None], np.cumsum(shift, 1), shift)


def _gain(c: _Cells, shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shift where the reading is usual, more of it where it is larger."""
    usual = np.maximum(np.abs(_middle(c)), 1e-6)
    return np.where(c.counter[:, None], shift, shift * np.clip(np.abs(c.clean) / usual, 0.0, 3.0))


def _wave(c: _Cells, rows: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A swing of so many rows a period, in its own phase."""
    t = np.arange(c.clean.shape[1])
    wave: NDArray[np.float64] = np.sin(2 * np.pi * (t / rows[:, None] + rng.random((len(rows), 1))))
    return wave * c.course * (np.maximum(c.noise, 0.3 * c.unit) * c.size)[:, None]


def _middle(c: _Cells) -> NDArray[np.float64]:
    """(N, 1) mean reading."""
    middle: NDArray[np.float64] = c.clean.sum(1, keepdims=True) / np.maximum(c.mask.sum(1, keepdims=True), 1)
    return middle


def _hold(
    x: NDArray[np.float64], mask: NDArray[np.bool_], stuck: NDArray[np.bool_]
) -> NDArray[np.float64]:  # fmt: skip
    """The last good reading of (N, T) goes on as long as the channel is stuck; from the start, the first one does."""
    good = mask & ~stuck
    newest = np.maximum.accumulate(np.where(good, np.arange(x.shape[1]), -1), 1)
    first = np.take_along_axis(x, mask.argmax(1)[:, None], 1)
    carried = np.where(newest >= 0, np.take_along_axis(x, np.maximum(newest, 0), 1), first)
    return np.where(stuck, carried, x)


def _effect(change: NDArray[np.float64], c: _Cells) -> NDArray[np.float64]:
    """(N,) how large the change is over the newer rows, in spreads; for damp and freeze, how still it made it."""
    T = change.shape[1]
    fade = np.exp(-np.arange(T - 1, -1, -1) * 4 / T) * c.mask
    n = np.maximum(fade.sum(1), 1e-9)
    rms = np.sqrt((np.where(c.mask, change, 0.0) ** 2 * fade).sum(1) / n)
    present = (c.course * fade).sum(1) / n
    by_slope = c.size * present
    quiet = rms / np.maximum(c.noise, 1e-9) * 2.0  # what was taken away, against the usual restlessness
    shaken = rms / np.maximum(c.noise, 0.2 * c.unit)
    effect = np.select([c.counter & (c.kind <= 1), (c.kind == 3) | (c.kind == 4), (c.kind == 2) | (c.kind == 5)],
                       [by_slope, np.where(present > 0.6, quiet, 0.0), shaken],
                       rms / np.maximum(c.unit, 1e-9))  # fmt: skip
    effect = np.where(c.counter & (c.kind == 4), rms / np.maximum(c.unit * T / 6, 1e-9), effect)
    return np.where(c.mask.any(1), effect, 0.0)
