"""The scorer of the service, the evaluation and the benchmark: the networks composed, and arrays in, arrays out.

Scores are computed in padded chunks of fixed sizes on one thread, so that the bits of a score depend on its window
alone and never on its neighbours. Letters: B windows (last axis inside), T rows, C channels, M targets, F statistics.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.attribution import (
    RECONSTRUCTION_MID,
    SUBSPACE_MID,
    ContextScale,
    Evidence,
    Judgement,
    Statistics,
    soften,
)
from models.autoencoder import (
    Expectation,
    LinearSubspace,
    ModelConfig,
    TemporalAttentionAutoencoder,
    patch_levels,
)
from models.calibration import Threshold
from models.explaining import expected_band, joined, patch_attention
from models.launching import filled, launched
from models.planes import Planes, as_score
from models.preparation import ChannelSpec, Preparation, Prepared
from models.scoring import Explanation, ModelIdentity, Score, check_windows

CHUNK, SMALL_CHUNK = 256, 32
"""Windows a pass of the network; always exactly so many, padded when fewer are at hand. The small one is for what a
quiet poll brings, and taken only where products of both widths round alike (`AttentionScorer.__init__`)."""
GPU_CHUNK = 1024
"""The same on a GPU, where a quarter of them takes two thirds as long."""


class Ground(NamedTuple):
    """What the normal-device networks say of a batch."""

    prepared: Prepared
    subspace: Tensor
    """(T, M, B) residual of the linear subspace, in spreads."""
    reconstruction: Tensor
    """(T, M, B) residual of the autoencoder, in spreads."""
    level: Tensor
    """(P, M, B) level off the expected one, in its spreads."""
    level_told: Tensor
    """(P, M, B) 1.0 where there is one, else 0.0."""
    expected: Tensor
    """(P, M, B) expected level, scaled units."""
    level_spread: Tensor
    """(P, M, B) log spread of the expected level, scaled units."""
    lively: Tensor
    """(P, M, B) liveliness off the expected one, in its spreads."""
    lively_told: Tensor
    """(P, M, B) 1.0 where there is one, else 0.0."""
    observed: Tensor
    """(P, M, B) level, scaled units."""
    readings: Tensor
    """(P, M, B) readings that it is the mean of."""


class Statistic(NamedTuple):
    """The three statistics that can call a window anomalous, each (B,)."""

    fleet: Tensor
    """Mean over the channels of how many times larger than usual the residual is."""
    channel: Tensor
    """The largest calibrated statistic of any one channel."""
    evidence: Tensor
    """Log odds that any channel is at fault."""


class Detector(nn.Module):
    """Every network of one device type. `forward` is the whole road from readings to judgement."""

    def __init__(self, channels: Sequence[ChannelSpec], rows: int, config: ModelConfig) -> None:
        super().__init__()
        self.channels, self.rows, self.config = tuple(channels), rows, config
        self.preparation = Preparation(channels, rows, config.patches)
        M, K = len(self.preparation.targets), self.preparation.context_width
        self.subspace = LinearSubspace(rows, M, min(config.max_components, rows * M))
        self.autoencoder = TemporalAttentionAutoencoder(config, rows, M, K)
        self.expectation = Expectation(config, M, K)
        self.statistics = Statistics(rows, config.patches)
        self.scale = ContextScale(config, M, K)
        self.evidence = Evidence(config, M)

    def ground(self, prepared: Prepared, bias: Tensor | None = None) -> Ground:
        """Residuals of a prepared batch; `bias` (M, B) in spreads is what these very devices always differ by."""
        mask, context = prepared.mask, prepared.context
        seen = patch_levels(prepared.z, mask, self.config.patches)
        mean, spread, lively_mean, lively_spread = self.expectation(context)
        if bias is not None:
            mean = mean + bias * torch.exp(spread)
        off = self.expectation.deviation(prepared.z, mean, spread, lively_mean)
        return Ground(
            prepared, self.subspace(off), off - self.autoencoder(off, mask, context),
            (seen.level - mean) * torch.exp(-spread), seen.told, mean, spread,
            (seen.lively - lively_mean) * torch.exp(-lively_spread), seen.lively_told, seen.level, seen.readings,
        )  # fmt: skip

    def log_statistics(self, ground: Ground) -> tuple[Tensor, Tensor]:
        """(F, M, B) log statistics and where told."""
        return self.statistics(  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped
            (ground.subspace, ground.reconstruction), ground.prepared.mask,
            ground.level, ground.level_told, ground.lively, ground.lively_told,
        )  # fmt: skip

    def calibrated(self, ground: Ground) -> tuple[Tensor, Tensor]:
        """(F, M, B) statistics in spreads from what is usual in the context, 0 where not told; and (M, B) 1.0 where
        the target had a reading, else 0.0."""
        logs, told = self.log_statistics(ground)
        return self.scale.standardize(logs, told, ground.prepared.context), told[0]

    def forward(self, prepared: Prepared, bias: Tensor | None = None) -> tuple[Ground, Judgement, Statistic]:
        """The whole road for one prepared batch."""
        ground = self.ground(prepared, bias)
        u, present = self.calibrated(ground)
        judgement = self.evidence(soften(u), present)
        return ground, judgement, combine(u, present, judgement)


def combine(u: Tensor, present: Tensor, judgement: Judgement) -> Statistic:
    """Mean over channels for broad faults, the top channel for narrow ones, the evidence for both."""
    energy = torch.exp(torch.clamp(0.5 * (u[SUBSPACE_MID] + u[RECONSTRUCTION_MID]), -3.0, 6.0)) * present
    fleet = energy.sum(0) / present.sum(0).clamp(min=1)
    channel = ((u.amax(0) + 3.0) * present).amax(0) - 3.0  # an absent one says nothing: as -3
    evidence = torch.logsumexp(judgement.logit, 0)
    return Statistic(torch.log(fleet + 1e-3), channel, evidence)


class AttentionScorer:
    """`models.scoring.Scorer` around a trained `Detector`."""

    def __init__(
        self,
        detector: Detector,
        threshold: Threshold,
        identity: ModelIdentity,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.detector = detector.eval().requires_grad_(requires_grad=False).to(self.device)
        self.threshold = threshold
        self._identity = identity
        planes = Planes(detector, self.device)
        self._found = launched(partial(_found, detector, planes), self.device)
        self._judged = launched(partial(_judged, detector), self.device)
        self._large = CHUNK if self.device.type == "cpu" else GPU_CHUNK
        self._small = SMALL_CHUNK if self.device.type == "cpu" and self._rounds_alike() else self._large

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.detector.channels)

    @property
    def window_rows(self) -> int:
        return self.detector.rows

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        """See `models.scoring.Scorer.score`."""
        return self._score(values, mask, None)

    def score_adapted(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: NDArray[np.float32]
    ) -> Score:
        """See `models.scoring.AdaptableScorer.score_adapted`."""
        self._check_bias(values, bias)
        return self._score(values, mask, bias)

    def _check_bias(self, values: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        if bias.shape != (len(values), len(self.detector.channels)):
            raise ValueError(f"bias of shape {bias.shape} beside values of shape {values.shape}")

    def _score(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: NDArray[np.float32] | None
    ) -> Score:
        check_windows(values, mask, self.window_rows, len(self.detector.channels))
        parts = [
            self._chunk(values[cut], mask[cut], None if bias is None else bias[cut])
            for cut in self._cuts(len(values))
        ]
        if not parts:
            return _empty(len(self.detector.channels))
        if len(parts) == 1:
            return parts[0]
        return Score.joined(parts)

    def statistics(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(B, 3) what the threshold is fitted on, in the order of `Statistic`."""
        parts = []
        for cut in self._cuts(len(values)):
            n = cut.stop - cut.start
            (statistic,) = self._judged(self._size(n), values[cut], mask[cut])
            parts.append(statistic[:n])
        return np.concatenate(parts) if parts else np.zeros((0, 3), np.float32)

    def explain(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Explanation:
        """See `models.scoring.Explainer.explain` and, for what it shows, `models.explaining`."""
        return self._explain(values, mask, None)

    def explain_adapted(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: NDArray[np.float32]
    ) -> Explanation:
        """See `models.scoring.AdaptableExplainer.explain_adapted`."""
        self._check_bias(values, bias)
        return self._explain(values, mask, bias)

    @torch.inference_mode()
    def _explain(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: NDArray[np.float32] | None
    ) -> Explanation:
        check_windows(values, mask, self.window_rows, len(self.detector.channels))
        parts = []
        for i in range(0, len(values), CHUNK):
            some = slice(i, i + CHUNK)
            n = len(values[some])
            v, m = filled(values[some], CHUNK), filled(mask[some], CHUNK)
            own = None
            if bias is not None:
                own = torch.from_numpy(filled(self._of_targets(bias[some]), CHUNK)).to(self.device).t()
            prepared = self._prepare(v, m)
            ground, judgement, _ = self.detector(prepared, own)
            expected, low, high = expected_band(self.detector, prepared, v, m, own)
            attention = patch_attention(self.detector, ground, judgement)
            parts.append((expected[:n], low[:n], high[:n], attention[:n]))
        return joined(parts, self.window_rows, self.detector.config.patches, len(self.detector.channels))

    def _cuts(self, n: int) -> list[slice]:
        """Whole chunks, then what is left in small ones where few of them do."""
        whole = n - n % self._large
        step = self._small if n - whole <= 4 * self._small else self._large
        return [slice(i, i + self._large) for i in range(0, whole, self._large)] + [
            slice(i, min(i + step, n)) for i in range(whole, n, step)
        ]

    def _size(self, n: int) -> int:
        """Of the smallest chunk that holds `n` windows."""
        return self._small if n <= self._small else self._large

    @torch.inference_mode()
    def _rounds_alike(self) -> bool:
        """True where a chunk gives a window the bits that a small one gives it; the machine's kernels decide."""
        rng = np.random.default_rng(0)
        shape = (CHUNK, self.window_rows, len(self.detector.channels))
        prep = self.detector.preparation
        values = np.zeros(shape, np.float32)
        spread, center = prep.scale.cpu().numpy(), prep.center.cpu().numpy()
        values[..., prep.targets] = center + spread * rng.normal(0, 3, (*shape[:2], len(prep.targets)))
        mask = rng.random(shape) < 0.9

        def judged(cut: slice) -> Tensor:
            _, judgement, statistic = self.detector(self._prepare(values[cut], mask[cut]))
            return torch.cat((judgement.logit, judgement.attention, torch.stack(statistic)))

        small = [judged(slice(i, i + SMALL_CHUNK)) for i in range(0, CHUNK, SMALL_CHUNK)]
        return torch.equal(torch.cat(small, 1), judged(slice(0, CHUNK)))

    def _prepare(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Prepared:
        prepared: Prepared = self.detector.preparation(
            torch.from_numpy(values).to(self.device), torch.from_numpy(mask).to(self.device)
        )
        return prepared

    def _chunk(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: NDArray[np.float32] | None
    ) -> Score:
        n = len(values)
        own = () if bias is None else (self._of_targets(bias),)
        statistic, told = self._found(self._size(n), values, mask, *own)
        return as_score(self.threshold.anomaly(statistic[:, :n].T), told[:, :n])

    def _of_targets(self, bias: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, C) → (n, M); a counter, whose level means nothing, has none."""
        prep = self.detector.preparation
        own = bias[:, prep.targets].astype(np.float32, copy=False)
        own[:, prep.counters] = 0
        return own


def _found(
    detector: Detector, planes: Planes, values: Tensor, mask: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(B, T, C) readings, their mask, (B, M) bias → (3, B) statistics, and what `Planes` tell."""
    own = None if bias is None else bias.t().contiguous()
    ground, judgement, statistic = detector(detector.preparation(values, mask), own)
    return torch.stack(statistic), planes(ground, judgement)


def _judged(detector: Detector, values: Tensor, mask: Tensor) -> tuple[Tensor]:
    """(B, T, C) readings and their mask → (B, 3) statistics alone."""
    _, _, statistic = detector(detector.preparation(values, mask))
    return (torch.stack(statistic, 1),)


def _empty(channels: int) -> Score:
    flat = np.zeros((0, channels), np.float32)
    return Score(
        np.zeros(0, np.float32), flat, flat, flat, flat, flat, flat.astype(np.int8), flat.astype(np.bool_),
        flat, flat, flat, flat.astype(np.int16),
    )  # fmt: skip
