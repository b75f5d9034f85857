"""Memory of the samples that arrived last, to know one that arrives again. Knows nothing about lateness."""

import numpy as np
from numpy.typing import NDArray

from streams.alignment import Mask, Samples
from streams.devices import DeviceProfile
from streams.slots import Column, Groups, Slots, SlotTable

Prints = NDArray[np.uint64]
Ranks = NDArray[np.int64]

_COMPARED = 1 << 18
"""Fingerprints compared at once; bounds the memory that a poll full of repetitions takes."""


def memory_size(profile: DeviceProfile) -> int:
    """How many samples of a device are remembered: four times those that fit into the lateness."""
    fastest = min(channel.period_ms for channel in profile.channels)
    return min(max(4 * (profile.lateness_ms // fastest + 1) + 16, 32), 2048)


def memory_columns(profile: DeviceProfile) -> dict[str, Column]:
    """The arrays that `SampleMemory` needs."""
    return {
        "remembered": Column((), np.int64, 0),  # samples written so far; the rank of the next one
        "memory": Column((memory_size(profile),), np.uint64, 0),
    }


class SampleMemory:
    """The fingerprints of each device's last `memory_size` samples, in a ring by rank."""

    def __init__(self, profile: DeviceProfile, table: SlotTable) -> None:
        self._table = table
        self._size = memory_size(profile)
        weights = np.random.default_rng(0x5EED).integers(
            1 << 63, size=len(profile.channels) + 2, dtype=np.uint64
        )
        self._weights = weights * np.uint64(2) + np.uint64(1)

    def fingerprints(self, samples: Samples) -> Prints:
        """(N,) 64 bits of time, number and readings, bit for bit (a multilinear hash)."""
        weights = self._weights
        prints: Prints = samples.values.view(np.uint32).astype(np.uint64) @ weights[2:]
        prints += samples.t.view(np.uint64) * weights[0]
        prints += samples.seq.view(np.uint64) * weights[1]
        return prints

    def ranks(self, passed: Mask, groups: Groups) -> Ranks:
        """(N,) how many samples of the device will have been remembered before each, if `passed` are."""
        ranks: Ranks = groups.counted(passed) + self._table["remembered"][groups.slot][groups.of]
        return ranks

    def duplicates(self, possible: Mask, passed: Mask, ranks: Ranks, prints: Prints, groups: Groups) -> Mask:
        """(N,) where one of the `memory_size` samples before has the same fingerprint.

        Args:
            possible: samples that can be duplicates at all, a part of `passed`; the fewer, the faster.
            passed: samples that will be remembered, duplicates among them.
            ranks: of `ranks`.
            prints: of `fingerprints`.
            groups: the samples by device.
        """
        duplicate = np.zeros(len(possible), np.bool_)
        candidates = np.flatnonzero(possible)
        if not candidates.size:
            return duplicate
        for some in np.array_split(candidates, candidates.size * self._size // _COMPARED + 1):
            duplicate[some] = self._held(groups.slot[groups.of[some]], ranks[some], prints[some])
        concerned = np.zeros(len(groups.slot), np.bool_)
        concerned[groups.of[candidates]] = True
        index = np.flatnonzero(concerned[groups.of] & passed)
        index = index[np.lexsort((prints[index], groups.of[index]))]
        one, other = index[:-1], index[1:]
        same = (groups.of[one] == groups.of[other]) & (prints[one] == prints[other])
        same &= ranks[other] - ranks[one] <= self._size
        duplicate[other[same]] = True
        return duplicate

    def remember(self, passed: Mask, ranks: Ranks, prints: Prints, groups: Groups) -> None:
        """Write the fingerprints of the `passed` samples."""
        index = np.flatnonzero(passed)
        upto = self._table["remembered"][groups.slot] + np.add.reduceat(passed, groups.start, dtype=np.int64)
        self._table["remembered"][groups.slot] = upto
        index = index[ranks[index] >= upto[groups.of[index]] - self._size]
        slot = groups.slot[groups.of[index]]
        self._table["memory"][slot, ranks[index] % self._size] = prints[index]

    def forget(self, slots: Slots) -> None:
        """The devices of `slots` start anew."""
        self._table.clear(slots, ["remembered"])

    def _held(self, slot: Slots, rank: Ranks, prints: Prints) -> Mask:
        """Where the ring holds the fingerprint, and not from too long before."""
        found = np.zeros(len(slot), np.bool_)
        sample, place = np.nonzero(self._table["memory"][slot] == prints[:, None])
        latest = self._table["remembered"][slot[sample]] - 1
        held = latest - (latest - place) % self._size
        found[sample[(held >= 0) & (rank[sample] - held <= self._size)]] = True
        return found
