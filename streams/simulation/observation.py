"""How samples travel: clock error, jitter, delay, duplicates, losses, buffered bursts. Knows no broker.

`observe` turns what a device sampled into what arrives, in order of arrival.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.simulation.device import Simulation

WIFI_REPLAY = "wifi_replay"
"""Look-alike during which the device buffers its samples and sends them in one burst at the end."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Properties of the road from device to broker; rates are per sample."""

    jitter_ms: float = 40.0
    """Standard deviation of the sampling instant."""
    delay_ms: float = 60.0
    """Mean network delay."""
    late_rate: float = 0.01
    """Part of the samples that are held up on the way and arrive out of order."""
    late_ms: float = 8000.0
    """Longest hold-up."""
    duplicate_rate: float = 0.005
    dropout_rate: float = 0.01
    """Part of the samples that never arrive."""
    missing_rate: float = 0.005
    """Part of the readings that the device could not take."""
    clock_offset_ms: float | None = None
    """Error of the device's clock; None: drawn for each device with `clock_sd_ms`."""
    clock_sd_ms: float = 1000.0

    def __post_init__(self) -> None:
        for name in ("late_rate", "duplicate_rate", "dropout_rate", "missing_rate"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} {getattr(self, name)} is not a rate below 1")


@dataclass(frozen=True, slots=True)
class Arrivals:
    """M samples in order of arrival."""

    arrive_ms: NDArray[np.int64]
    """(M,) true time of arrival."""
    seq: NDArray[np.int64]
    t_ms: NDArray[np.int64]
    """(M,) time stamp by the device's clock."""
    values: NDArray[np.float32]
    """(M, C)"""

    def __len__(self) -> int:
        return len(self.arrive_ms)


def observe(simulation: Simulation, seed: int, observation: Observation | None = None) -> Arrivals:
    """Samples as they arrive; a sample without any reading is not sent. Reproducible from `seed` and device."""
    how = observation or Observation()
    rng = np.random.default_rng(
        [seed, zlib.crc32(f"{simulation.profile.type}:{simulation.device}".encode()), 0x0B5E]
    )
    n = len(simulation)
    offset = how.clock_offset_ms
    if offset is None:
        offset = float(np.clip(rng.standard_normal(), -2.0, 2.0)) * how.clock_sd_ms
    jitter = np.clip(rng.standard_normal(n), -3.0, 3.0) * how.jitter_ms
    stamp = np.maximum.accumulate(np.round(simulation.t + jitter + offset)).astype(np.int64)
    travel = rng.exponential(how.delay_ms, n) if how.delay_ms > 0 else np.zeros(n)
    held = rng.random(n) < how.late_rate
    travel = travel + held * rng.uniform(0.2, 1.0, n) * how.late_ms
    arrive = _buffered(simulation, simulation.t + travel)
    values = simulation.values.copy()
    values[rng.random(values.shape) < how.missing_rate] = np.nan
    sent = (rng.random(n) >= how.dropout_rate) & ~np.isnan(values).all(axis=1)
    twice = np.flatnonzero(sent & (rng.random(n) < how.duplicate_rate))
    rows = np.concatenate([np.flatnonzero(sent), twice])
    times = np.concatenate([arrive[sent], arrive[twice] + rng.uniform(1.0, 3000.0, len(twice))])
    order = np.argsort(times, kind="stable")
    rows = rows[order]
    return Arrivals(
        arrive_ms=times[order].round().astype(np.int64),
        seq=simulation.seq[rows],
        t_ms=stamp[rows],
        values=values[rows],
    )


def _buffered(simulation: Simulation, arrive: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hold what is sampled during a wireless loss until its end, then send it in order, 2 ms apart."""
    arrive = arrive.copy()
    for event in simulation.truth.lookalikes:
        if event.name == WIFI_REPLAY:
            lost = np.flatnonzero((simulation.t >= event.start_ms) & (simulation.t < event.end_ms))
            arrive[lost] = event.end_ms + 2.0 * np.arange(len(lost))
            # What was on its way when the link broke arrives with the burst's successors, not inside it.
            after = (simulation.t >= event.end_ms) & (arrive < event.end_ms + 2.0 * len(lost))
            arrive[after] += 2.0 * len(lost)
    return arrive
