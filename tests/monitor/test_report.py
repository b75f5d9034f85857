"""The demo's report: an alert belongs to the fault that was there when it was detected, or it is false."""

from typing import Any

from monitor.receiver import Received
from monitor.report import Injected, false_rows, fault_rows, iso, match, told_alerts

MINUTE = 60_000


def fault(device: str = "A", onset: int = 10, end: int | None = None) -> Injected:
    end_ms = None if end is None else end * MINUTE
    return Injected(device, "pump", "leak", 0.8, onset * MINUTE, end_ms, ("pressure",))


def delivery(alert: str, device: str, detected: int, kind: str = "opened", share: float = 0.5) -> Received:
    body: dict[str, Any] = {
        "id": alert,
        "kind": "fault",
        "device": {"id": device},
        "started_at": iso((detected - 1) * MINUTE),
        "detected_at": iso(detected * MINUTE),
        "summary": "pressure is off",
        "channels": [{"name": "pressure", "share": share}],
    }
    return Received(f"{alert}-{kind}", f"device.alert.{kind}", (detected + 1) * MINUTE, body)


def test_an_alert_after_the_onset_detects_its_fault() -> None:
    detected, false = match([fault()], told_alerts([delivery("1", "A", 12)]))
    assert detected[0] is not None
    assert detected[0].detected_ms == 12 * MINUTE
    assert false == []


def test_an_alert_before_the_onset_is_false_however_soon_the_fault_follows() -> None:
    detected, false = match([fault(onset=13)], told_alerts([delivery("1", "A", 12)]))
    assert detected == [None]
    assert [alert.device for alert in false] == ["A"]


def test_an_alert_of_a_healthy_device_is_false() -> None:
    detected, false = match([fault("A")], told_alerts([delivery("1", "B", 12)]))
    assert detected == [None]
    assert [row["device"] for row in false_rows(false)] == ["B"]


def test_an_alert_within_the_grace_after_the_end_still_belongs_to_the_fault() -> None:
    alerts = told_alerts([delivery("1", "A", 12)])
    assert match([fault(end=11)], alerts, grace_ms=2 * MINUTE)[1] == []
    assert len(match([fault(end=11)], alerts, grace_ms=0)[1]) == 1


def test_a_second_alert_of_one_fault_is_not_false_and_the_first_counts() -> None:
    alerts = told_alerts([delivery("2", "A", 20), delivery("1", "A", 12)])
    detected, false = match([fault()], alerts)
    assert detected[0] is not None
    assert detected[0].detected_ms == 12 * MINUTE
    assert false == []


def test_the_first_arrival_and_the_last_word_are_reported() -> None:
    told = told_alerts([delivery("1", "A", 12), delivery("1", "A", 12, "updated", share=0.9)])
    row = fault_rows([fault()], match([fault()], told)[0])[0]
    assert len(told) == 1
    assert row["delivered_at"] == iso(13 * MINUTE)
    assert row["ranked"] == [{"channel": "pressure", "share": 0.9}]


def test_what_never_happened_is_null() -> None:
    row = fault_rows([fault()], [None])[0]
    assert (row["detected_at"], row["delivered_at"], row["ranked"]) == (None, None, [])
