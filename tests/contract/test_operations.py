"""Orders by people against the steps of workers: who comes first, and what the other then finds."""

import pytest
from msgspec import structs

from bridge.errors import Unfindable, WrongState
from bridge.model import Status
from bridge.operations import Outcome, resolve, retry
from bridge.pauses import pause, paused, resume
from bridge.records import Claim
from bridge.store import RECORD_SECONDS, Store
from tests.contract.test_store import RECORD, accepted, claimed, ended, held, make_due_now, note, told


async def unknown(store: Store) -> Claim:
    """Leave one execution unknown, and return the claim of whoever may still answer late."""
    await accepted(store)
    slow = await claimed(store)
    await make_due_now(store)
    orphan = await claimed(store)
    await store.commit(orphan, told(orphan, Status.UNKNOWN, reason="lost"))
    return slow


async def standing(store: Store) -> tuple[Status, str | None, bool]:
    execution = await store.execution("x_1")
    assert execution is not None
    return execution.status, execution.remote_id, execution.final


async def settle(store: Store, outcome: Outcome) -> None:
    await resolve(store, "x_1", outcome, by="test", remote_id="person" if outcome == "ran" else None)


@pytest.mark.parametrize("outcome", ["ran", "did_not_run", "close"])
async def test_after_a_late_answer_there_is_nothing_to_settle(store: Store, outcome: Outcome) -> None:
    """The engine's word came first: the person is told how the execution stands."""
    slow = await unknown(store)
    assert await store.commit(slow, told(slow, Status.PENDING, remote_id="engine"))
    with pytest.raises(WrongState, match="the execution is pending"):
        await settle(store, outcome)
    assert await standing(store) == (Status.PENDING, "engine", False)


@pytest.mark.parametrize(
    ("outcome", "stands"),
    [
        ("ran", (Status.PENDING, "person", False)),
        ("did_not_run", (Status.PENDING, "engine", False)),
        ("close", (Status.PENDING, "engine", False)),
    ],
)
async def test_a_late_answer_after_a_person_s_word(
    store: Store, outcome: Outcome, stands: tuple[Status, str, bool]
) -> None:
    """It is believed as long as nothing was sent again, so that there are never two runs; a named run stays."""
    slow = await unknown(store)
    await settle(store, outcome)
    assert await store.commit(slow, told(slow, Status.PENDING, remote_id="engine")) == (stands[1] == "engine")
    assert await standing(store) == stands
    await make_due_now(store)
    assert (await claimed(store)).kind == "poll"


async def test_a_late_answer_after_the_new_trigger_is_too_late(store: Store) -> None:
    """Once the execution is claimed anew, only the new claim counts."""
    slow = await unknown(store)
    await settle(store, "did_not_run")
    again = await claimed(store)
    assert again.kind == "start"
    assert not await store.commit(slow, told(slow, Status.PENDING, remote_id="engine"))
    assert await store.commit(again, told(again, Status.PENDING, remote_id="second"))
    assert await standing(store) == (Status.PENDING, "second", False)


async def test_a_late_failure_does_not_undo_a_person_s_word(store: Store) -> None:
    """Only news of a run counts against it: that the old attempt knows nothing is no news."""
    slow = await unknown(store)
    await settle(store, "did_not_run")
    assert not await store.commit(slow, told(slow, Status.UNKNOWN))
    assert (await standing(store))[0] == Status.QUEUED


@pytest.mark.parametrize("outcome", ["ran", "did_not_run"])
async def test_what_is_settled_has_its_whole_deadline_and_wakes_a_worker(store: Store, outcome: Outcome) -> None:
    """However long nobody looked."""
    await unknown(store)
    await store.wait_for_bell(1)
    await store.redis.hset("gb:x:x_1", "deadline", 5)
    await settle(store, outcome)
    assert await store.wait_for_bell(1)
    claim = await claimed(store)
    assert claim.kind == ("poll" if outcome == "ran" else "start")
    assert claim.deadline_ms == pytest.approx(claim.clock.now_ms() + 60_000, abs=5000)
    assert await store.redis.ttl("gb:x:x_1") > RECORD_SECONDS - 60


async def test_one_ring_is_enough(store: Store) -> None:
    """Accept left one behind."""
    await unknown(store)
    await settle(store, "did_not_run")
    assert await store.redis.llen("gb:bell") == 1


async def test_a_retried_notification_has_all_its_attempts_before_it(store: Store) -> None:
    """Its schedule starts anew, whether it was dead or only waiting."""
    await ended(store, note("msg_1"))
    for state in ("dead", "due"):
        claim = await held(store)
        assert claim.attempt == 1
        await store.commit_notification(claim, state, error="gone", again_seconds=3600)
        assert await store.claim_notification("msg_1") is None
        await retry(store, "msg_1", "test", "why\nnot")
        assert await store.redis.zcard("gb:dead") == 0
        assert await store.ring(10) == ["msg_1"]
    execution = await store.execution("x_1")
    assert execution is not None
    assert execution.history[-1].note == "test: notification msg_1 sent again (why not)"
    assert execution.history[-1].status == Status.COMPLETED


