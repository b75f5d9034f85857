"""What the parts of the service say, each in a method of its own: counted under the names of `names.py`.

Knows nothing of how the numbers come about.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from models.scoring import ModelIdentity
from monitor.fleet import DeviceStatus
from monitor.metrics.names import CheckpointOutcome, Names, WindowSkip, short
from streams.transport import TopicPartition


class Metrics(Names):
    """The service's metrics, as its parts fill them."""

    @classmethod
    def of_process(
        cls, *, device_types: Collection[str] = (), notifiers: Collection[str] = (), topics: Collection[str] = (),
        top: int = 20,
    ) -> "Metrics":  # fmt: skip
        """With a registry of its own that also shows the process: memory, CPU, files, Python's collector."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        return cls(registry, device_types=device_types, notifiers=notifiers, topics=topics, top=top)

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

    def set_own_baselines(self, device_type: str, n: int) -> None:
        """So many devices of a type are judged by what is usual for themselves, too."""
        self.devices_with_own_baseline.labels(device_type).set(n)

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
        self.alert_events.labels(short(event), severity).inc()

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


def _add(counter: Counter, counts: Mapping[str, int]) -> None:
    for value, n in counts.items():
        if n:
            counter.labels(value).inc(n)


def _zero(gauge: Gauge) -> None:
    for family in gauge.collect():
        for sample in family.samples:
            gauge.labels(**sample.labels).set(0)


class _WithoutCreated:
    """The registry without `_created`: a third more series, and nobody asks for when a counter was made."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
