"""Sending to Kafka: a message is sent when all in-sync replicas have it."""

import asyncio
import logging
import random
from collections.abc import Coroutine, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from streams.kafka.client import client_arguments, explained, retrieved, within
from streams.kafka.config import Compression, KafkaConfig
from streams.transport import TransportError

_log = logging.getLogger("attendant.kafka")

Outgoing = tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]]
"""Key, value, headers."""

_BATCH_BYTES = 1 << 17
"""Of many messages that are sent at once. A partition has one batch under way, so small ones are slow."""


class KafkaSink:
    """A producer with acks=all, idempotent where the broker can (`config.idempotent`)."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            TransportError: the broker cannot be reached or refuses us, with the reason in one line.
        """
        config = self._config
        producer = AIOKafkaProducer(
            **client_arguments(config),
            acks="all",
            compression_type=None if config.compression is Compression.NONE else str(config.compression),
            linger_ms=config.linger_ms,
            enable_idempotence=config.idempotent,
            max_batch_size=_BATCH_BYTES,
        )
        try:
            await within(config, config.connect_timeout_s, "let us in", producer.start())
        except TransportError as error:
            await self._close(producer)
            raise await _explained(config, error) from error
        except BaseException:
            await self._close(producer)
            raise
        self._producer = producer

    async def send(
        self, topic: str, *, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Hand over one message; returns when the broker has it.

        Raises:
            TransportError: it has not; after a timeout it may still get it.
        """
        await self._within(topic, self._send_one(topic, key, value, headers))

    async def send_many(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """Hand over many (key, value, headers), in order per key; returns when the broker has them all.

        Raises:
            TransportError: it has not all of them; those that it has stay, so sending again repeats them.
        """
        if messages:
            await self._within(topic, self._send_all(topic, messages))

    async def _within(self, topic: str, work: Coroutine[Any, Any, None]) -> None:
        # The client gives up on a message after request_timeout_s; this ends a client that doesn't.
        seconds = 2 * self._config.request_timeout_s + self._config.linger_ms / 1000
        await within(self._config, seconds, f"take messages for topic {topic}", work)

    async def _send_one(
        self, topic: str, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        # Waits `linger_ms`, in which what other tasks send joins the same batch.
        await self._started.send_and_wait(topic, value, key, headers=list(headers))

    async def _send_all(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """Send the partitions side by side; raise the first failure once each message has its outcome."""
        partitions = sorted(await self._started.partitions_for(topic))
        batches = _batched(self._started, partitions, messages)
        sending = (self._send_batches(topic, partition, built) for partition, built in batches.items())
        for outcome in await asyncio.gather(*sending, return_exceptions=True):
            if outcome is not None:
                raise outcome

    @property
    def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise TransportError("the Kafka sink is not started")
        return self._producer

    async def _send_batches(self, topic: str, partition: int, batches: Sequence[BatchBuilder]) -> None:
        waiting = []
        for batch in batches:
            batch.close()  # nothing will join it, so it need not linger
            sent = await self._started.send_batch(batch, topic, partition=partition)
            sent.add_done_callback(retrieved)
            waiting.append(sent)
        for sent in waiting:
            await sent

    async def stop(self) -> None:
        """Send what is under way and disconnect, for at most `stop_timeout_s`."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await self._close(producer)

    async def _close(self, producer: AIOKafkaProducer) -> None:
        try:
            await within(self._config, self._config.stop_timeout_s, "close the producer", producer.stop())
        except TransportError as error:
            _log.warning("%s; abandoned", error.reason)
            # A stop that was cut off leaves a task that knocks at the dead broker for ever.
            sender = producer._sender  # noqa: SLF001 - aiokafka has no other way to end it
            if sender is not None and sender.sender_task is not None:
                sender.sender_task.cancel()
            await within(
                self._config, self._config.stop_timeout_s, "close connections", producer.client.close()
            )


async def _explained(config: KafkaConfig, error: TransportError) -> TransportError:
    said = await explained(config, error)
    if said is error and config.idempotent:
        # Old and small brokers refuse, without words, to number a producer.
        return TransportError(f"{error.reason}; does it know idempotent producers (setting `idempotent`)?")
    return said


def _batched(
    producer: AIOKafkaProducer, partitions: Sequence[int], messages: Sequence[Outgoing]
) -> dict[int, list[BatchBuilder]]:
    """Batches by partition, in the order of the messages. One future a batch instead of one a message.

    A message without a key goes where the others of this call go, another partition each call. One that is larger
    than a batch is alone in it, so that its refusal is not the refusal of others.
    """
    partitioner = DefaultPartitioner()
    places: dict[bytes | None, int] = {None: random.choice(partitions)}  # noqa: S311 - balance, no secret
    batches: dict[int, list[BatchBuilder]] = {}
    for key, value, headers in messages:
        place = places.get(key)
        if place is None:
            place = places[key] = partitioner(key, partitions, partitions)
        built = batches.setdefault(place, [])
        record = {"key": key, "value": value, "timestamp": None, "headers": list(headers)}
        if not built or built[-1].append(**record) is None:
            built.append(producer.create_batch())
            built[-1].append(**record)
    return batches
