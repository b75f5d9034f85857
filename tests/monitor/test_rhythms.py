"""Recordings → healthy cycles → a rhythm artifact that the service can load."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from models.loading import load_scorer
from monitor.rhythms import RhythmError, cyclic_channel, healthy_cycles, healthy_spans, recipe, train_rhythm
from streams.devices import DeviceProfile, load_profiles
from streams.recordings import Recording
from tests.models.rhythm import SMALL, breathing

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def profile() -> DeviceProfile:
    return load_profiles()["rapidvent"]


def recording(label: slice, period_s: float = 2.0) -> Recording:
    x = breathing(30.0, period_s).astype(np.float32)
    labelled = np.zeros(len(x), np.bool_)
    labelled[label] = True
    x[labelled] = 3.0
    t_ms = np.arange(len(x), dtype=np.float64) * 10.0
    return Recording(
        "made-up", ("pressure_cmH2O",), t_ms, x[:, None], np.ones(len(x), np.bool_), labelled, 100.0
    )


def test_healthy_rows_keep_away_from_labelled_ones() -> None:
    label = np.zeros(3000, np.bool_)
    label[1000:2000] = True
    assert healthy_spans(np.arange(3000) / 100, label) == [(0, 969), (2300, 2999)]


def test_faulty_rows_are_never_learnt_from() -> None:
    stretches = healthy_cycles(recording(slice(1000, 2000)), "pressure_cmH2O", 0.01)
    assert len(stretches) == 2
    assert sum(len(cycles) for cycles in stretches) >= 5
    assert all(180 < len(c.rise) + len(c.fall) < 220 for cycles in stretches for c in cycles)


def test_a_trained_artifact_names_what_it_was_learnt_from_and_loads(
    profile: DeviceProfile, tmp_path: Path
) -> None:
    network = replace(SMALL.network, rows=profile.window_rows)
    config = replace(recipe(profile), network=network, traces=20, epochs=1, calibration_traces=5, batch=64)
    manifest = train_rhythm(
        [("one", recording(slice(1000, 2000)))],
        profile,
        tmp_path,
        seed=0,
        version="7",
        now=NOW,
        config=config,
    )
    scorer = load_scorer(tmp_path, "cpu")
    assert manifest.training["cycles"]["one"] >= 5
    assert scorer.identity.name == "rapidvent"
    assert (scorer.channels, scorer.window_rows) == (profile.names, profile.window_rows)


def test_a_recording_without_cycles_is_refused(profile: DeviceProfile, tmp_path: Path) -> None:
    with pytest.raises(RhythmError, match="healthy cycles"):
        train_rhythm([("flat", recording(slice(0, 3000)))], profile, tmp_path, seed=0, version="1", now=NOW)


def test_devices_watched_by_their_levels_have_no_cyclic_channel() -> None:
    assert cyclic_channel(load_profiles()["infusion-pump"]) is None
