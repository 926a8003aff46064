"""Budgets on a real Redis: who may go now, who waits for when, and that nothing of it outlives its use."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from bridge.budgets import Strikes, account, buckets, encoded
from bridge.contracts import Engine
from bridge.engines.genesis import Genesis
from bridge.errors import Throttled, Transient
from bridge.leases import keeping
from bridge.model import Status
from bridge.pauses import block, pause, resume
from bridge.records import Claim
from bridge.runs import Budget
from bridge.secret import Secret
from bridge.store import Store
from tests.contract.test_store import RECORD, accepted, told
from tests.unit.test_pipeline import START

KEY = "a-key-that-nobody-may-see"


def engine(key: str = KEY, **budget: Any) -> Genesis:
    return Genesis(api_key=Secret("env: KEY", key.encode()), budget=Budget(**budget))


class Away(Store):
    """Counts how often it is asked for what it cannot do."""

    asked = 0

    async def renew(self, claim: Claim) -> bool:
        self.asked += 1
        return await super().renew(claim)


class Worker:
    """Claims for engines, as any number of processes would."""

    def __init__(self, store: Store, **engines: Engine) -> None:
        self.store = store
        self.budgets = encoded(engines)

    async def claims(self, limit: int = 100) -> list[Claim]:
        found = await self.store.claim(limit, self.budgets)
        assert found.unreadable == []
        return found.claims

    async def ids(self) -> list[str]:
        return [claim.execution.id for claim in await self.claims()]


async def waiting(store: Store) -> dict[str, float]:
    """Return when each execution is due, in milliseconds from now."""
    seconds, micros = await store.redis.time()
    now = seconds * 1000 + micros / 1000
    due = await store.redis.zrange("gb:due", 0, -1, withscores=True)
    return {id_.decode(): score - now for id_, score in due}


async def let(store: Store, *ids: str) -> None:
    """Make executions due now, and what they were promised with them."""
    for id_ in ids:
        await store.redis.zadd("gb:due", {id_: 0})
        if await store.redis.hexists(f"gb:x:{id_}", "booked"):  # type: ignore[misc]
            await store.redis.hset(f"gb:x:{id_}", "booked", "1")  # type: ignore[misc]


async def running(store: Store, claim: Claim) -> None:
    await store.commit(claim, told(claim, Status.PENDING, remote_id="r"))


class Clock:
    """A monotonic clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# ----------------------------------------------------------------------------------------------------------- pace


async def test_a_burst_goes_at_once_and_the_rest_is_told_its_time(store: Store) -> None:
    """Six of sixty a minute may go together; then one every 1.1 s, each told once when it may."""
    for n in range(12):
        await accepted(store, f"x_{n:02}")
    worker = Worker(store, genesis=engine(triggers_per_minute=60))
    assert await worker.ids() == [f"x_{n:02}" for n in range(6)]
    later = {id_: ms for id_, ms in (await waiting(store)).items() if id_ >= "x_06"}
    assert sorted(later, key=lambda id_: later[id_]) == [f"x_{n:02}" for n in range(6, 12)]
    for n, ms in enumerate(sorted(later.values()), 1):
        assert n * 1109 - 500 <= ms <= n * 1110 + 5, later
    assert await worker.ids() == []
    await let(store, "x_06")
    assert await worker.ids() == ["x_06"]


async def test_what_waits_is_no_attempt_and_stands_in_no_history(store: Store) -> None:
    """It stays queued, says what for, and its deadline stands still."""
    worker = Worker(store, genesis=engine(triggers_per_minute=1))
    await accepted(store, "x_1")
    await accepted(store, "x_2")
    assert await worker.ids() == ["x_1"]
    found = await store.execution("x_2")
    assert found is not None
    assert (found.status, found.attempts, len(found.history)) == (Status.QUEUED, 0, 1)
    assert found.reason == "waits for its turn: the budget of genesis (triggers)"
    # Held for ten minutes: longer than its deadline of one.
    seconds, _ = await store.redis.time()
    await store.redis.hset("gb:x:x_2", "held", (seconds - 600) * 1000)  # type: ignore[misc]
    await store.redis.hset("gb:x:x_2", "deadline", (seconds - 540) * 1000)  # type: ignore[misc]
    await let(store, "x_2")
    [claim] = await worker.claims()
    assert claim.kind == "start"
    assert claim.deadline_ms > seconds * 1000


