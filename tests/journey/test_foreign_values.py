"""Somebody else writes into our Redis: that one thing is set aside, and work goes on by itself."""

import asyncio
import time
from pathlib import Path

from bridge.upkeep import KINDS
from tests.journey.conftest import READ_TOKEN, World
from tests.journey.redis_world import RedisServer, bridge_on, readiness

BACK_SECONDS = 7
"""A sweep comes every five."""


async def taken(world: World) -> str:
    """Deliver until it is accepted; returns the execution's id."""
    end = time.monotonic() + BACK_SECONDS
    body = {"type": "run", "url": "https://example.com", "callback_url": f"{world.receiver.url}/asker"}
    while (answer := await world.relay(body, message_id="msg_patient")).status_code == 503:
        assert time.monotonic() < end, "still refused"
        await asyncio.sleep(0.2)
    assert answer.status_code in (200, 202), answer.text
    return str(answer.json()["executions"][0]["id"])


async def test_foreign_values_under_every_name_cost_themselves_only(tmp_path: Path) -> None:
    """Every shared key, and every record of one execution, at once: the rest ends, once, and all of it is listed."""
    server = RedisServer(tmp_path / "server")
    server.start()
    async with bridge_on(server.url, tmp_path) as world:
        await readiness(world, 200)
        lost, kept = await world.run(), await world.run()
        await world.until(kept, lambda found: found["status"] in ("pending", "running"))
        redis = world.store.redis
        for key in [*KINDS, f"gb:x:{lost}"]:
            await redis.delete(key)
            await redis.sadd(key, "whose is this?")
        later = await taken(world)
        for execution_id in (kept, later):
            found = await world.ended(execution_id, seconds=30)
            assert (found["status"], found["notifications"][0]["state"]) == ("completed", "delivered")
        assert len(world.genesis.triggers) == 3
        await redis.zadd("gb:due", {lost: 0})
        end = time.monotonic() + BACK_SECONDS
        headers = {"authorization": f"Bearer {READ_TOKEN}"}
        while not (letters := (await world.client.get("/api/dead-letters", headers=headers)).json()["items"]):
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        assert [(letter["id"], letter["reason"]) for letter in letters] == [(lost, "the record cannot be read")]
    server.kill()
