"""VUS-ROC and VUS-PR: volumes under the surface of range-based curves over all buffer widths up to the largest.

After Paparrizos et al., "Volume Under the Surface: A New Accuracy Evaluation Measure for Time-Series Anomaly
Detection", PVLDB 15(11), 2022, with the numbers of TSB-AD 1.5 (`generate_curve`, version `opt`). That implementation
visits every row for every threshold and width; here all thresholds are one cumulative count, since a row that a
threshold calls anomalous is called so by every lower one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = 250
"""Thresholds of a curve: the scores at evenly spaced ranks."""


class Volumes(NamedTuple):
    """Mean area over the buffer widths."""

    roc: float
    pr: float


class _Buffers(NamedTuple):
    """Unlabelled rows within reach of a segment: a pair a row and segment that are near each other."""

    row: NDArray[np.intp]
    """(pairs,) index into `rows`."""
    distance: NDArray[np.intp]
    """(pairs,) rows to the segment's nearest end, from 1."""
    rows: NDArray[np.intp]
    """(R,) row numbers, each once."""


def label_segments(label: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(n,) → (S, 2) first row of every labelled stretch and the row after its last."""
    edges = np.diff(np.concatenate([[False], np.asarray(label, bool), [False]]).astype(np.int8))
    return np.flatnonzero(edges).reshape(-1, 2)


def volumes_under_surface(
    score: NDArray[np.floating], label: NDArray[np.bool_], largest: int, thresholds: int = THRESHOLDS
) -> Volumes:
    """Volumes over the buffer widths 0, 1, … `largest` rows.

    Args:
        score: (n,) high is anomalous.
        label: (n,) True at fault.
        largest: of the buffers, rows; half of it lies on either side of a labelled stretch.
        thresholds: points of a curve.

    Raises:
        ValueError: no row is labelled, or all are, or the shapes differ.
    """
    label = np.asarray(label, bool)
    segments = label_segments(label)
    if label.shape != np.shape(score) or not len(segments) or label.all():
        raise ValueError("a curve needs one score a row, labelled rows and unlabelled ones")
    rank = _first_threshold(np.asarray(score, float), thresholds)
    predicted = _at_most(rank, None, thresholds)
    sure = _at_most(rank[label], None, thresholds)
    buffers = _buffers(segments, label, largest // 2)
    areas = np.empty((largest + 1, 2))
    for width in range(largest + 1):
        extra = _at_most(rank[buffers.rows], _membership(buffers, width), thresholds)
        met = _at_most(_earliest(rank, segments, width // 2, thresholds), None, thresholds, mean=True)
        positives = label.sum() + extra / 2
        hit = sure + extra
        recall = np.minimum(hit / positives, 1.0) * met
        areas[width] = _areas(recall, (predicted - hit) / (len(label) - positives), hit / predicted)
    return Volumes(*map(float, areas.mean(0)))


def _first_threshold(score: NDArray[np.float64], thresholds: int) -> NDArray[np.intp]:
    """(n,) the number of the highest threshold that calls the row anomalous; thresholds fall from 0 on."""
    falling = np.sort(score)[::-1]
    level = falling[np.linspace(0, len(score) - 1, thresholds).astype(int)]
    return np.searchsorted(-level, -score, side="left")


def _at_most(
    rank: NDArray[np.intp], weight: NDArray[np.float64] | None, thresholds: int, *, mean: bool = False
) -> NDArray[np.float64]:
    """(thresholds,) how many (how much weight) each threshold has called anomalous."""
    counts = np.cumsum(np.bincount(rank, weight, minlength=thresholds + 1)[:thresholds]).astype(float)
    return counts / len(rank) if mean else counts


def _buffers(segments: NDArray[np.intp], label: NDArray[np.bool_], reach: int) -> _Buffers:
    steps = np.arange(1, reach + 1)
    near = np.concatenate([(segments[:, :1] - steps).ravel(), (segments[:, 1:] - 1 + steps).ravel()])
    distance = np.tile(steps, 2 * len(segments))
    inside = (near >= 0) & (near < len(label))
    near, distance = near[inside], distance[inside]
    free = ~label[near]
    rows, row = np.unique(near[free], return_inverse=True)
    return _Buffers(row, distance[free], rows)


def _membership(buffers: _Buffers, width: int) -> NDArray[np.float64]:
    """(R,) how far a buffer of this width makes each row count as labelled, 0 to 1."""
    reached = buffers.distance <= width // 2
    part = np.sqrt(1 - buffers.distance[reached] / max(width, 1))
    return np.minimum(np.bincount(buffers.row[reached], part, minlength=len(buffers.rows)), 1.0)


def _earliest(
    rank: NDArray[np.intp], segments: NDArray[np.intp], half: int, thresholds: int
) -> NDArray[np.intp]:
    """The highest threshold that finds each stretch with its buffers; stretches whose buffers touch are one."""
    apart = segments[:-1, 1] - 1 + half < segments[1:, 0] - half
    first = segments[np.concatenate([[True], apart]), 0] - half
    after = segments[np.concatenate([apart, [True]]), 1] + half
    bounds = np.stack([np.maximum(first, 0), np.minimum(after, len(rank))], 1).ravel()
    # The row put behind the last one only lets the last stretch end there.
    return np.minimum.reduceat(np.append(rank, thresholds), bounds)[::2]


def _areas(
    recall: NDArray[np.float64], false_rate: NDArray[np.float64], precision: NDArray[np.float64]
) -> tuple[float, float]:
    """Trapezoids under the ROC curve, closed at (1, 1); steps under the precision-recall curve."""
    across = np.diff(np.concatenate([[0.0], false_rate, [1.0]]))
    up = np.concatenate([[0.0], recall, [1.0]])
    return float(across @ (up[1:] + up[:-1]) / 2), float(np.diff(recall, prepend=0.0) @ precision)
