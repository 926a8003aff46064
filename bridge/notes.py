"""The records of notifications: what is to be told, to whom, and the right to make one attempt. Pure."""

import msgspec
from msgspec import Struct

from bridge.clock import Clock, rfc3339
from bridge.model import Notification, Status

Fields = dict[str, bytes]
"""A Redis hash."""


class NewNotification(Struct, frozen=True, kw_only=True):
    """A notification a commit adds to the outbox."""

    id: str
    notifier: str
    status: Status
    body: bytes
    address: dict[str, str]
    in_order: bool
    lane: str = ""
    """Of what takes only so many messages a second; empty: of nothing that we know of."""
    again: bool = False
    """Whether it tells anew, under its own id, what it told before and has changed since."""


class Beside(Struct, frozen=True, kw_only=True):
    """What is stored with a delivery and its executions."""

    told: NewNotification | None = None
    """What whoever gave a command hears of it."""
    queued: dict[str, list[NewNotification]] = {}
    """What is told of each execution's having been taken."""
    note: str = ""
    """What stands in the executions' history."""


ALONE = Beside()
"""Nothing beside them."""


class NotificationClaim(Struct, frozen=True, kw_only=True):
    """The right to make one attempt."""

    id: str
    token: str
    notifier: str
    address: dict[str, str]
    body: bytes
    attempt: int
    clock: Clock
    version: int = 0
    """Of the body: it becomes another where there is something new to tell."""
    made: str | None = None
    """What an earlier message of the execution to this notifier has made."""


class NotificationRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a notification is: written once, by the commit that made it due."""

    execution: str
    """Empty where it tells of a delivery."""
    notifier: str
    status: Status
    address: dict[str, str]
    in_order: bool = False
    lane: str = ""


def written(new: NewNotification, execution_id: str = "") -> tuple[str, bytes, bytes, int]:
    """Return a notification as a script takes it: id, record, body, whether it tells anew."""
    record = NotificationRecord(
        execution=execution_id,
        notifier=new.notifier,
        status=new.status,
        address=new.address,
        in_order=new.in_order,
        lane=new.lane,
    )
    return new.id, msgspec.json.encode(record), new.body, int(new.again)


_decode_notification = msgspec.json.Decoder(NotificationRecord).decode


def read_notification_claim(notification_id: str, token: str, answer: list[bytes], asked: Clock) -> NotificationClaim:
    """Read the answer of scripts/claim_notification.lua."""
    record = _decode_notification(answer[2])
    return NotificationClaim(
        id=notification_id,
        token=token,
        notifier=record.notifier,
        address=record.address,
        body=answer[3],
        attempt=int(answer[1]),
        clock=asked.reading(int(answer[0])),
        version=int(answer[4]),
        made=answer[5].decode() or None,
    )


def read_notification(notification_id: str, fields: Fields) -> Notification:
    """Read a notification's hash as the API shows it."""
    return read_notification_record(notification_id, fields)[0]


def read_notification_record(notification_id: str, fields: Fields) -> tuple[Notification, NotificationRecord]:
    """Read a notification's hash as the API shows it, and what it was made as."""
    record = _decode_notification(fields["record"])
    state = fields["state"].decode()
    shown = Notification(
        id=notification_id,
        notifier=record.notifier,
        status=record.status,
        state=state,
        attempts=int(fields["attempts"]),
        last_error=fields.get("error", b"").decode() or None,
        next_attempt=rfc3339(float(fields["next"])) if state == "due" else None,
    )
    return shown, record
