"""What a model of a series shows to people: expected readings, their band, and attention over time and channels.

Arrays in units; draws nothing and remembers nothing. Letters: D devices with a window each, W windows of one device,
T rows, R rows of a course, P time patches, C channels, M numbers remembered.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.scoring import Explanation
from models.series.memory import Memory
from models.series.model import SeriesModel
from models.series.slopes import Slopes
from models.series.subspaces import WINDOW, NestedSubspaces
from models.series.windows import Floats, Mask, as_rows, following_rows

PATCHES = 8
"""Most parts of a window that an explanation tells apart."""
WIDE = 2.0
"""Half the width of the expected band, in root mean squares of the usual residual."""


def explained(
    model: SeriesModel, courses: Sequence[Floats], mask: Mask, share: Floats, levelled: Mask
) -> Explanation:
    """What the subspace of the plain residual holds of the newest window of each device.

    The attention to a channel is its share, spread over time as the squares of its residual are.

    Args:
        model: what is usual.
        courses: of each device its rows in spreads, T at least; see `course`.
        mask: (D, T, C) where the window was read.
        share: (D, C) what its score said.
        levelled: (C,) channels of whose level something is expected.
    """
    T = mask.shape[1]
    z = np.empty(mask.shape, np.float32)
    usual = np.empty_like(z)
    for device, rows in enumerate(courses):
        z[device], usual[device] = rows[-T:], _usual(model.subspaces, rows)[-T:]
    off = np.where(mask, z - usual, 0.0)
    P = max(p for p in range(1, PATCHES + 1) if T % p == 0)
    energy = (off**2).reshape(len(off), P, T // P, off.shape[2]).sum(2) + 1e-6
    cells = energy / energy.sum(1, keepdims=True) * share[:, None]
    wide = WIDE * np.sqrt(model.usual.mean)
    edges = (model.scale.unscaled(usual + side) for side in (0.0, -wide, wide))
    expected, low, high = (np.where(levelled, edge, np.nan).astype(np.float32) for edge in edges)
    return Explanation(expected, low, high, cells.astype(np.float32))


def course(
    model: SeriesModel, slopes: Slopes, values: Floats, mask: Mask, memory: Floats, steps: NDArray[np.int64]
) -> Floats:
    """(W, T, C) windows of one device, the (1, M) memory before them, and how many rows are new in each → its
    (max(T, WINDOW), C) newest rows in spreads: as the model saw them where it did, else as they stand in the newest
    window."""
    T, C = values.shape[1:]
    rows, _ = slopes.apply(as_rows(values[-1:], mask[-1:]), slopes.unknown(1))
    standing = model.scale.apply(rows).z[:, 0]
    if steps.any():
        following, _, past = following_rows(slopes, values, mask, memory, steps.tolist())
        seen = model.course(following, past).z[:, 0]
    else:
        past = Memory.unpacked(memory[:, slopes.width :], C)
        seen = past.trace.z[:, 0] if past.came[0] else standing[:0]
    both = np.concatenate([standing[: max(len(standing) - len(seen), 0)], seen])
    return both[-max(T, WINDOW) :].astype(np.float32)


def _usual(subspaces: NestedSubspaces, z: Floats) -> Floats:
    """(R, C) → the same as the model would have it: the newest rows as one window of its own, the ones before
    likewise; where they don't come out even, the oldest window looks at some rows twice."""
    lead = max(WINDOW - len(z), 0)
    z = np.concatenate([np.repeat(z[:1], lead, 0), z])
    usual = np.empty_like(z)
    for end in range(len(z), 0, -WINDOW):
        begin = max(end - WINDOW, 0)
        [held] = subspaces.expected(z[None, begin : begin + WINDOW])
        usual[begin:end] = held[: end - begin]
    return usual[lead:]
