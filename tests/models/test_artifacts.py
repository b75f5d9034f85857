"""Artifacts: whole or refused, with a reason."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.artifacts import MANIFEST, WEIGHTS, ArtifactError, load_artifact, read_manifest
from tests.models.conftest import TinyFleet
from tests.models.test_scorers import saved


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


def test_weights_are_never_unpickled(
    tiny: TinyFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("torch.load was called")

    monkeypatch.setattr(torch, "load", refuse)
    load_artifact(saved(tiny, tmp_path))
