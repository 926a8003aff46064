"""The checker finds each kind of damage, and none where there is none."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bridge.model import Change, Execution, Notification, Status
from tests.chaos.checker import After, Callback, Sent, Trigger, check

AT = "2026-11-22T07:00:00.000Z"
EPOCH = 1795330800.0


def execution(*statuses: Status, n: str = "1", rule: str = "run", remote: str | None = "r1", **more: Any) -> Execution:
    """Return an execution that went through these statuses and told of the last."""
    last = statuses[-1]
    note = Notification(
        id=f"msg_{n}{rule}",
        notifier="ci",
        status=last,
        state="delivered",
        attempts=1,
        last_error=None,
        next_attempt=None,
    )
    fields: dict[str, Any] = {
        "id": f"x_{n}{rule}",
        "delivery_id": f"d_{n}",
        "rule": rule,
        "source": "relay",
        "engine": "genesis",
        "template": "e2e",
        "variables": {"n": n, "rule": rule},
        "status": last,
        "final": last.final,
        "remote_id": remote,
        "attempts": 1,
        "created_at": AT,
        "history": [Change(AT, status, None) for status in statuses],
        "notifications": [note],
    }
    return msgspec.convert(msgspec.to_builtins(fields | more), Execution)


def callback(status: str = "completed", id_: str = "msg_1run", of: str = "x_1run", **more: Any) -> Callback:
    body = msgspec.json.encode({"type": f"execution.{status}", "data": {"id": of, "status": status, "final": True}})
    return Callback(id_, body, **{"at": EPOCH + 1, **more})


def fine() -> After:
    """Return one delivery that went well."""
    return After(
        sent=[Sent("1", ["run"], [0, 503, 202, 200], ["d_1", "d_1"], [["x_1run"], ["x_1run"]])],
        triggers=[Trigger("1", "run", refused=True), Trigger("1", "run", ran="r1")],
        callbacks=[callback()],
        executions=[execution(Status.QUEUED, Status.COMPLETED)],
        runs={"r1": "completed"},
        deliveries={"d_1"},
        dead=set(),
    )


def unsure() -> After:
    """Return one delivery whose trigger nobody knows about."""
    after = fine()
    after.executions = [execution(Status.QUEUED, Status.UNKNOWN, remote=None)]
    after.callbacks = [callback("unknown")]
    after.dead = {"x x_1run"}
    return after


def test_what_is_fine_has_no_violations() -> None:
    """Lost answers, 503s, refusals before work and repeats are no damage."""
    verdict = check(fine())
    assert verdict.violations == []
    assert verdict.figures == {
        "deliveries sent": 1,
        "accepted": 1,
        "never accepted": 0,
        "sent again after a 503 or no answer": 1,
        "answered as duplicate": 1,
        "executions": 1,
        "triggered once": 1,
        "triggered twice or more": 0,
        "lost": 0,
        "unknown": 0,
        "unknown that ran": 0,
        "notifications received once": 1,
        "notifications received repeatedly": 0,
        "notifications dead": 0,
    }


def test_an_unknown_is_counted_and_is_no_violation() -> None:
    """Also whether it ran in truth."""
    verdict = check(unsure())
    assert verdict.violations == []
    assert (verdict.figures["unknown"], verdict.figures["unknown that ran"]) == (1, 1)


def test_what_had_to_be_waited_for_is_told() -> None:
    """How long Redis' return and a lost worker cost."""
    after = unsure()
    assert check(after).waits == {}
    lost = "the worker was lost while the trigger was on its way"
    history = [Change(AT, Status.STARTING), Change("2026-11-22T07:00:04.500Z", Status.UNKNOWN, lost)]
    after.executions = [msgspec.structs.replace(after.executions[0], history=history)]
    after.back_at_work = [0.5, 2.0, 0.25]
    assert list(check(after).waits.values()) == [0.5, 2.0, 4.5]


def test_a_late_answer_may_take_an_unknown_back() -> None:
    """Then two callbacks tell two ends, and both are true."""
    after = fine()
    [first] = execution(Status.UNKNOWN).notifications
    first = msgspec.structs.replace(first, id="msg_early")
    late = execution(Status.QUEUED, Status.UNKNOWN, Status.PENDING, Status.COMPLETED)
    after.executions = [msgspec.structs.replace(late, notifications=[first, *late.notifications])]
    after.callbacks.append(callback("unknown", "msg_early"))
    assert check(after).violations == []


def changed(change: Callable[[After], object], base: Callable[[], After] = fine) -> list[str]:
    after = base()
    change(after)
    return check(after).violations


def note(after: After, **more: Any) -> None:
    [one] = after.executions
    [told] = one.notifications
    after.executions = [msgspec.structs.replace(one, notifications=[msgspec.structs.replace(told, **more)])]


