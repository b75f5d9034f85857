"""The series scorer: what the evaluation scores in one go, the service scores window by window."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.artifacts import MANIFEST, ArtifactError, read_manifest, read_weights, write_artifact
from models.calibration import count_alarms
from models.fleet import Series
from models.loading import load_scorer
from models.preparation import ChannelSpec
from models.recipe import TrainingConfig
from models.scoring import RememberingScorer, Score
from models.series import MIN_ROWS, RowScores, SeriesConfig, running_share
from models.series.artifacts import load_series, save_series
from models.series.learning import TrainedSeries, fit_series
from models.series.scorer import SeriesScorer
from models.series.slopes import Slopes
from tests.checks.scorer_laws import assert_same

CHANNELS = (
    ChannelSpec("speed_set", "setting"),
    ChannelSpec("flow"),
    ChannelSpec("pressure"),
    ChannelSpec("noise"),
    ChannelSpec("volume", "counter"),
)
ROWS, STRIDE, ROW_S = 64, 2, 5.0
Rows = NDArray[np.float32]


def blower(seed: int, rows: int) -> Series:
    """One fault-free device: pressure follows a flow that swings, volume counts the flow, the setting stands still."""
    rng = np.random.default_rng(seed)
    flow = 5 + np.sin(np.arange(rows) / 9) + 0.3 * np.sin(np.arange(rows) / 4) + rng.normal(0, 0.05, rows)
    columns = (
        np.full(rows, 2.0),
        flow,
        3 * flow + rng.normal(0, 0.2, rows),
        rng.normal(0, 1, rows),
        np.cumsum(flow) / 10,
    )
    values = np.stack(columns, 1).astype(np.float32)
    mask = rng.random(values.shape) < 0.97
    values[~mask] = np.nan
    return Series(f"SN-{seed}", values, mask)


@pytest.fixture(scope="module")
def trained() -> TrainedSeries:
    """Of one device, an hour and a half."""
    return fit_series(
        "blower", "1", CHANNELS, ROWS, STRIDE, ROW_S, [blower(0, 1100)], fit=SeriesConfig(practices=2)
    )


def saved(trained: TrainedSeries, folder: Path) -> Path:
    """As an artifact."""
    rule, created = TrainingConfig().rule, "2026-11-26T00:00:00Z"
    save_series(folder, trained, stride=STRIDE, row_s=ROW_S, rule=rule, created=created, training={"seed": 0})
    return folder


def streamed(scorer: SeriesScorer, values: Rows, strides: list[int]) -> tuple[NDArray[np.intp], Score]:
    """Windows of a new device that end so many rows apart, each scored with what the one before it left."""
    padded = np.concatenate([np.full((ROWS, values.shape[1]), np.nan, np.float32), values])
    memory, ends, scores = np.zeros((1, scorer.memory_width), np.float32), np.cumsum(strides), []
    for end, stride in zip(ends, strides, strict=True):
        window = padded[end : end + ROWS][None]
        score, memory = scorer.score_remembering(window, np.isfinite(window), memory, np.array([stride]))
        scores.append(score)
    return ends - 1, Score.joined(scores)


def evaluated(scorer: SeriesScorer, values: Rows) -> RowScores:
    """The same rows as `attendant evaluate` scores them."""
    slopes = Slopes([4])
    rows, _ = slopes.apply(values[:, None], slopes.unknown(1))
    return scorer.model.score(rows[:, 0])


@pytest.mark.parametrize("stride", [1, 2, 7, 64])
def test_window_by_window_a_device_gets_the_scores_of_its_whole_series(
    trained: TrainedSeries, stride: int
) -> None:
    scorer, device = trained.scorer, blower(1, 512)
    device.values[300:340, 2] += 4
    rows, told = streamed(scorer, device.values, [stride] * (512 // stride))
    whole = evaluated(scorer, device.values)
    reached = np.log(whole.anomaly[rows] + 1e-6).astype(np.float32)[:, None]
    expected = np.where(rows < MIN_ROWS - 1, 0.0, scorer.threshold.anomaly(reached))
    np.testing.assert_allclose(told.anomaly, expected, atol=1e-4)
    targets = np.array([c.is_target for c in CHANNELS])
    np.testing.assert_allclose(told.share, running_share(whole.evidence * targets)[rows], atol=1e-4)


def test_a_channel_that_leaves_the_others_is_told_with_direction_and_onset(trained: TrainedSeries) -> None:
    device = blower(2, 400)
    device.values[330:, 2] += 5
    rows, told = streamed(trained.scorer, device.values, [STRIDE] * 200)
    during, before = told.rows(slice(170, 200)), told.rows(slice(20, 160))
    assert during.anomaly.min() > before.anomaly.max()
    assert (during.share.argmax(1) == 2).all()
    assert (during.direction[:, 2] == 1).all()
    assert during.off_rows is not None
    onset = rows[170:] - during.off_rows[:, 2] + 1
    assert abs(int(np.median(onset)) - 330) <= 3
    gap = during.observed[:, 2] - during.expected[:, 2]
    assert 2.5 < np.median(gap) < 6
    assert (told.share[:, 0] == 0).all(), "a setting is no cause"


def test_an_explanation_shows_healthy_readings_within_the_band_and_faulty_ones_outside(
    trained: TrainedSeries,
) -> None:
    windows = np.stack([blower(seed, ROWS).values for seed in range(30, 50)])
    windows[:10, 48:, 1] -= 3
    mask = np.isfinite(windows)
    told = trained.scorer.explain(windows, mask)
    level = windows[..., 1:4]
    outside = (level < told.low[..., 1:4]) | (level > told.high[..., 1:4])
    assert outside[10:].mean() < 0.1
    # The oldest rows are as well explained as the others.
    assert outside[10:, :24].mean() < 0.1
    assert outside[:10, 50:, 0].mean() > 0.9
    assert told.attention[:10, 6:, 1].sum(1).mean() > 0.5
    assert np.isnan(told.expected[..., [0, 4]]).all(), (
        "nothing is expected of a setting, nor of a counter's level"
    )


@pytest.mark.parametrize("rows", [ROWS, 24])
def test_an_explanation_of_a_known_device_shows_what_its_score_said(
    trained: TrainedSeries, rows: int
) -> None:
    """Although its last reading of a channel, and most of what its share rests on, fell before the window."""
    known = trained.scorer
    scorer = SeriesScorer(known.model, CHANNELS, rows, known.threshold, known.identity)
    values = blower(50, 300).values
    values[200:245, 1] += 3
    values[245:, 3] = np.nan
    windows = np.stack([values[end - rows : end] for end in range(rows, 291, 3)])
    mask, new = np.isfinite(windows), np.full(len(windows), 3)
    new[0] = rows
    of = np.zeros(len(windows), np.intp)
    nothing = np.zeros((1, scorer.memory_width), np.float32)
    score, _ = scorer.score_remembering(windows, mask, nothing, new, of)
    _, memory = scorer.score_remembering(windows[:-3], mask[:-3], nothing, new[:-3], of[:-3])
    told = scorer.explain_remembering(windows[-3:], mask[-3:], memory, new[-3:], of[-3:])
    np.testing.assert_allclose(told.attention[0].sum(0), score.share[-1], atol=1e-4)
    anew = scorer.explain(windows[-1:], mask[-1:]).attention[0].sum(0)
    assert np.abs(anew - score.share[-1]).max() > 0.1, "of a new device another share would be told"
    newest = np.exp(np.arange(-15, 1) / 4.0)[:, None] * mask[-1, -16:, 1:3]
    expected = (newest * told.expected[0, -16:, 1:3]).sum(0) / newest.sum(0)
    np.testing.assert_allclose(expected, score.expected[-1, 1:3], rtol=1e-3)
    outside = (windows[-1, :, 1:3] < told.low[0, :, 1:3]) | (windows[-1, :, 1:3] > told.high[0, :, 1:3])
    assert outside[-12:].mean() < 0.1


def test_where_nothing_is_new_the_explanation_is_of_what_is_known(trained: TrainedSeries) -> None:
    scorer, window = trained.scorer, blower(51, ROWS).values[None]
    mask, every, none = np.isfinite(window), np.array([ROWS]), np.array([0])
    nothing = np.zeros((1, scorer.memory_width), np.float32)
    _, memory = scorer.score_remembering(window, mask, nothing, every)
    again, first = (
        scorer.explain_remembering(window, mask, known, new)
        for known, new in ((memory, none), (nothing, every))
    )
    np.testing.assert_array_equal(again.expected, first.expected)
    assert np.isfinite(scorer.explain_remembering(window, mask, nothing, none).attention).all()


def test_a_counter_is_watched_by_its_slope_and_may_be_reset(trained: TrainedSeries) -> None:
    reset, stuck = blower(3, 400), blower(3, 400)
    reset.values[300:, 4] -= reset.values[300, 4]
    stuck.values[300:, 4] = stuck.values[299, 4]
    (_, harmless), (_, fault) = (streamed(trained.scorer, d.values, [STRIDE] * 200) for d in (reset, stuck))
    assert harmless.anomaly[150:].max() < fault.anomaly[160:].min()
    assert (fault.share[165:].argmax(1) == 4).all()
    assert (fault.direction[165:, 4] == -1).all()


def test_devices_side_by_side_get_the_bits_that_each_gets_alone(trained: TrainedSeries) -> None:
    scorer = trained.scorer
    devices = np.stack([blower(seed, ROWS).values for seed in range(5)])
    mask = np.isfinite(devices)
    _, memory = scorer.score_remembering(
        devices, mask, np.zeros((5, scorer.memory_width), np.float32), np.full(5, ROWS)
    )
    new = np.array([0, 1, 2, 2, ROWS])
    score, left = scorer.score_remembering(devices[::-1], mask[::-1], memory, new)
    for b in range(5):
        one = slice(b, b + 1)
        alone, after = scorer.score_remembering(devices[::-1][one], mask[::-1][one], memory[one], new[one])
        assert_same(score.rows(one), alone)
        assert left[one].tobytes() == after.tobytes()
    assert left[0].tobytes() == memory[0].tobytes(), "without a new row nothing is learnt"


def test_several_windows_of_a_device_at_once_get_the_scores_that_they_get_one_after_the_other(
    trained: TrainedSeries,
) -> None:
    """Of devices that begin, that have gaps, and that have been known; the order of devices is as it happens."""
    scorer, steps = trained.scorer, {0: [5, 2, 2, 0, 40, 2] * 4, 1: [2] * 24, 2: [64, 1, 7] * 8, 3: [2] * 24}
    devices = {d: blower(40 + d, sum(own)).values for d, own in steps.items()}
    devices[1][30:, 2] += 4
    alone = {d: streamed(scorer, devices[d], own) for d, own in steps.items()}
    padded = {d: np.concatenate([np.full((ROWS, 5), np.nan, np.float32), x]) for d, x in devices.items()}
    memory = np.zeros((4, scorer.memory_width), np.float32)
    for begin, end in ((0, 10), (10, 24)):
        order = np.repeat(np.arange(begin, end), 4), np.tile([3, 0, 2, 1], end - begin)
        ends = {d: np.cumsum(own) for d, own in steps.items()}
        windows = np.stack([padded[d][ends[d][k] : ends[d][k] + ROWS] for k, d in zip(*order, strict=True)])
        new = np.array([steps[d][k] for k, d in zip(*order, strict=True)])
        score, memory = scorer.score_remembering(windows, np.isfinite(windows), memory, new, order[1])
        for d in devices:
            one_by_one, at_once = alone[d][1].rows(slice(begin, end)), np.flatnonzero(order[1] == d)
            for name in Score.__slots__:
                expected, found = getattr(one_by_one, name), getattr(score, name)[at_once]
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=name)


def serviced(scorer: SeriesScorer, before: Rows, after: Rows) -> Score:
    """Row by row what is said after a break in a device's course."""
    window, nothing = before[None, -ROWS:], np.zeros((1, scorer.memory_width), np.float32)
    _, memory = scorer.score_remembering(window, np.isfinite(window), nothing, np.array([ROWS]))
    memory, rows, told = np.where(scorer.lasting, memory, np.float32(0)), before, []
    for row in after:
        rows = np.concatenate([rows, row[None]])
        window = rows[None, -ROWS:]
        score, memory = scorer.score_remembering(window, np.isfinite(window), memory, np.array([1]))
        told.append(score)
    return Score.joined(told)


