"""`models.scoring.RememberingScorer` around a fitted model of a series: windows of many devices in, scores out.

Only the rows of a window that are new are looked at; what the ones before came to is remembered. So a device is scored
as its whole series would be (`SeriesModel.score`), several windows of it in one go. Settings and states help to tell
what is usual and are no causes.
Letters: B windows, W of them of each of D devices, T rows, n new rows, C channels, M numbers remembered.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.calibration import Threshold
from models.preparation import ChannelSpec
from models.scoring import Explanation, ModelIdentity, Score, check_windows
from models.series.evidence import normalized
from models.series.explaining import course, explained
from models.series.history import peak_hold
from models.series.memory import HISTORY, Memory
from models.series.model import Advanced, RowScores, SeriesModel, counted
from models.series.slopes import Slopes
from models.series.subspaces import FADE, RECENT, WINDOW
from models.series.windows import Floats, Mask, alike, as_rows, following_rows, looked_at

CERTAIN = 2.0
"""Spreads from which on a channel has a direction."""
OFF_FROM, OFF_TO = 0.35, 0.0
"""A channel is off from this log calibrated residual on, and goes on being off above the other."""


class SeriesScorer:
    """Scores windows by what their device has been like so far."""

    def __init__(
        self, model: SeriesModel, channels: Sequence[ChannelSpec], rows: int, threshold: Threshold,
        identity: ModelIdentity,
    ) -> None:  # fmt: skip
        self.model, self.specs, self.threshold = model, tuple(channels), threshold
        self._rows, self._identity = rows, identity
        self._targets = np.array([c.is_target for c in channels])
        self._counts = np.array([c.role == "counter" for c in channels])
        self._slopes = Slopes(np.flatnonzero(self._counts).tolist())
        self._lasting = np.concatenate(
            [np.zeros(self._slopes.width, np.bool_), Memory.lasting(len(channels))]
        )
        weight = np.exp(-np.arange(RECENT - 1, -1, -1) / FADE)
        self._recent = weight[-min(rows, RECENT) :, None, None].astype(np.float32)

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.specs)

    @property
    def window_rows(self) -> int:
        return self._rows

    @property
    def memory_width(self) -> int:
        """See `models.scoring.RememberingScorer.memory_width`."""
        return self._slopes.width + Memory.width(len(self.specs))

    @property
    def lasting(self) -> Mask:
        """See `models.scoring.RememberingScorer.lasting`."""
        return self._lasting

    def score(self, values: Floats, mask: Mask) -> Score:
        """See `models.scoring.Scorer.score`: each window as that of a device of which nothing is known."""
        return self.score_remembering(values, mask, *self._nothing_known(len(values)))[0]

    def score_remembering(
        self, values: Floats, mask: Mask, memory: Floats, new_rows: NDArray[np.int64],
        of: NDArray[np.intp] | None = None,
    ) -> tuple[Score, Floats]:  # fmt: skip
        """See `models.scoring.RememberingScorer.score_remembering`. A window's score is that of its newest row."""
        each = np.arange(len(values)) if of is None else of
        self._check(values, mask, memory, new_rows, each)
        counts = self._looked_at(mask, memory, new_rows, each)
        one_each = np.array_equal(each, np.arange(len(memory)))
        if one_each and len(counts) and 0 < counts.min() == counts.max():
            return self._advance(values, mask, memory, [int(counts[0])])
        score, left = self._nothing(mask), memory.copy()
        for devices, windows, steps in alike(counts, each):
            told, left[devices] = self._advance(values[windows], mask[windows], memory[devices], steps)
            for name in Score.__slots__:
                plane = getattr(score, name)
                plane[windows] = getattr(told, name)
        return score, left

    def whole(self, values: Floats) -> tuple[RowScores, Floats]:
        """(R, C) rows of one device from its beginning, NaN without a reading → what they come to, each row a window of
        its own, and the (R,) anomaly as the service would see it: with the threshold of this scorer."""
        told = self._from_the_beginning(values)
        anomaly = self.threshold.anomaly(self._statistic(told)[:, :1])
        return self.model.rows(told), np.where(told.early[:, 0], np.float32(0), anomaly)

    def statistics(self, values: Floats, stride: int) -> Floats:
        """(R, C) rows likewise → (N, 1) what the threshold is fitted on, a window a stride."""
        told = self._from_the_beginning(values)
        return self._statistic(told)[~told.early[:, 0]][::stride]

    def _from_the_beginning(self, values: Floats) -> Advanced:
        """(R, C) rows of one device, slopes in place of counters → what they come to."""
        rows, _ = self._slopes.apply(values[:, None], self._slopes.unknown(1))
        return self.model.advance(rows, self.model.unknown(1))[0]

    def _nothing_known(self, devices: int) -> tuple[Floats, NDArray[np.int64]]:
        """Memory of devices of which nothing is known, and how many rows are new in the first window of each."""
        return np.zeros((devices, self.memory_width), np.float32), np.full(devices, self._rows)

    def explain(self, values: Floats, mask: Mask) -> Explanation:
        """See `models.scoring.Explainer.explain`: each window as that of a device of which nothing is known."""
        return self.explain_remembering(values, mask, *self._nothing_known(len(values)))

    def explain_remembering(
        self, values: Floats, mask: Mask, memory: Floats, new_rows: NDArray[np.int64],
        of: NDArray[np.intp] | None = None,
    ) -> Explanation:  # fmt: skip
        """See `models.scoring.RememberingExplainer` and, for what it shows, `models.series.explaining`."""
        each = np.arange(len(values)) if of is None else of
        score, _ = self.score_remembering(values, mask, memory, new_rows, each)
        counts = self._looked_at(mask, memory, new_rows, each)
        windows = [np.flatnonzero(each == device) for device in range(len(memory))]
        courses = [
            course(self.model, self._slopes, values[own], mask[own], memory[[device]], counts[own])
            for device, own in enumerate(windows)
        ]
        last = np.array([own[-1] for own in windows], np.intp)
        levelled = self._targets & ~self._counts
        return explained(self.model, courses, mask[last], score.share[last], levelled)

    # -- one row after the other -----------------------------------------------------------------------

    def _advance(
        self, values: Floats, mask: Mask, memory: Floats, steps: Sequence[int]
    ) -> tuple[Score, Floats]:
        """(W D, T, C) windows, the first ones of D devices before their second ones, and how many rows are new in each
        of a device's W windows."""
        rows, slopes, past = following_rows(self._slopes, values, mask, memory, steps)
        told, left = self.model.advance(rows, past)
        held, off = self._held(told, left.held), _off(told.told.level, left.off)
        packed = np.concatenate([slopes, left._replace(held=held[-1], off=off[-1]).packed()], 1)
        return self._score(values, mask, told, held, off, np.cumsum(steps) - 1), packed

    def _held(self, told: Advanced, held: NDArray[np.floating]) -> NDArray[np.floating]:
        """(n, D, C) strongest evidence of late, as in `running_share`; settings and states are no causes."""
        reached = np.where(told.early, 0.0, told.reached / self.model.limits.reached)
        evidence = told.parts.softened * counted(reached)[..., None] * self._targets
        strongest: NDArray[np.floating] = peak_hold(evidence, WINDOW, held)
        return strongest

    def _statistic(self, told: Advanced) -> Floats:
        """(n, D) log of the model's anomaly: the tail that a threshold is fitted to is that of a logarithm."""
        return np.log(self.model.anomaly(told) + 1e-6).astype(np.float32)

    def _score(
        self, values: Floats, mask: Mask, told: Advanced, held: NDArray[np.floating], off: NDArray[np.floating],
        ends: NDArray[np.int64],
    ) -> Score:  # fmt: skip
        """Of the rows at which the windows end."""
        held, off, stray, jumps, attention, residual = (
            x[ends].reshape(-1, x.shape[2])
            for x in (held, off, told.stray, told.told.jumps, told.parts.attention, told.parts.residual)
        )
        known, z, observed = self._of_late(values, mask, told, ends)
        usual = self.model.usual
        # A counter has no level to expect: it is told what it would show had it gone on as usual.
        counted_on = observed - stray * self.model.scale.spread * self._recent.sum()
        expected = np.where(self._counts, counted_on, self.model.scale.unscaled(z - stray))
        deviation, shaking = stray / usual.stray, np.log(jumps + 1e-3)
        imputed: Mask = np.logical_not(mask.any(1))
        share, attention, residual = (
            normalized(plane * self._targets) for plane in (held, attention, residual)
        )
        anomaly = self.threshold.anomaly(self._statistic(told)[ends].reshape(-1, 1))
        return Score(
            anomaly=np.where(told.early[ends].ravel(), np.float32(0), anomaly),
            share=share, attention=attention, residual=residual,
            observed=_where(known, observed), expected=_where(known, expected),
            direction=np.where(known & (np.abs(deviation) >= CERTAIN), np.sign(deviation), 0).astype(np.int8),
            imputed=imputed, spread=np.full(observed.shape, np.nan, np.float32),
            deviation=_where(known, deviation),
            liveliness=_where(known, (shaking - usual.shaking[0]) / usual.shaking[1]),
            off_rows=np.where(known, np.minimum(off, self._rows), 0).astype(np.int16),
        )  # fmt: skip

    def _of_late(
        self, values: Floats, mask: Mask, told: Advanced, ends: NDArray[np.int64]
    ) -> tuple[Mask, Floats, Floats]:
        """(B, C) targets that were read of late, and the recency-weighted mean in spreads and in units."""
        newest = len(self._recent)
        recent = told.course[HISTORY + ends + np.arange(1 - newest, 1)[:, None]]
        weight = mask[:, -newest:].transpose(1, 0, 2) * self._recent
        total = np.maximum(weight.sum(0), 1e-9)
        z = (weight * recent.reshape(weight.shape)).sum(0) / total
        observed = (weight * np.nan_to_num(as_rows(values, mask)[-newest:])).sum(0) / total
        return self._targets & (total > 1e-9), z, observed

    def _check(
        self, values: Floats, mask: Mask, memory: Floats, new_rows: NDArray[np.int64], of: NDArray[np.intp]
    ) -> None:
        check_windows(values, mask, self._rows, len(self.specs))
        if of.shape != (len(values),) or of.min(initial=0) < 0:
            raise ValueError(f"of which device it is must be told of each of the {len(values)} windows")
        devices = int(of.max(initial=-1)) + 1
        if memory.ndim != 2 or len(memory) < devices or memory.shape[1] != self.memory_width:
            raise ValueError(
                f"memory of shape {memory.shape}, the model takes ({devices}, {self.memory_width})"
            )
        if (
            new_rows.shape != of.shape
            or not 0 <= new_rows.min(initial=0) <= new_rows.max(initial=0) <= self._rows
        ):
            raise ValueError(f"new rows must be 0 to {self._rows} of each of the {len(values)} windows")

    def _looked_at(
        self, mask: Mask, memory: Floats, new: NDArray[np.int64], of: NDArray[np.intp]
    ) -> NDArray[np.int64]:
        """(B,) how many of the newest rows are looked at."""
        return looked_at(mask, memory[:, self._slopes.width] > 0, new, of)

    def _nothing(self, mask: Mask) -> Score:
        """Of windows that tell nothing new."""
        B, C = len(mask), len(self.specs)
        even = np.broadcast_to(self._targets / max(self._targets.sum(), 1), (B, C)).astype(np.float32)
        none = np.full((B, C), np.nan, np.float32)
        return Score(
            anomaly=np.zeros(B, np.float32), share=even, attention=even.copy(), residual=even.copy(),
            observed=none, expected=none.copy(), direction=np.zeros((B, C), np.int8),
            imputed=np.logical_not(mask.any(1)), spread=none.copy(), deviation=none.copy(), liveliness=none.copy(),
            off_rows=np.zeros((B, C), np.int16),
        )  # fmt: skip


def _where(known: Mask, x: NDArray[np.floating]) -> Floats:
    """NaN where nothing is known."""
    return np.where(known, x, np.nan).astype(np.float32)


def _off(level: NDArray[np.floating], off: NDArray[np.floating]) -> NDArray[np.floating]:
    """(n, D, C) log residuals and the (D, C) rows for which each channel was off before → (n, D, C) at each of them."""
    rows = np.empty_like(level)
    for t, row in enumerate(level):
        off = rows[t] = np.where((row > OFF_FROM) | ((row > OFF_TO) & (off > 0)), off + 1, 0)
    return rows
