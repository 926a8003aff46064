import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs
from redis.asyncio import Redis

from bridge.errors import StoreUnavailable, Unreadable
from bridge.model import Progress, Status
from bridge.notes import Beside, NewNotification, NotificationClaim
from bridge.records import Claim, DeliveryRecord, Recipient, Record, Step
from bridge.store import MOST_UNCOMMITTED, RECORD_SECONDS, Store

DELIVERY = DeliveryRecord(
    source="github", event="push", action=None, key="guid", reason=None, config="cafe", rules=[{"rule": "r"}]
)
RECORD = Record(
    delivery_id="d_1",
    rule="r",
    source="github",
    engine="genesis",
    template="e2e",
    template_id="7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44",
    variables={"branch": "main"},
    deadline_seconds=60,
    notify=[Recipient("ci", {"url": "https://ci.example.com"})],
)


async def accepted(store: Store, execution_id: str = "x_1", record: Record = RECORD) -> None:
    delivery_id = f"d_of_{execution_id}"
    record = structs.replace(record, delivery_id=delivery_id)
    await store.accept(delivery_id, DELIVERY, "accepted", b"{}", {execution_id: record})


async def claimed(store: Store) -> Claim:
    claims = (await store.claim(10)).claims
    assert len(claims) == 1
    return claims[0]


def told(claim: Claim, status: Status, **more: Any) -> Step:
    again = None if status.final else 0.0
    reached = status not in (Status.QUEUED, Status.TIMED_OUT)
    execution = structs.replace(claim.execution, status=status, **more)
    return Step(execution=execution, again_seconds=again, reached=reached)


def note(notification_id: str, status: Status = Status.COMPLETED, *, in_order: bool = False) -> NewNotification:
    return NewNotification(
        id=notification_id, notifier="ci", status=status, body=b"{}", address={"url": "u"}, in_order=in_order
    )


async def ended(store: Store, *notes: NewNotification) -> None:
    await accepted(store)
    claim = await claimed(store)
    await store.commit(claim, structs.replace(told(claim, Status.COMPLETED), notifications=list(notes)))


async def make_due_now(store: Store, execution_id: str = "x_1") -> None:
    await store.redis.zadd("gb:due", {execution_id: 0})


async def test_an_accepted_delivery_and_its_executions_can_be_read_back(store: Store) -> None:
    """What accept stored is what the API shows."""
    stored = await store.accept("d_1", DELIVERY, "accepted", b"raw", {"x_1": RECORD})
    assert not stored.duplicate
    delivery = await store.delivery("d_1")
    assert delivery is not None
    assert (delivery.source, delivery.outcome, delivery.executions, delivery.rules) == (
        "github",
        "accepted",
        ["x_1"],
        [{"rule": "r"}],
    )
    execution = await store.execution("x_1")
    assert execution is not None
    assert (execution.status, execution.final, execution.variables) == (Status.QUEUED, False, {"branch": "main"})
    assert [change.status for change in execution.history] == [Status.QUEUED]
    assert await store.body("d_1") == b"raw"
    assert await store.body("d_none") is None


async def test_large_bodies_take_less_room_and_come_back_whole(store: Store) -> None:
    """GitHub's JSON repeats itself."""
    body = msgspec.json.encode([{"url": f"https://api.github.com/repos/octo/hello/{n}"} for n in range(200)])
    await store.accept("d_1", DELIVERY, "accepted", body, {})
    assert await store.body("d_1") == body
    assert await store.redis.strlen("gb:b:d_1") < len(body) / 4


async def test_unknown_ids_are_none(store: Store) -> None:
    """Reading what is not there gives None, not an error."""
    assert await store.execution("x_none") is None
    assert await store.delivery("d_none") is None


async def test_every_key_of_a_delivery_expires(store: Store) -> None:
    """No record stays for ever."""
    await ended(store, note("msg_1"))
    for key in await store.redis.keys("gb:[dbxn]:*"):
        assert 0 < await store.redis.ttl(key) <= RECORD_SECONDS


