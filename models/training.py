"""Fault-free recordings of a fleet → a trained, calibrated scorer.

Four steps on three parts of the fleet that share no device: the normal-device networks learn on the first part; what
their residuals mean (usual size in each context, evidence of a fault) is learnt on the second, with injected faults;
the threshold is calibrated on the third. Shows its progress through a callback; knows no file and no terminal.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.attribution import ContextScale, soften
from models.autoencoder import ModelConfig, patch_levels
from models.calibration import AlarmRule, Threshold, fit_threshold
from models.detector import AttentionScorer, Detector, combine
from models.injection import InjectionConfig, inject
from models.preparation import ChannelSpec, Prepared
from models.scoring import ModelIdentity


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train; the defaults serve every device type and end in minutes on one CPU thread."""

    seed: int = 0
    windows: int = 40_000
    """Windows drawn for the normal-device networks; a fifth of it, held back, decides when to stop."""
    expectation_steps: int = 4_000
    """Most optimizer steps for what settings and states explain; cheap ones."""
    steps: int = 1_500
    """Most optimizer steps for the autoencoder."""
    batch: int = 128
    learning_rate: float = 2e-3
    patience: int = 10
    """Stop after so many checks (every 100 steps) without a better held-back loss."""
    evidence_windows: int = 40_000
    evidence_steps: int = 2_000
    budget: float = 1 / 30
    """False alarms a device-day."""
    rule: AlarmRule = field(default_factory=lambda: AlarmRule(15, 20))
    min_rows: int = 0
    """Windows this short occur in service (the rest is mask); 0 = full windows only."""
    injection: InjectionConfig = field(default_factory=InjectionConfig)


@dataclass(frozen=True, slots=True)
class Series:
    """One device's fault-free rows on the grid, in time order without a break."""

    device: str
    values: NDArray[np.float32]
    """(R, C) in units, NaN without a reading."""
    mask: NDArray[np.bool_]
    """(R, C)."""


class Progress(NamedTuple):
    """How far training is."""

    step: str
    """`normal`, `usual`, `evidence` or `threshold`."""
    done: int
    total: int
    loss: float


class Trained(NamedTuple):
    """What `train` gives."""

    scorer: AttentionScorer
    metrics: dict[str, float]
    data_digest: str
    """SHA-256 over the training arrays, hex."""


class Split(NamedTuple):
    """Three parts of the fleet without a device in common."""

    ground: list[Series]
    evidence: list[Series]
    calibration: list[Series]


