"""`attendant calibrate`: the weights stay, the threshold is that of the devices given."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from models.artifacts import read_manifest
from monitor.recalibrating import calibrate_command
from monitor.simulated import SimulateOptions
from monitor.simulating import simulate_to_folder
from monitor.workshop import WorkshopError

ZOO = Path(__file__).parents[2] / "models" / "zoo"


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three simulated pumps, an hour each."""
    folder = tmp_path_factory.mktemp("healthy")
    simulate_to_folder(SimulateOptions("infusion-pump", 3, 1.0, 7, (), 0.0), folder)
    return folder


def test_the_weights_stay_and_the_threshold_is_fitted_on_the_devices_given(
    healthy: Path, tmp_path: Path
) -> None:
    before = read_manifest(ZOO / "infusion-pump")
    told = calibrate_command([healthy], ZOO / "infusion-pump", tmp_path / "mine", budget=0.5, console=quiet())
    after = read_manifest(tmp_path / "mine")
    assert after.weights_digest == before.weights_digest
    assert after.threshold.limit != before.threshold.limit
    assert after.threshold.rate_asked == 0.5
    assert after.threshold.device_days == pytest.approx(3 / 24, rel=0.1)
    assert (after.threshold.k, after.threshold.n) == (before.threshold.k, before.threshold.n)
    assert after.training["calibrated"]["devices"] == 3
    assert tuple(told["threshold"]["limit"]) == after.threshold.limit


def test_a_stricter_budget_never_lowers_a_limit(healthy: Path, tmp_path: Path) -> None:
    limits = []
    for budget in (1.0, 0.01):
        calibrate_command(
            [healthy], ZOO / "infusion-pump", tmp_path / f"{budget}", budget=budget, console=quiet()
        )
        limits.append(read_manifest(tmp_path / f"{budget}").threshold.limit)
    assert all(strict >= loose for loose, strict in zip(*limits, strict=True))


def test_a_rhythm_and_a_folder_without_a_model_are_refused(healthy: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkshopError, match="a rhythm is calibrated on its cycles"):
        calibrate_command([healthy], ZOO / "rapidvent", tmp_path / "a", console=quiet())
    with pytest.raises(WorkshopError, match=r"manifest\.json cannot be read"):
        calibrate_command([healthy], tmp_path / "nothing", tmp_path / "b", console=quiet())
