"""Haemodialysis machine: blood side, fluid balance, dialysate preparation. Knows nothing about sampling.

Numbers are those of the public dialysis tables where they exist and engineering estimates otherwise; they
describe no product. Pressures in mmHg, blood and dialysate flow in mL/min, ultrafiltration in mL/h.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.dialysis_catalogue import FAULTS, LOOKALIKES
from streams.simulation.dialysis_schedule import (
    CYCLE_S,
    SESSION_S,
    DialysisMode,
    change_mode,
    end_sessions,
    prescription,
    sessions,
)
from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.noise import Array, Noise, lag, pulse

HEATER_W = 1000.0
WATER_J = 4.18
"""J to heat one millilitre by one kelvin."""
RECOVERY = 0.45
"""Part of the drain's heat that the heat exchanger gives back."""
FAULT_PARAMETERS = (
    "cell_scale", "pump_wear", "heater_loss", "ntc_error", "roller_wear", "balance_leak", "clotting",
    "leak_haze", "air_haze", "supply_loss",
)  # fmt: skip


@dataclass(slots=True)
class DialysisWorld:
    """Prescription, access and hardware of one machine over time; arrays are (n,)."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    qb_set: Array
    uf_rate_set: Array
    uf_target: float
    cond_set: Array
    temp_set: Array
    r_art: Array
    """Access and line, mmHg per mL/min."""
    r_ven: Array
    kuf: Array
    """Of the dialyser, mL/h per mmHg."""
    arm: Array
    """0 … 1, how far the patient's arm bends the access."""
    single_needle: NDArray[np.bool_]
    hdf: bool
    bypass: NDArray[np.bool_]
    pump_stopped: NDArray[np.bool_]
    session: NDArray[np.int32]
    """Number of the treatment."""
    elapsed: Array
    """Seconds of the present treatment."""
    cell_scale: Array = field(init=False)
    """Relative error of the conductivity cell."""
    pump_wear: Array = field(init=False)
    heater_loss: Array = field(init=False)
    ntc_error: Array = field(init=False)
    """Kelvin that the control sensor reads too much."""
    roller_wear: Array = field(init=False)
    balance_leak: Array = field(init=False)
    """mL/h taken from the patient beyond what the UF pump takes."""
    clotting: Array = field(init=False)
    leak_haze: Array = field(init=False)
    air_haze: Array = field(init=False)
    supply_loss: Array = field(init=False)
    cleared: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in FAULT_PARAMETERS:
            setattr(self, name, np.zeros(self.n))


