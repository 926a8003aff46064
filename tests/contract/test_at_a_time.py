"""Executions of one key: who starts, who waits, who is skipped; and that nothing that becomes of one is in the way."""

import asyncio
import random
from typing import Any

import pytest
from msgspec import structs

from bridge.errors import StoreUnavailable
from bridge.model import Status
from bridge.operations import resolve
from bridge.pauses import pause, resume
from bridge.records import Claim, Record, Turn
from bridge.store import RECORD_SECONDS, Store
from tests.contract.test_store import DELIVERY, RECORD, accepted, claimed, make_due_now, told

KEEPS = ("first", "latest", "queue")
OUT = (Status.STARTING, Status.PENDING, Status.RUNNING, Status.REVIEW_PENDING)


def of(keep: str, group: str = "g_1", debounce: float = 0) -> Record:
    return structs.replace(RECORD, at_a_time=Turn(group, keep, debounce))


async def stands(store: Store, execution_id: str) -> tuple[Status, str | None]:
    execution = await store.execution(execution_id)
    assert execution is not None
    return execution.status, execution.reason


async def seen(store: Store) -> list[tuple[str, str]]:
    return [(claim.kind, claim.execution.id) for claim in (await store.claim(100)).claims]


async def started(store: Store, keep: str) -> Claim:
    """Let x_1 be out."""
    await accepted(store, "x_1", of(keep))
    claim = await claimed(store)
    await store.commit(claim, told(claim, Status.RUNNING, remote_id="run"))
    await store.redis.zadd("gb:due", {"x_1": 9e15})
    return claim


async def end(store: Store, status: Status) -> None:
    """End x_1, which is running."""
    await make_due_now(store)
    poll = await claimed(store)
    assert poll.kind == "poll"
    await store.commit(poll, told(poll, status))


async def test_first_skips_the_newer_while_one_is_there(store: Store) -> None:
    """Queued or running, the older counts; a repeat of the skipped one's delivery does not start it."""
    await accepted(store, "x_1", of("first"))
    await accepted(store, "x_2", of("first"))
    claims = (await store.claim(10)).claims
    assert [(claim.kind, claim.execution.id) for claim in claims] == [("start", "x_1"), ("skipped", "x_2")]
    assert claims[1].execution.reason == "x_1 of the same key came first"
    ended = told(claims[1], Status.SKIPPED)
    await store.commit(claims[1], ended)
    await accepted(store, "x_3", of("first"))
    assert await seen(store) == [("skipped", "x_3")]
    again = await store.accept("d_of_x_2", DELIVERY, "accepted", b"", {"x_2": of("first")})
    assert again.executions == [("x_2", "r", Status.SKIPPED)]
    assert again.duplicate


async def test_latest_lets_the_newest_run_after_the_one_that_is_out(store: Store) -> None:
    """Those between them are superseded by the next."""
    await started(store, "latest")
    for n in (2, 3, 4):
        await accepted(store, f"x_{n}", of("latest"))
    assert sorted(await seen(store)) == [("skipped", "x_2"), ("skipped", "x_3")]
    assert (await stands(store, "x_2"))[1] == "superseded by x_3"
    assert await stands(store, "x_4") == (Status.QUEUED, "waits for x_1 of the same key")
    await end(store, Status.COMPLETED)
    assert await seen(store) == [("start", "x_4")]


async def test_latest_supersedes_one_that_comes_back_unsent(store: Store) -> None:
    """The engine did not take it, and meanwhile there is a newer one: that is what is tried next, at once."""
    await accepted(store, "x_1", of("latest"))
    claim = await claimed(store)
    await accepted(store, "x_2", of("latest"))
    assert await seen(store) == []
    await store.commit(claim, told(claim, Status.QUEUED))
    assert sorted(await seen(store)) == [("skipped", "x_1"), ("start", "x_2")]


@pytest.mark.parametrize("keep", KEEPS)
async def test_one_that_comes_back_alone_is_tried_again(store: Store, keep: str) -> None:
    """It is in nobody's way but its own."""
    await accepted(store, "x_1", of(keep))
    for _ in range(3):
        claim = await claimed(store)
        assert claim.kind == "start"
        await store.commit(claim, told(claim, Status.QUEUED))


async def test_latest_does_not_supersede_what_may_have_run(store: Store) -> None:
    """With `on_unknown: retry` it is sent again before the newer one has its turn."""
    await accepted(store, "x_1", of("latest"))
    claim = await claimed(store)
    await accepted(store, "x_2", of("latest"))
    await store.commit(claim, structs.replace(told(claim, Status.QUEUED), reached=True))
    await accepted(store, "x_3", of("latest"))
    assert sorted(await seen(store)) == [("skipped", "x_2"), ("start", "x_1")]
    assert (await stands(store, "x_3"))[1] == "waits for x_1 of the same key"


