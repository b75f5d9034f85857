"""Adaptation with the simulator and the shipped pump model: a slow fault is found all the same."""

from pathlib import Path

import numpy as np
import pytest

from models.loading import alarm_rule, load_scorer
from monitor.alerts import AlertEvent, EventType
from monitor.due import answer
from monitor.findings import AdaptationSettings, JudgeSettings, SilenceSettings
from monitor.lanes import Lane, LaneRecipe
from monitor.scenarios import in_order
from streams.devices import load_profiles
from streams.records import JSON, Decoder
from streams.simulation import FaultPlan, Plan, observe, simulate
from streams.transport import Message

PUMP = "infusion-pump"
ZOO = Path(__file__).parents[2] / "models" / "zoo"
START_MS = 1_790_000_000_000
HOURS, ONSET_H, RAMP_H = 7.0, 4.0, 2.0
EAGER = AdaptationSettings(settle_h=3.0, time_constant_h=RAMP_H, calm_below=0.9, hold_h=0.0)
"""As eager as it may be: settled soon, and following within the very time in which the fault grows."""


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    """A pump whose pressure sensor drifts away over two hours."""
    fault = FaultPlan(
        "pressure_sensor_drift", onset_s=ONSET_H * 3600, severity=0.9, ramp_s=RAMP_H * 3600, sign=1
    )
    run = simulate(PUMP, "SLOW-1", 5, START_MS, HOURS * 3600, Plan(faults=(fault,)))
    header = [("content-type", JSON.encode())]
    return [
        Message("telemetry", 0, offset, b"SLOW-1", planned.value, header)
        for offset, planned in enumerate(in_order([run], [observe(run, 5)]))
    ]


def _play(messages: list[Message], adaptation: AdaptationSettings) -> tuple[list[AlertEvent], list[float]]:
    """What is told, and the largest bias after each poll."""
    profiles, scorer, rule = load_profiles(), load_scorer(ZOO / PUMP, "cpu"), alarm_rule(ZOO / PUMP)
    recipe = LaneRecipe(
        profiles={PUMP: profiles[PUMP]},
        models={PUMP: scorer.identity},
        judges={PUMP: JudgeSettings().fitted_for(rule)},
        silence=SilenceSettings(),
        adaptation={PUMP: adaptation},
    )
    lane, decoder = Lane(recipe, epoch=1), Decoder(profiles)
    told: list[AlertEvent] = []
    largest: list[float] = []
    for start in range(0, len(messages), 1000):
        for block in decoder.decode(messages[start : start + 1000]).blocks.values():
            for turn in lane.turns(lane.push(block, START_MS + round(HOURS * 3_600_000))):
                for batch in turn:
                    due, events = lane.begin(batch)
                    said = answer(scorer, due.batch.values, due.batch.mask, due.bias)
                    told += events + lane.judge(due.batch, said)
        largest.append(float(np.abs(lane.bias("SLOW-1", PUMP)).max()))
    return told, largest


def _opened(told: list[AlertEvent]) -> list[AlertEvent]:
    return [event for event in told if event.type is EventType.OPENED]


def test_a_slow_fault_is_found_although_the_baseline_follows_as_eagerly_as_it_may(
    messages: list[Message],
) -> None:
    plain, _ = _play(messages, AdaptationSettings(bound=0))
    adapted, largest = _play(messages, EAGER)

    onset_ms = START_MS + ONSET_H * 3_600_000
    [found], [also] = _opened(plain), _opened(adapted)
    assert onset_ms < found.at_ms
    assert onset_ms < also.at_ms < START_MS + HOURS * 3_600_000
    assert also.alert.channels[0].name == found.alert.channels[0].name == "line_pressure_down"
    assert 0.2 < max(largest) <= EAGER.bound
