"""Composition root: the only file that names the adapters. Everything starts here, and ends in the reverse order."""

import asyncio
import importlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from models.scoring import AdaptableScorer, RememberingScorer, Scorer
from monitor import __version__
from monitor.clock import StreamClock
from monitor.dispatch import Dispatcher
from monitor.health import ServiceHealth
from monitor.inference import Inference
from monitor.lanes import LaneRecipe
from monitor.logs import configure_logging
from monitor.metrics import Metrics, watch_event_loop
from monitor.notifiers import Notifier
from monitor.notifiers.kafka_topic import KafkaTopicNotifier
from monitor.notifiers.webhook import WebhookNotifier
from monitor.outbox import Outbox, OutboxError
from monitor.pipeline import Observers, Pipeline, PipelineSettings
from monitor.settings import SHIPPED_MODELS, ModelSettings, Settings
from monitor.web import Access, ListenError, create_app, serve
from streams.devices import DeviceProfile, ProfileError, load_profiles
from streams.kafka import DataLoss, KafkaSink, KafkaSource, ensure_topics
from streams.records import Decoder
from streams.transport import TransportError

if TYPE_CHECKING:
    from models.calibration import AlarmRule

READY_TIMEOUT_S = 60.0
PRUNE_EVERY_S = 3600.0
SHOW_EVERY_S = 2.0


class StartError(Exception):
    """The service cannot start; `details` says what to mend, a line each."""

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


def run_service(settings: Settings) -> None:
    """`attendant run`: until SIGTERM or SIGINT.

    Raises:
        StartError: a part could not be started.
    """
    asyncio.run(_run_until_told(settings))


