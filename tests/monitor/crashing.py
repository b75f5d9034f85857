"""A worker that is made to die, at the COUNT-th passing of a named point, as by `kill -9`.

Plays a fixed stream of findings through book, outbox and dispatcher, from where the last checkpoint stands, and ends
with 0 when all is delivered. Run as a program it reads orders from its input, a JSON list
`[database, hook, secret, point, count]` a line, forks a worker for each and answers its exit status: imports are paid
for once.
"""

import asyncio
import json
import os
import random
import sys
from collections.abc import Iterator

from pydantic import SecretStr

from monitor.alerts import AlertBook
from monitor.dispatch import Dispatcher, DispatchSettings, wall_ms
from monitor.findings import Action, Finding
from monitor.notifiers.webhook import WebhookNotifier, WebhookSettings
from monitor.outbox import Checkpoint, Milestone, Outbox, Work
from streams.transport import TopicPartition
from tests.monitor.worlds import PROFILES, START, finding

PARTITION = TopicPartition("telemetry", 0)
DEVICES = 8
BATCH = 3
EXIT = 137


def stream() -> list[Finding]:
    """Three findings a device, devices mixed; always the same."""
    found = [
        finding(action, START + 10_000 * step + i, device=f"SN-{i}", started_t=START + i)
        for i in range(DEVICES)
        for step, action in enumerate((Action.OPEN, Action.UPDATE, Action.RESOLVE))
    ]
    order = sorted(range(len(found)), key=lambda n: (found[n].at_t + 7_000 * (n % 5), n))
    done: dict[str, int] = {}
    mixed = []
    for n in order:
        # Whatever the mixing, a device's own findings keep their order.
        device = found[n].device
        step = done.get(device, 0)
        mixed.append(next(f for f in found[3 * int(device[3:]) + step :]))
        done[device] = step + 1
    return mixed


def batches(start: int) -> Iterator[tuple[int, list[Finding]]]:
    """(next offset, findings) from an offset on."""
    every = stream()
    for offset in range(start, len(every), BATCH):
        yield min(offset + BATCH, len(every)), every[offset : offset + BATCH]


class Bomb:
    """Ends the process at the n-th passing of a point."""

    def __init__(self, point: str, count: int) -> None:
        self._point, self._left = point, count

    def __call__(self, milestone: Milestone) -> None:
        if milestone == self._point:
            self._left -= 1
            if self._left == 0:
                os._exit(EXIT)


async def consume(outbox: Outbox, dispatcher: Dispatcher) -> None:
    """Street 1: events are recorded at once, every second time with a checkpoint."""
    mine = (await outbox.acquire([PARTITION]))[PARTITION]
    book = AlertBook(PROFILES)
    if mine.state is not None:
        book.restore(mine.state)
    for turn, (next_offset, findings) in enumerate(batches(mine.next_offset or 0)):
        events = [event for f in findings if (event := book.apply(f))]
        saved = {PARTITION: Checkpoint(next_offset, book.snapshot())} if turn % 2 else {}
        await outbox.record(Work({PARTITION: mine.epoch}, events, saved, wall_ms()))
        dispatcher.wake()
        await asyncio.sleep(0.02)


async def main(database: str, hook: str, secret: str, point: str, count: int) -> None:
    bomb = Bomb(point, count)
    outbox = await Outbox.open(database, ["engineering"], milestone=bomb)
    settings = WebhookSettings(
        name="engineering",
        url=SecretStr(hook),
        secrets=(SecretStr(secret),),
        allow=("127.0.0.0/8",),
        timeout_s=5,
    )
    # A short lease, so that PostgreSQL's jobs need not wait half a minute for their dead owner.
    quick = DispatchSettings(poll_s=0.1, lease_s=1, watch_every_s=60)
    dispatcher = Dispatcher(outbox, [WebhookNotifier(settings)], quick, rng=random.Random(0), milestone=bomb)
    task = asyncio.create_task(dispatcher.run())
    await consume(outbox, dispatcher)
    while any(row.waiting for row in await outbox.backlog()):  # noqa: ASYNC110 - the database knows
        await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await outbox.close()


def serve() -> None:
    """Fork a worker for each order. Nothing is running yet in this process, so forking is safe."""
    for line in sys.stdin:
        worker = os.fork()
        if worker == 0:
            # The log goes to standard output, which is for the answers.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            asyncio.run(main(*json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(worker, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
