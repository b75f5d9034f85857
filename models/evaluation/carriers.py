"""Faults put into a healthy wave, so that detection can be measured on real recordings that hold none.

What a sensor or its line does when it fails, at strengths that a person reading the trace would see; none of it is what
training injects (`models.injection`, `models.rhythm.faults`): that works on windows of levels or of single cycles.
Faults come one at a time with healthy cycles between them, the channels in turn.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.causes import Cause

FAULTY_CYCLES, HEALTHY_CYCLES = 15, 30
MOST = 24
"""Faults in one recording at most."""

Rows = NDArray[np.float32]


class Spoilt(NamedTuple):
    """A wave with faults in it; n rows, C channels."""

    values: Rows
    label: NDArray[np.bool_]
    causes: tuple[Cause, ...]


def spoilt_wave(values: Rows, cycle: int, rng: np.random.Generator) -> Spoilt:
    """(n, C) healthy rows with cycles of `cycle` rows → a copy with as many faults as have room; perhaps none."""
    spoilt, label, causes = values.copy(), np.zeros(len(values), np.bool_), []
    length, apart = FAULTY_CYCLES * cycle, (FAULTY_CYCLES + HEALTHY_CYCLES) * cycle
    starts = range(HEALTHY_CYCLES * cycle, len(values) - length, apart)
    for k, start in enumerate(list(starts)[:MOST]):
        channel, fault = k % values.shape[1], list(FAULTS.values())[k // values.shape[1] % len(FAULTS)]
        whole = values[:, channel]
        swing = float(np.nanquantile(whole, 0.95) - np.nanquantile(whole, 0.05))
        spoilt[start : start + length, channel] = fault(whole[start : start + length], swing, rng)
        label[start : start + length] = True
        causes.append(Cause(start, start + length, (channel,)))
    return Spoilt(spoilt, label, tuple(causes))


def _stuck(x: Rows, _swing: float, _rng: np.random.Generator) -> Rows:
    """The reading freezes."""
    return np.full_like(x, x[np.isfinite(x)][0] if np.isfinite(x).any() else np.nan)


def _weak(x: Rows, _swing: float, _rng: np.random.Generator) -> Rows:
    """Half the swing: a leak, a poor contact."""
    low = np.nanquantile(x, 0.05)
    return (low + 0.5 * (x - low)).astype(np.float32)


def _shifted(x: Rows, swing: float, _rng: np.random.Generator) -> Rows:
    """The zero wanders off by four tenths of the swing within a third of the fault."""
    return (x + 0.4 * swing * np.clip(np.arange(len(x)) * 3 / len(x), 0, 1)).astype(np.float32)


def _noisy(x: Rows, swing: float, rng: np.random.Generator) -> Rows:
    """Interference of an eighth of the swing."""
    return (x + rng.normal(0, swing / 8, len(x))).astype(np.float32)


def _gone(x: Rows, swing: float, rng: np.random.Generator) -> Rows:
    """Disconnected: the lower level and a little noise."""
    return (np.nanquantile(x, 0.05) + rng.normal(0, 0.01 * swing, len(x))).astype(np.float32)


FAULTS: Mapping[str, Callable[[Rows, float, np.random.Generator], Rows]] = {
    "stuck": _stuck, "weak": _weak, "shifted": _shifted, "noisy": _noisy, "gone": _gone,
}  # fmt: skip
"""Name → what becomes of a channel's (T,) rows, given its usual swing."""
