"""The Protocol `models.scoring.Scorer` around a plain method: threshold, shares by the residual, readings in units."""

import copy

import numpy as np
from numpy.typing import NDArray

from models.baselines.methods import Fitted, Told, over_time
from models.baselines.reading import FLOOR, Floats, Inputs, Reader
from models.calibration import Threshold
from models.scoring import ModelIdentity, Score, check_windows

CERTAIN = 1.0
"""A mean residual of so many spreads has a direction."""


class PlainScorer:
    """Any channel by itself can call a window anomalous, each by a limit of its own, and all of them together."""

    def __init__(self, reader: Reader, fitted: Fitted, threshold: Threshold, identity: ModelIdentity) -> None:
        self.threshold = threshold
        self._reader, self._fitted, self._identity = reader, fitted, identity

    def with_threshold(self, threshold: Threshold) -> "PlainScorer":
        """The same method with another threshold."""
        other = copy.copy(self)
        other.threshold = threshold
        return other

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self._reader.channels)

    @property
    def window_rows(self) -> int:
        return self._reader.rows

    def statistics(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(B, M + 1) what the threshold is fitted on: log residual of each channel, and the mean of those."""
        _, told = self._told(values, mask)
        return _statistics(told)

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        """See `models.scoring.Scorer.score`. Attention is even; liveliness and onset are not told, so that hypotheses
        go by the share and the direction."""
        x, told = self._told(values, mask)
        B, C = len(values), len(self._reader.channels)
        weight = told.energy + np.float32(1e-6)
        share = self._spread_out(weight / weight.sum(1, keepdims=True), 0.0)
        even = self._spread_out(np.full_like(weight, 1 / weight.shape[1]), 0.0)
        observed, expected = self._in_units(x, told)
        direction = np.where(np.abs(told.off) >= CERTAIN, np.sign(told.off), 0)
        return Score(
            anomaly=self.threshold.anomaly(_statistics(told)),
            share=share, attention=even, residual=share.copy(),
            observed=self._spread_out(observed, np.nan), expected=self._spread_out(expected, np.nan),
            direction=self._spread_out(np.nan_to_num(direction), 0.0).astype(np.int8),
            imputed=np.logical_not(mask.any(1)), spread=np.full((B, C), np.nan, np.float32),
            deviation=self._spread_out(told.off, np.nan), liveliness=np.full((B, C), np.nan, np.float32),
            off_rows=np.zeros((B, C), np.int16),
        )  # fmt: skip

    def _told(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[Inputs, Told]:
        check_windows(values, mask, self.window_rows, len(self._reader.channels))
        x = self._reader(values, mask)
        return x, self._fitted.tell(x)

    def _in_units(self, x: Inputs, told: Told) -> tuple[Floats, Floats]:
        """(B, M) mean reading, and what was expected by the mean residual; NaN where that is not told.

        A counter is told where it stands and where it should.
        """
        center, unit = self._reader.unit
        _, mean = over_time(x.z, x.told)
        observed = center + unit * mean
        stands = self._reader.counters
        observed[:, stands] = x.last[:, stands] + 0 * mean[:, stands]
        return observed, observed - told.off * told.scale * unit * x.span

    def _spread_out(self, targets: Floats, blank: float) -> Floats:
        """(B, M) → (B, C), `blank` for settings and states."""
        full = np.full((len(targets), len(self._reader.channels)), blank, np.float32)
        full[:, self._reader.targets] = targets
        return full


def _statistics(told: Told) -> NDArray[np.float32]:
    """Logs, as of the shipped model: a heavy tail of those is one odd device."""
    each = np.log(np.sqrt(told.energy) + np.float32(FLOOR))
    statistics: NDArray[np.float32] = np.concatenate([each, each.mean(1, keepdims=True)], 1)
    return statistics
