"""Steam steriliser of the EN 285 class: cycles of evacuation, steam and drying. Knows nothing about sampling.

Numbers are those of the public steriliser tables where they exist and engineering estimates otherwise; they describe
no product. Pressures are absolute, kPa; temperatures Cel. Besides what it measures all the time, a steriliser keeps
the figures of its last cycle and reports them until the next cycle has new ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.noise import Array, Noise, follow, lag
from streams.simulation.steriliser_catalogue import FAULTS, LOOKALIKES
from streams.simulation.steriliser_chamber import (
    REACHED,
    Chamber,
    Wear,
    equilibration,
    evacuate,
    generate,
    heat,
    pressurise,
    saturation_temperature,
)
from streams.simulation.steriliser_cycles import (
    LEAD_S,
    SPECIAL,
    Cycle,
    Phase,
    Programme,
    SteriliserMode,
    Timetable,
    change_mode,
    plan_cycles,
    special_cycle,
    timetable,
)

GASKET = 300.0
"""kPa behind the door gasket while the door is shut."""
WEAR = ("air_leak", "pump_wear", "probe_error", "scaling", "element_out", "superheat", "blocked")
FULL_PULL_S = 55
"""An evacuation after a pulse, unless it is broken off."""
SETTLED_S = 40
"""Seconds of a plateau before its figures are taken."""


@dataclass(slots=True)
class SteriliserWorld:
    """Cycles and hardware of one steriliser over time; arrays are (n,), those of the table longer."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    special: list[Cycle] = field(default_factory=list)
    table: Timetable = field(init=False)
    air_leak: Array = field(init=False)
    pump_wear: Array = field(init=False)
    probe_error: Array = field(init=False)
    scaling: Array = field(init=False)
    element_out: Array = field(init=False)
    superheat: Array = field(init=False)
    blocked: Array = field(init=False)
    cleared: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in WEAR:
            setattr(self, name, np.zeros(self.n))


