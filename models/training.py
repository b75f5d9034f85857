"""Fault-free recordings of a fleet → a trained, calibrated scorer.

Four steps on three parts of the fleet that share no device: the normal-device networks learn on the first part; what
their residuals mean (usual size in each context, evidence of a fault) is learnt on the second, with injected faults;
the threshold is calibrated on the third. Shows its progress through a callback; knows no file and no terminal.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from models.autoencoder import ModelConfig
from models.calibration import Measuring, Threshold, fit_threshold
from models.compute import Compute, ComputeError, computing
from models.detector import AttentionScorer, Detector
from models.fleet import Series, Split, as_new, data_digest, draw, split_fleet, windows_of
from models.grounding import learn_normal
from models.preparation import ChannelSpec
from models.recipe import Progress, TrainingConfig
from models.scoring import ModelIdentity
from models.teaching import learn_evidence

__all__ = [
    "Compute", "ComputeError", "Progress", "Series", "Split", "Trained", "TrainingConfig",
    "calibrate", "computing", "draw", "split_fleet", "train", "windows_of",
]  # fmt: skip


class Trained(NamedTuple):
    """What `train` gives, the same in every process."""

    scorer: AttentionScorer
    metrics: dict[str, float]
    data_digest: str
    """SHA-256 over the training arrays, hex."""
    computed: dict[str, Any]
    """Where it was trained, and in how many seconds which part."""


def train(
    name: str, version: str, channels: Sequence[ChannelSpec], rows: int, stride: int, row_s: float,
    series: Sequence[Series], config: TrainingConfig | None = None, model: ModelConfig | None = None,
    progress: Callable[[Progress], None] = lambda _: None, compute: Compute | None = None,
    brief: Sequence[Series] = (),
) -> Trained:  # fmt: skip
    """Train one device type's scorer on fault-free series.

    Args:
        name: device type. version: of the artifact.
        channels: in the order of the last axis of the series.
        rows, stride, row_s: of a window, between windows, seconds a row.
        progress: called often, from this thread.
        compute: where to train, and with which other processes; the scorer returned stays there.
        brief: short fault-free series of other devices, for what is normal alone: see `models.fleet.split_fleet`.

    Raises:
        ValueError: too little data for a window in one of the three parts, or a device in two of them.
        ComputeError: the processes were given different recordings, or one of them has failed.
    """
    config, model, compute = config or TrainingConfig(), model or ModelConfig(), compute or Compute()
    torch.manual_seed(config.seed)
    rng, clock = compute.random(config.seed), _Clock()
    digest = _same(data_digest([*series, *brief]), compute)
    split = split_fleet(series, rows, config.seed, brief)
    detector = Detector(channels, rows, model)
    with clock.part("normal"):
        metrics = learn_normal(detector, split, config, rng, progress, compute)
    with clock.part("evidence"):
        metrics |= learn_evidence(detector, split, config, rng, progress, compute)
    detector.eval()
    scorer = AttentionScorer(
        detector, Threshold.unfitted(3), ModelIdentity(name, version, ""), compute.device
    )
    with clock.part("threshold"):
        threshold = calibrate(scorer, split.calibration, stride, row_s, config, progress, compute)
    metrics |= {"alarms_a_device_day_seen": threshold.rate_seen, "device_days": threshold.device_days}
    return Trained(
        AttentionScorer(detector, threshold, ModelIdentity(name, version, ""), compute.device),
        metrics,
        digest,
        compute.told() | {"seconds": clock.seconds},
    )


class _Clock:
    """Seconds of each part, by the monotonic clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - begun, 2)


def _same(digest: str, compute: Compute) -> str:
    if len(set(compute.gather([digest]))) > 1:
        raise ComputeError("the processes read different recordings; give every one of them the same")
    return digest


def calibrate(
    scorer: Measuring, series: Sequence[Series], stride: int, row_s: float, config: TrainingConfig,
    progress: Callable[[Progress], None] = lambda _: None, compute: Compute | None = None,
) -> Threshold:  # fmt: skip
    """Threshold of a scorer on held-back fault-free devices, each seen window by window as in service.

    Every process scores its part of the devices, and all of them fit the same threshold on the whole.
    """
    compute, rows = compute or Compute(), scorer.window_rows
    mine = [s for s in series if len(s.values) >= rows][compute.rank :: compute.world]
    windows = (windows_of(as_new(s, rows, config.min_rows), rows, stride) for s in mine)
    statistics = []
    for values, mask in windows:
        statistics.append(scorer.statistics(values, mask))
        progress(Progress("threshold", len(statistics), len(mine), 0.0))
    return fit_threshold(compute.gather(statistics), 86_400 / (row_s * stride), config.budget, config.rule)
