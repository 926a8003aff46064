"""One step at a time, with engines and notifiers that do as they are told."""

import math
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec import Struct, structs

from bridge.clock import Clock, rfc3339
from bridge.config import Config
from bridge.contracts import Engine, Notifier
from bridge.duration import Duration
from bridge.errors import Ambiguous, Blocked, Permanent, Throttled, Transient
from bridge.model import Change, Execution, Link, Message, Progress, Status
from bridge.outbound import Outbound
from bridge.parts import Bridge
from bridge.pipeline import step
from bridge.records import Claim, Recipient, Record, Step
from bridge.rules import RuleSet
from bridge.runs import File, Order, Poll, Snapshot, Started
from bridge.store import Store

NOW_MS = 1_800_000_000_000.0
POLL = Poll(first=Duration(seconds=1), max=Duration(seconds=15))


class Puppet(Engine, frozen=True, kw_only=True, tag="puppet"):
    says: list[Any]
    once: bool = False
    takes_back: Any = None

    def credentials(self) -> tuple[str, ...]:
        return ("nobody",)

    async def trigger(self, outbound: Outbound, order: Order, not_after: float) -> Started:
        return self._said(Started)

    async def fetch(self, outbound: Outbound, remote_id: str) -> Snapshot:
        return self._said(Snapshot)

    def repeatable(self, order: Order) -> bool:
        return self.once

    async def cancel(self, outbound: Outbound, remote_id: str) -> str | None:
        if isinstance(self.takes_back, Exception):
            raise self.takes_back
        told: str | None = self.takes_back
        return told

    def _said(self, kind: type[Any]) -> Any:
        said = self.says[0]
        if isinstance(said, Exception):
            raise said
        assert isinstance(said, kind)
        return said


class Teller(Notifier, frozen=True, kw_only=True, tag="teller"):
    in_order = True

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        return {}

    def wants(self, status: Status) -> bool:
        return status in (Status.PENDING, Status.COMPLETED, Status.UNKNOWN)

    def compose(self, execution: Execution, name: str) -> bytes:
        return msgspec.json.encode(execution)

    async def send(self, outbound: Outbound, message: Message) -> None:
        raise AssertionError("nothing is sent here")


class Given(Struct):
    """A claim on one execution, as a test wants it."""

    kind: str = "poll"
    status: Status = Status.RUNNING
    attempts: int = 1
    age_seconds: float = 10.0
    deadline_seconds: float = 3600.0
    review_since_ms: float | None = None
    on_unknown: str = "hold"
    engine: str = "puppet"
    notifiers: tuple[str, ...] = ("teller",)
    reason: str | None = None
    sent_seconds_ago: float | None = None
    progress: Progress | None = None

    def claim(self) -> Claim:
        record = Record(
            delivery_id="d_1",
            rule="r",
            source="s",
            engine=self.engine,
            template="t",
            template_id="id",
            variables={},
            deadline_seconds=self.deadline_seconds,
            on_unknown=self.on_unknown,
            notify=[Recipient(name, {"to": "x"}) for name in self.notifiers],
        )
        execution = Execution(
            id="x_1",
            delivery_id="d_1",
            rule="r",
            source="s",
            engine=self.engine,
            template="t",
            variables={},
            status=self.status,
            final=False,
            remote_id="run",
            attempts=self.attempts,
            reason=self.reason,
            created_at="2027-01-15T08:00:00.000Z",
            progress=self.progress,
            history=[]
            if self.sent_seconds_ago is None
            else [Change(rfc3339(NOW_MS - self.sent_seconds_ago * 1000), self.status)],
        )
        return Claim(
            kind=self.kind,
            token="token",
            execution=execution,
            record=record,
            clock=Clock.starting_now().reading(NOW_MS),
            deadline_ms=NOW_MS + (self.deadline_seconds - self.age_seconds) * 1000,
            review_since_ms=self.review_since_ms,
        )


async def taken(given: Given, says: Any, since: float = -math.inf, **puppet: Any) -> Step:
    config = Config(
        sources={},
        engines={"puppet": Puppet(says=[says], poll=POLL, **puppet)},
        templates={},
        notifiers={"teller": Teller()},
        ruleset=RuleSet([], {}),
        hash="",
        files=(),
    )
    bridge = Bridge(
        config=config,
        store=Store("unix:///nobody"),
        outbound=Outbound(user_agent="test"),
        public_url="http://x",
        since=since,
    )
    try:
        return await step(bridge, given.claim())
    finally:
        await bridge.outbound.aclose()
        await bridge.store.close()