@pytest.mark.parametrize("most", [1, 2, 7, 60, 500, 1000])
async def test_no_minute_has_more_than_the_budget(store: Store, most: int) -> None:
    """Wherever the minute begins, and however many wait."""
    many = 2 * most + 3
    for n in range(many):
        await accepted(store, f"x_{n}")
    seconds, micros = await store.redis.time()
    began = len(await Worker(store, genesis=engine(triggers_per_minute=most)).claims(10_000))
    keys = [f"gb:x:{id_}" for id_ in await waiting(store)]
    promised = [float(ms) for key in keys if (ms := await store.redis.hget(key, "booked"))]  # type: ignore[misc]
    starts = [seconds * 1000 + micros / 1000] * began + sorted(promised)
    assert (began, len(starts)) == (max(1, most // 10), many)
    for first in range(many - most):
        assert starts[first + most] - starts[first] >= 60_000, first


async def test_polls_slow_down_instead_of_being_refused(store: Store) -> None:
    """A poll has a budget of its own; one that has to wait keeps its place and loses nothing."""
    worker = Worker(store, genesis=engine(fetches_per_minute=10))
    for n in range(3):
        await accepted(store, f"x_{n}")
    for claim in await worker.claims():
        await running(store, claim)
    await let(store, "x_0", "x_1", "x_2")
    [poll] = await worker.claims()
    assert (poll.kind, poll.execution.id) == ("poll", "x_0")
    assert poll.execution.reason is None
    later = await waiting(store)
    assert 5_600 < later["x_1"] < 6_102
    assert 11_700 < later["x_2"] < 12_202
    found = await store.execution("x_1")
    assert found is not None
    assert (found.status, found.reason, len(found.history)) == (Status.PENDING, None, 3)


async def test_without_a_limit_nothing_is_asked_and_nothing_kept(store: Store) -> None:
    """An engine without a budget costs no key."""
    await accepted(store)
    worker = Worker(store, genesis=engine())
    assert worker.budgets[1] is False
    assert await worker.ids() == ["x_1"]
    assert not await store.redis.keys("gb:tokens:*")


async def test_a_record_says_which_bucket_its_trigger_takes_from(store: Store) -> None:
    """As its engine decided when it was accepted; an engine that knows no such bucket sets no limit."""
    worker = Worker(store, genesis=engine(triggers_per_minute=1))
    for n in range(3):
        await accepted(store, f"x_{n}", structs.replace(RECORD, bucket="sync"))
    assert len(await worker.ids()) == 3


async def test_what_came_too_late_costs_no_token(store: Store) -> None:
    """An execution past its deadline is not sent, so it takes nothing from the others."""
    worker = Worker(store, genesis=engine(triggers_per_minute=1))
    await accepted(store, "x_1")
    await store.redis.hset("gb:x:x_1", "deadline", 1)  # type: ignore[misc]
    await accepted(store, "x_2")
    assert sorted((claim.execution.id, claim.kind) for claim in await worker.claims()) == [
        ("x_1", "expired"),
        ("x_2", "start"),
    ]


async def test_an_execution_of_no_known_engine_waits_for_nothing(store: Store) -> None:
    """Whoever claims it says what is wrong with it."""
    await accepted(store, "x_1", structs.replace(RECORD, engine="gone"))
    assert await Worker(store, genesis=engine(triggers_per_minute=1)).ids() == ["x_1"]


# ---------------------------------------------------------------------------------------------------------- slots


async def test_as_many_run_as_there_are_slots_and_the_oldest_comes_next(store: Store) -> None:
    """However often what waits is looked at, and whatever order that is in."""
    worker = Worker(store, genesis=engine(at_once=2))
    for n in range(5):
        await accepted(store, f"x_{n}")
        await store.redis.hset(f"gb:x:x_{n}", "created", 1000 + n)  # type: ignore[misc]
    first, second = await worker.claims()
    assert [first.execution.id, second.execution.id] == ["x_0", "x_1"]
    found = await store.execution("x_4")
    assert found is not None
    assert found.reason == "waits for a run to end: genesis takes 2 at once"
    await running(store, first)
    await let(store, "x_4", "x_3", "x_2")
    assert await worker.ids() == ["x_0"]  # a poll; nobody begins
    await store.commit(second, told(second, Status.COMPLETED))
    await let(store, "x_4", "x_3")
    assert await worker.ids() == []  # x_2 has waited longer
    await let(store, "x_2")
    assert await worker.ids() == ["x_2"]


async def test_who_is_far_from_the_head_of_the_line_is_looked_at_more_rarely(store: Store) -> None:
    """However many wait, looking at them costs little; whose turn comes soon is looked at twice a second."""
    for n in range(160):
        await accepted(store, f"x_{n:03}")
        await store.redis.hset(f"gb:x:x_{n:03}", "created", 1000 + n)  # type: ignore[misc]
    worker = Worker(store, genesis=engine(at_once=1))
    assert len(await worker.claims(200)) == 1
    later = await waiting(store)
    assert later["x_001"] <= later["x_050"] <= 500
    assert 500 < later["x_051"] <= 1_001
    assert 1_000 < later["x_159"] <= 2_001


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.REJECTED, Status.TIMED_OUT, Status.QUEUED])
async def test_what_does_not_run_holds_no_slot(store: Store, status: Status) -> None:
    """Whatever became of it, and even if its record is gone."""
    worker = Worker(store, genesis=engine(at_once=1))
    await accepted(store, "x_1")
    [claim] = await worker.claims()
    await store.commit(claim, structs.replace(told(claim, status), again_seconds=60.0 if status == "queued" else None))
    await accepted(store, "x_2")
    assert await worker.ids() == ["x_2"]
    await store.redis.delete("gb:x:x_2")
    await accepted(store, "x_3")
    assert await worker.ids() == ["x_3"]


