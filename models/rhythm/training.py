"""Practice traces → a trained rhythm network with its threshold. Letters: B windows, T rows.

Windows are cut from traces made by `models.rhythm.practice`; the threshold is fitted on healthy traces that the network
was not trained on, for the stated budget of false alarms, and never on a recording with a fault.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from models.calibration import AlarmRule, Threshold, fit_threshold
from models.rhythm.network import RhythmConfig, RhythmNetwork
from models.rhythm.practice import (
    FAULT,
    NORMAL,
    Library,
    PracticeConfig,
    PracticeTrace,
    fault_names,
    practice_trace,
)  # fmt: skip
from models.rhythm.scorer import RhythmScorer
from models.scoring import ModelIdentity

SUBTLE = ("slow", "quick", "high_peak", "low_peak")
"""Faults whose cycles, each by itself, could be another machine's healthy ones: the hardest to learn."""


@dataclass(frozen=True, slots=True)
class RhythmTraining:
    """How a rhythm model is trained; every figure goes into the manifest."""

    network: RhythmConfig = field(default_factory=RhythmConfig)
    practice: PracticeConfig = field(default_factory=PracticeConfig)
    grid_ms: int = 50
    stride_rows: int = 4
    min_rows: int = 64
    """A window with fewer readings is not scored by the service, so none is trained on."""
    traces: int = 5000
    windows_a_trace: int = 12
    young: float = 0.15
    """Part of the windows whose machine has only just come on line."""
    epochs: int = 6
    batch: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    reconstruction: float = 0.2
    """Weight of the autoencoder's loss beside the fault head's."""
    dropped: float = 0.02
    """Part of the cells that lose their reading."""
    calibration_traces: int = 400
    budget: float = 5.0
    """False alarms a day of practice, which is restless: knobs are turned and loads change every few cycles."""
    certainty: tuple[float, float] = (0.97, 0.99)
    """A window is anomalous from a probability of a fault between these two; where, the budget says. Practice cannot
    know every harmless oddity, and its far tail is too thin to ask for more than the upper one."""
    rule: AlarmRule = field(default_factory=AlarmRule)
    faults: tuple[str, ...] = field(default_factory=lambda: (*fault_names(), *2 * SUBTLE))
    """Drawn evenly; what stands here several times is practised more often."""


class Windows(NamedTuple):
    """Windows with their truth."""

    values: NDArray[np.float32]
    """(B, T)"""
    mask: NDArray[np.bool_]
    """(B, T)"""
    clean: NDArray[np.float32]
    """(B, T) the healthy signal; NaN where nobody can tell."""
    faulty: NDArray[np.float32]
    """(B,) 1 where the window ends in a fault."""


class Fitted(NamedTuple):
    """A trained network and what it needs to speak."""

    network: RhythmNetwork
    threshold: Threshold
    certain: float
    metrics: dict[str, float]


def cells(trace: NDArray[np.float64], each: int) -> NDArray[np.float64]:
    """(N,) → (N // each,) means of `each` readings: the cells of the device's grid."""
    n = len(trace) // each
    means: NDArray[np.float64] = trace[: n * each].reshape(n, each).mean(1)
    return means


def cut_windows(trace: PracticeTrace, config: RhythmTraining, rng: np.random.Generator) -> Windows:
    """Some windows of a trace, half of them in the fault if it has one."""
    each = round(config.grid_ms / 1000 / config.practice.step_s)
    x, clean = cells(trace.values, each), cells(trace.clean, each)
    truth = trace.truth[each - 1 :: each][: len(x)]
    ends = _chosen(truth, config, rng)
    T = config.network.rows
    out = Windows(
        np.zeros((len(ends), T), np.float32),
        np.zeros((len(ends), T), np.bool_),
        np.full((len(ends), T), np.nan, np.float32),
        (truth[ends] == FAULT).astype(np.float32),
    )
    for i, end in enumerate(ends):
        n = min(T, int(end) + 1)
        if rng.random() < config.young:
            n = min(n, int(rng.integers(config.min_rows, T)))
        out.values[i, -n:] = x[end + 1 - n : end + 1]
        out.clean[i, -n:] = clean[end + 1 - n : end + 1]
        out.mask[i, -n:] = rng.random(n) >= config.dropped * (rng.random() < 0.3)
    return out


