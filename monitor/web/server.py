"""Serves an ASGI application from within the service's own event loop; leaves signals to who owns them."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

BACKLOG = 128


class ListenError(Exception):
    """The address cannot be listened on; the text says which and why."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so once requests are being answered."""
        await super().startup(sockets)
        self._when_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: the composition root ends the service, and a signal must end all of it."""
        yield


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    started: Callable[[str], None] | None = None,
    drain_s: float = 5.0,
) -> None:
    """Serve `app` until cancelled; then take no new request, let those under way end, and return control.

    Args:
        app: what is served.
        host: address or name to listen on.
        port: 0 takes a free one.
        started: called once with the URL (`http://127.0.0.1:8080`) when requests are being answered.
        drain_s: how long requests under way may take after the cancellation.

    Raises:
        ListenError: the address is in use, not ours or not allowed.
    """
    listener = listen(host, port)
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Behind a proxy the peer is the proxy; nobody's X-Forwarded-For is believed.
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )
    server = _Server(config, lambda: started(url_of(listener)) if started else None)
    serving = asyncio.create_task(server.serve([listener]), name="http server")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    finally:
        if not serving.done():
            serving.cancel()
        listener.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        ListenError: the address is in use, not ours or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """`http://address:port` as a client on this machine can use it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104 - the same
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
