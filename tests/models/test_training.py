"""Training: nothing leaks between the three parts of a fleet, the same seed gives the same model, faults are found."""

import numpy as np
import pytest

from models.fleet import Series, as_new, draw, split_fleet, windows_of
from models.training import train
from tests.models.conftest import TINY, TINY_MODEL, TinyFleet
from tests.models.fleet import CHANNELS, ROW_S, ROWS, STRIDE, device


def blank(name: str, rows: int) -> Series:
    return Series(name, np.zeros((rows, 2), np.float32), np.ones((rows, 2), np.bool_))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_parts_of_a_fleet_share_no_device(seed: int) -> None:
    fleet = [blank(f"d{i % 9}", 100) for i in range(18)]
    parts = split_fleet(fleet, 10, seed)
    devices = [{s.device for s in part} for part in parts]
    assert all(devices)
    assert sum(map(len, devices)) == len(set().union(*devices)) == 9
    assert sum(map(len, parts)) == 18


def test_a_third_of_the_devices_teaches_what_is_normal_and_a_quarter_sets_the_threshold() -> None:
    parts = split_fleet([blank(f"d{i}", 100) for i in range(200)], 10, 0)
    assert [len(part) for part in parts] == [70, 80, 50]


def test_brief_series_teach_what_is_normal_alone_and_leave_more_of_the_others_for_the_rest() -> None:
    fleet, brief = [blank(f"d{i}", 100) for i in range(200)], [blank(f"b{i}", 30) for i in range(50)]
    parts = split_fleet(fleet, 10, 0, brief)
    assert [len(part) for part in parts] == [40 + 50, 100, 60]
    assert {s.device for s in brief} < {s.device for s in parts.ground}
    few = split_fleet(fleet[:2], 10, 0, brief)
    assert [len(part) for part in few] == [2 + 50, 2, 2]


def test_a_device_with_a_brief_series_and_another_is_refused() -> None:
    with pytest.raises(ValueError, match="d3 has a brief series and another one"):
        split_fleet([blank(f"d{i}", 100) for i in range(5)], 10, 0, [blank("d3", 50)])


def test_a_lone_device_is_cut_in_time_without_overlap() -> None:
    values = np.arange(400, dtype=np.float32)[:, None]
    parts = split_fleet([Series("only", values, np.ones_like(values, np.bool_))], 20, 0)
    rows = np.concatenate([part[0].values[:, 0] for part in parts])
    np.testing.assert_array_equal(rows, np.arange(400))


def test_a_new_device_begins_with_partial_windows() -> None:
    values, mask = windows_of(as_new(blank("new", 50), 16, 6), 16, 2)
    assert mask[0].any(1).sum() == 6
    assert mask[-1].all()
    assert np.isnan(values[0][~mask[0]]).all()


def test_too_short_series_are_refused() -> None:
    with pytest.raises(ValueError, match="64 rows"):
        draw([blank("short", 63)], 64, 5, 0, np.random.default_rng(0))


def test_the_same_seed_gives_the_same_weights(tiny: TinyFleet) -> None:
    again = train("tiny-pump", "1", CHANNELS, ROWS, STRIDE, ROW_S, tiny.series, TINY, TINY_MODEL)
    one, two = tiny.trained.scorer.detector.state_dict(), again.scorer.detector.state_dict()
    assert all(one[key].equal(two[key]) for key in one)
    assert again.scorer.threshold == tiny.trained.scorer.threshold


def test_progress_is_told_for_every_step_up_to_its_end(tiny: TinyFleet) -> None:
    last = {told.step: told for told in tiny.told}
    assert list(last) == ["normal", "usual", "evidence", "threshold"]
    assert all(told.done == told.total for told in last.values())


@pytest.mark.parametrize(("channel", "offset"), [("pressure", 60.0), ("current", 50.0), ("noise", 8.0)])
def test_a_fault_on_a_device_never_seen_is_found_and_its_channel_named(
    channel: str, offset: float, tiny: TinyFleet
) -> None:
    series, at = device(777, 1200), [c.name for c in CHANNELS].index(channel)
    healthy = tiny.trained.scorer.score(*windows_of(series, ROWS, STRIDE))
    series.values[:, at] += np.float32(offset)
    faulty = tiny.trained.scorer.score(*windows_of(series, ROWS, STRIDE))
    assert np.median(faulty.anomaly) > np.quantile(healthy.anomaly, 0.99)
    assert (faulty.share.argmax(1) == at).mean() > 0.8
    assert (faulty.direction[:, at] == 1).mean() > 0.9


def test_what_training_computed_on_and_for_how_long_is_told(tiny: TinyFleet) -> None:
    computed = tiny.trained.computed
    assert (computed["device"], computed["precision"], computed["processes"]) == ("cpu", "float32", 1)
    assert set(computed["seconds"]) == {"normal", "evidence", "threshold"}
    assert min(computed["seconds"].values()) > 0


def test_settings_and_states_never_get_share(tiny: TinyFleet) -> None:
    score = tiny.trained.scorer.score(*windows_of(device(778, 800), ROWS, STRIDE))
    explaining = [i for i, c in enumerate(CHANNELS) if not c.is_target]
    for part in (score.share, score.attention, score.residual):
        assert (part[:, explaining] == 0).all()
