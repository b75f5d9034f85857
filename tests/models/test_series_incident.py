"""What attention saw of late raises a row: within bounds, from rows before it, and the same in pieces."""

import numpy as np
import pytest

from models.series.incident import (
    LASTS,
    RAISED_MOST,
    AlarmLevels,
    Array,
    HeldBack,
    Limits,
    incidents,
    remembered,
)

LIMITS = Limits(reached=1.0, pointed=0.5, raised=0.3, lasting=1.1)


def test_an_episode_opens_high_and_holds_low() -> None:
    reached = np.array([0.8, 1.0, 1.2, 0.8, 0.7, 0.6, 0.8, 1.3, 0.1])
    judged = LIMITS.judged(reached, np.zeros(9), AlarmLevels(hold=0.7))
    assert judged.alarming.tolist() == [False, False, True, True, True, False, False, True, False]
    assert judged.anomaly[2] >= 1.0 > judged.anomaly[1]


def test_what_is_remembered_opens_an_episode_that_the_residual_alone_would_not() -> None:
    reached = np.full(3, 0.85)
    assert not LIMITS.judged(reached, np.zeros(3), AlarmLevels()).alarming.any()
    assert LIMITS.judged(reached, np.ones(3), AlarmLevels()).alarming.all()


def test_what_is_remembered_alone_holds_no_episode_open() -> None:
    reached = np.array([2.0, 0.5, 0.5])
    assert LIMITS.judged(reached, np.ones(3), AlarmLevels()).alarming.tolist() == [True, False, False]


def test_a_row_is_incidents_rows_before_it_and_that_fades() -> None:
    pointed = np.zeros(1000)
    pointed[100] = 50.0
    raised = remembered(pointed)
    assert (raised[:101] == 0).all()
    assert raised[101] == pytest.approx(1.0, rel=1e-3)
    assert raised[101 + int(LASTS)] == pytest.approx(1 / np.e, rel=0.01)


def test_how_far_a_row_lies_beyond_the_limit_does_not_count() -> None:
    much, more = (remembered(np.array([x, 0.0]))[1] for x in (10.0, 1e9))
    assert much == pytest.approx(more, rel=1e-3)
    assert remembered(np.array([0.5, 0.0]))[1] < 0.1, "what fault-free rows reach is hardly remembered"


def test_rows_that_come_piece_by_piece_are_raised_as_a_whole_series_is() -> None:
    pointed = np.random.default_rng(0).exponential(0.7, (90, 3))
    whole, left = incidents(pointed, np.zeros(3))
    memory: Array = np.zeros(3)
    parts = []
    for some in np.split(pointed, [1, 2, 40]):
        raised, memory = incidents(some, memory)
        parts.append(raised)
    np.testing.assert_allclose(np.concatenate(parts), whole)
    np.testing.assert_allclose(memory, left)


def test_limits_lie_where_seldom_a_fault_free_row_reaches() -> None:
    rng = np.random.default_rng(1)
    stretches = [HeldBack(rng.gamma(4, 1, 3000), rng.uniform(0, 0.1, 3000)) for _ in range(3)]
    limits = Limits.fit(stretches, AlarmLevels(quantile=0.98))
    reached = np.concatenate([s.reached for s in stretches])
    assert (reached >= limits.reached).mean() == pytest.approx(0.02, abs=0.002)
    opened = [limits.anomaly(s.reached, remembered(s.weight * s.reached / limits.pointed)) for s in stretches]
    assert 0.01 <= (np.concatenate(opened) >= 1).mean() <= 0.03
    assert 1.0 <= limits.lasting <= 1.0 + limits.raised


def test_what_attention_takes_for_no_fault_is_not_remembered() -> None:
    jolt = HeldBack(np.r_[np.full(200, 1.0), np.full(20, 9.0), np.full(200, 1.0)], np.full(420, 0.1))
    seen, ignored = jolt, jolt._replace(weight=np.where(jolt.reached > 5, 0.0, 0.1))
    raised = [remembered(s.weight * s.reached / LIMITS.pointed)[230] for s in (seen, ignored)]
    assert raised[0] > 0.8
    assert raised[1] < 0.01


def test_an_incident_raises_rows_by_what_a_busy_day_reaches_and_within_a_part_of_the_limit() -> None:
    rng = np.random.default_rng(2)
    even = [HeldBack(rng.uniform(0.8, 1.0, 3000), np.zeros(3000))]
    wild = [HeldBack(np.where(rng.random(3000) < 0.03, 10.0, rng.uniform(0.8, 1.0, 3000)), np.zeros(3000))]
    assert Limits.fit(even, AlarmLevels()).raised == RAISED_MOST
    assert Limits.fit(wild, AlarmLevels()).raised == pytest.approx(0.7 * 0.98 / 10, rel=0.02)
