"""Recognises a device clock that was set back: an hour, or to 1970 after a reboot. Knows only samples' times.

Samples of such a clock are late at first. After `RESET_SAMPLES` late samples that advance, with no good one
between them, over `RESET_MS` of device time, the device starts anew on its new clock. `RESET_SURE_MS` is enough
where they can't be old data sent again: the sender's numbers go on from its newest sample, or the time lies
before the device's first sample. Late samples whose numbers say that they are old data (a buffer that is sent
after a loss of Wi-Fi, a repeated batch) are never taken for a new clock.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.alignment import Mask, Samples, Times
from streams.devices import DeviceProfile
from streams.slots import Column, Groups, SlotTable

RESET_SAMPLES = 8
RESET_SURE_MS = 60_000
RESET_MS = 600_000

UNSEEN = int(np.iinfo(np.int64).min)
"""Device time of a device without a sample."""

Index = NDArray[np.int64]

CLOCK_COLUMNS = {
    "newest": Column((), np.int64, UNSEEN),
    "newest_seq": Column((), np.int64, -1),
    "first_t": Column((), np.int64, UNSEEN),
    "late_count": Column((), np.int64, 0),  # the run of late samples: advances in it, …
    "late_start": Column((), np.int64, 0),  # … its first time, …
    "late_top": Column((), np.int64, 0),  # … its newest …
    "late_last": Column((), np.int64, 0),  # … and its latest arrived
}
"""The arrays that `DeviceClocks` needs."""


class _Runs(NamedTuple):
    """The run of late samples to which each of E late samples belongs, up to that sample."""

    advances: Times
    start: Times
    top: Times


class DeviceClocks:
    """The newest time of every device, and the runs of late samples."""

    def __init__(self, profile: DeviceProfile, table: SlotTable) -> None:
        self._table = table
        fastest = min(channel.period_ms for channel in profile.channels)
        # Late samples farther apart than this are no run; a slow device needs room for its period.
        self._step_ms = max(RESET_MS, 4 * fastest)

    def newest(self, t: Times, groups: Groups) -> tuple[Times, Times]:
        """(N,) the device's newest time with each sample and before it (`UNSEEN` before a device's first)."""
        seed = self._table["newest"][groups.slot]
        newest = groups.running_max(t, np.where(seed == UNSEEN, t[groups.start], seed))
        return newest, groups.shifted(newest, seed)

    def advance(self, samples: Samples, newest: Times, before: Times, groups: Groups, cut: Index) -> None:
        """Take over the newest times; `cut`: (G,) the first sample of each group that isn't judged yet."""
        some = np.flatnonzero(cut > groups.start)
        slot, last = groups.slot[some], cut[some] - 1
        self._table["first_t"][slot] = self._first_t(samples.t, groups)[some]
        self._table["newest_seq"][slot] = self._newest_seq(samples, before, groups)[last]
        self._table["newest"][slot] = newest[last]

    def forget(self, slots: Index) -> None:
        """The devices of `slots` start anew."""
        self._table.clear(slots, CLOCK_COLUMNS)

    def follow_late(
        self, samples: Samples, before: Times, late: Mask, accepted: Mask, groups: Groups
    ) -> Index:
        """Follow the runs of late samples; (G,) the sample at which a device starts anew, or the group's end."""
        cut = groups.end.copy()
        found = np.flatnonzero(late & ~self._old(samples, before, groups))
        ended = groups.slot[groups.any(accepted)]
        if not found.size:
            self._table["late_count"][ended] = 0
            return cut
        runs = self._runs(samples.t[found], found, accepted, groups)
        span = np.where(self._sure(samples, before, groups)[found], RESET_SURE_MS, RESET_MS)
        hit = found[(runs.advances >= RESET_SAMPLES) & (runs.top - runs.start >= span)]
        np.minimum.at(cut, groups.of[hit], hit)
        self._table["late_count"][ended] = 0
        self._save(runs, samples.t[found], found, accepted, groups)
        return cut

    def _first_t(self, t: Times, groups: Groups) -> Times:
        """(G,) time of the device's first sample."""
        known = self._table["first_t"][groups.slot]
        return np.where(known == UNSEEN, t[groups.start], known)

    def _newest_seq(self, samples: Samples, before: Times, groups: Groups) -> Times:
        """(N,) number of the device's newest sample once that sample has arrived, -1 where it has none."""
        leads = samples.t > before
        if leads.all():
            return samples.seq
        leader = np.maximum.accumulate(np.where(leads, np.arange(len(before)), -1))
        known = self._table["newest_seq"][groups.slot][groups.of]
        return np.where(leader >= groups.start[groups.of], samples.seq[leader], known)

    def _sure(self, samples: Samples, before: Times, groups: Groups) -> Mask:
        """(N,) where a late sample can't be old data sent again."""
        number = self._newest_seq(samples, before, groups)
        sure: Mask = (number >= 0) & (samples.seq > number)
        sure |= samples.t < self._first_t(samples.t, groups)[groups.of]
        return sure

    def _old(self, samples: Samples, before: Times, groups: Groups) -> Mask:
        """(N,) where a late sample is old data by its number."""
        number = self._newest_seq(samples, before, groups)
        old: Mask = (number >= 0) & (samples.seq >= 0) & ~self._sure(samples, before, groups)
        return old

    def _runs(self, t: Times, found: Index, accepted: Mask, groups: Groups) -> _Runs:
        """Sort the late samples `found` at times `t` into runs, the first of a group into the run so far."""
        group = groups.of[found]
        slot = groups.slot[group]
        good = groups.counted(accepted)[found]
        first = np.append(True, group[1:] != group[:-1])
        fresh = np.append(True, good[1:] != good[:-1])
        fresh[first] = (self._table["late_count"][slot[first]] == 0) | (good[first] > 0)
        latest = np.append(0, t[:-1])
        latest[first] = self._table["late_last"][slot[first]]
        fresh |= np.abs(t - latest) > self._step_ms
        run = Groups(np.cumsum(fresh | first))
        goes_on, slot, t_head = ~fresh[run.start], slot[run.start], t[run.start]
        top_before = np.where(goes_on, self._table["late_top"][slot], t_head)
        start = np.where(goes_on, self._table["late_start"][slot], t_head)
        count = np.where(goes_on, self._table["late_count"][slot], 1)
        top = run.running_max(t, top_before)
        advances = t > run.shifted(top, top_before)
        return _Runs(run.counted(advances) + advances + count[run.of], start[run.of], top)

    def _save(self, runs: _Runs, t: Times, found: Index, accepted: Mask, groups: Groups) -> None:
        """Keep the runs that no good sample has ended."""
        group = groups.of[found]
        last = np.flatnonzero(np.append(group[1:] != group[:-1], True))
        total = np.add.reduceat(accepted, groups.start, dtype=np.int64)
        last = last[total[group[last]] == groups.counted(accepted)[found[last]]]
        slot = groups.slot[group[last]]
        self._table["late_count"][slot] = runs.advances[last]
        self._table["late_start"][slot] = runs.start[last]
        self._table["late_top"][slot] = runs.top[last]
        self._table["late_last"][slot] = t[last]