async def test_bodies_go_when_their_time_is_over_and_records_stay(redis_url: str, store: Store) -> None:
    """At least 30 days after their last change, and never shorter than the bodies."""
    for days, record_days in ((1, 30), (60, 60)):
        kept = Store(redis_url, retention=timedelta(days=days))
        await store.redis.flushall()
        await ended(kept, note("msg_1"))
        for pattern, at_most in (("gb:b:*", days), ("gb:[dxn]:*", record_days)):
            for key in await store.redis.keys(pattern):
                assert at_most * 86_400 - 60 < await store.redis.ttl(key) <= at_most * 86_400
        await kept.close()


async def test_a_repeat_is_a_duplicate_with_the_first_ones_executions(store: Store) -> None:
    """The second delivery of the same id changes nothing and tells how the first one stands."""
    await store.accept("d_1", DELIVERY, "accepted", b"", {"x_1": RECORD})
    again = await store.accept("d_1", DELIVERY, "accepted", b"", {"x_1": RECORD})
    assert again.duplicate
    assert again.outcome == "accepted"
    assert again.executions == [("x_1", "r", Status.QUEUED)]
    assert await store.redis.zcard("gb:due") == 1


async def test_fifty_copies_at_once_make_one_record(store: Store) -> None:
    """Concurrent copies are told apart by the store, not by luck."""
    answers = await asyncio.gather(
        *(store.accept("d_1", DELIVERY, "accepted", b"", {"x_1": RECORD}) for _ in range(50))
    )
    assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 49
    assert len((await store.claim(100)).claims) == 1


async def test_a_repeat_runs_when_the_first_started_nothing(store: Store) -> None:
    """A delivery that matched no rule then is matched anew now."""
    await store.accept("d_1", DELIVERY, "no_match", b"", {})
    again = await store.accept("d_1", DELIVERY, "accepted", b"", {"x_1": RECORD})
    assert not again.duplicate
    assert len((await store.claim(10)).claims) == 1


async def test_a_repeat_runs_when_nothing_ever_reached_the_engine(store: Store) -> None:
    """An execution that timed out in the queue does not stand in the way of a redelivery."""
    await store.accept("d_1", DELIVERY, "accepted", b"", {"x_1": RECORD})
    claim = await claimed(store)
    await store.commit(claim, told(claim, Status.TIMED_OUT))
    again = await store.accept("d_1", DELIVERY, "accepted", b"", {"x_1": RECORD})
    assert not again.duplicate
    assert (await claimed(store)).kind == "start"


async def test_a_repeat_is_a_duplicate_when_the_first_records_have_expired(store: Store) -> None:
    """Executions whose records are gone have run: the repeat does not start them again."""
    await store.accept("d_1", DELIVERY, "accepted", b"", {"x_1": RECORD})
    await store.redis.delete("gb:x:x_1")
    again = await store.accept("d_1", DELIVERY, "accepted", b"", {"x_1": RECORD})
    assert again.duplicate
    assert again.executions == []


async def test_a_claim_writes_the_intent_before_anything_is_sent(store: Store) -> None:
    """Claiming a queued execution makes it `starting`, with its attempt counted."""
    await accepted(store)
    claim = await claimed(store)
    assert claim.kind == "start"
    execution = await store.execution("x_1")
    assert execution is not None
    assert (execution.status, execution.attempts) == (Status.STARTING, 1)


async def test_a_claimed_execution_is_nobody_elses_until_its_lease_runs_out(store: Store) -> None:
    """Two workers never hold the same step."""
    await accepted(store)
    await claimed(store)
    batch = await store.claim(10)
    assert batch.claims == []
    assert batch.next_due_seconds is not None
    assert 30 < batch.next_due_seconds <= 40


async def test_an_execution_found_in_starting_is_an_orphan(store: Store) -> None:
    """Whoever takes over from a dead worker learns that nobody knows whether it was sent."""
    await accepted(store)
    await claimed(store)
    await make_due_now(store)
    assert (await claimed(store)).kind == "orphan"


async def test_an_execution_that_waited_past_its_deadline_is_expired(store: Store) -> None:
    """A queue that stood still for too long does not start yesterday's work."""
    await accepted(store, record=structs.replace(RECORD, deadline_seconds=0.0))
    await asyncio.sleep(0.01)
    assert (await claimed(store)).kind == "expired"


