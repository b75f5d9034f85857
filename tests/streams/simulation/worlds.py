"""Small helpers of the simulator's tests."""

import numpy as np

from streams.simulation import FaultPlan, LookalikePlan, Plan, Simulation, fault_specs, simulate
from streams.simulation.device import machine_of
from streams.simulation.noise import Array

START_MS = 1_763_800_000_000


def one_fault(
    device_type: str, fault: str, serial: str = "U-1", seed: int = 5, severity: float = 0.8
) -> Simulation:
    """3,000 steps of one device; the fault begins at step 600 and is full within its longest demo ramp."""
    ramp_s, step_s = fault_specs(device_type)[fault].demo_ramp_s[1], machine_of(device_type).step_s
    plan = Plan(faults=(FaultPlan(fault, 600.0 * step_s, severity, ramp_s=ramp_s),))
    return simulate(device_type, serial, seed, START_MS, 3000 * step_s, plan)


def one_event(device_type: str, event: str, magnitude: float = 1.0, duration_s: float = 600.0) -> Simulation:
    """2,400 steps of one device with one look-alike at step 600."""
    step_s = machine_of(device_type).step_s
    plan = Plan(lookalikes=(LookalikePlan(event, 600.0 * step_s, duration_s, magnitude),))
    return simulate(device_type, "U-1", 5, START_MS, 2400 * step_s, plan)


def column(simulation: Simulation, channel: str) -> Array:
    """(N,) readings of a channel, NaN where it was not reported."""
    return simulation.values[:, simulation.profile.index[channel]].astype(np.float64)


def part(simulation: Simulation, channel: str, start: int, stop: int) -> Array:
    """The readings of a channel within a part of the run, from step `start` to before `stop`."""
    values = column(simulation, channel)[start:stop]
    return np.asarray(values[~np.isnan(values)])


def held(simulation: Simulation, channel: str) -> Array:
    """(N,) readings of a channel, each kept until the next."""
    values = column(simulation, channel)
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))
    return np.asarray(np.where(last >= 0, values[np.maximum(last, 0)], np.nan))
