"""Behaviour of the window store, and that it equals the plain rules of `window_oracle` on any stream."""

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.blocks import SampleBlock, WindowBatch
from streams.devices import Channel, DeviceProfile
from streams.windows import SnapshotError, WindowStore
from tests.streams.window_oracle import WindowOracle

NOW = 1_700_000_000_000 - 1_700_000_000_000 % 8_000  # a boundary of the grid below
NAN = float("nan")


class Sample(NamedTuple):
    device: str
    t: int
    values: Sequence[float]
    seq: int = -1


def channel(name: str, **changes: object) -> Channel:
    defaults = {"title": name, "unit": "1", "period_ms": 1000, "low": -100.0, "high": 100.0}
    return Channel.model_validate({"name": name} | defaults | changes)


def profile(*channels: Channel, **changes: object) -> DeviceProfile:
    defaults: dict[str, object] = {
        "type": "test-pump",
        "title": "Pump",
        "grid_ms": 1000,
        "window_rows": 8,
        "stride_rows": 2,
        "min_rows": 4,
        "lateness_ms": 3000,
        "silent_after_ms": 60_000,
    }
    return DeviceProfile.model_validate(
        defaults | {"channels": channels or (channel("a"), channel("b"))} | changes
    )


def block(of: DeviceProfile, samples: Sequence[Sample]) -> SampleBlock:
    devices = list(dict.fromkeys(sample.device for sample in samples))
    return SampleBlock(
        of,
        devices,
        np.array([devices.index(sample.device) for sample in samples], np.int32),
        np.array([sample.t for sample in samples], np.int64),
        np.array([sample.seq for sample in samples], np.int64),
        np.array([sample.values for sample in samples], np.float32).reshape(len(samples), len(of.channels)),
    )


def push(store: WindowStore, samples: Sequence[Sample], now_ms: int = NOW + 10**9) -> list[WindowBatch]:
    return store.push(block(store.profile, samples), now_ms)


Window = tuple[str, int, bytes]


def flat(batches: Iterable[WindowBatch]) -> list[Window]:
    """Windows with their bits, by device and then in the order in which they came."""
    windows = []
    for batch in batches:
        assert batch.values.dtype == np.float32
        assert (np.isnan(batch.values) == ~batch.mask).all()
        assert batch.mask.any(axis=(1, 2)).all()
        for i, device in enumerate(batch.devices):
            windows.append((device, int(batch.end_t[i]), batch.values[i].tobytes()))
    return sorted(windows, key=lambda window: window[0])


def column(batches: Sequence[WindowBatch], name: int = 0) -> list[float]:
    """One channel of the last window."""
    return [float(value) for value in batches[-1].values[-1, :, name]]


def ramp(rows: range, device: str = "d", step_ms: int = 1000) -> list[Sample]:
    return [Sample(device, NOW + i * step_ms, (float(i % 90), 1.0), i) for i in rows]


def counted(store: WindowStore) -> dict[str, int]:
    return {outcome.value: count for outcome, count in store.counts.items() if count}


def same(a: Sequence[float], b: Sequence[float]) -> bool:
    return np.array_equal(np.array(a), np.array(b), equal_nan=True)


# When windows come due


def test_a_new_device_is_given_out_from_min_rows_on_with_its_leading_rows_masked() -> None:
    store = WindowStore(profile())

    assert push(store, ramp(range(7))) == []
    batches = push(store, ramp(range(7, 8)))  # row 3 ends at 4 s and is final 3 s later

    assert [batch.end_t.tolist() for batch in batches] == [[NOW + 4000]]
    assert same(column(batches), [NAN, NAN, NAN, NAN, 0, 1, 2, 3])


def test_windows_follow_each_other_by_the_stride_on_absolute_rows() -> None:
    store = WindowStore(profile())

    batches = push(store, ramp(range(1, 20)))

    ends = [int(end) - NOW for batch in batches for end in batch.end_t]
    assert ends == [6000, 8000, 10000, 12000, 14000, 16000]


