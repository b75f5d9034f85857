"""The outbox, on SQLite and on PostgreSQL."""

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from pydantic import ValidationError
from sqlalchemy import column, inspect, table, text

from monitor.alerts import Alert, AlertEvent, EventType, Status, body
from monitor.explanations import Kept
from monitor.findings import Severity
from monitor.outbox import (
    Checkpoint,
    InvalidCursorError,
    JobState,
    Milestone,
    Outbox,
    OutboxTooNewError,
    OutboxUnavailableError,
    Settlement,
    StaleEpochError,
    UnknownAlertError,
    UnknownDeliveryError,
    Work,
    migrate,
)
from monitor.outbox.database import Database
from monitor.outbox.schema import VERSION_TABLE, metadata
from streams.transport import TopicPartition
from tests.databases import Postgres
from tests.monitor.worlds import START, story

P0, P1 = TopicPartition("telemetry", 0), TopicPartition("telemetry", 1)
NOW = START + 60_000
OK = Settlement(JobState.DELIVERED, "delivered", 200, duration_ms=12)


@asynccontextmanager
async def opened(url: str, *targets: str, **options: Any) -> AsyncIterator[Outbox]:
    outbox = await Outbox.open(url, targets, **options)
    try:
        yield outbox
    finally:
        await outbox.close()


@pytest.fixture
async def outbox(database_url: str) -> AsyncIterator[Outbox]:
    async with opened(database_url, "engineering", "topic") as made:
        yield made


async def deliver_all(outbox: Outbox, now_ms: int = NOW) -> list[str]:
    """Deliver until nothing is due; event ids in the order sent."""
    sent = []
    while jobs := await outbox.claim(now_ms, 100, 30):
        for job in jobs:
            await outbox.settle(job, OK, now_ms)
            sent.append(job.event_id)
    return sent


# -- record ---------------------------------------------------------------------------------------------


async def test_what_is_recorded_can_be_read_delivered_and_restored(database_url: str) -> None:
    events = story()
    async with opened(database_url, "engineering") as outbox:
        mine = await outbox.acquire([P0])
        assert (mine[P0].epoch, mine[P0].next_offset, mine[P0].state) == (1, None, None)
        done = await outbox.record(Work({P0: 1}, events, {P0: Checkpoint(42, b"\x00state")}, NOW))
        assert (done.events, done.jobs) == (tuple(events), 3)

    async with opened(database_url, "engineering") as outbox:
        again = await outbox.acquire([P0])
        assert (again[P0].epoch, again[P0].next_offset, again[P0].state) == (2, 42, b"\x00state")
        assert await outbox.alert(events[0].alert.id) == events[-1].alert
        assert (await outbox.alerts()).items == (events[-1].alert,)
        assert await deliver_all(outbox) == [event.id for event in events]


async def test_recording_twice_changes_nothing(outbox: Outbox) -> None:
    epoch = (await outbox.acquire([P0]))[P0].epoch
    work = Work({P0: epoch}, story(), {P0: Checkpoint(7, b"s")}, NOW)

    first = await outbox.record(work)
    sent = await deliver_all(outbox)
    second = await outbox.record(work)
    part = await outbox.record(Work({P0: epoch}, work.events[:1], {}, NOW + 5))

    assert (len(first.events), first.jobs) == (3, 6)
    assert (second.events, second.jobs, part.jobs) == ((), 0, 0)
    assert len(sent) == 6
    assert await deliver_all(outbox) == []
    assert await outbox.alert(work.events[0].alert.id) == work.events[-1].alert


async def test_a_replay_keeps_the_first_bytes(outbox: Outbox) -> None:
    events = story(steps=1, resolved=False)
    await outbox.record(Work({}, events, {}, NOW))
    other = AlertEvent(events[0].alert.model_copy(update={"peak": 99.0}), EventType.OPENED, 1, NOW)

    await outbox.record(Work({}, [other], {}, NOW + 1))

    [job, _] = await outbox.claim(NOW, 10, 30)
    assert job.body == body(events[0])


