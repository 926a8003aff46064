"""What stands in front of several web processes: asks each for its readiness, and passes connections to the ready."""

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from typing import Self

import httpx

ASKS_EVERY_SECONDS = 0.25
"""Well within the two seconds that a process goes on taking deliveries after its readiness went off."""


class Balancer:
    """Passes each connection to the next ready process; it neither repeats requests nor reads them."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._ready = {url: asyncio.Event() for url in urls}
        self._turns = itertools.count()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._asking: list[asyncio.Task[None]] = []
        self._client = httpx.AsyncClient(timeout=2)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        self._asking = [asyncio.create_task(self._ask(url)) for url in self._urls]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in (*self._asking, *self._links):
            task.cancel()
        await asyncio.gather(*self._asking, *self._links, return_exceptions=True)
        await self._client.aclose()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def sees(self, url: str) -> None:
        """Wait until connections are passed to `url`."""
        await self._ready[url].wait()

    async def _ask(self, url: str) -> None:
        while True:
            try:
                ready = (await self._client.get(f"{url}/readyz")).status_code == 200
            except httpx.TransportError:
                ready = False
            (self._ready[url].set if ready else self._ready[url].clear)()
            await asyncio.sleep(ASKS_EVERY_SECONDS)

    async def _link(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            ready = [url for url, known in self._ready.items() if known.is_set()]
            if ready:
                url = ready[next(self._turns) % len(ready)]
                with contextlib.suppress(OSError):
                    await _join(client, back, int(url.rpartition(":")[2]))
        finally:
            back.close()
            self._links.discard(task)


async def _join(client: asyncio.StreamReader, back: asyncio.StreamWriter, port: int) -> None:
    server, forth = await asyncio.open_connection("127.0.0.1", port)
    ways = [asyncio.create_task(_carry(client, forth)), asyncio.create_task(_carry(server, back))]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    forth.close()
    for way in ways:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(1 << 16):
        target.write(data)
        await target.drain()
