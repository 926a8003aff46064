"""Orders that people give where an execution was told: a button in Slack, *Re-run* on GitHub.

Whoever may is for the notifier to say whose message it was; the order itself is the one that the API and the page give.
"""

import asyncio

import structlog

from bridge import operations
from bridge.errors import AttemptError, Unfindable, Unreadable, WrongState
from bridge.listing import read
from bridge.model import Event, Press
from bridge.parts import Bridge
from bridge.records import RECORD_ERRORS, decode_record

_WHISPER_SECONDS = 1.0
"""Slack wants its answer within three seconds; what is whispered is a courtesy."""
_RESOLVED = {"did_not_run": "it did not run, so it is started", "close": "closed"}

log = structlog.get_logger()


async def carry_out(bridge: Bridge, event: Event) -> str:
    """Carry out what the event orders, and say in a sentence what came of it; raises StoreUnavailable.

    Pressed twice it does what pressing it once did.
    """
    press, done = event.press, False
    if press is None:
        return "nothing was ordered"
    try:
        refused = await _refused(bridge, event, press)
        if refused is None:
            told, done = await _do(bridge, press), True
        else:
            told = f"nothing was done: {refused}"
    except (Unfindable, WrongState, Unreadable) as error:
        told = f"nothing was done: {error}"
    log.info("press", execution=press.execution_id, action=press.action, by=press.by, told=told)
    if not done:
        await _whisper(bridge, event, told)
    return told


async def _do(bridge: Bridge, press: Press) -> str:
    if press.action == "again":
        taken = await operations.again(bridge, press.execution_id, press.by, "pressed")
        ids = ", ".join(execution.id for execution in taken.executions)
        if taken.outcome == "duplicate":
            return f"it was run again before, as {ids}"
        told = f"run again by {press.by}, as {ids}"
        await operations.tell(bridge, press.execution_id, f"{press.by}: run again as {ids}")
        return told
    await operations.resolve(bridge.store, press.execution_id, press.action, by=press.by)
    await operations.tell(bridge, press.execution_id)
    return f"settled by {press.by}: {_RESOLVED[press.action]}"


async def _refused(bridge: Bridge, event: Event, press: Press) -> str | None:
    """Say why the order is not carried out; None: it is."""
    [fields] = await read(bridge.store, [f"gb:x:{press.execution_id}"])
    try:
        record = decode_record(fields["record"])
    except RECORD_ERRORS:
        return f"there is no execution {press.execution_id[:80]!r}, or no more"
    user, now = str(event.facts.get("user") or press.by), bridge.store.now or 0
    reasons = ["nobody was told of it here"]
    for recipient in record.notify:
        if press.notifier not in ("", recipient.notifier):
            continue
        notifier = bridge.config.notifiers.get(recipient.notifier)
        if notifier is not None and (notifier.sources is None or _kind(bridge, event) in notifier.sources):
            try:
                reason = await notifier.allows(bridge.outbound, press, user, now)
            except AttemptError as error:
                reason = f"it could not be asked whether you may: {error}"
            if reason is None:
                return None
            reasons.append(reason)
    return reasons[-1]


def _kind(bridge: Bridge, event: Event) -> str:
    """Return the type of the source that an event came from."""
    return str(bridge.config.sources[event.source].__struct_config__.tag)


async def _whisper(bridge: Bridge, event: Event, told: str) -> None:
    try:
        async with asyncio.timeout(_WHISPER_SECONDS):
            await bridge.config.sources[event.source].whisper(bridge.outbound, event, told)
    except (TimeoutError, AttemptError) as error:
        log.warning("press.not_told", execution=event.press and event.press.execution_id, reason=str(error))
