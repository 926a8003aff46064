"""What a person can order: send a dead letter after all, settle an unknown execution, replay a delivery, hold back.

Each order is fenced in its script by the state it needs, and written into the history of what it changed; all of
them, refused ones too, stand in the audit.
"""

import uuid
from typing import Any, Literal

from msgspec import structs

from bridge import pauses, pipeline, reports
from bridge.audit import audited
from bridge.clock import rfc3339
from bridge.contracts import Acceptance, Request
from bridge.decision import derived_id
from bridge.errors import Refusal, Unfindable, WrongState
from bridge.keeping import kept_body
from bridge.listing import read
from bridge.model import Change, Event, Status
from bridge.notes import Beside, Fields, written
from bridge.parts import Bridge
from bridge.pauses import Kind
from bridge.records import RECORD_ERRORS, DeliveryRecord, decode_delivery, decode_record
from bridge.store import Store

Outcome = Literal["ran", "did_not_run", "close"]
Rules = Literal["present", "old"]

_WORDS = {"ran": "it ran as {remote_id}", "did_not_run": "it did not run, start it", "close": "closed, nothing to do"}
_LONGEST_REASON = 500


async def retry(store: Store, notification_id: str, by: str, reason: str = "") -> None:
    """Make a dead or waiting notification due now, under the same id, with all its attempts before it.

    A worker's sweep sends it within seconds. Raises Unfindable, WrongState and StoreUnavailable.
    """
    note = _note(f"notification {notification_id} sent again", by, reason)
    async with audited(store, by, "retry", notification_id, reason=reason):
        answer = await store.run("retry", ["gb:outbox", "gb:dead"], [notification_id, note, store.record_seconds])
        _must_be(answer, ("dead", "due"), f"notification {notification_id!r}", "a dead or a due one can be sent again")


async def resolve(
    store: Store, execution_id: str, outcome: Outcome, *, by: str, remote_id: str | None = None, reason: str = ""
) -> None:
    """Settle an unknown execution: it ran as `remote_id`, it did not run and is started, or it is closed as it is.

    Raises Unfindable, WrongState (a late answer of the engine may come first) and StoreUnavailable.
    """
    words = _WORDS[outcome].format(remote_id=remote_id)
    arguments = [execution_id, outcome, _note(words, by, reason), remote_id or "", store.record_seconds]
    async with audited(store, by, "resolve", execution_id, details=words, reason=reason):
        if (outcome == "ran") != (remote_id is not None):
            raise WrongState("`remote_id` belongs to the outcome `ran`, and that needs it: the engine's id of the run")
        answer = await store.run("resolve", ["gb:due", "gb:dead", "gb:bell"], arguments)
        _must_be(answer, (Status.UNKNOWN,), f"execution {execution_id!r}", "an unknown one can be resolved")


async def replay(bridge: Bridge, delivery_id: str, rules: Rules, by: str) -> Acceptance:
    """Run a stored delivery again, as a delivery of its own: under the present rules, or just what it started then.

    Raises Unfindable, WrongState (its body is removed, its source is gone, nothing ran then) and StoreUnavailable.
    """
    async with audited(bridge.store, by, "replay", delivery_id, details=f"under the {rules} rules") as entry:
        taken = await _replay(bridge, delivery_id, rules)
        entry.details += f": {taken.outcome} as {taken.delivery_id}"
    return taken


async def again(bridge: Bridge, execution_id: str, by: str, once: str) -> Acceptance:
    """Start what an execution has run once more: the same rule, template, variables and recipients.

    However often it is ordered with the same `once`, it starts one execution. Raises Unfindable, WrongState and
    StoreUnavailable.
    """
    async with audited(bridge.store, by, "again", execution_id) as entry:
        [fields] = await read(bridge.store, [f"gb:x:{execution_id}"])
        if "record" not in fields:
            raise Unfindable(f"no execution {execution_id!r}")
        try:
            record = decode_record(fields["record"])
        except RECORD_ERRORS as error:
            raise WrongState(f"the execution's record cannot be read: {error}") from None
        first, _ = await _stored(bridge, record.delivery_id)
        new_id = derived_id("d", first.source, record.delivery_id, execution_id, once)
        anew = structs.replace(first, replay_of=record.delivery_id, reason=f"run again by {by}")
        taken = await _again(bridge, anew, new_id, record.delivery_id, [execution_id], f"again, by {by}")
        entry.details = f"as {taken.delivery_id}"
    return taken


async def tell(bridge: Bridge, execution_id: str, note: str = "") -> None:
    """Note something about an execution in its history, and have its living messages say so.

    Raises StoreUnavailable; where the execution is gone there is nothing to say.
    """
    execution = await bridge.store.execution(execution_id)
    if execution is None:
        return
    [fields] = await read(bridge.store, [f"gb:x:{execution_id}"])
    if note:
        seen = Change(rfc3339((bridge.store.now or 0) * 1000), execution.status, note)
        execution = structs.replace(execution, history=[*execution.history, seen])
    arguments: list[Any] = [execution_id, " ".join(note.split()), bridge.store.record_seconds]
    for new in reports.anew(bridge.config, decode_record(fields["record"]), execution):
        arguments += written(new, execution_id)
    await bridge.store.run("note", ["gb:outbox"], arguments)


