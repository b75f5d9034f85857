"""Volumetric infusion pump (LVP): one bag, one line, one motor, one battery. Knows nothing about sampling.

Numbers are those of the public pump tables where they exist and engineering estimates otherwise; they
describe no product. Flows in mL/h, pressures in mmHg, volumes in mL (line compliance in uL/mmHg).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from streams.simulation.machine import Event, Injected, Machine, Run, mode_timeline
from streams.simulation.noise import Array, Noise, bursts, pulse
from streams.simulation.pump_catalogue import FAULTS, LOOKALIKES

CAM_VOLUME = 0.18
"""mL delivered in one turn of the cam shaft."""
COMPLIANCE = 2.0
"""uL the downstream line stretches per mmHg: at 5 mL/h a closed line needs a quarter of an hour to 400 mmHg."""
NEW_CAPACITY = 1928.0
"""mA.h of a new battery."""
LIFE_S = 5 * 365 * 86400.0
KVO_RATE = 3.0


class PumpMode(IntEnum):
    """Values of the channel `mode`."""

    OFF = 0
    SELF_TEST = 1
    STANDBY = 2
    RUNNING = 3
    PAUSED = 4
    BOLUS = 5
    KVO = 6
    ALARM = 7


@dataclass(slots=True)
class PumpWorld:
    """Settings, patient side and hardware of one pump over time; arrays are (n,)."""

    n: int
    noise: Noise
    mode: NDArray[np.int16]
    flow_set: Array
    bolus_rate: Array
    resistance: Array
    """Of line and catheter, mmHg per mL/h."""
    p_patient: Array
    other_pump: Array
    """Flow of a second pump on the same line, mL/h."""
    on_battery: NDArray[np.bool_]
    signal: Array
    """Wireless signal lost, in percent points."""
    occlusion_limit: float
    bag_volume: float
    first_bag: float
    closure: Array = field(init=False)
    """Narrowing of the line: its resistance is multiplied by exp(closure)."""
    wear: Array = field(init=False)
    offset: Array = field(init=False)
    """Zero error of the downstream pressure sensor, mmHg."""
    soiling: Array = field(init=False)
    fade: Array = field(init=False)
    clamp_gap: Array = field(init=False)
    """How far the door clamp has come loose, 0 … 1."""
    bag_changes: list[tuple[int, int]] = field(default_factory=list)
    bag_ends: list[int] = field(default_factory=list)
    bags: list[tuple[int, float]] = field(default_factory=list)
    """(second, volume) of every bag hung."""
    cleared: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("closure", "wear", "offset", "soiling", "fade", "clamp_gap"):
            setattr(self, name, np.zeros(self.n))


class InfusionPump(Machine[PumpWorld]):
    """See the module."""

    device_type = "infusion-pump"
    modes = PumpMode
    treatment = PumpMode.RUNNING
    pauses = (
        (("PAUSED", 20.0, 300.0),),
        (("STANDBY", 120.0, 1800.0),),
        (("STANDBY", 60.0, 600.0), ("SELF_TEST", 15.0, 40.0), ("STANDBY", 20.0, 60.0)),
    )
    faults = FAULTS
    lookalikes = LOOKALIKES
    resolution: ClassVar[Mapping[str, float]] = {
        "mode": 1, "power_state": 1, "flow_set": 0.1, "flow_current": 0.1, "vol_infused": 0.01,
        "vtbi_remaining": 0.01, "time_remaining": 1, "line_pressure_down": 0.5, "line_pressure_up": 0.5,
        "air_bubble_volume": 0.5, "motor_current": 0.5, "drive_position_error": 0.5, "battery_charge": 1,
        "battery_time": 1, "battery_capacity": 1, "wifi_strength": 1,
    }  # fmt: skip
    spread: ClassVar[Mapping[str, float]] = {
        "flow_current": 1.1,
        "vol_infused": 0.017,
        "vtbi_remaining": 0.01,
        "time_remaining": 1.0,
        "line_pressure_down": 2.8,
        "line_pressure_up": 2.9,
        "air_bubble_volume": 0.58,
        "motor_current": 3.1,
        "drive_position_error": 1.7,
        "battery_charge": 1.0,
        "battery_time": 15.0,
        "battery_capacity": 54.0,
        "wifi_strength": 5.8,
    }

    def begin(self, run: Run) -> PumpWorld:
        rng, noise, n, chosen = run.noise.rng("settings"), run.noise, run.n, run.plan.settings
        flow_set = chosen.get("flow_set", round(float(np.exp(rng.uniform(np.log(8.0), np.log(220.0)))), 1))
        bag = chosen.get("bag_volume", float(rng.choice([250.0, 500.0, 1000.0])))
        return PumpWorld(
            n=n,
            noise=noise,
            mode=mode_timeline(run, PumpMode, PumpMode.RUNNING),
            flow_set=np.full(n, flow_set),
            bolus_rate=np.zeros(n),
            resistance=np.full(n, 0.055 * np.exp(0.25 * noise.patient("resistance"))),
            p_patient=10.0 + 2.0 * noise.patient("vein") + noise.wander("vein", n, 1.0, 120.0),
            other_pump=np.zeros(n),
            on_battery=np.zeros(n, np.bool_),
            signal=np.zeros(n),
            occlusion_limit=float(rng.choice([350.0, 450.0, 550.0])),
            bag_volume=bag,
            first_bag=bag * float(rng.uniform(0.5, 1.0)),
        )

    def happen(self, world: PumpWorld, event: Event) -> None:
        if event.name not in LOOKALIKES:
            raise ValueError(f"an infusion pump knows no event {event.name}")
        _operate(world, event)
        _strain(world, event)

    def inject(self, world: PumpWorld, fault: Injected) -> None:
        strength = fault.strength
        match fault.name:
            case "downstream_occlusion":
                world.closure += 6.8 * strength + 5.0 * strength**6  # at 1 the line is shut
            case "motor_wear":
                world.wear += strength
            case "pressure_sensor_drift":
                world.offset += fault.sign * 60.0 * strength
            case "air_sensor_soiling":
                world.soiling += strength
            case "battery_fade":
                world.fade += strength
            case "door_clamp":
                world.clamp_gap += strength
            case _:
                raise ValueError(f"an infusion pump knows no fault {fault.name}")

    def settle(self, world: PumpWorld) -> None:
        """Hang bag after bag: an empty one is followed by keep-vein-open, a pause and a full one."""
        world.bags = [(0, _volume_until(world, 0, world.first_bag))]
        for a, b in sorted(world.bag_changes):
            _pause(world, a, b)
        changes = sorted(world.bag_changes)
        while True:
            start, volume = world.bags[-1]
            infused = np.cumsum(commanded(world)[start:]) / 3600.0
            empty = start + int(np.searchsorted(infused, volume))
            planned = next((change for change in changes if change[0] > start), None)
            if planned is not None and planned[0] <= empty:
                full = planned[1]
            elif empty < world.n:
                full = _run_empty(world, empty)
            else:
                return
            if full >= world.n:
                return
            world.bags.append((full, _volume_until(world, full, world.bag_volume)))

    def solve(self, world: PumpWorld) -> dict[str, Array]:
        noise, n = world.noise, world.n
        speed = commanded(world)
        turning = speed > 0
        age = noise.age() + np.arange(n) / LIFE_S
        cam = 2.0 * np.pi * (np.cumsum(speed) / 3600.0 / CAM_VOLUME + noise.rng("cam").random())
        displaced = speed * (1.0 + 0.012 * noise.unit("calibration")) * (1.0 - 0.10 * world.wear)
        displaced *= 1.0 + noise.wander("flow", n, 0.006, 40.0)
        p_up, level = _upstream(world, speed)
        leaking = world.mode != PumpMode.OFF
        free = 180.0 * world.clamp_gap * leaking * (0.6 + 0.4 * level)
        delivered = displaced + free
        p_down = _line_pressure(world, delivered)
        ripple = 0.03 * world.resistance * speed * np.sin(cam)
        preload = 1.0 - 0.45 * world.clamp_gap
        sensed = (p_down + ripple) * preload - 14.0 * world.clamp_gap + world.offset
        load = 62.0 + 2.5 * noise.unit("motor") + 8.0 * age + 0.06 * (p_down - p_up) + 0.05 * speed
        load += (22.0 + 12.0 * np.sin(cam)) * world.wear + 5.0 * np.sin(cam) + 2.0 * np.sin(2.0 * cam)
        load *= 1.0 - 0.40 * world.clamp_gap
        error = noise.white("position", n, 4.0) + 3.0 * np.sin(cam + 0.8)
        error *= (1.0 + 0.2 * age) * (1.0 + 4.0 * world.wear) * (1.0 + 0.1 * noise.unit("drive"))
        idle = np.where(np.isin(world.mode, (PumpMode.PAUSED, PumpMode.ALARM)), 14.0, 6.0)
        idle = np.where(world.mode == PumpMode.SELF_TEST, 70.0, idle)
        current = np.where(turning, load, idle) + noise.white("current", n, 1.2)
        bag = np.maximum(_bag_volume(world, speed), 0.0)
        return {
            "mode": world.mode.astype(np.float64),
            "power_state": world.on_battery.astype(np.float64),
            "flow_set": np.where(turning, speed, world.flow_set),
            "flow_current": np.maximum(delivered + noise.white("flow_reading", n, 0.002) * delivered, 0.0),
            "vol_infused": np.cumsum(delivered) / 3600.0,
            "vtbi_remaining": bag,
            "time_remaining": np.minimum(bag / world.flow_set * 3600.0, 359999.0),
            "line_pressure_down": sensed + 1.5 * noise.unit("zero") + noise.white("p_down", n, 0.8),
            "line_pressure_up": p_up * preload
            - 8.0 * world.clamp_gap
            + 1.5 * noise.unit("zero_up")
            + noise.white("p_up", n, 0.8),
            "air_bubble_volume": _air(world, age),
            "motor_current": np.maximum(current, 0.0),
            "drive_position_error": np.where(turning, error, 0.2 * noise.white("position", n, 4.0)),
            "wifi_strength": _wifi(world),
            **_battery(world, age),
        }

    def alarms(self, world: PumpWorld, channels: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
        working = np.isin(world.mode, (PumpMode.RUNNING, PumpMode.BOLUS, PumpMode.KVO))
        return {
            "occlusion": working & (channels["line_pressure_down"] > world.occlusion_limit),
            "air_in_line": working & (channels["air_bubble_volume"] > 80.0),
            "drive": working & (np.abs(channels["drive_position_error"]) > 120.0),
            "battery_low": world.on_battery & (channels["battery_charge"] < 10.0),
        }

    def respond(self, world: PumpWorld, alarm: str, second: int) -> bool:
        if alarm == "battery_low":
            return False
        stop = second + int(world.noise.rng(f"response:{alarm}:{second}").integers(60, 150))
        world.mode[second + 1 : stop] = PumpMode.ALARM
        if alarm == "occlusion" and world.closure[second] > 0:
            world.closure[stop:] = 0.0
            world.cleared["downstream_occlusion"] = stop
        return True


def commanded(world: PumpWorld) -> Array:
    """(n,) flow the motor is told to make, by mode, mL/h."""
    mode = world.mode
    kvo = np.minimum(world.flow_set, KVO_RATE)
    flow = np.where(mode == PumpMode.RUNNING, world.flow_set, 0.0)
    flow = np.where(mode == PumpMode.KVO, kvo, flow)
    return np.where(mode == PumpMode.BOLUS, world.bolus_rate, flow)


def _operate(world: PumpWorld, event: Event) -> None:
    """What people do at the pump itself."""
    a, b, m = event.start, event.stop, event.magnitude
    running = np.zeros(world.n, np.bool_)
    running[a:b] = world.mode[a:b] == PumpMode.RUNNING
    match event.name:
        case "bag_change":
            world.bag_changes.append((a, b))
        case "near_end":
            world.bag_ends.append(b)
        case "nurse_bolus":
            world.mode[running] = PumpMode.BOLUS
            world.bolus_rate[a:b] = 250.0 + 250.0 * m
        case "keep_vein_open":
            world.mode[running] = PumpMode.KVO
        case "titration":
            _titrate(world, event)
        case "on_battery":
            world.on_battery[a:b] = True


def _strain(world: PumpWorld, event: Event) -> None:
    """What happens to line, patient and network."""
    a, b, m, n = event.start, event.stop, event.magnitude, world.n
    match event.name:
        case "arm_raised":
            side = event.rng().choice([-1.0, 1.0])
            world.p_patient += side * (6.0 + 9.0 * m) * pulse(n, a, b, 4.0)
        case "viscous_drug":
            world.bag_changes.append((a, a + 75))
            world.resistance *= 1.0 + (0.3 + 0.7 * m) * pulse(n, a + 75, b)
        case "small_catheter":
            _pause(world, a, a + 60)
            world.resistance *= 1.0 + (0.4 + 1.0 * m) * pulse(n, a + 60, b)
        case "second_pump":
            world.other_pump += (40.0 + 160.0 * m) * pulse(n, a, b, 3.0)
        case "wifi_replay":
            world.signal += 45.0 * pulse(n, a - 30, b, 30.0)


def _pause(world: PumpWorld, start: int, stop: int) -> None:
    segment = world.mode[start:stop]
    segment[np.isin(segment, (PumpMode.RUNNING, PumpMode.BOLUS, PumpMode.KVO))] = PumpMode.PAUSED


def _titrate(world: PumpWorld, event: Event) -> None:
    steps = 2 + round(3 * event.magnitude)
    times = np.linspace(event.start, event.stop, steps, endpoint=False).astype(int)
    rng = event.rng()
    for second in times:
        factor = np.exp(rng.uniform(-1.0, 1.0) * (0.2 + 0.5 * event.magnitude))
        world.flow_set[second:] = np.clip(np.round(world.flow_set[second] * factor, 1), 2.0, 400.0)


def _volume_until(world: PumpWorld, start: int, usual: float) -> float:
    """Volume of a bag hung at `start`: the usual one, or what makes it end at the next planned end."""
    end = min((end for end in world.bag_ends if end > start), default=None)
    if end is None or any(start < a <= end for a, _ in world.bag_changes):
        return usual
    return float(np.sum(commanded(world)[start:end]) / 3600.0)


def _run_empty(world: PumpWorld, empty: int) -> int:
    """The bag is empty at second `empty`; answers when the next one runs."""
    rng = world.noise.rng(f"bag:{empty}")
    change = empty + int(rng.integers(60, 300))
    full = change + int(rng.integers(60, 120))
    segment = world.mode[empty:change]
    segment[segment == PumpMode.RUNNING] = PumpMode.KVO
    _pause(world, change, full)
    return full


def _bag_volume(world: PumpWorld, speed: Array) -> Array:
    """(n,) volume to be infused that remains; the pump counts what it commanded."""
    total = np.cumsum(speed) / 3600.0
    remaining = np.empty(world.n)
    for start, volume in world.bags:
        remaining[start:] = volume - (total[start:] - total[start])
    return remaining


def _upstream(world: PumpWorld, speed: Array) -> tuple[Array, Array]:
    """(n,) pressure before the pump, from the height of the bag and its level; and the level, 0 … 1."""
    remaining = _bag_volume(world, speed)
    level = np.clip(remaining / world.bag_volume, 0.0, 1.0)
    height = 12.0 + 2.5 * world.noise.patient("pole")
    return height + 9.0 * level - 0.03 * speed + world.noise.wander("bag", world.n, 0.5, 60.0), level


def _line_pressure(world: PumpWorld, inflow: Array) -> Array:
    """(n,) pressure in the compliant line: C dp/dt = inflow - (p - p_patient) / R, exact between seconds."""
    resistance = world.resistance * np.exp(world.closure)
    target = world.p_patient + resistance * inflow + 0.7 * world.resistance * world.other_pump
    keep = np.exp(-1.0 / (3.6 * resistance * COMPLIANCE))
    p = float(target[0])
    course = []
    for goal, kept in zip(target.tolist(), keep.tolist(), strict=True):
        p = goal + (p - goal) * kept
        course.append(p)
    return np.asarray(course)


def _air(world: PumpWorld, age: Array) -> Array:
    """(n,) bubble volume as the ultrasonic sensor reads it, uL."""
    noise, n = world.noise, world.n
    since_change = np.full(n, np.inf)
    for start, _ in world.bags[1:]:
        since_change[start:] = np.arange(n - start)
    bubbles = bursts(noise.rng("bubbles"), n, 240.0, 2.0, 1.5)
    bubbles += bursts(noise.rng("fresh"), n, 15.0, 2.0, 5.0 * np.exp(-since_change / 60.0))
    bubbles *= not noise.silent
    glare = bursts(noise.rng("glare"), n, 12.0, 1.5, 16.0 * world.soiling)
    haze = np.abs(noise.white("air", n, 0.6 + 0.4 * noise.age()))
    haze = haze * (1.0 + 5.0 * world.soiling) + 5.0 * world.soiling + 0.5 * age
    return np.minimum(np.minimum(bubbles, 30.0) + glare + haze, 1000.0)


def _battery(world: PumpWorld, age: Array) -> dict[str, Array]:
    """Charge, remaining time and capacity; a faded battery holds less and so empties faster."""
    noise, n = world.noise, world.n
    full = NEW_CAPACITY * (1.0 - 0.10 * age + 0.015 * noise.unit("battery")) * (1.0 - 0.5 * world.fade)
    step = np.where(world.on_battery, -12.5 * NEW_CAPACITY / full, 25.0) / 3600.0
    charge = np.full(n, 100.0)
    if world.on_battery.any():
        level, course = 100.0, []
        for change in step.tolist():
            level = min(100.0, max(0.0, level + change))
            course.append(level)
        charge = np.asarray(course)
    draw = 0.125 * NEW_CAPACITY * (1.0 + 0.02 * noise.unit("draw") + noise.wander("draw", n, 0.006, 300.0))
    return {
        "battery_charge": charge,
        "battery_time": charge / 100.0 * full / draw * 60.0,
        "battery_capacity": full + noise.wander("gauge", n, 3.0, 600.0),
    }


def _wifi(world: PumpWorld) -> Array:
    noise = world.noise
    level = 84.0 + 5.0 * noise.patient("bed") + noise.wander("wifi", world.n, 3.0, 200.0)
    return np.clip(level - world.signal, 0.0, 100.0)
