"""Redis behind Sentinel: the master dies, another takes over, and the bridge goes on by itself."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journey.redis_world import RedisServer, bridge_on, readiness


class Group:
    """A master, a replica and three sentinels, with passwords."""

    def __init__(self, place: Path) -> None:
        guarded = ("requirepass p@ss", "masterauth p@ss")
        self.master = RedisServer(place / "one", *guarded)
        self.replica = RedisServer(place / "two", *guarded, f"replicaof 127.0.0.1 {self.master.port}")
        watch = (
            "requirepass s/ss",
            f"sentinel monitor main 127.0.0.1 {self.master.port} 2",
            "sentinel auth-pass main p@ss",
            "sentinel sentinel-pass s/ss",
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 2000",
        )
        self.sentinels = [RedisServer(place / f"sentinel{n}", *watch, sentinel=True) for n in range(3)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"sentinel://:p%40ss@{hosts}/main?sentinel_password=s%2Fss"

    def start(self) -> None:
        for server in (self.master, self.replica, *self.sentinels):
            server.start()
        end = time.monotonic() + 20
        while not all(self._settled(sentinel) for sentinel in self.sentinels):
            assert time.monotonic() < end, "the sentinels do not find each other"
            time.sleep(0.1)

    def _settled(self, sentinel: RedisServer) -> bool:
        seen = sentinel.ask("AUTH s/ss\r\nINFO sentinel")
        return "slaves=1,sentinels=3" in seen

    def kill(self) -> None:
        for server in (*self.sentinels, self.replica, self.master):
            server.kill()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """Return a group that is up."""
    built = Group(tmp_path / "group")
    built.start()
    yield built
    built.kill()


async def test_the_bridge_goes_on_after_a_failover(group: Group, tmp_path: Path) -> None:
    """The master and the sentinel that was asked are killed: work in hand ends, new work is taken, nothing twice."""
    async with bridge_on(group.url, tmp_path) as world:
        await readiness(world, 200)
        before = await world.run()
        assert (await world.ended(before))["status"] == "completed"
        across = await world.run()
        await asyncio.sleep(0.1)
        group.master.kill()
        group.sentinels[0].kill()
        await readiness(world, 503)
        began = time.monotonic()
        await readiness(world, 200, seconds=20)
        after = await world.run()
        for execution_id in (across, after):
            assert (await world.ended(execution_id, seconds=20))["status"] == "completed"
        assert len(world.genesis.triggers) == 3
        assert time.monotonic() - began < 25
