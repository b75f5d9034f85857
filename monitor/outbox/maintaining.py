"""Statements about the maintenance log. Every function runs in its caller's transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CursorResult, Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.maintenance import Applied, Logged, Maintenance
from monitor.outbox.schema import maintenance
from monitor.outbox.writing import upsert


def _logged(row: Row[Any]) -> Logged:
    entry = Maintenance(
        device=row.device,
        by=row.who,
        at_ms=row.at_ms,
        effective_ms=row.effective_ms,
        note=row.note,
        rebaseline=row.rebaseline,
    )
    return Logged(entry, row.recorded_ms, row.applied_at_ms)


async def enter(connection: AsyncConnection, entry: Maintenance, now_ms: int) -> Logged:
    """Keep an entry; one that is there already stays as it is."""
    insert = upsert(connection, maintenance).values(
        id=str(entry.id),
        device=entry.device,
        who=entry.by,
        at_ms=entry.at_ms,
        effective_ms=entry.effective_ms,
        note=entry.note,
        rebaseline=entry.rebaseline,
        recorded_ms=now_ms,
    )
    await connection.execute(insert.on_conflict_do_nothing(index_elements=["id"]))
    kept = select(maintenance).where(maintenance.c.id == str(entry.id))
    return _logged((await connection.execute(kept)).one())


async def pending(connection: AsyncConnection) -> list[Maintenance]:
    """What no lane has applied yet, oldest first."""
    statement = select(maintenance).where(maintenance.c.applied_at_ms.is_(None)).order_by(maintenance.c.seq)
    return [_logged(row).entry for row in await connection.execute(statement)]


async def log(connection: AsyncConnection, device: str, limit: int) -> list[Logged]:
    """The latest entries of a device, latest first."""
    statement = (
        select(maintenance)
        .where(maintenance.c.device == device)
        .order_by(maintenance.c.seq.desc())
        .limit(limit)
    )
    return [_logged(row) for row in await connection.execute(statement)]


async def apply(connection: AsyncConnection, applied: Sequence[Applied]) -> None:
    """These took effect; said again by a replay, the first time stands."""
    for one in applied:
        statement = (
            update(maintenance)
            .where(maintenance.c.id == str(one.id), maintenance.c.applied_at_ms.is_(None))
            .values(applied_at_ms=one.at_ms)
        )
        await connection.execute(statement)


async def prune(connection: AsyncConnection, before_ms: int) -> int:
    """Remove entries recorded before that time, also those of devices that never came."""
    result: CursorResult[Any] = await connection.execute(
        delete(maintenance).where(maintenance.c.recorded_ms < before_ms)
    )
    return result.rowcount
