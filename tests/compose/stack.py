"""The compose stack under test: brought up with secrets and ports of its own, asked, and taken down."""

import base64
import contextlib
import json
import secrets
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.compose.engine import Engine, EngineError
from tests.compose.images import ROOT

PORTS = ("ATTENDANT_PORT", "KAFKA_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT")
POLL_S = 2.0
T = TypeVar("T")


class CheckError(Exception):
    """Something that was to be seen was not, or not yet."""


class BrokenError(Exception):
    """Something has gone wrong that no waiting mends."""


@dataclass(frozen=True)
class Stack:
    """A running project of docker-compose.yml."""

    engine: Engine
    project: str
    base: list[str]
    ports: dict[str, int]

    def compose(self, *arguments: str, timeout_s: float = 300.0) -> str:
        """Run `docker compose ARGUMENTS` on this project and answer its output."""
        return self.engine.run([*self.base, *arguments], timeout_s=timeout_s)

    def execute(self, service: str, *command: str, timeout_s: float = 60.0) -> str:
        """Run a command inside a service's container."""
        return self.compose("exec", "-T", service, *command, timeout_s=timeout_s)

    def container(self, service: str) -> str:
        """The id of a service's container, also of one that has ended."""
        found = self.engine.docker(
            "ps", "--all", "--quiet", "--no-trunc",
            "--filter", f"label=com.docker.compose.project={self.project}",
            "--filter", f"label=com.docker.compose.service={service}",
        ).split()  # fmt: skip
        if not found:
            raise CheckError(f"{service} has no container")
        return found[0]

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        found: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", self.container(service)))
        return found[0]

    def logs(self, service: str) -> list[str]:
        """Lines on a container's standard output."""
        return self.engine.docker("logs", self.container(service)).splitlines()

    def get(self, port: str, path: str) -> Any:
        """GET from a published port; JSON where it is JSON, text otherwise.

        Raises:
            CheckError: no answer, or not a good one.
        """
        url = f"http://127.0.0.1:{self.ports[port]}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                body = answer.read().decode()
        except (urllib.error.URLError, OSError) as error:
            raise CheckError(f"GET {url}: {error}") from None
        return json.loads(body) if body[:1] in ("{", "[") else body

    def healthy(self, service: str) -> None:
        """Raises CheckError unless the container's own health check passes."""
        state = self.inspect(service)["State"]
        health = state.get("Health", {}).get("Status", state["Status"])
        if health != "healthy":
            raise CheckError(f"{service} is {health}")


@contextlib.contextmanager
def compose_stack(engine: Engine, image_tag: str, settings: dict[str, str], folder: Path) -> Iterator[Stack]:
    """A project with random secrets and free ports. Its containers, networks and volumes are removed at the end."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    environment = {
        "ATTENDANT_TAG": image_tag,
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "GRAFANA_PASSWORD": secrets.token_urlsafe(24),
        "WEBHOOK_URL": "http://receiver:8000/alerts",
        "WEBHOOK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        **{name: str(port) for name, port in ports.items()},
        **settings,
    }
    env_file = folder / "compose.env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in environment.items()), "utf-8")
    project = f"attendant-test-{secrets.token_hex(3)}"
    base = [*compose_command(engine), "--env-file", str(env_file), "--project-name", project]
    base += ["--file", str(ROOT / "docker-compose.yml"), "--profile", "demo"]
    stack = Stack(engine, project, base, ports)
    try:
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")


def compose_command(engine: Engine) -> list[str]:
    """`docker compose` where there is one, else `docker-compose`.

    Raises:
        EngineError: neither is installed.
    """
    if engine.works("compose", "version"):
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise EngineError("neither `docker compose` nor docker-compose is installed")


def free_ports(n: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def eventually(check: Callable[[], T], within_s: float) -> T:
    """Try `check` again and again until it raises no CheckError or EngineError.

    Raises:
        CheckError: the last one, when `within_s` is over.
    """
    give_up = time.monotonic() + within_s
    while True:
        try:
            return check()
        except (CheckError, EngineError) as error:
            if time.monotonic() > give_up:
                raise CheckError(f"not within {within_s:g} s: {error}") from None
        time.sleep(POLL_S)
