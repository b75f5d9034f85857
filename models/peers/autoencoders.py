"""Two autoencoders over flat windows: a deep one, and USAD's pair of adversaries. Letters: B windows, D readings.

USAD after Audibert et al., "USAD: UnSupervised Anomaly Detection on Multivariate Time Series", KDD 2020.
"""

from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor, nn

from models.peers.common import Notice, Residuals, Standard
from models.peers.fitting import Course, Windows, descend, residuals, seeded

DEEP = Course(window=20, epochs=20)
ADVERSARIAL = Course(window=10, epochs=15)
LATENT = 32
_CLAMP = 5.0
"""The adversary gains no more than this from a bad reconstruction, or it would run away."""


class MlpAutoencoder(nn.Module):
    """D → 128 → 64 → 16 and back."""

    def __init__(self, D: int) -> None:
        super().__init__()
        sizes = [D, 128, 64, 16, 64, 128]
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*hidden, nn.Linear(sizes[-1], D))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1)).view_as(x)  # type: ignore[no-any-return]  # torch


def mlp_autoencoder(rows: Standard, seed: int, notice: Notice) -> Residuals:
    """Squared reconstruction error, mean over the window's rows."""
    with seeded(seed):
        net = MlpAutoencoder(DEEP.window * rows.train.shape[1])
        descend(net, lambda net, x, _: ((net(x) - x) ** 2).mean(), rows.train, DEEP, seed, notice)
    return residuals(net, lambda net, x: ((net(x) - x) ** 2).mean(1), rows, DEEP.window)


class Usad(nn.Module):
    """One encoder, two decoders; the second learns to tell the first one's output from data."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.encoder, self.first, self.second = _block(D, LATENT), _block(LATENT, D), _block(LATENT, D)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, D) → the first decoder's, the second's, and the second's of the first's."""
        z = self.encoder(x)
        first = self.first(z)
        return first, self.second(z), self.second(self.encoder(first))


def _block(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(a, 128), nn.ReLU(), nn.Linear(128, b))


def usad(rows: Standard, seed: int, notice: Notice) -> Residuals:
    """Half the first decoder's error and half that of the second after the first, mean over the window's rows."""
    with seeded(seed):
        net = Usad(ADVERSARIAL.window * rows.train.shape[1])
        _fight(net, rows, seed, notice)
    return residuals(net, _usad_error, rows, ADVERSARIAL.window)


def _fight(net: Usad, rows: Standard, seed: int, notice: Notice) -> None:
    windows, rng = Windows(rows.train, ADVERSARIAL.window), np.random.default_rng(seed)
    honest, forger = (
        torch.optim.Adam(chain(net.encoder.parameters(), decoder.parameters()), ADVERSARIAL.rate)
        for decoder in (net.first, net.second)
    )
    for epoch in range(1, ADVERSARIAL.epochs + 1):
        order = torch.from_numpy(rng.permutation(windows.n))
        for i in range(0, windows.n, ADVERSARIAL.batch):
            x = windows.at(order[i : i + ADVERSARIAL.batch]).flatten(1)
            first, _, both = net(x)
            _step(honest, _mse(first, x) / epoch + (1 - 1 / epoch) * _mse(both, x))
            _, second, both = net(x)
            _step(forger, _mse(second, x) / epoch - (1 - 1 / epoch) * _mse(both, x).clamp(max=_CLAMP))
        notice(epoch, ADVERSARIAL.epochs)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch
    optimizer.step()


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).mean()


def _usad_error(net: Usad, x: Tensor) -> Tensor:
    flat = x.flatten(1)
    first, _, both = net(flat)
    error: Tensor = (0.5 * (first - flat) ** 2 + 0.5 * (both - flat) ** 2).view_as(x).mean(1)
    return error
