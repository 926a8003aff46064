"""Ending asyncio tasks for certain."""

import asyncio
from typing import Any


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended.

    Once is not always enough: a cancellation that arrives while redis-py waits for a connection, or just as an
    `asyncio.wait_for` completes (CPython before 3.12), can get lost.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not log it as forgotten
