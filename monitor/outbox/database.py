"""Connections, transactions and the schema's version. Knows no table by name.

SQLite: write-ahead log with synchronous=FULL, so that a committed alert survives power loss, and BEGIN IMMEDIATE
for every write. PostgreSQL: a timeout held by the server, so that no statement outlives its caller for long.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from monitor.outbox.schema import VERSION_TABLE
from monitor.outbox.types import OutboxTooNewError, OutboxUnavailableError

T = TypeVar("T")

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_MIGRATION_LOCK: Final = 0x61747465
"""Advisory lock of PostgreSQL: several workers may start at once, one migrates."""
_IMMEDIATE: Final = "attendant_immediate"
_WRITE_AHEAD: Final = "PRAGMA journal_mode=WAL"
_BUSY_PAUSE_S: Final = 0.02


class Database:
    """One database. `write` and `read` are the only ways in."""

    def __init__(
        self, url: str, *, statement_timeout_s: float = 15.0, connect_timeout_s: float = 5.0
    ) -> None:
        """Opens nothing yet.

        Raises:
            OutboxUnavailableError: a URL that names neither SQLite in a file nor PostgreSQL.
        """
        parsed = _parsed(url)
        self.url = _redacted(parsed)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._file = parsed.database or ""
        self._connect_timeout_s = connect_timeout_s
        # Within one process writers queue here instead of polling SQLite's lock.
        self._turn = asyncio.Lock()
        make = _sqlite if self.is_sqlite else _postgres
        self._engine = make(parsed, statement_timeout_s, connect_timeout_s)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: commits at the end, rolls back on any error.

        Raises:
            OutboxUnavailableError: the database is away, full, locked or too slow. Nothing was written, or (a
                connection lost while committing) it is unknown whether; doing it again is safe.
        """
        if not self.is_sqlite:
            async with self._translated(), self._engine.begin() as connection:
                yield connection
            return
        async with self._turn, self._translated(), self._engine.connect() as plain:
            connection = await plain.execution_options(**{_IMMEDIATE: True})
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A consistent view, never waiting for writers."""
        async with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    async def migrate(self, revision: str = "head") -> None:
        """Bring the schema to `revision`, in one transaction.

        Raises:
            OutboxTooNewError: the schema is of a version that this code does not know.
            OutboxUnavailableError: the database is away.
        """
        if self.is_sqlite:
            await asyncio.to_thread(self._prepare_file)
        async with self.write() as connection:
            if not self.is_sqlite:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            await connection.run_sync(self._migrate, revision)

    def _prepare_file(self) -> None:
        """Write-ahead logging from here on. A file that cannot be opened is told here, not by the driver.

        The driver would leave a thread behind at each failure. And while another worker writes to a new file,
        SQLite refuses to change its journal at once, whatever the timeout, so the waiting is done here.
        """
        until = time.monotonic() + self._connect_timeout_s
        while not self._write_ahead(may_wait=time.monotonic() < until):
            time.sleep(_BUSY_PAUSE_S)

    def _write_ahead(self, *, may_wait: bool) -> bool:
        try:
            with closing(sqlite3.connect(self._file, timeout=self._connect_timeout_s)) as connection:
                connection.execute(_WRITE_AHEAD)
        except sqlite3.Error as error:
            if may_wait and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                return False
            folder = Path(self._file).parent
            why = str(error) if folder.is_dir() else f"{error}: there is no folder {folder}"
            raise OutboxUnavailableError(self.url, why) from None
        return True

    def _migrate(self, connection: Connection, revision: str) -> None:
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        scripts = ScriptDirectory.from_config(config)
        known = [script.revision for script in scripts.walk_revisions()]  # newest first
        now = context.get_current_revision()
        if now is not None and now not in known:
            raise OutboxTooNewError(self.url, now)
        older = known[known.index(now) + 1 :] if now is not None else []
        (command.downgrade if revision in {"base", *older} else command.upgrade)(config, revision)

    async def close(self) -> None:
        """Give every connection back."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Every way in which a database fails its caller is one error here."""
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeout, OSError) as error:
            raise OutboxUnavailableError(self.url, _reason(error)) from error
        except DBAPIError as error:
            if not (error.connection_invalidated or _is_timeout(error)):
                raise
            raise OutboxUnavailableError(self.url, _reason(error)) from error


async def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to a schema revision; `base` empties it.

    Raises:
        OutboxTooNewError, OutboxUnavailableError: as `Database.migrate`.
    """
    database = Database(url)
    try:
        await database.migrate(revision)
    finally:
        await database.close()


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Run a transaction to its end even when the caller is cancelled; the cancellation then goes on.

    Cancelling a driver in the middle of a commit leaves connections half dead (SQLAlchemy #6592, #12728).
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError as cancelled:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue  # asked again; the first one is passed on below
        if not task.cancelled() and (error := task.exception()):
            raise cancelled from error
        raise


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise OutboxUnavailableError("(unreadable)", "not a database URL") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        parsed = parsed.set(drivername="sqlite+aiosqlite")
        if parsed.database in {None, "", ":memory:"}:
            raise OutboxUnavailableError(str(parsed), "alerts in memory would be lost; name a file")
        return parsed
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+asyncpg")
    raise OutboxUnavailableError(_redacted(parsed), f"{backend} is not supported; use sqlite or postgresql")


def _sqlite(url: URL, statement_timeout_s: float, connect_timeout_s: float) -> AsyncEngine:
    engine = create_async_engine(
        url, connect_args={"timeout": connect_timeout_s}, pool_timeout=statement_timeout_s
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver would begin transactions by itself, late and deferred: two writers then fail, not wait.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (_WRITE_AHEAD, "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON"):
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get(_IMMEDIATE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _postgres(url: URL, statement_timeout_s: float, connect_timeout_s: float) -> AsyncEngine:
    ms = str(int(statement_timeout_s * 1000))
    try:
        return create_async_engine(
            url,
            pool_pre_ping=True,
            pool_timeout=statement_timeout_s,
            connect_args={
                "timeout": connect_timeout_s,
                # The client's own limit comes after the server's: it only serves a server that went away.
                "command_timeout": statement_timeout_s + 5,
                "server_settings": {
                    "application_name": "attendant",
                    "statement_timeout": ms,
                    "idle_in_transaction_session_timeout": ms,
                },
            },
        )
    except ModuleNotFoundError:
        why = "PostgreSQL needs the extra: pip install 'attendant[postgres]'"
        raise OutboxUnavailableError(_redacted(url), why) from None


def _redacted(url: URL) -> str:
    return url.set(username=None, password=None, query={}).render_as_string(hide_password=True)


def _is_timeout(error: DBAPIError) -> bool:
    """PostgreSQL 57014: the statement was cancelled by its timeout; 57P0x: the server shuts down; 53: full."""
    code = str(getattr(error.orig, "sqlstate", None) or "")
    return code == "57014" or code.startswith(("57P", "53", "08", "25P03", "55P03"))


def _reason(error: BaseException) -> str:
    origin = getattr(error, "orig", None) or error
    line = (str(origin) or type(origin).__name__).splitlines()[0]
    return line.split(">: ", 1)[-1]
