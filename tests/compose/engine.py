"""A container engine for the compose test: the one that runs, or a `dockerd` of our own for as long as the test lasts.

Knows nothing about images or about the stack.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0


class EngineError(Exception):
    """No engine can be had here; the text says what to install or what it printed."""


@dataclass(frozen=True)
class Engine:
    """Where to send `docker` commands. `ours` is False for an engine that ran before, with other people's images."""

    ours: bool
    environment: dict[str, str] = field(repr=False)

    def docker(self, *arguments: str, timeout_s: float = 120.0) -> str:
        """Run `docker ARGUMENTS`, answer what it printed on standard output.

        Raises:
            EngineError: it failed; with the end of what it printed.
        """
        return self.run(["docker", *arguments], timeout_s=timeout_s)

    def run(self, command: list[str], timeout_s: float = 120.0) -> str:
        """Run any command that talks to this engine. Raises like `docker`."""
        try:
            done = subprocess.run(
                command, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except FileNotFoundError:
            raise EngineError(f"{command[0]} is not installed") from None
        except subprocess.TimeoutExpired:
            raise EngineError(f"{' '.join(command)}: no end after {timeout_s:g} s") from None
        if done.returncode:
            raise EngineError(
                f"{' '.join(command)}: exit {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}"
            )
        return done.stdout

    def works(self, *arguments: str) -> bool:
        """Whether `docker ARGUMENTS` succeeds."""
        try:
            self.docker(*arguments, timeout_s=30)
        except EngineError:
            return False
        return True


@contextlib.contextmanager
def container_engine(cache: Path) -> Iterator[Engine]:
    """The running engine, or one started by hand as root, whose images stay in `cache` for the next time.

    Raises:
        EngineError: neither is to be had.
    """
    running = Engine(ours=False, environment=dict(os.environ))
    if running.works("info", "--format", "{{.ServerVersion}}"):
        yield running
        return
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        raise EngineError("no container engine is running; to start one takes root and dockerd (docker.io)")
    with tempfile.TemporaryDirectory(prefix="attendant-compose-", ignore_cleanup_errors=True) as folder:
        process, engine = _start(Path(folder), cache)
        try:
            yield engine
        finally:
            _stop(process)
            _unmount(Path(folder))


def _start(folder: Path, cache: Path) -> tuple[subprocess.Popen[bytes], Engine]:
    host = f"unix://{folder}/docker.sock"
    log = cache / "dockerd.log"
    cache.mkdir(parents=True, exist_ok=True)
    for driver in ("overlay2", "vfs"):
        command = [
            "dockerd",
            "--host",
            host,
            "--exec-root",
            f"{folder}/exec",
            "--pidfile",
            f"{folder}/docker.pid",
        ]
        # Nothing uses the default bridge: images are built on the host's network, services have networks of their own.
        command += [
            "--data-root",
            str(cache / f"engine-{driver}"),
            "--storage-driver",
            driver,
            "--bridge",
            "none",
        ]
        with log.open("wb") as output:
            # In a session of its own: Ctrl-C shall reach the test, which then takes the stack down with this engine.
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        engine = Engine(ours=True, environment={**os.environ, "DOCKER_HOST": host})
        if _up(process, engine):
            return process, engine
        _stop(process)
    raise EngineError(f"dockerd does not start: {log.read_text('utf-8', 'replace')[-2000:]}")


def _up(process: subprocess.Popen[bytes], engine: Engine) -> bool:
    give_up = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < give_up:
        if engine.works("info"):
            return True
        time.sleep(0.5)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _unmount(folder: Path) -> None:
    """dockerd leaves its network namespaces mounted, which would keep `folder` from being removed."""
    for namespace in (folder / "exec" / "netns").glob("*"):
        subprocess.run(["umount", str(namespace)], capture_output=True, check=False)
