"""What the dispatcher needs of a target; knows no protocol and no database."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from monitor.outbox import Job


class Outcome(StrEnum):
    """How an attempt ended. Closed: it is also a metric label and stands in the ledger."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    """The target understood and refuses (4xx): the same bytes would be refused again."""
    GONE = "gone"
    """410: the target asks never to be called again."""
    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    """No connection, or lost before an answer: it may have arrived."""
    TLS = "tls"
    REDIRECT = "redirect"
    """3xx: a signed alert is not carried to an address that nobody configured."""
    BLOCKED_ADDRESS = "blocked_address"
    """The name leads to an address that is not allowed."""
    ERROR = "error"
    """A fault of ours, logged with its trace."""
    EXPIRED = "expired"
    """Given up after the last try."""
    DISABLED = "disabled"
    """The target is switched off."""
    MUTED = "muted"
    LEASE_LOST = "lease_lost"
    """Another worker has it now; nothing was sent."""

    @property
    def may_retry(self) -> bool:
        """Whether the same bytes may arrive later."""
        return self in _MAY_RETRY


_MAY_RETRY = frozenset(
    {
        Outcome.THROTTLED,
        Outcome.SERVER_ERROR,
        Outcome.TIMEOUT,
        Outcome.CONNECTION,
        Outcome.TLS,
        Outcome.REDIRECT,
        Outcome.BLOCKED_ADDRESS,
        Outcome.ERROR,
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt. `detail` is one line without URL, secret or payload."""

    outcome: Outcome
    status_code: int | None = None
    detail: str = ""
    retry_after_s: float | None = None
    """How long the target asks us to wait."""
    next_try_ms: int | None = None
    """Set by the retry stage; None: there is no next try."""


class Notifier(Protocol):
    """A target. `notify` answers for everything that can happen; it raises only when cancelled."""

    @property
    def name(self) -> str:
        """Unique; names the target in the outbox, the ledger and the metrics."""
        ...

    @property
    def concurrency(self) -> int:
        """Attempts under way at once at most."""
        ...

    @property
    def timeout_s(self) -> float:
        """After which an attempt has certainly ended."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def notify(self, job: Job, now_ms: int) -> Answer:
        """Send the job's bytes once."""
        ...
