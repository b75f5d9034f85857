"""Telemetry that could not be read, on its way to a topic of its own. Knows no lane and no database.

Good telemetry does not wait for it, but nothing may be committed before it is there: who commits waits for `settled`.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog

from monitor.metrics import Metrics
from monitor.pipeline.retrying import wait_after
from streams.records import Rejection, rejected_message
from streams.transport import Sink, TransportError


class Rejects:
    """Sends rejects, one batch at a time."""

    def __init__(self, sink: Sink, topic: str, metrics: Metrics) -> None:
        self._sink = sink
        self._topic = topic
        self._metrics = metrics
        self._log = structlog.get_logger(component="pipeline")
        self._sending: asyncio.Task[None] | None = None

    async def take(self, rejections: Sequence[Rejection]) -> None:
        """Send rejects on their way; good telemetry waits for them only when they come faster than they go."""
        if not rejections:
            return
        self._metrics.count_rejected(Counter(rejection.reason for rejection in rejections))
        await self.settled()
        messages = [rejected_message(rejection) for rejection in rejections]
        self._sending = asyncio.create_task(self._send(messages), name="rejected telemetry")

    async def settled(self) -> None:
        """Wait until all rejects so far are with the broker; only then may their offsets be committed."""
        if self._sending is not None:
            task, self._sending = self._sending, None
            await task

    async def _send(
        self, messages: Sequence[tuple[bytes | None, bytes, Sequence[tuple[str, bytes]]]]
    ) -> None:
        """Send, however long the broker is away: nothing is committed before they are there."""
        attempt = 0
        while True:
            try:
                return await self._sink.send_many(self._topic, messages)
            except TransportError as error:
                self._log.warning("rejected telemetry cannot be set aside", reason=error.reason)
            await wait_after(attempt)
            attempt += 1
