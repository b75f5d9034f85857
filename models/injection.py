"""Synthetic faults on fault-free windows, so that attention can learn where faults are.

The faults are generic and know no device: a group of channels that usually move together shifts, scales, shakes, damps
or freezes, at once or after each other, lasting, growing or on and off, .5 to tens of spreads large. Some windows get a
lasting small drift that is *not* labelled, so that a unit's own bias is no fault. Changes too small to be seen carry no
label either. Letters: B windows, T rows, M channels that can be at fault.
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
    course = _course(B, T, M, rng)  # (B, T, M) 0 to 1
    kind = np.where(rng.random((B, M)) < 0.6, rng.choice(len(KINDS), (B, 1), p=KIND_WEIGHTS),
                    rng.choice(len(KINDS), (B, M), p=KIND_WEIGHTS))  # fmt: skip
    kind = np.where(counters & np.isin(kind, (2, 3, 5)), 0, kind)
    signed = size * np.where(rng.random((B, M)) < 0.5, -1, 1)
    changed = _change(values, mask, unit, noise, counters, kind, signed, course, rng)
    out = np.where(group[:, None, :], changed, values)
    drift = (rng.random((B, 1)) < config.drifting) & (rng.random((B, M)) < 0.3) & ~group
    level = rng.uniform(-config.drift, config.drift, (B, M)) * unit * drift
    steps = np.arange(T, dtype=np.float32)[:, None]
    out = out + np.where(counters, level[:, None, :] * steps, level[:, None, :])
    effect = _effect(out - np.where(mask, values, 0), mask, unit, noise, counters, kind, size, course) * group
    label = effect >= config.seen_from
    weight = ~group | label | (effect < config.unseen_to)
    return Injected(out.astype(np.float32), label.astype(np.float32), weight.astype(np.float32))


def _groups(B: int, together: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(B, M) bool: one channel, and with it some of those that usually move with it; sometimes any others."""
    M = len(together)
    first = rng.integers(M, size=B)
    appetite = rng.choice([0.0, 0.4, 0.9], size=(B, 1), p=[0.4, 0.35, 0.25])
    others = rng.random((B, M)) < appetite * np.maximum(together[first], 0.15 * rng.random((B, 1)))
    others[np.arange(B), first] = True
    return others


def _course(B: int, T: int, M: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(B, T, M) how far the fault is there, row by row: lasting, growing, or on and off."""
    onset = np.where(rng.random((B, 1)) < 0.55, -1.0, rng.uniform(0, 0.85 * T, (B, 1)))
    onset = onset + np.where(rng.random((B, M)) < 0.3, rng.uniform(0, 0.2 * T, (B, M)), 0.0) * (onset >= 0)
    length = np.where(rng.random((B, 1)) < 0.35, rng.uniform(0.1, 1.5, (B, 1)) * T, 0.5)
    t = np.arange(T, dtype=np.float64)[None, :, None]
    course = np.clip((t - onset[:, None, :]) / length[:, None, :], 0.0, 1.0)
    period = rng.uniform(0.06, 0.6, (B, 1, 1)) * T
    on = ((t / period + rng.random((B, 1, 1))) % 1.0) < rng.uniform(0.3, 0.8, (B, 1, 1))
    intermittent = rng.random((B, 1, 1)) < 0.15
    chosen: NDArray[np.float32] = np.where(intermittent, course * on, course).astype(np.float32)
    return chosen


def _change(
    x: NDArray[np.float32], mask: NDArray[np.bool_], unit: NDArray[np.float32], noise: NDArray[np.float32],
    counters: NDArray[np.bool_], kind: NDArray[np.int64], signed: NDArray[np.float64], course: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float64]:  # fmt: skip
    """The faulty reading of every cell, as if every channel were at fault."""
    B, T, M = x.shape
    clean = np.where(mask, x, 0.0).astype(np.float64)
    n = np.maximum(mask.sum(1), 1)
    middle = clean.sum(1) / n
    amplitude = (signed * unit)[:, None, :]
    shift = np.where(counters, np.cumsum(course * amplitude, 1), course * amplitude)
    usual = np.maximum(np.abs(middle), 1e-6)[:, None, :]
    start = _first(clean, mask)
    gained = np.where(counters, shift, shift * np.clip(np.abs(clean) / usual, 0.0, 3.0))
    shaken = rng.standard_normal((B, T, M)) * noise * np.abs(signed)[:, None, :] * course
    wave = np.sin(
        2 * np.pi * (np.arange(T)[None, :, None] / rng.uniform(4, 24, (B, 1, 1)) + rng.random((B, 1, M)))
    )
    held = _hold(clean, mask, course > 0.5, start)
    damped = middle[:, None, :] + (clean - middle[:, None, :]) * (1 - 0.9 * course)
    waved = clean + wave * course * np.maximum(noise, 0.3 * unit)[:, None, :] * np.abs(signed)[:, None, :]
    choices = [clean + shift, clean + gained, clean + shaken, damped, held, waved]
    return np.choose(kind[:, None, :], choices)


def _first(x: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.take_along_axis(x, mask.argmax(1)[:, None, :], 1)


def _hold(
    x: NDArray[np.float64], mask: NDArray[np.bool_], stuck: NDArray[np.bool_], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The last good reading goes on as long as the channel is stuck."""
    T = x.shape[1]
    good = mask & ~stuck
    newest = np.maximum.accumulate(np.where(good, np.arange(T)[None, :, None], -1), 1)
    carried = np.where(newest >= 0, np.take_along_axis(x, np.maximum(newest, 0), 1), start)
    return np.where(stuck, carried, x)


def _effect(
    change: NDArray[np.float64], mask: NDArray[np.bool_], unit: NDArray[np.float32], noise: NDArray[np.float32],
    counters: NDArray[np.bool_], kind: NDArray[np.int64], size: NDArray[np.float64], course: NDArray[np.float32],
) -> NDArray[np.float64]:  # fmt: skip
    """(B, M) how large the change is over the newer rows, in spreads; for damp and freeze, how still it made it."""
    T = change.shape[1]
    fade = np.exp(-np.arange(T - 1, -1, -1) * 4 / T)[None, :, None] * mask
    n = np.maximum(fade.sum(1), 1e-9)
    seen = np.where(mask, change, 0.0)
    rms = np.sqrt((seen**2 * fade).sum(1) / n)
    present = (course * fade).sum(1) / n
    by_slope = size * present
    quiet = rms / np.maximum(noise, 1e-9) * 2.0  # what was taken away, against the usual restlessness
    shaken = rms / np.maximum(noise, 0.2 * unit)
    effect = np.select([counters & (kind <= 1), (kind == 3) | (kind == 4), (kind == 2) | (kind == 5)],
                       [by_slope, np.where(present > 0.6, quiet, 0.0), shaken],
                       rms / np.maximum(unit, 1e-9))  # fmt: skip
    effect = np.where(counters & (kind == 4), rms / np.maximum(unit * T / 6, 1e-9), effect)
    return np.where(mask.any(1), effect, 0.0)
