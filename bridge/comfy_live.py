"""Comfy Cloud's WebSocket, of which only progress is taken: what became of a job, its poll says.

https://docs.comfy.org/development/cloud/api-reference#websocket-for-real-time-progress
The key stands in the URL, as that page wants it, so nothing here is ever logged with it.
"""

import asyncio
import contextlib
import logging
import ssl
import time
import uuid
from typing import Any
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from bridge.tasks import end

_CONNECT_SECONDS = 10.0
_UNASKED_SECONDS = 60.0
_PAUSES_SECONDS = (1.0, 5.0, 15.0, 60.0)
_MOST_JOBS = 1_000
_MAX_MESSAGE_BYTES = 16_000_000
"""Previews come over the same connection."""

# websockets writes the request's line, key included, into its debug log.
_SILENT = logging.getLogger(f"{__name__}.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL)


class _Connect(connect):
    """As `connect`, but no redirect is followed: nothing goes anywhere but where it was told."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Say that it is an error."""
        return exc


class Seen:
    """How far one job has come, by what was said of its nodes."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.done: set[str] = set()
        self._current: str | None = None

    def hear(self, kind: str, data: dict[str, Any]) -> None:
        """Take one message into account; whatever it holds, it does no harm."""
        node, nodes = data.get("node"), data.get("nodes")
        if kind == "executing":
            if self._current is not None:
                self.done.add(self._current)
            self._current = node if isinstance(node, str) else None
        elif kind == "executed" and isinstance(node, str):
            self.done.add(node)
        elif kind == "execution_cached" and isinstance(nodes, list):
            self.done.update(node for node in nodes if isinstance(node, str))
        elif kind == "progress_state" and isinstance(nodes, dict):
            self.done.update(
                node for node, said in nodes.items() if isinstance(said, dict) and said.get("state") == "finished"
            )


class Live:
    """One connection for all jobs of a key, open as long as somebody asks; closed with the client it belongs to."""

    def __init__(self, base_url: str, key: str, tls: ssl.SSLContext, unasked_seconds: float = _UNASKED_SECONDS) -> None:
        """Connect to nothing yet; so long after the last look at a job the connection is given up."""
        self._url = f"ws{base_url.removeprefix('http')}/ws"
        self._key = key
        self._unasked_seconds = unasked_seconds
        self._tls = tls if self._url.startswith("wss:") else None
        self._jobs: dict[str, Seen] = {}
        self._asked = 0.0
        self._listening: asyncio.Task[None] | None = None

    def done(self, job: str) -> int | None:
        """Return how many nodes of a job are done, as far as it was heard; None: nothing was."""
        self._asked = time.monotonic()
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen())
        seen = self._jobs.get(job)
        return None if seen is None else len(seen.done)

    async def aclose(self) -> None:
        """Hang up."""
        if self._listening is not None:
            await end(self._listening)

    def _wanted(self) -> bool:
        return time.monotonic() - self._asked < self._unasked_seconds

    async def _listen(self) -> None:
        failures = 0
        while self._wanted():
            with contextlib.suppress(OSError, TimeoutError, WebSocketException):
                query = urlencode({"clientId": uuid.uuid4().hex, "token": self._key})
                async with _Connect(
                    f"{self._url}?{query}",
                    ssl=self._tls,
                    proxy=None,
                    compression=None,
                    max_size=_MAX_MESSAGE_BYTES,
                    open_timeout=_CONNECT_SECONDS,
                    close_timeout=1,
                    logger=_SILENT,
                ) as connection:
                    failures = 0
                    await self._hear_all(connection)
            # Progress is nice to have: it is never a reason to fail, nor to knock without end.
            await asyncio.sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
            failures += 1

    async def _hear_all(self, connection: ClientConnection) -> None:
        while self._wanted():
            try:
                async with asyncio.timeout(self._unasked_seconds):
                    message = await connection.recv()
            except TimeoutError:
                continue
            if isinstance(message, str):  # previews are bytes
                self._hear(message)

    def _hear(self, message: str) -> None:
        try:
            found = msgspec.json.decode(message)
        except (ValueError, RecursionError):
            return
        data = found.get("data") if isinstance(found, dict) else None
        kind, job = (found.get("type"), data.get("prompt_id")) if isinstance(data, dict) else (None, None)
        if isinstance(kind, str) and isinstance(job, str) and isinstance(data, dict):
            if job not in self._jobs and len(self._jobs) >= _MOST_JOBS:
                del self._jobs[next(iter(self._jobs))]  # the one heard of first
            self._jobs.setdefault(job, Seen()).hear(kind, data)
