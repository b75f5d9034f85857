"""Traces to practise on: a healthy machine at any setting, with or without a fault, and for each reading the truth.

The cycles come from healthy recordings (`models.rhythm.cycles`); what is drawn here is how the machine is set, what an
operator changes, and which fault comes when. Truth says fault only where a watcher could know by then: a pause is no
fault before it is too long. Where nobody could say (the fault has begun but does not show; it showed a change, but the
new state looks like another harmless setting; the first seconds after it) the truth abstains. Letters: N readings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.rhythm.cycles import Cycle, Setting, Trace, play_cycle
from models.rhythm.faults import ALWAYS, CYCLE_FAULTS, SIGNAL_FAULTS, CycleFault, SignalFault

NORMAL, FAULT, UNTOLD = 0, 1, -1

Library = Mapping[str, Sequence[Sequence[Cycle]]]
"""Recording → its healthy stretches → their cycles in order."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """What is normal for the type of machine; pairs are (lowest, highest), levels in the channel's unit."""

    period_s: tuple[float, float] = (1.4, 3.9)
    low: tuple[float, float] = (6.5, 16.0)
    swing: tuple[float, float] = (17.0, 31.5)
    usual_low: tuple[float, float] = (10.5, 14.0)
    usual_high: tuple[float, float] = (33.0, 43.0)
    """Half of the machines are set to levels in these two."""
    step: tuple[float, float] = (0.74, 1.36)
    """Factor by which an operator, or a load, changes the period at once."""
    noise: tuple[float, float] = (0.02, 0.4)
    bump: float = 3.0
    """Height of a harmless short disturbance."""
    slowest_s: float = 4.45
    quickest_s: float = 1.15
    """A period beyond these is a fault whatever went before."""
    lost: tuple[float, float] = (0.0, 8.0)
    """Where the level goes when nothing holds it."""
    ceiling: tuple[float, float] = (48.0, 75.0)
    """Where it ends when nothing lets it out."""
    climb: tuple[float, float] = (5.0, 14.0)
    """How far a lower level rises that is at fault."""
    shift: tuple[float, float] = (6.0, 14.0)
    """How far off a sensor is that is at fault."""
    outside: tuple[float, float] = (-2.0, 90.0)
    """What the sensor can show."""


@dataclass(frozen=True, slots=True)
class PracticeConfig:
    """How traces are drawn."""

    ranges: Ranges = field(default_factory=Ranges)
    step_s: float = 0.01
    length_s: float = 40.0
    healthy: float = 0.4
    """Part of the traces without a fault."""
    onset_s: tuple[float, float] = (2.0, 28.0)
    lasting_s: tuple[float, float] = (4.0, 30.0)
    settle_s: float = 3.5
    """Untold time after a fault: the machine finds back."""


class PracticeTrace(NamedTuple):
    """One practice trace."""

    values: Trace
    """(N,) readings every `step_s`."""
    truth: NDArray[np.int8]
    """(N,) NORMAL, FAULT or UNTOLD."""
    clean: Trace
    """(N,) what it would have been without the fault; NaN where a fault changes the timing, so nobody can tell."""
    fault: str | None


def fault_names() -> tuple[str, ...]:
    """Every fault that can be drawn."""
    return (*CYCLE_FAULTS, *SIGNAL_FAULTS)


def draw_setting(ranges: Ranges, rng: np.random.Generator) -> Setting:
    """A machine somewhere within the normal ranges."""
    low = rng.uniform(*ranges.low)
    high = low + _log_uniform(rng, ranges.swing)
    if rng.random() < 0.5:
        low, high = rng.uniform(*ranges.usual_low), rng.uniform(*ranges.usual_high)
    return Setting(
        low=low,
        high=high,
        period_s=_log_uniform(rng, ranges.period_s),
        rise_stretch=_log_uniform(rng, (0.75, 1.4)),
        fall_stretch=_log_uniform(rng, (0.75, 1.4)),
        bend=_log_uniform(rng, (0.75, 1.35)),
        sag=rng.uniform(0.0, 0.2) if rng.random() < 0.4 else 0.0,
        jitter=rng.uniform(0.005, 0.06),
        noise=rng.uniform(*ranges.noise),
    )


def practice_trace(
    library: Library, config: PracticeConfig, rng: np.random.Generator, fault: str | None = None
) -> PracticeTrace:
    """One trace, healthy or with the named fault at a random time.

    Raises:
        KeyError: no fault of that name.
    """
    maker = _Maker(library, config, rng)
    onset = rng.uniform(*config.onset_s)
    end = onset + _log_uniform(rng, config.lasting_s)
    broken = None
    if fault is not None and fault not in SIGNAL_FAULTS:
        broken = CYCLE_FAULTS[fault](maker.setting, config.ranges, rng)
    trace, end = maker.cycles(broken, onset, end)
    return maker.finish(trace, fault, onset, end)


