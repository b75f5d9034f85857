"""MRI scanner: superconducting magnet, cryocooler, water chiller, gradients. Knows nothing about sampling.

The bath of liquid helium boils off nothing as long as the cold head takes more heat than leaks in: a heater makes
up for the difference and so holds the pressure; its power is the headroom of the cold head. Numbers are those of
the public magnet logs where they exist and engineering estimates otherwise; they describe no product. What takes
weeks in the field takes hours here. Heat in W (cryostat) and kW (water), pressures in kPa (magnet, water) and MPa
(compressor), a step is a minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.mri_catalogue import FAULTS, LOOKALIKES
from streams.simulation.mri_schedule import LOAD, Exams, MriMode, Protocol, exams
from streams.simulation.noise import Array, Noise, lag, pulse

STEP_S = 60
HOURS = STEP_S / 3600.0
PRESSURE_SET = 5.5
RELIEF = 13.0
"""kPa from which the relief valve lets helium out."""
STIFFNESS = 2.5
"""kPa an hour by which each watt that the cold head does not take raises the pressure."""
SERVO = 2.0
"""W of the heater for each kPa below the set pressure."""
BOIL_OFF = 2.8
"""Percent of the bath a day that one watt evaporates: 1.4 L/h (latent heat 20.7 J/g, 125 g/L) of 1,200 L."""
WATER_KW = 0.0697
"""kW that one L/min of water takes for each kelvin."""
FULL_FLOW = 80.0
USUAL_LOAD = 0.2
"""Of the gradients, averaged over a usual hour; runs begin with it."""
FULL = 98.0
"""Percent of helium that a fill goes up to."""
HEAD = 1.45
"""MPa between the compressor's supply and return at which the cold head has its rated power."""
REST = 1.45
"""MPa on both sides of a compressor that stands still."""
FAULT_PARAMETERS = ("wear", "weak", "blocked", "leak", "vacuum", "arcing")

_lag = partial(lag, step_s=STEP_S)
_pulse = partial(pulse, step_s=STEP_S)


