"""A device's own baseline: what it learns, what it never learns, and how far it goes at most."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from models.scoring import Score
from monitor.findings import AdaptationSettings, Baseline, SnapshotError
from streams.blocks import WindowBatch
from streams.devices import DeviceProfile
from tests.monitor.worlds import PUMP, START, STRIDE_MS, batch, score

STEP = 10
"""Windows of a step."""
QUICK = AdaptationSettings(step_s=100, hold_h=0.1, settle_h=0.5, time_constant_h=5)
"""Settled after SETTLE windows; 36 windows on hold after a suspicious one; a time constant of 1800 windows."""
SETTLE = 180
CURRENT = PUMP.index["motor_current"]
FIRST = -(-START // (STEP * STRIDE_MS)) * STEP - START // STRIDE_MS
"""Number of the first window with which a step begins."""


class World:
    """One pump whose readings are `off` spreads from what its type's model expects."""

    def __init__(self, settings: AdaptationSettings = QUICK, device: str = "P-1") -> None:
        self.baseline = Baseline(PUMP, settings)
        self.device, self.at = device, FIRST

    def play(
        self,
        windows: int,
        off: float | Sequence[float] | NDArray[np.float64] = 0.0,
        anomaly: float = 0.1,
        alarming: bool = False,
    ) -> "World":
        offs = np.broadcast_to(np.asarray(off, float), windows)
        for place in range(windows):
            given = batch([self.device], [self.at])
            self.baseline.begin(given.devices, given.end_t)
            bias = self.baseline.bias(self.device)[CURRENT]
            flag = np.array([alarming])
            self.baseline.learn(given, _off(offs[place], bias, anomaly), ~flag, flag)
            self.at += 1
        return self

    @property
    def bias(self) -> float:
        return float(self.baseline.bias(self.device)[CURRENT])


def _off(off: float, bias: float, anomaly: float) -> Score:
    """The motor takes `off` spreads more than its type's; the model already expects `bias` of them."""
    made = score([anomaly])
    expected, observed = made.expected.copy(), made.expected.copy()
    expected[0, CURRENT] = 100 + bias * 4
    observed[0, CURRENT] = 100 + off * 4
    return replace(made, observed=observed, expected=expected)


def settled(off: float) -> World:
    """The first step finds the mode, 18 teach, and one more passes without suspicion."""
    return World().play(20 * STEP + 1, off=off)


def test_what_a_device_always_reads_is_expected_of_it_once_it_is_settled() -> None:
    world = settled(off=0.6)
    assert world.bias == pytest.approx(0.6, abs=1e-5)
    assert np.delete(world.baseline.bias("P-1"), CURRENT) == pytest.approx(0)


def test_a_new_device_has_no_bias_before_half_of_its_hours_and_then_more_and_more_of_it() -> None:
    world = World().play(11 * STEP, off=0.6)
    half = world.bias
    world.play(4 * STEP + 1, off=0.6)
    assert half == 0
    assert world.bias == pytest.approx(0.6 * (2 * 13 / 18 - 1), abs=1e-5)


def test_steps_that_say_different_things_give_no_bias() -> None:
    world = World()
    for off in [0.8, -0.4] * 15:
        world.play(STEP, off=off)
    assert world.bias == 0


def test_what_one_step_taught_is_applied_when_the_next_one_has_passed_too() -> None:
    world = World().play(20 * STEP, off=0.6)
    before = world.bias
    assert before == pytest.approx(0.6 * (2 * 17 / 18 - 1), abs=1e-5)
    assert world.play(1, off=0.6).bias == pytest.approx(0.6, abs=1e-5)


@pytest.mark.parametrize("bound", [0.25, 1.0])
@pytest.mark.parametrize("off", [-2.5, 9.0])
def test_no_bias_is_larger_than_its_bound(bound: float, off: float) -> None:
    world = World(QUICK.model_copy(update={"bound": bound})).play(30 * STEP, off=off)
    assert world.bias == np.sign(off) * bound
    assert world.baseline.at_bound() == 1


def test_a_bound_of_zero_switches_it_off() -> None:
    world = World(AdaptationSettings(bound=0)).play(400, off=0.8)
    assert world.baseline.biases(batch(["P-1"], [world.at])) is None
    assert world.baseline.learning() == {}
    assert (world.baseline.steps(batch(["P-1"], [world.at]).end_t) == 0).all()


