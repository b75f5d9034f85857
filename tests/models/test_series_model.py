"""The detector on bare series: causal, fitted on the training rows alone, sound with gaps."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.series import (
    MIN_ROWS,
    SHORTEST,
    SeriesConfig,
    SeriesModel,
    TooShortError,
    fit_model,
    running_share,
)
from models.series.level import OWN, RELIEF, WHOLE

QUICK = SeriesConfig(practice_rows=150)
Rows = NDArray[np.float32]


def rows(seed: int, n: int) -> Rows:
    """(n, 4): two channels follow a slow wave, one is noise, one stands still; some readings are missing."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(n) / 9) + 0.3 * np.sin(np.arange(n) / 4)
    columns = (
        5 + wave + rng.normal(0, 0.1, n),
        -3 * wave + rng.normal(0, 0.3, n),
        rng.normal(0, 1, n),
        np.full(n, 7.0),
    )
    values = np.stack(columns, 1).astype(np.float32)
    values[rng.random(values.shape) < 0.01] = np.nan
    return values


@pytest.fixture(scope="module")
def fitted() -> SeriesModel:
    """Fitted on 600 rows."""
    return fit_model(["a", "b", "c", "d"], rows(0, 600), 0, QUICK).model


def residuals(model: SeriesModel, values: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) residual scores, relieved and as they are."""
    told, _ = model.advance(values[:, None], model.unknown(1))
    return told.reached[:, 0], model.level.reached(told.energies[:, 0])


def test_a_channel_that_leaves_the_others_is_found_and_named(fitted: SeriesModel) -> None:
    test = rows(1, 300)
    test[150:200, 1] += 9
    told = fitted.score(test)
    assert told.anomaly.shape == (300,)
    assert np.median(told.anomaly[160:200]) > 2 * np.median(told.anomaly[20:150])
    assert told.share[165:200].mean(0).argmax() == 1
    np.testing.assert_allclose(told.share.sum(1), 1.0, atol=1e-5)


def test_what_comes_later_changes_no_score_of_before(fitted: SeriesModel) -> None:
    test = rows(2, 200)
    other = test.copy()
    other[120:] = 99
    one, two = fitted.score(test), fitted.score(other)
    np.testing.assert_array_equal(one.anomaly[:120], two.anomaly[:120])
    np.testing.assert_array_equal(one.share[:120], two.share[:120])
    assert (one.anomaly[120:] != two.anomaly[120:]).all()


def test_a_row_has_no_score_before_there_are_enough_of_them(fitted: SeriesModel) -> None:
    told = fitted.score(rows(3, 60))
    assert (told.anomaly[: MIN_ROWS - 1] == 0).all()
    assert (told.anomaly[MIN_ROWS - 1 :] > 0).any()
    assert len(fitted.score(rows(3, 3)).anomaly) == 3


def test_the_same_seed_gives_the_same_scores_and_one_channel_is_enough() -> None:
    train, test = rows(4, 300)[:, :1], rows(5, 80)[:, :1]
    one, two = (fit_model(["a"], train, 7, QUICK).model.score(test) for _ in range(2))
    np.testing.assert_array_equal(one.anomaly, two.anomaly)
    np.testing.assert_array_equal(one.share, np.ones((80, 1), np.float32))


def test_the_attention_taught_on_injected_faults_points_at_the_channel(fitted: SeriesModel) -> None:
    test = rows(6, 300)
    test[200:240, 0] -= 4
    told = fitted.score(test)
    assert told.attention[205:240].mean(0).argmax() == 0
    np.testing.assert_allclose(told.attention.sum(1), 1.0, atol=1e-5)
    assert told.evidence[205:240, 0].min() > np.median(told.evidence[20:200].max(1))


def test_slow_drift_fades_from_the_score_and_an_incident_does_not(fitted: SeriesModel) -> None:
    drift, incident = rows(7, 3000), rows(7, 3000)
    drift[:, 2] *= np.linspace(1.0, 2.0, 3000)
    incident[2500:2560, 1] += 9
    faded, with_drift = residuals(fitted, drift)
    assert np.median(faded[2500:]) < 0.9 * np.median(with_drift[2500:])
    assert (faded >= with_drift / RELIEF - 1e-6).all(), "relief is bounded"
    assert fitted.score(incident).alarming[2505:2560].all()


def test_readings_that_are_unusual_by_themselves_count_though_they_go_together_as_usual(
    fitted: SeriesModel,
) -> None:
    told, _ = fitted.advance(rows(8, 200)[:, None], fitted.unknown(1))
    usual, far = told.energies[100:], told.energies[100:].copy()
    far[..., WHOLE, 1] += 25 * fitted.level.unit[WHOLE, 1]
    assert (fitted.level.reached(far) > 1.2 * fitted.level.reached(usual)).all()
    assert np.median(fitted.level.reached(usual)) == pytest.approx(1, abs=0.4)


def restless(seed: int, n: int) -> Rows:
    """Likewise, but now and then everything is noisier: the limits lie well above the usual residual."""
    rng, values = np.random.default_rng(100 + seed), rows(seed, n)
    activity = np.where(np.sin(np.arange(n) / 30 + seed) > 0.8, 2.0, 0.4)
    values[:, :3] += (rng.normal(0, 0.2, (n, 3)) * activity[:, None]).astype(np.float32)
    return values


def test_a_series_that_begins_off_its_training_rows_is_quiet_and_a_later_incident_is_not() -> None:
    fitted = fit_model(["a", "b", "c", "d"], restless(0, 1500), 0, QUICK).model
    off = restless(9, 700)
    off[:, 0] += 1
    off[500:560, 1] += 9
    told = fitted.score(off)
    begun = told.ablations["without_adaptation"]
    assert begun.alarming[100:500].mean() > 0.5, "it is off by enough to alarm"
    assert told.alarming[100:500].mean() < 0.05
    assert told.alarming[505:560].all()


def test_an_incident_soon_after_the_beginning_is_lowered_within_bounds_only(fitted: SeriesModel) -> None:
    early = rows(10, 300)
    early[40:140, 1] += 9
    told = fitted.score(early)
    assert told.alarming[45:140].all()
    adapted, unadapted = residuals(fitted, early)
    assert (adapted >= unadapted / (OWN * RELIEF) - 1e-6).all()


def test_the_share_still_names_a_channel_that_showed_only_at_the_beginning_of_an_incident() -> None:
    evidence = np.full((60, 3), 1e-6)
    evidence[5:8, 1] = 1.0
    evidence[8:20, 0] = 0.8
    share = running_share(evidence)
    np.testing.assert_allclose(share.sum(1), 1.0, atol=1e-5)
    assert share[7].argmax() == 1
    assert share[15, 1] > 0.3
    assert share[59, 1] < share[15, 1] + 1e-6
    np.testing.assert_array_equal(running_share(evidence[:30]), share[:30])


def test_a_row_of_an_incident_that_looks_usual_is_raised_within_bounds_and_no_row_before_it(
    fitted: SeriesModel,
) -> None:
    quiet = rows(11, 400)
    incident = quiet.copy()
    incident[200:230, 1] += 9
    raised = fitted.score(incident).anomaly - fitted.score(quiet).anomaly
    assert (raised[:200] == 0).all()
    after = raised[270:300]  # the window and the changes of the incident have passed
    assert after.min() > 0
    assert after.max() <= fitted.limits.raised / fitted.limits.lasting + 0.05
    assert raised[390:].mean() < after.mean(), "it fades"


def test_without_attention_the_same_residual_is_remembered_whatever_channel_it_is_on(
    fitted: SeriesModel,
) -> None:
    test = rows(12, 300)
    test[150:180, 1] += 9
    told = fitted.score(test)
    forgetful = told.ablations["without_memory"].anomaly
    assert (forgetful[:150] == fitted.score(rows(12, 300)).ablations["without_memory"].anomaly[:150]).all()
    assert (told.anomaly[185:250] > forgetful[185:250] / fitted.limits.lasting).all()
    plain = told.ablations["without_attention"]
    assert (plain.anomaly != told.anomaly).any()
    assert plain.anomaly[185:250].mean() > fitted.score(rows(12, 300)).anomaly[185:250].mean()


def test_a_channel_without_any_reading_is_no_cause(fitted: SeriesModel) -> None:
    test = rows(8, 200)
    test[:, 3] = np.nan
    test[100:150, 1] += 9
    told = fitted.score(test)
    assert np.isfinite(told.anomaly).all()
    assert told.share[110:150].mean(0).argmax() == 1


def test_a_jump_from_one_recording_to_the_next_raises_no_limit() -> None:
    train = rows(13, 1200)
    train[600:, 0] += 40  # another device: a level of its own
    [whole, parted] = (
        fit_model(["a", "b", "c", "d"], train, 0, QUICK, breaks=breaks).model.limits for breaks in ([], [600])
    )
    assert parted.reached < 0.5 * whole.reached


def test_as_many_names_as_columns_are_needed() -> None:
    with pytest.raises(ValueError, match="2 channel names for 4 columns"):
        fit_model(["a", "b"], rows(0, 600), 0, QUICK)


def test_too_few_training_rows_are_refused_with_the_number() -> None:
    with pytest.raises(TooShortError, match=f"150 training rows; .* at least {SHORTEST}"):
        fit_model(["a", "b", "c", "d"], rows(0, 150), 0, QUICK)
