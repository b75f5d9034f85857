"""What each device of a type has taught so far, in columns. Decides nothing; knows no window, no score and no settings.

Letters: D devices, C channels.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.findings.blob import Array
from monitor.findings.columns import NEVER, DeviceColumns

MIXED: Final = -1
"""Of a window in which a state changed, or none was told."""
WAITING, FRESH = 0, 1
COUNT, SUM = 0, 1

Rows = NDArray[np.intp]


class Known(DeviceColumns):
    """What is known of every device, over C channels."""

    FILLERS: Final[Mapping[str, int]] = {
        "step": NEVER, "hold_t": NEVER, "since_t": NEVER, "begun_t": NEVER, "last_t": NEVER, "renewed": 0,
        "judged": 0, "learned": 0, "at_home": 0, "interrupted": 0,
        "home": MIXED, "other": MIXED, "votes": 0, "pending": 0, "seen": 0, "mean": 0, "square": 0, "bias": 0,
    }  # fmt: skip

    def __init__(self, C: int) -> None:
        super().__init__(self.FILLERS)
        self.step = np.zeros(0, np.int64)
        self.hold_t = np.zeros(0, np.int64)
        self.since_t = np.zeros(0, np.int64)
        self.begun_t = np.zeros(0, np.int64)
        self.last_t = np.zeros(0, np.int64)
        self.renewed = np.zeros(0, np.bool_)
        self.judged = np.zeros(0, np.int64)  # full windows since it was begun, of these ...
        self.learned = np.zeros(0, np.int64)  # ... the clearly normal ones, in whatever mode, of these ...
        self.at_home = np.zeros(0, np.int64)  # ... the ones at home, of these ...
        self.interrupted = np.zeros(0, np.int64)  # ... the ones that a silence took back
        self.home = np.zeros(0, np.int64)  # the mode in which it is learned
        self.other = np.zeros(0, np.int64)  # the last one besides
        self.votes = np.zeros(0, np.int64)  # windows at home more than elsewhere
        self.pending = np.zeros((0, 2, 2, C), np.float64)  # of the step before and of this one
        self.seen = np.zeros((0, C), np.float64)
        self.mean = np.zeros((0, C), np.float64)  # of what the steps taught
        self.square = np.zeros((0, C), np.float64)
        self.bias = np.zeros((0, C), np.float64)  # as far as they agree

    def applied(self, rows: Rows) -> NDArray[np.int64]:
        """(D,) windows that count already, in the channel in which most do."""
        return _windows(self.seen[rows])

    def waiting(self, rows: Rows) -> NDArray[np.int64]:
        """(D,) windows that taught and do not count yet."""
        return _windows(self.pending[rows, :, COUNT].sum(1))

    def missed(self, rows: Rows) -> NDArray[np.int64]:
        """(D, 3) windows that were judged and taught nothing, in the order of `Missed`."""
        elsewhere, interrupted = self.learned[rows] - self.at_home[rows], self.interrupted[rows]
        taught = self.applied(rows) + self.waiting(rows)
        not_calm = self.judged[rows] - taught - elsewhere - interrupted
        return np.stack((not_calm, elsewhere, interrupted), 1)

    def interrupt(self, rows: Rows) -> None:
        """What waits to count is thrown away, for nobody knows what it was the beginning of."""
        self.interrupted[rows] += self.waiting(rows)
        self.pending[rows] = 0

    def begin_anew(self, rows: Rows, t: NDArray[np.int64], *, renewed: bool = False) -> None:
        """Windows are counted from `t` (D,) on."""
        self.begun_t[rows], self.renewed[rows] = t, renewed
        for column in (self.judged, self.learned, self.at_home, self.interrupted):
            column[rows] = 0

    def unlearn(self, rows: Rows) -> None:
        """Nothing of what these devices taught counts any longer."""
        for column in (self.seen, self.mean, self.square, self.bias):
            column[rows] = 0

    def move_home(self, rows: Rows) -> None:
        """Elsewhere is where these devices mostly are; what was learned at home says nothing of it."""
        self.home[rows] = self.other[rows]
        self.unlearn(rows)
        for column in (self.pending, self.at_home, self.interrupted):
            column[rows] = 0


def lifted(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The columns of a snapshot, also of one from before it was counted what windows missed.

    Those that were not calm had not been counted; the calm ones that taught nothing are said to have been elsewhere,
    as most of them were.
    """
    columns = dict(arrays)
    if "judged" not in columns and {"learned", "seen", "pending"} <= columns.keys():
        learned = columns["learned"]
        taught = _windows(columns["seen"]) + _windows(columns["pending"][:, :, COUNT].sum(1))
        columns |= {"judged": learned, "at_home": np.minimum(taught, learned), "interrupted": learned * 0}
    return columns


def _windows(counts: Array) -> NDArray[np.int64]:
    """(D, C) windows that each channel was told of → (D,) of the channel that was told of most often."""
    windows: NDArray[np.int64] = counts.max(1).astype(np.int64)
    return windows
