"""CT scanner: X-ray tube and its oil cooling, rotor, gantry, detector. Knows nothing about sampling.

Most figures are those of a scan and are told at its end, against what was set. Numbers are engineering estimates;
they describe no product. What takes weeks in the field takes hours here. Power in kW, heat in kJ, a step is ten
seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.ct_catalogue import FAULTS, LOOKALIKES
from streams.simulation.ct_schedule import STEP_S, CtMode, Protocol, Scans, clear, scans, surge, warm_up
from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.noise import Array, Noise, lag

ANODE_KJ = 5000.0
"""Heat that the anode may hold (7 million heat units)."""
ANODE_TAU_S = 480.0
OIL_TAU_S = 1500.0
USUAL_KW, USUAL_TURNS = 0.9, 0.06
"""Power of the tube and turns of the gantry a second, averaged over a usual hour; runs begin with them."""
LIFE_KS = 400.0
"""Thousand seconds of scanning in the life of a tube."""
WARM_UP_STEPS = 90
FAULT_PARAMETERS = ("gas", "thinning", "friction", "fouling", "play", "heater_error")
SCAN_FIGURES = (
    "kv_deviation", "ma_deviation", "filament_correction", "arc_count", "scan_delay", "rotor_runup",
    "rotor_current", "rotation_deviation", "gantry_vibration", "data_retries", "air_ratio",
)  # fmt: skip

_lag = partial(lag, step_s=STEP_S)


@dataclass(slots=True)
class CtWorld:
    """Schedule, room and hardware of one scanner over time; arrays are (n,)."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    scans: Scans
    room: Array
    water: Array
    """Temperature of the cooling water."""
    new_tube: NDArray[np.bool_]
    """From the replacement of the tube on."""
    gas: Array = field(init=False)
    """Of the tube, where a vacuum should be."""
    thinning: Array = field(init=False)
    """Of the filament."""
    friction: Array = field(init=False)
    """Of the anode's bearing."""
    fouling: Array = field(init=False)
    """Of the oil's pump and heat exchanger."""
    play: Array = field(init=False)
    """Of gantry bearing and slip ring."""
    heater_error: Array = field(init=False)
    """Kelvin by which the detector's temperature is off."""
    cleared: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in FAULT_PARAMETERS:
            setattr(self, name, np.zeros(self.n))


