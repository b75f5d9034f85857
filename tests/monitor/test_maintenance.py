"""Maintenance from the database to the device's memory: applied once, at its stream time, whoever has the partition."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.scoring import ModelIdentity, RememberingScorer, Score, Scorer
from monitor.alerts import Alert, Status, milliseconds
from monitor.clock import StreamClock
from monitor.findings import AdaptationSettings, JudgeSettings, SilenceSettings
from monitor.fleet import BaselineSource, DeviceStatus, LearningReason
from monitor.inference import Inference
from monitor.lanes import LaneRecipe
from monitor.maintenance import Applied, Maintenance
from monitor.metrics import Metrics
from monitor.outbox import Checkpoint, Outbox, StaleEpochError, Work
from monitor.pipeline import Pipeline, PipelineSettings
from streams.records import JSON, Decoder, encode_json
from streams.transport import AssignmentListener, Message, TopicPartition
from tests.monitor.test_outbox import opened
from tests.monitor.worlds import MODEL, PUMP, START

P0 = TopicPartition("telemetry", 0)
BEGIN = START // 10_000 * 10_000
DEVICE = "SN-1"
WORK = Maintenance(
    DEVICE, by="R. Gupta", at_ms=BEGIN, effective_ms=BEGIN, note="line exchanged", rebaseline=True
)


class Limit:
    """A scorer that finds a downstream pressure above 500 anomalous; knows spreads, so devices are adapted to."""

    identity: ModelIdentity = MODEL
    channels = PUMP.names
    window_rows = PUMP.window_rows

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        return self.score_adapted(values, mask, np.zeros((len(values), 4), np.float32))

    def score_adapted(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: NDArray[np.float32]
    ) -> Score:
        some = mask.any(1)
        seen = np.where(mask, values, 0).sum(1) / np.maximum(mask.sum(1), 1)
        observed = np.where(some, seen, np.nan).astype(np.float32)
        share = np.zeros((len(values), 4), np.float32)
        share[:, 0] = 1
        spread = np.tile(np.array([10, 4, 0.5, np.nan], np.float32), (len(values), 1))
        expected = np.array([350, 100, 25, 25], np.float32) + np.nan_to_num(bias * spread)
        return Score(
            anomaly=np.where(seen[:, 0] > 500, 2.0, 0.1).astype(np.float32),
            share=share,
            attention=share,
            residual=share,
            observed=observed,
            expected=np.where(some, expected, np.nan).astype(np.float32),
            direction=np.zeros((len(values), 4), np.int8),
            imputed=np.logical_not(some),
            spread=spread,
        )


def sample(second: int, pressure: float) -> bytes:
    values = {"line_pressure_down": pressure, "motor_current": 101.0, "flow_current": 25.0, "flow_set": 25.0}
    return encode_json(DEVICE, PUMP.type, BEGIN + 1000 * second, second, values)


def telemetry(*pressures: tuple[int, float]) -> list[bytes]:
    """So many seconds of each pressure, one sample a second."""
    levels = [pressure for seconds, pressure in pressures for _ in range(seconds)]
    return [sample(second, pressure) for second, pressure in enumerate(levels)]


@dataclass
class Tape:
    """A `Source` that plays bytes, so many a poll; `upto` holds it back."""

    values: Sequence[bytes]
    per_poll: int = 20
    upto: int = 0
    at: int = 0
    committed: int = 0
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    _listener: AssignmentListener | None = None

    async def start(self, listener: AssignmentListener) -> None:
        offsets = await listener.assigned([P0])
        self.at = self.committed if offsets[P0] is None else int(offsets[P0] or 0)

    async def poll(self) -> Sequence[Message]:
        end = min(self.at + self.per_poll, self.upto)
        if self.at >= end:
            self.caught_up.set()
            await asyncio.sleep(0.005)
            return []
        found = [
            Message(
                "telemetry",
                0,
                offset,
                DEVICE.encode(),
                self.values[offset],
                [("content-type", JSON.encode())],
            )
            for offset in range(self.at, end)
        ]
        self.at = end
        return found

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.committed = offsets[P0]

    async def lag(self) -> Mapping[TopicPartition, int]:
        return {P0: self.upto - self.at}

    async def stop(self) -> None: ...


class Nowhere:
    """A `Sink` that nothing is sent to."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, topic: str, **_: Any) -> None:
        raise AssertionError(topic)

    async def send_many(self, topic: str, messages: Sequence[Any]) -> None:
        raise AssertionError((topic, messages))


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - the pipeline tells nobody when a turn is over
            await asyncio.sleep(0.005)


