"""Columns over devices that grow, and batches cut into rounds in which no device occurs twice. Decides nothing."""

from collections.abc import Iterator
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
