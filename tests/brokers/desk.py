"""Helpers around a source: a listener that keeps notes, and waiting for messages with a limit."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from streams.kafka import KafkaConfig, KafkaSink, KafkaSource
from streams.transport import Message, TopicPartition


def fresh(what: str = "t") -> str:
    """A name for a topic or a group that nobody else has."""
    return f"{what}-{uuid.uuid4().hex[:12]}"


class Desk:
    """An AssignmentListener that writes down what it is told.

    Args:
        starts: offsets to answer for partitions.
        restoring: awaited while partitions are assigned.
        saving: awaited while partitions are revoked.
    """

    def __init__(
        self,
        starts: Mapping[TopicPartition, int] | None = None,
        restoring: Callable[[], Awaitable[object]] | None = None,
        saving: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.starts = dict(starts or {})
        self.restoring = restoring
        self.saving = saving
        self.held: set[TopicPartition] = set()
        self.notes: list[str] = []

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        self.notes.append(f"assigned {len(partitions)}")
        if self.restoring is not None:
            await self.restoring()
        self.held |= set(partitions)
        self.notes.append("restored")
        return {tp: self.starts.get(tp) for tp in partitions}

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        if self.saving is not None:
            await self.saving()
        self.held -= set(partitions)
        self.notes.append(f"revoked {len(partitions)}")


@asynccontextmanager
async def reading(
    config: KafkaConfig, topic: str, desk: Desk | None = None, **arguments: object
) -> AsyncIterator[KafkaSource]:
    """A started source that is stopped at the end."""
    source = KafkaSource(config, [topic], **arguments)  # type: ignore[arg-type]
    await source.start(desk or Desk())
    try:
        yield source
    finally:
        await source.stop()


async def drain(source: KafkaSource, n: int, limit_s: float = 30.0) -> list[Message]:
    """Poll until n messages are there."""
    messages: list[Message] = []
    await until(source, lambda: len(messages) >= n, limit_s, messages)
    return messages


async def until(
    source: KafkaSource,
    done: Callable[[], bool],
    limit_s: float = 30.0,
    into: list[Message] | None = None,
) -> None:
    """Poll until something is true."""
    deadline = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s} s; {len(into or [])} messages")
        got = await source.poll()
        if into is not None:
            into += got


async def keep_polling(source: KafkaSource, into: list[Message]) -> None:
    """Poll until cancelled."""
    while True:
        into += await source.poll()
        await asyncio.sleep(0)


async def true(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Wait until something is true, while others poll."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - many different things, none of which has an event
            await asyncio.sleep(0.02)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and see it end; an error of its own is raised."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def send(config: KafkaConfig, topic: str, values: Sequence[bytes], key: bytes | None = b"k") -> None:
    """Send values to a topic with a producer of their own."""
    sink = KafkaSink(config)
    await sink.start()
    try:
        await sink.send_many(topic, [(key, value, ()) for value in values])
    finally:
        await sink.stop()