async def test_a_paused_rule_does_not_stand_in_the_line(store: Store) -> None:
    """What is held by a person lets the others pass."""
    worker = Worker(store, genesis=engine(at_once=1))
    await accepted(store, "x_0")
    [claim] = await worker.claims()
    for n, rule in ((1, "held"), (2, "free")):
        await accepted(store, f"x_{n}", structs.replace(RECORD, rule=rule))
        await store.redis.hset(f"gb:x:x_{n}", "created", n)  # type: ignore[misc]
    assert await worker.ids() == []
    await pause(store, "rule", "held", "test", "")
    await let(store, "x_1")
    assert await worker.ids() == []
    await store.commit(claim, told(claim, Status.COMPLETED))
    await let(store, "x_2")
    assert await worker.ids() == ["x_2"]
    await resume(store, "rule", "held", "test")


async def test_a_probe_needs_no_room(store: Store) -> None:
    """An engine that paused itself is asked every few minutes, whatever its budget says."""
    worker = Worker(store, genesis=engine(at_once=1))
    await accepted(store, "x_1")
    assert await worker.ids() == ["x_1"]
    await block(store, "genesis", "no credit")
    await store.redis.hset("gb:paused", "engine genesis", '{"by": "itself", "reason": "", "at": 1, "probe": 1}')  # type: ignore[misc]
    await accepted(store, "x_2")
    assert [claim.kind for claim in await worker.claims()] == ["probe"]


async def test_a_slot_is_not_given_before_there_is_a_token(store: Store) -> None:
    """Both budgets hold together: who has to wait for its turn keeps nobody's slot."""
    worker = Worker(store, genesis=engine(at_once=5, triggers_per_minute=1))
    await accepted(store, "x_1")
    await accepted(store, "x_2")
    assert await worker.ids() == ["x_1"]
    assert await store.redis.zcard(f"gb:slots:{account(engine())}") == 1
    await let(store, "x_2")
    assert await worker.ids() == ["x_2"]
    assert await store.redis.zcard(f"gb:slots:{account(engine())}") == 2