async def test_an_old_owner_writes_nothing(outbox: Outbox) -> None:
    old = (await outbox.acquire([P0, P1]))[P0].epoch
    new = (await outbox.acquire([P0]))[P0].epoch
    events = story()

    with pytest.raises(StaleEpochError, match="telemetry/0") as error:
        await outbox.record(Work({P0: old, P1: 1}, events, {P1: Checkpoint(5, b"x")}, NOW))
    assert error.value.partitions == (P0,)
    assert await outbox.alert(events[0].alert.id) is None
    assert (await outbox.backlog(), (await outbox.acquire([P1]))[P1].next_offset) == ([], None)

    await outbox.record(Work({P0: new}, events, {P0: Checkpoint(5)}, NOW))
    assert await outbox.alert(events[0].alert.id) is not None


async def test_an_unknown_partition_is_stale_and_a_checkpoint_needs_an_epoch(outbox: Outbox) -> None:
    with pytest.raises(StaleEpochError):
        await outbox.record(Work({P0: 1}, (), {P0: Checkpoint(1)}, NOW))
    with pytest.raises(ValueError, match="without an epoch"):
        await outbox.record(Work({}, (), {P0: Checkpoint(1)}, NOW))


async def test_a_checkpoint_without_state_keeps_the_saved_one(outbox: Outbox) -> None:
    await outbox.acquire([P0])
    await outbox.record(Work({P0: 1}, (), {P0: Checkpoint(10, b"big")}, NOW))
    await outbox.record(Work({P0: 1}, (), {P0: Checkpoint(20)}, NOW))

    restored = (await outbox.acquire([P0]))[P0]

    assert (restored.next_offset, restored.state) == (20, b"big")


async def test_large_states_and_many_events_fit_in_one_transaction(outbox: Outbox) -> None:
    await outbox.acquire([P0])
    state = bytes(range(256)) * 40_000
    events = [event for i in range(700) for event in story(f"SN-{i}", steps=2)]

    done = await outbox.record(Work({P0: 1}, events, {P0: Checkpoint(1, state)}, NOW))

    assert (len(done.events), done.jobs) == (1400, 2800)
    assert (await outbox.acquire([P0]))[P0].state == state


@pytest.mark.parametrize(
    "point", [Milestone.BEGUN, Milestone.FENCED, Milestone.ALERTS_WRITTEN, Milestone.CHECKPOINT_WRITTEN]
)
async def test_a_failure_anywhere_before_the_commit_leaves_nothing(
    database_url: str, point: Milestone
) -> None:
    armed = True

    def fail(here: Milestone) -> None:
        if armed and here is point:
            raise RuntimeError(point)

    async with opened(database_url, "engineering", milestone=fail) as outbox:
        await outbox.acquire([P0])
        work = Work({P0: 1}, story(), {P0: Checkpoint(9, b"s")}, NOW)
        with pytest.raises(RuntimeError):
            await outbox.record(work)
        assert (await outbox.alerts()).items == ()
        assert await outbox.backlog() == []
        armed = False
        assert (await outbox.record(work)).jobs == 3
        restored = (await outbox.acquire([P0]))[P0]
        assert (restored.epoch, restored.next_offset) == (2, 9)


async def test_a_cancelled_record_is_finished_all_the_same(database_url: str) -> None:
    reached = asyncio.Event()
    async with opened(database_url, "engineering", milestone=lambda _: reached.set()) as outbox:
        await outbox.acquire([P0])
        task = asyncio.create_task(outbox.record(Work({P0: 1}, story(), {P0: Checkpoint(3)}, NOW)))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert len((await outbox.alerts()).items) == 1
        assert (await outbox.acquire([P0]))[P0].next_offset == 3


async def test_two_workers_recording_the_same_events_make_one_delivery_each(database_url: str) -> None:
    async with opened(database_url, "engineering") as one, opened(database_url, "engineering") as two:
        events = [event for i in range(20) for event in story(f"SN-{i}")]
        done = await asyncio.gather(*(box.record(Work({}, events, {}, NOW)) for box in (one, two) * 3))

        assert sum(d.jobs for d in done) == 60
        assert len(await deliver_all(one)) == 60


# -- acknowledgement ------------------------------------------------------------------------------------


async def test_an_acknowledgement_is_told_to_every_target_and_shown(outbox: Outbox) -> None:
    events = story(resolved=False)
    await outbox.record(Work({}, events[:1], {}, NOW))
    key = events[0].alert.id

    alert = await outbox.acknowledge(key, "m.weber", "on my way", NOW + 1000)

    assert alert.status is Status.ACKNOWLEDGED
    assert await outbox.alert(key) == alert
    sent = await outbox.deliveries(key)
    assert [(d.type, d.target) for d in sent] == [
        ("device.alert.opened", "engineering"),
        ("device.alert.opened", "topic"),
        ("device.alert.acknowledged", "engineering"),
        ("device.alert.acknowledged", "topic"),
    ]


