"""Infant incubator: warmed, moistened, oxygenated air around one baby. Knows nothing about sampling.

Numbers are those of the public incubator tables where they exist and engineering estimates otherwise; they describe no
product. Temperatures in Cel, heat in W, air exchange in L/min, humidity in % relative.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.incubator_catalogue import FAULTS, LOOKALIKES
from streams.simulation.incubator_climate import Climate, gases, moisten, warm
from streams.simulation.incubator_operation import (
    CLOSED,
    PORT,
    SKIN_CONTROL,
    IncubatorMode,
    Operation,
    operate,
)
from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.noise import Array, Noise, lag

NOMINAL_SPEED = 1750.0
"""Fan, /min."""
NOMINAL_CURRENT = 210.0
"""Fan, mA."""
WORKING = (IncubatorMode.PREWARM, IncubatorMode.CARE, IncubatorMode.KANGAROO, IncubatorMode.TRANSPORT)
"""Modes in which fan, heater and humidifier run."""


@dataclass(slots=True)
class IncubatorWorld:
    """What staff set, the baby, the room and the hardware of one incubator over time; arrays are (n,)."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    operation: Operation
    neutral: float
    """Air temperature in which this baby's skin settles at 36.6 Cel."""
    room: Array
    fan_wear: Array = field(init=False)
    """0 … 1: friction of the bearing, dust in the filter."""
    heater_loss: Array = field(init=False)
    """Part of the element that has failed."""
    air_error: Array = field(init=False)
    """Kelvin that the controlling air sensor reads too much."""
    skin_error: Array = field(init=False)
    """Kelvin that the first skin sensor reads too much."""
    seal_gap: Array = field(init=False)
    scale: Array = field(init=False)
    """0 … 1: limescale on the humidifier's heater."""
    cell: Array = field(init=False)
    """Part of its signal that the oxygen cell has lost."""
    cleared: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("fan_wear", "heater_loss", "air_error", "skin_error", "seal_gap", "scale", "cell"):
            setattr(self, name, np.zeros(self.n))