async def pause(bridge: Bridge, kind: Kind, name: str, by: str, reason: str) -> None:
    """Keep what is queued for an engine or of a rule; raises Unfindable and StoreUnavailable."""
    async with audited(bridge.store, by, "pause", f"{kind} {name}", reason=reason):
        _require(bridge, kind, name)
        await pauses.pause(bridge.store, kind, name, by, reason)


async def resume(bridge: Bridge, kind: Kind, name: str, by: str) -> None:
    """Let go what is queued; raises Unfindable for what is neither paused nor configured, and StoreUnavailable."""
    async with audited(bridge.store, by, "resume", f"{kind} {name}"):
        # What is no longer configured may still be paused.
        if not await pauses.resume(bridge.store, kind, name, by):
            _require(bridge, kind, name)


def _require(bridge: Bridge, kind: Kind, name: str) -> None:
    names = bridge.config.engines if kind == "engine" else {rule.name for rule in bridge.config.ruleset.rules}
    if name not in names:
        raise Unfindable(f"no {kind} is called {name!r}")


async def _replay(bridge: Bridge, delivery_id: str, rules: Rules) -> Acceptance:
    first, fields = await _stored(bridge, delivery_id)
    new_id = derived_id("d", first.source, delivery_id, uuid.uuid4().hex)
    if rules == "old":
        ids = fields["executions"].decode().split()
        return await _again(bridge, structs.replace(first, replay_of=delivery_id), new_id, delivery_id, ids)
    return await _anew(bridge, first, new_id, delivery_id)


async def stored_event(bridge: Bridge, delivery_id: str) -> tuple[Event, bytes]:
    """Read a stored delivery again, as the event it was, and its body; raises as `replay` does."""
    first, _ = await _stored(bridge, delivery_id)
    return await _read_again(bridge, first, delivery_id)


async def _stored(bridge: Bridge, delivery_id: str) -> tuple[DeliveryRecord, Fields]:
    [fields] = await read(bridge.store, [f"gb:d:{delivery_id}"])
    if "record" not in fields:
        raise Unfindable(f"no delivery {delivery_id!r}")
    try:
        return decode_delivery(fields["record"]), fields
    except RECORD_ERRORS as error:
        raise WrongState(f"the delivery's record cannot be read: {error}") from None


async def _anew(bridge: Bridge, first: DeliveryRecord, new_id: str, delivery_id: str) -> Acceptance:
    """Read the stored body again and match it against the rules as they are."""
    event, body = await _read_again(bridge, first, delivery_id)
    return await pipeline.take(bridge, event, new_id, body, replay_of=delivery_id)


async def _read_again(bridge: Bridge, first: DeliveryRecord, delivery_id: str) -> tuple[Event, bytes]:
    body = await kept_body(bridge.config, bridge.store, delivery_id)
    source = bridge.config.sources.get(first.source)
    if body is None:
        raise WrongState("the delivery's body is no longer kept; `old` rules may still replay what it started")
    if source is None:
        raise WrongState(f"the source {first.source!r} is no longer configured")
    try:
        event = source.parse(Request(headers=first.headers, query=first.query, body=body, now=0))
    except Refusal as refusal:
        raise WrongState(
            f"the stored delivery cannot be read as the source {first.source!r} is now: {refusal}"
        ) from None
    return structs.replace(event, source=first.source, key=first.key), body


async def _again(
    bridge: Bridge,
    record: DeliveryRecord,
    new_id: str,
    delivery_id: str,
    execution_ids: list[str],
    note: str = "",
) -> Acceptance:
    """Start what the first delivery started: same rule, template, variables and recipients."""
    found = await read(bridge.store, [f"gb:x:{id_}" for id_ in execution_ids])
    try:
        records = [decode_record(fields["record"]) for fields in found]
    except RECORD_ERRORS:
        raise WrongState("what the delivery started then is no longer on record") from None
    if not records:
        raise WrongState("the delivery started nothing then: replay it under the present rules")
    anew = {derived_id("x", new_id, first.rule): structs.replace(first, delivery_id=new_id) for first in records}
    body = await bridge.store.body(delivery_id)
    stored = await pipeline.store(bridge, new_id, record, "accepted", body or b"", anew, Beside(note=note))
    if stored.duplicate:
        before = [pipeline.reference(bridge, *execution) for execution in stored.executions]
        return Acceptance(delivery_id=new_id, outcome="duplicate", executions=before)
    references = [pipeline.reference(bridge, id_, one.rule, Status.QUEUED) for id_, one in anew.items()]
    return Acceptance(delivery_id=new_id, outcome="accepted", executions=references)


def _must_be(answer: list[bytes], states: tuple[str, ...], what: str, which: str) -> None:
    """Raise Unfindable or WrongState unless a script found what it was about in one of the states."""
    if not answer:
        raise Unfindable(f"no {what}")
    state = answer[0].decode()
    if state not in states:
        raise WrongState(f"the {what.partition(' ')[0]} is {state}: only {which}")


def _note(what: str, by: str, reason: str) -> str:
    why = " ".join(reason.split())[:_LONGEST_REASON]
    return f"{by}: {what}" + (f" ({why})" if why else "")
