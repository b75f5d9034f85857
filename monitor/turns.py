"""Windows that came due together → turns, in which they can be scored at once. Scores and remembers nothing."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.blocks import WindowBatch


def in_turns(
    batches: Sequence[WindowBatch], moments: Sequence[NDArray[np.int64]], remembering: Sequence[bool]
) -> list[list[WindowBatch]]:
    """The same windows in the order in which they have to be scored; one turn where nothing speaks against it.

    Args:
        batches: windows, oldest first for each device.
        moments: for each batch (B,) a number that grows for a device where it needs a new turn.
        remembering: for each batch whether its windows need what those of the batches before it left.
    """
    if not batches:
        return []
    if all((n == moments[0][0]).all() for n in moments) and not _follow(batches, remembering):
        return [list(batches)]
    at: dict[str, _Last] = {}
    turns: dict[int, list[WindowBatch]] = defaultdict(list)
    for number, (batch, own, needs) in enumerate(zip(batches, moments, remembering, strict=True)):
        turn = np.zeros(len(batch), np.int64)
        for place, (device, moment) in enumerate(zip(batch.devices, own.tolist(), strict=True)):
            last = at.get(device, _Last(moment, 0, number))
            turn[place] = last.turn + (moment > last.moment or (needs and number > last.batch))
            at[device] = _Last(max(moment, last.moment), int(turn[place]), number)
        for one in np.unique(turn):
            places = np.flatnonzero(turn == one).tolist()
            turns[int(one)].append(batch if len(places) == len(batch) else batch.part(places))
    return [turns[one] for one in sorted(turns)]


class _Last(NamedTuple):
    """A device's window before."""

    moment: int
    turn: int
    batch: int


def _follow(batches: Sequence[WindowBatch], remembering: Sequence[bool]) -> bool:
    """Whether a batch needs what one before it left."""
    devices = [
        device
        for batch, needs in zip(batches, remembering, strict=True)
        if needs
        for device in set(batch.devices)
    ]
    return len(set(devices)) < len(devices)
