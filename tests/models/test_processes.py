"""Several processes train one model together, started by torchrun as a user would, on CPUs over gloo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from models.artifacts import read_manifest
from models.loading import load_scorer
from tests.models.ranks import fleet, trained

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes of this interpreter."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_two_processes_end_with_the_same_weights_about_as_good_as_those_of_one(tmp_path: Path) -> None:
    done = torchrun("-m", "tests.models.ranks", str(tmp_path), "24", "-1")
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert all(one[key].equal(two[key]) for key in one)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["computed"]["processes"] == 2
    assert (first["limit"], first["digest"], first["metrics"]) == (
        second["limit"],
        second["digest"],
        second["metrics"],
    )
    alone = trained(fleet(24))
    assert first["digest"] == alone.data_digest
    for name in ("expectation_loss", "reconstruction_loss", "evidence_loss"):
        # Single processes with other seeds lie up to .29 apart; an expectation of ten steps ends at 2.3 instead of -1.
        assert first["metrics"][name] < alone.metrics[name] + 0.3, name
    assert first["metrics"]["injected_top1"] > alone.metrics["injected_top1"] - 0.1


def test_when_a_training_is_over_no_thread_of_the_processes_group_is_left(tmp_path: Path) -> None:
    """One that is still at work when the interpreter ends aborts its process now and then."""
    done = torchrun("-m", "tests.models.ranks", str(tmp_path), "5", "-1")
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        threads = (tmp_path / f"{rank}.threads").read_text().split("\n")
        assert threads != [""]
        assert not any("gloo" in name for name in threads), threads


def test_processes_with_different_recordings_all_end_and_say_why(tmp_path: Path) -> None:
    done = torchrun("-m", "tests.models.ranks", str(tmp_path), "5", "1")
    assert done.returncode != 0
    assert "the processes read different recordings" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_train_command_under_torchrun_writes_one_artifact_that_scores(tmp_path: Path) -> None:
    folder, out = tmp_path / "fleet", tmp_path / "model"
    simulate = ["simulate", "--type", "infusion-pump", "--devices", "6", "--hours", "1", "--out", str(folder)]
    subprocess.run(
        [sys.executable, "-m", "monitor.cli", *simulate], cwd=ROOT, check=True, capture_output=True
    )
    command = ["-m", "monitor.cli", "train", str(folder), "--type", "infusion-pump", "--out", str(out)]
    done = torchrun(*command, "--steps", "10", "--windows", "600", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"digest"') == done.stderr.count("written to") == 1
    manifest, scorer = read_manifest(out), load_scorer(out, "cpu")
    assert manifest.training["processes"] == 2
    values = np.zeros((3, scorer.window_rows, len(scorer.channels)), np.float32)
    assert np.isfinite(scorer.score(values, np.ones_like(values, np.bool_)).anomaly).all()


def test_a_process_that_cannot_go_on_ends_the_training_with_a_line_a_person_can_read(tmp_path: Path) -> None:
    done = torchrun("-m", "monitor.cli", "train", str(tmp_path), "--type", "toaster", "--out", str(tmp_path))
    assert done.returncode != 0
    assert "attendant: no profile of device type toaster" in done.stderr