async def test_a_commit_is_fenced_by_its_claim(store: Store) -> None:
    """A worker whose poll lease ran out cannot overwrite what its successor wrote."""
    await accepted(store)
    first = await claimed(store)
    await store.commit(first, told(first, Status.RUNNING, remote_id="r"))
    await make_due_now(store)
    slow = await claimed(store)
    await make_due_now(store)
    successor = await claimed(store)
    assert not await store.commit(slow, told(slow, Status.FAILED))
    assert await store.commit(successor, told(successor, Status.COMPLETED))
    execution = await store.execution("x_1")
    assert execution is not None
    assert execution.status == Status.COMPLETED


async def test_the_same_commit_twice_lands_once(store: Store) -> None:
    """A commit whose answer was lost can be sent again."""
    await accepted(store)
    claim = await claimed(store)
    assert await store.commit(claim, told(claim, Status.RUNNING, remote_id="r"))
    assert not await store.commit(claim, told(claim, Status.RUNNING, remote_id="r"))
    execution = await store.execution("x_1")
    assert execution is not None
    assert [change.status for change in execution.history] == [Status.QUEUED, Status.STARTING, Status.RUNNING]


async def test_a_late_answer_resolves_an_unknown_one(store: Store) -> None:
    """The trigger's own answer, arriving after others gave it up, is still believed."""
    await accepted(store)
    slow = await claimed(store)
    await make_due_now(store)
    orphan = await claimed(store)
    await store.commit(orphan, told(orphan, Status.UNKNOWN, reason="lost"))
    assert await store.redis.zrange("gb:dead", 0, -1) == [b"x x_1"]
    assert await store.commit(slow, told(slow, Status.PENDING, remote_id="r", reason=None))
    execution = await store.execution("x_1")
    assert execution is not None
    assert (execution.status, execution.remote_id, execution.reason, execution.finished_at) == (
        Status.PENDING,
        "r",
        None,
        None,
    )
    assert await store.redis.zcard("gb:dead") == 0
    await make_due_now(store)
    assert (await claimed(store)).kind == "poll"


async def test_a_commit_keeps_what_it_found(store: Store) -> None:
    """Progress, outputs, reason and dates are what the API shows afterwards."""
    await accepted(store)
    claim = await claimed(store)
    step = told(claim, Status.PENDING, remote_id="r", url="https://run")
    now = claim.clock.now_ms()
    await store.commit(
        claim, structs.replace(step, started_ms=now, deadline_ms=now + 5, review_since_ms=now, note="two\nlines")
    )
    await make_due_now(store)
    poll = await claimed(store)
    assert (poll.kind, poll.review_since_ms, poll.deadline_ms) == ("poll", pytest.approx(now), pytest.approx(now + 5))
    done = told(poll, Status.COMPLETED, progress=Progress(5, 5), outputs={"summary": "fine"}, reason="ok")
    await store.commit(poll, structs.replace(done, notifications=[note("msg_1")]))
    execution = await store.execution("x_1")
    assert execution is not None
    assert (execution.progress, execution.outputs, execution.url) == (
        Progress(5, 5),
        {"summary": "fine"},
        "https://run",
    )
    assert execution.final
    assert execution.started_at is not None
    assert execution.finished_at is not None
    assert execution.history[2].note == "two lines"
    assert [(sent.id, sent.state) for sent in execution.notifications] == [("msg_1", "due")]


async def test_the_end_of_a_review_is_forgotten(store: Store) -> None:
    """Leaving the review clears its beginning."""
    await accepted(store)
    claim = await claimed(store)
    await store.commit(claim, structs.replace(told(claim, Status.REVIEW_PENDING), review_since_ms=5.0))
    await make_due_now(store)
    poll = await claimed(store)
    await store.commit(poll, told(poll, Status.RUNNING))
    await make_due_now(store)
    assert (await claimed(store)).review_since_ms is None


async def test_a_record_that_is_gone_leaves_the_schedule_for_the_dead_letters(store: Store) -> None:
    """An id without a record is shown to a person instead of being claimed for ever."""
    await make_due_now(store, "x_gone")
    batch = await store.claim(10)
    assert (batch.claims, batch.unreadable, batch.next_due_seconds) == ([], [], None)
    [dead] = await store.redis.zrange("gb:dead", 0, -1)
    assert dead.startswith(b"x x_gone ")


