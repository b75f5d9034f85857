"""Fits the normal-device networks of `models.autoencoder` on windows of fault-free devices."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.autoencoder import patch_levels
from models.compute import Compute
from models.descent import ROUND, Descent, drawn, rounds
from models.detector import Detector
from models.fleet import Split, draw
from models.preparation import Prepared
from models.recipe import Progress, TrainingConfig
from models.straight import begin_straight


def prepare(
    detector: Detector, values: NDArray[np.float32], mask: NDArray[np.bool_], to: torch.device
) -> Prepared:
    """(N, T, C) windows in units, small enough to be prepared at once."""
    prepared: Prepared = detector.preparation(torch.from_numpy(values).to(to), torch.from_numpy(mask).to(to))
    return prepared


def pick(prepared: Prepared, index: Tensor) -> Prepared:
    """The windows of these numbers, (B,)."""
    return Prepared(*(x.index_select(-1, index) for x in prepared))


def prepare_all(
    detector: Detector, values: NDArray[np.float32], mask: NDArray[np.bool_], to: torch.device
) -> Prepared:
    """Any number of windows, in passes that bound the memory; without gradients."""
    with torch.no_grad():
        parts = [
            prepare(detector, values[i : i + 2048], mask[i : i + 2048], to)
            for i in range(0, len(values), 2048)
        ]
    return Prepared(*(torch.cat(p, -1) for p in zip(*parts, strict=True)))


def expectation_loss(detector: Detector, p: Prepared) -> Tensor:
    """Likelihood of levels and liveliness given the context."""
    seen = patch_levels(p.z, p.mask, detector.config.patches)
    mean, spread, lively_mean, lively_spread = detector.expectation(p.context)
    return _likelihood(seen.level, mean, spread, seen.told) + _likelihood(
        seen.lively, lively_mean, lively_spread, seen.lively_told
    )


def _likelihood(x: Tensor, mean: Tensor, spread: Tensor, told: Tensor) -> Tensor:
    """Negative log likelihood of a Student t with 4 degrees of freedom: a wild patch does not widen the spread."""
    u = (x - mean) * torch.exp(-spread)
    return ((2.5 * torch.log1p(u * u / 4) + spread) * told).sum() / told.sum().clamp(min=1)


def reconstruction_loss(
    detector: Detector, p: Prepared, rng: torch.Generator | None, compute: Compute
) -> Tensor:  # fmt: skip
    """Error of the autoencoder on the deviations `p.z`.

    With `rng`, for a training step, inputs are hidden from it (whole channels, or the newest part of one), so that it
    has to know a channel by the others, and products have the training's precision.
    """
    z, mask = p.z, p.mask
    if rng is not None:
        T, M, B = z.shape
        hidden = torch.rand(M, B, generator=rng, device=z.device) < 0.15
        begin = torch.rand(M, B, generator=rng, device=z.device) * 1.6 - 0.8
        rows = torch.arange(T, device=z.device)[:, None, None] / T
        keep = 1.0 - (hidden & (rows >= begin)).to(z.dtype)
        z, mask = z * keep, mask * keep
    with compute.products() if rng is not None else nullcontext():
        rebuilt = detector.autoencoder(z, mask, p.context)
    error = nn.functional.smooth_l1_loss(rebuilt.float(), p.z, reduction="none", beta=1.0)
    return (error * p.mask).sum() / p.mask.sum().clamp(min=1)


def learn_normal(
    detector: Detector, split: Split, config: TrainingConfig, rng: np.random.Generator,
    progress: Callable[[Progress], None], compute: Compute,
) -> dict[str, float]:  # fmt: skip
    """Fit scaler, expectation, subspace and autoencoder, in this order; every process ends with the same."""
    device = compute.device
    values, mask = draw(split.ground, detector.rows, compute.part_of(config.windows), config.min_rows, rng)
    detector.preparation.fit(values, mask)
    detector.to(device)
    compute.agree(detector)
    learn = prepare_all(detector, values, mask, device)
    del values, mask
    held_back = draw(
        split.evidence, detector.rows, compute.part_of(config.windows // 10), config.min_rows, rng
    )
    check = prepare_all(detector, *held_back, device)
    seen = patch_levels(learn.z, learn.mask, detector.config.patches)
    detector.expectation.restless.copy_((seen.lively_told.mean((0, 2)) > 0.2).float())
    begin_straight(detector.expectation, learn.context, detector.preparation.plain_features, seen)
    del seen
    compute.agree(detector.expectation)
    fit = _Fit(config, rng, progress, config.expectation_steps + config.steps, compute)
    expected = fit.run("normal", detector.expectation, lambda p, _: expectation_loss(detector, p), learn, check,
                       config.expectation_steps, 0)  # fmt: skip
    learn, check = _deviations(detector, learn), _deviations(detector, check)
    components = compute.leading(detector.subspace.fit(learn.z[..., :20_000], detector.config.variance_kept))
    compute.agree(detector.subspace)
    rebuilt = fit.run("normal", detector.autoencoder, lambda p, r: reconstruction_loss(detector, p, r, compute), learn,
                      check, config.steps, config.expectation_steps)  # fmt: skip
    return {"expectation_loss": expected, "reconstruction_loss": rebuilt, "subspace_components": components}


@torch.no_grad()
def _deviations(detector: Detector, p: Prepared) -> Prepared:
    """The same windows with deviations from the expectation in place of readings."""
    z = torch.empty_like(p.z)
    for i in range(0, p.z.shape[-1], 2048):
        cut = slice(i, i + 2048)
        mean, spread, lively, _ = detector.expectation(p.context[:, cut])
        z[..., cut] = detector.expectation.deviation(p.z[..., cut].contiguous(), mean, spread, lively)
    return p._replace(z=z)


Loss = Callable[[Prepared, torch.Generator | None], Tensor]


class _Fit(NamedTuple):
    """One optimizer loop with early stop on held-back devices, the same for both networks."""

    config: TrainingConfig
    rng: np.random.Generator
    progress: Callable[[Progress], None]
    total: int
    compute: Compute

    def run(
        self, name: str, network: nn.Module, loss_of: Loss, learn: Prepared, check: Prepared, steps: int, before: int
    ) -> float:  # fmt: skip
        """Fit `network`, keep its best weights, and answer their held-back loss."""
        config, compute, n = self.config, self.compute, learn.z.shape[-1]
        groups = [{"params": list(network.parameters()), "weight_decay": 1e-3}]
        descent = Descent(groups, config.learning_rate, steps, compute, warm=0.1, clip=1.0)
        hide = torch.Generator(compute.device).manual_seed(config.seed + 1_000_003 * compute.rank)
        best, best_state, waited = float("inf"), {}, 0
        for done, count in rounds(steps):
            for index in drawn(self.rng, n, (count, compute.part_of(config.batch)), compute.device):
                descent.step(loss_of(pick(learn, index), hide))
            now = compute.mean(_held_back_loss(loss_of, check))
            waited = 0 if now < best - 1e-4 else waited + 1
            if now < best:
                best, best_state = now, {k: v.clone() for k, v in network.state_dict().items()}
            self.progress(Progress(name, before + done + count, self.total, now))
            if waited >= config.patience:
                break
        if not best_state:
            raise ValueError(f"training diverged: the held-back loss of step {ROUND} is already {now}")
        network.load_state_dict(best_state)
        self.progress(Progress(name, before + steps, self.total, best))
        return best


@torch.no_grad()
def _held_back_loss(loss_of: Loss, check: Prepared) -> float:
    """Mean over the held-back windows, in full precision; read from the device once."""
    n, parts = check.z.shape[-1], []
    for i in range(0, n, 1024):
        index = torch.arange(i, min(i + 1024, n), device=check.z.device)
        parts.append(loss_of(pick(check, index), None) * len(index))
    return float(torch.stack(parts).sum()) / n
