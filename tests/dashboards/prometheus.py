"""Runs Debian's Prometheus on a copy of our configuration, against any target, and asks it things."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

DASHBOARDS = Path(__file__).parent.parent.parent / "dashboards"
REQUIRE = "ATTENDANT_REQUIRE_PROMETHEUS"


def program(name: str) -> str:
    """Path of `prometheus`, `promtool` or `amtool`; without it the test is skipped, or fails where CI needs it."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed (Debian: apt-get install prometheus prometheus-alertmanager)"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{message}, and {REQUIRE}=1 asks for it")
        pytest.skip(message)
    return path


def run(name: str, *arguments: str) -> str:
    """What the program says; a failure of it is one of the test."""
    done = subprocess.run(
        [program(name), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A running one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=10)

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector; an error of the query is one of the test."""
        answer = await self._http.post("/api/v1/query", data={"query": expression})
        body = answer.json()
        assert body["status"] == "success", f"{body.get('error')}: {expression}"
        result = body["data"]["result"]
        if body["data"]["resultType"] == "scalar":
            return [{"metric": {}, "value": result}]
        return list(result)

    async def rules(self) -> list[dict[str, Any]]:
        """All rules as they are evaluated."""
        groups = (await self._http.get("/api/v1/rules")).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def ready(self) -> bool:
        try:
            return (await self._http.get("/-/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def prometheus(folder: Path, target: str, *, every: str = "1s") -> AsyncIterator[Prometheus]:
    """Prometheus with our configuration, scraping `target` (`host:port`), its data in `folder`."""
    binary = program("prometheus")
    configuration = _configuration(folder, target, every)
    port = _free_port()
    log = folder / "prometheus.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            binary,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
            stdout=out,
            stderr=out,
        )
        server = Prometheus(f"http://127.0.0.1:{port}")
        try:
            async with asyncio.timeout(30):
                while not await server.ready():
                    assert process.returncode is None, log.read_text()
                    await asyncio.sleep(0.1)
            yield server
        finally:
            await server.close()
            if process.returncode is None:
                process.terminate()
            await process.wait()


def _configuration(folder: Path, target: str, every: str) -> Path:
    """A copy of ours: only who is scraped, and how often, is another."""
    copy = folder / "prometheus"
    shutil.copytree(DASHBOARDS / "prometheus", copy)
    (copy / "targets" / "attendant.yml").write_text(yaml.safe_dump([{"targets": [target]}]), "utf-8")
    (copy / "targets" / "alertmanager.yml").write_text("[]\n", "utf-8")
    file = copy / "prometheus.yml"
    values = yaml.safe_load(file.read_text("utf-8"))
    values["global"] |= {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    for job in values["scrape_configs"]:
        job.pop("scrape_timeout", None)
    file.write_text(yaml.safe_dump(values), "utf-8")
    return file


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


GRAFANA = {
    "$__rate_interval": "1m",
    "$__interval": "15s",
    "$__range": "1h",
    "$type": ".+",
    "$instance": ".+",
}
"""What Grafana would put in for its own variables and for ours, with `All` chosen."""


def filled_in(expression: str, variables: Mapping[str, str] = GRAFANA) -> str:
    """The expression as Grafana would send it."""
    for name, value in variables.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable that the test does not know: {expression}"
    return expression


def conditions(expression: str) -> list[str]:
    """The parts of an alert rule without their comparison: what must be there for the rule to see anything.

    An alert that does not fire has an empty result; a rule on a metric that does not exist, too. This tells them apart.
    """
    parts = re.split(r"\s(?:and|unless|or)(?:\s+on\s*\([^)]*\))?\s", " ".join(expression.split()))
    bare = []
    for part in parts:
        inner = part.strip()
        while inner.startswith("(") and _closes(inner) == len(inner) - 1:
            inner = inner[1:-1].strip()
        absent = re.fullmatch(r"absent\((.*)\)", inner)
        inner = absent[1] if absent else inner
        bare.append(re.sub(r"\s(?:==|!=|>=|<=|>|<)\s[\d.e+-]+$", "", inner))
    return bare


def _closes(text: str) -> int:
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return at
    raise ValueError(f"unbalanced: {text}")
