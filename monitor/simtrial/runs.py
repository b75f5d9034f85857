"""What is tried, and the simulated runs of it. Simulates; scores nothing."""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from monitor.findings import AdaptationSettings
from streams.devices import DeviceProfile
from streams.simulation import (
    BENCHMARK_SEEDS,
    Onset,
    Plan,
    Simulation,
    fault_plan,
    fault_specs,
    random_plan,
    simulate,
)
from streams.simulation.device import machine_of

START_MS = 1_790_000_000_000
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried on a device type. Every fault comes at every severity, in two ways, once with each seed."""

    seeds: tuple[int, ...] = (0,)
    severities: tuple[float, ...] = (0.25, 0.5, 1.0)
    fault_hours: float | None = None
    """Of a run with a fault; None: as the device type says."""
    device_days: float = 30.0
    """Fault-free time ..."""
    devices: int | None = None
    """... or so many fault-free devices ..."""
    device_hours: float | None = None
    """... for so long each; None: as the device type says."""
    lookalikes: float = 1.0
    """How many times as often as usual look-alikes come ..."""
    least_a_day: float = 0.5
    """... and each kind at least so often, so that all of them occur."""
    unit_scale: float = 1.0
    """How many times as far as usual devices differ from each other."""
    own_hours: float = 0.0
    """Every device is judged once more as one that has been watched for so many fault-free hours before."""
    adaptation: AdaptationSettings = field(default_factory=AdaptationSettings)
    """How far and how fast its own baseline is then learned."""

    def healthy_devices(self, device_type: str) -> int:
        """Fault-free devices of a type."""
        if self.devices is not None:
            return self.devices
        return math.ceil(self.device_days * 24 / self.hours(device_type))

    def hours(self, device_type: str) -> float:
        """Device hours of a fault-free run."""
        own: float = machine_of(device_type).healthy_hours
        return own if self.device_hours is None else self.device_hours


@dataclass(frozen=True, slots=True)
class FaultCase:
    """One fault to be simulated."""

    fault: str
    severity: float
    onset: Onset
    seed: int


def fault_cases(device_type: str, trial: Trial) -> list[FaultCase]:
    """Every fault, severity, onset and seed."""
    return [
        FaultCase(name, severity, onset, seed)
        for name, spec in fault_specs(device_type).items()
        for severity, onset, seed in product(trial.severities, _onsets(spec.onset), trial.seeds)
    ]


def _onsets(usual: Onset) -> tuple[Onset, Onset]:
    """As the fault usually comes, and the other way: at once, or growing."""
    return usual, Onset.RAMP if usual is Onset.STEP else Onset.STEP


def fault_hours(device_type: str, trial: Trial) -> float:
    """Device hours of a run with a fault."""
    own: float = machine_of(device_type).fault_hours
    return own if trial.fault_hours is None else trial.fault_hours


def fault_run(profile: DeviceProfile, trial: Trial, case: FaultCase) -> Simulation:
    """A device of its own for every case, with look-alikes before the fault."""
    duration_s = fault_hours(profile.type, trial) * 3600
    number = _seed(f"{profile.type}:{case.fault}:{case.severity}:{case.onset.value}", case.seed)
    plan = fault_plan(
        profile.type, case.fault, np.random.default_rng(number), duration_s, severity=case.severity,
        onset=case.onset, rate=trial.lookalikes,
    )  # fmt: skip
    return _played(profile, trial, f"FAULT-{number}", number, START_MS, duration_s, plan)


def healthy_runs(profile: DeviceProfile, trial: Trial, first: int, last: int) -> Iterator[Simulation]:
    """Fault-free devices number `first` to `last` (exclusive), with pauses and all kinds of look-alikes."""
    duration_s = trial.hours(profile.type) * 3600
    for device in range(first, last):
        number = _seed(f"{profile.type}:healthy:{trial.seeds[0]}", device)
        yield _use(profile, trial, f"HEALTHY-{number}", number, START_MS, duration_s)


def earlier_runs(profile: DeviceProfile, trial: Trial, device: str) -> Iterator[Simulation]:
    """`own_hours` of the same serial number up to `START_MS`: use after use, each with a patient of its own."""
    left_s, each_s = trial.own_hours * 3600, trial.hours(profile.type) * 3600
    while left_s > 0:
        duration_s = min(left_s, each_s)
        number = _seed(f"{profile.type}:{device}:earlier", round(left_s))
        yield _use(profile, trial, device, number, START_MS - round(left_s * 1000), duration_s)
        left_s -= duration_s


def _use(
    profile: DeviceProfile, trial: Trial, device: str, number: int, start_ms: int, duration_s: float
) -> Simulation:
    """Without a fault, with all kinds of look-alikes."""
    plan = random_plan(
        profile.type, np.random.default_rng(number), duration_s, rate=trial.lookalikes,
        least_per_day=trial.least_a_day,
    )  # fmt: skip
    return _played(profile, trial, device, number, start_ms, duration_s, plan)


def _played(
    profile: DeviceProfile,
    trial: Trial,
    device: str,
    number: int,
    start_ms: int,
    duration_s: float,
    plan: Plan,
) -> Simulation:
    return simulate(
        profile.type, device, number, start_ms, duration_s, plan, profile=profile, unit_scale=trial.unit_scale
    )


def _seed(name: str, seed: int) -> int:
    """Spread over the seeds that no training may use."""
    number = BENCHMARK_SEEDS.start + zlib.crc32(f"{name}:{seed}".encode()) % len(BENCHMARK_SEEDS)
    if number not in BENCHMARK_SEEDS:
        raise AssertionError(f"seed {number} is not the benchmark's")
    return number
