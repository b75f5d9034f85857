"""The air inside an infant incubator and the skin of the baby: heat, moisture, oxygen, carbon dioxide.

Lumped: heater element, air, walls and the baby's skin, with the controller in the loop, stepped every five
seconds. Heat in W, conductances in W/K, capacities in J/K, air exchange in L/min, absolute humidity in g/m3.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.simulation.incubator_operation import DOOR, NO_OXYGEN, PORT, SKIN_CONTROL, Operation
from streams.simulation.noise import Array, Noise, follow, lag

STEP_S = 5
RATED_W = 300.0
C_ELEMENT, C_AIR, C_WALL = 600.0, 1500.0, 12000.0
ELEMENT_TO_AIR, AIR_TO_WALL, WALL_TO_ROOM, AIR_TO_ROOM = 8.0, 25.0, 9.0, 4.0
BABY_W = 4.0
SKIN = 36.6
"""Where the skin of a baby in its neutral air settles."""
SKIN_TAU_S, SENSOR_TAU_S = 900.0, 20.0
GAIN, RESET_S = 0.25, 500.0
"""Of the air controller: duty per kelvin, integral time."""
SKIN_GAIN, SKIN_RESET_S = 2.0, 3000.0
"""Of the skin controller: kelvin of air per kelvin of skin, integral time."""
COOLEST, WARMEST = 28.0, 38.0
"""Air temperatures that the skin controller may ask for."""
LIMIT = 0.4
"""Part of the heater that the battery can carry."""
FRESH, LEAK = 12.0, 8.0
"""Air exchange through the filter with a new fan, and past the seals of a new hood."""
WATER_G_MIN = 0.62
"""The humidifier evaporates at most so much when free of scale."""
ROOM_HUMIDITY = 0.40
HOOD_L = 130.0
AIR_O2 = 20.9
TRIM = 1.25
"""The oxygen valve may be opened so many times as wide as the setting needs."""
CO2_ML_MIN = 20.0


@dataclass(frozen=True, slots=True)
class Climate:
    """Everything the air in the hood depends on; arrays are (n,)."""

    noise: Noise
    operation: Operation
    working: NDArray[np.bool_]
    neutral: float
    room: Array
    flow: Array
    """Of the fan, 1 when new."""
    heater_loss: Array
    air_error: Array
    skin_error: Array
    seal_gap: Array
    scale: Array
    cell: Array

    @property
    def exchange(self) -> Array:
        """(n,) air that leaves the hood, L/min."""
        access = self.operation.access
        tight = 1.0 + 0.04 * self.noise.unit("seals") + 0.05 * self.noise.age()
        opened = 90.0 * (access == PORT) + 700.0 * (access == DOOR)
        through = FRESH * np.maximum(self.flow, 0.2) + LEAK * tight
        return np.asarray(through + 42.0 * self.seal_gap + opened)

    @property
    def loss(self) -> Array:
        """(n,) heat that leaves the air directly for a kelvin to the room."""
        access = self.operation.access
        opened = 9.0 * (access == PORT) + 60.0 * (access == DOOR)
        return np.asarray(AIR_TO_ROOM + 5.5 * self.seal_gap + opened)


@dataclass(slots=True)
class _Hood:
    """The state of the loop."""

    air: float
    wall: float
    element: float
    skin: float
    sensed: float
    duty: float
    """Integral part of the air controller."""
    ask: float = 0.0
    """Integral part of the skin controller, kelvin."""


def warm(climate: Climate) -> dict[str, Array]:
    """(n,) each: `air`, `skin` and `element` temperature, `duty` 0 … 1, and what the controlling sensors read.

    Linear between the steps of the loop, so nothing is seen of a cause before it is there.
    """
    n = len(climate.room)
    rows = np.array(list(_course(climate)))
    at = np.arange(len(rows)) * STEP_S
    names = ("air", "skin", "element", "duty", "air_read", "skin_read")
    return {name: np.interp(np.arange(n), at, rows[:, k]) for k, name in enumerate(names)}


def _course(climate: Climate) -> Iterator[tuple[float, ...]]:
    """The state at every step, the first one settled."""
    noise, n, done = climate.noise, len(climate.room), climate.operation
    mixing = 1.0 + 1.5 * (1.0 - climate.flow)
    air_error = climate.air_error + 0.08 * noise.unit("air") + noise.wander("air", n, 0.04, 60.0) * mixing
    skin_error = climate.skin_error + 0.05 * noise.unit("skin_1") + noise.wander("skin_1", n, 0.04, 300.0)
    rated = RATED_W * (1.0 + 0.02 * noise.unit("heater")) * (1.0 - 0.04 * noise.age())
    power = rated * (1.0 - climate.heater_loss) * np.where(done.on_battery > 0, LIMIT, 1.0) * climate.working
    body = SKIN + 0.12 * noise.patient("skin") + noise.wander("skin", n, 0.08, 1200.0)
    body = body + 0.25 * done.lamp - 0.3 * done.held
    into_air = BABY_W * done.inside + 7.0 * done.lamp
    asked = np.where(done.control == SKIN_CONTROL, climate.neutral, done.air_set)
    conduct = ELEMENT_TO_AIR * np.maximum(climate.flow, 0.12) ** 0.8
    by_skin = done.in_control() == SKIN_CONTROL
    columns = (
        power, body, into_air, asked, conduct, climate.loss, climate.room, air_error, skin_error, by_skin,
        done.skin_set, done.inside, lag(done.loose, 20.0),
    )  # fmt: skip
    inputs = np.stack([np.asarray(c, float)[::STEP_S] for c in columns], 1).tolist()
    hood = _settled(inputs[0], climate.neutral)
    for row in inputs:
        read = hood.skin + row[12] * (hood.air - hood.skin) + row[8]
        duty = _control(hood, row, read)
        yield hood.air, hood.skin, hood.element, duty, hood.sensed, read
        _step(hood, row, duty, climate.neutral)
    yield hood.air, hood.skin, hood.element, duty, hood.sensed, read


def _settled(row: list[float], neutral: float) -> _Hood:
    power, body, into_air, asked, conduct, loss, room, air_error, skin_error, by_skin, skin_set = row[:11]
    air, skin = asked - air_error, body + 0.55 * (asked - air_error - neutral)
    ask = 0.0
    if by_skin:
        skin = skin_set - skin_error
        air = neutral + (skin - body) / 0.55
        ask = air + air_error - neutral
    wall = (AIR_TO_WALL * air + WALL_TO_ROOM * room) / (AIR_TO_WALL + WALL_TO_ROOM)
    heat = AIR_TO_WALL * (air - wall) + loss * (air - room) - into_air
    duty = min(max(heat / max(power, 1.0), 0.0), 1.0) if power else 0.0
    return _Hood(air, wall, air + duty * power / conduct, skin, air + air_error, duty, ask)


def _control(hood: _Hood, row: list[float], skin_read: float) -> float:
    """The duty of this step; integrates where the output isn't at its stop already."""
    asked, by_skin, skin_set = row[3], row[9], row[10]
    if by_skin:
        short = skin_set - skin_read
        hood.ask = min(max(hood.ask + SKIN_GAIN * short * STEP_S / SKIN_RESET_S, -3.0), 3.0)
        asked = min(max(asked + SKIN_GAIN * short + hood.ask, COOLEST), WARMEST)
    if row[0] <= 0.0:
        hood.duty = 0.2
        return 0.0
    off = asked - hood.sensed
    wanted = hood.duty + GAIN * off
    if 0.0 < wanted < 1.0 or wanted * off < 0.0:
        hood.duty = min(max(hood.duty + GAIN * off * STEP_S / RESET_S, 0.0), 1.0)
    return min(max(wanted, 0.0), 1.0)


