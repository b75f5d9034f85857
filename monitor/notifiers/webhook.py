"""Signed webhooks after Standard Webhooks 1.0, over aiohttp. Knows no schedule and no database.

The same id and bytes at every attempt, a timestamp and signature of its own for each. No redirects, no proxy
from the environment, no cookies; addresses are guarded at the socket (`addresses.py`).
"""

import base64
import binascii
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from standardwebhooks.webhooks import Webhook

from monitor.alerts import moment
from monitor.notifiers.addresses import Guard, is_address, parse_allow
from monitor.notifiers.base import Answer, Outcome
from monitor.outbox import Job

_PREFIX: Final = "whsec_"
_AGENT: Final = "attendant"


class WebhookSettings(BaseModel):
    """One endpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]
    """Names the endpoint in the ledger, the API and the metrics."""
    url: SecretStr
    """Often holds a token, so it is never shown whole."""
    secrets: Annotated[tuple[SecretStr, ...], Field(min_length=1, max_length=8)]
    """`whsec_` and base64 of 24 to 64 bytes. While a secret is being changed, the new and the old one."""
    allow: tuple[str, ...] = ()
    """CIDRs (`10.20.0.0/16`) or host names whose private addresses may be called; public ones always may."""
    timeout_s: Annotated[float, Field(ge=1, le=30)] = 15.0
    concurrency: Annotated[int, Field(ge=1, le=32)] = 4
    ca_file: Path | None = None
    """PEM of the certificate authority that signed the receiver's certificate, where it is not a public one."""

    @field_validator("secrets")
    @classmethod
    def _strong(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, secret in enumerate(secrets, 1):
            if problem := _problem(secret.get_secret_value()):
                raise ValueError(f"secret {number} {problem}")
        return secrets

    @field_validator("allow")
    @classmethod
    def _parsed(cls, allow: tuple[str, ...]) -> tuple[str, ...]:
        parse_allow(allow)
        return allow

    @field_validator("ca_file")
    @classmethod
    def _readable(cls, file: Path | None) -> Path | None:
        if file is not None:
            try:
                ssl.create_default_context(cafile=file)
            except ssl.SSLError:
                raise ValueError(f"{file} holds no certificate") from None
            except OSError as error:
                raise ValueError(f"{file} cannot be read: {error.strerror}") from None
        return file

    @model_validator(mode="after")
    def _usable(self) -> "WebhookSettings":
        try:
            parts = urlsplit(self.url.get_secret_value())
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("url is not a URL") from None
        if parts.scheme not in {"http", "https"} or not host:
            raise ValueError("url must be https://host/…")
        if host.rstrip(".").rpartition(".")[2].isdigit() and not is_address(host):
            raise ValueError("url: an address is written as four numbers")
        if parts.scheme == "http" and not self.allow:
            raise ValueError("url: plain http is only for receivers on the allow list")
        return self


def _problem(secret: str) -> str | None:
    """What is wrong with a secret, without the secret."""
    if not secret.startswith(_PREFIX):
        return f"does not begin with {_PREFIX}"
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return "is not base64"
    return None if 24 <= len(key) <= 64 else f"holds {len(key)} bytes, not 24 to 64"


class WebhookNotifier:
    """One endpoint with its own connections, so that a slow one holds up no other."""

    def __init__(self, settings: WebhookSettings) -> None:
        self.settings = settings
        self._url = settings.url.get_secret_value()
        self._keys = [Webhook(secret.get_secret_value()) for secret in settings.secrets]
        self._guard = Guard(urlsplit(self._url).hostname or "", settings.allow)
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def concurrency(self) -> int:
        return self.settings.concurrency

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    async def start(self) -> None:
        """Open no connection yet."""
        context = ssl.create_default_context(cafile=self.settings.ca_file)
        connector = aiohttp.TCPConnector(
            limit=self.concurrency,
            ssl=context,
            socket_factory=self._guard.open_socket,
            # Shorter than receivers commonly keep theirs: a connection closed under a POST costs a repeat.
            keepalive_timeout=5,
            # An address that changed (failover, or an attack) is looked up again and guarded again.
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self.timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    async def stop(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def notify(self, job: Job, now_ms: int) -> Answer:
        """POST once."""
        if self._session is None:
            raise RuntimeError("notifier is not started")
        refused: list[str] = []
        token = self._guard.blocked.set(refused)
        try:
            async with self._session.post(
                self._url, data=job.body, headers=self._headers(job, now_ms), allow_redirects=False
            ) as response:
                # Its body is not read: it could drip for ever, and the status says all.
                return answer_of(response.status, response.headers, now_ms)
        except TimeoutError:
            return Answer(Outcome.TIMEOUT, detail=f"no answer within {self.timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if refused:
                return Answer(
                    Outcome.BLOCKED_ADDRESS, detail=f"address {refused[0]} is not on the allow list"
                )
            return _failure(error)
        finally:
            self._guard.blocked.reset(token)

    def _headers(self, job: Job, now_ms: int) -> dict[str, str]:
        at = moment(now_ms)
        text = job.body.decode()
        return {
            "content-type": "application/json",
            "user-agent": _AGENT,
            "webhook-id": job.event_id,
            "webhook-timestamp": str(now_ms // 1000),
            "webhook-signature": " ".join(key.sign(job.event_id, at, text) for key in self._keys),
        }


def answer_of(status: int, headers: Mapping[str, str], now_ms: int) -> Answer:
    """An HTTP status as the standard reads it."""
    detail = f"HTTP {status}"
    wait = _retry_after(headers.get("Retry-After"), now_ms)
    if 200 <= status < 300:
        return Answer(Outcome.DELIVERED, status)
    if 300 <= status < 400:
        return Answer(Outcome.REDIRECT, status, f"{detail}: redirects are not followed")
    special = {408: Outcome.TIMEOUT, 410: Outcome.GONE, 425: Outcome.THROTTLED, 429: Outcome.THROTTLED}
    if status in special:
        return Answer(special[status], status, detail, wait)
    if 400 <= status < 500:
        return Answer(Outcome.REJECTED, status, detail)
    return Answer(Outcome.SERVER_ERROR, status, detail, wait)


def _retry_after(value: str | None, now_ms: int) -> float | None:
    """Seconds, or an HTTP date; what is neither is ignored."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max((when - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds(), 0.0)


def _failure(error: Exception) -> Answer:
    """Named by its class: messages of the library hold the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError):
        cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
        return Answer(Outcome.TLS, detail=str(getattr(cause, "verify_message", "") or type(cause).__name__))
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Answer(Outcome.CONNECTION, detail="the host name is not found")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Answer(Outcome.CONNECTION, detail=error.os_error.strerror or type(error.os_error).__name__)
    return Answer(Outcome.CONNECTION, detail=type(error).__name__)
