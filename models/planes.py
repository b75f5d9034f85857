"""What a detector found in windows → planes of a `models.scoring.Score`: shares, readings in units, how channels stray.

Knows the networks of `models.detector` and units. What no reading fell on comes out of a division of nothing by
nothing: NaN. Letters: B windows (last axis inside), T rows, C channels, M targets, P time patches.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.attribution import Judgement, recency, shares
from models.columns import truth
from models.scoring import Score

if TYPE_CHECKING:
    from models.detector import Detector, Ground

CERTAIN = 1.0
"""A level this many spreads off the expected one has a direction."""
OFF = 2.0
"""A time patch is off when its level or its liveliness is so many spreads from the expected one ..."""
OF_LARGEST = 0.25
"""... and so much of the window's largest deviation: what a unit is off all its life is not where a fault began."""
PLANES = (
    "share", "attention", "residual", "observed", "expected", "spread", "direction", "deviation", "liveliness",
    "off_rows",
)  # fmt: skip
"""What is told of every target, in this order."""
UNTOLD = ("observed", "expected", "spread", "deviation", "liveliness")
"""NaN for settings and states; the others are 0 there."""


class Planes:
    """The planes of one detector's scores, as tensors."""

    def __init__(self, detector: "Detector", device: torch.device) -> None:
        self._detector = detector
        self._recent = recency(detector.config.patches)[1].to(device)[:, None, None]
        blank = torch.tensor([torch.nan if name in UNTOLD else 0.0 for name in PLANES], device=device)
        self._blank = blank[:, None, None]

    def __call__(self, ground: "Ground", judgement: Judgement) -> Tensor:
        """(len(PLANES) + 1, B, C), the last one 1.0 where the channel had a reading, else 0.0."""
        planes = torch.stack(
            (*shares(judgement), *self._in_units(ground), off_rows(ground, self._detector.rows))
        )
        C, B = ground.prepared.heard.shape
        full = self._blank.repeat(1, C, B).index_copy_(1, self._detector.preparation.target_index, planes)
        return torch.cat((full, ground.prepared.heard[None])).transpose(1, 2).contiguous()

    def _in_units(self, ground: "Ground") -> tuple[Tensor, ...]:
        """(M, B) observed, expected with its spread, direction, deviation and liveliness.

        A counter is told where it stands and where it should; its spread would be of a slope and is not told.
        """
        prep, prepared = self._detector.preparation, ground.prepared
        weight = ground.readings * self._recent
        n = weight.sum(0)
        observed = prep.unscale((ground.observed * weight).sum(0).div_(n))
        expected = prep.unscale((ground.expected * weight).sum(0).div_(n))
        spread = torch.exp(ground.level_spread).mul_(weight).sum(0).div_(n).mul_(prep.scale[:, None])
        if prep.counters:
            c = prep.counter_index
            slope_off, last, span = (
                x.index_select(0, c) for x in (observed - expected, prepared.last, prepared.span)
            )
            observed.index_copy_(0, c, last + 0.0 * slope_off)  # not told where the slope is not
            expected.index_copy_(0, c, last - slope_off * span)
            spread.index_fill_(0, c, torch.nan)
        deviation = _mean(ground.level, ground.level_told * self._recent)
        liveliness = _mean(ground.lively, ground.lively_told * self._recent)
        direction = truth(torch.ge, deviation, CERTAIN) - truth(torch.le, deviation, -CERTAIN)
        return observed, expected, spread, direction, deviation, liveliness


def as_score(anomaly: NDArray[np.float32], told: NDArray[np.float32]) -> Score:
    """The `Score` of n windows: their (n,) anomaly and what `Planes` told of them, (len(PLANES) + 1, n, C)."""
    plane: dict[str, NDArray[Any]] = dict(zip(PLANES, told[:-1], strict=True))
    plane["direction"] = plane["direction"].astype(np.int8)
    plane["off_rows"] = plane["off_rows"].astype(np.int16)
    return Score(anomaly=anomaly, imputed=told[-1] == 0, **plane)


def _mean(x: Tensor, weight: Tensor) -> Tensor:
    return (x * weight).sum(0) / weight.sum(0)


def off_rows(ground: "Ground", rows: int) -> Tensor:
    """(M, B) rows from the oldest patch of the newest unbroken run of patches that are off to the window's end.

    Patches without a reading break no run, nor does a single calm one: noise must not make a drift look younger.
    """
    P = len(ground.level)
    lively = ground.lively.abs().mul_(ground.lively_told)
    size = ground.level.abs()
    size = torch.maximum(size, lively, out=size).mul_(ground.level_told)
    off = truth(torch.ge, size, torch.clamp(OF_LARGEST * size.amax(0), min=OFF))
    calm = ground.level_told - off
    running, kept = calm.unbind(0), (1.0 - off).unbind(0)
    for p in range(P - 2, -1, -1):
        running[p].addcmul_(running[p + 1], kept[p])  # calm patches since the last one that was off
    number = torch.arange(1, P + 1, device=off.device, dtype=off.dtype)[:, None, None]
    # Number of the newest patch that ends the run, or 0.
    ended = (truth(torch.ge, calm, 2.0) * number).amax(0)
    began = off.mul_(P + 1 - number).mul_(truth(torch.gt, number, ended))
    return began.amax(0) * (rows // P)
