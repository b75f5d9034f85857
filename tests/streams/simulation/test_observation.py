"""The road from the device to the broker."""

import numpy as np
import pytest

from streams.simulation import LookalikePlan, ModeChange, Observation, Plan, Simulation, observe, simulate
from tests.streams.simulation.worlds import START_MS

HOUR = 3600
CLEAN = Observation(
    jitter_ms=0, delay_ms=0, late_rate=0, duplicate_rate=0, dropout_rate=0, missing_rate=0, clock_offset_ms=0
)


def pump(duration_s: int = HOUR, plan: Plan | None = None) -> Simulation:
    return simulate("infusion-pump", "A", 3, START_MS, duration_s, plan)


def test_a_perfect_road_changes_nothing() -> None:
    device = pump()
    seen = observe(device, 1, CLEAN)
    assert np.array_equal(seen.values, device.values, equal_nan=True)
    assert np.array_equal(seen.t_ms, device.t)
    assert np.array_equal(seen.arrive_ms, device.t)


def test_same_seed_same_arrivals_and_another_seed_others() -> None:
    device = pump()
    one, same, other = (observe(device, seed) for seed in (1, 1, 2))
    assert one.arrive_ms.tobytes() == same.arrive_ms.tobytes()
    assert one.values.tobytes() == same.values.tobytes()
    assert one.arrive_ms.tobytes() != other.arrive_ms.tobytes()


def test_arrivals_are_in_order_of_arrival_and_never_before_the_sample() -> None:
    device = pump()
    seen = observe(device, 1, Observation(late_rate=0.1, duplicate_rate=0.1))
    assert np.diff(seen.arrive_ms).min() >= 0
    assert (seen.arrive_ms >= device.t[seen.seq]).all()


def test_duplicates_are_equal_and_about_as_many_as_asked() -> None:
    seen = observe(pump(), 1, Observation(duplicate_rate=0.1))
    sequence, count = np.unique(seen.seq, return_counts=True)
    twice = sequence[count == 2]
    assert count.max() == 2
    assert len(twice) == pytest.approx(0.1 * HOUR, rel=0.2)
    for number in twice:
        first, second = np.flatnonzero(seen.seq == number)
        assert seen.t_ms[first] == seen.t_ms[second]
        assert seen.values[first].tobytes() == seen.values[second].tobytes()


def test_dropout_and_missing_readings_are_about_as_many_as_asked() -> None:
    device = pump()
    seen = observe(device, 1, Observation(dropout_rate=0.2, duplicate_rate=0, missing_rate=0.1))
    assert len(seen) == pytest.approx(0.8 * HOUR, rel=0.05)
    known = ~np.isnan(device.values[seen.seq])
    lost = known & np.isnan(seen.values)
    assert lost.sum() / known.sum() == pytest.approx(0.1, rel=0.1)
    kept = known & ~lost
    assert np.array_equal(seen.values[kept], device.values[seen.seq][kept])


def test_late_samples_are_about_as_many_as_asked_and_come_out_of_order() -> None:
    seen = observe(pump(), 1, Observation(late_rate=0.05, late_ms=8000, duplicate_rate=0, dropout_rate=0))
    late = seen.arrive_ms - seen.t_ms > 2500
    assert late.mean() == pytest.approx(0.05 * 0.8, rel=0.4)
    assert (np.diff(seen.t_ms) < 0).sum() > 50
    assert (seen.arrive_ms - seen.t_ms).max() < 12_000


def test_a_clock_error_moves_stamps_and_not_arrivals() -> None:
    device = pump(600)
    right, wrong = (
        observe(device, 1, Observation(clock_offset_ms=offset, jitter_ms=0)) for offset in (0.0, 120_000.0)
    )
    assert np.array_equal(wrong.t_ms - right.t_ms, np.full(len(right), 120_000))
    assert np.array_equal(wrong.arrive_ms, right.arrive_ms)


def test_clock_errors_differ_between_devices_and_stay_within_two_seconds() -> None:
    offsets = []
    for serial in "ABCDEFGH":
        device = simulate("infusion-pump", serial, 3, START_MS, 60)
        seen = observe(device, 1, Observation(jitter_ms=0))
        offsets.append(int((seen.t_ms - device.t[seen.seq])[0]))
    assert len(set(offsets)) == len(offsets)
    assert max(map(abs, offsets)) <= 2000


def test_stamps_never_run_backwards_at_the_device() -> None:
    seen = observe(pump(), 1, Observation(jitter_ms=400))
    assert np.diff(seen.t_ms[np.argsort(seen.seq, kind="stable")]).min() >= 0


def test_a_wireless_loss_is_a_silence_and_then_a_burst_in_order() -> None:
    device = pump(900, Plan(lookalikes=(LookalikePlan("wifi_replay", 300, 60),)))
    seen = observe(device, 1, CLEAN)
    begin, end = START_MS + 300_000, START_MS + 360_000
    assert not ((seen.arrive_ms >= begin) & (seen.arrive_ms < end)).any()
    burst = seen.t_ms[(seen.arrive_ms >= end) & (seen.arrive_ms < end + 500)]
    assert len(burst) >= 60
    assert np.diff(burst).min() > 0
    assert len(seen) == 900


def test_a_device_that_is_off_sends_nothing() -> None:
    device = pump(600, Plan(modes=(ModeChange(300, "OFF"),)))
    assert observe(device, 1).t_ms.max() < START_MS + 305_000


def test_a_rate_of_one_or_more_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dropout_rate 1\.0 is not a rate"):
        Observation(dropout_rate=1.0)
