"""Databases for the tests: every outbox test runs on SQLite and on PostgreSQL."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped] # ships no types
import pytest

from tests.databases import REQUIRED, NoPostgresError, Postgres, postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One server a session; without one the tests are skipped, or fail where it is required."""
    try:
        with postgres() as server:
            yield server
    except NoPostgresError as error:
        if os.environ.get(REQUIRED):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'attendant.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres_server")
    name = f"test_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(server.url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    await admin.close()
    yield f"{server.url.rpartition('/')[0]}/{name}"
    admin = await asyncpg.connect(server.url)
    await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await admin.close()
