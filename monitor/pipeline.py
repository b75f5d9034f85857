"""Street 1: from messages to alerts that are durably written. Names no adapter.

Every turn reads what has arrived, scores the windows that came due, and enters what was found. Alerts, the memory of
the partitions and the next offsets become durable in one transaction; only then are offsets committed to the broker.
After a crash the same telemetry is read again from the last transaction and makes the same alerts with the same ids.
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
from monitor.fleet import DeviceState, DeviceStatus
from monitor.fleetview import device_states
from monitor.inference import Inference
from monitor.lanes import Lane, LaneRecipe, LaneStateError
from monitor.metrics import CheckpointOutcome, Increase, Metrics, WindowSkip
from monitor.outbox import Checkpoint, Outbox, OutboxUnavailableError, Recorded, StaleEpochError, Work
from monitor.picturing import Pictures, View
from streams.blocks import WindowBatch
from streams.records import Decoder, Rejection, rejected_message
from streams.transport import Message, Sink, Source, TopicPartition, TransportError

LIGHT_STATE_BYTES = 1 << 20
"""Up to this size the memory of a partition is written along with every alert; above, at the interval alone. A replay
from an older offset makes the same alerts again, with the same ids, so this is a matter of cost only."""
ASK_EVERY_S = 5.0
"""Maintenance that another process recorded is looked for so often."""
TEND_EVERY_S = 1.0
"""Silence is looked for, and gauges are set, so often."""
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between attempts to reach the database or the broker; the last one repeats."""


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """What the pipeline itself needs to know."""

    rejected_topic: str
    checkpoint_interval_s: float


