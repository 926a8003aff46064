"""What there is to look at: the newest deliveries and executions, and the dead letters, page by page."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
import structlog
from msgspec import Struct

from bridge.clock import rfc3339
from bridge.errors import BridgeError, Unfindable
from bridge.model import Delivery, Execution
from bridge.notes import Fields, read_notification_record
from bridge.records import RECORD_ERRORS, pairs, read_delivery, read_execution
from bridge.store import Store

MOST_PER_PAGE = 100
_SCORE = re.compile(rb"[0-9.e+]{1,30}")

T = TypeVar("T")
Cursor = tuple[str, bytes]
"""Of the last one seen: its milliseconds, and its name in the index."""

log = structlog.get_logger()


class BadCursor(BridgeError):
    """A cursor that no page gave."""


class Page(Struct, Generic[T], frozen=True):
    """One page, newest first; `next` is the cursor of the page after it, None where there is none."""

    items: list[T]
    next: str | None


class DeliverySummary(Struct, frozen=True, kw_only=True):
    """A delivery in a list."""

    id: str
    source: str
    event: str
    outcome: str
    received_at: str
    executions: list[str]
    replay_of: str | None


class ExecutionSummary(Struct, frozen=True, kw_only=True):
    """An execution in a list."""

    id: str
    delivery_id: str
    rule: str
    status: str
    final: bool
    reason: str | None
    created_at: str
    finished_at: str | None


class DeadLetter(Struct, frozen=True, kw_only=True):
    """Something a person has to look at: an unknown or unreadable execution, or an undeliverable notification."""

    kind: str
    """execution | notification."""
    id: str
    at: str
    """Since when (RFC 3339)."""
    reason: str | None
    execution_id: str
    notifier: str | None = None
    rule: str | None = None


async def delivery(store: Store, delivery_id: str) -> Delivery:
    """Return one delivery; raises Unfindable and StoreUnavailable."""
    found = await store.delivery(delivery_id)
    if found is None:
        raise Unfindable(f"no delivery {delivery_id!r}")
    return found


async def execution(store: Store, execution_id: str) -> Execution:
    """Return one execution; raises Unfindable and StoreUnavailable."""
    found = await store.execution(execution_id)
    if found is None:
        raise Unfindable(f"no execution {execution_id!r}")
    return found


async def deliveries(store: Store, limit: int, cursor: str | None) -> Page[DeliverySummary]:
    """Return one page of the newest deliveries; raises BadCursor and StoreUnavailable."""

    def shown(delivery_id: str, fields: Fields) -> DeliverySummary:
        return _summary(read_delivery(delivery_id, fields), DeliverySummary)

    return await _listed(store, "gb:deliveries", "gb:d:", limit, cursor, shown)


async def executions(store: Store, limit: int, cursor: str | None) -> Page[ExecutionSummary]:
    """Return one page of the newest executions; raises BadCursor and StoreUnavailable."""

    def shown(execution_id: str, fields: Fields) -> ExecutionSummary:
        return _summary(read_execution(execution_id, fields, []), ExecutionSummary)

    return await _listed(store, "gb:executions", "gb:x:", limit, cursor, shown)


async def dead_letters(store: Store, limit: int, cursor: str | None) -> Page[DeadLetter]:
    """Return one page of the dead letters; raises BadCursor and StoreUnavailable.

    One whose record has expired meanwhile is left out; one whose record cannot be read is shown with that reason.
    """
    members, after = await newest(store, "gb:dead", limit, cursor)
    parts = [member.decode(errors="replace").split(" ", 2) for member, _ in members]
    hashes = await read(store, [f"gb:{kind}:{id_}" for kind, id_, *_ in parts])
    letters = []
    for (_, score), (kind, id_, *why), fields in zip(members, parts, hashes, strict=True):
        if fields or why:
            letters.append(_letter(kind, id_, rfc3339(float(score)), why[0] if why else None, fields))
    return Page(letters, after)


async def read(store: Store, keys: list[str]) -> list[Fields]:
    """Read several hashes in one round trip; {} for what is none."""
    return [pairs(flat) for flat in await store.run("read", keys, [])] if keys else []


def _letter(kind: str, id_: str, at: str, why: str | None, fields: Fields) -> DeadLetter:
    """Return a dead letter with as much as its record tells."""
    try:
        if kind == "n":
            note, sent = read_notification_record(id_, fields)
            return DeadLetter(
                kind="notification",
                id=id_,
                at=at,
                reason=note.last_error,
                execution_id=sent.execution,
                notifier=note.notifier,
            )
        found = read_execution(id_, fields, [])
        return DeadLetter(
            kind="execution", id=id_, at=at, reason=why or found.reason, execution_id=id_, rule=found.rule
        )
    except RECORD_ERRORS:
        what = "notification" if kind == "n" else "execution"
        return DeadLetter(
            kind=what, id=id_, at=at, reason=why or "the record cannot be read", execution_id="" if kind == "n" else id_
        )


async def _listed(
    store: Store, index: str, prefix: str, limit: int, cursor: str | None, shown: Callable[[str, Fields], T]
) -> Page[T]:
    members, after = await newest(store, index, limit, cursor)
    ids = [member.decode(errors="replace") for member, _ in members]
    items = []
    for id_, fields in zip(ids, await read(store, [prefix + id_ for id_ in ids]), strict=True):
        if not fields:
            continue  # expired
        try:
            items.append(shown(id_, fields))
        except RECORD_ERRORS as error:
            # It is shown to a person when its step comes due; a list is no reason to fail for all others.
            log.warning("record.unreadable", id=id_, reason=f"{type(error).__name__}: {error}")
    return Page(items, after)


async def newest(
    store: Store, index: str, limit: int, cursor: str | None
) -> tuple[list[tuple[bytes, bytes]], str | None]:
    """Return one page of an index as (member, milliseconds), and the cursor of the next page."""
    wanted = max(1, min(limit, MOST_PER_PAGE))
    start, seen = ("+inf", None) if cursor is None else _read_cursor(cursor)
    answer = await store.run("page", [index], [wanted + 1, start])
    found = [(answer[i], answer[i + 1]) for i in range(0, len(answer), 2)]
    # Of several in one millisecond, Redis gives the greater name first.
    fresh = [(member, score) for member, score in found if seen is None or score.decode() != start or member < seen]
    page = fresh[:wanted]
    return page, _cursor(*page[-1]) if len(fresh) > wanted else None


def _cursor(member: bytes, score: bytes) -> str:
    return urlsafe_b64encode(score + b" " + member).decode().rstrip("=")


def _read_cursor(text: str) -> Cursor:
    try:
        score, space, member = urlsafe_b64decode(text.encode() + b"==").partition(b" ")
        if space and _SCORE.fullmatch(score) and float(score) >= 0:
            return score.decode(), member
    except ValueError:
        pass
    raise BadCursor("the cursor is not one that a page gave: leave it out to begin at the newest")


def _summary(whole: Delivery | Execution, kind: type[T]) -> T:
    fields: dict[str, Any] = msgspec.structs.asdict(whole)
    names: tuple[str, ...] = kind.__struct_fields__  # type: ignore[attr-defined]
    return kind(**{name: fields[name] for name in names})
