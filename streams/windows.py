"""Per-device windows over a stream: grid rows become final, windows come due, state is saved and restored.

Knows nothing about bytes, brokers and models. One `WindowStore` serves the devices of one type on one partition.

A row is final once the device's newest sample is `lateness_ms` past its end; nothing that arrives later can change
it. A window ends at every row boundary whose absolute number is a multiple of `stride_rows`, so that a replay
from another start cuts the same windows. It is due once its last row is final, if the device has `min_rows` rows
by then and at least one reading stands in it. None is skipped, however many rows one poll makes final, and where
polls are cut changes no bit.

A device that comes back after more than a window of nothing starts anew, and so does one whose clock was set back:
its last rows are given out, then its rows are empty again and count from one.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.alignment import Combine, Mask, OpenCells, Samples, Times, Values, open_cell_columns
from streams.arrivals import Arrivals, SampleOutcome, arrival_columns
from streams.blocks import SampleBlock, WindowBatch
from streams.clocks import UNSEEN
from streams.devices import DeviceProfile
from streams.slots import Column, Groups, Slots, SlotTable
from streams.snapshots import SnapshotError, layout, pack, unpack

__all__ = ["SampleOutcome", "SnapshotError", "WindowStore"]

_CHUNK = 1 << 15
"""Samples handled at once: bounds the memory of a large poll and keeps it in the cache."""
_BATCH = 256
"""Windows handed out together at most."""


class _Windows(NamedTuple):
    """Windows that came due together; the fields of `WindowBatch`."""

    devices: list[str]
    end_t: Times
    values: Values
    mask: Mask


class WindowStore:
    """Windows of the devices of one type on one partition.

    Args:
        profile: channels, grid, window.
        capacity: devices to make room for at first; doubles as needed.
    """

    def __init__(self, profile: DeviceProfile, capacity: int = 64) -> None:
        self.profile = profile
        self.counts: Counter[SampleOutcome] = Counter()
        self._late_rows = -(-profile.lateness_ms // profile.grid_ms)
        # Rows that a device reaches are taken in blocks of so many; with those that still may come late they
        # must fit into the open cells.
        self._block_rows = max(profile.stride_rows, min(8, profile.window_rows))
        self._gap_rows = max(profile.window_rows, self._late_rows + 2)
        open_rows = self._block_rows + self._late_rows
        self._table = SlotTable(
            arrival_columns(profile) | open_cell_columns(profile, open_rows) | _window_columns(profile),
            capacity,
        )
        self._arrivals = Arrivals(profile, self._table)
        self._combine = Combine(profile)
        self._cells = OpenCells(self._combine, self._table, open_rows)
        self._due: list[_Windows] = []

    def __len__(self) -> int:
        return len(self._table)

    @property
    def devices(self) -> list[str]:
        """Ids of the devices that have a place here."""
        return self._table.devices

    @property
    def capacity(self) -> int:
        """Devices that there is room for without growing."""
        return self._table.capacity

    @property
    def bytes_per_device(self) -> int:
        """Bytes of array that one device takes, whatever it sends."""
        return self._table.bytes_per_slot

    def last_seen(self) -> dict[str, int]:
        """By device: `now_ms` of the last push that held a sample of it, good or bad."""
        seen = self._table["seen"]
        return {device: int(seen[slot]) for device, slot in self._table.items()}

    def push(self, block: SampleBlock, now_ms: int) -> list[WindowBatch]:
        """Take samples in; the windows that came due by them.

        Args:
            block: samples of this type of device, in the order of arrival.
            now_ms: our clock, against which stamps from the future are told.

        Raises:
            ValueError: the block is of another profile.
        """
        if block.profile is not self.profile and layout(block.profile) != layout(self.profile):
            raise ValueError(
                f"a block of {block.profile.type} doesn't fit the windows of {self.profile.type}"
            )
        slots = self._table.slots(block.devices)
        self._table["seen"][slots] = now_ms
        for samples in _sorted(block, slots):
            self._take(samples, now_ms)
        due, self._due = self._due, []
        return list(self._batches(due))

    def filled_rows(self) -> dict[str, int]:
        """By device: rows since it was new, at most those of one window."""
        first, base = self._table["first_row"], self._table["base"]
        rows = self.profile.window_rows
        started = self._table["reached"] != UNSEEN
        return {
            device: min(max(int(base[slot] - first[slot]), 0), rows) if started[slot] else 0
            for device, slot in self._table.items()
        }

    def forget(self, devices: Sequence[str]) -> None:
        """Give these devices' places away; one that returns is new."""
        known = set(self._table.devices)
        self._table.free([device for device in devices if device in known])

    def evict(self, before_ms: int) -> list[str]:
        """Forget the devices whose last sample arrived before `before_ms` (by `now_ms`); their ids."""
        idle = [device for device, seen in self.last_seen().items() if seen < before_ms]
        self._table.free(idle)
        return idle

    def snapshot(self) -> bytes:
        """The whole state: what is restored from it goes on bit for bit like this store."""
        arrays = self._table.dump()
        self._cells.blank_leftovers(arrays)
        counts = {outcome.value: count for outcome, count in self.counts.items()}
        return pack(self.profile, self._table.devices, counts, arrays)

    @classmethod
    def restore(cls, profile: DeviceProfile, snapshot: bytes) -> "WindowStore":
        """The store of which `snapshot` was taken.

        Raises:
            SnapshotError: the bytes are no snapshot, or one of another version or profile.
        """
        saved = unpack(profile, snapshot)
        store = cls(profile, capacity=max(64, len(saved.devices)))
        store.counts.update({SampleOutcome(name): count for name, count in saved.counts.items()})
        try:
            store._table.load(saved.devices, saved.arrays())
        except (ValueError, TypeError) as error:
            raise SnapshotError(f"the snapshot of {profile.type} is damaged: {error}") from None
        return store

    def _take(self, samples: Samples, now_ms: int) -> None:
        while len(samples.t):
            verdict = self._arrivals.judge(samples, now_ms, self.counts)
            accepted = samples if len(verdict.accepted) == len(samples.t) else samples.take(verdict.accepted)
            self.counts[SampleOutcome.ACCEPTED] += len(accepted.t)
            if len(accepted.t):
                self._place(accepted, verdict.newest)
            self._end(verdict.reset)
            samples = samples.take(verdict.again)

    def _place(self, samples: Samples, newest: Times) -> None:
        """Put accepted samples into their cells, in rounds in which no device leaves its block of rows."""
        usable = self._combine.usable(samples.values)
        readings = samples.values.size - int(np.count_nonzero(np.isnan(samples.values)))
        self.counts[SampleOutcome.OUT_OF_RANGE] += readings - int(np.count_nonzero(usable))
        row, reached = samples.t // self.profile.grid_ms, newest // self.profile.grid_ms
        groups = Groups(samples.slot)
        for part in self._rounds(groups, reached):
            if part is None:
                self._place_round(samples, row, usable, newest, reached)
            else:
                self._place_round(samples.take(part), row[part], usable[part], newest[part], reached[part])
        self._advance(groups.slot, self._final(newest[groups.end - 1]))

    def _rounds(self, groups: Groups, reached: Times) -> list[NDArray[np.int64] | None]:
        """Index arrays of the rounds, in the order of arrival; None where one round takes all."""
        block = reached // self._block_rows
        enters = block != groups.shifted(block, block[groups.start])
        if not enters.any():
            return [None]
        number = groups.counted(enters) + enters
        order = np.argsort(number, kind="stable")
        return list(np.split(order, np.cumsum(np.bincount(number))[:-1]))

    def _place_round(self, samples: Samples, row: Times, usable: Mask, newest: Times, reached: Times) -> None:
        groups = Groups(samples.slot)
        self._make_room(groups.slot, newest[groups.start], reached[groups.start])
        self._cells.add(samples, row, usable)
        self._table["reached"][groups.slot] = reached[groups.end - 1]

    def _make_room(self, slot: Slots, newest: Times, reached: Times) -> None:
        """Before a device enters a block of rows: give out what becomes final by that, or let it start anew."""
        before = self._table["reached"][slot]
        starts = before == UNSEEN
        gap = ~starts & (reached - before > self._gap_rows)
        if gap.any():
            self.counts[SampleOutcome.GAP] += int(np.count_nonzero(gap))
            self._end(slot[gap])
            starts |= gap
        final = self._final(newest)
        if starts.any():
            self._table["base"][slot[starts]] = final[starts]
            self._table["first_row"][slot[starts]] = reached[starts]
        self._advance(slot[~starts], final[~starts])

    def _end(self, slot: Slots) -> None:
        """Give out all windows in which these devices' readings stand, and empty their rows."""
        if not len(slot):
            return
        rows = self._table["reached"][slot] + 1
        scored = rows - self._table["first_row"][slot] >= self.profile.min_rows
        scored &= rows > UNSEEN + 1
        self._advance(slot[scored], rows[scored] - 1 + self.profile.window_rows)
        self._table.clear(slot, ("cell_state", "ring", "reached", "base", "first_row"))

    def _final(self, newest: Times) -> Times:
        """Rows before this one are final."""
        final: Times = (newest - self.profile.lateness_ms) // self.profile.grid_ms
        return final

    def _advance(self, slot: Slots, target: Times) -> None:
        """Close the rows before `target`; give out the windows that come due on the way."""
        stride = self.profile.stride_rows
        while True:
            base = self._table["base"][slot]
            behind = base < target
            if not behind.all():
                slot, target, base = slot[behind], target[behind], base[behind]
            if not len(slot):
                return
            stop = np.minimum((base // stride + 1) * stride, target)
            self._close_rows(slot, base, stop - base)
            self._table["base"][slot] = stop
            due = (stop % stride == 0) & (stop - self._table["first_row"][slot] >= self.profile.min_rows)
            if due.any():
                self._gather(slot[due], stop[due])

    def _close_rows(self, slot: Slots, base: Times, rows: Times) -> None:
        """Move rows from the open cells into the rings."""
        slots = np.repeat(slot, rows)
        row = np.arange(len(slots)) + np.repeat(base - (np.cumsum(rows) - rows), rows)
        ring = self._table["ring"].reshape(-1, len(self.profile.channels))
        ring[slots * self.profile.window_rows + row % self.profile.window_rows] = self._cells.close(
            slots, row
        )

    def _gather(self, slot: Slots, stop: Times) -> None:
        """Copy the windows that end before row `stop`, but for those without a reading."""
        rows = self.profile.window_rows
        turn = stop % rows
        for oldest in np.unique(turn):
            some = np.flatnonzero(turn == oldest)
            # In small parts, as a large array comes fresh from the system and costs three times the copy.
            for part in np.array_split(some, -(-some.size // _BATCH)):
                ring = self._table["ring"].take(slot[part], axis=0)
                values = np.empty_like(ring)
                values[:, : rows - oldest] = ring[:, oldest:]
                values[:, rows - oldest :] = ring[:, :oldest]
                self._give_out(slot[part], stop[part], values)

    def _give_out(self, slot: Slots, stop: Times, values: Values) -> None:
        mask = ~np.isnan(values)
        full: Mask = np.asarray(mask[:, -1].any(axis=1))
        full[~full] = mask[~full].any(axis=(1, 2))
        if not full.all():
            slot, stop, values, mask = slot[full], stop[full], values[full], mask[full]
        if len(slot):
            devices = self._table.names(slot)
            self._due.append(_Windows(devices, stop * self.profile.grid_ms, values, mask))

    def _batches(self, due: list[_Windows]) -> Iterator[WindowBatch]:
        pending: list[_Windows] = []
        size = 0
        for windows in due:
            if size + len(windows.end_t) > _BATCH and pending:
                yield self._batch(pending)
                pending, size = [], 0
            pending.append(windows)
            size += len(windows.end_t)
        if pending:
            yield self._batch(pending)

    def _batch(self, parts: list[_Windows]) -> WindowBatch:
        if len(parts) == 1:
            return WindowBatch(self.profile, *parts[0])
        return WindowBatch(
            self.profile,
            [device for part in parts for device in part.devices],
            np.concatenate([part.end_t for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.mask for part in parts]),
        )


def _window_columns(profile: DeviceProfile) -> dict[str, Column]:
    return {
        "ring": Column((profile.window_rows, len(profile.channels)), np.float32, np.nan),
        "base": Column((), np.int64, 0),  # first row that isn't final; older rows are in the ring
        "first_row": Column((), np.int64, 0),  # the row with which the device started
        "reached": Column((), np.int64, UNSEEN),  # row of the newest sample
        "seen": Column((), np.int64, UNSEEN),
    }


def _sorted(block: SampleBlock, slots: Slots) -> Iterator[Samples]:
    """Chunks of a block, each sorted by device and then by arrival."""
    # Sorting 16-bit numbers is a radix sort, ten times as fast.
    device = block.device.astype(np.uint16) if len(slots) <= 1 << 16 else block.device
    values = np.ascontiguousarray(block.values, np.float32)
    for start in range(0, len(block), _CHUNK):
        part = slice(start, start + _CHUNK)
        samples = Samples(slots[device[part]], block.t[part], block.seq[part], values[part])
        if (device[part][1:] < device[part][:-1]).any():
            samples = samples.take(np.argsort(device[part], kind="stable"))
        yield samples
