"""The outbox: what each caller may ask, one transaction each, held to its end even when the caller is cancelled."""

import uuid
from collections.abc import Callable, Sequence

from sqlalchemy import update

from monitor.alerts import Acknowledgement, Alert, AlertEvent, EventType, Origin, Status, moment
from monitor.maintenance import Logged, Maintenance
from monitor.outbox import claiming, maintaining, reading, writing
from monitor.outbox.database import Database, shielded
from monitor.outbox.schema import alerts
from monitor.outbox.types import (
    Backlog,
    Count,
    Delivery,
    Job,
    JobState,
    Milestone,
    Page,
    Recorded,
    Restored,
    Settlement,
    Stuck,
    UnknownAlertError,
    Work,
)
from streams.transport import TopicPartition


def _pass(_: Milestone) -> None:
    """Nobody watches."""


class Outbox:
    """Made by `Outbox.open`. All of its methods raise OutboxUnavailableError when the database is away."""

    def __init__(
        self, database: Database, targets: Sequence[str] = (), milestone: Callable[[Milestone], None] = _pass
    ) -> None:
        self._db = database
        self.targets = tuple(targets)
        self._milestone = milestone

    @classmethod
    async def open(
        cls,
        url: str,
        targets: Sequence[str] = (),
        *,
        statement_timeout_s: float = 15.0,
        milestone: Callable[[Milestone], None] = _pass,
    ) -> "Outbox":
        """Connect and bring the schema up to date.

        Args:
            url: `sqlite:///file` or `postgresql://user:password@host/name`.
            targets: names of the notifiers; every event becomes a delivery to each.
            statement_timeout_s: held by the PostgreSQL server; for SQLite the wait for a connection.
            milestone: told of every place where a crash must do no harm.

        Raises:
            OutboxUnavailableError: with the reason, and the URL without its secrets.
            OutboxTooNewError: the database was written by a newer version.
        """
        database = Database(url, statement_timeout_s=statement_timeout_s)
        try:
            await database.migrate()
        except BaseException:
            await database.close()
            raise
        return cls(database, targets, milestone)

    @property
    def url(self) -> str:
        """Without secrets."""
        return self._db.url

    async def close(self) -> None:
        """Give every connection back."""
        await self._db.close()

    # -- street 1 --------------------------------------------------------------------------------------

    async def acquire(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Restored]:
        """Own these partitions from now on, whoever held them before."""

        async def transaction() -> dict[TopicPartition, Restored]:
            async with self._db.write() as connection:
                # Sorted, so that two workers never wait for each other in a circle.
                return {p: await writing.acquire(connection, p) for p in sorted(set(partitions))}

        return await shielded(transaction())

    async def record(self, work: Work) -> Recorded:
        """Write alerts, events, deliveries and checkpoints, all or none; doing it again changes nothing.

        Raises:
            StaleEpochError: another worker owns one of the partitions now; nothing was written.
            ValueError: a checkpoint of a partition whose epoch is not given.
        """
        if missing := set(work.checkpoints) - set(work.epochs):
            raise ValueError(f"checkpoints without an epoch: {sorted(missing)}")
        return await shielded(self._record(work))

    async def _record(self, work: Work) -> Recorded:
        async with self._db.write() as connection:
            self._milestone(Milestone.BEGUN)
            await writing.fence(connection, work.epochs)
            self._milestone(Milestone.FENCED)
            new: list[AlertEvent] = []
            jobs = 0
            if work.events:
                known = await writing.acknowledgements(connection, [event.alert.id for event in work.events])
                happened = [_as_left_by(event, known.get(event.alert.id)) for event in work.events]
                await writing.put_alerts(connection, work.events, work.now_ms)
                new = await writing.put_events(connection, happened, work.now_ms)
                jobs = await writing.put_jobs(connection, new, self.targets, work.now_ms)
                self._milestone(Milestone.ALERTS_WRITTEN)
            if work.explanations:
                await writing.put_explanations(connection, work.explanations)
            await writing.save(connection, work.checkpoints, work.now_ms)
            await maintaining.apply(connection, work.applied)
            self._milestone(Milestone.CHECKPOINT_WRITTEN)
        self._milestone(Milestone.COMMITTED)
        return Recorded(tuple(new), jobs)

    # -- people ----------------------------------------------------------------------------------------

    async def acknowledge(self, alert_id: uuid.UUID, by: str, note: str, now_ms: int) -> Alert:
        """Somebody takes care; the first one stands, and every target is told.

        Raises:
            UnknownAlertError: no such alert.
            pydantic.ValidationError: no name, or a text that is too long.
        """
        acknowledged = Acknowledgement(by=by, at=moment(now_ms), note=note)
        return await shielded(self._acknowledge(alert_id, acknowledged, now_ms))

    async def _acknowledge(self, alert_id: uuid.UUID, acknowledged: Acknowledgement, now_ms: int) -> Alert:
        async with self._db.write() as connection:
            alert = await reading.one(connection, alert_id, hold=True)
            if alert is None:
                raise UnknownAlertError(alert_id)
            if alert.acknowledged is not None:
                return alert
            alert = alert.with_acknowledgement(acknowledged)
            columns = {"ack_by": acknowledged.by, "ack_ms": now_ms, "ack_note": acknowledged.note}
            await connection.execute(
                update(alerts)
                .where(alerts.c.id == str(alert_id))
                .values(**columns, status=alert.status.value, changed_ms=now_ms)
            )
            event = AlertEvent(alert, EventType.ACKNOWLEDGED, 1, now_ms, Origin.PERSON)
            await writing.put_events(connection, [event], now_ms)
            await writing.put_jobs(connection, [event], self.targets, now_ms)
        return alert

    async def alerts(
        self,
        *,
        status: Status | Sequence[Status] | None = None,
        device: str | None = None,
        severity: str | None = None,
        kind: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Alert]:
        """Alerts, the latest started first; `before` is the `next` of the page before.

        Raises:
            InvalidCursorError: `before` was not made here.
        """
        statuses = [status] if isinstance(status, Status) else status
        filters = {
            "status": None if statuses is None else [s.value for s in statuses],
            "device": None if device is None else [device],
            "severity": None if severity is None else [severity],
            "kind": None if kind is None else [kind],
        }
        wanted = {column: values for column, values in filters.items() if values is not None}
        async with self._db.read() as connection:
            return await reading.page(connection, wanted, limit, before)

    async def alert(self, alert_id: uuid.UUID) -> Alert | None:
        """One alert, None where there is none."""
        async with self._db.read() as connection:
            return await reading.one(connection, alert_id)

    async def explanation(self, alert_id: uuid.UUID) -> bytes | None:
        """What stands behind an alert's picture, for `monitor.explanations.read`; None where there is nothing."""
        async with self._db.read() as connection:
            return await reading.explanation(connection, alert_id)

    async def counts(self) -> list[Count]:
        """How many alerts by severity and status."""
        async with self._db.read() as connection:
            return await reading.counts(connection)

    async def deliveries(self, alert_id: uuid.UUID) -> list[Delivery]:
        """Every delivery of an alert with every attempt, in order."""
        async with self._db.read() as connection:
            return await reading.ledger(connection, alert_id=alert_id)

    async def failures(self, limit: int = 100, after: int | None = None) -> list[Delivery]:
        """Parked deliveries; `after` is the id of the last one seen."""
        async with self._db.read() as connection:
            return await reading.ledger(connection, states=[JobState.PARKED], after=after, limit=limit)

    async def replay(self, delivery_id: int, by: str, now_ms: int) -> None:
        """Send a delivery again, with the same id and bytes, on a fresh schedule. Its target is on again if it was off.

        Raises:
            UnknownDeliveryError: no such delivery, or it is being sent right now.
        """
        await self._turn(delivery_id, JobState.PENDING, "replayed", by, now_ms)

    async def discard(self, delivery_id: int, by: str, now_ms: int) -> None:
        """This delivery need not arrive; the ledger keeps who said so.

        Raises:
            UnknownDeliveryError: no such delivery, or it is being sent right now.
        """
        await self._turn(delivery_id, JobState.DISCARDED, "discarded", by, now_ms)

    async def _turn(self, delivery_id: int, state: JobState, outcome: str, by: str, now_ms: int) -> None:
        async def transaction() -> None:
            async with self._db.write() as connection:
                await claiming.turn(connection, delivery_id, state, outcome, by, now_ms)

        await shielded(transaction())

    async def maintain(self, entry: Maintenance, now_ms: int) -> Logged:
        """Keep that a device was serviced; said twice it is kept once. The lane of the device applies it."""

        async def transaction() -> Logged:
            async with self._db.write() as connection:
                return await maintaining.enter(connection, entry, now_ms)

        return await shielded(transaction())

    async def pending_maintenance(self) -> list[Maintenance]:
        """What no lane has applied yet, oldest first."""
        async with self._db.read() as connection:
            return await maintaining.pending(connection)

    async def maintenance(self, device: str, limit: int = 50) -> list[Logged]:
        """The latest entries of a device, latest first."""
        async with self._db.read() as connection:
            return await maintaining.log(connection, device, limit)

    # -- street 2 --------------------------------------------------------------------------------------

    async def claim(
        self, now_ms: int, limit: int, lease_s: float, targets: Sequence[str] | None = None
    ) -> list[Job]:
        """Lease due deliveries. An alert's events go to a target one after the other."""

        async def transaction() -> list[Job]:
            async with self._db.write() as connection:
                return await claiming.claim(connection, targets, now_ms, limit, int(lease_s * 1000))

        jobs = await shielded(transaction())
        if jobs:
            self._milestone(Milestone.CLAIMED)
        return jobs

    async def holds(self, job: Job) -> bool:
        """Whether the lease is still ours."""
        async with self._db.read() as connection:
            return await claiming.holds(connection, job)

    async def settle(self, job: Job, done: Settlement, now_ms: int) -> None:
        """Write down what came of an attempt, and when to try again."""

        async def transaction() -> None:
            async with self._db.write() as connection:
                await claiming.settle(connection, job, done, now_ms)

        await shielded(transaction())
        self._milestone(Milestone.SETTLED)

    async def release(self, job: Job, now_ms: int) -> None:
        """Give a claimed delivery back at once."""

        async def transaction() -> None:
            async with self._db.write() as connection:
                await claiming.release(connection, job, now_ms)

        await shielded(transaction())

    async def recover(self, targets: Sequence[str], now_ms: int) -> None:
        """At start: free what a process that died had claimed.

        Only on SQLite, which one process dispatches from; on PostgreSQL the leases may be another worker's.
        """
        if not self._db.is_sqlite:
            return

        async def transaction() -> None:
            async with self._db.write() as connection:
                await claiming.recover(connection, targets, now_ms)

        await shielded(transaction())

    async def next_due(self, targets: Sequence[str]) -> int | None:
        """When the next delivery to these targets can be claimed; None while none waits."""
        async with self._db.read() as connection:
            return await claiming.next_due(connection, targets)

    async def disable(self, target: str, why: str, now_ms: int) -> None:
        """Send nothing to this target until a person sends one of its deliveries again (`replay`)."""

        async def transaction() -> None:
            async with self._db.write() as connection:
                await claiming.set_disabled(connection, target, why, now_ms)

        await shielded(transaction())

    async def disabled(self) -> dict[str, str]:
        """Targets that are off, with the reason."""
        async with self._db.read() as connection:
            return await claiming.disabled(connection)

    # -- figures and housekeeping ----------------------------------------------------------------------

    async def backlog(self) -> list[Backlog]:
        """What each target has not received."""
        async with self._db.read() as connection:
            return await reading.backlog(connection)

    async def stuck(self, now_ms: int, older_than_s: float = 60.0) -> list[Stuck]:
        """Targets with deliveries parked or waiting for longer than that."""
        async with self._db.read() as connection:
            return await reading.stuck(connection, now_ms - int(older_than_s * 1000))

    async def prune(self, before_ms: int, limit: int = 500) -> int:
        """Delete at most so many alerts resolved before that time, with all that belongs to them; how many.

        The maintenance log loses what was recorded before that time.
        """

        async def transaction() -> int:
            async with self._db.write() as connection:
                await maintaining.prune(connection, before_ms)
                return await reading.prune(connection, before_ms, limit)

        return await shielded(transaction())


def _as_left_by(event: AlertEvent, acknowledged: Acknowledgement | None) -> AlertEvent:
    """The stream does not know what people did; who receives the event should."""
    if acknowledged is None:
        return event
    alert = event.alert.with_acknowledgement(acknowledged)
    return AlertEvent(alert, event.type, event.number, event.at_ms, event.origin, event.targets)
