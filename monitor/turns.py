"""Windows that came due together → turns, in which they can be scored at once. Scores and remembers nothing."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.blocks import WindowBatch


def in_turns(
    batches: Sequence[WindowBatch], moments: Sequence[NDArray[np.int64]], one_each: Sequence[bool]
) -> list[list[WindowBatch]]:
    """The same windows in the order in which they have to be scored; one turn where nothing speaks against it.

    Args:
        batches: windows, oldest first for each device.
        moments: for each batch (B,) a number that grows for a device where it needs a new turn.
        one_each: for each batch whether every window of a device needs a turn of its own.
    """
    if not batches:
        return []
    if all((n == moments[0][0]).all() for n in moments) and not _repeat(batches, one_each):
        return [list(batches)]
    at: dict[str, tuple[int, int]] = {}
    turns: dict[int, list[WindowBatch]] = defaultdict(list)
    for batch, numbers, alone in zip(batches, moments, one_each, strict=True):
        turn = np.zeros(len(batch), np.int64)
        for place, (device, moment) in enumerate(zip(batch.devices, numbers.tolist(), strict=True)):
            before, last = at.get(device, (moment, -1 if alone else 0))
            turn[place] = last + (alone or moment > before)
            at[device] = max(moment, before), int(turn[place])
        for number in np.unique(turn):
            turns[int(number)].append(_part(batch, np.flatnonzero(turn == number)))
    return [turns[number] for number in sorted(turns)]


def _repeat(batches: Sequence[WindowBatch], one_each: Sequence[bool]) -> bool:
    """Whether a device occurs twice where it must not."""
    devices = [
        device for batch, alone in zip(batches, one_each, strict=True) if alone for device in batch.devices
    ]
    return len(set(devices)) < len(devices)


def _part(batch: WindowBatch, places: NDArray[np.intp]) -> WindowBatch:
    if len(places) == len(batch):
        return batch
    devices = [batch.devices[place] for place in places]
    return WindowBatch(batch.profile, devices, batch.end_t[places], batch.values[places], batch.mask[places])
