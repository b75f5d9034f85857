"""Defibrillator in its cabinet: hourly, daily and weekly self-tests. Knows nothing about sampling.

Numbers are those of public service manuals where they exist and engineering estimates otherwise; they describe no
product. A step is an hour. What a weekly test found is reported daily until the next one; the verdict of a self-test is
the device's own alarm and no channel, because the figures behind it tell earlier.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.defibrillator_catalogue import FAULTS, LOOKALIKES
from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.noise import Array, Noise, lag

STEP_S = 3600
DAY, WEEK = 24, 168
"""Steps."""
CAPACITY = 4200.0
"""mA.h of a new battery, not rechargeable."""
BATTERY_DAYS = 1600
PAD_DAYS = 900
STANDBY = 0.060
"""mA."""
SHOT = 6.6
"""mA.h for one charge to full energy."""
TEST_CURRENT = 8.0
"""A, of the load test."""
RESISTANCE = 0.10
"""Ohm, of a new battery at 20 Cel."""
USUAL_CHARGE_S, FULL_J, TEST_OHM = 6.2, 200.0, 50.0
HOURLY = ("mode", "battery_voltage", "temperature", "comm_rssi")
DAILY = (
    "shocks", "battery_voltage_load", "battery_charge", "battery_capacity_ratio", "cap_charge_time",
    "energy_delivered", "cap_leak", "standby_current", "pad_impedance", "ecg_noise",
)  # fmt: skip
INVENTORY = ("battery_expiry_days", "pad_expiry_days")
FAULT_PARAMETERS = ("ageing", "charger", "drain", "contact", "climate", "mute")


class DefibrillatorMode(IntEnum):
    """Values of the channel `mode`."""

    OFF = 0
    READY = 1
    IN_USE = 2
    TRAINING = 3
    SERVICE = 4


@dataclass(slots=True)
class DefibrillatorWorld:
    """Cabinet, use and hardware of one defibrillator over time; arrays are (n,), a value an hour."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    battery_age: float
    """Days since the battery was put in, at the beginning."""
    pad_age: float
    climate_mean: float
    """Usual temperature of the place, Cel."""
    swaps: list[int] = field(default_factory=list)
    """Hours at which a new battery is put in."""
    shots: Array = field(init=False)
    """Shocks given in the hour."""
    outside: Array = field(init=False)
    """Kelvin by which the cabinet is colder for a while."""
    outage: NDArray[np.bool_] = field(init=False)
    """The wireless network is down."""
    ageing: Array = field(init=False)
    charger: Array = field(init=False)
    drain: Array = field(init=False)
    """mA beyond the usual standby current."""
    contact: Array = field(init=False)
    """Ohm of a bad contact in the therapy cable."""
    climate: Array = field(init=False)
    """Kelvin that the cabinet is off its usual temperature."""
    mute: Array = field(init=False)
    cleared: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*FAULT_PARAMETERS, "shots", "outside"):
            setattr(self, name, np.zeros(self.n))
        self.outage = np.zeros(self.n, np.bool_)


