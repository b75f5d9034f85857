"""What a steam steriliser runs when: programmes, their phases, and a timetable of cycles. Knows no physics.

The controller runs its phases by time, each with the slack that a sound machine needs for the load that staff
declared. So a fault shows in what a phase reaches and not in when the next one begins; where a phase fails, the
machine breaks the cycle off.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from streams.simulation.machine import Event
from streams.simulation.noise import Array, Noise

LEAD_S = 3600
"""Time before a run for which cycles are planned as well, so that at its start values of an earlier cycle stand."""


class SteriliserMode(IntEnum):
    """Values of the channel `mode`."""

    OFF = 0
    STANDBY = 1
    WARM_UP = 2
    PROCESSING = 3


class Phase(IntEnum):
    """Values of the channel `cycle_phase`."""

    IDLE = 0
    EVACUATE = 1
    CHECK = 2
    """Valves shut: the rise of the pressure is the air leak."""
    PULSE = 3
    HEAT = 4
    HOLD = 5
    EXHAUST = 6
    DRY = 7
    AIR = 8


class Programme(IntEnum):
    """Values of the channel `program`."""

    WRAPPED_134 = 1
    GENTLE_121 = 2
    BOWIE_DICK = 3
    LEAK_TEST = 4
    LIQUIDS = 5


Steps = tuple[tuple[Phase, int], ...]
AIR_REMOVAL: Steps = (
    (Phase.EVACUATE, 60), (Phase.CHECK, 40), (Phase.PULSE, 35), (Phase.EVACUATE, 55), (Phase.PULSE, 35),
    (Phase.EVACUATE, 55), (Phase.PULSE, 35), (Phase.EVACUATE, 55), (Phase.PULSE, 35),
)  # fmt: skip
STEPS: dict[Programme, Steps] = {
    Programme.WRAPPED_134: (
        *AIR_REMOVAL, (Phase.HEAT, 150), (Phase.HOLD, 240), (Phase.EXHAUST, 60), (Phase.DRY, 420), (Phase.AIR, 50)
    ),
    Programme.GENTLE_121: (
        *AIR_REMOVAL, (Phase.HEAT, 120), (Phase.HOLD, 930), (Phase.EXHAUST, 60), (Phase.DRY, 480), (Phase.AIR, 50)
    ),
    Programme.BOWIE_DICK: (
        *AIR_REMOVAL, (Phase.HEAT, 150), (Phase.HOLD, 215), (Phase.EXHAUST, 60), (Phase.DRY, 120), (Phase.AIR, 50)
    ),
    Programme.LEAK_TEST: ((Phase.EVACUATE, 120), (Phase.CHECK, 900), (Phase.AIR, 60)),
    Programme.LIQUIDS: (
        (Phase.PULSE, 240), (Phase.HEAT, 420), (Phase.HOLD, 930), (Phase.EXHAUST, 1200), (Phase.AIR, 60)
    ),
}  # fmt: skip
TEMPERATURE = {
    Programme.WRAPPED_134: 134.0, Programme.GENTLE_121: 121.0, Programme.BOWIE_DICK: 134.0,
    Programme.LEAK_TEST: 134.0, Programme.LIQUIDS: 121.0,
}  # fmt: skip
SPECIAL = {
    "heavy_load": Programme.WRAPPED_134,
    "first_cold_cycle": Programme.WRAPPED_134,
    "bowie_dick": Programme.BOWIE_DICK,
    "leak_test": Programme.LEAK_TEST,
    "liquids_cycle": Programme.LIQUIDS,
    "operator_abort": Programme.WRAPPED_134,
}
"""Look-alikes that are a cycle of their own kind, and its programme."""
OFF_UNTIL, WARM_UNTIL = 0.40, 0.60
"""Parts of a first cold cycle's time during which the machine is off, and at the end of which it is warm enough."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """One planned cycle."""

    begin: int
    """Second of the run, negative before it."""
    programme: Programme
    load: float
    """Declared by staff, 1 the usual one."""
    broken_off: int | None = None
    """Seconds after which staff breaks it off."""
    idle_s: int = 0
    """To unload and load again."""

    @property
    def steps(self) -> Steps:
        """Phases with their durations; a load that takes longer to heat gets the time for it."""
        heating = max(1.0, self.load)
        steps = tuple(
            (phase, round(length * heating) if phase is Phase.HEAT else length)
            for phase, length in STEPS[self.programme]
        )
        return steps if self.broken_off is None else broken_off(steps, self.broken_off)

    @property
    def end(self) -> int:
        """Second after the cycle, not counting the time to unload."""
        return self.begin + sum(length for _, length in self.steps)