class InfantIncubator(Machine[IncubatorWorld]):
    """See the module."""

    device_type = "infant-incubator"
    modes = IncubatorMode
    treatment = IncubatorMode.CARE
    pauses = (
        (("PREWARM", 900.0, 2400.0),),
        (("CLEANING", 900.0, 1800.0), ("PREWARM", 1800.0, 3000.0)),
    )
    faults = FAULTS
    lookalikes = LOOKALIKES
    fault_hours = 3.0
    healthy_hours = 12.0
    pauses_per_day = 3.0
    resolution: ClassVar[Mapping[str, float]] = {
        "mode": 1, "control_mode": 1, "access": 1, "probe_state": 1, "power_state": 1, "air_set": 0.1,
        "skin_set": 0.1, "humidity_set": 1, "o2_set": 1, "ambient_temp": 0.5, "air_temp": 0.1,
        "air_sensor_gap": 0.05, "skin_temp_1": 0.1, "skin_temp_2": 0.1, "skin_gap": 0.05, "heater_duty": 1,
        "heater_temp": 0.5, "fan_speed": 5, "fan_current": 1, "humidity": 1, "humidifier_duty": 1,
        "water_temp": 0.5, "o2_conc": 0.1, "o2_flow": 0.05, "co2_in_hood": 0.01, "noise_level": 0.5,
    }  # fmt: skip
    spread: ClassVar[Mapping[str, float]] = {
        "air_temp": 0.12,
        "air_sensor_gap": 0.12,
        "skin_temp_1": 0.13,
        "skin_temp_2": 0.14,
        "skin_gap": 0.11,
        "heater_duty": 1.6,
        "heater_temp": 0.65,
        "fan_speed": 13.0,
        "fan_current": 5.2,
        "humidity": 1.0,
        "humidifier_duty": 1.9,
        "water_temp": 1.1,
        "o2_conc": 0.19,
        "o2_flow": 0.05,
        "co2_in_hood": 0.01,
        "noise_level": 1.4,
    }

    def begin(self, run: Run) -> IncubatorWorld:
        noise, n, chosen = run.noise, run.n, run.plan.settings
        rng = noise.rng("settings")
        skin_control = bool(chosen.get("skin_control", rng.random() < 0.45))
        air_set = chosen.get("air_set", 0.1 * float(rng.integers(325, 351)))
        neutral = 0.1 * float(rng.integers(333, 345)) if skin_control else air_set
        oxygen = float(rng.integers(25, 41)) if rng.random() < 0.45 else 21.0
        mode = mode_timeline(run, IncubatorMode, IncubatorMode.CARE)
        room = 23.5 + float(rng.normal(0.0, 0.8)) + noise.wander("room", n, 0.25, 5400.0)
        operation = Operation(
            mode=mode,
            control=np.full(n, 2.0 if skin_control else 1.0),
            air_set=np.full(n, air_set),
            skin_set=np.full(n, chosen.get("skin_set", 0.1 * float(rng.integers(363, 368)))),
            humidity_set=np.full(n, chosen.get("humidity_set", 5.0 * float(rng.integers(10, 17)))),
            o2_set=np.full(n, chosen.get("o2_set", oxygen)),
        )
        return IncubatorWorld(n, noise, mode, operation, neutral, lag(room, 300.0))

    def happen(self, world: IncubatorWorld, event: Event) -> None:
        if event.name not in LOOKALIKES:
            raise ValueError(f"an infant incubator knows no event {event.name}")
        operate(world.operation, event)

    def inject(self, world: IncubatorWorld, fault: Injected) -> None:
        effects = {
            "fan_degradation": ("fan_wear", 1.0),
            "heater_failure": ("heater_loss", 0.62),
            "air_sensor_drift": ("air_error", 1.8 * fault.sign),
            "skin_sensor_drift": ("skin_error", 1.8 * fault.sign),
            "seal_leak": ("seal_gap", 1.0),
            "humidifier_scaling": ("scale", 1.0),
            "o2_cell_depletion": ("cell", 0.35),
        }
        if fault.name not in effects:
            raise ValueError(f"an infant incubator knows no fault {fault.name}")
        parameter, size = effects[fault.name]
        setattr(world, parameter, getattr(world, parameter) + size * fault.strength)

    def settle(self, world: IncubatorWorld) -> None:
        world.operation.empty_where_no_baby_is()

    def solve(self, world: IncubatorWorld) -> dict[str, Array]:
        noise, n, done = world.noise, world.n, world.operation
        working = np.isin(world.mode, WORKING)
        fan = _fan(world, working)
        climate = Climate(
            noise=noise,
            operation=done,
            working=working,
            neutral=world.neutral,
            room=done.outside(world.room),
            flow=fan.pop("flow"),
            heater_loss=world.heater_loss,
            air_error=world.air_error,
            skin_error=world.skin_error,
            seal_gap=world.seal_gap,
            scale=world.scale,
            cell=world.cell,
        )
        heat = warm(climate)
        return {
            "mode": world.mode.astype(np.float64),
            "control_mode": done.in_control(),
            "access": done.access,
            "probe_state": done.probe,
            "power_state": done.on_battery,
            "air_set": done.air_set,
            "skin_set": done.skin_set,
            "humidity_set": done.humidity_set,
            "o2_set": done.o2_set,
            "ambient_temp": climate.room,
            **fan,
            **_temperatures(world, climate, heat),
            **moisten(climate, heat["air"]),
            **gases(climate),
            "noise_level": 47.0
            + 1.0 * noise.unit("sound")
            + 2.0 * noise.age()
            + noise.wander("sound", n, 1.0, 180.0)
            + 9.0 * world.fan_wear
            + 3.0 * (done.access > CLOSED)
            - 9.0 * ~working,
        }

    def ticks(self, world: IncubatorWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        """Skin temperatures come every five seconds while the sensors are plugged in."""
        del channels
        due = (np.arange(world.n) % 5 == 0) & (world.operation.probe > 0)
        return dict.fromkeys(("skin_temp_1", "skin_temp_2", "skin_gap"), due)

    def alarms(self, world: IncubatorWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        done = world.operation
        caring = (world.mode == IncubatorMode.CARE) & (lag(done.disturbed(), 900.0) < 0.1)
        in_skin = channels["control_mode"] == SKIN_CONTROL
        off_air = np.abs(lag(channels["air_temp"] - done.air_set, 120.0)) > 1.5
        off_skin = np.abs(lag(channels["skin_temp_1"] - done.skin_set, 120.0)) > 1.0
        return {
            "air_temperature": caring & ~in_skin & off_air,
            "skin_temperature": caring & in_skin & off_skin,
            "sensor_difference": caring & (np.abs(lag(channels["air_sensor_gap"], 60.0)) > 1.5),
            "overheat": channels["heater_temp"] > 77.0,
            "fan": np.isin(world.mode, WORKING) & (lag(channels["fan_speed"], 10.0) < 1350.0),
            "humidity_low": caring & (lag(channels["humidity"] - done.humidity_set, 600.0) < -15.0),
            "oxygen": caring & (lag(channels["o2_conc"] - done.o2_set, 60.0) < -5.0),
        }

    def respond(self, world: IncubatorWorld, alarm: str, step: int) -> bool:
        """A nurse looks after the baby whose temperature is wrong, through a port."""
        if alarm not in ("air_temperature", "skin_temperature"):
            return False
        rng = world.noise.rng(f"response:{alarm}:{step}")
        start = step + int(rng.integers(60, 180))
        world.operation.access[start : start + int(rng.integers(45, 120))] = PORT
        return True


def _fan(world: IncubatorWorld, working: NDArray[np.bool_]) -> dict[str, Array]:
    """Speed, current, and the `flow` of air it makes, 1 when new: friction slows it, dust holds the air back."""
    noise, n, wear = world.noise, world.n, world.fan_wear
    age = noise.age()
    slowed = (1.0 - 0.01 * age) * (1.0 - 0.20 * wear)
    speed = NOMINAL_SPEED * (1.0 + 0.005 * noise.unit("fan")) * slowed + noise.wander("fan", n, 8.0, 120.0)
    current = NOMINAL_CURRENT * (1.0 + 0.015 * noise.unit("fan_current") + 0.05 * age + 0.40 * wear)
    current = current * (1.0 + noise.wander("fan_current", n, 0.010, 180.0) * (1.0 + 4.0 * wear))
    return {
        "flow": np.where(working, slowed * (1.0 - 0.35 * wear), 0.0),
        "fan_speed": np.maximum(lag(speed * working, 4.0) + noise.white("fan", n, 3.0) * working, 0.0),
        "fan_current": np.maximum(
            lag(current * working, 4.0) + noise.white("fan_current", n, 1.0) * working, 0.0
        ),
    }


def _temperatures(world: IncubatorWorld, climate: Climate, heat: Mapping[str, Array]) -> dict[str, Array]:
    """What the sensors say of the `heat` in the hood."""
    noise, n = world.noise, world.n
    mixing = 1.0 + 1.5 * (1.0 - climate.flow)
    gradient = 0.9 * np.maximum(1.0 / np.maximum(climate.flow, 0.3) - 1.0, 0.0) * climate.working
    air = heat["air_read"] + noise.white("air", n, 0.02)
    safety = (
        heat["air"] - gradient + 0.06 * noise.unit("safety") + noise.wander("safety", n, 0.05, 300.0) * mixing
    )
    second = heat["skin"] + 0.05 * noise.unit("skin_2") + 0.06 * noise.patient("site")
    first = heat["skin_read"] + noise.white("skin_1", n, 0.02)
    second = second + noise.wander("skin_2", n, 0.04, 300.0) + noise.white("skin_2", n, 0.02)
    return {
        "air_temp": air,
        "air_sensor_gap": air - safety,
        "skin_temp_1": first,
        "skin_temp_2": second,
        "skin_gap": first - second,
        "heater_duty": np.clip(
            100.0 * heat["duty"] + noise.white("duty", n, 0.5) * climate.working, 0.0, 100.0
        ),
        "heater_temp": heat["element"] + 0.4 * noise.unit("element") + noise.white("element", n, 0.1),
    }
