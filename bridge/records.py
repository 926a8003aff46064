"""The store's records, and how they are written as Redis hash fields and read back. Pure."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from bridge.clock import Clock, rfc3339
from bridge.errors import Unreadable
from bridge.model import Change, Delivery, Execution, Notification, Output, Progress, Status
from bridge.notes import Fields, NewNotification


class Recipient(Struct, frozen=True):
    """One notifier of one execution, its address resolved from the event."""

    notifier: str
    address: dict[str, str] = {}


class Turn(Struct, frozen=True):
    """What an execution and others of its key are to one another (`at_a_time`)."""

    group: str
    keep: str
    debounce_seconds: float = 0

    def written(self) -> str:
        """Write it as scripts/group.lua reads it."""
        return f"{self.keep} {int(self.debounce_seconds * 1000)} {self.group}"


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an execution is: written once, at accept. Enough to go on without the rule that made it."""

    delivery_id: str
    rule: str
    source: str
    engine: str
    template: str
    template_id: str
    variables: dict[str, str]
    deadline_seconds: float
    options: dict[str, Any] = {}
    variable_options: dict[str, dict[str, Any]] = {}
    bucket: str = "triggers"
    """Of the engine's budget, that its trigger takes from."""
    on_unknown: str = "hold"
    notify: list[Recipient] = []
    at_a_time: Turn | None = None


class DeliveryRecord(Struct, frozen=True, kw_only=True):
    """What a delivery is: written once, at accept."""

    source: str
    event: str
    action: str | None
    key: str | None
    reason: str | None
    config: str
    rules: list[Any]
    """Each a RuleResult; read again it is what its JSON says, whatever has changed since."""
    headers: dict[str, str] = {}
    """Without credentials; what its source needs beside the body to read it again."""
    query: dict[str, str] = {}
    replay_of: str | None = None


class Stored(Struct, frozen=True):
    """The answer to an accept. For a duplicate: the first delivery's outcome and its executions as they stand."""

    duplicate: bool
    outcome: str = ""
    executions: list[tuple[str, str, Status]] = []
    """(execution id, rule, status)."""


class Claim(Struct, frozen=True, kw_only=True):
    """The right to take one execution's next step, until the lease runs out."""

    kind: str
    """start | probe | poll | poison | orphan | expired | skipped, see scripts/claim.lua."""
    token: str
    execution: Execution
    record: Record
    clock: Clock
    """Redis time at the claim, running on by this machine's monotonic clock."""
    deadline_ms: float
    review_since_ms: float | None
    confirmed: bool = True
    """False: a replica was to confirm the claim and did not (`durability: strict`); nothing may be sent on it."""


class Step(Struct, frozen=True, kw_only=True):
    """What a step found out: the execution as it now stands, and when to look again."""

    execution: Execution
    again_seconds: float | None
    """Until the next step; None: the execution has ended."""
    note: str = ""
    """For the history, when the status changed."""
    files: dict[str, str] = {}
    """Of the outputs that are the engine's files: the last part of our link -> the engine's reference."""
    reached: bool = False
    """Whether the engine has seen this execution: a repeat of its delivery must not start it again."""
    started_ms: float | None = None
    deadline_ms: float | None = None
    """None: as it was."""
    review_since_ms: float | None = None
    notifications: list[NewNotification] = []


class Claims(Struct, frozen=True):
    """One batch, and how long until the next execution is due (None: none waits)."""

    claims: list[Claim]
    next_due_seconds: float | None
    unreadable: list[tuple[str, str]] = []
    """(execution id, why): records that are not ours or damaged; they go to the dead letters."""


decode_record = msgspec.json.Decoder(Record).decode
decode_delivery = msgspec.json.Decoder(DeliveryRecord).decode
_decode_outputs = msgspec.json.Decoder(dict[str, Output]).decode
RECORD_ERRORS = (msgspec.MsgspecError, ValueError, KeyError)
"""What reading a record that is damaged or not ours may raise."""


def read_stored(answer: list[bytes]) -> Stored:
    """Read the answer of scripts/accept.lua."""
    if answer[0] == b"stored":
        return Stored(duplicate=False)
    before = [
        (answer[i].decode(), decode_record(answer[i + 1]).rule, Status(answer[i + 2].decode()))
        for i in range(2, len(answer), 3)
    ]
    return Stored(duplicate=True, outcome=answer[1].decode(), executions=before)


def read_claims(answer: list[Any], token: str, asked: Clock, *, confirmed: bool = True) -> Claims:
    """Read the answer of scripts/claim.lua."""
    clock = asked.reading(int(answer[0]))
    claims, damaged = [], []
    for i in range(2, len(answer), 3):
        execution_id = answer[i + 1].decode()
        try:
            claim = _read_claim(answer[i].decode(), execution_id, token, pairs(answer[i + 2]), clock)
            claims.append(claim if confirmed else structs.replace(claim, confirmed=False))
        except RECORD_ERRORS as error:
            damaged.append((execution_id, unreadable(error)))
    waits = int(answer[1])
    return Claims(claims, None if waits < 0 else waits / 1000, damaged)


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """Raise Unreadable where a record is damaged or not ours."""
    try:
        yield
    except RECORD_ERRORS as error:
        raise Unreadable(f"{what}: {unreadable(error)}") from None


