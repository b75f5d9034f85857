"""What a scorer makes of a device's own bias, and the hold level of an artifact; on the shipped models."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.artifacts import ThresholdEntry, read_manifest
from models.calibration import AlarmRule
from models.detector import AttentionScorer
from models.loading import alarm_rule, load_scorer
from models.scoring import AdaptableScorer, Score

ZOO = Path(__file__).parents[2] / "models" / "zoo"
KINDS = ("infusion-pump", "icu-ventilator", "haemodialysis")
Windows = tuple[NDArray[np.float32], NDArray[np.bool_]]


@pytest.fixture(scope="module")
def pump() -> AttentionScorer:
    scorer = load_scorer(ZOO / "infusion-pump", "cpu")
    assert isinstance(scorer, AttentionScorer)
    return scorer


@pytest.fixture(scope="module")
def still(pump: AttentionScorer) -> Windows:
    """Eight windows in which nothing changes, each channel in the middle of its range; the last one half empty."""
    channels = pump.detector.channels
    middle = np.array(
        [(c.low + c.high) / 2 if np.isfinite(c.low + c.high) else 1.0 for c in channels], np.float32
    )
    scale = np.linspace(0.2, 0.9, 8, dtype=np.float32)[:, None, None]
    values = np.broadcast_to(middle, (8, pump.window_rows, len(channels))) * scale
    states = [i for i, c in enumerate(channels) if c.role == "state"]
    values[..., states] = np.rint(values[..., states])
    mask = np.ones(values.shape, np.bool_)
    mask[7, :40] = False
    return values.astype(np.float32), mask


def test_the_spread_of_what_is_expected_is_told_for_measured_channels_alone(
    pump: AttentionScorer, still: Windows
) -> None:
    score = pump.score(*still)
    for column, channel in enumerate(pump.detector.channels):
        told = np.isfinite(score.spread[:, column])
        assert told.all() if channel.role == "measured" else not told.any(), channel.name
    assert (score.spread[np.isfinite(score.spread)] > 0).all()
    silent = still[1].copy()
    silent[..., 3] = False
    assert np.isnan(pump.score(still[0], silent).spread[:, 3]).all()


def row_spreads(
    scorer: AttentionScorer, values: NDArray[np.float32], mask: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """(B, T, C) spread of what is expected of each row, in the channel's unit; 0 where none is told.

    `Score.spread` is its mean over the window, and in a state that the model hardly knows one part of a window may be
    twenty times as sure as another.
    """
    detector = scorer.detector
    with torch.no_grad():
        prepared = detector.preparation(torch.from_numpy(values), torch.from_numpy(mask))
        spread = torch.exp(detector.expectation(prepared.context)[1]) * detector.preparation.scale[:, None]
    rows = np.zeros(values.shape, np.float32)
    each = spread.repeat_interleave(detector.rows // len(spread), 0).permute(2, 0, 1).numpy()
    rows[..., detector.preparation.targets] = each
    counters = [i for i, channel in enumerate(detector.channels) if channel.role == "counter"]
    rows[..., counters] = 0
    return rows


def test_an_explanation_of_a_biased_device_expects_so_much_more_and_shows_the_share_of_its_score(
    pump: AttentionScorer, still: Windows
) -> None:
    values, mask = still
    bias = np.random.default_rng(0).uniform(-1, 1, (8, len(pump.channels))).astype(np.float32)
    told, plain = pump.explain_adapted(values, mask, bias), pump.explain(values, mask)
    level = [i for i, c in enumerate(pump.detector.channels) if c.role == "measured"]
    more = (bias[:, None] * row_spreads(pump, values, mask))[..., level]
    for edge in ("expected", "low", "high"):
        off = getattr(told, edge)[..., level] - getattr(plain, edge)[..., level]
        np.testing.assert_allclose(off, more, rtol=1e-3, atol=1e-3)
    share = pump.score_adapted(values, mask, bias).share
    np.testing.assert_allclose(told.attention.sum(1), share, atol=1e-4)
    assert np.abs(plain.attention.sum(1) - share).max() > 1e-3, "not the share of an unbiased device"
    with pytest.raises(ValueError, match="bias of shape"):
        pump.explain_adapted(values, mask, bias[1:])


def test_a_device_that_reads_by_its_bias_more_is_judged_as_one_without_either(
    pump: AttentionScorer, still: Windows
) -> None:
    values, mask = still[0][:7], still[1][:7]
    expected = pump.score(values, mask).expected
    values = np.where(np.isfinite(expected)[:, None], expected[:, None], values).astype(np.float32)
    plain = pump.score(values, mask)
    bias = np.where(np.isfinite(plain.spread), 3.0, 0.0).astype(np.float32)
    biased = values + bias[:, None] * row_spreads(pump, values, mask)
    adapted = pump.score_adapted(biased, mask, bias)
    unadapted = pump.score(biased, mask)

    shift = bias * np.nan_to_num(plain.spread)
    np.testing.assert_allclose(adapted.expected, plain.expected + shift, rtol=1e-3, atol=1e-3)
    assert (unadapted.anomaly - plain.anomaly).min() > 0.15
    np.testing.assert_allclose(adapted.anomaly, plain.anomaly, atol=0.01)


def test_no_bias_is_a_bias_of_zero_to_the_bit(pump: AttentionScorer, still: Windows) -> None:
    values, mask = still
    plain, zero = (
        pump.score(*still),
        pump.score_adapted(values, mask, np.zeros((8, values.shape[2]), np.float32)),
    )
    for name in Score.__slots__:
        assert getattr(plain, name).tobytes() == getattr(zero, name).tobytes(), name


def test_a_window_with_a_bias_scores_the_same_whatever_stands_beside_it(
    pump: AttentionScorer, still: Windows
) -> None:
    values, mask = still
    bias = np.random.default_rng(3).normal(0, 0.5, (8, values.shape[2])).astype(np.float32)
    bias[::2] = 0
    together = pump.score_adapted(values, mask, bias)
    for b in range(8):
        alone = pump.score_adapted(values[b : b + 1], mask[b : b + 1], bias[b : b + 1])
        for name in Score.__slots__:
            assert getattr(together, name)[b].tobytes() == getattr(alone, name)[0].tobytes(), name


def test_a_bias_of_another_shape_is_refused(pump: AttentionScorer, still: Windows) -> None:
    with pytest.raises(ValueError, match="bias of shape"):
        pump.score_adapted(*still, np.zeros((8, 2), np.float32))


def test_only_a_scorer_that_can_be_told_of_a_bias_counts_as_one(pump: AttentionScorer) -> None:
    assert isinstance(pump, AdaptableScorer)
    assert not isinstance(load_scorer(ZOO / "rapidvent", "cpu"), AdaptableScorer)


# -- the hold level ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_from_before_there_was_a_hold_level_is_read_and_holds_at_the_usual_one(kind: str) -> None:
    manifest = read_manifest(ZOO / kind)
    rule = alarm_rule(ZOO / kind)
    assert (rule.k, rule.n) == (manifest.threshold.k, manifest.threshold.n)
    assert rule.hold == 0.8 if manifest.threshold.hold is None else rule.hold == manifest.threshold.hold


def test_an_artifact_carries_its_own_hold_level_under_its_digest() -> None:
    manifest = read_manifest(ZOO / "infusion-pump")
    entry = ThresholdEntry(**(manifest.threshold.model_dump() | {"hold": 0.65}))
    other = manifest.model_copy(update={"threshold": entry}).sealed()
    again = type(other).model_validate_json(other.model_dump_json())
    rule = manifest.threshold.rule()
    assert again.threshold.rule() == replace(rule, hold=0.65)
    assert again.digest() == again.manifest_digest != manifest.manifest_digest
    assert again.threshold.fitted() == manifest.threshold.fitted()


@pytest.mark.parametrize("hold", [0.0, 1.0, -0.1])
def test_a_hold_level_that_is_no_part_of_the_threshold_is_refused(hold: float) -> None:
    with pytest.raises(ValueError, match="hold level"):
        AlarmRule(3, 5, hold)
