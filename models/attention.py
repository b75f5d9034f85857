"""Attention blocks: scaled dot product, several heads, gated residual, and a query that has learnt what a fault is.

Letters: B windows (last axis), N tokens (time patches or channels), d width, h heads of width w. Knows no channel and
no unit.
"""

import math

import torch
from torch import Tensor, nn

from models.columns import affine, linear, through

SCORE_LIMIT = 30.0
"""Attention scores beyond this are as good as certain."""


def scaled_dot_product(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ / √w) v of Vaswani et al., "Attention Is All You Need" (2017), equation 1.

    q, k, v are (N, w, h, B); returns the mixed values (N, w, h, B) and the weights (N, N, h, B), which sum to 1 over
    their second axis. Both products are sums over a few terms, each over all windows at once: with a dozen tokens
    that is faster than as many small products of matrices as there are windows and heads.
    """
    N, w = q.shape[:2]
    asking, asked = (q * (1 / math.sqrt(w))).unsqueeze(1).unbind(2), k.unsqueeze(0).unbind(2)
    score = asking[0] * asked[0]  # (N, N, h, B)
    for i in range(1, w):
        score = score.addcmul_(asking[i], asked[i])
    weights = torch.softmax(score, 1)
    part, value = weights.unsqueeze(2).unbind(1), v.unbind(0)
    mixed = part[0] * value[0]
    for n in range(1, N):
        mixed = mixed.addcmul_(part[n], value[n])
    return mixed, weights


class Norm(nn.Module):
    """Layer normalization (Ba et al., 2016) over the width, without shift."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, d, B) → (N, d, B)."""
        centred = x - x.mean(1, keepdim=True)
        variance = (centred * centred).mean(1, keepdim=True)
        return centred * torch.rsqrt(variance + 1e-5) * self.weight[:, None]


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
        """(N, d, B) → (N, d, B)."""
        N, d, B = x.shape
        h = self.heads
        # The heads' axis goes beside the windows: one long run of memory for every step of the attention.
        weight = self.qkv.weight.view(3, h, -1, d).transpose(1, 2).reshape(3 * d, d)
        bias = self.qkv.bias.view(3, h, -1).transpose(1, 2).reshape(3 * d)
        q, k, v = affine(weight, bias, x).view(N, 3, d // h, h, B).unbind(1)
        mixed, _ = scaled_dot_product(q, k, v)
        weight = self.out.weight.view(d, h, -1).transpose(1, 2).reshape(d, d)
        return affine(weight, self.out.bias, mixed.view(N, d, B))


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
        """(N, d, B) → (N, d, B)."""
        x = torch.addcmul(x, self.gamma_attention, self.attention(self.norm_attention(x)))
        return torch.addcmul(x, self.gamma_forward, through(self.forward_layer, self.norm_forward(x)))


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

    def forward(self, features: Tensor, present: Tensor) -> Tensor:
        """(features, N, B), (N, B) 1.0 or 0.0 → (N, B): columns sum to 1, absent channels get 0 (unless all are)."""
        F, N, B = features.shape
        # One product for all channels, then tokens first: strided tokens would be copied one by one.
        x = torch.relu(linear(self.embed, features.reshape(F, N * B))).view(-1, N, B)
        x = self.between(x.transpose(0, 1).contiguous())  # (N, d, B)
        counted = present + (1.0 - present.amax(0))
        score = torch.clamp(self._asked(x), -SCORE_LIMIT, SCORE_LIMIT)
        grown = torch.exp(score) * counted[:, None]  # (N, h, B)
        return (grown / grown.sum(0).clamp(min=1e-20)).mean(1)

    def _asked(self, x: Tensor) -> Tensor:
        """(N, d, B) → (N, h, B) query · key / √w; keys are folded into the queries, which are the same for all."""
        h, w = self.query.shape
        query = self.query * (1 / math.sqrt(w))
        weight = (self.key.weight.view(h, w, -1) * query[..., None]).sum(1)
        return affine(weight, (self.key.bias.view(h, w) * query).sum(1), x)
