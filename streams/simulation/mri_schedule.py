"""When an MRI scanner examines whom with which protocol. Knows nothing about its physics."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.simulation.noise import Array, Noise

DAY_STEPS = 24 * 60
MORNING, EVENING = 7 * 60, 21 * 60
"""Minutes of the day between which exams follow each other closely."""


class MriMode(IntEnum):
    """Values of the channel `mode`."""

    OFF = 0
    STANDBY = 1
    IN_USE = 2
    SERVICE = 3
    RAMP = 4


class Protocol(IntEnum):
    """Values of the channel `protocol`."""

    NONE = 0
    QUIET = 1
    ROUTINE = 2
    FINE = 3
    ECHO_PLANAR = 4


LOAD = {Protocol.QUIET: 0.15, Protocol.ROUTINE: 0.30, Protocol.FINE: 0.50, Protocol.ECHO_PLANAR: 0.75}
"""Usual part of the gradients' rated power."""


class Exams(NamedTuple):
    """What the scanner is told to do, (n,) each, a value a minute."""

    protocol: NDArray[np.int16]
    load: Array
    """0 … 1 of the gradients' rated power."""
    scan: NDArray[np.int32]
    """Number of the scan that is running or was last."""
    done: NDArray[np.bool_]
    """Minutes in which a scan ends and is reported."""


def exams(noise: Noise, n: int) -> Exams:
    """Exams of 15 to 40 minutes, several scans each, day and night, with longer gaps at night."""
    rng = noise.rng("exams")
    plan = Exams(np.zeros(n, np.int16), np.zeros(n), np.zeros(n, np.int32), np.zeros(n, np.bool_))
    clock, at, scan = int(rng.integers(DAY_STEPS)), -int(rng.integers(30)), 0
    while at < n:
        until = at + int(rng.integers(15, 41))
        while at < until:
            scan += 1
            at = _scan(plan, rng, at, scan) + int(rng.integers(1, 3))
        by_day = MORNING <= (clock + at) % DAY_STEPS < EVENING
        at += int(rng.integers(3, 12)) if by_day else int(rng.integers(15, 40))
    np.maximum.accumulate(plan.scan, out=plan.scan)
    return plan


def _scan(plan: Exams, rng: np.random.Generator, start: int, number: int) -> int:
    """One scan from minute `start`; answers when it ends."""
    protocol = Protocol(int(rng.choice([1, 2, 3, 4], p=[0.2, 0.45, 0.2, 0.15])))
    stop = start + int(rng.integers(3, 7))
    load = LOAD[protocol] * float(rng.uniform(0.8, 1.2))
    part = slice(max(start, 0), max(stop, 0))
    plan.protocol[part], plan.load[part], plan.scan[part] = protocol, load, number
    if 0 < stop <= len(plan.done):
        plan.done[stop - 1] = True
    return stop
