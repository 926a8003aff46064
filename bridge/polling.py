"""How a run is looked at, from its start to its end or its deadline."""

import structlog
from msgspec import structs

from bridge.contracts import Engine
from bridge.errors import AttemptError, Permanent, Transient
from bridge.faults import point
from bridge.model import Execution, Progress, Status
from bridge.pacing import jittered, spoken
from bridge.parts import Bridge
from bridge.records import Claim, Step
from bridge.runs import Snapshot
from bridge.steps import age_seconds, end, ended

_NOT_FOUND_GRACE_SECONDS = 60
"""For so long after a start an engine may not know its own run yet."""
_REVIEW_SLOWER = 4
"""A run that waits for a person is looked at this many times more rarely than a running one."""
_DEFECT_SECONDS = 60

log = structlog.get_logger()


async def poll(bridge: Bridge, engine: Engine, claim: Claim) -> Step:
    """Look at a run once; at its deadline the engine is asked to take it back. Never raises."""
    found = await _look(bridge, engine, claim)
    return await _take_back(bridge, engine, found) if found.execution.status == Status.TIMED_OUT else found


async def _look(bridge: Bridge, engine: Engine, claim: Claim) -> Step:
    was = claim.execution
    point("poll.before")
    try:
        seen = await engine.fetch(bridge.outbound, was.remote_id or "")
    except Transient as error:
        asked = await bridge.strikes.asked(bridge.store, engine, "fetches", error)
        return _look_again(engine, claim, structs.replace(was, reason=str(error)), asked or 0)
    except Permanent as error:
        if age_seconds(claim) < _NOT_FOUND_GRACE_SECONDS:
            return _look_again(engine, claim, structs.replace(was, reason=str(error)))
        return end(claim, Status.LOST, str(error))
    except Exception as error:
        log.exception("execution.poll_failed", execution=was.id)
        reason = f"unexpected {type(error).__name__} in the engine adapter"
        return _look_again(engine, claim, structs.replace(was, reason=reason), _DEFECT_SECONDS)
    bridge.strikes.passed(engine, "fetches")
    now = structs.replace(
        was,
        status=seen.status,
        progress=_progress(seen, was.progress),
        reason=seen.reason,
    )
    if seen.status.final:
        return ended(bridge, claim, Step(execution=now, again_seconds=None), seen)
    return _look_again(engine, claim, now)


def _progress(seen: Snapshot, was: Progress | None) -> Progress | None:
    if seen.done is None or was is None:
        return seen.progress or was
    # Who looks now need not have heard all that was told before.
    return Progress(max(was.done, min(seen.done, was.total)), was.total)


async def _take_back(bridge: Bridge, engine: Engine, found: Step) -> Step:
    """Spare the engine what nobody waits for any more, where it can be asked to; whatever comes of it is told."""
    try:
        told = await engine.cancel(bridge.outbound, found.execution.remote_id or "")
    except AttemptError as error:
        told = f"it could not be cancelled: {error}"
    except Exception as error:
        log.exception("execution.cancel_failed", execution=found.execution.id)
        told = f"it could not be cancelled: unexpected {type(error).__name__} in the engine adapter"
    if told is None:
        return found
    reason = f"{found.execution.reason}; {told}"
    return structs.replace(found, execution=structs.replace(found.execution, reason=reason), note=reason)


def _look_again(engine: Engine, claim: Claim, execution: Execution, at_least_seconds: float = 0) -> Step:
    now, deadline, review_since = claim.clock.now_ms(), claim.deadline_ms, claim.review_since_ms
    in_review = execution.status == Status.REVIEW_PENDING
    if in_review and review_since is None:
        review_since = now
    elif not in_review and review_since is not None:
        # The time a person took does not count: the deadline's clock goes on where it stopped.
        deadline, review_since = deadline + now - review_since, None
    if now > deadline and not in_review:
        return end(claim, Status.TIMED_OUT, f"not finished within {spoken(claim.record.deadline_seconds)}")
    first, most = engine.poll.first.total_seconds(), engine.poll.max.total_seconds()
    # Half the age is what multiplying by 1.5 each time comes to, without a counter to keep.
    wait = most * _REVIEW_SLOWER if in_review else min(most, max(first, age_seconds(claim) / 2))
    return Step(
        execution=execution,
        again_seconds=jittered(max(wait, at_least_seconds)),
        deadline_ms=deadline,
        review_since_ms=review_since,
    )
