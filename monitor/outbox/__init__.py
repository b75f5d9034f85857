"""The durable door between the two streets: alerts, events, deliveries and checkpoints in one database.

The only package that imports SQLAlchemy and Alembic. SQLite in a file, or PostgreSQL by URL; the same code.
"""

from monitor.outbox.core import Outbox
from monitor.outbox.database import migrate
from monitor.outbox.types import (
    Attempt,
    Backlog,
    Checkpoint,
    Count,
    Delivery,
    InvalidCursorError,
    Job,
    JobState,
    Milestone,
    OutboxError,
    OutboxTooNewError,
    OutboxUnavailableError,
    Page,
    Recorded,
    Restored,
    Settlement,
    StaleEpochError,
    Stuck,
    UnknownAlertError,
    UnknownDeliveryError,
    Work,
)

__all__ = [
    "Attempt",
    "Backlog",
    "Checkpoint",
    "Count",
    "Delivery",
    "InvalidCursorError",
    "Job",
    "JobState",
    "Milestone",
    "Outbox",
    "OutboxError",
    "OutboxTooNewError",
    "OutboxUnavailableError",
    "Page",
    "Recorded",
    "Restored",
    "Settlement",
    "StaleEpochError",
    "Stuck",
    "UnknownAlertError",
    "UnknownDeliveryError",
    "Work",
    "migrate",
]
