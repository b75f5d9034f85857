"""Figures against slow, literal readings of their definitions, and against cases that can be told by hand."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation import (
    CAUSES,
    DETECTION,
    Cause,
    cause_figures,
    detection_figures,
    label_segments,
    paired_bootstrap,
    volumes_under_surface,
)

Rows = NDArray[np.float64]
Flags = NDArray[np.bool_]


def literal_volumes(score: Rows, label: Flags, largest: int, thresholds: int = 250) -> tuple[float, float]:
    """The definition row by row and threshold by threshold, without any of the shortcuts of the implementation."""
    n = len(score)
    falling = sorted(score.tolist(), reverse=True)
    levels = [falling[int(i)] for i in np.linspace(0, n - 1, thresholds)]
    widest, true_rows = joined(label, largest), int(label.sum())
    true: list[bool] = label.tolist()
    rocs, prs = [], []
    for width in range(largest + 1):
        soft, groups = softened(label, width), joined(label, width)
        curve, area_pr = [(0.0, 0.0)], 0.0
        for level in levels:
            flagged = (score >= level).tolist()
            met = sum(any(flagged[a : b + 1]) for a, b in groups) / len(groups)
            hit = counted = 0.0
            for a, b in widest:
                for i in range(a, b + 1):
                    worth = 1.0 if true[i] else soft[i] * flagged[i]
                    hit += worth * flagged[i]
                    counted += worth
            positives = (true_rows + counted) / 2
            tpr = min(hit / positives, 1.0) * met
            area_pr += (tpr - curve[-1][0]) * hit / sum(flagged)
            curve.append((tpr, (sum(flagged) - hit) / (n - positives)))
        curve.append((1.0, 1.0))
        rocs.append(sum((q[1] - p[1]) * (q[0] + p[0]) / 2 for p, q in pairwise(curve)))
        prs.append(area_pr)
    return float(np.mean(rocs)), float(np.mean(prs))


def runs(label: Flags) -> list[tuple[int, int]]:
    """First and last row of every labelled stretch."""
    starts = [i for i in range(len(label)) if label[i] and (i == 0 or not label[i - 1])]
    ends = [i for i in range(len(label)) if label[i] and (i == len(label) - 1 or not label[i + 1])]
    return list(zip(starts, ends, strict=True))


def joined(label: Flags, width: int) -> list[tuple[int, int]]:
    """The stretches with half a width on either side; those that touch are one."""
    half = width // 2
    groups: list[tuple[int, int]] = []
    for a, b in runs(label):
        if groups and groups[-1][1] + half >= a - half:
            groups[-1] = (groups[-1][0], b)
        else:
            groups.append((a, b))
    return [(max(a - half, 0), min(b + half, len(label) - 1)) for a, b in groups]


def softened(label: Flags, width: int) -> list[float]:
    """The label with its buffers, row by row."""
    soft = [float(x) for x in label]
    for a, b in runs(label):
        for i in range(len(label)):
            distance = a - i if i < a else i - b
            if 0 < distance <= width // 2:
                soft[i] += float((1 - distance / width) ** 0.5)
    return [min(x, 1.0) for x in soft]


def labelled(n: int, *runs: tuple[int, int]) -> Flags:
    """(n,) True from each start to each end, exclusive."""
    label = np.zeros(n, bool)
    for start, end in runs:
        label[start:end] = True
    return label


LABELS = {
    "one stretch": labelled(120, (70, 90)),
    "buffers that meet and overlap": labelled(120, (30, 33), (36, 37), (41, 52), (100, 101)),
    "stretches at both ends": labelled(120, (0, 7), (114, 120)),
    "nearly all": ~labelled(120, (40, 44), (90, 91)),
}


@pytest.mark.parametrize("largest", [0, 1, 7, 16])
@pytest.mark.parametrize("label", LABELS.values(), ids=list(LABELS))
def test_volumes_are_those_of_the_definition(label: Flags, largest: int) -> None:
    rng = np.random.default_rng(largest)
    score = rng.normal(size=len(label)) + label
    for one in (score, np.round(score), -score):  # fine, full of ties, worse than chance
        roc, pr = literal_volumes(one, label, largest)
        volumes = volumes_under_surface(one, label, largest)
        assert volumes.roc == pytest.approx(roc, abs=1e-9)
        assert volumes.pr == pytest.approx(pr, abs=1e-9)


def test_volumes_want_labels_of_both_kinds() -> None:
    for label in (np.zeros(10, bool), np.ones(10, bool), np.ones(9, bool)):
        with pytest.raises(ValueError, match="labelled rows and unlabelled"):
            volumes_under_surface(np.arange(10.0), label, 4)


def test_a_perfect_score_is_perfect_and_a_constant_one_is_chance() -> None:
    label = labelled(400, (100, 140), (300, 310))
    alarming = label & (np.arange(400) != 100)
    best = detection_figures(label * 1.0, label, alarming, 60.0, 20)
    assert tuple(best) == DETECTION
    for name in (
        "auc_pr",
        "auc_roc",
        "best_f1",
        "event_f1",
        "pa_f1_inflated",
        "precision_own",
        "events_found",
    ):
        assert best[name] == pytest.approx(1.0), name
    assert best["f1_own"] == pytest.approx(2 * 49 / (50 + 49))
    assert best["detection_delay_s"] == pytest.approx(30.0)
    flat = detection_figures(np.zeros(400), label, np.zeros(400, bool), 60.0, 20)
    assert flat["auc_roc"] == pytest.approx(0.5)
    assert flat["auc_pr"] == pytest.approx(50 / 400)
    assert flat["best_f1"] == pytest.approx(2 * 0.125 / 1.125)
    assert (flat["f1_own"], flat["events_found"], flat["detection_delay_s"]) == (0.0, 0.0, None)


def test_curves_are_those_of_every_threshold_tried_in_turn() -> None:
    rng = np.random.default_rng(5)
    label = labelled(120, (10, 30), (60, 64), (119, 120))
    score = np.round(rng.normal(size=120) + label, 1)
    figures = detection_figures(score, label, score > 1.5, None, 8)
    area, before, best, event, adjusted = 0.0, 0.0, 0.0, 0.0, 0.0
    for level in sorted(set(score), reverse=True):
        flagged = score >= level
        hit, missed = (flagged & label).sum(), (flagged & ~label).sum()
        precision, recall = hit / flagged.sum(), hit / label.sum()
        area += precision * (recall - before)
        before = recall
        met = [(a, b) for a, b in label_segments(label) if flagged[a:b].any()]
        whole = sum(b - a for a, b in met)
        f1 = [
            2 * p * r / max(p + r, 1e-12)
            for p, r in (
                (precision, recall),
                (precision, len(met) / 3),
                (whole / max(whole + missed, 1), whole / 25),
            )
        ]
        best, event, adjusted = max(best, f1[0]), max(event, f1[1]), max(adjusted, f1[2])
    wins = (score[label][:, None] > score[~label]) + 0.5 * (score[label][:, None] == score[~label])
    assert figures["auc_pr"] == pytest.approx(area)
    assert figures["auc_roc"] == pytest.approx(wins.mean())
    assert figures["best_f1"] == pytest.approx(best)
    assert figures["event_f1"] == pytest.approx(event)
    assert figures["pa_f1_inflated"] == pytest.approx(adjusted)


def test_alarms_close_to_each_other_are_one_and_only_those_without_a_fault_are_false() -> None:
    label = labelled(1440, (700, 720))
    alarming = labelled(1440, (100, 103), (108, 109), (400, 401), (705, 706))
    figures = detection_figures(alarming * 1.0, label, alarming, 60.0, 10)
    assert figures["alarms_per_day"] == pytest.approx(3.0)
    assert figures["alarms_before_fault"] == 2
    assert figures["false_alarms_per_day"] == pytest.approx(2.0 * 1440 / 1420)
    assert figures["normal_rows_alarming"] == pytest.approx(5 / 1420)
    assert figures["detection_delay_s"] == pytest.approx(300.0)
    without_clock = detection_figures(alarming * 1.0, label, alarming, None, 10)
    assert without_clock["alarms_per_day"] is None
    assert without_clock["detection_delay_s"] is None


def test_a_series_without_a_fault_tells_of_false_alarms_only() -> None:
    figures = detection_figures(np.arange(50.0), np.zeros(50, bool), np.arange(50) > 47, 1.0, 10)
    assert figures["normal_rows_alarming"] == pytest.approx(0.04)
    told = {name for name, figure in figures.items() if figure is not None}
    assert told == {"normal_rows_alarming", "alarms_per_day", "false_alarms_per_day"}


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        detection_figures(np.array([0.0, np.nan]), np.array([False, True]), np.zeros(2, bool), 1.0, 2)


def test_causes_by_row_and_by_segment_as_told_by_hand() -> None:
    # Two true channels (1, 3) of five. Row 0 ranks 1 and 3 first; row 1 ranks 0, 2, 1 first.
    share = np.array([[0.0, 0.5, 0.1, 0.4, 0.0], [0.5, 0.1, 0.3, 0.05, 0.05]])
    figures = cause_figures(share, [Cause(0, 2, (1, 3))])
    ideal = 1 + 1 / np.log2(3)
    assert tuple(figures) == CAUSES
    assert figures["row_hit_100"] == pytest.approx((1 + 0) / 2)
    assert figures["row_hit_150"] == pytest.approx((1 + 0.5) / 2)
    assert figures["row_ndcg_100"] == pytest.approx((1 + 0) / 2)
    assert figures["row_ndcg_150"] == pytest.approx((1 + 0.5 / ideal) / 2)
    assert (figures["row_top1"], figures["row_top3"]) == (0.5, 1.0)
    # The mean share ranks 1, 0, 3: one of two hit, then both.
    assert figures["segment_hit_100"] == pytest.approx(0.5)
    assert figures["segment_hit_150"] == pytest.approx(1.0)
    assert figures["segment_ndcg_100"] == pytest.approx(1 / ideal)
    assert (figures["top1"], figures["top3"]) == (1.0, 1.0)


def test_a_segment_adds_up_the_evidence_of_its_rows() -> None:
    share = np.array([[0.1, 0.9], [0.9, 0.1], [0.9, 0.1]])
    cause = [Cause(0, 3, (1,))]
    assert cause_figures(share, cause)["top1"] == 0.0
    assert cause_figures(share, cause, share * [[5.0], [0.5], [0.5]])["top1"] == 1.0
    assert cause_figures(share, cause, np.zeros((3, 2))) == cause_figures(share, cause)


def test_causes_count_once_each_by_segment_and_once_a_row_by_row() -> None:
    share = np.array([[0.9, 0.1]] * 9 + [[0.9, 0.1]])
    figures = cause_figures(share, [Cause(0, 9, (0,)), Cause(9, 10, (1,))])
    assert figures["row_top1"] == pytest.approx(0.9)
    assert figures["top1"] == pytest.approx(0.5)


def test_causes_that_do_not_fit_are_refused_and_none_are_none() -> None:
    share = np.ones((4, 2))
    for wrong in (Cause(2, 5, (0,)), Cause(3, 3, (0,)), Cause(0, 1, ())):
        with pytest.raises(ValueError, match="names no channels"):
            cause_figures(share, [wrong])
    assert set(cause_figures(share, []).values()) == {None}


def test_a_steady_gain_is_told_from_a_lucky_one() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.uniform(0.2, 0.8, 30)
    steady = paired_bootstrap((theirs + rng.normal(0.05, 0.02, 30)).tolist(), theirs.tolist())
    lucky = paired_bootstrap((theirs + rng.normal(0.0, 0.2, 30)).tolist(), theirs.tolist())
    assert steady.low > 0
    assert lucky.low < 0 < lucky.high
    assert steady.low < steady.difference < steady.high
    with pytest.raises(ValueError, match="same series"):
        paired_bootstrap([0.1], [0.1, 0.2])
