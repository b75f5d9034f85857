"""A scorer that remembers, in lanes and in the pipeline: every window is scored with what the one before it left."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.calibration import AlarmRule
from models.scoring import Scorer
from monitor.alerts import Alert
from monitor.app import lane_recipe
from monitor.due import Due, answer
from monitor.findings import JudgeSettings, Recalled, SilenceSettings
from monitor.findings.finding import Kind, Reason
from monitor.inference import Inference
from monitor.lanes import Lane, LaneRecipe, LaneState, LaneStateError
from monitor.maintenance import Maintenance
from monitor.metrics import Metrics
from monitor.settings import Settings
from monitor.turns import in_turns
from streams.blocks import WindowBatch
from streams.kafka import KafkaConfig
from streams.records import JSON, Decoder, encode_json
from streams.transport import Message
from tests.monitor.remembering import RunningMean
from tests.monitor.test_maintenance import BEGIN, DEVICE, P0, Limit, Tape, telemetry, worker
from tests.monitor.test_outbox import opened
from tests.monitor.worlds import MODEL, PUMP, batch, finding

DEVICES = ("A", "B", "C")
Told = dict[tuple[str, int], bytes]
"""Device and end of the window → its anomaly, to the bit."""


def recipe(scorer: Scorer) -> LaneRecipe:
    return LaneRecipe(
        profiles={PUMP.type: PUMP},
        models={PUMP.type: scorer.identity},
        judges={PUMP.type: JudgeSettings()},
        silence=SilenceSettings(),
        memories={PUMP.type: scorer.lasting} if isinstance(scorer, RunningMean) else {},
    )


def new_lane(scorer: Scorer | None = None, saved: bytes | None = None) -> Lane:
    return Lane(recipe(scorer or RunningMean()), 1, saved)


def stream(seed: int = 1, seconds: int = 400, devices: Sequence[str] = DEVICES) -> list[Message]:
    """A sample a second of each device, one in ten missing; pressures wander."""
    rng = np.random.default_rng(seed)
    pressure = 300 + rng.normal(0, 5, (seconds, len(devices))).cumsum(0)
    header = [("content-type", JSON.encode())]
    return [
        Message(
            "telemetry", 0, offset, device.encode(), _sample(device, second, pressure[second, at]), header
        )
        for offset, (second, at, device) in enumerate(
            (second, at, device) for second in range(seconds) for at, device in enumerate(devices)
        )
        if second == 0 or rng.random() < 0.9
    ]


def _sample(device: str, second: int, pressure: float) -> bytes:
    values = {"line_pressure_down": round(float(pressure), 2), "motor_current": 100.0}
    return encode_json(device, PUMP.type, BEGIN + 1000 * second, second, values)


def turns_of(lane: Lane, messages: Sequence[Message]) -> list[list[WindowBatch]]:
    """The turns of one poll."""
    blocks = Decoder({PUMP.type: PUMP}).decode(messages).blocks.values()
    return lane.turns([batch for block in blocks for batch in lane.push(block, BEGIN + 10**7)])


def play(
    lane: Lane, messages: Sequence[Message], cuts: Iterable[int] = (), scorer: Scorer | None = None
) -> Told:
    """Polls cut at these places."""
    scorer = scorer or RunningMean()
    told: Told = {}
    edges = sorted({0, len(messages), *(cut for cut in cuts if cut < len(messages))})
    for start, end in pairwise(edges):
        for turn in turns_of(lane, messages[start:end]):
            for windows in turn:
                due, _ = lane.begin(windows)
                said = answer(scorer, due.batch.values, due.batch.mask, due.bias, due.recalled)
                lane.judge(due.batch, said)
                told |= {
                    (device, int(end_t)): anomaly.tobytes()
                    for device, end_t, anomaly in zip(
                        due.batch.devices, due.batch.end_t, said.score.anomaly, strict=True
                    )
                }
    return told


def remembered(lane: Lane) -> dict[str, tuple[int, list[float]]]:
    """Device → end of its newest window, and what that left."""
    memories = lane._memories[PUMP.type]
    return {
        device: (int(memories.last_t[row]), memories.memory[row].tolist())
        for device, row in memories.row.items()
    }


# -- the order of windows ----------------------------------------------------------------------------------


def test_several_windows_of_a_device_are_one_turn_in_the_order_of_time() -> None:
    [[windows]] = turns_of(new_lane(), stream(seconds=100))
    ends = list(zip(windows.devices, windows.end_t.tolist(), strict=True))
    assert len(ends) == 8 * len(DEVICES)
    for device in DEVICES:
        own = [t for name, t in ends if name == device]
        assert own == sorted(set(own))


def test_windows_of_devices_that_came_once_are_one_turn_and_are_not_copied() -> None:
    lane, one, other = new_lane(), batch(["A", "B"], [1, 1]), batch(["C"], [3])
    [turn] = lane.turns([one, other])
    assert turn[0] is one
    assert turn[1] is other
    assert lane.turns([]) == []


def test_a_device_that_is_in_two_batches_has_two_turns_although_its_clock_went_back() -> None:
    turns = new_lane().turns([batch(["A", "B"], [5, 5]), batch(["C", "A"], [5, 2])])
    assert [[w.devices for w in turn] for turn in turns] == [[["A", "B"], ["C"]], [["A"]]]


def test_windows_of_a_type_without_memory_go_to_the_scorer_all_at_once_as_they_came() -> None:
    lane, messages = new_lane(Limit()), stream(seconds=100)
    [turn] = turns_of(lane, messages)
    assert sum(len(windows) for windows in turn) == 8 * len(DEVICES)
    [windows] = turn
    due, _ = lane.begin(windows)
    assert due.recalled is None
    assert due.batch is windows
    assert msgspec.msgpack.decode(lane.snapshot(), type=LaneState).memories == {}


def test_windows_that_need_what_an_earlier_batch_left_wait_and_all_others_go_with_the_first() -> None:
    plain, first, next_one = batch(["D"], [1]), batch(["A", "B", "A"], [1, 1, 2]), batch(["C", "A"], [1, 3])
    batches = [plain, first, plain, next_one]
    moments = [np.zeros(len(windows), np.int64) for windows in batches]
    turns = in_turns(batches, moments, [False, True, False, True])
    assert [[w.devices for w in turn] for turn in turns] == [
        [["D"], ["A", "B", "A"], ["D"], ["C"]],
        [["A"]],
    ]
    assert turns[0][1] is first


def test_what_takes_effect_between_two_windows_of_a_device_parts_them() -> None:
    moments = [np.array([0, 0, 7, 7])]
    turns = in_turns([batch(["A", "B", "A", "A"], [1, 1, 2, 3])], moments, [True])
    assert [[w.devices for w in turn] for turn in turns] == [[["A", "B"]], [["A", "A"]]]


def test_each_window_finds_what_the_one_before_it_left_and_no_reading_twice() -> None:
    lane, messages = new_lane(), stream(devices=("A",))
    play(lane, messages)
    last_t, (count, mean) = remembered(lane)["A"]
    values = [(t, v["line_pressure_down"]) for t, v in map(_decoded, messages) if t < last_t]
    assert last_t > BEGIN + 380_000
    assert count == len(values)
    assert mean == pytest.approx(np.mean([value for _, value in values]), rel=1e-5)


def _decoded(message: Message) -> tuple[int, dict[str, float]]:
    told = msgspec.json.decode(message.value)
    return told["t"], told["values"]


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sets(st.integers(1, 1000), max_size=40))
def test_where_polls_are_cut_changes_no_bit(seed: int, cuts: set[int]) -> None:
    messages, whole, cut = stream(seed), new_lane(), new_lane()
    assert play(cut, messages, cuts) == play(whole, messages)
    assert remembered(cut) == remembered(whole)


# -- saved and restored ------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 1000), st.integers(1, 1000))
def test_a_restored_lane_goes_on_with_the_same_bits(seed: int, at: int) -> None:
    messages, whole, first = stream(seed), new_lane(), new_lane()
    expected = play(whole, messages)
    found = play(first, messages[:at])
    second = new_lane(saved=first.snapshot())
    assert found | play(second, messages[at:]) == expected
    assert remembered(second) == remembered(whole)


def test_another_model_begins_anew_and_says_what_it_says_of_a_new_device() -> None:
    messages, lane, later = stream(), new_lane(), RunningMean(identity=replace(MODEL, digest="cd" * 32))
    play(lane, messages[:600])
    same, other = new_lane(saved=lane.snapshot()), new_lane(later, lane.snapshot())
    assert set(remembered(same)) == set(DEVICES)
    assert other._memories[PUMP.type].devices == []
    [turn, *_] = turns_of(other, messages[600:])
    due, _ = other.begin(turn[0])
    assert due.recalled is not None
    assert not due.recalled.memory.any()
    assert (due.recalled.new_rows[: len(DEVICES)] == PUMP.window_rows).all()


def test_a_lane_saved_before_there_were_memories_is_restored_and_remembers_from_then_on() -> None:
    messages, lane = stream(), new_lane()
    play(lane, messages[:600])
    old = msgspec.msgpack.decode(lane.snapshot())
    del old["memories"]
    again = new_lane(saved=msgspec.msgpack.encode(old))
    assert again.device_types() == lane.device_types()
    play(again, messages[600:])
    assert set(remembered(again)) == set(DEVICES)


def test_a_model_that_remembers_nothing_any_more_leaves_the_rest_of_the_lane_as_it_was() -> None:
    lane = new_lane()
    play(lane, stream()[:600])
    again = new_lane(Limit(), lane.snapshot())
    assert again.device_types() == lane.device_types()
    assert again._memories == {}


def test_damaged_memories_are_told_as_a_lane_that_cannot_be_read() -> None:
    lane = new_lane()
    play(lane, stream()[:600])
    state = msgspec.msgpack.decode(lane.snapshot())
    state["memories"][PUMP.type] = state["memories"][PUMP.type][:-3]
    with pytest.raises(LaneStateError, match="not a snapshot"):
        new_lane(saved=msgspec.msgpack.encode(state))


# -- maintenance and forgetting ----------------------------------------------------------------------------


@pytest.mark.parametrize("rebaseline", [True, False])
def test_maintenance_with_a_new_baseline_begins_the_memory_anew(rebaseline: bool) -> None:
    """From the first window after it, and of that device alone."""
    messages, plain, serviced = stream(), new_lane(), new_lane()
    since = BEGIN + 204_000
    for lane in (plain, serviced):
        play(lane, messages[:300])
    serviced.service([Maintenance("B", "R. Gupta", since, since, rebaseline=rebaseline)])
    before, after = play(plain, messages[300:]), play(serviced, messages[300:])
    assert {key for key in after if after[key] != before[key]} <= {
        (d, t) for d, t in before if d == "B" and t > since
    }
    total = {device: count for device, (_, [count, _]) in remembered(plain).items()}
    kept = {device: count for device, (_, [count, _]) in remembered(serviced).items()}
    assert {device: kept[device] == total[device] for device in DEVICES} == {"A": True, "B": False, "C": True}
    readings = [t for t, d in ((_decoded(m)[0], m.key) for m in messages) if d == b"B"]
    last_t = remembered(serviced)["B"][0]
    gone = (
        sum(t < since for t in readings)
        if rebaseline
        else sum(BEGIN + 200_000 <= t < since for t in readings)
    )
    assert kept["B"] == sum(t < last_t for t in readings) - gone


def test_a_forgotten_device_begins_anew_when_it_returns() -> None:
    messages, lane = stream(), new_lane()
    play(lane, messages[:600])
    lane.hear([finding(reason=Reason.FORGOTTEN, kind=Kind.SILENT, device="B")])
    assert set(remembered(lane)) == {"A", "C"}
    play(lane, messages[600:])
    counts = {device: count for device, (_, [count, _]) in remembered(lane).items()}
    assert 0 < counts["B"] < counts["A"] / 2


def test_what_is_remembered_counts_in_the_bytes_of_a_device() -> None:
    messages, plain, remembering = stream(), new_lane(Limit()), new_lane()
    play(plain, messages, scorer=Limit())
    play(remembering, messages)
    assert remembering.bytes_per_device == plain.bytes_per_device + 2 * 4 + 8


# -- off the event loop, and the whole road ----------------------------------------------------------------


TEN = np.full(2, 10, np.int64)


def _windows(devices: Sequence[str], level: float) -> WindowBatch:
    empty = batch(devices, [1] * len(devices))
    return replace(empty, values=np.full(empty.values.shape, level, np.float32), mask=~empty.mask)


def _recalled(counts: Sequence[float]) -> Recalled:
    memory = np.array([[count, 100] for count in counts], np.float32)
    return Recalled(memory, np.full(len(counts), 10, np.int64), np.arange(len(counts)))


async def test_batches_of_several_partitions_go_to_the_scorer_together_and_each_gets_its_own_memory_back() -> (
    None
):
    scorer = RunningMean()
    due = [
        Due(_windows(["A", "B"], 300), None, _recalled([10, 20])),
        Due(_windows(["C", "C"], 200), None, _recalled([30])._replace(new_rows=TEN, of=np.zeros(2, np.intp))),
    ]
    inference = Inference({PUMP.type: scorer}, Metrics.of_process(device_types=[PUMP.type], notifiers=[]))
    try:
        one, other = await inference.score(due)
    finally:
        inference.close()
    assert one is not None
    assert other is not None
    assert scorer.asked == [4]
    assert _list(one.memory) == [[20, 200], [30, pytest.approx(500 / 3)]]
    assert _list(other.memory) == [[50, 140]]
    assert other.score.anomaly.tolist() == [1.0, 0.75]


def _list(memory: NDArray[np.float32] | None) -> Any:
    assert memory is not None
    return memory.tolist()


def test_a_memory_for_a_scorer_that_has_none_is_an_error() -> None:
    windows = _windows(["A"], 300)
    with pytest.raises(TypeError, match="scorer of infusion-pump remembers nothing"):
        answer(Limit(), windows.values, windows.mask, None, _recalled([1]))


class Both(RunningMean):
    """Could be told of a bias as well."""

    score_adapted = Limit.score_adapted


def test_the_service_keeps_memories_where_a_scorer_remembers_and_baselines_only_where_it_does_not() -> None:
    profiles = {kind: PUMP.model_copy(update={"type": kind}) for kind in ("a", "b", "c")}
    scorers: dict[str, Scorer] = {"a": RunningMean(), "b": Limit(), "c": Both()}
    service = Settings(kafka=KafkaConfig(bootstrap_servers="nowhere:9092"))
    made = lane_recipe(service, profiles, scorers, dict.fromkeys(profiles, AlarmRule(3, 5)))
    assert {kind: len(lasting) for kind, lasting in made.memories.items()} == {"a": 2, "c": 2}
    assert set(made.adaptation) == {"b"}


@pytest.mark.parametrize("crash_at", [130, 245, 260, 333])
async def test_a_crash_anywhere_changes_neither_the_alerts_nor_what_is_remembered(
    sqlite_url: str, tmp_path: Any, crash_at: int
) -> None:
    """A worker that never crashed against one that saved now and then, crashed, and cut its polls otherwise."""
    tape = telemetry((240, 350.0), (160, 900.0), (300, 360.0))

    async def story(url: str, crash: int | None) -> tuple[list[Alert], bytes]:
        played = Tape(tape)
        async with opened(url) as outbox:
            if crash is not None:
                async with worker(outbox, played, 0.0, RunningMean()) as running:
                    await running.play(crash - 60)
                    running.pipeline.settings = replace(running.pipeline.settings, checkpoint_interval_s=1000)
                    await running.play(crash)
                    await running.crash()
                played.per_poll = 37
            async with worker(outbox, played, 1000.0, RunningMean()) as running:
                await running.play(len(tape))
                memories = running.pipeline._lanes[P0]._memories[PUMP.type].snapshot()
            return list((await outbox.alerts()).items), memories

    whole = await story(sqlite_url, None)
    broken = await story(f"sqlite:///{tmp_path}/broken.db", crash_at)
    assert broken == whole
    assert [alert.device.id for alert in whole[0]] == [DEVICE]
