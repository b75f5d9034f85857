"""`attendant calibrate`: recordings of your own healthy devices → the same weights with a threshold of their own.

A shipped model has learnt what a device type does; how often the devices *here* come near its threshold is theirs to
say. Nothing is trained: minutes on one core instead of an hour.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from models.artifacts import ArtifactError, ThresholdEntry, read_manifest, read_weights, write_artifact
from models.calibration import AlarmRule, ExpressRule, Threshold
from models.detector import AttentionScorer
from models.fleet import Series, data_digest
from models.loading import load_scorer
from models.recipe import TrainingConfig
from models.series.learning import calibrate_series
from models.series.scorer import SeriesScorer
from models.training import calibrate
from monitor.workshop import COLUMNS, WorkshopError, find_profile, now, series_of, shown
from streams.devices import DeviceProfile, ProfileError
from streams.recordings import RecordingError, find_recordings, read_recording


def calibrate_command(
    paths: Sequence[Path],
    model: Path,
    out: Path,
    *,
    budget: float | None = None,
    profile_folders: Sequence[Path] = (),
    console: Console | None = None,
) -> dict[str, Any]:
    """Fit the threshold of `model` to recordings of healthy devices, write it into `out`, and tell what it is now.

    Args:
        budget: false alarms a device-day; by default what the model was calibrated for.

    Raises:
        WorkshopError: with what is wrong and how to mend it.
    """
    console = console or Console(stderr=True)
    try:
        manifest = read_manifest(model)
        scorer = load_scorer(model)
        if not isinstance(scorer, AttentionScorer | SeriesScorer):
            raise WorkshopError(f"{model}: a rhythm is calibrated on its cycles; train it again instead")
        profile = find_profile(manifest.name, profile_folders)
        series = [series_of(read_recording(file), profile) for file in find_recordings(paths)]
        rule = _with_express(manifest.threshold.rule())
        asked = manifest.threshold.rate_asked if budget is None else budget
        config = TrainingConfig(budget=asked, rule=rule, min_rows=profile.min_rows)
        threshold = _fitted(scorer, series, profile, config, console)
        calibrated = {"device_days": threshold.device_days, "devices": len(series), "budget": asked,
                      "data_digest": data_digest(series)}  # fmt: skip
        fitted = manifest.model_copy(
            update={
                "threshold": ThresholdEntry.of(threshold, rule),
                "created": now(),
                "training": {**manifest.training, "calibrated": calibrated},
            }
        )
        saved = write_artifact(out, read_weights(model, manifest), fitted)
    except (ArtifactError, ProfileError, RecordingError, ValueError) as error:
        raise WorkshopError(str(error)) from None
    console.print(
        f"{len(series)} devices, {threshold.device_days:.1f} device-days; written to {out}", highlight=False
    )
    return {
        "out": str(out),
        "threshold": saved.threshold.model_dump(),
        "before": manifest.threshold.model_dump(),
    }


def _with_express(rule: AlarmRule) -> AlarmRule:
    """The same rule; that of a model older than the express lane gets one, where it is slow enough to gain by it."""
    usual = ExpressRule()
    if rule.express is not None or not usual.quickens(rule.k, rule.n):
        return rule
    return replace(rule, express=usual)


def _fitted(
    scorer: AttentionScorer | SeriesScorer, series: Sequence[Series], profile: DeviceProfile, config: TrainingConfig,
    console: Console,
) -> Threshold:  # fmt: skip
    stride, row_s = profile.stride_rows, profile.grid_ms / 1000
    with Progress(*COLUMNS, console=console, transient=True) as progress:
        if isinstance(scorer, SeriesScorer):
            return calibrate_series([(scorer, s) for s in series], stride, row_s, config, shown(progress))
        return calibrate(scorer, series, stride, row_s, config, shown(progress))
