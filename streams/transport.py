"""What a message broker must be able to do for us; knows nothing about Kafka.

`Source` and `Sink` are the two ports of the service. `streams/kafka.py` is the adapter behind them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Message(NamedTuple):
    """One record as the broker holds it. A tuple, because there is one for every sample."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class AssignmentListener(Protocol):
    """Told by a `Source` which partitions come and go, before any record of theirs is handed out."""

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """Restore the state of `partitions`; answer the offset to start from (None: the committed one)."""
        ...

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Save and forget the state of `partitions`; nothing of theirs may be written afterwards."""
        ...


class Source(Protocol):
    """Where telemetry comes from."""

    async def start(self, listener: AssignmentListener) -> None: ...

    async def poll(self) -> Sequence[Message]:
        """Messages that have arrived, in offset order per partition; empty after a short wait.

        Only partitions whose `assigned` has returned are read.
        """
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit *next* offsets. Called only after the database transaction that holds their effects."""
        ...

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Messages between the position and the end of each assigned partition."""
        ...

    async def stop(self) -> None: ...


class Sink(Protocol):
    """Where bytes go: rejected telemetry, and alerts for who reads them from a topic."""

    async def start(self) -> None: ...

    async def send(
        self, topic: str, *, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Hand over one message; returns when the broker has it (acks=all)."""
        ...

    async def send_many(
        self, topic: str, messages: Sequence[tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]]]
    ) -> None:
        """Hand over many (key, value, headers); returns when the broker has them all."""
        ...

    async def stop(self) -> None: ...


class TransportError(Exception):
    """The broker could not be reached or refused us; `reason` is one line without secrets."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
