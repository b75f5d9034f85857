"""Real HTTP receivers that behave as they are told."""

import asyncio
import base64
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from pydantic import SecretStr

from monitor.notifiers.webhook import WebhookSettings

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


def new_secret() -> str:
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


@dataclass
class Hit:
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Keeps what came; answers `status`, or does what `behaviour` says."""

    url: str = ""
    port: int = 0
    status: int = 204
    behaviour: Behaviour | None = None
    hits: list[Hit] = field(default_factory=list)
    at_once: int = 0
    """Most requests under way at a time."""
    _now: int = 0

    async def take(self, request: web.Request) -> web.StreamResponse:
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        try:
            self.hits.append(Hit({k.lower(): v for k, v in request.headers.items()}, await request.read()))
            if self.behaviour is not None:
                return await self.behaviour(request)
            return web.Response(status=self.status)
        finally:
            self._now -= 1

    @property
    def ids(self) -> list[str]:
        return [hit.headers["webhook-id"] for hit in self.hits]


@asynccontextmanager
async def receiver(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0, ssl_context=tls).start()
    made.port = runner.addresses[0][1]
    made.url = f"{'https' if tls else 'http'}://{'localhost' if tls else host}:{made.port}/hook"
    try:
        yield made
    finally:
        await runner.cleanup()


def endpoint(url: str, **changes: object) -> WebhookSettings:
    fields: dict[str, object] = {
        "name": "engineering",
        "url": SecretStr(url),
        "secrets": (SecretStr(new_secret()),),
        "allow": ("127.0.0.0/8",),
        "timeout_s": 20,
    }
    return WebhookSettings.model_validate(fields | changes)


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def drip(request: web.Request) -> web.StreamResponse:
    """One byte of the status line a second: alive, and never an answer."""
    transport = request.transport
    assert transport is not None
    for byte in b"HTTP/1.1 200 OK\r\n":
        transport.write(bytes([byte]))
        await asyncio.sleep(1)
    return web.Response()


async def reset(request: web.Request) -> web.StreamResponse:
    """Takes the alert, then breaks the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
