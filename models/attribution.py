"""Residuals → calibrated statistics per channel → evidence and share per channel.

Three steps. Statistics: how large, how one-sided, how restless each channel's residual is, over the newest rows and
over the whole window. Calibration: each statistic in spreads from what is usual *in this context*, so that a start-up
is compared with start-ups. Evidence: a power law of the statistics times the attention of a query that has learnt on
injected faults which channel is at fault when several move together. Letters: B windows (last axis), M targets, F
statistics.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.attention import FaultQuery
from models.autoencoder import ModelConfig
from models.columns import linear, through

STATISTICS = (
    "subspace_rms_new", "subspace_rms_mid", "subspace_rms_all", "subspace_bias_mid", "subspace_bias_all",
    "reconstruction_rms_new", "reconstruction_rms_mid", "reconstruction_rms_all",
    "reconstruction_bias_mid", "reconstruction_bias_all",
    "level_new", "level_mid", "level_all",
    "livelier_mid", "livelier_all", "stiller_mid", "stiller_all",
    "jump",
)  # fmt: skip
"""Names of the F statistics, in order."""
SUBSPACE_MID, RECONSTRUCTION_MID = map(STATISTICS.index, ("subspace_rms_mid", "reconstruction_rms_mid"))
LIVELINESS = slice(STATISTICS.index("livelier_mid"), STATISTICS.index("jump"))
"""Those that want liveliness to be told."""
FLOOR = 0.05
"""Added before the logarithm: a residual of a twentieth of a channel's spread is no residual."""


def recency(rows: int) -> Tensor:
    """(3, rows) weights that fade with age by a sixteenth, a quarter of the window, and not at all.

    Without fading a flat window stays high for its whole length after an event; those tails were most of the false
    positives of the prototypes.
    """
    age = torch.arange(rows - 1, -1, -1, dtype=torch.float32)
    return torch.stack((torch.exp(-age * 16 / rows), torch.exp(-age * 4 / rows), torch.ones(rows)))


def _over_time(weights: Tensor, x: Tensor) -> Tensor:
    """(k, T) weights over (T, M, B) → (k, M, B)."""
    return (weights @ x.reshape(x.shape[0], -1)).view(-1, *x.shape[1:])


