"""The command line's side of the API: alerts and devices of a running service, and what people say about them."""

import asyncio
import io
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.table import Table

TIMEOUT = aiohttp.ClientTimeout(total=15)
SEVERITY_STYLE = {"critical": "bold red", "warning": "yellow", "info": "cyan"}

STATE_STYLE = {"alarming": "bold red", "silent": "yellow", "learning": "cyan", "normal": "green"}

Json = dict[str, Any]


class ClientError(Exception):
    """The service could not be asked, or it declined; one readable line."""


def list_alerts(
    url: str, token: str | None, *, status: str | None, device: str | None, limit: int
) -> list[Json]:
    """Newest alerts first.

    Raises:
        ClientError: no service there, or it refused.
    """
    wanted = {"status": status, "device": device, "limit": str(limit)}
    query = {name: value for name, value in wanted.items() if value is not None}
    page = asyncio.run(_request("GET", f"{url.rstrip('/')}/api/v1/alerts", token, params=query))
    items: list[Json] = page["items"]
    return items


def acknowledge_alert(url: str, token: str | None, alert: str, *, by: str, note: str) -> Json:
    """Acknowledge one alert and answer with it.

    Raises:
        ClientError: no service there, no such alert, or it is resolved.
    """
    address = f"{url.rstrip('/')}/api/v1/alerts/{alert}/acknowledge"
    return asyncio.run(_request("POST", address, token, json={"by": by, "note": note}))


def explain_alert(url: str, token: str | None, alert: str) -> tuple[Json, Json]:
    """An alert and what stands behind its picture; `last` is the newest fault.

    Raises:
        ClientError: no service there, no such alert, or nothing was kept of it.
    """
    base = f"{url.rstrip('/')}/api/v1/alerts"
    if alert == "last":
        query = {"kind": "fault", "limit": "1"}
        newest: list[Json] = asyncio.run(_request("GET", base, token, params=query))["items"]
        if not newest:
            raise ClientError("there is no alert of a fault yet")
        found = newest[0]
    else:
        found = asyncio.run(_request("GET", f"{base}/{quote(alert, safe='')}", token))
    return found, asyncio.run(_request("GET", f"{base}/{found['id']}/explanation", token))


def list_devices(url: str, token: str | None, *, state: str | None, device_type: str | None) -> list[Json]:
    """All devices of the worker that answers, by id.

    Raises:
        ClientError: no service there, or it refused.
    """
    wanted = {"state": state, "type": device_type, "limit": "1000"}
    query = {name: value for name, value in wanted.items() if value is not None}
    items: list[Json] = []
    while True:
        page = asyncio.run(_request("GET", f"{url.rstrip('/')}/api/v1/devices", token, params=query))
        items += page["items"]
        if page["next"] is None:
            return items
        query["after"] = page["next"]


def record_maintenance(
    url: str, token: str | None, device: str, *, by: str, note: str, at: datetime | None, rebaseline: bool
) -> Json:
    """Say that a device was serviced and answer with the entry as it is kept.

    Raises:
        ClientError: no service there, or it refused.
    """
    address = f"{url.rstrip('/')}/api/v1/devices/{quote(device, safe='')}/maintenance"
    said = {"by": by, "note": note, "rebaseline": rebaseline} | ({} if at is None else {"at": at.isoformat()})
    return asyncio.run(_request("POST", address, token, json=said))


async def _request(method: str, address: str, token: str | None, **arguments: Any) -> Json:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, headers=headers) as session,
            session.request(method, address, **arguments) as response,
        ):
            body: Json = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise ClientError(
            f"no answer of an Attendant at {address}: {reason}; is it running, is --url right?"
        ) from None
    if response.status >= 400:
        raise ClientError(f"{response.status}: {body.get('detail') or body.get('title') or 'refused'}")
    return body


def render_alerts(alerts: list[Json], now: datetime) -> str:
    """A table for a terminal."""
    if not alerts:
        return "no alerts"
    table = _table("age", "severity", "status", "device", "channels", "alert", whole=("age", "alert"))
    for alert in alerts:
        table.add_row(
            _age(now - datetime.fromisoformat(alert["started_at"])),
            f"[{SEVERITY_STYLE.get(alert['severity'], 'white')}]{alert['severity']}[/]",
            alert["status"],
            f"{alert['device']['id']} ({alert['device']['type']})",
            ", ".join(f"{c['name']} {c['share']:.0%}" for c in alert["channels"][:3]) or alert["kind"],
            alert["id"],
        )
    return _rendered(table)


def render_devices(devices: list[Json], now: datetime) -> str:
    """A table for a terminal."""
    if not devices:
        return "no devices"
    headings = ("device", "type", "state", "anomaly", "last seen", "judged by", "why")
    table = _table(*headings, whole=("device", "last seen"))
    for device in devices:
        anomaly = device["anomaly"]
        table.add_row(
            escape(device["device"]),
            device["type"],
            f"[{STATE_STYLE.get(device['state'], 'white')}]{device['state']}[/]",
            "–" if anomaly is None else f"{anomaly:.2f}",
            f"{_age(now - datetime.fromisoformat(device['last_seen']))} ago",
            _judged_by(device.get("baseline")),
            _why(device),
        )
    return _rendered(table)


def render_maintenance(entry: Json) -> str:
    """What became of it, for a person."""
    done = f"{entry['device']}: kept; takes effect at {entry['effective_at']} of the stream's time"
    anew = ", and its own baseline is learned anew" if entry["rebaseline"] else ""
    if entry["watched_here"]:
        return f"{done}{anew}"
    return (
        f"{done}{anew}. The worker that answered does not watch this device: the one that does will apply it. "
        "If none does, it waits; check the device's id."
    )


def _why(device: Json) -> str:
    if device["alert_id"]:
        return f"alert {device['alert_id']}"
    learning = device["learning"]
    if not learning:
        return ""
    until = learning["until"]
    end = "" if until is None else f", until {datetime.fromisoformat(until):%Y-%m-%d %H:%M} UTC"
    return f"{learning['reason']}, {learning['progress']:.0%}{end}"


def _judged_by(baseline: Json | None) -> str:
    """Its type, or its own baseline as well; and why it is no more than that, unless that is still to come."""
    if baseline is None:
        return "–"
    source = "its type alone" if baseline["source"] == "type" else "own baseline, too"
    if baseline["source"] == "own" and baseline["progress"] < 1:
        source += f" ({baseline['progress']:.0%})"
    if baseline["reason"] in (None, "still learning"):
        return source
    return f"{source}: {baseline['reason']}"


def _table(*headings: str, whole: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=heading in whole)
    return table


def _rendered(table: Table) -> str:
    out = io.StringIO()
    # Without a terminal the table must not be cut to 80 columns: ids are copied from it.
    Console(file=out, width=200).print(table)
    return out.getvalue().rstrip()


def _age(age: timedelta) -> str:
    seconds = max(int(age.total_seconds()), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
