"""Questions of the API, the command line and the metrics. Every function runs in its caller's transaction."""

import base64
import binascii
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CursorResult, Row, and_, delete, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.alerts import Alert, Status
from monitor.outbox.schema import alerts, attempts, deliveries, events, explanations
from monitor.outbox.types import Attempt, Backlog, Count, Delivery, InvalidCursorError, JobState, Page, Stuck
from monitor.outbox.writing import acknowledgement, chunks

_WAITING = (JobState.PENDING.value, JobState.LEASED.value)


def _alert(row: Row[Any]) -> Alert:
    kept = Alert.model_validate_json(row.body)
    return kept.with_acknowledgement(acknowledgement(row.ack_by, row.ack_ms, row.ack_note))


def _cursor(row: Row[Any]) -> str:
    return base64.urlsafe_b64encode(f"{row.started_ms}:{row.id}".encode()).decode().rstrip("=")


def _from_cursor(cursor: str) -> tuple[int, str]:
    try:
        started, _, key = base64.urlsafe_b64decode(f"{cursor}==".encode()).decode().partition(":")
        # Eight bytes are what both databases can compare with.
        int(started).to_bytes(8, "big", signed=True)
        return int(started), str(uuid.UUID(key))
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidCursorError("this cursor was not made by a list of alerts") from None


async def page(
    connection: AsyncConnection,
    filters: Mapping[str, Sequence[str]],
    limit: int,
    before: str | None,
) -> Page[Alert]:
    """Alerts, the latest started first; `filters`: column → values of which one must hold."""
    statement = select(alerts).order_by(alerts.c.started_ms.desc(), alerts.c.id.desc()).limit(limit + 1)
    for column, values in filters.items():
        statement = statement.where(alerts.c[column].in_(values))
    if before is not None:
        statement = statement.where(tuple_(alerts.c.started_ms, alerts.c.id) < tuple_(*_from_cursor(before)))
    rows = (await connection.execute(statement)).all()
    more = _cursor(rows[limit - 1]) if len(rows) > limit else None
    return Page(tuple(_alert(row) for row in rows[:limit]), more)


async def one(connection: AsyncConnection, alert_id: uuid.UUID, *, hold: bool = False) -> Alert | None:
    """One alert; `hold` keeps its row until the transaction ends."""
    statement = select(alerts).where(alerts.c.id == str(alert_id))
    row = (await connection.execute(statement.with_for_update() if hold else statement)).first()
    return None if row is None else _alert(row)


async def explanation(connection: AsyncConnection, alert_id: uuid.UUID) -> bytes | None:
    """What stands behind an alert's picture, as it was kept; None where there is nothing."""
    statement = select(explanations.c.body).where(explanations.c.alert_id == str(alert_id))
    found: bytes | None = (await connection.execute(statement)).scalar()
    return found


async def counts(connection: AsyncConnection) -> list[Count]:
    """How many alerts by severity and status."""
    statement = select(alerts.c.severity, alerts.c.status, func.count()).group_by(
        alerts.c.severity, alerts.c.status
    )
    return [Count(*row) for row in await connection.execute(statement)]


async def ledger(
    connection: AsyncConnection,
    *,
    alert_id: uuid.UUID | None = None,
    states: Sequence[JobState] | None = None,
    after: int | None = None,
    limit: int = 1000,
) -> list[Delivery]:
    """Deliveries with their attempts, in the order in which they were recorded."""
    statement = (
        select(deliveries, events.c.type)
        .join(events, events.c.id == deliveries.c.event_id)
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    if alert_id is not None:
        statement = statement.where(deliveries.c.alert_id == str(alert_id))
    if states is not None:
        statement = statement.where(deliveries.c.state.in_([state.value for state in states]))
    if after is not None:
        statement = statement.where(deliveries.c.id > after)
    rows = (await connection.execute(statement)).all()
    tried = await _attempts(connection, [row.id for row in rows])
    return [
        Delivery(
            id=row.id,
            event_id=row.event_id,
            alert_id=uuid.UUID(row.alert_id),
            type=row.type,
            target=row.target,
            state=JobState(row.state),
            created_ms=row.created_ms,
            due_ms=row.due_ms,
            settled_ms=row.settled_ms,
            outcome=row.outcome,
            attempts=tuple(tried[row.id]),
        )
        for row in rows
    ]


async def _attempts(connection: AsyncConnection, ids: Sequence[int]) -> dict[int, list[Attempt]]:
    found: dict[int, list[Attempt]] = defaultdict(list)
    for some in chunks(ids):
        statement = select(attempts).where(attempts.c.delivery_id.in_(some)).order_by(attempts.c.id)
        for row in await connection.execute(statement):
            found[row.delivery_id].append(
                Attempt(row.at_ms, row.outcome, row.status_code, row.detail, row.duration_ms, row.next_try_ms)
            )
    return found


async def backlog(connection: AsyncConnection) -> list[Backlog]:
    """What each target has not received."""
    waits = deliveries.c.state.in_(_WAITING)
    statement = (
        select(
            deliveries.c.target,
            func.count().filter(waits),
            func.count().filter(deliveries.c.state == JobState.PARKED.value),
            func.min(deliveries.c.created_ms).filter(waits),
        )
        .where(or_(waits, deliveries.c.state == JobState.PARKED.value))
        .group_by(deliveries.c.target)
        .order_by(deliveries.c.target)
    )
    return [Backlog(*row) for row in await connection.execute(statement)]


async def stuck(connection: AsyncConnection, before_ms: int) -> list[Stuck]:
    """Targets with deliveries parked, or waiting since before `before_ms`."""
    late = and_(deliveries.c.state.in_(_WAITING), deliveries.c.queued_ms < before_ms)
    statement = (
        select(deliveries.c.target, func.count(), func.min(deliveries.c.queued_ms))
        .where(or_(late, deliveries.c.state == JobState.PARKED.value))
        .group_by(deliveries.c.target)
        .order_by(deliveries.c.target)
    )
    return [Stuck(*row) for row in await connection.execute(statement)]


async def prune(connection: AsyncConnection, before_ms: int, limit: int) -> int:
    """Delete alerts resolved before that time, with their events and deliveries; unfinished deliveries keep theirs."""
    unfinished = (
        select(deliveries.c.id)
        .where(
            deliveries.c.alert_id == alerts.c.id, deliveries.c.state.in_((*_WAITING, JobState.PARKED.value))
        )
        .exists()
    )
    chosen = (
        select(alerts.c.id)
        .where(alerts.c.status == Status.RESOLVED.value, alerts.c.changed_ms < before_ms, ~unfinished)
        .order_by(alerts.c.changed_ms)
        .limit(limit)
    )
    ids = (await connection.execute(chosen)).scalars().all()
    removed = 0
    for some in chunks(ids):
        result: CursorResult[Any] = await connection.execute(delete(alerts).where(alerts.c.id.in_(some)))
        removed += result.rowcount
    return removed
