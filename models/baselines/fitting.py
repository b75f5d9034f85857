"""A fault-free fleet → plain scorers with their thresholds: three parts that share no device, as the model's training.

What is usual on the first, how far residuals reach without a fault on the second, the threshold on the third.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.baselines.methods import Fit, RobustZ, WindowedPCA
from models.baselines.modes import Build, by_mode, weighed
from models.baselines.network import Autoencoder
from models.baselines.reading import Floats, Reader
from models.baselines.scorer import PlainScorer
from models.calibration import Threshold
from models.fleet import Series, Split, data_digest, draw
from models.preparation import ChannelSpec
from models.recipe import Progress, TrainingConfig
from models.scoring import ModelIdentity
from models.training import calibrate

WINDOWS = 12_000
"""Windows drawn for what is usual, and as many of the other devices."""
Windows = tuple[Floats, NDArray[np.bool_]]


class Recipe(NamedTuple):
    """How a plain method is fitted."""

    fit: Fit
    build: Build = weighed


PLAIN: Mapping[str, Recipe] = {
    "robust_z": Recipe(RobustZ),
    "robust_z_by_mode": Recipe(RobustZ, by_mode),
    "windowed_pca": Recipe(WindowedPCA),
    "windowed_pca_by_mode": Recipe(WindowedPCA, by_mode),
    "mlp_autoencoder": Recipe(Autoencoder),
}
"""Name → recipe. The windowed methods see settings and states beside the readings; the distance does not."""


def parted(series: Sequence[Series], seed: int) -> Split:
    """A quarter, a quarter and half of the devices: what is rarest, the threshold, takes most of them.

    Raises:
        ValueError: fewer than four devices.
    """
    if len(series) < 4:
        raise ValueError(f"{len(series)} devices; plain methods take four at least, to part them in three")
    order, quarter = np.random.default_rng(seed).permutation(len(series)), len(series) // 4
    first, second, third = np.split(order, [quarter, 2 * quarter])
    return Split(*([series[d] for d in part] for part in (first, second, third)))


def fit_plain(
    name: str, channels: Sequence[ChannelSpec], ground: Windows, others: Windows, identity: ModelIdentity,
    seed: int = 0,
) -> PlainScorer:  # fmt: skip
    """One method of `PLAIN` without a threshold yet.

    Args:
        ground: (N, T, C) fault-free windows and their mask, for what is usual.
        others: of other devices, for how far residuals reach.
    """
    reader = Reader(channels, *ground)
    recipe = PLAIN[name]
    fitted = recipe.build(recipe.fit, reader(*ground), reader(*others), seed)
    return PlainScorer(reader, fitted, Threshold.unfitted(len(reader.targets) + 1), identity)


def fit_scorers(
    names: Iterable[str], device_type: str, channels: Sequence[ChannelSpec], rows: int, stride: int, row_s: float,
    series: Sequence[Series], config: TrainingConfig, progress: Callable[[Progress], None] = lambda _: None,
) -> dict[str, PlainScorer]:  # fmt: skip
    """Plain scorers of one device type, each with a threshold for the budget and the rule of `config`.

    Args:
        names: of `PLAIN`.
        rows, stride, row_s: of a window, between windows, seconds a row.
        series: fault-free, of a device each.

    Raises:
        ValueError: too few devices, or none with rows enough for a window.
    """
    split, rng = parted(series, config.seed), np.random.default_rng(config.seed)
    ground, others = (draw(part, rows, WINDOWS, config.min_rows, rng) for part in split[:2])
    digest, scorers = data_digest(series), {}
    for name in names:
        identity = ModelIdentity(device_type, name, digest)
        scorer = fit_plain(name, channels, ground, others, identity, config.seed)
        threshold = calibrate(scorer, split.calibration, stride, row_s, config, progress)
        scorers[name] = scorer.with_threshold(threshold)
    return scorers
