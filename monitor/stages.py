"""What happens to a delivery, as a list read from top to bottom and folded once.

Each stage gets the job and the rest of the list; it answers itself or asks the rest. Knows no HTTP.
"""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated, Final, Protocol

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from monitor.alerts import moment
from monitor.findings import Kind, Severity
from monitor.notifiers.base import Answer, Notifier, Outcome
from monitor.outbox import Job, JobState, Milestone, Outbox, Settlement

Clock = Callable[[], int]
"""Wall time in ms since the epoch."""
Handler = Callable[[Job], Awaitable[Answer]]
Stage = Callable[[Job, Handler], Awaitable[Answer]]

SCHEDULE_S: Final = (0, 1, 2, 5, 10, 30, 60, 120, 300, 900, 1800)
"""Wait before the first attempt, the second, and so on; then `HOURLY_S`. Denser in the first hour than Standard
Webhooks 1.0 asks for, since an alert is worth most then."""
HOURLY_S: Final = 3600


class DeliveryObserver(Protocol):
    """Counts deliveries; `monitor.metrics.Metrics` is one."""

    def record_delivery(
        self, notifier: str, outcome: str, seconds: float, delay_seconds: float | None = None
    ) -> None:
        """One attempt ended after `seconds`; if it delivered, `delay_seconds` after the job's commit."""
        ...


class MuteRule(BaseModel):
    """Deliveries that are not sent but noted: a device in maintenance, a target that wants only the worst."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Annotated[str, Field(min_length=1)] = "*"
    """Device id; `*` and `?` stand for anything."""
    target: str | None = None
    kinds: tuple[Kind, ...] = ()
    """Empty: every kind."""
    severities: tuple[Severity, ...] = ()
    """Empty: every severity."""
    until: AwareDatetime | None = None
    """None: for ever."""

    def holds(self, job: Job, now_ms: int) -> bool:
        """Whether this delivery is muted now."""
        return (
            fnmatchcase(job.device, self.device)
            and self.target in {None, job.target}
            and (not self.kinds or job.kind in self.kinds)
            and (not self.severities or job.severity in self.severities)
            and (self.until is None or moment(now_ms) < self.until)
        )


class RetrySettings(BaseModel):
    """When to give up, and how far to spread retries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    give_up_after_s: Annotated[float, Field(gt=0)] = 72 * 3600.0
    """A delivery undelivered for so long is parked; a person can send it again."""
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Waits are spread by this share, so that many do not come at once."""
    max_retry_after_s: Annotated[float, Field(gt=0)] = HOURLY_S
    """A target that asks for a longer pause is tried again after this."""


def fold(stages: Sequence[Stage], last: Handler) -> Handler:
    """One handler out of a list of stages."""
    handler = last
    for stage in reversed(stages):
        handler = partial(stage, then=handler)  # type: ignore[call-arg] # every stage names its rest `then`
    return handler


class Receipt:
    """Writes what came of an attempt into the ledger, counts it, and switches off a target that is gone."""

    def __init__(self, outbox: Outbox, clock: Clock, observer: DeliveryObserver | None) -> None:
        self._outbox, self._clock, self._observer = outbox, clock, observer
        self._log = structlog.get_logger(component="dispatch")

    async def __call__(self, job: Job, then: Handler) -> Answer:
        started = time.perf_counter()
        answer = await then(job)
        seconds, now_ms = time.perf_counter() - started, self._clock()
        if answer.outcome is not Outcome.LEASE_LOST:
            if answer.outcome is Outcome.GONE:
                await self._outbox.disable(job.target, "the target answered 410 Gone", now_ms)
            await self._outbox.settle(job, _settlement(answer, seconds), now_ms)
        self._report(job, answer, seconds, now_ms)
        return answer

    def _report(self, job: Job, answer: Answer, seconds: float, now_ms: int) -> None:
        delivered = answer.outcome is Outcome.DELIVERED
        if self._observer is not None:
            delay_s = (now_ms - job.queued_ms) / 1000 if delivered else None
            self._observer.record_delivery(job.target, answer.outcome, seconds, delay_s)
        say = self._log.info if delivered else self._log.warning
        say(
            "delivery",
            target=job.target,
            outcome=answer.outcome.value,
            detail=answer.detail,
            type=job.type,
            alert=str(job.alert_id),
            attempt=job.tries + 1,
            next_try=None if answer.next_try_ms is None else moment(answer.next_try_ms).isoformat(),
        )


def _settlement(answer: Answer, seconds: float) -> Settlement:
    if answer.outcome is Outcome.DELIVERED:
        state = JobState.DELIVERED
    elif answer.outcome is Outcome.MUTED:
        state = JobState.MUTED
    else:
        state = JobState.PARKED if answer.next_try_ms is None else JobState.PENDING
    return Settlement(
        state=state,
        outcome=answer.outcome.value,
        status_code=answer.status_code,
        detail=answer.detail,
        next_try_ms=answer.next_try_ms,
        duration_ms=round(seconds * 1000),
    )


class Mute:
    """Sends nothing that a rule mutes."""

    def __init__(self, rules: Sequence[MuteRule], clock: Clock) -> None:
        self._rules, self._clock = tuple(rules), clock

    async def __call__(self, job: Job, then: Handler) -> Answer:
        now_ms = self._clock()
        if any(rule.holds(job, now_ms) for rule in self._rules):
            return Answer(Outcome.MUTED, detail="by a mute rule")
        return await then(job)


class Switch:
    """Sends nothing to a target that is switched off; its deliveries wait for a person, who switches it on by sending
    one of them again."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def __call__(self, job: Job, then: Handler) -> Answer:
        why = (await self._outbox.disabled()).get(job.target)
        return await then(job) if why is None else Answer(Outcome.DISABLED, detail=why)