START = Given(kind="start", status=Status.STARTING)


async def test_a_start_makes_an_execution_pending_with_its_deadline_counted_from_now() -> None:
    """The queue's waiting time is not taken off the run's."""
    found = await taken(START, Started(remote_id="r-1", url="https://run"))
    assert (found.execution.status, found.execution.remote_id, found.execution.url) == (
        Status.PENDING,
        "r-1",
        "https://run",
    )
    assert found.reached
    assert found.again_seconds is not None
    assert 0.8 <= found.again_seconds <= 1.2
    assert found.deadline_ms == pytest.approx(NOW_MS + 3600_000, abs=5000)


async def test_what_was_not_sent_is_queued_again_with_growing_waits() -> None:
    """1, 2, 4 ... seconds, at most a minute, and nothing counts as having reached the engine."""
    for attempts, wait in ((1, 1), (2, 2), (3, 4), (7, 60), (50, 60)):
        found = await taken(structs.replace(START, attempts=attempts), Transient("connection refused"))
        assert (found.execution.status, found.execution.reason) == (Status.QUEUED, "connection refused")
        assert found.again_seconds is not None
        assert wait * 0.8 <= found.again_seconds <= wait * 1.2
        assert not found.reached


async def test_the_engines_own_wish_decides_the_wait() -> None:
    """Retry-After counts more than our own back-off."""
    found = await taken(START, Transient("HTTP 429", 30))
    assert found.again_seconds is not None
    assert 24 <= found.again_seconds <= 36


async def test_a_refusal_is_final() -> None:
    """The engine's words are the reason, and a repeat of the delivery does not start it."""
    found = await taken(START, Permanent("Unexpected fields in payload"))
    assert (found.execution.status, found.execution.reason, found.again_seconds, found.reached) == (
        Status.REJECTED,
        "Unexpected fields in payload",
        None,
        True,
    )


async def test_a_refusal_of_everybody_is_final_for_whoever_meets_it_but_not_for_a_probe() -> None:
    """A bad key rejects the execution in the engine's words; one that was only sent to see goes on waiting."""
    found = await taken(START, Blocked("Invalid API key"))
    assert (found.execution.status, found.execution.reason, found.reached) == (
        Status.REJECTED,
        "Invalid API key",
        True,
    )
    probe = await taken(structs.replace(START, kind="probe"), Blocked("Invalid API key"))
    assert (probe.execution.status, probe.execution.reason) == (Status.QUEUED, "Invalid API key")
    assert not probe.reached
    assert probe.notifications == []


async def test_a_probe_is_a_start() -> None:
    """Whatever comes of switching the engine on again."""
    found = await taken(structs.replace(START, kind="probe"), Started(remote_id="r-1"))
    assert found.execution.status == Status.PENDING


async def test_an_ambiguous_trigger_is_unknown() -> None:
    """It is held for a person, and told."""
    found = await taken(START, Ambiguous("no answer"))
    assert (found.execution.status, found.again_seconds, found.reached) == (Status.UNKNOWN, None, True)
    assert [new.notifier for new in found.notifications] == ["teller"]


async def test_an_ambiguous_trigger_is_repeated_a_few_times_where_the_rule_allows() -> None:
    """`on_unknown: retry` has an end."""
    again = await taken(structs.replace(START, on_unknown="retry", attempts=2), Ambiguous("no answer"))
    assert again.execution.status == Status.QUEUED
    assert again.reached
    last = await taken(structs.replace(START, on_unknown="retry", attempts=3), Ambiguous("no answer"))
    assert last.execution.status == Status.UNKNOWN


async def test_a_defect_in_an_adapter_counts_as_ambiguous() -> None:
    """Nobody can say whether the request left before it broke."""
    found = await taken(START, ZeroDivisionError("oops"))
    assert found.execution.status == Status.UNKNOWN
    assert found.execution.reason == "unexpected ZeroDivisionError in the engine adapter"


async def test_an_orphan_is_unknown() -> None:
    """Its holder died between intent and answer."""
    found = await taken(Given(kind="orphan", status=Status.STARTING), None)
    assert found.execution.status == Status.UNKNOWN
    assert "worker was lost" in str(found.execution.reason)


ORPHAN = Given(kind="orphan", status=Status.STARTING, sent_seconds_ago=60)


