"""How a device type is simulated: timeline, then parameters, then physics, then the device's own alarms.

A device type is a `Machine`. Look-alikes and faults change the arrays of its world (settings, patient and
hardware parameters over time); `solve` turns the world into channels, so every channel follows the physics.
Knows nothing about sampling, transport or bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.catalogue import FaultSpec, LookalikeSpec
from streams.simulation.noise import Array, Noise
from streams.simulation.plan import Plan

MOST_ALARMS = 12


@dataclass(frozen=True, slots=True)
class Event:
    """A look-alike in whole steps of the run."""

    name: str
    start: int
    stop: int
    magnitude: float
    noise: Noise

    def rng(self) -> np.random.Generator:
        """A fresh generator for the event's own choices: the same in every play of the run."""
        return self.noise.rng(f"event:{self.name}:{self.start}")


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault over time."""

    name: str
    strength: Array
    """(n,) 0 … 1, severity times the course of the onset."""
    sign: int


@dataclass(frozen=True, slots=True)
class Run:
    """The recipe of one simulated device run of `n` steps."""

    n: int
    noise: Noise
    plan: Plan
    events: tuple[Event, ...]
    faults: tuple[Injected, ...]
    step_s: int = 1
    """Seconds a step, the machine's."""


@dataclass(slots=True)
class Play:
    """What the device did, step by step, before sampling."""

    channels: dict[str, Array]
    """(n,) each, exact: not yet rounded to the device's resolution."""
    mode: NDArray[np.int16]
    ticks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Channels with a clock of their own (a breath): the steps at which they are reported."""
    alarms: list[tuple[int, str]] = field(default_factory=list)
    """(step, alarm name), in order of time."""
    cleared: dict[str, int] = field(default_factory=dict)
    """Fault name → step at which staff removed it in answer to an alarm."""


class World(Protocol):
    """What the worlds of all device types have."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    cleared: dict[str, int]


W = TypeVar("W", bound=World)


class Machine(ABC, Generic[W]):
    """A device type. Stateless: everything of a run lives in its world."""

    device_type: ClassVar[str]
    step_s: ClassVar[int] = 1
    """Seconds a step of the simulation: plans are in seconds, every array has one value a step. A device that
    changes within hours is played in minutes."""
    modes: ClassVar[type[IntEnum]]
    treatment: ClassVar[int]
    """The mode in which the device does its work."""
    pauses: ClassVar[tuple[tuple[tuple[str, float, float], ...], ...]]
    """Usual interruptions of treatment: sequences of (mode, shortest, longest duration in seconds)."""
    pauses_per_day: ClassVar[float] = 8.0
    """How often the operator interrupts treatment, apart from the interruptions themselves."""
    alarm_repeat_s: ClassVar[int] = 600
    """The same alarm is not raised again for this long: staff has seen it."""
    faults: ClassVar[Mapping[str, FaultSpec]]
    lookalikes: ClassVar[Mapping[str, LookalikeSpec]]
    resolution: ClassVar[Mapping[str, float]]
    """Channel → smallest step the device reports."""
    fault_hours: ClassVar[float] = 1.0
    """Device hours of a benchmark run with one fault: long enough for its compressed course."""
    healthy_hours: ClassVar[float] = 6.0
    """Device hours of a benchmark run without one: long enough for every usual interruption."""
    cycle_hours: ClassVar[float] = 0.0
    """Device hours of a whole round of its use, from one begin to the next, where it goes in rounds of hours."""
    spread: ClassVar[Mapping[str, float]]
    """Channel → standard deviation of a healthy device in treatment around the nominal device with the same
    settings: unit-to-unit bias, patient, wander and noise on the profile's grid (a counter: of its slope per
    minute). Measured by `tests/streams/simulation/test_spread.py`."""

    @abstractmethod
    def begin(self, run: Run) -> W:
        """The operator's timeline and the hardware of this serial number."""

    @abstractmethod
    def happen(self, world: W, event: Event) -> None:
        """Let a normal event change the world."""

    @abstractmethod
    def inject(self, world: W, fault: Injected) -> None:
        """Let a fault change physical parameters of the world."""

    @abstractmethod
    def solve(self, world: W) -> dict[str, Array]:
        """The channels that follow from the world."""

    @abstractmethod
    def alarms(self, world: W, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        """Conditions under which the device raises its own alarms, by alarm name, (n,) each."""

    def settle(self, world: W) -> None:
        """Whatever follows from the whole timeline before physics, such as a bag running empty."""

    def respond(self, world: W, alarm: str, step: int) -> bool:
        """What device and staff do after an alarm; True if the world has changed."""
        del world, alarm, step
        return False

    def ticks(self, world: W, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        """Reporting times of the channels that have a clock of their own."""
        del world, channels
        return {}

    def play(self, run: Run) -> Play:
        """Simulate `run`."""
        world = self.begin(run)
        for event in run.events:
            self.happen(world, event)
        for fault in run.faults:
            self.inject(world, fault)
        self.settle(world)
        channels = self.solve(world)
        raised: list[tuple[int, str]] = []
        quiet: dict[str, int] = {}
        for _ in range(MOST_ALARMS):
            first = _first_alarm(self.alarms(world, channels), quiet)
            if first is None:
                break
            step, alarm = first
            raised.append(first)
            quiet[alarm] = step + max(1, self.alarm_repeat_s // self.step_s)
            if self.respond(world, alarm, step):
                channels = self.solve(world)
        return Play(channels, world.mode, self.ticks(world, channels), sorted(raised), world.cleared)


def _first_alarm(
    conditions: Mapping[str, NDArray[np.bool_]], quiet: Mapping[str, int]
) -> tuple[int, str] | None:
    found = []
    for name, condition in conditions.items():
        since = quiet.get(name, 0)
        if since < len(condition) and condition[since:].any():
            found.append((since + int(np.argmax(condition[since:])), name))
    return min(found, default=None)


def mode_timeline(run: Run, modes: type[IntEnum], treatment: int) -> NDArray[np.int16]:
    """(n,) the mode the operator chose; the device starts in treatment unless the plan says otherwise.

    Raises:
        ValueError: a mode the device type does not have.
    """
    timeline = np.full(run.n, treatment, np.int16)
    for change in sorted(run.plan.modes, key=lambda change: change.at_s):
        if change.mode not in modes.__members__:
            raise ValueError(
                f"{change.mode} is no mode of this device; it has {', '.join(modes.__members__)}"
            )
        timeline[max(0, round(change.at_s / run.step_s)) :] = modes[change.mode]
    return timeline
