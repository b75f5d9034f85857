"""Artifacts: whole or refused, with a reason."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.artifacts import (
    AS_IT_WAS,
    MANIFEST,
    NO_CHOICE,
    WEIGHTS,
    ArtifactError,
    Manifest,
    load_artifact,
    read_manifest,
    save_artifact,
)
from models.autoencoder import ModelConfig
from models.calibration import AlarmRule, ExpressRule
from models.detector import AttentionScorer, Detector
from models.loading import alarm_rule
from tests.checks.scorer_laws import Windows, assert_same
from tests.models.conftest import TinyFleet
from tests.models.test_scorers import saved


def keep(scorer: AttentionScorer, rule: AlarmRule, folder: Path) -> Manifest:
    """The scorer as an artifact with this rule."""
    return save_artifact(
        folder, scorer, stride=8, row_s=10.0, rule=rule, created="2026-11-23T00:00:00Z", training={}, metrics={},
        data_digest="0",
    )  # fmt: skip


def flip_a_bit(folder: Path) -> None:
    raw = bytearray((folder / WEIGHTS).read_bytes())
    raw[-5] ^= 1
    (folder / WEIGHTS).write_bytes(raw)


def edit(**changes: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps(manifest | changes))

    return apply


def reseal(**changes: object) -> Callable[[Path], None]:
    """A change by somebody who also writes the right digest."""

    def apply(folder: Path) -> None:
        manifest = read_manifest(folder).model_copy(update=changes)
        (folder / MANIFEST).write_text(manifest.sealed().model_dump_json())

    return apply


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (flip_a_bit, "SHA-256"),
        (lambda f: (f / WEIGHTS).unlink(), "cannot be read"),
        (lambda f: (f / MANIFEST).unlink(), "cannot be read"),
        (lambda f: (f / WEIGHTS).write_bytes(b"0" * 3_000_000), "larger"),
        (lambda f: (f / MANIFEST).write_text("{"), "no manifest"),
        (edit(surprise=1), "no manifest"),
        (edit(version="2"), "changed after"),
        (edit(format=99), "format 99"),
        (reseal(model={"width": 32, "spam": 1}), "describes no model"),
        (reseal(rows=32), "do not fit"),
    ],
)
def test_a_damaged_artifact_is_refused_with_what_is_wrong(
    damage: Callable[[Path], None], problem: str, tiny: TinyFleet, tmp_path: Path
) -> None:
    folder = saved(tiny, tmp_path)
    damage(folder)
    with pytest.raises(ArtifactError, match=problem) as caught:
        load_artifact(folder)
    assert str(tmp_path) in str(caught.value)


def test_the_manifest_says_what_the_model_is_made_of(tiny: TinyFleet, tmp_path: Path) -> None:
    manifest = read_manifest(saved(tiny, tmp_path))
    assert [c.name for c in manifest.channels] == list(tiny.trained.scorer.channels)
    assert manifest.data_digest == tiny.trained.data_digest
    assert (manifest.threshold.k, manifest.threshold.n) == (3, 5)
    assert (tmp_path / WEIGHTS).stat().st_size < 2_000_000


def test_an_artifact_carries_its_express_lane_under_its_digest(tiny: TinyFleet, tmp_path: Path) -> None:
    scorer, rule = tiny.trained.scorer, AlarmRule(3, 5, 0.7, ExpressRule(2, 3, 0.25))
    quick = tuple(limit + 1 for limit in scorer.threshold.limit)
    threshold = replace(scorer.threshold, express=quick)
    written = keep(AttentionScorer(scorer.detector, threshold, scorer.identity), rule, tmp_path)
    assert read_manifest(tmp_path).threshold.rule() == alarm_rule(tmp_path) == rule
    assert load_artifact(tmp_path).threshold == threshold
    entry = written.threshold.model_copy(update={"express": None})
    assert written.model_copy(update={"threshold": entry}).digest() != written.manifest_digest


def test_an_artifact_from_before_there_was_an_express_lane_is_read_and_has_none(
    tiny: TinyFleet, tmp_path: Path
) -> None:
    keep(tiny.trained.scorer, AlarmRule(3, 5), tmp_path)
    content = json.loads((tmp_path / MANIFEST).read_text())
    del content["threshold"]["express"]
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    assert read_manifest(tmp_path).threshold.rule().express is None
    assert load_artifact(tmp_path).threshold.express == ()


def test_a_threshold_and_a_rule_that_disagree_on_the_express_lane_are_not_written(
    tiny: TinyFleet, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="agree on whether there is an express lane"):
        keep(tiny.trained.scorer, AlarmRule(3, 5, express=ExpressRule(2, 3)), tmp_path)


def test_an_express_lane_of_another_number_of_statistics_is_refused(tiny: TinyFleet, tmp_path: Path) -> None:
    saved(tiny, tmp_path)
    content = json.loads((tmp_path / MANIFEST).read_text())
    content["threshold"]["express"] = {"k": 2, "n": 3, "portion": 0.5, "limit": [9.0]}
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="1 limits of the express lane beside 3 limits"):
        read_manifest(tmp_path)


def test_an_alarm_rule_that_is_none_is_refused_with_the_folder(tiny: TinyFleet, tmp_path: Path) -> None:
    manifest = read_manifest(saved(tiny, tmp_path))
    entry = manifest.threshold.model_copy(update={"k": 9})
    sealed = manifest.model_copy(update={"threshold": entry}).sealed()
    (tmp_path / MANIFEST).write_text(sealed.model_dump_json())
    with pytest.raises(ArtifactError, match="9 of 5 windows is no rule") as caught:
        alarm_rule(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_manifest_from_before_a_size_could_be_chosen_has_the_model_of_then(
    tiny: TinyFleet, windows: Windows, tmp_path: Path
) -> None:
    old = tiny.trained.scorer
    detector = Detector(old.detector.channels, old.window_rows, ModelConfig(**AS_IT_WAS))  # type: ignore[arg-type]  # ints all
    scorer = AttentionScorer(detector, old.threshold, old.identity)
    folder = saved(tiny._replace(trained=tiny.trained._replace(scorer=scorer)), tmp_path)
    manifest = read_manifest(folder)
    assert AS_IT_WAS.keys() <= manifest.model.keys()
    reseal(model={name: size for name, size in manifest.model.items() if name not in AS_IT_WAS})(folder)
    assert_same(load_artifact(folder).score(*windows), scorer.score(*windows))


def test_sizes_that_cannot_be_chosen_any_longer_are_read_as_what_they_are_and_refused_as_others(
    tiny: TinyFleet, windows: Windows, tmp_path: Path
) -> None:
    folder = saved(tiny, tmp_path)
    model = read_manifest(folder).model
    assert not NO_CHOICE.keys() & model.keys()
    reseal(model={**model, **NO_CHOICE})(folder)
    assert_same(load_artifact(folder).score(*windows), tiny.trained.scorer.score(*windows))
    reseal(model={**model, **NO_CHOICE, "knots": 9})(folder)
    with pytest.raises(ArtifactError, match="knots of 9 where this version has 17; train the model again"):
        load_artifact(folder)


def test_weights_are_never_unpickled(
    tiny: TinyFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("torch.load was called")

    monkeypatch.setattr(torch, "load", refuse)
    load_artifact(saved(tiny, tmp_path))