class Statistics(nn.Module):
    """Log statistics of every channel's residuals."""

    weights: Tensor
    patch_weights: Tensor

    def __init__(self, rows: int, patches: int) -> None:
        super().__init__()
        self.register_buffer("weights", recency(rows), persistent=False)
        self.register_buffer("patch_weights", recency(patches), persistent=False)

    def forward(
        self, residuals: tuple[Tensor, Tensor], mask: Tensor,
        level: Tensor, level_told: Tensor, lively: Tensor, lively_told: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Two (T, M, B) residuals, their mask, and the (P, M, B) standardized level and liveliness with where told.

        Returns (F, M, B) log statistics and (F, M, B) 1.0 where the readings allowed them, else 0.0.
        """
        n = _over_time(self.weights, mask).clamp(min=1e-6)
        parts = []
        for r in residuals:
            r = r * mask
            bias = (_over_time(self.weights[1:], r) / n[1:]).abs_()
            rms = (_over_time(self.weights, r.square_()) / n).sqrt_()
            parts += [rms, bias]
        pn = _over_time(self.patch_weights, level_told).clamp(min=1e-6)
        mean_level = _over_time(self.patch_weights, level * level_told) / pn
        parts.append(mean_level.abs())
        ln = _over_time(self.patch_weights[1:], lively_told)
        mean_lively = _over_time(self.patch_weights[1:], lively * lively_told) / ln.clamp(min=1e-6)
        parts += [mean_lively.clamp(min=0.0), (-mean_lively).clamp(min=0.0)]
        parts.append((mean_level[0] - mean_level[2]).abs()[None])
        told = mask.amax(0).repeat(len(STATISTICS), 1, 1)
        told[LIVELINESS].mul_(lively_told.amax(0))
        return torch.cat(parts).add_(FLOOR).log_(), told


class ContextScale(nn.Module):
    """What each statistic usually is in a context, how much it varies, and how far out its tail reaches there."""

    usual: Tensor
    spread: Tensor
    tail: Tensor

    def __init__(self, config: ModelConfig, targets: int, context: int) -> None:
        super().__init__()
        self.F, self.M = len(STATISTICS), targets
        self.register_buffer("tail", torch.ones(self.F, 1, targets))
        self.register_buffer("usual", torch.zeros(self.F, 1, targets))
        self.register_buffer("spread", torch.ones(self.F, 1, targets))
        self.hidden = nn.Sequential(nn.Linear(context, config.scale_hidden), nn.ReLU())
        self.out = nn.Linear(config.scale_hidden, 3 * self.F * targets)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(K, B) → usual, spread and log tail, each (F, M, B)."""
        y = linear(self.out, through(self.hidden, context)).view(3, self.F, self.M, -1)
        usual, spread, tail = (x.transpose(1, 2) for x in (self.usual, self.spread, self.tail))  # (F, M, 1)
        return (
            torch.addcmul(usual, y[0], spread),
            spread * torch.exp(y[1].clamp(-1.5, 2.0)),
            torch.log(tail) + y[2].clamp(-1.5, 2.5),
        )

    def standardize(self, logs: Tensor, told: Tensor, context: Tensor) -> Tensor:
        """(F, M, B) log statistics → how far out in their own tail, 0 where not told.

        The tail stretches each statistic so that one window in a hundred without a fault reaches 2.33 *in its
        context*, as of a normal distribution: a channel that look-alikes or mode changes often move far needs more
        than one that stands still, and one that is steady now is not excused by how it starts up.
        """
        usual, spread, tail = self.forward(context)
        u = (logs - usual).div_(spread)
        over = u.clamp(min=0.0).mul_(tail.neg_().exp_())
        return u.clamp_(max=0.0).add_(over).mul_(told)


def soften(u: Tensor) -> Tensor:
    """Linear up to 6 spreads, then logarithmic; below -2 flat: a residual smaller than usual is no evidence."""
    over = (u * 0.5 - 3.0).clamp_(min=0.0).add_(1.0).log_()
    return torch.clamp(u, -2.0, 6.0).add_(over, alpha=2.0)


class Judgement(NamedTuple):
    """What the evidence says of B windows; M targets."""

    logit: Tensor
    """(M, B) evidence that the channel is at fault, log odds."""
    attention: Tensor
    """(M, B) attention of the fault query; columns sum to 1."""
    strength: Tensor
    """(M, B) log of the residual's part of the evidence."""


class Evidence(nn.Module):
    """Channel evidence = residual strength × attention, taught by per-channel cross-entropy on injected faults."""

    def __init__(self, config: ModelConfig, targets: int) -> None:
        super().__init__()
        F = len(STATISTICS)
        self.power = nn.Parameter(torch.full((F,), 0.15))
        self.own_power = nn.Parameter(torch.zeros(targets, F))
        self.bias = nn.Parameter(torch.tensor(-4.0))
        self.own_bias = nn.Parameter(torch.zeros(targets))
        self.query = FaultQuery(F, config.query_width, config.query_heads)
        self.sharpness = nn.Parameter(torch.tensor(1.0))

    def forward(self, u: Tensor, present: Tensor) -> Judgement:
        """(F, M, B) softened calibrated statistics, (M, B) 1.0 where the target is present, else 0.0 → `Judgement`."""
        power = (self.power + self.own_power).t()  # (F, M)
        strength = (u * power[..., None]).sum(0) + (self.bias + self.own_bias)[:, None]
        attention = self.query(u * 0.3, present)
        many = present.sum(0).clamp(min=1)
        logit = strength + self.sharpness * torch.log(attention * many + 1e-4)
        return Judgement(_if_present(logit, present), attention, _if_present(strength, present))


def _if_present(evidence: Tensor, present: Tensor) -> Tensor:
    """(M, B) evidence, and as good as none (-30) of an absent target."""
    return (evidence + 30.0) * present - 30.0


def shares(judgement: Judgement) -> tuple[Tensor, Tensor, Tensor]:
    """Share, its attention part and its residual part, each (M, B) with columns that sum to 1.

    share ∝ attention^s · residual, where s is the sharpness that training gave the attention: the softmax of the
    evidence itself.
    """
    return torch.softmax(judgement.logit, 0), judgement.attention, torch.softmax(judgement.strength, 0)
