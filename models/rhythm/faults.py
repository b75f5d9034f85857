"""Faults of a rhythm: what breaks, how far, and from when on it can be seen.

A cycle fault makes cycles of another timing or height; a signal fault spoils the trace whatever the cycles do. None is
taken from a recording. A change by less than about a quarter is none: operators and loads do that too. Letters: n
readings.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.rhythm.cycles import Cycle, Setting, Trace, play_cycle

if TYPE_CHECKING:  # the ranges live beside their other user
    from models.rhythm.practice import Ranges

Mark = tuple[float, float, int]
"""Seconds since the cycle's start, from and to, and the truth there."""
CycleFault = Callable[[Cycle, Setting, int, float, float], tuple[Trace, list[Mark]]]
"""(healthy cycle, setting, faulty cycles before it, seconds left, step_s) → the cycle and its truth."""
SignalFault = Callable[[Trace, Setting, "Ranges", np.random.Generator, float], tuple[Trace, float, float]]
"""(healthy trace, setting, ranges, rng, step_s) → spoiled trace, from when on and for how long it shows (s)."""

AS_CHANGE = 3
"""Faulty cycles for which a change shows as a change; after them a state within the ranges is one more setting."""
ALWAYS = 1e4
"""Seconds: longer than any trace."""


def slow(_setting: Setting, ranges: "Ranges", rng: np.random.Generator) -> CycleFault:
    """Cycles of the same shape with longer pauses, or with everything drawn out."""
    factor = _log_uniform(rng, 1.6, 4.0)
    drawn_out = rng.uniform(1.4, factor) if rng.random() < 0.3 else 1.0

    def make(cycle: Cycle, s: Setting, before: int, _left: float, step: float) -> tuple[Trace, list[Mark]]:
        period = s.period_s * factor * rng.uniform(0.9, 1.2)
        part = play_cycle(cycle, s, rng, step, period_s=period, quicker=drawn_out)
        limit = min(max(1.5 * s.period_s, s.period_s + 0.9), ranges.slowest_s)
        length = len(part) * step
        lasting = period > ranges.slowest_s
        if before >= 1 and (lasting or (factor > 1.6 and before < AS_CHANGE)):
            return part, [(0.0, length, 1)]
        late = limit if before < AS_CHANGE else ranges.slowest_s
        return part, [(0.0, length, -1), (late, max(length, late), 1)]

    return make


def quick(setting: Setting, ranges: "Ranges", rng: np.random.Generator) -> CycleFault:
    """Cycles that chase each other: shorter pauses, or everything shorter."""
    period = max(setting.period_s / _log_uniform(rng, 1.7, 3.2), 0.55)
    only_pauses = rng.random() < 0.4

    def make(cycle: Cycle, s: Setting, before: int, _left: float, step: float) -> tuple[Trace, list[Mark]]:
        rise_s = len(cycle.rise) * step * s.rise_stretch
        quicker = 0.6 * period / rise_s if only_pauses else 1.1 * period / s.period_s
        part = play_cycle(cycle, s, rng, step, period_s=period, quicker=min(1.0, max(quicker, 0.2)))
        as_change = period < 0.58 * s.period_s and before < AS_CHANGE + 2
        seen = before >= 2 and (as_change or period < ranges.quickest_s)
        return part, [(0.0, len(part) * step, 1 if seen else -1)]

    return make


def high_peak(setting: Setting, ranges: "Ranges", rng: np.random.Generator) -> CycleFault:
    """Peaks far above the ones before."""
    high = setting.high + (setting.high - setting.low) * rng.uniform(0.22, 1.0)
    lasting = high > ranges.low[0] + ranges.usual_high[1]

    def make(cycle: Cycle, s: Setting, before: int, _left: float, step: float) -> tuple[Trace, list[Mark]]:
        part = play_cycle(cycle, s, rng, step, high=high)
        return part, [(0.0, len(part) * step, _seen(before, 1, lasting))]

    return make


def low_peak(setting: Setting, ranges: "Ranges", rng: np.random.Generator) -> CycleFault:
    """Shallow cycles."""
    high = setting.low + (setting.high - setting.low) * rng.uniform(0.1, 0.78)
    lasting = high < 0.94 * (ranges.low[0] + ranges.swing[0])

    def make(cycle: Cycle, s: Setting, before: int, _left: float, step: float) -> tuple[Trace, list[Mark]]:
        part = play_cycle(cycle, s, rng, step, high=high)
        return part, [(0.0, len(part) * step, _seen(before, 1, lasting))]

    return make


def low_base(setting: Setting, ranges: "Ranges", rng: np.random.Generator) -> CycleFault:
    """The lower level is lost; the peaks stay."""
    low = rng.uniform(0.0, 0.6) * setting.low
    lasting = low < 0.75 * ranges.low[0]

    def make(cycle: Cycle, s: Setting, before: int, _left: float, step: float) -> tuple[Trace, list[Mark]]:
        part = play_cycle(cycle, s, rng, step, low=low)
        return part, [(0.0, len(part) * step, _seen(before, 1, lasting))]

    return make


