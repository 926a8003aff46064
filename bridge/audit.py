"""Who ordered what, when, and what came of it: in the log at once, and the newest kept for people to read.

The record that an order changes keeps its own trace in the same atomic step; this is the list of all orders,
refused ones too.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import structlog
from msgspec import Struct

from bridge.clock import rfc3339
from bridge.errors import StoreUnavailable, Unfindable, WrongState
from bridge.listing import Page, newest
from bridge.records import RECORD_ERRORS
from bridge.store import RECORD_SECONDS, Store

_MOST = 10_000
_LONGEST = 500

log = structlog.get_logger()


class AuditEntry(Struct, kw_only=True):
    """One order; `details` may be added to while it is carried out."""

    at: str = ""
    """RFC 3339; Redis time."""
    id: str
    by: str
    """Whose token it was: its kind and its place in the setting."""
    order: str
    """retry | resolve | replay | pause | resume."""
    about: str
    """The id, or `engine NAME`, `rule NAME`."""
    details: str
    reason: str
    outcome: str
    """`done`, or why not."""


@asynccontextmanager
async def audited(
    store: Store, by: str, order: str, about: str, *, details: str = "", reason: str = ""
) -> AsyncIterator[AuditEntry]:
    """Write down the order that is carried out inside, and its outcome."""
    entry = AuditEntry(
        id=uuid.uuid4().hex[:12],
        by=by,
        order=order,
        about=_short(about),
        details=details,
        reason=_short(reason),
        outcome="not known: it was cut short",
    )
    try:
        yield entry
        entry.outcome = "done"
    except (Unfindable, WrongState) as error:
        entry.outcome = _short(f"refused: {error}")
        raise
    finally:
        written = msgspec.structs.asdict(entry)
        log.info("order.given", **{name: text for name, text in written.items() if text})
        await _keep(store, entry)


async def orders(store: Store, limit: int, cursor: str | None) -> Page[AuditEntry]:
    """Return one page of the newest orders; raises BadCursor and StoreUnavailable."""
    found, after = await newest(store, "gb:audit", limit, cursor)
    return Page([_entry(member, rfc3339(float(score))) for member, score in found], after)


async def _keep(store: Store, entry: AuditEntry) -> None:
    try:
        await store.run("audit", ["gb:audit"], [msgspec.json.encode(entry), _MOST, RECORD_SECONDS])
    except StoreUnavailable as error:
        # By now the order has been carried out or not; the log line above stands for it.
        log.warning("store.unavailable", reason=str(error))


def _entry(member: bytes, at: str) -> AuditEntry:
    try:
        entry = msgspec.json.decode(member, type=AuditEntry)
    except RECORD_ERRORS:
        entry = AuditEntry(id="", by="", order="", about="", details="", reason="", outcome="it cannot be read")
    return msgspec.structs.replace(entry, at=at)


def _short(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]
