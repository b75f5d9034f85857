"""A real PostgreSQL for the tests: the one that ATTENDANT_TEST_POSTGRES names, or one started from local binaries.

The server refuses to run as root, so it is started as the user `postgres` where the tests run as root.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ENV = "ATTENDANT_TEST_POSTGRES"
REQUIRED = "ATTENDANT_REQUIRE_POSTGRES"


class NoPostgresError(Exception):
    """Neither a URL nor binaries; the text says how to get one."""


class Postgres:
    """A server that tests may stop and start."""

    def __init__(
        self, url: str, folder: Path | None = None, binaries: Path | None = None, port: int = 0
    ) -> None:
        self.url = url
        """postgresql://… of a database in which tests may create others."""
        self._folder, self._binaries, self._port = folder, binaries, port

    @property
    def can_stop(self) -> bool:
        return self._folder is not None

    def start(self) -> None:
        """Up and answering when this returns; nothing happens where it is up already."""
        if self._is_up():
            return
        self._ctl("start", "-w", "-t", "60", "-l", str(self._path / "log"), "-o", self._options())

    def stop(self) -> None:
        """As by a power cut: nobody is told."""
        self._ctl("stop", "-w", "-m", "immediate")

    def _is_up(self) -> bool:
        return (self._path / "data" / "postmaster.pid").exists()

    @property
    def _path(self) -> Path:
        if self._folder is None:
            raise NoPostgresError("a server named by a URL cannot be stopped by the tests")
        return self._folder

    def _options(self) -> str:
        return f"-p {self._port} -k {self._path} -c listen_addresses=127.0.0.1 -c max_connections=60 -c fsync=off"

    def _ctl(self, action: str, *options: str) -> None:
        _run(str(self._binaries or "") + "/pg_ctl", action, "-D", str(self._path / "data"), *options)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """One server; a server of our own is stopped and its folder removed at the end.

    Raises:
        NoPostgresError: there is none to use.
    """
    if url := os.environ.get(ENV):
        yield Postgres(url)
        return
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="attendant-pg-"))
    port = _free_port()
    server = Postgres(f"postgresql://attendant@127.0.0.1:{port}/postgres", folder, binaries, port)
    try:
        if user := _other_user():
            os.chown(folder, user.pw_uid, user.pw_gid)
        _run(
            str(binaries / "initdb"),
            "-D",
            str(folder / "data"),
            "-U",
            "attendant",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    if found:
        return found[-1].parent
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    raise NoPostgresError(
        f"no PostgreSQL: install it (Debian: postgresql) or set {ENV}=postgresql://user@host/name"
    )


def _other_user() -> pwd.struct_passwd | None:
    """Whom to start the server as: root may not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgresError("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")


def _run(*command: str) -> None:
    user = _other_user()
    identity: dict[str, int | list[int]] = {}
    if user:
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": "/"}
    # Output goes to a file: pg_ctl's child would keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd="/",
            check=False,
            **identity,  # type: ignore[call-overload] # user and group only as root
        )
        if done.returncode:
            output.seek(0)
            raise NoPostgresError(
                f"{Path(command[0]).name} failed: {output.read().decode(errors='replace')[-2000:]}"
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Until true; AssertionError when it never is."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("never happened")
        time.sleep(0.05)