class Haemodialysis(Machine[DialysisWorld]):
    """See the module."""

    device_type = "haemodialysis"
    modes = DialysisMode
    treatment = DialysisMode.TX
    pauses = (
        (("POSTTX", 300.0, 600.0), ("IDL", 300.0, 1800.0), ("PRETX", 400.0, 900.0)),
        (("POSTTX", 300.0, 600.0), ("DIS", 1200.0, 2400.0), ("PRETX", 400.0, 900.0)),
    )
    cycle_hours = CYCLE_S / 3600
    faults = FAULTS
    lookalikes = LOOKALIKES
    resolution: ClassVar[Mapping[str, float]] = {
        "treatment_mode": 1, "modality": 1, "needle_mode": 1, "bypass": 1, "qb_set": 5, "uf_rate_set": 10,
        "uf_target": 50, "dialysate_flow_set": 50, "cond_set": 0.1, "temp_set": 0.1, "qb": 1, "p_art": 1,
        "p_ven": 1, "p_prefilter": 1, "tmp": 1, "uf_rate": 1, "uf_removed": 1, "dialysate_flow": 1,
        "dialysate_cond": 0.01, "bicarb_cond": 0.01, "dialysate_temp": 0.01, "temp_ven": 0.1, "blood_leak": 1,
        "air_detect_level": 0.5, "ro_inlet_pressure": 1, "ro_inlet_temp": 0.1, "heater_duty": 1,
        "degas_pressure": 1,
    }  # fmt: skip
    spread: ClassVar[Mapping[str, float]] = {
        "qb": 4.1,
        "p_art": 16.0,
        "p_ven": 13.0,
        "p_prefilter": 13.0,
        "tmp": 3.3,
        "uf_rate": 3.5,
        "uf_removed": 1.0,
        "dialysate_flow": 3.4,
        "dialysate_cond": 0.031,
        "bicarb_cond": 0.064,
        "dialysate_temp": 0.067,
        "temp_ven": 0.13,
        "blood_leak": 1.6,
        "air_detect_level": 0.5,
        "ro_inlet_pressure": 14.0,
        "ro_inlet_temp": 0.82,
        "heater_duty": 1.9,
        "degas_pressure": 6.7,
    }

    def begin(self, run: Run) -> DialysisWorld:
        noise, n, chosen = run.noise, run.n, run.plan.settings
        rng = noise.rng("settings")
        mode = mode_timeline(run, DialysisMode, DialysisMode.TX)
        since = -int(rng.integers(600, SESSION_S - 7200))
        end_sessions(mode, since)
        for event in run.events:
            change_mode(mode, event)
        session, elapsed = sessions(mode, since)
        per = [prescription(noise, number, chosen) for number in range(int(session.max()) + 1)]
        drawn = {name: np.array([one[name] for one in per])[session] for name in per[0]}
        return DialysisWorld(
            n=n,
            noise=noise,
            mode=mode,
            uf_target=50.0 * float(rng.integers(36, 70)),
            arm=np.zeros(n),
            single_needle=np.zeros(n, np.bool_),
            hdf=bool(chosen.get("hdf", rng.random() < 0.2)),
            bypass=np.zeros(n, np.bool_),
            pump_stopped=np.zeros(n, np.bool_),
            session=session,
            elapsed=elapsed,
            qb_set=drawn["qb_set"],
            uf_rate_set=drawn["uf_rate_set"],
            cond_set=drawn["cond_set"],
            temp_set=drawn["temp_set"],
            r_art=drawn["r_art"],
            r_ven=drawn["r_ven"],
            kuf=drawn["kuf"],
        )

    def happen(self, world: DialysisWorld, event: Event) -> None:
        if event.name not in LOOKALIKES:
            raise ValueError(f"a haemodialysis machine knows no event {event.name}")
        _operate(world, event)
        _disturb(world, event)

    def inject(self, world: DialysisWorld, fault: Injected) -> None:
        effects = {
            "conductivity_cell_scaling": ("cell_scale", -0.06),
            "proportioning_pump_wear": ("pump_wear", 1.0),
            "heater_degradation": ("heater_loss", 0.72),
            "temperature_sensor_drift": ("ntc_error", 2.5 * fault.sign),
            "blood_pump_wear": ("roller_wear", 0.35),
            "balancing_leak": ("balance_leak", 320.0 * fault.sign),
            "dialyser_clotting": ("clotting", 1.0),
            "blood_leak_optics_soiling": ("leak_haze", 1.0),
            "air_detector_soiling": ("air_haze", 1.0),
            "ro_inlet_fault": ("supply_loss", 1.0),
        }
        if fault.name not in effects:
            raise ValueError(f"a haemodialysis machine knows no fault {fault.name}")
        parameter, size = effects[fault.name]
        setattr(world, parameter, getattr(world, parameter) + size * fault.strength)

    def solve(self, world: DialysisWorld) -> dict[str, Array]:
        mode, n = world.mode, world.n
        treating = mode == DialysisMode.TX
        fluid = treating & ~world.bypass
        qb_set = np.select(
            [treating, np.isin(mode, (DialysisMode.PRETX, DialysisMode.POSTTX))], [world.qb_set, 150.0], 0.0
        )
        qb_set = np.where(world.pump_stopped, 0.0, qb_set)
        flow_set = np.select([mode == DialysisMode.IDL, mode == DialysisMode.POSTTX], [0.0, 300.0], 500.0)
        hot = mode == DialysisMode.DIS
        settings = {
            "treatment_mode": mode.astype(np.float64),
            "modality": np.full(n, 2.0 if world.hdf else 1.0),
            "needle_mode": np.where(world.single_needle, 2.0, 1.0),
            "bypass": world.bypass.astype(np.float64),
            "qb_set": qb_set,
            "uf_rate_set": np.where(treating, world.uf_rate_set, 0.0),
            "uf_target": np.full(n, world.uf_target),
            "dialysate_flow_set": flow_set,
            "cond_set": np.where(hot, 0.3, world.cond_set),
            "temp_set": np.where(hot, 84.0, world.temp_set),
        }
        water = _water(world)
        flow = lag(flow_set * np.minimum(1.0, water["ro_inlet_pressure"] / 130.0) * ~world.bypass, 6.0)
        return {
            **settings,
            **_blood(world, qb_set, treating),
            **_balance(world, fluid),
            **water,
            **_heat(world, settings["temp_set"], flow, water["ro_inlet_temp"]),
            **_mixture(world, settings["cond_set"]),
            **_optics(world),
            "dialysate_flow": np.maximum(
                flow * (1.0 + 0.006 * world.noise.unit("flow")) + world.noise.white("flow", n, 1.5), 0.0
            ),
            "degas_pressure": np.where(flow_set > 0, -600.0, -20.0)
            + 6.0 * world.noise.unit("degas")
            + world.noise.wander("degas", n, 3.0, 60.0),
        }

    def alarms(self, world: DialysisWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        treating = (world.mode == DialysisMode.TX) & (world.elapsed > 120)
        apart = lag(channels["dialysate_cond"] / channels["cond_set"] - 1.0, 20.0)
        cold = lag(channels["dialysate_temp"], 20.0) - channels["temp_set"]
        return {
            "conductivity": treating & (np.abs(apart) > 0.04),
            "temperature": treating & (np.abs(cold) > 1.5),
            "tmp_high": treating & (channels["tmp"] > 200.0 + 60.0 * world.hdf),
            "venous_high": treating & (lag(channels["p_ven"], 5.0) > 300.0),
            "blood_leak": treating & (lag(channels["blood_leak"], 5.0) > 300.0),
            "air": treating & (lag(channels["air_detect_level"], 3.0) > 40.0),
            "water": channels["ro_inlet_pressure"] < 100.0,
            "uf_range": treating & (lag(np.abs(world.balance_leak), 600.0) > 200.0),
        }

    def respond(self, world: DialysisWorld, alarm: str, second: int) -> bool:
        stop = second + int(world.noise.rng(f"response:{alarm}:{second}").integers(90, 240))
        if alarm in ("conductivity", "temperature"):
            world.bypass[second + 1 : stop] = True
            return True
        if alarm in ("air", "blood_leak"):
            world.pump_stopped[second + 1 : stop] = True
            return True
        return False


def _operate(world: DialysisWorld, event: Event) -> None:
    """What staff does at the machine, but for what changes its mode."""
    a, b = event.start, event.stop
    match event.name:
        case "sodium_profile":
            _steps(world.cond_set, event, np.linspace(0.5 + 0.3 * event.magnitude, -0.2, 6), 0.1)
        case "uf_profile":
            level = float(world.uf_rate_set[a])
            _steps(world.uf_rate_set, event, level * np.linspace(0.2 + 0.3 * event.magnitude, -0.3, 5), 10.0)
        case "bypass_test":
            world.bypass[a:b] = True
        case "single_needle":
            world.single_needle[a:b] = True


def _disturb(world: DialysisWorld, event: Event) -> None:
    """What the patient and the needles do."""
    a, b, m, n = event.start, event.stop, event.magnitude, world.n
    match event.name:
        case "needle_change":
            rng = event.rng()
            side = rng.choice([-0.6, 1.0])
            art, ven = rng.uniform(0.5, 1.0, 2)
            world.r_art *= 1.0 + side * art * (0.06 + 0.20 * m) * pulse(n, a, b, 3.0)
            world.r_ven *= 1.0 + side * ven * (0.06 + 0.20 * m) * pulse(n, a, b, 3.0)
        case "arm_moved":
            world.arm += (0.3 + 0.7 * m) * pulse(n, a, b, 4.0)


def _steps(setting: Array, event: Event, offsets: Array, step: float) -> None:
    times = np.linspace(event.start, event.stop, len(offsets) + 1).astype(int)
    base = setting[event.start : event.stop].copy()
    for k, offset in enumerate(offsets):
        part = slice(times[k], times[k + 1])
        within = slice(times[k] - event.start, times[k + 1] - event.start)
        setting[part] = np.round((base[within] + offset) / step) * step


def _blood(world: DialysisWorld, qb_set: Array, treating: NDArray[np.bool_]) -> dict[str, Array]:
    """Extracorporeal circuit: pressures follow the flow that the rollers really move."""
    noise, n = world.noise, world.n
    wanted = np.where(world.single_needle & treating, 0.55 * qb_set, qb_set)
    true = lag(wanted * (1.0 + 0.010 * noise.unit("rollers")) * (1.0 - world.roller_wear), 3.0)
    stroke = np.where(world.single_needle & treating, np.sin(2.0 * np.pi * np.arange(n) / 13.0), 0.0)
    access = np.where(treating, 1.0, 0.25)
    art = 12.0 - world.r_art * true * access * (1.0 + 0.25 * world.arm) - 10.0 * world.arm
    ven = 14.0 + world.r_ven * true * access * (1.0 + 0.20 * world.arm) + 12.0 * world.arm
    ven = ven + 45.0 * stroke + noise.wander("ven", n, 2.5, 90.0)
    filter_drop = 0.20 * true * (1.0 + 0.04 * noise.patient("filter")) * (1.0 + 2.2 * world.clotting)
    return {
        "qb": np.maximum(true * (1.0 + 0.008 * noise.unit("qb")) + noise.white("qb", n, 1.5), 0.0),
        "p_art": art
        - 40.0 * stroke
        + 2.0 * noise.unit("zero_art")
        + noise.wander("art", n, 2.5, 90.0)
        + noise.white("p_art", n, 2.5),
        "p_ven": ven + 2.0 * noise.unit("zero_ven") + noise.white("p_ven", n, 2.0),
        "p_prefilter": ven + filter_drop + 2.0 * noise.unit("zero_pre") + noise.white("p_pre", n, 2.0),
    }


def _balance(world: DialysisWorld, fluid: NDArray[np.bool_]) -> dict[str, Array]:
    """Fluid balance: the UF pump takes `uf_rate`; what leaves the patient is that and the chamber's leak."""
    noise, n = world.noise, world.n
    pumped = lag(np.where(fluid, world.uf_rate_set, 0.0), 8.0) * (1.0 + 0.006 * noise.unit("uf"))
    taken = pumped + world.balance_leak * fluid
    removed = np.cumsum(taken) / 3600.0
    removed += world.uf_rate_set[0] * world.elapsed[0] / 3600.0
    for first in np.flatnonzero(np.diff(world.session)) + 1:
        removed[first:] -= removed[first]
    membrane = world.kuf * (1.0 - 0.65 * world.clotting)
    cake = 4.0 * np.minimum(world.elapsed / 3600.0, 4.0)
    load = taken + (600.0 if world.hdf else 0.0) * fluid
    tmp = np.where(fluid, 20.0 + cake, 5.0) + load / membrane
    return {
        "uf_rate": np.maximum(pumped + noise.white("uf", n, 2.0), 0.0),
        "uf_removed": removed,
        "tmp": lag(tmp, 15.0) + 1.5 * noise.unit("tmp") + noise.wander("tmp", n, 1.5, 120.0),
    }


def _water(world: DialysisWorld) -> dict[str, Array]:
    noise, n = world.noise, world.n
    pressure = 310.0 + 15.0 * noise.patient("loop") + noise.wander("loop", n, 5.0, 120.0)
    temp = 17.0 + 0.8 * noise.patient("water") + noise.wander("water", n, 0.2, 1800.0)
    return {
        "ro_inlet_pressure": pressure * (1.0 - 0.85 * world.supply_loss) + noise.white("loop", n, 2.0),
        "ro_inlet_temp": temp - 5.0 * lag(world.supply_loss, 120.0) + noise.white("water", n, 0.05),
    }


def _heat(world: DialysisWorld, temp_set: Array, flow: Array, inlet: Array) -> dict[str, Array]:
    """Heater with its control loop: the control sensor holds the setpoint, its error goes into the fluid."""
    noise, n = world.noise, world.n
    still = np.where(temp_set > 60.0, 0.55, 1.0)  # disinfectant circulates
    goal = lag(temp_set, 80.0) - world.ntc_error
    need = np.maximum(flow, 60.0) / 60.0 * WATER_J * (goal - inlet) * (1.0 - RECOVERY) * still
    rated = HEATER_W * (1.0 + 0.02 * noise.unit("element")) * (1.0 - 0.06 * noise.age())
    power = rated * (1.0 - world.heater_loss)
    wanted = need / power
    missing = np.maximum(wanted - 1.0, 0.0) * power / np.maximum(need, 1.0) * (goal - inlet)
    hunting = world.heater_loss * 0.8 * np.sin(2.0 * np.pi * np.arange(n) / 95.0)
    true = goal - lag(missing, 40.0) + hunting + noise.wander("temp", n, 0.04, 60.0)
    reading = true + world.ntc_error + 0.05 * noise.unit("ntc") + noise.white("temp", n, 0.015)
    blood = np.where(world.mode == DialysisMode.TX, np.minimum(true, 42.0) - 0.4, 30.0)
    duty = 100.0 * np.clip(wanted + 0.08 * hunting, 0.0, 1.0)
    return {
        "dialysate_temp": reading,
        "temp_ven": lag(blood, 90.0) + 0.12 * noise.unit("temp_ven") + noise.wander("blood", n, 0.06, 200.0),
        "heater_duty": np.clip(duty + noise.white("duty", n, 0.6), 0.0, 100.0),
    }


def _mixture(world: DialysisWorld, cond_set: Array) -> dict[str, Array]:
    """Concentrates mixed into water: a worn pump doses unevenly and too little bicarbonate."""
    noise, n = world.noise, world.n
    stroke = np.sin(2.0 * np.pi * np.arange(n) / 41.0 + noise.rng("stroke").uniform(0.0, 6.28))
    rinsing = cond_set < 1.0
    goal = lag(cond_set, 30.0)
    bicarb = np.where(rinsing, 0.1, 3.0 + 0.06 * noise.patient("bicarb"))
    bicarb = lag(bicarb, 30.0) * (1.0 + 0.008 * noise.unit("bicarb"))
    short = 0.30 * world.pump_wear
    mixed = goal * (1.0 + 0.002 * noise.unit("cond")) + noise.wander("cond", n, 0.015, 40.0)
    mixed = mixed - 0.5 * short * ~rinsing + 0.22 * world.pump_wear * stroke * ~rinsing
    dosed = bicarb - (short - 0.10 * world.pump_wear * stroke) * ~rinsing
    return {
        "dialysate_cond": np.maximum(mixed * (1.0 + world.cell_scale) + noise.white("cond", n, 0.008), 0.0),
        "bicarb_cond": np.maximum(dosed + noise.wander("bicarb", n, 0.01, 60.0), 0.0),
    }


def _optics(world: DialysisWorld) -> dict[str, Array]:
    noise, n = world.noise, world.n
    age = noise.age()
    leak = 7.0 + 1.5 * noise.unit("leak") + 3.0 * age + noise.wander("leak", n, 0.8, 300.0)
    leak = leak + world.leak_haze * (90.0 + noise.wander("haze", n, 12.0, 60.0)) + noise.white("leak", n, 1.0)
    level = np.abs(noise.white("air", n, 0.4)) + 0.5 * age
    level = level + world.air_haze * (22.0 + noise.wander("air_haze", n, 4.0, 40.0))
    return {
        "blood_leak": np.maximum(leak, 0.0),
        "air_detect_level": np.clip(level, 0.0, 100.0),
    }