async def test_no_replay_undoes_an_acknowledgement(outbox: Outbox) -> None:
    events = story(steps=4)
    key = events[0].alert.id
    await outbox.record(Work({}, events[:2], {}, NOW))
    await outbox.acknowledge(key, "m.weber", "", NOW)

    await outbox.record(Work({}, events[:3], {}, NOW))

    alert = await outbox.alert(key)
    assert alert is not None
    assert (alert.status, alert.acknowledged and alert.acknowledged.by) == (Status.ACKNOWLEDGED, "m.weber")
    assert (await outbox.alerts(status=Status.ACKNOWLEDGED)).items == (alert,)
    await deliver_all(outbox)
    await outbox.record(Work({}, events, {}, NOW))
    job = (await outbox.claim(NOW, 1, 30))[0]
    assert b'"status":"resolved"' in job.body
    assert b'"by":"m.weber"' in job.body
    resolved = await outbox.alert(key)
    assert resolved is not None
    assert (resolved.status, resolved.acknowledged is not None) == (Status.RESOLVED, True)


async def test_the_first_acknowledgement_stands(outbox: Outbox) -> None:
    events = story(steps=1, resolved=False)
    await outbox.record(Work({}, events, {}, NOW))
    key = events[0].alert.id

    done = await asyncio.gather(*(outbox.acknowledge(key, name, "", NOW) for name in ("a", "b", "c")))

    assert len({alert.acknowledged.by for alert in done if alert.acknowledged}) == 1
    assert len(await outbox.deliveries(key)) == 4


async def test_acknowledging_needs_an_alert_and_a_name(outbox: Outbox) -> None:
    with pytest.raises(UnknownAlertError):
        await outbox.acknowledge(uuid.uuid4(), "m.weber", "", NOW)
    for by, note in (
        ("", ""),
        ("a\nb", ""),
        ("a\x00", ""),
        ("a", "\x00"),
        ("a" * 201, ""),
        ("a", "b" * 2001),
    ):
        with pytest.raises(ValidationError):
            await outbox.acknowledge(uuid.uuid4(), by, note, NOW)


async def test_any_other_text_of_a_person_is_kept_as_it_is(outbox: Outbox) -> None:
    events = story(steps=1, resolved=False)
    await outbox.record(Work({}, events, {}, NOW))
    note = "=cmd|' /C calc'!A0\n<script>\u2028\U0001f6a8\x1b[31m"

    await outbox.acknowledge(events[0].alert.id, "M. W\u00e9ber; DROP TABLE alerts", note, NOW)

    alert = await outbox.alert(events[0].alert.id)
    assert alert is not None
    assert alert.acknowledged is not None
    assert (alert.acknowledged.by, alert.acknowledged.note) == ("M. W\u00e9ber; DROP TABLE alerts", note)


# -- queries --------------------------------------------------------------------------------------------


