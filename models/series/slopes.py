"""Counters are watched by how fast they count: rows of readings → rows with a slope in place of every counter.

Letters: n rows, D devices, C channels, K of them counters.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Slopes:
    """Remembers of every device the last reading of its counters, and how many rows ago it fell: (D, 2 K)."""

    def __init__(self, counters: Sequence[int]) -> None:
        """`counters`: which of the channels."""
        self.counters = np.array(counters, np.intp)

    @property
    def width(self) -> int:
        """Numbers that it remembers of a device."""
        return 2 * len(self.counters)

    def unknown(self, devices: int) -> Floats:
        """Of devices that told no reading yet."""
        return np.full((devices, self.width), np.nan, np.float32)

    def apply(self, values: Floats, known: Floats) -> tuple[Floats, Floats]:
        """(n, D, C) rows in time order, NaN without a reading, and what is known of the devices → the rows with slopes
        a row, and what is known after them.

        A counter that was reset tells nothing where it was; nor does its first reading.
        """
        if not len(self.counters):
            return values, known
        readings, n = values[..., self.counters], len(values)
        last, age = np.split(known, 2, 1)
        at = np.where(np.isfinite(readings), np.arange(1, n + 1)[:, None, None], 0)
        newest = np.maximum.accumulate(at, 0)
        before = np.concatenate([np.zeros_like(newest[:1]), newest[:-1]])
        both = np.concatenate([last[None], readings])
        rows = np.arange(1, n + 1)[:, None, None] - np.where(before > 0, before, -np.nan_to_num(age))
        slope = (readings - np.take_along_axis(both, before, 0)) / rows
        told = values.copy()
        told[..., self.counters] = np.where(slope >= 0, slope, np.nan)
        end = newest[-1]
        left = np.take_along_axis(both, end[None], 0)[0]
        return told, np.concatenate([left, np.where(end > 0, n - end, age + n)], 1).astype(np.float32)
