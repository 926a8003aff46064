"""Redis in every kind of trouble: deliveries get a 503 or are taken, readiness tells, and work goes on by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.emulators.faults import Fault
from tests.journey.conftest import World
from tests.journey.fault_proxy import FaultProxy
from tests.journey.redis_world import RedisServer, bridge_on, readiness

BACK_AT_WORK_SECONDS = 5
HOLE_SECONDS = 6
"""Longer than every timeout of a connection; nothing in the bridge counts beyond those."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Return a server of this test's own, which is up."""
    built = RedisServer(tmp_path / "server")
    built.start()
    yield built
    built.kill()


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[FaultProxy]:
    """Return a proxy before that server."""
    async with FaultProxy(server.port) as built:
        yield built


@pytest.fixture
async def place(proxy: FaultProxy, tmp_path: Path) -> AsyncIterator[World]:
    """Return a bridge that reaches Redis through the proxy, and is ready."""
    async with bridge_on(proxy.url, tmp_path) as world:
        await readiness(world, 200)
        yield world


def body(world: World) -> dict[str, Any]:
    return {"type": "run", "url": "https://example.com", "callback_url": f"{world.receiver.url}/asker"}


async def refused(world: World) -> None:
    """Deliver something that must be refused, in time and with the words for it."""
    began = time.monotonic()
    answer = await world.relay(body(world), message_id="msg_refused")
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "5"
    assert time.monotonic() - began < 3
    answer = await world.slash("e2e https://example.com")
    assert (answer.status_code, "try again" in answer.json()["text"]) == (200, True)
    assert (await world.client.get("/livez")).status_code == 200


async def back_at_work(world: World, since: float, *before: str) -> None:
    """Ready within 5 s, what was begun before ends, something new as well, and nothing ran twice."""
    await readiness(world, 200, seconds=BACK_AT_WORK_SECONDS - (time.monotonic() - since))
    execution_id = await world.run()
    found = await world.until(execution_id, lambda found: found["status"] not in ("queued", "starting"))
    assert time.monotonic() - since < BACK_AT_WORK_SECONDS
    for id_ in (execution_id, *before):
        found = await world.ended(id_, seconds=25)
        assert found["status"] == "completed", found
        assert [told["state"] for told in found["notifications"]] == ["delivered"]


def triggered(world: World) -> int:
    return len(world.genesis.triggers)


async def test_a_black_hole(place: World, proxy: FaultProxy) -> None:
    """Nobody waits for ever; the answer to a trigger that came meanwhile is not lost."""
    place.genesis.trigger_faults.append(Fault("delay", seconds=0.5))
    across = await place.run()
    await place.until(across, lambda found: found["status"] == "starting")
    proxy.swallow()
    until = time.monotonic() + HOLE_SECONDS
    await refused(place)
    assert "Redis cannot be written" in await readiness(place, 503)
    await asyncio.sleep(until - time.monotonic())
    proxy.pass_on()
    await back_at_work(place, time.monotonic(), across)
    assert triggered(place) <= 4  # the two, and what the black hole swallowed and then let through


async def test_latency_is_only_slow(place: World, proxy: FaultProxy) -> None:
    """With 100 ms each way everything is taken and ends."""
    proxy.latency_seconds = 0.1
    execution_id = await place.run()
    found = await place.ended(execution_id, seconds=25)
    assert found["status"] == "completed"
    await readiness(place, 200)
    proxy.pass_on()
    await back_at_work(place, time.monotonic())
    assert triggered(place) == 2


async def test_connections_are_cut(place: World, proxy: FaultProxy) -> None:
    """Again and again under load: every delivery that got a 202 is run once."""
    ids = []
    for _ in range(8):
        answer = await place.relay(body(place))
        if answer.status_code == 202:
            ids.append(answer.json()["executions"][0]["id"])
        proxy.cut()
    await back_at_work(place, time.monotonic(), *ids)
    assert len(ids) >= 4
    assert triggered(place) == len(ids) + 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_the_connection_of_an_accept_is_cut(place: World, proxy: FaultProxy, *, after: bool) -> None:
    """Before it reached Redis, or after, with only the answer lost: taken once, and told so."""
    proxy.cut_at, proxy.cut_after = b"msg_cut", after
    answer = await place.relay(body(place), message_id="msg_cut")
    assert proxy.cuts == 1
    assert (answer.status_code, answer.json()["outcome"]) == (202, "accepted")
    await place.ended(answer.json()["executions"][0]["id"])
    assert triggered(place) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_the_connection_of_an_enqueue_is_cut_at_exec(place: World, proxy: FaultProxy, *, after: bool) -> None:
    """Arq takes that for success; the sweep finds the notification, and it is delivered once."""
    proxy.cut_at, proxy.cut_after = b"EXEC", after
    execution_id = await place.run()
    found = await place.ended(execution_id, seconds=25)
    assert proxy.cuts == 1
    assert [told["state"] for told in found["notifications"]] == ["delivered"]
    assert len(place.receiver.received("/asker")) == 1


async def test_the_server_becomes_a_replica(place: World, server: RedisServer) -> None:
    """READONLY: refused with the reason, and nothing is half-taken."""
    before = await place.run()
    server.ask("REPLICAOF 127.0.0.1 1")
    await refused(place)
    assert "this server is a replica" in await readiness(place, 503)
    await asyncio.sleep(2)
    server.ask("REPLICAOF NO ONE")
    since = time.monotonic()
    assert (await place.store.redis.dbsize()) > 0
    await back_at_work(place, since, before)
    assert triggered(place) == 2
    again = await place.relay(body(place), message_id="msg_refused")
    assert again.status_code == 202


async def test_the_memory_is_full(place: World, server: RedisServer) -> None:
    """Refused with the reason, and nothing is half-taken."""
    before = await place.run()
    server.ask("CONFIG SET maxmemory 1")
    await refused(place)
    assert "OutOfMemoryError" in await readiness(place, 503)
    await asyncio.sleep(2)
    server.ask("CONFIG SET maxmemory 0")
    since = time.monotonic()
    await back_at_work(place, since, before)
    assert triggered(place) == 2
    again = await place.relay(body(place), message_id="msg_refused")
    assert again.status_code == 202


async def test_the_server_is_loading(place: World, server: RedisServer) -> None:
    """A restart that takes a while to read its file: refused until it has, then all goes on."""
    before = await place.run()
    await place.ended(before)
    pipeline = place.store.redis.pipeline(transaction=False)
    for n in range(30_000):
        pipeline.set(f"fill:{n}", "x")
    await pipeline.execute()
    server.kill()
    await asyncio.to_thread(server.start, "--key-load-delay", "200")
    assert "loading" in await readiness(place, 503)
    await refused(place)
    server.ask("CONFIG SET key-load-delay 0")
    await asyncio.to_thread(server.wait_until_loaded)
    await back_at_work(place, time.monotonic(), before)
    assert triggered(place) == 2


async def test_a_stop_during_a_black_hole_is_heard(server: RedisServer, proxy: FaultProxy, tmp_path: Path) -> None:
    """SIGTERM ends the process within the timeouts of a connection."""
    async with bridge_on(proxy.url, tmp_path) as world:
        await readiness(world, 200)
        proxy.swallow()
        await asyncio.sleep(1)
        began = time.monotonic()
    assert time.monotonic() - began < 12
