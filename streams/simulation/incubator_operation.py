"""What staff and baby do at an infant incubator, as states over time. Knows nothing about its physics."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from streams.simulation.machine import Event
from streams.simulation.noise import Array, lag, pulse

AIR_CONTROL, SKIN_CONTROL = 1.0, 2.0
CLOSED, PORT, DOOR = 0.0, 1.0, 2.0
UNPLUGGED, ON_SKIN, OFF_SKIN = 0.0, 1.0, 2.0
NO_OXYGEN = 21.0
"""Setting of an incubator whose oxygen control is off."""
NOTICED_S = 20
"""Until the incubator sees by the fall of the reading that a skin sensor has come off."""
TRANSFER_S = 75
"""To lift a baby out or in."""


class IncubatorMode(IntEnum):
    """Values of the channel `mode`."""

    OFF = 0
    SELF_TEST = 1
    STANDBY = 2
    PREWARM = 3
    CARE = 4
    KANGAROO = 5
    TRANSPORT = 6
    CLEANING = 7


@dataclass(slots=True)
class Operation:
    """Settings, openings and the baby; arrays are (n,)."""

    mode: NDArray[np.int16]
    control: Array
    """What staff chose, AIR_CONTROL or SKIN_CONTROL."""
    air_set: Array
    skin_set: Array
    humidity_set: Array
    o2_set: Array
    access: Array = field(init=False)
    """CLOSED, PORT or DOOR."""
    probe: Array = field(init=False)
    """UNPLUGGED, ON_SKIN or OFF_SKIN, as the incubator sees it."""
    loose: Array = field(init=False)
    """1 while the first skin sensor hangs in the air."""
    lamp: Array = field(init=False)
    """0 … 1, phototherapy lamp above the hood; the incubator does not know of it."""
    held: Array = field(init=False)
    """1 while the baby lies on a parent's chest."""
    inside: Array = field(init=False)
    """1 while the baby lies in the incubator."""
    on_battery: Array = field(init=False)

    def __post_init__(self) -> None:
        for name in ("access", "loose", "lamp", "held", "on_battery"):
            setattr(self, name, np.zeros(len(self.mode)))
        self.probe, self.inside = np.full(len(self.mode), ON_SKIN), np.ones(len(self.mode))

    def empty_where_no_baby_is(self) -> None:
        """Modes without a baby: sensors unplugged, hood open for cleaning."""
        without = np.isin(
            self.mode, (IncubatorMode.OFF, IncubatorMode.SELF_TEST, IncubatorMode.STANDBY,
                        IncubatorMode.PREWARM, IncubatorMode.CLEANING)
        )  # fmt: skip
        self.inside[without | (self.held > 0)] = 0.0
        self.probe[without] = UNPLUGGED
        self.access[self.mode == IncubatorMode.CLEANING] = DOOR

    def in_control(self) -> Array:
        """(n,) what controls the heater: the air as well where no skin sensor can be trusted."""
        trusted = (self.probe == ON_SKIN) & (self.mode == IncubatorMode.CARE)
        return np.where((self.control == SKIN_CONTROL) & trusted, SKIN_CONTROL, AIR_CONTROL)

    def disturbed(self) -> Array:
        """(n,) 1 while the hood is open, a sensor off, or the incubator not in care."""
        usual = (self.access == CLOSED) & (self.probe == ON_SKIN) & (self.mode == IncubatorMode.CARE)
        return np.asarray(1.0 - usual)

    def outside(self, room: Array) -> Array:
        """(n,) temperature around the incubator: corridors are colder than the ward."""
        return room - 2.5 * lag((self.mode == IncubatorMode.TRANSPORT).astype(np.float64), 180.0)


def operate(operation: Operation, event: Event) -> None:
    """Let a normal event change the operation."""
    _open(operation, event)
    _set(operation, event)
    _take_out(operation, event)
    a, b, m, n = event.start, event.stop, event.magnitude, len(operation.mode)
    match event.name:
        case "phototherapy":
            operation.lamp = operation.lamp + (0.5 + 0.5 * m) * pulse(n, a, b)
        case "skin_probe_off":
            operation.loose[a:b] = 1.0
            operation.probe[a + NOTICED_S : max(b, a + NOTICED_S + 1)] = OFF_SKIN


def _open(operation: Operation, event: Event) -> None:
    part = operation.access[event.start : event.stop]
    match event.name:
        case "hand_port":
            part[:] = np.maximum(part, PORT)
        case "door_open":
            part[:] = DOOR


def _set(operation: Operation, event: Event) -> None:
    a, b, rng = event.start, event.stop, event.rng()
    match event.name:
        case "control_change":
            operation.control[a:b] = AIR_CONTROL + SKIN_CONTROL - operation.control[a:b]
        case "setting_change":
            side = rng.choice([-1.0, 1.0], 3)
            chosen = rng.permutation(3)[: 1 + round(1.5 * event.magnitude)]
            if 0 in chosen:
                for setting in (operation.air_set, operation.skin_set):
                    setting[a:b] = np.round(setting[a:b] + side[0] * (0.2 + 0.3 * event.magnitude), 1)
            if 1 in chosen:
                operation.humidity_set[a:b] = np.clip(operation.humidity_set[a:b] + 5.0 * side[1], 40.0, 85.0)
            if 2 in chosen and operation.o2_set[a] > NO_OXYGEN:
                operation.o2_set[a:b] = np.clip(operation.o2_set[a:b] + 3.0 * side[2], 23.0, 45.0)


def _take_out(operation: Operation, event: Event) -> None:
    a, b = event.start, event.stop
    modes = {
        "kangaroo_care": IncubatorMode.KANGAROO,
        "transport": IncubatorMode.TRANSPORT,
        "cleaning": IncubatorMode.CLEANING,
    }
    if event.name not in modes:
        return
    part = operation.mode[a:b]
    caring = part == IncubatorMode.CARE
    part[caring] = modes[event.name]
    if event.name == "transport":
        operation.on_battery[a:b] = 1.0
    elif event.name == "cleaning":
        part[caring & (np.arange(len(part)) > 0.45 * len(part))] = IncubatorMode.PREWARM
    else:
        operation.held[a:b] = 1.0
        for start, stop in ((a, a + TRANSFER_S), (b - TRANSFER_S, b)):
            operation.access[max(start, 0) : stop] = DOOR