async def test_a_notification_on_the_wire_is_not_retried(store: Store) -> None:
    """Its outcome is not known yet."""
    await ended(store, note("msg_1"))
    await held(store)
    with pytest.raises(WrongState, match="sending"):
        await retry(store, "msg_1", "test")
    with pytest.raises(Unfindable):
        await retry(store, "msg_none", "test")


async def test_a_notification_outlives_its_execution(store: Store) -> None:
    """Retrying it does not bring back half an execution."""
    await ended(store, note("msg_1"))
    await store.redis.delete("gb:x:x_1")
    await retry(store, "msg_1", "test")
    assert await store.redis.exists("gb:x:x_1") == 0


async def test_the_indexes_are_bounded_and_expire(store: Store) -> None:
    """Ten thousand of each; the oldest make room."""
    await store.redis.zadd("gb:deliveries", {f"d_{n}": n for n in range(10_000)})
    await accepted(store)
    assert await store.redis.zcard("gb:deliveries") == 10_000
    assert await store.redis.zscore("gb:deliveries", "d_0") is None
    for index in ("gb:deliveries", "gb:executions"):
        assert 0 < await store.redis.ttl(index) <= RECORD_SECONDS


async def test_switches_that_cannot_be_read_hold_back_what_they_name_and_nothing_else(store: Store) -> None:
    """A damaged switch still is one; a key of another type is none."""
    await accepted(store)
    await accepted(store, "x_2", structs.replace(RECORD, rule="other"))
    await store.redis.hset("gb:paused", "rule r", "{")
    assert (await claimed(store)).execution.id == "x_2"
    await store.redis.delete("gb:paused")
    await store.redis.set("gb:paused", "text", ex=60)
    await make_due_now(store)
    assert (await claimed(store)).execution.id == "x_1"


async def test_a_damaged_record_is_not_hidden_behind_a_pause(store: Store) -> None:
    """Nobody can say what it belongs to, so it is shown."""
    await accepted(store)
    await store.redis.hset("gb:x:x_1", "record", "{damaged")
    await pause(store, "rule", "r", "test", "")
    batch = await store.claim(10)
    assert [id_ for id_, _ in batch.unreadable] == ["x_1"]


async def test_a_paused_rule_does_not_use_up_its_engine_s_probe(store: Store) -> None:
    """The probe goes to one that would run, and only to one."""
    for n in range(3):
        await accepted(store, f"x_{n}", structs.replace(RECORD, rule="paused" if n == 0 else "r"))
    await pause(store, "rule", "paused", "test", "")
    await store.redis.hset("gb:paused", "engine genesis", b'{"by": "", "reason": "", "at": 1, "probe": 1}')
    claim = await claimed(store)
    assert (claim.kind, claim.execution.id) == ("probe", "x_1")
    assert (await store.claim(10)).claims == []


async def test_what_is_held_is_kept_and_gets_its_time_back(store: Store) -> None:
    """Its record lives on, and its deadline moves by as long as it was held."""
    await accepted(store)
    await pause(store, "engine", "genesis", "test", "")
    assert (await store.claim(10)).claims == []
    await store.redis.hincrby("gb:x:x_1", "held", -90_000)
    await store.redis.expire("gb:x:x_1", 60)
    await make_due_now(store)
    assert (await store.claim(10)).claims == []
    assert await store.redis.ttl("gb:x:x_1") > 60
    assert await resume(store, "engine", "genesis", "test")
    await make_due_now(store)
    claim = await claimed(store)
    assert (claim.kind, claim.execution.attempts) == ("start", 1)
    assert claim.deadline_ms == pytest.approx(claim.clock.now_ms() + 150_000, abs=5000)
    assert not await resume(store, "engine", "genesis", "test")


@pytest.mark.parametrize("record", ["7", "null", "{}", '{"rule": 1, "engine": null}'])
async def test_json_that_is_no_record_is_not_hidden_behind_a_pause_either(store: Store, record: str) -> None:
    """It costs itself only."""
    await accepted(store)
    await accepted(store, "x_2")
    await store.redis.hset("gb:x:x_1", "record", record)
    await store.redis.hset("gb:paused", mapping={"engine other": "7", "rule other": '{"probe": "x"}'})
    batch = await store.claim(10)
    assert [id_ for id_, _ in batch.unreadable] == ["x_1"]
    assert [claim.execution.id for claim in batch.claims] == ["x_2"]


async def test_a_switch_that_cannot_be_read_is_shown_and_can_be_turned_off(store: Store) -> None:
    """It holds back, so somebody has to see it."""
    await store.redis.hset("gb:paused", "rule r", "{")
    [switch] = await paused(store)
    assert (switch.kind, switch.name, switch.reason) == ("rule", "r", "the switch cannot be read")
    assert await resume(store, "rule", "r", "test")
    assert await paused(store) == []