def test_after_a_break_a_mended_fault_is_no_past_and_one_that_was_not_mended_is_found_again(
    trained: TrainedSeries,
) -> None:
    faulty, mended = blower(3, 200).values, blower(4, 60).values
    faulty[100:, 2] += 4
    told = serviced(trained.scorer, faulty, mended)
    assert told.anomaly.max() < 1
    assert (told.anomaly[: MIN_ROWS - 1] == 0).all(), "too few rows have come since"
    assert told.share[-1].argmax() != 2
    mended[:, 2] += 4
    found = serviced(trained.scorer, faulty, mended)
    assert found.anomaly[MIN_ROWS:].min() > 2
    assert found.share[MIN_ROWS].argmax() == 2


def test_what_is_usual_of_a_device_outlasts_a_break(trained: TrainedSeries) -> None:
    """One that has been off from its beginning is not judged by that afterwards, as a new one would be at first."""
    scorer, own = trained.scorer, blower(6, 200).values
    own[:, 2] += np.float32(1.5) * np.sin(np.arange(200) / 2).astype(np.float32)
    kept = serviced(scorer, own[:140], own[140:]).anomaly[MIN_ROWS:]
    anew = streamed(scorer, own[140:], [1] * 60)[1].anomaly[MIN_ROWS:]
    assert kept.mean() < 0.8 * anew.mean()


