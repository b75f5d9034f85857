"""`models.scoring.Scorer` around a trained rhythm network: windows in, anomaly and what was expected out.

Scores are computed in chunks of one fixed, padded size on one thread, so that a score depends on its window alone and
never on its neighbours. Letters: B windows, T rows; one channel.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration import Threshold
from models.rhythm.network import RhythmNetwork
from models.rhythm.straying import explained, off_rows, swing
from models.scoring import Explanation, ModelIdentity, Score, check_windows

CHUNK = 16
"""Windows a pass of the network; always exactly so many."""
CERTAIN_SPREADS = 2.33
"""`certain` is the 99 % quantile of how far healthy windows stray: so many spreads of a normal distribution."""
RECENT = 0.15
"""The weight of a reading falls by e over this part of the window, in `observed` and in `expected`."""


class RhythmScorer:
    """Scores windows of one cyclic channel."""

    def __init__(
        self,
        network: RhythmNetwork,
        channel: str,
        threshold: Threshold,
        certain: float,
        identity: ModelIdentity,
        device: torch.device | None = None,
    ) -> None:
        """`certain` is how far (in the unit) observed and expected must differ to have a direction."""
        self.device = device or torch.device("cpu")
        self.network = network.eval().requires_grad_(requires_grad=False).to(self.device)
        self.threshold, self.certain = threshold, certain
        self._channel, self._identity = channel, identity
        rows = network.P * network.L
        self._recent = np.exp(-np.arange(rows - 1, -1, -1) / (RECENT * rows))

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def channels(self) -> tuple[str, ...]:
        return (self._channel,)

    @property
    def window_rows(self) -> int:
        return self.network.P * self.network.L

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        """See `models.scoring.Scorer.score`. The only channel has the whole share."""
        logit, healthy = self.judge(values, mask)
        seen = mask[..., 0]
        weight = seen * self._recent
        n = weight.sum(1)
        some = np.maximum(n, 1e-9)
        observed = (np.where(seen, values[..., 0], 0.0) * weight).sum(1) / some
        expected = (healthy * weight).sum(1) / some
        off = np.where(n > 0, observed - expected, 0.0)
        ones = np.ones((len(values), 1), np.float32)
        return Score(
            anomaly=self.threshold.anomaly(logit[:, None]),
            share=ones,
            attention=ones.copy(),
            residual=ones.copy(),
            observed=_column(np.where(n > 0, observed, np.nan)),
            expected=_column(np.where(n > 0, expected, np.nan)),
            direction=np.where(np.abs(off) >= self.certain, np.sign(off), 0).astype(np.int8)[:, None],
            imputed=np.logical_not(mask.any(1)),
            spread=np.full((len(values), 1), np.nan, np.float32),
            deviation=_column(np.where(n > 0, off * CERTAIN_SPREADS / max(self.certain, 1e-6), np.nan)),
            liveliness=_column(swing(values[..., 0], healthy, seen)),
            off_rows=off_rows(values[..., 0], healthy, seen, self.certain, self.network.P)[:, None],
        )

    def explain(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Explanation:
        """See `models.scoring.Explainer.explain` and, for what it shows, `models.rhythm.straying`."""
        _, healthy = self.judge(values, mask)
        return explained(values[..., 0], healthy, mask[..., 0], self.certain, self.network.P)

    @torch.inference_mode()
    def judge(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, T, 1) windows → (B,) log odds of a fault and (B, T) the healthy signal in units."""
        rows = self.window_rows
        check_windows(values, mask, rows, 1)
        logit, healthy = np.zeros(len(values), np.float32), np.zeros((len(values), rows), np.float32)
        for start in range(0, len(values), CHUNK):
            x, seen = np.zeros((CHUNK, rows), np.float32), np.zeros((CHUNK, rows), np.bool_)
            n = min(CHUNK, len(values) - start)
            x[:n], seen[:n] = values[start : start + n, :, 0], mask[start : start + n, :, 0]
            y, odds = self.network(
                torch.from_numpy(x).to(self.device), torch.from_numpy(seen).to(self.device)
            )
            logit[start : start + n] = odds[:n].cpu().numpy()
            healthy[start : start + n] = y[:n].cpu().numpy()
        return logit, healthy


def _column(x: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(x, np.float32)[:, None]
