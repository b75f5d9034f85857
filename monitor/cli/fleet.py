"""Commands that ask a running service for its alerts and devices, or tell it what was done about them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.common import JsonOut, fail

LOCAL_SERVICE = "http://127.0.0.1:8080"
ServiceUrl = Annotated[str, typer.Option(help="The running service.", envvar="ATTENDANT_URL")]
Token = Annotated[str | None, typer.Option(help="Bearer token.", envvar="ATTENDANT_TOKEN")]


def alerts(
    url: ServiceUrl = LOCAL_SERVICE,
    status: Annotated[str | None, typer.Option(help="open, acknowledged or resolved.")] = None,
    device: Annotated[str | None, typer.Option(help="Of this device only.")] = None,
    acknowledge: Annotated[
        str | None, typer.Option("--ack", help="Acknowledge this alert.", metavar="ID")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who acknowledges.")] = None,
    note: Annotated[str, typer.Option(help="Why, for those who read it later.")] = "",
    token: Token = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=500)] = 50,
    as_json: JsonOut = False,
) -> None:
    """List the alerts of a running service, or acknowledge one."""
    from monitor.client import ClientError, acknowledge_alert, list_alerts, render_alerts

    try:
        if acknowledge is not None:
            if not by:
                fail("say who acknowledges: --by NAME")
            found = [acknowledge_alert(url, token, acknowledge, by=by, note=note)]
        else:
            found = list_alerts(url, token, status=status, device=device, limit=limit)
    except ClientError as error:
        fail(str(error), code=1)
    typer.echo(json.dumps(found, indent=2) if as_json else render_alerts(found, datetime.now(UTC)))


def explain(
    alert: Annotated[
        str, typer.Argument(help="Id of an alert, or `last` for the newest fault.", metavar="ALERT")
    ],
    url: ServiceUrl = LOCAL_SERVICE,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Picture to write; alert-….png here by default.", metavar="FILE.png", dir_okay=False
        ),
    ] = None,
    token: Token = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what stands behind the picture; draws it only with --out.")
    ] = False,
) -> None:
    """Draw why an alert was raised: traces with expected bands, where the model looked, what it may be."""
    from monitor.client import ClientError, explain_alert

    try:
        found, told = explain_alert(url, token, alert)
    except ClientError as error:
        fail(str(error), code=1)
    if as_json:
        typer.echo(json.dumps({"alert": found, "explanation": told}, indent=2))
        if out is None:
            return
    from monitor.answers import PictureError, draw_answers

    file = out or Path(f"alert-{found['id'][:8]}.png")
    try:
        draw_answers(found, told, file)
    except PictureError as error:
        fail(str(error), code=1)
    typer.echo(f"{found['summary']}\n{file}", err=as_json)


def devices(
    url: ServiceUrl = LOCAL_SERVICE,
    state: Annotated[str | None, typer.Option(help="learning, normal, alarming or silent.")] = None,
    device_type: Annotated[str | None, typer.Option("--type", help="Of this device type only.")] = None,
    maintenance: Annotated[
        str | None, typer.Option("--maintenance", help="Say that this device was serviced.", metavar="ID")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who serviced it.")] = None,
    note: Annotated[str, typer.Option(help="What was done.")] = "",
    at: Annotated[datetime | None, typer.Option(help="When, UTC; now by default.")] = None,
    rebaseline: Annotated[
        bool, typer.Option("--rebaseline", help="Learn anew what is usual for this very device.")
    ] = False,
    token: Token = None,
    as_json: JsonOut = False,
) -> None:
    """List the devices of a running service, how they stand and what judges them, or say that one was serviced."""
    from monitor.client import (
        ClientError,
        list_devices,
        record_maintenance,
        render_devices,
        render_maintenance,
    )

    try:
        if maintenance is not None:
            if not by:
                fail("say who serviced the device: --by NAME")
            when = None if at is None else at.replace(tzinfo=UTC)
            entry = record_maintenance(
                url, token, maintenance, by=by, note=note, at=when, rebaseline=rebaseline
            )
            typer.echo(json.dumps(entry, indent=2) if as_json else render_maintenance(entry))
            return
        found = list_devices(url, token, state=state, device_type=device_type)
    except ClientError as error:
        fail(str(error), code=1)
    typer.echo(json.dumps(found, indent=2) if as_json else render_devices(found, datetime.now(UTC)))
