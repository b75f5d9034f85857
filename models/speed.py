"""How fast windows are scored on this machine, on one CPU thread, without a broker and without trained weights.

A synthetic device of twelve channels, a detector of the shipped sizes, a series model, and beside each in the same
rounds a plain multilayer-perceptron autoencoder, whose speed is the machine's own: quote the ratio, it holds when the
machine is busy.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import nn

from models.autoencoder import ModelConfig
from models.calibration import Threshold
from models.detector import AttentionScorer, Detector
from models.fleet import Series, as_series
from models.preparation import ChannelSpec
from models.scoring import ModelIdentity
from models.series import SeriesConfig
from models.series.learning import fit_series
from models.series.scorer import SeriesScorer

ROWS = 64
BATCHES = (1, 32, 256)
CHANNELS = (
    ChannelSpec("mode", "state", 0, 7),
    ChannelSpec("rate_set", "setting", 0, 10),
    ChannelSpec("limit_set", "setting", 0, 10),
    ChannelSpec("volume", "counter"),
    *(ChannelSpec(f"sensor_{i}", "measured", -200, 200) for i in range(8)),
)
"""A device as the shipped profiles describe them: a state, settings, a counter, measured channels."""
GAPS = 0.03
"""Of all cells, so many hold no reading."""

Windows = tuple[NDArray[np.float32], NDArray[np.bool_]]


def synthetic_windows(count: int, seed: int = 0) -> Windows:
    """(count, ROWS, 12) readings in units, NaN where the mask is False."""
    rng = np.random.default_rng(seed)
    sensors = np.cumsum(rng.normal(0, 1, (count, ROWS, 8)), 1)
    volume = np.cumsum(rng.uniform(0, 1, (count, ROWS, 1)), 1)
    mode, settings = rng.integers(0, 8, (count, 1, 1)), rng.uniform(1, 8, (count, 1, 2))
    told = [np.broadcast_to(x, (count, ROWS, x.shape[2])) for x in (mode, settings)]
    values = np.concatenate([*told, volume, sensors], 2)
    mask = rng.random(values.shape) >= GAPS
    return np.where(mask, values, np.nan).astype(np.float32), mask


def synthetic_scorer(seed: int = 0) -> AttentionScorer:
    """The shipped class with its default sizes; its weights are drawn, not trained: they cost the same time."""
    torch.manual_seed(seed)
    detector = Detector(CHANNELS, ROWS, ModelConfig())
    detector.preparation.fit(*synthetic_windows(512, seed + 1))
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.1)
        basis = detector.subspace.basis
        basis.copy_(torch.linalg.qr(torch.randn(basis.shape))[0])
    threshold = Threshold((0.0, 0.0, 0.0), (5.0, 5.0, 5.0), 0.0, 0.0, 0.0)
    return AttentionScorer(detector, threshold, ModelIdentity("synthetic", "0", ""))


def synthetic_series(rows: int, seed: int = 0) -> Series:
    """(rows, 12) of one device whose sensors swing and wander."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)[:, None]
    wander = lfilter([1], [1, -0.95], rng.normal(0, 1, (rows, 8)), axis=0)
    sensors = 3 * np.sin(t / (9 + np.arange(8))) + wander
    volume = np.cumsum(rng.uniform(0, 1, (rows, 1)), 0)
    values = np.concatenate([np.ones((rows, 1)), np.full((rows, 2), 4.0), volume, sensors], 1)
    mask = rng.random(values.shape) >= GAPS
    return as_series("synthetic", np.where(mask, values, np.nan).astype(np.float32))


def synthetic_series_scorer() -> SeriesScorer:
    """Learnt from a synthetic device: how many components it keeps is what its speed hangs on."""
    fit = SeriesConfig(practices=1)
    return fit_series("synthetic", "0", CHANNELS, ROWS, 1, 1.0, [synthetic_series(6000)], fit=fit).scorer


def measure(
    rounds: int = 60, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> dict[str, Any]:
    """Windows a second of the scorers and of the plain autoencoder, by batch; JSON-able.

    `us_per_window` and `ratio` are of CPU time; `windows_per_s` is of the clock on the wall. `series` is the series
    model, a batch being so many devices that have one new row each, as every row is scored in `attendant evaluate`.

    Args:
        rounds: each times both once; figures are medians (and bests) over rounds.
        progress: told how many batches of how many are done.
    """
    with _one_thread():
        peer = _plain_autoencoder()
        by_model = {
            "batch": partial(_attention, synthetic_scorer()),
            "series": partial(_series, synthetic_series_scorer()),
        }
        figures: dict[str, dict[str, Any]] = {name: {} for name in by_model}
        todo = [(name, batch) for name in by_model for batch in BATCHES]
        for done, (name, batch) in enumerate(todo):
            figures[name][str(batch)] = _pair(*by_model[name](batch), peer, rounds)
            progress(done + 1, len(todo))
    return {"channels": len(CHANNELS), "rows": ROWS, "threads": 1, "rounds": rounds, **figures}


Call = Callable[[], object]


def _attention(scorer: AttentionScorer, batch: int) -> tuple[Call, NDArray[np.float32]]:
    """What is timed, and the (batch, ROWS, 12) windows that it is timed on."""
    values, mask = synthetic_windows(batch)
    return lambda: scorer.score(values, mask), values


def _series(scorer: SeriesScorer, batch: int) -> tuple[Call, NDArray[np.float32]]:
    rows = synthetic_series(ROWS + batch, 1)
    values = np.stack([rows.values[b : b + ROWS] for b in range(batch)])
    mask, nothing = np.isfinite(values), np.zeros((batch, scorer.memory_width), np.float32)
    _, memory = scorer.score_remembering(values, mask, nothing, np.full(batch, ROWS))
    new = np.ones(batch, np.int64)
    return lambda: scorer.score_remembering(values, mask, memory, new), values


def _pair(ours: Call, values: NDArray[np.float32], peer: nn.Module, rounds: int) -> dict[str, float]:
    flat = torch.from_numpy(np.nan_to_num(values)).flatten(1)
    took: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with torch.inference_mode():
        for n in range(rounds + 3):
            both = _seconds(ours), _seconds(lambda: peer(flat))
            if n >= 3:  # the first ones fill caches
                took.append(both[0])
                theirs.append(both[1])
    wall, cpu = (statistics.median(clock) for clock in zip(*took, strict=True))
    return {
        "windows_per_s": len(values) / wall,
        "best_windows_per_s": len(values) / min(took)[0],
        "windows_per_cpu_s": len(values) / cpu,
        "us_per_window": cpu / len(values) * 1e6,
        "plain_autoencoder_windows_per_cpu_s": len(values) / statistics.median(t[1] for t in theirs),
        "ratio": statistics.median(t[1] / o[1] for o, t in zip(took, theirs, strict=True)),
    }


def _seconds(call: Call) -> tuple[float, float]:
    """By the clock on the wall and of this thread's own CPU time, which a busy machine stretches far less."""
    wall, cpu = time.perf_counter(), time.thread_time()
    call()
    return time.perf_counter() - wall, time.thread_time() - cpu


def _plain_autoencoder() -> nn.Module:
    """768-128-32-128-768 with ReLU, about 0.4 MFLOP a window: what a service without attention would run."""
    sizes = (ROWS * len(CHANNELS), 128, 32, 128, ROWS * len(CHANNELS))
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(sizes):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).requires_grad_(requires_grad=False)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
