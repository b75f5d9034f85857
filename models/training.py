"""Fault-free recordings of a fleet → a trained, calibrated scorer.

Four steps on three parts of the fleet that share no device: the normal-device networks learn on the first part; what
their residuals mean (usual size in each context, evidence of a fault) is learnt on the second, with injected faults;
the threshold is calibrated on the third. Shows its progress through a callback; knows no file and no terminal.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from models.autoencoder import ModelConfig
from models.calibration import Threshold, fit_threshold
from models.detector import AttentionScorer, Detector
from models.fleet import Series, Split, as_new, data_digest, draw, split_fleet, windows_of
from models.grounding import learn_normal
from models.preparation import ChannelSpec
from models.recipe import Progress, TrainingConfig
from models.scoring import ModelIdentity
from models.teaching import learn_evidence

__all__ = [
    "Progress", "Series", "Split", "Trained", "TrainingConfig",
    "calibrate", "draw", "split_fleet", "train", "windows_of",
]  # fmt: skip


class Trained(NamedTuple):
    """What `train` gives."""

    scorer: AttentionScorer
    metrics: dict[str, float]
    data_digest: str
    """SHA-256 over the training arrays, hex."""


def train(
    name: str, version: str, channels: Sequence[ChannelSpec], rows: int, stride: int, row_s: float,
    series: Sequence[Series], config: TrainingConfig | None = None, model: ModelConfig | None = None,
    progress: Callable[[Progress], None] = lambda _: None, device: torch.device | None = None,
) -> Trained:  # fmt: skip
    """Train one device type's scorer on fault-free series.

    Args:
        name: device type. version: of the artifact.
        channels: in the order of the last axis of the series.
        rows, stride, row_s: of a window, between windows, seconds a row.
        progress: called often, from this thread.
        device: where to train; the scorer returned stays there.

    Raises:
        ValueError: too little data for a window in one of the three parts.
    """
    config, model, device = config or TrainingConfig(), model or ModelConfig(), device or torch.device("cpu")
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    split = split_fleet(series, rows, config.seed)
    detector = Detector(channels, rows, model)
    metrics = learn_normal(detector, split, config, rng, progress, device)
    metrics |= learn_evidence(detector, split, config, rng, progress, device)
    detector.eval()
    scorer = AttentionScorer(detector, _NO_THRESHOLD, ModelIdentity(name, version, ""), device)
    threshold = calibrate(scorer, split.calibration, stride, row_s, config, progress)
    metrics |= {"alarms_a_device_day_seen": threshold.rate_seen, "device_days": threshold.device_days}
    return Trained(
        AttentionScorer(detector, threshold, ModelIdentity(name, version, ""), device),
        metrics,
        data_digest(series),
    )


_NO_THRESHOLD = Threshold((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.0, 0.0, 0.0)


def calibrate(
    scorer: AttentionScorer, series: Sequence[Series], stride: int, row_s: float, config: TrainingConfig,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Threshold:  # fmt: skip
    """Threshold of a scorer on held-back fault-free devices, each seen window by window as in service."""
    statistics, rows = [], scorer.window_rows
    for i, s in enumerate(series):
        if len(s.values) >= rows:
            statistics.append(scorer.statistics(*windows_of(as_new(s, rows, config.min_rows), rows, stride)))
        progress(Progress("threshold", i + 1, len(series), 0.0))
    return fit_threshold(statistics, 86_400 / (row_s * stride), config.budget, config.rule)
