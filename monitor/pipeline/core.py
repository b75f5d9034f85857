"""The road itself: every turn reads what has arrived, scores the windows that came due, and enters what was found.

Holds the lanes: the broker tells it which partitions come and go, the web asks it how the devices stand. How findings
become durable, how rejects leave and what the metrics show is left to the files beside.
"""

import asyncio
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import structlog

from models.scoring import Score
from monitor.alerts import AlertEvent, EventType
from monitor.clock import StreamClock
from monitor.findings import check_together
from monitor.fleet import DeviceState
from monitor.fleetview import device_states
from monitor.inference import Inference
from monitor.lanes import Lane, LaneRecipe, LaneStateError
from monitor.metrics import Metrics, WindowSkip
from monitor.outbox import Outbox, OutboxUnavailableError, StaleEpochError
from monitor.pipeline.gauges import Gauges
from monitor.pipeline.pictures import Pictures, View
from monitor.pipeline.rejects import Rejects
from monitor.pipeline.saving import Saver
from streams.blocks import WindowBatch
from streams.records import Decoder
from streams.transport import Message, Sink, Source, TopicPartition

ASK_EVERY_S = 5.0
"""Maintenance that another process recorded is looked for so often."""
TEND_EVERY_S = 1.0
"""Silence is looked for, and gauges are set, so often."""


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """What the pipeline itself needs to know."""

    rejected_topic: str
    checkpoint_interval_s: float


@dataclass
class Observers:
    """Who is told what, besides the database. Called on the event loop; must be quick."""

    recorded: Callable[[], None] = lambda: None
    """Alerts became durable: there may be something to deliver."""
    scored: Callable[[WindowBatch, Score], None] = lambda _batch, _score: None


