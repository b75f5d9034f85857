"""The normal device, learnt three ways: a temporal-attention autoencoder, a linear subspace, an expectation by context.

All three say what a healthy device would have sent. They see scaled windows only (`models.preparation`) and know no
fault; what their residuals mean is learnt in `models.attribution`. Letters: B windows, T rows, M targets, P time
patches of L rows, K context features, d width. Windows are the last axis: every step but the attention then runs along
memory, and a product of matrices gives each window a column of its own.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.attention import GatedBlock
from models.columns import linear, product, through, truth
from models.preparation import squash


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of the networks; the defaults serve every device type.

    Older artifacts have other sizes: `models.artifacts.AS_IT_WAS` holds what their manifests leave out.
    """

    patches: int = 8
    """Time patches that levels, liveliness and context are told by."""
    width: int = 32
    tokens: int = 4
    """Time tokens of the autoencoder's attention; 0: as many as patches."""
    heads: int = 4
    time_blocks: int = 1
    latent: int = 16
    channel_width: int = 16
    channel_blocks: int = 1
    context_hidden: int = 64
    scale_hidden: int = 32
    query_width: int = 16
    query_heads: int = 4
    max_components: int = 64
    variance_kept: float = 0.9


class TemporalAttentionAutoencoder(nn.Module):
    """Time tokens attend to each other, then a bottleneck; channels may attend to each other; all residuals gated.

    Time patches as tokens instead of single rows make it 11–18 times faster at equal width.
    """

    def __init__(self, config: ModelConfig, rows: int, targets: int, context: int) -> None:
        super().__init__()
        P, d, c = config.tokens or config.patches, config.width, config.channel_width
        if rows % P:
            raise ValueError(f"{rows} rows cannot be cut into {P} time tokens")
        self.P, self.L, self.M = P, rows // P, targets
        self.embed = nn.Linear(2 * self.L * targets, d)
        self.position = nn.Parameter(torch.randn(P, d) * 0.02)
        self.over_time = nn.Sequential(*(GatedBlock(d, config.heads) for _ in range(config.time_blocks)))
        self.bottleneck = nn.Linear(P * d, config.latent)
        self.reduce = nn.Linear(context, config.latent)
        self.expand = nn.Linear(2 * config.latent, targets * c)
        self.channel = nn.Parameter(torch.randn(targets, c) * 0.02)
        self.over_channels = nn.Sequential(
            *(GatedBlock(c, config.heads) for _ in range(config.channel_blocks))
        )
        self.row_weight = nn.Parameter(torch.randn(targets, c, rows) * c**-0.5)
        self.row_bias = nn.Parameter(torch.zeros(targets, 1, rows))

    def forward(self, z: Tensor, mask: Tensor, context: Tensor) -> Tensor:
        """(T, M, B) deviations, (T, M, B), (K, B) → reconstruction (T, M, B)."""
        h = self.over_time(self._tokens(z, mask))  # (P, d, B)
        latent = torch.tanh(linear(self.bottleneck, h.flatten(0, 1)))  # (latent, B)
        g = linear(self.expand, torch.cat((latent, linear(self.reduce, context)))).view(
            self.M, -1, z.shape[2]
        )
        g = self.over_channels(torch.relu(g) + self.channel[..., None])  # (M, c, B)
        y = torch.baddbmm(self.row_bias.transpose(1, 2), self.row_weight.transpose(1, 2), g)  # (M, T, B)
        return y.transpose(0, 1)

    def _tokens(self, z: Tensor, mask: Tensor) -> Tensor:
        """(T, M, B) deviations and mask → (P, d, B), the embedding of each time token."""
        P, width = self.P, self.L * self.M
        of_readings, of_mask = self.embed.weight.view(-1, width, 2).unbind(2)  # they alternate in it
        x = (self.position + self.embed.bias)[..., None]
        for part, w in ((z, of_readings * 0.5), (mask, of_mask.contiguous())):
            x = torch.baddbmm(x, w.expand(P, -1, -1), part.reshape(P, w.shape[1], -1))
        return x


