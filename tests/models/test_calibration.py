"""Thresholds: the rule they are fitted for, the budget they keep on data that nobody has seen."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from models.calibration import AlarmRule, Threshold, count_alarms, fit_threshold, running_kth, tail_level

RULE = AlarmRule(3, 5)


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


def test_nothing_to_calibrate_on_and_a_rule_that_is_none_are_refused() -> None:
    with pytest.raises(ValueError, match="calibrate"):
        fit_threshold([], 100.0, 1.0, RULE)
    with pytest.raises(ValueError, match="rule"):
        AlarmRule(4, 3)