class CtScanner(Machine[CtWorld]):
    """See the module."""

    device_type = "ct-scanner"
    step_s = STEP_S
    modes = CtMode
    treatment = CtMode.IN_USE
    pauses = (
        (("STANDBY", 1800.0, 3 * 3600.0), ("WARM_UP", 600.0, 1200.0)),
        (("SERVICE", 1800.0, 2 * 3600.0), ("WARM_UP", 600.0, 1200.0)),
    )
    pauses_per_day = 0.7
    alarm_repeat_s = 2 * 3600
    fault_hours = 16.0
    healthy_hours = 48.0
    faults = FAULTS
    lookalikes = LOOKALIKES
    resolution: ClassVar[Mapping[str, float]] = {
        "mode": 1, "protocol": 1, "beam_power": 0.1, "tube_scan_time": 1, "room_temp": 0.1, "water_temp": 0.1,
        "kv_deviation": 0.05, "ma_deviation": 0.1, "filament_correction": 0.1, "arc_count": 1, "scan_delay": 1,
        "rotor_runup": 0.01, "rotor_current": 0.1, "anode_heat": 1, "oil_temp": 0.1, "oil_pump_current": 0.01,
        "oil_flow": 0.1, "rotation_deviation": 0.01, "gantry_vibration": 0.01, "gantry_motor_temp": 0.1,
        "data_retries": 1, "detector_temp": 0.01, "air_ratio": 0.0005,
    }  # fmt: skip
    spread: ClassVar[Mapping[str, float]] = {
        "kv_deviation": 0.15,
        "ma_deviation": 0.55,
        "filament_correction": 0.67,
        "arc_count": 1.0,
        "scan_delay": 1.2,
        "rotor_runup": 0.076,
        "rotor_current": 0.38,
        "anode_heat": 1.0,
        "oil_temp": 0.42,
        "oil_pump_current": 0.052,
        "oil_flow": 0.39,
        "rotation_deviation": 0.017,
        "gantry_vibration": 0.025,
        "gantry_motor_temp": 0.85,
        "data_retries": 1.0,
        "detector_temp": 0.036,
        "air_ratio": 0.0011,
    }

    def begin(self, run: Run) -> CtWorld:
        noise, n = run.noise, run.n
        return CtWorld(
            n=n,
            noise=noise,
            mode=mode_timeline(run, CtMode, CtMode.IN_USE),
            scans=scans(noise, n),
            room=22.0 + 0.4 * noise.unit("room") + noise.wander("room", n, 0.3, 7200.0),
            water=21.0 + 0.4 * noise.unit("water") + noise.wander("water", n, 0.2, 3600.0),
            new_tube=np.zeros(n, np.bool_),
        )

    def happen(self, world: CtWorld, event: Event) -> None:
        if event.name not in LOOKALIKES:
            raise ValueError(f"a CT scanner knows no event {event.name}")
        a, b, m = event.start, event.stop, event.magnitude
        match event.name:
            case "cold_start":
                _interrupt(world, a, b, CtMode.STANDBY)
            case "tube_replacement":
                _interrupt(world, a, b, CtMode.SERVICE)
                world.new_tube[(a + b) // 2 :] = True
            case "trauma_surge":
                surge(world.scans, event.rng(), a, b)
            case "high_current_protocol":
                scanning = world.scans.power[a:b] > 0
                world.scans.protocol[a:b] = Protocol.ANGIOGRAPHY
                world.scans.power[a:b][scanning] *= 1.3 + 0.5 * m

    def inject(self, world: CtWorld, fault: Injected) -> None:
        parameters = {
            "tube_vacuum": ("gas", 1.0),
            "filament_wear": ("thinning", 1.0),
            "anode_bearing_wear": ("friction", 1.0),
            "oil_cooling": ("fouling", 1.0),
            "gantry_wear": ("play", 1.0),
            "detector_temperature": ("heater_error", 1.6 * fault.sign),
        }
        if fault.name not in parameters:
            raise ValueError(f"a CT scanner knows no fault {fault.name}")
        name, size = parameters[fault.name]
        setattr(world, name, getattr(world, name) + size * fault.strength)

    def settle(self, world: CtWorld) -> None:
        """Patients come in use only, and a warm-up has exposures of its own."""
        clear(world.scans, world.mode != CtMode.IN_USE)
        warm_up(world.scans, world.mode == CtMode.WARM_UP)

    def solve(self, world: CtWorld) -> dict[str, Array]:
        plan, arcs, heat = world.scans, _arcs(world), _heat(world)
        return {
            "mode": world.mode.astype(np.float64),
            "protocol": plan.protocol.astype(np.float64),
            "beam_power": plan.power,
            "tube_scan_time": _scan_time(world),
            "room_temp": world.room,
            "water_temp": world.water,
            **heat,
            **_tube(world, arcs),
            **_rotor(world),
            **_gantry(world),
            **_detector(world),
            "scan_delay": _delay(world, arcs, heat),
        }

    def alarms(self, world: CtWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        used = world.mode == CtMode.IN_USE
        return {
            "tube_arcs": used & (_lag(channels["arc_count"], 3600.0) > 7.5),
            "filament": used & (_lag(channels["filament_correction"], 3600.0) < -11.0),
            "rotor": used & (channels["rotor_runup"] > 6.6),
            "oil_hot": used & (channels["oil_temp"] > 62.0),
            "oil_flow": used & (_lag(channels["oil_flow"], 600.0) < 9.0),
            "gantry": used & (_lag(channels["gantry_vibration"], 3600.0) > 0.75),
            "detector": used & (np.abs(channels["detector_temp"] - 36.0) > 1.3),
        }

    def respond(self, world: CtWorld, alarm: str, step: int) -> bool:
        """A hot tube must not be used until it has cooled; everything else waits for the engineer."""
        if alarm != "oil_hot":
            return False
        pause = int(world.noise.rng(f"response:{alarm}:{step}").integers(120, 240))
        waiting = np.zeros(world.n, np.bool_)
        waiting[step + 1 : step + 1 + pause] = True
        clear(world.scans, waiting)
        return True

    def ticks(self, world: CtWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        """What is told of a scan is told at its end."""
        del channels
        return dict.fromkeys(SCAN_FIGURES, world.scans.done)


def _interrupt(world: CtWorld, start: int, stop: int, mode: CtMode) -> None:
    """The scanner is in `mode` between two steps, and warms up in the last quarter of an hour of them."""
    part = world.mode[start:stop]
    used = part == CtMode.IN_USE
    warming = np.arange(len(part)) >= len(part) - WARM_UP_STEPS
    part[used] = np.where(warming, CtMode.WARM_UP, mode)[used]


def _age(world: CtWorld) -> Array:
    """(n,) age of the tube, 0 new … 1 at the end of its life."""
    return np.where(world.new_tube, 0.0, world.noise.age())


def _scan_time(world: CtWorld) -> Array:
    """(n,) thousand seconds for which the tube that is mounted has been scanning."""
    used = np.cumsum(world.scans.power > 0) * STEP_S / 1000.0
    mounted = np.where(world.new_tube, used[int(np.argmax(world.new_tube))], 0.0)
    return np.asarray(LIFE_KS * _age(world) + used - mounted)


def _of_tube(world: CtWorld, name: str) -> Array:
    """(n,) what distinguishes the tube that is mounted."""
    return np.where(world.new_tube, world.noise.unit(f"{name}:new"), world.noise.unit(name))


def _per_scan(world: CtWorld, name: str, std: float) -> Array:
    """(n,) noise with one value a scan."""
    number = world.scans.number
    return world.noise.white(name, int(number.max()) + 1, std)[number]


def _counts(world: CtWorld, name: str, mean: Array) -> Array:
    """(n,) Poisson counts, one a scan, of the mean that holds in each step; each scan has its own luck."""
    number = world.scans.number
    luck = world.noise.rng(name).gamma(4.0, 0.25, int(number.max()) + 1)[number]
    return np.asarray(np.round(mean * (1.0 if world.noise.silent else luck)))


def _arcs(world: CtWorld) -> Array:
    """(n,) kV spits of a scan: gas in the tube strikes; conditioning in a warm-up makes a few as well."""
    number, warming = world.scans.number, world.mode == CtMode.WARM_UP
    rng = world.noise.rng("spits")
    usual = rng.poisson(0.02 + 0.05 * world.noise.age(), int(number.max()) + 1)[number]
    usual = usual + rng.poisson(0.4, int(number.max()) + 1)[number] * warming
    return np.asarray(usual * (not world.noise.silent) + _counts(world, "gas", 11.0 * world.gas))


def _tube(world: CtWorld, arcs: Array) -> dict[str, Array]:
    """Generator and filament: a thin filament needs less current for the same emission, and regulates worse."""
    age = _age(world)
    emission = 0.7 * _of_tube(world, "filament") - 1.5 * age - 10.0 * world.thinning
    return {
        "arc_count": np.minimum(arcs, 200.0),
        "kv_deviation": 0.08 * _of_tube(world, "kv")
        - 0.22 * np.minimum(arcs, 20.0)
        + _per_scan(world, "kv", 0.12),
        "ma_deviation": 0.3 * _of_tube(world, "ma")
        - 2.0 * world.thinning
        + _per_scan(world, "ma", 0.5) * (1.0 + 4.0 * world.thinning),
        "filament_correction": emission + _per_scan(world, "filament", 0.25),
    }


def _heat(world: CtWorld) -> dict[str, Array]:
    """Anode, oil and its pump: what the anode gives off goes into the oil, and from there into water and room."""
    noise, n = world.noise, world.n
    pumping = np.where(np.isin(world.mode, (CtMode.OFF, CtMode.SERVICE)), 0.0, 1.0)
    running = _lag(pumping, 60.0)
    beam = _lag(world.scans.power, ANODE_TAU_S, USUAL_KW)
    fouled = world.fouling
    film = (1.0 + 0.03 * noise.unit("exchanger") + 0.06 * noise.age()) * (1.0 + 1.1 * fouled)
    idle = (8.0 + 4.0 * world.friction) * pumping
    oil = 0.5 * (world.room + world.water) + film * (idle + 4.5 * beam)
    flow = (16.0 + 0.35 * noise.unit("flow")) * (1.0 - 0.5 * fouled)
    pump = (2.10 + 0.05 * noise.unit("pump") + 0.05 * noise.age()) * (1.0 + 0.30 * fouled)
    return {
        "anode_heat": np.clip(
            100.0 * beam * ANODE_TAU_S / ANODE_KJ + noise.white("anode", n, 0.3), 0.0, 150.0
        ),
        "oil_temp": _lag(oil, OIL_TAU_S) + noise.white("oil", n, 0.1),
        "oil_flow": np.maximum(flow * running + noise.wander("flow", n, 0.15, 600.0) * running, 0.0),
        "oil_pump_current": pump * running + noise.wander("pump", n, 0.02, 600.0) * running,
    }


def _delay(world: CtWorld, arcs: Array, heat: Mapping[str, Array]) -> Array:
    """(n,) seconds that a scan had to wait: for the generator after arcs, for oil and anode to cool."""
    waiting = 3.0 + 2.0 * arcs + 8.0 * world.fouling + _per_scan(world, "delay", 1.2)
    waiting = waiting + 2.0 * np.maximum(heat["oil_temp"] - 52.0, 0.0)
    waiting = waiting + 4.0 * np.maximum(heat["anode_heat"] - 85.0, 0.0)
    return np.asarray(np.clip(waiting, 0.0, 600.0))


def _rotor(world: CtWorld) -> dict[str, Array]:
    """Drive of the anode: a worn bearing takes longer and more current to come to speed."""
    age, friction = _age(world), world.friction
    runup = 4.8 + 0.08 * _of_tube(world, "runup") + 0.10 * age
    drive = 22.0 + 0.4 * _of_tube(world, "rotor") + 0.5 * age
    return {
        "rotor_runup": runup * (1.0 + 0.36 * friction) + _per_scan(world, "runup", 0.03),
        "rotor_current": drive * (1.0 + 0.28 * friction) + _per_scan(world, "rotor", 0.15),
    }


def _gantry(world: CtWorld) -> dict[str, Array]:
    """Rotation: play in the bearing shakes and slows it, and a worn slip ring loses data."""
    noise, n, play = world.noise, world.n, world.play
    speed = np.array([0.0, 1.0, 2.0, 3.6, 2.0, 0.5])[world.scans.protocol]
    shaking = 0.28 + 0.02 * noise.unit("balance") + 0.012 * speed + 0.02 * noise.age()
    shaking = shaking + 0.55 * play + 0.30 * world.friction
    warmth = _lag(world.scans.turns, 1800.0, USUAL_TURNS)
    return {
        "gantry_vibration": np.maximum(shaking + _per_scan(world, "vibration", 0.012), 0.0),
        "rotation_deviation": 0.01 * noise.unit("rotation")
        - 0.20 * play
        + _per_scan(world, "rotation", 0.015) * (1.0 + 8.0 * play),
        "data_retries": np.minimum(_retries(world) + _counts(world, "ring", 14.0 * play), 500.0),
        "gantry_motor_temp": world.room
        + 11.0
        + 0.7 * noise.unit("motor")
        + 10.0 * play
        + 16.0 * warmth
        + noise.wander("motor", n, 0.2, 900.0),
    }


def _retries(world: CtWorld) -> Array:
    """(n,) usual retries of a scan."""
    number = world.scans.number
    usual = world.noise.rng("retries").poisson(0.4 + 0.3 * world.noise.age(), int(number.max()) + 1)[number]
    return np.asarray(usual * (not world.noise.silent), np.float64)


def _detector(world: CtWorld) -> dict[str, Array]:
    """Detector held at 36 °C: every kelvin off shifts the gain of its worst module against the calibration."""
    noise, n = world.noise, world.n
    apart = _lag(world.heater_error, 600.0)
    usual = 0.0012 * noise.unit("module") - 0.0008 * noise.age()
    return {
        "detector_temp": 36.0
        + 0.03 * noise.unit("detector")
        + apart
        + noise.wander("detector", n, 0.02, 600.0),
        "air_ratio": 1.0 + usual - 0.012 * np.abs(apart) + _per_scan(world, "air", 0.0006),
    }