def practice_windows(
    library: Library, config: RhythmTraining, traces: int, rng: np.random.Generator,
    progress: Callable[[int], None] = lambda _n: None,
) -> Windows:  # fmt: skip
    """Windows of `traces` new traces."""
    parts = []
    for _ in range(traces):
        fault = (
            None
            if rng.random() < config.practice.healthy
            else config.faults[rng.integers(len(config.faults))]
        )
        parts.append(cut_windows(practice_trace(library, config.practice, rng, fault), config, rng))
        progress(1)
    return Windows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def fit(
    library: Library, config: RhythmTraining, seed: int, device: torch.device | None = None,
    progress: Callable[[str], None] = lambda _line: None,
) -> Fitted:  # fmt: skip
    """Train on the healthy cycles of `library`; same seed and device, same network."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    device = device or torch.device("cpu")
    windows = practice_windows(library, config, config.traces, rng)
    progress(f"{len(windows.faulty)} windows, {windows.faulty.mean():.0%} faulty")
    network = RhythmNetwork(config.network)
    network.fit_scale(torch.from_numpy(windows.clean[np.isfinite(windows.clean) & windows.mask]))
    network.to(device)
    _descend(network, windows, config, device, progress)
    network.eval().cpu()
    threshold, certain = calibrate(network, library, config, rng)
    check = practice_windows(library, config, max(config.traces // 10, 40), rng)
    return Fitted(network, threshold, certain, _metrics(network, threshold, check))


def calibrate(
    network: RhythmNetwork, library: Library, config: RhythmTraining, rng: np.random.Generator
) -> tuple[Threshold, float]:
    """Threshold for the budget on new healthy traces, and how far observed may stray from expected on them."""
    identity = ModelIdentity("calibration", "0", "")
    scorer = RhythmScorer(network, "x", Threshold.unfitted(1), 0.0, identity)
    statistics, off = [], []
    for _ in range(config.calibration_traces):
        trace = practice_trace(library, config.practice, rng)
        values, mask = every_window(
            cells(trace.values, round(config.grid_ms / 1000 / config.practice.step_s)), config
        )
        statistics.append(scorer.judge(values, mask)[0][:, None])
        score = scorer.score(values[::20], mask[::20])
        off.append(np.abs(score.observed - score.expected)[:, 0])
    windows_a_day = 86_400_000 / (config.grid_ms * config.stride_rows)
    threshold = fit_threshold(statistics, windows_a_day, config.budget, config.rule)
    low, high = (float(np.log(p / (1 - p))) for p in config.certainty)
    threshold = replace(threshold, limit=(min(max(threshold.limit[0], low), high),))
    return threshold, float(np.quantile(np.concatenate(off), 0.99))


def every_window(
    x: NDArray[np.floating], config: RhythmTraining
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(R,) cells, NaN without a reading → every window that the service would score, (B, T, 1), with its mask."""
    T = config.network.rows
    padded = np.concatenate([np.full(T, np.nan), x]).astype(np.float32)
    ends = np.arange(config.min_rows, len(x) + 1, config.stride_rows)
    values = padded[ends[:, None] + np.arange(T)[None, :]][..., None]
    return values, np.isfinite(values)


def _chosen(truth: NDArray[np.int8], config: RhythmTraining, rng: np.random.Generator) -> NDArray[np.int64]:
    scored = np.arange(len(truth)) >= config.min_rows - 1
    faulty, normal = np.flatnonzero((truth == FAULT) & scored), np.flatnonzero((truth == NORMAL) & scored)
    half = config.windows_a_trace // 2 if len(faulty) else 0
    parts = [
        rng.choice(at, n)
        for at, n in ((faulty, half), (normal, config.windows_a_trace - half))
        if len(at) and n
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _descend(
    network: RhythmNetwork, windows: Windows, config: RhythmTraining, device: torch.device,
    progress: Callable[[str], None],
) -> None:  # fmt: skip
    data = [torch.from_numpy(column).to(device) for column in windows]
    steps = max(len(windows.faulty) // config.batch, 1)
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.epochs * steps + 1
    )
    for epoch in range(config.epochs):
        network.train()
        order = torch.randperm(len(windows.faulty), device="cpu").to(device)
        total = np.zeros(2)
        for step in range(steps):
            batch = [column[order[step * config.batch : (step + 1) * config.batch]] for column in data]
            fault_loss, healthy_loss = _losses(network, *batch)
            optimizer.zero_grad()
            (fault_loss + config.reconstruction * healthy_loss).backward()  # type: ignore[no-untyped-call]  # torch
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += fault_loss.item(), healthy_loss.item()
        progress(
            f"epoch {epoch + 1}/{config.epochs}: fault {total[0] / steps:.4f}, healthy {total[1] / steps:.4f}"
        )


def _losses(
    network: RhythmNetwork, x: Tensor, mask: Tensor, clean: Tensor, faulty: Tensor
) -> tuple[Tensor, Tensor]:
    healthy, logit = network(x, mask)
    told = torch.isfinite(clean)
    error = torch.where(told, (healthy - torch.nan_to_num(clean)) / network.scale, 0.0)
    return binary_cross_entropy_with_logits(logit, faulty), (error**2).sum() / told.sum().clamp(min=1)


def _metrics(network: RhythmNetwork, threshold: Threshold, check: Windows) -> dict[str, float]:
    scorer = RhythmScorer(network, "x", threshold, 0.0, ModelIdentity("check", "0", ""))
    anomaly = scorer.score(check.values[..., None], check.mask[..., None]).anomaly
    faulty = check.faulty > 0
    return {
        "window_recall": float((anomaly[faulty] >= 1).mean()),
        "window_false_alarms": float((anomaly[~faulty] >= 1).mean()),
    }
