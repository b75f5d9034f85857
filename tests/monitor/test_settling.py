"""How far a device's own baseline is said to be: on its way, settled, or never to come, and then why."""

from itertools import cycle, islice

import msgspec
import numpy as np
import pytest

from monitor.findings import AdaptationSettings, Baseline, BaselineReason, Learning
from tests.monitor.test_baseline import FIRST, MODAL, QUICK, SETTLE, STEP, World, live_in, settled
from tests.monitor.worlds import PUMP, START, STRIDE_MS


def told(world: World) -> Learning:
    return world.baseline.learning()["P-1"]


def end_of(window: int) -> int:
    return START + window * STRIDE_MS


def alternating(*modes: tuple[float, int], windows: int) -> list[Learning]:
    """What is told every STEP windows of a device that goes through modes, so many windows in each."""
    baseline, heard = Baseline(MODAL, QUICK), []
    each = cycle(mode for mode, stay in modes for _ in range(stay))
    for place, mode in enumerate(islice(each, windows)):
        live_in(baseline, mode, 0.6, FIRST + place, 1)
        if place % STEP == STEP - 1:
            heard.append(baseline.learning()["P-1"])
    return heard


def test_a_device_that_stays_in_its_usual_mode_settles_when_enough_of_its_windows_count() -> None:
    world = World().play(19 * STEP, off=0.6)
    before = told(world)
    after = told(world.play(STEP + 1, off=0.6))
    assert (before.applied, before.settled, before.going_on) == (SETTLE - 2 * STEP, False, True)
    assert (before.reason, before.progress) == (BaselineReason.LEARNING, 0.888)
    assert (after.applied, after.settled, after.going_on) == (SETTLE, True, False)
    assert (after.reason, after.progress, after.differs, after.until_t) == (None, 1.0, True, None)


@pytest.mark.parametrize(
    ("windows", "within"), [(3 * STEP, 10 * STEP), (6 * STEP, 4 * STEP), (12 * STEP, 2 * STEP)]
)
def test_when_it_will_be_settled_is_foretold_the_closer_the_further_it_is(windows: int, within: int) -> None:
    world = World().play(windows)
    until = told(world).until_t
    while not told(world).settled:
        world.play(1)
    assert until is not None
    assert abs(until - end_of(world.at - 1)) <= within * STRIDE_MS


def test_what_was_not_calm_counts_into_when_it_will_be_settled() -> None:
    told_of = told(World().play(60).play(1, anomaly=0.9).play(36).play(40))
    # A step of ten is taken back. 80 windows have taught in 136 strides, so the other 100 take 170, and two steps end.
    assert (told_of.learned, told_of.missed) == (80, (47, 10, 0))
    last_t = end_of(FIRST + 136) + 170 * STRIDE_MS
    assert told_of.until_t is not None
    assert last_t + STEP * STRIDE_MS <= told_of.until_t <= last_t + 2 * STEP * STRIDE_MS


def test_of_a_device_whose_windows_are_never_judged_nothing_is_foretold() -> None:
    baseline = Baseline(PUMP, AdaptationSettings())
    baseline.begin(["P-1"], np.array([START]))
    told_of = baseline.learning()["P-1"]
    assert (told_of.learned, told_of.until_t, told_of.reason) == (0, None, BaselineReason.LEARNING)


def test_where_more_was_missed_than_learned_nobody_can_tell_when_it_will_be_settled() -> None:
    told_of = told(World().play(60).play(1, anomaly=0.9).play(36).play(10))
    assert (told_of.learned, sum(told_of.missed), told_of.until_t) == (50, 57, None)


