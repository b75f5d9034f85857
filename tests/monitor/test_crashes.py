"""R1: a worker killed at any named point, started again, tells exactly what an uninterrupted one tells."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from monitor.alerts import AlertBook, AlertEvent, Status, body
from monitor.outbox import Milestone
from tests.monitor import crashing
from tests.monitor.receivers import Receiver, new_secret, receiver
from tests.monitor.test_outbox import opened
from tests.monitor.worlds import PROFILES

ROOT = Path(__file__).parents[2]
IN_FLIGHT = 4


def oracle() -> list[AlertEvent]:
    """What an uninterrupted worker makes of the stream."""
    book = AlertBook(PROFILES)
    return [event for finding in crashing.stream() if (event := book.apply(finding))]


class Workshop:
    """Makes workers; see `crashing.py`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    async def work(
        self, database: str, there: Receiver, secret: str, point: str = "never", count: int = 1
    ) -> int:
        """Run a worker; its exit status."""
        order = json.dumps([database, there.url, secret, str(point), count])
        return await asyncio.wait_for(asyncio.to_thread(self._ask, order), 60)

    def _ask(self, order: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.monitor.crashing"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield Workshop(process)
        assert process.stdin is not None
        process.stdin.close()


async def check(database: str, there: Receiver, secret: str, kills: int) -> None:
    """0 lost, 0 invented, ids equal, repeats no more than what was in flight, bytes the same."""
    events = oracle()
    wanted = {event.id: body(event) for event in events}
    arrived = Counter(there.ids)
    for hit in there.hits:
        Webhook(secret).verify(hit.body, hit.headers)
        assert hit.body == wanted[hit.headers["webhook-id"]]
    assert set(arrived) == set(wanted)
    assert sum(arrived.values()) - len(arrived) <= kills * IN_FLIGHT
    firsts = list(dict.fromkeys(there.ids))
    for device in range(crashing.DEVICES):
        own = [event.id for event in events if event.alert.device.id == f"SN-{device}"]
        assert [key for key in firsts if key in own] == own
    async with opened(database) as outbox:
        kept = (await outbox.alerts(limit=100)).items
        assert {alert.id for alert in kept} == {event.alert.id for event in events}
        assert {alert.status for alert in kept} == {Status.RESOLVED}
        assert await outbox.backlog() == []


POINTS = list(Milestone)
TELLING = {Milestone.CHECKPOINT_WRITTEN, Milestone.COMMITTED, Milestone.SENDING, Milestone.SENT}
"""Just before and just after something cannot be undone; the others are for CI."""


@pytest.mark.parametrize(
    "point", [p if p in TELLING else pytest.param(p, marks=pytest.mark.slow) for p in POINTS]
)
async def test_killed_once_nothing_is_lost_or_invented(
    workshop: Workshop, sqlite_url: str, point: Milestone
) -> None:
    secret = new_secret()
    async with receiver() as there:
        killed = await workshop.work(sqlite_url, there, secret, point, 3)
        assert killed == crashing.EXIT
        assert await workshop.work(sqlite_url, there, secret) == 0
        await check(sqlite_url, there, secret, kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
async def test_killed_once_on_postgres_nothing_is_lost_or_invented(
    workshop: Workshop, postgres_url: str, point: Milestone
) -> None:
    secret = new_secret()
    async with receiver() as there:
        killed = await workshop.work(postgres_url, there, secret, point, 3)
        assert killed == crashing.EXIT
        assert await workshop.work(postgres_url, there, secret) == 0
        await check(postgres_url, there, secret, kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_killed_again_and_again_while_recovering_nothing_is_lost(
    workshop: Workshop, sqlite_url: str, seed: int
) -> None:
    secret, kills = new_secret(), 0
    points = POINTS[seed:] + POINTS[:seed]
    async with receiver() as there:
        for number, point in enumerate(points):
            kills += await workshop.work(sqlite_url, there, secret, point, 1 + (number + seed) % 3) != 0
        assert kills >= 3
        assert await workshop.work(sqlite_url, there, secret) == 0
        await check(sqlite_url, there, secret, kills)
