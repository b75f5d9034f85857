"""The dashboards and rules as files: complete, linked to what exists, and valid for the programs that read them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.prometheus import DASHBOARDS, conditions, run

BOARDS = {"attendant-fleet", "attendant-health"}
FILES = sorted((DASHBOARDS / "grafana" / "dashboards").glob("*.json"))
RULES = DASHBOARDS / "prometheus" / "rules"
UNITS = {  # of Grafana's getValueFormats()
    "short", "s", "bytes", "percentunit", "ops", "cps", "cpm", "reqps", "bool",
}  # fmt: skip


def load(file: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return board


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel


def alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((RULES / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_each_dashboard_has_its_stable_uid_and_file() -> None:
    assert {load(file)["uid"] for file in FILES} == BOARDS
    assert all(file.stem == load(file)["uid"] for file in FILES)
    assert all("id" not in load(file) for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_panel_has_unit_description_title_and_a_place_of_its_own(file: Path) -> None:
    board = load(file)
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in panels(board):
        name = panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, name
        assert len(panel["description"]) > 20, name
        assert panel["description"].endswith("."), name
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24, name
        assert not taken & cells, f"{name} lies over another panel"
        taken |= cells


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_query_goes_to_the_data_source_variable(file: Path) -> None:
    board = load(file)
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(board):
        assert panel["datasource"] == wanted, panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["datasource"] == wanted for target in panel["targets"]), panel["title"]
    for variable in variables.values():
        assert variable["name"] == "datasource" or variable["datasource"] == wanted


def test_no_host_is_written_in_a_dashboard() -> None:
    for file in FILES:
        text = file.read_text("utf-8")
        assert not re.search(r"https?://|localhost|\d+\.\d+\.\d+\.\d+|:\d{4,5}\b", text), file


def test_dashboards_link_to_each_other() -> None:
    for file in FILES:
        board = load(file)
        assert {"type": "dashboards", "tags": ["attendant"]}.items() <= board["links"][0].items()
        assert "attendant" in board["tags"]
        linked = set(re.findall(r"/d/([\w-]+)", file.read_text("utf-8")))
        assert linked <= BOARDS


def test_provisioning_reads_the_data_source_from_the_environment_and_finds_the_dashboards() -> None:
    provisioning = DASHBOARDS / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "attendant.yaml").read_text("utf-8"))
    assert source["apiVersion"] == 1
    assert source["datasources"][0]["url"] == "${PROMETHEUS_URL}"
    folder = yaml.safe_load((provisioning / "dashboards" / "attendant.yaml").read_text("utf-8"))
    assert folder["apiVersion"] == 1
    assert folder["providers"][0]["options"]["path"] == "/var/lib/grafana/dashboards"


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_what_where_and_how_bad(rule: dict[str, Any]) -> None:
    runbook = (DASHBOARDS / "runbook.md").read_text("utf-8")
    notes = rule["annotations"]
    assert re.fullmatch(r"Attendant[A-Z][A-Za-z]+", rule["alert"])
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert "for" in rule
    assert set(notes) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert notes["runbook_url"].endswith(f"/runbook.md#{rule['alert'].lower()}")
    assert f"\n## {rule['alert']}\n" in runbook
    assert notes["dashboard_url"].rpartition("/")[2] in BOARDS


def test_runbook_and_rule_tests_cover_the_rules_and_nothing_else() -> None:
    names = {rule["alert"] for rule in alert_rules()}
    runbook = (DASHBOARDS / "runbook.md").read_text("utf-8")
    tests = (DASHBOARDS / "prometheus" / "tests" / "alerts_test.yml").read_text("utf-8")
    assert set(re.findall(r"^## (\w+)$", runbook, re.MULTILINE)) == names
    assert set(re.findall(r"Attendant[A-Z]\w+", tests)) == names


def test_every_recording_rule_is_asked_by_a_panel_or_an_alert() -> None:
    groups = yaml.safe_load((RULES / "recording.yml").read_text("utf-8"))["groups"]
    asking = "".join(file.read_text("utf-8") for file in [*FILES, RULES / "alerts.yml"])
    for rule in groups[0]["rules"]:
        assert rule["record"] in asking


def test_promtool_accepts_configuration_and_rules() -> None:
    said = run("promtool", "check", "config", str(DASHBOARDS / "prometheus" / "prometheus.yml"))
    assert f"{len(alert_rules())} rules found" in said


def test_rules_fire_when_they_should_and_only_then() -> None:
    for file in (DASHBOARDS / "prometheus" / "tests").glob("*.yml"):
        assert "SUCCESS" in run("promtool", "test", "rules", str(file))


def test_amtool_accepts_the_example_of_alertmanager() -> None:
    file = DASHBOARDS / "alertmanager" / "alertmanager.yml"
    assert "SUCCESS" in run("amtool", "check-config", str(file))
    for labels, receiver in (
        ("alertname=AttendantDeadMan", "heartbeat"),
        ("alertname=AttendantDown", "engineering"),
    ):
        assert run("amtool", "config", "routes", "test", f"--config.file={file}", labels).strip() == receiver


def test_conditions_are_the_parts_of_a_rule_without_comparison() -> None:
    assert conditions("(time() - a > 60)\n and on (x, y) (b > 0)") == ["time() - a", "b"]
    assert conditions("(sum by (x) (a) > 0) unless on (x) b") == ["sum by (x) (a)", "b"]
    assert conditions('absent(up{job="a"})') == ['up{job="a"}']
    assert conditions("a{s='1'} / (b > 0) > 0.5") == ["a{s='1'} / (b > 0)"]
    assert conditions("vector(1)") == ["vector(1)"]
