"""Where the expectation begins: what settings and states explain in a straight line, by least squares.

A level mostly follows its setting in proportion. Gradients would find that as well, but in whichever features are
steepest where most windows are, the ranks; where a setting was seldom, they saturate and the expectation with them. So
the straight half of the expectation begins at the robust least-squares fit on the settings as they are, and what is
learnt after it are the bends. Knows no training loop. Letters: F features, O outputs (patches x targets), N windows.
"""

import torch
from torch import Tensor

from models.autoencoder import Expectation, Levels

SAMPLE = 10_000
"""Windows that the lines are fitted on; the first ones, which are drawn at random as all are."""
ROUNDS = 4
"""Of reweighting: an odd window counts as one of a Student t with 4 degrees of freedom does."""
RIDGE = 1e-4
FEW = 100
"""Windows that told an output; with fewer its line stays flat at 0."""
WILD = 30.0
"""Levels further out than so many scales are all the same."""
SHARPEST = 2e-3
"""Least spread around a line, in scales: what never changed is not known better than this."""


@torch.no_grad()
def begin_straight(expectation: Expectation, context: Tensor, plain: list[int], seen: Levels) -> None:
    """Set the straight half of `expectation`, in place, to the lines that explain most of the levels.

    As many lines as it has hidden features: the directions in which the fitted levels differ most, in spreads of what
    the lines leave (reduced-rank regression, Izenman, 1975). The spreads begin at those as well.

    Args:
        context: (K, N) of `models.preparation`. plain: features to use, those without ranks.
        seen: levels of the same windows, each (P, M, N).
    """
    P, M, _ = seen.level.shape
    x = context[plain, :SAMPLE].double().cpu()
    y, told = (part[..., :SAMPLE].flatten(0, 1).double().cpu() for part in (seen.level, seen.told))
    lines, spread = _lines(x, y.clamp(-WILD, WILD), told)
    directions, _, _ = torch.linalg.svd((lines @ x) / spread[:, None], full_matrices=False)
    directions = directions[:, : expectation.straight.out_features]  # (O, R)
    into = directions.t() @ (lines / spread[:, None])  # (R, F)
    size = into.norm(dim=1).clamp(min=1e-9)
    R = len(into)
    weight = expectation.straight.weight[:R].zero_()
    weight[:, plain] = (into / size[:, None]).to(weight)
    expectation.straight.bias[:R] = 0
    out = expectation.out.weight.view(P, 4, M, -1)
    out[:, 0, :, :R] = (directions * spread[:, None] * size).view(P, M, R).to(out)
    bias = expectation.out.bias.zero_().view(P, 4, M)
    bias[:, 1] = spread.log().view(P, M).to(bias)


def _lines(x: Tensor, y: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """(F, N), (O, N), (O, N) → (O, F) lines and (O,) the spread of what they leave, 1 of an output hardly told."""
    lines, spread = y.new_zeros(len(y), len(x)), y.new_ones(len(y))
    ridge = RIDGE * torch.eye(len(x), dtype=x.dtype)
    for o in torch.nonzero(told.sum(1) >= FEW).flatten().tolist():
        weight, n = told[o], told[o].sum()
        for _ in range(ROUNDS):
            weighted = x * weight
            lines[o] = torch.linalg.solve(weighted @ x.t() / n + ridge, weighted @ y[o] / n)
            off = (y[o] - lines[o] @ x).abs()
            spread[o] = (1.48 * off[told[o] > 0].median()).clamp(min=SHARPEST)
            weight = told[o] / (1 + (off / spread[o]) ** 2 / 4)
    return lines, spread
