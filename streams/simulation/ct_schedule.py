"""When a CT scanner scans whom with which protocol. Knows nothing about its physics; a step is ten seconds."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.simulation.noise import Array, Noise

STEP_S = 10
HOUR_STEPS = 3600 // STEP_S
MORNING, EVENING = 7 * HOUR_STEPS, 21 * HOUR_STEPS
"""Steps of the day between which patients follow each other closely."""
WARM_UP_EVERY = 6
"""Steps between two exposures of a warm-up."""


class CtMode(IntEnum):
    """Values of the channel `mode`."""

    OFF = 0
    STANDBY = 1
    IN_USE = 2
    WARM_UP = 3
    SERVICE = 4


class Protocol(IntEnum):
    """Values of the channel `protocol`."""

    NONE = 0
    HEAD = 1
    BODY = 2
    ANGIOGRAPHY = 3
    CHILD = 4
    WARM_UP = 5


class Technique(NamedTuple):
    """How a protocol is usually taken."""

    power_kw: float
    """Tube voltage times tube current."""
    seconds: tuple[float, float]
    """Shortest and longest exposure."""
    turns_per_s: float


TECHNIQUES = {
    Protocol.HEAD: Technique(33.0, (6.0, 12.0), 1.0),
    Protocol.BODY: Technique(30.0, (5.0, 14.0), 2.0),
    Protocol.ANGIOGRAPHY: Technique(55.0, (4.0, 9.0), 3.6),
    Protocol.CHILD: Technique(9.0, (3.0, 6.0), 2.0),
}


class Scans(NamedTuple):
    """What the scanner is told to do, (n,) each, a value every ten seconds."""

    protocol: NDArray[np.int16]
    """Of the scan that is running or was last."""
    power: Array
    """kW of the tube, averaged over the step."""
    turns: Array
    """Turns of the gantry a second, averaged over the step."""
    number: NDArray[np.int32]
    """Of the scan that is running or was last."""
    done: NDArray[np.bool_]
    """Steps in which a scan ends and is reported."""


def scans(noise: Noise, n: int) -> Scans:
    """Patients with one to three scans each, day and night, with longer gaps at night."""
    rng = noise.rng("scans")
    plan = Scans(
        np.zeros(n, np.int16), np.zeros(n), np.zeros(n), np.zeros(n, np.int32), np.zeros(n, np.bool_)
    )
    clock, at = int(rng.integers(24 * HOUR_STEPS)), 0
    while at < n:
        at = _patient(plan, rng, at)
        by_day = MORNING <= (clock + at) % (24 * HOUR_STEPS) < EVENING
        at += int(rng.integers(15, 60)) if by_day else int(rng.integers(60, 180))
    _number(plan)
    return plan


def surge(plan: Scans, rng: np.random.Generator, start: int, stop: int) -> None:
    """Patient after patient between two steps, in place of what was planned."""
    clear(plan, slice(start, stop))
    at = start
    while at < stop - 20:
        at = _patient(plan, rng, at) + int(rng.integers(3, 10))
    _number(plan)


def clear(plan: Scans, when: NDArray[np.bool_] | slice) -> None:
    """Nothing is scanned in these steps."""
    plan.power[when] = 0.0
    plan.turns[when] = 0.0
    plan.done[when] = False


def warm_up(plan: Scans, warming: NDArray[np.bool_]) -> None:
    """Exposures of growing power in every stretch of `warming`."""
    starts = np.flatnonzero(np.diff(warming.astype(np.int8), prepend=0) == 1)
    for start in starts.tolist():
        length = int(np.argmin(np.append(warming[start:], False)))
        steps = start + np.arange(WARM_UP_EVERY, length, WARM_UP_EVERY)
        plan.power[steps] = np.linspace(5.0, 25.0, len(steps))
        plan.turns[steps] = 0.5
        plan.protocol[steps] = Protocol.WARM_UP
        plan.done[steps] = True
    _number(plan)


def _patient(plan: Scans, rng: np.random.Generator, at: int) -> int:
    """The scans of one patient from step `at`; answers when the table is free."""
    protocol = Protocol(int(rng.choice([1, 2, 3, 4], p=[0.3, 0.45, 0.15, 0.1])))
    for _ in range(int(rng.integers(1, 4))):
        usual = TECHNIQUES[protocol]
        seconds = float(rng.uniform(*usual.seconds))
        power = usual.power_kw * float(rng.uniform(0.8, 1.2))
        stop = at + int(np.ceil(seconds / STEP_S))
        part = slice(at, stop)
        plan.power[part] = power * seconds / (STEP_S * (stop - at))
        plan.turns[part] = usual.turns_per_s
        plan.protocol[part] = protocol
        if stop <= len(plan.done):
            plan.done[stop - 1] = True
        at = stop + int(rng.integers(4, 12))
    return at


def _number(plan: Scans) -> None:
    """Number the scans that end, and let the protocol of each stand until the next one begins."""
    plan.number[:] = np.cumsum(plan.done) - plan.done
    told = np.where((plan.power > 0) | plan.done, np.arange(len(plan.done)), 0)
    plan.protocol[:] = plan.protocol[np.maximum.accumulate(told)]