async def _run_until_told(settings: Settings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    configure_logging(settings.log.level, settings.log.format, secrets=settings.secrets())
    async with open_service(settings) as service:
        try:
            await service.run(stopping)
        except* TransportError as errors:
            raise StartError(f"Kafka: {errors.exceptions[0]}") from None
        except* ListenError as errors:
            raise StartError(str(errors.exceptions[0])) from None


@asynccontextmanager
async def open_service(
    settings: Settings, clock: StreamClock | None = None, observers: Observers | None = None
) -> "AsyncIterator[Service]":
    """Everything made and connected, nothing running yet.

    Raises:
        StartError: a profile, a model, the database or the broker.
    """
    log = structlog.get_logger(component="start")
    async with AsyncExitStack() as stack:
        profiles, scorers, rules = await asyncio.to_thread(_load, settings)
        for scorer in scorers.values():
            log.info("model loaded", type=scorer.identity.name, version=scorer.identity.version)
        metrics = Metrics.of_process(
            device_types=profiles, notifiers=_targets(settings), topics=[settings.telemetry.topic]
        )
        metrics.set_started(__version__, time.time())
        for scorer in scorers.values():
            metrics.set_model(scorer.identity)
        outbox = await _open_outbox(settings)
        stack.push_async_callback(outbox.close)
        sink = KafkaSink(settings.kafka)
        await _connect(settings, sink)
        stack.push_async_callback(sink.stop)
        inference = Inference(scorers, metrics)
        stack.callback(inference.close)
        dispatcher = Dispatcher(outbox, _notifiers(settings, sink), settings.dispatch, metrics)
        observers = observers or Observers()
        observers.recorded = dispatcher.wake
        pipeline = Pipeline(
            source=KafkaSource(settings.kafka, [settings.telemetry.topic], on_data_loss=_losses(metrics)),
            sink=sink,
            decoder=Decoder(profiles),
            inference=inference,
            outbox=outbox,
            metrics=metrics,
            recipe=lane_recipe(settings, profiles, scorers, rules),
            clock=clock or StreamClock.started_at(scale=settings.time_scale),
            settings=PipelineSettings(
                rejected_topic=settings.telemetry.rejected_topic,
                checkpoint_interval_s=settings.database.checkpoint_interval_s,
            ),
            observers=observers,
        )
        yield Service(settings, pipeline, outbox, dispatcher, metrics, scorers)


def lane_recipe(
    settings: Settings,
    profiles: Mapping[str, DeviceProfile],
    scorers: Mapping[str, Scorer],
    rules: Mapping[str, "AlarmRule"],
) -> LaneRecipe:
    """What every lane is made from: what each type's scorer can be told of a device says what is kept of it."""
    memories = {
        kind: scorer.lasting for kind, scorer in scorers.items() if isinstance(scorer, RememberingScorer)
    }
    return LaneRecipe(
        profiles=profiles,
        models={kind: scorer.identity for kind, scorer in scorers.items()},
        judges={kind: settings.judge.fitted_for(rule) for kind, rule in rules.items()},
        silence=settings.silence,
        # A scorer that remembers is told of no bias: what is usual for a device is its own to remember.
        adaptation={
            kind: settings.adaptation
            for kind, scorer in scorers.items()
            if isinstance(scorer, AdaptableScorer) and kind not in memories
        },
        memories=memories,
        links=settings.links,
        directory=settings.directory(),
    )


def _losses(metrics: Metrics) -> Callable[[DataLoss], None]:
    """Messages that nobody will ever read are counted and said aloud, never skipped in silence."""
    log = structlog.get_logger(component="kafka")

    def tell(loss: DataLoss) -> None:
        metrics.count_data_loss(loss.cause)
        log.error("telemetry was lost", partition=loss.partition.partition, cause=loss.cause.value,
                  wanted=loss.wanted, resumed=loss.resumed)  # fmt: skip

    return tell


Loaded = tuple[Mapping[str, DeviceProfile], Mapping[str, Scorer], Mapping[str, "AlarmRule"]]
"""Profiles, models, and the alarm rule that each model was fitted for; by device type."""


def _load(settings: Settings) -> Loaded:
    """All that is read from files. torch is imported here, off the event loop."""
    loaded = load_models(settings.models)
    device = importlib.import_module("models.compute").choose_device(settings.models.device)
    structlog.get_logger(component="start").info("scoring", device=str(device), types=sorted(loaded[1]))
    return loaded


def load_models(settings: ModelSettings) -> Loaded:
    """Everything in the folders of models and profiles; a later one of a type replaces an earlier, and a shipped one.

    Raises:
        StartError: a file that cannot be used, or a model that does not fit its profile.
    """
    loading = importlib.import_module("models.loading")
    try:
        profiles = load_profiles(settings.profile_folders)
    except ProfileError as error:
        raise StartError(f"device profile {error.file} cannot be used", error.problems) from None
    scorers: dict[str, Scorer] = {}
    rules: dict[str, AlarmRule] = {}
    for folder in (SHIPPED_MODELS, *settings.folders):
        for manifest in sorted(folder.glob("**/manifest.json")):
            try:
                scorer = loading.load_scorer(manifest.parent, settings.device)
                rule = loading.alarm_rule(manifest.parent)
            except (loading.ArtifactError, ValueError) as error:
                raise StartError("a trained model cannot be used", [str(error)]) from None
            _check_fit(manifest.parent, scorer, profiles)
            scorers[scorer.identity.name], rules[scorer.identity.name] = scorer, rule
    return profiles, scorers, rules


def _check_fit(folder: Path, scorer: Scorer, profiles: Mapping[str, DeviceProfile]) -> None:
    profile = profiles.get(scorer.identity.name)
    if profile is None:
        raise StartError(f"{folder}: trained for device type {scorer.identity.name}, which has no profile")
    if scorer.channels != profile.names or scorer.window_rows != profile.window_rows:
        raise StartError(
            f"{folder}: trained for other channels or another window than the profile of {profile.type} has",
            [f"profile: {', '.join(profile.names)}", f"model:   {', '.join(scorer.channels)}"],
        )


async def _open_outbox(settings: Settings) -> Outbox:
    try:
        return await Outbox.open(settings.database.url.get_secret_value(), _targets(settings))
    except OutboxError as error:
        raise StartError(f"database: {error}") from None


async def _connect(settings: Settings, sink: KafkaSink) -> None:
    telemetry = settings.telemetry
    try:
        if telemetry.create_topics:
            topics = {telemetry.topic: telemetry.partitions, telemetry.rejected_topic: 1}
            if settings.kafka_alerts is not None:
                topics[settings.kafka_alerts.topic] = 1
            await ensure_topics(settings.kafka, topics)
        await sink.start()
    except TransportError as error:
        raise StartError(f"Kafka: {error}") from None


def _targets(settings: Settings) -> tuple[str, ...]:
    kafka = [settings.kafka_alerts.name] if settings.kafka_alerts is not None else []
    return (*(webhook.name for webhook in settings.webhooks), *kafka)


def _notifiers(settings: Settings, sink: KafkaSink) -> list[Notifier]:
    notifiers: list[Notifier] = [WebhookNotifier(webhook) for webhook in settings.webhooks]
    if settings.kafka_alerts is not None:
        notifiers.append(KafkaTopicNotifier(settings.kafka_alerts, sink))
    return notifiers


@dataclass
class Service:
    """The parts of a service that is open; `run` makes them work."""

    settings: Settings
    pipeline: Pipeline
    outbox: Outbox
    dispatcher: Dispatcher
    metrics: Metrics
    scorers: Mapping[str, Scorer]
    url: str = ""
    """Where the API answers, once it does."""

    def __post_init__(self) -> None:
        self._listening = asyncio.Event()
        self.health = ServiceHealth(self.pipeline, tuple(self.scorers), time.monotonic)

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; then save, hand over and end, street 1 first."""
        web = self.settings.web
        access = Access([token.get_secret_value() for token in web.tokens], web.protect_operations)
        app = create_app(
            self.outbox,
            self.pipeline,
            self.health,
            self.metrics,
            scorers=self.scorers,
            access=access,
            woken=self._woken,
        )
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(serve(app, web.host, web.port, started=self._started), name="web"),
                tasks.create_task(self.dispatcher.run(), name="dispatch"),
                tasks.create_task(watch_event_loop(self.metrics), name="loop watch"),
                tasks.create_task(self._keep_house(), name="housekeeping"),
            ]
            await self.pipeline.run(stopping)
            for helper in helpers:
                helper.cancel()

    def _woken(self) -> None:
        """A person left something to be done: an event to deliver, or maintenance to apply."""
        self.dispatcher.wake()
        self.pipeline.look()

    def _started(self, url: str) -> None:
        self.url = url
        self._listening.set()
        structlog.get_logger(component="start").info("listening", url=url)

    async def ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until telemetry is being read and the API answers.

        Raises:
            StartError: not within `timeout_s`, with the reasons.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._listening.wait()
                while not all(check.passes for check in self.health.ready()):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            reasons = [f"{check.name}: {check.reason}" for check in self.health.ready() if not check.passes]
            raise StartError(f"not ready after {timeout_s:.0f} s", reasons) from None

    async def _keep_house(self) -> None:
        """Show the backlog, and remove what is older than the retention."""
        pruned_at = 0.0
        while True:
            try:
                await self._show_backlog()
                if time.monotonic() - pruned_at > PRUNE_EVERY_S:
                    pruned_at = time.monotonic()
                    age_ms = round(self.settings.database.retention_days * 86_400_000)
                    await self.outbox.prune(time.time_ns() // 1_000_000 - age_ms)
            except OutboxError as error:
                structlog.get_logger(component="housekeeping").warning("database", reason=str(error))
            await asyncio.sleep(SHOW_EVERY_S)

    async def _show_backlog(self) -> None:
        backlog = await self.outbox.backlog()
        oldest = [row.oldest_ms for row in backlog if row.oldest_ms is not None]
        self.metrics.set_backlog(
            {row.target: row.waiting for row in backlog},
            min(oldest) / 1000 if oldest else None,
            parked={row.target: row.parked for row in backlog},
        )
        counts = await self.outbox.counts()
        self.metrics.set_alerts({(count.severity, count.status): count.count for count in counts})
        self.metrics.set_ready({check.name: check.passes for check in self.health.ready()})

    # -- figures for the demo and the benchmark ----------------------------------------------------

    async def undelivered(self) -> int:
        """Deliveries that still wait."""
        return sum(row.waiting for row in await self.outbox.backlog())

    def figure(self, name: str, **labels: str) -> int:
        """A counter of ours, 0 where it has not counted yet."""
        return int(self.metrics.registry.get_sample_value(name, labels) or 0)

    def figures(self, name: str, label: str) -> dict[str, int]:
        """A counter of ours by one label, without those at 0."""
        samples: list[Any] = [
            s for family in self.metrics.registry.collect() for s in family.samples if s.name == name
        ]
        return {sample.labels[label]: int(sample.value) for sample in samples if sample.value}
