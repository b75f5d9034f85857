"""Chamber, pump, drain and steam generator of a steam steriliser. Knows nothing about cycles being planned.

Every phase pulls pressure and temperature towards a target with its own time constant. Pressures are absolute, kPa;
temperatures Cel; leak rate kPa/min. Arrays are (LEAD_S + n,) unless said otherwise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.simulation.noise import Array, Noise, follow, lag
from streams.simulation.steriliser_cycles import TEMPERATURE, Phase, Programme, Timetable

AIR = 101.3
PULSE_TO = 190.0
ABOVE_SET = 1.5
"""Kelvin above the sterilising temperature at which the controller holds the chamber."""
EVACUATION_S, FILLING_S, HEATING_S, EXHAUST_S, VENTING_S = 11.0, 11.0, 30.0, 13.0, 12.0
"""Time constants of pressure, s."""
SLOW_EXHAUST_S = 330.0
REACHED = 10.0
"""kPa at which an evacuation counts as reached."""
USUAL_LEAK = 0.04
ON_CURRENT = 45.0
"""A, of all elements of the generator together."""
SUPPLY = 350.0
PROBE_S = 4.0


@dataclass(frozen=True, slots=True)
class Wear:
    """Fault parameters, 0 … 1 unless said otherwise."""

    air_leak: Array
    pump_wear: Array
    probe_error: Array
    """Kelvin that the control sensor reads too much."""
    scaling: Array
    element_out: Array
    """Part of the generator's current that is missing."""
    superheat: Array
    """Kelvin above (+) saturation; below (-) where gas or water comes with the steam."""
    blocked: Array


@dataclass(frozen=True, slots=True)
class Chamber:
    """What pressure and temperature depend on."""

    noise: Noise
    table: Timetable
    wear: Wear
    cold: Array
    """0 … 1, how far the jacket has cooled down."""

    @property
    def n(self) -> int:
        return len(self.cold)

    @property
    def deficit(self) -> Array:
        """(n,) kelvin that the chamber is below saturation: air that leaked in, gas in the steam."""
        return 1.1 * self.wear.air_leak - self.wear.superheat + 0.06 * self.noise.unit("air left")

    @property
    def temp_set(self) -> Array:
        """(n,) sterilising temperature of the programme."""
        return np.select([self.table.programme == p for p in Programme], [TEMPERATURE[p] for p in Programme])

    @property
    def leak(self) -> Array:
        """(n,) pressure rise with all valves shut, kPa/min."""
        usual = USUAL_LEAK * (1.0 + 0.15 * self.noise.unit("leak") + 0.3 * self.noise.age())
        return usual * (1.0 + self.noise.wander("leak", self.n, 0.04, 900.0)) + 0.26 * self.wear.air_leak

    @property
    def hidden_load(self) -> Array:
        """(n,) how heavy the load is, a part of it not declared."""
        count = int(self.table.cycle.max()) + 1
        hidden = [np.exp(0.08 * self.noise.patient(f"load:{k}")) for k in range(count)]
        return np.asarray(self.table.load * np.array(hidden)[self.table.cycle])


def saturation_pressure(temperature: Array) -> Array:
    """(n,) kPa of saturated steam (Antoine, 99 to 374 Cel; below it a little too high, where it isn't used)."""
    return np.asarray(10.0 ** (8.14019 - 1810.94 / (244.485 + temperature)) * 0.133322)


def saturation_temperature(pressure: Array) -> Array:
    """(n,) Cel, the inverse of `saturation_pressure`."""
    return np.asarray(1810.94 / (8.14019 - np.log10(pressure / 0.133322)) - 244.485)


