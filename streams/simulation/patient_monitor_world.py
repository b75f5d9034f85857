"""The world of a bedside patient monitor: its states, settings, patient and hardware, and what normal events change.

Knows nothing about channels.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from streams.simulation.machine import Event
from streams.simulation.noise import Array, Noise, bursts, pulse

FAULT_PARAMETERS = ("led_loss", "cuff_leak", "fracture", "zero", "charger_loss", "link_loss")


class MonitorMode(IntEnum):
    """Values of the channel `mode`."""

    OFF = 0
    SELF_TEST = 1
    STANDBY = 2
    MONITORING = 3


class PowerState(IntEnum):
    """Values of the channel `power_state`."""

    MAINS = 0
    BATTERY = 1
    CHARGING = 2


class Rhythm(IntEnum):
    """Values of the channel `rhythm`: what the monitor's arrhythmia analysis says."""

    SINUS = 1
    FIBRILLATION = 2


class EcgFilter(IntEnum):
    """Values of the channel `ecg_filter`."""

    MONITOR = 1
    SURGERY = 2


@dataclass(slots=True)
class MonitorWorld:
    """Settings, patient and hardware of one monitor over time; arrays are (n,)."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    nibp_interval: Array
    """Minutes from one cuff measurement to the next."""
    rhythm: NDArray[np.int16]
    ecg_filter: NDArray[np.int16]
    on_battery: NDArray[np.bool_]
    sensor_arm_cuff: NDArray[np.bool_]
    motion: Array
    """0 … 1, how much the patient moves."""
    cautery: Array
    """0 … 1, strength of the cautery's field while its electrode is live."""
    cold: Array
    """0 … 1, how far the fingers are cold."""
    arm: Array
    """mmHg by which the raised arm lies above the heart."""
    signal: Array
    """Wireless signal lost, in percent points."""
    measuring: NDArray[np.bool_]
    """True while the cuff is inflated."""
    led_loss: Array = field(init=False)
    """Part of the light that does not arrive any more."""
    cuff_leak: Array = field(init=False)
    fracture: Array = field(init=False)
    """How far the strands of a lead wire are broken, 0 … 1."""
    zero: Array = field(init=False)
    """Zero error of the arterial transducer, mmHg."""
    charger_loss: Array = field(init=False)
    link_loss: Array = field(init=False)
    cleared: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in FAULT_PARAMETERS:
            setattr(self, name, np.zeros(self.n))


def handle(world: MonitorWorld, event: Event) -> None:
    """What staff does with monitor and patient."""
    a, b, m, n = event.start, event.stop, event.magnitude, world.n
    match event.name:
        case "discharge":
            part = world.mode[a:b]
            part[part == MonitorMode.MONITORING] = MonitorMode.STANDBY
        case "ambulating":
            world.on_battery[a:b] = True
            steps = bursts(event.rng(), n, 20.0, 6.0, 0.3)
            world.motion += np.minimum((0.10 + 0.15 * m) * (1.0 + steps), 0.5) * pulse(n, a, b, 5.0)
        case "electrocautery":
            world.ecg_filter[a:b] = EcgFilter.SURGERY
            live = bursts(event.rng(), n, 25.0, 6.0, 1.0)
            world.cautery += np.minimum(live, 1.0) * (0.4 + 0.6 * m) * pulse(n, a, b)
        case "cuff_on_sensor_arm":
            world.sensor_arm_cuff[a:b] = True
        case "wifi_replay":
            world.signal += 45.0 * pulse(n, a - 30, b, 30.0)


def stir(world: MonitorWorld, event: Event) -> None:
    """What the patient does."""
    a, b, m, n = event.start, event.stop, event.magnitude, world.n
    match event.name:
        case "patient_moved":
            world.motion += (0.3 + 0.7 * m) * pulse(n, a, b, 4.0)
        case "arm_raised":
            world.arm += (5.0 + 8.0 * m) * pulse(n, a, b, 4.0)
        case "cold_fingers":
            world.cold += (0.4 + 0.6 * m) * pulse(n, a, b, 300.0)
        case "arrhythmia":
            world.rhythm[a:b] = Rhythm.FIBRILLATION