@dataclass(slots=True)
class Progress:
    """How far a lane has read, and how far that is durable."""

    read: int | None = None
    """Next offset."""
    saved: int | None = None
    state_bytes: int = 0


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
        self._progress: dict[TopicPartition, Progress] = {}
        self._untold: dict[TopicPartition, list[AlertEvent]] = defaultdict(list)
        self._pictures = Pictures(self.inference)
        self._rejecting: asyncio.Task[None] | None = None
        # A rebalance must not take a lane away in the middle of a turn.
        self._turning = asyncio.Lock()
        self._saved_at = self._tended_at = time.monotonic()
        self._asked_at = -math.inf
        self._increases: dict[tuple[str, ...], Increase] = defaultdict(Increase)
        self._alarming: set[str] = set()
        self.database_error: str | None = None
        """Why nothing can be written now; None while all is well."""
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
                self._show()
        # Outside the lock: a commit can wait for a rebalance, which waits for the lock.
        if offsets:
            await self.source.commit(offsets)
        if tending:
            await self._show_lag()

    async def _take(self, messages: Sequence[Message]) -> None:
        now_ms = self.clock.now_ms()
        decoded = self.decoder.decode(messages)
        due: list[tuple[TopicPartition, WindowBatch]] = []
        for (partition, _), block in decoded.blocks.items():
            lane = self._lanes.get(partition)
            if lane is not None:
                due += [(partition, batch) for batch in lane.push(block, now_ms)]
        await self._reject(decoded.rejections)
        views: list[View] = []
        for turn in self._turns(self._with_model(due)):
            views += await self._judge(turn)
        await self._pictures.take(views)
        self._advance(messages)

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
            self._tell(partition, events)
            ready.append(due)
        answers = await self.inference.score(ready)
        for (partition, _), due, answer in zip(turn, ready, answers, strict=True):
            lane = self._lanes[partition]
            self._tell(partition, lane.judge(due.batch, answer))
            kind = due.batch.profile.type
            views += [View(partition, key, due.batch, sight) for key, sight in lane.sights(kind)]
            self.observers.scored(due.batch, answer.score)
        return views

    def _advance(self, messages: Sequence[Message]) -> None:
        read: dict[tuple[str, int], int] = {}
        for message in messages:
            read[message[0], message[1]] = message[2]
        for key, offset in read.items():
            progress = self._progress.get(TopicPartition(*key))
            if progress is not None:
                progress.read = offset + 1
        by_topic = Counter(message[0] for message in messages)
        for topic, n in by_topic.items():
            self.metrics.count_messages(topic, n)

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
            self._tell(partition, self._lanes[partition].hear(findings))
            self._tell(partition, self._lanes[partition].serve_unjudged(now_ms))

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

    def _tell(self, partition: TopicPartition, events: Sequence[AlertEvent]) -> None:
        if events:
            self._untold[partition] += events

    # -- rejected telemetry ------------------------------------------------------------------------

    async def _reject(self, rejections: Sequence[Rejection]) -> None:
        """Send rejects on their way; good telemetry waits for them only when they come faster than they go."""
        if not rejections:
            return
        self.metrics.count_rejected(Counter(rejection.reason for rejection in rejections))
        await self._rejected()
        messages = [rejected_message(rejection) for rejection in rejections]
        self._rejecting = asyncio.create_task(self._set_aside(messages), name="rejected telemetry")

    async def _set_aside(
        self, messages: Sequence[tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]]]
    ) -> None:
        """Send rejects, however long the broker is away: nothing is committed before they are there."""
        attempt = 0
        while True:
            try:
                return await self.sink.send_many(self.settings.rejected_topic, messages)
            except TransportError as error:
                self._log.warning("rejected telemetry cannot be set aside", reason=error.reason)
            await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
            attempt += 1

    async def _rejected(self) -> None:
        """Wait until all rejects so far are with the broker; only then may their offsets be committed."""
        if self._rejecting is not None:
            task, self._rejecting = self._rejecting, None
            await task

    # -- the durable door --------------------------------------------------------------------------

    async def _save_if_due(self) -> Mapping[TopicPartition, int]:
        if time.monotonic() - self._saved_at >= self.settings.checkpoint_interval_s:
            return await self._save(self._lanes)
        told = {partition for partition, events in self._untold.items() if events}
        # Maintenance and its effect become durable together: it is applied once, whoever has the lane next.
        applied = {partition for partition, lane in self._lanes.items() if lane.applied}
        if not told and not applied:
            return {}
        light = {p for p in told if self._progress[p].state_bytes <= LIGHT_STATE_BYTES}
        return await self._save(sorted(light | applied))

    async def _save(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Write all untold events and the memory of `partitions` in one transaction; answer the offsets to commit."""
        await self._rejected()
        checkpoints = self._checkpoints(partitions)
        events = {p: tuple(events) for p, events in self._untold.items() if events and p in self._lanes}
        self._saved_at = time.monotonic()
        if not checkpoints and not events:
            return {}
        touched = {*checkpoints, *events}
        work = Work(
            epochs={p: self._lanes[p].epoch for p in touched},
            events=tuple(event for told in events.values() for event in told),
            explanations=self._pictures.waiting(touched),
            checkpoints=checkpoints,
            now_ms=time.time_ns() // 1_000_000,
            applied=[one for p in checkpoints for one in self._lanes[p].applied],
        )
        recorded = await self._record(work)
        if recorded is None:
            return {}
        for partition in events:
            self._untold[partition] = []
        self._pictures.forget(touched)
        self._announce(recorded.events)
        for partition, checkpoint in checkpoints.items():
            self._progress[partition].saved = checkpoint.next_offset
            self._progress[partition].state_bytes = len(checkpoint.state or b"")
            self._lanes[partition].applied = []
        return {partition: checkpoint.next_offset for partition, checkpoint in checkpoints.items()}

    def _checkpoints(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Checkpoint]:
        checkpoints = {}
        for partition in partitions:
            progress, lane = self._progress[partition], self._lanes[partition]
            # A silence can be found without a new message; its state has to be saved all the same.
            changed = progress.read != progress.saved or self._untold[partition] or lane.applied
            if progress.read is not None and changed:
                checkpoints[partition] = Checkpoint(next_offset=progress.read, state=lane.snapshot())
        return checkpoints

    async def _record(self, work: Work) -> Recorded | None:
        """Write, however long the database is away: telemetry waits in Kafka meanwhile. None when fenced off."""
        attempt = 0
        while True:
            started = time.perf_counter()
            try:
                recorded = await self.outbox.record(work)
            except StaleEpochError as error:
                self.metrics.record_checkpoint(CheckpointOutcome.STALE_EPOCH, time.perf_counter() - started)
                self._log.warning("partition taken over by another worker", reason=str(error))
                self._drop(error.partitions)
                return None
            except OutboxUnavailableError as error:
                self.metrics.record_checkpoint(CheckpointOutcome.FAILED, time.perf_counter() - started)
                if self.database_error is None:
                    self._log.error("database cannot be written; reading pauses", reason=str(error))
                self.database_error = str(error)
            else:
                self.metrics.record_checkpoint(CheckpointOutcome.SAVED, time.perf_counter() - started)
                self.database_error = None
                return recorded
            await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
            attempt += 1

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
                # What was counted before the restart was counted by whoever had the lane then.
                self._counted(partition, lane)
                self._progress[partition] = Progress(read=past.next_offset, saved=past.next_offset)
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
            self.metrics.clear_anomalies(lane.device_types())
            self._progress.pop(partition, None)
            self._untold.pop(partition, None)
            self._pictures.forget([partition])
            self._increases = defaultdict(
                Increase, {key: inc for key, inc in self._increases.items() if key[1:3] != _label(partition)}
            )
            self.metrics.forget_partitions([partition])

    # -- what is shown -----------------------------------------------------------------------------

    def _show(self) -> None:
        for partition, lane in self._lanes.items():
            samples, decisions = self._counted(partition, lane)
            self.metrics.count_samples(samples)
            self.metrics.count_decisions(decisions)
        states: dict[str, Counter[DeviceStatus]] = defaultdict(Counter)
        for device in self.devices():
            states[device.type][device.state] += 1
        bound: Counter[str] = Counter()
        for lane in self._lanes.values():
            bound.update(lane.at_bound())
        for kind in self.recipe.profiles:
            self.metrics.set_devices(kind, states[kind])
            self.metrics.set_at_bias_bound(kind, bound[kind])
        self._show_anomalies()

    def _counted(self, partition: TopicPartition, lane: Lane) -> tuple[Counter[str], Counter[str]]:
        """Samples and decisions of a lane since this was last asked."""
        samples: Counter[str] = Counter()
        decisions: Counter[str] = Counter()
        for kind, outcomes in lane.sample_outcomes():
            samples.update(self._increases["samples", *_label(partition), kind](outcomes))
        for kind, reasons in lane.decisions():
            decisions.update(self._increases["decisions", *_label(partition), kind](reasons))
        return samples, decisions

    def _show_anomalies(self) -> None:
        alarming = set()
        for lane in self._lanes.values():
            for kind, standing in lane.standing():
                if standing.alarming:
                    alarming.add(standing.device)
                    self.metrics.set_anomaly(standing.device, kind, standing.anomaly)
        self.metrics.clear_anomalies(self._alarming - alarming)
        self._alarming = alarming

    async def _show_lag(self) -> None:
        lag = await self.source.lag()
        self.metrics.set_lag(lag)
        moved = [p for p, left in lag.items() if not left or self._moved(p)]
        self.metrics.set_progress(moved, time.time())

    def _moved(self, partition: TopicPartition) -> bool:
        progress = self._progress.get(partition)
        return progress is not None and any(
            self._increases["read", *_label(partition), ""]({"offset": progress.read or 0}).values()
        )

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


def _label(partition: TopicPartition) -> tuple[str, str]:
    return partition.topic, str(partition.partition)
