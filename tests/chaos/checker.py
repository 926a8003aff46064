"""What must be true after a storm: a pure function over the journals of both ends and the records in between."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct

from bridge.model import Execution, Status

SETTLED = {"delivered", "dead", "superseded"}
ONE_AT_A_TIME = "also"
"""The rule that says `at_a_time`."""
CLOCK_SECONDS = 0.01
"""The journals and Redis read the same machine's clock, but round it differently."""


class Sent(Struct):
    """One delivery as its sender saw it, repeats included."""

    n: str
    rules: list[str]
    """Those it matches."""
    answers: list[int] = []
    """HTTP statuses; 0: no answer came."""
    deliveries: list[str] = []
    executions: list[list[str]] = []
    """Ids, one list for each 2xx."""

    @property
    def accepted(self) -> bool:
        """Whether any 2xx came."""
        return any(200 <= status < 300 for status in self.answers)


class Trigger(Struct):
    """One trigger request as the engine saw it."""

    n: str
    rule: str
    refused: bool = False
    """Surely before any work (429, 503 with Retry-After): it may be sent again."""
    ran: str | None = None
    """The id of the run it started."""


class Callback(Struct):
    """One callback as its receiver saw it."""

    id: str
    body: bytes
    at: float = 0
    verified: bool = True
    taken: bool = True
    """Answered with a 2xx."""


class After(Struct):
    """Everything that is left when all has settled."""

    sent: list[Sent]
    triggers: list[Trigger]
    callbacks: list[Callback]
    executions: list[Execution]
    runs: dict[str, str]
    """The engine's own word on each run."""
    deliveries: set[str]
    """Ids of the stored delivery records."""
    dead: set[str]
    """Members of the dead letters: `x <execution>` and `n <notification>`."""
    left: int = 0
    """Executions and notifications that still have a next step."""
    eternal: list[str] = []
    """Records that will never expire."""
    back_at_work: list[float] = []
    """Seconds from each return of Redis until a delivery had been taken and a trigger sent."""
    trouble: list[str] = []
    """Processes that ended by themselves or badly, and errors logged."""


class Verdict(Struct):
    """A table of figures, and every violation of an invariant."""

    figures: dict[str, int]
    violations: list[str]
    waits: dict[str, float] = {}
    """Seconds."""


def check(after: After) -> Verdict:
    """Hold the journals against the records."""
    violations = [
        *_accepted_is_stored_and_ends(after),
        *_triggered_at_most_once(after),
        *_no_run_is_silent(after),
        *_told_is_received(after),
        *_told_is_true(after),
        *_the_dead_are_listed(after),
        *_nothing_stays(after),
        *_no_answer_but_503(after),
        *(f"I9 {what}" for what in after.trouble),
        *_one_at_a_time(after),
    ]
    return Verdict(_figures(after), violations, _waits(after))


def _figures(after: After) -> dict[str, int]:
    tried = _tries(after)
    ran = _ran(after)
    unknown = [execution for execution in after.executions if execution.status == Status.UNKNOWN]
    received = Counter(callback.id for callback in after.callbacks)
    notes = [note for execution in after.executions for note in execution.notifications]
    stored = {execution.id for execution in after.executions if execution.final}
    return {
        "deliveries sent": len(after.sent),
        "accepted": sum(sent.accepted for sent in after.sent),
        "never accepted": sum(not sent.accepted for sent in after.sent),
        "sent again after a 503 or no answer": sum(any(status in (0, 503) for status in s.answers) for s in after.sent),
        "answered as duplicate": sum(max(0, len(sent.executions) - 1) for sent in after.sent),
        "executions": len(after.executions),
        "triggered once": sum(times == 1 for times in tried.values()),
        "triggered twice or more": sum(times > 1 for times in tried.values()),
        "lost": sum(bool({id_ for ids in sent.executions for id_ in ids} - stored) for sent in after.sent),
        "unknown": len(unknown),
        "unknown that ran": sum(_key(execution) in ran for execution in unknown),
        "notifications received once": sum(received[note.id] == 1 for note in notes),
        "notifications received repeatedly": sum(received[note.id] > 1 for note in notes),
        "notifications dead": sum(note.state == "dead" for note in notes),
    }


