"""A real Prometheus scrapes a running face: no query of a panel or rule errs, and none is empty."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from models.scoring import ModelIdentity
from monitor.alerts import EventType, Status
from monitor.findings import Reason, Severity
from monitor.fleet import DeviceStatus
from monitor.metrics import CheckpointOutcome, Metrics, watch_event_loop
from monitor.notifiers.base import Outcome
from streams.records import RejectReason
from streams.transport import TopicPartition
from streams.windows import SampleOutcome
from tests.dashboards.prometheus import program, prometheus
from tests.dashboards.queries import Query, check_all, unanswered
from tests.monitor.faces import face

PARTITION = TopicPartition("telemetry", 0)
PUMP = "infusion-pump"


def _poll(metrics: Metrics) -> None:
    """What the pipeline says of one poll of a fleet in good health, with one device in trouble."""
    now_s = time.time()
    metrics.count_messages(PARTITION.topic, 500)
    metrics.count_samples({SampleOutcome.ACCEPTED: 495, SampleOutcome.LATE: 4})
    metrics.count_rejected({RejectReason.SCHEMA: 1})
    metrics.record_score(PUMP, 50, 0.012)
    metrics.count_decisions({Reason.NORMAL: 49, Reason.HELD: 1})
    metrics.set_lag({PARTITION: 12})
    metrics.set_progress([PARTITION], now_s)
    metrics.set_devices(PUMP, {DeviceStatus.NORMAL: 49, DeviceStatus.ALARMING: 1})
    metrics.set_anomaly("SN-1042", PUMP, 2.5)
    metrics.record_checkpoint(CheckpointOutcome.SAVED, 0.004)
    metrics.record_alert_event(EventType.OPENED, Severity.WARNING)
    metrics.record_event_to_alert(0.8)
    metrics.set_alerts({(Severity.WARNING, Status.OPEN): 1})
    metrics.record_delivery("engineering", Outcome.DELIVERED, 0.03, 0.05)
    metrics.set_backlog({"engineering": 1}, now_s - 0.5)


@asynccontextmanager
async def _driven(metrics: Metrics) -> AsyncIterator[None]:
    async def drive() -> None:
        while True:
            _poll(metrics)
            await asyncio.sleep(0.1)

    metrics.set_started("0.1.0", time.time())
    metrics.set_model(ModelIdentity(PUMP, "1", "ab" * 32))
    tasks = [asyncio.create_task(drive()), asyncio.create_task(watch_event_loop(metrics))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.mark.timeout(240)
async def test_every_query_has_an_answer_and_no_rule_complains_of_a_healthy_service(tmp_path: Path) -> None:
    program("prometheus")
    async with face(tmp_path) as running, _driven(running.metrics):
        target = running.url.removeprefix("http://")
        async with prometheus(tmp_path, target) as server:
            await check_all(server, patience_s=60)
            missing = Query("a metric that does not exist", "sum(rate(attendant_windows_total[1m]))")
            assert await unanswered(server, [missing], patience_s=0) == [missing]