def test_windows_that_are_not_calm_teach_nothing_and_take_back_what_the_last_step_taught() -> None:
    world = settled(off=0.2)
    before = world.bias
    world.play(STEP - 2, off=0.9).play(1, off=0.9, anomaly=QUICK.calm_below).play(12 * STEP, anomaly=0.99)
    assert world.bias == before


def test_for_a_holding_time_after_a_suspicious_window_nothing_is_learned() -> None:
    world = World().play(30).play(1, anomaly=0.9).play(36, off=0.9)
    # Of the three steps the first found the mode, the second was applied and the third was taken back.
    assert world.baseline.learning()["P-1"].learned == STEP
    assert world.play(5).baseline.learning()["P-1"].learned == STEP + 5


def test_an_episode_leaves_the_baseline_as_it_was_to_the_bit() -> None:
    world = World().play(25 * STEP + 1, off=0.3)
    before = world.baseline.bias("P-1")
    # A fault that grows: its first windows still look calm, then the episode is open, then readings return.
    world.play(STEP - 3, off=np.linspace(0.3, 1, STEP - 3), anomaly=0.3)
    world.play(5, off=2, anomaly=0.8).play(300, off=3, anomaly=2.0, alarming=True)
    world.play(5, off=0.3, alarming=True)
    assert world.baseline.bias("P-1").tobytes() == before.tobytes()


def test_an_episode_that_looks_calm_teaches_nothing() -> None:
    world = settled(off=0.2)
    before = world.bias
    assert world.play(20 * STEP, off=0.9, anomaly=0.1, alarming=True).bias == before


def test_a_silence_freezes_the_baseline_and_takes_back_what_came_right_before_it() -> None:
    world = settled(off=0.4).play(STEP - 1, off=0.9)
    before = world.bias
    world.at += 500 * STEP
    assert world.play(STEP, off=0.4).bias == before


def test_a_slow_ramp_of_a_settled_device_is_followed_by_a_part_of_it_only() -> None:
    hour = 360
    rule = QUICK.model_copy(update={"settle_h": 0.2, "time_constant_h": 1, "drift": 0.5})
    world = World(rule).play(hour)
    world.play(hour, off=np.linspace(0, 1, hour))
    assert 0 <= world.bias <= rule.drift
    assert world.play(4 * hour, off=3.0).bias == rule.bound


def test_what_the_model_tells_no_spread_of_has_no_bias() -> None:
    made = _off(0.7, 0.0, 0.1)
    spread = made.spread.copy()
    spread[:, CURRENT] = np.nan
    world = World()
    for end in range(FIRST, FIRST + 25 * STEP):
        given = batch(["P-1"], [end])
        world.baseline.begin(given.devices, given.end_t)
        world.baseline.learn(given, replace(made, spread=spread), np.array([True]), np.array([False]))
    assert world.baseline.biases(batch(["P-1"], [world.at])) is None


def test_a_window_says_no_more_than_three_spreads_however_wild_it_is() -> None:
    world = World(QUICK.model_copy(update={"bound": 3.0})).play(20 * STEP + 1, off=1000)
    assert world.bias == pytest.approx(3)


# -- modes ---------------------------------------------------------------------------------------------

MODE = PUMP.channels[0].model_copy(
    update={"name": "mode", "title": "Mode", "role": "state", "low": 0, "high": 7}
)
MODAL = DeviceProfile(**(PUMP.model_dump() | {"channels": [*PUMP.channels, MODE]}))