@dataclass(slots=True)
class MriWorld:
    """Schedule, room and hardware of one scanner over time; arrays are (n,)."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    exams: Exams
    level: float
    """Percent of helium at the start."""
    room: Array
    humidity: Array
    compressor_on: NDArray[np.bool_]
    chiller_on: NDArray[np.bool_]
    filled: Array = field(init=False)
    """Percent of helium added so far."""
    filling: Array = field(init=False)
    """0 … 1 while helium is transferred."""
    leads: Array = field(init=False)
    """W that the current leads bring in while the magnet is ramped."""
    wear: Array = field(init=False)
    """Of the cold head."""
    weak: Array = field(init=False)
    """Compressor capsule."""
    blocked: Array = field(init=False)
    """Water circuit."""
    leak: Array = field(init=False)
    """Of the vent line."""
    vacuum: Array = field(init=False)
    """Insulating vacuum lost."""
    arcing: Array = field(init=False)
    cleared: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("filled", "filling", "leads", *FAULT_PARAMETERS):
            setattr(self, name, np.zeros(self.n))


class MriScanner(Machine[MriWorld]):
    """See the module."""

    device_type = "mri"
    step_s = STEP_S
    modes = MriMode
    treatment = MriMode.IN_USE
    pauses = (
        (("STANDBY", 1800.0, 4 * 3600.0),),
        (("SERVICE", 1800.0, 2 * 3600.0),),
    )
    pauses_per_day = 0.7
    alarm_repeat_s = 2 * 3600
    fault_hours = 16.0
    healthy_hours = 48.0
    faults = FAULTS
    lookalikes = LOOKALIKES
    resolution: ClassVar[Mapping[str, float]] = {
        "mode": 1, "protocol": 1, "compressor_on": 1, "chiller_on": 1, "gradient_load": 1, "adsorber_hours": 10,
        "room_temp": 0.1, "room_humidity": 1, "helium_level": 0.1, "helium_rate": 0.01, "magnet_pressure": 0.01,
        "heater_power": 0.01, "coldhead_temp": 0.01, "shield_temp": 0.1, "bore_temp": 0.1,
        "compressor_supply": 0.01, "compressor_return": 0.01, "oil_temp": 0.1, "discharge_temp": 0.1,
        "chiller_supply_temp": 0.1, "chiller_return_temp": 0.1, "chiller_flow": 0.1, "water_pressure": 1,
        "gradient_amp_temp": 0.1, "gradient_coil_temp": 0.1, "rf_spike_count": 1, "snr": 0.001,
    }  # fmt: skip
    spread: ClassVar[Mapping[str, float]] = {
        "helium_level": 7.5,
        "helium_rate": 0.039,
        "magnet_pressure": 0.095,
        "heater_power": 0.074,
        "coldhead_temp": 0.035,
        "shield_temp": 0.88,
        "bore_temp": 0.52,
        "compressor_supply": 0.018,
        "compressor_return": 0.01,
        "oil_temp": 0.81,
        "discharge_temp": 1.7,
        "chiller_supply_temp": 0.31,
        "chiller_return_temp": 0.33,
        "chiller_flow": 0.97,
        "water_pressure": 7.7,
        "gradient_amp_temp": 0.52,
        "gradient_coil_temp": 0.58,
        "rf_spike_count": 1.0,
        "snr": 0.0096,
    }

    def begin(self, run: Run) -> MriWorld:
        noise, n = run.noise, run.n
        return MriWorld(
            n=n,
            noise=noise,
            mode=mode_timeline(run, MriMode, MriMode.IN_USE),
            exams=exams(noise, n),
            level=80.0 + 8.0 * noise.unit("level") + noise.patient("level"),  # anywhere between two fills
            room=20.5 + 0.4 * noise.unit("room") + noise.wander("room", n, 0.3, 7200.0),
            humidity=50.0 + 3.0 * noise.patient("humidity") + noise.wander("humidity", n, 2.0, 14400.0),
            compressor_on=np.ones(n, np.bool_),
            chiller_on=np.ones(n, np.bool_),
        )

    def happen(self, world: MriWorld, event: Event) -> None:
        if event.name not in LOOKALIKES:
            raise ValueError(f"an MRI scanner knows no event {event.name}")
        _service(world, event)
        _use(world, event)

    def inject(self, world: MriWorld, fault: Injected) -> None:
        parameters = {
            "coldhead_wear": "wear",
            "compressor_fault": "weak",
            "chiller_failure": "blocked",
            "helium_boil_off": "leak",
            "pre_quench": "vacuum",
            "rf_arcing": "arcing",
        }
        if fault.name not in parameters:
            raise ValueError(f"an MRI scanner knows no fault {fault.name}")
        name = parameters[fault.name]
        setattr(world, name, getattr(world, name) + fault.strength)

    def settle(self, world: MriWorld) -> None:
        """Nobody is examined but in use."""
        _stop_scans(world, world.mode != MriMode.IN_USE)

    def solve(self, world: MriWorld) -> dict[str, Array]:
        plan, n = world.exams, world.n
        water = _water(world)
        compressor = _compressor(world, water["chiller_supply_temp"], water["chiller_flow"])
        gradients = _gradients(world, water["chiller_supply_temp"], water["chiller_flow"])
        return {
            "mode": world.mode.astype(np.float64),
            "protocol": plan.protocol.astype(np.float64),
            "compressor_on": world.compressor_on.astype(np.float64),
            "chiller_on": world.chiller_on.astype(np.float64),
            "gradient_load": 100.0 * plan.load,
            "adsorber_hours": 20000.0 * world.noise.age() + HOURS * np.arange(n, dtype=np.float64),
            "room_temp": world.room,
            "room_humidity": np.clip(world.humidity, 5.0, 95.0),
            **water,
            **compressor,
            **gradients,
            **_cryostat(world, compressor),
            **_images(world),
            "bore_temp": _bore(world, gradients["gradient_coil_temp"]),
        }

    def alarms(self, world: MriWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        flowing = _lag(world.chiller_on.astype(np.float64), 600.0) > 0.95
        hot = (channels["oil_temp"] > 52.0) | (channels["discharge_temp"] > 100.0)
        return {
            "compressor_trip": world.compressor_on & hot,
            "water_flow": flowing & (_lag(channels["chiller_flow"], 300.0) < 40.0),
            "coldhead_high": world.compressor_on & (_lag(channels["coldhead_temp"], 1800.0) > 4.7),
            "pressure_high": (world.mode == MriMode.IN_USE) & (channels["magnet_pressure"] > 12.0),
            "helium_low": channels["helium_level"] < 55.0,
            "gradient_hot": channels["gradient_coil_temp"] > 62.0,
        }

    def respond(self, world: MriWorld, alarm: str, step: int) -> bool:
        pause = int(world.noise.rng(f"response:{alarm}:{step}").integers(20, 60))
        part = slice(step + 1, step + 1 + pause)
        if alarm == "compressor_trip":
            world.compressor_on[part] = False
            return True
        if alarm == "gradient_hot":
            still = np.zeros(world.n, np.bool_)
            still[part] = True
            _stop_scans(world, still)
            return True
        return False


def _stop_scans(world: MriWorld, when: NDArray[np.bool_]) -> None:
    world.exams.load[when] = 0.0
    world.exams.protocol[when] = Protocol.NONE
    world.exams.done[when] = False


def _service(world: MriWorld, event: Event) -> None:
    """What engineers do at magnet and plant."""
    a, b, m, n = event.start, event.stop, event.magnitude, world.n
    part, length = world.mode[a:b], b - a
    used = part == MriMode.IN_USE
    match event.name:
        case "scheduled_service":
            part[used] = MriMode.SERVICE
            world.compressor_on[a + 5 : min(a + 15 + round(10 * m), b)] = False
            world.room += 0.8 * _pulse(n, a, b, 900.0)
        case "helium_fill":
            part[used] = MriMode.SERVICE
            world.filling += _pulse(n, a, a + max(1, length // 2), 300.0)
            added = min(3.0 + 5.0 * m, max(FULL - world.level - world.filled[a], 0.0))
            world.filled += added * _pulse(n, a, 2 * n, 0.5 * STEP_S * length)  # it stays
        case "magnet_ramp":
            part[used] = MriMode.RAMP
            world.leads += (0.5 + 0.6 * m) * _pulse(n, a, a + max(1, 3 * length // 5), 600.0)
        case "power_test":
            world.compressor_on[a:b] = False
            world.chiller_on[a : a + max(1, length // 2)] = False


def _use(world: MriWorld, event: Event) -> None:
    """What users and the weather do."""
    a, b, m, n = event.start, event.stop, event.magnitude, world.n
    match event.name:
        case "epi_day":
            scanning = world.exams.protocol[a:b] > 0
            world.exams.protocol[a:b][scanning] = Protocol.ECHO_PLANAR
            world.exams.load[a:b][scanning] = LOAD[Protocol.ECHO_PLANAR] * (1.0 + 0.3 * m)
        case "summer_room":
            heat = _pulse(n, a, b, 5400.0)
            world.room += (2.0 + 2.5 * m) * heat
            world.humidity += (5.0 + 10.0 * m) * heat


def _water(world: MriWorld) -> dict[str, Array]:
    """Chilled water: a blocked strainer costs flow, pressure and, with it, the temperature of the supply."""
    noise, n = world.noise, world.n
    pumping = _lag(world.chiller_on.astype(np.float64), 60.0)
    flow = FULL_FLOW * (1.0 + 0.012 * noise.unit("flow")) * (1.0 - 0.6 * world.blocked) * pumping
    heat = 8.0 * world.compressor_on + 6.0 + 32.0 * _lag(world.exams.load, 600.0, USUAL_LOAD)
    capacity = 62.0 * (1.0 - 0.35 * world.blocked) - 1.0 * (world.room - 20.0)
    short = np.maximum(heat - 0.8 * capacity, 0.0) / 2.5
    warm = np.where(world.chiller_on, 5.0 * world.blocked + short, 6.0)
    supply = 19.0 + 0.25 * noise.unit("chiller") + 0.15 * (world.room - 20.0) + _lag(warm, 900.0)
    supply = supply + noise.wander("chiller", n, 0.15, 900.0)
    rise = np.minimum(heat / (WATER_KW * np.maximum(flow, 10.0)), 25.0)
    pressure = 400.0 * (1.0 + 0.02 * noise.unit("water")) * (1.0 - 0.4 * world.blocked) * pumping
    return {
        "chiller_supply_temp": supply + noise.white("supply", n, 0.05),
        "chiller_return_temp": supply + _lag(rise, 300.0) + noise.white("return", n, 0.1),
        "chiller_flow": np.maximum(flow + noise.wander("flow", n, 0.4, 600.0), 0.0),
        "water_pressure": np.maximum(pressure + noise.wander("water", n, 3.0, 600.0), 0.0),
    }


def _compressor(world: MriWorld, supply: Array, flow: Array) -> dict[str, Array]:
    """Helium compressor: at rest both sides come to the same pressure; a worn capsule leaks from one to the other."""
    noise, n = world.noise, world.n
    running = _lag(world.compressor_on.astype(np.float64), 120.0)
    hunting = 0.06 * world.weak * np.sin(2.0 * np.pi * np.arange(n) / 9.0)
    high = 2.22 + 0.015 * noise.unit("charge") + 0.004 * (supply - 19.0)
    high = high - 0.50 * world.weak - 0.10 * world.wear + hunting + noise.wander("high", n, 0.01, 1800.0)
    low = 0.76 + 0.008 * noise.unit("return") + 0.22 * world.weak + 0.08 * world.wear
    low = low + noise.wander("low", n, 0.006, 1800.0)
    starved = np.minimum(FULL_FLOW / np.maximum(flow, 12.0) - 1.0, 4.0)
    oil = supply + (17.0 + 0.8 * noise.unit("oil") + 8.0 * _lag(starved, 600.0)) * running
    hot = (52.0 + 1.5 * noise.unit("discharge") + 1.5 * noise.age() + 20.0 * world.weak) * running
    return {
        "compressor_supply": REST + (high - REST) * running,
        "compressor_return": REST - (REST - low) * running,
        "oil_temp": _lag(oil, 900.0) + noise.white("oil", n, 0.15),
        "discharge_temp": _lag(supply + 0.6 * (oil - supply - 17.0) + hot, 900.0)
        + noise.wander("discharge", n, 0.4, 1200.0),
    }


def _cryostat(world: MriWorld, compressor: Mapping[str, Array]) -> dict[str, Array]:
    """Cold head against the heat that leaks in; the heater holds the pressure until its power is used up."""
    noise, n, age = world.noise, world.n, world.noise.age()
    drive = np.clip((compressor["compressor_supply"] - compressor["compressor_return"]) / HEAD, 0.0, 1.1)
    shield = 40.0 + 0.8 * noise.unit("shield") + 1.0 * age + 12.0 * (1.0 - drive)
    shield = shield + 12.0 * world.wear + 9.0 * world.vacuum - 1.5 * world.leak
    shield = _lag(shield, 2700.0) + noise.wander("shield", n, 0.15, 3600.0)
    power = (1.75 + 0.05 * noise.unit("power") - 0.10 * age) * drive * (1.0 - 0.55 * world.wear)
    heat = 0.9 + 0.02 * noise.unit("heat") + 0.012 * (shield - 41.0) + world.leads + 1.0 * world.filling
    heat = heat + 1.4 * world.leak + 2.4 * world.vacuum + 1.5 * world.vacuum**6
    pressure, heater, vented = _bath(world, heat - power + noise.wander("bath", n, 0.02, 1800.0))
    lost = _lag(1.3 * world.leak + BOIL_OFF * vented + 0.15 * (world.leads > 0), 1800.0)
    stage = 4.02 + 0.03 * noise.unit("stage") + 0.03 * age + 0.7 * world.wear + 0.55 * world.vacuum
    stage = stage + 1.2 * (1.0 - drive) + 0.012 * (pressure - PRESSURE_SET)
    rate = -lost + 0.02 * noise.unit("gauge") + noise.wander("rate", n, 0.03, 3600.0)
    level = world.level - np.cumsum(lost) * HOURS / 24.0 + world.filled
    return {
        "helium_level": np.clip(level + noise.wander("level", n, 0.15, 7200.0), 0.0, 100.0),
        "helium_rate": np.where(world.filling > 0, 0.0, rate),
        "magnet_pressure": pressure + 0.05 * noise.unit("gauge_p") + noise.white("pressure", n, 0.02),
        "heater_power": np.maximum(_lag(heater, 600.0) + noise.white("heater", n, 0.01), 0.0),
        "coldhead_temp": _lag(stage, 600.0) + noise.wander("stage", n, 0.01, 1200.0),
        "shield_temp": shield,
    }


def _bath(world: MriWorld, excess: Array) -> tuple[Array, Array, Array]:
    """(n,) pressure, heater power and W vented for the heat that the cold head does not take (negative: spare)."""
    goal = PRESSURE_SET + 0.08 * world.noise.unit("set")
    p, course = goal, []
    for net in excess.tolist():
        heater = min(2.5, max(0.0, SERVO * (goal - p) - net))
        vented = 1.5 * max(0.0, p - RELIEF)
        p = min(40.0, max(0.5, p + STIFFNESS * HOURS * (net + heater - vented)))
        course.append((p, heater, vented))
    pressure, power, lost = np.array(course).T
    return pressure, power, lost


def _gradients(world: MriWorld, supply: Array, flow: Array) -> dict[str, Array]:
    """Amplifiers and coil in the chilled water: less flow, more heat stays."""
    noise, n, load = world.noise, world.n, world.exams.load
    film = _lag(np.minimum(np.sqrt(FULL_FLOW / np.maximum(flow, 12.0)), 2.5), 480.0)
    amp = (
        7.0
        + 0.4 * noise.unit("amp")
        + 18.0 * (1.0 + 0.02 * noise.unit("amp_film")) * _lag(load, 480.0, USUAL_LOAD)
    )
    coil = (
        3.0
        + 0.4 * noise.unit("coil")
        + 30.0 * (1.0 + 0.02 * noise.unit("coil_film")) * _lag(load, 1500.0, USUAL_LOAD)
    )
    return {
        "gradient_amp_temp": supply + amp * film + noise.white("amp", n, 0.15),
        "gradient_coil_temp": supply + coil * film + noise.white("coil", n, 0.15),
    }


def _bore(world: MriWorld, coil: Array) -> Array:
    """(n,) wall of the warm bore: the coil warms it; without insulating vacuum the cryostat cools it."""
    noise, n = world.noise, world.n
    wall = 0.75 * world.room + 0.25 * coil - 4.0 * world.vacuum + 0.25 * noise.unit("bore")
    return _lag(wall, 2400.0) + noise.white("bore", n, 0.05)


def _images(world: MriWorld) -> dict[str, Array]:
    """Spikes that the receiver counts in a scan, and the signal-to-noise ratio against that of acceptance.

    Those of the last scan that has ended stand until the next one ends.
    """
    noise, scan = world.noise, world.exams.scan
    rng, scans = noise.rng("spikes"), int(scan.max()) + 1
    usual = rng.poisson(0.3 + 0.2 * noise.age(), scans)[scan] * (not noise.silent)
    hit = rng.gamma(4.0, 0.25, scans)[scan]  # some scans provoke it more than others
    ratio = 1.0 + 0.008 * noise.unit("snr") - 0.01 * noise.age() - 0.16 * world.arcing
    ratio = ratio + (0.006 * rng.standard_normal(scans) * (not noise.silent))[scan]
    ended = np.maximum.accumulate(np.where(world.exams.done, np.arange(world.n), 0))
    return {
        "rf_spike_count": np.minimum(usual + 30.0 * world.arcing * hit, 400.0)[ended],
        "snr": ratio[ended],
    }
