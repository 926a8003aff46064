"""Measure what slow and large clients cost the others: `python -m tests.bench.clients [--short]`.

One `genesis-bridge serve` is visited by 500 clients that send half a head and 200 that send half a body, then by one
that sends 200 MB where 1 MB is taken, then by one with a rightly signed body of 25 MB; `/livez` is asked all the while.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx

from bridge.embedded import Embedded
from bridge.emulators.receiver import relay
from tests.bench.__main__ import WHSEC, Figure, main, resident_mb, started, stopped

HALF_HEAD = b"POST /hooks/relay HTTP/1.1\r\nhost: x\r\nx-a: "
HALF_BODY = b"POST /hooks/relay HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf"
CHUNK = b"x" * 1_000_000


class Held(NamedTuple):
    """How long half-sent requests kept their connections, in seconds, sorted."""

    heads: list[float]
    bodies: list[float]
    statuses: set[int]


async def hold(host: str, port: int, heads: int, bodies: int) -> Held:
    """Send halves, drip a byte a second, and wait until every connection is cut."""
    statuses: set[int] = set()

    async def one(half: bytes) -> float:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(half)
        listening = asyncio.create_task(reader.read())
        while not listening.done():
            with contextlib.suppress(ConnectionError):
                writer.write(b"x")
            await asyncio.wait([listening], timeout=1)
        with contextlib.suppress(ConnectionError):
            if answer := listening.result():
                statuses.add(int(answer.split(b" ")[1]))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return time.monotonic() - began

    halves = [HALF_HEAD] * heads + [HALF_BODY] * bodies
    took = await asyncio.gather(*map(one, halves))
    return Held(sorted(took[:heads]), sorted(took[heads:]), statuses)


@contextlib.asynccontextmanager
async def asked_all_the_while(url: str) -> AsyncIterator[list[float]]:
    """Ask /livez a hundred times a second; yields the list of how long each answer took, in seconds."""
    took: list[float] = []
    stop = asyncio.Event()

    async def ask() -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            await client.get(f"{url}/livez")  # the first one connects, and pays for what is loaded late
            while not stop.is_set():
                began = time.perf_counter()
                assert (await client.get(f"{url}/livez")).status_code == 200
                took.append(time.perf_counter() - began)
                await asyncio.sleep(0.01)

    asking = asyncio.create_task(ask())
    yield took
    stop.set()
    await asking


def p99(took: list[float]) -> float:
    """Return the 99th percentile, in milliseconds."""
    return sorted(took)[int(len(took) * 0.99)] * 1000


async def endless(url: str, megabytes: int) -> int:
    """Send far more than is taken, in chunks; return the status."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(megabytes):
            yield CHUNK

    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.post(f"{url}/hooks/relay", content=chunks())).status_code


async def measure(*, short: bool) -> list[Figure]:
    """Take every figure; `short` shows only that they can be taken."""
    heads, bodies, megabytes = (50, 20, 20) if short else (500, 200, 200)
    with tempfile.TemporaryDirectory() as name:
        server = Embedded(Path(name) / "data")
        server.start()
        try:
            process, url = await started("serve", Path(name), server.url, "http://127.0.0.1:1")
            async with asked_all_the_while(url) as alone:
                await asyncio.sleep(1 if short else 3)
            async with asked_all_the_while(url) as beside:
                held = await hold("127.0.0.1", int(url.rpartition(":")[2]), heads, bodies)
            before = resident_mb(process.pid)
            async with asked_all_the_while(url) as flooded:
                status = await endless(url, megabytes)
            after = resident_mb(process.pid)
            async with asked_all_the_while(url) as large, httpx.AsyncClient(timeout=30) as client:
                began = time.monotonic()
                body = b'{"type": "large", "list": [' + b"{}," * 300_000 + b"0]}"
                headers = relay(body, secret=WHSEC, message_id="msg_large")
                answer = await client.post(f"{url}/hooks/relay", content=body, headers=headers)
                seconds = time.monotonic() - began
            await stopped(process)
        finally:
            server.stop()
    assert held.statuses <= {408}, held.statuses
    return [
        Figure(f"{heads} half heads, the last cut after", f"{held.heads[-1]:.1f} s", "its deadline: 5 s"),
        Figure(f"{bodies} half bodies, the last cut after", f"{held.bodies[-1]:.1f} s", "its deadline: 9.2 s"),
        Figure("/livez p99 meanwhile", f"{p99(beside):.1f} ms", f"{p99(alone):.1f} ms without them"),
        Figure(f"{megabytes} MB in chunks: {status}, memory grown by", f"{after - before:.1f} MB", f"{before:.0f} MB"),
        Figure("/livez p99 meanwhile", f"{p99(flooded):.1f} ms", f"{p99(alone):.1f} ms without it"),
        Figure(
            f"a signed body of {len(body) / 1e6:.1f} MB and 300,000 objects: {answer.status_code}, /livez at worst",
            f"{max(large) * 1000:.0f} ms",
            f"{seconds * 1000:.0f} ms for the body itself",
        ),
    ]


if __name__ == "__main__":
    main(measure)