async def test_an_orphan_is_sent_again_where_that_runs_once() -> None:
    """An engine that knows its key takes it now, or says that it has; nobody has to look."""
    found = await taken(ORPHAN, Started(remote_id="r-1", reason="but"), once=True)
    assert (found.execution.status, found.execution.remote_id, found.execution.reason) == (
        Status.PENDING,
        "r-1",
        "but",
    )
    assert found.note == "the worker was lost while the trigger was on its way; sent again under the same key"


@pytest.mark.parametrize("says", [Transient("no connection"), Permanent("HTTP 422"), Blocked("HTTP 402"), ValueError()])
async def test_only_that_it_has_begun_says_anything_of_an_orphan(says: Exception) -> None:
    """Whatever else comes of sending it again, the first may have run."""
    found = await taken(ORPHAN, says, once=True)
    assert found.execution.status == Status.UNKNOWN
    assert "the worker was lost while the trigger was on its way" in str(found.execution.reason)


@pytest.mark.parametrize("given", [structs.replace(ORPHAN, sent_seconds_ago=age) for age in (None, 23 * 3600 + 1)])
async def test_an_orphan_whose_key_may_be_forgotten_is_not_sent_again(given: Given) -> None:
    """Keys have an end; so has the trust in them, and where nobody knows how old it is, there is none."""
    found = await taken(given, Started(remote_id="r-1"), once=True)
    assert found.execution.status == Status.UNKNOWN


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("it was taken back", "; it was taken back"),
        (Transient("HTTP 500"), "; it could not be cancelled: HTTP 500"),
        (ValueError(), "; it could not be cancelled: unexpected ValueError in the engine adapter"),
        (None, ""),
    ],
)
async def test_what_is_too_late_is_taken_back_where_that_can_be_asked(says: Any, told: str) -> None:
    """Whatever comes of it, the execution has timed out, and says both."""
    late = Given(age_seconds=3601)
    found = await taken(late, Snapshot(status=Status.RUNNING), takes_back=says)
    assert (found.execution.status, found.execution.reason) == (Status.TIMED_OUT, f"not finished within 60 min{told}")
    assert found.note == found.execution.reason


@pytest.mark.parametrize(
    ("was", "seen", "now"),
    [
        (Progress(0, 6), Snapshot(status=Status.RUNNING, done=2), Progress(2, 6)),
        (Progress(4, 6), Snapshot(status=Status.RUNNING, done=2), Progress(4, 6)),
        (Progress(4, 6), Snapshot(status=Status.RUNNING, done=9), Progress(6, 6)),
        (Progress(4, 6), Snapshot(status=Status.RUNNING), Progress(4, 6)),
        (None, Snapshot(status=Status.RUNNING, done=2), None),
    ],
)
async def test_progress_is_what_is_done_of_what_the_start_named(
    was: Progress | None, seen: Snapshot, now: Progress | None
) -> None:
    """It never goes back: whoever looks now need not have heard all that was told before."""
    assert (await taken(Given(progress=was), seen)).execution.progress == now


async def test_a_start_may_say_how_much_there_is_to_do_and_what_a_person_should_know() -> None:
    """Both stand in the execution, the latter in its history, too."""
    found = await taken(START, Started(remote_id="r", progress=Progress(0, 6), reason="not all of it runs"))
    assert (found.execution.progress, found.execution.reason, found.note) == (
        Progress(0, 6),
        "not all of it runs",
        "not all of it runs",
    )


async def test_what_ends_worker_after_worker_is_asked_no_more() -> None:
    """It is lost, and says why; the engine is not asked."""
    found = await taken(Given(kind="poison", status=Status.RUNNING), None)
    assert found.execution.status == Status.LOST
    assert "worker after worker" in str(found.execution.reason)


async def test_what_could_not_be_started_in_time_is_timed_out() -> None:
    """The reason says what kept it."""
    found = await taken(Given(kind="expired", status=Status.QUEUED, reason="connection refused"), None)
    assert found.execution.status == Status.TIMED_OUT
    assert str(found.execution.reason).endswith("before its deadline: connection refused")
    assert not found.reached
    found = await taken(Given(kind="expired", status=Status.QUEUED), None)
    assert str(found.execution.reason).endswith("before its deadline")


