"""Statements of street 1: fences, alerts, events, jobs, checkpoints; each runs in its caller's transaction."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Table, case, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.alerts import Acknowledgement, AlertEvent, Status, body, milliseconds, moment
from monitor.explanations import Kept
from monitor.outbox.schema import alerts, checkpoints, deliveries, events, explanations
from monitor.outbox.types import Checkpoint, JobState, Restored, StaleEpochError
from streams.transport import TopicPartition

T = TypeVar("T")
_ROWS = 200
"""Rows of one statement; both databases limit the number of parameters."""


def upsert(connection: AsyncConnection, table: Table) -> "postgresql.Insert | sqlite.Insert":
    """An INSERT that knows ON CONFLICT, in the connection's dialect."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def chunks(rows: Sequence[T], size: int = _ROWS) -> Iterator[Sequence[T]]:
    """The rows, so many at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


async def acquire(connection: AsyncConnection, partition: TopicPartition) -> Restored:
    """Take a partition over: whoever held it before can write no more."""
    insert = upsert(connection, checkpoints).values(
        topic=partition.topic, partition=partition.partition, epoch=1
    )
    statement = insert.on_conflict_do_update(
        index_elements=["topic", "partition"], set_={"epoch": checkpoints.c.epoch + 1}
    ).returning(checkpoints.c.epoch, checkpoints.c.next_offset, checkpoints.c.state)
    row = (await connection.execute(statement)).one()
    return Restored(row.epoch, row.next_offset, row.state)


async def fence(connection: AsyncConnection, epochs: Mapping[TopicPartition, int]) -> None:
    """Hold the partitions' epochs until the transaction ends.

    Raises:
        StaleEpochError: some of them are another worker's now.
    """
    stale = []
    for partition, epoch in sorted(epochs.items()):
        statement = (
            select(checkpoints.c.epoch)
            .where(checkpoints.c.topic == partition.topic, checkpoints.c.partition == partition.partition)
            .with_for_update()
        )
        if (await connection.execute(statement)).scalar() != epoch:
            stale.append(partition)
    if stale:
        raise StaleEpochError(stale)


async def save(connection: AsyncConnection, saved: Mapping[TopicPartition, Checkpoint], now_ms: int) -> None:
    """Write checkpoints of partitions that are fenced."""
    for partition, checkpoint in saved.items():
        values: dict[str, Any] = {"next_offset": checkpoint.next_offset, "saved_ms": now_ms}
        if checkpoint.state is not None:
            values["state"] = checkpoint.state
        statement = (
            update(checkpoints)
            .where(checkpoints.c.topic == partition.topic, checkpoints.c.partition == partition.partition)
            .values(**values)
        )
        await connection.execute(statement)


async def acknowledgements(
    connection: AsyncConnection, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, Acknowledgement]:
    """Acknowledgements of these alerts, whose rows are held until the transaction ends."""
    found = {}
    for some in chunks(sorted({str(key) for key in ids})):
        statement = (
            select(alerts.c.id, alerts.c.ack_by, alerts.c.ack_ms, alerts.c.ack_note)
            .where(alerts.c.id.in_(some))
            .order_by(alerts.c.id)
            .with_for_update()
        )
        for row in await connection.execute(statement):
            if acknowledged := acknowledgement(row.ack_by, row.ack_ms, row.ack_note):
                found[uuid.UUID(row.id)] = acknowledged
    return found


def acknowledgement(by: str | None, at_ms: int | None, note: str | None) -> Acknowledgement | None:
    """From columns."""
    if by is None or at_ms is None:
        return None
    return Acknowledgement(by=by, at=moment(at_ms), note=note or "")


async def put_alerts(connection: AsyncConnection, happened: Sequence[AlertEvent], now_ms: int) -> None:
    """The newest state of each alert; an older event changes nothing, and never an acknowledgement."""
    newest = {event.alert.id: event for event in happened}
    rows = [_alert_row(event, now_ms) for _, event in sorted(newest.items(), key=lambda item: str(item[0]))]
    for some in chunks(rows):
        insert = upsert(connection, alerts).values(list(some))
        new = insert.excluded
        status = case(
            (new.status == Status.RESOLVED.value, new.status),
            (alerts.c.ack_ms.is_not(None), Status.ACKNOWLEDGED.value),
            else_=new.status,
        )
        changed = {name: new[name] for name in ("severity", "number", "body", "changed_ms")}
        await connection.execute(
            insert.on_conflict_do_update(
                index_elements=["id"], set_={**changed, "status": status}, where=new.number > alerts.c.number
            )
        )


def _alert_row(event: AlertEvent, now_ms: int) -> dict[str, Any]:
    alert = event.alert
    return {
        "id": str(alert.id),
        "device": alert.device.id,
        "device_type": alert.device.type,
        "kind": alert.kind.value,
        "severity": alert.severity.value,
        "status": alert.status.value,
        "started_ms": milliseconds(alert.started_at),
        "number": event.number,
        "body": alert.model_dump_json(),
        "changed_ms": now_ms,
    }


async def put_explanations(connection: AsyncConnection, kept: Sequence[Kept]) -> None:
    """The newest window of each alert; one of an alert that is there no more is left out."""
    newest = {str(one.alert_id): one for one in sorted(kept, key=lambda one: one.at_ms)}
    for some in chunks(sorted(newest)):
        there = (await connection.execute(select(alerts.c.id).where(alerts.c.id.in_(some)))).scalars().all()
        rows = [
            {"alert_id": key, "at_ms": newest[key].at_ms, "body": newest[key].body} for key in sorted(there)
        ]
        if not rows:
            continue
        insert = upsert(connection, explanations).values(rows)
        new = insert.excluded
        await connection.execute(
            insert.on_conflict_do_update(
                index_elements=["alert_id"],
                set_={"at_ms": new.at_ms, "body": new.body},
                where=new.at_ms >= explanations.c.at_ms,
            )
        )


async def put_events(
    connection: AsyncConnection, happened: Sequence[AlertEvent], now_ms: int
) -> list[AlertEvent]:
    """The events that were not there yet; a known one keeps its first bytes."""
    new: set[str] = set()
    for some in chunks(happened):
        rows = [
            {
                "id": event.id,
                "alert_id": str(event.alert.id),
                "origin": event.origin.value,
                "number": event.number,
                "type": event.type.value,
                "at_ms": event.at_ms,
                "recorded_ms": now_ms,
                "body": body(event),
            }
            for event in some
        ]
        insert = upsert(connection, events).values(rows).on_conflict_do_nothing().returning(events.c.id)
        new.update((await connection.execute(insert)).scalars())
    return [event for event in happened if event.id in new]


async def put_jobs(
    connection: AsyncConnection, happened: Sequence[AlertEvent], targets: Sequence[str], now_ms: int
) -> int:
    """One delivery for each event and target, in the events' order; answers how many are new."""
    rows = [
        {
            "event_id": event.id,
            "alert_id": str(event.alert.id),
            "target": target,
            "state": JobState.PENDING.value,
            "created_ms": now_ms,
            "queued_ms": now_ms,
            "due_ms": now_ms,
            "tries": 0,
        }
        for event in happened
        for target in (targets if event.targets is None else event.targets)
    ]
    count = 0
    for some in chunks(rows):
        insert = upsert(connection, deliveries).values(list(some)).on_conflict_do_nothing()
        result: CursorResult[Any] = await connection.execute(insert)
        count += result.rowcount
    return count
