"""The API as its users see it: real HTTP over a socket, real alerts in a real database."""

import asyncio
import io
import json
import logging
import os
import re
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from monitor.alerts import Status, moment
from monitor.client import list_devices, record_maintenance, render_devices, render_maintenance
from monitor.dispatch import Dispatcher, DispatchSettings
from monitor.findings import BaselineReason
from monitor.fleet import (
    BaselineSource,
    BaselineState,
    DeviceState,
    DeviceStatus,
    LearningReason,
    LearningState,
)
from monitor.logs import configure_logging
from monitor.maintenance import Applied
from monitor.outbox import JobState, Settlement, Work
from monitor.web import Access, Check, ListenError, create_app, serve
from tests.monitor.faces import NOW, NOW_MS, Face, episode, face, keep, serving
from tests.monitor.test_dispatch import Script
from tests.monitor.worlds import START, STRIDE_MS

TOKEN = "a-token-of-some-length"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Face]:
    async with face(tmp_path) as running:
        yield running


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The answer as the problem that it has to be."""
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"]) == (status, status), body
    assert body["type"] == f"urn:attendant:problem:{kind}"
    assert body["title"]
    assert body["detail"]
    assert body["mend"]
    assert body["instance"] == answer.request.url.path
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def state(device: str, status: DeviceStatus, kind: str = "infusion-pump", **more: Any) -> DeviceState:
    return DeviceState(device, kind, status, NOW, **more)


# -- alerts --------------------------------------------------------------------------------------------


async def test_an_alert_can_be_read_with_the_channels_that_caused_it(service: Face) -> None:
    opened = episode("SN-1")
    await keep(service.outbox, opened)
    alert = opened[0].alert

    answer = await service.http.get(f"/api/v1/alerts/{alert.id}")

    body = answer.json()
    assert answer.status_code == 200
    assert body == json.loads(alert.model_dump_json())
    assert (body["channels"][0]["name"], body["channels"][0]["observed"]) == ("line_pressure_down", 412.0)


async def test_alerts_come_latest_first_in_pages_without_gap_or_repeat(service: Face) -> None:
    await keep(service.outbox, *(episode(f"SN-{n}", first=n) for n in range(7)))

    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        query = {"limit": 3} | ({"before": cursor} if cursor else {})
        page = (await service.http.get("/api/v1/alerts", params=query)).json()
        seen += [alert["device"]["id"] for alert in page["items"]]
        cursor, pages = page["next"], pages + 1

    assert seen == [f"SN-{n}" for n in reversed(range(7))]
    assert pages == 3


async def test_alerts_are_filtered_by_status_device_severity_and_start(service: Face) -> None:
    await keep(
        service.outbox,
        episode("calm", first=0, cleared=True),
        episode("bad", first=1, severe=True),
        episode("new", first=2),
    )

    async def found(**query: str | list[str]) -> list[str]:
        page = (await service.http.get("/api/v1/alerts", params=query)).json()
        return [alert["device"]["id"] for alert in page["items"]]

    assert await found(status="open") == ["new", "bad"]
    assert await found(status=["open", "resolved"]) == ["new", "bad", "calm"]
    assert await found(device="bad") == ["bad"]
    assert await found(severity="critical") == ["bad"]
    assert await found(severity="critical", device="new") == []
    assert await found(kind="silent") == []
    started = moment(START + 2 * STRIDE_MS)
    assert await found(since=started.isoformat()) == ["new"]
    assert await found(since=(started + timedelta(seconds=1)).isoformat()) == []


async def test_since_ends_the_pages(service: Face) -> None:
    await keep(service.outbox, *(episode(f"SN-{n}", first=n) for n in range(4)))
    query = {"since": moment(START + 2 * STRIDE_MS).isoformat(), "limit": "3"}
    page = (await service.http.get("/api/v1/alerts", params=query)).json()
    assert ([alert["device"]["id"] for alert in page["items"]], page["next"]) == (["SN-3", "SN-2"], None)


async def test_acknowledging_says_who_and_tells_every_target(service: Face) -> None:
    opened = episode("SN-1")
    await keep(service.outbox, opened)
    alert = opened[0].alert
    path = f"/api/v1/alerts/{alert.id}/acknowledge"

    answer = await service.http.post(path, json={"by": " R. Gupta ", "note": "pump\nswapped"})

    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "acknowledged"
    assert body["acknowledged"] == {"by": "R. Gupta", "at": "2026-11-23T12:00:00Z", "note": "pump\nswapped"}
    assert service.woken == ["woken"]
    told = await service.outbox.deliveries(alert.id)
    assert [delivery.type for delivery in told] == ["device.alert.opened", "device.alert.acknowledged"]


async def test_acknowledging_again_under_the_same_name_changes_nothing(service: Face) -> None:
    opened = episode("SN-1")
    await keep(service.outbox, opened)
    path = f"/api/v1/alerts/{opened[0].alert.id}/acknowledge"

    first = await service.http.post(path, json={"by": "R. Gupta", "note": "on my way"})
    again = await service.http.post(path, json={"by": "R. Gupta", "note": "another note"})

    assert again.status_code == 200
    assert again.json() == first.json()
    assert len(await service.outbox.deliveries(opened[0].alert.id)) == 2
    events = service.metrics.registry.get_sample_value(
        "attendant_alert_events_total", {"event": "acknowledged", "severity": "warning"}
    )
    assert events == 1


async def test_two_people_who_acknowledge_at_once_learn_who_was_first(service: Face) -> None:
    opened = episode("SN-1")
    await keep(service.outbox, opened)
    path = f"/api/v1/alerts/{opened[0].alert.id}/acknowledge"

    answers = await asyncio.gather(*(service.http.post(path, json={"by": f"person {n}"}) for n in range(5)))

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    winner = next(answer for answer in answers if answer.status_code == 200).json()["acknowledged"]["by"]
    for answer in answers:
        if answer.status_code == 409:
            assert winner in problem(answer, 409, "alert-acknowledged")["detail"]


async def test_a_resolved_alert_cannot_be_acknowledged(service: Face) -> None:
    events = episode("SN-1", cleared=True)
    await keep(service.outbox, events)
    answer = await service.http.post(f"/api/v1/alerts/{events[0].alert.id}/acknowledge", json={"by": "me"})
    problem(answer, 409, "alert-resolved")
    alert = await service.outbox.alert(events[0].alert.id)
    assert alert is not None
    assert (alert.status, alert.acknowledged) == (Status.RESOLVED, None)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body.by"),
        ({"by": "  "}, "body.by"),
        ({"by": "a\nb"}, "body.by"),
        ({"by": "me", "note": "nul\u0000"}, "body.note"),
        ({"by": "me", "note": "x" * 2001}, "body.note"),
        ({"by": "me", "who": "else"}, "body.who"),
        ({"by": 7}, "body.by"),
        ([], "body"),
    ],
)
async def test_a_wrong_acknowledgement_is_refused_with_the_place(
    service: Face, body: Any, where: str
) -> None:
    opened = episode("SN-1")
    await keep(service.outbox, opened)
    answer = await service.http.post(f"/api/v1/alerts/{opened[0].alert.id}/acknowledge", json=body)
    errors = problem(answer, 422, "invalid-request")["errors"]
    assert where in [error["where"] for error in errors]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"by": "\\ud800"}', b'{"by": NaN}'])
async def test_an_unreadable_acknowledgement_is_refused(service: Face, content: bytes) -> None:
    opened = episode("SN-1")
    await keep(service.outbox, opened)
    answer = await service.http.post(
        f"/api/v1/alerts/{opened[0].alert.id}/acknowledge",
        content=content,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_without_end_is_cut_off(service: Face) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 4096

    answer = await service.http.post(
        f"/api/v1/alerts/{uuid.uuid4()}/acknowledge",
        content=endless(),
        headers={"content-type": "application/json"},
    )
    problem(answer, 413, "body-too-large")


async def test_deliveries_show_every_attempt_with_its_outcome(service: Face) -> None:
    opened = episode("SN-1")
    await keep(service.outbox, opened)
    [job] = await service.outbox.claim(NOW_MS, limit=1, lease_s=30)
    failed = Settlement(
        JobState.PENDING, "timeout", detail="no answer in 15 s", next_try_ms=NOW_MS + 1000, duration_ms=15_000
    )
    await service.outbox.settle(job, failed, NOW_MS)

    [delivery] = (await service.http.get(f"/api/v1/alerts/{opened[0].alert.id}/deliveries")).json()["items"]
    assert delivery["alert_id"] == str(opened[0].alert.id)

    assert (delivery["target"], delivery["state"], delivery["outcome"]) == (
        "engineering",
        "pending",
        "timeout",
    )
    assert delivery["event_id"] == opened[0].id
    assert delivery["attempts"] == [
        {
            "at": "2026-11-23T12:00:00Z",
            "outcome": "timeout",
            "status_code": None,
            "detail": "no answer in 15 s",
            "duration_s": 15.0,
            "next_try_at": "2026-11-23T12:00:01Z",
        }
    ]


async def _park(service: Face, *devices: str) -> None:
    await keep(service.outbox, *(episode(device) for device in devices))
    for job in await service.outbox.claim(NOW_MS, limit=10, lease_s=30):
        refused = Settlement(JobState.PARKED, "rejected", status_code=400, detail="unknown alert type")
        await service.outbox.settle(job, refused, NOW_MS)


async def test_what_was_given_up_is_listed_in_pages_and_can_be_sent_again_or_set_aside(service: Face) -> None:
    await _park(service, "SN-1", "SN-2", "SN-3")

    first = (await service.http.get("/api/v1/deliveries", params={"limit": 2})).json()
    rest = (await service.http.get("/api/v1/deliveries", params={"limit": 2, "after": first["next"]})).json()
    again, aside, left = (delivery["id"] for delivery in first["items"] + rest["items"])
    replayed = await service.http.post(f"/api/v1/deliveries/{again}/replay", json={"by": "R. Gupta"})
    discarded = await service.http.post(f"/api/v1/deliveries/{aside}/discard", json={"by": "R. Gupta"})

    assert rest["next"] is None
    assert (replayed.status_code, discarded.status_code) == (204, 204)
    assert service.woken == ["woken"] * 2
    parked = (await service.http.get("/api/v1/deliveries")).json()["items"]
    assert [delivery["id"] for delivery in parked] == [left]
    assert [job.id for job in await service.outbox.claim(NOW_MS, limit=10, lease_s=30)] == [again]


async def test_an_unknown_delivery_is_a_problem(service: Face) -> None:
    for turn in ("replay", "discard"):
        answer = await service.http.post(f"/api/v1/deliveries/77/{turn}", json={"by": "R. Gupta"})
        problem(answer, 404, "no-such-delivery")


@pytest.mark.parametrize("path", ["/api/v1/alerts/{}", "/api/v1/alerts/{}/deliveries"])
async def test_an_unknown_alert_is_a_problem_that_names_it(service: Face, path: str) -> None:
    alert = str(uuid.uuid4())
    assert alert in problem(await service.http.get(path.format(alert)), 404, "no-such-alert")["detail"]


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("status=firing", "invalid-request"),
        ("limit=0", "invalid-request"),
        ("limit=501", "invalid-request"),
        ("since=yesterday", "invalid-request"),
        ("since=2026-11-23T12:00:00", "invalid-request"),
        ("device=%00", "invalid-request"),
        ("before=nonsense", "invalid-cursor"),
        ("before=%F0%9F%90%8D", "invalid-cursor"),
        (
            "before=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OjQ3OWNiNmQ2LTViODAtNGZhNS05ZDQyLTMxNzYyZmE0NGZjYg==",
            "invalid-cursor",
        ),
    ],
)
async def test_a_wrong_query_is_a_problem(service: Face, query: str, kind: str) -> None:
    problem(await service.http.get(f"/api/v1/alerts?{query}"), 422, kind)


async def test_a_database_that_is_away_is_a_problem_of_ours(service: Face) -> None:
    await service.outbox.close()
    database = service.outbox.url.partition("///")[2]
    os.unlink(database)  # noqa: PTH108 - its replacement by a folder stands below
    os.mkdir(database)  # noqa: PTH102 - no file can be opened there
    answer = await service.http.get("/api/v1/alerts")
    problem(answer, 503, "store-unavailable")
    assert answer.headers["retry-after"] == "5"
    assert database not in answer.text


async def test_what_a_person_does_is_delivered_without_waiting_for_the_next_look(tmp_path: Path) -> None:
    target = Script()
    async with face(tmp_path) as service:
        opened = episode("SN-1")
        await keep(service.outbox, opened)
        dispatcher = Dispatcher(service.outbox, [target], DispatchSettings(poll_s=60, watch_every_s=60))
        delivering = asyncio.create_task(dispatcher.run())
        await until(lambda: len(target.jobs) == 1)
        app = create_app(
            service.outbox,
            service.fleet,
            service.health,
            service.metrics,
            scorers={},
            woken=dispatcher.wake,
        )
        async with serving(app) as url, httpx.AsyncClient(base_url=url) as http:
            await http.post(f"/api/v1/alerts/{opened[0].alert.id}/acknowledge", json={"by": "R. Gupta"})
            await until(lambda: len(target.jobs) == 2)
            await http.post("/api/v1/deliveries/1/replay", json={"by": "R. Gupta"})
            await until(lambda: len(target.jobs) == 3)
        delivering.cancel()
        await asyncio.wait([delivering])
    assert [job.type for job in target.jobs] == [
        "device.alert.opened",
        "device.alert.acknowledged",
        "device.alert.opened",
    ]


async def until(true: Callable[[], bool]) -> None:
    """Much sooner than the dispatcher looks by itself."""
    async with asyncio.timeout(15):
        while not true():  # noqa: ASYNC110 - a target tells nobody
            await asyncio.sleep(0.01)


# -- devices, models, info -----------------------------------------------------------------------------


async def test_devices_come_by_id_in_pages_and_by_type_and_state(service: Face) -> None:
    service.fleet.states = [
        state("b", DeviceStatus.NORMAL, anomaly=0.2),
        state("a", DeviceStatus.ALARMING, anomaly=2.5, alert_id="x"),
        state("d", DeviceStatus.SILENT, "icu-ventilator"),
        state("c", DeviceStatus.NORMAL, "icu-ventilator"),
    ]

    async def found(**query: str) -> tuple[list[str], int, str | None]:
        page = (await service.http.get("/api/v1/devices", params=query)).json()
        return [device["device"] for device in page["items"]], page["total"], page["next"]

    assert await found() == (["a", "b", "c", "d"], 4, None)
    assert await found(limit="3") == (["a", "b", "c"], 4, "c")
    assert await found(limit="3", after="c") == (["d"], 4, None)
    assert await found(limit="4") == (["a", "b", "c", "d"], 4, None)
    assert await found(state="normal") == (["b", "c"], 2, None)
    assert await found(type="icu-ventilator", state="silent") == (["d"], 1, None)


async def test_a_device_can_be_read_whatever_its_id_looks_like(service: Face) -> None:
    service.fleet.states = [state("ward 3/bett ä?#%", DeviceStatus.ALARMING, anomaly=2.5, alert_id="x")]
    answer = await service.http.get("/api/v1/devices/ward%203%2Fbett%20%C3%A4%3F%23%25")
    assert answer.json() == {
        "device": "ward 3/bett ä?#%",
        "type": "infusion-pump",
        "state": "alarming",
        "last_seen": "2026-11-23T12:00:00Z",
        "anomaly": 2.5,
        "alert_id": "x",
        "learning": None,
        "baseline": None,
    }


async def test_a_learning_device_says_why_how_far_and_until_when(service: Face) -> None:
    learning = LearningState(LearningReason.NOT_SETTLED, 0.25, NOW + timedelta(hours=18))
    service.fleet.states = [
        state("SN-1", DeviceStatus.LEARNING, anomaly=0.2, learning=learning),
        state("SN-2", DeviceStatus.LEARNING, learning=LearningState(LearningReason.FIRST_WINDOW, 0.0)),
    ]
    first, second = (await service.http.get("/api/v1/devices", params={"state": "learning"})).json()["items"]
    assert first["learning"] == {
        "reason": "own baseline not settled",
        "progress": 0.25,
        "until": "2026-11-24T06:00:00Z",
    }
    assert second["learning"] == {"reason": "first window not full", "progress": 0.0, "until": None}


async def test_a_device_says_by_what_it_is_judged_and_why_by_no_more(service: Face) -> None:
    seldom = BaselineState(BaselineSource.TYPE, BaselineReason.SELDOM_AT_HOME, 0.02)
    service.fleet.states = [
        state("SN-1", DeviceStatus.NORMAL, baseline=seldom),
        state("SN-2", DeviceStatus.NORMAL, baseline=BaselineState(BaselineSource.OWN, progress=1.0)),
    ]
    first, second = (await service.http.get("/api/v1/devices")).json()["items"]
    assert (first["state"], first["learning"]) == ("normal", None)
    assert first["baseline"] == {
        "source": "type",
        "reason": "seldom in one mode",
        "progress": 0.02,
        "until": None,
    }
    assert second["baseline"] == {"source": "own", "reason": None, "progress": 1.0, "until": None}


# -- maintenance ---------------------------------------------------------------------------------------


async def test_maintenance_is_kept_with_who_when_and_why_and_the_service_is_told(service: Face) -> None:
    service.fleet.states = [state("ward 3/bett 1", DeviceStatus.ALARMING)]
    path = "/api/v1/devices/ward%203%2Fbett%201/maintenance"
    said = {
        "by": " R. Gupta ",
        "note": "sensor\nreplaced",
        "at": "2026-11-23T12:40:00+01:00",
        "rebaseline": True,
    }

    answer = await service.http.post(path, json=said)
    listed = (await service.http.get(path)).json()["items"]

    entry = answer.json()
    assert answer.status_code == 202
    assert entry.pop("watched_here") is True
    assert listed == [entry]
    assert {name: value for name, value in entry.items() if name != "id"} == {
        "device": "ward 3/bett 1",
        "by": "R. Gupta",
        "at": "2026-11-23T11:40:00Z",
        "note": "sensor\nreplaced",
        "rebaseline": True,
        "effective_at": "2026-11-23T12:00:00Z",
        "recorded_at": "2026-11-23T12:00:00Z",
        "applied_at": None,
    }
    assert service.woken == ["woken"]
    [pending] = await service.outbox.pending_maintenance()
    assert (pending.device, pending.effective_ms, pending.rebaseline) == ("ward 3/bett 1", NOW_MS, True)


async def test_the_same_maintenance_sent_again_is_kept_once(service: Face) -> None:
    said = {"by": "R. Gupta", "at": "2026-11-23T11:40:00Z"}
    first = await service.http.post("/api/v1/devices/SN-1/maintenance", json=said)
    again = await service.http.post("/api/v1/devices/SN-1/maintenance", json=said)
    assert again.json() == first.json()
    assert len(await service.outbox.maintenance("SN-1")) == 1


async def test_maintenance_shows_when_it_was_applied(service: Face) -> None:
    await service.http.post("/api/v1/devices/SN-1/maintenance", json={"by": "R. Gupta"})
    [entry] = await service.outbox.pending_maintenance()
    await service.outbox.record(Work(now_ms=NOW_MS, applied=[Applied(entry.id, NOW_MS + 1000)]))
    [shown] = (await service.http.get("/api/v1/devices/SN-1/maintenance")).json()["items"]
    assert (shown["applied_at"], shown["rebaseline"]) == ("2026-11-23T12:00:01Z", False)


async def test_maintenance_of_a_device_that_is_not_watched_here_is_kept_and_says_so(service: Face) -> None:
    answer = await service.http.post("/api/v1/devices/SN-0/maintenance", json={"by": "R. Gupta"})
    assert (answer.status_code, answer.json()["watched_here"]) == (202, False)
    assert len(await service.outbox.pending_maintenance()) == 1


async def test_the_command_line_lists_devices_and_says_that_one_was_serviced(service: Face) -> None:
    learning = LearningState(LearningReason.REBASELINED, 0.25, NOW + timedelta(hours=18))
    by_type = BaselineState(BaselineSource.TYPE, BaselineReason.LEARNING, 0.25)
    own, seldom = BaselineSource.OWN, BaselineReason.SELDOM_AT_HOME
    service.fleet.states = [
        state("ward 3/bett 1", DeviceStatus.LEARNING, anomaly=0.2, learning=learning, baseline=by_type),
        state(
            "SN-2", DeviceStatus.ALARMING, anomaly=2.5, alert_id="x", baseline=BaselineState(own, None, 1.0)
        ),
        state("SN-3", DeviceStatus.NORMAL, baseline=BaselineState(BaselineSource.TYPE, seldom)),
        state("SN-4", DeviceStatus.NORMAL, baseline=BaselineState(own, seldom, 0.7)),
    ]
    found = await asyncio.to_thread(list_devices, service.url, None, state=None, device_type=None)
    entry = await asyncio.to_thread(
        record_maintenance,
        service.url,
        None,
        "ward 3/bett 1",
        by="R. Gupta",
        note="sensor replaced",
        at=None,
        rebaseline=True,
    )

    table = render_devices(found, NOW)
    assert [device["device"] for device in found] == ["SN-2", "SN-3", "SN-4", "ward 3/bett 1"]
    rows = [re.sub(" {2,}", " | ", line).strip(" |") for line in table.splitlines()]
    learning_row = "ward 3/bett 1 | infusion-pump | learning | 0.20 | 0 s ago | its type alone | "
    assert rows == [
        "device | type | state | anomaly | last seen | judged by | why",
        "SN-2 | infusion-pump | alarming | 2.50 | 0 s ago | own baseline, too | alert x",
        "SN-3 | infusion-pump | normal | – | 0 s ago | its type alone: seldom in one mode",
        "SN-4 | infusion-pump | normal | – | 0 s ago | own baseline, too (70%): seldom in one mode",
        learning_row + "re-baselined after maintenance, 25%, until 2026-11-24 06:00 UTC",
    ]
    assert render_devices([], NOW) == "no devices"
    assert "its own baseline is learned anew" in render_maintenance(entry)
    assert "check the device's id" in render_maintenance(entry | {"watched_here": False})
    [logged] = await service.outbox.maintenance("ward 3/bett 1")
    assert (logged.entry.by, logged.entry.note, logged.entry.rebaseline) == (
        "R. Gupta",
        "sensor replaced",
        True,
    )


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body.by"),
        ({"by": " "}, "body.by"),
        ({"by": "me", "at": "2026-11-23T11:00:00"}, "body.at"),
        ({"by": "me", "at": "2026-11-23T12:00:01Z"}, "in the future"),
        ({"by": "me", "rebaseline": "perhaps"}, "body.rebaseline"),
        ({"by": "me", "reset": True}, "body.reset"),
        ({"by": "me", "note": "x" * 2001}, "body.note"),
    ],
)
async def test_wrong_maintenance_is_refused_with_the_place(service: Face, body: Any, where: str) -> None:
    answer = await service.http.post("/api/v1/devices/SN-1/maintenance", json=body)
    assert where in problem(answer, 422, "invalid-request")["detail"]
    assert await service.outbox.pending_maintenance() == []
    assert service.woken == []


async def test_an_unknown_device_is_a_problem(service: Face) -> None:
    problem(await service.http.get("/api/v1/devices/SN-0"), 404, "no-such-device")


async def test_models_and_info_say_what_runs(service: Face) -> None:
    [model] = (await service.http.get("/api/v1/models")).json()["items"]
    assert model["type"] == "infusion-pump"
    assert model["channels"] == ["line_pressure_down", "motor_current", "flow_current", "flow_set"]
    assert model["window_rows"] == 60
    assert re.fullmatch(r"[0-9a-f]{64}", model["digest"])
    info = (await service.http.get("/api/v1/info")).json()
    assert (info["name"], info["started_at"]) == ("attendant", "2026-11-23T12:00:00Z")
    assert "no clinical alarm system" in info["notice"]


# -- operations ----------------------------------------------------------------------------------------


async def test_metrics_are_text_or_openmetrics_as_asked_for(service: Face) -> None:
    text = await service.http.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain; version=")
    assert 'attendant_ready{check="broker"} 1.0' in text.text
    assert "process_resident_memory_bytes" in text.text
    accept = {"accept": "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"}
    openmetrics = await service.http.get("/metrics", headers=accept)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


async def test_health_says_which_check_fails_and_why(service: Face) -> None:
    assert (await service.http.get("/healthz")).json() == {
        "passes": True,
        "checks": [{"name": "broker", "passes": True, "reason": ""}],
    }
    service.health.checks[1] = Check("database", False, "disk is full")
    alive, ready = await service.http.get("/healthz"), await service.http.get("/readyz")
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert ready.json()["checks"][1] == {"name": "database", "passes": False, "reason": "disk is full"}
    assert 'attendant_ready{check="database"} 0.0' in (await service.http.get("/metrics")).text


# -- every request -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/api/v1/alerts", "/metrics", "/readyz", "/nowhere", "/api/v1/openapi.json"]
)
async def test_every_answer_has_safe_headers_and_a_request_id(service: Face, path: str) -> None:
    answer = await service.http.get(path, headers={"x-request-id": "from-the-proxy.7"})
    assert answer.headers["x-request-id"] == "from-the-proxy.7"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


async def test_a_request_id_that_could_forge_a_log_line_is_replaced(service: Face) -> None:
    answer = await service.http.get("/api/v1/info", headers={"x-request-id": "a b {}"})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_unknown_routes_and_methods_are_problems(service: Face) -> None:
    problem(await service.http.get("/api/v1/nothing"), 404, "no-such-route")
    wrong = await service.http.delete("/api/v1/alerts")
    problem(wrong, 405, "method-not-allowed")
    assert wrong.headers["allow"] == "GET"


async def test_requests_are_counted_by_route_and_never_by_path(service: Face) -> None:
    for n in range(3):
        await service.http.get(f"/api/v1/alerts/{uuid.uuid4()}")
        await service.http.get(f"/scan/{n}")
    await service.http.request("BREW", "/coffee")

    def count(route: str, method: str, code: str) -> float | None:
        labels = {"route": route, "method": method, "code": code}
        return service.metrics.registry.get_sample_value("attendant_http_requests_total", labels)

    assert count("/api/v1/alerts/{alert_id}", "GET", "404") == 3
    assert count("unmatched", "GET", "404") == 3
    assert count("unmatched", "other", "404") == 1


async def test_a_crash_is_a_problem_and_a_log_line_with_the_request_id(
    service: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logging(stream=out)
    try:
        monkeypatch.setattr(service.fleet, "devices", lambda: 1 / 0)
        answer = await service.http.get("/api/v1/devices")
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(level)
    body = problem(answer, 500, "internal")
    assert "division" not in answer.text
    logged = [json.loads(line) for line in out.getvalue().splitlines()]
    crash = next(line for line in logged if line["message"] == "request failed")
    assert crash["request_id"] == body["request_id"]
    assert "ZeroDivisionError" in crash["exception"]


# -- tokens --------------------------------------------------------------------------------------------


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Face]:
    async with face(tmp_path, access=Access(tokens=("another-token-before", TOKEN))) as running:
        yield running


async def test_every_route_of_the_api_needs_the_token(guarded: Face) -> None:
    document = (
        await guarded.http.get("/api/v1/openapi.json", headers={"authorization": f"Bearer {TOKEN}"})
    ).json()
    paths = {
        path.replace("{alert_id}", str(uuid.uuid4())).replace("{device_id}", "x")
        for path in document["paths"]
    }
    for path in {*paths, "/api/v1/openapi.json", "/api", "/api/v1/nothing", "/api/v2/later"}:
        answer = await guarded.http.get(path)
        if path.startswith("/api"):
            problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        else:
            assert answer.status_code == 200, path


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        ("Bearer another-token-before", 200),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer \xff", 401),
    ],
)
async def test_only_a_whole_token_opens(guarded: Face, authorization: str, status: int) -> None:
    header = httpx.Headers([(b"authorization", authorization.encode("latin-1"))])
    answer = await guarded.http.get("/api/v1/info", headers=header)
    assert answer.status_code == status


async def test_operations_can_be_protected_too(tmp_path: Path) -> None:
    async with face(tmp_path, access=Access(tokens=(TOKEN,), protect_operations=True)) as guarded:
        assert {
            (await guarded.http.get(path)).status_code for path in ("/metrics", "/healthz", "/readyz")
        } == {401}
        allowed = await guarded.http.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        assert allowed.status_code == 200


async def test_the_document_says_that_a_token_is_needed(guarded: Face, service: Face) -> None:
    header = {"authorization": f"Bearer {TOKEN}"}
    closed = (await guarded.http.get("/api/v1/openapi.json", headers=header)).json()
    open_ = (await service.http.get("/api/v1/openapi.json")).json()
    assert closed["paths"]["/api/v1/alerts"]["get"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in open_["paths"]["/api/v1/alerts"]["get"]
    assert TOKEN not in repr(Access(tokens=(TOKEN,)))


# -- the document --------------------------------------------------------------------------------------


async def test_every_route_and_parameter_is_described(service: Face) -> None:
    document = (await service.http.get("/api/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert len(operation["description"]) > 15, (method, path)
            assert operation["tags"], (method, path)
            for parameter in operation.get("parameters", []):
                assert parameter["description"], (path, parameter["name"])
    for path in ("/api/v1/alerts", "/api/v1/alerts/{alert_id}", "/api/v1/alerts/{alert_id}/deliveries"):
        assert document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    channel = document["components"]["schemas"]["ChannelEvidence"]["properties"]
    assert channel["unit"]["description"] == "UCUM."
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert document["components"]["schemas"]["Problem"]["examples"]
    assert document["components"]["schemas"]["AcknowledgeRequest"]["examples"]


# -- serving -------------------------------------------------------------------------------------------


async def test_a_request_under_way_is_answered_before_the_service_ends() -> None:
    app = FastAPI()
    entered, release = asyncio.Event(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        entered.set()
        await release.wait()
        return "done"

    async with httpx.AsyncClient() as http:
        async with serving(app) as url:
            asking = asyncio.create_task(http.get(f"{url}/slow"))
            await entered.wait()
            asyncio.get_running_loop().call_later(0.2, release.set)
        assert (await asking).json() == "done"
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{url}/slow")


async def test_serving_ends_with_the_task_group_and_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    urls: list[str] = []
    during = []

    async def elsewhere() -> None:
        await asyncio.sleep(0.3)
        during.append((signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)))
        raise RuntimeError("another part of the service fails")

    async def all_of_it() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(FastAPI(), "127.0.0.1", 0, started=urls.append))
            group.create_task(elsewhere())

    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await asyncio.wait_for(all_of_it(), 5)
    assert during == [before]
    assert urls[0].startswith("http://127.0.0.1:")


async def test_an_address_in_use_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ListenError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"
        ):
            await serve(FastAPI(), "127.0.0.1", port)
    with pytest.raises(ListenError, match=r"cannot listen on no-such-host\.invalid:1"):
        await serve(FastAPI(), "no-such-host.invalid", 1)
