"""Linear layers over windows that are columns: (in, B) → (out, B), or (N, in, B) → (N, out, B) with N tokens.

Windows as the last axis give every step one long run of memory and every window a column of its own. Knows no network.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """`layer` on the columns of (in, B) → (out, B), or of each token of (N, in, B) → (N, out, B)."""
    return affine(layer.weight, layer.bias, x)


def through(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Linear layers and what stands between them, one after the other."""
    for layer in layers:
        x = linear(layer, x) if isinstance(layer, nn.Linear) else layer(x)
    return x


def affine(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """weight · x + bias for every column of (in, B) or (N, in, B)."""
    if x.ndim == 3:
        return torch.baddbmm(bias[:, None], weight.expand(len(x), -1, -1), x)
    if _onednn_serves(x):
        return product(weight, x).add_(bias[:, None])
    return torch.addmm(bias[:, None], weight, x)


def product(weight: Tensor, x: Tensor) -> Tensor:
    """weight · x for (in, B) columns.

    Scoring on the CPU takes oneDNN's kernel where this build of torch has it: torch's own `mm` goes to MKL, which uses
    half the width of the vector units of some processors (105 against 220 GFLOP/s measured on an EPYC of 2024).
    """
    if _onednn_serves(x):
        kernel = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 -- no public name reaches it in float32
        y: Tensor = kernel(weight, x.t(), None, "none", [], "")
        return y
    return weight @ x


def _onednn_serves(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and _onednn_is_there()
    )


@cache
def _onednn_is_there() -> bool:
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return there and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def truth(compare: Callable[..., Any], x: Tensor, y: Tensor | float) -> Tensor:
    """1.0 where `compare` (`torch.ge` and its like) finds `x` and `y` so, else 0.0; without a gradient.

    Written as numbers at once: truth values are compared, converted and chosen by one by one, ten times slower.
    """
    shape = x.shape if isinstance(y, float | int) else np.broadcast_shapes(x.shape, y.shape)
    found: Tensor = compare(x, y, out=x.new_empty(shape))
    return found
