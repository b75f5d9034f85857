"""Trained scorers as folders: `weights.safetensors` and `manifest.json`, written once, read strictly.

Weights are plain arrays (never a pickle, which would run code), and since the format itself loads flipped bits without
a word, the manifest carries their SHA-256 and a digest of its own.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from models.autoencoder import ModelConfig
from models.calibration import AlarmRule, ExpressRule, Threshold
from models.detector import AttentionScorer, Detector
from models.preparation import KNOTS, ChannelSpec, Role
from models.scoring import ModelIdentity

FORMAT = 1
WEIGHTS, MANIFEST = "weights.safetensors", "manifest.json"
AS_IT_WAS: Mapping[str, float | int] = {"tokens": 0}
"""Sizes that the manifests of older artifacts leave out: what they were before they could be chosen."""
NO_CHOICE: Mapping[str, float | int] = {"knots": KNOTS, "squash_span": 0.0, "row_masks": 1}
"""Sizes that the manifests of older artifacts name, and that cannot be chosen any longer: what they are."""
MAX_BYTES = 2_000_000
"""Largest weights file that is written or read."""


class ArtifactError(Exception):
    """A model folder that must not be used; `folder` and `problem` say which and why."""

    def __init__(self, folder: Path, problem: str) -> None:
        super().__init__(folder, problem)
        self.folder, self.problem = folder, problem

    def __str__(self) -> str:
        return f"{self.folder}: {self.problem}"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChannelEntry(_Strict):
    """One channel, as `models.preparation.ChannelSpec`; no range is null."""

    name: str
    role: Role
    low: float | None
    high: float | None


class ExpressEntry(_Strict):
    """The express lane: its `models.calibration.ExpressRule`, and where each statistic reaches it."""

    k: int
    n: int
    portion: float
    limit: tuple[float, ...]


class ThresholdEntry(_Strict):
    """As `models.calibration.Threshold`, with the alarm rule that it was fitted for."""

    usual: tuple[float, ...]
    limit: tuple[float, ...]
    rate_asked: float
    rate_seen: float
    device_days: float
    k: int
    n: int
    hold: float | None = Field(default=None, gt=0, lt=1)
    """Level at which an alarm is held; None in artifacts that are older than it: 0.8."""
    express: ExpressEntry | None = None
    """None without an express lane, as in artifacts that are older than it."""

    @model_validator(mode="after")
    def _consistent(self) -> "ThresholdEntry":
        if self.express is not None and len(self.express.limit) != len(self.limit):
            raise ValueError(
                f"{len(self.express.limit)} limits of the express lane beside {len(self.limit)} limits"
            )
        return self

    @classmethod
    def of(cls, threshold: Threshold, rule: AlarmRule) -> "ThresholdEntry":
        """The entry of a threshold that was fitted for `rule`."""
        express, told = rule.express, dataclasses.asdict(threshold)
        limit = told.pop("express")
        if bool(limit) != (express is not None):
            raise ValueError("a threshold and its rule must agree on whether there is an express lane")
        return cls(
            **told, k=rule.k, n=rule.n, hold=rule.hold,
            express=None if express is None else ExpressEntry(**dataclasses.asdict(express), limit=limit),
        )  # fmt: skip

    def fitted(self) -> Threshold:
        """Without the rule."""
        express = () if self.express is None else self.express.limit
        return Threshold(**self.model_dump(exclude={"k", "n", "hold", "express"}), express=express)

    def rule(self) -> AlarmRule:
        """What the threshold was fitted for.

        Raises:
            ValueError: numbers that are no rule.
        """
        quick = self.express
        express = None if quick is None else ExpressRule(quick.k, quick.n, quick.portion)
        hold = AlarmRule().hold if self.hold is None else self.hold
        return AlarmRule(self.k, self.n, hold, express)


class Manifest(_Strict):
    """Everything about an artifact but the weights."""

    format: int
    name: str
    """Device type."""
    version: str
    created: str
    """ISO 8601, UTC."""
    rows: int = Field(ge=8)
    stride: int = Field(ge=1)
    row_s: float = Field(gt=0)
    channels: tuple[ChannelEntry, ...]
    model: dict[str, float | int]
    threshold: ThresholdEntry
    training: dict[str, Any]
    """The configuration that the model was trained with."""
    metrics: dict[str, float]
    data_digest: str
    weights_digest: str
    """SHA-256 of the weights file, hex."""
    manifest_digest: str = ""
    """SHA-256 of this manifest as canonical JSON with this field empty."""

    def sealed(self) -> "Manifest":
        """The same with its own digest."""
        return self.model_copy(update={"manifest_digest": self.digest()})

    def digest(self) -> str:
        """SHA-256 of everything but `manifest_digest`."""
        content = self.model_copy(update={"manifest_digest": ""}).model_dump(mode="json")
        if self.threshold.hold is None:
            # Written before there was one: the digest of then still holds.
            del content["threshold"]["hold"]
        if self.threshold.express is None:
            del content["threshold"]["express"]
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def save_artifact(
    folder: Path, scorer: AttentionScorer, *, stride: int, row_s: float, rule: AlarmRule, created: str,
    training: Mapping[str, Any], metrics: Mapping[str, float], data_digest: str,
) -> Manifest:  # fmt: skip
    """Write a scorer; both files appear whole or not at all.

    Raises:
        ArtifactError: the weights are larger than MAX_BYTES, or the folder cannot be written.
    """
    detector = scorer.detector
    manifest = Manifest(
        format=FORMAT, name=scorer.identity.name, version=scorer.identity.version, created=created,
        rows=detector.rows, stride=stride, row_s=row_s, channels=entries(detector.channels),
        model=dataclasses.asdict(detector.config), threshold=ThresholdEntry.of(scorer.threshold, rule),
        training=dict(training), metrics=dict(metrics), data_digest=data_digest, weights_digest="",
    )  # fmt: skip
    return write_artifact(folder, detector.state_dict(), manifest)


def write_artifact(folder: Path, weights: Mapping[str, torch.Tensor], manifest: Manifest) -> Manifest:
    """Write weights and their manifest, digests filled in; both files appear whole or not at all.

    Raises:
        ArtifactError: the weights are larger than MAX_BYTES, or the folder cannot be written.
    """
    raw = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    if len(raw) > MAX_BYTES:
        raise ArtifactError(folder, f"weights of {len(raw)} bytes, at most {MAX_BYTES} are allowed")
    filled = manifest.model_copy(update={"weights_digest": hashlib.sha256(raw).hexdigest()})
    # Through JSON once, so that tuples are the lists that a reader will see, and the digest holds.
    sealed = Manifest.model_validate_json(filled.model_dump_json()).sealed()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / WEIGHTS, raw)
        _write(folder / MANIFEST, (sealed.model_dump_json(indent=2) + "\n").encode())
    except OSError as error:
        raise ArtifactError(folder, f"cannot be written: {error.strerror}") from error
    return sealed


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest alone; imports no weights.

    Raises:
        ArtifactError: no such file, not a manifest, another format, or changed since it was written.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise ArtifactError(folder, f"{MANIFEST} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or MANIFEST
        raise ArtifactError(folder, f"{MANIFEST} is no manifest: {where}: {first['msg']}") from error
    if manifest.format != FORMAT:
        raise ArtifactError(folder, f"format {manifest.format}; this version reads {FORMAT}")
    if manifest.manifest_digest != manifest.digest():
        raise ArtifactError(folder, f"{MANIFEST} was changed after it was written")
    return manifest


def load_artifact(folder: Path, device: torch.device | None = None) -> AttentionScorer:
    """The scorer of a folder, every digest checked and every weight accounted for.

    Raises:
        ArtifactError: with what is wrong.
    """
    manifest = read_manifest(folder)
    detector = _detector(folder, manifest)
    try:
        weights = read_weights(folder, manifest)
        detector.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ArtifactError(folder, f"weights that do not fit the model: {error}") from error
    identity = ModelIdentity(manifest.name, manifest.version, manifest.weights_digest)
    return AttentionScorer(detector, manifest.threshold.fitted(), identity, device)


def read_weights(folder: Path, manifest: Manifest) -> dict[str, torch.Tensor]:
    """The weights, digest checked.

    Raises:
        ArtifactError: missing, too large, changed, or not safetensors.
    """
    try:
        if (folder / WEIGHTS).stat().st_size > MAX_BYTES:
            raise ArtifactError(folder, f"{WEIGHTS} is larger than {MAX_BYTES} bytes")
        raw = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise ArtifactError(folder, f"{WEIGHTS} cannot be read: {error.strerror}") from error
    if hashlib.sha256(raw).hexdigest() != manifest.weights_digest:
        raise ArtifactError(
            folder, f"{WEIGHTS} is not the file that the manifest describes (SHA-256 differs)"
        )
    try:
        return load_tensors(raw)
    except SafetensorError as error:
        raise ArtifactError(folder, f"{WEIGHTS} is not safetensors: {error}") from error


def _detector(folder: Path, manifest: Manifest) -> Detector:
    try:
        return Detector(specs(manifest), manifest.rows, _config(manifest.model))
    except (TypeError, ValueError) as error:
        raise ArtifactError(folder, f"{MANIFEST} describes no model: {error}") from error


def _config(sizes: Mapping[str, float | int]) -> ModelConfig:
    """Of a manifest of this version or of an older one.

    Raises:
        TypeError, ValueError: sizes that no model of this version has.
    """
    for name, only in NO_CHOICE.items():
        if (size := sizes.get(name, only)) != only:
            raise ValueError(f"{name} of {size} where this version has {only}; train the model again")
    chosen: dict[str, Any] = {name: size for name, size in sizes.items() if name not in NO_CHOICE}
    return ModelConfig(**{**AS_IT_WAS, **chosen})


def entries(channels: Iterable[ChannelSpec]) -> tuple[ChannelEntry, ...]:
    """Channels as a manifest has them."""
    return tuple(
        ChannelEntry(
            name=c.name,
            role=c.role,
            low=None if c.low == -math.inf else c.low,
            high=None if c.high == math.inf else c.high,
        )
        for c in channels
    )


def specs(manifest: Manifest) -> list[ChannelSpec]:
    """The channels of a manifest; `entries` backwards."""
    return [
        ChannelSpec(
            c.name, c.role, -math.inf if c.low is None else c.low, math.inf if c.high is None else c.high
        )
        for c in manifest.channels
    ]


def _write(file: Path, content: bytes) -> None:
    part = file.with_suffix(file.suffix + ".part")
    part.write_bytes(content)
    part.replace(file)
