"""How long to wait before the database or the broker is tried again. There is no last attempt."""

import asyncio

RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between attempts; the last one repeats."""


async def wait_after(attempt: int) -> None:
    """Wait after the attempt of this number (from 0) failed."""
    await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