class LinearSubspace(nn.Module):
    """Windowed principal components: the linear branch that stays beside every attention."""

    mean: Tensor
    basis: Tensor

    def __init__(self, rows: int, targets: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(rows * targets))
        self.register_buffer("basis", torch.zeros(rows * targets, components))

    @torch.no_grad()
    def fit(self, z: Tensor, variance: float) -> int:
        """Fit on (T, M, N) and keep the components that carry `variance`; returns how many are in use."""
        x = z.flatten(0, 1).t().double()
        self.mean.copy_(x.mean(0))
        x = x - x.mean(0)
        values, vectors = torch.linalg.eigh(x.T @ x / max(len(x) - 1, 1))
        values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
        kept = int(torch.searchsorted(values.cumsum(0) / values.sum().clamp(min=1e-12), variance)) + 1
        kept = min(kept, self.basis.shape[1])
        self.basis.zero_()
        self.basis[:, :kept] = vectors[:, :kept]
        return kept

    def forward(self, z: Tensor) -> Tensor:
        """(T, M, B) → what its projection leaves (T, M, B)."""
        x = z.flatten(0, 1) - self.mean[:, None]
        return x.sub_(product(self.basis, product(self.basis.t(), x))).view(z.shape)


class Expectation(nn.Module):
    """Level and liveliness of every target, patch by patch, from settings and states alone, each with its spread.

    It never sees the targets, so no fault can talk it round: its `expected` is the one shown to people, and the
    reconstructions work on what deviates from it. So they learn how deviations go together instead of what a mode
    change looks like.
    """

    restless: Tensor
    """(M,) 1 where the channel is read often enough for a patch to tell its liveliness."""

    def __init__(self, config: ModelConfig, targets: int, context: int) -> None:
        super().__init__()
        self.P, self.M = config.patches, targets
        self.register_buffer("restless", torch.zeros(targets))
        wide = 4 * config.patches * targets
        h = config.context_hidden
        self.straight = nn.Linear(context, h)
        self.bent = nn.Sequential(nn.Linear(context, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU())
        self.out = nn.Linear(2 * h, wide)
        nn.init.zeros_(self.out.weight)

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(K, B) → level, log spread of the level, liveliness, log spread of it; each (P, M, B)."""
        h = torch.cat((linear(self.straight, context), through(self.bent, context)))
        y = linear(self.out, h).view(self.P, 4, self.M, -1)
        level, level_spread, lively, lively_spread = y.unbind(1)
        return level, level_spread.clamp(-6, 4), lively, lively_spread.clamp(-6, 4)

    def deviation(self, z: Tensor, level: Tensor, spread: Tensor, lively: Tensor) -> Tensor:
        """(T, M, B) off the expected level, in spreads of a single row, squashed; the others (P, M, B)."""
        variance = torch.addcmul(torch.exp(2 * spread), self.restless[:, None], torch.exp(2 * lively))
        off = (z.view(self.P, -1, *z.shape[1:]) - level[:, None]).mul_(variance.rsqrt_()[:, None])
        return squash(off.view(z.shape))


class Levels(NamedTuple):
    """What the time patches of windows say, each (P, M, B); "told" is 1.0 or 0.0."""

    level: Tensor
    """Mean of the readings."""
    told: Tensor
    lively: Tensor
    """Log standard deviation of the readings; wants three of them to be told."""
    lively_told: Tensor
    readings: Tensor
    """How many."""


def patch_levels(z: Tensor, mask: Tensor, patches: int) -> Levels:
    """Levels of (T, M, B) readings."""
    _, M, B = z.shape
    zp, mp = z.reshape(patches, -1, M, B), mask.reshape(patches, -1, M, B)
    n = mp.sum(1)
    some = n.clamp(min=1.0)
    off = zp * mp
    level = off.sum(1).div_(some)
    off.addcmul_(level[:, None], mp, value=-1).square_()
    lively = off.sum(1).div_(some).add_(1e-5).log_().mul_(0.5)
    return Levels(level, truth(torch.gt, n, 0.0), lively, truth(torch.ge, n, 3.0), n)
