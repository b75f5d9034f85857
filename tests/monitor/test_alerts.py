"""The payload and the book."""

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts import (
    MAX_BODY,
    Acknowledgement,
    Alert,
    AlertBook,
    AlertEvent,
    DeviceInfo,
    EventType,
    LinkSettings,
    Origin,
    Status,
    alert_id,
    body,
    moment,
)
from monitor.findings import (
    SILENCE,
    SITE,
    Action,
    Evidence,
    Kind,
    SnapshotError,
    Suspicion,
)
from streams.devices import FaultSignature, Movement
from tests.monitor.worlds import EVIDENCE, MODEL, PROFILES, PUMP, START, finding


def opened(book: AlertBook, **changes: object) -> AlertEvent:
    event = book.apply(finding(**changes))  # type: ignore[arg-type] # as above
    assert event is not None
    return event


def test_an_episode_becomes_numbered_events_of_one_alert() -> None:
    book = AlertBook(PROFILES)

    steps = [
        book.apply(finding(action, START + 10_000 * i))
        for i, action in enumerate([Action.OPEN, Action.UPDATE, Action.UPDATE, Action.RESOLVE], 3)
    ]

    events = [step for step in steps if step]
    assert [(e.type, e.number, e.alert.status) for e in events] == [
        (EventType.OPENED, 1, Status.OPEN),
        (EventType.UPDATED, 2, Status.OPEN),
        (EventType.UPDATED, 3, Status.OPEN),
        (EventType.RESOLVED, 4, Status.RESOLVED),
    ]
    assert {e.alert.id for e in events} == {alert_id("SN-1042", MODEL.name, START)}
    assert len({e.id for e in events}) == 4
    assert events[-1].alert.detected_at == moment(START + 30_000)
    assert events[-1].alert.resolved_at == moment(START + 60_000)
    assert len(book) == 0


def test_the_id_is_a_uuid5_of_device_model_and_start_and_of_nothing_else() -> None:
    first = alert_id("SN-1", "infusion-pump", START)

    assert first.version == 5
    assert first == alert_id("SN-1", "infusion-pump", START)
    others = {
        alert_id("SN-2", "infusion-pump", START),
        alert_id("SN-1", "x", START),
        alert_id("SN-1", "infusion-pump", START + 1),
    }
    assert len(others | {first}) == 4


def test_findings_that_change_nothing_make_no_event() -> None:
    book = AlertBook(PROFILES)

    assert book.apply(finding(Action.UPDATE)) is None
    assert book.apply(finding(Action.RESOLVE)) is None
    assert book.apply(finding(Action.OPEN)) is not None
    assert book.apply(finding(Action.OPEN)) is None


def test_the_payload_names_the_device_the_channels_and_the_model() -> None:
    book = AlertBook(
        PROFILES,
        LinkSettings(
            console_url="https://attendant.example/", dashboard_url="https://grafana.example/d/device?orgId=1"
        ),
        {"SN-1042": DeviceInfo(id="SN-1042", type=PUMP.type, udi="04012345678901", location="ICU 2")}.get,
    )

    data = json.loads(body(opened(book)))

    assert (data["type"], data["timestamp"]) == ("device.alert.opened", "2026-11-22T05:07:10Z")
    alert = data["data"]
    assert alert["device"] == {
        "id": "SN-1042",
        "type": "infusion-pump",
        "title": "Infusion pump",
        "udi": "04012345678901",
        "location": "ICU 2",
    }
    assert alert["channels"][0] == {
        "name": "line_pressure_down",
        "title": "Downstream line pressure",
        "unit": "mm[Hg]",
        "mdc": None,
        "share": 0.62,
        "attention": 0.7,
        "residual": 0.54,
        "observed": 412.3,
        "expected": 351.2,
        "direction": 1,
        "since": None,
    }
    assert (alert["channels"][2]["mdc"], alert["channels"][2]["observed"]) == (158014, None)
    assert alert["model"] == {"name": "infusion-pump", "version": "1.0.0", "digest": "ab" * 32}
    assert (alert["hypotheses"], alert["acknowledged"], alert["resolved_at"]) == ([], None, None)
    assert alert["links"]["console"] == f"https://attendant.example/alerts/{alert['id']}"
    assert alert["links"]["dashboard"] == (
        f"https://grafana.example/d/device?orgId=1&var-device=SN-1042&from={START - 600_000}&to={START + 630_000}"
    )


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        (
            {},
            (
                "Downstream line pressure is 61 mmHg above expected (412 against 351) on Infusion pump SN-1042; "
                "Motor current deviates too."
            ),
        ),
        (
            {"evidence": (Evidence("flow_current", 1, 1, 1, 24.13, 24.55, -1),)},
            "Flow rate is 0.42 mL/h below expected (24.13 against 24.55) on Infusion pump SN-1042.",
        ),
        (
            {"evidence": (Evidence("motor_current", 1, 1, 1, 100.0, 100.0, 0),)},
            "Motor current is moving unlike its model expects (at 100 mA) on Infusion pump SN-1042.",
        ),
        (
            {"evidence": (Evidence("a_ratio", 1, 1, 1, 1.5, 1.0, 1),)},
            "a_ratio is 0.50 above expected (1.50 against 1.00) on Infusion pump SN-1042.",
        ),
        ({"evidence": ()}, "Infusion pump SN-1042 behaves unlike its model expects."),
        (
            {"kind": Kind.SILENT, "evidence": (), "model": SILENCE},
            "Infusion pump SN-1042 has sent nothing since 05:06:40 UTC.",
        ),
        (
            {"kind": Kind.STREAM_SILENT, "device": SITE, "device_type": "site", "evidence": (), "count": 20},
            "20 devices fell silent together at 05:06:40 UTC; network or broker, not the devices.",
        ),
    ],
)
def test_the_summary_is_one_sentence_for_people(changes: dict[str, object], want: str) -> None:
    assert opened(AlertBook(PROFILES), **changes).alert.summary == want