def high_base(setting: Setting, ranges: "Ranges", rng: np.random.Generator) -> CycleFault:
    """The lower level climbs: what came in does not all go out."""
    low = setting.low + rng.uniform(*ranges.climb)
    lasting = low > 1.15 * ranges.low[1]

    def make(cycle: Cycle, s: Setting, before: int, _left: float, step: float) -> tuple[Trace, list[Mark]]:
        part = play_cycle(cycle, s, rng, step, low=low, high=max(s.high, low + 8.0))
        return part, [(0.0, len(part) * step, _seen(before, 1, lasting))]

    return make


def held_peak(_setting: Setting, _ranges: "Ranges", rng: np.random.Generator) -> CycleFault:
    """The machine stays at the peak and lets go late."""
    hold_s = rng.uniform(1.3, 4.0)

    def make(cycle: Cycle, s: Setting, before: int, _left: float, step: float) -> tuple[Trace, list[Mark]]:
        part = play_cycle(cycle, s, rng, step, hold_s=hold_s, period_s=s.period_s + hold_s)
        rise_s = len(cycle.rise) * step * s.rise_stretch
        marks: list[Mark] = [(0.0, len(part) * step, -1 if before < 1 else 1)]
        return part, [*marks, (rise_s + 0.9, rise_s + hold_s, 1)]

    return make


def spiked(_setting: Setting, _ranges: "Ranges", rng: np.random.Generator) -> CycleFault:
    """Rises that are over at once: hardly any volume goes in."""
    quicker = rng.uniform(0.15, 0.55)

    def make(cycle: Cycle, s: Setting, before: int, _left: float, step: float) -> tuple[Trace, list[Mark]]:
        part = play_cycle(cycle, s, rng, step, quicker=quicker)
        lasting = quicker * len(cycle.rise) * step * s.rise_stretch < 0.4
        return part, [(0.0, len(part) * step, _seen(before, 2, lasting))]

    return make


def drawn_out(_setting: Setting, _ranges: "Ranges", rng: np.random.Generator) -> CycleFault:
    """Rises that take far longer, up to the same peak."""
    longer = rng.uniform(1.8, 3.5)

    def make(cycle: Cycle, s: Setting, before: int, _left: float, step: float) -> tuple[Trace, list[Mark]]:
        rise_s = len(cycle.rise) * step * s.rise_stretch * longer
        part = play_cycle(cycle, s, rng, step, quicker=longer, period_s=max(s.period_s, rise_s + 0.7))
        seen = rise_s > 1.8 and before >= 1 and (rise_s > 2.6 or before < 1 + AS_CHANGE)
        return part, [(0.0, len(part) * step, 1 if seen else -1)]

    return make


def standstill(_setting: Setting, ranges: "Ranges", rng: np.random.Generator) -> CycleFault:
    """After a whole cycle the next one never comes."""

    def make(_cycle: Cycle, s: Setting, _before: int, left: float, step: float) -> tuple[Trace, list[Mark]]:
        part = np.full(max(round(left / step), round(0.3 / step)), s.low + rng.uniform(-0.5, 1.0))
        limit = min(max(1.5 * s.period_s, s.period_s + 0.9), ranges.slowest_s) - 0.4 * s.period_s
        return part, [(0.0, limit, -1), (limit, len(part) * step, 1)]

    return make


CYCLE_FAULTS: Mapping[str, Callable[[Setting, "Ranges", np.random.Generator], CycleFault]] = {
    "slow": slow,
    "quick": quick,
    "high_peak": high_peak,
    "low_peak": low_peak,
    "low_base": low_base,
    "high_base": high_base,
    "held_peak": held_peak,
    "spiked": spiked,
    "drawn_out": drawn_out,
    "standstill": standstill,
}


def flat(
    x: Trace, s: Setting, r: "Ranges", rng: np.random.Generator, _step: float
) -> tuple[Trace, float, float]:
    """One level, most often a lost one, and no cycle."""
    level = rng.uniform(*r.lost) if rng.random() < 0.5 else rng.uniform(0.0, s.high)
    return np.full_like(x, level), _still_shows(level, s, r), ALWAYS


def frozen(
    x: Trace, s: Setting, r: "Ranges", _rng: np.random.Generator, _step: float
) -> tuple[Trace, float, float]:
    """The reading stays what it was."""
    return np.full_like(x, x[0]), _still_shows(float(x[0]), s, r), ALWAYS


def collapsed(
    x: Trace, s: Setting, r: "Ranges", rng: np.random.Generator, _step: float
) -> tuple[Trace, float, float]:
    """Nearly all pressure is lost; a rest of the cycles goes on."""
    rest = rng.uniform(0.0, 0.45) * rng.uniform(0.6, 1.0)
    return rng.uniform(r.lost[0] + 1.0, r.lost[1] - 1.0) + rest * (x - s.low), 1.0, ALWAYS


