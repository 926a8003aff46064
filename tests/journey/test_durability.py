"""`durability: strict` with a replica: what is promised is on it, or it is not promised."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from bridge.errors import StoreUnavailable
from bridge.replication import Replication
from bridge.store import Store
from tests.contract.test_store import DELIVERY, RECORD, accepted, claimed
from tests.journey.conftest import World, statuses
from tests.journey.redis_world import RedisServer, bridge_on, readiness


class Pair:
    """A master, and a replica that has not been started."""

    def __init__(self, place: Path) -> None:
        self.master = RedisServer(place / "master")
        self.replica = RedisServer(place / "replica", f"replicaof 127.0.0.1 {self.master.port}")

    def join(self) -> None:
        self.replica.start()
        end = time.monotonic() + 10
        while "master_link_status:up" not in self.replica.ask("INFO") or "online" not in self.master.ask("INFO"):
            assert time.monotonic() < end, "the replica does not follow"
            time.sleep(0.05)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Return a pair of which the master is up."""
    built = Pair(tmp_path)
    built.master.start()
    yield built
    built.replica.kill()
    built.master.kill()


@pytest.fixture
async def strict(pair: Pair) -> AsyncIterator[Store]:
    """Return an open strict store on the master."""
    store = Store(pair.master.url, "strict")
    await store.open()
    yield store
    await store.close()


T = TypeVar("T")


async def patiently(step: Callable[[], Awaitable[T]]) -> T:
    """Do as senders do: again, where a busy machine's replica took longer than 200 ms."""
    for _ in range(20):
        try:
            return await step()
        except StoreUnavailable:
            await asyncio.sleep(0.1)
    return await step()


async def test_without_replicas_there_is_nothing_to_wait_for(strict: Store) -> None:
    """A single server under `strict` takes deliveries."""
    await accepted(strict)
    assert (await claimed(strict)).confirmed


async def test_what_is_accepted_is_on_a_replica(pair: Pair) -> None:
    """And is refused while no replica answers, also when it is sent again; then it is taken."""
    pair.join()
    strict = Store(pair.master.url, "strict")
    await strict.open()
    await patiently(lambda: accepted(strict, "x_1"))
    pair.replica.freeze()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="no replica confirmed the write within 200 ms"):
            await accepted(strict, "x_2")
    pair.replica.thaw()
    repeated = await patiently(lambda: strict.accept("d_of_x_2", DELIVERY, "accepted", b"{}", {"x_2": RECORD}))
    assert repeated.duplicate
    assert [id_ for id_, _, _ in repeated.executions] == ["x_2"]
    await strict.close()


async def test_a_claim_that_no_replica_has_says_so(pair: Pair) -> None:
    """The steps are there; what may not be lost in a failover is not to be done on them."""
    pair.join()
    strict = Store(pair.master.url, "strict")
    await strict.open()
    await patiently(lambda: accepted(strict))
    pair.replica.freeze()
    assert not (await claimed(strict)).confirmed
    await strict.close()


async def test_a_replica_that_joins_later_counts_from_then_on(pair: Pair, strict: Store) -> None:
    """And when it leaves again, one is still wanted: a failover would lose what was taken meanwhile."""
    await accepted(strict, "x_1")
    pair.join()
    await patiently(lambda: accepted(strict, "x_2"))
    pair.replica.kill()
    with pytest.raises(StoreUnavailable, match="no replica"):
        await accepted(strict, "x_3")


async def run(world: World) -> str:
    body = {"type": "run", "url": "https://example.com", "callback_url": f"{world.receiver.url}/asker"}
    answer = await world.relay(body, message_id="msg_first")
    if answer.status_code == 503:
        raise StoreUnavailable("not confirmed")
    return str(answer.json()["executions"][0]["id"])


async def test_a_trigger_waits_for_a_replica(pair: Pair, tmp_path: Path) -> None:
    """Nothing is sent while the intent is on the master only; it is sent, once, when the replica is back."""
    pair.join()
    async with bridge_on(pair.master.url, tmp_path, "durability: strict\n") as world:
        await readiness(world, 200)
        first = await patiently(lambda: run(world))
        assert (await world.ended(first))["status"] == "completed"
        pair.replica.freeze()
        answer = await world.relay({"type": "run", "url": "https://example.com", "callback_url": world.receiver.url})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        [execution_id] = {id_.decode() for id_ in await world.store.redis.zrange("gb:due", 0, -1)}
        found = await world.until(execution_id, lambda found: found["attempts"] > 0 and found["status"] == "queued")
        assert found["reason"] == "not sent: no replica of Redis confirmed the intent"
        assert len(world.genesis.triggers) == 1
        pair.replica.thaw()
        found = await world.ended(execution_id)
        assert (found["status"], statuses(found)[-1]) == ("completed", "completed")
        assert len(world.genesis.triggers) == 2


def test_where_role_is_not_permitted_no_replica_is_known() -> None:
    """An answer that cannot be read is none."""
    replication = Replication(strict=True, expected=False)
    assert replication.confirmed(PermissionError("NOPERM"))
    assert replication.question() == ("ROLE",)
    assert replication.confirmed([b"master", 0, []])
    assert not replication.confirmed([b"master", 0, [[b"h", b"1", b"0"]]])
    assert replication.question() == ("WAIT", 1, 200)
    assert not replication.confirmed(0)
    assert not replication.confirmed(PermissionError("NOPERM"))
    assert replication.confirmed(1)


def test_behind_sentinel_a_replica_is_wanted_from_the_beginning() -> None:
    """There is no failover without one."""
    assert Store("sentinel://h1/main", "strict")._replication.question()[0] == "WAIT"