def test_a_memory_of_another_width_and_too_many_new_rows_are_refused(trained: TrainedSeries) -> None:
    scorer, window = trained.scorer, blower(0, ROWS).values[None]
    memory = np.zeros((1, scorer.memory_width), np.float32)
    with pytest.raises(ValueError, match="memory of shape"):
        scorer.score_remembering(window, np.isfinite(window), memory[:, 1:], np.array([1]))
    with pytest.raises(ValueError, match="new rows must be 0 to 64"):
        scorer.score_remembering(window, np.isfinite(window), memory, np.array([65]))
    with pytest.raises(ValueError, match="of which device it is must be told of each of the 1 windows"):
        scorer.score_remembering(window, np.isfinite(window), memory, np.array([1]), np.array([0, 0]))
    with pytest.raises(ValueError, match="memory of shape"):
        scorer.score_remembering(window, np.isfinite(window), memory, np.array([1]), np.array([1]))


def test_an_artifact_scores_to_the_bit_as_the_model_it_was_made_of(
    trained: TrainedSeries, tmp_path: Path
) -> None:
    loaded = load_scorer(saved(trained, tmp_path))
    assert isinstance(loaded, RememberingScorer)
    assert isinstance(loaded, SeriesScorer)
    values = blower(5, 200).values
    for one, other in zip(
        streamed(loaded, values, [4] * 50), streamed(trained.scorer, values, [4] * 50), strict=True
    ):
        if isinstance(one, Score) and isinstance(other, Score):
            assert_same(one, other)
    assert read_manifest(tmp_path).threshold.fitted() == loaded.threshold == trained.scorer.threshold
    assert loaded.specs == CHANNELS


