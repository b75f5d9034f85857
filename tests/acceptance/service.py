"""The service as a process of its own, started, watched and killed from outside."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.conftest import EmbeddedTestBroker

START_S = 60.0
_LISTENING = re.compile(rb'"url": ?"(http://[^"]+)"')


class ServiceProcess:
    """`attendant run` with a settings file; use as an async context manager, which kills what still runs."""

    def __init__(self, config: Path, log: Path) -> None:
        self._config, self._log = config, log
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        self._from = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "monitor.cli",
                "run",
                "--config",
                str(self._config),
                stdout=out,
                stderr=out,
            )
        try:
            await self._until_ready()
        except BaseException:
            self.process.kill()
            await self.process.wait()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    async def _until_ready(self) -> None:
        async with asyncio.timeout(START_S):
            while True:
                assert self.process.returncode is None, f"ended while starting:\n{self.log[-4000:]}"
                found = _LISTENING.search(self._log.read_bytes()[self._from :])
                if found:
                    self.url = found[1].decode()
                    if (await self.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """As the kernel kills it: no handler runs."""
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()

    async def terminate(self) -> int:
        """As an orchestrator ends it; answers the exit status."""
        self.process.terminate()
        return await self.process.wait()

    async def get(self, path: str, **query: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=10) as client:
            return await client.get(path, params=query)

    async def figure(self, name: str, **labels: str) -> float:
        """A metric of the running process; 0 where it isn't there."""
        text = (await self.get("/metrics")).text
        for line in text.splitlines():
            head, _, value = line.rpartition(" ")
            if re.split(r"[{ ]", head)[0] == name and all(f'{k}="{v}"' in head for k, v in labels.items()):
                return float(value)
        return 0.0

    async def until(self, name: str, at_least: float, timeout_s: float = 60.0, **labels: str) -> float:
        """Wait until a metric has grown to `at_least`."""
        async with asyncio.timeout(timeout_s):
            while (value := await self.figure(name, **labels)) < at_least:
                assert self.process.returncode is None, f"ended:\n{self.log[-4000:]}"
                await asyncio.sleep(0.05)
        return value

    async def alerts(self) -> list[dict[str, Any]]:
        """Every alert, newest first."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = (
                await self.get("/api/v1/alerts", limit="100", **({"cursor": cursor} if cursor else {}))
            ).json()
            found += page["items"]
            cursor = page.get("next")
            if not cursor:
                return found

    async def alert(self, status: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """Wait for an alert of this status."""
        async with asyncio.timeout(timeout_s):
            while True:
                for alert in await self.alerts():
                    if alert["status"] == status:
                        return alert
                await asyncio.sleep(0.1)


def usual_sections(
    broker: EmbeddedTestBroker, topic: str, folder: Path, **models: object
) -> dict[str, dict[str, object]]:
    """Sections of a settings file for a service on this broker and topic that keeps its database in `folder`."""
    return {
        "kafka": {"bootstrap_servers": broker.bootstrap_servers, "group": topic, "idempotent": False},
        "telemetry": {"topic": topic, "rejected_topic": f"{topic}.rejected"},
        "database": {"url": f"sqlite:///{folder}/{topic}.db"},
        "models": {"device": "cpu", **models},
        "web": {"port": 0},
        "log": {"format": "json"},
    }


def write_config(
    file: Path,
    sections: Mapping[str, Mapping[str, object]],
    webhooks: Sequence[Mapping[str, object]] = (),
    **settings: object,
) -> Path:
    """A settings file from plain values."""
    lines = [f"{name} = {_toml(value)}" for name, value in settings.items()]
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{name} = {_toml(value)}" for name, value in values.items())]
    for webhook in webhooks:
        lines += ["[[webhooks]]", *(f"{name} = {_toml(value)}" for name, value in webhook.items())]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
