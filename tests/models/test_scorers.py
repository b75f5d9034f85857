"""Every scorer keeps the laws, also after it was saved and loaded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.artifacts import load_artifact, save_artifact
from models.baselines import PLAIN, PlainScorer, fit_plain
from models.calibration import AlarmRule
from models.scoring import ModelIdentity, Scorer
from models.series import SeriesConfig
from models.series.learning import fit_series
from models.series.scorer import SeriesScorer
from models.training import draw
from tests.checks.scorer_laws import LAWS, Windows, assert_same
from tests.models.conftest import TinyFleet
from tests.models.fleet import CHANNELS, MODED, ROW_S, ROWS, STRIDE


@pytest.fixture(scope="module", params=["attention", "attention-loaded", "series", *PLAIN])
def scorer(
    request: pytest.FixtureRequest, tiny: TinyFleet, tmp_path_factory: pytest.TempPathFactory
) -> Scorer:
    """One of each kind."""
    if request.param == "attention":
        return tiny.trained.scorer
    if request.param == "attention-loaded":
        return load_artifact(saved(tiny, tmp_path_factory.mktemp("artifact")))
    if request.param == "series":
        return series_scorer(tiny)
    return plain_scorer(tiny, request.param)


def plain_scorer(tiny: TinyFleet, name: str) -> PlainScorer:
    """Fitted on one half of the fleet, weighed by the other."""
    half, rng = len(tiny.series) // 2, np.random.default_rng(1)
    ground, others = (draw(part, ROWS, 1500, 0, rng) for part in (tiny.series[:half], tiny.series[half:]))
    return fit_plain(name, MODED, ground, others, ModelIdentity("pump", name, "0"))


def series_scorer(tiny: TinyFleet) -> SeriesScorer:
    """Of a single device of the fleet."""
    return fit_series(
        "pump",
        "1",
        CHANNELS,
        ROWS,
        STRIDE,
        ROW_S,
        tiny.series[:1],
        fit=SeriesConfig(practices=1),
    ).scorer


def saved(tiny: TinyFleet, folder: Path) -> Path:
    """The tiny model as an artifact."""
    save_artifact(
        folder, tiny.trained.scorer, stride=STRIDE, row_s=ROW_S, rule=AlarmRule(3, 5), created="2026-11-23T00:00:00Z",
        training={"seed": 0}, metrics=tiny.trained.metrics, data_digest=tiny.trained.data_digest,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_scorer_keeps_the_law(
    law: Callable[[Scorer, Windows], None], scorer: Scorer, windows: Windows
) -> None:
    law(scorer, windows)


def test_an_artifact_scores_to_the_bit_as_the_model_it_was_made_of(
    tiny: TinyFleet, windows: Windows, tmp_path: Path
) -> None:
    loaded = load_artifact(saved(tiny, tmp_path))
    assert_same(loaded.score(*windows), tiny.trained.scorer.score(*windows))
    assert len(loaded.identity.digest) == 64
