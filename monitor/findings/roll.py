"""The columns behind `silence.py`: devices of one partition and when each was last heard. Decides nothing."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.findings.columns import NEVER, enlarge

AWAKE, SILENT, WITH_SITE = 0, 1, 2


class Roll:
    """D devices; the arrays are longer than that and grow by doubling, the accessors cut them."""

    COLUMNS: Final = ("last", "origin", "after", "state", "since")

    def __init__(self, silent_after_ms: Mapping[str, int]) -> None:
        self._after_of_type = dict(silent_after_ms)
        self.devices: list[str] = []
        self.types: list[str] = []
        self.row: dict[str, int] = {}
        self._last = np.zeros(0, np.int64)
        self._origin = np.zeros(0, np.int64)
        self._after = np.zeros(0, np.int64)
        self._state = np.zeros(0, np.int8)
        self._since = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.devices)

    @property
    def last(self) -> NDArray[np.int64]:
        """(D,) when last heard."""
        return self._last[: len(self)]

    @property
    def origin(self) -> NDArray[np.int64]:
        """(D,) silence is not counted from before this, because nobody listened."""
        return self._origin[: len(self)]

    @property
    def state(self) -> NDArray[np.int8]:
        """(D,) AWAKE, SILENT or WITH_SITE."""
        return self._state[: len(self)]

    @property
    def since(self) -> NDArray[np.int64]:
        """(D,) when a silent device was last heard."""
        return self._since[: len(self)]

    def ages(self, now_ms: int) -> NDArray[np.float64]:
        """(D,) time unheard as a multiple of the time allowed."""
        return (now_ms - np.maximum(self.last, self.origin)) / self._after[: len(self)]

    def returned(self, state: int, now_ms: int) -> NDArray[np.intp]:
        """Rows in `state` that were heard since they fell into it, and still are."""
        return np.flatnonzero((self.state == state) & (self.last > self.since) & (self.ages(now_ms) <= 1))

    def fall(self, rows: NDArray[np.intp], state: int) -> None:
        """These devices are now SILENT or WITH_SITE."""
        self.state[rows] = state
        self.since[rows] = self.last[rows]

    def admit(self, devices: Sequence[str], types: Sequence[str]) -> None:
        """Watch more devices.

        Raises:
            KeyError: a device type whose `silent_after_ms` was not given.
        """
        after = [self._after_of_type[device_type] for device_type in types]
        start = len(self)
        self.devices.extend(devices)
        self.types.extend(types)
        self.row.update((device, start + i) for i, device in enumerate(devices))
        if len(self) > len(self._last):
            size = max(16, 2 * len(self._last), len(self))
            for name in self.COLUMNS:
                setattr(self, f"_{name}", enlarge(getattr(self, f"_{name}"), size, 0))
        self._after[start : len(self)] = after
        for column in (self._last, self._origin, self._since):
            column[start : len(self)] = NEVER

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Watch only these."""
        self.devices = [self.devices[row] for row in rows]
        self.types = [self.types[row] for row in rows]
        self.row = {device: row for row, device in enumerate(self.devices)}
        for name in self.COLUMNS:
            setattr(self, f"_{name}", getattr(self, f"_{name}")[rows])
