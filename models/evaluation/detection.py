"""Figures of detection: how well a score ranks rows, and what an operator would have lived with.

The first kind looks at every threshold; the second takes the alarm rows that the method itself decided on.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.vus import label_segments, volumes_under_surface

DETECTION = (
    "vus_pr", "vus_roc", "auc_pr", "auc_roc", "best_f1", "event_f1", "f1_own", "precision_own", "recall_own",
    "events_found", "normal_rows_alarming", "alarms_per_day", "false_alarms_per_day", "alarms_before_fault",
    "detection_delay_s", "pa_f1_inflated",
)  # fmt: skip
"""Names of the figures, in order."""
MERGED = 10
"""Rows between alarms of slow series that are still one alarm to an operator."""
DAY_S = 86_400.0

Figures = dict[str, float | None]


class _Curve(NamedTuple):
    """Counts at every distinct threshold, falling; a row is predicted where its score is at least the threshold."""

    threshold: NDArray[np.float64]
    hits: NDArray[np.int64]
    predicted: NDArray[np.int64]
    positives: int

    def precision(self) -> NDArray[np.float64]:
        return self.hits / self.predicted

    def recall(self) -> NDArray[np.float64]:
        return self.hits / self.positives


def detection_figures(
    score: NDArray[np.floating], label: NDArray[np.bool_], alarming: NDArray[np.bool_],
    row_s: float | None, vus_window: int, merged: int = MERGED,
) -> Figures:  # fmt: skip
    """Every figure of `DETECTION`.

    Args:
        score: (n,) high is anomalous.
        label: (n,) True at fault.
        alarming: (n,) rows above the method's own threshold.
        row_s: seconds a row; None where nobody knows, which leaves the figures in time open.
        vus_window: largest buffer of the volumes, rows.
        merged: alarms with fewer rows between them are one alarm to an operator.

    Raises:
        ValueError: shapes that differ, or a score that isn't finite.
    """
    height, label, alarming = (
        np.asarray(score, np.float64),
        np.asarray(label, bool),
        np.asarray(alarming, bool),
    )
    if not height.shape == label.shape == alarming.shape or not np.isfinite(height).all():
        raise ValueError("one finite score, one label and one decision a row")
    figures: Figures = dict.fromkeys(DETECTION)
    if label.any() and not label.all():
        figures |= _ranking(height, label, vus_window)
    figures |= _operation(label, alarming, row_s, merged)
    return figures


def _ranking(score: NDArray[np.float64], label: NDArray[np.bool_], vus_window: int) -> Figures:
    curve = _curve(score, label)
    precision, recall = curve.precision(), curve.recall()
    false_rate = (curve.predicted - curve.hits) / (len(label) - curve.positives)
    across, up = np.diff(false_rate, prepend=0.0), np.concatenate([[0.0], recall])
    segments = label_segments(label)
    peak = np.maximum.reduceat(np.append(score, -np.inf), segments.ravel())[::2]
    events, adjusted = _by_events(peak, np.diff(segments)[:, 0], curve)
    false = curve.predicted - curve.hits
    volumes = volumes_under_surface(score, label, vus_window)
    return {
        "vus_pr": volumes.pr,
        "vus_roc": volumes.roc,
        "auc_pr": float(np.diff(recall, prepend=0.0) @ precision),
        "auc_roc": float(across @ (up[1:] + up[:-1]) / 2),
        "best_f1": _best_f1(precision, recall),
        "event_f1": _best_f1(precision, events),
        "pa_f1_inflated": _best_f1(adjusted / np.maximum(adjusted + false, 1), adjusted / curve.positives),
    }


def _curve(score: NDArray[np.float64], label: NDArray[np.bool_]) -> _Curve:
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    last = np.flatnonzero(np.append(np.diff(falling) < 0, True))
    hits = np.cumsum(label[order].astype(np.int64))[last]
    return _Curve(falling[last], hits, last + 1, int(label.sum()))


def _by_events(
    peak: NDArray[np.float64], length: NDArray[np.intp], curve: _Curve
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At every threshold: the part of the events found, and the rows of the events found."""
    order = np.argsort(-peak)
    found = np.searchsorted(-peak[order], -curve.threshold, side="right")
    rows = np.concatenate([[0], np.cumsum(length[order])])
    return found / len(peak), rows[found].astype(float)


def _best_f1(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))


def _operation(
    label: NDArray[np.bool_], alarming: NDArray[np.bool_], row_s: float | None, merged: int
) -> Figures:
    """What the method's own threshold means to the one who answers the alarms."""
    figures: Figures = {}
    alarms, events = _alarms(alarming, merged), label_segments(label)
    false = sum(not label[a:b].any() for a, b in alarms)
    if len(events):
        hits = int((label & alarming).sum())
        figures["f1_own"] = float(2 * hits / (label.sum() + alarming.sum()))
        figures["precision_own"] = float(hits / alarming.sum()) if alarming.any() else None
        figures["recall_own"] = float(hits / label.sum())
        delays = [int(alarming[a:b].argmax()) for a, b in events if alarming[a:b].any()]
        figures["events_found"] = len(delays) / len(events)
        first = int(events[0, 0])
        figures["alarms_before_fault"] = float(sum(start < first for start, _ in alarms))
        if delays and row_s is not None:
            figures["detection_delay_s"] = float(np.mean(delays)) * row_s
    if not label.all():
        figures["normal_rows_alarming"] = float(alarming[~label].mean())
    if row_s is not None and len(label):
        figures["alarms_per_day"] = len(alarms) * DAY_S / (len(label) * row_s)
        if not label.all():
            figures["false_alarms_per_day"] = false * DAY_S / (float((~label).sum()) * row_s)
    return figures


def _alarms(alarming: NDArray[np.bool_], merged: int) -> list[tuple[int, int]]:
    """Stretches of alarming rows, those close to each other joined: (first row, row after the last)."""
    alarms: list[tuple[int, int]] = []
    for start, end in label_segments(alarming).tolist():
        if alarms and start - alarms[-1][1] < merged:
            alarms[-1] = (alarms[-1][0], end)
        else:
            alarms.append((start, end))
    return alarms
