"""Teaches what residuals mean: their usual size and tail in each context, and which channel a fault sits in.

Works on the frozen networks of `models.grounding`, on devices that those have not seen, with the faults of
`models.injection`. Letters: F statistics, M targets, N windows (last axis).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.attribution import ContextScale, soften
from models.compute import Compute
from models.descent import Descent, drawn, rounds
from models.detector import Detector, combine
from models.fleet import Split, draw
from models.grounding import pick, prepare, prepare_all
from models.injection import inject
from models.preparation import Prepared
from models.recipe import Progress, TrainingConfig


class _Taught(NamedTuple):
    """What N windows teach."""

    logs: Tensor
    """(F, M, N) log statistics."""
    told: Tensor
    """(F, M, N) 1.0 where there is one, else 0.0."""
    context: Tensor
    """(K, N) as `models.preparation.Prepared.context`."""
    label: Tensor
    """(M, N) 1.0 where the target is at fault."""
    weight: Tensor
    """(M, N) 0.0 where nobody could tell."""


def learn_evidence(
    detector: Detector, split: Split, config: TrainingConfig, rng: np.random.Generator,
    progress: Callable[[Progress], None], compute: Compute,
) -> dict[str, float]:  # fmt: skip
    """Fit what residuals usually are, then the evidence of a fault; answers the losses and how well causes rank."""
    count = compute.part_of(config.evidence_windows)
    values, mask = draw(split.evidence, detector.rows, count, config.min_rows, rng)
    clean = prepare_all(detector, values, mask, compute.device)
    normal = _log_statistics(detector, clean)
    usual_loss = _learn_usual(detector, normal, config, rng, progress, compute)
    faulty = _injected(detector, values, mask, clean, config, rng, compute)
    return {"usual_loss": usual_loss} | _learn_query(detector, normal, faulty, config, rng, progress, compute)


@torch.no_grad()
def _log_statistics(detector: Detector, p: Prepared) -> _Taught:
    logs, told = [], []
    for i in range(0, p.z.shape[-1], 1024):
        index = torch.arange(i, min(i + 1024, p.z.shape[-1]), device=p.z.device)
        part, part_told = detector.log_statistics(detector.ground(pick(p, index)))
        logs.append(part)
        told.append(part_told)
    nothing = torch.zeros_like(p.last)
    return _Taught(torch.cat(logs, -1), torch.cat(told, -1), p.context, nothing, torch.ones_like(nothing))


def _learn_usual(
    detector: Detector, normal: _Taught, config: TrainingConfig, rng: np.random.Generator,
    progress: Callable[[Progress], None], compute: Compute,
) -> float:  # fmt: skip
    """What each statistic usually is: first over all contexts, then how each context differs."""
    scale = detector.scale
    hidden = torch.where(normal.told > 0, normal.logs, torch.nan)
    sample = hidden[..., :: max(1, hidden.shape[-1] // 10_000)]
    usual = torch.nanmedian(sample, -1, keepdim=True).values
    spread = torch.nanquantile((sample - usual).abs(), 0.68, dim=-1, keepdim=True)
    scale.usual.copy_(torch.nan_to_num(usual).transpose(1, 2))
    scale.spread.copy_(torch.nan_to_num(spread, nan=1.0).clamp(min=0.15).transpose(1, 2))
    compute.agree(scale)
    steps, n, batch = config.evidence_steps // 2, normal.logs.shape[-1], compute.part_of(2 * config.batch)
    descent = Descent([{"params": list(scale.parameters()), "weight_decay": 1e-3}], 3e-3, steps, compute)
    for done, count in rounds(steps):
        for i in drawn(rng, n, (count, batch), compute.device):
            logs, told, context = (x.index_select(-1, i) for x in (normal.logs, normal.told, normal.context))
            descent.step(_usual_loss(scale, logs, told, context))
        progress(Progress("usual", done + count, steps, descent.smoothed()))
    return descent.smoothed()


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
    config: TrainingConfig, rng: np.random.Generator, compute: Compute,
) -> _Taught:  # fmt: skip
    """Statistics of the same windows with injected faults."""
    prep, device = detector.preparation, compute.device
    targets = prep.targets
    scale = prep.scale.cpu().numpy()
    counters = np.isin(np.arange(len(targets)), prep.counters)
    noise, together = compute.leading((_restlessness(clean) * scale, _together(clean)))
    parts = []
    for i in range(0, len(values), 1024):
        cut = slice(i, i + 1024)
        with torch.no_grad():
            _, spread, _, _ = detector.expectation(clean.context[:, cut])
        unit = np.maximum(np.exp(spread.mean(0).t().cpu().numpy()), 0.01) * scale
        faulty = inject(values[cut][..., targets], mask[cut][..., targets], unit, noise, together, counters,
                        config.injection, rng)  # fmt: skip
        changed = values[cut].copy()
        changed[..., targets] = np.where(mask[cut][..., targets], faulty.values, np.nan)
        with torch.no_grad():
            part = _log_statistics(detector, prepare(detector, changed, mask[cut], device))
        label, weight = (torch.from_numpy(x.T.copy()).to(device) for x in (faulty.label, faulty.weight))
        parts.append(part._replace(label=label, weight=weight))
    return _Taught(*(torch.cat(p, -1) for p in zip(*parts, strict=True)))


def _restlessness(p: Prepared) -> NDArray[np.float32]:
    """(M,) usual standard deviation within a window, scaled units."""
    n = p.mask.sum(0).clamp(min=1)
    mean = (p.z * p.mask).sum(0) / n
    deviation = torch.sqrt((((p.z - mean) * p.mask) ** 2).sum(0) / n)
    usual: NDArray[np.float32] = torch.median(deviation, -1).values.clamp(min=0.005).cpu().numpy()
    return usual


def _together(p: Prepared) -> NDArray[np.float32]:
    """(M, M) absolute correlation of the windows' changes, newer half against older half."""
    half = p.z.shape[0] // 2
    change = (p.z[half:].mean(0) - p.z[:half].mean(0)).t().cpu().numpy()
    change = np.sign(change) * np.sqrt(np.abs(change))
    centred = change - change.mean(0)
    spread = np.maximum(centred.std(0), 1e-6)
    correlation: NDArray[np.float32] = np.abs(centred.T @ centred / len(centred) / spread / spread[:, None])
    return correlation.astype(np.float32)


