"""Where to begin in a partition, and how far behind we are; a jump over messages is always named."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer

from streams.kafka.consumer import theirs
from streams.transport import TopicPartition


class LossCause(StrEnum):
    """Why messages were never read."""

    BELOW_LOG_START = "below_log_start"
    """The broker had deleted them before we came (retention too short, or a worker away too long)."""
    BEYOND_LOG_END = "beyond_log_end"
    """The broker's log ends before our offset: the topic was made anew or lost its end."""
    NO_OFFSET = "no_offset"
    """Nobody knows how far the group had read, and the topic doesn't begin at 0 any more."""


class DataLoss(NamedTuple):
    """A jump over messages. Always told, never silent."""

    partition: TopicPartition
    cause: LossCause
    wanted: int | None
    """Offset that should have been next; None where none was known."""
    resumed: int
    """Offset that is next instead: the earliest there is."""


class Known(NamedTuple):
    """What the broker says of a partition."""

    start: int | None
    """The offset asked for, else the committed one, else None."""
    low: int
    """The earliest message there is."""
    high: int
    """The offset that the next message will get."""


def first_offset(tp: TopicPartition, known: Known, refused: bool) -> tuple[int, DataLoss | None]:
    """Offset to read first, and the loss if that is not where the group had stopped.

    Args:
        refused: whether the broker has refused `known.start`. Only that proves that it lies beyond the end: the
            embedded broker answers an end that is too small by the length of the last batch.
    """
    start, low, high = known
    if start is None:
        # A new group at the beginning of a topic has lost nothing.
        return low, DataLoss(tp, LossCause.NO_OFFSET, None, low) if low > 0 else None
    if start < low:
        return low, DataLoss(tp, LossCause.BELOW_LOG_START, start, low)
    if start > high and refused:
        return low, DataLoss(tp, LossCause.BEYOND_LOG_END, start, low)
    return start, None


async def known_offsets(
    consumer: AIOKafkaConsumer, wanted: Mapping[TopicPartition, int | None]
) -> dict[TopicPartition, Known]:
    """Ask the broker about partitions, each with the offset that somebody wants to start from."""
    partitions = [theirs(tp) for tp in wanted]
    low = await consumer.beginning_offsets(partitions)
    high = await consumer.end_offsets(partitions)
    known = {}
    for tp, offset in wanted.items():
        start = await consumer.committed(theirs(tp)) if offset is None else offset
        known[tp] = Known(start, low[tp], high[tp])
    return known


async def lag_of(
    consumer: AIOKafkaConsumer, partitions: frozenset[TopicPartition]
) -> dict[TopicPartition, int]:
    """Messages between position and end; every partition must have a position."""
    if not partitions:
        return {}
    ends = await consumer.end_offsets([theirs(tp) for tp in partitions])
    return {TopicPartition(*tp): max(0, end - await consumer.position(tp)) for tp, end in ends.items()}