async def test_a_queue_keeps_the_order_whatever_each_of_them_meets(store: Store) -> None:
    """One that is to be sent again keeps its place, and those behind it wait."""
    for n in (1, 2, 3):
        await accepted(store, f"x_{n}", of("queue"))
    claim = await claimed(store)
    await store.commit(claim, structs.replace(told(claim, Status.QUEUED), again_seconds=60.0))
    assert claim.execution.id == "x_1"
    assert await seen(store) == []
    await make_due_now(store, "x_2")
    assert await seen(store) == []
    await make_due_now(store, "x_1")
    for n in (1, 2, 3):
        claim = await claimed(store)
        assert (claim.kind, claim.execution.id) == ("start", f"x_{n}")
        await store.commit(claim, told(claim, Status.REJECTED))


async def test_other_keys_and_rules_without_at_a_time_do_not_wait(store: Store) -> None:
    """Only who has the key is concerned."""
    await started(store, "queue")
    await accepted(store, "x_2", of("queue", "g_2"))
    await accepted(store, "x_3")
    assert sorted(await seen(store)) == [("start", "x_2"), ("start", "x_3")]


ENDS = [Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.TIMED_OUT, Status.LOST, Status.UNKNOWN]


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("keep", KEEPS)
async def test_whatever_one_ends_as_the_next_has_its_turn_at_once(store: Store, keep: str, status: Status) -> None:
    """And a worker is woken for it."""
    await started(store, keep)
    if keep != "first":
        await accepted(store, "x_2", of(keep))
        assert await seen(store) == []
    await store.redis.delete("gb:bell")
    await end(store, status)
    if keep == "first":
        await accepted(store, "x_2", of(keep))
    assert await store.redis.llen("gb:bell") == 1
    assert await seen(store) == [("start", "x_2")]


@pytest.mark.parametrize("keep", KEEPS)
async def test_a_dead_worker_s_execution_holds_its_key_until_its_lease_runs_out(store: Store, keep: str) -> None:
    """Then it is unknown, and the next has its turn."""
    await accepted(store, "x_1", of(keep))
    await claimed(store)
    await accepted(store, "x_2", of(keep))
    assert await seen(store) == ([("skipped", "x_2")] if keep == "first" else [])
    await make_due_now(store)
    orphan = await claimed(store)
    assert orphan.kind == "orphan"
    await store.commit(orphan, told(orphan, Status.UNKNOWN))
    await accepted(store, "x_3", of(keep))
    expected = {"first": ["start x_3"], "latest": ["skipped x_2", "start x_3"], "queue": ["start x_2"]}
    assert sorted(f"{kind} {id_}" for kind, id_ in await seen(store)) == expected[keep]


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("how", ["gone", "foreign", "damaged", "buried"])
async def test_a_record_that_cannot_be_read_does_not_hold_its_key_for_ever(store: Store, keep: str, how: str) -> None:
    """Once a worker has found it so, it is in nobody's way."""
    await started(store, keep)
    if keep != "first":
        await accepted(store, "x_2", of(keep))
        assert await seen(store) == []
    if how == "damaged":
        await store.redis.hset("gb:x:x_1", "history", "")
        await store.redis.hdel("gb:x:x_1", "record")
        assert [id_ for id_, _ in (await due_now(store, "x_1")).unreadable] == ["x_1"]
        await store.bury("x_1", "damaged")
    elif how == "buried":
        await store.bury("x_1", "damaged")
    else:
        await store.redis.delete("gb:x:x_1")
        if how == "foreign":
            await store.redis.set("gb:x:x_1", "text", ex=60)
        assert (await due_now(store, "x_1")).claims == []
    if keep == "first":
        await accepted(store, "x_2", of(keep))
    await make_due_now(store, "x_2")
    assert await seen(store) == [("start", "x_2")]


async def due_now(store: Store, execution_id: str) -> Any:
    await make_due_now(store, execution_id)
    return await store.claim(10)


async def test_what_waits_for_its_turn_is_kept_and_gets_its_time_back(store: Store) -> None:
    """A queue may be longer than a deadline."""
    await started(store, "queue")
    await accepted(store, "x_2", of("queue"))
    assert await seen(store) == []
    await store.redis.hincrby("gb:x:x_2", "held", -90_000)
    await store.redis.hset("gb:x:x_2", "deadline", 5)
    await store.redis.expire("gb:x:x_2", 60)
    await make_due_now(store, "x_2")
    assert await seen(store) == []
    assert await store.redis.ttl("gb:x:x_2") > 60
    await store.redis.hset("gb:x:x_2", "deadline", await store.redis.hget("gb:x:x_2", "created"))
    await end(store, Status.COMPLETED)
    claim = await claimed(store)
    assert (claim.kind, claim.execution.attempts) == ("start", 1)
    assert claim.deadline_ms > claim.clock.now_ms() + 80_000


