"""Redis goes away and comes back: nothing is half-taken, and work goes on by itself."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.config import load
from bridge.embedded import Embedded
from bridge.emulators.exchange import Answer
from bridge.emulators.faults import Fault
from bridge.emulators.genesis import Genesis
from bridge.emulators.genesis_runs import Template
from bridge.emulators.receiver import Receiver
from bridge.emulators.serving import Server
from bridge.emulators.slack import Slack
from bridge.process import Service
from bridge.settings import Settings
from bridge.store import Store
from tests.journey.conftest import READ_TOKEN, SECRETS, WHSEC, World, config_text

BODY = {"type": "run", "url": "https://example.com"}


class OwnServer:
    """A server of this test's own, which it may kill."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.server = Embedded(data)

    def kill(self) -> None:
        assert self.server._process is not None
        os.kill(self.server._process.pid, signal.SIGKILL)
        self.server._process.wait()

    def start(self) -> None:
        self.server.start()


@pytest.fixture
def own(tmp_path: Path) -> OwnServer:
    """Return a server that is not running yet."""
    return OwnServer(tmp_path / "data")


@pytest.fixture
async def place(own: OwnServer, tmp_path: Path) -> AsyncIterator[World]:
    """Run a bridge whose Redis is not there yet."""
    running_for = Template(timeline=(("running", 0.5), ("completed", None)))
    genesis = Genesis(keys={"genesis-key": None}, any_template=True, default=running_for)
    slack, callbacks = Slack(), Receiver([WHSEC], strict=True)
    async with Server(genesis), Server(slack), Server(callbacks):
        path = tmp_path / "bridge.yaml"
        path.write_text(config_text(genesis.url, slack.url, callbacks.url))
        settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_READ_TOKENS": READ_TOKEN})
        store = Store(own.server.url)
        service = Service(settings, load(path, SECRETS), own.server.url, web=True, work=True)
        running = asyncio.create_task(service.run())
        built = World(genesis, slack, callbacks, service, store)
        yield built
        await built.client.aclose()
        service.stop()
        await running
        await store.close()
        own.server.stop()


async def ready(world: World, seconds: float = 5) -> None:
    for _ in range(int(seconds / 0.05)):
        if (await world.client.get("/readyz")).status_code == 200:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"not ready within {seconds} s of Redis' return")


async def test_without_redis_nothing_is_taken_and_everyone_is_told(place: World, own: OwnServer) -> None:
    """503 with Retry-After for machines, a sentence for Slack, readiness off, liveness on; then it works."""
    answer = await place.relay(BODY)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["content-type"] == "application/problem+json"
    answer = await place.slash("e2e https://example.com")
    assert answer.status_code == 200
    assert "try again" in answer.json()["text"]
    assert (await place.client.get("/readyz")).status_code == 503
    assert (await place.client.get("/livez")).status_code == 200
    answer = await place.client.get("/api/executions/x", headers={"authorization": f"Bearer {READ_TOKEN}"})
    assert answer.status_code == 503
    own.start()
    await ready(place)
    execution_id = await place.run(callback_url=f"{place.receiver.url}/asker")
    assert (await place.ended(execution_id))["status"] == "completed"


async def test_work_in_hand_survives_a_kill_of_redis(place: World, own: OwnServer) -> None:
    """What was running before the kill is followed to its end after it, and triggered once."""
    own.start()
    await ready(place)
    execution_id = await place.run()
    await place.until(execution_id, lambda found: found["status"] in ("pending", "running"))
    own.kill()
    await asyncio.sleep(1)
    own.start()
    await ready(place)
    assert (await place.ended(execution_id))["status"] == "completed"
    assert len(place.genesis.triggers) == 1
    assert len(place.receiver.received("/asker")) == 1


async def test_an_answer_that_comes_while_redis_is_away_is_not_lost(place: World, own: OwnServer) -> None:
    """The engine's answer to a trigger is held in memory until it can be written down."""
    own.start()
    await ready(place)
    place.genesis.trigger_faults.append(Fault("delay", seconds=0.6))
    execution_id = await place.run()
    await place.until(execution_id, lambda found: found["status"] == "starting")
    await asyncio.sleep(0.1)
    own.kill()
    await asyncio.sleep(1.5)
    own.start()
    await ready(place)
    execution = await place.ended(execution_id)
    assert execution["status"] == "completed"
    assert len(place.genesis.triggers) == 1


async def test_a_lost_ring_is_made_up_for_by_the_sweep(place: World, own: OwnServer) -> None:
    """A notification whose job vanished from arq's queue is delivered all the same."""
    own.start()
    await ready(place)
    busy = Answer(status=503, headers={"retry-after": "3"})
    place.receiver.answers.add(busy, on="/asker", times=1)
    execution_id = await place.run()
    await place.until(execution_id, lambda found: any(n.get("attempts") == 1 for n in found["notifications"]))
    await asyncio.sleep(0.2)
    for key in await place.store.redis.keys("arq:*"):
        await place.store.redis.delete(key)
    await place.store.redis.delete("gb:arq")
    execution = await place.ended(execution_id, seconds=25)
    assert execution["notifications"][0]["state"] == "delivered"