@dataclass(frozen=True, slots=True)
class Timetable:
    """Phases second by second, from LEAD_S before the run on; arrays are (LEAD_S + n,)."""

    phase: NDArray[np.int8]
    programme: NDArray[np.int8]
    cycle: NDArray[np.int32]
    """Number of the cycle, that of the last one between two."""
    load: Array


def broken_off(steps: Steps, after: int) -> Steps:
    """The steps until second `after`, then exhaust and air."""
    kept: list[tuple[Phase, int]] = []
    for phase, length in steps:
        if after <= 0:
            break
        kept.append((phase, min(length, after)))
        after -= length
    return (*kept, (Phase.EXHAUST, 60), (Phase.AIR, 50))


def change_mode(mode: NDArray[np.int16], event: Event) -> None:
    """A first cold cycle comes after a time without power, and a warm-up."""
    if event.name != "first_cold_cycle":
        return
    part = mode[event.start : event.stop]
    place = np.arange(len(part)) / len(part)
    idle = part == SteriliserMode.PROCESSING
    part[idle & (place < WARM_UNTIL)] = SteriliserMode.WARM_UP
    part[idle & (place < OFF_UNTIL)] = SteriliserMode.OFF


def special_cycle(event: Event) -> Cycle:
    """The cycle that a look-alike consists of."""
    programme, begin, load, after = SPECIAL[event.name], event.start, 1.0, None
    match event.name:
        case "heavy_load":
            load = 1.4 + 0.4 * event.magnitude
        case "first_cold_cycle":
            begin = event.start + round(WARM_UNTIL * (event.stop - event.start))
        case "operator_abort":
            after = int(event.rng().integers(150, 700))
    return Cycle(begin, programme, load, after, 300)


def plan_cycles(noise: Noise, mode: NDArray[np.int16], special: Sequence[Cycle]) -> Iterator[Cycle]:
    """Cycle after cycle while the machine is in processing.

    None is begun that would not end before the next interruption or special cycle.
    """
    wanted = sorted(special, key=lambda cycle: cycle.begin)
    stops = _interruptions(mode)
    at, number = -LEAD_S + int(noise.rng("first cycle").integers(0, 1700)), 0
    while at < len(mode):
        due = wanted[0].begin if wanted else len(mode) + LEAD_S
        pause = next(((a, b) for a, b in stops if b > at), (len(mode) + LEAD_S, 0))
        if pause[0] <= at:
            at = pause[1]
            continue
        cycle = _usual(noise, number, at)
        if wanted and due <= cycle.end:
            cycle = replace(wanted.pop(0), begin=max(at, due))
        elif cycle.end > pause[0]:
            at = pause[1]
            continue
        yield cycle
        at, number = cycle.end + cycle.idle_s, number + 1


def _interruptions(mode: NDArray[np.int16]) -> list[tuple[int, int]]:
    """(first second, one after the last) of every stretch that is not processing."""
    away = np.concatenate([[0], (mode != SteriliserMode.PROCESSING).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(away))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _usual(noise: Noise, number: int, at: int) -> Cycle:
    """The cycle that comes next when nothing special is planned."""
    rng = noise.rng(f"cycle:{number}")
    gentle = rng.random() < 0.2 and at >= 0  # before the run only what surely ends before it
    return Cycle(
        at,
        Programme.GENTLE_121 if gentle else Programme.WRAPPED_134,
        float(np.clip(np.exp(rng.normal(0.0, 0.12)), 0.75, 1.3)),
        None,
        int(rng.integers(200, 420)),
    )


def timetable(cycles: Iterator[Cycle], n: int) -> Timetable:
    """Phases of the cycles, second by second, for a run of `n` seconds."""
    total = LEAD_S + n
    phase = np.zeros(total, np.int8)
    programme = np.full(total, Programme.WRAPPED_134, np.int8)
    number, load = np.zeros(total, np.int32), np.ones(total)
    for count, cycle in enumerate(cycles):
        second = LEAD_S + cycle.begin
        programme[second:], number[second:], load[second:] = cycle.programme, count, cycle.load
        for step, length in cycle.steps:
            phase[second : second + length] = step
            second += length
    return Timetable(phase, programme, number, load)
