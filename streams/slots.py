"""Preallocated arrays with one entry a device: who sits in which slot, growth, reuse, dump and load.

Knows nothing about what the arrays mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

Slots = NDArray[np.int64]


class Column(NamedTuple):
    """One array of a `SlotTable`: `shape` of one entry, and the value that an empty entry holds."""

    shape: tuple[int, ...]
    dtype: DTypeLike
    empty: float | int | bool


class SlotTable:
    """Named arrays whose first axis is the slot of a device. Capacity doubles; freed slots are used again."""

    def __init__(self, columns: Mapping[str, Column], capacity: int) -> None:
        self._columns = dict(columns)
        self._capacity = max(int(capacity), 1)
        self._slot: dict[str, int] = {}
        self._free: list[int] = []
        self._ids: list[str] = []  # by slot; an old one where the slot is free
        self.arrays: dict[str, NDArray[Any]] = {
            name: np.full((self._capacity, *column.shape), column.empty, column.dtype)
            for name, column in self._columns.items()
        }

    def __len__(self) -> int:
        return len(self._slot)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    @property
    def capacity(self) -> int:
        """Slots allocated."""
        return self._capacity

    @property
    def devices(self) -> list[str]:
        """Ids of the devices that have a slot, in the order in which they came."""
        return list(self._slot)

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of array that one slot takes."""
        return sum(array.nbytes for array in self.arrays.values()) // self._capacity

    def slots(self, devices: Sequence[str]) -> Slots:
        """The slots of `devices`; a device that has none gets an empty one."""
        found = np.fromiter(map(self._slot.get, devices, repeat(-1)), np.int64, len(devices))
        for index in np.flatnonzero(found < 0).tolist():
            found[index] = self._seat(devices[index])
        return found

    def items(self) -> list[tuple[str, int]]:
        """Every device with its slot."""
        return list(self._slot.items())

    def names(self, slots: Slots) -> list[str]:
        """The devices that sit in `slots`; none of these may be free."""
        return [self._ids[slot] for slot in slots.tolist()]

    def clear(self, slots: Slots, names: Iterable[str] | None = None) -> None:
        """Set the entries of `slots` to empty, in all arrays or in those of `names`."""
        for name in self.arrays if names is None else names:
            self.arrays[name][slots] = self._columns[name].empty

    def free(self, devices: Sequence[str]) -> None:
        """Give the slots of `devices` back."""
        gone = [self._slot.pop(device) for device in devices]
        self._free.extend(gone)
        self.clear(np.asarray(gone, np.int64))

    def dump(self) -> dict[str, NDArray[Any]]:
        """Copies of all arrays, in the order of `devices`."""
        slots = np.fromiter(self._slot.values(), np.int64, len(self._slot))
        return {name: array[slots] for name, array in self.arrays.items()}

    def load(self, devices: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Seat `devices` in an empty table and fill their entries with `arrays` of `dump`.

        Raises:
            ValueError: the arrays are not those of this table.
        """
        if set(arrays) != set(self.arrays):
            raise ValueError(f"arrays {sorted(set(arrays) ^ set(self.arrays))} are missing or unknown")
        for name, array in arrays.items():
            column = self._columns[name]
            wanted = (len(devices), *column.shape)
            if array.shape != wanted or array.dtype != np.dtype(column.dtype):
                raise ValueError(f"array {name} is {array.dtype}{array.shape}, not {column.dtype}{wanted}")
        slots = self.slots(devices)
        for name, array in arrays.items():
            self.arrays[name][slots] = array

    def _seat(self, device: str) -> int:
        slot = self._slot.get(device)
        if slot is None:
            slot = self._free.pop() if self._free else self._append()
            self._slot[device] = slot
            self._ids[slot] = device
        return slot

    def _append(self) -> int:
        self._ids.append("")
        if len(self._ids) > self._capacity:
            self._grow()
        return len(self._ids) - 1

    def _grow(self) -> None:
        for name, column in self._columns.items():
            more = np.full((self._capacity, *column.shape), column.empty, column.dtype)
            self.arrays[name] = np.concatenate([self.arrays[name], more])
        self._capacity *= 2


class Groups:
    """N items sorted by slot, as G groups of one slot each."""

    def __init__(self, slot: Slots) -> None:
        first = np.flatnonzero(np.append(True, slot[1:] != slot[:-1])) if len(slot) else np.zeros(0, np.int64)
        self.start = first
        """(G,) index of the group's first item."""
        self.end = np.append(first[1:], len(slot))[: len(first)]
        """(G,) index after the group's last item."""
        self.slot: Slots = slot[first]
        """(G,) slot of the group."""
        self.of = np.repeat(np.arange(len(first)), self.end - first)
        """(N,) group of the item."""

    def counted(self, flags: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(N,) how many flags are set in the item's group before the item."""
        total: NDArray[np.int64] = np.cumsum(flags) - flags
        before: NDArray[np.int64] = total - total[self.start][self.of]
        return before

    def any(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(G,) whether a flag is set in the group."""
        found: NDArray[np.bool_] = np.logical_or.reduceat(flags, self.start)
        return found

    def shifted(self, values: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) each item's predecessor's value; `first`: (G,) the value before the group's first item."""
        before = np.empty_like(values)
        before[1:] = values[:-1]
        before[self.start] = first
        return before

    def running_max(self, values: NDArray[np.int64], seed: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) the largest of `seed` (G,), the item's value and those before it in the group."""
        rise = np.maximum(values - seed[self.of], 0)
        # A step between groups that no rise can reach lets one accumulation serve them all.
        step = self.of * (int(rise.max(initial=0)) + 1)
        highest: NDArray[np.int64] = np.maximum.accumulate(rise + step) - step + seed[self.of]
        return highest
