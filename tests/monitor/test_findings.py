"""The judge and the silence watch: each test is one sentence of behaviour."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.calibration import AlarmRule, ExpressRule
from models.scoring import Score
from monitor.findings import (
    SITE,
    Action,
    Finding,
    Judge,
    JudgeSettings,
    Kind,
    Reason,
    Severity,
    Silence,
    SilenceSettings,
    SnapshotError,
    check_together,
)
from streams.blocks import WindowBatch
from tests.monitor.worlds import MODEL, PUMP, START, STRIDE_MS, batch, new_judge, play, score

AFTER = {"infusion-pump": 10_000, "icu-ventilator": 10_000}


def _steps(findings: list[Finding]) -> list[tuple[Action, Reason, int]]:
    return [(f.action, f.reason, (f.at_t - START) // STRIDE_MS) for f in findings]


def _shares(finding: Finding) -> dict[str, float]:
    return {e.channel: e.share for e in finding.evidence}


# -- k of n, hysteresis ------------------------------------------------------------------------------


def test_an_episode_opens_at_the_kth_anomalous_window_and_starts_at_the_first() -> None:
    found = play(new_judge(k=3, n=5), [0.2, 1.4, 0.3, 1.2, 1.6])

    assert _steps(found) == [(Action.OPEN, Reason.OPENED, 4)]
    assert found[0].started_t == START + 1 * STRIDE_MS
    assert (found[0].kind, found[0].severity) == (Kind.FAULT, Severity.WARNING)
    assert found[0].peak == pytest.approx(1.6)


def test_anomalous_windows_too_far_apart_never_open() -> None:
    judge = new_judge(k=3, n=5)

    assert play(judge, [1.5, 0.1, 0.1, 1.5, 0.1, 0.1, 1.5, 0.1, 0.1, 1.5]) == []
    assert judge.reasons[Reason.ABOVE_ONCE] > 0


def test_a_long_gap_in_time_breaks_a_run_even_when_no_window_lies_between() -> None:
    judge = new_judge(k=2, n=3)

    assert play(judge, [1.5]) == []
    assert play(judge, [1.5], first=500) == []
    assert _steps(play(judge, [1.5], first=501)) == [(Action.OPEN, Reason.OPENED, 501)]


def test_an_episode_is_held_between_the_levels_and_resolved_after_m_calm_windows() -> None:
    judge = new_judge(k=2, n=3, hold_at=0.8, resolve_after=3)

    found = play(judge, [1.5, 1.5, 0.9, 0.7, 0.7, 0.85, 0.7, 0.7, 0.7, 0.7])

    assert _steps(found) == [(Action.OPEN, Reason.OPENED, 1), (Action.RESOLVE, Reason.CLEARED, 8)]
    assert judge.reasons == {
        Reason.ABOVE_ONCE: 1,
        Reason.OPENED: 1,
        Reason.HELD: 2,
        Reason.CALMING: 4,
        Reason.CLEARED: 1,
        Reason.NORMAL: 1,
    }


def test_an_episode_that_wanders_between_the_levels_and_above_stays_one() -> None:
    judge = new_judge(k=2, n=3, hold_at=0.6, resolve_after=3, update_every_s=1e6, critical_at=1e6)
    wandering = [1.5, 1.5, *[0.61, 0.55, 0.55, 0.7, 1.4, 1.6, 0.59, 0.59] * 20]

    found = play(judge, [*wandering, 0.59, 0.1])

    assert _steps(found) == [
        (Action.OPEN, Reason.OPENED, 1),
        (Action.RESOLVE, Reason.CLEARED, len(wandering)),
    ]


def test_what_never_opened_is_not_held() -> None:
    assert play(new_judge(k=2, n=3, hold_at=0.6), [0.99] * 30) == []


def test_a_models_own_rule_holds_but_for_what_the_operator_set() -> None:
    def rule(**told: float) -> tuple[float | None, ...]:
        own = AlarmRule(15, 20, 0.65, ExpressRule(2, 3))
        fitted = JudgeSettings.model_validate(told).fitted_for(own)
        return fitted.k, fitted.n, fitted.hold_at, fitted.express_k, fitted.express_n

    assert rule() == (15, 20, 0.65, 2, 3)
    assert rule(k=2, n=4) == (2, 4, 0.65, None, None)
    assert rule(k=4, n=6, express_k=1, express_n=1) == (4, 6, 0.65, 1, 1)
    assert rule(express_k=3, express_n=4) == (15, 20, 0.65, 3, 4)
    assert rule(hold_at=0.5) == (15, 20, 0.5, 2, 3)
    assert rule(open_at=0.9) == (15, 20, 0.8, 2, 3)
    without = JudgeSettings().fitted_for(AlarmRule(15, 20))
    assert (without.hold_at, without.express_k, without.express_n) == (0.8, None, None)


# -- the express lane --------------------------------------------------------------------------------


def test_few_windows_far_above_open_an_episode_that_starts_with_the_first_of_the_run() -> None:
    judge = new_judge(k=5, n=8, express_k=2, express_n=3)

    found = play(judge, [0.2, 1.4, 0.3, 2.4, 1.9, 2.1])

    assert _steps(found) == [(Action.OPEN, Reason.OPENED_EXPRESS, 5)]
    assert found[0].started_t == START + 1 * STRIDE_MS
    assert found[0].peak == pytest.approx(2.4)
    assert judge.reasons[Reason.OPENED_EXPRESS] == 1
    assert judge.reasons[Reason.OPENED] == 0


def test_without_an_express_lane_few_windows_never_open_however_far_above() -> None:
    assert play(new_judge(k=5, n=8), [9.0, 9.0, 9.0, 9.0, 0.1, 0.1, 0.1, 0.1, 0.1]) == []


def test_windows_that_satisfy_both_lanes_open_by_the_patient_one_and_only_once() -> None:
    judge = new_judge(k=3, n=5, express_k=2, express_n=3, update_every_s=1e6, critical_at=1e6)

    found = play(judge, [1.2, 1.2, 2.5, 2.5, 2.5, 2.5])

    assert _steps(found) == [(Action.OPEN, Reason.OPENED, 2)]


def test_windows_far_above_but_far_apart_in_time_are_no_reason_for_the_express_lane() -> None:
    judge = new_judge(k=5, n=8, express_k=2, express_n=2)

    assert play(judge, [2.5]) == []
    assert play(judge, [2.5], first=6) == []
    assert _steps(play(judge, [2.5], first=7)) == [(Action.OPEN, Reason.OPENED_EXPRESS, 7)]


def test_an_express_lane_below_the_opening_level_begins_at_that_level() -> None:
    judge = new_judge(k=5, n=8, express_k=1, express_n=1, open_at=3.0, hold_at=1.0)

    assert play(judge, [2.5]) == []
    assert _steps(play(judge, [3.1], first=1)) == [(Action.OPEN, Reason.OPENED_EXPRESS, 1)]


def test_an_express_lane_may_look_at_more_windows_than_the_patient_one() -> None:
    judge = new_judge(k=3, n=3, express_k=2, express_n=6)

    assert _steps(play(judge, [2.5, 0.1, 1.2, 0.1, 0.1, 2.5])) == [(Action.OPEN, Reason.OPENED_EXPRESS, 5)]


@pytest.mark.parametrize(
    ("told", "problem"),
    [({"express_k": 2}, "go together"), ({"express_n": 2}, "go together"),
     ({"express_k": 3, "express_n": 2}, "never open")],
)  # fmt: skip
def test_an_express_lane_that_cannot_be_is_refused(told: dict[str, int], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        JudgeSettings.model_validate(told)


def test_a_serviced_device_ends_its_episode_and_is_not_judged_before_there_is_enough_to_judge_by() -> None:
    judge = new_judge(k=1, n=1, resolve_after=5)
    play(judge, [2.0])
    at = START + 3 * STRIDE_MS

    [ended] = judge.serviced("P-1", at, at + 2 * STRIDE_MS)
    saved = Judge.restore(PUMP, MODEL, judge.settings, judge.snapshot())
    again = play(saved, [2.0, 2.0], first=3) + play(saved, [2.0], first=5)

    assert (ended.action, ended.reason, ended.at_t) == (Action.RESOLVE, Reason.SERVICED, at)
    assert _steps(again) == [(Action.OPEN, Reason.OPENED, 5)]
    assert saved.reasons[Reason.LEARNING] == 2
    assert judge.serviced("nobody", at, at) == []


def test_a_verdict_says_which_windows_were_judged_and_which_lie_in_an_episode() -> None:
    judge = new_judge(k=2, n=2, resolve_after=2, learn_windows=1)
    anomalies = [0.1, 1.5, 1.5, 0.1, float("nan"), 0.1, 0.1]
    verdict = judge.assess(batch(["P-1"] * 7, range(7)), score(anomalies))
    assert verdict.judged.tolist() == [False, True, True, True, False, True, True]
    assert verdict.alarming.tolist() == [False, False, True, True, False, True, False]


def test_a_peak_at_the_critical_level_worsens_the_episode_once() -> None:
    found = play(new_judge(k=1, n=1, critical_at=3), [1.5, 2.0, 3.5, 1.5, 4.0])

    assert [(f.reason, f.severity) for f in found] == [
        (Reason.OPENED, Severity.WARNING),
        (Reason.WORSENED, Severity.CRITICAL),
    ]
    assert found[-1].peak == pytest.approx(3.5)


def test_an_episode_that_starts_above_the_critical_level_opens_critical() -> None:
    assert [f.severity for f in play(new_judge(k=1, n=1), [9.0])] == [Severity.CRITICAL]


def test_an_open_episode_is_spoken_of_at_most_every_interval() -> None:
    found = play(new_judge(k=1, n=1, update_every_s=60), [1.5] * 14)

    assert _steps(found) == [
        (Action.OPEN, Reason.OPENED, 0),
        (Action.UPDATE, Reason.UPDATED, 6),
        (Action.UPDATE, Reason.UPDATED, 12),
    ]


def test_another_channel_on_top_is_news_only_when_it_leads_clearly() -> None:
    judge = new_judge(k=1, n=1, top_margin=0.1)
    judge.judge(batch(["P"], [0]), score([2.0], [[0.52, 0.48, 0, 0]]))

    near = judge.judge(batch(["P"], [1]), score([2.2], [[0.45, 0.55, 0, 0]]))
    clear = judge.judge(batch(["P"], [2]), score([2.9], [[0.0, 1.0, 0, 0]]))

    assert near == []
    assert [(f.reason, f.evidence[0].channel) for f in clear] == [(Reason.TOP_CHANGED, "motor_current")]


# -- evidence ------------------------------------------------------------------------------------------


def test_strong_windows_count_more_than_weak_ones_in_an_episodes_share() -> None:
    judge = new_judge(k=3, n=3, hold_at=0.5)
    judge.judge(batch(["P"], [0]), score([1.0], [[0.0, 1.0, 0, 0]]))
    judge.judge(batch(["P"], [1]), score([1.0], [[0.0, 1.0, 0, 0]]))
    [found] = judge.judge(batch(["P"], [2]), score([4.5], [[1.0, 0.0, 0, 0]]))

    # Weights are the excess over hold_at: 0.5, 0.5 and 4.0. A plain mean would blame the motor.
    assert _shares(found) == pytest.approx({"line_pressure_down": 0.8, "motor_current": 0.2})
    assert found.evidence[0].channel == "line_pressure_down"


def test_evidence_is_ranked_and_carries_the_strongest_windows_readings() -> None:
    judge = new_judge(k=2, n=2)
    judge.judge(batch(["P"], [0]), score([3.5], observed=[[430.0, np.nan, 24.0, 25.0]]))
    [found] = judge.judge(batch(["P"], [1]), score([1.1], observed=[[360.0, 120.0, 24.0, 25.0]]))

    first, second, third = found.evidence
    assert (first.channel, first.observed, first.expected, first.direction) == (
        "line_pressure_down",
        430.0,
        351.0,
        1,
    )
    assert (second.channel, second.observed) == ("motor_current", 120.0)
    assert (third.channel, third.direction) == ("flow_current", -1)
    assert sum(e.share for e in found.evidence) == pytest.approx(1)


def test_a_setting_is_never_named_as_a_cause() -> None:
    [found] = new_judge(k=1, n=1).judge(batch(["P"], [0]), score([2.0], [[0.1, 0.1, 0.0, 0.8]]))

    assert _shares(found) == pytest.approx({"line_pressure_down": 0.5, "motor_current": 0.5})


# -- time -----------------------------------------------------------------------------------------------


def test_late_and_duplicated_windows_change_nothing_and_are_counted() -> None:
    judge = new_judge(k=2, n=3)
    play(judge, [1.5, 0.1])
    before = judge.snapshot()

    assert judge.judge(batch(["P-1", "P-1"], [0, 1]), score([9.0, 9.0])) == []
    assert judge.snapshot() == before
    assert (judge.reasons[Reason.LATE], judge.reasons[Reason.DUPLICATE]) == (1, 1)


def test_a_score_that_is_no_number_neither_opens_nor_calms() -> None:
    judge = new_judge(k=2, n=2, resolve_after=1)

    found = play(judge, [1.5, float("nan"), 1.5, float("inf"), float("nan"), 1.5])

    assert _steps(found) == [(Action.OPEN, Reason.OPENED, 2)]
    assert judge.reasons[Reason.UNSCORED] == 3


def test_the_first_windows_of_a_device_are_only_learned_from() -> None:
    judge = new_judge(k=1, n=1, learn_windows=2)

    assert _steps(play(judge, [5.0, 5.0, 5.0])) == [(Action.OPEN, Reason.OPENED, 2)]
    assert judge.reasons[Reason.LEARNING] == 2


def test_many_windows_of_one_device_in_one_batch_equal_one_by_one() -> None:
    anomalies = [0.1, 1.2, 1.3, 0.4, 1.5, 2.5, 3.5, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 1.4]
    one, many = new_judge(), new_judge()

    single = play(one, anomalies)
    together = many.judge(batch(["P-1"] * 14, range(14)), score(anomalies))

    assert together == single
    assert [f.action for f in single] == [Action.OPEN, Action.UPDATE, Action.RESOLVE]
    assert many.reasons == one.reasons
    assert many.snapshot() == one.snapshot()


def test_every_window_has_exactly_one_reason() -> None:
    rng = np.random.default_rng(3)
    judge, B = new_judge(learn_windows=1), 400
    for step in range(6):
        devices = [f"P-{i}" for i in rng.integers(0, 60, B)]
        ends = rng.integers(step * 5, step * 5 + 10, B)
        anomaly = np.where(rng.random(B) < 0.1, np.nan, rng.gamma(2, 0.6, B))
        judge.judge(batch(devices, ends.tolist()), score(anomaly.tolist()))

    assert sum(judge.reasons.values()) == 6 * B


def test_a_score_of_other_channels_is_refused() -> None:
    wrong = replace(score([1.0]), share=np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="1 windows"):
        new_judge().judge(batch(["P"], [0]), wrong)


# -- many devices, an oracle, snapshots ---------------------------------------------------------------


def _stream(seed: int, devices: int, steps: int) -> list[tuple[WindowBatch, Score]]:
    """Bursts of anomaly on some devices; every batch holds each device 0 to 2 times."""
    rng = np.random.default_rng(seed)
    level = np.zeros(devices)
    now = np.zeros(devices, np.int64)
    out = []
    for _ in range(steps):
        level = np.clip(level + rng.normal(0, 0.5, devices) * (rng.random(devices) < 0.4), 0, 4)
        picked = np.sort(rng.choice(devices * 2, devices, replace=False) // 2)
        ends = []
        for device in picked:
            now[device] += 1
            ends.append(int(now[device]))
        share = rng.dirichlet(np.ones(4), len(picked))
        noisy = np.maximum(level[picked] + rng.normal(0, 0.2, len(picked)), 0)
        out.append((batch([f"P-{d}" for d in picked], ends), score(noisy.tolist(), share.tolist())))
    return out


class _PlainJudge:
    """The rule of `JudgeSettings`, one device at a time, in plain Python: the oracle."""

    def __init__(self, rule: JudgeSettings) -> None:
        self.rule, self.run, self.open, self.calm = rule, [], False, 0  # type: ignore[var-annotated] # oracle

    def step(self, t: int, anomaly: float) -> tuple[str, int] | None:
        rule = self.rule
        if not self.open:
            self.run = [*self.run, (t, anomaly)][-rule.n :]
            above = [at for at, a in self.run if a >= rule.open_at]
            assert rule.express_k is not None
            assert rule.express_n is not None
            high = [at for at, a in self.run[-rule.express_n :] if a >= rule.express_at]
            high = [at for at in high if at >= t - 2 * rule.express_n * STRIDE_MS]
            if len(above) < rule.k and len(high) < rule.express_k:
                return None
            self.open, self.calm, self.run = True, 0, []
            return ("open", above[0])
        self.calm = 0 if anomaly >= rule.hold_at else self.calm + 1
        if self.calm < rule.resolve_after:
            return None
        self.open = False
        return ("resolve", t)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 3))
def test_the_vectorised_judge_agrees_with_the_plain_rule(seed: int, k: int, extra: int) -> None:
    rule = JudgeSettings(
        k=k + 2, n=k + 2 + extra, express_k=k, express_n=k + 1, express_at=1.3, resolve_after=2,
        update_every_s=1e9, critical_at=1e9,
    )  # fmt: skip
    judge = Judge(PUMP, MODEL, rule)
    oracles = {f"P-{d}": _PlainJudge(rule) for d in range(12)}
    got, want = set(), set()
    for windows, scores in _stream(seed, 12, 40):
        for f in judge.judge(windows, scores):
            if f.action is not Action.UPDATE:
                got.add((f.device, f.action.value, f.started_t if f.action is Action.OPEN else f.at_t))
        for device, t, anomaly in zip(windows.devices, windows.end_t, scores.anomaly, strict=True):
            if step := oracles[device].step(int(t), float(anomaly)):
                want.add((device, *step))

    assert got == want


@pytest.mark.parametrize("cut", [0, 1, 7, 20, 39])
def test_a_restored_judge_goes_on_as_if_never_interrupted(cut: int) -> None:
    stream = _stream(5, 50, 40)
    rule = JudgeSettings(
        k=3,
        n=4,
        express_k=2,
        express_n=2,
        express_at=1.3,
        resolve_after=2,
        update_every_s=60,
        critical_at=2.5,
    )
    whole = Judge(PUMP, MODEL, rule)
    expected = [whole.judge(*step) for step in stream]

    first = Judge(PUMP, MODEL, rule)
    for step in stream[:cut]:
        first.judge(*step)
    second = Judge.restore(PUMP, MODEL, rule, first.snapshot())
    rest = [second.judge(*step) for step in stream[cut:]]

    assert sum(map(len, expected)) > 50
    assert rest == expected[cut:]
    assert {s for s in second.standing() if s.alarming} == {s for s in whole.standing() if s.alarming}


def test_a_snapshot_is_a_copy() -> None:
    judge = new_judge(k=2, n=2)
    play(judge, [1.5])
    saved = judge.snapshot()
    play(judge, [1.5, 1.5], first=1)

    again = Judge.restore(PUMP, MODEL, judge.settings, saved)

    assert _steps(play(again, [1.5], first=1)) == [(Action.OPEN, Reason.OPENED, 1)]


def test_an_open_episode_survives_a_profile_with_one_channel_more_and_another_n() -> None:
    judge = new_judge(k=1, n=2, resolve_after=1)
    [opened] = play(judge, [2.0])
    extra = PUMP.channels[1].model_copy(update={"name": "battery_charge", "title": "Battery"})
    wider = PUMP.model_copy(update={"channels": (extra, *PUMP.channels)})
    wider.__dict__.pop("names", None)
    wider.__dict__.pop("index", None)

    again = Judge.restore(wider, MODEL, JudgeSettings(k=1, n=4, resolve_after=1), judge.snapshot())
    calm = score([0.1])
    [closed] = again.judge(
        replace(batch(["P-1"], [1]), profile=wider),
        replace(
            calm,
            share=np.zeros((1, 5), np.float32),
            attention=np.zeros((1, 5), np.float32),
            residual=np.zeros((1, 5), np.float32),
            observed=np.zeros((1, 5), np.float32),
            expected=np.zeros((1, 5), np.float32),
            direction=np.zeros((1, 5), np.int8),
        ),
    )

    assert (closed.action, closed.started_t) == (Action.RESOLVE, opened.started_t)
    assert _shares(closed) == pytest.approx(_shares(opened))


def test_damaged_or_foreign_snapshots_are_refused_with_a_reason() -> None:
    saved = new_judge().snapshot()
    with pytest.raises(SnapshotError, match="not a snapshot"):
        Judge.restore(PUMP, MODEL, None, saved[:-3])
    with pytest.raises(SnapshotError, match="wanted 'silence'"):
        Silence.restore(AFTER, None, saved)
    with pytest.raises(SnapshotError, match="icu-ventilator"):
        Judge.restore(PUMP.model_copy(update={"type": "icu-ventilator"}), MODEL, None, saved)


def test_memory_of_the_suspects_is_given_back() -> None:
    judge = new_judge(k=1, n=1, resolve_after=1)
    for i in range(200):
        judge.judge(batch(["A", "B"], [2 * i, 2 * i]), score([1.5, 1.5]))
        judge.judge(batch(["A", "B"], [2 * i + 1, 2 * i + 1]), score([0.1, 0.1]))

    assert len(judge._episodes.row) == 8
    assert judge.reasons[Reason.CLEARED] == 400


def test_a_forgotten_device_resolves_its_episode_and_leaves_the_others_alone() -> None:
    judge = new_judge(k=1, n=1, resolve_after=1)
    judge.judge(batch(["A", "B", "C"], [0, 0, 0]), score([1.5, 0.1, 2.5]))

    [gone] = judge.forget(["A", "nobody"])
    [closed] = judge.judge(batch(["C", "B"], [1, 1]), score([0.1, 0.1]))

    assert (gone.device, gone.action, gone.reason) == ("A", Action.RESOLVE, Reason.FORGOTTEN)
    assert (closed.device, closed.started_t) == ("C", START)
    assert [s.device for s in judge.standing()] == ["C", "B"]


@pytest.mark.parametrize(("wrong", "why"), [({"k": 4, "n": 3}, "larger than n"), ({"hold_at": 1.0}, "below")])
def test_settings_that_could_never_work_are_refused(wrong: dict[str, float], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        JudgeSettings.model_validate(wrong)


# -- silence -------------------------------------------------------------------------------------------


def _names(findings: list[Finding]) -> list[tuple[str, Reason]]:
    return [(f.device, f.reason) for f in findings]


def test_a_device_unheard_for_too_long_is_silent_once_and_back_when_heard() -> None:
    watch = Silence(AFTER)
    watch.seen(["A", "B"], "infusion-pump", 0)
    watch.seen(["B"], "infusion-pump", 9_000)

    assert watch.check(10_000) == []
    [silent] = watch.check(10_001)
    assert watch.check(15_000) == []
    watch.seen(["A"], "infusion-pump", 16_000)
    [back] = watch.check(16_500)

    assert (silent.device, silent.kind, silent.action, silent.started_t) == ("A", Kind.SILENT, Action.OPEN, 0)
    assert silent.anomaly == pytest.approx(1.0001)
    assert (back.device, back.action, back.reason, back.started_t) == ("A", Action.RESOLVE, Reason.BACK, 0)


def test_all_devices_silent_together_are_one_finding_for_the_site() -> None:
    watch = Silence(AFTER)
    for i in range(20):
        watch.seen([f"P-{i}"], "infusion-pump", 50 * i)

    found = [f for now in range(9_500, 13_000, 100) for f in watch.check(now)]

    assert _names(found) == [(SITE, Reason.STREAM_SILENT)]
    assert (found[0].kind, found[0].severity, found[0].count) == (Kind.STREAM_SILENT, Severity.CRITICAL, 20)
    assert found[0].at_t <= 11_000


def test_the_site_is_one_across_partitions() -> None:
    watches = [Silence(AFTER) for _ in range(6)]
    for i in range(12):
        watches[i % 6].seen([f"P-{i}"], "infusion-pump", 10 * i)

    found = [check_together(watches, now) for now in (9_000, 10_050, 10_500, 12_000)]

    assert [_names(f) for step in found for f in step if f] == [[(SITE, Reason.STREAM_SILENT)]]


def test_the_stream_coming_back_resolves_the_site_and_who_stays_away_is_silent_alone() -> None:
    watch = Silence(AFTER)
    names = [f"P-{i}" for i in range(10)]
    watch.seen(names, "infusion-pump", 0)
    assert _names(watch.check(10_500)) == [(SITE, Reason.STREAM_SILENT)]

    watch.seen(names[:3], "infusion-pump", 20_000)
    assert watch.check(20_500) == []
    found = []
    for now in range(21_000, 33_000, 500):
        watch.seen(names[:9], "infusion-pump", now)
        found += watch.check(now)

    assert _names(found) == [(SITE, Reason.STREAM_BACK), ("P-9", Reason.SILENT)]
    assert found[1].at_t == 31_500


def test_four_devices_are_no_site() -> None:
    watch = Silence(AFTER)
    watch.seen(["A", "B", "C", "D"], "infusion-pump", 0)

    assert _names(watch.check(10_500)) == [(d, Reason.SILENT) for d in "ABCD"]


def test_half_of_the_devices_are_no_site() -> None:
    watch = Silence(AFTER)
    names = [f"P-{i}" for i in range(12)]
    watch.seen(names, "infusion-pump", 0)
    watch.seen(names[6:], "infusion-pump", 9_000)

    assert _names(watch.check(10_500)) == [(n, Reason.SILENT) for n in names[:6]]


def test_devices_silent_before_do_not_hide_an_outage_of_the_others() -> None:
    watch = Silence(AFTER)
    old, live = [f"old-{i}" for i in range(20)], [f"live-{i}" for i in range(6)]
    watch.seen(old + live, "infusion-pump", 0)
    watch.seen(live, "infusion-pump", 9_000)
    assert len(watch.check(10_500)) == 20

    assert _names(watch.check(19_500)) == [(SITE, Reason.STREAM_SILENT)]


def test_after_a_restart_silence_counts_from_the_restart() -> None:
    watch = Silence(AFTER)
    names = [f"P-{i}" for i in range(8)]
    watch.seen(names, "infusion-pump", 0)
    watch.seen(names[1:], "infusion-pump", 8_000)
    assert _names(watch.check(11_000)) == [("P-0", Reason.SILENT)]

    again = Silence.restore(AFTER, None, watch.snapshot())
    again.resume(3_600_000)

    assert again.check(3_609_000) == []
    assert again.silent() == ["P-0"]
    again.seen(names[:7], "infusion-pump", 3_609_500)
    assert _names(again.check(3_610_001)) == [("P-0", Reason.BACK), ("P-7", Reason.SILENT)]


def test_a_device_silent_for_a_month_is_forgotten() -> None:
    watch = Silence(AFTER, SilenceSettings(forget_after_s=100))
    watch.seen(["A"], "infusion-pump", 0)
    watch.check(11_000)
    watch.seen(["B"], "icu-ventilator", 100_000)

    assert _names(watch.check(101_000)) == [("A", Reason.FORGOTTEN)]
    assert list(watch.last_seen()) == ["B"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, 7)), min_size=10, max_size=60), st.integers(0, 60))
def test_a_restored_silence_watch_goes_on_as_if_never_interrupted(heard: list[set[int]], cut: int) -> None:
    def run(watch: Silence, steps: list[tuple[int, set[int]]]) -> list[list[Finding]]:
        found = []
        for now, devices in steps:
            watch.seen([f"P-{d}" for d in sorted(devices)], "infusion-pump", now)
            found.append(watch.check(now))
        return found

    steps = [(2_000 * i, devices) for i, devices in enumerate(heard)]
    expected = run(Silence(AFTER), steps)
    first = Silence(AFTER)
    run(first, steps[:cut])
    rest = run(Silence.restore(AFTER, None, first.snapshot()), steps[cut:])

    assert rest == expected[cut:]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=80))
def test_every_silence_opened_is_resolved_before_it_opens_again(heard: list[set[int]]) -> None:
    watch = Silence(AFTER)
    open_now: set[str] = set()
    for i, devices in enumerate(heard):
        watch.seen([f"P-{d}" for d in sorted(devices)], "infusion-pump", 2_000 * i)
        for f in watch.check(2_000 * i):
            assert (f.device in open_now) == (f.action is Action.RESOLVE)
            (open_now.discard if f.action is Action.RESOLVE else open_now.add)(f.device)
