"""Telemetry for acceptance tests: simulated pumps, as the messages that they send."""

import time
from collections.abc import Sequence

from monitor.player import Planned, play
from monitor.scenarios import in_order
from streams.kafka import KafkaConfig, KafkaSink
from streams.simulation import FaultPlan, Plan, observe, simulate

PUMP = "infusion-pump"


def pumps(faults: Sequence[str | None], minutes: float, seed: int = 3) -> list[Planned]:
    """One pump an entry, with that fault from a third of the run on, ending now; in the order of arrival."""
    duration_s = minutes * 60
    start_ms = time.time_ns() // 1_000_000 - round(duration_s * 1000)
    runs = [
        simulate(PUMP, f"PUMP-{number:03d}", seed, start_ms, duration_s, _plan(fault, duration_s))
        for number, fault in enumerate(faults)
    ]
    return list(in_order(runs, [observe(run, seed) for run in runs]))


def _plan(fault: str | None, duration_s: float) -> Plan:
    if fault is None:
        return Plan()
    return Plan(faults=(FaultPlan(fault, onset_s=duration_s / 3, severity=0.9, ramp_s=60.0),))


async def send(config: KafkaConfig, topic: str, messages: Sequence[Planned]) -> int:
    """All at once."""
    sink = KafkaSink(config)
    await sink.start()
    try:
        return await play(sink, topic, messages, None)
    finally:
        await sink.stop()
