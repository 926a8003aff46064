"""The pause switches, one per engine and rule: what is queued behind one stays queued (scripts/claim.lua).

A person turns them on and off. An engine whose key is refused, or that is out of credit, turns its own on; then one
execution goes through every few minutes as a probe, and a good one turns it off again.
"""

from typing import Literal

import msgspec
import structlog
from msgspec import Struct

from bridge.clock import rfc3339
from bridge.errors import StoreUnavailable
from bridge.listing import read
from bridge.records import RECORD_ERRORS
from bridge.store import PROBE_SECONDS, Store

Kind = Literal["engine", "rule"]

_ITSELF = "the engine itself"
_SWITCHES = "gb:paused"

log = structlog.get_logger()


class Pause(Struct, frozen=True, kw_only=True):
    """A switch that is on."""

    kind: str
    name: str
    by: str
    reason: str
    since: str
    next_probe: str | None = None
    """When an execution goes through to see whether the engine takes it again; None: only a person resumes."""


class _Switch(Struct, frozen=True):
    by: str
    reason: str
    at: float
    probe: float | None = None


async def pause(store: Store, kind: Kind, name: str, by: str, reason: str) -> None:
    """Keep what is queued for an engine or of a rule; pausing what is paused changes who and why."""
    await _turn(store, kind, name, "pause", by, " ".join(reason.split()))
    log.info("pause.on", kind=kind, name=name, by=by, reason=reason)


async def resume(store: Store, kind: Kind, name: str, by: str) -> bool:
    """Let go what is queued, within seconds; returns False when it was not paused."""
    changed = await _turn(store, kind, name, "resume")
    log.info("pause.off", kind=kind, name=name, by=by, changed=changed)
    return changed


async def block(store: Store, engine: str, reason: str) -> None:
    """Pause an engine that refuses everybody; without the store it is left to the next refusal."""
    try:
        if await _turn(store, "engine", engine, "block", _ITSELF, reason):
            log.error("pause.on", kind="engine", name=engine, by=_ITSELF, reason=reason)
    except StoreUnavailable as error:
        log.warning("store.unavailable", reason=str(error))


async def recover(store: Store, engine: str) -> None:
    """Resume an engine that paused itself and now took a probe; without the store the next probe does."""
    try:
        if await _turn(store, "engine", engine, "recover"):
            log.info("pause.off", kind="engine", name=engine, by=_ITSELF, changed=True)
    except StoreUnavailable as error:
        log.warning("store.unavailable", reason=str(error))


async def paused(store: Store) -> list[Pause]:
    """Return every switch that is on; raises StoreUnavailable."""
    [switches] = await read(store, [_SWITCHES])
    found = []
    for field, value in sorted(switches.items()):
        kind, _, name = field.partition(" ")
        try:
            switch = msgspec.json.decode(value, type=_Switch)
        except RECORD_ERRORS:
            # It holds back all the same, so it is shown; resuming takes it away.
            switch = _Switch(by="", reason="the switch cannot be read", at=0)
        found.append(
            Pause(
                kind=kind,
                name=name,
                by=switch.by,
                reason=switch.reason,
                since=rfc3339(switch.at),
                next_probe=None if switch.probe is None else rfc3339(switch.probe),
            )
        )
    return found


async def _turn(store: Store, kind: Kind, name: str, what: str, by: str = "", reason: str = "") -> bool:
    return bool(await store.run("pause", [_SWITCHES], [f"{kind} {name}", what, by, reason, int(PROBE_SECONDS * 1000)]))