def generate(chamber: Chamber) -> dict[str, Array]:
    """The steam generator: what the phases draw against what its elements and their scale let through."""
    noise, n, wear = chamber.noise, chamber.n, chamber.wear
    phase = chamber.table.phase
    pulse, heat, hold = (phase == p for p in (Phase.PULSE, Phase.HEAT, Phase.HOLD))
    drawn = 0.10 + 0.55 * pulse + 0.50 * chamber.hidden_load * heat + 0.14 * hold + 0.25 * chamber.cold
    drawn = lag(drawn, 15.0) * (1.0 + noise.wander("draw", n, 0.015, 90.0))
    capacity = (1.0 - 0.04 * noise.age() + 0.015 * noise.unit("generator")) * (1.0 - wear.element_out)
    capacity = capacity * (1.0 - 0.55 * wear.scaling)
    load = drawn / capacity
    short = lag(np.maximum(load - 0.85, 0.0), 30.0)
    pressure = SUPPLY + 3.0 * noise.unit("supply") - 22.0 * lag(load, 25.0) - 90.0 * short
    pressure = pressure * (1.0 - 0.7 * np.maximum(chamber.cold - 0.3, 0.0))
    mains = 1.0 + 0.012 * noise.unit("mains") + noise.wander("mains", n, 0.004, 600.0)
    return {
        "steam_supply_pressure": pressure + noise.wander("supply", n, 1.2, 40.0),
        "heater_duty": np.clip(100.0 * load + noise.white("heater", n, 1.0), 0.0, 100.0),
        "heater_current": ON_CURRENT * mains * (1.0 - wear.element_out) + noise.white("current", n, 0.15),
        "feedwater_conductivity": 5.0
        + 0.8 * noise.unit("water")
        + noise.wander("water", n, 0.3, 3600.0)
        + 8.0 * wear.scaling,
        "slowness": 1.0 + 1.1 * short + 0.35 * np.maximum(load - 0.6, 0.0),
    }


def evacuate(chamber: Chamber) -> dict[str, Array]:
    """What the pump can do: `deepest` pressure and time constant `pump_s`; warm seal water makes it worse."""
    noise, n, wear = chamber.noise, chamber.n, chamber.wear
    used = lag(np.isin(chamber.table.phase, (Phase.EVACUATE, Phase.DRY)).astype(np.float64), 240.0)
    water = 17.0 + 1.0 * noise.unit("seal water") + noise.wander("seal water", n, 0.5, 3600.0) + 3.0 * used
    water = water + 8.0 * wear.pump_wear * (0.4 + 0.6 * used)
    deepest = (
        3.2 + 0.10 * (water - 18.0) + 0.12 * noise.unit("pump") + 2.0 * wear.pump_wear + 0.9 * wear.air_leak
    )
    slow = 1.0 + 0.02 * noise.unit("pump_s") + 0.04 * noise.age() + 0.45 * wear.pump_wear
    slow = slow + 0.10 * wear.air_leak + 0.14 * wear.blocked
    return {"seal_water_temp": water, "deepest": deepest, "pump_s": EVACUATION_S * slow}


def pressurise(chamber: Chamber, pump: dict[str, Array], slowness: Array) -> Array:
    """(n,) chamber pressure, phase by phase."""
    phase, wear = chamber.table.phase, chamber.wear
    held = saturation_pressure(chamber.temp_set + ABOVE_SET - wear.probe_error + chamber.deficit)
    held = held * (1.0 + chamber.noise.wander("valve", chamber.n, 0.002, 15.0))
    slow = (chamber.table.programme == Programme.LIQUIDS) & (phase == Phase.EXHAUST)
    targets: dict[Phase, Array | float] = {
        Phase.IDLE: AIR, Phase.EVACUATE: pump["deepest"], Phase.CHECK: AIR, Phase.PULSE: PULSE_TO, Phase.HEAT: held,
        Phase.HOLD: held, Phase.EXHAUST: 104.0, Phase.DRY: pump["deepest"], Phase.AIR: AIR,
    }  # fmt: skip
    exhaust = np.where(slow, SLOW_EXHAUST_S, EXHAUST_S * (1.0 + 0.9 * wear.blocked))
    heating = HEATING_S * np.sqrt(chamber.hidden_load) * slowness * (1.0 + 0.25 * chamber.cold)
    taus: dict[Phase, Array | float] = {
        Phase.IDLE: 5.0, Phase.EVACUATE: pump["pump_s"], Phase.CHECK: 60.0 * (AIR - 4.0) / chamber.leak,
        Phase.PULSE: FILLING_S * slowness, Phase.HEAT: heating, Phase.HOLD: 12.0, Phase.EXHAUST: exhaust,
        Phase.DRY: pump["pump_s"], Phase.AIR: VENTING_S,
    }  # fmt: skip
    return follow(_by_phase(phase, targets), _by_phase(phase, taus))