def test_the_summary_of_a_resolved_alert_says_how_long_it_lasted() -> None:
    book = AlertBook(PROFILES)
    opened(book)

    closed = book.apply(finding(Action.RESOLVE, START + 250_000))

    assert closed is not None
    assert closed.alert.summary == (
        "Cleared after 4 min: Downstream line pressure was 61 mmHg above expected (412 against 351) "
        "on Infusion pump SN-1042; Motor current deviated too."
    )


def test_a_restored_book_makes_the_same_bytes() -> None:
    whole, first = AlertBook(PROFILES), AlertBook(PROFILES)
    for book in (whole, first):
        opened(book)
        book.apply(finding(Action.UPDATE, START + 40_000))
    second = AlertBook(PROFILES)
    second.restore(first.snapshot())

    a, b = (book.apply(finding(Action.RESOLVE, START + 50_000)) for book in (whole, second))

    assert a is not None
    assert b is not None
    assert (a.id, a.number, body(a)) == (b.id, b.number, body(b))


def test_a_damaged_book_is_refused() -> None:
    with pytest.raises(SnapshotError, match="alert book"):
        AlertBook(PROFILES).restore(b'[{"id": 1}]')


def test_an_acknowledgement_shows_and_resolved_stays_resolved() -> None:
    book = AlertBook(PROFILES)
    ack = Acknowledgement(by="m.weber", at=datetime(2026, 11, 22, 6, tzinfo=UTC), note="looking")
    first = opened(book).alert
    closed = book.apply(finding(Action.RESOLVE))
    assert closed is not None

    assert first.with_acknowledgement(ack).status is Status.ACKNOWLEDGED
    assert closed.alert.with_acknowledgement(ack).status is Status.RESOLVED
    assert closed.alert.with_acknowledgement(ack).acknowledged == ack
    assert first.with_acknowledgement(None) is first


def test_a_persons_event_never_takes_the_id_of_the_streams() -> None:
    alert = opened(AlertBook(PROFILES)).alert
    ids = {AlertEvent(alert, EventType.UPDATED, 1, START, origin).id for origin in Origin}

    assert len(ids) == 2


def test_the_largest_possible_alert_stays_below_the_limit() -> None:
    long = "\u20ac" * 4000
    many = tuple(Evidence("x" * 64, 1 / 16, 1 / 3, 1 / 7, 1 / 3, -1e30, -1) for _ in range(128))
    profile = PUMP.model_copy(update={"title": long})
    event = opened(AlertBook({PUMP.type: profile}), evidence=many)
    ack = Acknowledgement(by="\u20ac" * 200, at=moment(START), note="\u20ac" * 2000)
    full = AlertEvent(event.alert.with_acknowledgement(ack), EventType.UPDATED, 2, START)

    rendered = body(full)

    assert len(rendered) < MAX_BODY
    assert json.loads(rendered)["data"]["channels"]


def test_an_alert_reads_back_from_its_own_json() -> None:
    alert = opened(AlertBook(PROFILES)).alert

    assert Alert.model_validate_json(alert.model_dump_json()) == alert


@given(st.integers(-(2**62), 2**62))
def test_any_clock_of_a_device_makes_a_valid_time(t: int) -> None:
    event = opened(AlertBook(PROFILES), started_t=t, at=t)

    assert isinstance(event.alert.id, uuid.UUID)
    assert json.loads(body(event))["data"]["started_at"].endswith("Z")


def test_hypotheses_come_with_title_and_action_of_the_profile_and_fit_into_a_webhook() -> None:
    long = FaultSignature(
        name="occlusion", title="T" * 400, action="A" * 5000, moves={"line_pressure_down": Movement.UP}
    )
    book = AlertBook({PUMP.type: PUMP.model_copy(update={"faults": (long,)})})
    told = tuple(Suspicion("occlusion", 0.98765) for _ in range(3))
    event = book.apply(finding(suspicions=(*told, Suspicion("unheard_of", 0.01))))
    assert event is not None
    first, *_ = event.alert.hypotheses
    assert (first.fault, first.confidence) == ("occlusion", 0.988)
    assert first.title == "T" * 120
    assert len(event.alert.hypotheses) == 3
    assert len(body(event)) < MAX_BODY


def test_hypotheses_follow_the_episode() -> None:
    known = FaultSignature(
        name="occlusion", title="Occlusion", action="Look.", moves={"motor_current": Movement.UP}
    )
    book = AlertBook({PUMP.type: PUMP.model_copy(update={"faults": (known,)})})
    book.apply(finding(suspicions=(Suspicion("occlusion", 0.4),)))
    event = book.apply(finding(Action.UPDATE, START + 60_000, suspicions=(Suspicion("occlusion", 0.9),)))
    assert event is not None
    assert [h.confidence for h in event.alert.hypotheses] == [0.9]


def test_a_channel_tells_since_when_it_deviates() -> None:
    evidence = (replace(EVIDENCE[0], since_t=START - 90_000), EVIDENCE[1])
    event = AlertBook(PROFILES).apply(finding(evidence=evidence))
    assert event is not None
    assert [channel.since for channel in event.alert.channels] == [moment(START - 90_000), None]
