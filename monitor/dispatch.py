"""Street 2: out of the outbox, to the targets. Everything it knows is in the database, so it may die at any time.

Each target has a lane of its own: a dead one delays no other. A lane sleeps until there is new work or something
becomes due.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Annotated

import structlog
from pydantic import Field

from monitor.deliverywatch import watch_deliveries
from monitor.notifiers.base import Notifier
from monitor.outbox import Job, Milestone, Outbox, OutboxUnavailableError
from monitor.stages import (
    Clock,
    Dedup,
    DeliveryObserver,
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


class DispatchSettings(RetrySettings):
    """How deliveries are made."""

    lease_s: Annotated[float, Field(ge=1)] = 30.0
    """A delivery claimed by a worker that died is free again after this, or twice the target's timeout."""
    poll_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """How often to look for work that another process recorded."""
    drain_s: Annotated[float, Field(ge=0)] = 5.0
    """On shutdown, attempts under way may still end within this time."""
    stuck_after_s: Annotated[float, Field(gt=0)] = 60.0
    """What is undelivered for so long is itself an alert to the other targets."""
    watch_every_s: Annotated[float, Field(gt=0)] = 5.0
    mute: tuple[MuteRule, ...] = ()


def wall_ms() -> int:
    """Milliseconds since the epoch by this machine's clock."""
    return time.time_ns() // 1_000_000


def _pass(_: Milestone) -> None:
    """Nobody watches."""


class Dispatcher:
    """Delivers until cancelled."""

    def __init__(
        self,
        outbox: Outbox,
        notifiers: Sequence[Notifier],
        settings: DispatchSettings | None = None,
        observer: DeliveryObserver | None = None,
        *,
        clock: Clock = wall_ms,
        rng: random.Random | None = None,
        milestone: Callable[[Milestone], None] = _pass,
    ) -> None:
        """`rng` spreads the retries; `milestone` is told of every place where a crash must do no harm."""
        settings = settings or DispatchSettings()
        names = [notifier.name for notifier in notifiers]
        if len(set(names)) != len(names):
            raise ValueError(f"two targets of one name: {', '.join(sorted(names))}")
        self._outbox, self._notifiers, self._settings, self._clock = outbox, tuple(notifiers), settings, clock
        rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._lanes = [
            _Lane(outbox, notifier, self._handler(notifier, observer, rng, milestone), settings, clock)
            for notifier in notifiers
        ]

    def _handler(
        self,
        notifier: Notifier,
        observer: DeliveryObserver | None,
        rng: random.Random,
        milestone: Callable[[Milestone], None],
    ) -> Handler:
        return fold(
            [
                Receipt(self._outbox, self._clock, observer),
                Mute(self._settings.mute, self._clock),
                Switch(self._outbox),
                Dedup(self._outbox),
                Retry(self._settings, self._clock, rng),
            ],
            Send(notifier, self._clock, milestone),
        )

    def wake(self) -> None:
        """There is new work."""
        for lane in self._lanes:
            lane.wake.set()

    async def run(self) -> None:
        """Deliver until cancelled; attempts under way then get `drain_s` to end."""
        started: list[Notifier] = []
        try:
            for notifier in self._notifiers:
                await notifier.start()
                started.append(notifier)
            async with asyncio.TaskGroup() as tasks:
                for lane in self._lanes:
                    tasks.create_task(lane.run(), name=f"deliveries to {lane.name}")
                tasks.create_task(self._watch(), name="delivery watch")
        finally:
            for notifier in reversed(started):
                await notifier.stop()

    async def _watch(self) -> None:
        names = [notifier.name for notifier in self._notifiers]
        log = structlog.get_logger(component="dispatch")
        while True:
            try:
                told = await watch_deliveries(
                    self._outbox, names, self._clock(), self._settings.stuck_after_s
                )
            except OutboxUnavailableError as error:
                log.warning("deliveries cannot be watched", reason=error.reason)
            else:
                if told:
                    self.wake()
            await asyncio.sleep(self._settings.watch_every_s)


class _Lane:
    """The deliveries of one target."""

    def __init__(
        self, outbox: Outbox, notifier: Notifier, handler: Handler, settings: DispatchSettings, clock: Clock
    ) -> None:
        self.name = notifier.name
        self.wake = asyncio.Event()
        self._outbox, self._handler, self._settings, self._clock = outbox, handler, settings, clock
        self._slots = notifier.concurrency
        self._lease_s = max(settings.lease_s, 2 * notifier.timeout_s)
        self._running: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger(component="dispatch", target=self.name)

    async def run(self) -> None:
        """Claim and send until cancelled."""
        pause_s = 1.0
        recovered = False
        try:
            while True:
                try:
                    if not recovered:
                        await self._outbox.recover([self.name], self._clock())
                        recovered = True
                    await self._turn()
                    pause_s = 1.0
                except OutboxUnavailableError as error:
                    self._log.warning("deliveries pause: the database is away", reason=error.reason)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, 30.0)
        finally:
            await self._drain()

    async def _turn(self) -> None:
        """Start what can be started, then sleep until something changes."""
        self.wake.clear()
        free = self._slots - len(self._running)
        wait_s = self._settings.poll_s
        if free:
            jobs = await self._outbox.claim(self._clock(), free, self._lease_s, [self.name])
            for job in jobs:
                task = asyncio.create_task(self._deliver(job), name=f"deliver {job.event_id} to {self.name}")
                self._running.add(task)
                task.add_done_callback(self._done)
            if len(jobs) < free:
                due_ms = await self._outbox.next_due([self.name])
                if due_ms is not None:
                    # At least a moment: another worker may hold what looks due.
                    wait_s = min(wait_s, max((due_ms - self._clock()) / 1000, 0.02))
        try:
            async with asyncio.timeout(wait_s):
                await self.wake.wait()
        except TimeoutError:
            return

    async def _deliver(self, job: Job) -> None:
        try:
            await self._handler(job)
        except OutboxUnavailableError as error:
            # The attempt is not written down; its lease runs out and the same bytes go again.
            self._log.warning("an attempt could not be noted", reason=error.reason, delivery=job.id)
        except asyncio.CancelledError:
            await self._outbox.release(job, self._clock())
            raise

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.wake.set()
        if not task.cancelled() and (error := task.exception()):
            self._log.error("a delivery failed in an unforeseen way", exc_info=error)

    async def _drain(self) -> None:
        """Let attempts under way end; the rest is given back for the next start."""
        if not self._running:
            return
        running = set(self._running)
        _, late = await asyncio.wait(running, timeout=self._settings.drain_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
