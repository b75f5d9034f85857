"""Samples in columns: what the decoder makes and the windows take. Knows no bytes and no broker.

One object a sample would cost more than everything else on the road, so samples travel as arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.devices import DeviceProfile


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """N samples of one device type, in the order in which they arrived.

    Shapes: N samples, C channels of the profile, D distinct devices of this block.
    """

    profile: DeviceProfile
    devices: list[str]
    """(D,) device ids."""
    device: NDArray[np.int32]
    """(N,) index into `devices`."""
    t: NDArray[np.int64]
    """(N,) milliseconds since the epoch, UTC, by the device's clock."""
    seq: NDArray[np.int64]
    """(N,) the sender's sequence number, -1 where it gave none."""
    values: NDArray[np.float32]
    """(N, C); NaN where the sample says nothing of the channel or says `null`."""

    def __len__(self) -> int:
        return len(self.t)


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """B windows of one device type that came due. Arrays are the receiver's own (no view of a ring).

    Shapes: B windows, T = profile.window_rows, C channels.
    """

    profile: DeviceProfile
    devices: list[str]
    """(B,) device ids; one device can occur several times, oldest window first."""
    end_t: NDArray[np.int64]
    """(B,) end of the last grid cell of the window, ms since the epoch on the device's clock."""
    values: NDArray[np.float32]
    """(B, T, C); NaN exactly where `mask` is False."""
    mask: NDArray[np.bool_]
    """(B, T, C); True where a reading fell into the cell."""

    def __len__(self) -> int:
        return len(self.end_t)

    def part(self, places: Sequence[int]) -> "WindowBatch":
        """Copies of some of the windows."""
        at, devices = np.array(places, np.intp), [self.devices[place] for place in places]
        return WindowBatch(self.profile, devices, self.end_t[at], self.values[at], self.mask[at])
