"""The zoo: which fleets it simulates, several types at once; one that fails is named and does not stop the rest."""

import copy
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.artifacts import ArtifactError, read_manifest
from models.loading import load_scorer
from monitor.simulated import SimulateOptions
from monitor.workshop import TrainOptions
from monitor.zoo import BRIEF, ROWS_A_DEVICE, ZooError, ZooOptions, fleet_hours, make_zoo, simulated_series
from streams.devices import ProfileError, load_profiles
from streams.recordings import RecordingError
from streams.simulation import BENCHMARK_SEEDS, DEVICE_TYPES


def test_all_means_every_simulated_type_each_into_its_own_folder() -> None:
    plans = ZooOptions("all", Path("zoo")).plans()
    assert [plan.fleet.device_type for plan in plans] == list(DEVICE_TYPES)
    assert [plan.out for plan in plans] == [Path("zoo") / name for name in DEVICE_TYPES]


def test_as_many_other_devices_run_briefly_beside_the_fleet() -> None:
    [plan] = ZooOptions("infusion-pump", Path("zoo"), devices=2).plans()
    fleet, brief = (
        [run.device for run in replace(one, hours=0.1).runs(0)] for one in (plan.fleet, plan.brief)
    )
    assert len({*fleet, *brief}) == 4


def test_brief_series_are_a_third_of_a_run_cut_from_anywhere() -> None:
    [plan] = ZooOptions("infusion-pump", Path("zoo"), devices=3, hours=0.5).plans()
    profile = load_profiles()["infusion-pump"]
    whole, brief = (simulated_series(plan.brief, profile, lambda _: None, part) for part in (1, 1 / BRIEF))
    first = []
    for run, piece in zip(whole, brief, strict=True):
        assert len(piece.values) == round(len(run.values) / 3)
        places = range(len(run.values) - len(piece.values) + 1)
        at = [i for i in places if np.array_equal(run.values[i : i + len(piece.values)], piece.values, True)]
        first += at
    assert len(set(first)) == 3


def test_half_the_devices_of_a_training_fleet_see_look_alikes_as_often_as_usual_and_half_more_often() -> None:
    [plan] = ZooOptions("infusion-pump", Path("zoo")).plans()
    assert plan.fleet.lookalikes == (1.0, 3.0)
    fleet = replace(plan.fleet, devices=4, hours=2.0, lookalikes=(0.0, 5.0))
    events = [len(run.truth.lookalikes) for run in fleet.runs(0)]
    assert events[0] == events[2] == 0
    assert min(events[1], events[3]) > 3


@pytest.mark.parametrize("device_type", DEVICE_TYPES)
def test_a_device_of_a_training_fleet_runs_long_enough_whatever_its_grid(device_type: str) -> None:
    profile = load_profiles()[device_type]
    assert fleet_hours(profile) * 3_600_000 / profile.grid_ms >= ROWS_A_DEVICE


def test_a_dialysis_machine_of_a_training_fleet_runs_from_one_treatment_into_the_next() -> None:
    profile = load_profiles()["haemodialysis"]
    [run] = SimulateOptions("haemodialysis", 1, fleet_hours(profile), 100, (), 0.0, (0.0,)).runs(0)
    modes = run.values[:, profile.index["treatment_mode"]]
    modes = modes[np.isfinite(modes)]
    begins = np.flatnonzero(np.diff((modes == 3).astype(int)) == 1)
    assert modes[0] == 3
    assert len(begins) >= 1
    assert set(modes) >= {2, 3, 4, 5}


@pytest.mark.parametrize(
    ("types", "seed", "told"),
    [
        ("toaster", 100, "no simulated type toaster; there are"),
        ("all", BENCHMARK_SEEDS.start, "are the benchmark's"),
        ("all", BENCHMARK_SEEDS.start - 1, "are the benchmark's"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_simulated(
    types: str, seed: int, told: str
) -> None:
    with pytest.raises(ZooError, match=told):
        ZooOptions(types, Path("zoo"), fleet_seed=seed).plans()


def test_the_zoo_needs_no_broker_no_database_and_no_web_server() -> None:
    script = (
        "import sys, monitor.zoo\n"
        "print([m for m in ('aiokafka', 'sqlalchemy', 'fastapi', 'prometheus_client') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "error",
    [
        ArtifactError(Path("zoo/pump"), "cannot be written: File exists"),
        RecordingError(Path("a.csv"), "has no rows", "record something"),
        ProfileError(Path("pump.toml"), ["no channels", "no faults"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_fails_in_another_process_is_told_here(error: Exception) -> None:
    """An error comes out of its process by the protocol of copies; one that fails at it breaks the pool and with it
    every other type."""
    arrived = copy.copy(error)
    assert (type(arrived), str(arrived), vars(arrived)) == (type(error), str(error), vars(error))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_type_that_fails_is_named_and_the_others_are_made(tmp_path: Path) -> None:
    (tmp_path / "icu-ventilator").write_text("no folder")
    quick = TrainOptions(steps=10, windows=300, device="cpu")
    options = ZooOptions("infusion-pump,icu-ventilator", tmp_path, 4, 0.5, jobs=2, training=quick)
    said = io.StringIO()
    with pytest.raises(ZooError, match="1 of 2 types could not be made") as caught:
        make_zoo(options, Console(file=said, width=200))
    [detail] = caught.value.details
    assert detail.startswith("icu-ventilator: ")
    assert detail.endswith("cannot be written: File exists")
    manifest = read_manifest(tmp_path / "infusion-pump")
    assert manifest.training["fleet"] == {
        "simulator_seed": 100,
        "devices": 4,
        "hours": 0.5,
        "lookalikes": [1.0, 3.0],
        "brief": {"simulator_seed": 101, "devices": 4, "hours": 0.5 / 3, "cut_from_hours": 0.5},
    }
    assert set(manifest.training["seconds"]) == {"normal", "evidence", "threshold"}
    assert load_scorer(tmp_path / "infusion-pump").identity.digest == manifest.weights_digest
    assert "infusion-pump" in said.getvalue()
