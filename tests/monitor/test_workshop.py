"""`attendant train`: which kind of model a device type gets, and what is said of too little to learn from."""

from pathlib import Path

import numpy as np
import pytest

from models.artifacts import read_manifest
from models.loading import load_scorer
from models.scoring import RememberingScorer
from monitor.simulated import SimulateOptions
from monitor.simulating import simulate_to_folder
from monitor.workshop import FEW_DEVICES, ModelKind, TrainOptions, WorkshopError, train_command
from streams.recordings import Recording, write_recording
from tests.consoles import screen, written
from tests.profiles import gauges_profile

GAUGES = ("pressure", "temperature")


@pytest.fixture(scope="module")
def pumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four simulated pumps, half an hour each."""
    folder = tmp_path_factory.mktemp("pumps")
    simulate_to_folder(SimulateOptions("infusion-pump", 4, 0.5, 7, (), 0.0), folder)
    return folder


def boiler(folder: Path, rows: int) -> tuple[Path, Path]:
    """A recording of a type without settings, and the folder of its profile."""
    (folder / "profiles").mkdir()
    (folder / "profiles" / "boiler.toml").write_text(gauges_profile("boiler", GAUGES, 100))
    values = np.random.default_rng(0).normal(0, 1, (rows, 2)).astype(np.float32)
    nothing, t_ms = np.zeros(rows, np.bool_), np.arange(rows) * np.float64(1000)
    recording = Recording("B-1", GAUGES, t_ms, values, nothing, nothing, 1.0)
    return write_recording(recording, folder / "B-1.parquet"), folder / "profiles"


def test_a_type_without_settings_is_learnt_as_a_series_from_one_recording(tmp_path: Path) -> None:
    recording, profiles = boiler(tmp_path, 1500)
    train_command([recording], "boiler", tmp_path / "model", profile_folders=[profiles], console=screen())
    manifest = read_manifest(tmp_path / "model")
    assert manifest.training["kind"] == "series"
    assert manifest.training["devices"] == 1
    assert manifest.threshold.rate_asked == pytest.approx(1 / 30)
    assert isinstance(load_scorer(tmp_path / "model"), RememberingScorer)


def test_too_short_a_recording_is_refused_with_the_rows_that_are_needed(tmp_path: Path) -> None:
    recording, profiles = boiler(tmp_path, 120)
    with pytest.raises(WorkshopError, match="training rows; a model and its threshold need at least 200"):
        train_command([recording], "boiler", tmp_path / "model", profile_folders=[profiles], console=screen())


def test_a_type_with_settings_is_learnt_as_a_fleet_and_few_devices_are_told_of(
    pumps: Path, tmp_path: Path
) -> None:
    console, quick = screen(), TrainOptions(steps=10, windows=300, device="cpu")
    train_command([pumps], "infusion-pump", tmp_path / "model", quick, console=console)
    assert "kind" not in read_manifest(tmp_path / "model").training
    assert "learnt from 4 devices: what is only theirs is not known" in written(console)
    assert f"{FEW_DEVICES} are a beginning" in written(console)


def test_a_type_with_settings_is_learnt_as_a_series_where_that_is_asked_for(
    pumps: Path, tmp_path: Path
) -> None:
    console, series = screen(), TrainOptions(budget=0.5, kind=ModelKind.SERIES)
    train_command([pumps], "infusion-pump", tmp_path / "model", series, console=console)
    manifest = read_manifest(tmp_path / "model")
    assert manifest.training["kind"] == "series"
    assert manifest.threshold.rate_asked == 0.5
    assert manifest.metrics["device_days"] == pytest.approx(4 * 0.5 / 24, rel=0.25)
    assert "false alarms" not in written(console)
