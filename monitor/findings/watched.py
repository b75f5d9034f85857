"""The columns behind `judge.py`: devices of one type in one partition and how each stands. Decides nothing."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.findings.columns import NEVER, enlarge

FILLERS: Final = {"last_t": NEVER, "anomaly": 0, "seen": 0, "quiet_t": NEVER, "slot": -1}
"""Column → what it says of a device of which nothing is known yet."""


class Watched:
    """D devices; the columns are longer than that and grow by doubling."""

    def __init__(self) -> None:
        self.devices: list[str] = []
        self.row: dict[str, int] = {}
        self.last_t = np.zeros(0, np.int64)
        """End of the newest judged window."""
        self.anomaly = np.zeros(0, np.float32)
        """Of that window."""
        self.seen = np.zeros(0, np.int64)
        """Windows judged so far."""
        self.quiet_t = np.zeros(0, np.int64)
        """Windows that end before it are not judged."""
        self.slot = np.zeros(0, np.int32)
        """Where the episode of the device is kept; -1 without any."""

    def __len__(self) -> int:
        return len(self.devices)

    def rows(self, devices: Sequence[str]) -> NDArray[np.intp]:
        """Where each stands; devices that are new are watched from here on."""
        unknown = [device for device in dict.fromkeys(devices) if device not in self.row]
        if unknown:
            self.admit(unknown)
        return np.array([self.row[device] for device in devices], np.intp)

    def admit(self, devices: Sequence[str]) -> None:
        """Watch more devices, none of which is watched."""
        start = len(self)
        self.devices.extend(devices)
        self.row.update((device, start + i) for i, device in enumerate(devices))
        if len(self) > len(self.last_t):
            size = max(16, 2 * len(self.last_t), len(self))
            for name, filler in FILLERS.items():
                setattr(self, name, enlarge(getattr(self, name), size, filler))

    def remove(self, row: int) -> bool:
        """Watch this one no longer; True if the last device has moved into its row."""
        last = len(self) - 1
        del self.row[self.devices[row]]
        moved = row != last
        if moved:
            self.devices[row] = self.devices[last]
            self.row[self.devices[row]] = row
        self.devices.pop()
        for name, filler in FILLERS.items():
            column = getattr(self, name)
            column[row], column[last] = column[last], filler
        return moved
