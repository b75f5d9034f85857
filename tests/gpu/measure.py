"""Training and scoring on a GPU against the CPU, in one command: `python -m tests.gpu.measure`.

Trains a small fleet of one simulated type on both, scores the same windows on both, times training and scoring, prints
a JSON summary and leaves with 1 if the two disagree. `--only-scoring` takes the shipped model instead, and seconds.
`--device cpu` tries the command itself where there is no GPU.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.detector import AttentionScorer
from models.loading import load_scorer
from models.training import Series, Trained, computing, train, windows_of
from monitor.simulated import SimulateOptions
from monitor.workshop import TrainOptions, channel_specs
from monitor.zoo import fleet_hours, simulated_series
from streams.devices import DeviceProfile, load_profiles
from tests.gpu import scoring

LOSS_ABS, TOP1_ABS = 0.05, 0.03
"""How far two trainings of different rounding and batch may end from each other."""
ZOO = Path(__file__).parents[2] / "models" / "zoo"
FEW = 4
"""Devices whose windows are scored where none are needed to train on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and answer with the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", default="infusion-pump")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--devices", type=int, default=48)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=20_000)
    parser.add_argument("--only-scoring", action="store_true", help="with the shipped model; no training")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measure of speed")
    asked = parser.parse_args(arguments)
    profile = load_profiles()[asked.type]
    series, simulation_s = _simulated(profile, FEW if asked.only_scoring else asked.devices)
    summary: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__,
        "seconds": {"simulation": simulation_s},
    }
    if asked.only_scoring:
        scorer = load_scorer(ZOO / asked.type, asked.device)
        assert isinstance(scorer, AttentionScorer)
    else:
        scorer = _trainings(summary, series, profile, asked)
    summary |= scoring.measured(scorer, _windows(series, scorer.window_rows), asked.seconds)
    summary["problems"] = scoring.problems(summary) + _training_problems(summary.get("metrics"))
    print(json.dumps(summary, indent=2))
    return int(bool(summary["problems"]))


def _simulated(profile: DeviceProfile, devices: int) -> tuple[list[Series], float]:
    """A fleet, and the seconds that it took."""
    begun = time.perf_counter()
    fleet = SimulateOptions(profile.type, devices, fleet_hours(profile), 100, (), 0.0, (3.0,))
    return simulated_series(fleet, profile, lambda _: None), round(time.perf_counter() - begun, 1)


def _trainings(
    summary: dict[str, Any], series: Sequence[Series], profile: DeviceProfile, asked: argparse.Namespace
) -> AttentionScorer:
    """Train on both, tell of it in `summary`, and answer with the scorer that the GPU trained at its best."""
    options = TrainOptions(steps=asked.steps, windows=asked.windows, threads=1)
    runs = {}
    for name, device, precision, batch in (
        ("cpu", "cpu", "float32", None), ("same_batch", asked.device, "auto", 128), ("gpu", asked.device, "auto", None),
    ):  # fmt: skip
        begun = time.perf_counter()
        runs[name] = _trained(
            series, profile, replace(options, device=device, precision=precision, batch=batch)
        )
        summary["seconds"][f"train_{name}"] = round(time.perf_counter() - begun, 1)
    summary["parts"] = {k: run.computed for k, run in runs.items()}
    summary["metrics"] = {k: run.metrics for k, run in runs.items()}
    return runs["gpu"].scorer


def _trained(series: Sequence[Series], profile: DeviceProfile, options: TrainOptions) -> Trained:
    with computing(options.device, options.precision, options.threads) as compute:
        return train(
            profile.type, "1", channel_specs(profile), profile.window_rows, profile.stride_rows,
            profile.grid_ms / 1000, series, options.config(profile, compute), compute=compute,
        )  # fmt: skip


def _windows(series: Sequence[Series], rows: int) -> scoring.Windows:
    """Windows of healthy devices, a copy."""
    pairs = [windows_of(s, rows, 8) for s in series]
    return np.concatenate([values for values, _ in pairs]), np.concatenate([mask for _, mask in pairs])


def _training_problems(metrics: dict[str, dict[str, float]] | None) -> list[str]:
    """Where a training on the GPU ended elsewhere than one on the CPU; none without trainings."""
    if metrics is None:
        return []
    cpu, gpu = metrics["cpu"], metrics["same_batch"]
    bounds = {"expectation_loss": LOSS_ABS, "reconstruction_loss": LOSS_ABS, "injected_top1": TOP1_ABS}
    apart = {name: abs(gpu[name] - cpu[name]) for name in bounds}
    return [
        f"{name} differs by {by:.4f}, at most {bounds[name]}"
        for name, by in apart.items()
        if not by <= bounds[name]
    ]


if __name__ == "__main__":
    sys.exit(main())
