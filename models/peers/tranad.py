"""TranAD: a transformer that reconstructs twice, the second time conditioned on its own first error.

After Tuli, Casale, Jennings, "TranAD: Deep Transformer Networks for Anomaly Detection in Multivariate Time Series",
PVLDB 15(6), 2022. Letters: B windows, T rows, C channels.
"""

import torch
from torch import Tensor, nn

from models.peers.common import Notice, Residuals, Standard
from models.peers.fitting import Course, descend, residuals, seeded

COURSE = Course(window=10, epochs=4)
_FORWARD = 16


class TranAd(nn.Module):
    """One encoder, two decoders, of width 2 C: the window and what it is conditioned on."""

    def __init__(self, C: int, rows: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(1, rows, 2 * C) * 0.02)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(2 * C, C, _FORWARD, 0.1, batch_first=True),
            1,
            enable_nested_tensor=False,
        )
        self.first, self.second = _decoder(C), _decoder(C)
        self.head = nn.Linear(2 * C, C)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C) → both reconstructions of the newest row, (B, C) each."""
        first = self._reconstruct(x, torch.zeros_like(x), self.first)
        return first[:, 0], self._reconstruct(x, (first - x) ** 2, self.second)[:, 0]

    def _reconstruct(self, x: Tensor, condition: Tensor, decoder: nn.Module) -> Tensor:
        seen = torch.cat([x, condition], -1) * (x.shape[-1] ** 0.5) * 0.1 + self.place
        asked = torch.cat([x[:, -1:], x[:, -1:]], -1)
        return self.head(decoder(asked, self.encoder(seen)))  # type: ignore[no-any-return]  # torch


def _decoder(C: int) -> nn.TransformerDecoder:
    return nn.TransformerDecoder(nn.TransformerDecoderLayer(2 * C, C, _FORWARD, 0.1, batch_first=True), 1)


def tranad(rows: Standard, seed: int, notice: Notice) -> Residuals:
    """Mean of both reconstructions' squared errors at the newest row."""
    with seeded(seed):
        net = descend(TranAd(rows.train.shape[1], COURSE.window), _loss, rows.train, COURSE, seed, notice)
    return residuals(net, _error, rows, COURSE.window)


def _loss(net: TranAd, x: Tensor, epoch: int) -> Tensor:
    """The second reconstruction counts more from epoch to epoch."""
    first, second = (((y - x[:, -1]) ** 2).mean() for y in net(x))
    loss: Tensor = first / (epoch + 1) + second * (1.1 - 1 / (epoch + 1))
    return loss


def _error(net: TranAd, x: Tensor) -> Tensor:
    first, second = net(x)
    error: Tensor = 0.5 * (first - x[:, -1]) ** 2 + 0.5 * (second - x[:, -1]) ** 2
    return error
