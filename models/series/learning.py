"""Recordings of one or a few healthy devices → a calibrated scorer of their type. Knows no file and no terminal.

Where there is no fleet to learn from, a device type is watched as the series that it is: nobody says what settings
explain, and what is usual is what these devices did. Each third of the rows is held back once, and the threshold rests
on what models of the other two thirds say of it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import Threshold, fit_threshold
from models.fleet import Series, data_digest
from models.preparation import ChannelSpec
from models.recipe import Progress, TrainingConfig
from models.scoring import ModelIdentity
from models.series.fitting import Fitted, SeriesConfig, fit_model
from models.series.model import SeriesModel
from models.series.scorer import SeriesScorer
from models.series.slopes import Slopes


class TrainedSeries(NamedTuple):
    """What `fit_series` gives."""

    scorer: SeriesScorer
    metrics: dict[str, float]
    data_digest: str
    """SHA-256 over the training arrays, hex."""


def fit_series(
    name: str, version: str, channels: Sequence[ChannelSpec], rows: int, stride: int, row_s: float,
    series: Sequence[Series], config: TrainingConfig | None = None,
    progress: Callable[[Progress], None] = lambda _: None, fit: SeriesConfig | None = None,
) -> TrainedSeries:  # fmt: skip
    """Learn from fault-free series; arguments as of `models.training.train`. Of the configuration the seed, the budget
    and the alarm rule count here.

    Raises:
        TooShortError: fewer rows than a model can be fitted and calibrated on.
    """
    config = config or TrainingConfig()
    slopes = Slopes([i for i, c in enumerate(channels) if c.role == "counter"])
    rates = [slopes.apply(s.values[:, None], slopes.unknown(1))[0][:, 0] for s in series]
    ends = np.cumsum([len(r) for r in rates])
    fitted = fit_model(
        [c.name for c in channels], np.concatenate(rates), config.seed, fit, progress,
        ends[:-1].tolist(), [c.is_target for c in channels],
    )  # fmt: skip
    identity = ModelIdentity(name, version, "")
    held_back = [
        (SeriesScorer(model, channels, rows, Threshold.unfitted(1), identity), part)
        for model, part in _held_back(fitted, series, ends)
    ]
    threshold = calibrate_series(held_back, stride, row_s, config, progress)
    metrics = {
        "alarms_a_device_day_seen": threshold.rate_seen, "device_days": threshold.device_days,
        "subspace_components": float(fitted.model.subspaces.cuts[-1]),
    }  # fmt: skip
    scorer = SeriesScorer(fitted.model, channels, rows, threshold, identity)
    return TrainedSeries(scorer, metrics, data_digest(series))


def calibrate_series(
    devices: Sequence[tuple[SeriesScorer, Series]], stride: int, row_s: float, config: TrainingConfig,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Threshold:  # fmt: skip
    """The threshold for the budget of `config`, on fault-free series, each beside a scorer that does not know it.

    Raises:
        ValueError: without a single window to calibrate on.
    """
    statistics = []
    for scorer, one in devices:
        statistics.append(scorer.statistics(one.values, stride))
        progress(Progress("threshold", len(statistics), len(devices), 0.0))
    return fit_threshold(statistics, 86_400 / (row_s * stride), config.budget, config.rule)


def _held_back(
    fitted: Fitted, series: Sequence[Series], ends: NDArray[np.int64]
) -> Iterator[tuple[SeriesModel, Series]]:
    """Models, each with a stretch of one recording that it does not know."""
    for fold in fitted.held_back:
        for one, end in zip(series, ends.tolist(), strict=True):
            begin = end - len(one.values)
            low, high = max(fold.rows.start, begin) - begin, min(fold.rows.stop, end) - begin
            if low < high:
                yield fold.model, Series(one.device, one.values[low:high], one.mask[low:high])