def _learn_query(
    detector: Detector, normal: _Taught, faulty: _Taught, config: TrainingConfig, rng: np.random.Generator,
    progress: Callable[[Progress], None], compute: Compute,
) -> dict[str, float]:  # fmt: skip
    """Per-channel and per-window cross-entropy, half of each batch fault-free as drawn."""
    u_normal, u_faulty = _softened(detector, normal), _softened(detector, faulty)
    steps, n, half = config.evidence_steps, u_normal.shape[-1], compute.part_of(config.batch)
    descent = Descent(_evidence_groups(detector), 5e-3, steps, compute)
    hard = torch.arange(n, device=compute.device)
    for done, count in rounds(steps):
        if done:
            hard = _hardest(detector, u_normal, normal.told[0])
        any_normal = drawn(rng, n, (count, half - half // 2), compute.device)
        hardest = hard[drawn(rng, len(hard), (count, half // 2), compute.device)]
        with_faults = drawn(rng, n, (count, half), compute.device)
        for a, b in zip(torch.cat((any_normal, hardest), 1), with_faults, strict=True):
            u, present, label, weight = (
                torch.cat((x.index_select(-1, a), y.index_select(-1, b)), -1)
                for x, y in (
                    (u_normal, u_faulty), (normal.told[0], faulty.told[0]),
                    (normal.label, faulty.label), (normal.weight, faulty.weight),
                )
            )  # fmt: skip
            descent.step(_query_loss(detector, u, present, label, weight * present))
        progress(Progress("evidence", done + count, steps, descent.smoothed()))
    ranking = {k: compute.mean(v) for k, v in _ranking(detector, u_faulty, faulty).items()}
    return {"evidence_loss": descent.smoothed()} | ranking


def _evidence_groups(detector: Detector) -> list[dict[str, Any]]:
    """What a channel has of its own is held close to what all channels share."""
    evidence = detector.evidence
    own = [evidence.own_power, evidence.own_bias]
    shared = [p for p in evidence.parameters() if all(p is not o for o in own)]
    return [{"params": shared, "weight_decay": 1e-3}, {"params": own, "weight_decay": 0.3}]


def _query_loss(detector: Detector, u: Tensor, present: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of every channel, and of the window as a whole where its truth is known."""
    logit = detector.evidence(u, present).logit
    bce = nn.functional.binary_cross_entropy_with_logits
    by_channel = (bce(logit, label, reduction="none") * weight).sum() / label.shape[-1]
    known = (weight > 0).logical_or(present == 0).all(0) | (label.amax(0) > 0)
    by_window = (bce(torch.logsumexp(logit, 0), label.amax(0), reduction="none") * known).mean()
    return by_channel + by_window


@torch.no_grad()
def _hardest(detector: Detector, u: Tensor, present: Tensor) -> Tensor:
    """The twentieth of the fault-free windows that look most like a fault: the threshold will be decided there."""
    parts = [
        detector.evidence(u[..., i : i + 4096], present[:, i : i + 4096]).logit
        for i in range(0, u.shape[-1], 4096)
    ]
    logit = torch.logsumexp(torch.cat(parts, -1), 0)
    return torch.topk(logit, max(len(logit) // 20, 1)).indices


@torch.no_grad()
def _softened(detector: Detector, taught: _Taught) -> Tensor:
    """(F, M, N) calibrated statistics as the evidence takes them."""
    return soften(detector.scale.standardize(taught.logs, taught.told, taught.context))


@torch.no_grad()
def _ranking(detector: Detector, u: Tensor, faulty: _Taught) -> dict[str, float]:
    """How often a channel at fault comes first on injected faults, and how the window statistic separates."""
    first, evidence = [], []
    for i in range(0, u.shape[-1], 4096):
        cut = slice(i, i + 4096)
        present, label = faulty.told[0, :, cut], faulty.label[:, cut]
        judgement = detector.evidence(u[..., cut], present)
        some = label.amax(0) > 0
        first.append(torch.gather(label, 0, judgement.logit.argmax(0, keepdim=True))[0, some])
        evidence.append(combine(u[..., cut], present, judgement).evidence[some])
    return {
        "injected_top1": float(torch.cat(first).mean()),
        "injected_logit": float(torch.cat(evidence).median()),
    }
