"""Every Prometheus name of the service, in one class; the only file that imports prometheus_client.

Knows nothing of how the numbers come about. Labels take their values from closed enumerations, from the
configuration (device types, notifiers) or from the assignment (partitions). A device id is a label in one
place only: `attendant_device_anomaly_ratio`, bounded to the `top` most anomalous devices alarming now.

Units are in the names: seconds, ratio, timestamps in seconds since the epoch. An age is
`time() - timestamp` in PromQL.
"""

import asyncio
import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from models.scoring import ModelIdentity
from monitor.alerts import EventType, Status
from monitor.findings import Reason, Severity
from monitor.fleet import DeviceStatus
from monitor.notifiers.base import Outcome
from streams.kafka import LossCause
from streams.records import RejectReason
from streams.transport import TopicPartition
from streams.windows import SampleOutcome

SCORE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
LATENCY_BUCKETS = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    900.0,
    3600.0,
)
LOOP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
WRITE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class WindowSkip(StrEnum):
    """Why a due window was not scored."""

    NO_MODEL = "no_model"
    FEW_READINGS = "few_readings"
    SCORER_FAILED = "scorer_failed"


class CheckpointOutcome(StrEnum):
    """How writing a checkpoint (alerts, jobs, state and offsets in one transaction) ended."""

    SAVED = "saved"
    STALE_EPOCH = "stale_epoch"
    FAILED = "failed"


class TopAnomalies(Collector):
    """`attendant_device_anomaly_ratio`: the `top` most anomalous of the devices that are alarming now."""

    def __init__(self, top: int) -> None:
        if top < 1:
            raise ValueError(f"top must be at least 1, not {top}")
        self.top = top
        self._ratios: dict[str, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._ratios)

    def set(self, device: str, device_type: str, ratio: float) -> None:
        """`device` is alarming with `ratio` times the threshold."""
        self._ratios[device] = (device_type, ratio)

    def clear(self, devices: Iterable[str]) -> None:
        """These devices are not alarming, or not ours any more."""
        for device in devices:
            self._ratios.pop(device, None)

    def _empty(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "attendant_device_anomaly_ratio",
            f"Anomaly over threshold (1 = threshold) of the {self.top} most anomalous devices alarming now.",
            labels=("device", "type"),
        )

    def describe(self) -> Iterable[Metric]:
        return [self._empty()]

    def collect(self) -> Iterator[Metric]:
        family = self._empty()
        # dict() first: a scrape can run in another thread than the pipeline.
        rows = ((ratio, device, kind) for device, (kind, ratio) in dict(self._ratios).items())
        for ratio, device, kind in heapq.nlargest(self.top, rows):
            family.add_metric((device, kind), ratio)
        yield family