# -------------------------------------------------------------------------------------------------------- too many


@pytest.mark.parametrize("limit", [None, 6000])
async def test_too_many_holds_back_everybody_with_that_key(store: Store, limit: int | None) -> None:
    """As long as the engine asks for; other keys and the other buckets go on."""
    mine, same = engine(triggers_per_minute=limit), engine(triggers_per_minute=limit)
    worker = Worker(store, genesis=mine, same=same, other=engine("another-key"))
    assert await Strikes().asked(store, mine, "triggers", Throttled("429", 30)) == 30
    assert await Strikes().asked(store, mine, "triggers", Throttled("429", 7)) > 29
    for name in ("genesis", "same", "other"):
        await accepted(store, f"x_{name}", structs.replace(RECORD, engine=name))
    assert await worker.ids() == ["x_other"]
    later = await waiting(store)
    assert 29_000 < later["x_genesis"] <= 33_001
    assert 29_000 < later["x_same"] <= 33_001
    found = await store.execution("x_genesis")
    assert found is not None
    assert found.reason == "waits: genesis has answered that it is too much (triggers)"


async def test_without_a_limit_all_that_waited_goes_on_when_the_wait_is_over(store: Store) -> None:
    """A hold delays what it stopped; it makes no line that would be there long after it."""
    mine = engine()
    worker = Worker(store, genesis=mine)
    await Strikes().asked(store, mine, "triggers", Throttled("429", 30))
    for n in range(50):
        await accepted(store, f"x_{n}")
    assert await worker.ids() == []
    later = await waiting(store)
    assert all(29_000 < ms <= 33_001 for ms in later.values())
    assert len(set(later.values())) > 25  # not all in one moment
    await store.redis.delete(f"gb:hold:{account(mine)}:triggers")
    await store.redis.zadd("gb:due", dict.fromkeys(later, 0))
    assert len(await worker.ids()) == 50
    assert not await store.redis.keys("gb:tokens:*")


async def test_too_many_without_a_time_is_everybodys_from_the_second_in_a_row(store: Store) -> None:
    """Once is chance. What was sent at one time is one reason to wait, however many answers it got."""
    clock = Clock()
    limited, strikes = engine(), Strikes(clock)
    name = f"gb:hold:{account(limited)}:fetches"
    assert await strikes.asked(store, limited, "fetches", Throttled("429")) == 1
    assert not await store.redis.exists(name)
    for seconds in (2, 4, 8, 16, 32, 60, 60):
        clock.now += 70
        await store.redis.delete(name)
        assert await strikes.asked(store, limited, "fetches", Throttled("429")) == seconds
        clock.now += 1.5
        again = await strikes.asked(store, limited, "fetches", Throttled("429"))
        assert again is not None
        assert seconds - 2 < again <= seconds
        assert seconds * 1000 - 500 < await store.redis.pttl(name) <= seconds * 1000
    strikes.passed(limited, "triggers")  # another bucket
    clock.now += 70
    assert await strikes.asked(store, limited, "fetches", Throttled("429")) == 60
    strikes.passed(limited, "fetches")
    assert await strikes.asked(store, limited, "fetches", Throttled("429")) == 1


async def test_what_is_no_too_many_is_its_own_matter(store: Store) -> None:
    """Nobody else waits for it."""
    ask = Strikes().asked
    assert await ask(store, engine(), "fetches", Throttled("429", 0)) == 0
    assert await ask(store, engine(), "fetches", Transient("502", 7)) == 7
    assert await ask(store, engine(), "fetches", Transient("502")) is None
    assert not await store.redis.keys("gb:hold*")


async def test_who_was_promised_a_turn_within_the_hold_waits_behind_it(store: Store) -> None:
    """A promise made before the engine said 'too many' is not kept, but made again."""
    limited = engine(triggers_per_minute=60)
    worker = Worker(store, genesis=limited)
    for n in range(7):
        await accepted(store, f"x_{n}")
    assert len(await worker.ids()) == 6
    await Strikes().asked(store, limited, "triggers", Throttled("429", 20))
    await let(store, "x_6")
    assert await worker.ids() == []
    assert (await waiting(store))["x_6"] > 19_500
    await store.redis.delete(f"gb:hold:{account(limited)}:triggers")
    await let(store, "x_6")
    assert await worker.ids() == ["x_6"]


