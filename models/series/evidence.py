"""Which channel is at fault? A query over spectral bands, horizons and channels, taught on faults put into the series.

The query scores every channel by what its residuals say (raw and against what is usual for it, now, over more rows,
against what came before); its softmax over the channels is their attention. It is linear in log features and strongly
regularized: richer heads fit the practice better and real causes worse (`models/LOG.md`). Letters: n rows, D devices,
B nested subspaces, C channels, F features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.series.history import faded_mean, late, mean_and_spread, slow_mean
from models.series.memory import HISTORY, Trace, begun, newest
from models.series.practice import Practice
from models.series.subspaces import PLAIN, Residuals

RAW = (0, 2, 3, 4)
"""Subspaces whose residual is looked at as it is ..."""
USUAL = (0, 2, 4)
"""... beside what is usual for the channel there ..."""
LEVEL = 3
"""... and the one whose change is followed."""
BACKGROUND, BEHIND = 200, 30
"""Rows of the slow mean that the level is compared with, and how far behind the row it stays."""
WANDER = 60
"""Rows of the slow mean that a reading is compared with."""
JUMP, JUMPS, JUMPS_FADE = 3, 16, 4.0
"""Rows over which a change is taken; rows of changes that count, and how they fade."""
NEWEST, BEFORE, SHAKING = range(3), range(24, HISTORY + 1), range(8)
"""Rows behind the row, itself included: where a reading stands, where it stood, and over which it shakes."""
FEATURES = 21
"""What the query knows of a channel; an artifact with another number is of another model."""
REGULAR = 0.003
"""Weight of the squared query against the mean cross-entropy; a tenth of it gave the same causes."""
PRIOR = 1.0
"""Log odds that the share adds to the query's: in practice a channel is at fault in 1 to 3 % of all rows, and in 6 to
16 % of those where anything is. Without it weak channels of an incident hardly count."""
SOFTENED = 0.7
"""Part of the log odds that the share goes by: the query is surer of real faults than practice entitles it to, and of
several channels at fault it would leave little to any but the first. What is remembered goes by all of them."""
DAMPED, BLEND = 0.75, 0.15
"""The plain residual's part in the share: how far it is calibrated, and its power."""

Rows = NDArray[np.float32]
Array = NDArray[np.floating]


class Usual(NamedTuple):
    """What fault-free rows of every channel are like."""

    scale: Array
    """(B, C) 90 % quantile of the cross-fitted energies, floored: the unit of a calibrated residual."""
    mean: Array
    """(C,) mean energy outside the subspace of the plain residual."""
    jump: Array
    """(C,) 90 % quantile of the squared change over three rows."""
    low: Array
    high: Array
    """(C,) 0.2 % and 99.8 % quantiles of the rows."""

    stray: Array
    """(C,) root mean square of the mean residual outside the subspace `PLAIN`."""
    shaking: Array
    """(2, C) mean and spread of the log of the jumps."""

    @classmethod
    def fit(cls, left: Residuals, z: Rows) -> "Usual":
        """From cross-fitted residuals of N rows of one series and its (n, C) training rows."""
        energies, stray = left.energies[:, 0], np.sqrt((left.stray[:, 0] ** 2).mean(0))
        scale = np.quantile(energies, 0.9, axis=0)
        floor = 0.1 * np.median(scale, axis=1, keepdims=True) + 1e-6
        mean = energies[:, PLAIN].mean(0)
        low, high = np.quantile(z, [0.002, 0.998], axis=0)
        jumped = jumps(np.repeat(z[:1], HISTORY, 0), z)
        shaking = np.log(jumped + 1e-3)
        return cls(
            np.maximum(scale, floor), np.maximum(mean, 0.1 * np.median(mean) + 1e-6),
            np.quantile(jumped, 0.9, axis=0) + 1e-3, low, high,
            np.maximum(stray, 0.1 * np.median(stray) + 1e-6),
            np.stack([shaking.mean(0), np.maximum(shaking.std(0), 0.1)]),
        )  # fmt: skip


def jumps(past: Array, z: Array) -> Array:
    """(n, …) mean squared change over `JUMP` rows, of late; `past` are the rows before."""
    both = np.concatenate([past[len(past) - JUMPS - JUMP + 1 :], z])
    squares = (both[JUMP:] - both[:-JUMP]) ** 2
    return faded_mean(squares[: JUMPS - 1], squares[JUMPS - 1 :], JUMPS, JUMPS_FADE)


def movement(past: Array, z: Array) -> tuple[Array, Array, Array]:
    """(n, …) each: how far a reading stands from where it stood, in spreads of the channel and in what it spread then,
    and how much it shakes; logs. `past` are the rows before.

    What people mark as part of an incident has visibly moved, also where it did as the other channels would have it.
    """
    stands, _ = mean_and_spread(past, z, NEWEST)
    stood, spread = mean_and_spread(past, z, BEFORE)
    _, shakes = mean_and_spread(past, z, SHAKING)
    moved = np.log(np.abs(stands - stood) + 0.1)
    return moved, moved - np.log(spread + 0.2), np.log(shakes + 0.1)


class Told(NamedTuple):
    """What is known of the channels of n rows of D devices."""

    features: Rows
    """(n, D, C, F) log features, each from its row and rows before it."""
    level: Array
    """(n, D, C) log residual, calibrated."""
    jumps: Array
    """(n, D, C) mean squared change of late."""


