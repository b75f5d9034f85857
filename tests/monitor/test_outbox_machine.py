"""A Hypothesis state machine: streams, crashes, people and deliveries in any order, against a plain model."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitor.alerts import AlertBook, AlertEvent, Status, body
from monitor.outbox import Checkpoint, Job, JobState, Milestone, Outbox, Settlement, Work
from tests.monitor.crashing import PARTITION, stream
from tests.monitor.test_outbox import NOW
from tests.monitor.worlds import PROFILES

TARGETS = ("engineering", "topic")
STREAM = stream()


def _oracle() -> list[AlertEvent]:
    book = AlertBook(PROFILES)
    return [event for finding in STREAM if (event := book.apply(finding))]


ORACLE = _oracle()


class CrashError(Exception):
    """The transaction dies here."""


class OutboxMachine(RuleBasedStateMachine):
    """The model: how far the stream was recorded, what arrived where, who acknowledged what."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="attendant-machine-"))
        self.now = NOW
        self.recorded = 0
        """Events of the oracle that are certainly in the outbox."""
        self.arrived: dict[str, list[str]] = {target: [] for target in TARGETS}
        self.bodies: dict[str, bytes] = {}
        self.acknowledged: dict[str, str] = {}
        self.claimed: list[Job] = []
        self.bomb: Milestone | None = None

    def _milestone(self, here: Milestone) -> None:
        if here is self.bomb:
            raise CrashError(here)

    @initialize()
    def start(self) -> None:
        self._boot()

    def _boot(self) -> None:
        url = f"sqlite:///{self.folder / 'a.db'}"
        self.outbox = self.runner.run(Outbox.open(url, TARGETS, milestone=self._milestone))
        mine = self.runner.run(self.outbox.acquire([PARTITION]))[PARTITION]
        self.epoch, self.position = mine.epoch, mine.next_offset or 0
        self.book = AlertBook(PROFILES)
        if mine.state:
            self.book.restore(mine.state)

    # -- street 1 ------------------------------------------------------------------------------------

    @precondition(lambda self: self.position < len(STREAM))
    @rule(
        count=st.integers(1, 9),
        checkpoint=st.sampled_from([False, False, False, True]),
        bomb=st.sampled_from([None, *[m for m in Milestone if m in set(list(Milestone)[:5])]]),
    )
    def record(self, count: int, checkpoint: bool, bomb: Milestone | None) -> None:
        end = min(self.position + count, len(STREAM))
        events = [event for f in STREAM[self.position : end] if (event := self.book.apply(f))]
        saved = {PARTITION: Checkpoint(end, self.book.snapshot())} if checkpoint else {}
        self.bomb = bomb
        try:
            self.runner.run(self.outbox.record(Work({PARTITION: self.epoch}, events, saved, self.now)))
        except CrashError:
            committed = bomb is Milestone.COMMITTED
            self.bomb = None
            if committed:
                self.recorded = max(self.recorded, end)
            self.crash()
            return
        finally:
            self.bomb = None
        self.position = end
        self.recorded = max(self.recorded, end)

    @rule()
    def crash(self) -> None:
        """A new process: what was in memory is gone, claimed jobs wait for their lease."""
        self.runner.run(self.outbox.close())
        self.claimed = []
        self._boot()

    # -- people --------------------------------------------------------------------------------------

    @precondition(lambda self: self.recorded)
    @rule(number=st.integers(0, len(ORACLE) - 1), by=st.sampled_from(["a", "b"]))
    def acknowledge(self, number: int, by: str) -> None:
        alert = ORACLE[number % self.recorded].alert
        self.runner.run(self.outbox.acknowledge(alert.id, by, "", self.now))
        self.acknowledged.setdefault(str(alert.id), by)

    @rule()
    def send_failures_again(self) -> None:
        for delivery in self.runner.run(self.outbox.failures()):
            self.runner.run(self.outbox.replay(delivery.id, "m.weber", self.now))

    # -- street 2 ------------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 20))
    def claim(self, limit: int) -> None:
        self.claimed += self.runner.run(self.outbox.claim(self.now, limit, 30))

    @precondition(lambda self: self.claimed)
    @rule(which=st.integers(0, 100), how=st.sampled_from(["delivered", "retry", "parked", "lost answer"]))
    def attempt(self, which: int, how: str) -> None:
        job = self.claimed.pop(which % len(self.claimed))
        # The same id carries the same bytes, at every attempt and to every target.
        assert self.bodies.setdefault(job.event_id, job.body) == job.body
        if how in {"delivered", "lost answer"}:
            self.arrived[job.target].append(job.event_id)
        done = {
            "delivered": Settlement(JobState.DELIVERED, "delivered", 200),
            "retry": Settlement(JobState.PENDING, "timeout", next_try_ms=self.now + 5000),
            "parked": Settlement(JobState.PARKED, "rejected", 400),
        }
        if how in done:
            self.runner.run(self.outbox.settle(job, done[how], self.now))

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        self.now += seconds * 1000
        # A lease that ran out is another's; a careful worker looks before it sends.
        self.claimed = [job for job in self.claimed if self.runner.run(self.outbox.holds(job))]

    # -- what always holds -----------------------------------------------------------------------------

    @invariant()
    def alerts_are_those_of_the_stream_as_people_left_them(self) -> None:
        kept = {str(a.id): a for a in self.runner.run(self.outbox.alerts(limit=100)).items}
        newest = {str(e.alert.id): e.alert for e in ORACLE[: self.recorded]}
        assert kept.keys() == newest.keys()
        for key, alert in kept.items():
            assert (alert.acknowledged.by if alert.acknowledged else None) == self.acknowledged.get(key)
            assert alert == newest[key].with_acknowledgement(alert.acknowledged)
        for status in Status:
            listed = self.runner.run(self.outbox.alerts(status=status, limit=100)).items
            assert {str(a.id) for a in listed} == {key for key, a in kept.items() if a.status is status}

    def teardown(self) -> None:
        """In the end everything arrives, in order, at every target, with the stream's own bytes."""
        if not hasattr(self, "outbox"):
            self.runner.close()
            return
        self.record_rest()
        for _ in range(400):
            self.now += 60_000
            self.send_failures_again()
            jobs = self.runner.run(self.outbox.claim(self.now, 100, 30))
            for job in jobs:
                self.arrived[job.target].append(job.event_id)
                self.runner.run(
                    self.outbox.settle(job, Settlement(JobState.DELIVERED, "delivered"), self.now)
                )
            if not jobs and not self.runner.run(self.outbox.backlog()):
                break
        streams = {event.id: body(event) for event in ORACLE}
        for target in TARGETS:
            arrived = set(self.arrived[target])
            people = arrived - streams.keys()
            assert arrived >= streams.keys()
            assert len(people) == len(self.acknowledged)
        for key, sent in self.bodies.items():
            if key in streams and b'"acknowledged":null' in sent:
                assert sent == streams[key]
        self.runner.run(self.outbox.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def record_rest(self) -> None:
        while self.position < len(STREAM):
            event = self.book.apply(STREAM[self.position])
            self.position += 1
            work = Work({PARTITION: self.epoch}, [event] if event else [], {}, self.now)
            self.runner.run(self.outbox.record(work))
        self.recorded = len(ORACLE)


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=12, stateful_step_count=25)
