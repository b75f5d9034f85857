"""Temporal attention over the patches of one channel: what the window should look like, and whether its end is faulty.

A denoising autoencoder and a fault head on the same tokens. The autoencoder is taught to give back the healthy signal
under a faulty one, so its answer is the `expected` shown to people; the head is taught on injected faults whether the
newest readings are faulty, given all before. Letters: B windows, T rows, P patches of L rows, d width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.attention import GatedBlock


@dataclass(frozen=True, slots=True)
class RhythmConfig:
    """Sizes of the network."""

    rows: int = 192
    patches: int = 16
    width: int = 48
    heads: int = 4
    blocks: int = 3


class RhythmNetwork(nn.Module):
    """One channel's windows → healthy signal and log odds of a fault at the window's end."""

    center: Tensor
    scale: Tensor

    def __init__(self, config: RhythmConfig) -> None:
        super().__init__()
        P, d = config.patches, config.width
        if config.rows % P:
            raise ValueError(f"{config.rows} rows cannot be cut into {P} patches")
        self.P, self.L = P, config.rows // P
        self.register_buffer("center", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))
        self.embed = nn.Linear(2 * self.L, d)
        self.position = nn.Parameter(torch.randn(P, d) * 0.02)
        self.over_time = nn.Sequential(*(GatedBlock(d, config.heads) for _ in range(config.blocks)))
        self.norm = nn.LayerNorm(d)
        self.decode = nn.Linear(d, self.L)
        self.head = nn.Sequential(nn.Linear(3 * d, d), nn.ReLU(), nn.Linear(d, 1))

    @torch.no_grad()
    def fit_scale(self, readings: Tensor) -> None:
        """Set the scaler from readings of healthy machines, in the channel's unit."""
        self.center.copy_(readings.mean())
        self.scale.copy_(readings.std().clamp(min=1e-6))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) in units, (B, T) bool → (B, T) healthy signal in units, (B,) log odds."""
        B = len(x)
        z = torch.where(mask, (x - self.center) / self.scale, 0.0).view(B, self.P, self.L)
        told = mask.view(B, self.P, self.L).to(z.dtype)
        tokens = self.embed(torch.cat((z, told), -1)) + self.position
        h = self.norm(self.over_time(tokens.permute(1, 2, 0).contiguous()).permute(2, 0, 1))  # (B, P, d)
        healthy = self.decode(h).view(B, -1) * self.scale + self.center
        there = told.amax(-1, keepdim=True)  # (B, P, 1)
        mean = (h * there).sum(1) / there.sum(1).clamp(min=1.0)
        most = (h - 30.0 * (1.0 - there)).amax(1)
        return healthy, self.head(torch.cat((h[:, -1], mean, most), -1)).squeeze(-1)
