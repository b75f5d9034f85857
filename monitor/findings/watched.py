"""The columns behind `judge.py`: devices of one type in one partition and how each stands. Decides nothing."""

from typing import Final

import numpy as np

from monitor.findings.columns import NEVER, DeviceColumns

FILLERS: Final = {"last_t": NEVER, "anomaly": 0, "seen": 0, "quiet_t": NEVER, "slot": -1}
"""Column → what it says of a device of which nothing is known yet."""


class Watched(DeviceColumns):
    """One Judge's devices."""

    def __init__(self) -> None:
        super().__init__(FILLERS)
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
