"""What is told, and one attempt at telling it: the end of the story that `pipeline` tells.

The messages of a step are composed with it and written down by the same commit, as an outbox; `report` then makes
one attempt at one of them.
"""

from collections.abc import Iterator

import structlog
from msgspec import structs

from bridge import metrics
from bridge.clock import rfc3339
from bridge.config import Config
from bridge.decision import SOURCE, derived_id
from bridge.errors import AttemptError, Permanent, Throttled, Transient
from bridge.faults import point
from bridge.keeping import opened_address
from bridge.model import Change, Execution, Message
from bridge.notes import NewNotification, NotificationClaim
from bridge.pacing import jittered
from bridge.parts import Bridge
from bridge.records import Claim, Record, Step, taken
from bridge.store import Store

NOTIFICATION_SCHEDULE_SECONDS = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)
"""Between the attempts of one notification (docs.svix.com/retries); after the last it is dead."""
_MOST_ATTEMPTS = len(NOTIFICATION_SCHEDULE_SECONDS) + 4
"""Those of the schedule, and a few that were cut off with their worker; no more, lest a message that kills workers
goes on for ever."""
_TRIES_WITHOUT_NOTIFIER = 2
"""The five minutes these take are what a changed configuration may take to come to every process."""

_PROGRESS = "progress"
"""What stands in the place of a status in the id of what tells progress, always the same one."""

log = structlog.get_logger()


def notifications(config: Config, claim: Claim, found: Step) -> list[NewNotification]:
    """Return what a step has to tell, each message composed once.

    Where the status is what it was, only progress is news, and only to those who can change what they told before.
    """
    status = found.execution.status
    if status == claim.execution.status:
        moved = found.execution.progress != claim.execution.progress and not status.final
        again = structs.replace(found.execution, history=claim.execution.history)
        return list(_told(config, claim.record, again, progress=True)) if moved else []
    now = rfc3339(claim.clock.now_ms())
    told = structs.replace(
        found.execution,
        final=status.final,
        finished_at=None if found.again_seconds is not None else now,
        history=[*claim.execution.history, Change(now, status, found.note or None)],
    )
    return list(_told(config, claim.record, told))


def queued(config: Config, execution_id: str, record: Record, now_ms: float) -> list[NewNotification]:
    """Return what is told of an execution that was taken and has not begun."""
    execution = taken(execution_id, record, rfc3339(now_ms))
    return list(_told(config, record, execution))


def anew(config: Config, record: Record, execution: Execution) -> list[NewNotification]:
    """Return what living messages say of an execution about which a person did something."""
    return list(_told(config, record, execution, progress=True))


def _told(config: Config, record: Record, execution: Execution, *, progress: bool = False) -> Iterator[NewNotification]:
    for recipient in record.notify:
        notifier = config.notifiers.get(recipient.notifier)
        wants = notifier is not None and (notifier.living if progress else notifier.wants(execution.status))
        if notifier is not None and wants:
            yield NewNotification(
                id=derived_id("msg", execution.id, recipient.notifier, _PROGRESS if progress else execution.status),
                notifier=recipient.notifier,
                status=execution.status,
                body=notifier.compose(execution, recipient.notifier),
                address=recipient.address,
                in_order=notifier.in_order,
                lane=notifier.lane(recipient.address),
                again=progress,
            )


async def report(bridge: Bridge, notification_id: str) -> float | None:
    """Make one attempt to deliver a notification, if it is due.

    Returns the seconds until the next attempt, None when there is none. Raises StoreUnavailable.
    """
    claim = await bridge.store.claim_notification(notification_id)
    if not isinstance(claim, NotificationClaim):
        return claim
    if claim.attempt > _MOST_ATTEMPTS:
        return await _attempt_failed(bridge.store, claim, Permanent("too many attempts ended with their worker"))
    point("notify.before")
    try:
        made = await _send(bridge, claim)
        point("notify.sent")
    except AttemptError as error:
        return await _attempt_failed(bridge.store, claim, error)
    except Exception as error:
        log.exception("notification.failed", notification=claim.id, notifier=claim.notifier)
        return await _attempt_failed(bridge.store, claim, Transient(f"unexpected {type(error).__name__}"))
    metrics.NOTIFICATION_ATTEMPTS.labels(claim.notifier, "delivered").inc()
    committed = await bridge.store.commit_notification(claim, "delivered", made=made)
    point("notify.committed")
    log.info("notification.delivered", notification=claim.id, notifier=claim.notifier, attempt=claim.attempt)
    return 0 if committed == "newer" else None


async def _send(bridge: Bridge, claim: NotificationClaim) -> str | None:
    config, name = bridge.config, claim.notifier
    ours = config.sources.get(name.removeprefix(SOURCE)) if name.startswith(SOURCE) else config.notifiers.get(name)
    if ours is None:
        if claim.attempt <= _TRIES_WITHOUT_NOTIFIER:
            raise Transient(f"the configuration here has no notifier {name!r} (yet)")
        raise Permanent(f"the notifier {name!r} is no longer configured")
    message = Message(
        id=claim.id,
        body=claim.body,
        address=opened_address(bridge.config, claim.notifier, claim.address),
        attempt=claim.attempt,
        now=claim.clock.now_ms() / 1000,
        made=claim.made,
    )
    return await ours.send(bridge.outbound, message)


async def _attempt_failed(store: Store, claim: NotificationClaim, error: AttemptError) -> float | None:
    if isinstance(error, Permanent) or claim.attempt > len(NOTIFICATION_SCHEDULE_SECONDS):
        metrics.NOTIFICATION_ATTEMPTS.labels(claim.notifier, "dead").inc()
        await store.commit_notification(claim, "dead", error=str(error))
        log.error("notification.dead", notification=claim.id, notifier=claim.notifier, reason=str(error))
        return None
    asked = error.retry_after if isinstance(error, Transient) else None
    metrics.NOTIFICATION_ATTEMPTS.labels(claim.notifier, "due").inc()
    wait = jittered(NOTIFICATION_SCHEDULE_SECONDS[claim.attempt - 1]) if asked is None else asked
    # A 429 is about the place, so whatever else is to be told there waits as well.
    hold = wait if isinstance(error, Throttled) else 0
    await store.commit_notification(claim, "due", error=str(error), again_seconds=wait, hold_seconds=hold)
    log.warning("notification.failed", notification=claim.id, notifier=claim.notifier, reason=str(error), again=wait)
    return wait