@dataclass
class Pipeline:
    """Reads, scores, judges and records. Listens to the assignment and shows the fleet."""

    source: Source
    sink: Sink
    decoder: Decoder
    inference: Inference
    outbox: Outbox
    metrics: Metrics
    recipe: LaneRecipe
    clock: StreamClock
    settings: PipelineSettings
    observers: Observers = field(default_factory=Observers)

    def __post_init__(self) -> None:
        self._log = structlog.get_logger(component="pipeline")
        self._lanes: dict[TopicPartition, Lane] = {}
        self._pictures = Pictures(self.inference)
        self._rejects = Rejects(self.sink, self.settings.rejected_topic, self.metrics)
        self._gauges = Gauges(self.metrics, self.recipe.profiles)
        self._saver = Saver(
            self.outbox, self.metrics, self._pictures, interval_s=self.settings.checkpoint_interval_s
        )
        # A rebalance must not take a lane away in the middle of a turn.
        self._turning = asyncio.Lock()
        self._tended_at = time.monotonic()
        self._asked_at = -math.inf
        self.assigned_once = False
        """The group has told us at least once which partitions are ours (it may be none)."""
        self.turned_at = time.monotonic()
        """When the loop last came round."""

    # -- the loop ----------------------------------------------------------------------------------

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then save and leave.

        Raises:
            TransportError: the broker is gone for good, or restoring failed.
        """
        await self.source.start(self)
        try:
            while not stopping.is_set():
                await self._turn(await self.source.poll())
            async with self._turning:
                await self._save(self._lanes)
        finally:
            await self.source.stop()

    async def _turn(self, messages: Sequence[Message]) -> None:
        self.turned_at = time.monotonic()
        async with self._turning:
            await self._ask_for_maintenance()
            if messages:
                await self._take(messages)
            tending = time.monotonic() - self._tended_at >= TEND_EVERY_S
            if tending:
                self._tended_at = time.monotonic()
                self._hear_silence()
            offsets = await self._save_if_due()
            if tending:
                self._gauges.show(self._lanes)
        # Outside the lock: a commit can wait for a rebalance, which waits for the lock.
        if offsets:
            await self.source.commit(offsets)
        if tending:
            self._gauges.show_lag(await self.source.lag(), self._saver.read())

    async def _take(self, messages: Sequence[Message]) -> None:
        now_ms = self.clock.now_ms()
        decoded = self.decoder.decode(messages)
        due: list[tuple[TopicPartition, WindowBatch]] = []
        for (partition, _), block in decoded.blocks.items():
            lane = self._lanes.get(partition)
            if lane is not None:
                due += [(partition, batch) for batch in lane.push(block, now_ms)]
        await self._rejects.take(decoded.rejections)
        views: list[View] = []
        for turn in self._turns(self._with_model(due)):
            views += await self._judge(turn)
        await self._pictures.take(views)
        self._saver.advance(messages)
        for topic, n in Counter(message[0] for message in messages).items():
            self.metrics.count_messages(topic, n)

    def _turns(
        self, due: Sequence[tuple[TopicPartition, WindowBatch]]
    ) -> Iterator[list[tuple[TopicPartition, WindowBatch]]]:
        """Windows that may be scored together, of all lanes; as a rule all at once."""
        batches: dict[TopicPartition, list[WindowBatch]] = defaultdict(list)
        for partition, batch in due:
            batches[partition].append(batch)
        turns = {partition: self._lanes[partition].turns(found) for partition, found in batches.items()}
        for together in zip_longest(*turns.values(), fillvalue=()):
            yield [(p, batch) for p, part in zip(turns, together, strict=True) for batch in part]

    async def _judge(self, turn: Sequence[tuple[TopicPartition, WindowBatch]]) -> list[View]:
        """Score and judge; answer the windows that are worth a picture."""
        ready, views = [], []
        for partition, batch in turn:
            due, events = self._lanes[partition].begin(batch)
            self._saver.tell(partition, events)
            ready.append(due)
        answers = await self.inference.score(ready)
        for (partition, _), due, answer in zip(turn, ready, answers, strict=True):
            if answer is None:
                continue
            lane = self._lanes[partition]
            self._saver.tell(partition, lane.judge(due.batch, answer))
            kind = due.batch.profile.type
            views += [View(partition, key, due, sight) for key, sight in lane.sights(kind)]
            self.observers.scored(due.batch, answer.score)
        return views

    def _with_model(
        self, due: list[tuple[TopicPartition, WindowBatch]]
    ) -> list[tuple[TopicPartition, WindowBatch]]:
        known = [entry for entry in due if self.inference.knows(entry[1].profile.type)]
        skipped = sum(len(batch) for _, batch in due) - sum(len(batch) for _, batch in known)
        if skipped:
            self.metrics.count_skipped(WindowSkip.NO_MODEL, skipped)
        return known

    def _hear_silence(self) -> None:
        """Silence is found by the clock, so also when nothing else arrives."""
        if not self._lanes:
            return
        partitions, now_ms = list(self._lanes), self.clock.now_ms()
        found = check_together([self._lanes[p].silence for p in partitions], now_ms)
        for partition, findings in zip(partitions, found, strict=True):
            self._saver.tell(partition, self._lanes[partition].hear(findings))
            self._saver.tell(partition, self._lanes[partition].serve_unjudged(now_ms))

    # -- maintenance -------------------------------------------------------------------------------

    def look(self) -> None:
        """There is new maintenance in the database."""
        self._asked_at = -math.inf

    async def _ask_for_maintenance(self) -> None:
        """Before telemetry is taken, so that a replay knows what was known when it was first read."""
        if not self._lanes or time.monotonic() - self._asked_at < ASK_EVERY_S:
            return
        self._asked_at = time.monotonic()
        try:
            entries = await self.outbox.pending_maintenance()
        except OutboxUnavailableError as error:
            self._log.warning("maintenance cannot be asked for", reason=error.reason)
            return
        for lane in self._lanes.values():
            lane.service(entries)

    # -- the durable door --------------------------------------------------------------------------

    async def _save_if_due(self) -> Mapping[TopicPartition, int]:
        due = self._saver.due(self._lanes)
        return {} if due is None else await self._save(due)

    async def _save(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Make durable all that is untold and the memory of `partitions`; answer the offsets to commit."""
        await self._rejects.settled()
        try:
            saved = await self._saver.save(self._lanes, partitions)
        except StaleEpochError as error:
            self._log.warning("partition taken over by another worker", reason=str(error))
            self._drop(error.partitions)
            return {}
        self._announce(saved.events)
        return saved.offsets

    def _announce(self, events: Sequence[AlertEvent]) -> None:
        """Count and log what is new; a replay records nothing new and is not announced again."""
        now_ms = self.clock.now_ms()
        for event in events:
            alert = event.alert
            self.metrics.record_alert_event(event.type, alert.severity)
            if event.type is EventType.OPENED:
                self.metrics.record_event_to_alert((now_ms - event.at_ms) / 1000)
            self._log.info(event.type, alert=str(alert.id), device=alert.device.id, summary=alert.summary)
        if events:
            self.observers.recorded()

    # -- the assignment ----------------------------------------------------------------------------

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """Restore lanes and fence off whoever had them before; answer where to read on."""
        async with self._turning:
            restored = await self.outbox.acquire(partitions)
            for partition, past in restored.items():
                lane = self._lane(partition, past.epoch, past.state)
                lane.silence.resume(self.clock.now_ms())
                self._lanes[partition] = lane
                self._gauges.begin(partition, lane)
                self._saver.begin(partition, past.next_offset)
            self.look()
            self.assigned_once = True
            self._log.info("partitions assigned", partitions=[p.partition for p in partitions])
        return {partition: past.next_offset for partition, past in restored.items()}

    def _lane(self, partition: TopicPartition, epoch: int, saved: bytes | None) -> Lane:
        try:
            return Lane(self.recipe, epoch, saved)
        except LaneStateError as error:
            # Windows fill again within minutes; refusing to start would lose more.
            self._log.error(
                "memory of a partition cannot be read; it begins anew", partition=partition, reason=str(error)
            )
            return Lane(self.recipe, epoch)

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Save and forget."""
        async with self._turning:
            mine = [partition for partition in partitions if partition in self._lanes]
            await self._save(mine)
            self._drop(mine)

    def _drop(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            lane = self._lanes.pop(partition, None)
            if lane is None:
                continue
            self._gauges.forget(partition, lane)
            self._saver.forget(partition)

    # -- how it stands -----------------------------------------------------------------------------

    @property
    def database_error(self) -> str | None:
        """Why nothing can be written now; None while all is well."""
        return self._saver.database_error

    def devices(self) -> list[DeviceState]:
        """Every device of the partitions that this worker has."""
        return [device for lane in self._lanes.values() for device in device_states(lane)]

    def device(self, device: str) -> DeviceState | None:
        return next((state for state in self.devices() if state.device == device), None)

    def now_ms(self) -> int:
        """The stream's time."""
        return self.clock.now_ms()

    @property
    def partitions(self) -> tuple[TopicPartition, ...]:
        """What this worker reads now."""
        return tuple(self._lanes)

    @property
    def bytes_per_device(self) -> float:
        """Memory of the windows and of the scorers, over the devices that have one."""
        lanes = [(lane.bytes_per_device, len(lane.device_types())) for lane in self._lanes.values()]
        return sum(size * n for size, n in lanes) / max(sum(n for _, n in lanes), 1)
