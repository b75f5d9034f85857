"""Every Prometheus name of the service, in one class, with what can be seen before anything has happened.

Labels take their values from closed enumerations, from the configuration (device types, notifiers) or from the
assignment (partitions). A device id is a label in one place only: `attendant_device_anomaly_ratio`, bounded to the
`top` most anomalous devices alarming now.

Units are in the names: seconds, ratio, timestamps in seconds since the epoch. An age is `time() - timestamp` in PromQL.
"""

from collections.abc import Collection, Iterable
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor.alerts import EventType, Status
from monitor.findings import Reason, Severity
from monitor.fleet import DeviceStatus
from monitor.metrics.anomalies import TopAnomalies
from monitor.notifiers.base import Outcome
from streams.kafka import LossCause
from streams.records import RejectReason
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
    SCORER_FAILED = "scorer_failed"
    """The model raised an error."""


class CheckpointOutcome(StrEnum):
    """How writing a checkpoint (alerts, jobs, state and offsets in one transaction) ended."""

    SAVED = "saved"
    STALE_EPOCH = "stale_epoch"
    FAILED = "failed"


class Names:
    """The service's metrics, registered in `registry`.

    Args:
        registry: where they are registered; one registry holds them once.
        device_types: the configured types; their series exist from the start, at 0.
        notifiers: the configured targets of deliveries; their series exist from the start, at 0.
        topics: the topics that are read; likewise, so that a rate over them is 0 and not missing.
        top: how many alarming devices are shown by id.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        device_types: Collection[str] = (),
        notifiers: Collection[str] = (),
        topics: Collection[str] = (),
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
        self.expect_topics(topics)

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
        self.devices_with_own_baseline = self._gauge(
            "devices_with_own_baseline",
            "Devices that are judged by what is usual for themselves, too; the others by their type alone.",
            "type",
        )
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
                self.alert_events.labels(short(event), severity)

    def expect_types(self, device_types: Iterable[str]) -> None:
        """Show the series of these device types, at 0 until something happens."""
        for kind in device_types:
            self.windows_scored.labels(kind)
            self.score_seconds.labels(kind)
            self.devices_with_own_baseline.labels(kind)
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


def short(event: str) -> str:
    """`device.alert.opened` is `opened`."""
    return event.rpartition(".")[2]
