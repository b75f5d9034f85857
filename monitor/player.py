"""Plays recorded or simulated telemetry into a sink, at its own rate or faster."""

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple

from monitor.clock import StreamClock
from streams.transport import Sink

TICK_S = 0.05
"""Messages due within a tick are sent together; a device that reports every second doesn't notice."""


class Planned(NamedTuple):
    """One message and when it leaves its device, ms since the epoch on the stream's clock."""

    at_ms: float
    device: str
    content_type: str
    value: bytes


async def play(
    sink: Sink,
    topic: str,
    messages: Iterable[Planned],
    clock: StreamClock | None,
    on_sent: Callable[[int], None] = lambda _n: None,
    batch: int = 2000,
) -> int:
    """Send `messages` (in order of `at_ms`) when `clock` says so, or at once without a clock; answer how many.

    Raises:
        TransportError: the broker refused them.
    """
    sent = 0
    due: list[tuple[bytes | None, bytes, tuple[tuple[str, bytes], ...]]] = []
    for message in messages:
        wait = clock.wait_s(message.at_ms) if clock is not None else 0.0
        if wait > TICK_S or len(due) >= batch:
            sent += await _send(sink, topic, due, on_sent)
            due = []
            if clock is not None:
                await asyncio.sleep(max(clock.wait_s(message.at_ms), 0.0))
        due.append(
            (message.device.encode(), message.value, (("content-type", message.content_type.encode()),))
        )
    return sent + await _send(sink, topic, due, on_sent)


async def _send(
    sink: Sink,
    topic: str,
    due: list[tuple[bytes | None, bytes, tuple[tuple[str, bytes], ...]]],
    on_sent: Callable[[int], None],
) -> int:
    if due:
        await sink.send_many(topic, due)
        on_sent(len(due))
    return len(due)
