"""Columns over devices that grow, and batches cut into rounds in which no device occurs twice. Decides nothing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

NEVER: Final = int(np.iinfo(np.int64).min)
_T = TypeVar("_T", bound=np.generic)


def rounds(rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Positions of the first window of each device, then of the second, and so on."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(rows) else np.zeros(0, np.intp)
    rank = np.arange(len(rows)) - np.repeat(first, np.diff(np.r_[first, len(rows)]))
    for turn in range(int(rank.max()) + 1 if len(rows) else 0):
        yield np.sort(order[rank == turn])


def enlarge(array: NDArray[_T], size: int, filler: int) -> NDArray[_T]:
    """A longer copy along the first axis, filled up with `filler`."""
    larger = np.full((size, *array.shape[1:]), filler, array.dtype)
    larger[: len(array)] = array
    return larger


class DeviceColumns:
    """D devices and what is known of each, in columns that are longer than that and grow by doubling.

    A subclass sets its columns, each an array with a row a device, and is created without any.
    """

    def __init__(self, fillers: Mapping[str, int]) -> None:
        """`fillers`: name of every column → what it says of a device of which nothing is known yet."""
        self.devices: list[str] = []
        self.row: dict[str, int] = {}
        self._fillers = dict(fillers)
        self._room = 0

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
        if len(self) > self._room:
            self._room = max(16, 2 * self._room, len(self))
            for name, filler in self._fillers.items():
                setattr(self, name, enlarge(getattr(self, name), self._room, filler))

    def remove(self, row: int) -> bool:
        """Watch this one no longer; True if the last device has moved into its row."""
        last = len(self) - 1
        del self.row[self.devices[row]]
        moved = row != last
        if moved:
            self.devices[row] = self.devices[last]
            self.row[self.devices[row]] = row
        self.devices.pop()
        for name, filler in self._fillers.items():
            column = getattr(self, name)
            column[row], column[last] = column[last], filler
        return moved

    def forget(self, devices: Sequence[str]) -> None:
        """Know nothing of these devices any longer; those that are not watched are passed over."""
        for row in sorted((self.row[device] for device in devices if device in self.row), reverse=True):
            self.remove(row)
