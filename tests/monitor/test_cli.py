"""The command line: answers at once, explains itself, and says what is wrong in one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.baselines import PLAIN
from monitor.cli import app
from monitor.findings import AdaptationSettings
from monitor.simtrial import Trial
from streams.simulation import DEVICE_TYPES

ENVIRONMENT = {"COLUMNS": "200", "PATH": "/usr/bin"}
COMMANDS = (
    "run",
    "demo",
    "simulate",
    "replay",
    "train",
    "calibrate",
    "zoo",
    "evaluate",
    "bench",
    "check-config",
    "alerts",
    "explain",
    "devices",
)


def attendant(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={"COLUMNS": "200", "PATH": "/usr/bin"}
    )


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    heavy = "torch", "aiokafka", "pandas", "sqlalchemy", "scipy", "pyarrow", "fastapi", "matplotlib"
    script = (
        "import sys\nsys.argv = ['attendant', '--help']\nfrom monitor.cli import main\n"
        f"try: main()\nexcept SystemExit: print('HEAVY', [m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr
    assert [command for command in COMMANDS if command not in done.stdout] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = attendant(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert len(done.stdout.split()) > 20


def test_an_unknown_device_type_names_those_there_are(tmp_path: Path) -> None:
    done = attendant("simulate", "--type", "toaster", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "no device type toaster; there are" in done.stderr
    assert "infusion-pump" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_catalogue_of_faults_is_listed() -> None:
    done = attendant("simulate", "--type", "infusion-pump", "--fault", "list")
    assert done.returncode == 0, done.stderr
    assert "downstream_occlusion" in done.stdout
    assert "look-alike" in done.stdout


def test_the_simulated_device_types_can_be_listed() -> None:
    done = attendant("simulate", "--type", "list")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(DEVICE_TYPES)
    assert "Patient monitor" in done.stdout


def test_simulated_recordings_come_with_their_truth(tmp_path: Path) -> None:
    arguments = [
        "--type",
        "infusion-pump",
        "--devices",
        "2",
        "--hours",
        "0.5",
        "--seed",
        "5",
        "--out",
        str(tmp_path),
    ]
    done = attendant("simulate", *arguments, "--fault", "downstream_occlusion")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.parquet"))) == 2
    assert len(list(tmp_path.glob("*.rootcause.json"))) == 2


def test_look_alikes_that_are_no_numbers_are_refused_in_one_line(tmp_path: Path) -> None:
    asked = ["simulate", "--type", "infusion-pump", "--lookalikes", "1,often", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, asked, env=ENVIRONMENT)
    assert result.exit_code == 2
    assert "--lookalikes takes numbers separated by commas, not '1,often'" in result.stderr


def test_no_service_there_is_said_in_one_line() -> None:
    done = attendant("alerts", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "is it running" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_recording_that_is_not_there_is_said_in_one_line() -> None:
    done = attendant("replay", "/nonexistent.parquet")
    assert done.returncode == 2
    assert "/nonexistent.parquet" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a folder of labelled recordings, or say --simulated"),
        (["--seeds", "0,x", "data"], "--seeds takes numbers separated by commas, not '0,x'"),
        (["--simulated", "data"], "--simulated takes no DIR: leave that out, or --simulated"),
        (["--simulated", "--peers", "usad"], "no peer usad on simulated devices; there are robust_z, "),
        (["--simulated", "--peers", "--own-baseline", "36"], "leave out --own-baseline, or --peers"),
        (["--simulated", "--budget", "1", "--vus-window", "9"], "no --budget and no --vus-window"),
        (["--types", "infusion-pump", "data"], "only --simulated takes --types: say that instead of DIR"),
        (["--devices", "0", "data"], "only --simulated takes --devices"),
        (["--severities", "1", "data"], "only --simulated takes --severities"),
        (["--models", "mine", "--profiles", "mine", "data"], "takes --models and --profiles"),
        (["--simulated", "--severities", "high"], "--severities takes numbers"),
        (["--own-baseline", "36", "data"], "only --simulated takes --own-baseline"),
        (["--bound", "2", "data"], "only --simulated takes --bound"),
        (["--bound", "1", "data"], "only --simulated takes --bound"),
        (["--unit-scale", "1", "data"], "only --simulated takes --unit-scale"),
        (["--unit-scale", "2"], "only --simulated takes --unit-scale"),
        (["--simulated", "--bound", "0.5"], "--bound goes with --own-baseline"),
        (["--simulated", "--bound", "1"], "--bound goes with --own-baseline"),
    ],
)
def test_an_evaluation_that_makes_no_sense_is_refused_in_one_line(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    assert done.exit_code == 2
    assert words in done.output
    assert done.output.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "trial"),
    [
        ([], Trial()),
        (["--own-baseline", "36"], Trial(own_hours=36)),
        (
            [
                "--own-baseline",
                "36",
                "--bound",
                "2",
                "--unit-scale",
                "0",
                "--devices",
                "0",
                "--severities",
                ".5",
            ],
            Trial(
                devices=0,
                severities=(0.5,),
                unit_scale=0,
                own_hours=36,
                adaptation=AdaptationSettings(bound=2),
            ),
        ),
    ],
)
def test_what_is_not_asked_of_a_simulated_evaluation_is_as_the_trial_and_the_service_have_it(
    arguments: list[str], trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Trial] = []
    monkeypatch.setattr("monitor.simtrial.simulated_command", lambda *, trial, **_: asked.append(trial))
    done = CliRunner().invoke(app, ["evaluate", "--simulated", *arguments])
    assert (done.exit_code, asked) == (0, [trial])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ()),
        (["--peers"], tuple(PLAIN)),
        (["--peers", "windowed_pca,robust_z"], ("robust_z", "windowed_pca")),
    ],
)
def test_peers_of_a_simulated_evaluation_are_those_named_or_all(
    words: list[str], names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr("monitor.simtrial.simulated_command", lambda *, peers, **_: asked.append(peers))
    done = CliRunner().invoke(app, ["evaluate", "--simulated", *words])
    assert (done.exit_code, asked) == (0, [names])


@pytest.mark.parametrize("command", ["evaluate --simulated", "bench", "demo", "zoo --out models"])
def test_a_report_into_a_folder_that_is_not_there_is_refused_before_the_work(
    command: str, tmp_path: Path
) -> None:
    file = tmp_path / "none" / "report.json"
    done = CliRunner().invoke(app, [*command.split(), "--json", str(file)])
    assert done.exit_code == 2
    assert f"there is no folder {file.parent}; make it, or name another file" in done.output
    assert done.output.count("\n") == 1
