"""A series scorer as a folder: the same two files, digests and strictness as `models.artifacts`.

The manifest's `training` says `"kind": "series"`; by that the loader knows which model the arrays belong to.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.artifacts import (
    FORMAT,
    MANIFEST,
    ArtifactError,
    Manifest,
    ThresholdEntry,
    entries,
    read_manifest,
    read_weights,
    specs,
    write_artifact,
)
from models.calibration import AlarmRule
from models.scoring import ModelIdentity
from models.series.evidence import FEATURES, FaultQuery, Usual
from models.series.incident import AlarmLevels, Limits
from models.series.learning import TrainedSeries
from models.series.level import BANDS, Level
from models.series.model import SeriesModel
from models.series.scorer import SeriesScorer
from models.series.subspaces import KEPT, WINDOW, NestedSubspaces, Scale

KIND = "series"
PARTS = frozenset({"scale", "usual", "query", "level", "limits", "evenly", "subspaces"})
"""Of a model; the name of every array begins with one."""

Weights = Mapping[str, torch.Tensor]


def save_series(
    folder: Path, trained: TrainedSeries, *, stride: int, row_s: float, rule: AlarmRule, created: str,
    training: Mapping[str, Any],
) -> Manifest:  # fmt: skip
    """Write a trained scorer; `training` says how it was trained.

    Raises:
        ArtifactError: the weights are larger than MAX_BYTES, or the folder cannot be written.
    """
    scorer = trained.scorer
    manifest = Manifest(
        format=FORMAT, name=scorer.identity.name, version=scorer.identity.version, created=created,
        rows=scorer.window_rows, stride=stride, row_s=row_s, channels=entries(scorer.specs),
        model=asdict(scorer.model.alarm),
        threshold=ThresholdEntry.of(scorer.threshold, rule),
        training={"kind": KIND, **training}, metrics=trained.metrics, data_digest=trained.data_digest,
        weights_digest="",
    )  # fmt: skip
    return write_artifact(folder, _weights(scorer.model), manifest)


def load_series(folder: Path) -> SeriesScorer:
    """The scorer of a folder, every digest checked and every array accounted for.

    Raises:
        ArtifactError: with what is wrong.
    """
    manifest = read_manifest(folder)
    if manifest.training.get("kind") != KIND:
        raise ArtifactError(folder, "is no series model")
    try:
        model = _model(read_weights(folder, manifest), len(manifest.channels), AlarmLevels(**manifest.model))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(folder, f"{MANIFEST} describes no series model: {error}") from error
    identity = ModelIdentity(manifest.name, manifest.version, manifest.weights_digest)
    return SeriesScorer(model, specs(manifest), manifest.rows, manifest.threshold.fitted(), identity)


def _weights(model: SeriesModel) -> dict[str, torch.Tensor]:
    """Every array of a model under its name."""
    subspaces = model.subspaces
    parts: dict[str, Any] = {
        "scale": model.scale, "usual": model.usual, "query": model.query, "level": model.level,
        "limits": model.limits, "evenly": model.evenly,
    }  # fmt: skip
    arrays = {f"{part}.{name}": x for part, fields in parts.items() for name, x in fields._asdict().items()}
    arrays["subspaces.cuts"] = np.array(subspaces.cuts, np.int64)
    weights = {name: torch.from_numpy(np.array(x)) for name, x in arrays.items()}
    return weights | {"subspaces.mean": subspaces.mean, "subspaces.basis": subspaces.basis}


def _model(weights: Weights, C: int, alarm: AlarmLevels) -> SeriesModel:
    """`_weights` backwards.

    Raises:
        KeyError: an array is missing.
        ValueError: one is of another shape, or there are more than belong to a model.
    """
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    parts: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        part, _, field = name.partition(".")
        parts.setdefault(part, {})[field] = array if array.ndim else float(array)
    cuts = tuple(int(cut) for cut in arrays["subspaces.cuts"])
    B, K = len(KEPT), max(cuts, default=0)
    shapes = {
        **{f"scale.{name}": (C,) for name in Scale._fields}, **{f"usual.{name}": (C,) for name in Usual._fields},
        "usual.scale": (B, C), "usual.shaking": (2, C), "level.unit": (B, C), "level.usual": (B, C),
        "level.watched": (C,), "level.height": (1 + len(range(B)[BANDS]),),
        **{f"query.{name}": (FEATURES,) for name in ("center", "spread", "query")},
        "subspaces.mean": (WINDOW * C,), "subspaces.basis": (WINDOW * C, K), "subspaces.cuts": (B,),
    }  # fmt: skip
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} of shape {arrays[name].shape} where {shape} is wanted")
    parts["subspaces"] = {name: weights[f"subspaces.{name}"] for name in parts["subspaces"]} | {"cuts": cuts}
    if more := parts.keys() - PARTS:
        raise ValueError(f"arrays of {', '.join(sorted(more))}, which belong to no model")
    return SeriesModel(
        Scale(**parts["scale"]), NestedSubspaces(**parts["subspaces"]), Usual(**parts["usual"]),
        FaultQuery(**parts["query"]), Level(**parts["level"]), Limits(**parts["limits"]), Limits(**parts["evenly"]),
        alarm,
    )  # fmt: skip
