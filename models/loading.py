"""A folder → the scorer whose weights lie in it. The one place that knows which kinds of model there are."""

from pathlib import Path

import torch

from models.artifacts import ArtifactError, load_artifact, read_manifest
from models.calibration import AlarmRule
from models.compute import choose_device
from models.rhythm import artifacts as rhythm
from models.scoring import Scorer
from models.series import artifacts as series

__all__ = ["ArtifactError", "alarm_rule", "load_scorer"]


def alarm_rule(folder: Path) -> AlarmRule:
    """The rule, both lanes of it, that the threshold of an artifact was fitted for; another rule makes another number
    of alarms.

    Raises:
        ArtifactError: with what is wrong.
    """
    try:
        return read_manifest(folder).threshold.rule()
    except ValueError as error:
        raise ArtifactError(folder, f"has an alarm rule that is none: {error}") from error


def load_scorer(folder: Path, device: str = "auto") -> Scorer:
    """The scorer of an artifact folder, on the device that was asked for.

    Raises:
        ArtifactError: with what is wrong.
        ValueError: no such GPU.
    """
    to = choose_device(device)
    if to.type == "cpu":
        # Scores have the same bits whatever their neighbours only with one thread.
        torch.set_num_threads(1)
    match read_manifest(folder).training.get("kind"):
        case rhythm.KIND:
            return rhythm.load_rhythm(folder, to)
        case series.KIND:
            return series.load_series(folder)
        case _:
            return load_artifact(folder, to)