async def test_without_the_store_each_waits_as_it_was_asked_to() -> None:
    """A 'too many' while Redis is away is no reason to fail."""
    away = Store("unix:///nobody")
    assert await Strikes().asked(away, engine(), "triggers", Throttled("429", 9)) == 9
    await away.close()


# ---------------------------------------------------------------------------------------------------------- the keys


async def test_every_key_of_a_budget_has_an_end(store: Store) -> None:
    """Nothing stays of a budget that is used no more; and no key says whose it is."""
    limited = engine(triggers_per_minute=1, fetches_per_minute=1, at_once=1)
    worker = Worker(store, genesis=limited)
    await accepted(store, "x_1")
    await accepted(store, "x_2")
    await worker.claims()
    await Strikes().asked(store, limited, "triggers", Throttled("429", 5))
    keys = [
        key for kind in ("tokens", "hold:", "holds", "slots", "line") for key in await store.redis.keys(f"gb:{kind}*")
    ]
    assert len(keys) == 5
    for key in keys:
        assert await store.redis.ttl(key) > 0, key
        assert KEY not in key.decode()
    assert await store.redis.pttl(f"gb:tokens:{account(limited)}:triggers") <= 4 * 61_000


@pytest.mark.parametrize("kind", ["tokens", "hold", "slots", "line"])
@pytest.mark.parametrize("value", ["list", "text"])
async def test_a_foreign_value_under_a_budgets_key_stops_nobody(store: Store, kind: str, value: str) -> None:
    """It is overwritten: what is lost is a minute's count."""
    limited = engine(triggers_per_minute=60, at_once=5)
    suffix = ":triggers" if kind in ("tokens", "hold") else ""
    key = f"gb:{kind}:{account(limited)}{suffix}"
    await (store.redis.lpush(key, "x") if value == "list" else store.redis.set(key, "nonsense"))  # type: ignore[misc]
    await accepted(store)
    assert await Worker(store, genesis=limited).ids() == ["x_1"]
    assert await Strikes().asked(store, limited, "triggers", Throttled("429", 5)) == 5


def test_a_budget_belongs_to_a_key() -> None:
    """Two engines with one key share it, two keys do not, and where the key is one matters too."""
    assert account(engine()) == account(engine(at_once=1))
    assert account(engine()) != account(engine("another"))
    assert account(engine()) != account(structs.replace(engine(), base_url="https://genesis.example.com"))
    assert len(account(engine())) == 16
    assert buckets(engine(triggers_per_minute=7)) == {"triggers": 7, "fetches": None}


# ---------------------------------------------------------------------------------------------------------- leases


async def test_a_trigger_that_takes_long_stays_ours(store: Store) -> None:
    """Its lease is renewed while it lasts; nobody else calls it lost meanwhile."""
    await accepted(store)
    [claim] = (await store.claim(1)).claims
    async with keeping(store, claim, 0.01):
        for _ in range(100):
            await store.redis.zadd("gb:due", {"x_1": 1}, xx=True)
            await asyncio.sleep(0.02)
            if (await waiting(store))["x_1"] > 30_000:
                break
    assert 39_000 < (await waiting(store))["x_1"] <= 40_001
    assert await store.renew(claim)
    await store.commit(claim, told(claim, Status.COMPLETED))
    assert not await store.renew(claim)
    assert await waiting(store) == {}
    async with keeping(store, claim, 0.01):
        await asyncio.sleep(0.05)
    assert await waiting(store) == {}


async def test_a_lease_that_cannot_be_renewed_is_tried_again() -> None:
    """Redis away ends neither the trigger nor the renewing."""
    away = Away("unix:///nobody")
    async with keeping(away, START.claim(), 0.01):
        for _ in range(500):
            if away.asked > 1:
                break
            await asyncio.sleep(0.01)
    assert away.asked > 1
    await away.close()
