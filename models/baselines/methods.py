"""Two plain methods, fitted on fault-free windows: what they expect, and how far off it a window is.

Letters as in `reading.py`; D = T · M + K numbers a window.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from models.attribution import recency
from models.baselines.reading import CHUNK, FLOOR, Floats, Inputs, Spread
from models.launching import filled
from models.peers.linear import principal
from models.preparation import ALIGNED

TAIL = 0.99
"""A channel's residual is counted in what this part of the fault-free windows stays below."""


class Method(Protocol):
    """Expects something of every reading."""

    @property
    def spread(self) -> Spread: ...

    def residuals(self, x: Inputs) -> Floats:
        """(B, T, M) readings less what is expected of them, in spreads."""
        ...


class Told(NamedTuple):
    """What a method says of B windows, the newest rows counting most."""

    energy: Floats
    """(B, M) mean square of the residual, in what it reaches without a fault; 0 without a reading."""
    off: Floats
    """(B, M) mean of the residual in the method's spreads, NaN without a reading."""
    scale: Floats
    """(B, M) one of those spreads in those of `Inputs.z`."""


class Fitted(Protocol):
    """A method with the tails of its residuals; or several of them."""

    def tell(self, x: Inputs) -> Told: ...


Fit = Callable[[Inputs, int], Method]
"""Fault-free windows and a seed → the method."""


@dataclass(frozen=True)
class Weighed:
    """A method whose residuals are compared with those of windows that it was not fitted on."""

    method: Method
    usual: Floats
    """(M,) energy that `TAIL` of the fault-free windows stay below."""

    @classmethod
    def of(cls, method: Method, others: Inputs) -> "Weighed":
        """`others`: fault-free windows of other devices than those it was fitted on."""
        energy, _ = over_time(method.residuals(others), others.told)
        usual = np.maximum(np.quantile(energy, TAIL, axis=0), FLOOR**2).astype(np.float32)
        return cls(method, usual)

    def tell(self, x: Inputs) -> Told:
        energy, off = over_time(self.method.residuals(x), x.told)
        scale = np.broadcast_to(self.method.spread.scale, energy.shape)
        return Told(energy / self.usual, off, scale)


def over_time(residual: Floats, told: Floats) -> tuple[Floats, Floats]:
    """(B, T, M) → (B, M) mean square, 0 without a reading, and mean, NaN without one; weights fade by a quarter."""
    weight = recency(residual.shape[1])[1].numpy()[:, None] * told
    n = weight.sum(1)
    some = np.where(n > 0, n, np.nan)
    weighed = weight * residual
    energy = np.nan_to_num((weighed * residual).sum(1) / some)
    return energy.astype(np.float32), (weighed.sum(1) / some).astype(np.float32)


class RobustZ:
    """Distance from the fleet's median in robust spreads."""

    def __init__(self, x: Inputs, seed: int = 0) -> None:  # noqa: ARG002 -- one signature for all
        self.spread = Spread.of(x)

    def residuals(self, x: Inputs) -> Floats:
        """See `Method.residuals`."""
        return self.spread.standard(x.z)


class WindowedPCA:
    """Distance from the windows' principal subspace: the strongest plain peer on public data."""

    def __init__(self, x: Inputs, seed: int = 0) -> None:  # noqa: ARG002 -- one signature for all
        self.spread = Spread.of(x)
        flat = flattened(self.spread, x)
        self._mean = flat.mean(0, dtype=np.float64).astype(np.float32)
        flat -= self._mean
        basis = principal((flat.T @ flat).astype(np.float64))
        width, kept = basis.shape
        # Filled up with zeros: products of matrices of odd widths round by where a row stands.
        self._to = torch.zeros(width, -(-kept // ALIGNED) * ALIGNED)
        self._to[:, :kept] = torch.from_numpy(basis.astype(np.float32))
        self._back = self._to.t().contiguous()

    def residuals(self, x: Inputs) -> Floats:
        """See `Method.residuals`."""
        flat = flattened(self.spread, x) - self._mean
        return unflattened(flat - in_chunks(lambda y: y @ self._to @ self._back, flat), x)


def flattened(spread: Spread, x: Inputs) -> Floats:
    """(B, D) standardized readings, and what settings and states say."""
    z = spread.standard(x.z)
    return np.concatenate([z.reshape(len(z), z.shape[1] * z.shape[2]), x.context], 1)


def unflattened(flat: Floats, x: Inputs) -> Floats:
    """(B, D) → (B, T, M): what was of readings."""
    _, T, M = x.z.shape
    return flat[:, : T * M].reshape(len(flat), T, M)


@torch.inference_mode()
def in_chunks(apply: Callable[[Tensor], Tensor], x: Floats) -> Floats:
    """`apply` to (B, D), `CHUNK` windows at a time; numpy's products round by where a row stands, torch's do not."""
    cuts = (x[i : i + CHUNK] for i in range(0, len(x), CHUNK))
    parts = [apply(torch.from_numpy(filled(cut, CHUNK)))[: len(cut)].numpy() for cut in cuts]
    return np.concatenate(parts) if parts else np.zeros_like(x)