def features(
    energies: Rows, z: Rows, usual: Usual, trace: Trace, new: NDArray[np.bool_]
) -> tuple[Told, Trace]:
    """(n, D, B, C) energies and (n, D, C) rows → what they tell, and the trace for the rows that come next.

    `new` (D,) devices are those of which `trace` knows nothing.
    """
    raw = 0.5 * np.log(energies + 1e-4)
    calibrated = 0.5 * np.log(energies / usual.scale + 1e-2)
    level, sharp = calibrated[..., LEVEL, :], calibrated[..., RAW[-1], :]
    past_z, past_level = begun(trace.z, z[0], new), begun(trace.level, level[0], new)
    behind = np.minimum(late(past_level, level, BEHIND), 1.5)
    around = slow_mean(behind, BACKGROUND, begun(trace.around, behind[0], new))
    wander = slow_mean(z, WANDER, begun(trace.wander, z[0], new))
    jumped = jumps(past_z, z)
    outside = np.maximum(0.0, np.maximum(z - usual.high, usual.low - z))
    past_energy = (np.exp(2 * past_level) - 1e-2) * usual.scale[LEVEL]
    told: list[Array] = [
        *(raw[..., b, :] for b in RAW),
        *(np.broadcast_to(0.5 * np.log(usual.scale[b] + 1e-4), z.shape) for b in USUAL),
        sharp,
        0.5 * np.log(np.maximum(faded_mean(past_energy, energies[..., LEVEL, :], 40, 12.0), 0) + 1e-4),
        *(level - late(past_level, level, rows) for rows in (10, HISTORY)),
        level - around,
        0.5 * np.log(jumped / usual.jump + 1e-2),
        np.log(np.abs(z - wander) + 0.05),
        np.log(outside + 0.05),
        *movement(past_z, z),
    ]
    most = min(3, z.shape[-1])
    told += [
        x - np.sort(x, -1)[..., -most:].mean(-1, keepdims=True)
        for x in (raw[..., RAW[1], :], raw[..., RAW[3], :], sharp)
    ]
    stacked: Rows = np.stack(told, -1).astype(np.float32)
    left = Trace(newest(past_z, z), newest(past_level, level), around[-1], wander[-1])
    return Told(stacked, level, jumped), left


class FaultQuery(NamedTuple):
    """log odds that a channel is at fault, linear in its F features; (F,) each."""

    center: Rows
    spread: Rows
    query: Rows
    bias: float

    @classmethod
    def fit(
        cls, examples: Sequence[tuple[Rows, Practice]], rng: np.random.Generator, rows: int = 700
    ) -> "FaultQuery":
        """Logistic regression on `rows` random rows of every stretch, by L-BFGS."""
        x, label = [], []
        for told, practice in examples:
            some = rng.integers(len(told), size=rows)
            counted = practice.counted[some] > 0
            x.append(told[some][counted])
            label.append(practice.label[some][counted])
        X = np.concatenate(x)
        center, spread = X.mean(0), (X.std(0) + 1e-3).astype(np.float32)
        query, bias = _regression((X - center) / spread, np.concatenate(label))
        return cls(center, spread, query, bias)

    def logit(self, told: Rows) -> Rows:
        """(…, C, F) → (…, C)."""
        # Summed row by row: the bits of a product of matrices hang on how many rows it has.
        logit = (((told - self.center) / self.spread) * self.query).sum(-1) + self.bias
        odds: Rows = logit.astype(np.float32)
        return odds


def _regression(x: Rows, label: Rows) -> tuple[Rows, float]:
    X, y = torch.from_numpy(x), torch.from_numpy(label)
    query, bias = torch.zeros(x.shape[1], requires_grad=True), torch.full((1,), -4.0, requires_grad=True)
    solver = torch.optim.LBFGS([query, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = (
            nn.functional.binary_cross_entropy_with_logits(X @ query + bias, y) + REGULAR * (query**2).sum()
        )
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    return query.detach().numpy(), float(bias.detach())


class Shares(NamedTuple):
    """How the channels share a row's anomaly; (…, C) each."""

    evidence: Rows
    """Probability that the channel is at fault; combines attention and residual."""
    softened: Rows
    """The same softened, which the share adds up. Not normalized: weak rows speak softly."""
    attention: Rows
    """Softmax of the query over the channels; rows sum to 1."""
    residual: Rows
    """The plain residual, half calibrated; rows sum to 1."""


def shares(logit: Rows, energies: Rows, usual: Usual) -> Shares:
    """(…, C) log odds and (…, B, C) energies → the share's parts."""
    plain = np.log(energies[..., PLAIN, :] / usual.mean**DAMPED + 1e-9)
    blended = BLEND * (plain - np.median(plain, -1, keepdims=True))
    odds = logit + PRIOR
    return Shares(
        _probability(odds + blended), _probability(SOFTENED * odds + blended), _softmax(logit),
        normalized(np.exp(0.5 * plain)),
    )  # fmt: skip


def _probability(odds: Array) -> Rows:
    return (1 / (1 + np.exp(-np.clip(odds, -30, 30)))).astype(np.float32)


def _softmax(logit: Rows) -> Rows:
    return normalized(np.exp(logit - logit.max(-1, keepdims=True)))


def normalized(x: Array) -> Rows:
    """(…, C) rows that sum to 1; where there is nothing, all the same."""
    total = x.sum(-1, keepdims=True)
    normalized: Rows = np.where(total > 0, x / np.maximum(total, 1e-30), 1 / x.shape[-1]).astype(np.float32)
    return normalized
