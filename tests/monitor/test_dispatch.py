"""Street 2 with a real database and real receivers."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr, ValidationError
from standardwebhooks.webhooks import Webhook

from monitor.alerts import Status, moment
from monitor.dispatch import Dispatcher, DispatchSettings, wall_ms
from monitor.findings import Kind
from monitor.notifiers.base import Answer, Notifier, Outcome
from monitor.notifiers.webhook import WebhookNotifier
from monitor.outbox import Job, JobState, Outbox, Work
from monitor.stages import (
    HOURLY_S,
    SCHEDULE_S,
    Dedup,
    Handler,
    Mute,
    MuteRule,
    Receipt,
    Retry,
    RetrySettings,
    Send,
    Switch,
    fold,
)
from tests.databases import Postgres
from tests.monitor.receivers import Receiver, endpoint, hang, new_secret, receiver
from tests.monitor.test_outbox import NOW, opened
from tests.monitor.worlds import START, story

QUICK = DispatchSettings(poll_s=0.2, watch_every_s=0.1, drain_s=1)


class Script:
    """A target that answers what it was told to, in order, and then `delivered`."""

    concurrency = 4
    timeout_s = 1.0

    def __init__(self, *answers: Answer | Exception, name: str = "engineering") -> None:
        self.name = name
        self.answers = list(answers)
        self.jobs: list[Job] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def notify(self, job: Job, now_ms: int) -> Answer:
        self.jobs.append(job)
        answer = self.answers.pop(0) if self.answers else Answer(Outcome.DELIVERED, 200)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Time:
    """A clock that tests advance."""

    def __init__(self, now_ms: int = NOW) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Counts:
    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.delays: list[float] = []

    def record_delivery(
        self, notifier: str, outcome: str, seconds: float, delay_seconds: float | None = None
    ) -> None:
        self.outcomes[notifier, str(outcome)] += 1
        if delay_seconds is not None:
            self.delays.append(delay_seconds)


def street(
    outbox: Outbox, notifier: Notifier, clock: Time, counts: Counts | None = None, **retry: float
) -> Handler:
    return fold(
        [
            Receipt(outbox, clock, counts),
            Mute([], clock),
            Switch(outbox),
            Dedup(outbox),
            Retry(RetrySettings.model_validate(retry), clock, random.Random(1)),
        ],
        Send(notifier, clock, lambda _: None),
    )


async def until_quiet(outbox: Outbox, handler: Handler, clock: Time, limit: int = 500) -> list[int]:
    """Play the future: jump from one due time to the next; the times of the attempts."""
    times = []
    for _ in range(limit):
        for job in await outbox.claim(clock.now_ms, 10, 30, ["engineering"]):
            times.append(clock.now_ms)
            await handler(job)
        due = await outbox.next_due(["engineering"])
        if due is None:
            return times
        clock.now_ms = max(due, clock.now_ms)
    raise AssertionError("never quiet")


@pytest.fixture
async def outbox(database_url: str) -> AsyncIterator[Outbox]:
    async with opened(database_url, "engineering") as made:
        yield made


# -- stages --------------------------------------------------------------------------------------------


async def test_a_dead_target_is_tried_on_schedule_for_72_hours_and_then_parked(outbox: Outbox) -> None:
    await outbox.record(Work(events=story(steps=1, resolved=False), now_ms=NOW))
    clock, dead = Time(), Script(*[Answer(Outcome.SERVER_ERROR, 500, "HTTP 500")] * 200)

    times = await until_quiet(outbox, street(outbox, dead, clock), clock)

    waits = [(b - a) / 1000 for a, b in pairwise(times)]
    wanted = [*SCHEDULE_S[1:], *[HOURLY_S] * (len(waits) - len(SCHEDULE_S) + 1)]
    assert times[0] == NOW
    assert all(0.8 * want <= wait <= 1.2 * want for wait, want in zip(waits, wanted, strict=True))
    assert len({round(wait / want, 3) for wait, want in zip(waits, wanted, strict=True)}) > 10
    assert 70 * 3600 < (times[-1] - NOW) / 1000 <= 72 * 3600
    assert len({job.body for job in dead.jobs}) == len({job.event_id for job in dead.jobs}) == 1
    [failed] = await outbox.failures()
    assert (failed.state, failed.outcome) == (JobState.PARKED, "expired")
    assert (
        failed.attempts[-1].detail == f"given up after {len(times)} attempts; the last: server_error HTTP 500"
    )
    assert len(failed.attempts) == len(times)


async def test_a_target_that_recovers_gets_its_alert_at_the_next_slot(outbox: Outbox) -> None:
    [event] = story(steps=1, resolved=False)
    await outbox.record(Work(events=[event], now_ms=NOW))
    clock, counts = Time(), Counts()
    flaky = Script(Answer(Outcome.TIMEOUT), Answer(Outcome.CONNECTION), Answer(Outcome.TLS))

    times = await until_quiet(outbox, street(outbox, flaky, clock, counts), clock)

    assert len(times) == 4
    assert (times[-1] - NOW) / 1000 <= 1.2 * (1 + 2 + 5)
    [delivery] = await outbox.deliveries(event.alert.id)
    assert [a.outcome for a in delivery.attempts] == ["timeout", "connection", "tls", "delivered"]
    assert [a.next_try_ms for a in delivery.attempts] == [*times[1:], None]
    assert counts.outcomes == {
        ("engineering", outcome): 1 for outcome in ("timeout", "connection", "tls", "delivered")
    }
    assert counts.delays == [pytest.approx((times[-1] - NOW) / 1000)]


@pytest.mark.parametrize(("asked_s", "waited_s"), [(120, 120), (0.1, 0.8), (86_400, 3600)])
async def test_a_pause_that_the_target_asks_for_is_honoured_within_bounds(
    outbox: Outbox, asked_s: float, waited_s: float
) -> None:
    await outbox.record(Work(events=story(steps=1, resolved=False), now_ms=NOW))
    clock = Time()
    busy = Script(Answer(Outcome.THROTTLED, 429, retry_after_s=asked_s))

    first, second = await until_quiet(outbox, street(outbox, busy, clock), clock)

    assert waited_s <= (second - first) / 1000 <= waited_s * 1.5 + 0.01


async def test_a_refused_alert_is_parked_and_what_follows_still_goes(outbox: Outbox) -> None:
    events = story(steps=2)
    await outbox.record(Work(events=events, now_ms=NOW))
    clock, picky = Time(), Script(Answer(Outcome.REJECTED, 400, "HTTP 400"))

    times = await until_quiet(outbox, street(outbox, picky, clock), clock)

    assert times == [NOW, NOW]
    states = [(d.state, d.outcome) for d in await outbox.deliveries(events[0].alert.id)]
    assert states == [(JobState.PARKED, "rejected"), (JobState.DELIVERED, "delivered")]


async def test_gone_switches_the_target_off_until_a_person_sends_it_something_again(outbox: Outbox) -> None:
    events = story(steps=3)
    await outbox.record(Work(events=events, now_ms=NOW))
    clock, gone = Time(), Script(Answer(Outcome.GONE, 410, "HTTP 410"))

    await until_quiet(outbox, street(outbox, gone, clock), clock)

    assert len(gone.jobs) == 1
    assert list(await outbox.disabled()) == ["engineering"]
    failed = await outbox.failures()
    assert [d.outcome for d in failed] == ["gone", "disabled", "disabled"]

    for delivery in failed:
        await outbox.replay(delivery.id, "m.weber", NOW)
    await until_quiet(outbox, street(outbox, gone, clock), clock)
    assert [job.event_id for job in gone.jobs] == [events[0].id, *(event.id for event in events)]


async def test_a_notifier_that_raises_is_an_error_that_is_tried_again(outbox: Outbox) -> None:
    await outbox.record(Work(events=story(steps=1, resolved=False), now_ms=NOW))
    clock, broken = Time(), Script(ZeroDivisionError("oops"))

    await until_quiet(outbox, street(outbox, broken, clock), clock)

    [delivery] = await outbox.deliveries(story()[0].alert.id)
    assert [(a.outcome, a.detail) for a in delivery.attempts] == [
        ("error", "ZeroDivisionError"),
        ("delivered", ""),
    ]


async def test_a_lost_lease_sends_nothing_and_writes_nothing(outbox: Outbox) -> None:
    await outbox.record(Work(events=story(steps=1, resolved=False), now_ms=NOW))
    clock, there = Time(), Script()
    [frozen] = await outbox.claim(NOW, 1, 30)
    [taken] = await outbox.claim(NOW + 31_000, 1, 30)

    answer = await street(outbox, there, clock)(frozen)

    assert (answer.outcome, there.jobs) == (Outcome.LEASE_LOST, [])
    assert await outbox.holds(taken)
    assert (await outbox.deliveries(frozen.alert_id))[0].attempts == ()


@pytest.mark.parametrize(
    ("rule", "muted"),
    [
        (MuteRule(), True),
        (MuteRule(device="SN-*"), True),
        (MuteRule(device="sn-*"), False),
        (MuteRule(target="engineering"), True),
        (MuteRule(target="topic"), False),
        (MuteRule(kinds=(Kind.SILENT,)), False),
        (MuteRule.model_validate({"severities": ["warning", "info"]}), True),
        (MuteRule(until=moment(NOW + 1)), True),
        (MuteRule(until=moment(NOW)), False),
        (MuteRule(until=datetime(2030, 1, 1, tzinfo=UTC) - timedelta(days=3650)), False),
    ],
)
async def test_a_mute_rule_mutes_what_fits_it(outbox: Outbox, rule: MuteRule, muted: bool) -> None:
    [event] = story(steps=1, resolved=False)
    await outbox.record(Work(events=[event], now_ms=NOW))
    clock, there = Time(), Script()
    [job] = await outbox.claim(NOW, 1, 30)

    await fold([Receipt(outbox, clock, None), Mute([rule], clock)], Send(there, clock, lambda _: None))(job)

    [delivery] = await outbox.deliveries(event.alert.id)
    assert (delivery.state is JobState.MUTED, there.jobs == []) == (muted, muted)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        MuteRule(until=datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake under test


# -- the dispatcher -------------------------------------------------------------------------------------


@asynccontextmanager
async def running(dispatcher: Dispatcher) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(dispatcher.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.01)


async def settled(outbox: Outbox, timeout_s: float = 60.0, target: str | None = None) -> None:
    """Until nothing waits (for that target)."""
    async with asyncio.timeout(timeout_s):
        while any(row.waiting and target in {None, row.target} for row in await outbox.backlog()):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)


async def test_recorded_alerts_arrive_signed_and_in_order(database_url: str) -> None:
    secret = new_secret()
    events = [event for i in range(12) for event in story(f"SN-{i}", steps=3)]
    async with receiver() as there, opened(database_url, "engineering") as outbox:
        counts = Counts()
        settings = endpoint(there.url, secrets=(SecretStr(secret),), timeout_s=10)
        dispatcher = Dispatcher(outbox, [WebhookNotifier(settings)], QUICK, counts)
        async with running(dispatcher):
            await outbox.record(Work(events=events, now_ms=wall_ms()))
            dispatcher.wake()
            await settled(outbox)

        assert sorted(there.ids) == sorted(event.id for event in events)
        assert there.at_once <= 4
        order: dict[str, list[str]] = {}
        for hit in there.hits:
            payload = Webhook(secret).verify(hit.body, hit.headers)
            order.setdefault(payload["data"]["device"]["id"], []).append(payload["type"].rpartition(".")[2])
        assert set(map(tuple, order.values())) == {("opened", "updated", "resolved")}
        assert counts.outcomes == {("engineering", "delivered"): 36}
        assert max(counts.delays) < 60


async def test_new_work_is_sent_at_once_when_woken(database_url: str) -> None:
    slow_poll = DispatchSettings(poll_s=60, watch_every_s=60)
    async with receiver() as there, opened(database_url, "engineering") as outbox:
        dispatcher = Dispatcher(outbox, [WebhookNotifier(endpoint(there.url, timeout_s=20))], slow_poll)
        async with running(dispatcher):
            await asyncio.sleep(0.5)
            await outbox.record(Work(events=story(steps=1, resolved=False), now_ms=wall_ms()))
            dispatcher.wake()
            began = time.monotonic()
            await wait_for(lambda: bool(there.hits))

    assert time.monotonic() - began < 30


async def test_a_dead_target_delays_no_other(database_url: str) -> None:
    events = [story(f"SN-{i}", steps=1, resolved=False)[0] for i in range(40)]
    counts = Counts()
    async with receiver() as dead, receiver() as alive, opened(database_url, "dead", "alive") as outbox:
        dead.behaviour = hang
        notifiers = [
            WebhookNotifier(endpoint(dead.url, name="dead", timeout_s=30)),
            WebhookNotifier(endpoint(alive.url, name="alive", timeout_s=5)),
        ]
        await outbox.record(Work(events=events, now_ms=wall_ms()))
        async with running(Dispatcher(outbox, notifiers, QUICK, counts)):
            await wait_for(lambda: len(alive.hits) == 40 and dead.at_once == 4)
            # All has arrived before the first attempt at the dead target came to an end.
            assert not any(name == "dead" for name, _ in counts.outcomes)
            assert len(dead.hits) == 4


async def test_what_was_not_delivered_before_a_restart_is_delivered_after(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    events = story(steps=3)
    async with receiver() as there:
        there.status = 503
        settings = endpoint(there.url, timeout_s=5)
        async with opened(url, "engineering") as outbox:
            await outbox.record(Work(events=events, now_ms=wall_ms()))
            async with running(Dispatcher(outbox, [WebhookNotifier(settings)], QUICK)):
                await wait_for(lambda: len(there.hits) >= 2)
        there.status = 204
        async with (
            opened(url, "engineering") as outbox,
            running(Dispatcher(outbox, [WebhookNotifier(settings)], QUICK)),
        ):
            await settled(outbox)

    delivered = list(dict.fromkeys(there.ids))
    assert delivered == [event.id for event in events]
    assert len({hit.body for hit in there.hits if hit.headers["webhook-id"] == events[0].id}) == 1


async def test_a_shutdown_lets_attempts_end_and_gives_the_rest_back(database_url: str) -> None:
    async def half_a_second(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.5)
        return web.Response(status=204)

    for behaviour, want in ((half_a_second, JobState.DELIVERED), (hang, JobState.PENDING)):
        async with receiver() as there, opened(database_url, "engineering") as outbox:
            there.behaviour = behaviour
            [event] = story(want.value, steps=1, resolved=False)
            await outbox.record(Work(events=[event], now_ms=wall_ms()))
            settings = endpoint(there.url, timeout_s=20)
            async with running(Dispatcher(outbox, [WebhookNotifier(settings)], QUICK)):
                await wait_for(lambda: bool(there.hits))
            [delivery] = await outbox.deliveries(event.alert.id)
            assert delivery.state is want
            if want is JobState.PENDING:
                [job] = await outbox.claim(wall_ms(), 10, 30)
                assert job.event_id == event.id


async def test_undelivered_alerts_are_an_alert_on_the_other_target_until_they_arrive(
    database_url: str,
) -> None:
    ahead = Time(0)
    settings = DispatchSettings(poll_s=0.1, watch_every_s=0.1)
    async with receiver() as dead, receiver() as alive, opened(database_url, "dead", "alive") as outbox:
        dead.status = 500
        notifiers = [WebhookNotifier(endpoint(r.url, name=n)) for r, n in ((dead, "dead"), (alive, "alive"))]
        dispatcher = Dispatcher(outbox, notifiers, settings, clock=lambda: wall_ms() + ahead.now_ms)
        await outbox.record(Work(events=story("SN-1", steps=1, resolved=False), now_ms=wall_ms()))
        async with running(dispatcher):
            await wait_for(lambda: bool(dead.hits))
            await settled(outbox, target="alive")
            assert _technical(alive) == []
            ahead.now_ms = 61_000
            await wait_for(lambda: len(_technical(alive)) == 1)
            dead.status = 204
            ahead.now_ms = 75_000
            await wait_for(lambda: len(_technical(alive)) == 2)
            await settled(outbox)

        first, second = _technical(alive)
        assert (first["type"], second["type"]) == ("device.alert.opened", "device.alert.resolved")
        assert first["data"]["id"] == second["data"]["id"]
        assert (first["data"]["kind"], first["data"]["device"]["id"]) == ("delivery", "dead")
        assert first["data"]["summary"].startswith("1 alert delivery to dead is undelivered since ")
        assert _technical(dead) == []
        [kept] = (await outbox.alerts(kind=Kind.DELIVERY)).items
        assert kept.status is Status.RESOLVED


def _technical(there: Receiver) -> list[dict[str, Any]]:
    payloads = [json.loads(hit.body) for hit in there.hits]
    return [payload for payload in payloads if payload["data"]["kind"] == "delivery"]


async def test_two_dispatchers_on_one_postgres_send_each_alert_once(postgres_url: str) -> None:
    events = [event for i in range(25) for event in story(f"SN-{i}", steps=2)]
    async with (
        receiver() as there,
        opened(postgres_url, "engineering") as one,
        opened(postgres_url, "engineering") as two,
    ):
        settings = endpoint(there.url, timeout_s=10)
        await one.record(Work(events=events, now_ms=wall_ms()))
        pair = [Dispatcher(box, [WebhookNotifier(settings)], QUICK) for box in (one, two)]
        async with running(pair[0]), running(pair[1]):
            await settled(one)

    assert sorted(there.ids) == sorted(event.id for event in events)


async def test_targets_need_names_of_their_own(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="two targets"):
        Dispatcher(outbox, [Script(), Script()])


async def test_a_database_that_is_away_pauses_deliveries_and_loses_none(
    postgres_server: Postgres, postgres_url: str
) -> None:
    if not postgres_server.can_stop:
        pytest.skip("the server named by ATTENDANT_TEST_POSTGRES is not ours to stop")
    async with receiver() as there, opened(postgres_url, "engineering") as outbox:
        await outbox.record(Work(events=story(steps=2), now_ms=START))
        await asyncio.to_thread(postgres_server.stop)
        try:
            async with running(
                Dispatcher(outbox, [WebhookNotifier(endpoint(there.url, timeout_s=20))], QUICK)
            ) as task:
                await asyncio.sleep(1)
                assert not task.done()
                assert there.hits == []
                await asyncio.to_thread(postgres_server.start)
                await wait_for(lambda: len(there.hits) == 2)
                await settled(outbox)
        finally:
            await asyncio.to_thread(postgres_server.start)