async def test_every_group_expires(store: Store) -> None:
    """Nothing is kept for ever, and what has ended is not kept at all."""
    await started(store, "queue")
    await accepted(store, "x_2", of("queue"))
    assert 0 < await store.redis.ttl("gb:g:g_1") <= RECORD_SECONDS
    await end(store, Status.COMPLETED)
    claim = await claimed(store)
    await store.commit(claim, told(claim, Status.REJECTED))
    assert await store.redis.exists("gb:g:g_1") == 0


async def test_a_lost_or_foreign_group_heals_itself(store: Store) -> None:
    """The records say who is in it."""
    await store.redis.set("gb:g:g_1", "text", ex=60)
    await accepted(store, "x_1", of("queue"))
    await accepted(store, "x_2", of("queue"))
    assert await seen(store) == [("start", "x_1")]
    await store.redis.delete("gb:g:g_1")
    await make_due_now(store)
    orphan = await claimed(store)
    await store.commit(orphan, told(orphan, Status.RUNNING))
    await store.redis.zadd("gb:due", {"x_1": 9e15})
    await make_due_now(store, "x_2")
    assert await seen(store) == []
    assert await store.redis.zcard("gb:g:g_1") == 2
    await store.redis.set("gb:g:g_1", "text", ex=60)
    await end(store, Status.UNKNOWN)
    await store.redis.set("gb:g:g_1", "text", ex=60)
    await resolve(store, "x_1", "did_not_run", by="test")
    await make_due_now(store, "x_2")
    assert await store.redis.zcard("gb:g:g_1") == 1
    assert len(await seen(store)) == 1


@pytest.mark.parametrize("keep", KEEPS)
async def test_a_full_memory_refuses_the_newer_one_whole(store: Store, keep: str) -> None:
    """The older one is not superseded by something that is not there."""
    await accepted(store, "x_1", of(keep))
    await store.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable, match="OutOfMemory"):
            await accepted(store, "x_2", of(keep))
    finally:
        await store.redis.config_set("maxmemory", 0)
    assert await store.execution("x_2") is None
    assert await store.redis.zrange("gb:g:g_1", 0, -1) == [b"x_1"]
    assert await seen(store) == [("start", "x_1")]


@pytest.mark.parametrize("keep", ["all", "latest", "queue"])
async def test_a_newer_one_within_the_debounce_replaces_the_older(store: Store, keep: str) -> None:
    """None of them is due before; the last one is, when nothing newer came for so long."""
    for n in (1, 2, 3):
        await accepted(store, f"x_{n}", of(keep, debounce=0.2))
    assert sorted(await seen(store)) == [("skipped", "x_1"), ("skipped", "x_2")]
    assert (await stands(store, "x_1"))[1] == "superseded by x_2"
    await asyncio.sleep(0.25)
    claim = await claimed(store)
    assert (claim.kind, claim.execution.id) == ("start", "x_3")
    await accepted(store, "x_4", of(keep, debounce=0.05))
    await asyncio.sleep(0.1)
    assert await seen(store) == ([("start", "x_4")] if keep == "all" else [])
    await store.commit(claim, told(claim, Status.REJECTED))
    assert await seen(store) == ([] if keep == "all" else [("start", "x_4")])