def _in_mode(*modes: float, end: int) -> WindowBatch:
    """One window; the modes share its rows."""
    rows = np.repeat(np.asarray(modes, np.float32), PUMP.window_rows // len(modes))
    values = np.ones((1, PUMP.window_rows, 5), np.float32)
    values[0, :, 4] = rows
    return WindowBatch(MODAL, ["P-1"], batch(["P-1"], [end]).end_t, values, np.ones(values.shape, np.bool_))


def live_in(baseline: Baseline, mode: float, off: float, first: int, windows: int) -> None:
    for end in range(first, first + windows):
        given = _in_mode(mode, end=end)
        baseline.begin(given.devices, given.end_t)
        told = _off(off, float(baseline.bias("P-1")[CURRENT]), 0.1)
        wider = Score(*(_one_more(getattr(told, name)) for name in Score.__slots__))
        baseline.learn(given, wider, np.array([True]), np.array([False]))


def _one_more(array: Any) -> Any:
    return array if array is None or array.ndim == 1 else np.concatenate([array, array[:, -1:]], 1)


def test_a_bias_is_of_the_mode_that_a_device_is_mostly_in_and_of_no_other() -> None:
    baseline = Baseline(MODAL, QUICK)
    live_in(baseline, 3, 0.6, FIRST, 21 * STEP)
    end = FIRST + 21 * STEP
    at_home = baseline.biases(_in_mode(3, end=end))
    assert at_home is not None
    assert at_home[0, CURRENT] == pytest.approx(0.6, abs=1e-5)
    for elsewhere in ((2,), (3, 2), (0,)):
        bias = baseline.biases(_in_mode(*elsewhere, end=end))
        assert bias is not None
        assert not bias.any()


def test_a_while_in_another_mode_changes_nothing_and_staying_there_begins_anew() -> None:
    baseline = Baseline(MODAL, QUICK)
    live_in(baseline, 3, 0.6, FIRST, 21 * STEP)
    live_in(baseline, 2, -0.5, FIRST + 21 * STEP, 5 * STEP)
    after_a_while = baseline.bias("P-1")[CURRENT]
    live_in(baseline, 2, -0.5, FIRST + 26 * STEP, 40 * STEP)
    assert after_a_while == pytest.approx(0.6, abs=1e-5)
    assert baseline.bias("P-1")[CURRENT] == pytest.approx(-0.5, abs=1e-5)


# -- maintenance -----------------------------------------------------------------------------------------


def test_a_serviced_device_keeps_its_bias_unless_it_is_to_be_learned_anew() -> None:
    world = settled(off=0.5)
    before, since = world.bias, START + world.at * STRIDE_MS
    world.baseline.renew("P-1", since, rebaseline=False)
    kept = world.bias
    world.baseline.renew("P-1", since, rebaseline=True)
    told = world.baseline.learning()["P-1"]
    assert before == pytest.approx(0.5, abs=1e-5)
    assert kept == before
    assert (world.bias, told.learned, told.renewed, told.settled) == (0.0, 0, True, False)


def test_rows_from_before_a_maintenance_are_masked() -> None:
    world = World().play(3)
    values = np.ones((1, PUMP.window_rows, 4), np.float32)
    given = replace(batch(["P-1"], [world.at]), values=values, mask=np.ones(values.shape, np.bool_))
    world.baseline.renew("P-1", int(given.end_t[0]) - 20_000, rebaseline=False)
    fresh = world.baseline.since_service(given)
    assert fresh.mask[0].all(1).nonzero()[0].tolist() == list(range(40, 60))
    assert np.isnan(fresh.values[~fresh.mask]).all()
    assert given.mask.all()


def test_nothing_is_learned_from_windows_that_still_hold_readings_from_before_a_maintenance() -> None:
    world = World().play(STEP + 3)
    world.baseline.renew("P-1", START + (world.at - 1) * STRIDE_MS, rebaseline=True)
    # Six strides fill a window.
    assert world.play(5).baseline.learning()["P-1"].learned == 0
    assert world.play(1).baseline.learning()["P-1"].learned == 1


def test_a_forgotten_device_is_new_when_it_returns_and_the_others_keep_theirs() -> None:
    baseline = Baseline(PUMP, QUICK)
    worlds = [World(device=name) for name in ("A", "B", "C")]
    for world, off in zip(worlds, (0.2, 0.4, 0.6), strict=True):
        world.baseline = baseline
        world.play(20 * STEP + 1, off=off)
    baseline.forget(["A", "nobody"])
    assert [round(world.bias, 4) for world in worlds] == [0.0, 0.4, 0.6]
    assert worlds[0].play(21 * STEP, off=0.9).bias == pytest.approx(0.9, abs=1e-5)


# -- replay ------------------------------------------------------------------------------------------------


SHORT = QUICK.model_copy(update={"settle_h": 0.1})


def _stream(seed: int, windows: int = 160) -> list[tuple[str, int, float, float, bool]]:
    """(device, number of the window, off, anomaly, in an episode) of four devices, some in bursts."""
    rng = np.random.default_rng(seed)
    told = []
    for number in range(windows):
        for device in ("A", "B", "C", "D"):
            if rng.random() < 0.9:
                bad = rng.random() < 0.02
                told.append(
                    (
                        device,
                        FIRST + number,
                        float(rng.normal(0.4, 0.5)),
                        0.9 if bad else 0.2,
                        bad and number % 2 == 0,
                    )
                )
    return told


def _run(baseline: Baseline, stream: Sequence[tuple[str, int, float, float, bool]]) -> NDArray[np.float64]:
    """All at once, as long as no device enters another step."""
    given = batch([entry[0] for entry in stream], [entry[1] for entry in stream])
    baseline.begin(given.devices, given.end_t)
    made = [
        _off(off, float(baseline.bias(device)[CURRENT]), anomaly) for device, _, off, anomaly, _ in stream
    ]
    together = Score.joined(made)
    inside = np.array([entry[4] for entry in stream])
    baseline.learn(given, together, ~inside, inside)
    return np.stack([baseline.bias(device) for device in ("A", "B", "C", "D")])


def _steps(stream: Sequence[tuple[str, int, float, float, bool]], cuts: set[int]) -> list[int]:
    """Where to cut: at these places, and wherever a step begins."""
    begins = {
        i for i, (a, b) in enumerate(pairwise(stream), 1) if (b[1] - FIRST) // STEP != (a[1] - FIRST) // STEP
    }
    return sorted({0, len(stream), *begins, *(cut for cut in cuts if cut < len(stream))})


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sets(st.integers(1, 600), max_size=60))
def test_where_polls_are_cut_changes_no_bit(seed: int, cuts: set[int]) -> None:
    stream = _stream(seed)
    whole, cut = Baseline(PUMP, SHORT), Baseline(PUMP, SHORT)
    for start, end in pairwise(_steps(stream, set())):
        _run(whole, stream[start:end])
    for start, end in pairwise(_steps(stream, cuts)):
        _run(cut, stream[start:end])
    assert all(told.learned + sum(told.missed) for told in whole.learning().values())
    assert cut.snapshot() == whole.snapshot()


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 500))
def test_a_restored_baseline_goes_on_as_if_never_interrupted(seed: int, at: int) -> None:
    stream = _stream(seed)
    edges = _steps(stream, {at})
    whole, broken = Baseline(PUMP, SHORT), Baseline(PUMP, SHORT)
    for start, end in pairwise(edges):
        _run(whole, stream[start:end])
        _run(broken, stream[start:end])
        if end == at:
            broken = Baseline.restore(PUMP, SHORT, broken.snapshot())
    assert broken.snapshot() == whole.snapshot()


