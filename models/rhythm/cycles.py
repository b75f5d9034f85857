"""A healthy recording → its cycles, and a cycle played again with other settings.

Letters: n readings. A cycle starts where the rise starts and is cut at its peak into rise and fall; both are kept in
units of the swing (0 = low level, 1 = high level), so that another level, swing or rate can be put on them.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Trace = NDArray[np.float64]

LOOK_BACK_S = 0.4
"""A rise starts at most so long before it crosses a quarter of the swing."""
DECAY_S = 0.5
"""The first part of a fall: a slower rate makes the pause longer, not the outflow."""


class Cycle(NamedTuple):
    """One healthy cycle in units of its recording's swing."""

    rise: Trace
    fall: Trace


@dataclass(slots=True)
class Setting:
    """How a machine is set, and how its load answers; mutable, because people turn knobs while it runs."""

    low: float
    high: float
    """Levels between which it swings, in the channel's unit."""
    period_s: float
    rise_stretch: float = 1.0
    fall_stretch: float = 1.0
    bend: float = 1.0
    """Exponent on the rise: below 1 it fills early, above 1 late."""
    sag: float = 0.0
    """How far the fall ends below where it starts to rest, in swings."""
    jitter: float = 0.0
    """Standard deviation of the log period."""
    noise: float = 0.0
    """Standard deviation of a reading, in the unit."""


def even_trace(t_s: NDArray[np.float64], values: NDArray[np.floating], step_s: float) -> Trace:
    """(n,) readings at any times → readings every `step_s`, linear in between."""
    good = np.isfinite(values)
    t, x = t_s[good], np.asarray(values, np.float64)[good]
    trace: Trace = np.interp(np.arange(t[0], t[-1], step_s), t, x)
    return trace


def cut_cycles(trace: Trace, step_s: float) -> list[Cycle]:
    """The whole cycles of a healthy trace, in order; those of an odd length or height are left out."""
    low, high = np.quantile(trace, [0.03, 0.99])
    swing = high - low
    crossing = low + 0.25 * swing
    ups = np.flatnonzero((trace[1:] >= crossing) & (trace[:-1] < crossing)) + 1
    starts: list[int] = []
    for up in ups:
        start = _rise_start(trace, int(up), swing, round(LOOK_BACK_S / step_s))
        if not starts or (start - starts[-1]) * step_s > 0.4:
            starts.append(start)
    parts = [trace[a:b] for a, b in itertools.pairwise(starts)]
    parts = [part for part in parts if part.max() > low + 0.8 * swing]
    if not parts:
        return []
    usual = float(np.median([len(part) for part in parts]))
    level = float(np.median([part[0] for part in parts]))
    top = float(np.median([part.max() for part in parts]))
    return [_cycle(part, level, top) for part in parts if 0.5 * usual < len(part) < 2.0 * usual]


def play_cycle(
    cycle: Cycle, setting: Setting, rng: np.random.Generator, step_s: float, *,
    period_s: float | None = None, low: float | None = None, high: float | None = None,
    quicker: float = 1.0, hold_s: float = 0.0,
) -> Trace:  # fmt: skip
    """One cycle as the machine would make it with `setting`.

    `period_s`, `low` and `high` replace the setting's; `quicker` shortens rise and outflow, `hold_s` stays at the peak.
    """
    period = (setting.period_s if period_s is None else period_s) * float(
        np.exp(rng.normal() * setting.jitter)
    )
    low = setting.low if low is None else low
    high = setting.high if high is None else high
    rise = _stretched(cycle.rise, len(cycle.rise) * setting.rise_stretch * quicker)
    top = rise.max()
    rise = np.sign(rise) * np.abs(rise / top) ** setting.bend * top
    if hold_s > 0:
        rise = np.concatenate([rise, np.full(round(hold_s / step_s), rise[-1])])
    fall = _stretched(cycle.fall, len(cycle.fall) * setting.fall_stretch * min(quicker, 1.0))
    rest = max(round(period / step_s) - len(rise), round(0.18 / step_s))
    head = min(round(DECAY_S / step_s), len(fall) // 2, rest // 2)
    fall = np.concatenate([fall[:head], _stretched(fall[head:], rest - head)])
    if setting.sag > 0:
        resting = np.minimum(np.arange(rest) * step_s / 0.08, 1.0) * (fall < 0.35)
        fall = fall + setting.sag * resting * np.linspace(1, 0, rest)
    return low + (high - low) * np.concatenate([rise, fall])


def _rise_start(trace: Trace, up: int, swing: float, look_back: int) -> int:
    before = trace[max(0, up - look_back) : up]
    if len(before) == 0:
        return up
    near = np.flatnonzero(before <= before.min() + 0.02 * swing)
    return up - len(before) + int(near[-1])


def _cycle(part: Trace, level: float, top: float) -> Cycle:
    x = (part - level) / (top - level)
    peak = int(np.argmax(x))
    return Cycle(x[: peak + 1], x[peak + 1 :])


def _stretched(x: Trace, n: float) -> Trace:
    n = max(int(n), 4)
    if len(x) == 0:
        return np.zeros(n)
    return np.interp(np.linspace(0, len(x) - 1, n), np.arange(len(x)), x)
