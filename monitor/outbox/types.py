"""What goes into the outbox and comes out of it; knows no SQL. Times are ms since the epoch, UTC."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from monitor.alerts import AlertEvent
from monitor.explanations import Kept
from monitor.maintenance import Applied
from streams.transport import TopicPartition

T = TypeVar("T")


class OutboxError(Exception):
    """Root of this package's errors."""


class OutboxUnavailableError(OutboxError):
    """The database cannot be reached, is full, or did not answer in time; `reason` is one line, no secrets."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"database {url}: {reason}")
        self.url = url
        self.reason = reason


class OutboxTooNewError(OutboxError):
    """The database was written by a newer version of Attendant."""

    def __init__(self, url: str, revision: str) -> None:
        super().__init__(
            f"database {url} has schema {revision}, which this version does not know; install the newer version"
        )
        self.url = url
        self.revision = revision


class StaleEpochError(OutboxError):
    """Another worker has taken these partitions over; nothing was written."""

    def __init__(self, partitions: Sequence[TopicPartition]) -> None:
        names = ", ".join(f"{p.topic}/{p.partition}" for p in partitions)
        super().__init__(f"taken over by another worker: {names}")
        self.partitions = tuple(partitions)


class UnknownAlertError(OutboxError):
    """No alert of that id."""

    def __init__(self, alert_id: uuid.UUID) -> None:
        super().__init__(f"no alert {alert_id}")
        self.alert_id = alert_id


class UnknownDeliveryError(OutboxError):
    """No delivery of that id, or not one that this can be done with."""

    def __init__(self, delivery_id: int, why: str = "does not exist") -> None:
        super().__init__(f"delivery {delivery_id} {why}")
        self.delivery_id = delivery_id


class InvalidCursorError(OutboxError):
    """A page cursor that was not made here."""


class Milestone(StrEnum):
    """Places where a crash must do no harm; tests stop the process at each of them."""

    BEGUN = "begun"
    FENCED = "fenced"
    ALERTS_WRITTEN = "alerts_written"
    CHECKPOINT_WRITTEN = "checkpoint_written"
    COMMITTED = "committed"
    CLAIMED = "claimed"
    SENDING = "sending"
    SENT = "sent"
    SETTLED = "settled"


class JobState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    LEASED = "leased"
    DELIVERED = "delivered"
    PARKED = "parked"
    """Refused for good, or given up after the last try: waits for a person, never dropped."""
    MUTED = "muted"
    DISCARDED = "discarded"
    """A person said that it need not arrive."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where to go on in a partition, and with what memory."""

    next_offset: int
    state: bytes | None = None
    """None leaves the saved state as it is."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What `acquire` found of a partition."""

    epoch: int
    next_offset: int | None
    state: bytes | None


@dataclass(frozen=True, slots=True)
class Work:
    """One transaction."""

    epochs: Mapping[TopicPartition, int] = field(default_factory=dict)
    """Every partition that this work is about, with the epoch under which it is owned."""
    events: Sequence[AlertEvent] = ()
    checkpoints: Mapping[TopicPartition, Checkpoint] = field(default_factory=dict)
    now_ms: int = 0
    explanations: Sequence[Kept] = ()
    """Of alerts that are there already or come with `events`; the newest window of an alert stays."""
    applied: Sequence[Applied] = ()
    """Maintenance whose effect is in the checkpoints' states."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was new; a replay records nothing new."""

    events: tuple[AlertEvent, ...]
    jobs: int


@dataclass(frozen=True, slots=True)
class Job:
    """A delivery claimed for an attempt."""

    id: int
    lease: str
    event_id: str
    """The `webhook-id`."""
    alert_id: uuid.UUID
    target: str
    type: str
    kind: str
    severity: str
    device: str
    body: bytes
    """Frozen when recorded; every attempt sends these bytes."""
    queued_ms: int
    """When it was recorded, or last replayed by hand."""
    tries: int
    """Attempts since then."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of an attempt."""

    state: JobState
    outcome: str
    status_code: int | None = None
    detail: str = ""
    """One line, no secrets."""
    next_try_ms: int | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of the ledger."""

    at_ms: int
    outcome: str
    status_code: int | None
    detail: str
    duration_ms: int
    next_try_ms: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one target, with every attempt made."""

    id: int
    event_id: str
    alert_id: uuid.UUID
    type: str
    target: str
    state: JobState
    created_ms: int
    due_ms: int
    settled_ms: int | None
    outcome: str | None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one target has not received."""

    target: str
    waiting: int
    parked: int
    oldest_ms: int | None
    """When the oldest waiting one was recorded."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """Deliveries of one target that wait too long or were refused."""

    target: str
    count: int
    oldest_ms: int
    """When the oldest of them was recorded, or last replayed by hand."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many alerts there are."""

    severity: str
    status: str
    count: int


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and the cursor for the next ones."""

    items: tuple[T, ...]
    next: str | None