def _waits(after: After) -> dict[str, float]:
    found = {
        "Redis' return to a delivery taken and a trigger sent, median": after.back_at_work
        and median(after.back_at_work),
        "Redis' return to a delivery taken and a trigger sent, longest": max(after.back_at_work, default=0),
        "trigger claimed by a worker that was lost to `unknown`, longest": max(_orphaned(after), default=0),
    }
    return {what: seconds for what, seconds in found.items() if seconds}


def _orphaned(after: After) -> Iterator[float]:
    """Yield, per trigger that was lost with its worker, the seconds from its intent to its `unknown`."""
    for execution in after.executions:
        for was, then in itertools.pairwise(execution.history):
            if was.status == Status.STARTING and then.note == "the worker was lost while the trigger was on its way":
                yield (datetime.fromisoformat(then.at) - datetime.fromisoformat(was.at)).total_seconds()


def _key(execution: Execution) -> tuple[str, str]:
    return execution.variables["n"], execution.rule


def _tries(after: After) -> Counter[tuple[str, str]]:
    return Counter((trigger.n, trigger.rule) for trigger in after.triggers if not trigger.refused)


def _ran(after: After) -> dict[tuple[str, str], list[str]]:
    runs = defaultdict(list)
    for trigger in after.triggers:
        if trigger.ran is not None:
            runs[trigger.n, trigger.rule].append(trigger.ran)
    return runs


def _accepted_is_stored_and_ends(after: After) -> Iterator[str]:
    by_id = {execution.id: execution for execution in after.executions}
    for sent in after.sent:
        if not sent.accepted:
            continue
        for delivery in sent.deliveries:
            if delivery not in after.deliveries:
                yield f"I1 delivery {sent.n}: accepted as {delivery}, which is not stored"
        if any(ids != sent.executions[0] for ids in sent.executions):
            yield f"I1 delivery {sent.n}: its answers name different executions: {sent.executions}"
        for ids in sent.executions:
            missing = [id_ for id_ in ids if id_ not in by_id]
            if missing or len(ids) != len(sent.rules):
                yield f"I1 delivery {sent.n}: {sent.rules} matched, {ids} answered, {missing} not stored"
    for execution in after.executions:
        ends = [change.status for change in execution.history if Status(change.status).final]
        # A late answer may take back an `unknown`, and nothing else.
        real = [status for status in ends if status != Status.UNKNOWN]
        if not execution.final or len(real) > 1 or (real and ends[-1] != real[0]):
            yield f"I1 execution {execution.id}: {execution.status}, after {ends}"


def _triggered_at_most_once(after: After) -> Iterator[str]:
    for key, times in _tries(after).items():
        if times > 1:
            yield f"I2 {key}: triggered {times} times"
    for key, runs in _ran(after).items():
        if len(runs) > 1:
            yield f"I2 {key}: ran {len(runs)} times"
    for key, times in Counter(_key(execution) for execution in after.executions).items():
        if times > 1:
            yield f"I2 {key}: {times} executions"


def _no_run_is_silent(after: After) -> Iterator[str]:
    records = {_key(execution): execution for execution in after.executions}
    for key, runs in _ran(after).items():
        record = records.get(key)
        if record is None:
            yield f"I3 {key}: ran, and there is no record of it"
        elif record.remote_id not in runs and record.status != Status.UNKNOWN:
            yield f"I3 {key}: ran as {runs}, but its record says {record.status}"


