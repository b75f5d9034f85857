"""How a device is shown, by a lane that really reads it: its state, how far it is, and by what it is judged."""

from collections.abc import Mapping
from itertools import chain

import pytest

from models.scoring import ModelIdentity
from monitor.alerts import milliseconds
from monitor.due import answer
from monitor.findings import AdaptationSettings, BaselineReason, JudgeSettings, SilenceSettings
from monitor.fleet import BaselineSource, DeviceState, DeviceStatus, LearningReason
from monitor.fleetview import device_states
from monitor.lanes import Lane, LaneRecipe
from monitor.maintenance import Maintenance
from monitor.metrics import Metrics
from monitor.pipeline.gauges import Gauges
from streams.records import JSON, Decoder, encode_json
from streams.transport import Message, TopicPartition
from tests.monitor.test_maintenance import BEGIN, DEVICE, Limit
from tests.monitor.worlds import MODEL, PUMP

QUICK = AdaptationSettings(step_s=100, settle_h=0.2, hold_h=0.05)
SETTLE_S = 720
MODAL = PUMP.model_copy(
    update={"channels": (*PUMP.channels[:3], PUMP.channels[3].model_copy(update={"role": "state"}))}
)
"""The set flow is the mode."""


class Ward:
    """One pump that sends a sample a second. Its motor takes 102.4 mA, .6 spreads above that of its type."""

    def __init__(
        self,
        adaptation: Mapping[str, AdaptationSettings] | None = None,
        models: Mapping[str, ModelIdentity] | None = None,
    ) -> None:
        self.recipe = LaneRecipe(
            profiles={PUMP.type: MODAL},
            models={PUMP.type: MODEL} if models is None else models,
            judges={PUMP.type: JudgeSettings(update_every_s=1e6)},
            silence=SilenceSettings(),
            adaptation={PUMP.type: QUICK} if adaptation is None else adaptation,
        )
        self.lane, self.second = Lane(self.recipe, epoch=1), 0

    def live(self, seconds: int, pressure: float = 350.0, mode: float = 25.0) -> "Ward":
        values = {
            "line_pressure_down": pressure,
            "motor_current": 102.4,
            "flow_current": 25.0,
            "flow_set": mode,
        }
        for _ in range(seconds):
            value = encode_json(DEVICE, PUMP.type, BEGIN + 1000 * self.second, self.second, values)
            self._hear(value)
            self.second += 1
        return self

    def _hear(self, value: bytes) -> None:
        message = Message(
            "telemetry", 0, self.second, DEVICE.encode(), value, [("content-type", JSON.encode())]
        )
        for block in Decoder({PUMP.type: MODAL}).decode([message]).blocks.values():
            windows = self.lane.push(block, BEGIN + 1000 * self.second)
            for batch in chain.from_iterable(self.lane.turns(windows if self.recipe.models else [])):
                due, _ = self.lane.begin(batch)
                self.lane.judge(due.batch, answer(Limit(), due.batch.values, due.batch.mask, due.bias))

    def restart(self) -> "Ward":
        self.lane = Lane(self.recipe, epoch=2, saved=self.lane.snapshot())
        return self

    @property
    def shown(self) -> DeviceState:
        [state] = device_states(self.lane)
        return state

    @property
    def judged_by(self) -> tuple[DeviceStatus, BaselineSource, BaselineReason | None]:
        baseline = self.shown.baseline
        assert baseline is not None
        return self.shown.state, baseline.source, baseline.reason


