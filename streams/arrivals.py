"""Which arriving samples count: not the late, the repeated and those from the future.

Every verdict follows from the samples of the device so far, in the order of arrival, and from `now_ms`; where a
poll is cut changes nothing. Knows nothing about cells and windows.

- *late*: older than the device's newest sample by more than `lateness_ms`, or before 1970. Dropped.
- *duplicate*: same time, number and readings as one of the device's last samples. Dropped.
- *future*: more than `FUTURE_MS` ahead of `now_ms`. Dropped, and the device's newest sample stays what it was. A
  clock that is set forward by more than that is unusable until it is mended; by less it makes a gap.
- *clock reset*: a clock that was set back starts the device anew, see `streams.clocks`.
"""

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from streams.alignment import Samples, Times
from streams.clocks import CLOCK_COLUMNS, UNSEEN, DeviceClocks
from streams.devices import DeviceProfile
from streams.duplicates import SampleMemory, memory_columns
from streams.slots import Column, Groups, Slots, SlotTable

FUTURE_MS = 300_000

Index = NDArray[np.int64]


class SampleOutcome(StrEnum):
    """What became of a sample; also a metric's label. Four kinds count something else than samples, as said."""

    ACCEPTED = "accepted"
    LATE = "late"
    DUPLICATE = "duplicate"
    FUTURE = "future"
    OUT_OF_RANGE = "out_of_range"
    """Counts readings of accepted samples that are masked because no working sensor gives them."""
    GAP = "gap"
    """Counts devices that came back after more than a window of nothing, and start anew."""
    CLOCK_RESET = "clock_reset"
    """Counts devices whose clock was set back, and that start anew."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What counts among the samples that were judged."""

    accepted: Index
    """(A,) the samples that count."""
    newest: Times
    """(A,) the device's newest time once that sample has arrived."""
    reset: Slots
    """Slots whose device starts anew: after the accepted samples, close and clear what you keep of them."""
    again: Index
    """Samples of those slots that are to be judged after that."""


def arrival_columns(profile: DeviceProfile) -> dict[str, Column]:
    """The arrays that `Arrivals` needs."""
    return CLOCK_COLUMNS | memory_columns(profile)


class Arrivals:
    """Judges samples of many devices at once; what it remembers stands in a `SlotTable`."""

    def __init__(self, profile: DeviceProfile, table: SlotTable) -> None:
        self._lateness_ms = profile.lateness_ms
        self._clocks = DeviceClocks(profile, table)
        self._memory = SampleMemory(profile, table)

    def judge(self, samples: Samples, now_ms: int, counts: Counter[SampleOutcome]) -> Verdict:
        """Judge samples, remember those that count, and count those that don't."""
        timely = (samples.t >= 0) & (samples.t <= now_ms + FUTURE_MS)
        if timely.all():
            return self._judge(samples, counts)
        future = int(np.count_nonzero(samples.t > now_ms + FUTURE_MS))
        counts[SampleOutcome.FUTURE] += future
        counts[SampleOutcome.LATE] += int(np.count_nonzero(~timely)) - future
        index = np.flatnonzero(timely)
        verdict = self._judge(samples.take(index), counts)
        return replace(verdict, accepted=index[verdict.accepted], again=index[verdict.again])

    def _judge(self, samples: Samples, counts: Counter[SampleOutcome]) -> Verdict:
        if not len(samples.t):
            nothing = np.zeros(0, np.int64)
            return Verdict(nothing, nothing, nothing, nothing)
        groups = Groups(samples.slot)
        newest, before = self._clocks.newest(samples.t, groups)
        late = (samples.t < before - self._lateness_ms) & (before != UNSEEN)
        ranks = self._memory.ranks(~late, groups)
        prints = self._memory.fingerprints(samples)
        # A sample that advances its device's clock can't be a repetition, so an orderly stream costs little.
        duplicate = self._memory.duplicates(~late & (samples.t <= before), ~late, ranks, prints, groups)
        accepted = ~(late | duplicate)
        cut = self._clocks.follow_late(samples, before, late, accepted, groups)
        now = np.arange(len(late)) < cut[groups.of]
        self._clocks.advance(samples, newest, before, groups, cut)
        self._memory.remember(~late & now, ranks, prints, groups)
        reset = groups.slot[cut < groups.end]
        self._clocks.forget(reset)
        self._memory.forget(reset)
        counts[SampleOutcome.LATE] += int(np.count_nonzero(late & now))
        counts[SampleOutcome.DUPLICATE] += int(np.count_nonzero(duplicate & now))
        counts[SampleOutcome.CLOCK_RESET] += len(reset)
        index = np.flatnonzero(accepted & now)
        return Verdict(index, newest[index], reset, np.flatnonzero(~now))
