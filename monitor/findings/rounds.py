"""Array steps of the judge: batches in rounds of distinct devices, columns that grow. Knows nothing of findings."""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

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
    """A copy of this size, the new places filled."""
    larger = np.full(size, filler, array.dtype)
    larger[: len(array)] = array
    return larger