def _told_is_received(after: After) -> Iterator[str]:
    received = defaultdict(list)
    for callback in after.callbacks:
        received[callback.id].append(callback)
        if not callback.verified:
            yield f"I4 callback {callback.id}: its signature does not hold"
    notes = {note.id for execution in after.executions for note in execution.notifications}
    for id_, copies in received.items():
        if id_ not in notes:
            yield f"I4 callback {id_}: no record knows it"
        if len({copy.body for copy in copies}) > 1:
            yield f"I4 callback {id_}: {len(copies)} copies, and they differ"
    yield from _called_delivered(after, {callback.id for callback in after.callbacks if callback.taken})


def _called_delivered(after: After, taken: set[str]) -> Iterator[str]:
    for note in (note for execution in after.executions for note in execution.notifications):
        if note.state not in SETTLED:
            yield f"I4 notification {note.id}: still {note.state}"
        if note.state == "delivered" and note.id not in taken:
            yield f"I4 notification {note.id}: called delivered, and was not received"
    for execution in after.executions:
        if execution.final and execution.status not in {note.status for note in execution.notifications}:
            yield f"I4 execution {execution.id}: {execution.status}, and nobody is told"


def _told_is_true(after: After) -> Iterator[str]:
    by_id = {execution.id: execution for execution in after.executions}
    for callback in after.callbacks:
        told: dict[str, Any] = msgspec.json.decode(callback.body)["data"]
        execution = by_id.get(told["id"])
        since = [change.at for change in execution.history if change.status == told["status"]] if execution else []
        if not told["final"] or not since:
            yield f"I5 callback {callback.id}: tells {told['status']}, which its execution never ended as"
        elif callback.at and callback.at + CLOCK_SECONDS < datetime.fromisoformat(since[0]).timestamp():
            yield f"I5 callback {callback.id}: came before its execution was {told['status']}"
    for execution in after.executions:
        verdict = after.runs.get(execution.remote_id or "")
        if verdict is not None and execution.status not in (verdict, Status.TIMED_OUT):
            yield f"I5 execution {execution.id}: {execution.status}, the engine says {verdict}"


def _the_dead_are_listed(after: After) -> Iterator[str]:
    expected = {f"x {execution.id}" for execution in after.executions if execution.status == Status.UNKNOWN}
    expected |= {f"n {note.id}" for one in after.executions for note in one.notifications if note.state == "dead"}
    for member in sorted(expected - after.dead):
        yield f"I6 {member}: not among the dead letters"
    for member in sorted(after.dead - expected):
        yield f"I6 {member}: among the dead letters for no reason"


def _nothing_stays(after: After) -> Iterator[str]:
    if after.left:
        yield f"I7 {after.left} executions or notifications are still to be worked on"
    for key in after.eternal:
        yield f"I7 {key}: never expires"


def _no_answer_but_503(after: After) -> Iterator[str]:
    for sent in after.sent:
        for status in sent.answers:
            if status not in (0, 200, 202, 503):
                yield f"I8 delivery {sent.n}: answered {status}"


def _one_at_a_time(after: After) -> Iterator[str]:
    """Look at the rule whose executions of one key (the last digit of n) queue up: nothing starts beside another."""
    keys = defaultdict(list)
    for execution in after.executions:
        if execution.rule == ONE_AT_A_TIME:
            keys[execution.variables["n"][-1]].append(execution)
    for executions in keys.values():
        spans = [(execution.id, *span) for execution in executions for span in _out(execution)]
        for id_, start in ((execution.id, start) for execution in executions for start in _starts(execution)):
            for other, began, ended in spans:
                if other != id_ and began < start < ended:
                    yield f"I10 execution {id_}: started while {other} of the same key was out"


def _starts(execution: Execution) -> list[str]:
    return [change.at for change in execution.history if change.status == Status.STARTING]


def _out(execution: Execution) -> Iterator[tuple[str, str]]:
    """Yield from when to when an execution was out: between its start, or a late answer, and its end or return."""
    began = None
    for change in execution.history:
        if change.status == Status.QUEUED or change.status.final:
            if began is not None:
                yield began, change.at
            began = None
        elif began is None:
            began = change.at
