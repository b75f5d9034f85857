"""Statements of street 2: claim, settle, replay. Every function runs in its caller's transaction.

A job is claimed by its state and lease, never by "id larger than the last one": rows that commit out of order
would be lost (event-driven.io on transactional outboxes).
"""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.outbox.schema import alerts, attempts, deliveries, events, targets
from monitor.outbox.types import Job, JobState, Settlement, UnknownDeliveryError
from monitor.outbox.writing import upsert

_UNSETTLED = (JobState.PENDING.value, JobState.LEASED.value)


def _due(now_ms: int) -> ColumnElement[bool]:
    return or_(
        and_(deliveries.c.state == JobState.PENDING.value, deliveries.c.due_ms <= now_ms),
        and_(deliveries.c.state == JobState.LEASED.value, deliveries.c.lease_until_ms <= now_ms),
    )


def _first_of_its_alert() -> ColumnElement[bool]:
    """Nothing earlier of the same alert still waits for the same target: events arrive in their order."""
    earlier = deliveries.alias("earlier")
    return ~(
        select(earlier.c.id)
        .where(
            earlier.c.alert_id == deliveries.c.alert_id,
            earlier.c.target == deliveries.c.target,
            earlier.c.id < deliveries.c.id,
            earlier.c.state.in_(_UNSETTLED),
        )
        .exists()
    )


async def claim(
    connection: AsyncConnection, names: Sequence[str] | None, now_ms: int, limit: int, lease_ms: int
) -> list[Job]:
    """Lease due jobs, oldest due first; what another worker holds is skipped, not waited for."""
    chosen = select(deliveries.c.id).where(_due(now_ms), _first_of_its_alert())
    if names is not None:
        chosen = chosen.where(deliveries.c.target.in_(names))
    chosen = chosen.order_by(deliveries.c.due_ms, deliveries.c.id).limit(limit)
    ids = (await connection.execute(chosen.with_for_update(skip_locked=True, of=deliveries))).scalars().all()
    if not ids:
        return []
    lease = str(uuid.uuid4())
    await connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(ids))
        .values(state=JobState.LEASED.value, lease=lease, lease_until_ms=now_ms + lease_ms)
    )
    return await _jobs(connection, ids, lease)


async def _jobs(connection: AsyncConnection, ids: Sequence[int], lease: str) -> list[Job]:
    statement = (
        select(deliveries, events.c.type, events.c.body, alerts.c.kind, alerts.c.severity, alerts.c.device)
        .join(events, events.c.id == deliveries.c.event_id)
        .join(alerts, alerts.c.id == deliveries.c.alert_id)
        .where(deliveries.c.id.in_(ids))
        .order_by(deliveries.c.due_ms, deliveries.c.id)
    )
    return [
        Job(
            id=row.id,
            lease=lease,
            event_id=row.event_id,
            alert_id=uuid.UUID(row.alert_id),
            target=row.target,
            type=row.type,
            kind=row.kind,
            severity=row.severity,
            device=row.device,
            body=row.body,
            queued_ms=row.queued_ms,
            tries=row.tries,
        )
        for row in await connection.execute(statement)
    ]


async def holds(connection: AsyncConnection, job: Job) -> bool:
    """Whether the job is still ours to send."""
    statement = select(deliveries.c.id).where(
        deliveries.c.id == job.id,
        deliveries.c.lease == job.lease,
        deliveries.c.state == JobState.LEASED.value,
    )
    return (await connection.execute(statement)).first() is not None


async def settle(connection: AsyncConnection, job: Job, done: Settlement, now_ms: int) -> None:
    """Write the attempt down. A lost lease changes the job only when the alert did arrive."""
    await note(connection, job.id, done, now_ms)
    waits = done.state is JobState.PENDING
    values: dict[str, Any] = {
        "state": done.state.value,
        "outcome": done.outcome,
        "tries": deliveries.c.tries + 1,
        "lease": None,
        "lease_until_ms": None,
        "settled_ms": None if waits else now_ms,
    }
    if done.next_try_ms is not None:
        values["due_ms"] = done.next_try_ms
    ours = and_(deliveries.c.lease == job.lease, deliveries.c.state == JobState.LEASED.value)
    if done.state is JobState.DELIVERED:
        ours = or_(ours, deliveries.c.state.in_(_UNSETTLED))
    await connection.execute(update(deliveries).where(deliveries.c.id == job.id, ours).values(**values))