DAMAGE: dict[str, tuple[Callable[[After], object], str]] = {
    "the delivery is not stored": (lambda after: after.deliveries.clear(), "I1 delivery 1: accepted as d_1"),
    "the execution is not stored": (lambda after: after.executions.clear(), "['x_1run'] not stored"),
    "a rule got no execution": (lambda after: after.sent[0].rules.append("also"), "I1 delivery 1: ['run', 'also']"),
    "a repeat names others": (lambda after: after.sent[0].executions[1].append("x_2"), "name different executions"),
    "it never ended": (lambda after: setattr(after, "executions", [execution(Status.RUNNING)]), "I1 execution x_1run"),
    "it ended twice": (
        lambda after: setattr(after, "executions", [execution(Status.FAILED, Status.COMPLETED)]),
        "I1 execution x_1run: completed, after",
    ),
    "it was triggered twice": (lambda after: after.triggers.append(Trigger("1", "run")), "triggered 2 times"),
    "it ran twice": (lambda after: after.triggers.append(Trigger("1", "run", ran="r2")), "ran 2 times"),
    "it is there twice": (
        lambda after: after.executions.append(execution(Status.COMPLETED, id="x_9", notifications=[])),
        "I2 ('1', 'run'): 2 executions",
    ),
    "a stranger ran": (lambda after: after.triggers.append(Trigger("7", "run", ran="r7")), "I3 ('7', 'run')"),
    "a run is not known": (
        lambda after: setattr(after, "executions", [execution(Status.TIMED_OUT, remote=None)]),
        "I3 ('1', 'run'): ran as ['r1'], but its record says timed_out",
    ),
    "a signature does not hold": (
        lambda after: setattr(after, "callbacks", [callback(verified=False)]),
        "I4 callback msg_1run: its signature",
    ),
    "a callback nobody knows": (lambda after: after.callbacks.append(callback(id_="msg_9")), "I4 callback msg_9"),
    "copies differ": (lambda after: after.callbacks.append(callback("failed")), "2 copies, and they differ"),
    "it was not received": (
        lambda after: setattr(after, "callbacks", [callback(taken=False)]),
        "called delivered, and was not received",
    ),
    "it is still on its way": (lambda after: note(after, state="sending"), "I4 notification msg_1run: still sending"),
    "nobody is told": (
        lambda after: setattr(after, "executions", [execution(Status.COMPLETED, notifications=[])]),
        "completed, and nobody is told",
    ),
    "a lie is told": (lambda after: setattr(after, "callbacks", [callback("failed")]), "I5 callback msg_1run"),
    "it is told too early": (
        lambda after: setattr(after, "callbacks", [callback(at=EPOCH - 1)]),
        "I5 callback msg_1run: came before",
    ),
    "the engine says otherwise": (lambda after: after.runs.update(r1="failed"), "the engine says failed"),
    "a dead notification is not listed": (lambda after: note(after, state="dead"), "I6 n msg_1run: not among"),
    "something is listed for no reason": (lambda after: after.dead.add("x x_1run"), "for no reason"),
    "something is still to be done": (lambda after: setattr(after, "left", 2), "I7 2 executions"),
    "a record never expires": (lambda after: after.eternal.append("gb:x:1"), "I7 gb:x:1"),
    "a 500 was answered": (lambda after: after.sent[0].answers.append(500), "I8 delivery 1: answered 500"),
    "a process was in trouble": (lambda after: after.trouble.append("a worker ended"), "I9 a worker ended"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found(what: str) -> None:
    """Each kind by its own invariant."""
    change, expected = DAMAGE[what]
    assert any(expected in violation for violation in changed(change))


def test_an_unknown_that_is_not_listed_is_found() -> None:
    """Somebody has to look at it."""
    assert changed(lambda after: after.dead.clear(), unsure) == ["I6 x x_1run: not among the dead letters"]


def out(n: str, *history: tuple[int, Status]) -> Execution:
    """Return an execution of the rule that runs one at a time, with its changes at these seconds."""
    changes = [Change(f"2026-11-22T07:00:{second:02}.000Z", status) for second, status in history]
    return msgspec.structs.replace(execution(Status.COMPLETED, n=n, rule="also"), history=changes)


def test_two_of_one_key_at_a_time_are_found() -> None:
    """A start while another is out: before its end, or since a late answer said that it runs."""
    first = out("11", (1, Status.STARTING), (2, Status.QUEUED), (3, Status.STARTING), (9, Status.COMPLETED))
    late = out("21", (9, Status.STARTING), (20, Status.UNKNOWN), (25, Status.PENDING), (30, Status.COMPLETED))
    after = fine()
    after.executions = [
        first,
        late,
        out("1", (20, Status.STARTING), (24, Status.FAILED)),
        out("12", (4, Status.STARTING)),
    ]
    assert not [violation for violation in check(after).violations if violation.startswith("I10")]
    for second, of in ((5, "x_11also"), (10, "x_21also"), (26, "x_21also")):
        again = [*after.executions, out("31", (second, Status.STARTING))]
        found = check(msgspec.structs.replace(after, executions=again)).violations
        assert f"I10 execution x_31also: started while {of} of the same key was out" in found
