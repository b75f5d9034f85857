"""Linear layers over windows that are columns: (in, B) → (out, B), with or without tokens before it.

Windows as the last axis give every step one long run of memory and every window a column of its own. Knows no network.
"""

import torch
from torch import Tensor, nn


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """`layer` on the columns of (in, B) → (out, B), or of each token of (N, in, B) → (N, out, B)."""
    return affine(layer.weight, layer.bias, x)


def affine(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """weight · x + bias for every column of (in, B) or (N, in, B)."""
    if x.ndim == 2:
        return torch.addmm(bias[:, None], weight, x)
    return torch.baddbmm(bias[:, None], weight.expand(len(x), -1, -1), x)