async def release(connection: AsyncConnection, job: Job, now_ms: int) -> None:
    """Give a claimed job back at once; whether its bytes arrived is unknown."""
    await connection.execute(
        update(deliveries)
        .where(deliveries.c.id == job.id, deliveries.c.lease == job.lease)
        .values(state=JobState.PENDING.value, lease=None, lease_until_ms=None, due_ms=now_ms)
    )


async def recover(connection: AsyncConnection, names: Sequence[str], now_ms: int) -> None:
    """Give back every lease on these targets; only where no other process can hold one."""
    await connection.execute(
        update(deliveries)
        .where(deliveries.c.state == JobState.LEASED.value, deliveries.c.target.in_(names))
        .values(state=JobState.PENDING.value, lease=None, lease_until_ms=None, due_ms=now_ms)
    )


async def note(connection: AsyncConnection, delivery_id: int, done: Settlement, now_ms: int) -> None:
    """One line of the ledger."""
    await connection.execute(
        insert(attempts).values(
            delivery_id=delivery_id,
            at_ms=now_ms,
            outcome=done.outcome,
            status_code=done.status_code,
            detail=done.detail[:500],
            duration_ms=done.duration_ms,
            next_try_ms=done.next_try_ms,
        )
    )


async def turn(
    connection: AsyncConnection, delivery_id: int, state: JobState, outcome: str, by: str, now_ms: int
) -> None:
    """A person sends a delivery again, or says that it need not arrive.

    Who sends again says that the target is there: one that was switched off is switched on.

    Raises:
        UnknownDeliveryError: no such delivery, or an attempt is being made right now.
    """
    fresh = {"queued_ms": now_ms, "due_ms": now_ms, "tries": 0, "settled_ms": None}
    values = fresh if state is JobState.PENDING else {"settled_ms": now_ms}
    statement = (
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state != JobState.LEASED.value)
        .values(state=state.value, outcome=outcome, **values)
    )
    result: CursorResult[Any] = await connection.execute(statement)
    if not result.rowcount:
        raise UnknownDeliveryError(delivery_id, "does not exist or is being sent right now")
    await note(connection, delivery_id, Settlement(state, outcome, detail=f"by {by}"), now_ms)
    if state is JobState.PENDING:
        named = select(deliveries.c.target).where(deliveries.c.id == delivery_id)
        await set_disabled(connection, str((await connection.execute(named)).scalar_one()), None, now_ms)


async def next_due(connection: AsyncConnection, names: Sequence[str]) -> int | None:
    """When the next job can be claimed."""
    when = func.min(func.coalesce(deliveries.c.lease_until_ms, deliveries.c.due_ms))
    statement = select(when).where(
        deliveries.c.state.in_(_UNSETTLED), deliveries.c.target.in_(names), _first_of_its_alert()
    )
    found = (await connection.execute(statement)).scalar()
    return None if found is None else int(found)


async def set_disabled(connection: AsyncConnection, name: str, why: str | None, now_ms: int) -> None:
    """Switch a target off (with the reason) or on again (None)."""
    values = {"disabled_ms": None if why is None else now_ms, "disabled_why": why}
    statement = upsert(connection, targets).values(name=name, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


async def disabled(connection: AsyncConnection) -> dict[str, str]:
    """Targets that are off, with the reason."""
    statement = select(targets.c.name, targets.c.disabled_why).where(targets.c.disabled_ms.is_not(None))
    return {row.name: row.disabled_why or "" for row in await connection.execute(statement)}