async def test_an_engine_that_is_no_longer_configured_ends_its_executions() -> None:
    """Not started: rejected; running: lost, for nobody can look any more."""
    for kind, status in (("start", Status.REJECTED), ("poll", Status.LOST)):
        found = await taken(Given(kind=kind, engine="removed", age_seconds=301), None, time.monotonic() - 301)
        assert found.execution.status == status
        assert "'removed' is no longer configured" in str(found.execution.reason)


async def test_an_engine_that_is_not_configured_here_yet_is_waited_for() -> None:
    """The process that took the delivery may have read the new configuration sooner; nothing ends meanwhile."""
    start = await taken(Given(kind="start", status=Status.STARTING, engine="new", age_seconds=299), None)
    assert start.execution.status == Status.QUEUED
    assert start.execution.reason == "waiting: the configuration here has no engine 'new' (yet)"
    assert start.again_seconds is not None
    assert start.again_seconds <= 1.2
    assert not start.reached
    poll = await taken(Given(engine="new"), None)
    assert (poll.execution.status, poll.execution.reason) == (Status.RUNNING, start.execution.reason)
    assert poll.again_seconds is not None
    assert 4 <= poll.again_seconds <= 6


async def test_an_engine_taken_out_by_mistake_may_come_back() -> None:
    """For five minutes from the change no run is given up, however old it is."""
    found = await taken(Given(engine="removed", age_seconds=2000), None, since=time.monotonic() - 290)
    assert found.execution.status == Status.RUNNING


async def test_a_step_whose_message_cannot_be_composed_here_yet_waits() -> None:
    """Nobody would be told of what it finds; what an older execution names was taken out, and holds up nothing."""
    ended = Snapshot(status=Status.COMPLETED)
    young = await taken(Given(notifiers=("teller", "new")), ended)
    assert young.execution.reason == "waiting: the configuration here has no notifier 'new' (yet)"
    assert (young.execution.status, young.notifications) == (Status.RUNNING, [])
    old = await taken(Given(notifiers=("gone", "teller"), age_seconds=301), ended, since=time.monotonic())
    assert old.execution.status == Status.COMPLETED
    assert [new.notifier for new in old.notifications] == ["teller"]


async def test_a_poll_keeps_progress_and_slows_down_with_age() -> None:
    """Young runs are looked at often, old ones every `max`."""
    for age, wait in ((0.5, 1), (10, 5), (600, 15)):
        found = await taken(Given(age_seconds=age), Snapshot(status=Status.RUNNING, progress=Progress(2, 5)))
        assert found.execution.progress == Progress(2, 5)
        assert found.again_seconds is not None
        assert wait * 0.8 <= found.again_seconds <= wait * 1.2
        assert found.notifications == []


async def test_a_run_may_have_ended_when_the_trigger_is_answered() -> None:
    """It is told as any end is, with when it began; nothing is polled."""
    ended = Snapshot(status=Status.FAILED, reason="no model", outputs={"log": "x"})
    found = await taken(START, Started(remote_id=None, ended=ended))
    assert (found.again_seconds, found.reached, found.note) == (None, True, "no model")
    assert (found.execution.status, found.execution.reason) == (Status.FAILED, "no model")
    assert found.execution.outputs == {"log": "x"}
    assert found.execution.started_at is not None
    assert found.started_ms is not None
    assert found.started_ms <= NOW_MS + 1_000


@pytest.mark.parametrize(("wish", "least", "most"), [(30.0, 24, 36), (None, 0.8, 1.2)])
async def test_too_many_is_put_off_even_without_the_store(wish: float | None, least: float, most: float) -> None:
    """Nothing happened out there: a trigger is queued again, a poll looks again; each waits as it was asked to."""
    start = await taken(START, Throttled("429", wish))
    assert start.execution.status == Status.QUEUED
    assert start.again_seconds is not None
    assert least <= start.again_seconds <= most
    poll = await taken(Given(age_seconds=2), Throttled("429", wish))
    assert (poll.execution.status, poll.execution.reason) == (Status.RUNNING, "429")
    assert poll.again_seconds is not None
    assert least <= poll.again_seconds <= most


async def test_an_end_is_told_with_its_outputs() -> None:
    """The message is made once, from the execution as it then stands."""
    found = await taken(Given(), Snapshot(status=Status.COMPLETED, outputs={"summary": "fine"}))
    assert found.again_seconds is None
    [new] = found.notifications
    told = msgspec.json.decode(new.body, type=Execution)
    assert (told.status, told.final, told.outputs) == (Status.COMPLETED, True, {"summary": "fine"})
    assert told.finished_at is not None
    assert told.history[-1].status == Status.COMPLETED
    assert (new.address, new.in_order) == ({"to": "x"}, True)