def _step(hood: _Hood, row: list[float], duty: float, neutral: float) -> None:
    power, body, into_air, _, conduct, loss, room, air_error = row[:8]
    given = conduct * (hood.element - hood.air)
    through = AIR_TO_WALL * (hood.air - hood.wall)
    hood.element += STEP_S * (power * duty - given) / C_ELEMENT
    # Implicit in the loss: an open door would make an explicit step swing.
    gain = STEP_S * (given + into_air - through + loss * room) / C_AIR
    hood.air = (hood.air + gain) / (1.0 + STEP_S * loss / C_AIR)
    hood.wall += STEP_S * (through - WALL_TO_ROOM * (hood.wall - room)) / C_WALL
    goal = body + 0.55 * (hood.air - neutral) * row[11]
    hood.skin += STEP_S * (goal - hood.skin) / SKIN_TAU_S
    hood.sensed += (hood.air + air_error - hood.sensed) * STEP_S / SENSOR_TAU_S


def saturated(temperature: Array) -> Array:
    """(n,) water in saturated air, g/m3 (Magnus formula)."""
    pressure = 6.112 * np.exp(17.62 * temperature / (243.12 + temperature))
    return np.asarray(216.7 * pressure / (temperature + 273.15))


def moisten(climate: Climate, air: Array) -> dict[str, Array]:
    """Humidity with its controller: scale lets less heat through to the water and makes the element hotter."""
    noise, n, done = climate.noise, len(air), climate.operation
    exchange = climate.exchange / 1000.0
    outside = ROOM_HUMIDITY * saturated(climate.room)
    goal = done.humidity_set / 100.0 * saturated(air)
    evaporates = WATER_G_MIN * (1.0 + 0.03 * noise.unit("humidifier")) * (1.0 - 0.72 * climate.scale)
    wanted = np.maximum(exchange * (goal - outside), 0.0) / evaporates
    duty = lag(np.clip(wanted, 0.0, 1.0) * climate.working, 90.0)
    water = follow(outside + duty * evaporates / exchange, 60.0 * HOOD_L / 1000.0 / exchange)
    humidity = 100.0 * water / saturated(air) + 0.8 * noise.unit("humidity")
    hot = climate.room + 8.0 + 34.0 * duty * (1.0 + 0.45 * climate.scale)
    return {
        "humidity": np.clip(humidity + noise.wander("humidity", n, 0.5, 120.0), 0.0, 100.0),
        "humidifier_duty": np.clip(
            100.0 * duty + noise.white("humidifier", n, 0.8) * climate.working, 0.0, 100.0
        ),
        "water_temp": lag(hot, 240.0) + 0.8 * noise.unit("water") + noise.wander("water", n, 0.4, 300.0),
    }


