"""A TCP proxy that misbehaves on command: black hole, latency, cut connections, cut before or after a command."""

import asyncio
import contextlib
from typing import Literal, Self

Direction = Literal["up", "down"]


class FaultProxy:
    """Passes bytes between its clients and a server on this machine, until it is told otherwise."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._pass = asyncio.Event()
        self._pass.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.latency_seconds = 0.0
        self.cut_at: bytes | None = None
        """Cut the connection that carries these bytes to the server; once."""
        self.cut_after = False
        """Whether the server still gets them, so that only its answer is lost."""
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.pass_on()
        self.cut()
        if self._links:
            await asyncio.wait(self._links)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def swallow(self) -> None:
        """Be a black hole: take connections and bytes, pass nothing on, close nothing."""
        self._pass.clear()

    def pass_on(self) -> None:
        """Pass everything, without delay; what was swallowed meanwhile goes first."""
        self._pass.set()
        self.latency_seconds = 0.0

    def cut(self) -> None:
        """Close every connection; new ones are taken."""
        for writer in self._writers:
            writer.close()

    async def _link(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        self._writers.add(back)
        try:
            with contextlib.suppress(OSError):
                await self._join(client, back)
        finally:
            back.close()
            self._writers.discard(back)
            self._links.discard(task)

    async def _join(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        server, forth = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(forth)
        ways = [
            asyncio.create_task(self._carry(client, forth, "up")),
            asyncio.create_task(self._carry(server, back, "down")),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        forth.close()
        back.close()
        self._writers.discard(forth)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, direction: Direction) -> None:
        while data := await source.read(1 << 16):
            if self.latency_seconds:
                await asyncio.sleep(self.latency_seconds)
            await self._pass.wait()
            doomed = direction == "up" and self.cut_at is not None and self.cut_at in data
            if doomed:
                self.cut_at = None
                self.cuts += 1
            if not doomed or self.cut_after:
                target.write(data)
                await target.drain()
            if doomed:
                await asyncio.sleep(0.05)  # time for the server to have done it
                return
