"""Whether a simulated fault moves a channel as a profile's fault signature says."""

import numpy as np

from streams.devices import Movement
from streams.simulation import Simulation
from streams.simulation.device import machine_of
from streams.simulation.noise import Array
from tests.streams.simulation.worlds import column, part


def agrees(movement: Movement, faulty: Simulation, healthy: Simulation, channel: str) -> bool:
    """True where the last thousand seconds of `channel` differ from the healthy run's as `movement` says."""
    after, before = (part(run, channel, 2000, 3000) for run in (faulty, healthy))
    shift = float(after.mean() - before.mean()) / machine_of(healthy.profile.type).spread[channel]
    match movement:
        case Movement.UP:
            return shift > 1
        case Movement.DOWN:
            return shift < -1
        case Movement.EITHER:
            return abs(shift) > 1
        case Movement.RESTLESS:
            return bool(np.diff(after).std() > 1.5 * np.diff(before).std())
        case Movement.STILL:
            return longest_hold(column(faulty, channel)) > 1.5 * longest_hold(column(healthy, channel))


def quiet(faulty: Simulation, healthy: Simulation, channel: str) -> bool:
    """True where the fault shifts `channel` by less than half a spread."""
    after, before = (part(run, channel, 2000, 3000).mean() for run in (faulty, healthy))
    return bool(abs(after - before) < 0.5 * machine_of(healthy.profile.type).spread[channel])


def longest_hold(values: Array) -> int:
    """Most readings in a row that are the same."""
    readings = values[~np.isnan(values)]
    changes = np.flatnonzero(np.diff(readings, prepend=np.nan) != 0)
    return int(np.diff(changes, append=len(readings)).max())