def test_a_new_device_is_learning_by_its_type_alone_then_by_its_own_baseline_too_then_settled() -> None:
    ward = Ward().live(40)
    first = ward.shown
    ward.live(360)
    early = ward.shown
    ward.live(360)
    late = ward.judged_by
    ward.live(300)
    assert first.learning is not None
    assert first.learning.reason is LearningReason.FIRST_WINDOW
    assert early.learning is not None
    assert early.baseline is not None
    assert early.learning.reason is LearningReason.NOT_SETTLED
    assert (early.baseline.source, early.baseline.reason) == (BaselineSource.TYPE, BaselineReason.LEARNING)
    assert early.learning.progress == early.baseline.progress == 0.138
    assert early.learning.until == early.baseline.until
    assert early.baseline.until is not None
    assert milliseconds(early.baseline.until) == pytest.approx(BEGIN + 1_050_000, abs=100_000)
    assert late == (DeviceStatus.LEARNING, BaselineSource.OWN, BaselineReason.LEARNING)
    assert ward.judged_by == (DeviceStatus.NORMAL, BaselineSource.OWN, None)
    assert ward.shown.learning is None


def test_a_device_that_changes_its_mode_all_the_time_ends_as_normal_judged_by_its_type_alone() -> None:
    ward = Ward()
    for turn in range(8):
        ward.live(120, mode=float(turn % 3))
        assert ward.judged_by[1] is BaselineSource.TYPE
    expected = (DeviceStatus.NORMAL, BaselineSource.TYPE, BaselineReason.SELDOM_AT_HOME)
    assert ward.judged_by == expected
    assert ward.restart().judged_by == expected
    assert ward.live(60).judged_by == expected


def test_a_device_that_alarms_for_long_is_said_to_be_seldom_calm_then_and_after_it() -> None:
    ward = Ward().live(60).live(2 * SETTLE_S, pressure=900.0)
    assert ward.judged_by == (DeviceStatus.ALARMING, BaselineSource.TYPE, BaselineReason.SELDOM_CALM)
    ward.live(300)
    assert ward.judged_by == (DeviceStatus.NORMAL, BaselineSource.TYPE, BaselineReason.SELDOM_CALM)


@pytest.mark.parametrize(
    ("adaptation", "reason"),
    [
        ({PUMP.type: AdaptationSettings(bound=0)}, BaselineReason.SWITCHED_OFF),
        ({}, BaselineReason.NOT_TAKEN),
    ],
)
def test_where_nothing_is_learned_a_device_is_normal_from_its_first_full_window_and_says_why(
    adaptation: Mapping[str, AdaptationSettings], reason: BaselineReason
) -> None:
    ward = Ward(adaptation).live(40)
    assert ward.judged_by == (DeviceStatus.LEARNING, BaselineSource.TYPE, reason)
    assert ward.live(60).judged_by == (DeviceStatus.NORMAL, BaselineSource.TYPE, reason)


def test_a_device_of_a_type_without_a_model_says_so_and_is_judged_by_nothing() -> None:
    shown = Ward(models={}).live(200).shown
    assert shown.learning is not None
    assert (shown.learning.reason, shown.baseline) == (LearningReason.NO_MODEL, None)


def test_a_rebaselined_device_is_learning_again_by_its_type_alone() -> None:
    ward = Ward().live(1100)
    settled = ward.judged_by
    work = Maintenance(DEVICE, "R. Gupta", BEGIN, BEGIN + 1_100_000, "motor exchanged", rebaseline=True)
    ward.lane.service([work])
    shown = ward.live(120).shown
    assert settled == (DeviceStatus.NORMAL, BaselineSource.OWN, None)
    assert ward.judged_by == (DeviceStatus.LEARNING, BaselineSource.TYPE, BaselineReason.LEARNING)
    assert shown.learning is not None
    assert shown.learning.reason is LearningReason.REBASELINED
    assert ward.restart().shown == shown


def test_the_metrics_count_the_devices_with_a_baseline_of_their_own_by_type() -> None:
    metrics = Metrics.of_process(device_types=[PUMP.type])
    shown = []
    for ward in (Ward().live(400), Ward().live(1100)):
        Gauges(metrics, [PUMP.type]).show({TopicPartition("telemetry", 0): ward.lane})
        text = metrics.render()[0].decode()
        shown.append([line for line in text.splitlines() if line.startswith("attendant_devices_with_own")])
    assert shown == [
        ['attendant_devices_with_own_baseline{type="infusion-pump"} 0.0'],
        ['attendant_devices_with_own_baseline{type="infusion-pump"} 1.0'],
    ]
