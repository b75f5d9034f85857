"""Irregular readings onto the device's grid: which cell a reading falls into, and how several become one.

A cell without a reading is masked, never filled in. Knows nothing about windows, arrival order or lateness.
Online (`OpenCells`, used by `streams.windows`) and offline (`to_grid`) are the same code, so a model is trained
on the cells that it will be given.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from streams.devices import DeviceProfile
from streams.slots import Column, Slots, SlotTable

Times = NDArray[np.int64]
Values = NDArray[np.float32]
Mask = NDArray[np.bool_]

_FLOAT32 = np.finfo(np.float32)
_MOST_TURNS = 6
"""With more readings than this in a cell, adding one by one (`ufunc.at`) is faster than cell by cell."""


class Samples(NamedTuple):
    """N samples, sorted by slot and in the order of arrival within a slot."""

    slot: Slots
    t: Times
    seq: Times
    values: Values

    def take(self, index: NDArray[np.intp] | Mask) -> "Samples":
        """The samples of `index`."""
        return Samples(self.slot[index], self.t[index], self.seq[index], self.values[index])


class Combine:
    """How the channels of a profile combine within a cell, as column numbers."""

    def __init__(self, profile: DeviceProfile) -> None:
        kinds = np.array([channel.combine for channel in profile.channels])
        self.rms = np.flatnonzero(kinds == "rms")
        self.max = np.flatnonzero(kinds == "max")
        self.last = np.flatnonzero(kinds == "last")
        self.sum = np.flatnonzero((kinds == "mean") | (kinds == "rms"))
        # An infinite bound is brought into float32, so that an infinite reading is out of range.
        bounds = np.array([(channel.low, channel.high) for channel in profile.channels])
        self.low, self.high = np.clip(bounds, _FLOAT32.min, _FLOAT32.max).astype(np.float32).T.copy()

    def usable(self, values: Values) -> Mask:
        """(N, C) True where there is a reading and it is physically plausible."""
        usable: Mask = (values >= self.low) & (values <= self.high)
        return usable


def open_cell_columns(profile: DeviceProfile, rows: int) -> dict[str, Column]:
    """The arrays that `OpenCells` of `rows` rows a slot needs."""
    channels = len(profile.channels)
    last = sum(channel.combine == "last" for channel in profile.channels)
    return {
        "cell_touched": Column((rows,), np.bool_, empty=False),
        "cell_total": Column((rows, channels), np.float64, 0.0),
        "cell_count": Column((rows, channels), np.int32, 0),
        "cell_last_t": Column((rows, last), np.int64, 0),
        "cell_last_seq": Column((rows, last), np.int64, 0),
    }


class OpenCells:
    """Cells that still take readings: `rows` consecutive rows a slot, addressed by row modulo `rows`.

    Sums are float64 and grow in the order of arrival, so the result doesn't depend on where polls are cut.
    `cell_total / cell_count` is the cell's value: a channel that is not averaged keeps a count of 0 or 1.
    An untouched cell's other arrays hold leftovers.
    """

    def __init__(self, combine: Combine, table: SlotTable, rows: int) -> None:
        self._combine = combine
        self._table = table
        self._rows = rows

    def add(self, samples: Samples, row: Times, usable: Mask) -> None:
        """Put samples into their cells. `row`: (N,) absolute rows, in reach of the ring for every slot."""
        cell = samples.slot * self._rows + row % self._rows
        values = np.where(usable, samples.values, np.float32(0)).astype(np.float64)
        values[:, self._combine.rms] **= 2
        turns = _turns(samples.slot, row)
        if turns is None:
            self._add_once(cell, samples.t, samples.seq, values, usable)
        elif len(turns) <= _MOST_TURNS:
            for turn in turns:
                self._add_once(cell[turn], samples.t[turn], samples.seq[turn], values[turn], usable[turn])
        else:
            self._add_many(cell, samples.t, samples.seq, values, usable)

    def close(self, slot: Slots, row: Times) -> Values:
        """(N, C) the combined readings of cells, NaN without one; the cells are empty afterwards."""
        cell = slot * self._rows + row % self._rows
        touched, total, count = self._flat("cell_touched"), self._flat("cell_total"), self._flat("cell_count")
        with np.errstate(invalid="ignore"):  # 0 / 0 is a cell without a reading: NaN
            combined = total.take(cell, axis=0) / count.take(cell, axis=0)
        if self._combine.rms.size:
            combined[:, self._combine.rms] = np.sqrt(combined[:, self._combine.rms])
        closed: Values = combined.astype(np.float32)
        closed[~touched[cell]] = np.nan
        touched[cell] = False
        return closed

    def _flat(self, name: str) -> NDArray[Any]:
        array = self._table[name]
        return array.reshape(-1, *array.shape[2:])

    def _add_once(self, cell: Slots, t: Times, seq: Times, values: NDArray[np.float64], usable: Mask) -> None:
        """Every cell occurs once."""
        touched = self._flat("cell_touched")
        known = touched[cell]
        if not known.any():
            self._begin(cell, t, seq, values, usable)
        elif known.all():
            self._merge(cell, t, seq, values, usable)
        else:
            new, old = np.flatnonzero(~known), np.flatnonzero(known)
            self._begin(cell[new], t[new], seq[new], values[new], usable[new])
            self._merge(cell[old], t[old], seq[old], values[old], usable[old])

    def _begin(self, cell: Slots, t: Times, seq: Times, values: NDArray[np.float64], usable: Mask) -> None:
        self._flat("cell_touched")[cell] = True
        self._flat("cell_total")[cell] = values
        self._flat("cell_count")[cell] = usable
        if self._combine.last.size:
            self._flat("cell_last_t")[cell] = t[:, None]
            self._flat("cell_last_seq")[cell] = seq[:, None]

    def _merge(self, cell: Slots, t: Times, seq: Times, values: NDArray[np.float64], usable: Mask) -> None:
        totals, counts = self._flat("cell_total"), self._flat("cell_count")
        before, count = totals.take(cell, axis=0), counts.take(cell, axis=0)
        total = before + values
        many = count + usable
        columns = self._combine.max
        if columns.size:
            none, first = ~usable[:, columns], count[:, columns] == 0
            old, new = before[:, columns], values[:, columns]
            total[:, columns] = np.where(none, old, np.where(first, new, np.maximum(old, new)))
            many[:, columns] = ~(none & first)
        columns = self._combine.last
        if columns.size:
            newer = self._newer(cell, t, seq, usable[:, columns], count[:, columns] > 0)
            total[:, columns] = np.where(newer, values[:, columns], before[:, columns])
            many[:, columns] = newer | (count[:, columns] > 0)
        totals[cell] = total
        counts[cell] = many

    def _newer(self, cell: Slots, t: Times, seq: Times, usable: Mask, held: Mask) -> Mask:
        """Where a reading replaces the one held: later by device time, then by number, then by arrival."""
        times, seqs = self._flat("cell_last_t"), self._flat("cell_last_seq")
        old_t, old_seq = times.take(cell, axis=0), seqs.take(cell, axis=0)
        t, seq = t[:, None], seq[:, None]
        newer: Mask = usable & (~held | (t > old_t) | ((t == old_t) & (seq >= old_seq)))
        times[cell] = np.where(newer, t, old_t)
        seqs[cell] = np.where(newer, seq, old_seq)
        return newer

    def _add_many(self, cell: Slots, t: Times, seq: Times, values: NDArray[np.float64], usable: Mask) -> None:
        """Cells occur many times: reading by reading, in the order of arrival."""
        touched = self._flat("cell_touched")
        fresh = np.unique(cell[~touched[cell]])
        if fresh.size:
            zeros = np.zeros((fresh.size, values.shape[1]))
            none = np.full(fresh.size, np.iinfo(np.int64).min)
            self._begin(fresh, none, none, zeros, zeros > 0)
        for columns, at in ((self._combine.sum, self._sum_at), (self._combine.max, self._max_at)):
            if columns.size:
                sample, column = np.nonzero(usable[:, columns])
                at(cell[sample] * values.shape[1] + columns[column], values[sample, columns[column]])
        if self._combine.last.size:
            self._last_at(cell, t, seq, values, usable)

    def _sum_at(self, index: Slots, values: NDArray[np.float64]) -> None:
        np.add.at(self._table["cell_total"].reshape(-1), index, values)
        np.add.at(self._table["cell_count"].reshape(-1), index, np.int32(1))

    def _max_at(self, index: Slots, values: NDArray[np.float64]) -> None:
        total, count = self._table["cell_total"].reshape(-1), self._table["cell_count"].reshape(-1)
        total[index[count[index] == 0]] = -np.inf
        np.maximum.at(total, index, values)
        count[index] = 1

    def _last_at(self, cell: Slots, t: Times, seq: Times, values: NDArray[np.float64], usable: Mask) -> None:
        """Sorted by cell, time and number, the reading that counts is the last of its cell."""
        order = np.lexsort((seq, t, cell))
        for column in self._combine.last:
            some = order[usable[order, column]]
            latest = (
                some[np.append(np.flatnonzero(np.diff(cell[some])), some.size - 1)] if some.size else some
            )
            only = np.zeros((latest.size, usable.shape[1]), np.bool_)
            only[:, column] = True
            self._merge(cell[latest], t[latest], seq[latest], np.where(only, values[latest], 0.0), only)


def _turns(slot: Slots, row: Times) -> list[NDArray[np.intp]] | None:
    """Index arrays in which every cell occurs at most once, in the order of arrival; None where one will do."""
    if len(row) < 2:
        return None
    same_slot, step = slot[1:] == slot[:-1], np.diff(row)
    order: NDArray[np.intp] | None = None
    if (same_slot & (step < 0)).any():
        order = np.lexsort((row, slot))
        slot, row = slot[order], row[order]
        same_slot, step = slot[1:] == slot[:-1], np.diff(row)
    again = same_slot & (step == 0)
    if not again.any():
        return None
    first = np.flatnonzero(np.append(True, ~again))
    turn = np.arange(len(row)) - np.repeat(first, np.diff(np.append(first, len(row))))
    by_turn = np.argsort(turn, kind="stable")
    parts = np.split(by_turn, np.cumsum(np.bincount(turn))[:-1])
    return parts if order is None else [order[part] for part in parts]


def to_grid(profile: DeviceProfile, t_ms: ArrayLike, values: ArrayLike) -> tuple[Times, Values, Mask]:
    """Samples of one device onto its grid: the cells that the online store makes of the same samples.

    Args:
        profile: the channels and the grid.
        t_ms: (N,) device time in ms since the epoch, rounded to whole ms; any order, all samples are used.
        values: (N, C), NaN where there is no reading.

    Returns:
        cells_end_ms (R,), values (R, C) float32 and mask (R, C), for every row from the first sample's to the
        last's; values are NaN exactly where mask is False.

    Raises:
        ValueError: shapes that don't fit each other or the profile.
    """
    t = np.rint(np.asarray(t_ms)).astype(np.int64)
    readings = np.ascontiguousarray(values, np.float32)
    if readings.shape != (len(t), len(profile.channels)):
        raise ValueError(f"values are {readings.shape}, not ({len(t)}, {len(profile.channels)})")
    if not len(t):
        return t, readings, np.zeros(readings.shape, np.bool_)
    row = t // profile.grid_ms
    start, rows = int(row.min()), int(row.max() - row.min()) + 1
    table = SlotTable(open_cell_columns(profile, rows), capacity=1)
    combine = Combine(profile)
    cells = OpenCells(combine, table, rows)
    samples = Samples(np.zeros(len(t), np.int64), t, np.full(len(t), -1, np.int64), readings)
    cells.add(samples, row, combine.usable(readings))
    every = np.arange(start, start + rows)
    combined = cells.close(np.zeros(rows, np.int64), every)
    return (every + 1) * profile.grid_ms, combined, ~np.isnan(combined)


def windows_of(values: Values, mask: Mask, rows: int, stride: int) -> tuple[Values, Mask]:
    """Cut (R, C) grid rows into training windows: (B, rows, C) values and mask, read-only views.

    B = floor((R - rows) / stride) + 1, or 0 where R < rows.
    """
    if values.shape != mask.shape or values.ndim != 2:
        raise ValueError(f"values {values.shape} and mask {mask.shape} must be equal and two-dimensional")
    if len(values) < rows:
        empty = (0, rows, values.shape[1])
        return np.empty(empty, np.float32), np.empty(empty, np.bool_)
    return (
        sliding_window_view(values, rows, axis=0)[::stride].swapaxes(1, 2),
        sliding_window_view(mask, rows, axis=0)[::stride].swapaxes(1, 2),
    )
