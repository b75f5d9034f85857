"""A served face for the tests: the real application on a real socket, over a real outbox in SQLite."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
from starlette.types import ASGIApp

from models.baselines import fit_plain
from models.scoring import Scorer
from monitor.alerts import AlertBook, AlertEvent
from monitor.fleet import DeviceState
from monitor.metrics import Metrics
from monitor.outbox import Outbox, Work
from monitor.web import Access, Check, create_app, serve
from monitor.workshop import channel_specs
from tests.monitor.worlds import MODEL, PUMP, START, new_judge, play

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@dataclass
class Fleet:
    """Devices as a pipeline would list them."""

    states: list[DeviceState] = field(default_factory=list)

    def devices(self) -> Sequence[DeviceState]:
        return self.states

    def device(self, device: str) -> DeviceState | None:
        return next((state for state in self.states if state.device == device), None)

    def now_ms(self) -> int:
        return NOW_MS


@dataclass
class Wellness:
    """Checks as the composition root would list them."""

    checks: list[Check] = field(default_factory=lambda: [Check("broker", True), Check("database", True)])

    def live(self) -> Sequence[Check]:
        return self.checks[:1]

    def ready(self) -> Sequence[Check]:
        return self.checks


def episode(device: str, *, first: int = 0, severe: bool = False, cleared: bool = False) -> list[AlertEvent]:
    """The events of an episode of `device` that begins `first` strides after START."""
    anomalies = [2.0] * 4 + ([5.0] * 2 if severe else []) + ([0.1] * 6 if cleared else [])
    book = AlertBook({PUMP.type: PUMP})
    events = [book.apply(finding) for finding in play(new_judge(), anomalies, device, first)]
    return [event for event in events if event is not None]


async def keep(outbox: Outbox, *episodes: Sequence[AlertEvent]) -> None:
    """Record them all in one transaction."""
    events = [event for events in episodes for event in events]
    await outbox.record(Work(events=events, now_ms=START))


def pump_scorer() -> Scorer:
    """A real scorer, trained on noise."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(32, PUMP.window_rows, len(PUMP.channels))).astype(np.float32)
    noise = values, np.ones(values.shape, np.bool_)
    return fit_plain("robust_z", channel_specs(PUMP), noise, noise, MODEL)


@dataclass
class Face:
    """The served application and everything behind it."""

    url: str
    http: httpx.AsyncClient
    app: ASGIApp
    outbox: Outbox
    fleet: Fleet
    health: Wellness
    metrics: Metrics
    woken: list[str]
    """A word for every time that the service was told of work in the store."""


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The URL of `app`, served on a free port as long as the block lasts."""
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, "127.0.0.1", 0, started=started.set_result, drain_s=1))
    try:
        task.add_done_callback(
            lambda ended: None if started.done() else started.set_exception(_end_of(ended))
        )
        yield await started
    finally:
        task.cancel()
        await asyncio.wait([task])


def _end_of(task: asyncio.Task[None]) -> BaseException:
    return asyncio.CancelledError() if task.cancelled() else task.exception() or RuntimeError("ended at once")


@asynccontextmanager
async def face(
    folder: Path,
    *,
    access: Access | None = None,
    scorers: Mapping[str, Scorer] | None = None,
    targets: Sequence[str] = ("engineering",),
) -> AsyncIterator[Face]:
    """The whole face, its database in `folder`."""
    outbox = await Outbox.open(f"sqlite:///{folder / 'face.db'}", targets)
    metrics = Metrics.of_process(device_types=[PUMP.type], notifiers=targets)
    fleet, health = Fleet(), Wellness()
    woken: list[str] = []
    app = create_app(
        outbox,
        fleet,
        health,
        metrics,
        scorers={PUMP.type: pump_scorer()} if scorers is None else scorers,
        access=access or Access(),
        now=lambda: NOW,
        woken=lambda: woken.append("woken"),
    )
    try:
        async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=10) as http:
            yield Face(url, http, app, outbox, fleet, health, metrics, woken)
    finally:
        await outbox.close()