class Metrics:
    """The service's metrics, registered in `registry`.

    Args:
        registry: where they are registered; one registry holds one `Metrics`.
        device_types: the configured types; their series exist from the start, at 0.
        notifiers: the configured targets of deliveries; their series exist from the start, at 0.
        top: how many alarming devices are shown by id.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        device_types: Collection[str] = (),
        notifiers: Collection[str] = (),
        top: int = 20,
    ) -> None:
        self.registry = registry
        self._intake()
        self._scoring()
        self._alerting()
        self._delivery()
        self._service()
        self.device_anomaly = TopAnomalies(top)
        registry.register(self.device_anomaly)
        self._show_closed_labels()
        self.expect_types(device_types)
        self.expect_notifiers(notifiers)

    @classmethod
    def of_process(
        cls, *, device_types: Collection[str] = (), notifiers: Collection[str] = (), top: int = 20
    ) -> "Metrics":
        """With a registry of its own that also shows the process: memory, CPU, files, Python's collector."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        return cls(registry, device_types=device_types, notifiers=notifiers, top=top)

    # The names ---------------------------------------------------------------------------------------------

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"attendant_{name}", help_text, labels, registry=self.registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"attendant_{name}", help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"attendant_{name}", help_text, labels, buckets=buckets, registry=self.registry)

    def _intake(self) -> None:
        self.messages = self._counter("messages", "Messages read from the broker.", "topic")
        self.rejected = self._counter(
            "rejected", "Messages rejected, by the reason given to their sender.", "reason"
        )
        self.data_losses = self._counter(
            "data_losses", "Jumps over messages that nobody will ever read.", "cause"
        )
        self.samples = self._counter(
            "samples", "Samples by what became of them in their device's window.", "outcome"
        )
        self.consumer_lag_messages = self._gauge(
            "consumer_lag_messages",
            "Messages between our position and the end of a partition.",
            "topic",
            "partition",
        )
        self.partition_progress_timestamp_seconds = self._gauge(
            "partition_progress_timestamp_seconds",
            "When a partition last moved on, or was last seen with nothing left to read.",
            "topic",
            "partition",
        )

    def _scoring(self) -> None:
        self.windows_scored = self._counter("windows_scored", "Windows scored by the model.", "type")
        self.windows_skipped = self._counter("windows_skipped", "Due windows that were not scored.", "reason")
        self.decisions = self._counter(
            "decisions", "Decisions on scored windows and silent devices.", "reason"
        )
        self.score_seconds = self._histogram("score_seconds", "One model call.", SCORE_BUCKETS, "type")
        self.batch_windows = self._histogram("batch_windows", "Windows in one model call.", BATCH_BUCKETS)
        self.devices = self._gauge("devices", "Devices by state.", "type", "state")
        self.devices_at_bias_bound = self._gauge(
            "devices_at_bias_bound",
            "Devices with a channel that differs from their type by as much as adaptation allows, or more.",
            "type",
        )
        self.model_info = self._gauge("model_info", "Models in use; always 1.", "type", "version", "digest")

    def _alerting(self) -> None:
        self.alerts = self._gauge("alerts", "Alerts held now.", "severity", "status")
        self.alert_events = self._counter("alert_events", "Events of alerts.", "event", "severity")
        self.event_to_alert_seconds = self._histogram(
            "event_to_alert_seconds",
            "From the end of the window (device clock) that opened an alert to its commit in the outbox.",
            LATENCY_BUCKETS,
        )
        self.checkpoints = self._counter(
            "checkpoints", "Transactions of alerts, state and offsets.", "outcome"
        )
        self.checkpoint_seconds = self._histogram(
            "checkpoint_seconds", "One such transaction.", WRITE_BUCKETS
        )

    def _delivery(self) -> None:
        self.deliveries = self._counter(
            "deliveries", "Attempts to deliver, by how they ended.", "notifier", "outcome"
        )
        self.delivery_seconds = self._histogram("delivery_seconds", "One attempt.", WRITE_BUCKETS, "notifier")
        self.delivery_delay_seconds = self._histogram(
            "delivery_delay_seconds",
            "From a job's commit in the outbox to its delivery.",
            LATENCY_BUCKETS,
            "notifier",
        )
        self.undelivered = self._gauge("undelivered", "Deliveries waiting in the outbox.", "notifier")
        self.parked = self._gauge(
            "parked", "Deliveries refused for good or given up; they wait for a person.", "notifier"
        )
        self.oldest_undelivered_timestamp_seconds = self._gauge(
            "oldest_undelivered_timestamp_seconds",
            "When the oldest waiting delivery was committed; 0 if none waits.",
        )

    def _service(self) -> None:
        self.event_loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds",
            "How much later than asked the event loop wakes a sleeper.",
            LOOP_BUCKETS,
        )
        self.build_info = self._gauge("build_info", "The running version; always 1.", "version")
        self.start_timestamp_seconds = self._gauge("start_timestamp_seconds", "When the service started.")
        self.ready = self._gauge("ready", "1 where a readiness check passes, 0 where it fails.", "check")
        self.http_requests = self._counter(
            "http_requests", "HTTP requests by route template.", "route", "method", "code"
        )
        self.http_request_seconds = self._histogram(
            "http_request_seconds", "One HTTP request.", HTTP_BUCKETS, "route"
        )

    # Series that exist before anything happened ------------------------------------------------------------

    def _show_closed_labels(self) -> None:
        closed: tuple[tuple[Counter | Gauge, type[StrEnum]], ...] = (
            (self.rejected, RejectReason),
            (self.samples, SampleOutcome),
            (self.data_losses, LossCause),
            (self.windows_skipped, WindowSkip),
            (self.decisions, Reason),
            (self.checkpoints, CheckpointOutcome),
        )
        for metric, values in closed:
            for value in values:
                metric.labels(value)
        for severity in Severity:
            for status in Status:
                self.alerts.labels(severity, status)
            for event in EventType:
                self.alert_events.labels(_short(event), severity)

    def expect_types(self, device_types: Iterable[str]) -> None:
        """Show the series of these device types, at 0 until something happens."""
        for kind in device_types:
            self.windows_scored.labels(kind)
            self.score_seconds.labels(kind)
            self.devices_at_bias_bound.labels(kind)
            for state in DeviceStatus:
                self.devices.labels(kind, state)

    def expect_notifiers(self, notifiers: Iterable[str]) -> None:
        """Show the series of these targets, at 0 until something happens."""
        for notifier in notifiers:
            self.delivery_seconds.labels(notifier)
            self.delivery_delay_seconds.labels(notifier)
            self.undelivered.labels(notifier)
            self.parked.labels(notifier)
            for outcome in Outcome:
                self.deliveries.labels(notifier, outcome)

    def expect_topics(self, topics: Iterable[str]) -> None:
        """Show the series of these topics, at 0 until something happens."""
        for topic in topics:
            self.messages.labels(topic)

    # What the pipeline calls, once a poll or rarer ---------------------------------------------------------

    def count_messages(self, topic: str, n: int) -> None:
        """`n` messages were read."""
        self.messages.labels(topic).inc(n)

    def count_rejected(self, reasons: Mapping[str, int]) -> None:
        """Rejections by `RejectReason`."""
        _add(self.rejected, reasons)

    def count_data_loss(self, cause: str) -> None:
        """Messages were jumped over, by `LossCause`."""
        self.data_losses.labels(cause).inc()

    def count_samples(self, outcomes: Mapping[str, int]) -> None:
        """Samples by `SampleOutcome`."""
        _add(self.samples, outcomes)

    def count_skipped(self, reason: WindowSkip, n: int) -> None:
        """`n` due windows were not scored."""
        self.windows_skipped.labels(reason).inc(n)

    def count_decisions(self, reasons: Mapping[str, int]) -> None:
        """Decisions by `Reason`."""
        _add(self.decisions, reasons)

    def record_score(self, device_type: str, windows: int, seconds: float) -> None:
        """One model call over `windows` windows."""
        self.windows_scored.labels(device_type).inc(windows)
        self.score_seconds.labels(device_type).observe(seconds)
        self.batch_windows.observe(windows)

    def set_lag(self, lag: Mapping[TopicPartition, int]) -> None:
        """Messages left to read in each assigned partition."""
        for (topic, partition), messages in lag.items():
            self.consumer_lag_messages.labels(topic, partition).set(messages)

    def set_progress(self, partitions: Iterable[TopicPartition], now_s: float) -> None:
        """These partitions moved on at `now_s`, or have nothing left to read."""
        for topic, partition in partitions:
            self.partition_progress_timestamp_seconds.labels(topic, partition).set(now_s)

    def forget_partitions(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions are another worker's now; their series end here."""
        for topic, partition in partitions:
            self.consumer_lag_messages.remove_by_labels({"topic": topic, "partition": str(partition)})
            self.partition_progress_timestamp_seconds.remove_by_labels(
                {"topic": topic, "partition": str(partition)}
            )

    def set_devices(self, device_type: str, states: Mapping[DeviceStatus, int]) -> None:
        """Devices of one type by state; a state left out has none."""
        for state in DeviceStatus:
            self.devices.labels(device_type, state).set(states.get(state, 0))

    def set_at_bias_bound(self, device_type: str, n: int) -> None:
        """So many devices of a type differ from it by as much as adaptation allows, or more."""
        self.devices_at_bias_bound.labels(device_type).set(n)

    def set_model(self, model: ModelIdentity) -> None:
        """`model` scores its device type from now on; the one before it is taken out."""
        self.model_info.remove_by_labels({"type": model.name})
        self.model_info.labels(model.name, model.version, model.digest).set(1)

    def record_checkpoint(self, outcome: CheckpointOutcome, seconds: float) -> None:
        """One transaction of the outbox ended."""
        self.checkpoints.labels(outcome).inc()
        self.checkpoint_seconds.observe(seconds)

    # What the alert book and the dispatcher call -----------------------------------------------------------

    def record_alert_event(self, event: str, severity: str) -> None:
        """An alert opened, changed, was acknowledged or was resolved; `event` is an `EventType`."""
        self.alert_events.labels(_short(event), severity).inc()

    def record_event_to_alert(self, seconds: float) -> None:
        """An alert was committed `seconds` after its window ended; a device clock ahead counts as 0."""
        self.event_to_alert_seconds.observe(max(0.0, seconds))

    def set_alerts(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Alerts held now by (severity, status); what is left out falls to 0."""
        _zero(self.alerts)
        for (severity, status), n in counts.items():
            self.alerts.labels(severity, status).set(n)

    def set_anomaly(self, device: str, device_type: str, ratio: float) -> None:
        """`device` is alarming with `ratio` times the threshold."""
        self.device_anomaly.set(device, device_type, ratio)

    def clear_anomalies(self, devices: Iterable[str]) -> None:
        """These devices are not alarming, or not ours any more."""
        self.device_anomaly.clear(devices)

    def record_delivery(
        self, notifier: str, outcome: str, seconds: float, delay_seconds: float | None = None
    ) -> None:
        """One attempt ended after `seconds`; if it delivered, `delay_seconds` after the job's commit."""
        self.deliveries.labels(notifier, outcome).inc()
        self.delivery_seconds.labels(notifier).observe(seconds)
        if delay_seconds is not None:
            self.delivery_delay_seconds.labels(notifier).observe(max(0.0, delay_seconds))

    def set_backlog(
        self, waiting: Mapping[str, int], oldest_s: float | None, parked: Mapping[str, int] | None = None
    ) -> None:
        """What each notifier has not received.

        Args:
            waiting: deliveries that are still tried.
            oldest_s: when the oldest of them was committed, seconds since the epoch.
            parked: deliveries refused for good or given up, which wait for a person.
        """
        for gauge, counts in ((self.undelivered, waiting), (self.parked, parked or {})):
            _zero(gauge)
            for notifier, n in counts.items():
                gauge.labels(notifier).set(n)
        self.oldest_undelivered_timestamp_seconds.set(oldest_s or 0.0)

    # What the service itself calls -------------------------------------------------------------------------

    def set_started(self, version: str, now_s: float) -> None:
        """The service of this version started at `now_s`."""
        self.build_info.labels(version).set(1)
        self.start_timestamp_seconds.set(now_s)

    def set_ready(self, checks: Mapping[str, bool]) -> None:
        """How the readiness checks stand."""
        for check, passes in checks.items():
            self.ready.labels(check).set(passes)

    def record_loop_lag(self, seconds: float) -> None:
        """The event loop woke a sleeper this much too late."""
        self.event_loop_lag_seconds.observe(max(0.0, seconds))

    def record_request(self, route: str, method: str, code: int, seconds: float) -> None:
        """One HTTP request; `route` is the template (`/api/v1/alerts/{alert_id}`), never the path."""
        self.http_requests.labels(route, method, code).inc()
        self.http_request_seconds.labels(route).observe(seconds)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics where `accept` asks for it, else text."""
        encode, content_type = choose_encoder(accept)
        return encode(_WithoutCreated(self.registry)), content_type


class Increase:
    """Turns counts that only grow, as parts of the pipeline keep them, into what was added since."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def __call__(self, totals: Mapping[str, int]) -> dict[str, int]:
        """What each key gained; a total that fell was restarted and counts from 0."""
        gained = {}
        for key, total in totals.items():
            before = self._last.get(key, 0)
            gained[key] = total - before if total >= before else total
        self._last = dict(totals)
        return gained


async def watch_event_loop(metrics: Metrics, period_s: float = 0.1) -> None:
    """Measure how late the event loop wakes us, for as long as the service runs."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + period_s
        await asyncio.sleep(period_s)
        metrics.record_loop_lag(loop.time() - due)


def _add(counter: Counter, counts: Mapping[str, int]) -> None:
    for value, n in counts.items():
        if n:
            counter.labels(value).inc(n)


def _short(event: str) -> str:
    """`device.alert.opened` is `opened`."""
    return event.rpartition(".")[2]


class _WithoutCreated:
    """The registry without `_created`: a third more series, and nobody asks for when a counter was made."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


def _zero(gauge: Gauge) -> None:
    for family in gauge.collect():
        for sample in family.samples:
            gauge.labels(**sample.labels).set(0)