async def test_an_engines_files_are_told_as_links_of_ours() -> None:
    """The link is made with the end, so that the message that tells it has it already."""
    outputs = {"shot.png": File(reference="secret-reference", type="image/png")}
    found = await taken(Given(), Snapshot(status=Status.COMPLETED, outputs=outputs))
    [(part, kept)] = found.files.items()
    assert kept == "secret-reference"
    [new] = found.notifications
    told = msgspec.json.decode(new.body, type=Execution)
    assert told.outputs == {"shot.png": Link(url=f"http://x/files/x_1/{part}", type="image/png")}
    assert b"secret-reference" not in new.body


async def test_the_same_message_has_the_same_id_whoever_makes_it() -> None:
    """An id is derived, so a step taken twice cannot tell twice."""
    ids = {
        (await taken(Given(), Snapshot(status=Status.COMPLETED))).notifications[0].id,
        (await taken(Given(attempts=2), Snapshot(status=Status.COMPLETED))).notifications[0].id,
    }
    assert len(ids) == 1
    assert "." not in ids.pop()


async def test_a_run_the_engine_does_not_know_yet_is_looked_for_again() -> None:
    """Right after the start it may lag behind; later it is lost."""
    young = await taken(Given(age_seconds=5), Permanent("Execution not found"))
    assert young.execution.status == Status.RUNNING
    old = await taken(Given(age_seconds=61), Permanent("Execution not found"))
    assert (old.execution.status, old.again_seconds) == (Status.LOST, None)


async def test_trouble_while_looking_changes_nothing_about_the_run() -> None:
    """The wait is at least what was asked for; a defect waits a minute."""
    found = await taken(Given(age_seconds=2), Transient("HTTP 503", 40))
    assert (found.execution.status, found.execution.reason) == (Status.RUNNING, "HTTP 503")
    assert found.again_seconds is not None
    assert found.again_seconds >= 32
    found = await taken(Given(age_seconds=2), KeyError("x"))
    assert found.execution.reason == "unexpected KeyError in the engine adapter"
    assert found.again_seconds is not None
    assert found.again_seconds >= 48


async def test_past_its_deadline_a_run_is_timed_out_even_when_it_cannot_be_seen() -> None:
    """Whether it is still running or out of sight, its time is up."""
    late = Given(age_seconds=90, deadline_seconds=60)
    for says in (Snapshot(status=Status.RUNNING), Transient("HTTP 500")):
        found = await taken(late, says)
        assert (found.execution.status, found.execution.reason) == (Status.TIMED_OUT, "not finished within 1 min")


async def test_an_end_seen_after_the_deadline_still_counts() -> None:
    """The run finished; that we looked late is not its fault."""
    found = await taken(Given(age_seconds=90, deadline_seconds=60), Snapshot(status=Status.COMPLETED))
    assert found.execution.status == Status.COMPLETED


async def test_a_review_stops_the_deadlines_clock() -> None:
    """Entering notes when; leaving moves the deadline by the time it took; meanwhile it is looked at rarely."""
    waiting = Snapshot(status=Status.REVIEW_PENDING)
    entered = await taken(Given(), waiting)
    assert entered.review_since_ms == pytest.approx(NOW_MS, abs=5000)
    assert entered.again_seconds is not None
    assert 48 <= entered.again_seconds <= 72
    still = await taken(Given(status=Status.REVIEW_PENDING, age_seconds=9e5, review_since_ms=NOW_MS - 9e8), waiting)
    assert still.execution.status == Status.REVIEW_PENDING
    assert still.review_since_ms == NOW_MS - 9e8
    left = await taken(
        Given(status=Status.REVIEW_PENDING, age_seconds=4000, review_since_ms=NOW_MS - 3000_000),
        Snapshot(status=Status.RUNNING),
    )
    assert left.execution.status == Status.RUNNING
    assert left.review_since_ms is None
    assert left.deadline_ms == pytest.approx(NOW_MS + 2600_000, abs=5000)
    unseen = await taken(
        Given(status=Status.REVIEW_PENDING, age_seconds=9e5, review_since_ms=NOW_MS - 9e8), Transient("HTTP 500")
    )
    assert unseen.execution.status == Status.REVIEW_PENDING