def heat(chamber: Chamber, pressure: Array) -> dict[str, Array]:
    """True temperatures of chamber, drain and jacket: steam is at saturation, a vacuum is warmed by the walls."""
    noise, phase, wear = chamber.noise, chamber.table.phase, chamber.wear
    steam = saturation_temperature(np.maximum(pressure, 20.0)) - chamber.deficit
    walls = 92.0 - 35.0 * chamber.cold
    targets: dict[Phase, Array | float] = {
        Phase.IDLE: 62.0, Phase.EVACUATE: walls, Phase.CHECK: walls, Phase.PULSE: steam, Phase.HEAT: steam,
        Phase.HOLD: steam - 0.3 * wear.blocked, Phase.EXHAUST: steam, Phase.DRY: walls + 12.0, Phase.AIR: walls - 5.0,
    }  # fmt: skip
    taus: dict[Phase, Array | float] = {
        Phase.IDLE: 240.0, Phase.EVACUATE: 70.0, Phase.CHECK: 120.0, Phase.PULSE: PROBE_S, Phase.HEAT: PROBE_S,
        Phase.HOLD: PROBE_S, Phase.EXHAUST: PROBE_S, Phase.DRY: 120.0, Phase.AIR: 40.0,
    }  # fmt: skip
    temperature = follow(_by_phase(phase, targets), _by_phase(phase, taus))
    below = 0.5 + 0.10 * noise.unit("drain") + 0.15 * (chamber.hidden_load - 1.0)
    below = below + 5.5 * wear.blocked + 1.6 * wear.air_leak + 0.6 * np.abs(wear.superheat)
    slow = 7.0 * (1.0 + 3.0 * wear.blocked + 1.0 * wear.air_leak)
    steaming = np.isin(phase, (Phase.PULSE, Phase.HEAT, Phase.HOLD, Phase.EXHAUST))
    drain = follow(temperature - below - 3.0 * ~steaming, np.where(steaming, slow, 60.0))
    jacket = lag(chamber.temp_set, 200.0) + 2.0 - 95.0 * chamber.cold
    jacket = jacket - 1.2 * lag(np.isin(phase, (Phase.PULSE, Phase.HEAT)).astype(np.float64), 30.0)
    return {"chamber": temperature, "drain": drain, "jacket": jacket}


def equilibration(chamber: Chamber) -> Array:
    """(n,) seconds that the load's deepest probe would lag behind the chamber at the start of a plateau."""
    wear = chamber.wear
    pack = 2.0 * (chamber.table.programme == Programme.BOWIE_DICK)
    gas, hot = np.maximum(-wear.superheat, 0.0), np.maximum(wear.superheat, 0.0)
    late = 12.0 * wear.air_leak + 9.0 * gas + 4.0 * hot + 13.0 * wear.blocked
    usual = 6.0 * np.sqrt(chamber.hidden_load) * (1.0 + 0.06 * chamber.noise.unit("equilibration"))
    return np.asarray(usual + pack + late)


def _by_phase(phase: NDArray[np.int8], values: dict[Phase, Array | float]) -> Array:
    return np.select([phase == p for p in values], list(values.values()))
