"""Reading from Kafka in a group: nothing is handed out before it may be, and nothing is lost silently."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, errors

from streams.kafka.client import explained, one_line, retrieved, within
from streams.kafka.config import KafkaConfig
from streams.kafka.consumer import Rebalance, is_forbidden, new_consumer, put_down, theirs
from streams.kafka.offsets import DataLoss, first_offset, known_offsets, lag_of
from streams.kafka.watch import Watch
from streams.transport import AssignmentListener, Message, TopicPartition, TransportError

_log = logging.getLogger("attendant.kafka")

_RETRY_S = 2.0
"""Between attempts to connect again."""
_ASK_S = 3.0
"""For a question that can be asked again; the loop that asks has other work."""


def _ignore(_loss: DataLoss) -> None:
    """For who reads `KafkaSource.data_losses` instead."""


class KafkaSource:
    """A member of a consumer group. Not to be polled by two tasks at once.

    Args:
        topics: to read, all with the same group.
        on_data_loss: told of every jump over messages.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        config: KafkaConfig,
        topics: Sequence[str],
        *,
        on_data_loss: Callable[[DataLoss], None] = _ignore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._topics = tuple(topics)
        self._on_data_loss = on_data_loss
        self._clock = clock
        self._listener: AssignmentListener | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._fetching: asyncio.Task[Any] | None = None
        self._held: tuple[TopicPartition, ...] = ()
        self._ready: frozenset[TopicPartition] = frozenset()
        self._unplaced: dict[TopicPartition, int | None] = {}
        self._refused: set[TopicPartition] = set()
        self._failure: TransportError | None = None
        self._watch = Watch(config.stalled_after_s, clock())
        self._joined = False
        self._broken_since: float | None = None
        self._retry_at = 0.0
        self.data_losses = 0
        """Jumps over messages so far."""
        self.rebuilds = 0
        """Times the client was stuck and built anew."""
        self.failed_commits = 0
        """Commits that Kafka did not take. Harmless: the database holds the offsets that count."""

    @property
    def assigned(self) -> frozenset[TopicPartition]:
        """Partitions that are restored and read now."""
        return self._ready

    @property
    def connected(self) -> bool:
        """False while the connection was lost and is being made again."""
        return self._consumer is not None

    async def start(self, listener: AssignmentListener) -> None:
        """Connect and begin to join the group; the first partitions come while `poll` is called.

        Raises:
            TransportError: the broker cannot be reached, refuses us, or has no such topic; in one line.
        """
        self._listener = listener
        await self._connect()

    async def poll(self) -> Sequence[Message]:
        """Messages that have arrived; empty after `poll_timeout_ms` or a little more.

        A broker that is away is waited for. Cancelling a poll loses no message.

        Raises:
            TransportError: restoring or saving partitions failed, we are refused, the client stays stuck after
                it was built anew, or the connection is lost for longer than `give_up_after_s`.
        """
        self._raise_failure()
        if self._listener is None:
            raise TransportError("the Kafka source is not started")
        if self._consumer is None:
            await self._connect_again()
            return ()
        await self._place(self._consumer)
        messages = await self._fetched(self._consumer)
        self._raise_failure()
        await self._look_after(self._consumer)
        return messages

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit next offsets of partitions that we have; those that have gone meanwhile are left out.

        A commit that fails is counted and forgotten, since a restart begins at the database's offsets; Kafka's
        are for tools that watch the lag.

        Raises:
            TransportError: we are not allowed to commit.
        """
        consumer = self._consumer
        ours = {theirs(tp): offset for tp, offset in offsets.items() if tp in self._ready}
        if consumer is None or not ours:
            return
        try:
            await within(self._config, _ASK_S, "commit", consumer.commit(ours))
        except TransportError as error:
            if is_forbidden(error.__cause__):
                raise
            self.failed_commits += 1
            _log.warning("%s", error.reason)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Messages between position and end of the partitions read now; empty while Kafka does not say."""
        if self._consumer is None:
            return {}
        try:
            return await self._lag(self._consumer)
        except TransportError as error:
            _log.warning("%s", error.reason)
            return {}

    async def stop(self) -> None:
        """Give the partitions back (the listener saves them) and leave the group.

        Raises:
            TransportError: the listener could not save them.
        """
        consumer, self._consumer = self._consumer, None
        try:
            await self._give_back()
        finally:
            if consumer is not None:
                await self._close(consumer)

    # -- joining and leaving -----------------------------------------------------------------------

    async def _connect(self) -> None:
        """Connect and ask to join; the assignment comes when the group has agreed on it."""
        config = self._config
        consumer = new_consumer(config)
        try:
            await within(config, config.connect_timeout_s, "let us in", consumer.start())
            await self._check_topics(consumer)
        except BaseException as error:
            await self._close(consumer)
            if isinstance(error, TransportError) and error.__cause__ is not None:
                raise await explained(config, error) from error
            raise
        self._consumer = consumer
        self._joined = False
        self._broken_since = None
        self._watch.restart(self._clock())
        consumer.subscribe(self._topics, listener=Rebalance(consumer, self._on_assigned, self._on_revoked))

    async def _check_topics(self, consumer: AIOKafkaConsumer) -> None:
        config = self._config
        topics = await within(config, config.request_timeout_s, "tell its topics", consumer.topics())
        unknown = [topic for topic in self._topics if topic not in topics]
        if unknown:
            raise TransportError(f"Kafka has no topic {', '.join(unknown)} (or it is hidden from us)")

    async def _connect_again(self) -> None:
        now = self._clock()
        if self._broken_since is None:
            self._broken_since = now
        if now < self._retry_at:
            await asyncio.sleep(min(self._retry_at - now, self._config.poll_timeout_ms / 1000))
            return
        try:
            await self._connect()
        except TransportError as error:
            self._retry_at = self._clock() + _RETRY_S
            if self._clock() - self._broken_since > self._config.give_up_after_s:
                raise
            _log.warning("%s; will be tried again", error.reason)

    async def _rebuild(self, consumer: AIOKafkaConsumer, why: str) -> None:
        """Drop the client; the next poll makes a new one."""
        _log.error("%s: building the Kafka client anew", why)
        self.rebuilds += 1
        self._consumer = None
        try:
            await self._give_back()
        finally:
            await self._close(consumer)

    async def _give_back(self) -> None:
        """Have the listener save what we hold; nothing is handed out from here on."""
        held, self._held, self._ready = self._held, (), frozenset()
        self._unplaced.clear()
        self._refused.clear()
        if self._fetching is not None:
            self._fetching.cancel()
            self._fetching = None
        if held and self._listener is not None:
            seconds = self._config.restore_timeout_s
            await self._told("save partitions", self._listener.revoked(held), seconds)

    async def _told(self, what: str, work: Any, seconds: float) -> Any:
        """Await the listener, whose failure is ours: going on without its state would go wrong silently."""
        try:
            return await asyncio.wait_for(work, seconds)
        except TimeoutError:
            raise TransportError(f"could not {what} within {seconds:g} s") from None
        except Exception as error:
            raise TransportError(f"could not {what}: {one_line(error, self._config)}") from error

    async def _close(self, consumer: AIOKafkaConsumer) -> None:
        config = self._config
        try:
            await within(config, config.stop_timeout_s, "close the consumer", consumer.stop())
        except TransportError as error:
            _log.warning("%s; abandoned", error.reason)
            await within(config, config.stop_timeout_s, "close connections", put_down(consumer))

    # -- what the rebalance listener calls ---------------------------------------------------------

    async def _on_assigned(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        """Restore, then place and resume. A failure is kept for `poll`, because aiokafka swallows it."""
        # A client that was abandoned may still call, and one whose partitions we could not save goes on joining.
        if consumer is not self._consumer or self._listener is None or self._failure is not None:
            return
        self._ready = frozenset()
        try:
            restore = self._listener.assigned(partitions)
            starts = await self._told("restore partitions", restore, self._config.restore_timeout_s)
        except TransportError as error:
            self._failure = error
            return
        if consumer is not self._consumer:
            return
        self._held = tuple(partitions)
        self._unplaced = {tp: starts.get(tp) for tp in partitions}
        self._joined = True
        self._watch.restart(self._clock())

    async def _on_revoked(self, consumer: AIOKafkaConsumer) -> None:
        if consumer is not self._consumer:
            return
        self._joined = False
        self._watch.restart(self._clock())
        try:
            await self._give_back()
        except TransportError as error:
            self._failure = error

    # -- placing -----------------------------------------------------------------------------------

    async def _place(self, consumer: AIOKafkaConsumer) -> None:
        """Set restored partitions to their first offset and let them run. A broker that is away is asked again."""
        if not self._unplaced:
            return
        wanted = dict(self._unplaced)
        ask = known_offsets(consumer, wanted)
        try:
            known = await within(self._config, _ASK_S, "tell its offsets", ask)
        except TransportError as error:
            if is_forbidden(error.__cause__):
                raise
            _log.warning("%s; will be asked again", error.reason)
            await asyncio.sleep(self._config.poll_timeout_ms / 1000)
            return
        if wanted != self._unplaced:  # a rebalance came between
            return
        self._unplaced = {}
        for tp, offsets in known.items():
            start, loss = first_offset(tp, offsets, tp in self._refused)
            if loss is not None:
                self.data_losses += 1
                _log.error("messages were never read: %s", loss)
                self._on_data_loss(loss)
            consumer.seek(theirs(tp), start)
            consumer.resume(theirs(tp))
            self._watch.idle(tp, self._clock())
        self._refused.clear()
        self._ready |= set(known)

    def _place_again(self, consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int | None]) -> None:
        """Partitions whose position the broker refuses."""
        for tp, offset in offsets.items():
            if tp in self._ready:
                consumer.pause(theirs(tp))
                self._unplaced[tp] = offset
                self._refused.add(tp)
        self._ready -= set(self._unplaced)

    # -- reading -----------------------------------------------------------------------------------

    def _new_fetch(self, consumer: AIOKafkaConsumer) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.ensure_future(
            consumer.getmany(timeout_ms=self._config.poll_timeout_ms)
        )
        task.add_done_callback(retrieved)
        self._fetching = task
        return task

    async def _fetched(self, consumer: AIOKafkaConsumer) -> list[Message]:
        task = self._fetching or self._new_fetch(consumer)
        # During a rebalance the client waits without a limit; we don't, and take its answer at a later poll.
        await asyncio.wait({task}, timeout=2 * self._config.poll_timeout_ms / 1000)
        # While we waited it may have been cancelled, and even replaced, by a rebalance.
        if self._fetching is not task or not task.done():
            return []
        self._fetching = None
        try:
            return self._messages(task.result())
        except errors.OffsetOutOfRangeError as error:
            self._place_again(consumer, {TopicPartition(*tp): at for tp, at in error.args[0].items()})
        except errors.NoOffsetForPartitionError as error:
            self._place_again(consumer, {TopicPartition(*error.args[0]): None})
        except errors.KafkaError as error:
            if not error.retriable:
                raise TransportError(f"Kafka cannot be read: {one_line(error, self._config)}") from error
            _log.warning("Kafka cannot be read now: %s", one_line(error, self._config))
        except Exception as error:  # of a codec, for instance
            raise TransportError(f"Kafka cannot be read: {one_line(error, self._config)}") from error
        return []

    def _messages(self, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> list[Message]:
        now = self._clock()
        messages: list[Message] = []
        for tp, records in fetched.items():
            # Not ready means: handed out before its assignment was restored. It is read again from its start.
            if tp not in self._ready:
                continue
            self._watch.moved(tp, now)
            messages += map(_message, records)
        return messages

    async def _lag(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        ask = lag_of(consumer, self._ready)
        return await within(self._config, _ASK_S, "tell the lag", ask)

    # -- watching ----------------------------------------------------------------------------------

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _look_after(self, consumer: AIOKafkaConsumer) -> None:
        """aiokafka can get stuck after a rejoin, fetching nothing and saying nothing."""
        why = await self._stalled(consumer)
        if why is None or consumer is not self._consumer:
            return
        if self._watch.rebuilt:
            raise TransportError(f"{why}, also after the Kafka client was built anew")
        self._watch.rebuilt = True
        await self._rebuild(consumer, why)

    async def _stalled(self, consumer: AIOKafkaConsumer) -> str | None:
        now = self._clock()
        if not self._joined:
            limit = self._config.stalled_after_s + self._config.rebalance_timeout_ms / 1000
            if now - self._watch.since < limit:
                return None
            self._watch.restart(now)
            return (
                f"no partitions were assigned within {limit:g} s" if await self._reachable(consumer) else None
            )
        overdue = self._watch.overdue(self._ready, now)
        if not overdue:
            return None
        lag = await self.lag()
        stuck = [tp for tp in overdue if lag.get(tp)]
        for tp in overdue - set(stuck):
            self._watch.idle(tp, now)
        if not stuck:
            return None
        names = ", ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(stuck)[:5])
        return f"messages wait in {names} but none came for {self._config.stalled_after_s:g} s"

    async def _reachable(self, consumer: AIOKafkaConsumer) -> bool:
        try:
            await within(self._config, _ASK_S, "answer", consumer.topics())
        except TransportError:
            return False
        return True


def _message(record: ConsumerRecord) -> Message:
    headers = record.headers
    for _, value in headers:
        if value is None:  # Kafka knows headers without a value
            headers = tuple((name, value or b"") for name, value in headers)
            break
    return Message(record.topic, record.partition, record.offset, record.key, record.value or b"", headers)