def test_catching_up_in_one_poll_skips_no_window() -> None:
    samples = [sample for name in "abc" for sample in ramp(range(500), name)]
    at_once, by_one = WindowStore(profile()), WindowStore(profile())

    caught_up = flat(push(at_once, samples))
    orderly = flat(batch for sample in samples for batch in push(by_one, [sample]))

    assert caught_up == orderly
    assert len(caught_up) == 3 * len(range(4, 497, 2))


def test_a_replay_from_another_start_cuts_the_same_windows() -> None:
    whole = flat(push(WindowStore(profile()), ramp(range(100))))
    later = flat(push(WindowStore(profile()), ramp(range(31, 100))))

    assert set(later[4:]) <= set(whole)
    assert {end for _, end, _ in later} <= {end for _, end, _ in whole}


# What stands in a cell


def test_channels_of_different_rates_share_the_grid_and_the_slow_one_is_masked_between() -> None:
    store = WindowStore(
        profile(channel("fast"), channel("slow", period_ms=60_000), window_rows=64, stride_rows=32)
    )

    batches = push(
        store, [Sample("d", NOW + i * 1000, (i % 50, 7.0 if i % 60 == 0 else NAN)) for i in range(200)]
    )

    mask = np.concatenate([batch.mask for batch in batches])
    assert mask[-1, :, 0].all()
    assert mask[-1, :, 1].sum() == 1
    assert {float(x) for x in batches[-1].values[-1][mask[-1, :, 1], 1]} == {7.0}