def split_fleet(series: Sequence[Series], rows: int, seed: int) -> Split:
    """Split by device, 50 : 25 : 25. With fewer than four devices every series is cut in time instead."""
    devices = sorted({s.device for s in series})
    if len(devices) >= 4:
        order = np.random.default_rng(seed).permutation(len(devices))
        part = {devices[d]: (0 if i * 2 < len(devices) else 1 + i % 2) for i, d in enumerate(order)}
        return Split(*([s for s in series if part[s.device] == p] for p in range(3)))
    parts: tuple[list[Series], list[Series], list[Series]] = ([], [], [])
    for s in series:
        edges = [0, len(s.values) // 2, len(s.values) * 3 // 4, len(s.values)]
        for p in range(3):
            cut = slice(edges[p], edges[p + 1])
            if edges[p + 1] - edges[p] >= rows:
                parts[p].append(Series(s.device, s.values[cut], s.mask[cut]))
    return Split(*parts)


def windows_of(series: Series, rows: int, stride: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Every due window of a series: views (N, rows, C) into it, end rows `stride` apart."""
    values = np.lib.stride_tricks.sliding_window_view(series.values, rows, 0)[::stride].transpose(0, 2, 1)
    mask = np.lib.stride_tricks.sliding_window_view(series.mask, rows, 0)[::stride].transpose(0, 2, 1)
    return values, mask


def draw(
    series: Sequence[Series], rows: int, count: int, min_rows: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`count` windows from anywhere in the series; one in ten is partial, as those of a new device are.

    Raises:
        ValueError: no series is as long as a window.
    """
    long_enough = [s for s in series if len(s.values) >= rows]
    if not long_enough:
        raise ValueError(f"no series has the {rows} rows of one window")
    room = np.array([len(s.values) - rows + 1 for s in long_enough], float)
    which = rng.choice(len(long_enough), count, p=room / room.sum())
    C = long_enough[0].values.shape[1]
    values, mask = np.empty((count, rows, C), np.float32), np.empty((count, rows, C), np.bool_)
    for i, w in enumerate(which):
        first = int(rng.integers(int(room[w])))
        values[i], mask[i] = (
            long_enough[w].values[first : first + rows],
            long_enough[w].mask[first : first + rows],
        )
    if 0 < min_rows < rows:
        for partial in np.flatnonzero(rng.random(count) < 0.1):
            hidden = int(rng.integers(1, rows - min_rows + 1))
            values[partial, :hidden], mask[partial, :hidden] = np.nan, False
    return values, mask


def data_digest(series: Iterable[Series]) -> str:
    """SHA-256 over devices, readings and masks."""
    digest = hashlib.sha256()
    for s in series:
        digest.update(s.device.encode())
        digest.update(np.ascontiguousarray(np.where(s.mask, s.values, 0)).tobytes())
        digest.update(np.packbits(s.mask).tobytes())
    return digest.hexdigest()


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
    metrics = _learn_normal(detector, split, config, rng, progress, device)
    metrics |= _learn_evidence(detector, split, config, rng, progress, device)
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
            statistics.append(scorer.statistics(*windows_of(_as_new(s, rows, config.min_rows), rows, stride)))
        progress(Progress("threshold", i + 1, len(series), 0.0))
    return fit_threshold(statistics, 86_400 / (row_s * stride), config.budget, config.rule)


def _prepare(
    detector: Detector, values: NDArray[np.float32], mask: NDArray[np.bool_], to: torch.device
) -> Prepared:
    prepared: Prepared = detector.preparation(torch.from_numpy(values).to(to), torch.from_numpy(mask).to(to))
    return prepared


def _pick(prepared: Prepared, index: Tensor) -> Prepared:
    rows, each = (prepared.z, prepared.mask), (prepared.context, prepared.last, prepared.span)
    return Prepared(*(x[:, index] for x in rows), *(x[index] for x in each))


def _as_new(series: Series, rows: int, min_rows: int) -> Series:
    """The same series with the partial windows before it that a new device begins with."""
    if not 0 < min_rows < rows:
        return series
    blank = np.zeros((rows - min_rows, series.mask.shape[1]), np.bool_)
    values = np.concatenate([np.where(blank, 0, np.nan).astype(np.float32), series.values])
    return Series(series.device, values, np.concatenate([blank, series.mask]))


def _prepare_all(
    detector: Detector, values: NDArray[np.float32], mask: NDArray[np.bool_], to: torch.device
) -> Prepared:
    with torch.no_grad():
        parts = [
            _prepare(detector, values[i : i + 2048], mask[i : i + 2048], to)
            for i in range(0, len(values), 2048)
        ]
    return Prepared(*(torch.cat(p, 1 if p[0].ndim == 3 else 0) for p in zip(*parts, strict=True)))


def expectation_loss(detector: Detector, p: Prepared) -> Tensor:
    """Likelihood of levels and liveliness given the context."""
    level, told, lively, lively_told = patch_levels(p.z, p.mask, detector.config.patches)
    mean, spread, lively_mean, lively_spread = detector.expectation(p.context)
    return _likelihood(level, mean, spread, told) + _likelihood(
        lively, lively_mean, lively_spread, lively_told
    )


def _likelihood(x: Tensor, mean: Tensor, spread: Tensor, told: Tensor) -> Tensor:
    """Negative log likelihood of a Student t with 4 degrees of freedom: a wild patch does not widen the spread."""
    u = (x - mean) * torch.exp(-spread)
    return ((2.5 * torch.log1p(u * u / 4) + spread) * told).sum() / told.sum().clamp(min=1)


def reconstruction_loss(detector: Detector, p: Prepared, rng: torch.Generator | None) -> Tensor:
    """Error of the autoencoder on the deviations `p.z`.

    With `rng`, inputs are hidden from it (whole channels, or the newest part of one), so that it has to know a channel
    by the others.
    """
    z, mask = p.z, p.mask
    if rng is not None:
        T, B, M = z.shape
        hidden = torch.rand(B, M, generator=rng, device=z.device) < 0.15
        begin = torch.rand(B, M, generator=rng, device=z.device) * 1.6 - 0.8
        rows = torch.arange(T, device=z.device)[:, None, None] / T
        keep = 1.0 - (hidden & (rows >= begin)).to(z.dtype)
        z, mask = z * keep, mask * keep
    rebuilt = detector.autoencoder(z, mask, p.context)
    error = nn.functional.smooth_l1_loss(rebuilt, p.z, reduction="none", beta=1.0)
    return (error * p.mask).sum() / p.mask.sum().clamp(min=1)


def _learn_normal(
    detector: Detector, split: Split, config: TrainingConfig, rng: np.random.Generator,
    progress: Callable[[Progress], None], device: torch.device,
) -> dict[str, float]:  # fmt: skip
    values, mask = draw(split.ground, detector.rows, config.windows, config.min_rows, rng)
    detector.preparation.fit(values, mask)
    detector.to(device)
    learn = _prepare_all(detector, values, mask, device)
    del values, mask
    held_back = draw(split.evidence, detector.rows, config.windows // 5, config.min_rows, rng)
    check = _prepare_all(detector, *held_back, device)
    lively_told = patch_levels(learn.z, learn.mask, detector.config.patches)[3]
    detector.expectation.restless.copy_((lively_told.mean((0, 1)) > 0.2).float())
    fit = _Fit(config, rng, progress, config.expectation_steps + config.steps)
    expected = fit.run("normal", detector.expectation, lambda p, _: expectation_loss(detector, p), learn, check,
                       config.expectation_steps, 0)  # fmt: skip
    learn, check = _deviations(detector, learn), _deviations(detector, check)
    components = detector.subspace.fit(learn.z[:, :20_000], detector.config.variance_kept)
    rebuilt = fit.run("normal", detector.autoencoder, lambda p, r: reconstruction_loss(detector, p, r), learn, check,
                      config.steps, config.expectation_steps)  # fmt: skip
    return {"expectation_loss": expected, "reconstruction_loss": rebuilt, "subspace_components": components}


@torch.no_grad()
def _deviations(detector: Detector, p: Prepared) -> Prepared:
    """The same windows with deviations from the expectation in place of readings."""
    z = torch.empty_like(p.z)
    for i in range(0, p.z.shape[1], 2048):
        cut = slice(i, i + 2048)
        mean, spread, lively, _ = detector.expectation(p.context[cut])
        z[:, cut] = detector.expectation.deviation(p.z[:, cut].contiguous(), mean, spread, lively)
    return p._replace(z=z)


Loss = Callable[[Prepared, torch.Generator | None], Tensor]


class _Fit(NamedTuple):
    """One optimizer loop with early stop on held-back devices, the same for both networks."""

    config: TrainingConfig
    rng: np.random.Generator
    progress: Callable[[Progress], None]
    total: int

    def run(
        self, name: str, network: nn.Module, loss_of: Loss, learn: Prepared, check: Prepared, steps: int, before: int
    ) -> float:  # fmt: skip
        """Fit `network`, keep its best weights, and answer their held-back loss."""
        config, n, device = self.config, learn.z.shape[1], learn.z.device
        parameters = list(network.parameters())
        optimizer = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, steps, pct_start=0.1)
        hide = torch.Generator(device).manual_seed(config.seed)
        best, best_state, waited = float("inf"), {}, 0
        for step in range(steps):
            index = torch.from_numpy(self.rng.integers(n, size=config.batch)).to(device)
            loss = loss_of(_pick(learn, index), hide)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            if step % 100 == 99 or step == steps - 1:
                now = _held_back_loss(loss_of, check)
                waited = 0 if now < best - 1e-4 else waited + 1
                if now < best:
                    best, best_state = now, {k: v.clone() for k, v in network.state_dict().items()}
                self.progress(Progress(name, before + step + 1, self.total, now))
                if waited >= config.patience:
                    break
        network.load_state_dict(best_state)
        self.progress(Progress(name, before + steps, self.total, best))
        return best


@torch.no_grad()
def _held_back_loss(loss_of: Loss, check: Prepared) -> float:
    n, total = check.z.shape[1], 0.0
    for i in range(0, n, 1024):
        index = torch.arange(i, min(i + 1024, n), device=check.z.device)
        total += float(loss_of(_pick(check, index), None)) * len(index)
    return total / n


class _Taught(NamedTuple):
    logs: Tensor
    """(F, N, M)."""
    told: Tensor
    context: Tensor
    label: Tensor
    weight: Tensor


def _learn_evidence(
    detector: Detector, split: Split, config: TrainingConfig, rng: np.random.Generator,
    progress: Callable[[Progress], None], device: torch.device,
) -> dict[str, float]:  # fmt: skip
    values, mask = draw(split.evidence, detector.rows, config.evidence_windows, config.min_rows, rng)
    clean = _prepare_all(detector, values, mask, device)
    normal = _log_statistics(detector, clean)
    usual_loss = _learn_usual(detector, normal, config, rng, progress)
    faulty = _injected(detector, values, mask, clean, config, rng, device)
    return {"usual_loss": usual_loss} | _learn_query(detector, normal, faulty, config, rng, progress)


@torch.no_grad()
def _log_statistics(detector: Detector, p: Prepared) -> _Taught:
    logs, told = [], []
    for i in range(0, p.z.shape[1], 1024):
        index = torch.arange(i, min(i + 1024, p.z.shape[1]), device=p.z.device)
        part, part_told = detector.log_statistics(detector.ground(_pick(p, index)))
        logs.append(part)
        told.append(part_told)
    nothing = torch.zeros_like(p.last)
    return _Taught(torch.cat(logs, 1), torch.cat(told, 1), p.context, nothing, torch.ones_like(nothing))


def _learn_usual(
    detector: Detector, normal: _Taught, config: TrainingConfig, rng: np.random.Generator,
    progress: Callable[[Progress], None],
) -> float:  # fmt: skip
    """What each statistic usually is: first over all contexts, then how each context differs."""
    scale = detector.scale
    hidden = torch.where(normal.told, normal.logs, torch.nan)
    sample = hidden[:, :: max(1, hidden.shape[1] // 10_000)]
    usual = torch.nanmedian(sample, 1, keepdim=True).values
    spread = torch.nanquantile((sample - usual).abs(), 0.68, dim=1, keepdim=True)
    scale.usual.copy_(torch.nan_to_num(usual))
    scale.spread.copy_(torch.nan_to_num(spread, nan=1.0).clamp(min=0.15))
    steps = config.evidence_steps // 2
    optimizer = torch.optim.AdamW(scale.parameters(), 3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    running = 0.0
    for step in range(steps):
        index = torch.from_numpy(rng.integers(normal.logs.shape[1], size=256)).to(normal.logs.device)
        loss = _usual_loss(scale, normal.logs[:, index], normal.told[:, index].float(), normal.context[index])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        schedule.step()
        running += 0.02 * (float(loss.detach()) - running)
        if step % 100 == 99 or step == steps - 1:
            progress(Progress("usual", step + 1, steps, running))
    return running


RARE = 0.99
"""The quantile that the tail of a statistic is measured at."""


def _usual_loss(scale: ContextScale, logs: Tensor, told: Tensor, context: Tensor) -> Tensor:
    """Likelihood of the log statistics, and the quantile loss of their tail (Koenker and Bassett, 1978)."""
    mean, width, tail = scale(context)
    width = width.clamp(min=0.1)
    u = (logs - mean) / width
    likelihood = 2.5 * torch.log1p(u * u / 4) + torch.log(width)
    beyond = torch.log(u.detach().clamp(min=0.05) / 2.33) - tail
    quantile = torch.maximum(RARE * beyond, (RARE - 1) * beyond)
    return ((likelihood + 4.0 * quantile) * told).sum() / told.sum().clamp(min=1)


def _injected(
    detector: Detector, values: NDArray[np.float32], mask: NDArray[np.bool_], clean: Prepared,
    config: TrainingConfig, rng: np.random.Generator, device: torch.device,
) -> _Taught:  # fmt: skip
    """Statistics of the same windows with injected faults."""
    prep = detector.preparation
    targets = prep.targets
    scale = prep.scale.cpu().numpy()
    counters = np.isin(np.arange(len(targets)), prep.counters)
    noise, together = _restlessness(clean) * scale, _together(clean)
    parts = []
    for i in range(0, len(values), 1024):
        cut = slice(i, i + 1024)
        with torch.no_grad():
            _, spread, _, _ = detector.expectation(clean.context[cut])
        unit = np.maximum(np.exp(spread.mean(0).cpu().numpy()), 0.01) * scale
        faulty = inject(values[cut][..., targets], mask[cut][..., targets], unit, noise, together, counters,
                        config.injection, rng)  # fmt: skip
        changed = values[cut].copy()
        changed[..., targets] = np.where(mask[cut][..., targets], faulty.values, np.nan)
        with torch.no_grad():
            part = _log_statistics(detector, _prepare(detector, changed, mask[cut], device))
        parts.append(part._replace(
            label=torch.from_numpy(faulty.label).to(device), weight=torch.from_numpy(faulty.weight).to(device)
        ))  # fmt: skip
    return _Taught(*(torch.cat(p, 1 if p[0].ndim == 3 else 0) for p in zip(*parts, strict=True)))


def _restlessness(p: Prepared) -> NDArray[np.float32]:
    """(M,) usual standard deviation within a window, scaled units."""
    n = p.mask.sum(0).clamp(min=1)
    mean = (p.z * p.mask).sum(0) / n
    deviation = torch.sqrt((((p.z - mean) * p.mask) ** 2).sum(0) / n)
    usual: NDArray[np.float32] = torch.median(deviation, 0).values.clamp(min=0.005).cpu().numpy()
    return usual


def _together(p: Prepared) -> NDArray[np.float32]:
    """(M, M) absolute correlation of the windows' changes, newer half against older half."""
    half = p.z.shape[0] // 2
    change = (p.z[half:].mean(0) - p.z[:half].mean(0)).cpu().numpy()
    change = np.sign(change) * np.sqrt(np.abs(change))
    centred = change - change.mean(0)
    spread = np.maximum(centred.std(0), 1e-6)
    correlation: NDArray[np.float32] = np.abs(centred.T @ centred / len(centred) / spread / spread[:, None])
    return correlation.astype(np.float32)


def _learn_query(
    detector: Detector, normal: _Taught, faulty: _Taught, config: TrainingConfig, rng: np.random.Generator,
    progress: Callable[[Progress], None],
) -> dict[str, float]:  # fmt: skip
    """Per-channel and per-window cross-entropy, half of each batch fault-free as drawn."""
    evidence = detector.evidence
    u_normal, u_faulty = _calibrate_statistics(detector, normal), _calibrate_statistics(detector, faulty)
    own = {id(evidence.own_power), id(evidence.own_bias)}
    shared = [p for p in evidence.parameters() if id(p) not in own]
    optimizer = torch.optim.AdamW(
        [
            {"params": shared, "weight_decay": 1e-3},
            {"params": [evidence.own_power, evidence.own_bias], "weight_decay": 0.3},
        ],
        5e-3,
    )
    steps, n = config.evidence_steps, u_normal.shape[1]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, steps)
    running = 0.0
    hard = np.arange(n)
    for step in range(steps):
        if step % 100 == 0 and step > 0:
            hard = _hardest(detector, u_normal, normal.told[0])
        some = np.concatenate([rng.integers(n, size=64), rng.choice(hard, 64)])
        a, b = (torch.from_numpy(i).to(u_normal.device) for i in (some, rng.integers(n, size=128)))
        u = torch.cat((u_normal[:, a], u_faulty[:, b]), 1)
        present = torch.cat((normal.told[0, a], faulty.told[0, b]))
        label = torch.cat((normal.label[a], faulty.label[b]))
        weight = torch.cat((normal.weight[a], faulty.weight[b]))
        judgement = evidence(u, present)
        weight = weight * present
        bce = nn.functional.binary_cross_entropy_with_logits
        by_channel = (bce(judgement.logit, label, reduction="none") * weight).sum() / len(u[0])
        known = (weight > 0).logical_or(~present).all(1) | (label.amax(1) > 0)
        by_window = (bce(torch.logsumexp(judgement.logit, 1), label.amax(1), reduction="none") * known).mean()
        loss = by_channel + by_window
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        schedule.step()
        running += 0.02 * (float(loss.detach()) - running)
        if step % 100 == 99 or step == steps - 1:
            progress(Progress("evidence", step + 1, steps, running))
    return {"evidence_loss": running} | _ranking(detector, u_faulty, faulty)


@torch.no_grad()
def _hardest(detector: Detector, u: Tensor, present: Tensor) -> NDArray[np.int64]:
    """The twentieth of the fault-free windows that look most like a fault: the threshold will be decided there."""
    parts = [
        detector.evidence(u[:, i : i + 4096], present[i : i + 4096]).logit for i in range(0, u.shape[1], 4096)
    ]
    logit = torch.logsumexp(torch.cat(parts), 1)
    hardest: NDArray[np.int64] = torch.topk(logit, max(len(logit) // 20, 1)).indices.cpu().numpy()
    return hardest


@torch.no_grad()
def _calibrate_statistics(detector: Detector, taught: _Taught) -> Tensor:
    return soften(detector.scale.standardize(taught.logs, taught.told, taught.context))


@torch.no_grad()
def _ranking(detector: Detector, u: Tensor, faulty: _Taught) -> dict[str, float]:
    """How often a channel at fault comes first on injected faults, and how the window statistic separates."""
    judgement = detector.evidence(u, faulty.told[0])
    some = faulty.label.amax(1) > 0
    first = torch.gather(faulty.label, 1, judgement.logit.argmax(1, keepdim=True))[some, 0]
    statistic = combine(u, faulty.told[0], judgement)
    return {"injected_top1": float(first.mean()), "injected_logit": float(statistic.evidence[some].median())}
