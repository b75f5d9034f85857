"""What really happened to a simulated device, kept beside its stream."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.devices import Channel, DeviceProfile
from streams.simulation.noise import Array

CLEAR_EFFECT = 1.5
"""Spreads by which a fault must move a channel for the channel to count as affected."""


@dataclass(frozen=True, slots=True)
class FaultTruth:
    """One injected fault and what it did."""

    name: str
    severity: float
    onset_ms: int
    end_ms: int
    device_alarm_ms: int | None
    """When the device itself raised an alarm because of it; None: never within the run."""
    channels: tuple[str, ...]
    """Measured or counted channels it clearly moved, most affected first, at least one."""
    effects: Mapping[str, float]
    """Channel → effect in spreads of a healthy device, for every measured or counted channel."""


@dataclass(frozen=True, slots=True)
class LookalikeTruth:
    """One normal event that resembles a fault."""

    name: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth of one run."""

    modes: tuple[tuple[int, str], ...]
    """(start_ms, mode), every change of mode, the device's own included."""
    faults: tuple[FaultTruth, ...]
    lookalikes: tuple[LookalikeTruth, ...]


def cells(values: Array, rows: int, combine: str) -> Array:
    """(N,) readings → (N // rows,) grid cells of `rows` steps, combined as the profile says."""
    whole = len(values) // rows
    grid = values[: whole * rows].reshape(whole, rows)
    match combine:
        case "mean":
            return np.asarray(grid.mean(axis=1))
        case "max":
            return np.asarray(grid.max(axis=1))
        case "rms":
            return np.asarray(np.sqrt((grid**2).mean(axis=1)))
        case _:
            return grid[:, -1].copy()


def view(channel: Channel, values: Array, grid_s: int, step_s: int = 1) -> Array:
    """What a watcher can see of a channel: its grid cells, of a counter its change per minute.

    Where a grid cell is longer than a minute, a counter's change per cell.
    """
    seen = cells(values, max(1, grid_s // step_s), channel.combine)
    if channel.role != "counter":
        return seen
    minute = max(1, 60 // grid_s)
    slope = np.zeros_like(seen)
    slope[minute:] = seen[minute:] - seen[:-minute]
    return slope


def effects(
    profile: DeviceProfile,
    faulty: Mapping[str, Array],
    healthy: Mapping[str, Array],
    spread: Mapping[str, float],
    between: tuple[int, int],
    step_s: int = 1,
) -> dict[str, float]:
    """Root mean square of |faulty - healthy| in spreads, per measured or counted channel.

    Both runs draw the same random numbers, so the difference is the fault alone. `between` are the first
    step and the one after the last; the later half of them counts, so that a long ramp is judged by what it
    grew to.
    """
    grid_s = max(1, profile.grid_ms // 1000)
    rows = max(1, grid_s // step_s)
    first = (between[0] + between[1]) // 2 // rows
    last = max(first + 1, between[1] // rows)
    found = {}
    for channel in profile.channels:
        if channel.role in ("setting", "state"):
            continue
        with_it, without = (view(channel, run[channel.name], grid_s, step_s) for run in (faulty, healthy))
        apart = with_it - without
        part = apart[first:last]
        size = float(np.sqrt(np.mean(part**2))) if len(part) else 0.0
        found[channel.name] = size / spread[channel.name]
    return found


def ranked(found: Mapping[str, float]) -> tuple[str, ...]:
    """Channels clearly affected, most affected first; the most affected one in any case."""
    order = sorted(found, key=lambda name: -found[name])
    clear = [name for name in order if found[name] >= CLEAR_EFFECT]
    return tuple(clear or order[:1])


def mode_changes(
    mode: NDArray[np.int16], names: Mapping[int, str], start_ms: int, step_ms: int = 1000
) -> tuple[tuple[int, str], ...]:
    """(start_ms, mode name) of every stretch of one mode."""
    starts = np.flatnonzero(np.diff(mode, prepend=mode[0] - 1))
    return tuple((start_ms + step_ms * int(s), names[int(mode[s])]) for s in starts)