@pytest.mark.parametrize(("keep", "replaced"), [("all", False), ("queue", False), ("latest", True)])
async def test_after_its_debounce_only_latest_replaces_one_that_waits(
    store: Store,
    keep: str,
    replaced: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """It waits for something else by then."""
    await accepted(store, "x_1", of(keep, debounce=0.02))
    await asyncio.sleep(0.05)
    await accepted(store, "x_2", of(keep, debounce=5))
    assert await seen(store) == [("skipped" if replaced else "start", "x_1")]


async def test_the_debounce_does_not_use_up_the_deadline(store: Store) -> None:
    """The time to be sent in begins when it is over."""
    await accepted(store, "x_1", structs.replace(of("all", debounce=0.3), deadline_seconds=0.2))
    await asyncio.sleep(0.32)
    assert await seen(store) == [("start", "x_1")]


async def test_one_that_waits_uses_up_no_probe_and_a_paused_one_keeps_its_place(store: Store) -> None:
    """The turn is looked at first, then the switches."""
    await started(store, "queue")
    await accepted(store, "x_2", of("queue"))
    await accepted(store, "x_3", of("queue"))
    await store.redis.hset("gb:paused", "engine genesis", b'{"by": "", "reason": "", "at": 1, "probe": 1}')
    assert await seen(store) == []
    await end(store, Status.COMPLETED)
    probe = await claimed(store)
    assert (probe.kind, probe.execution.id) == ("probe", "x_2")
    await store.commit(probe, told(probe, Status.QUEUED))
    assert await seen(store) == []
    assert (await stands(store, "x_2"))[1] == "held: the engine genesis is paused"
    assert await resume(store, "engine", "genesis", "test")
    await make_due_now(store, "x_3")
    assert await seen(store) == []
    await make_due_now(store, "x_2")
    assert await seen(store) == [("start", "x_2")]


async def test_what_is_superseded_ends_even_while_it_is_paused(store: Store) -> None:
    """Its end needs no engine."""
    await accepted(store, "x_1", of("latest"))
    await pause(store, "rule", "r", "test", "")
    assert await seen(store) == []
    await accepted(store, "x_2", of("latest"))
    assert await seen(store) == [("skipped", "x_1")]


async def test_the_end_of_one_does_not_cut_the_debounce_of_the_next_short(store: Store) -> None:
    """Only who waits for it is woken."""
    await started(store, "latest")
    await accepted(store, "x_2", of("latest", debounce=5))
    await end(store, Status.COMPLETED)
    assert await seen(store) == []


async def test_an_older_one_never_supersedes_a_newer(store: Store) -> None:
    """Not even where both were out at once, because one of them answered late, and both come back."""
    await accepted(store, "x_1", of("latest"))
    slow = await claimed(store)
    await make_due_now(store)
    orphan = await claimed(store)
    await store.commit(orphan, structs.replace(told(orphan, Status.UNKNOWN), reached=False))
    await accepted(store, "x_2", of("latest"))
    newer = await claimed(store)
    assert await store.commit(slow, structs.replace(told(slow, Status.QUEUED), again_seconds=60.0))
    assert await store.commit(newer, told(newer, Status.QUEUED))
    assert await seen(store) == []
    assert (await stands(store, "x_2"))[1] == "waits for x_1 of the same key"


async def test_a_clock_that_is_put_back_does_not_change_the_order(store: Store) -> None:
    """A later accept has a later turn."""
    await accepted(store, "x_1", of("queue"))
    await store.redis.zadd("gb:g:g_1", {"x_1": 8e15})
    await accepted(store, "x_2", of("queue"))
    assert await store.redis.zscore("gb:g:g_1", "x_2") == 8e15 + 1


class Model:
    """What the documentation says of one group: who may start now, and who is to be skipped."""

    def __init__(self, keep: str) -> None:
        self.keep = keep
        self.waiting: list[str] = []
        """In the order of their turns."""
        self.out: set[str] = set()
        self.skipped: set[str] = set()
        self.sent: set[str] = set()
        """Those of which somebody has to say whether they ran."""
        self.turns: list[str] = []

    def accept(self, id_: str) -> None:
        self.turns.append(id_)
        if self.keep == "first" and (self.waiting or self.out):
            self.skipped.add(id_)
            return
        if self.keep == "latest":
            self._skip(set(self.waiting) - self.sent)
        self.waiting.append(id_)

    def startable(self) -> list[str]:
        return [] if self.out or not self.waiting else [self.waiting[0]]

    def start(self, id_: str) -> None:
        self.waiting.remove(id_)
        self.out.add(id_)

    def back(self, id_: str) -> None:
        """Queue one again."""
        self.out.discard(id_)
        newer = [one for one in self.waiting if one not in self.sent and self._turn(one) > self._turn(id_)]
        if self.keep == "latest" and id_ not in self.sent and newer:
            self.skipped.add(id_)
        else:
            self.waiting = sorted({*self.waiting, id_}, key=self._turn)

    def out_again(self, id_: str) -> None:
        """Learn that one is running after all."""
        self.waiting = [one for one in self.waiting if one != id_]
        self.out.add(id_)

    def _skip(self, ids: set[str]) -> None:
        self.skipped |= ids
        self.waiting = [one for one in self.waiting if one not in ids]

    def _turn(self, id_: str) -> int:
        return self.turns.index(id_)


class Walk:
    """Takes random steps, and after each compares what a claim brings with what the model says."""

    def __init__(self, store: Store, keep: str, seed: int) -> None:
        self.store = store
        self.models = {group: Model(keep) for group in ("g_1", "g_2")}
        self.dice = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self.group: dict[str, str] = {}
        self.slow: dict[str, Claim] = {}
        """Claims on triggers whose worker is slow or dead."""
        self.unknown: set[str] = set()

    def of(self, id_: str) -> Model:
        return self.models[self.group[id_]]

    async def accept(self) -> None:
        id_, group = f"x_{len(self.group)}", self.dice.choice(sorted(self.models))
        self.group[id_] = group
        await accepted(self.store, id_, of(self.of(id_).keep, group))
        self.of(id_).accept(id_)

    async def claim(self) -> None:
        claims = {claim.execution.id: claim for claim in (await self.store.claim(1000)).claims}
        starts = {id_ for id_, claim in claims.items() if claim.kind == "start"}
        skips = {id_ for id_, claim in claims.items() if claim.kind == "skipped"}
        assert starts == {id_ for model in self.models.values() for id_ in model.startable()}
        assert skips == {id_ for model in self.models.values() for id_ in model.skipped}
        for id_ in starts:
            self.of(id_).start(id_)
        for id_, claim in claims.items():
            await self.step(id_, claim)

    async def step(self, id_: str, claim: Claim) -> None:
        if claim.kind == "skipped":
            self.of(id_).skipped.remove(id_)
            await self.commit(claim, Status.SKIPPED)
        elif claim.kind == "orphan":
            await self.gone_unknown(id_, claim)
        elif claim.kind == "poll":
            await self.commit(claim, self.dice.choice((Status.RUNNING, Status.REVIEW_PENDING, *ENDS[:-1])))
        else:
            await self.triggered(id_, claim)

    async def triggered(self, id_: str, claim: Claim) -> None:
        chance = self.dice.random()
        if chance < 0.2:
            self.slow[id_] = claim
            return
        if chance < 0.3:
            await self.gone_unknown(id_, claim)
        elif chance < 0.5:
            again = self.dice.random() < 0.5
            await self.store.commit(claim, structs.replace(told(claim, Status.QUEUED), reached=again))
            if again:
                self.of(id_).sent.add(id_)
            self.of(id_).back(id_)
        else:
            await self.commit(claim, self.dice.choice((Status.PENDING, Status.PENDING, Status.REJECTED)))

    async def commit(self, claim: Claim, status: Status) -> None:
        id_ = claim.execution.id
        assert await self.store.commit(claim, told(claim, status))
        if status.final:
            self.of(id_).out.discard(id_)

    async def gone_unknown(self, id_: str, claim: Claim) -> None:
        await self.commit(claim, Status.UNKNOWN)
        self.of(id_).sent.add(id_)
        self.unknown.add(id_)
        self.slow.setdefault(id_, claim)

    async def lose_a_worker(self) -> None:
        if (lost := self.some(self.slow)) and (await stands(self.store, lost))[0] == Status.STARTING:
            await make_due_now(self.store, lost)

    async def answer_late(self) -> None:
        id_ = self.some(self.slow)
        if id_ is not None:
            claim = self.slow.pop(id_)
            if await self.store.commit(claim, told(claim, Status.PENDING, remote_id="late")):
                self.unknown.discard(id_)
                self.of(id_).out_again(id_)

    async def settle(self) -> None:
        id_ = self.some(self.unknown)
        if id_ is not None:
            outcome = self.dice.choice(("ran", "did_not_run"))
            await resolve(self.store, id_, outcome, by="test", remote_id="run" if outcome == "ran" else None)
            self.unknown.discard(id_)
            if outcome == "ran":
                self.of(id_).out_again(id_)
            else:
                self.of(id_).back(id_)

    def some(self, ids: Any) -> str | None:
        return self.dice.choice(sorted(ids)) if ids else None


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("keep", KEEPS)
async def test_at_every_step_exactly_those_start_that_the_documentation_says(
    store: Store, keep: str, seed: int
) -> None:
    """Never two at a time, never none while one could, never out of turn, whatever happens to each; to the end."""
    walk = Walk(store, keep, seed)
    deeds = [walk.accept, walk.accept, walk.claim, walk.claim, walk.lose_a_worker, walk.answer_late, walk.settle]
    for _ in range(150):
        await walk.dice.choice(deeds)()
    for _ in range(2000):
        for id_ in walk.slow:
            if (await stands(store, id_))[0] == Status.STARTING:
                await make_due_now(store, id_)
        await walk.claim()
        if await store.redis.zcard("gb:due") == 0:
            break
    assert {(await stands(store, id_))[0].final for id_ in walk.group} == {True}
    assert await store.redis.keys("gb:g:*") == []
