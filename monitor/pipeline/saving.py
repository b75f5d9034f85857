"""What was found, and how far was read, until the database has both. Reads, scores and judges nothing.

Alerts, the memory of the partitions and the next offsets become durable in one transaction; only then may the offsets
be committed to the broker. After a crash the same telemetry is read again from the last transaction and makes the same
alerts with the same ids.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from monitor.alerts import AlertEvent
from monitor.lanes import Lane
from monitor.metrics import CheckpointOutcome, Metrics
from monitor.outbox import Checkpoint, Outbox, OutboxUnavailableError, Recorded, StaleEpochError, Work
from monitor.pipeline.pictures import Pictures
from monitor.pipeline.retrying import wait_after
from streams.transport import Message, TopicPartition

LIGHT_STATE_BYTES = 1 << 20
"""Up to this size the memory of a partition is written along with every alert; above, at the interval alone. A replay
from an older offset makes the same alerts again, with the same ids, so this is a matter of cost only."""

Lanes = Mapping[TopicPartition, Lane]


@dataclass(slots=True)
class Progress:
    """How far a lane has read, and how far that is durable."""

    read: int | None = None
    """Next offset."""
    saved: int | None = None
    state_bytes: int = 0


class Saved(NamedTuple):
    """What became durable."""

    offsets: Mapping[TopicPartition, int]
    """May be committed now."""
    events: Sequence[AlertEvent]
    """Those that the database did not have; a replay has none."""


NOTHING = Saved({}, ())


class Saver:
    """Keeps for each lane what is not durable yet, and decides when and what to write."""

    def __init__(self, outbox: Outbox, metrics: Metrics, pictures: Pictures, *, interval_s: float) -> None:
        """`interval_s`: so often the memory of every lane is written, whatever its size."""
        self._outbox = outbox
        self._metrics = metrics
        self._pictures = pictures
        self._interval_s = interval_s
        self._log = structlog.get_logger(component="pipeline")
        self._progress: dict[TopicPartition, Progress] = {}
        self._untold: dict[TopicPartition, list[AlertEvent]] = defaultdict(list)
        self._saved_at = time.monotonic()
        self.database_error: str | None = None
        """Why nothing can be written now; None while all is well."""

    def begin(self, partition: TopicPartition, next_offset: int | None) -> None:
        """A lane begins, or goes on from what is durable."""
        self._progress[partition] = Progress(read=next_offset, saved=next_offset)

    def forget(self, partition: TopicPartition) -> None:
        """What is not written of this partition is left to whoever has it next."""
        self._progress.pop(partition, None)
        self._untold.pop(partition, None)
        self._pictures.forget([partition])

    def tell(self, partition: TopicPartition, events: Sequence[AlertEvent]) -> None:
        """These events have to be told, so they have to be written."""
        if events:
            self._untold[partition] += events

    def advance(self, messages: Sequence[Message]) -> None:
        """All that follows from these messages is in the lanes and has been told here."""
        read: dict[tuple[str, int], int] = {}
        for message in messages:
            read[message[0], message[1]] = message[2]
        for key, offset in read.items():
            progress = self._progress.get(TopicPartition(*key))
            if progress is not None:
                progress.read = offset + 1

    def read(self) -> dict[TopicPartition, int | None]:
        """Next offset of each lane."""
        return {partition: progress.read for partition, progress in self._progress.items()}

    def due(self, lanes: Lanes) -> Collection[TopicPartition] | None:
        """The lanes whose memory has to be written now, perhaps none with events that have to be; None: no need."""
        if time.monotonic() - self._saved_at >= self._interval_s:
            return lanes
        told = {partition for partition, events in self._untold.items() if events}
        # Maintenance and its effect become durable together: it is applied once, whoever has the lane next.
        applied = {partition for partition, lane in lanes.items() if lane.applied}
        if not told and not applied:
            return None
        light = {p for p in told if self._progress[p].state_bytes <= LIGHT_STATE_BYTES}
        return sorted(light | applied)

    async def save(self, lanes: Lanes, partitions: Iterable[TopicPartition]) -> Saved:
        """Write all untold events and the memory of `partitions` in one transaction, however long that takes.

        Raises:
            StaleEpochError: another worker has taken over some of `lanes`; nothing was written.
        """
        checkpoints = self._checkpoints(lanes, partitions)
        events = {p: tuple(events) for p, events in self._untold.items() if events and p in lanes}
        self._saved_at = time.monotonic()
        if not checkpoints and not events:
            return NOTHING
        touched = {*checkpoints, *events}
        work = Work(
            epochs={p: lanes[p].epoch for p in touched},
            events=tuple(event for told in events.values() for event in told),
            explanations=self._pictures.waiting(touched),
            checkpoints=checkpoints,
            now_ms=time.time_ns() // 1_000_000,
            applied=[one for p in checkpoints for one in lanes[p].applied],
        )
        recorded = await self._record(work)
        for partition in events:
            self._untold[partition] = []
        self._pictures.forget(touched)
        for partition, checkpoint in checkpoints.items():
            self._progress[partition].saved = checkpoint.next_offset
            self._progress[partition].state_bytes = len(checkpoint.state or b"")
            lanes[partition].applied = []
        return Saved({p: checkpoint.next_offset for p, checkpoint in checkpoints.items()}, recorded.events)

    def _checkpoints(
        self, lanes: Lanes, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, Checkpoint]:
        checkpoints = {}
        for partition in partitions:
            progress, lane = self._progress[partition], lanes[partition]
            # A silence can be found without a new message; its state has to be saved all the same.
            changed = progress.read != progress.saved or self._untold[partition] or lane.applied
            if progress.read is not None and changed:
                checkpoints[partition] = Checkpoint(next_offset=progress.read, state=lane.snapshot())
        return checkpoints

    async def _record(self, work: Work) -> Recorded:
        """Write, however long the database is away: telemetry waits in Kafka meanwhile."""
        attempt = 0
        while True:
            started = time.perf_counter()
            try:
                recorded = await self._outbox.record(work)
            except StaleEpochError:
                self._metrics.record_checkpoint(CheckpointOutcome.STALE_EPOCH, time.perf_counter() - started)
                raise
            except OutboxUnavailableError as error:
                self._metrics.record_checkpoint(CheckpointOutcome.FAILED, time.perf_counter() - started)
                if self.database_error is None:
                    self._log.error("database cannot be written; reading pauses", reason=str(error))
                self.database_error = str(error)
            else:
                self._metrics.record_checkpoint(CheckpointOutcome.SAVED, time.perf_counter() - started)
                self.database_error = None
                return recorded
            await wait_after(attempt)
            attempt += 1
