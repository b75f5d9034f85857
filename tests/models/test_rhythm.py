"""Cycles, practice traces, and the rhythm scorer with its artifact."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.artifacts import MANIFEST, ArtifactError, Manifest
from models.loading import load_scorer
from models.rhythm.artifacts import save_rhythm
from models.rhythm.cycles import Setting, cut_cycles, even_trace, play_cycle
from models.rhythm.practice import FAULT, NORMAL, UNTOLD, PracticeConfig, fault_names, practice_trace
from models.rhythm.scorer import RhythmScorer
from models.rhythm.training import Fitted, cells, every_window, fit
from models.scoring import ModelIdentity, Scorer
from tests.checks.scorer_laws import LAWS, Windows, assert_same
from tests.models.rhythm import SMALL, STEP_S, breathing, cycles, library


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(library(), SMALL, seed=3)


@pytest.fixture(scope="module")
def scorer(fitted: Fitted) -> RhythmScorer:
    identity = ModelIdentity("breather", "1", "0" * 64)
    return RhythmScorer(fitted.network, "pressure", fitted.threshold, fitted.certain, identity)


@pytest.fixture
def windows() -> Windows:
    """Healthy and flat ones, some with gaps, one young."""
    values, mask = every_window(cells(np.concatenate([breathing(12.0), np.full(800, 3.0)]), 5), SMALL)
    values, mask = values[::3].copy(), mask[::3].copy()
    mask[::2, 40:50] = False
    values[~mask] = np.nan
    return values, mask


def test_cycles_are_cut_at_the_start_of_the_rise_and_at_the_peak() -> None:
    found = cycles(2.0)
    assert len(found) == 9
    assert {len(c.rise) + len(c.fall) for c in found[1:]} <= {199, 200, 201}
    assert all(c.rise.max() == pytest.approx(1.0, abs=0.05) for c in found)


def test_a_cycle_of_an_odd_length_is_no_example() -> None:
    pause = np.full(600, 12.0)
    found = cut_cycles(np.concatenate([breathing(8.0), pause, breathing(8.0)]), STEP_S)
    assert max(len(c.rise) + len(c.fall) for c in found) < 400


@pytest.mark.parametrize(("hz", "period_s"), [(100.0, 2.0), (133.0, 2.0), (133.0, 3.4)])
def test_the_sampling_rate_does_not_change_the_cycle(hz: float, period_s: float) -> None:
    t = np.arange(round(20 * hz)) / hz
    x = np.interp(t, np.arange(2000) * STEP_S, breathing(20.0, period_s))
    found = cut_cycles(even_trace(t, x, STEP_S), STEP_S)
    lengths = [len(c.rise) + len(c.fall) for c in found]
    assert lengths == pytest.approx([period_s / STEP_S] * len(lengths), abs=3)


def test_a_cycle_is_played_at_the_period_and_between_the_levels_asked_for() -> None:
    setting = Setting(low=10.0, high=30.0, period_s=3.0)
    played = play_cycle(cycles()[1], setting, np.random.default_rng(0), STEP_S)
    assert len(played) == 300
    assert played.min() == pytest.approx(10.0, abs=0.6)
    assert played.max() == pytest.approx(30.0, abs=0.6)


@pytest.mark.parametrize("fault", fault_names())
def test_truth_tells_a_fault_only_while_it_lasts_and_most_often_sees_it(fault: str) -> None:
    rng = np.random.default_rng(1)
    config = PracticeConfig(length_s=60.0, onset_s=(10.0, 10.001), lasting_s=(12.0, 12.001))
    told = 0
    for _ in range(12):
        trace = practice_trace(library(), config, rng, fault)
        back = np.flatnonzero(trace.truth != NORMAL)[-1] + 1
        assert (trace.truth[:1000] == NORMAL).all()
        assert not (trace.truth[1000:back] == NORMAL).any()
        assert back >= 2550, "the last faulty cycle may end later, never earlier"
        assert (trace.truth[back - 350 : back] == UNTOLD).all()
        assert np.isfinite(trace.values).all()
        told += bool((trace.truth == FAULT).any())
    assert told >= 5


def test_a_healthy_trace_is_all_normal_and_known() -> None:
    trace = practice_trace(library(), PracticeConfig(), np.random.default_rng(0))
    assert (trace.truth == NORMAL).all()
    assert np.abs(trace.values - trace.clean).max() < 3.0


def test_the_same_seed_learns_the_same_network(fitted: Fitted) -> None:
    again = fit(library(), SMALL, seed=3)
    for one, other in zip(fitted.network.parameters(), again.network.parameters(), strict=True):
        assert (one == other).all()
    assert again.threshold == fitted.threshold


def test_a_small_network_already_tells_a_collapse_from_breathing(scorer: RhythmScorer) -> None:
    trace = np.concatenate([breathing(16.0), np.full(800, 3.0)])
    score = scorer.score(*every_window(cells(trace, 5), SMALL))
    end_s = (np.arange(len(score)) * SMALL.stride_rows + SMALL.min_rows) * SMALL.grid_ms / 1000
    assert (score.anomaly[end_s < 16] < 1).all()
    assert (score.anomaly[end_s > 20] >= 1).all()
    assert (score.direction[end_s > 21] == -1).all()
    assert score.observed[-1, 0] < 8 < score.expected[-1, 0]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_rhythm_scorer_keeps_the_law(
    law: Callable[[Scorer, Windows], None], scorer: RhythmScorer, windows: Windows
) -> None:
    law(scorer, windows)


def saved(fitted: Fitted, folder: Path) -> Path:
    save_rhythm(
        folder, fitted, SMALL, name="breather", version="1", channel="pressure",
        created="2026-11-23T00:00:00+00:00", data_digest="0" * 64, seed=3,
    )  # fmt: skip
    return folder


def test_an_artifact_scores_to_the_bit_as_the_network_it_was_made_of(
    fitted: Fitted, scorer: RhythmScorer, windows: Windows, tmp_path: Path
) -> None:
    loaded = load_scorer(saved(fitted, tmp_path), "cpu")
    assert_same(loaded.score(*windows), scorer.score(*windows))
    assert (loaded.identity.name, loaded.channels, loaded.window_rows) == ("breather", ("pressure",), 96)


def test_an_artifact_with_one_flipped_bit_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    folder = saved(fitted, tmp_path)
    weights = folder / "weights.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(ArtifactError, match="SHA-256"):
        load_scorer(folder, "cpu")


def test_a_manifest_of_another_size_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    folder = saved(fitted, tmp_path)
    content = json.loads((folder / MANIFEST).read_text())
    content["model"]["width"] = 24
    (folder / MANIFEST).write_text(Manifest.model_validate(content).sealed().model_dump_json())
    with pytest.raises(ArtifactError, match="do not fit"):
        load_scorer(folder, "cpu")
