"""Sending to Kafka: a message is sent when all in-sync replicas have it."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.kafka.client import client_arguments, connection_problem, one_line, retrieved, within
from streams.kafka.config import Compression, KafkaConfig
from streams.transport import TransportError

_log = logging.getLogger("attendant.kafka")

# Of one message with its headers; the broker's own limit (1 MiB by default) is the one that counts.
_MAX_MESSAGE_BYTES = 4 << 20


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
            max_request_size=_MAX_MESSAGE_BYTES,
        )
        try:
            await within(config, config.connect_timeout_s, "let us in", producer.start())
        except TransportError as error:
            await self._close(producer)
            raise TransportError(f"Kafka: {await connection_problem(config) or error.reason}") from error
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
        await self.send_many(topic, [(key, value, headers)])

    async def send_many(
        self, topic: str, messages: Sequence[tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]]]
    ) -> None:
        """Hand over many (key, value, headers) in their order; returns when the broker has them all.

        Raises:
            TransportError: it has not all of them; those that it has stay, so sending again repeats them.
        """
        if not messages:
            return
        config = self._config
        # The client gives up on a message after request_timeout_s; this ends a client that doesn't.
        seconds = 2 * config.request_timeout_s + config.linger_ms / 1000
        failed = await within(
            config, seconds, f"take messages for topic {topic}", self._send_all(topic, messages)
        )
        if failed is not None:
            reason = f"Kafka did not take messages for topic {topic}: {one_line(failed, config)}"
            raise TransportError(reason) from failed

    async def _send_all(
        self, topic: str, messages: Sequence[tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]]]
    ) -> BaseException | None:
        """Send all; answer the first failure once every message has its outcome."""
        if self._producer is None:
            raise TransportError("the Kafka sink is not started")
        waiting: list[asyncio.Future[Any]] = []
        for key, value, headers in messages:
            sent = await self._producer.send(topic, value, key, headers=list(headers))
            sent.add_done_callback(retrieved)
            waiting.append(sent)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        return next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)

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