async def test_a_foreign_value_does_not_stop_the_others(store: Store) -> None:
    """A key of another type under an execution's name costs that one only."""
    await accepted(store)
    await store.redis.set("gb:x:x_foreign", "not a hash", ex=60)
    await make_due_now(store, "x_foreign")
    batch = await store.claim(10)
    assert [claim.execution.id for claim in batch.claims] == ["x_1"]
    assert await store.redis.zcard("gb:dead") == 1


async def test_a_damaged_record_is_named_and_can_be_buried(store: Store) -> None:
    """A record that cannot be decoded is reported with its reason, and the rest of the batch goes on."""
    await accepted(store)
    await accepted(store, "x_2")
    await store.redis.hset("gb:x:x_2", "record", "{damaged")
    batch = await store.claim(10)
    assert [claim.execution.id for claim in batch.claims] == ["x_1"]
    [(execution_id, reason)] = batch.unreadable
    assert execution_id == "x_2"
    assert "cannot be read" in reason
    await store.bury(execution_id, reason)
    assert await store.redis.zscore("gb:due", "x_2") is None
    assert await store.redis.zcard("gb:dead") == 1


async def test_accept_rings_the_bell(store: Store) -> None:
    """A waiting worker wakes at once, and many accepts leave one ring behind."""
    assert not await store.wait_for_bell(1)
    waiting = asyncio.create_task(store.wait_for_bell(5))
    await asyncio.sleep(0.05)
    await accepted(store)
    assert await waiting
    await accepted(store, "x_2")
    await accepted(store, "x_3")
    assert await store.redis.llen("gb:bell") == 1


async def held(store: Store, notification_id: str = "msg_1") -> NotificationClaim:
    claim = await store.claim_notification(notification_id)
    assert isinstance(claim, NotificationClaim), claim
    return claim


async def test_a_notification_is_attempted_by_one_at_a_time(store: Store) -> None:
    """A second job for the same notification finds it taken."""
    await ended(store, note("msg_1"))
    claim = await held(store)
    assert (claim.attempt, claim.body, claim.address) == (1, b"{}", {"url": "u"})
    assert await store.claim_notification("msg_1") is None


async def test_a_delivered_notification_is_not_sent_again(store: Store) -> None:
    """Delivered is the end, and its body is not kept."""
    await ended(store, note("msg_1"))
    assert await store.commit_notification(await held(store), "delivered")
    assert await store.claim_notification("msg_1") is None
    assert not await store.redis.hexists("gb:n:msg_1", "body")
    assert await store.redis.zcard("gb:outbox") == 0


async def test_a_failed_attempt_is_due_again_later(store: Store) -> None:
    """Until its time comes it cannot be claimed; the record says when, and why."""
    await ended(store, note("msg_1"))
    await store.commit_notification(await held(store), "due", error="HTTP 500", again_seconds=60)
    assert await store.claim_notification("msg_1") is None
    execution = await store.execution("x_1")
    assert execution is not None
    [shown] = execution.notifications
    assert (shown.state, shown.attempts, shown.last_error) == ("due", 1, "HTTP 500")
    assert shown.next_attempt is not None


async def test_a_dead_notification_keeps_its_body_and_is_listed(store: Store) -> None:
    """A person can still have it sent."""
    await ended(store, note("msg_1"))
    await store.commit_notification(await held(store), "dead", error="gone")
    assert await store.redis.zrange("gb:dead", 0, -1) == [b"n msg_1"]
    assert await store.redis.hexists("gb:n:msg_1", "body")


async def test_an_attempt_whose_holder_died_is_made_again(store: Store) -> None:
    """After the lease the same notification, under the same id, can be claimed; the dead holder cannot commit."""
    await ended(store, note("msg_1"))
    dead_holder = await held(store)
    await store.redis.hset("gb:n:msg_1", "next", "0")
    assert (await held(store)).attempt == 2
    assert not await store.commit_notification(dead_holder, "delivered")


async def test_a_notification_that_is_gone_is_nobodys(store: Store) -> None:
    """An id without a record leaves the outbox."""
    await store.redis.zadd("gb:outbox", {"msg_gone": 0})
    assert await store.claim_notification("msg_gone") is None
    assert await store.redis.zcard("gb:outbox") == 0