async def test_pages_cover_every_alert_once_latest_first(outbox: Outbox) -> None:
    events = [story(f"SN-{i}", START + 1000 * (i // 3), steps=1, resolved=False)[0] for i in range(25)]
    await outbox.record(Work({}, events, {}, NOW))

    seen: list[Alert] = []
    cursor: str | None = None
    for _ in range(4):
        page = await outbox.alerts(limit=7, before=cursor)
        seen += page.items
        cursor = page.next

    assert cursor is None
    assert [a.started_at for a in seen] == sorted((a.started_at for a in seen), reverse=True)
    assert {a.id for a in seen} == {e.alert.id for e in events}
    assert len(seen) == 25


async def test_lists_filter_and_counts_count(outbox: Outbox) -> None:
    await outbox.record(
        Work({}, [*story("A"), *story("B", resolved=False), *story("C", resolved=False)], {}, NOW)
    )
    [c] = (await outbox.alerts(device="C")).items
    await outbox.acknowledge(c.id, "x", "", NOW)

    names = {
        "open": [a.device.id for a in (await outbox.alerts(status=Status.OPEN)).items],
        "live": sorted(
            a.device.id for a in (await outbox.alerts(status=[Status.OPEN, Status.ACKNOWLEDGED])).items
        ),
        "critical": [a.device.id for a in (await outbox.alerts(severity=Severity.CRITICAL)).items],
        "fault": len((await outbox.alerts(kind="fault")).items),
    }

    assert names == {"open": ["B"], "live": ["B", "C"], "critical": [], "fault": 3}
    assert {(n.severity, n.status, n.count) for n in await outbox.counts()} == {
        ("warning", "resolved", 1),
        ("warning", "open", 1),
        ("warning", "acknowledged", 1),
    }


@pytest.mark.parametrize("cursor", ["x", "", "MTIz", "\u20ac", "LTE6MQ"])
async def test_a_foreign_cursor_is_refused(outbox: Outbox, cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        await outbox.alerts(before=cursor)


# -- claim and settle -------------------------------------------------------------------------------------


async def test_events_of_one_alert_go_to_a_target_one_after_the_other(outbox: Outbox) -> None:
    events, other = story("A"), story("B")
    await outbox.record(Work({}, [*events, *other], {}, NOW))

    first = await outbox.claim(NOW, 10, 30, ["engineering"])
    nothing = await outbox.claim(NOW, 10, 30, ["engineering"])
    await outbox.settle(first[0], OK, NOW)
    second = await outbox.claim(NOW, 10, 30, ["engineering"])

    assert [job.event_id for job in first] == [events[0].id, other[0].id]
    assert nothing == []
    assert [job.event_id for job in second] == [events[1].id]
    assert len(await outbox.claim(NOW, 10, 30, ["topic"])) == 2


async def test_a_retry_waits_for_its_time_and_holds_back_what_follows(outbox: Outbox) -> None:
    await outbox.record(Work({}, story("A", steps=2), {}, NOW))
    [job] = await outbox.claim(NOW, 10, 30, ["engineering"])
    await outbox.settle(job, Settlement(JobState.PENDING, "server_error", 503, "busy", NOW + 5000, 20), NOW)

    assert await outbox.claim(NOW + 4999, 10, 30, ["engineering"]) == []
    assert await outbox.next_due(["engineering"]) == NOW + 5000
    [again] = await outbox.claim(NOW + 5000, 10, 30, ["engineering"])
    assert (again.event_id, again.body, again.tries) == (job.event_id, job.body, 1)


async def test_a_parked_delivery_holds_nothing_back_and_stays_visible(outbox: Outbox) -> None:
    events = story("A", steps=2)
    await outbox.record(Work({}, events, {}, NOW))
    [job] = await outbox.claim(NOW, 10, 30, ["engineering"])
    await outbox.settle(job, Settlement(JobState.PARKED, "rejected", 400, "Bad Request"), NOW)

    [following] = await outbox.claim(NOW, 10, 30, ["engineering"])
    assert following.event_id == events[1].id
    [failed] = await outbox.failures()
    assert (failed.event_id, failed.outcome, failed.attempts[0].status_code) == (
        events[0].id,
        "rejected",
        400,
    )
    assert await outbox.failures(after=failed.id) == []
    [stuck] = await outbox.stuck(NOW)
    assert (stuck.target, stuck.count) == ("engineering", 1)

    await outbox.settle(following, OK, NOW)
    await outbox.replay(failed.id, "m.weber", NOW + 10)
    [again] = await outbox.claim(NOW + 10, 10, 30, ["engineering"])
    assert (again.event_id, again.body, again.tries, again.queued_ms) == (job.event_id, job.body, 0, NOW + 10)
    await outbox.settle(again, OK, NOW + 11)
    [kept] = [d for d in await outbox.deliveries(job.alert_id) if d.id == failed.id]
    assert [a.outcome for a in kept.attempts] == ["rejected", "replayed", "delivered"]
    assert kept.attempts[1].detail == "by m.weber"


async def test_a_discarded_delivery_is_no_failure_and_the_ledger_says_who(outbox: Outbox) -> None:
    await outbox.record(Work({}, story("A", steps=1, resolved=False), {}, NOW))
    [job] = await outbox.claim(NOW, 10, 30, ["engineering"])
    with pytest.raises(UnknownDeliveryError):
        await outbox.discard(job.id, "x", NOW)
    await outbox.settle(job, Settlement(JobState.PARKED, "rejected", 404), NOW)

    await outbox.discard(job.id, "m.weber", NOW)

    assert (await outbox.failures(), await outbox.stuck(NOW)) == ([], [])
    with pytest.raises(UnknownDeliveryError):
        await outbox.replay(999, "x", NOW)


async def test_a_job_whose_worker_died_is_claimed_again_after_its_lease(outbox: Outbox) -> None:
    await outbox.record(Work({}, story("A", steps=1, resolved=False), {}, NOW))
    [lost] = await outbox.claim(NOW, 10, 30, ["engineering"])

    assert await outbox.claim(NOW + 29_999, 10, 30, ["engineering"]) == []
    assert await outbox.next_due(["engineering"]) == NOW + 30_000
    [again] = await outbox.claim(NOW + 30_000, 10, 30, ["engineering"])

    assert (again.event_id, again.body) == (lost.event_id, lost.body)
    assert (await outbox.holds(lost), await outbox.holds(again)) == (False, True)
    await outbox.settle(lost, Settlement(JobState.PENDING, "timeout", next_try_ms=NOW + 99_000), NOW + 30_001)
    assert await outbox.holds(again)
    await outbox.settle(lost, OK, NOW + 30_002)
    assert not await outbox.holds(again)
    await outbox.settle(
        again, Settlement(JobState.PENDING, "timeout", next_try_ms=NOW + 99_000), NOW + 30_003
    )
    [settled, _] = await outbox.deliveries(lost.alert_id)
    assert settled.state is JobState.DELIVERED
    assert len(settled.attempts) == 3


async def test_workers_never_claim_the_same_job(database_url: str) -> None:
    async with opened(database_url, "engineering") as one, opened(database_url, "engineering") as two:
        await one.record(
            Work({}, [story(f"SN-{i}", steps=1, resolved=False)[0] for i in range(120)], {}, NOW)
        )

        taken = await asyncio.gather(*(box.claim(NOW, 10, 30) for box in (one, two) * 8))

        ids = [job.id for jobs in taken for job in jobs]
        assert len(ids) == len(set(ids))
        left = await one.claim(NOW, 200, 30)
        assert len(ids) + len(left) == 120


async def test_the_backlog_names_what_waits_and_since_when(outbox: Outbox) -> None:
    await outbox.record(Work({}, story("A"), {}, NOW))
    await outbox.record(Work({}, story("B"), {}, NOW + 50_000))
    jobs = await outbox.claim(NOW + 50_000, 10, 30, ["topic"])
    await outbox.settle(jobs[0], OK, NOW + 50_000)

    assert [(b.target, b.waiting, b.parked, b.oldest_ms) for b in await outbox.backlog()] == [
        ("engineering", 6, 0, NOW),
        ("topic", 5, 0, NOW),
    ]
    assert await outbox.stuck(NOW + 60_000) == []
    assert [(s.target, s.count, s.oldest_ms) for s in await outbox.stuck(NOW + 60_001)] == [
        ("engineering", 3, NOW),
        ("topic", 2, NOW),
    ]


async def test_a_target_that_is_switched_off_is_on_again_when_a_person_sends_it_something_again(
    outbox: Outbox,
) -> None:
    await outbox.record(Work({}, story(), {}, NOW))
    for target in ("engineering", "topic"):
        await outbox.disable(target, "gone (410)", NOW)
    ours = [d for d in await outbox.deliveries(story()[0].alert.id) if d.target == "engineering"]
    await outbox.discard(ours[0].id, "m.weber", NOW)
    assert await outbox.disabled() == dict.fromkeys(("engineering", "topic"), "gone (410)")
    await outbox.replay(ours[0].id, "m.weber", NOW)
    assert await outbox.disabled() == {"topic": "gone (410)"}


async def test_old_resolved_alerts_are_pruned_with_all_that_belongs_to_them(outbox: Outbox) -> None:
    old, fresh, live, undelivered = (
        story(n, resolved=n != "live") for n in ("old", "fresh", "live", "undelivered")
    )
    await outbox.record(Work({}, [*old, *live], {}, NOW))
    await deliver_all(outbox)
    await outbox.record(Work({}, undelivered, {}, NOW))
    await outbox.record(Work({}, fresh, {}, NOW + 1000))

    assert await outbox.prune(NOW + 1) == 1
    assert await outbox.prune(NOW + 1) == 0
    assert {a.device.id for a in (await outbox.alerts()).items} == {"fresh", "live", "undelivered"}
    assert await outbox.deliveries(old[0].alert.id) == []
    assert len(await outbox.deliveries(undelivered[0].alert.id)) == 6


# -- the schema -------------------------------------------------------------------------------------------


async def test_the_migrated_schema_is_the_one_that_the_queries_expect(database_url: str) -> None:
    database = Database(database_url)
    await database.migrate()
    async with database.read() as connection:
        difference = await connection.run_sync(
            lambda c: compare_metadata(
                MigrationContext.configure(c, opts={"version_table": VERSION_TABLE, "compare_type": True}),
                metadata,
            )
        )
    await database.close()

    assert difference == []


async def test_migrations_run_down_and_up_again(database_url: str) -> None:
    async with opened(database_url, "engineering") as outbox:
        await outbox.record(Work({}, story(), {}, NOW))
    await migrate(database_url, "base")
    async with opened(database_url) as outbox:
        assert (await outbox.alerts()).items == ()


async def test_a_migration_that_dies_leaves_nothing_behind(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = command.upgrade

    def upgrade_and_die(config: Config, revision: str) -> None:
        real(config, revision)
        raise RuntimeError("power cut")

    monkeypatch.setattr(command, "upgrade", upgrade_and_die)
    with pytest.raises(RuntimeError):
        await Outbox.open(database_url)
    database = Database(database_url)
    async with database.read() as connection:
        assert await connection.run_sync(lambda c: inspect(c).get_table_names()) == []
    await database.close()

    monkeypatch.undo()
    async with opened(database_url) as outbox:
        assert (await outbox.alerts()).items == ()


async def test_many_workers_may_start_at_once_on_an_empty_database(database_url: str) -> None:
    boxes = await asyncio.gather(*(Outbox.open(database_url) for _ in range(4)))
    assert (await boxes[0].alerts()).items == ()
    for box in boxes:
        await box.close()


async def test_a_new_file_that_another_worker_is_writing_to_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself would not: a file changes to write-ahead logging at once or not at all."""
    file = tmp_path / "alerts.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE begun (x)")
        other.execute("BEGIN IMMEDIATE")
        opening = asyncio.create_task(Outbox.open(f"sqlite:///{file}"))
        await asyncio.wait({opening}, timeout=0.3)
        assert not opening.done()
        other.execute("COMMIT")

    outbox = await opening
    assert (await outbox.alerts()).items == ()
    await outbox.close()


async def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    database = Database(database_url)
    await database.migrate()
    async with database.write() as connection:
        await connection.execute(
            table(VERSION_TABLE, column("version_num")).update().values(version_num="9999")
        )
    await database.close()

    with pytest.raises(OutboxTooNewError, match="9999"):
        await Outbox.open(database_url)


# -- failures of the database -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://watch:s3cret@127.0.0.1:1/attendant", "refused|Connect call failed"),
        ("sqlite:////nonexistent/folder/a.db", "unable to open"),
        ("sqlite://", "name a file"),
        ("mysql://watch:s3cret@db/x", "not supported"),
        ("nonsense s3cret", "not a database URL"),
    ],
)
async def test_a_database_that_cannot_be_used_is_one_clear_line_without_secrets(url: str, why: str) -> None:
    with pytest.raises(OutboxUnavailableError, match=why) as error:
        await Outbox.open(url)

    assert "s3cret" not in str(error.value)
    assert "\n" not in str(error.value)


# -- explanations --------------------------------------------------------------------------------------


async def test_an_explanation_is_written_with_its_alert_and_read_back(outbox: Outbox) -> None:
    (opened, *_), key = story(), story()[0].alert.id
    kept = Kept(key, NOW, b"\x00picture")
    await outbox.record(Work(events=[opened], now_ms=NOW, explanations=[kept]))

    assert await outbox.explanation(key) == b"\x00picture"
    assert await outbox.explanation(uuid.uuid4()) is None


async def test_the_newest_window_of_an_alert_stays_whatever_a_replay_brings(outbox: Outbox) -> None:
    events, key = story(), story()[0].alert.id
    await outbox.record(Work(events=events[:1], explanations=[Kept(key, 2000, b"second")]))
    await outbox.record(Work(events=events[:1], explanations=[Kept(key, 1000, b"first")]))
    assert await outbox.explanation(key) == b"second"

    await outbox.record(Work(explanations=[Kept(key, 3000, b"third"), Kept(key, 2500, b"between")]))
    assert await outbox.explanation(key) == b"third"


async def test_an_explanation_of_an_alert_that_is_gone_stops_nothing(outbox: Outbox) -> None:
    lost = uuid.uuid4()
    recorded = await outbox.record(Work(events=story(), explanations=[Kept(lost, 1, b"x")]))
    assert len(recorded.events) == 3
    assert await outbox.explanation(lost) is None


async def test_explanations_of_a_stale_worker_are_not_written(outbox: Outbox) -> None:
    await outbox.acquire([P0])
    await outbox.acquire([P0])
    events = story()
    work = Work({P0: 1}, events, {P0: Checkpoint(1)}, NOW, [Kept(events[0].alert.id, 1, b"x")])
    with pytest.raises(StaleEpochError):
        await outbox.record(work)
    assert await outbox.explanation(events[0].alert.id) is None


async def test_explanations_are_pruned_with_their_alerts(outbox: Outbox) -> None:
    events, key = story(), story()[0].alert.id
    await outbox.record(Work(events=events, now_ms=NOW, explanations=[Kept(key, 1, b"x")]))
    await deliver_all(outbox)

    assert await outbox.prune(NOW + 1) == 1
    assert await outbox.explanation(key) is None


async def test_explanations_can_be_taken_out_and_brought_back_without_touching_alerts(
    database_url: str,
) -> None:
    events = story()
    async with opened(database_url) as outbox:
        work = Work(events=events, now_ms=NOW, explanations=[Kept(events[0].alert.id, 1, b"x")])
        await outbox.record(work)
    await migrate(database_url, "0001")
    await migrate(database_url)
    async with opened(database_url) as outbox:
        assert (await outbox.alert(events[0].alert.id)) is not None
        assert await outbox.explanation(events[0].alert.id) is None


async def test_sqlite_commits_are_durable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    async with database.write() as connection:
        found = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    await database.close()

    assert found == ["wal", 2, 1]


async def test_a_full_disk_is_unavailable_and_nothing_is_half_written(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path / 'a.db'}", "engineering") as outbox:
        await outbox.acquire([P0])
        async with outbox._db.write() as connection:
            pages = (await connection.execute(text("PRAGMA page_count"))).scalar()
            await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
        work = Work({P0: 1}, story(), {P0: Checkpoint(5, b"x" * 500_000)}, NOW)
        with pytest.raises(OutboxUnavailableError, match="full"):
            await outbox.record(work)
        assert (await outbox.alerts()).items == ()

        async with outbox._db.write() as connection:
            await connection.execute(text("PRAGMA max_page_count = 1000000"))
        assert (await outbox.record(work)).jobs == 3


async def test_postgres_going_away_is_unavailable_and_coming_back_loses_nothing(
    postgres_server: Postgres,
) -> None:
    if not postgres_server.can_stop:
        pytest.skip("the server named by ATTENDANT_TEST_POSTGRES is not ours to stop")
    async with opened(postgres_server.url, "engineering") as outbox:
        await outbox.acquire([P0])
        epoch = (await outbox.acquire([P0]))[P0].epoch
        await outbox.record(Work({P0: epoch}, story("A"), {P0: Checkpoint(1)}, NOW))
        await asyncio.to_thread(postgres_server.stop)
        try:
            for _ in range(2):
                with pytest.raises(OutboxUnavailableError):
                    await outbox.record(Work({P0: epoch}, story("B"), {P0: Checkpoint(2)}, NOW))
        finally:
            await asyncio.to_thread(postgres_server.start)

        await outbox.record(Work({P0: epoch}, story("B"), {P0: Checkpoint(2)}, NOW))
        assert {a.device.id for a in (await outbox.alerts()).items} == {"A", "B"}
    await migrate(postgres_server.url, "base")


async def test_postgres_ends_a_statement_that_waits_too_long(postgres_server: Postgres) -> None:
    async with (
        opened(postgres_server.url) as holder,  # makes the tables, in as much time as it takes
        opened(postgres_server.url, statement_timeout_s=0.5) as slow,
    ):
        await slow.acquire([P1])
        async with holder._db.write() as connection:
            await connection.execute(text("LOCK TABLE checkpoints IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(OutboxUnavailableError, match="timeout"):
                await slow.record(Work({P1: 1}, (), {P1: Checkpoint(1)}, NOW))
    await migrate(postgres_server.url, "base")
