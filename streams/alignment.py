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
EMPTY, SINGLE, MANY = 0, 1, 2
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
        "cell_state": Column((rows,), np.uint8, EMPTY),
        "cell_single": Column((rows, channels), np.float32, np.nan),
        "cell_total": Column((rows, channels), np.float64, 0.0),
        "cell_count": Column((rows, channels), np.int32, 0),
        "cell_last_t": Column((rows, last), np.int64, 0),
        "cell_last_seq": Column((rows, last), np.int64, 0),
    }


class OpenCells:
    """Cells that still take readings: `rows` consecutive rows a slot, addressed by row modulo `rows`.

    Most cells get one sample: it is kept as it is in `cell_single`. With the second it moves to `cell_total` and
    `cell_count`, whose quotient is the cell's value; a channel that is not averaged keeps a count of 0 or 1. Sums
    are float64 and grow in the order of arrival, so the result doesn't depend on where polls are cut. The arrays
    of a state that a cell isn't in hold leftovers.
    """

    def __init__(self, combine: Combine, table: SlotTable, rows: int) -> None:
        self._combine = combine
        self._table = table
        self._rows = rows
        self._channels = table["cell_total"].shape[-1]

    def add(self, samples: Samples, row: Times, usable: Mask) -> None:
        """Put samples into their cells. `row`: (N,) absolute rows, in reach of the ring for every slot."""
        cell = samples.slot * self._rows + row % self._rows
        values = samples.values
        if not usable.all():
            values = np.where(usable, values, np.float32(np.nan))
        readings = _Readings(cell, samples.t, samples.seq, values)
        turns = _turns(samples.slot, row)
        if turns is None:
            self._add_once(readings)
        elif len(turns) <= _MOST_TURNS:
            for turn in turns:
                self._add_once(readings.take(turn))
        else:
            self._add_many(readings)

    def close(self, slot: Slots, row: Times) -> Values:
        """(N, C) the combined readings of cells, NaN without one; the cells are empty afterwards."""
        cell = slot * self._rows + row % self._rows
        states = self._flat("cell_state")
        state = states[cell]
        closed: Values = self._flat("cell_single").take(cell, axis=0)
        if self._combine.rms.size:
            closed[:, self._combine.rms] = np.abs(closed[:, self._combine.rms])
        if (state != SINGLE).any():
            closed[state == EMPTY] = np.nan
            many = np.flatnonzero(state == MANY)
            closed[many] = self._combined(cell[many])
        states[cell] = EMPTY
        return closed

    @staticmethod
    def blank_leftovers(dump: dict[str, NDArray[Any]]) -> None:
        """Clear, in a dump of the table, what says nothing: the same state is the same bytes, and small ones."""
        state = dump["cell_state"]
        dump["cell_single"][state != SINGLE] = np.nan
        for name in ("cell_total", "cell_count"):
            dump[name][state != MANY] = 0
        for name in ("cell_last_t", "cell_last_seq"):
            dump[name][state == EMPTY] = 0

    def _combined(self, cell: Slots) -> NDArray[np.float64]:
        total, count = (
            self._flat("cell_total").take(cell, axis=0),
            self._flat("cell_count").take(cell, axis=0),
        )
        combined: NDArray[np.float64] = total / np.maximum(count, 1)
        combined[count == 0] = np.nan  # not 0 / 0, which is a NaN of other bits
        combined[:, self._combine.rms] = np.sqrt(combined[:, self._combine.rms])
        return combined

    def _flat(self, name: str) -> NDArray[Any]:
        array = self._table[name]
        return array.reshape(-1, *array.shape[2:])

    def _add_once(self, readings: "_Readings") -> None:
        """Every cell occurs once."""
        state = self._flat("cell_state")[readings.cell]
        if not state.any():
            self._begin(readings)
        elif state.all():
            self._merge(readings, state)
        else:
            self._begin(readings.take(state == EMPTY))
            known = np.flatnonzero(state)
            self._merge(readings.take(known), state[known])

    def _begin(self, readings: "_Readings") -> None:
        cell, t, seq, values = readings
        self._flat("cell_state")[cell] = SINGLE
        self._flat("cell_single")[cell] = values
        if self._combine.last.size:
            self._flat("cell_last_t")[cell] = t[:, None]
            self._flat("cell_last_seq")[cell] = seq[:, None]

    def _merge(self, readings: "_Readings", state: NDArray[np.uint8]) -> None:
        cell, t, seq, values = readings
        self._spread(cell[state == SINGLE])
        totals, counts = self._flat("cell_total"), self._flat("cell_count")
        before, count = totals.take(cell, axis=0), counts.take(cell, axis=0)
        usable, new = ~np.isnan(values), self._summand(values)
        total, many = before + new, count + usable
        columns = self._combine.max
        if columns.size:
            none, first = ~usable[:, columns], count[:, columns] == 0
            larger = np.where(first, new[:, columns], np.maximum(before[:, columns], new[:, columns]))
            total[:, columns] = np.where(none, before[:, columns], larger)
            many[:, columns] = ~(none & first)
        columns = self._combine.last
        if columns.size:
            held = count[:, columns] > 0
            newer = self._newer(cell, t, seq, usable[:, columns], held)
            total[:, columns] = np.where(newer, new[:, columns], before[:, columns])
            many[:, columns] = newer | held
        totals[cell] = total
        counts[cell] = many

    def _spread(self, cell: Slots) -> None:
        """Move single samples to where several can be combined."""
        if not cell.size:
            return
        single = self._flat("cell_single").take(cell, axis=0)
        self._flat("cell_total")[cell] = self._summand(single)
        self._flat("cell_count")[cell] = ~np.isnan(single)
        self._flat("cell_state")[cell] = MANY

    def _summand(self, values: Values) -> NDArray[np.float64]:
        """(N, C) what a sample adds to the total: 0 where it says nothing."""
        summand = np.where(np.isnan(values), np.float32(0), values).astype(np.float64)
        summand[:, self._combine.rms] **= 2
        return summand

    def _newer(self, cell: Slots, t: Times, seq: Times, usable: Mask, held: Mask) -> Mask:
        """Where a reading replaces the one held: later by device time, then by number, then by arrival."""
        times, seqs = self._flat("cell_last_t"), self._flat("cell_last_seq")
        old_t, old_seq = times.take(cell, axis=0), seqs.take(cell, axis=0)
        t, seq = t[:, None], seq[:, None]
        newer: Mask = usable & (~held | (t > old_t) | ((t == old_t) & (seq >= old_seq)))
        times[cell] = np.where(newer, t, old_t)
        seqs[cell] = np.where(newer, seq, old_seq)
        return newer

    def _add_many(self, readings: "_Readings") -> None:
        """Cells occur many times: reading by reading, in the order of arrival."""
        states = self._flat("cell_state")
        cells = np.unique(readings.cell)
        new = cells[states[cells] == EMPTY]
        self._begin(
            _Readings(
                new, np.zeros_like(new), np.zeros_like(new), np.full((new.size, self._channels), np.nan)
            )
        )
        self._spread(cells[states[cells] == SINGLE])
        usable, values = ~np.isnan(readings.values), self._summand(readings.values)
        for columns, at in ((self._combine.sum, self._sum_at), (self._combine.max, self._max_at)):
            sample, column = np.nonzero(usable[:, columns])
            at(readings.cell[sample] * self._channels + columns[column], values[sample, columns[column]])
        if self._combine.last.size:
            self._last_at(readings)

    def _sum_at(self, index: Slots, values: NDArray[np.float64]) -> None:
        np.add.at(self._table["cell_total"].reshape(-1), index, values)
        np.add.at(self._table["cell_count"].reshape(-1), index, np.int32(1))

    def _max_at(self, index: Slots, values: NDArray[np.float64]) -> None:
        total, count = self._table["cell_total"].reshape(-1), self._table["cell_count"].reshape(-1)
        total[index[count[index] == 0]] = -np.inf
        np.maximum.at(total, index, values)
        count[index] = 1

    def _last_at(self, readings: "_Readings") -> None:
        """Sorted by cell, time and number, the reading that counts is the last of its cell."""
        order = np.lexsort((readings.seq, readings.t, readings.cell))
        for column in self._combine.last:
            some = order[~np.isnan(readings.values[order, column])]
            ends = np.append(readings.cell[some][1:] != readings.cell[some][:-1], True)[: some.size]
            latest = readings.take(some[ends])
            only = np.full_like(latest.values, np.nan)
            only[:, column] = latest.values[:, column]
            self._merge(latest._replace(values=only), np.full(len(only), MANY, np.uint8))


class _Readings(NamedTuple):
    """Samples by cell; values are NaN where there is no plausible reading."""

    cell: Slots
    t: Times
    seq: Times
    values: Values

    def take(self, index: NDArray[np.intp] | Mask) -> "_Readings":
        return _Readings(self.cell[index], self.t[index], self.seq[index], self.values[index])


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
