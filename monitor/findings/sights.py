"""Which windows are worth a picture: the one that opens an episode, then those that are stronger by far.

A picture costs a pass of the model, so a growing fault may have only so many of them.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.findings.episodes import Episodes

STRONGER: Final = 1.03
"""A window is pictured again when it is so many times as anomalous as the one pictured last: few, however long a fault
grows."""


class Sight(NamedTuple):
    """A window worth a picture: it opened an episode, or is the strongest of one by far."""

    place: int
    """Position in the batch that was judged last."""
    device: str
    started_t: int
    """Names the episode, as in its findings."""
    at_t: int
    anomaly: float


def worth_a_picture(
    episodes: Episodes, slots: NDArray[np.intp], anomaly: NDArray[np.float32], hold_at: float
) -> Iterator[int]:
    """Positions of windows worth one; `slots` of their devices, -1 where the device is calm. They count as pictured."""
    for i in np.flatnonzero(slots >= 0):
        slot, before = slots[i], episodes.pictured[slots[i]]
        if episodes.open[slot] and anomaly[i] >= hold_at and (not before or anomaly[i] > STRONGER * before):
            episodes.pictured[slot] = anomaly[i]
            yield int(i)
