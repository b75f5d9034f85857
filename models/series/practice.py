"""Faults put into a stretch of fault-free rows, one after another, so that evidence can be learnt row by row.

As `models.injection`, but over a stretch that goes on before and after the fault, since evidence looks at change.
Generic faults that know no device: groups of channels that move together shift, scale, shake, damp, freeze or swing,
at once or growing, for 4 to 120 rows. Channels also drift for long stretches *without* a label, as real ones do.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

KINDS = ("offset", "gain", "noise", "damp", "freeze", "wave")
KIND_WEIGHTS = (0.45, 0.15, 0.15, 0.05, 0.05, 0.15)
LENGTHS = (4, 120)
APART = (40, 160)
SIZES = (0.5, 10.0)
"""Amplitudes in spreads of the channel, drawn log-uniformly."""
SEEN_FROM, UNSEEN_TO = 0.7, 0.28
"""A channel is labelled from this effect on (root mean square, spreads), surely not below the other."""
AFTER = 12
"""Rows after a fault that count neither way: the residual still holds it."""
DRIFTING, DRIFTS, DRIFT = 0.7, 3, 1.0
"""Part of the channels that drift unlabelled, how often in a stretch, and how far (standard deviation, spreads)."""

Rows = NDArray[np.float32]
Course = NDArray[np.float64]


class Practice(NamedTuple):
    """A stretch with faults; all (n, C)."""

    z: Rows
    label: Rows
    """1.0 where the channel is at fault."""
    counted: Rows
    """0.0 where nobody could tell."""


def practise(z: Rows, rng: np.random.Generator) -> Practice:
    """Faults all along (n, C) fault-free rows in spreads."""
    n = len(z)
    made = Practice(z.copy(), np.zeros_like(z), np.ones_like(z))
    together = _together(z)
    begin = int(rng.integers(*APART)) // 2
    while begin + LENGTHS[0] < n:
        low, high = np.log(LENGTHS)
        length = min(int(np.exp(rng.uniform(low, high))), n - begin)
        _fault(made, z, slice(begin, begin + length), together, rng)
        begin += length + int(rng.integers(*APART))
    _drift(made.z, rng)
    return made


def _together(z: Rows) -> NDArray[np.float64]:
    """(C, C) absolute correlation of the changes from row to row."""
    change = np.diff(z, axis=0, prepend=z[:1]).astype(np.float64)
    spread = np.maximum(change.std(0), 1e-6)
    centred = (change - change.mean(0)) / spread
    together: NDArray[np.float64] = np.abs(centred.T @ centred / len(z))
    return together


def _fault(
    made: Practice, z: Rows, rows: slice, together: NDArray[np.float64], rng: np.random.Generator
) -> None:
    C, length = z.shape[1], rows.stop - rows.start
    first = int(rng.integers(C))
    appetite = rng.choice([0.0, 0.4, 0.9], p=[0.35, 0.35, 0.3])
    struck = rng.random(C) < appetite * np.maximum(together[first], 0.3 * rng.random())
    struck[first] = True
    size = float(np.exp(rng.uniform(*np.log(SIZES))))
    kind, course = int(rng.choice(len(KINDS), p=KIND_WEIGHTS)), _course(length, rng)
    for c in np.flatnonzero(struck):
        own = kind if rng.random() < 0.7 else int(rng.integers(len(KINDS)))
        delay = int(rng.integers(0, max(1, length // 5))) if rng.random() < 0.3 else 0
        amplitude = size * rng.uniform(0.15, 1.0) * rng.choice([-1.0, 1.0])
        delayed = np.concatenate([np.zeros(delay), course])[:length]
        before = made.z[rows, c].copy()
        after = _changed(own, before, z[:, c], amplitude, delayed, rng)
        effect = float(np.sqrt(np.mean((after - before) ** 2)))
        made.z[rows, c] = after
        made.label[rows, c] = effect > SEEN_FROM
        made.counted[rows, c] = effect > SEEN_FROM or effect < UNSEEN_TO
    made.counted[rows.stop : rows.stop + AFTER] = 0.0


def _course(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(length,) 0 to 1: at once or growing, now and then on and off."""
    ramp = int(rng.integers(1, length + 1)) if rng.random() < 0.4 else 1
    course = np.minimum(1.0, np.arange(1, length + 1) / ramp)
    if rng.random() < 0.15:
        course = course * ((np.arange(length) // int(rng.integers(1, 12))) % 2 == 0)
    return course


def _changed(
    kind: int, x: Rows, whole: Rows, amplitude: float, course: Course, rng: np.random.Generator
) -> Course:
    """The rows of one channel with the fault."""
    at_fault: Course
    match KINDS[kind]:
        case "offset":
            at_fault = x + amplitude * course
        case "gain":
            at_fault = x + amplitude * course * np.abs(x - whole.min()) / (np.abs(whole).mean() + 1e-3)
        case "noise":
            at_fault = x + rng.standard_normal(len(x)) * abs(amplitude) * 0.5 * course
        case "damp":
            at_fault = x.mean() + (x - x.mean()) * (1 - 0.9 * course)
        case "freeze":
            at_fault = np.where(course > 0.3, x[0], x).astype(np.float64)
        case _:
            phase = np.arange(len(x)) * 2 * np.pi / rng.uniform(3, 24) + rng.random() * 2 * np.pi
            at_fault = x + amplitude * np.sin(phase) * course
    return at_fault


def _drift(z: Rows, rng: np.random.Generator) -> None:
    n, C = z.shape
    for c in np.flatnonzero(rng.random(C) < DRIFTING):
        for _ in range(DRIFTS):
            begin = int(rng.integers(n))
            end = min(n, begin + int(rng.integers(100, max(101, n))))
            grown = np.minimum(1.0, np.arange(1, end - begin + 1) / int(rng.integers(1, 100)))
            z[begin:end, c] += (grown * rng.normal() * DRIFT).astype(np.float32)
