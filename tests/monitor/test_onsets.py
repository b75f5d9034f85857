"""What a finding tells beside its channels: onset, hypotheses, and which windows are worth a picture."""

from dataclasses import replace

import numpy as np

from models.scoring import Score
from monitor.findings import Finding, Judge, JudgeSettings, Sight
from monitor.findings.blob import pack, unpack
from monitor.findings.episodes import LATER
from streams.devices import FaultSignature, Movement
from tests.monitor.worlds import MODEL, PUMP, START, STRIDE_MS, batch, new_judge, play, score


def straying(anomaly: float, rows: int, deviation: float = 20.0) -> Score:
    """One window in which the pressure has been off for so many rows (of one second)."""
    off = np.zeros((1, 4), np.int16)
    off[0, 0] = rows
    far = np.array([[deviation, 0.0, 0.0, 0.0]], np.float32)
    return replace(score([anomaly]), deviation=far, liveliness=np.zeros_like(far), off_rows=off)


def test_a_finding_tells_since_when_a_channel_deviates() -> None:
    judge = new_judge(k=2, n=3)
    found = judge.judge(batch(["P-1"], [0]), straying(1.5, 7))
    found += judge.judge(batch(["P-1"], [1]), straying(1.6, 18, deviation=30.0))
    pressure, current = found[0].evidence[:2]
    assert pressure.since_t == START + STRIDE_MS - 18_000
    assert current.since_t is None


def test_the_onset_stays_when_the_fault_outlasts_the_window() -> None:
    judge = new_judge(k=2, n=3, update_every_s=1)
    found = []
    for i, rows in enumerate([8, 18, 28, 38, 48, 58, 60, 60, 60]):
        found += judge.judge(batch(["P-1"], [i]), straying(1.5 + i, rows, deviation=10.0 + i))
    assert {f.evidence[0].since_t for f in found} == {START + STRIDE_MS - 18_000}
    assert found[-1].at_t == START + 8 * STRIDE_MS


def test_a_scorer_that_tells_no_onset_leaves_it_open() -> None:
    opened = play(new_judge(k=2, n=3), [1.5, 1.6])[0]
    assert [e.since_t for e in opened.evidence] == [None, None, None]


def test_onset_hypotheses_and_sights_survive_a_snapshot() -> None:
    known = PUMP.model_copy(
        update={"faults": (FaultSignature(name="occlusion", title="Occlusion", action="Look.",
                                          moves={"line_pressure_down": Movement.UP}),)}
    )  # fmt: skip
    settings = JudgeSettings(k=2, n=3, update_every_s=1)
    judge = Judge(known, MODEL, settings)
    told, pictured = [], []
    for restoring in (False, True):
        judge = Judge(known, MODEL, settings)
        found: list[Finding] = []
        sights: list[Sight] = []
        for i in range(6):
            if restoring:
                judge = Judge.restore(known, MODEL, settings, judge.snapshot())
            found += judge.judge(batch(["P-1"], [i]), straying(1.5 + 0.1 * i, 8 + 10 * i))
            sights += judge.sights
        told.append(found)
        pictured.append(sights)
    assert told[0] == told[1]
    assert pictured[0] == pictured[1]
    assert told[0][0].suspicions[0].fault == "occlusion"


def test_a_snapshot_from_before_onsets_were_told_keeps_its_open_episode() -> None:
    judge = new_judge(k=2, n=3, update_every_s=1)
    opened = play(judge, [1.5, 1.6])[0]
    saved = unpack("judge", judge.snapshot())
    old = {name: a for name, a in saved.arrays.items() if name.removeprefix("slot.") not in LATER}
    old["slot.ring_parts"] = old["slot.ring_parts"][:, :, :6]
    restored = Judge.restore(PUMP, MODEL, judge.settings, pack("judge", saved.meta, saved.ids, old))
    updated = restored.judge(batch(["P-1"], [2]), straying(1.7, 5))
    assert updated[0].started_t == opened.started_t
    assert updated[0].evidence[0].since_t == START + 2 * STRIDE_MS - 5_000


def test_the_opening_window_and_much_stronger_ones_are_worth_a_picture() -> None:
    judge, seen = new_judge(k=2, n=3), []
    for i, anomaly in enumerate([1.5, 1.6, 1.62, 1.64, 2.5, 2.55, 0.9, 4.0]):
        judge.judge(batch(["P-1"], [i]), score([anomaly]))
        seen += [(i, s.place, s.device, s.started_t, round(s.anomaly, 2)) for s in judge.sights]
    assert seen == [(i, 0, "P-1", START, anomaly) for i, anomaly in ((1, 1.6), (4, 2.5), (7, 4.0))]


def test_a_calm_device_is_never_pictured() -> None:
    judge = new_judge(k=2, n=3)
    play(judge, [0.1, 1.5, 0.2, 0.1])
    assert judge.sights == ()
