"""The world of an anaesthesia machine: its settings, patient and hardware, and what normal events change.

Knows nothing about channels.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from streams.simulation.machine import Event
from streams.simulation.noise import Array, Noise, pulse

FLUSH = 14.0
"""L/min of the oxygen flush valve that stay in the circle; the rest of its 35 leaves by the APL valve."""
WASH_IN_FLOW, WASH_IN_S = 6.0, 300
FAULT_PARAMETERS = ("exhaustion", "output_error", "leakage", "blockage", "o2_gain", "sag")


class AnaesthesiaMode(IntEnum):
    """Values of the channel `mode`."""

    OFF = 0
    SELF_TEST = 1
    STANDBY = 2
    AUTOMATIC = 3
    MANUAL = 4


class Agent(IntEnum):
    """Values of the channel `agent`."""

    SEVOFLURANE = 1
    DESFLURANE = 2


@dataclass(slots=True)
class AnaesthesiaWorld:
    """Settings, patient and hardware of one machine over time; arrays are (n,)."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    agent: NDArray[np.int16]
    dial: Array
    """% that the vaporiser is set to."""
    o2_set: Array
    air_set: Array
    n2o_set: Array
    vt_set: Array
    rr_set: Array
    compliance: Array
    """mL/mbar"""
    flush: Array
    zeroing: NDArray[np.bool_]
    open_circuit: NDArray[np.bool_]
    exhaustion: Array = field(init=False)
    """How much of the absorber lets carbon dioxide through, 0 … 1."""
    output_error: Array = field(init=False)
    """Relative error of the vaporiser's output."""
    leakage: Array = field(init=False)
    blockage: Array = field(init=False)
    """How far the sample line is closed, 0 … 1."""
    o2_gain: Array = field(init=False)
    """Relative error of the oxygen sensor."""
    sag: Array = field(init=False)
    cleared: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in FAULT_PARAMETERS:
            setattr(self, name, np.zeros(self.n))


def wash_in(world: AnaesthesiaWorld, start: int) -> None:
    """After whatever emptied the circle staff runs high fresh gas of the same mixture until it is filled again."""
    part = slice(start, start + WASH_IN_S)
    total = world.o2_set[part] + world.air_set[part] + world.n2o_set[part]
    more = np.maximum(WASH_IN_FLOW / np.maximum(total, 0.5), 1.0)
    for flow in (world.o2_set, world.air_set, world.n2o_set):
        flow[part] = np.round(flow[part] * more, 1)


def begin_cases(world: AnaesthesiaWorld) -> None:
    """Let every case after a standby begin with a wash-in."""
    breathing = (world.mode >= AnaesthesiaMode.AUTOMATIC).astype(np.int8)
    for start in np.flatnonzero(np.diff(breathing, prepend=1) == 1):
        wash_in(world, int(start))


def conduct(world: AnaesthesiaWorld, event: Event) -> None:
    """Phases of a case."""
    a, b, m = event.start, event.stop, event.magnitude
    middle = a + (b - a) // 3
    match event.name:
        case "induction":
            _into(world, a, middle, AnaesthesiaMode.MANUAL)
            world.o2_set[a:b] = 6.0
            world.air_set[a:b] = world.n2o_set[a:b] = 0.0
            world.dial[a:b] = np.round(world.dial[a:b] * (1.4 + 0.6 * m), 1)
            wash_in(world, b)
        case "emergence":
            _into(world, b - (b - a) // 3, b, AnaesthesiaMode.MANUAL)
            world.o2_set[a:b] = 6.0 + round(3.0 * m)
            world.air_set[a:b] = world.n2o_set[a:b] = 0.0
            world.dial[a:b] = 0.0
            wash_in(world, b)
        case "agent_change":
            factor = np.where(world.agent[a:b] == Agent.SEVOFLURANE, 2.75, 1.0 / 2.75)
            world.dial[a:b] = np.round(world.dial[a:b] * factor, 1)
            world.agent[a:b] = 3 - world.agent[a:b]
            wash_in(world, a)
            wash_in(world, b)
        case "circuit_disconnect":
            world.open_circuit[a:b] = True
            _into(world, a + 15, b, AnaesthesiaMode.STANDBY)


def operate(world: AnaesthesiaWorld, event: Event) -> None:
    """What is done at the machine itself, and what it does on its own."""
    a, b = event.start, event.stop
    match event.name:
        case "bag_mode":
            _into(world, a, b, AnaesthesiaMode.MANUAL)
        case "o2_flush":
            world.flush += FLUSH * pulse(world.n, a, b)
            wash_in(world, b)
        case "analyser_zeroing":
            world.zeroing[a:b] = True
        case "daily_self_test":
            _into(world, a, b, AnaesthesiaMode.STANDBY)
            part = world.mode[a + 30 : b - 30]
            part[part == AnaesthesiaMode.STANDBY] = AnaesthesiaMode.SELF_TEST


def _into(world: AnaesthesiaWorld, start: int, stop: int, mode: AnaesthesiaMode) -> None:
    part = world.mode[start:stop]
    part[part == AnaesthesiaMode.AUTOMATIC] = mode