class Dedup:
    """Sends nothing that another worker took over meanwhile (a lease ran out while this process was frozen)."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def __call__(self, job: Job, then: Handler) -> Answer:
        if not await self._outbox.holds(job):
            return Answer(Outcome.LEASE_LOST, detail="the lease ran out")
        return await then(job)


class Retry:
    """Says when to try again what may be tried again."""

    def __init__(self, settings: RetrySettings, clock: Clock, rng: random.Random) -> None:
        self._settings, self._clock, self._rng = settings, clock, rng

    async def __call__(self, job: Job, then: Handler) -> Answer:
        answer = await then(job)
        if not answer.outcome.may_retry:
            return answer
        now_ms = self._clock()
        next_try_ms = now_ms + round(1000 * self._wait_s(job, answer))
        if next_try_ms > job.queued_ms + 1000 * self._settings.give_up_after_s:
            detail = (
                f"given up after {job.tries + 1} attempts; the last: {answer.outcome.value} {answer.detail}"
            )
            return Answer(Outcome.EXPIRED, answer.status_code, detail.strip())
        return Answer(answer.outcome, answer.status_code, answer.detail, answer.retry_after_s, next_try_ms)

    def _wait_s(self, job: Job, answer: Answer) -> float:
        made = job.tries + 1
        wait: float = SCHEDULE_S[made] if made < len(SCHEDULE_S) else HOURLY_S
        wait *= 1 + self._settings.jitter * (2 * self._rng.random() - 1)
        asked = min(answer.retry_after_s or 0.0, self._settings.max_retry_after_s)
        return max(wait, asked)


class Send:
    """The end of the list: one attempt. A notifier that breaks its promise not to raise is answered for here."""

    def __init__(self, notifier: Notifier, clock: Clock, milestone: Callable[[Milestone], None]) -> None:
        self._notifier, self._clock, self._milestone = notifier, clock, milestone
        self._log = structlog.get_logger(component="dispatch")

    async def __call__(self, job: Job) -> Answer:
        self._milestone(Milestone.SENDING)
        try:
            answer = await self._notifier.notify(job, self._clock())
        except Exception as error:
            self._log.exception("a notifier failed", target=job.target)
            answer = Answer(Outcome.ERROR, detail=type(error).__name__)
        self._milestone(Milestone.SENT)
        return answer