def leaking(
    x: Trace, _s: Setting, r: "Ranges", rng: np.random.Generator, step: float
) -> tuple[Trace, float, float]:
    """A leak that grows."""
    kept = 1 - np.arange(len(x)) * step / rng.uniform(4, 18) * rng.uniform(0.5, 1.0)
    kept = np.clip(kept, rng.uniform(0.05, 0.5), 1.0)
    return (
        rng.uniform(0.25, 0.75) * r.lost[1] * (1 - kept) + x * kept,
        _first_s(kept < 0.64, step) + 1.0,
        ALWAYS,
    )


def blocked(
    x: Trace, _s: Setting, r: "Ranges", rng: np.random.Generator, step: float
) -> tuple[Trace, float, float]:
    """The pressure climbs to a ceiling and stays."""
    ceiling = rng.uniform(*r.ceiling)
    climb = np.minimum(np.arange(len(x)) * step / rng.uniform(0.2, 1.5), 1.0)
    return np.minimum(x[0] + (ceiling - x[0]) * climb, ceiling), 1.5, ALWAYS


def swinging(
    x: Trace, s: Setting, _r: "Ranges", rng: np.random.Generator, step: float
) -> tuple[Trace, float, float]:
    """An oscillation on top: a valve that flutters, water in the tube."""
    t = np.arange(len(x)) * step
    height = rng.uniform(0.17, 0.5) * (s.high - s.low)
    wave = np.sin(2 * np.pi * rng.uniform(0.8, 7.0) * t)
    return np.asarray(x + height * wave, np.float64), 1.2, ALWAYS


def ramping(
    x: Trace, s: Setting, _r: "Ranges", rng: np.random.Generator, step: float
) -> tuple[Trace, float, float]:
    """Ramps one after the other that drop at once."""
    phase = (np.arange(len(x)) * step * rng.uniform(0.9, 3.0)) % 1.0
    return np.asarray(s.low + (s.high - s.low) * rng.uniform(0.4, 1.2) * phase, np.float64), 2.0, ALWAYS


def inverted(
    x: Trace, s: Setting, _r: "Ranges", _rng: np.random.Generator, _step: float
) -> tuple[Trace, float, float]:
    """Upside down."""
    return s.low + s.high - x, 2.5, ALWAYS


def wandering(
    x: Trace, _s: Setting, r: "Ranges", rng: np.random.Generator, step: float
) -> tuple[Trace, float, float]:
    """The zero of the sensor wanders off."""
    walk = np.cumsum(rng.normal(size=len(x))) * rng.uniform(1.5, 5.0) * np.sqrt(step)
    return x + walk, _first_s(np.abs(walk) > 1.5 * r.shift[0], step) + 0.8, 6.0


def shifted(
    x: Trace, s: Setting, r: "Ranges", rng: np.random.Generator, _step: float
) -> tuple[Trace, float, float]:
    """Everything too high or too low by the same amount."""
    by = rng.choice([-1.0, 1.0]) * rng.uniform(*r.shift)
    return x + by, 1.0 + 0.5 * s.period_s, 6.0 if r.low[0] < s.low + by < r.low[1] + 2 else ALWAYS


def scaled(
    x: Trace, s: Setting, r: "Ranges", rng: np.random.Generator, _step: float
) -> tuple[Trace, float, float]:
    """Everything too large or too small by the same factor."""
    by = rng.uniform(0.3, 0.74) if rng.random() < 0.5 else rng.uniform(1.3, 2.0)
    return (
        x * by,
        s.period_s + 0.3,
        6.0 if r.low[0] + r.swing[0] < s.high * by < r.low[1] + r.swing[1] else ALWAYS,
    )


def spotted(
    x: Trace, _s: Setting, r: "Ranges", rng: np.random.Generator, step: float
) -> tuple[Trace, float, float]:
    """Bursts of readings that have nothing to do with the cycle."""
    x = x.copy()
    for start in range(0, len(x), round(rng.uniform(0.25, 0.9) / step)):
        x[start : start + round(rng.uniform(0.03, 0.12) / step)] = rng.uniform(0.0, r.ceiling[1])
    return x, 1.5, ALWAYS


SIGNAL_FAULTS: Mapping[str, SignalFault] = {
    "flat": flat,
    "frozen": frozen,
    "collapsed": collapsed,
    "leaking": leaking,
    "blocked": blocked,
    "swinging": swinging,
    "ramping": ramping,
    "inverted": inverted,
    "wandering": wandering,
    "shifted": shifted,
    "scaled": scaled,
    "spotted": spotted,
}


def _seen(before: int, unseen: int, lasting: bool) -> int:
    """Truth of a faulty cycle with `before` faulty ones before it."""
    return 1 if before >= unseen and (lasting or before < unseen + AS_CHANGE) else -1


def _still_shows(level: float, s: Setting, r: "Ranges") -> float:
    """How long a standstill at `level` can still be a pause."""
    if level < s.low - 3.5:
        return 0.8
    return 2.2 if level > s.low + 4 else r.slowest_s


def _first_s(shows: NDArray[np.bool_], step: float) -> float:
    at = np.flatnonzero(shows)
    return float(at[0]) * step if len(at) else ALWAYS


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
