"""What the rows so far leave behind of a device: enough to go on as if the series had never been cut.

Letters: D devices, H rows of history, B nested subspaces, C channels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.series.subspaces import KEPT, WINDOW

HISTORY = WINDOW - 1
"""Rows that the newest row is seen together with."""

Array = NDArray[np.floating]


class Drift(NamedTuple):
    """Of the level: what the residuals were at the beginning and of late."""

    rows: Array
    """(D,) how many came so far."""
    begun: Array
    """(D, B, C) sum of the first residuals, in usual ones."""
    slow: Array
    slower: Array
    """(D, B, C) slow background of the residuals, and the mean that trails behind it."""


class Trace(NamedTuple):
    """Of the channels: how they have been moving."""

    z: Array
    """(H, D, C) the newest rows, in spreads."""
    level: Array
    """(H, D, C) log calibrated residual of the newest rows."""
    around: Array
    """(D, C) slow mean of that level, a while ago."""
    wander: Array
    """(D, C) slow mean of the rows."""


class Memory(NamedTuple):
    """All of it."""

    came: Array
    """(D,) rows of the course that the trace is of: since the device was new, or since it was serviced."""
    drift: Drift
    trace: Trace
    seen: Array
    """(H, D, C) 1.0 where a reading fell, else 0.0."""
    held: Array
    """(D, C) strongest evidence of late."""
    off: Array
    """(D, C) rows for which the channel has been off."""
    incident: Array
    """(D,) what attention saw of late; see `models.series.incident`."""

    @classmethod
    def width(cls, C: int) -> int:
        """Numbers a device."""
        return 3 + C * (3 * len(KEPT) + 3 * HISTORY + 4)

    @classmethod
    def lasting(cls, C: int) -> NDArray[np.bool_]:
        """(M,) which of the numbers say what is usual of a device: its level and its drift. The others say how it has
        been going of late, and are zeros where a new course begins."""
        nothing = cls.unknown(1, C)
        usual = nothing._replace(drift=Drift(*map(np.ones_like, nothing.drift)))
        lasting: NDArray[np.bool_] = usual.packed()[0] > 0
        return lasting

    @classmethod
    def unknown(cls, devices: int, C: int) -> "Memory":
        """Of devices of which nothing is known."""
        return cls.unpacked(np.zeros((devices, cls.width(C)), np.float32), C)

    @classmethod
    def unpacked(cls, packed: NDArray[np.float32], C: int) -> "Memory":
        """From (D, M), as `packed` made it; zeros are devices of which nothing is known."""
        D, B = len(packed), len(KEPT)
        planes = packed[:, 3:].reshape(D, -1, C)
        own, slow, slower, z, level, seen, rest = np.split(
            planes, np.cumsum([B, B, B, HISTORY, HISTORY, HISTORY]), 1
        )
        around, wander, held, off = rest.transpose(1, 0, 2)
        z, level, seen = (x.transpose(1, 0, 2) for x in (z, level, seen))
        drift, trace = Drift(packed[:, 1], own, slow, slower), Trace(z, level, around, wander)
        return cls(packed[:, 0], drift, trace, seen, held, off, packed[:, 2])

    def packed(self) -> NDArray[np.float32]:
        """(D, M) in one array."""
        rows, *levels = self.drift
        rings = [x.transpose(1, 0, 2) for x in (self.trace.z, self.trace.level, self.seen)]
        single = [x[:, None] for x in (self.trace.around, self.trace.wander, self.held, self.off)]
        planes = np.concatenate([*levels, *rings, *single], 1)
        counts = np.stack([self.came, rows, self.incident], 1)
        return np.concatenate([counts, planes.reshape(len(rows), -1)], 1).astype(np.float32)


def begun(kept: Array, first: Array, new: NDArray[np.bool_]) -> Array:
    """(…, D, C) what is kept of the past; of devices that are `new` (D,) the `first` row stands before itself."""
    started: Array = np.where(new[:, None], first, kept) if new.any() else kept
    return started


def newest(past: Array, x: Array) -> Array:
    """(H, …) the newest rows of both."""
    return np.concatenate([past, x])[len(x) :]