class Defibrillator(Machine[DefibrillatorWorld]):
    """See the module."""

    device_type = "defibrillator"
    step_s = STEP_S
    modes = DefibrillatorMode
    treatment = DefibrillatorMode.READY
    pauses = ((("SERVICE", 3600.0, 10800.0),), (("TRAINING", 3600.0, 14400.0),))
    pauses_per_day = 0.03
    faults = FAULTS
    lookalikes = LOOKALIKES
    fault_hours = 720.0
    healthy_hours = 1440.0
    resolution: ClassVar[Mapping[str, float]] = {
        "mode": 1, "shocks": 1, "battery_expiry_days": 1, "pad_expiry_days": 1, "battery_voltage": 0.01,
        "battery_voltage_load": 0.01, "battery_charge": 0.5, "battery_capacity_ratio": 0.5, "cap_charge_time": 0.05,
        "energy_delivered": 0.5, "cap_leak": 0.1, "standby_current": 0.001, "pad_impedance": 0.1, "ecg_noise": 0.5,
        "temperature": 0.5, "comm_rssi": 1, "last_contact": 1,
    }  # fmt: skip
    spread: ClassVar[Mapping[str, float]] = {
        "battery_voltage": 0.028,
        "battery_voltage_load": 0.041,
        "battery_charge": 1.2,
        "battery_capacity_ratio": 1.0,
        "cap_charge_time": 0.12,
        "energy_delivered": 1.3,
        "cap_leak": 0.35,
        "standby_current": 0.0027,
        "pad_impedance": 0.57,
        "ecg_noise": 0.59,
        "temperature": 0.91,
        "comm_rssi": 4.5,
        "last_contact": 1.0,
    }

    def begin(self, run: Run) -> DefibrillatorWorld:
        rng, chosen = run.noise.rng("settings"), run.plan.settings
        return DefibrillatorWorld(
            n=run.n,
            noise=run.noise,
            mode=mode_timeline(run, DefibrillatorMode, DefibrillatorMode.READY),
            battery_age=chosen.get("battery_age", float(rng.integers(30, 1100))),
            pad_age=float(rng.integers(10, 700)),
            climate_mean=chosen.get("climate_mean", 20.5 + float(rng.normal(0.0, 1.0))),
        )

    def happen(self, world: DefibrillatorWorld, event: Event) -> None:
        if event.name not in LOOKALIKES:
            raise ValueError(f"a defibrillator knows no event {event.name}")
        a, b, m = event.start, event.stop, event.magnitude
        modes = {
            "real_use": DefibrillatorMode.IN_USE,
            "manual_test": DefibrillatorMode.SERVICE,
            "battery_swap": DefibrillatorMode.SERVICE,
            "drill": DefibrillatorMode.TRAINING,
        }
        if event.name in modes:
            part = world.mode[a:b]
            part[part == DefibrillatorMode.READY] = modes[event.name]
        match event.name:
            case "real_use":
                world.shots[a] += 1 + round(5 * m)
            case "manual_test":
                world.shots[a] += 1 + round(2 * m)
            case "battery_swap":
                world.swaps.append(a)
            case "cold_spell":
                world.outside[a:b] = 4.0 + 5.0 * m
            case "comm_outage":
                world.outage[a:b] = True

    def inject(self, world: DefibrillatorWorld, fault: Injected) -> None:
        effects = {
            "battery_ageing": ("ageing", 1.0),
            "hv_capacitor_degradation": ("charger", 1.0),
            "parasitic_drain": ("drain", 0.3),
            "therapy_cable_fault": ("contact", 24.0),
            "cabinet_temperature": ("climate", 34.0 * fault.sign),
            "silent_device": ("mute", 1.0),
        }
        if fault.name not in effects:
            raise ValueError(f"a defibrillator knows no fault {fault.name}")
        parameter, size = effects[fault.name]
        setattr(world, parameter, getattr(world, parameter) + size * fault.strength)

    def solve(self, world: DefibrillatorWorld) -> dict[str, Array]:
        noise, n = world.noise, world.n
        temperature = _temperature(world)
        battery = _battery(world, temperature)
        days = battery.pop("days")
        return {
            "mode": world.mode.astype(np.float64),
            "shocks": _since(world, world.shots),
            "battery_expiry_days": _each_day(world, np.floor(BATTERY_DAYS - days)),
            "pad_expiry_days": PAD_DAYS - world.pad_age - _day(world),
            "temperature": temperature + 0.4 * noise.unit("thermometer") + noise.white("temperature", n, 0.2),
            **battery,
            **_therapy(world, temperature, battery["battery_voltage_load"]),
            "comm_rssi": -68.0
            + 4.0 * noise.patient("place")
            + noise.wander("rssi", n, 1.5, 6 * STEP_S)
            + noise.white("rssi", n, 1.0),
            "last_contact": _hours_since(_contacts(world)),
        }

    def ticks(self, world: DefibrillatorWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        """The device's channels come when it has contact, the daily ones with the day's first; the server's always."""
        del channels
        contacts = _contacts(world)
        first = np.zeros(world.n, np.bool_)
        at = np.flatnonzero(contacts)
        day = _day(world)[at]
        first[at] = np.diff(day, prepend=-1.0) > 0
        inventory = np.diff(_day(world), prepend=-1.0) > 0
        return {
            **dict.fromkeys(HOURLY, contacts),
            **dict.fromkeys(DAILY, first),
            **dict.fromkeys(INVENTORY, inventory),
        }

    def alarms(
        self, world: DefibrillatorWorld, channels: Mapping[str, Array]
    ) -> dict[str, NDArray[np.bool_]]:
        ready = world.mode == DefibrillatorMode.READY
        return {
            "battery_low": ready
            & ((channels["battery_voltage_load"] < 9.6) | (channels["battery_charge"] < 10.0)),
            "defibrillator": ready
            & ((channels["cap_charge_time"] > 10.0) | (channels["energy_delivered"] < 0.85 * FULL_J)),
            "cable": ready & (channels["pad_impedance"] > 70.0),
            "environment": (channels["temperature"] < 0.0) | (channels["temperature"] > 50.0),
            "no_contact": channels["last_contact"] > 72.0,
        }

    def respond(self, world: DefibrillatorWorld, alarm: str, step: int) -> bool:
        """A low battery is replaced within days; what had aged is gone with it."""
        if alarm != "battery_low":
            return False
        stop = step + int(world.noise.rng(f"response:{alarm}:{step}").integers(12, 72))
        if stop >= world.n:
            return False
        world.swaps.append(stop)
        world.mode[stop : stop + 1] = DefibrillatorMode.SERVICE
        if world.ageing[step] > 0:
            world.ageing[stop:] = 0.0
            world.cleared["battery_ageing"] = stop
        return True


def _day(world: DefibrillatorWorld) -> Array:
    """(n,) number of the day; a device has its own time for the daily test."""
    offset = int(world.noise.rng("test time").integers(0, DAY))
    return np.asarray((np.arange(world.n) + offset) // DAY, dtype=np.float64)


def _each_day(world: DefibrillatorWorld, values: Array) -> Array:
    """(n,) what the server has written down at the beginning of the day."""
    begins = np.diff(_day(world), prepend=-1.0) > 0
    return np.asarray(values[np.maximum.accumulate(np.where(begins, np.arange(world.n), 0))])


def _tested(world: DefibrillatorWorld, values: Array, every: int) -> Array:
    """(n,) what the last test found: every so many hours in readiness, the weekly figures after each shock, too."""
    offset = int(world.noise.rng(f"test {every}").integers(0, every))
    due = ((np.arange(world.n) + offset) % every == 0) & (world.mode == DefibrillatorMode.READY)
    if every == WEEK:
        due |= world.shots > 0
    due[0] = True
    last = np.maximum.accumulate(np.where(due, np.arange(world.n), 0))
    return np.asarray(values[last])


def _since(world: DefibrillatorWorld, rate: Array) -> Array:
    """(n,) the sum of `rate` since the last new battery."""
    total = np.cumsum(rate)
    for swap in sorted(world.swaps):
        total[swap:] -= total[swap]
    return total


def _temperature(world: DefibrillatorWorld) -> Array:
    """(n,) of the cabinet: the place, its days and nights; one that has lost its heating follows the weather more."""
    noise, n = world.noise, world.n
    night = np.sin(2.0 * np.pi * (np.arange(n) + noise.rng("clock").integers(0, DAY)) / DAY)
    swing = (0.8 + 0.06 * np.abs(world.climate)) * night
    usual = world.climate_mean + 0.6 * noise.patient("place") + noise.wander("weather", n, 0.6, 60 * STEP_S)
    return np.asarray(usual + swing + world.climate - lag(world.outside, 3 * STEP_S, step_s=STEP_S))


def _battery(world: DefibrillatorWorld, temperature: Array) -> dict[str, Array]:
    """Charge from what was drawn, voltages from charge, temperature and inner resistance; and its age in `days`."""
    noise, n, aged = world.noise, world.n, world.ageing
    standby = STANDBY * (1.0 + 0.04 * noise.unit("standby") + noise.wander("standby", n, 0.01, 48 * STEP_S))
    standby = standby + world.drain
    weekly = np.arange(n) % WEEK == 0
    drawn = standby + 0.01 + SHOT * (world.shots + weekly)
    usual = DAY * (STANDBY + 0.01) + SHOT / 7.0
    before = np.where(np.arange(n) < min(world.swaps, default=n), world.battery_age, 0.0)
    days = before + _since(world, np.full(n, 1.0 / DAY))
    used = (before * usual + _since(world, drawn)) / CAPACITY
    charge = np.clip(1.0 - used + 0.012 * noise.patient("battery"), 0.0, 1.0)
    ratio = (1.0 - 0.06 * days / BATTERY_DAYS + 0.01 * noise.patient("cells")) * (1.0 - 0.30 * aged)
    idle = (
        12.45
        - 0.9 * (1.0 - charge)
        + 0.004 * (temperature - 20.0)
        - 0.25 * aged
        + 0.02 * noise.unit("voltmeter")
    )
    inner = RESISTANCE * (1.0 + 0.3 * (1.0 - charge) + 0.04 * noise.patient("inner"))
    inner = inner * (1.0 + 1.7 * aged) * np.exp(0.012 * (20.0 - temperature))
    sagged = idle - TEST_CURRENT * inner + noise.white("load", n, 0.015)
    return {
        "days": days,
        "battery_voltage": idle + noise.white("idle", n, 0.008),
        "battery_voltage_load": _tested(world, sagged, DAY),
        "battery_charge": _tested(world, 100.0 * charge * (1.0 - 0.1 * aged), DAY),
        "battery_capacity_ratio": _tested(world, 100.0 * ratio + noise.white("ratio", n, 0.4), WEEK),
        "standby_current": _tested(world, standby, DAY),
    }


def _therapy(world: DefibrillatorWorld, temperature: Array, voltage: Array) -> dict[str, Array]:
    """High voltage and cable, as the weekly and daily tests find them into the test plug."""
    noise, n, worn = world.noise, world.n, world.charger
    age = noise.age()
    slow = (1.0 + 0.02 * noise.unit("charger") + 0.05 * age) * (11.4 / voltage) ** 1.5 * (1.0 + 0.45 * worn)
    lost = 4.0 * (1.0 + 0.06 * noise.unit("capacitor") + 0.25 * age) * np.exp(0.012 * (temperature - 20.0))
    whole = FULL_J * (1.0 + 0.006 * noise.unit("energy")) * (1.0 - 0.16 * worn)
    path = TEST_OHM + 0.5 * noise.unit("cable") + world.contact
    path = path + noise.wander("contact", n, 1.0, 30 * STEP_S) * world.contact / 6.0
    delivered = whole * (TEST_OHM / path) ** 0.25
    heard = 6.0 + 0.5 * noise.unit("ecg") + np.abs(noise.white("ecg", n, 0.6)) + 0.9 * world.contact
    return {
        "cap_charge_time": _tested(world, USUAL_CHARGE_S * slow + noise.white("charge", n, 0.05), WEEK),
        "energy_delivered": _tested(world, delivered + noise.white("energy", n, 0.6), WEEK),
        "cap_leak": _tested(world, lost + 22.0 * worn + noise.white("leak", n, 0.15), WEEK),
        "pad_impedance": _tested(world, path + noise.white("path", n, 0.3), DAY),
        "ecg_noise": _tested(world, heard, DAY),
    }


def _contacts(world: DefibrillatorWorld) -> NDArray[np.bool_]:
    """(n,) whether the device reached the server in the hour; a failing radio gets through ever more seldom."""
    lost = world.noise.rng("radio").random(world.n) < 0.01
    often = np.where(world.mute < 0.95, 1.0 / (1.0 + 70.0 * world.mute**2), 0.0)
    reached = np.diff(np.floor(np.cumsum(often) + 1e-9), prepend=0.0) >= 1.0
    return np.asarray(reached & ~lost & ~world.outage)


def _hours_since(contacts: NDArray[np.bool_]) -> Array:
    """(n,) hours since the last contact; there was one just before the beginning."""
    step = np.arange(len(contacts))
    last = np.maximum.accumulate(np.where(contacts, step, -1))
    return np.asarray(step - last, dtype=np.float64)