async def test_the_same_notification_is_added_once(store: Store) -> None:
    """An unknown one that becomes unknown again does not tell it twice."""
    await accepted(store)
    claim = await claimed(store)
    step = structs.replace(told(claim, Status.PENDING), notifications=[note("msg_1"), note("msg_1")])
    await store.commit(claim, step)
    execution = await store.execution("x_1")
    assert execution is not None
    assert len(execution.notifications) == 1


async def two_in_a_row(store: Store) -> None:
    await accepted(store)
    claim = await claimed(store)
    first = note("msg_1", Status.PENDING, in_order=True)
    await store.commit(claim, structs.replace(told(claim, Status.PENDING), notifications=[first]))
    await make_due_now(store)
    poll = await claimed(store)
    second = note("msg_2", in_order=True)
    await store.commit(poll, structs.replace(told(poll, Status.COMPLETED), notifications=[second]))


async def test_in_a_chat_the_newer_message_replaces_an_unsent_older_one(store: Store) -> None:
    """A result is never followed by `started`."""
    await two_in_a_row(store)
    assert await store.claim_notification("msg_1") is None
    assert (await held(store, "msg_2")).attempt == 1
    execution = await store.execution("x_1")
    assert execution is not None
    assert [shown.state for shown in execution.notifications] == ["superseded", "sending"]


async def test_in_a_chat_the_newer_message_waits_while_the_older_is_on_the_wire(store: Store) -> None:
    """Two messages of one execution are never on the way at once."""
    await accepted(store)
    claim = await claimed(store)
    first = note("msg_1", Status.PENDING, in_order=True)
    await store.commit(claim, structs.replace(told(claim, Status.PENDING), notifications=[first]))
    sending = await held(store, "msg_1")
    await make_due_now(store)
    poll = await claimed(store)
    await store.commit(
        poll, structs.replace(told(poll, Status.COMPLETED), notifications=[note("msg_2", in_order=True)])
    )
    assert await store.claim_notification("msg_2") == 0.25
    await store.commit_notification(sending, "delivered")
    assert (await held(store, "msg_2")).attempt == 1


def progress(body: bytes, **more: Any) -> NewNotification:
    new = note("msg_p", Status.RUNNING, in_order=True)
    return structs.replace(new, body=body, again=True, lane="C1", **more)


async def moved(store: Store, *notes: NewNotification) -> None:
    """Commit a poll that has something to tell, whatever it is."""
    await make_due_now(store)
    poll = await claimed(store)
    await store.commit(poll, structs.replace(told(poll, Status.RUNNING), notifications=list(notes)))


async def free(store: Store) -> None:
    """Let the second pass that a place wants between two messages, and the two that a message wants."""
    await store.redis.delete("gb:lane:C1")
    await store.redis.hset("gb:n:msg_p", "next", 1)  # type: ignore[misc]


async def test_progress_is_one_notification_that_tells_anew(store: Store) -> None:
    """However often it moves there is one record, and what it tells is the last of it, not at once again."""
    await accepted(store)
    await moved(store, progress(b"1/5"))
    first = await held(store, "msg_p")
    assert (first.body, first.version) == (b"1/5", 0)
    await store.commit_notification(first, "delivered", made="C1 17.1")
    await moved(store, progress(b"2/5"))
    await moved(store, progress(b"3/5"))
    wait = await store.claim_notification("msg_p")
    assert isinstance(wait, float)
    assert 1.5 < wait <= 2
    await free(store)
    second = await held(store, "msg_p")
    assert (second.body, second.version, second.attempt, second.made) == (b"3/5", 2, 1, "C1 17.1")
    found = await store.execution("x_1")
    assert found is not None
    assert [one.id for one in found.notifications] == ["msg_p"]


async def test_what_moves_while_it_is_told_is_told_again(store: Store) -> None:
    """The body that was on the wire is not the last word."""
    await accepted(store)
    await moved(store, progress(b"1/5"))
    first = await held(store, "msg_p")
    await moved(store, progress(b"2/5"))
    assert await store.claim_notification("msg_p") is None
    assert await store.commit_notification(first, "delivered") == "newer"
    await free(store)
    assert (await held(store, "msg_p")).body == b"2/5"