@dataclass
class Worker:
    """A pipeline at work."""

    pipeline: Pipeline
    tape: Tape
    task: asyncio.Task[None]
    stopping: asyncio.Event

    async def play(self, upto: int) -> None:
        """Everything before second `upto` is read, judged and looked after."""
        self.tape.caught_up.clear()
        self.tape.upto = upto
        self.pipeline.clock.origin_ms = BEGIN + 1000 * upto
        await self.tape.caught_up.wait()

    async def tend(self) -> None:
        """What is done once a second is done."""
        self.pipeline.look()
        self.pipeline._tended_at = -1e9
        await _until(lambda: self.pipeline._tended_at > 0)
        # The next turn begins when all of this one is done, its saving as well.
        turned_at = self.pipeline.turned_at
        await _until(lambda: self.pipeline.turned_at > turned_at)

    async def crash(self) -> None:
        """Ends without saving anything."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def stop(self) -> None:
        self.stopping.set()
        await self.task


@asynccontextmanager
async def worker(
    outbox: Outbox, tape: Tape, interval_s: float = 1000.0, scorer: Scorer | None = None
) -> AsyncIterator[Worker]:
    metrics = Metrics.of_process(device_types=[PUMP.type], notifiers=[])
    scorer = scorer or Limit()
    inference = Inference({PUMP.type: scorer}, metrics)
    recipe = LaneRecipe(
        profiles={PUMP.type: PUMP},
        models={PUMP.type: MODEL},
        judges={PUMP.type: JudgeSettings(update_every_s=1e6)},
        silence=SilenceSettings(forget_after_s=600),
        adaptation={PUMP.type: AdaptationSettings(step_s=100, settle_h=0.2, hold_h=0.05)},
        memories={PUMP.type: scorer.lasting} if isinstance(scorer, RememberingScorer) else {},
    )
    pipeline = Pipeline(
        source=tape,
        sink=Nowhere(),
        decoder=Decoder({PUMP.type: PUMP}),
        inference=inference,
        outbox=outbox,
        metrics=metrics,
        recipe=recipe,
        # Time stands still but for what a test says.
        clock=StreamClock(BEGIN, time.monotonic(), 1e-9),
        settings=PipelineSettings(rejected_topic="telemetry.rejected", checkpoint_interval_s=interval_s),
    )
    stopping = asyncio.Event()
    task = asyncio.create_task(pipeline.run(stopping))
    try:
        yield Worker(pipeline, tape, task, stopping)
    finally:
        task.cancel()
        await asyncio.wait([task])
        inference.close()


async def the_alert(outbox: Outbox) -> Alert:
    [alert] = (await outbox.alerts()).items
    return alert


def at(second: int) -> Maintenance:
    return Maintenance(
        DEVICE, by="R. Gupta", at_ms=BEGIN, effective_ms=BEGIN + 1000 * second, rebaseline=True
    )


FAULT = telemetry((300, 350.0), (200, 900.0), (400, 350.0))
"""A fault that is repaired at second 500."""


async def test_maintenance_ends_the_episode_and_renews_the_baseline_at_its_stream_time(
    database_url: str,
) -> None:
    async with opened(database_url) as outbox, worker(outbox, Tape(FAULT)) as running:
        await running.play(450)
        before = await the_alert(outbox)
        await outbox.maintain(at(500), BEGIN)
        running.pipeline.look()
        await running.play(530)
        state = running.pipeline.device(DEVICE)

        after = await the_alert(outbox)
        [logged] = await outbox.maintenance(DEVICE)
        assert (before.status, after.status) == (Status.OPEN, Status.RESOLVED)
        assert milliseconds(after.resolved_at or after.updated_at) == BEGIN + 500_000
        assert after.summary.startswith("Ended by maintenance after ")
        assert logged.applied_at_ms == BEGIN + 500_000
        assert await outbox.pending_maintenance() == []
        assert state is not None
        assert state.state is DeviceStatus.LEARNING
        assert state.learning is not None
        assert state.learning.reason is LearningReason.REBASELINED
        assert state.baseline is not None
        assert state.baseline.source is BaselineSource.TYPE

        # The windows that still hold the fault's readings open nothing again.
        await running.play(900)
        assert len((await outbox.alerts()).items) == 1


async def test_a_fault_that_maintenance_did_not_mend_is_a_new_alert(sqlite_url: str) -> None:
    still = telemetry((300, 350.0), (600, 900.0))
    async with opened(sqlite_url) as outbox, worker(outbox, Tape(still)) as running:
        await running.play(450)
        await outbox.maintain(at(500), BEGIN)
        running.pipeline.look()
        await running.play(900)

        new, old = (await outbox.alerts()).items
        assert (old.status, new.status) == (Status.RESOLVED, Status.OPEN)
        # Twenty rows after it there is enough to judge by, and not earlier.
        assert milliseconds(new.started_at) == BEGIN + 520_000


@pytest.mark.parametrize("crash_at", [480, 505, 515, 540])
async def test_a_crash_anywhere_changes_neither_the_alerts_nor_when_it_was_applied(
    sqlite_url: str, tmp_path: Any, crash_at: int
) -> None:
    """A worker that never crashed against one that crashed at that second and read all of it again."""

    async def story(url: str, crash: int | None) -> tuple[list[Alert], list[int | None], bytes]:
        tape = Tape(FAULT)
        async with opened(url) as outbox:
            async with worker(outbox, tape) as running:
                await running.play(450)
                await outbox.maintain(at(500), BEGIN)
                running.pipeline.look()
                await running.play(crash or 900)
                if crash is not None:
                    await running.crash()
            tape.per_poll = 7 if crash else 20
            async with worker(outbox, tape) as running:
                await running.play(900)
                baseline = running.pipeline._lanes[P0]._baselines[PUMP.type].snapshot()
            alerts = list((await outbox.alerts()).items)
            return alerts, [row.applied_at_ms for row in await outbox.maintenance(DEVICE)], baseline

    whole = await story(sqlite_url, None)
    broken = await story(f"sqlite:///{tmp_path}/broken.db", crash_at)
    assert broken == whole
    assert whole[1] == [BEGIN + 500_000]


async def test_maintenance_and_its_effect_are_durable_together(database_url: str) -> None:
    """The interval is long, so nothing else would save the lane."""
    async with opened(database_url) as outbox:
        tape = Tape(telemetry((400, 350.0)))
        async with worker(outbox, tape) as running:
            await running.play(200)
            await outbox.maintain(at(150), BEGIN)
            running.pipeline.look()
            await running.play(260)
            await running.crash()
        assert await outbox.pending_maintenance() == []
        async with worker(outbox, tape) as again:
            await again.play(260)
            baseline = again.pipeline._lanes[P0]._baselines[PUMP.type]
            assert baseline.learning()[DEVICE].renewed


async def test_a_worker_that_lost_the_partition_applies_nothing_and_the_new_owner_does(
    database_url: str,
) -> None:
    async with opened(database_url) as outbox:
        tape = Tape(FAULT)
        async with worker(outbox, tape) as old:
            await old.play(450)
            await outbox.maintain(at(500), BEGIN)
            epoch = (await outbox.acquire([P0]))[P0].epoch - 1
            with pytest.raises(StaleEpochError):
                await outbox.record(
                    Work(
                        {P0: epoch}, (), {P0: Checkpoint(1, b"")}, BEGIN, applied=[Applied(at(500).id, BEGIN)]
                    )
                )
            old.pipeline.look()
            await old.play(530)
            assert len(await outbox.pending_maintenance()) == 1
        async with worker(outbox, Tape(FAULT)) as new:
            await new.play(530)
            assert await outbox.pending_maintenance() == []
        assert (await the_alert(outbox)).status is Status.RESOLVED


async def test_maintenance_of_a_silent_device_is_applied_by_the_clock(sqlite_url: str) -> None:
    async with opened(sqlite_url) as outbox, worker(outbox, Tape(FAULT[:450])) as running:
        await running.play(450)
        running.pipeline.clock.origin_ms = BEGIN + 470_000
        await running.tend()
        await outbox.maintain(at(480), BEGIN)
        await running.tend()
        waiting = len(await outbox.pending_maintenance())
        running.pipeline.clock.origin_ms = BEGIN + 490_000
        await running.tend()

        by_kind = {alert.kind.value: alert.status for alert in (await outbox.alerts()).items}
        assert waiting == 1
        assert await outbox.pending_maintenance() == []
        assert by_kind == {"fault": Status.RESOLVED, "silent": Status.OPEN}


async def test_maintenance_of_a_device_of_nobody_waits(sqlite_url: str) -> None:
    async with opened(sqlite_url) as outbox, worker(outbox, Tape(FAULT)) as running:
        await outbox.maintain(Maintenance("SN-0", "R. Gupta", BEGIN, BEGIN), BEGIN)
        await running.play(300)
        assert [entry.device for entry in await outbox.pending_maintenance()] == ["SN-0"]


async def test_a_fault_of_a_device_that_never_returns_ends_when_the_device_is_forgotten(
    sqlite_url: str,
) -> None:
    async with opened(sqlite_url) as outbox, worker(outbox, Tape(FAULT[:450])) as running:
        await running.play(450)
        running.pipeline.clock.origin_ms = BEGIN + 500_000
        await running.tend()
        before = {alert.kind.value: alert.status for alert in (await outbox.alerts()).items}
        running.pipeline.clock.origin_ms = BEGIN + 1_100_000
        await running.tend()

        found = {alert.kind.value: alert for alert in (await outbox.alerts()).items}
        assert before == {"fault": Status.OPEN, "silent": Status.OPEN}
        assert {kind: alert.status for kind, alert in found.items()} == dict.fromkeys(before, Status.RESOLVED)
        assert found["fault"].summary.startswith("No longer watched after ")
        assert running.pipeline.devices() == []


# -- the log -----------------------------------------------------------------------------------------------


async def test_the_same_work_said_twice_is_kept_once(database_url: str) -> None:
    async with opened(database_url) as outbox:
        first = await outbox.maintain(WORK, BEGIN)
        again = await outbox.maintain(
            Maintenance(DEVICE, WORK.by, WORK.at_ms, BEGIN + 5000, "said again", rebaseline=True),
            BEGIN + 5000,
        )
        other = await outbox.maintain(Maintenance(DEVICE, WORK.by, WORK.at_ms + 1, BEGIN), BEGIN)
        assert again == first
        assert [row.entry for row in await outbox.maintenance(DEVICE)] == [other.entry, WORK]
        assert await outbox.pending_maintenance() == [WORK, other.entry]


async def test_what_was_applied_is_applied_once(database_url: str) -> None:
    async with opened(database_url) as outbox:
        await outbox.maintain(WORK, BEGIN)
        epoch = (await outbox.acquire([P0]))[P0].epoch
        for later in (1, 2):
            await outbox.record(Work({P0: epoch}, (), {}, BEGIN, applied=[Applied(WORK.id, BEGIN + later)]))
        [row] = await outbox.maintenance(DEVICE)
        assert row.applied_at_ms == BEGIN + 1
        assert await outbox.pending_maintenance() == []


async def test_old_entries_are_removed_with_the_old_alerts(database_url: str) -> None:
    async with opened(database_url) as outbox:
        await outbox.maintain(WORK, BEGIN)
        await outbox.prune(BEGIN)
        kept = await outbox.maintenance(DEVICE)
        await outbox.prune(BEGIN + 1)
        assert len(kept) == 1
        assert await outbox.maintenance(DEVICE) == []