def test_a_manifest_of_other_channels_is_refused_with_the_array_that_does_not_fit(
    trained: TrainedSeries, tmp_path: Path
) -> None:
    manifest = read_manifest(saved(trained, tmp_path))
    other = manifest.model_copy(update={"channels": manifest.channels[:-1]}).sealed()
    (tmp_path / MANIFEST).write_text(other.model_dump_json())
    with pytest.raises(ArtifactError, match=r"scale\.center of shape \(5,\) where \(4,\) is wanted"):
        load_series(tmp_path)


def test_an_array_that_belongs_to_no_model_is_refused(trained: TrainedSeries, tmp_path: Path) -> None:
    manifest = read_manifest(saved(trained, tmp_path))
    more = read_weights(tmp_path, manifest) | {"stray.x": torch.zeros(1)}
    write_artifact(tmp_path, more, manifest)
    with pytest.raises(ArtifactError, match="arrays of stray, which belong to no model"):
        load_series(tmp_path)


def test_the_threshold_is_fitted_on_what_windows_come_to_from_the_first_that_is_judged(
    trained: TrainedSeries,
) -> None:
    scorer, device = trained.scorer, blower(8, 300)
    statistics = scorer.statistics(device.values, STRIDE)
    _, told = streamed(scorer, device.values, [MIN_ROWS] + [STRIDE] * ((300 - MIN_ROWS) // STRIDE))
    np.testing.assert_allclose(scorer.threshold.anomaly(statistics), told.anomaly, atol=1e-4)


def test_the_threshold_keeps_to_its_budget_on_days_that_the_model_does_not_know() -> None:
    day = round(86_400 / ROW_S)
    config = TrainingConfig(budget=1.0)
    trained = fit_series(
        "blower", "1", CHANNELS, ROWS, STRIDE, ROW_S, [blower(10, day // 4), blower(11, day // 4)], config,
        fit=SeriesConfig(practices=1),
    )  # fmt: skip
    assert trained.metrics["device_days"] == pytest.approx(0.5, rel=0.05)
    alarms = 0
    for seed in range(20, 24):
        _, told = streamed(trained.scorer, blower(seed, day // 4).values, [STRIDE] * (day // 4 // STRIDE))
        alarms += count_alarms(told.anomaly, config.rule)
    assert alarms <= 3, "one a day was asked for"
