"""Peers on simulated devices: the same runs, the same Judge, thresholds from devices that are nobody else's."""

import io
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from models import baselines
from models.baselines import PLAIN
from models.calibration import AlarmRule
from models.loading import load_scorer
from monitor.settings import SHIPPED_MODELS
from monitor.simtrial import (
    BenchmarkError,
    PeerError,
    Trial,
    benchmark,
    peers,
    peers_named,
    simulated_command,
)
from monitor.simtrial.beside import beside
from monitor.simtrial.peers import PeerFit
from monitor.simtrial.runs import fault_cases, fault_run, healthy_runs
from monitor.simulated import SimulateError
from streams.devices import DeviceProfile, load_profiles
from streams.simulation import BENCHMARK_SEEDS

SHORT = Trial(seeds=(0,), severities=(1.0,), fault_hours=0.75, devices=2, device_hours=0.5)


@pytest.fixture(scope="module")
def pump() -> DeviceProfile:
    return load_profiles()["infusion-pump"]


def quiet() -> Console:
    return Console(file=io.StringIO(), width=100)


def tried(pump: DeviceProfile, *names: str, **options: Any) -> dict[str, Any]:
    return simulated_command(types=[pump.type], trial=SHORT, console=quiet(), peers=names, **options)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers of a fleet that is simulated and learnt in a second."""
    monkeypatch.setattr(benchmark, "PeerFit", partial(PeerFit, devices=16))
    monkeypatch.setattr(baselines.fitting, "WINDOWS", 600)


def test_a_peer_that_is_our_model_is_told_to_do_exactly_as_well_as_ours(
    pump: DeviceProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = load_scorer(SHIPPED_MODELS / pump.type, "cpu")
    monkeypatch.setattr(benchmark, "_fit", lambda fit: dict.fromkeys(fit.names, shipped))
    told = tried(pump, "robust_z")
    peer = told["peers"]["robust_z"]
    assert told["detected"] > 0.5
    assert peer["faults"] == told["faults"]
    assert peer["false_alarms"] == told["false_alarms"]
    assert peer["lead_time_s"] == told["lead_time_s"]
    assert peer["paired"]["detected"] == {
        "difference": 0.0,
        "interval": [0.0, 0.0],
        "of": len(told["faults"]),
    }
    assert peer["paired"]["delay_s"]["difference"] == 0


def test_peers_stand_beside_ours_with_the_same_figures_and_ours_are_as_without_them(
    pump: DeviceProfile, small: None, tmp_path: Path
) -> None:
    alone = tried(pump)
    told = tried(pump, "robust_z", "windowed_pca_by_mode", report=tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(told))
    assert {name: value for name, value in told.items() if name != "peers"} == alone
    assert list(told["peers"]) == ["robust_z", "windowed_pca_by_mode"]
    for peer in told["peers"].values():
        assert alone.keys() - peer.keys() == {"skipped"}
        assert peer["asked_false_alarms_per_device_month"] == alone["asked_false_alarms_per_device_month"]
        assert alone["by_type"][pump.type].keys() <= peer["by_type"][pump.type].keys()
        assert [row["fault"] for row in peer["faults"]] == [row["fault"] for row in alone["faults"]]
        assert [row["own_alarm_s"] for row in peer["faults"]] == [
            row["own_alarm_s"] for row in alone["faults"]
        ]
        assert peer["by_type"][pump.type]["calibration"]["device_days"] == pytest.approx(8 * 3 / 24, rel=0.02)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_peers_are_the_same_however_many_processes_fit_and_judge(pump: DeviceProfile) -> None:
    one, two = (tried(pump, "windowed_pca", jobs=jobs) for jobs in (1, 2))
    assert one == two
    assert one["peers"]["windowed_pca"]["detected"] < one["detected"]


def test_the_table_tells_of_every_method_and_of_the_lead_over_each(pump: DeviceProfile, small: None) -> None:
    console = quiet()
    simulated_command(types=[pump.type], trial=SHORT, console=console, peers=("robust_z",))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    beside_others = shown[shown.index("beside other methods") :]
    assert beside_others.index("attendant") < beside_others.index("robust_z")
    assert "attendant less each of them over the same faults" in beside_others
    assert "…" not in beside_others


@pytest.mark.parametrize("kind", ["infusion-pump", "defibrillator"])
def test_peers_learn_from_devices_that_the_benchmark_has_not(kind: str) -> None:
    profile = load_profiles()[kind]
    fit = PeerFit(profile, ("robust_z",), AlarmRule(), 1 / 30, devices=2)
    learnt = {run.device for run in fit.fleet.runs(0)}
    cases = fault_cases(kind, SHORT)[:2]
    tried_on = {run.device for run in healthy_runs(profile, replace(SHORT, device_hours=None), 0, 2)}
    tried_on |= {fault_run(profile, replace(SHORT, fault_hours=None), case).device for case in cases}
    assert len(learnt) == 2
    assert learnt.isdisjoint(tried_on)
    assert fit.fleet.seed not in BENCHMARK_SEEDS


def test_a_fleet_with_a_seed_of_the_benchmark_is_refused(
    pump: DeviceProfile, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "FLEET_SEED", BENCHMARK_SEEDS.start)
    with pytest.raises(SimulateError, match="belongs to the simulated benchmark"):
        tried(pump, "robust_z")


def test_peers_are_named_in_any_order_and_all_of_them_without_a_name() -> None:
    assert peers_named([]) == tuple(PLAIN)
    assert peers_named(["windowed_pca,robust_z"]) == ("robust_z", "windowed_pca")
    with pytest.raises(PeerError, match="no peer usad on simulated devices; there are robust_z, "):
        peers_named(["robust_z,usad"])


def test_peers_are_refused_where_devices_are_watched(pump: DeviceProfile) -> None:
    with pytest.raises(BenchmarkError, match="leave out --own-baseline, or --peers"):
        simulated_command(types=[pump.type], trial=replace(SHORT, own_hours=1.0), peers=("robust_z",))


def test_a_lead_is_told_over_all_faults_and_in_time_over_those_that_both_found() -> None:
    def fault(seed: int, found: bool, delay: float | None, severity: float = 1.0) -> dict[str, Any]:
        case = {"type": "pump", "fault": "leak", "severity": severity, "onset": "step", "seed": seed}
        return case | {"detected": found, "top1": found, "delay_s": delay}

    ours = [fault(0, True, 100), fault(1, True, 50), fault(2, True, 10), fault(3, False, None, 0.25)]
    theirs = [fault(2, False, None), fault(1, True, 70), fault(0, True, 180), fault(3, True, 1, 0.25)]
    told = beside(ours, theirs)
    assert told["detected"]["difference"] == pytest.approx(1 / 3)
    assert told["detected"]["of"] == 3
    assert told["delay_s"]["difference"] == pytest.approx(-50)
    assert told["delay_s"]["of"] == told["top1"]["of"] == 2
    low, high = told["delay_s"]["interval"]
    assert np.allclose((low, high), (-80, -20))
    assert beside(ours[2:3], theirs[:1])["delay_s"] is None
    with pytest.raises(ValueError, match="the same faults on both sides"):
        beside(ours, theirs[1:])
