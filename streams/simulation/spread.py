"""Measures the spread of healthy channels that ranks a fault's channels. A tool of the simulator's makers."""

import numpy as np

from streams.devices import load_profiles
from streams.simulation.device import machine_of
from streams.simulation.machine import Run
from streams.simulation.noise import Array, Noise
from streams.simulation.plan import Plan
from streams.simulation.truth import view


def measure_spread(
    device_type: str, *, units: int = 40, duration_s: int = 1200, seed: int = 1
) -> dict[str, float]:
    """Channel → standard deviation of healthy devices around the nominal device with the same settings.

    Everything but settings and operator: unit-to-unit bias, age, patient, wander and noise.
    """
    machine, profile = machine_of(device_type), load_profiles()[device_type]
    grid_s, step_s = profile.grid_ms // 1000, machine.step_s
    apart: dict[str, list[Array]] = {channel.name: [] for channel in profile.channels}
    for unit in range(units):
        name = f"{device_type}:spread-{unit}"
        plays = [
            machine.play(
                Run(duration_s // step_s, Noise(seed + unit, name, level, step_s), Plan(), (), (), step_s)
            ).channels
            for level in (1.0, 0.0)
        ]
        for channel in profile.channels:
            real, nominal = (view(channel, play[channel.name], grid_s, step_s) for play in plays)
            apart[channel.name].append((real - nominal)[24:])
    return {name: float(np.std(np.concatenate(parts))) for name, parts in apart.items()}
