"""Descends the loss of a peer's network over training windows, with early stopping; and applies it row by row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models.peers.common import Array, Notice, Residuals, Rows, Standard, padded

Net = TypeVar("Net", bound=nn.Module)
PATIENCE = 3
"""Epochs without a better held-back loss."""
_PASS = 1024


class Course(NamedTuple):
    """How a network is fitted; Adam, the last tenth of the training rows decides when to stop."""

    window: int
    epochs: int
    batch: int = 256
    rate: float = 1e-3


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The same numbers from torch for the same seed, without a trace in what comes after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class Windows:
    """(n, C) rows as the windows that end at them, cut when they are asked for."""

    def __init__(self, z: Rows, window: int) -> None:
        self._rows, self._offset = torch.from_numpy(padded(z, window)), torch.arange(window)
        self.n = len(z)

    def at(self, rows: Tensor) -> Tensor:
        """(B,) rows → (B, window, C)."""
        return self._rows[rows[:, None] + self._offset]


def descend(
    net: Net,
    loss: Callable[[Net, Tensor, int], Tensor],
    train: Rows,
    course: Course,
    seed: int,
    notice: Notice,
) -> Net:
    """Fit in place, keep the best epoch. `loss` gets the network, (B, window, C) windows and the epoch."""
    windows, rng = Windows(train, course.window), np.random.default_rng(seed)
    held = max(64, windows.n // 10)
    order, kept = np.arange(max(windows.n - held, 1)), torch.arange(max(windows.n - held, 0), windows.n)
    optimizer = torch.optim.Adam(net.parameters(), course.rate)
    best, state, waited = np.inf, net.state_dict(), 0
    for epoch in range(course.epochs):
        net.train()
        for rows in _batches(rng, order, course.batch):
            step = loss(net, windows.at(rows), epoch)
            optimizer.zero_grad()
            step.backward()  # type: ignore[no-untyped-call]  # torch
            optimizer.step()
        now = _held_back(net, loss, windows, kept, epoch)
        notice(epoch + 1, course.epochs)
        if now < best - 1e-5:
            best, state, waited = now, {k: v.clone() for k, v in net.state_dict().items()}, 0
        elif (waited := waited + 1) >= PATIENCE:
            break
    net.load_state_dict(state)
    return net


def _batches(rng: np.random.Generator, order: np.ndarray, batch: int) -> Iterator[Tensor]:
    rng.shuffle(order)
    for i in range(0, len(order), batch):
        yield torch.from_numpy(order[i : i + batch])


@torch.no_grad()
def _held_back(
    net: Net, loss: Callable[[Net, Tensor, int], Tensor], windows: Windows, kept: Tensor, epoch: int
) -> float:
    net.eval()
    parts = [loss(net, windows.at(kept[i : i + _PASS]), epoch).item() for i in range(0, len(kept), _PASS)]
    return float(np.mean(parts))


@torch.no_grad()
def apply(net: Net, error: Callable[[Net, Tensor], Tensor], z: Rows, window: int) -> Array:
    """(n, C) → (n, C): `error` turns (B, window, C) windows into (B, C)."""
    net.eval()
    windows = Windows(z, window)
    every = torch.arange(windows.n)
    parts = [error(net, windows.at(every[i : i + _PASS])).numpy() for i in range(0, windows.n, _PASS)]
    return np.concatenate(parts).astype(np.float64)


def residuals(net: Net, error: Callable[[Net, Tensor], Tensor], rows: Standard, window: int) -> Residuals:
    """Of both splits."""
    return Residuals(*(apply(net, error, z, window) for z in rows))
