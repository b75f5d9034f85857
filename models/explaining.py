"""What a detector shows to people: expected bands, and attention over time and channels.

Knows the networks of `models.detector`, arrays and units; draws nothing. Letters: B windows, T rows, C channels,
M targets, P time patches of L rows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from models.attribution import Judgement, shares
from models.scoring import Explanation

if TYPE_CHECKING:
    from models.detector import Detector, Ground
    from models.preparation import Prepared

WIDE = 2.0
"""Half the width of the expected band, in spreads of a single reading: some 19 of 20 healthy readings lie within."""

Floats = NDArray[np.float32]
Parts = tuple[Floats, Floats, Floats, Floats]


def expected_band(
    detector: "Detector", prepared: "Prepared", values: Floats, mask: NDArray[np.bool_],
    bias: torch.Tensor | None = None,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Expected reading and the edges of its band, each (B, T, C) in units, from settings and states alone, and from
    `bias` (M, B): by how many spreads these very devices always differ.

    The band is `WIDE` spreads of a single reading to either side: that of the level, and where a channel is read often
    enough that of its shaking too (as in `Expectation.deviation`). A counter's slope is summed up from its first
    reading.
    """
    preparation = detector.preparation
    level, spread, lively, _ = detector.expectation(prepared.context)
    if bias is not None:
        level = level + bias * torch.exp(spread)
    width = WIDE * torch.sqrt(
        torch.exp(2 * spread) + detector.expectation.restless[:, None] * torch.exp(2 * lively)
    )
    L = detector.rows // detector.config.patches
    edges = []
    for edge in (level, level - width, level + width):
        rows = preparation.unscale(edge).repeat_interleave(L, 0).permute(2, 0, 1).cpu().numpy()  # (B, T, M)
        full = np.full(values.shape, np.nan, np.float32)
        full[..., preparation.targets] = rows
        for m in preparation.counters:
            c = preparation.targets[m]
            believed = preparation.slope_limit[preparation.counters.index(m)].cpu().numpy()
            full[..., c] = _summed(full[..., c], values[..., c], mask[..., c], believed)
        edges.append(full)
    expected, low, high = edges
    return expected, np.minimum(low, high), np.maximum(low, high)


def _summed(slope: Floats, values: Floats, seen: NDArray[np.bool_], believed: Floats) -> Floats:
    """(B, T) slopes a row and readings of a counter → the level that it should have, NaN before its first reading.

    Where the counter was reset (a step steeper than is `believed`), the sum begins anew at the reading.
    """
    level = np.full(slope.shape, np.nan, np.float32)
    for b in range(len(slope)):
        last_row, last = -1, np.nan
        for t in range(slope.shape[1]):
            if t > 0:
                level[b, t] = level[b, t - 1] + slope[b, t]
            if seen[b, t]:
                step = (values[b, t] - last) / (t - last_row)
                if np.isnan(last) or not believed[0] <= step <= believed[1]:
                    level[b, t] = values[b, t]
                last_row, last = t, values[b, t]
    return level


def patch_attention(detector: "Detector", ground: "Ground", judgement: Judgement) -> Floats:
    """(B, P, C) attention over time and channels; sums to 1.

    A channel's part is its share: the attention that the fault query gives it, times the strength of its residual, so
    that the cells of a channel sum to the share that alerts name. It lies in time where the channel's evidence does:
    in proportion to the squares of its residuals (subspace, reconstruction, level), the newer the heavier, as in the
    statistics that the query reads. Settings and states are never asked and get 0.
    """
    P, mask = detector.config.patches, ground.prepared.mask
    T, M, B = mask.shape
    recent = torch.exp(-torch.arange(T - 1, -1, -1, device=mask.device) * 4 / T).view(P, T // P, 1, 1)
    squares = ((ground.subspace**2 + ground.reconstruction**2) * mask).view(P, -1, M, B)
    told = mask.view(P, -1, M, B)
    energy = (squares * recent).sum(1) + ground.level**2 * (told * recent).sum(1) + 1e-6 * recent.sum(1)
    when = energy / energy.sum(0, keepdim=True)
    cells = (when * shares(judgement)[0]).permute(2, 0, 1)  # (B, P, M)
    full = np.zeros((B, P, len(detector.channels)), np.float32)
    full[..., detector.preparation.targets] = cells.cpu().numpy()
    normal: Floats = full / full.sum((1, 2), keepdims=True)
    return normal


def joined(parts: Sequence[Parts], rows: int, patches: int, channels: int) -> Explanation:
    """Chunks of (expected, low, high, attention), one after the other."""
    nothing = np.zeros((0, rows, channels), np.float32)
    empty: Parts = (nothing, nothing, nothing, np.zeros((0, patches, channels), np.float32))
    expected, low, high, attention = (np.concatenate(plane) for plane in zip(empty, *parts, strict=True))
    return Explanation(expected, low, high, attention)
