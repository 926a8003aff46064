"""What grows old is let go, and what is foreign is set aside, without a second start of anything."""

from typing import Any

import pytest

from bridge.errors import StoreUnavailable
from bridge.model import Status
from bridge.store import RECORD_SECONDS, TRIGGER_LEASE_SECONDS, Store
from bridge.upkeep import KINDS, mend, trim
from tests.contract.test_store import accepted, claimed, ended, make_due_now, note, told


async def now_ms(store: Store) -> float:
    seconds, micros = await store.redis.time()
    return float(seconds * 1000 + micros / 1000)


async def test_lists_end_where_records_do(store: Store) -> None:
    """What is older than any record is dropped; the dead letters expire as a whole when nothing more dies."""
    old = await now_ms(store) - RECORD_SECONDS * 1000 - 60_000
    for index in ("gb:dead", "gb:deliveries", "gb:executions"):
        await store.redis.zadd(index, {"old": old, "new": old + 120_000})
    await trim(store)
    for index in ("gb:dead", "gb:deliveries", "gb:executions"):
        assert await store.redis.zrange(index, 0, -1) == [b"new"]
    assert 0 < await store.redis.ttl("gb:dead") <= RECORD_SECONDS


async def test_what_is_ours_stays_as_it_is(store: Store) -> None:
    """Mending changes nothing where nothing is foreign."""
    await accepted(store)
    assert await mend(store) == []
    assert await store.redis.zcard("gb:due") == 1


async def foreign(store: Store, key: str) -> None:
    await store.redis.delete(key)
    await store.redis.sadd(key, "whose is this?")  # type: ignore[misc]  # its stub says sync or async


@pytest.mark.parametrize("key", KINDS)
async def test_a_foreign_shared_key_is_set_aside(store: Store, key: str) -> None:
    """Its value is kept under another name for a while, and the bridge's own takes its place."""
    await accepted(store)
    await foreign(store, key)
    assert await mend(store) == [key]
    [aside] = await store.redis.keys(f"gb:foreign:{key.removeprefix('gb:')}:*")
    assert await store.redis.smembers(aside) == {b"whose is this?"}  # type: ignore[misc]
    assert 0 < await store.redis.ttl(aside) <= RECORD_SECONDS
    await accepted(store, "x_2")
    batch = await store.claim(10)
    assert sorted(claim.execution.id for claim in batch.claims) == ["x_1", "x_2"]


async def test_the_schedule_is_made_anew_from_the_records(store: Store) -> None:
    """Every execution with a next step is due; one in `starting` after its lease, for its holder may yet write."""
    for number in ("queued", "running", "starting", "over"):
        await accepted(store, f"x_{number}")
    for claim in (await store.claim(10)).claims:
        status = {"x_running": Status.RUNNING, "x_over": Status.COMPLETED, "x_queued": Status.QUEUED}
        if claim.execution.id in status:
            remote: dict[str, Any] = {"remote_id": "r"} if claim.execution.id == "x_running" else {}
            assert await store.commit(claim, told(claim, status[claim.execution.id], **remote))
    # The delivery of one that runs may have expired; nothing else remembers what was accepted.
    await store.redis.delete("gb:d:d_of_x_running")
    await store.redis.hset("gb:x:x_damaged", "record", "{")
    await foreign(store, "gb:due")
    await mend(store)
    due = dict(await store.redis.zrange("gb:due", 0, -1, withscores=True))
    now = await now_ms(store)
    assert set(due) == {b"x_queued", b"x_running", b"x_starting"}
    assert due[b"x_queued"] <= now
    assert now + TRIGGER_LEASE_SECONDS * 1000 - 5000 < due[b"x_starting"] <= now + TRIGGER_LEASE_SECONDS * 1000


async def test_what_was_never_promised_is_not_started(store: Store) -> None:
    """An accept that fails on a foreign key was refused: its sender repeats it, and it runs once."""
    await foreign(store, "gb:due")
    with pytest.raises(StoreUnavailable):
        await accepted(store)
    assert await store.redis.exists("gb:x:x_1")
    await mend(store)
    assert (await store.claim(10)).claims == []
    await accepted(store)
    assert (await claimed(store)).execution.id == "x_1"


async def test_the_outbox_is_made_anew_from_the_records(store: Store) -> None:
    """What is still to be told is told."""
    await ended(store, note("msg_1"), note("msg_2"))
    claim = await store.claim_notification("msg_2")
    assert claim is not None
    await store.commit_notification(claim, "delivered")
    await store.redis.hset("gb:n:msg_damaged", "record", "{")
    await foreign(store, "gb:outbox")
    await mend(store)
    assert await store.redis.zrange("gb:outbox", 0, -1) == [b"msg_1"]
    assert await store.claim_notification("msg_1") is not None


async def test_a_claim_goes_on_after_the_schedule_was_made_anew(store: Store) -> None:
    """Whoever had a step in hand can still write it down."""
    await accepted(store)
    claim = await claimed(store)
    await foreign(store, "gb:due")
    with pytest.raises(StoreUnavailable):
        await store.commit(claim, told(claim, Status.PENDING, remote_id="r"))
    await mend(store)
    assert await store.commit(claim, told(claim, Status.PENDING, remote_id="r"))
    await make_due_now(store)
    assert (await claimed(store)).kind == "poll"
