"""Budgets and `at_a_time` together: first its turn, then room; what cannot start takes neither and blocks nobody."""

from bridge.model import Status
from bridge.pauses import pause, resume
from bridge.store import Store
from tests.contract.test_at_a_time import of, stands
from tests.contract.test_budgets import Worker, engine, let, running, waiting
from tests.contract.test_store import accepted, told


async def found(store: Store, pattern: str) -> list[str]:
    """Return the members of the one zset of this name, or nothing."""
    keys = await store.redis.keys(pattern)
    return [member.decode() for key in keys for member in await store.redis.zrange(key, 0, -1)]


async def test_who_waits_for_its_turn_takes_neither_slot_nor_token(store: Store) -> None:
    """It stands in no line of the budget; when its turn comes it finds the room that is left."""
    worker = Worker(store, genesis=engine(at_once=2, triggers_per_minute=30))  # three at once
    await accepted(store, "x_1", of("queue"))
    await accepted(store, "x_2", of("queue"))
    await accepted(store, "x_3")
    claims = await worker.claims()
    assert [claim.execution.id for claim in claims] == ["x_1", "x_3"]
    assert await stands(store, "x_2") == (Status.QUEUED, "waits for x_1 of the same key")
    assert sorted(await found(store, "gb:slots:*")) == ["x_1", "x_3"]
    assert await found(store, "gb:line:*") == []
    await store.commit(claims[0], told(claims[0], Status.COMPLETED))
    assert await worker.ids() == ["x_2"]


async def test_one_whose_turn_it_is_waits_for_room_and_those_behind_it_for_it(store: Store) -> None:
    """Each says what for."""
    worker = Worker(store, genesis=engine(at_once=1))
    await accepted(store, "x_0")
    [claim] = await worker.claims()
    await accepted(store, "x_1", of("queue"))
    await accepted(store, "x_2", of("queue"))
    assert await worker.ids() == []
    assert (await stands(store, "x_1"))[1] == "waits for a run to end: genesis takes 1 at once"
    assert (await stands(store, "x_2"))[1] == "waits for x_1 of the same key"
    await store.commit(claim, told(claim, Status.COMPLETED))
    await let(store, "x_1", "x_2")
    assert await worker.ids() == ["x_1"]
    assert (await stands(store, "x_2"))[1] == "waits for x_1 of the same key"


async def test_one_that_is_looked_at_before_its_time_keeps_it(store: Store) -> None:
    """Whoever ends before it wakes it; that neither makes it later nor takes a second token."""
    worker = Worker(store, genesis=engine(triggers_per_minute=1))
    await accepted(store, "x_1")
    await accepted(store, "x_2")
    assert await worker.ids() == ["x_1"]
    [tokens] = await store.redis.keys("gb:tokens:*")
    before = await store.redis.get(tokens), await store.redis.hget("gb:x:x_2", "booked")  # type: ignore[misc]
    reason = await stands(store, "x_2")
    for _ in range(3):
        await store.redis.zadd("gb:due", {"x_2": 0})
        assert await worker.ids() == []
        after = await store.redis.get(tokens), await store.redis.hget("gb:x:x_2", "booked")  # type: ignore[misc]
        assert after == before
        assert await stands(store, "x_2") == reason
    assert 55_000 < (await waiting(store))["x_2"] <= 61_000


async def test_what_is_superseded_leaves_the_line(store: Store) -> None:
    """Before its end is written down: the newer one need not wait for the worker that does so."""
    worker = Worker(store, genesis=engine(at_once=1))
    await accepted(store, "x_0")
    [claim] = await worker.claims()
    await running(store, claim)
    await store.redis.zadd("gb:due", {"x_0": 9e15})
    await accepted(store, "x_1", of("latest"))
    assert await worker.ids() == []
    assert await found(store, "gb:line:*") == ["x_1"]
    await accepted(store, "x_2", of("latest"))
    [skipped] = await worker.claims()
    assert (skipped.kind, skipped.execution.id) == ("skipped", "x_1")
    await let(store, "x_0")
    [poll] = await worker.claims()
    await store.commit(poll, told(poll, Status.COMPLETED))
    await let(store, "x_2")
    assert await worker.ids() == ["x_2"]


async def test_a_time_that_was_told_before_a_pause_does_not_hold_after_it(store: Store) -> None:
    """Else all that waited would go at once on its end, beyond the budget."""
    worker = Worker(store, genesis=engine(triggers_per_minute=1))
    ids = [f"x_{n}" for n in range(4)]
    for id_ in ids:
        await accepted(store, id_)
    assert await worker.ids() == ["x_0"]
    await pause(store, "engine", "genesis", "test", "")
    await let(store, *ids[1:])
    assert await worker.ids() == []
    assert (await stands(store, "x_1"))[1] == "held: the engine genesis is paused"
    await resume(store, "engine", "genesis", "test")
    for id_ in ids[1:]:
        await store.redis.zadd("gb:due", {id_: 0})
    assert await worker.ids() == []
    assert (await stands(store, "x_1"))[1] == "waits for its turn: the budget of genesis (triggers)"