def unreadable(error: Exception) -> str:
    """Say, for the dead letters, why a record cannot be read."""
    return f"the record cannot be read: {type(error).__name__}: {error}"


def _read_claim(kind: str, execution_id: str, token: str, fields: Fields, clock: Clock) -> Claim:
    record = decode_record(fields["record"])
    review = fields.get("review")
    return Claim(
        kind=kind,
        token=token,
        execution=read_execution(execution_id, fields, []),
        record=record,
        clock=clock,
        deadline_ms=float(fields["deadline"]),
        review_since_ms=float(review) if review else None,
    )


def read_delivery(delivery_id: str, fields: Fields, notifications: Sequence[Notification] = ()) -> Delivery:
    """Read a delivery's hash as the API shows it."""
    record = decode_delivery(fields["record"])
    return Delivery(
        id=delivery_id,
        source=record.source,
        event=record.event,
        action=record.action,
        key=record.key,
        outcome=fields["outcome"].decode(),
        reason=record.reason,
        config=record.config,
        received_at=rfc3339(float(fields["received"])),
        executions=fields["executions"].decode().split(),
        rules=record.rules,
        replay_of=record.replay_of,
        notifications=list(notifications),
    )


def pairs(flat: list[bytes]) -> Fields:
    """Read HGETALL's flat list as a script returns it."""
    return {flat[i].decode(errors="replace"): flat[i + 1] for i in range(0, len(flat), 2)}


def read_execution(execution_id: str, fields: Fields, notifications: list[Notification]) -> Execution:
    """Read an execution's hash as the API shows it."""
    record = decode_record(fields["record"])
    status = Status(fields["status"].decode())
    text = {name: value.decode() for name, value in fields.items() if name in ("remote", "reason", "url")}
    progress = fields.get("progress")
    started, finished = fields.get("started"), fields.get("finished")
    return structs.replace(
        taken(execution_id, record, rfc3339(float(fields["created"]))),
        status=status,
        final=status.final,
        remote_id=text.get("remote") or None,
        progress=Progress(*(int(n) for n in progress.split(b"/"))) if progress else None,
        outputs=_decode_outputs(fields.get("outputs", b"{}")),
        reason=text.get("reason") or None,
        url=text.get("url") or None,
        attempts=int(fields["attempts"]),
        started_at=rfc3339(float(started)) if started else None,
        finished_at=rfc3339(float(finished)) if finished else None,
        history=[_change(line) for line in fields["history"].decode().split("\n")],
        notifications=notifications,
    )


def taken(execution_id: str, record: Record, at: str) -> Execution:
    """Return an execution as it is when it was taken, `at` in RFC 3339."""
    return Execution(
        id=execution_id,
        delivery_id=record.delivery_id,
        rule=record.rule,
        source=record.source,
        engine=record.engine,
        template=record.template,
        variables=record.variables,
        status=Status.QUEUED,
        final=False,
        created_at=at,
        history=[Change(at, Status.QUEUED)],
    )


def changed_fields(claim: Claim, step: Step) -> dict[str, str | float | bytes]:
    """Return the hash fields a commit has to write: what the step found different."""
    was, now = claim.execution, step.execution
    fields: dict[str, str | float | bytes] = {}
    for name, before, after in (
        ("remote", was.remote_id, now.remote_id),
        ("url", was.url, now.url),
        ("reason", was.reason, now.reason),
    ):
        if before != after:
            fields[name] = after or ""
    if now.status != was.status:
        # Even where it is the same as at the claim: a late answer overwrites what others wrote meanwhile.
        fields["reason"] = now.reason or ""
    if now.progress is not None and now.progress != was.progress:
        fields["progress"] = f"{now.progress.done}/{now.progress.total}"
    if now.outputs != was.outputs:
        fields["outputs"] = msgspec.json.encode(now.outputs)
        fields["files"] = msgspec.json.encode(step.files)
    if step.reached:
        fields["reached"] = 1
    if step.started_ms is not None:
        fields["started"] = step.started_ms
    if step.deadline_ms is not None and step.deadline_ms != claim.deadline_ms:
        fields["deadline"] = step.deadline_ms
    if step.review_since_ms != claim.review_since_ms and step.again_seconds is not None:
        fields["review"] = step.review_since_ms or ""
    return fields


def _change(line: str) -> Change:
    at, status, *note = line.split(" ", 2)
    return Change(rfc3339(float(at)), Status(status), note[0] if note else None)
