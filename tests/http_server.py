"""A scripted HTTP/1.1 server on a real socket, for what no well-behaved server does."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import msgspec


class Received(msgspec.Struct):
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


Script = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """What was received, and where."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self.connections = 0
        self.requests: list[Received] = []
        self.news = asyncio.Event()

    async def received(self, count: int) -> None:
        """Wait until so many requests have come."""
        while len(self.requests) < count:
            self.news.clear()
            await self.news.wait()

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Return a URL that leads here."""
        return f"{scheme}://{host}:{self.port}{path}"


def answer(status: int = 200, body: bytes | str = b"", headers: dict[str, str] | None = None) -> bytes:
    """Return a whole answer with a Content-Length."""
    raw = body.encode() if isinstance(body, str) else body
    fields = {"content-length": str(len(raw)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + raw


def always(*parts: bytes, close: bool = False) -> Script:
    """Answer every request with these bytes."""

    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        if close:
            await writer.drain()
            writer.close()

    return script


def in_turn(answers: Iterator[bytes]) -> Script:
    """Answer each request with the next of these."""

    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))

    return script


@asynccontextmanager
async def serve(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run a server until the end of the block."""
    server = Server(script)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await _converse(server, reader, writer, server.connections)
        finally:
            writer.transport.abort()
            tasks.discard(task)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, backlog=1024)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def _converse(
    server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
) -> None:
    while not writer.is_closing():
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        received = Received(method, target, headers, body, connection)
        server.requests.append(received)
        server.news.set()
        await server.script(received, writer)
        await writer.drain()