@pytest.mark.parametrize(
    ("kind", "combined"), [("mean", 3.0), ("last", 2.0), ("max", 6.0), ("rms", np.sqrt((1 + 36 + 4) / 3))]
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("repeat", [1, 8])
def test_readings_of_one_cell_combine_as_the_channel_says_in_any_order_of_arrival(
    kind: str, combined: float, order: tuple[int, ...], repeat: int
) -> None:
    readings = [(10, 1.0), (20, 6.0), (30, 2.0)]
    cell = [
        Sample("d", NOW + readings[i][0] * 10 + k, (readings[i][1],)) for i in order for k in range(repeat)
    ]
    store = WindowStore(profile(channel("a", combine=kind)))

    batches = push(store, [*cell, *(Sample("d", NOW + i * 1000, (0.0,)) for i in range(1, 8))])

    assert column(batches)[4] == pytest.approx(combined)


def test_the_last_reading_of_a_cell_is_told_by_the_number_where_times_are_equal() -> None:
    store = WindowStore(profile(channel("a", combine="last")))
    cell = [Sample("d", NOW, (1.0,), 7), Sample("d", NOW, (2.0,), 9), Sample("d", NOW, (3.0,), 8)]

    batches = push(store, [*cell, *(Sample("d", NOW + i * 1000, (0.0,), 10 + i) for i in range(1, 8))])

    assert column(batches)[4] == 2.0


def test_a_null_is_a_mask_and_leaves_the_other_readings_of_its_cell_alone() -> None:
    store = WindowStore(profile())

    batches = push(store, [*ramp(range(2)), Sample("d", NOW + 1500, (NAN, 5.0)), *ramp(range(3, 9))])

    assert same(column(batches), [NAN] * 4 + [0, 1, NAN, 3])
    assert same(column(batches, 1), [NAN] * 4 + [1, 3, NAN, 1])


def test_implausible_readings_are_masked_and_counted() -> None:
    store = WindowStore(profile(channel("a"), channel("b", high=float("inf"))))

    batches = push(store, [*ramp(range(3)), Sample("d", NOW + 3000, (100.5, np.inf), 3), *ramp(range(4, 9))])

    assert same(column(batches), [NAN] * 4 + [0, 1, 2, NAN])
    assert not batches[-1].mask[-1, 7].any()
    assert counted(store) == {"accepted": 9, "out_of_range": 2}


# Bad order


def test_a_sample_within_lateness_lands_in_its_place() -> None:
    orderly = flat(push(WindowStore(profile()), ramp(range(40))))
    samples = ramp(range(40))
    for i in range(4, 36, 4):
        samples[i : i + 4] = [samples[i + 1], samples[i + 3], samples[i], samples[i + 2]]

    store = WindowStore(profile())
    assert flat(push(store, samples)) == orderly
    assert counted(store) == {"accepted": 40}


def test_a_sample_beyond_lateness_is_dropped_and_counted() -> None:
    store = WindowStore(profile())

    push(
        store,
        [
            *ramp(range(10)),
            Sample("d", NOW + 5999, (50.0, 1.0), 99),
            Sample("d", NOW + 6000, (50.0, 1.0), 98),
        ],
    )

    assert counted(store) == {"accepted": 11, "late": 1}


@pytest.mark.parametrize("one_poll", [True, False])
def test_duplicates_change_no_bit(one_poll: bool) -> None:
    samples = [sample for name in "ab" for sample in ramp(range(60), name)]
    twice = [again for i in range(len(samples)) for again in (samples[i], samples[max(i - 2, 0)], samples[i])]

    store = WindowStore(profile())
    polls = [twice] if one_poll else [[sample] for sample in twice]

    assert flat(batch for poll in polls for batch in push(store, poll)) == flat(
        push(WindowStore(profile()), samples)
    )
    assert counted(store)["accepted"] == 120


def test_samples_of_one_time_that_say_different_things_are_no_duplicates() -> None:
    store = WindowStore(profile())

    times = [NOW + i * 1000 for i in range(9)]
    samples = [Sample("d", t, values) for i, t in enumerate(times) for values in ((i, NAN), (NAN, i))]

    batches = push(store, samples)

    assert counted(store) == {"accepted": 18}
    assert same(column(batches, 1), [NAN] * 4 + [0, 1, 2, 3])


def test_a_stamp_from_the_future_is_dropped_and_moves_nothing() -> None:
    store, honest = WindowStore(profile()), WindowStore(profile())
    good = ramp(range(30))
    ahead = Sample("d", NOW + 300_001 + 30_000, (1.0, 1.0))

    windows = flat(push(store, [*good[:15], ahead, *good[15:]], now_ms=NOW + 30_000))

    assert windows == flat(push(honest, good))
    assert counted(store) == {"accepted": 30, "future": 1}


# Gaps and clocks


def test_a_gap_within_the_window_becomes_mask_and_no_window_is_skipped() -> None:
    store = WindowStore(profile())

    batches = push(store, [*ramp(range(8)), *ramp(range(13, 21))])

    assert [int(end) - NOW for batch in batches for end in batch.end_t] == list(range(4000, 17_000, 2000))
    assert same(column(batches), [NAN, NAN, NAN, NAN, NAN, 13, 14, 15])


def test_a_device_that_was_silent_for_ten_minutes_starts_anew() -> None:
    store = WindowStore(profile())
    push(store, ramp(range(20)))

    back = push(store, ramp(range(620, 628)))

    ends = [int(end) - NOW for batch in back for end in batch.end_t]
    assert ends == [18_000, 20_000, 22_000, 24_000, 26_000, 624_000]  # the last rows before, then min_rows
    assert same(column(back), [NAN] * 4 + [80, 81, 82, 83])
    assert counted(store) == {"accepted": 28, "gap": 1}


def test_a_device_that_only_said_null_is_given_out_no_window() -> None:
    store = WindowStore(profile())

    assert push(store, [Sample("d", NOW + i * 1000, (NAN, NAN)) for i in range(40)]) == []


def backwards(by_ms: int) -> list[Sample]:
    """A device whose clock is set back after 40 rows and whose numbers go on."""
    return ramp(range(40)) + [
        Sample("d", NOW + 40_000 - by_ms + i * 1000, (5.0, 5.0), 40 + i) for i in range(120)
    ]


def test_a_clock_set_back_an_hour_starts_the_device_anew_after_a_minute_if_its_numbers_go_on() -> None:
    store = WindowStore(profile(), capacity=1)

    batches = push(store, backwards(3_600_000))

    assert counted(store) == {"accepted": 40 + 60, "late": 60, "clock_reset": 1}
    assert batches[-1].end_t[-1] == NOW + 40_000 - 3_600_000 + (119 - 3) * 1000
    assert int(batches[-1].end_t.max()) == NOW + 46_000  # the rows before the reset were given out


def test_a_reboot_to_1970_starts_the_device_anew() -> None:
    store = WindowStore(profile())
    lost = [Sample("d", i * 1000, (5.0, 5.0), i) for i in range(120)]

    batches = push(store, ramp(range(100, 140)) + lost)

    assert counted(store) == {"accepted": 100, "late": 60, "clock_reset": 1}
    assert batches[-1].end_t[-1] == 116_000
    back = push(store, ramp(range(200, 240)))
    assert counted(store)["gap"] == 1
    assert back[-1].end_t[-1] == NOW + 236_000


def test_a_clock_set_back_without_numbers_needs_ten_minutes() -> None:
    store = WindowStore(profile())
    forth = [sample._replace(seq=-1) for sample in ramp(range(4000))]

    push(store, forth)
    push(store, [Sample("d", NOW + 400_000 + i * 1000, (5.0, 5.0)) for i in range(650)])

    assert counted(store) == {"accepted": 4000 + 50, "late": 600, "clock_reset": 1}


def test_old_data_sent_again_is_no_new_clock() -> None:
    store = WindowStore(profile())
    samples = ramp(range(4000))

    windows = flat(push(store, samples))
    assert push(store, samples[:3900]) == []
    windows += flat(push(store, ramp(range(4000, 4010))))

    assert windows == flat(push(WindowStore(profile()), ramp(range(4010))))
    assert "clock_reset" not in counted(store)


def test_late_samples_between_good_ones_are_no_new_clock() -> None:
    store = WindowStore(profile())
    mixed = [
        sample
        for i in range(200)
        for sample in (*ramp(range(1000 + i, 1001 + i)), Sample("d", NOW + i * 1000, (1.0, 1.0), 5000 + i))
    ]

    push(store, mixed)

    assert counted(store) == {"accepted": 200, "late": 200}


# Any stream


@st.composite
def profiles(draw: st.DrawFn) -> DeviceProfile:
    kinds = draw(st.lists(st.sampled_from(["mean", "last", "max", "rms"]), min_size=1, max_size=4))
    channels = [channel(f"c{i}", combine=kind, low=-50, high=50) for i, kind in enumerate(kinds)]
    return profile(
        *channels,
        window_rows=draw(st.sampled_from([8, 9, 12])),
        stride_rows=draw(st.integers(1, 8)),
        min_rows=draw(st.integers(1, 8)),
        lateness_ms=draw(st.sampled_from([0, 500, 1000, 2500, 7000, 15_000])),
    )


@st.composite
def streams(draw: st.DrawFn, of: DeviceProfile) -> list[Sample]:
    """Samples with everything that goes wrong; drawn by a seed, as a stream needs thousands of choices."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    busy = draw(st.sampled_from([0.05, 0.3, 1.0, 6.0]))  # samples a row
    gaps, resets = draw(st.sampled_from([(0.0, 0.0), (0.02, 0.0), (0.003, 0.01)]))
    clock = {name: NOW + rng.randrange(20_000) for name in "abc"[: draw(st.integers(1, 3))]}
    numbered = rng.random() < 0.7
    samples: list[Sample] = []
    for seq in range(draw(st.integers(0, 400))):
        device = rng.choice(list(clock))
        clock[device] += int(rng.expovariate(busy / 1000)) + 1
        if rng.random() < gaps:
            clock[device] += rng.choice([9_000, 12_000, 40_000, 600_000])
        if rng.random() < resets:
            clock[device] = rng.choice([clock[device] - 100_000, clock[device] - 3_600_000, 5_000])
        late = rng.choice([0, 0, 0, 0, 300, 2_000, 6_000, 20_000])
        t = max(clock[device] - rng.randrange(late + 1), 0) + (10**10 if rng.random() < 0.01 else 0)
        values = [rng.choice([NAN, 60.0, rng.uniform(-50, 50), rng.uniform(-50, 50)]) for _ in of.channels]
        number = max(seq - rng.choice([0, 0, 0, 300]), 0) if numbered else -1
        samples.append(Sample(device, t, values, number))
        if rng.random() < 0.1:
            samples.append(rng.choice(samples[-15:]))
    return samples


def cuts(samples: list[Sample], seed: int) -> list[list[Sample]]:
    rng = random.Random(seed)
    most = rng.choice([1, 3, 30, 300])
    polls = []
    while samples:
        size = rng.randint(1, most)
        polls.append(samples[:size])
        samples = samples[size:]
    return polls


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_stream_gives_the_windows_and_counts_of_the_plain_rules(data: st.DataObject) -> None:
    of = data.draw(profiles())
    samples = data.draw(streams(of))
    oracle, store = WindowOracle(of), WindowStore(of, capacity=1)
    for sample in samples:
        values = np.array(sample.values, np.float32)
        oracle.push(sample.device, sample.t, sample.seq, values, NOW + 10**9)

    windows = flat(batch for poll in cuts(samples, 1) for batch in push(store, poll))

    expected = sorted(oracle.windows, key=lambda window: window[0])
    assert [window[:2] for window in windows] == [window[:2] for window in expected]
    for (_, _, bits), (_, _, values) in zip(windows, expected, strict=True):
        np.testing.assert_allclose(np.frombuffer(bits, np.float32), values.ravel(), rtol=1e-6)
    assert counted(store) == dict(oracle.counts)


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(0, 2**32))
def test_where_polls_are_cut_and_states_are_saved_changes_no_bit(data: st.DataObject, seed: int) -> None:
    of = data.draw(profiles())
    samples = data.draw(streams(of))
    whole, parted = WindowStore(of), WindowStore(of, capacity=1)
    expected = flat(push(whole, samples))

    windows: list[WindowBatch] = []
    for number, poll in enumerate(cuts(samples, seed)):
        if number % 3 == 1:
            parted = WindowStore.restore(of, parted.snapshot())
        windows += push(parted, poll)

    assert flat(windows) == expected
    assert counted(parted) == counted(whole)


# Saving, forgetting, size


def test_a_snapshot_of_another_profile_is_refused() -> None:
    snapshot = WindowStore(profile()).snapshot()

    with pytest.raises(SnapshotError, match="another profile"):
        WindowStore.restore(profile(grid_ms=500), snapshot)
    WindowStore.restore(profile(title="Pump, renamed"), snapshot)


def test_a_damaged_snapshot_is_refused() -> None:
    store = WindowStore(profile())
    push(store, ramp(range(9)))
    snapshot = store.snapshot()

    flipped = bytearray(snapshot)
    flipped[len(snapshot) // 2] ^= 1

    for damaged in (b"", b"PK", snapshot[:-1], bytes(flipped), msgspec.msgpack.encode({"version": 1})):
        with pytest.raises(SnapshotError):
            WindowStore.restore(profile(), damaged)


def test_the_same_state_is_saved_as_the_same_bytes() -> None:
    samples = ramp(range(30))
    once, twice = WindowStore(profile()), WindowStore(profile(), capacity=1)
    push(once, samples)
    for sample in samples:
        push(twice, [sample])

    assert once.snapshot() == twice.snapshot() == WindowStore.restore(profile(), once.snapshot()).snapshot()


def test_evicted_devices_are_forgotten_and_their_place_is_used_again() -> None:
    store = WindowStore(profile(), capacity=2)
    push(store, ramp(range(20), "a"), now_ms=NOW)
    push(store, ramp(range(20), "b"), now_ms=NOW + 1000)

    assert store.evict(NOW + 1000) == ["a"]
    assert store.devices == ["b"]
    fresh = push(store, ramp(range(20), "c"), now_ms=NOW + 2000)

    assert flat(fresh) == flat(push(WindowStore(profile()), ramp(range(20), "c")))
    assert store.last_seen() == {"b": NOW + 1000, "c": NOW + 2000}
    assert store.capacity == 2


def test_windows_are_the_receivers_own() -> None:
    store = WindowStore(profile())
    first = push(store, ramp(range(8)))[0]
    first.values[:] = 99
    first.mask[:] = False

    assert same(column(push(store, ramp(range(8, 10)))), [NAN, NAN, 0, 1, 2, 3, 4, 5])


def test_a_block_of_another_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="test-pump"):
        WindowStore(profile()).push(block(profile(channel("x")), []), NOW)


def test_a_device_takes_about_twice_its_window_in_bytes() -> None:
    of = profile(
        *(channel(f"c{i}") for i in range(12)), window_rows=64, stride_rows=8, min_rows=16, lateness_ms=5000
    )

    assert WindowStore(of).bytes_per_device <= 2 * 64 * 12 * 5
