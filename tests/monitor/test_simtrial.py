"""The simulator's trial tells the truth about scorers that find everything, nothing, or one channel."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from models.artifacts import read_manifest
from models.calibration import AlarmRule, ExpressRule
from models.loading import alarm_rule, load_scorer
from models.scoring import ModelIdentity, Score
from monitor.due import answer
from monitor.findings import AdaptationSettings, Baseline, JudgeSettings, SilenceSettings
from monitor.lanes import Lane, LaneRecipe
from monitor.settings import SHIPPED_MODELS
from monitor.simtrial import BenchmarkError, Trial, benchmark, evaluate_simulated, simulated_command
from monitor.simtrial.pairs import OWN, paired
from monitor.simtrial.rates import poisson, wilson
from monitor.simtrial.runs import START_MS, earlier_runs, fault_cases, fault_run, healthy_runs
from monitor.simtrial.scoring import (
    AT_ONCE,
    Windows,
    hidden_anomaly,
    joined_windows,
    score_runs,
    windows_of_run,
)
from monitor.simtrial.watching import Watch
from monitor.simulated import SimulateError, SimulateOptions
from streams.devices import DeviceProfile, load_profiles
from streams.simulation import BENCHMARK_SEEDS, DEVICE_TYPES, Onset, fault_specs, lookalike_specs
from tests.monitor.remembering import RunningMean

SHORT = Trial(seeds=(0,), severities=(1.0,), fault_hours=0.75, devices=2, device_hours=0.5)


class OneChannel:
    """Watches one channel against a fixed limit and blames one; `limit` infinite finds nothing."""

    def __init__(self, profile: DeviceProfile, channel: str, limit: float, blamed: str | None = None) -> None:
        self.identity = ModelIdentity(profile.type, "test", "0")
        self.channels, self.window_rows = profile.names, profile.window_rows
        self._at, self._limit = profile.index[channel], limit
        self._blamed = profile.index[blamed or channel]

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        seen = np.where(mask, values, 0)[..., self._at]
        anomaly = (seen[:, -8:].mean(1) > self._limit).astype(np.float32) * 2
        share = np.zeros((len(values), len(self.channels)), np.float32)
        share[:, self._blamed] = 1
        flat = np.zeros_like(share)
        return Score(
            anomaly, share, share, share, flat, flat, flat.astype(np.int8), flat.astype(np.bool_), flat
        )


@pytest.fixture(scope="module")
def pump() -> DeviceProfile:
    return load_profiles()["infusion-pump"]


def test_a_blind_scorer_detects_nothing_and_raises_no_false_alarm(pump: DeviceProfile) -> None:
    told = evaluate_simulated(
        OneChannel(pump, "air_bubble_volume", np.inf), pump, AlarmRule(3, 5), SHORT, asked_a_day=0.1
    )
    faults = 2 * len(fault_specs(pump.type))
    assert told["detected"] == 0
    assert told["counts"]["detected"] == [0, faults]
    assert told["top1"] is None
    assert told["false_alarms"] == 0
    assert told["device_days"] == pytest.approx(2 * 0.5 / 24)
    assert told["asked_false_alarms_per_device_month"] == pytest.approx(3.0)
    assert told["obtained_to_asked"] == 0


def test_a_scorer_of_one_channel_detects_its_fault_and_names_it(pump: DeviceProfile) -> None:
    told = evaluate_simulated(OneChannel(pump, "air_bubble_volume", 12.0), pump, AlarmRule(3, 5), SHORT)
    rows = [row for row in told["faults"] if row["fault"] == "air_sensor_soiling"]
    assert {row["onset"] for row in rows} == {
        Onset.STEP.value,
        fault_specs(pump.type)["air_sensor_soiling"].onset.value,
    }
    for row in rows:
        assert row["detected"]
        assert row["top1"]
        assert row["delay_s"] > 0
    assert not any(row["detected"] for row in told["faults"] if row["fault"] == "battery_fade")
    assert told["by_fault"]["infusion-pump/air_sensor_soiling"]["detected"] == 1


def test_a_blatant_fault_is_told_earlier_by_the_express_lane_and_by_which_lane_is_said(
    pump: DeviceProfile,
) -> None:
    scorer = OneChannel(pump, "air_bubble_volume", 12.0)
    told = [
        evaluate_simulated(scorer, pump, AlarmRule(15, 20, express=express), SHORT)
        for express in (None, ExpressRule(2, 3))
    ]
    patient, both = ([row for row in one["faults"] if row["detected"]] for one in told)
    assert {row["reason"] for row in patient} == {"opened"}
    assert {row["reason"] for row in both} == {"opened_express"}
    earliest = [min(row["delay_s"] for row in rows) for rows in (both, patient)]
    stride_s = pump.stride_rows * pump.grid_ms / 1000
    assert earliest[1] - earliest[0] == pytest.approx(13 * stride_s)


def test_a_scorer_that_always_cries_is_counted_false_before_onset_and_not_as_a_detection(
    pump: DeviceProfile,
) -> None:
    told = evaluate_simulated(OneChannel(pump, "air_bubble_volume", -1.0), pump, AlarmRule(3, 5), SHORT)
    assert told["detected"] == 0
    assert told["false_before_onset"] == len(told["faults"])
    assert told["false_alarms"] == SHORT.devices
    assert told["false_alarms_per_device_month"] > 1000


def test_hiding_the_blamed_channel_calms_the_episode_only_where_it_is_the_one_that_is_watched(
    pump: DeviceProfile,
) -> None:
    for blamed, calmed in (("air_bubble_volume", True), ("motor_current", False)):
        scorer = OneChannel(pump, "air_bubble_volume", 12.0, blamed)
        told = evaluate_simulated(scorer, pump, AlarmRule(3, 5), SHORT)
        found = [row for row in told["faults"] if row["detected"]]
        assert found
        assert all(row["deletion_top1"] is calmed for row in found)


# -- scorers that remember -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(pump: DeviceProfile) -> list[Windows]:
    """Two devices; the second one sends for half as long."""
    one, other = (windows_of_run(run) for run in healthy_runs(pump, SHORT, 0, 2))
    half = len(other) // 2
    return [one, Windows(other.end_t[:half], other.values[:half], other.mask[:half])]


def pressure_watch(pump: DeviceProfile) -> RunningMean:
    return RunningMean(pump, "line_pressure_down", 30.0, ModelIdentity(pump.type, "test", "0"))


def test_a_scorer_that_remembers_is_given_many_windows_of_several_runs_at_once_and_each_run_as_alone(
    pump: DeviceProfile, runs: list[Windows]
) -> None:
    scorer = pressure_watch(pump)
    told = score_runs(scorer, pump, runs)
    starts = range(0, len(runs[0]), AT_ONCE)
    assert scorer.asked == [sum(len(run.part(slice(i, i + AT_ONCE))) for run in runs) for i in starts]
    assert scorer.asked[0] == 2 * AT_ONCE > scorer.asked[-1] > 0, "in the end only one of them is left"
    for run, one in zip(runs, told, strict=True):
        [alone] = score_runs(pressure_watch(pump), pump, [run])
        assert one.score.anomaly.tobytes() == alone.score.anomaly.tobytes()
        assert one.trail is not None
        assert one.trail.new_rows.tolist() == [pump.window_rows] + [pump.stride_rows] * (len(run) - 1)
        # Before the last window every reading but its newest stride's was counted, none of them twice.
        seen = run.mask[:, -pump.stride_rows :, pump.index["line_pressure_down"]].sum()
        before_first = run.mask[0, : -pump.stride_rows, pump.index["line_pressure_down"]].sum()
        last = run.mask[-1, -pump.stride_rows :, pump.index["line_pressure_down"]].sum()
        assert one.trail.before(len(run) - 1, scorer, run)[0, 0] == before_first + seen - last


def test_hiding_a_channel_from_a_scorer_that_remembers_begins_with_what_it_remembered_by_then(
    pump: DeviceProfile, runs: list[Windows]
) -> None:
    scorer = pressure_watch(pump)
    [told, _] = score_runs(scorer, pump, runs)
    # With a gap: the window between is scored as well, and not counted.
    index = AT_ONCE + np.array([6, 7, 9])
    watched, other = pump.index["line_pressure_down"], pump.index["motor_current"]
    left = hidden_anomaly(scorer, runs[0], told, index, [watched, other])
    assert left == [0.0, pytest.approx(float(told.score.anomaly[index].mean()))]
    assert left[1] > 0


def test_the_trial_tells_of_a_scorer_that_remembers_what_it_tells_of_any_other(pump: DeviceProfile) -> None:
    scorer = RunningMean(pump, "air_bubble_volume", 4.0, ModelIdentity(pump.type, "test", "0"))
    told = evaluate_simulated(scorer, pump, AlarmRule(3, 5), SHORT)
    found = [row for row in told["faults"] if row["fault"] == "air_sensor_soiling"]
    assert all(row["detected"] and row["top1"] and row["deletion_top1"] for row in found)
    assert told["by_fault"]["infusion-pump/air_sensor_soiling"]["counts"]["deletion_top1"] == [2, 2]


def test_only_faults_of_medium_severity_or_more_count_and_every_severity_is_told(pump: DeviceProfile) -> None:
    trial = Trial(seeds=(0, 1), severities=(0.25, 0.5), fault_hours=0.75, devices=0)
    told = evaluate_simulated(OneChannel(pump, "air_bubble_volume", np.inf), pump, AlarmRule(3, 5), trial)
    each = 2 * 2 * len(fault_specs(pump.type))
    assert told["counts"]["detected"] == [0, each]
    assert {name: one["counts"]["detected"] for name, one in told["by_severity"].items()} == {
        "0.25": [0, each],
        "0.5": [0, each],
    }
    assert told["false_alarms_per_device_month"] is None


def test_no_device_of_the_benchmark_is_one_that_training_can_have_seen(pump: DeviceProfile) -> None:
    runs = [
        *healthy_runs(pump, SHORT, 0, 2),
        *(fault_run(pump, SHORT, one) for one in fault_cases(pump.type, SHORT)[:2]),
    ]
    seeds = [int(run.device.split("-")[1]) for run in runs]
    assert len(set(seeds)) == len(seeds)
    assert all(seed in BENCHMARK_SEEDS for seed in seeds)
    with pytest.raises(SimulateError, match="belongs to the simulated benchmark"):
        SimulateOptions("infusion-pump", 1, 1.0, seeds[0], (), 0.5).check()


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_thirty_device_days_hold_every_kind_of_lookalike(kind: str) -> None:
    trial = Trial(device_days=30.0)
    assert trial.healthy_devices(kind) * trial.hours(kind) >= 30 * 24
    days = trial.healthy_devices(kind) * trial.hours(kind) / 24
    least = min(
        max(spec.per_day * trial.lookalikes, trial.least_a_day) for spec in lookalike_specs(kind).values()
    )
    # A kind is absent from all of the days less than once in a hundred thousand benchmarks.
    assert np.exp(-least * days) < 1e-5


# -- devices that were watched before ------------------------------------------------------------------------


def test_what_a_watched_device_teaches_and_is_told_is_to_the_bit_what_a_lane_of_the_service_would(
    pump: DeviceProfile,
) -> None:
    scorer, rule = load_scorer(SHIPPED_MODELS / pump.type, "cpu"), alarm_rule(SHIPPED_MODELS / pump.type)
    settings, quick = (
        JudgeSettings().fitted_for(rule),
        AdaptationSettings(settle_h=0.4, hold_h=0.1, step_s=100),
    )
    before = Trial(device_hours=0.75, own_hours=1.5)
    histories = {
        name: [windows_of_run(run) for run in earlier_runs(pump, before, name)] for name in ("A", "B")
    }
    watch = Watch(pump, scorer, settings, Baseline(pump, quick))
    watch.learn(histories)

    lane = Lane(
        LaneRecipe(
            {pump.type: pump},
            {pump.type: scorer.identity},
            {pump.type: settings},
            SilenceSettings(),
            {pump.type: quick},
        ),
        epoch=1,
    )
    for uses in zip(*histories.values(), strict=True):
        for turn in lane.turns([joined_windows(pump, dict(zip(histories, uses, strict=True)))]):
            for batch in turn:
                due, _ = lane.begin(batch)
                lane.judge(due.batch, answer(scorer, due.batch.values, due.batch.mask, due.bias))
    assert watch.baseline.bias("A").any()
    for name in histories:
        assert watch.baseline.bias(name).tobytes() == lane.bias(name, pump.type).tobytes()

    use = histories["A"][0]
    told = watch.play({"A": Windows(use.end_t + 7_200_000, use.values, use.mask)}).scored["A"]
    assert told.bias is not None
    assert told.bias.any()
    assert told.score.anomaly.tobytes() != score_runs(scorer, pump, [use])[0].score.anomaly.tobytes()


def test_a_device_watched_too_short_to_have_a_bias_is_judged_as_a_new_one(pump: DeviceProfile) -> None:
    scorer, rule = load_scorer(SHIPPED_MODELS / pump.type, "cpu"), alarm_rule(SHIPPED_MODELS / pump.type)
    trial = replace(SHORT, devices=0, own_hours=0.5)
    told = evaluate_simulated(scorer, pump, rule, trial)
    assert any(row["detected"] for row in told["faults"])
    for row in told["faults"]:
        fresh = {name: value for name, value in row.items() if name != OWN}
        assert row[OWN] == fresh | {"own_bias": 0.0}


def test_a_watched_device_learns_as_the_trial_says(pump: DeviceProfile) -> None:
    scorer, rule = load_scorer(SHIPPED_MODELS / pump.type, "cpu"), alarm_rule(SHIPPED_MODELS / pump.type)
    eager = AdaptationSettings(bound=0.1, settle_h=0.2, hold_h=0, step_s=100)
    told = evaluate_simulated(scorer, pump, rule, replace(SHORT, devices=0, own_hours=1.0, adaptation=eager))
    assert max(row[OWN]["own_bias"] for row in told["faults"]) == pytest.approx(0.1)


def test_a_device_is_watched_through_its_uses_up_to_the_trial_and_each_has_another_patient(
    pump: DeviceProfile,
) -> None:
    uses = list(earlier_runs(pump, Trial(device_hours=0.5, own_hours=1.25), "A"))
    assert [len(use) for use in uses] == [1800, 1800, 900]
    assert all(use.device == "A" and not use.truth.faults for use in uses)
    assert uses[-1].t[-1] < START_MS <= uses[-1].t[-1] + 1000
    assert not np.array_equal(uses[0].values, uses[1].values, equal_nan=True)


def test_pairs_tell_who_alone_found_a_fault_and_whom_the_baseline_calmed() -> None:
    def fault(severity: float, detected: bool, delay: float, own: bool, own_delay: float) -> dict[str, Any]:
        each = {"severity": severity, "false_before": 0, "top1": True}
        twin = {"detected": own, "delay_s": own_delay, "own_bias": 1.0, "top1": False, "false_before": 1}
        return each | {"detected": detected, "delay_s": delay, OWN: twin}

    def device(alarms: int, own: int, bias: float) -> dict[str, Any]:
        own_row = {"alarms": own, "own_bias": bias, "high_anomaly": 0.3}
        return {"alarms": alarms, "high_anomaly": 0.3 + bias, OWN: own_row}

    told = paired(
        [
            fault(1, True, 100, True, 130),
            fault(1, True, 100, True, 90),
            fault(0.5, True, 9, False, 0),
            fault(0.25, False, 0, True, 1),
        ],
        [device(2, 0, 1.0), device(0, 1, 0.1), device(0, 0, 0.2), device(1, 1, 0.3)],
    )
    assert told["detected"] == {"only_fresh": 1, "only_watched": 0, "of": 3}
    assert told["top1"] == {"only_fresh": 2, "only_watched": 0, "of": 2}
    assert told["delay_s"]["mean"] == pytest.approx(10.0)
    assert (told["delay_s"]["less"], told["delay_s"]["more"]) == (1, 1)
    assert told["false_before"] == [0, 4]
    assert told["false_alarms"] == [3, 2]
    assert (told["calmed_devices"], told["alarmed_devices"]) == (1, 1)
    assert told["high_anomaly"]["mean"] == pytest.approx(-0.4)
    most = told["most_biased"]
    assert (most["devices"], most["own_bias_over"], most["false_alarms"]) == (1, 1.0, [2, 0])
    assert most["high_anomaly"]["mean"] == pytest.approx(-1.0)


def test_a_model_that_cannot_be_told_of_a_bias_is_refused_where_devices_are_watched(
    pump: DeviceProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = OneChannel(pump, "air_bubble_volume", np.inf)
    monkeypatch.setattr(benchmark, "load_scorer", lambda _folder, _device: deaf)
    with pytest.raises(BenchmarkError, match=r"own bias; leave out --own-baseline"):
        simulated_command(types=[pump.type], trial=replace(SHORT, own_hours=1.0))


def test_intervals_are_those_of_the_books() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) is None
    assert poisson(5, 1.0) == pytest.approx((1.6235, 11.6683), abs=1e-4)
    assert poisson(0, 2.0) == pytest.approx((0.0, 3.6889 / 2), abs=1e-4)
    assert poisson(0, 0.0) is None


@pytest.mark.timeout(600)
def test_the_command_tries_every_type_that_has_a_model_whatever_the_number_of_processes(
    pump: DeviceProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SHIPPED_MODELS / pump.type, tmp_path / "zoo" / pump.type)
    monkeypatch.setattr(benchmark, "SHIPPED_MODELS", tmp_path / "zoo")
    file, console = tmp_path / "report.json", Console(file=io.StringIO(), width=180)
    told = simulated_command(trial=SHORT, report=file, jobs=2, console=console)
    assert json.loads(file.read_text()) == json.loads(json.dumps(told))
    assert set(told["by_type"]) == {pump.type}
    assert {one["type"] for one in told["skipped"]} == set(DEVICE_TYPES) - {pump.type}
    wanted = {
        "detected",
        "top1",
        "top3",
        "hypothesis_top1",
        "false_alarms_per_device_month",
        "lead_time_s",
        "by_type",
    }
    assert wanted < set(told)
    rule = alarm_rule(tmp_path / "zoo" / pump.type)
    scorer = load_scorer(tmp_path / "zoo" / pump.type, "cpu")
    alone = evaluate_simulated(scorer, pump, rule, SHORT)
    by_case = {(row["fault"], row["onset"]): row for row in alone["faults"]}
    assert all(by_case[row["fault"], row["onset"]] == row for row in told["faults"])
    assert told["detected"] > 0.5
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "left out haemodialysis: no model" in text
    assert "false alarms on fault-free devices" in text


def test_what_cannot_be_tried_is_one_readable_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchmarkError, match="toaster is not simulated; there are infusion-pump"):
        simulated_command(types=["toaster"])
    with pytest.raises(BenchmarkError, match="no model is there"):
        simulated_command(models=[tmp_path / "empty"])


def test_a_model_that_has_seen_the_benchmarks_devices_is_refused(
    pump: DeviceProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(SHIPPED_MODELS / pump.type)
    learnt = {**manifest.training, "fleet": {"simulator_seed": BENCHMARK_SEEDS.start + 7}}
    monkeypatch.setattr(
        benchmark, "read_manifest", lambda _folder: manifest.model_copy(update={"training": learnt})
    )
    with pytest.raises(BenchmarkError, match="trained with a seed of the benchmark"):
        simulated_command(types=[pump.type])
