"""ICU ventilator with a turbine and one patient's lung, one number a breath. Knows nothing about sampling.

Single-compartment lung (compliance, resistance), volume or pressure control. Numbers are those of the public
ventilator tables where they exist and engineering estimates otherwise; they describe no product. Pressures in
mbar, volumes in mL, flows in L/min unless a name says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.noise import Array, Noise, lag, pulse
from streams.simulation.ventilator_catalogue import FAULTS, LOOKALIKES

DEAD_SPACE = 150.0
INSPIRATION = 1.0 / 3.0
"""Part of the breath that is inspiration."""
AIR_O2 = 21.0
FAULT_PARAMETERS = ("leakage", "sensor_gain", "cell", "stick", "bearing", "supply_loss", "zero")


class VentilatorMode(IntEnum):
    """Values of the channel `mode`."""

    OFF = 0
    SELF_TEST = 1
    STANDBY = 2
    VENTILATING = 3
    OXYGENATION = 4
    NEBULISING = 5
    RECRUITMENT = 6


@dataclass(slots=True)
class VentilatorWorld:
    """Settings, patient and hardware of one ventilator over time; arrays are (n,)."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    pressure_control: NDArray[np.bool_]
    vt_set: Array
    p_insp_set: Array
    rr_set: Array
    peep_set: Array
    fio2_set: Array
    compliance: Array
    """mL/mbar"""
    resistance: Array
    """mbar/(L/s)"""
    effort: Array
    """Breaths a minute the patient adds."""
    cough: Array
    """0 … 1, how far single breaths are disturbed."""
    open_circuit: Array
    """1 while the patient is disconnected."""
    nebuliser: Array
    on_battery: NDArray[np.bool_]
    leakage: Array = field(init=False)
    """L/min per mbar beyond a tight circuit's."""
    sensor_gain: Array = field(init=False)
    """Relative error of the expiratory flow sensor."""
    cell: Array = field(init=False)
    stick: Array = field(init=False)
    bearing: Array = field(init=False)
    supply_loss: Array = field(init=False)
    zero: Array = field(init=False)
    """Zero error of the monitoring pressure transducer, mbar."""
    cleared: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in FAULT_PARAMETERS:
            setattr(self, name, np.zeros(self.n))


