"""Thresholds: the rule they are fitted for, the budget they keep on data that nobody has seen."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from models.calibration import (
    AlarmRule,
    ExpressRule,
    Threshold,
    count_alarms,
    fit_threshold,
    open_rows,
    running_kth,
    tail_level,
)
from models.scoring import EXPRESS_AT

RULE = AlarmRule(3, 5)
BOTH = AlarmRule(15, 20, express=ExpressRule(2, 3))


def device(seed: int, windows: int = 4000) -> NDArray[np.float32]:
    """Two statistics with memory, as overlapping windows have."""
    rng = np.random.default_rng(seed)
    x = np.zeros((windows, 2))
    step = rng.normal(0, 1, (windows, 2))
    for t in range(1, windows):
        x[t] = 0.8 * x[t - 1] + 0.6 * step[t]
    return x.astype(np.float32)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_running_kth_fires_exactly_where_k_of_n_are_above(k: int) -> None:
    x, rule, level = device(0, 300)[:, 0], AlarmRule(k, 4), 0.7
    fired = running_kth(x, rule) >= level
    for t in range(len(x)):
        assert fired[t] == ((x[max(0, t - 3) : t + 1] >= level).sum() >= k)


@pytest.mark.parametrize("budget", [2.0, 0.5])
def test_the_rate_on_unseen_devices_stays_near_the_budget(budget: float) -> None:
    windows_a_day = 1000.0
    fitted = fit_threshold([device(seed) for seed in range(20)], windows_a_day, budget, RULE)
    alarms = sum(count_alarms(fitted.anomaly(device(seed)), RULE) for seed in range(100, 140))
    assert alarms / (40 * 4000 / windows_a_day) < 1.6 * budget
    assert fitted.rate_asked == budget
    assert fitted.device_days == pytest.approx(80.0)


def test_a_smaller_budget_never_lowers_a_limit() -> None:
    data = [device(seed) for seed in range(10)]
    limits = [fit_threshold(data, 1000.0, budget, RULE).limit for budget in (3.0, 0.3, 0.03, 0.003)]
    for loose, strict in itertools.pairwise(limits):
        assert all(a <= b for a, b in zip(loose, strict, strict=True))


def test_one_odd_statistic_does_not_raise_the_limit_of_the_other() -> None:
    data = [device(seed) for seed in range(10)]
    odd = [x.copy() for x in data]
    odd[0][500:520, 0] += 100
    assert fit_threshold(odd, 1000.0, 0.1, RULE).limit[1] == fit_threshold(data, 1000.0, 0.1, RULE).limit[1]


def test_anomaly_is_one_at_the_limit_and_rises_ever_more_slowly() -> None:
    threshold = Threshold((0.0, 0.0), (2.0, 5.0), 0, 0, 0)
    rising = np.stack([np.linspace(0, 50, 500, dtype=np.float32), np.zeros(500, np.float32)], 1)
    anomaly = threshold.anomaly(rising)
    assert threshold.anomaly(np.array([[2.0, 0.0]], np.float32))[0] == pytest.approx(1.0)
    assert threshold.anomaly(np.array([[0.0, 5.0]], np.float32))[0] == pytest.approx(1.0)
    assert threshold.anomaly(np.array([[-9.0, -9.0]], np.float32))[0] == 0.0
    assert (np.diff(anomaly) > 0).all()
    assert (np.diff(anomaly, 2) < 1e-5).all()


def test_the_tail_beyond_what_was_seen_is_that_of_the_distribution() -> None:
    tops = np.random.default_rng(0).exponential(1.0, 20_000)
    assert tail_level(tops, 1e-5) == pytest.approx(-np.log(1e-5), rel=0.25)


# -- the express lane --------------------------------------------------------------------------------------


def test_both_lanes_together_keep_the_budget_on_unseen_devices() -> None:
    windows_a_day, budget = 1000.0, 0.5
    fitted = fit_threshold([device(seed) for seed in range(20)], windows_a_day, budget, BOTH)
    unseen = [fitted.anomaly(device(seed)) for seed in range(100, 140)]
    by_both, patiently = (sum(count_alarms(a, rule) for a in unseen) for rule in (BOTH, AlarmRule(15, 20)))
    assert patiently < by_both
    assert by_both / (40 * 4000 / windows_a_day) < 1.6 * budget


def test_the_express_lane_lies_above_the_patient_one_in_every_statistic() -> None:
    fitted = fit_threshold([device(seed) for seed in range(10)], 1000.0, 0.3, BOTH)
    assert all(quick > slow for quick, slow in zip(fitted.express, fitted.limit, strict=True))


def test_what_the_express_lane_may_cost_the_patient_one_gives() -> None:
    data = [device(seed) for seed in range(10)]
    little, much = (
        fit_threshold(data, 1000.0, 0.3, AlarmRule(15, 20, express=ExpressRule(2, 3, portion)))
        for portion in (0.1, 0.9)
    )
    assert all(a < b for a, b in zip(little.limit, much.limit, strict=True))
    assert all(a > b for a, b in zip(little.express, much.express, strict=True))


def test_a_threshold_without_an_express_lane_has_no_limits_for_one() -> None:
    assert fit_threshold([device(0)], 1000.0, 0.3, RULE).express == ()


def test_anomaly_with_an_express_lane_is_one_at_the_limit_and_two_at_the_express_limit() -> None:
    threshold = Threshold((0.0, 0.0), (2.0, 5.0), 0, 0, 0, express=(8.0, 6.0))
    rising = np.stack([np.linspace(0, 50, 5000, dtype=np.float32), np.zeros(5000, np.float32)], 1)
    at = threshold.anomaly(np.array([[2, 0], [0, 5], [8, 0], [0, 6], [-9, -9]], np.float32))
    assert at == pytest.approx([1, 1, EXPRESS_AT, EXPRESS_AT, 0])
    anomaly = threshold.anomaly(rising)
    assert (np.diff(anomaly) > 0).all()
    assert np.diff(anomaly).max() < 0.01


def test_below_the_limit_an_express_lane_changes_no_anomaly() -> None:
    x = device(3)
    plain, both = Threshold((0, 0), (2, 2), 0, 0, 0), Threshold((0, 0), (2, 2), 0, 0, 0, express=(3, 4))
    calm = plain.anomaly(x) <= 1
    assert (plain.anomaly(x)[calm] == both.anomaly(x)[calm]).all()
    assert (both.anomaly(x)[~calm] > 1).all()


def test_an_alarm_of_the_express_lane_is_one_alarm_with_the_patient_one_that_follows() -> None:
    anomaly = np.zeros(200, np.float32)
    anomaly[50:52] = EXPRESS_AT
    assert count_alarms(anomaly, BOTH) == 1
    anomaly[52:80] = 1.0
    assert count_alarms(anomaly, BOTH) == 1
    assert count_alarms(np.minimum(anomaly, 1.5)[:60], BOTH) == 0


@pytest.mark.parametrize(
    ("quick", "told"),
    [((3, 2, 0.5), "no rule"), ((2, 3, 0.0), "budget"), ((2, 3, 1.0), "budget"), ((15, 16, 0.5), "no quicker"),
     ((2, 21, 0.5), "no quicker")],
)  # fmt: skip
def test_an_express_lane_that_is_none_is_refused(quick: tuple[int, int, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AlarmRule(15, 20, express=ExpressRule(*quick))


def test_nothing_to_calibrate_on_and_a_rule_that_is_none_are_refused() -> None:
    with pytest.raises(ValueError, match="calibrate"):
        fit_threshold([], 100.0, 1.0, RULE)
    with pytest.raises(ValueError, match="rule"):
        AlarmRule(4, 3)


def test_an_alarm_is_open_from_where_a_lane_fires_until_its_windows_are_below_the_hold_level() -> None:
    rule = AlarmRule(2, 3, hold=0.8)
    anomaly = np.array([0, 1.2, 0, 1.2, 0.9, 0.7, 0.9, 0.7, 0.7, 0.9], np.float32)
    assert open_rows(anomaly, rule).tolist() == [False] * 3 + [True] * 4 + [False] * 3


def test_an_alarm_of_the_express_lane_is_open_at_once_and_for_as_long_as_it_fires() -> None:
    rule = AlarmRule(3, 4, hold=0.8, express=ExpressRule(1, 2))
    anomaly = np.array([0, 0, 2.5, 0, 0, 0, 0], np.float32)
    assert open_rows(anomaly, rule).tolist() == [False, False, True, True, False, False, False]


def test_a_statistic_that_saturates_is_no_alarm_each_time_it_does() -> None:
    saturated = [np.minimum(device(seed), 1.5).astype(np.float32) for seed in range(20)]
    chance = 1e-3
    tops = np.concatenate([x[:, 0].reshape(-1, 40).max(1) for x in saturated]).astype(np.float64)
    assert (tops == 1.5).mean() > 10 * chance
    assert (tops >= tail_level(tops, chance)).mean() <= chance
    fitted = fit_threshold(saturated, 8640, 0.5, RULE)
    assert fitted.rate_seen <= 0.5