async def test_a_result_supersedes_progress_and_later_progress_a_review(store: Store) -> None:
    """The newest of an execution is what is told, whatever the order in which they were first written."""
    await accepted(store)
    await moved(store, progress(b"1/5"), structs.replace(note("msg_r", Status.REVIEW_PENDING, in_order=True)))
    await moved(store, progress(b"2/5"))
    assert await store.claim_notification("msg_r") is None
    await make_due_now(store)
    poll = await claimed(store)
    result = note("msg_c", in_order=True)
    await store.commit(poll, structs.replace(told(poll, Status.COMPLETED), notifications=[result]))
    assert await store.claim_notification("msg_p") is None
    assert (await held(store, "msg_c")).body == b"{}"
    found = await store.execution("x_1")
    assert found is not None
    assert [(one.id, one.state) for one in found.notifications] == [
        ("msg_r", "superseded"),
        ("msg_p", "superseded"),
        ("msg_c", "sending"),
    ]


async def test_a_dead_progress_stays_dead(store: Store) -> None:
    """It is among the dead letters with its reason; that a run moves on does not bring it back."""
    await accepted(store)
    await moved(store, progress(b"1/5"))
    await store.commit_notification(await held(store, "msg_p"), "dead", error="no such channel")
    await moved(store, progress(b"2/5"))
    assert await store.claim_notification("msg_p") is None


async def test_a_place_gets_one_message_a_second(store: Store) -> None:
    """Whoever comes too soon is told when to come again, over all executions."""
    for n in (1, 2):
        await accepted(store, f"x_{n}")
    for claim in (await store.claim(10)).claims:
        new = structs.replace(note(f"msg_{claim.execution.id}"), lane="C1")
        await store.commit(claim, structs.replace(told(claim, Status.COMPLETED), notifications=[new]))
    assert isinstance(await store.claim_notification("msg_x_1"), NotificationClaim)
    wait = await store.claim_notification("msg_x_2")
    assert isinstance(wait, float)
    assert 0.5 < wait <= 1
    await store.redis.delete("gb:lane:C1")
    assert isinstance(await store.claim_notification("msg_x_2"), NotificationClaim)


async def test_a_place_that_says_too_many_gets_nothing_for_so_long(store: Store) -> None:
    """Whatever else is to be told there would be refused as well."""
    for n in (1, 2):
        await accepted(store, f"x_{n}")
    for claim in (await store.claim(10)).claims:
        new = structs.replace(note(f"msg_{claim.execution.id}"), lane="C1")
        await store.commit(claim, structs.replace(told(claim, Status.COMPLETED), notifications=[new]))
    refused = await held(store, "msg_x_1")
    await store.commit_notification(refused, "due", error="HTTP 429", again_seconds=30, hold_seconds=30)
    wait = await store.claim_notification("msg_x_2")
    assert isinstance(wait, float)
    assert 29 < wait <= 30


async def test_what_is_made_for_an_execution_that_is_gone_leaves_nothing(store: Store) -> None:
    """Its record has expired meanwhile: no key may come back without an end."""
    await ended(store, note("msg_1"))
    claim = await held(store)
    await store.redis.delete("gb:x:x_1")
    await store.commit_notification(claim, "delivered", made="C1 1.2")
    assert not await store.redis.exists("gb:x:x_1")


async def test_what_is_told_of_a_delivery_just_taken_is_stored_with_it(store: Store) -> None:
    """Each execution's own, beside what whoever gave a command hears; the sweep rings for all of them."""
    records = {f"x_{n}": RECORD for n in (1, 2)}
    queued = {
        "x_1": [note("msg_1", Status.QUEUED), note("msg_2", Status.QUEUED)],
        "x_2": [note("msg_3", Status.QUEUED)],
    }
    await store.accept(
        "d_1", DELIVERY, "accepted", b"{}", records, Beside(told=note("msg_0", Status.QUEUED), queued=queued)
    )
    assert sorted(await store.ring(10)) == ["msg_0", "msg_1", "msg_2", "msg_3"]
    for id_, count in (("x_1", 2), ("x_2", 1)):
        found = await store.execution(id_)
        assert found is not None
        assert len(found.notifications) == count
    delivery = await store.delivery("d_1")
    assert delivery is not None
    assert [one.id for one in delivery.notifications] == ["msg_0"]
    await store.redis.delete("gb:bell")
    assert await store.wait_for_bell(1) == "msg_0"  # what waits only to be superseded is left to the sweep
    assert await store.wait_for_bell(1) is False