class IcuVentilator(Machine[VentilatorWorld]):
    """See the module."""

    device_type = "icu-ventilator"
    modes = VentilatorMode
    treatment = VentilatorMode.VENTILATING
    pauses = (
        (("STANDBY", 120.0, 900.0),),
        (("STANDBY", 60.0, 600.0), ("SELF_TEST", 60.0, 180.0), ("STANDBY", 30.0, 120.0)),
    )
    faults = FAULTS
    lookalikes = LOOKALIKES
    resolution: ClassVar[Mapping[str, float]] = {
        "mode": 1, "vent_mode": 1, "power_state": 1, "vt_set": 5, "p_insp_set": 0.5, "rr_set": 1,
        "peep_set": 0.5, "fio2_set": 1, "p_peak": 0.1, "p_plat": 0.1, "peep": 0.1, "vt_insp": 1, "vt_exp": 1,
        "rr_total": 0.1, "mv": 0.01, "leak": 0.1, "fio2": 0.1, "compliance": 0.1, "resistance": 0.1,
        "etco2": 0.1, "o2_supply_pressure": 1, "blower_speed": 10, "blower_current": 0.01, "blower_temp": 0.1,
        "battery_charge": 1,
    }  # fmt: skip
    spread: ClassVar[Mapping[str, float]] = {
        "p_peak": 1.7,
        "p_plat": 1.6,
        "peep": 0.2,
        "vt_insp": 8.6,
        "vt_exp": 9.4,
        "rr_total": 0.44,
        "mv": 0.21,
        "leak": 0.73,
        "fio2": 0.4,
        "compliance": 8.1,
        "resistance": 1.4,
        "etco2": 2.6,
        "o2_supply_pressure": 19.0,
        "blower_speed": 780.0,
        "blower_current": 0.066,
        "blower_temp": 1.3,
        "battery_charge": 1.0,
    }

    def begin(self, run: Run) -> VentilatorWorld:
        rng, noise, n, chosen = run.noise.rng("settings"), run.noise, run.n, run.plan.settings
        vt_set = chosen.get("vt_set", 10.0 * round(float(rng.uniform(36, 54))))
        compliance = 50.0 * np.exp(0.18 * noise.patient("compliance"))
        return VentilatorWorld(
            n=n,
            noise=noise,
            mode=mode_timeline(run, VentilatorMode, VentilatorMode.VENTILATING),
            pressure_control=np.full(n, bool(chosen.get("pressure_control", rng.random() < 0.3))),
            vt_set=np.full(n, vt_set),
            p_insp_set=np.full(n, round(vt_set / compliance * 2.0) / 2.0),
            rr_set=np.full(n, chosen.get("rr_set", float(rng.integers(13, 21)))),
            peep_set=np.full(n, chosen.get("peep_set", float(rng.integers(5, 12)))),
            fio2_set=np.full(n, chosen.get("fio2_set", 5.0 * float(rng.integers(6, 14)))),
            compliance=compliance * (1.0 + noise.wander("compliance", n, 0.015, 600.0)),
            resistance=9.0
            * np.exp(0.15 * noise.patient("resistance") + noise.wander("resistance", n, 0.03, 400.0)),
            effort=np.maximum(
                0.0, 0.6 + 0.4 * noise.patient("effort") + noise.wander("effort", n, 0.3, 90.0)
            ),
            cough=np.zeros(n),
            open_circuit=np.zeros(n),
            nebuliser=np.zeros(n),
            on_battery=np.zeros(n, np.bool_),
        )

    def happen(self, world: VentilatorWorld, event: Event) -> None:
        if event.name not in LOOKALIKES:
            raise ValueError(f"an ICU ventilator knows no event {event.name}")
        _operate(world, event)
        _change_settings(world, event)
        _suffer(world, event)

    def inject(self, world: VentilatorWorld, fault: Injected) -> None:
        strength = fault.strength
        match fault.name:
            case "expiratory_flow_sensor_drift":
                world.sensor_gain += fault.sign * 0.30 * strength
            case "o2_cell_depletion":
                world.cell += strength
            case "circuit_leak":
                world.leakage += 0.65 * strength
            case "exhalation_valve_stick":
                world.stick += strength
            case "blower_bearing_wear":
                world.bearing += strength
            case "o2_supply_fault":
                world.supply_loss += strength
            case "pressure_zero_drift":
                world.zero += fault.sign * 6.0 * strength
            case _:
                raise ValueError(f"an ICU ventilator knows no fault {fault.name}")

    def solve(self, world: VentilatorWorld) -> dict[str, Array]:
        working = world.mode >= VentilatorMode.VENTILATING
        lung = _breathe(world)
        rate = np.where(working, lung["rr_total"], 0.0)
        gain = 1.0 + 0.010 * world.noise.unit("exp_flow") + world.sensor_gain
        noise = world.noise.white("vt_exp", world.n, 0.012)
        lung["vt_exp"] = np.maximum(lung["vt_exp"] * (gain + noise), 0.0)
        lost = np.clip(100.0 * (1.0 - lung["vt_exp"] / np.maximum(lung["vt_insp"], 1.0)), 0.0, 100.0)
        return {
            "mode": world.mode.astype(np.float64),
            "vent_mode": np.where(world.pressure_control, 2.0, 1.0),
            "power_state": world.on_battery.astype(np.float64),
            "vt_set": world.vt_set,
            "p_insp_set": world.p_insp_set,
            "rr_set": world.rr_set,
            "peep_set": world.peep_set,
            "fio2_set": world.fio2_set,
            **lung,
            "rr_total": rate + world.noise.white("rr", world.n, 0.1) * working,
            "mv": np.maximum(lag(rate * lung["vt_exp"] / 1000.0, 20.0), 0.0),
            "leak": np.maximum(lag(np.where(working, lost, 0.0), 15.0), 0.0),
            "battery_charge": _battery(world),
            **_oxygen(world),
            **_blower(world, lung, working),
        }

    def ticks(self, world: VentilatorWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        working = world.mode >= VentilatorMode.VENTILATING
        breaths = np.floor(np.cumsum(np.where(working, channels["rr_total"], 0.0) / 60.0))
        ended = np.diff(breaths, prepend=0.0) >= 1.0
        return dict.fromkeys(
            ("p_peak", "p_plat", "peep", "vt_insp", "vt_exp", "compliance", "resistance", "etco2"), ended
        )

    def alarms(self, world: VentilatorWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        working = world.mode >= VentilatorMode.VENTILATING
        usual = world.mode == VentilatorMode.VENTILATING
        apart = lag(channels["fio2"] - world.fio2_set, 60.0)
        return {
            "volume_low": working & (lag(channels["vt_exp"], 20.0) < 0.7 * lag(channels["vt_insp"], 20.0)),
            "peep_high": working & (lag(channels["peep"], 15.0) > world.peep_set + 5.0),
            "peep_low": working & (lag(channels["peep"], 15.0) < world.peep_set - 4.0),
            "fio2_low": usual & (apart < -7.0),
            "o2_supply_low": channels["o2_supply_pressure"] < 200.0,
            "blower_hot": channels["blower_temp"] > 68.0,
            "battery_low": world.on_battery & (channels["battery_charge"] < 10.0),
        }


def _operate(world: VentilatorWorld, event: Event) -> None:
    """Manoeuvres started at the ventilator."""
    a, b, n = event.start, event.stop, world.n
    working = np.zeros(n, np.bool_)
    working[a:b] = world.mode[a:b] == VentilatorMode.VENTILATING
    match event.name:
        case "suctioning" | "oxygen_100":
            world.mode[working] = VentilatorMode.OXYGENATION
            world.fio2_set[a:b] = 100.0
            if event.name == "suctioning":
                middle = (a + b) // 2
                world.open_circuit += pulse(n, middle, min(b, middle + 10 + round(12 * event.magnitude)))
        case "disconnection":
            world.open_circuit += pulse(n, a, b)
            working[a : a + 8] = False
            world.mode[working] = VentilatorMode.STANDBY
        case "nebulisation":
            world.mode[working] = VentilatorMode.NEBULISING
            world.nebuliser += (0.5 + 0.5 * event.magnitude) * pulse(n, a, b, 5.0)
        case "recruitment":
            world.mode[working] = VentilatorMode.RECRUITMENT
            world.peep_set[a:b] += 8.0 + round(6.0 * event.magnitude)
            world.compliance *= 1.0 + 0.04 * pulse(n, a, n, 30.0)
        case "on_battery":
            world.on_battery[a:b] = True


def _change_settings(world: VentilatorWorld, event: Event) -> None:
    a, b, m = event.start, event.stop, event.magnitude
    match event.name:
        case "mode_change":
            world.pressure_control[a:b] = ~world.pressure_control[a:b]
        case "setting_change":
            rng = event.rng()
            chosen = rng.permutation(4)[: 1 + round(2 * m)]
            up = rng.choice([-1.0, 1.0], 4)
            if 0 in chosen:
                world.vt_set[a:b] = np.clip(world.vt_set[a:b] + up[0] * 40.0, 300.0, 600.0)
                world.p_insp_set[a:b] += up[0] * 1.0
            if 1 in chosen:
                world.rr_set[a:b] = np.clip(world.rr_set[a:b] + up[1] * 2.0, 10.0, 24.0)
            if 2 in chosen:
                world.peep_set[a:b] = np.clip(world.peep_set[a:b] + up[2] * 2.0, 4.0, 14.0)
            if 3 in chosen:
                world.fio2_set[a:b] = np.clip(world.fio2_set[a:b] + up[3] * 10.0, 25.0, 80.0)


def _suffer(world: VentilatorWorld, event: Event) -> None:
    """What the patient does."""
    a, b, m, n = event.start, event.stop, event.magnitude, world.n
    match event.name:
        case "cough":
            world.cough += (0.4 + 0.6 * m) * pulse(n, a, b, 3.0)
        case "secretions":
            world.resistance *= 1.0 + (0.3 + 0.7 * m) * pulse(n, a, b, 0.6 * (b - a), 15.0)
        case "position_change":
            world.compliance *= 1.0 - (0.06 + 0.12 * m) * pulse(n, a, b, 20.0)
            world.cough += 0.4 * pulse(n, a, min(b, a + 15))


def _breathe(world: VentilatorWorld) -> dict[str, Array]:
    """Numbers a breath would have if it ended in this second, the expired volume still as it is."""
    noise, n = world.noise, world.n
    connected = 1.0 - world.open_circuit
    startle = world.cough * noise.rng("cough").standard_normal(n) * (not noise.silent)
    conductance = 0.008 * (1.0 + 0.2 * noise.unit("tightness")) + world.leakage
    leak_flow = conductance * (world.peep_set + 6.0)
    stuck = 5.0 * world.stick + 1.6 * world.stick * np.sin(2.0 * np.pi * np.arange(n) / 47.0)
    peep = (world.peep_set - 0.20 * leak_flow + stuck) * connected + noise.wander("peep", n, 0.12, 30.0)
    triggered = 1.2 * np.maximum(leak_flow - 3.0, 0.0)
    rate = world.rr_set + world.effort + triggered + 4.0 * world.cough * np.abs(startle)
    inspiration_s = 60.0 / world.rr_set * INSPIRATION
    elastic = np.where(world.pressure_control, world.p_insp_set, world.vt_set / world.compliance)
    lost = conductance * (peep + 0.7 * elastic) * inspiration_s / 60.0 * 1000.0
    wanted = np.where(world.pressure_control, world.p_insp_set * world.compliance + lost, world.vt_set)
    vt_insp = wanted * (1.0 + 0.008 * noise.unit("insp_flow") + noise.white("vt_insp", n, 0.008))
    vt_lung = np.maximum(vt_insp - lost, 0.0) * connected * (1.0 - 0.12 * np.minimum(np.abs(startle), 3.0))
    plat = peep + vt_lung / world.compliance
    flow = vt_insp / 1000.0 / inspiration_s
    # A decelerating flow has almost ended when the pressure peaks.
    share = np.where(world.pressure_control, 0.3, 1.0)
    peak = plat + world.resistance * flow * share * connected
    peak = peak + np.abs(startle) * 9.0 + noise.white("paw", n, 0.25) * (1.0 + 3.0 * world.bearing)
    reading = 0.2 * noise.unit("zero") + world.zero
    driving = np.maximum(plat - peep, 0.5)
    bias_flow = 25.0 * world.nebuliser
    return {
        "rr_total": rate,
        "p_peak": peak + reading,
        "p_plat": plat + reading + noise.white("plat", n, 0.15),
        "peep": peep + reading + noise.white("peep", n, 0.08),
        "vt_insp": vt_insp,
        "vt_exp": vt_lung * (0.975 - 0.04 * world.stick) + bias_flow * connected,
        "compliance": np.clip(vt_insp / driving * connected + noise.white("c", n, 0.6), 0.0, 300.0),
        "resistance": np.clip((peak - plat) / flow / share, 0.0, 100.0) * connected,
        "etco2": _carbon_dioxide(world, rate, vt_lung),
    }


def _carbon_dioxide(world: VentilatorWorld, rate: Array, vt_lung: Array) -> Array:
    """(n,) end-tidal CO2: production over alveolar ventilation, with the body's slow store; staff aimed at 40."""
    noise, n = world.noise, world.n
    working = world.mode >= VentilatorMode.VENTILATING
    alveolar = rate * np.maximum(vt_lung - DEAD_SPACE, 30.0)
    usual = (world.rr_set[0] + 0.6) * max(world.vt_set[0] - DEAD_SPACE, 30.0)
    target = np.clip(40.0 * usual / alveolar, 15.0, 90.0)
    stored = lag(np.where(working, target, 45.0), 300.0, 40.0)
    stored = stored * (1.0 + 0.05 * noise.patient("co2") + noise.wander("co2", n, 0.015, 200.0))
    return np.asarray((stored + noise.white("etco2", n, 0.4)) * (1.0 - 0.95 * world.open_circuit))


def _oxygen(world: VentilatorWorld) -> dict[str, Array]:
    """Supply pressure, and the inspired fraction as a galvanic cell reads it: depleted, it is low and slow."""
    noise, n = world.noise, world.n
    usual = 430.0 + 18.0 * noise.patient("wall") + noise.wander("wall", n, 5.0, 400.0)
    pressure = usual * (1.0 - 0.75 * world.supply_loss) + noise.white("wall", n, 1.5)
    carried = np.clip((pressure - 60.0) / 250.0, 0.0, 1.0)
    mixed = AIR_O2 + (world.fio2_set - AIR_O2) * carried
    slow = 25.0 * world.cell.max()
    true = lag(mixed, 12.0)
    cell = np.where(world.cell > 0, lag(mixed, 12.0 + slow), true) * (1.0 - 0.35 * world.cell)
    reading = cell + 0.35 * noise.unit("cell") + noise.wander("cell", n, 0.25, 120.0)
    return {
        "o2_supply_pressure": np.maximum(pressure, 0.0),
        "fio2": np.clip(reading + noise.white("fio2", n, 0.1), 0.0, 104.0),
    }


def _blower(
    world: VentilatorWorld, lung: Mapping[str, Array], working: NDArray[np.bool_]
) -> dict[str, Array]:
    """Turbine: speed follows pressure and flow it must make; bearing friction takes current and makes heat."""
    noise, n = world.noise, world.n
    driving = np.maximum(lung["p_plat"] - world.zero, 0.0)
    leak_flow = (world.leakage + 0.008) * (world.peep_set + 6.0) + 25.0 * world.open_circuit
    flow = lung["rr_total"] * lung["vt_insp"] / 1000.0
    demand = 14000.0 + 420.0 * lag(driving, 4.0) + 380.0 * lag(flow, 8.0) + 450.0 * lag(leak_flow, 4.0)
    speed = np.where(working, demand, 6000.0) * (1.0 + 0.008 * noise.unit("blower"))
    speed = lag(speed, 3.0) + noise.wander("blower", n, 90.0, 15.0) * working
    age = noise.age()
    ripple = noise.white("ripple", n, 1.0) * (40.0 + 900.0 * world.bearing)
    friction = 0.10 + 0.06 * age + 0.55 * world.bearing
    current = (speed / 10000.0) ** 2 * 0.16 * (
        1.0 + 0.02 * noise.unit("winding")
    ) + friction * speed / 24000.0
    ambient = 22.5 + 0.8 * noise.patient("room") + noise.wander("room", n, 0.25, 1800.0)
    heat = 14.0 * current / 1.0 + 16.0 * world.bearing * speed / 24000.0
    return {
        "blower_speed": np.maximum(speed + ripple, 0.0),
        "blower_current": np.maximum(current + noise.white("current", n, 0.012), 0.0),
        "blower_temp": ambient + 6.0 + lag(heat, 420.0) + noise.white("heat", n, 0.1),
    }


def _battery(world: VentilatorWorld) -> Array:
    """(n,) charge: three hours when new, recharged within four."""
    if not world.on_battery.any():
        return np.full(world.n, 100.0)
    life_h = 3.0 - 0.8 * world.noise.age()
    level, course = 100.0, []
    for change in np.where(world.on_battery, -100.0 / life_h, 25.0).tolist():
        level = min(100.0, max(0.0, level + change / 3600.0))
        course.append(level)
    return np.asarray(course)
