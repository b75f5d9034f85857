"""Is one method better than another, or were the series lucky? Paired bootstrap over series."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

DRAWS = 10_000


class Interval(NamedTuple):
    """Mean of the paired differences and the interval that holds it in 95 of 100 samples of series."""

    difference: float
    low: float
    high: float
    series: int


def paired_bootstrap(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> Interval:
    """Percentile interval of the mean difference, series drawn with replacement (Efron, 1979).

    Args:
        ours, theirs: the same figure of the same series, in the same order.

    Raises:
        ValueError: not as many of one as of the other, or none.
    """
    difference = np.subtract(ours, theirs) if len(ours) == len(theirs) else np.zeros(0)
    if not len(difference):
        raise ValueError("a comparison needs the same series on both sides, at least one")
    drawn = np.random.default_rng(seed).integers(len(difference), size=(DRAWS, len(difference)))
    low, high = np.quantile(difference[drawn].mean(1), [0.025, 0.975])
    return Interval(float(difference.mean()), float(low), float(high), len(difference))