async def test_the_sweep_names_what_nobody_attempted_and_not_at_once_again(store: Store) -> None:
    """A lost ring is made up for once per round."""
    await ended(store, note("msg_1"))
    assert await store.ring(10) == []
    await store.redis.zadd("gb:outbox", {"msg_1": 0})
    assert await store.ring(10) == ["msg_1"]
    assert await store.ring(10) == []


async def test_scripts_come_back_after_a_flush(store: Store) -> None:
    """A Redis that forgot the scripts is taught them again within the same call."""
    await store.redis.script_flush()
    await accepted(store)
    assert len((await store.claim(10)).claims) == 1


async def test_calls_of_one_moment_share_a_round_trip(store: Store) -> None:
    """A hundred concurrent accepts need a handful of connections."""
    await asyncio.gather(*(accepted(store, f"x_{n}") for n in range(100)))
    assert len((await store.claim(200)).claims) == 100
    info: dict[str, Any] = await store.redis.info("clients")
    assert info["connected_clients"] < 10


async def test_a_cancelled_call_does_not_disturb_the_others(store: Store) -> None:
    """Whoever gives up gets nothing; the rest of the batch gets its own answers."""
    cancelled = asyncio.create_task(accepted(store, "x_1"))
    kept = asyncio.create_task(accepted(store, "x_2"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cancelled.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await cancelled
    await kept
    assert await store.execution("x_2") is not None


async def test_an_unreachable_server_is_said_so(tmp_path: Any) -> None:
    """Every call raises StoreUnavailable instead of a library's error, and soon."""
    away = Store(f"unix://{tmp_path}/nobody.sock")
    for call in (away.open, away.probe, lambda: away.claim(1), lambda: away.execution("x"), lambda: away.bury("x", "")):
        with pytest.raises(StoreUnavailable):
            await call()
    with pytest.raises(StoreUnavailable):
        await accepted(away)
    await away.close()


async def test_an_accept_survives_a_connection_that_was_closed_meanwhile(store: Store) -> None:
    """After a Redis restart the first delivery is not refused for the sake of a stale connection."""
    await store.probe()
    other = Redis.from_url(store.url)
    await other.client_kill_filter(_type="normal", skipme=True)
    await other.aclose()
    await accepted(store)
    assert await store.execution("x_1") is not None


async def test_an_accept_repeated_after_a_lost_answer_is_no_duplicate(store: Store) -> None:
    """The attempt's id tells our own earlier call from another sender's."""
    record = [msgspec.json.encode(DELIVERY), "accepted", b"", 60, 60, "", 0]
    keys = ["gb:due", "gb:bell", "gb:outbox"]
    answers = [await store.run("accept", keys, ["d_1", "attempt", *record]) for _ in range(2)]
    assert answers == [[b"stored"], [b"stored"]]


@pytest.mark.parametrize(("field", "value"), [("deadline", "soon"), ("attempts", "many"), ("history", None)])
async def test_a_damaged_field_costs_its_own_execution_only(store: Store, field: str, value: str | None) -> None:
    """What the claim cannot work with goes to the dead letters, and the rest of the batch is claimed."""
    await accepted(store)
    await accepted(store, "x_2")
    if value is None:
        await store.redis.hdel("gb:x:x_1", field)
    else:
        await store.redis.hset("gb:x:x_1", field, value)
    batch = await store.claim(10)
    assert [claim.execution.id for claim in batch.claims] == ["x_2"]
    assert await store.redis.zrange("gb:dead", 0, -1) == [b"x x_1 the record cannot be read"]
    assert await store.redis.zscore("gb:due", "x_1") is None


@pytest.mark.parametrize(
    ("field", "value"), [("record", "{"), ("record", '{"execution": 1}'), ("next", "soon"), ("attempts", "many")]
)
async def test_a_damaged_notification_goes_to_the_dead_letters(store: Store, field: str, value: str) -> None:
    """It is not rung for again and again, and its execution can still be looked at."""
    await ended(store, note("msg_1"))
    await store.redis.hset("gb:n:msg_1", field, value)
    assert await store.claim_notification("msg_1") is None
    [dead] = await store.redis.zrange("gb:dead", 0, -1)
    assert dead.startswith(b"n msg_1 the record cannot be read")
    assert await store.redis.zcard("gb:outbox") == 0
    execution = await store.execution("x_1")
    assert execution is not None
    assert [(one.id, one.state) for one in execution.notifications] == [("msg_1", "dead")] or field == "next"


async def test_a_foreign_notification_goes_to_the_dead_letters(store: Store) -> None:
    """Another kind of value under its name costs nobody else anything."""
    await ended(store, note("msg_1", in_order=True), note("msg_2", in_order=True))
    await store.redis.delete("gb:n:msg_1")
    await store.redis.set("gb:n:msg_1", "whose is this?")
    assert await store.claim_notification("msg_1") is None
    assert await store.claim_notification("msg_2") is not None
    assert await store.redis.zrange("gb:dead", 0, -1) == [b"n msg_1 the record cannot be read"]
    execution = await store.execution("x_1")
    assert execution is not None
    assert "is not ours" in (execution.notifications[0].last_error or "")


async def test_a_damaged_neighbour_does_not_hold_up_a_chat(store: Store) -> None:
    """Its notifier is unknown, so the next message is sent."""
    await ended(store, note("msg_1", in_order=True), note("msg_2", in_order=True))
    await store.redis.hset("gb:n:msg_1", "record", "{")
    assert await store.claim_notification("msg_2") is not None


async def test_a_full_redis_takes_no_notification_out_of_the_outbox(store: Store) -> None:
    """It is no damaged record, and is attempted when there is room again."""
    await ended(store, note("msg_1"))
    await store.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await store.claim_notification("msg_1")
    finally:
        await store.redis.config_set("maxmemory", 0)
    assert await store.claim_notification("msg_1") is not None


async def test_a_delivery_takes_the_place_of_a_foreign_value(store: Store) -> None:
    """What stands under its name is nobody's record, and a repeat of the delivery is a duplicate again."""
    for key in ("gb:d:d_of_x_1", "gb:b:d_of_x_1", "gb:x:x_1"):
        await store.redis.lpush(key, "whose is this?")
    await accepted(store)
    assert (await claimed(store)).execution.id == "x_1"
    await accepted(store)
    assert (await store.claim(10)).claims == []


@pytest.mark.parametrize("key", ["gb:d:d_of_x_1", "gb:x:x_1"])
async def test_a_record_that_cannot_be_read_is_said_so(store: Store, key: str) -> None:
    """Damaged or foreign, with the reason; not that it does not exist."""
    read = store.delivery if key.startswith("gb:d:") else store.execution
    await accepted(store)
    for change in (store.redis.hset(key, "record", "{"), store.redis.hdel(key, "record")):
        await change
        with pytest.raises(Unreadable, match="the record cannot be read"):
            await read(key[5:])
    await store.redis.delete(key)
    await store.redis.set(key, "whose is this?")
    with pytest.raises(Unreadable, match="not ours"):
        await read(key[5:])


async def test_other_refusals_of_redis_are_no_foreign_values(store: Store) -> None:
    """A server that lets us read nothing is unavailable, not full of foreign values."""
    await store.redis.execute_command("ACL", "SETUSER", "default", "-hgetall")
    try:
        with pytest.raises(StoreUnavailable, match="hgetall"):
            await store.execution("x_1")
    finally:
        await store.redis.execute_command("ACL", "SETUSER", "default", "+hgetall")


async def test_an_execution_whose_polls_end_workers_is_found_out(store: Store) -> None:
    """After ten claims in a row that nobody committed it is claimed as poison; one commit in between starts anew."""
    await accepted(store)
    await store.commit(*((claim := await claimed(store)), told(claim, Status.PENDING, remote_id="r")))
    kinds = []
    for attempt in range(2 * MOST_UNCOMMITTED):
        await make_due_now(store)
        claim = await claimed(store)
        kinds.append(claim.kind)
        if attempt == MOST_UNCOMMITTED - 2:
            await store.commit(claim, told(claim, Status.RUNNING))
    assert kinds == ["poll"] * (2 * MOST_UNCOMMITTED - 1) + ["poison"]
