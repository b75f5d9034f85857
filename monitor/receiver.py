"""A webhook receiver as a customer would write it, for the demo and for trying out a configuration.

Verifies every delivery with the public `standardwebhooks` library and keeps the good ones, once per `webhook-id`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """One verified delivery."""

    id: str
    type: str
    """`device.alert.opened`, …"""
    at_ms: int
    """When it came, by the clock that the receiver was given."""
    alert: dict[str, Any]


@dataclass
class WebhookReceiver:
    """Listens on a local port; use as an async context manager.

    `on_received` is told of each new delivery; `now_ms` is the clock of the arrival times.
    """

    secret: str
    now_ms: Callable[[], int]
    on_received: Callable[[Received], None] = lambda _received: None
    host: str = "127.0.0.1"
    port: int = 0
    received: list[Received] = field(default_factory=list)
    refused: int = 0
    """Deliveries whose signature was wrong."""
    repeated: int = 0
    """Deliveries that came again: at least once is what a sender can promise."""
    _seen: set[str] = field(default_factory=set)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/alerts"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/alerts", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            Webhook(self.secret).verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.refused += 1
            return web.Response(status=401, text="signature does not fit")
        delivery = request.headers["webhook-id"]
        if delivery in self._seen:
            self.repeated += 1
            return web.Response(status=204)
        self._seen.add(delivery)
        event = json.loads(body)
        received = Received(id=delivery, type=event["type"], at_ms=self.now_ms(), alert=event["data"])
        self.received.append(received)
        self.on_received(received)
        return web.Response(status=204)