def test_a_profile_with_another_channel_keeps_the_biases_of_those_that_stay() -> None:
    world = settled(off=0.4)
    extra = PUMP.channels[0].model_copy(update={"name": "battery_charge"})
    wider = PUMP.model_copy(update={"channels": (extra, *PUMP.channels[1:])})
    for cached in ("names", "index"):
        wider.__dict__.pop(cached, None)
    again = Baseline.restore(wider, QUICK, world.baseline.snapshot())
    assert again.bias("P-1").tolist() == [0.0, *world.baseline.bias("P-1")[1:]]


def test_another_length_of_steps_keeps_what_was_applied() -> None:
    world = settled(off=0.4)
    again = Baseline.restore(PUMP, QUICK.model_copy(update={"step_s": 300}), world.baseline.snapshot())
    assert again.bias("P-1").tolist() == world.baseline.bias("P-1").tolist()


@pytest.mark.parametrize("bound", [0.0, 0.25])
def test_a_smaller_bound_holds_for_what_was_learned_before_it_was_set(bound: float) -> None:
    world = settled(off=0.6)
    again = Baseline.restore(PUMP, QUICK.model_copy(update={"bound": bound}), world.baseline.snapshot())
    assert again.bias("P-1")[CURRENT] == bound


def test_a_channel_that_became_a_rhythm_has_no_bias_any_longer() -> None:
    rhythms = tuple(channel.model_copy(update={"cyclic": True}) for channel in PUMP.channels)
    again = Baseline.restore(
        PUMP.model_copy(update={"channels": rhythms}), QUICK, settled(off=0.6).baseline.snapshot()
    )
    assert again.biases(batch(["P-1"], [FIRST])) is None


def test_damaged_or_foreign_snapshots_are_refused() -> None:
    saved = World().play(5).baseline.snapshot()
    with pytest.raises(SnapshotError, match="not a snapshot"):
        Baseline.restore(PUMP, QUICK, saved[:-3])
    with pytest.raises(SnapshotError, match="icu-ventilator"):
        Baseline.restore(PUMP.model_copy(update={"type": "icu-ventilator"}), QUICK, saved)


@pytest.mark.parametrize(
    "wrong", [{"bound": -1}, {"bound": 4}, {"calm_below": 1}, {"settle_h": 0}, {"drift": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AdaptationSettings.model_validate(wrong)