def gases(climate: Climate) -> dict[str, Array]:
    """Oxygen as the cell reads it with the valve that follows the cell, and the baby's carbon dioxide."""
    noise, n, done = climate.noise, len(climate.room), climate.operation
    tau = 60.0 * HOOD_L / climate.exchange
    asked = np.maximum(done.o2_set - AIR_O2, 0.0) * (done.o2_set > NO_OXYGEN) * climate.working
    valve = np.clip((done.o2_set / (1.0 - climate.cell) - AIR_O2), 0.0, TRIM * asked)
    usual = FRESH + LEAK * (1.0 + 0.05 * noise.age())
    opened = np.minimum(climate.exchange, 3.0 * usual)
    supply = opened * valve / (100.0 - AIR_O2)
    true = follow(AIR_O2 + supply / climate.exchange * (100.0 - AIR_O2), tau)
    signal = true * (1.0 - climate.cell) * (1.0 + 0.006 * noise.unit("cell"))
    produced = CO2_ML_MIN * (1.0 + 0.08 * noise.patient("co2")) * done.inside
    return {
        "o2_conc": signal + noise.wander("cell", n, 0.12, 120.0),
        "o2_flow": np.maximum(lag(supply, 15.0) + noise.wander("valve", n, 0.03, 60.0), 0.0),
        "co2_in_hood": follow(0.04 + produced / 10.0 / climate.exchange, tau)
        + noise.wander("co2", n, 0.004, 300.0),
    }
