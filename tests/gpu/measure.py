"""Training and scoring on a GPU against the CPU, in one command: `python -m tests.gpu.measure`.

Trains a small fleet of one simulated type on both, scores the same windows on both, times training and scoring, prints
a JSON summary and leaves with 1 if the two disagree. `--device cpu` tries the command itself where there is no GPU.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.detector import AttentionScorer
from models.training import Series, Trained, computing, train, windows_of
from monitor.simulated import SimulateOptions
from monitor.workshop import TrainOptions, channel_specs
from monitor.zoo import fleet_hours, simulated_series
from streams.devices import DeviceProfile, load_profiles

LOSS_ABS, TOP1_ABS = 0.05, 0.03
"""How far two trainings of different rounding and batch may end from each other."""
SCORE_ABS, SHARE_ABS = 2e-2, 2e-2
"""How far the same weights may score from each other on two devices."""
BATCHES = (256, 4096)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and answer with the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", default="infusion-pump")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--devices", type=int, default=48)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=20_000)
    asked = parser.parse_args(arguments)
    profile = load_profiles()[asked.type]
    begun = time.perf_counter()
    fleet = SimulateOptions(asked.type, asked.devices, fleet_hours(profile), 100, (), 0.0, (3.0,))
    series = simulated_series(fleet, profile, lambda _: None)
    seconds = {"simulation": time.perf_counter() - begun}
    options = TrainOptions(steps=asked.steps, windows=asked.windows, threads=1)
    runs = {}
    for name, device, precision, batch in (
        ("cpu", "cpu", "float32", None), ("same_batch", asked.device, "auto", 128), ("gpu", asked.device, "auto", None),
    ):  # fmt: skip
        begun = time.perf_counter()
        runs[name] = _trained(
            series, profile, replace(options, device=device, precision=precision, batch=batch)
        )
        seconds[f"train_{name}"] = time.perf_counter() - begun
    summary = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__,
        "seconds": {k: round(v, 1) for k, v in seconds.items()},
        "parts": {k: run.computed for k, run in runs.items()},
        "metrics": {k: run.metrics for k, run in runs.items()},
        "scores": _compared(runs["gpu"], series),
        "windows_a_second": {str(b): _speed(runs["gpu"].scorer, series, b) for b in BATCHES},
    }
    summary["problems"] = _problems(summary)
    print(json.dumps(summary, indent=2))
    return int(bool(summary["problems"]))


def _trained(series: Sequence[Series], profile: DeviceProfile, options: TrainOptions) -> Trained:
    with computing(options.device, options.precision, options.threads) as compute:
        return train(
            profile.type, "1", channel_specs(profile), profile.window_rows, profile.stride_rows,
            profile.grid_ms / 1000, series, options.config(profile, compute), compute=compute,
        )  # fmt: skip


def _windows(
    series: Sequence[Series], rows: int, count: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`count` windows of healthy devices, a copy; again from the start where there are fewer."""
    pairs = [windows_of(s, rows, 8) for s in series]
    values, mask = (np.concatenate([p[k] for p in pairs]) for k in (0, 1))
    again = np.arange(count) % len(values)
    return values[again], mask[again]


def _compared(trained: Trained, series: Sequence[Series]) -> dict[str, float]:
    """Largest differences between the scores of the same weights on the GPU and on the CPU."""
    there = trained.scorer
    values, mask = _windows(series, there.window_rows, 4096)
    target = there.detector.preparation.targets[0]
    values[::2, :, target] += 10 * np.nanstd(values[..., target])
    on_gpu = there.score(values, mask)
    here = AttentionScorer(
        copy.deepcopy(there.detector), there.threshold, there.identity, torch.device("cpu")
    )
    on_cpu = here.score(values, mask)
    return {
        "anomaly": float(np.abs(on_gpu.anomaly - on_cpu.anomaly).max()),
        "share": float(np.abs(on_gpu.share - on_cpu.share).max()),
        "same_top": float((on_gpu.share.argmax(1) == on_cpu.share.argmax(1)).mean()),
        "same_side": float(((on_gpu.anomaly > 1) == (on_cpu.anomaly > 1)).mean()),
    }


def _speed(scorer: AttentionScorer, series: Sequence[Series], batch: int) -> float:
    """Windows a second of `score` in batches of so many, arrays in and arrays out."""
    values, mask = _windows(series, scorer.window_rows, batch)
    scorer.score(values, mask)
    rounds, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < 2.0:
        scorer.score(values, mask)
        rounds += 1
    return round(rounds * batch / (time.perf_counter() - begun))


def _problems(summary: dict[str, Any]) -> list[str]:
    """Where GPU and CPU disagree; empty when all is well."""
    cpu, gpu, scores = summary["metrics"]["cpu"], summary["metrics"]["same_batch"], summary["scores"]
    bounds = [
        ("expectation_loss", abs(gpu["expectation_loss"] - cpu["expectation_loss"]), LOSS_ABS),
        ("reconstruction_loss", abs(gpu["reconstruction_loss"] - cpu["reconstruction_loss"]), LOSS_ABS),
        ("injected_top1", abs(gpu["injected_top1"] - cpu["injected_top1"]), TOP1_ABS),
        ("anomaly of the same window", scores["anomaly"], SCORE_ABS),
        ("share of the same window", scores["share"], SHARE_ABS),
    ]
    return [f"{name} differs by {by:.4f}, at most {most}" for name, by, most in bounds if not by <= most]


if __name__ == "__main__":
    sys.exit(main())