class _Maker:
    """Plays cycle after cycle; remembers the truth beside them."""

    def __init__(self, library: Library, config: PracticeConfig, rng: np.random.Generator) -> None:
        self.library, self.config, self.rng = library, config, rng
        self.setting = draw_setting(config.ranges, rng)
        self.n = round(config.length_s / config.step_s)
        self.truth = np.zeros(self.n, np.int8)
        self._stretch()

    def _stretch(self) -> None:
        """Another stretch of another recording: another load, so another shape."""
        recording = self.library[list(self.library)[self.rng.integers(len(self.library))]]
        self.cycles_at_hand = recording[int(self.rng.integers(len(recording)))]
        self.position = int(self.rng.integers(len(self.cycles_at_hand)))

    def _next(self) -> Cycle:
        cycle: Cycle = self.cycles_at_hand[self.position]
        self.position = (self.position + 1) % len(self.cycles_at_hand)
        return cycle

    def cycles(self, fault: CycleFault | None, onset: float, end: float) -> tuple[Trace, float]:
        """(N,) cycles without noise, and when the last faulty one ended; sets `truth` on the way."""
        step, made, parts, ill = self.config.step_s, 0, [], 0
        ended = end
        while made < self.n:
            t = made * step
            if fault is not None and onset <= t < end:
                part, marks = fault(self._next(), self.setting, ill, end - t, step)
                ill += 1
                ended = max(end, t + len(part) * step)
                for start, stop, label in marks:
                    self.truth[round((t + start) / step) : round((t + stop) / step)] = label
            else:
                part = self._healthy_cycle()
            parts.append(part)
            made += len(part)
        return np.concatenate(parts)[: self.n], ended

    def _healthy_cycle(self) -> Trace:
        """Operators turn knobs, loads change, and now and then a cycle comes early."""
        s, rng, ranges = self.setting, self.rng, self.config.ranges
        if rng.random() < 0.05:
            s.period_s = float(np.clip(s.period_s * rng.uniform(*ranges.step), *ranges.period_s))
        if rng.random() < 0.04:
            self._stretch()
        if rng.random() < 0.03:
            s.bend = _log_uniform(rng, (0.75, 1.35))
        if rng.random() < 0.03:
            s.rise_stretch = _log_uniform(rng, (0.75, 1.4))
        if rng.random() < 0.02:
            s.sag = rng.uniform(0.0, 0.2)
        if rng.random() < 0.02:
            s.high += rng.uniform(-0.08, 0.08) * (s.high - s.low)
        early = rng.uniform(0.7, 1.0) if rng.random() < 0.02 else 1.0
        return play_cycle(self._next(), s, rng, self.config.step_s, period_s=s.period_s * early)

    def finish(self, x: Trace, fault: str | None, onset: float, end: float) -> PracticeTrace:
        """Disturbances, the fault of the signal, noise; truth around the fault."""
        rng, step = self.rng, self.config.step_s
        for _ in range(rng.poisson(0.6 * self.n * step / 40)):
            at, wide = int(rng.uniform(0, self.n * 0.98)), int(rng.uniform(0.1, 0.5) / step)
            bump = rng.uniform(-1, 1) * self.config.ranges.bump * np.hanning(wide)
            x[at : at + wide] += bump[: len(x) - at]
        clean = x.copy()
        if fault is not None:
            a, b = (min(round(t / step), self.n) for t in (onset, end))
            settled = min(b + round(self.config.settle_s / step), self.n)
            if fault in SIGNAL_FAULTS:
                self._spoil(x, SIGNAL_FAULTS[fault], a, b)
                self.truth[b:settled] = UNTOLD
            else:
                clean[a:settled] = np.nan
                told = self.truth[a:b]
                told[told == NORMAL] = UNTOLD
                self.truth[b:settled] = UNTOLD
        x = x + rng.normal(size=self.n) * self.setting.noise
        return PracticeTrace(np.clip(x, *self.config.ranges.outside), self.truth, clean, fault)

    def _spoil(self, x: Trace, fault: SignalFault, a: int, b: int) -> None:
        """Put a fault of the signal into x[a:b]."""
        if b <= a:
            return
        step = self.config.step_s
        x[a:b], shows_after_s, shows_for_s = fault(
            x[a:b].copy(), self.setting, self.config.ranges, self.rng, step
        )
        self.truth[a:b] = UNTOLD
        first = a + round(min(shows_after_s, ALWAYS) / step)
        last = min(b, first + round(min(shows_for_s, ALWAYS) / step))
        self.truth[first:last] = FAULT


def _log_uniform(rng: np.random.Generator, between: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(between))))
