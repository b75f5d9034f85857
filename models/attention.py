"""Attention blocks: scaled dot product, several heads, gated residual, and a query that has learnt what a fault is.

Letters: B windows, N tokens (time patches or channels), d width, h heads. Knows no channel and no unit.
"""

import math

import torch
from torch import Tensor, nn

SCORE_LIMIT = 30.0
"""Attention scores beyond this are as good as certain."""


def scaled_dot_product(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ / √d) v of Vaswani et al., "Attention Is All You Need" (2017), equation 1.

    q, k, v are (..., N, d); returns the mixed values (..., N, d) and the weights (..., N, N), rows of which sum
    to 1. Scores are kept within ±SCORE_LIMIT instead of subtracting each row's largest: over a dozen tokens that is
    several times faster than the library's softmax, and the weights are wanted, which fused kernels don't give.
    """
    score = (q @ k.transpose(-1, -2)) * (1 / math.sqrt(q.shape[-1]))  # (..., N, N)
    grown = torch.exp(torch.clamp(score, -SCORE_LIMIT, SCORE_LIMIT))
    weights = grown / (grown @ grown.new_ones(grown.shape[-1], 1))
    return weights @ v, weights


class Norm(nn.Module):
    """Layer normalization (Ba et al., 2016) without shift, by matrix products: the kernel is slow on short rows."""

    centring: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.register_buffer("centring", torch.eye(width) - 1 / width, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) → (..., d)."""
        centred = x @ self.centring
        variance = (centred * centred) @ x.new_full((x.shape[-1], 1), 1 / x.shape[-1])
        return centred * torch.rsqrt(variance + 1e-5) * self.weight


class MultiHeadAttention(nn.Module):
    """Self-attention with query, key and value projections in `heads` heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} cannot be split into {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, d) → (B, N, d)."""
        B, N, d = x.shape
        q, k, v = (
            self.qkv(x).view(B, N, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        )  # (B, h, N, d/h)
        mixed, _ = scaled_dot_product(q, k, v)
        y: Tensor = self.out(mixed.transpose(1, 2).reshape(B, N, d))
        return y


class GatedBlock(nn.Module):
    """Attention, then a feed-forward layer, each behind a gated residual: `γ · f(x) + x`, γ learnt from 0.

    With γ = 0 the block is the identity, so attention has to earn its place in training (Zhang et al.,
    "Self-Attention Generative Adversarial Networks", 2019, section 3, use the same gate).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention = Norm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.gamma_attention = nn.Parameter(torch.zeros(()))
        self.norm_forward = Norm(width)
        self.forward_layer = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )
        self.gamma_forward = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, d) → (B, N, d)."""
        x = self.gamma_attention * self.attention(self.norm_attention(x)) + x
        y: Tensor = self.gamma_forward * self.forward_layer(self.norm_forward(x)) + x
        return y


class FaultQuery(nn.Module):
    """Learnt queries look over the channels' tokens for the one at fault; their softmax is the channels' attention.

    What a query asks for is learnt on injected faults (`models.injection`): the attention of an autoencoder that
    only reconstructs ranks channels worse than chance (`models/LOG.md`).
    """

    def __init__(self, features: int, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} cannot be split into {heads} heads")
        self.heads = heads
        self.embed = nn.Linear(features, width)
        self.between = GatedBlock(width, heads)
        self.key = nn.Linear(width, width)
        self.query = nn.Parameter(torch.randn(heads, width // heads) * width**-0.5)

    def forward(self, features: Tensor, absent: Tensor) -> Tensor:
        """(B, C, features), (B, C) bool → (B, C) attention; rows sum to 1, absent channels get 0 (unless all are)."""
        B, C, _ = features.shape
        x = self.between(torch.relu(self.embed(features)))  # (B, C, d)
        k = self.key(x).view(B, C, self.heads, -1)
        score = (k * self.query).sum(-1) / math.sqrt(self.query.shape[-1])  # (B, C, h)
        counted = ~absent | absent.all(1, keepdim=True)
        grown = torch.exp(torch.clamp(score, -SCORE_LIMIT, SCORE_LIMIT)) * counted[..., None]
        return (grown / grown.sum(1, keepdim=True).clamp(min=1e-20)).mean(-1)
