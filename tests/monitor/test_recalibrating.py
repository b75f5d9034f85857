"""`attendant calibrate`: the weights stay, the threshold is that of the devices given."""

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from models.artifacts import MANIFEST, WEIGHTS, read_manifest
from models.calibration import ExpressRule
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


def test_a_model_without_an_express_lane_gets_one_and_one_that_has_it_keeps_its_own(
    healthy: Path, tmp_path: Path
) -> None:
    source = ZOO / "infusion-pump"
    manifest = read_manifest(source)
    (tmp_path / "old").mkdir()
    shutil.copy(source / WEIGHTS, tmp_path / "old")
    entry = manifest.threshold.model_copy(update={"express": None})
    old = manifest.model_copy(update={"threshold": entry}).sealed()
    (tmp_path / "old" / MANIFEST).write_text(old.model_dump_json())
    calibrate_command([healthy], tmp_path / "old", tmp_path / "new", budget=0.5, console=quiet())
    new = read_manifest(tmp_path / "new").threshold
    assert new.rule().express == ExpressRule()
    assert new.express is not None
    assert all(quick > slow for quick, slow in zip(new.express.limit, new.limit, strict=True))

    own = new.express.model_copy(update={"n": 4, "portion": 0.3})
    kept = read_manifest(tmp_path / "new").model_copy(
        update={"threshold": new.model_copy(update={"express": own})}
    )
    (tmp_path / "new" / MANIFEST).write_text(kept.sealed().model_dump_json())
    calibrate_command([healthy], tmp_path / "new", tmp_path / "again", budget=0.5, console=quiet())
    assert read_manifest(tmp_path / "again").threshold.rule().express == ExpressRule(2, 4, 0.3)


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
