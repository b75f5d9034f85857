"""Named random streams of one simulated device. Knows nothing about devices or faults.

Each stream is seeded by (seed, device, name), so its numbers do not depend on what else is drawn, on the
order in which devices are simulated, or on whether a fault is injected. That makes a run with a fault and
the same run without it differ by the fault alone (common random numbers).
"""

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]


class Noise:
    """Draws for one device; `level` 0 silences every draw of size, not the choices of `rng`.

    `step_s`: seconds between two numbers of a series; `unit_scale`: how much more than usual units differ.
    """

    def __init__(
        self, seed: int, device: str, level: float = 1.0, step_s: int = 1, unit_scale: float = 1.0
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed {seed} is negative")
        self._key = (seed, zlib.crc32(device.encode()))
        self._level = level
        self._step_s = step_s
        self._unit_scale = unit_scale

    @property
    def silent(self) -> bool:
        """True for the nominal device: no noise, no bias."""
        return self._level == 0

    def rng(self, name: str) -> np.random.Generator:
        """A fresh generator for the choices called `name`: settings, times, which way a fault turns."""
        return np.random.default_rng([*self._key, zlib.crc32(name.encode())])

    def unit(self, name: str) -> float:
        """What distinguishes this serial number in every run: standard normal, cut at ±2, scaled; free of the seed."""
        draw = np.random.default_rng([self._key[1], zlib.crc32(name.encode())]).standard_normal()
        return self._level * self._unit_scale * float(np.clip(draw, -2.0, 2.0))

    def patient(self, name: str) -> float:
        """What distinguishes this run (patient, disposables): standard normal, cut at ±2."""
        return self._level * float(np.clip(self.rng(f"patient:{name}").standard_normal(), -2.0, 2.0))

    def age(self) -> float:
        """Age of this serial number, 0 new … 1 at the end of its service life."""
        fraction = np.random.default_rng([self._key[1], zlib.crc32(b"age")]).uniform(0.05, 0.9)
        return float(fraction) if self._level else 0.4

    def white(self, name: str, n: int, std: float = 1.0) -> Array:
        """(n,) white noise."""
        if self._level == 0:
            return np.zeros(n)
        return (self._level * std) * self.rng(name).standard_normal(n)

    def wander(self, name: str, n: int, std: float, tau_s: float) -> Array:
        """(n,) first-order autoregressive noise: stationary `std`, correlation time `tau_s`."""
        if self._level == 0:
            return np.zeros(n)
        phi = np.exp(-self._step_s / tau_s)
        draws = self.rng(name).standard_normal(n + 1)
        start = np.array([phi * draws[0]])
        walk, _ = lfilter([np.sqrt(1.0 - phi**2)], [1.0, -phi], draws[1:], zi=start)
        return np.asarray((self._level * std) * walk)


def lag(signal: Array, tau_s: float, start: float | None = None, *, step_s: int = 1) -> Array:
    """(n,) first-order lag of `signal`, begun settled at `start` (default: the first value)."""
    phi = np.exp(-step_s / tau_s)
    first = signal[0] if start is None else start
    settled, _ = lfilter([1.0 - phi], [1.0, -phi], signal, zi=np.array([phi * first]))
    return np.asarray(settled)


def pulse(
    n: int, start: int, stop: int, rise_s: float = 1.0, fall_s: float | None = None, *, step_s: int = 1
) -> Array:
    """(n,) 0 → 1 within `rise_s` from step `start`, back to 0 within `fall_s` from step `stop`."""
    second = step_s * np.arange(n)
    fall_s = rise_s if fall_s is None else fall_s
    up = np.clip((second - step_s * (start - 1)) / max(rise_s, step_s), 0.0, 1.0)
    down = np.clip((second - step_s * (stop - 1)) / max(fall_s, step_s), 0.0, 1.0)
    return np.asarray(up - down).clip(0.0, 1.0)


def bursts(
    rng: np.random.Generator,
    n: int,
    every_s: float,
    decay_s: float,
    size: Array | float = 1.0,
    *,
    step_s: int = 1,
) -> Array:
    """(n,) exponentially decaying bursts at Poisson times, one in `every_s` on average, sizes ~ Exp(`size`)."""
    hits = (rng.random(n) < step_s / every_s) * rng.exponential(1.0, n) * size
    return np.asarray(lfilter([1.0], [1.0, -np.exp(-step_s / decay_s)], hits))


def follow(target: Array, tau_s: Array) -> Array:
    """(n,) first-order approach to `target` with a time constant that changes; begun settled, exact at 1 Hz."""
    level = float(target[0])
    course = []
    for goal, kept in zip(target.tolist(), np.exp(-1.0 / tau_s).tolist(), strict=True):
        level = goal + (level - goal) * kept
        course.append(level)
    return np.asarray(course)
