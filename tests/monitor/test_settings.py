"""Settings: every error at once, readable, without a connection and without a secret."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.settings import SettingsError, load_settings

GOOD = """
[kafka]
bootstrap_servers = "broker.example:9092"
"""

# 25 lines, each wrong in its own way, and what of it must be named.
WRONG = """
time_scale = 0                                # 1 time_scale
colour = "blue"                               # 2 colour

[kafka]
bootstrap_servers = "nowhere"                 # 3 kafka.bootstrap_servers
group = "a b"                                 # 4 kafka.group
fetch_max_wait_ms = -5                        # 5 kafka.fetch_max_wait_ms
max_poll_records = 0                          # 6 kafka.max_poll_records
security_protocol = "SSLISH"                  # 7 kafka.security_protocol
linger_ms = 5000                              # 8 kafka.linger_ms
botstrap = "x"                                # 9 kafka.botstrap

[telemetry]
topic = "tele metry"                          # 10 telemetry.topic
partitions = 0                                # 11 telemetry.partitions

[database]
url = "mysql://root:hunter2@db/attendant"     # 12 database.url
checkpoint_interval_s = -1                    # 13 database.checkpoint_interval_s
retention_days = 0                            # 14 database.retention_days

[models]
folders = ["/nonexistent/models"]             # 15 models.folders
device = "tpu"                                # 16 models.device

[web]
port = 99999                                  # 17 web.port
tokens = ["short"]                            # 18 web.tokens

[log]
level = "loud"                                # 19 log.level
format = "xml"                                # 20 log.format

[judge]
k = 0                                         # 21 judge.k
n = 0                                         # 22 judge.n
open_at = 0                                   # 23 judge.open_at
resolve_after = 0                             # 24 judge.resolve_after

[silence]
site_share = 2                                # 25 silence.site_share
"""
WHERE = [line.split("#", 1)[1].split()[1] for line in WRONG.splitlines() if "#" in line]


def _write(folder: Path, text: str) -> Path:
    file = folder / "attendant.toml"
    file.write_text(text, "utf-8")
    return file


def test_all_25_errors_come_in_one_report(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(_write(tmp_path, WRONG), {})
    problems = caught.value.problems
    assert len(WHERE) == 25
    assert [where for where in WHERE if not any(p.startswith(where) for p in problems)] == []
    assert len(problems) == 25
    assert "hunter2" not in "\n".join(problems)


def test_check_config_prints_them_exits_2_and_opens_no_socket(tmp_path: Path) -> None:
    file = _write(tmp_path, WRONG)
    guarded = (
        "import sys\n"
        "def guard(event, _):\n"
        "    if event in ('socket.connect', 'socket.bind', 'socket.getaddrinfo'): raise SystemExit(99)\n"
        "sys.addaudithook(guard)\n"
        f"sys.argv = ['attendant', 'check-config', '--config', {str(file)!r}]\n"
        "from monitor.cli import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", guarded], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert [where for where in WHERE if where not in done.stderr] == []


def test_check_config_says_good_and_shows_no_secret(tmp_path: Path) -> None:
    file = _write(tmp_path, GOOD + '\n[web]\ntokens = ["a-token-long-enough"]\n')
    command = [sys.executable, "-m", "monitor.cli", "check-config", "--config", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    assert "a-token-long-enough" not in done.stdout


def test_check_config_tells_of_a_model_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "mine" / "pump").mkdir(parents=True)
    settings = GOOD + f'\n[models]\nfolders = ["{tmp_path / "mine"}"]\n'
    command = [
        sys.executable,
        "-m",
        "monitor.cli",
        "check-config",
        "--config",
        str(_write(tmp_path, settings)),
    ]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    (tmp_path / "mine" / "pump" / "manifest.json").write_text("{}")
    damaged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (good.returncode, damaged.returncode) == (0, 2), good.stderr
    assert "models.folders: 1 problem\n  a trained model cannot be used: " in damaged.stderr
    assert "manifest.json is no manifest" in damaged.stderr


def test_a_variable_comes_over_the_file(tmp_path: Path) -> None:
    environment = {
        "ATTENDANT_WEB__PORT": "9999",
        "ATTENDANT_MODELS__FOLDERS": json.dumps([str(tmp_path)]),
        "ATTENDANT_REQUIRE_KAFKA": "1",
        "HOME": "/root",
    }
    settings = load_settings(_write(tmp_path, GOOD), environment)
    assert settings.web.port == 9999
    assert settings.models.folders == (tmp_path,)
    assert settings.kafka.bootstrap_servers == "broker.example:9092"


def test_a_missing_file_is_one_readable_problem(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / "none.toml", {})
    assert caught.value.problems == ["cannot be read: No such file or directory"]


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(_write(tmp_path, "[kafka\n"), {})
    assert "line 1" in caught.value.problems[0]


def test_two_webhooks_need_two_names(tmp_path: Path) -> None:
    webhook = (
        '[[webhooks]]\nname = "cmms"\nurl = "https://cmms.example/hook"\nsecrets = ["whsec_'
        + "A" * 44
        + '"]\n'
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(_write(tmp_path, GOOD + webhook * 2), {})
    assert "webhooks named twice: cmms" in caught.value.problems[0]