def test_a_device_that_is_seldom_in_one_mode_is_never_said_to_be_settled_and_learns_for_a_bounded_time() -> (
    None
):
    heard = alternating((1, 5), (2, 5), (3, 5), (4, 5), windows=3 * SETTLE)
    assert not any(one.settled or one.differs for one in heard)
    assert [one.reason for one in heard[: SETTLE // STEP - 1]] == [BaselineReason.LEARNING] * (
        SETTLE // STEP - 1
    )
    assert {one.reason for one in heard[2 * SETTLE // STEP :]} == {BaselineReason.SELDOM_AT_HOME}
    assert heard[-1].until_t is None


def test_a_device_that_is_two_thirds_of_the_time_in_one_mode_settles() -> None:
    heard = alternating((1, 40), (2, 20), windows=2 * SETTLE)
    assert heard[-1].settled
    assert all(one.going_on for one in heard if not one.settled)


@pytest.mark.parametrize("alarming", [False, True])
def test_a_device_that_is_never_calm_is_said_to_be_so_after_its_time_and_not_to_be_learning(
    alarming: bool,
) -> None:
    world = World().play(SETTLE - 1, anomaly=0.9, alarming=alarming)
    before, after = told(world), told(world.play(1, anomaly=0.9, alarming=alarming))
    assert (before.going_on, before.reason, before.until_t) == (True, BaselineReason.LEARNING, None)
    assert (after.going_on, after.reason, after.progress) == (False, BaselineReason.SELDOM_CALM, 0)


def test_a_device_that_is_heard_for_a_short_while_at_a_time_is_said_to_be_interrupted() -> None:
    world = World()
    for _ in range(25):
        world.play(STEP, off=0.6)
        world.at += 20 * STEP
    assert told(world).reason is BaselineReason.OFTEN_INTERRUPTED


def test_what_teaches_after_its_time_is_learned_all_the_same() -> None:
    world = World().play(2 * SETTLE, anomaly=0.9)
    world.play(36).play(15 * STEP, off=0.6)
    on_its_way = told(world)
    world.play(7 * STEP, off=0.6)
    assert (on_its_way.going_on, on_its_way.differs) == (False, True)
    assert on_its_way.reason is BaselineReason.SELDOM_CALM
    assert (told(world).settled, told(world).reason) == (True, None)


def test_a_settled_device_that_reads_as_its_type_is_said_to_do_so() -> None:
    told_of = told(settled(off=0.0))
    assert (told_of.settled, told_of.differs, told_of.reason) == (True, False, BaselineReason.AS_ITS_TYPE)


def test_a_settled_device_whose_usual_mode_changes_for_good_learns_anew() -> None:
    baseline = Baseline(MODAL, QUICK)
    live_in(baseline, 3, 0.6, FIRST, 30 * STEP)
    before = baseline.learning()["P-1"]
    live_in(baseline, 2, -0.5, FIRST + 30 * STEP, 20 * STEP)
    moved = baseline.learning()["P-1"]
    assert (before.settled, moved.settled) == (True, False)
    assert (moved.going_on, moved.reason, moved.renewed) == (True, BaselineReason.LEARNING, False)


def test_rebaselining_begins_anew_also_for_a_device_that_had_its_time() -> None:
    world = World().play(2 * SETTLE, anomaly=0.9)
    before = told(world)
    world.baseline.renew("P-1", end_of(world.at - 1), rebaseline=True)
    renewed = told(world)
    # Six strides fill a window, and the step in which the work was done teaches nothing.
    assert (before.going_on, renewed.going_on, renewed.renewed, sum(renewed.missed)) == (False, True, True, 0)
    assert told(world.play(23 * STEP, off=0.6)).settled


def test_maintenance_without_rebaselining_leaves_a_device_as_far_as_it_was() -> None:
    world = World().play(12 * STEP, off=0.6)
    before = told(world)
    world.baseline.renew("P-1", end_of(world.at - 1), rebaseline=False)
    after = told(world)
    assert (after.applied, after.going_on, after.renewed) == (before.applied, True, False)
    assert after.missed.interrupted == before.learned - before.applied


def test_a_restored_baseline_tells_the_same() -> None:
    for world in (
        World().play(90, off=0.6),
        settled(off=0.6),
        World().play(60).play(2 * SETTLE, anomaly=0.9),
    ):
        again = Baseline.restore(PUMP, QUICK, world.baseline.snapshot())
        assert again.learning() == world.baseline.learning()


def test_a_snapshot_from_before_missed_windows_were_counted_is_read() -> None:
    baseline = Baseline(MODAL, QUICK)
    for place in range(2 * SETTLE):
        live_in(baseline, float(place // 5 % 4), 0.6, FIRST + place, 1)
    now = baseline.learning()["P-1"]
    version, kind, meta, ids, arrays = msgspec.msgpack.decode(baseline.snapshot())
    old = {name: a for name, a in arrays.items() if name not in {"judged", "at_home", "interrupted"}}
    again = Baseline.restore(MODAL, QUICK, msgspec.msgpack.encode([version, kind, meta, ids, old]))
    assert again.learning()["P-1"] == now
    assert now.reason is BaselineReason.SELDOM_AT_HOME


def test_why_no_device_can_have_one_is_told_for_all_of_a_type() -> None:
    rhythms = [channel.model_copy(update={"cyclic": True}) for channel in PUMP.channels]
    cases = (
        (PUMP, QUICK, None),
        (PUMP, AdaptationSettings(bound=0), BaselineReason.SWITCHED_OFF),
        (PUMP.model_copy(update={"channels": tuple(rhythms)}), QUICK, BaselineReason.NO_LEVEL),
    )
    for profile, settings, reason in cases:
        baseline = Baseline(profile, settings)
        assert (baseline.hindrance, baseline.enabled) == (reason, reason is None)
        assert np.array_equal(baseline.steps(np.array([START])) > 0, [reason is None])