class SteamSteriliser(Machine[SteriliserWorld]):
    """See the module."""

    device_type = "steam-steriliser"
    modes = SteriliserMode
    treatment = SteriliserMode.PROCESSING
    pauses = (
        (("STANDBY", 900.0, 2700.0),),
        (("OFF", 1800.0, 5400.0), ("WARM_UP", 900.0, 1500.0)),
    )
    pauses_per_day = 2.0
    faults = FAULTS
    lookalikes = LOOKALIKES
    fault_hours = 6.0
    healthy_hours = 18.0
    resolution: ClassVar[Mapping[str, float]] = {
        "mode": 1, "cycle_phase": 1, "program": 1, "temp_set": 1, "chamber_temp": 0.1, "chamber_pressure": 0.5,
        "drain_temp": 0.1, "jacket_temp": 0.1, "steam_supply_pressure": 1, "heater_duty": 1, "heater_current": 0.1,
        "gasket_pressure": 1, "seal_water_temp": 0.1, "feedwater_conductivity": 0.1, "vacuum_depth": 0.05,
        "vacuum_time": 0.5, "leak_rate": 0.005, "heat_up_time": 1, "equilibration_time": 0.5,
        "plateau_residual": 0.02, "plateau_probe_gap": 0.02, "plateau_drain_gap": 0.05,
    }  # fmt: skip
    spread: ClassVar[Mapping[str, float]] = {
        "chamber_temp": 0.1,
        "chamber_pressure": 0.59,
        "drain_temp": 0.13,
        "jacket_temp": 0.41,
        "steam_supply_pressure": 3.1,
        "heater_duty": 1.4,
        "heater_current": 0.51,
        "gasket_pressure": 2.7,
        "seal_water_temp": 0.97,
        "feedwater_conductivity": 0.84,
        "vacuum_depth": 0.22,
        "vacuum_time": 0.99,
        "leak_rate": 0.0064,
        "heat_up_time": 3.7,
        "equilibration_time": 0.5,
        "plateau_residual": 0.084,
        "plateau_probe_gap": 0.082,
        "plateau_drain_gap": 0.11,
    }

    def begin(self, run: Run) -> SteriliserWorld:
        mode = mode_timeline(run, SteriliserMode, SteriliserMode.PROCESSING)
        return SteriliserWorld(run.n, run.noise, mode)

    def happen(self, world: SteriliserWorld, event: Event) -> None:
        if event.name not in LOOKALIKES:
            raise ValueError(f"a steam steriliser knows no event {event.name}")
        change_mode(world.mode, event)
        if event.name in SPECIAL:
            world.special.append(special_cycle(event))

    def inject(self, world: SteriliserWorld, fault: Injected) -> None:
        effects = {
            "air_leak": ("air_leak", 1.0),
            "vacuum_pump_wear": ("pump_wear", 1.0),
            "temperature_sensor_drift": ("probe_error", 2.2 * fault.sign),
            "generator_scaling": ("scaling", 1.0),
            "heater_element_out": ("element_out", 0.34),
            "steam_quality": ("superheat", 2.0 * fault.sign),
            "drain_blocked": ("blocked", 1.0),
        }
        if fault.name not in effects:
            raise ValueError(f"a steam steriliser knows no fault {fault.name}")
        parameter, size = effects[fault.name]
        setattr(world, parameter, getattr(world, parameter) + size * fault.strength)

    def settle(self, world: SteriliserWorld) -> None:
        cycles = plan_cycles(world.noise, world.mode, world.special)
        world.table = timetable(cycles, world.n)

    def solve(self, world: SteriliserWorld) -> dict[str, Array]:
        chamber = _chamber(world)
        steam, pump = generate(chamber), evacuate(chamber)
        pressure = pressurise(chamber, pump, steam.pop("slowness"))
        warm = heat(chamber, pressure)
        table, noise, total = world.table, world.noise, chamber.n
        reading = pressure * (1.0 + 0.001 * noise.unit("pressure")) + noise.white("pressure", total, 0.1)
        control = warm["chamber"] + chamber.wear.probe_error + 0.06 * noise.unit("control")
        control = control + noise.white("control", total, 0.05)
        channels = {
            "mode": _lead(world.mode.astype(np.float64)),
            "cycle_phase": table.phase.astype(np.float64),
            "program": table.programme.astype(np.float64),
            "temp_set": chamber.temp_set,
            "chamber_temp": control,
            "chamber_pressure": reading,
            "drain_temp": warm["drain"]
            + 0.06 * noise.unit("drain_probe")
            + noise.white("drain", total, 0.05),
            "jacket_temp": warm["jacket"]
            + 0.4 * noise.unit("jacket")
            + noise.wander("jacket", total, 0.15, 60.0),
            "seal_water_temp": pump["seal_water_temp"],
            "gasket_pressure": _gasket(chamber),
            **steam,
            **_figures(chamber, pressure, warm["chamber"], control, warm["drain"]),
        }
        return {name: values[LEAD_S:] for name, values in channels.items()}

    def alarms(self, world: SteriliserWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        phase = channels["cycle_phase"]
        last = np.diff(phase, append=phase[-1]) != 0
        plateau = (phase == Phase.HOLD) & (lag(1.0 * (phase == Phase.HOLD), 30.0) > 0.9)
        after = np.diff(channels["plateau_residual"], prepend=channels["plateau_residual"][0]) != 0
        return {
            "vacuum_not_reached": last & (phase == Phase.EVACUATE) & (channels["chamber_pressure"] > 11.5),
            "air_leak": channels["leak_rate"] > 0.3,
            "heat_up_late": last & (phase == Phase.HEAT) & (channels["chamber_temp"] < channels["temp_set"]),
            "temperature_low": plateau & (channels["chamber_temp"] < channels["temp_set"]),
            "sensors_differ": after & (np.abs(channels["plateau_probe_gap"]) > 2.0),
            "not_saturated": after & (np.abs(channels["plateau_residual"]) > 1.9),
            "equilibration": channels["equilibration_time"] > 18.0,
            "steam_pressure_low": (world.mode == SteriliserMode.PROCESSING)
            & (channels["steam_supply_pressure"] < 240.0),
        }

    def respond(self, world: SteriliserWorld, alarm: str, step: int) -> bool:
        """The machine breaks the cycle off where it cannot sterilise: exhaust, air, and the door stays locked."""
        if alarm not in ("vacuum_not_reached", "heat_up_late", "temperature_low"):
            return False
        phase = world.table.phase[LEAD_S + step + 1 :]
        ends = np.flatnonzero(phase == Phase.IDLE)
        rest = phase[: ends[0] if len(ends) else len(phase)]
        rest[:] = Phase.IDLE
        rest[:110] = Phase.AIR
        rest[:60] = Phase.EXHAUST
        return True


def _lead(values: Array) -> Array:
    """(LEAD_S + n,) with the time before the run as at its beginning."""
    return np.concatenate([np.full(LEAD_S, values[0]), values])


def _chamber(world: SteriliserWorld) -> Chamber:
    off = _lead((world.mode == SteriliserMode.OFF).astype(np.float64))
    return Chamber(
        world.noise,
        world.table,
        Wear(**{name: _lead(getattr(world, name)) for name in WEAR}),
        follow(off, np.where(off > 0, 2700.0, 450.0)),
    )


def _gasket(chamber: Chamber) -> Array:
    """(total,) pressure behind the door gasket: none while the door is open; a leaking one holds less."""
    noise, shut = chamber.noise, chamber.table.phase != Phase.IDLE
    level = GASKET * (1.0 + 0.01 * noise.unit("gasket")) * (1.0 - 0.14 * chamber.wear.air_leak)
    level = level + noise.wander("gasket", chamber.n, 1.5, 60.0)
    return np.where(shut, level, 0.0) * lag(shut.astype(np.float64), 3.0)


def _figures(
    chamber: Chamber, pressure: Array, true: Array, control: Array, drain: Array
) -> dict[str, Array]:
    """What the controller keeps of each cycle; of a phase that was broken off it keeps nothing."""
    noise, table, total = chamber.noise, chamber.table, chamber.n
    record = true + 0.06 * noise.unit("record")
    residual = control - saturation_temperature(np.maximum(pressure, 20.0))
    usable = table.programme != Programme.LIQUIDS
    before, after = np.roll(table.phase, 1), np.roll(table.phase, -1)
    pulls = [
        (a, b)
        for a, b in _runs(table.phase == Phase.EVACUATE)
        if before[a] == Phase.PULSE and b - a >= FULL_PULL_S
    ]
    checks = [(a, b) for a, b in _runs(table.phase == Phase.CHECK) if after[b - 1] != Phase.EXHAUST]
    heats = [(a, b) for a, b in _runs((table.phase == Phase.HEAT) & usable) if after[b - 1] == Phase.HOLD]
    holds = [(a, b) for a, b in _runs((table.phase == Phase.HOLD) & usable) if b - a > 2 * SETTLED_S]
    late = equilibration(chamber)
    above = control - chamber.temp_set
    plateau = {
        "plateau_residual": residual, "plateau_probe_gap": control - record, "plateau_drain_gap": control - drain
    }  # fmt: skip
    return {
        "vacuum_depth": _kept(total, [(b, pressure[b - 1]) for _, b in pulls]),
        "vacuum_time": _kept(total, [(b, _until(pressure[a:b] < REACHED)) for a, b in pulls]),
        "leak_rate": _kept(total, [(b, chamber.leak[a:b].mean()) for a, b in checks]),
        "heat_up_time": _kept(total, [(b, _until(above[a:b] > 0.0)) for a, b in heats]),
        "equilibration_time": _kept(total, [(b, late[a:b].mean()) for a, b in holds]),
        **{
            name: _kept(total, [(b, x[a + SETTLED_S : b].mean()) for a, b in holds])
            for name, x in plateau.items()
        },
    }


def _runs(present: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, one after the last) of every stretch that begins and ends within the array."""
    edges = np.diff(present.astype(np.int8))
    starts, stops = np.flatnonzero(edges == 1) + 1, np.flatnonzero(edges == -1) + 1
    stops = stops[stops > starts[0]] if len(starts) else stops[:0]
    return [(int(a), int(b)) for a, b in zip(starts, stops, strict=False)]


def _until(reached: NDArray[np.bool_]) -> float:
    """Seconds until it is reached, all of them where it is not."""
    return float(np.argmax(reached)) if reached.any() else float(len(reached))


def _kept(total: int, figures: list[tuple[int, float]]) -> Array:
    """(total,) each figure from the second at which it is known until the next one."""
    kept = np.full(total, figures[0][1] if figures else 0.0)
    for second, value in figures:
        kept[second:] = value
    return kept
