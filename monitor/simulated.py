"""A simulated fleet, device by device, and what arrives of it as recordings. Knows no broker and no terminal."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.devices import load_profiles
from streams.recordings import Recording, Segment
from streams.simulation import (
    BENCHMARK_SEEDS,
    DEVICE_TYPES,
    Arrivals,
    Plan,
    Simulation,
    fault_plan,
    fault_specs,
    lookalike_specs,
    random_plan,
    simulate,
)


class SimulateError(Exception):
    """What was asked for cannot be simulated, read or sent; one readable line."""


def device_types() -> list[str]:
    """Simulated device types and their titles, a line each."""
    profiles = load_profiles()
    return [f"{name:24}{profiles[name].title}" for name in DEVICE_TYPES]


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """What was asked for on the command line."""

    device_type: str
    devices: int
    hours: float
    seed: int
    faults: tuple[str, ...]
    severity: float
    lookalikes: tuple[float, ...] = (1.0,)
    """Times as often as usual, device by device in turn; more for some of those that a model is trained on, where a
    rare one must have been seen."""

    def check(self) -> None:
        """Raises SimulateError where the type or a fault is unknown."""
        if self.device_type not in DEVICE_TYPES:
            raise SimulateError(f"no device type {self.device_type}; there are {', '.join(DEVICE_TYPES)}")
        unknown = [fault for fault in self.faults if fault not in fault_specs(self.device_type)]
        if unknown:
            known = ", ".join(fault_specs(self.device_type))
            raise SimulateError(f"{self.device_type} has no fault {', '.join(unknown)}; it has {known}")
        if self.seed in BENCHMARK_SEEDS:
            raise SimulateError(
                f"seed {self.seed} belongs to the simulated benchmark; take one below 9000000"
            )

    def catalogue(self) -> list[str]:
        """Faults and look-alikes of the type, a line each."""
        SimulateOptions(self.device_type, 1, 1, 0, (), 0).check()
        faults = [
            f"fault       {name:32}{spec.title}" for name, spec in fault_specs(self.device_type).items()
        ]
        alike = [
            f"look-alike  {name:32}{spec.title}" for name, spec in lookalike_specs(self.device_type).items()
        ]
        return faults + alike

    def runs(self, start_ms: int) -> Iterator[Simulation]:
        """One device after the other; each gets one of the faults, in turn."""
        profile = load_profiles()[self.device_type]
        for number in range(self.devices):
            rng = np.random.default_rng([self.seed, number])
            serial = f"{self.device_type}-{self.seed:03d}-{number:04d}"
            duration_s = self.hours * 3600
            plan = self._plan(rng, number, duration_s)
            yield simulate(self.device_type, serial, self.seed, start_ms, duration_s, plan, profile=profile)

    def _plan(self, rng: np.random.Generator, number: int, duration_s: float) -> Plan:
        rate = self.lookalikes[number % len(self.lookalikes)]
        if not self.faults:
            return random_plan(self.device_type, rng, duration_s, rate=rate)
        fault = self.faults[number % len(self.faults)]
        return fault_plan(self.device_type, fault, rng, duration_s, severity=self.severity, rate=rate)


def to_recording(run: Simulation, sent: Arrivals) -> Recording:
    """What arrived of a device, in the order of its time stamps and without repeats, with its labels."""
    _, first = np.unique(sent.seq, return_index=True)
    order = first[np.argsort(sent.t_ms[first], kind="stable")]
    rows = np.searchsorted(run.seq, sent.seq[order])
    names = np.array(run.fault_names(), dtype=object)[rows]
    return Recording(
        series=run.device,
        channels=run.profile.names,
        t_ms=sent.t_ms[order].astype(np.float64),
        values=sent.values[order],
        test=np.full(len(order), bool(run.truth.faults)),
        label=run.label[rows] != 0,
        segments=tuple(_segments(run, run.t[rows])),
        fault=tuple(names) if run.truth.faults else None,
        metadata={"device_type": run.profile.type, "source": "attendant simulate"},
    )


def _segments(run: Simulation, t: NDArray[np.int64]) -> Iterator[Segment]:
    for fault in run.truth.faults:
        start, end = np.searchsorted(t, [fault.onset_ms, fault.end_ms])
        if end > start:
            yield Segment(int(start), int(end), fault.channels)
