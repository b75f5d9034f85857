"""What every request passes, whatever its route: an id, a token check, headers, a measure, a line in the log."""

import hashlib
import hmac
import re
import time
import uuid
from collections.abc import Sequence
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.metrics import Metrics
from monitor.web.problems import ProblemError, ProblemKind, problem_response

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
MAX_BODY_BYTES = 64 * 1024
DRAINED = 16
"""So many times the limit is read and thrown away: a client that is cut off while it sends never sees the answer."""
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Nothing that we answer is a page; a browser shall neither keep, guess, frame nor run it.
SAFE_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

log = structlog.get_logger(__name__)


class Observe:
    """Gives a request its id, measures and logs it, puts the safe headers on, and turns a crash into a problem."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(send, request_id)
        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, exchange.send)
            except Exception:
                log.exception("request failed", method=scope["method"], path=scope["path"])
                if exchange.status is not None:
                    raise
                await _internal(scope["path"], request_id)(scope, receive, exchange.send)
            finally:
                self._record(scope, exchange.status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int | None, seconds: float) -> None:
        # Without a status the client went away before the answer; nginx calls that 499.
        code = 499 if status is None else int(status)
        route = getattr(scope.get("route"), "path_format", UNMATCHED)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.record_request(route, method, code, seconds)
        write = log.info if scope["path"].startswith("/api/") else log.debug
        write(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=code,
            duration_ms=round(seconds * 1000, 2),
        )


class _Exchange:
    """One answer under way."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self._request_id
            for name, value in SAFE_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


class RequireToken:
    """Lets a request to a protected path through only with one of the tokens.

    By path, not by route: a new route, or one that does not exist, is protected without anybody thinking of it.
    """

    def __init__(self, app: ASGIApp, tokens: Sequence[str], prefixes: Sequence[str]) -> None:
        self._app = app
        self._digests = [_digest(token) for token in tokens]
        self._prefixes = tuple(prefixes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._protected(scope["path"]) and not self._allowed(scope):
            await _unauthorized(scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _protected(self, path: str) -> bool:
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in self._prefixes)

    def _allowed(self, scope: Scope) -> bool:
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        given = _digest(token.strip())
        # All are compared, so that the time taken does not tell which one was close.
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return scheme.lower() == "bearer" and any(matches)


class LimitBody:
    """Ends a request whose body is larger than anything that the API takes."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                await _drain(receive, message, self._limit * DRAINED)
                raise ProblemError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    ProblemKind.BODY_TOO_LARGE,
                    f"The body is larger than {self._limit} bytes.",
                    "Shorten it; no route needs so much.",
                )
            return message

        await self._app(scope, limited, send)


async def _drain(receive: Receive, message: Message, most: int) -> None:
    drained = 0
    while message.get("more_body") and drained < most:
        message = await receive()
        drained += len(message.get("body", b""))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _unauthorized(scope: Scope) -> Response:
    return problem_response(
        scope["path"],
        scope["state"]["request_id"],
        HTTPStatus.UNAUTHORIZED,
        ProblemKind.UNAUTHORIZED,
        "This path needs a bearer token, and none or a wrong one was sent.",
        "Send `Authorization: Bearer …` with one of the tokens of the setting web.tokens.",
        headers={"www-authenticate": 'Bearer realm="attendant"'},
    )


def _internal(path: str, request_id: str) -> Response:
    return problem_response(
        path,
        request_id,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        ProblemKind.INTERNAL,
        "The service failed on this request.",
        "Try again; if it stays, look for this request_id in the logs and report what they say.",
    )
