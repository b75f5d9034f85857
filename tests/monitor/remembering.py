"""A small scorer that remembers: how far new readings are off the mean of all that the device has sent before."""

import numpy as np
from numpy.typing import NDArray

from models.scoring import ModelIdentity, Score
from monitor.findings.columns import rounds
from streams.devices import DeviceProfile
from tests.monitor.worlds import MODEL, PUMP


class RunningMean:
    """Watches one channel; remembers of each device the number of its readings and their mean."""

    memory_width = 2
    lasting = np.array([True, True])

    def __init__(
        self,
        profile: DeviceProfile = PUMP,
        channel: str = "line_pressure_down",
        limit: float = 100.0,
        identity: ModelIdentity = MODEL,
    ) -> None:
        self.identity = identity
        self.channels, self.window_rows = profile.names, profile.window_rows
        self._at, self._limit = profile.index[channel], limit
        self.asked: list[int] = []
        """Windows of each call."""

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        rows = np.full(len(values), self.window_rows, np.int64)
        return self.score_remembering(values, mask, np.zeros((len(values), 2), np.float32), rows)[0]

    def score_remembering(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], memory: NDArray[np.float32],
        new_rows: NDArray[np.int64], of: NDArray[np.intp] | None = None,
    ) -> tuple[Score, NDArray[np.float32]]:  # fmt: skip
        self.asked.append(len(values))
        of, left, told = np.arange(len(values)) if of is None else of, memory.copy(), []
        order = list(rounds(of))
        for turn in order:
            said, left[of[turn]] = self._next(values[turn], mask[turn], left[of[turn]], new_rows[turn])
            told.append(said)
        if len(order) == 1:
            return told[0], left
        back = np.argsort(np.concatenate(order))
        joined = Score.joined(told)
        return Score.joined([joined.rows(slice(b, b + 1)) for b in back]), left

    def _next(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], memory: NDArray[np.float32],
        new_rows: NDArray[np.int64],
    ) -> tuple[Score, NDArray[np.float32]]:  # fmt: skip
        """Of windows of different devices."""
        new = mask[..., self._at] & (np.arange(self.window_rows) >= self.window_rows - new_rows[:, None])
        count, total = new.sum(1), np.where(new, values[..., self._at], 0).sum(1, dtype=np.float64)
        known, mean = memory[:, 0], memory[:, 1].astype(np.float64)
        now = total / np.maximum(count, 1)
        off = np.where((count > 0) & (known > 0), np.abs(now - mean), 0.0)
        after = np.where(count > 0, (known * mean + total) / np.maximum(known + count, 1), mean)
        told = self._told(off / self._limit, mask, now, mean)
        return told, np.stack([known + count, after], axis=1).astype(np.float32)

    def _told(
        self, anomaly: NDArray[np.float64], mask: NDArray[np.bool_], now: NDArray[np.float64],
        mean: NDArray[np.float64],
    ) -> Score:  # fmt: skip
        planes = np.zeros((3, len(mask), len(self.channels)), np.float32)
        share, observed, expected = planes
        share[:, self._at], observed[:, self._at], expected[:, self._at] = 1, now, mean
        return Score(
            anomaly=anomaly.astype(np.float32),
            share=share,
            attention=share,
            residual=share,
            observed=observed,
            expected=expected,
            direction=np.sign(observed - expected).astype(np.int8),
            imputed=np.logical_not(mask.any(1)),
            spread=np.full_like(share, np.nan),
        )
