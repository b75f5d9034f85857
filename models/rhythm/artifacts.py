"""A rhythm scorer as a folder: the same two files, digests and strictness as `models.artifacts`.

The manifest's `training` says `"kind": "rhythm"`; by that the loader knows which network the weights belong to.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    write_artifact,
)  # fmt: skip
from models.preparation import ChannelSpec
from models.rhythm.network import RhythmConfig, RhythmNetwork
from models.rhythm.scorer import RhythmScorer
from models.rhythm.training import Fitted, RhythmTraining
from models.scoring import ModelIdentity

KIND = "rhythm"


def save_rhythm(
    folder: Path, fitted: Fitted, config: RhythmTraining, *, name: str, version: str, channel: str, created: str,
    data_digest: str, seed: int, extra: Mapping[str, Any] | None = None,
) -> Manifest:  # fmt: skip
    """Write a trained network; `extra` joins the training entry (what it was trained on, figures measured elsewhere).

    Raises:
        ArtifactError: the weights are larger than MAX_BYTES, or the folder cannot be written.
    """
    manifest = Manifest(
        format=FORMAT, name=name, version=version, created=created,
        rows=config.network.rows, stride=config.stride_rows, row_s=config.grid_ms / 1000,
        channels=entries([ChannelSpec(channel)]),
        model={**dataclasses.asdict(config.network), "certain": fitted.certain},
        threshold=ThresholdEntry.of(fitted.threshold, config.rule),
        training={"kind": KIND, "seed": seed, **dataclasses.asdict(config), **(extra or {})},
        metrics=fitted.metrics, data_digest=data_digest, weights_digest="",
    )  # fmt: skip
    return write_artifact(folder, fitted.network.state_dict(), manifest)


def load_rhythm(folder: Path, device: torch.device | None = None) -> RhythmScorer:
    """The scorer of a folder, every digest checked and every weight accounted for.

    Raises:
        ArtifactError: with what is wrong.
    """
    manifest = read_manifest(folder)
    if manifest.training.get("kind") != KIND or len(manifest.channels) != 1:
        raise ArtifactError(folder, "is no rhythm model of one channel")
    sizes = dict(manifest.model)
    try:
        certain = float(sizes.pop("certain"))
        network = RhythmNetwork(RhythmConfig(**{key: int(value) for key, value in sizes.items()}))
        network.load_state_dict(read_weights(folder, manifest), strict=True)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(folder, f"{MANIFEST} describes no rhythm model: {error}") from error
    except RuntimeError as error:
        raise ArtifactError(folder, f"weights that do not fit the model: {error}") from error
    identity = ModelIdentity(manifest.name, manifest.version, manifest.weights_digest)
    channel, threshold = manifest.channels[0].name, manifest.threshold.fitted()
    return RhythmScorer(network, channel, threshold, certain, identity, device)
