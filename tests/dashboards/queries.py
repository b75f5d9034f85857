"""Every query of every panel, annotation, variable and rule, and whether a Prometheus has an answer to it."""

import asyncio
import json
import math
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.dashboards.prometheus import DASHBOARDS, Prometheus, conditions, filled_in


@dataclass(frozen=True)
class Query:
    """One expression and where it stands."""

    where: str
    expression: str


def queries() -> list[Query]:
    """All that our dashboards and rules ask."""
    return [*_of_dashboards(), *_of_rules()]


def _of_dashboards() -> Iterator[Query]:
    for file in sorted((DASHBOARDS / "grafana" / "dashboards").glob("*.json")):
        board = json.loads(file.read_text("utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield Query(f"{board['title']} / {panel['title']}", filled_in(target["expr"]))
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                metric, label = _label_values(variable["definition"])
                yield Query(f"{board['title']} / ${variable['name']}", f"count by ({label}) ({metric})")
        for note in board["annotations"]["list"]:
            for part in conditions(filled_in(note["expr"])) if "expr" in note else ():
                yield Query(f"{board['title']} / {note['name']}", part)


def _label_values(definition: str) -> tuple[str, str]:
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", definition)
    assert match, definition
    return match[1], match[2]


def _of_rules() -> Iterator[Query]:
    for file in sorted((DASHBOARDS / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    yield Query(rule["record"], rule["expr"])
                    continue
                for part in conditions(rule["expr"]):
                    yield Query(rule["alert"], part)


async def unanswered(server: Prometheus, wanted: Iterable[Query], patience_s: float) -> list[Query]:
    """The queries that still have no number in their answer after `patience_s`; one that errs fails at once."""
    open_, until = list(wanted), time.monotonic() + patience_s
    while True:
        open_ = [query for query in open_ if not has_numbers(await server.query(query.expression))]
        if not open_ or time.monotonic() > until:
            return open_
        await asyncio.sleep(1)


def has_numbers(result: list[dict[str, Any]]) -> bool:
    """Whether there is anything to see: NaN is drawn as nothing."""
    return any(not math.isnan(float(row["value"][1])) for row in result)


async def broken_rules(server: Prometheus) -> list[str]:
    """Rules that Prometheus could not evaluate, with what it said."""
    return [
        f"{rule['name']}: {rule['lastError']}" for rule in await server.rules() if rule["health"] == "err"
    ]


async def alerting(server: Prometheus) -> set[str]:
    """Names of the alerts that are pending or firing."""
    return {rule["name"] for rule in await server.rules() if rule.get("state") in {"pending", "firing"}}


async def check_all(server: Prometheus, patience_s: float) -> None:
    """Every query has an answer, no rule errs, and none complains: what a healthy service has to show.

    `server` scrapes any running service, from before its first alert on: a rate needs a value before and after.
    """
    assert await unanswered(server, queries(), patience_s) == []
    assert await broken_rules(server) == []
    assert await alerting(server) == {"AttendantDeadMan"}
