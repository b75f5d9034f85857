"""The metrics: named as Prometheus asks, there from the start, and bounded whatever comes."""

import asyncio
import re
import subprocess
import time
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from models.scoring import ModelIdentity
from monitor.alerts import EventType, Status
from monitor.findings import Reason, Severity
from monitor.fleet import DeviceStatus
from monitor.metrics import CheckpointOutcome, Increase, Metrics, WindowSkip, watch_event_loop
from monitor.notifiers.base import Outcome
from streams.records import RejectReason
from streams.transport import TopicPartition
from streams.windows import SampleOutcome
from tests.dashboards.prometheus import program

P0, P1 = TopicPartition("telemetry", 0), TopicPartition("telemetry", 1)


def new(top: int = 20) -> Metrics:
    return Metrics(
        CollectorRegistry(),
        device_types=["infusion-pump", "icu-ventilator"],
        notifiers=["engineering"],
        topics=["telemetry"],
        top=top,
    )


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"attendant_{name}", labels)


def series(metrics: Metrics) -> dict[str, list[Mapping[str, str]]]:
    """What a scrape sees: series by name of the sample."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def use(metrics: Metrics) -> None:
    """Everything that can happen, once."""
    metrics.set_started("0.1.0", 1000.0)
    metrics.set_model(ModelIdentity("infusion-pump", "1", "ab"))
    metrics.count_messages("telemetry", 5)
    metrics.count_rejected({RejectReason.SCHEMA: 1})
    metrics.count_samples({SampleOutcome.ACCEPTED: 4})
    metrics.count_skipped(WindowSkip.NO_MODEL, 1)
    metrics.count_decisions({Reason.NORMAL: 3, Reason.OPENED: 1})
    metrics.record_score("infusion-pump", 4, 0.01)
    metrics.set_lag({P0: 7})
    metrics.set_progress([P0], 1000.0)
    metrics.set_devices("infusion-pump", {DeviceStatus.NORMAL: 3, DeviceStatus.ALARMING: 1})
    metrics.set_anomaly("SN-1", "infusion-pump", 2.5)
    metrics.record_checkpoint(CheckpointOutcome.SAVED, 0.002)
    metrics.record_alert_event(EventType.OPENED, Severity.WARNING)
    metrics.record_event_to_alert(0.4)
    metrics.set_alerts({(Severity.WARNING, Status.OPEN): 1})
    metrics.record_delivery("engineering", Outcome.DELIVERED, 0.03, 0.05)
    metrics.set_backlog({"engineering": 2}, 990.0, {"engineering": 1})
    metrics.set_ready({"broker": True})
    metrics.record_loop_lag(0.001)
    metrics.record_request("/api/v1/alerts", "GET", 200, 0.01)


def test_promtool_finds_no_fault_with_names_and_helps() -> None:
    metrics = new()
    use(metrics)
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=metrics.render()[0], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_name_has_our_prefix_and_a_sentence_of_help() -> None:
    metrics = new()
    for family in metrics.registry.collect():
        assert family.name.startswith("attendant_")
        assert re.fullmatch(r"[A-Z0-9].{10,}\.", family.documentation), family.name
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_windows"))


def test_series_of_closed_label_sets_are_there_before_anything_happens() -> None:
    metrics = new()
    assert all(value(metrics, "rejected_total", reason=reason) == 0 for reason in RejectReason)
    assert all(value(metrics, "samples_total", outcome=outcome) == 0 for outcome in SampleOutcome)
    assert all(value(metrics, "windows_skipped_total", reason=reason) == 0 for reason in WindowSkip)
    assert all(value(metrics, "decisions_total", reason=reason) == 0 for reason in Reason)
    assert all(value(metrics, "checkpoints_total", outcome=outcome) == 0 for outcome in CheckpointOutcome)
    assert value(metrics, "messages_total", topic="telemetry") == 0
    for kind in ("infusion-pump", "icu-ventilator"):
        assert value(metrics, "windows_scored_total", type=kind) == 0
        assert all(value(metrics, "devices", type=kind, state=state) == 0 for state in DeviceStatus)
        assert value(metrics, "devices_with_own_baseline", type=kind) == 0
    for outcome in Outcome:
        assert value(metrics, "deliveries_total", notifier="engineering", outcome=outcome) == 0
    for severity in Severity:
        assert all(value(metrics, "alerts", severity=severity, status=status) == 0 for status in Status)
        for event in ("opened", "updated", "acknowledged", "resolved"):
            assert value(metrics, "alert_events_total", event=event, severity=severity) == 0


def test_using_it_makes_no_label_value_that_was_not_expected() -> None:
    metrics = new()
    before = {name: len(labels) for name, labels in series(metrics).items()}
    use(metrics)
    grown = {name for name, labels in series(metrics).items() if len(labels) > before.get(name, 0)}
    assert grown == {
        "attendant_consumer_lag_messages",
        "attendant_partition_progress_timestamp_seconds",
        "attendant_model_info",
        "attendant_build_info",
        "attendant_device_anomaly_ratio",
        "attendant_ready",
        "attendant_http_requests_total",
        "attendant_http_request_seconds_bucket",
        "attendant_http_request_seconds_count",
        "attendant_http_request_seconds_sum",
    }


def test_only_the_most_anomalous_devices_are_shown_by_id() -> None:
    metrics = new(top=3)
    for n in range(20_000):
        metrics.set_anomaly(f"SN-{n}", "infusion-pump", 1 + n / 1000)
    shown = series(metrics)["attendant_device_anomaly_ratio"]
    assert [labels["device"] for labels in shown] == ["SN-19999", "SN-19998", "SN-19997"]
    metrics.clear_anomalies([f"SN-{n}" for n in range(1, 20_000)])
    assert series(metrics)["attendant_device_anomaly_ratio"] == [{"device": "SN-0", "type": "infusion-pump"}]
    assert len(metrics.device_anomaly) == 1


def test_no_other_series_names_a_device_and_a_scrape_stays_small() -> None:
    metrics = new()
    use(metrics)
    for n in range(20_000):
        metrics.set_anomaly(f"SN-{n}", "infusion-pump", 2.0)
    body = metrics.render()[0]
    found = series(metrics)
    with_device = {name for name, all_labels in found.items() for labels in all_labels if "device" in labels}
    assert with_device == {"attendant_device_anomaly_ratio"}
    assert sum(map(len, found.values())) <= 500
    assert len(body) < 100_000


def test_a_partition_that_goes_takes_its_series_with_it() -> None:
    metrics = new()
    metrics.set_lag({P0: 7, P1: 8})
    metrics.set_progress([P0, P1], 1000.0)
    metrics.forget_partitions([P0, TopicPartition("telemetry", 9)])
    left = [{"topic": "telemetry", "partition": "1"}]
    found = series(metrics)
    assert found["attendant_consumer_lag_messages"] == left
    assert found["attendant_partition_progress_timestamp_seconds"] == left


def test_a_new_model_replaces_the_one_before_it() -> None:
    metrics = new()
    metrics.set_model(ModelIdentity("infusion-pump", "1", "ab"))
    metrics.set_model(ModelIdentity("icu-ventilator", "1", "ef"))
    metrics.set_model(ModelIdentity("infusion-pump", "2", "cd"))
    shown = [(labels["type"], labels["version"]) for labels in series(metrics)["attendant_model_info"]]
    assert sorted(shown) == [("icu-ventilator", "1"), ("infusion-pump", "2")]


def test_gauges_of_what_is_there_now_fall_to_zero() -> None:
    metrics = new()
    use(metrics)
    metrics.set_alerts({})
    metrics.set_backlog({}, None)
    metrics.set_devices("infusion-pump", {})
    assert value(metrics, "alerts", severity="warning", status="open") == 0
    assert value(metrics, "undelivered", notifier="engineering") == 0
    assert value(metrics, "parked", notifier="engineering") == 0
    assert value(metrics, "oldest_undelivered_timestamp_seconds") == 0
    assert value(metrics, "devices", type="infusion-pump", state="normal") == 0


def test_a_device_clock_that_is_ahead_is_no_negative_latency() -> None:
    metrics = new()
    metrics.record_event_to_alert(-3.0)
    assert value(metrics, "event_to_alert_seconds_sum") == 0
    assert value(metrics, "event_to_alert_seconds_count") == 1


def test_increase_turns_totals_into_steps_and_survives_a_restart_of_the_counts() -> None:
    increase = Increase()
    assert increase({"a": 3}) == {"a": 3}
    assert increase({"a": 5, "b": 1}) == {"a": 2, "b": 1}
    assert increase({"a": 2, "b": 1}) == {"a": 2, "b": 0}


def test_two_services_in_one_process_do_not_mix() -> None:
    one, other = Metrics.of_process(), Metrics.of_process()
    one.count_messages("telemetry", 1)
    assert value(one, "messages_total", topic="telemetry") == 1
    assert value(other, "messages_total", topic="telemetry") is None


async def test_a_blocked_event_loop_shows() -> None:
    metrics = new()
    watch = asyncio.create_task(watch_event_loop(metrics, 0.01))
    await asyncio.sleep(0.05)
    time.sleep(0.3)  # noqa: ASYNC251 - blocks on purpose
    await asyncio.sleep(0.05)
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
    count = value(metrics, "event_loop_lag_seconds_count")
    below = value(metrics, "event_loop_lag_seconds_bucket", le="0.25")
    assert count is not None
    assert below is not None
    assert count > below
