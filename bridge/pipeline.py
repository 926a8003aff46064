"""The story of one event, in reading order: accept -> start -> poll (-> report, in reports.py).

`accept` runs in the web process, the rest in a worker, one short step at a time. Each step begins with a claim
and ends with a commit; what happens if the process dies in between is the store's part (scripts/claim.lua).
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog
from msgspec import structs

from bridge import limits, metrics, pauses
from bridge.clock import rfc3339
from bridge.commands import taken
from bridge.contracts import Acceptance, Engine, ExecutionReference, Reply, Request, Skipped
from bridge.decision import acknowledgement, decide, derived_id
from bridge.errors import Ambiguous, AttemptError, BadSignature, Blocked, Permanent, StoreUnavailable, Transient
from bridge.explanation import recorded
from bridge.faults import point
from bridge.keeping import sealed_addresses, sealed_body
from bridge.leases import keeping
from bridge.model import Event, Status
from bridge.notes import ALONE, Beside
from bridge.pacing import backoff, jittered
from bridge.parts import Bridge
from bridge.polling import poll
from bridge.records import Claim, DeliveryRecord, Record, Step, Stored
from bridge.redis_checks import CLOCKS_APART_SECONDS
from bridge.reports import notifications, queued
from bridge.runs import Order, Started
from bridge.scheme import without_credentials
from bridge.steps import age_seconds, end, ended

ACCEPT_SECONDS = 2.5
"""How long storing may take before the sender is told to try again; Slack shows an error after 3 s."""
_POISON = "worker after worker ended while it asked the engine about this one: it is asked no more"
_UNKNOWN_TRIES = 3
"""With `on_unknown: retry`: triggers in all."""
_KEYS_HOLD_SECONDS = 23 * 3600
"""So long an engine surely knows the key of what was sent to it (Comfy: 24 h)."""
_LOST = "the worker was lost while the trigger was on its way"
_WAIT_SECONDS = 5.0
_CONFIG_SECONDS = 300.0
"""How long what this process' configuration does not know may be known to a newer one: Kubernetes takes up to two
minutes to bring a changed ConfigMap to every node. So long, too, an engine may be gone by mistake."""
_READ_HERE_BYTES = 256 * 1024
"""Larger bodies are read in a thread, so that others are answered meanwhile (tests/bench/clients.py)."""

log = structlog.get_logger()


# In the web process: accept.


async def accept(
    bridge: Bridge, source_name: str, request: Request, carry_out: Callable[[Event], Awaitable[str]]
) -> Reply | Acceptance:
    """Verify, match and store one delivery; nothing is promised before it is stored.

    One that is an order on an execution is carried out instead of matched; `carry_out` says what came of it. Returns a
    finished Reply where the source's protocol has one. Raises Refusal (a 4xx, nothing stored) and StoreUnavailable
    (nothing is known to be stored).
    """
    if len(request.body) <= _READ_HERE_BYTES:
        read = _read(bridge, source_name, request)
    else:  # where others do not wait for it
        read = await asyncio.to_thread(_read, bridge, source_name, request)
    if isinstance(read, Reply):
        return read
    await limits.admit(bridge.store, source_name, bridge.config.sources[source_name].rate)
    event = structs.replace(read, source=source_name, query=without_credentials(read.query))
    if event.press is not None:
        event = structs.replace(event, ignored=await carry_out(event))
    delivery_id = derived_id("d", source_name, event.key or uuid.uuid4().hex)
    return await take(bridge, event, delivery_id, request.body if event.keep is None else event.keep)


def _read(bridge: Bridge, source_name: str, request: Request) -> Event | Reply:
    """Read a request that is fresh by this machine's clock or by Redis': one of them may be wrong."""
    source, by_redis = bridge.config.sources[source_name], bridge.store.now
    try:
        return source.read(request)
    except BadSignature:
        if by_redis is None or abs(by_redis - request.now) < CLOCKS_APART_SECONDS:
            raise
        return source.read(structs.replace(request, now=by_redis))


async def take(bridge: Bridge, event: Event, delivery_id: str, body: bytes, replay_of: str | None = None) -> Acceptance:
    """Match one event and store it with all it causes; raises StoreUnavailable."""
    event = await _completed(bridge, event)
    decision = decide(bridge.config, event, delivery_id)
    delivery = DeliveryRecord(
        source=event.source,
        event=event.name,
        action=event.action,
        key=event.key,
        reason=decision.reason,
        config=bridge.config.hash,
        rules=[recorded(result) for result in decision.results],
        headers=event.headers,
        query=event.query,
        replay_of=replay_of,
    )
    kept = sealed_body(bridge.config, event.source, body)
    executions = {id_: sealed_addresses(bridge.config, record) for id_, record in decision.executions.items()}
    point("accept.before")
    told = None if replay_of else acknowledgement(bridge.config, event, decision, delivery_id)
    try:
        async with asyncio.timeout(ACCEPT_SECONDS):
            stored = await store(bridge, delivery_id, delivery, decision.outcome, kept, executions, Beside(told=told))
    except TimeoutError:
        raise StoreUnavailable("no answer in time") from None
    point("accept.after")
    metrics.DELIVERIES.labels(event.source, "duplicate" if stored.duplicate else decision.outcome).inc()
    if stored.duplicate:
        log.info("delivery.duplicate", delivery=delivery_id, source=event.source, event_name=event.name)
        first = [reference(bridge, *execution) for execution in stored.executions]
        return Acceptance(delivery_id=delivery_id, outcome="duplicate", executions=first)
    log.info(
        "delivery.stored",
        delivery=delivery_id,
        outcome=decision.outcome,
        source=event.source,
        event_name=event.name,
        executions=list(decision.executions),
    )
    started = {record.rule for record in decision.executions.values()}
    return Acceptance(
        delivery_id=delivery_id,
        outcome=decision.outcome,
        executions=[reference(bridge, id_, record.rule, Status.QUEUED) for id_, record in decision.executions.items()],
        skipped=[
            Skipped(result.rule, result.reason or result.verdict)
            for result in decision.results
            if result.rule not in started
        ],
        reason=decision.reason,
    )


async def store(
    bridge: Bridge,
    delivery_id: str,
    delivery: DeliveryRecord,
    outcome: str,
    body: bytes,
    executions: dict[str, Record],
    beside: Beside = ALONE,
) -> Stored:
    """Store a delivery with its executions, and what is told of their having been taken; raises StoreUnavailable."""
    now_ms = (bridge.store.now or time.time()) * 1000
    notes = {id_: queued(bridge.config, id_, record, now_ms) for id_, record in executions.items()}
    beside = structs.replace(beside, queued=notes)
    return await bridge.store.accept(delivery_id, delivery, outcome, body, executions, beside)


async def _completed(bridge: Bridge, event: Event) -> Event:
    """Ask for what a comment's command does not carry; nobody but who may give it makes us ask."""
    if taken(bridge.config, event) is None:
        return event
    try:
        return await bridge.config.sources[event.source].complete(bridge.outbound, event)
    except AttemptError as error:
        return structs.replace(event, incomplete=str(error))


def reference(bridge: Bridge, execution_id: str, rule: str, status: Status) -> ExecutionReference:
    """Name an execution as the answer to a delivery does."""
    return ExecutionReference(execution_id, rule, status, f"{bridge.public_url}/api/executions/{execution_id}")


# In a worker: start, then poll.


async def step(bridge: Bridge, claim: Claim) -> Step:
    """Take one execution one step further; never raises."""
    engine = bridge.config.engines.get(claim.record.engine)
    found = _unasked(bridge, claim, engine)
    if found is None and engine is not None:
        found = await _asked(bridge, engine, claim)
    if found is None:
        reason = f"the engine {claim.record.engine!r} is no longer configured"
        found = end(claim, Status.REJECTED if claim.kind != "poll" else Status.LOST, reason)
    return structs.replace(found, notifications=notifications(bridge.config, claim, found))


def _unasked(  # noqa: PLR0911 - each is one reason
    bridge: Bridge, claim: Claim, engine: Engine | None
) -> Step | None:
    """Take the step where the engine need not, or must not, be asked; None: it has to be."""
    if claim.kind == "orphan":
        again = engine is not None and _can_be_sent_again(bridge, engine, claim)
        return None if again else _unsure(claim, _LOST)
    if claim.kind == "expired":
        why = f": {claim.execution.reason}" if claim.execution.reason else ""
        return end(claim, Status.TIMED_OUT, f"it could not be started before its deadline{why}")
    if claim.kind == "poison":
        return end(claim, Status.LOST, _POISON)
    if claim.kind == "skipped":
        # Settled, though the engine has not seen it: a late repeat of its delivery must not overtake newer ones.
        return structs.replace(end(claim, Status.SKIPPED, claim.execution.reason or ""), reached=True)
    if missing := _may_come(bridge, claim):
        return _wait(claim, missing)
    if engine is not None and not claim.confirmed and claim.kind != "poll":
        # After a failover nobody would know of this intent, and the trigger might be sent twice.
        why = "not sent: no replica of Redis confirmed the intent"
        return _queue_again(claim, why, backoff(claim.execution.attempts))
    return None


async def _asked(bridge: Bridge, engine: Engine, claim: Claim) -> Step:
    if claim.kind == "orphan":
        return await _send_again(bridge, engine, claim)
    if claim.kind in ("start", "probe"):
        return await _start(bridge, engine, claim)
    return await poll(bridge, engine, claim)


def _may_come(bridge: Bridge, claim: Claim) -> str | None:
    """Name what this process does not know and other processes, which read the files sooner, may well do."""
    config, record = bridge.config, claim.record
    young = age_seconds(claim) < _CONFIG_SECONDS
    if record.engine not in config.engines and (young or time.monotonic() - bridge.since < _CONFIG_SECONDS):
        return f"engine {record.engine!r}"
    # Without its notifier a message cannot be composed, so the step that causes one waits. Only then: one that was
    # taken out on purpose must not hold up for long what is under way.
    strangers = [recipient.notifier for recipient in record.notify if recipient.notifier not in config.notifiers]
    return f"notifier {strangers[0]!r}" if strangers and young else None


def _wait(claim: Claim, missing: str) -> Step:
    reason = f"waiting: the configuration here has no {missing} (yet)"
    if claim.kind != "poll":
        return _queue_again(claim, reason, backoff(claim.execution.attempts))
    execution = structs.replace(claim.execution, reason=reason)
    return Step(execution=execution, again_seconds=jittered(_WAIT_SECONDS), note=reason)


def _order(bridge: Bridge, claim: Claim) -> Order:
    record, id_ = claim.record, claim.execution.id
    return Order(
        template_id=record.template_id,
        variables=record.variables,
        execution_id=id_,
        options=record.options,
        variable_options=record.variable_options,
        folder=bridge.config.folder,
        deadline_seconds=record.deadline_seconds,
        # Where the rule wants it repeated although it may have run, it is another run.
        key=f"{id_} {claim.execution.attempts}" if record.on_unknown == "retry" else id_,
    )


async def _trigger(bridge: Bridge, engine: Engine, claim: Claim) -> Started:
    async with keeping(bridge.store, claim) as lease:
        order = await engine.prepare(bridge.outbound, _order(bridge, claim))
        return await engine.trigger(bridge.outbound, order, await lease.begins_by())


async def _start(bridge: Bridge, engine: Engine, claim: Claim) -> Step:
    record, began = claim.record, claim.clock.now_ms()
    point("claim.after")
    try:
        started = await _trigger(bridge, engine, claim)
        point("trigger.answered")
    except Transient as error:
        asked = await bridge.strikes.asked(bridge.store, engine, record.bucket, error)
        return _queue_again(claim, str(error), backoff(claim.execution.attempts) if asked is None else asked)
    except Permanent as error:
        if isinstance(error, Blocked):
            # It would refuse everybody: what is queued for this engine waits, and a probe, sent only to see, with it.
            await pauses.block(bridge.store, claim.record.engine, str(error))
            if claim.kind == "probe":
                return _queue_again(claim, str(error), backoff(claim.execution.attempts))
        return structs.replace(end(claim, Status.REJECTED, str(error)), reached=True)
    except Ambiguous as error:
        return _unsure(claim, str(error))
    except Exception as error:
        # A defect in an adapter: whether the request left is not known, so it counts as ambiguous.
        log.exception("execution.trigger_failed", execution=claim.execution.id)
        return _unsure(claim, f"unexpected {type(error).__name__} in the engine adapter")
    bridge.strikes.passed(engine, record.bucket)
    if claim.kind == "probe":
        await pauses.recover(bridge.store, claim.record.engine)
    return _begun(bridge, engine, claim, started, began)


def _can_be_sent_again(bridge: Bridge, engine: Engine, claim: Claim) -> bool:
    """Whether the engine would know the trigger of a lost worker for what it is, and take it once."""
    history = claim.execution.history
    if not history or not engine.repeatable(_order(bridge, claim)):
        return False
    sent = datetime.fromisoformat(history[-1].at).timestamp()
    return claim.clock.now_ms() / 1000 - sent < _KEYS_HOLD_SECONDS


async def _send_again(bridge: Bridge, engine: Engine, claim: Claim) -> Step:
    """Send what a lost worker perhaps sent: only that it has begun now tells anything."""
    began = claim.clock.now_ms()
    try:
        started = await _trigger(bridge, engine, claim)
    except AttemptError as error:
        return _unsure(claim, f"{_LOST}; sent again: {error}")
    except Exception as error:
        log.exception("execution.trigger_failed", execution=claim.execution.id)
        return _unsure(claim, f"{_LOST}; unexpected {type(error).__name__} in the engine adapter")
    found = _begun(bridge, engine, claim, started, began)
    return structs.replace(found, note=f"{_LOST}; sent again under the same key")


def _begun(bridge: Bridge, engine: Engine, claim: Claim, started: Started, began_ms: float) -> Step:
    now = claim.clock.now_ms()
    since = now if started.ended is None else began_ms
    execution = structs.replace(
        claim.execution,
        status=Status.PENDING,
        remote_id=started.remote_id,
        url=started.url,
        reason=started.reason,
        progress=started.progress,
        started_at=rfc3339(since),
    )
    step = Step(
        execution=execution,
        again_seconds=jittered(engine.poll.first.total_seconds()),
        reached=True,
        started_ms=since,
        deadline_ms=now + claim.record.deadline_seconds * 1000,
        note=started.reason or "",
    )
    return step if started.ended is None else ended(bridge, claim, step, started.ended)


def _unsure(claim: Claim, reason: str) -> Step:
    if claim.record.on_unknown == "retry" and claim.execution.attempts < _UNKNOWN_TRIES:
        note = f"sent again, as the rule says on_unknown: retry ({reason})"
        return structs.replace(_queue_again(claim, note, backoff(claim.execution.attempts)), reached=True)
    return structs.replace(end(claim, Status.UNKNOWN, reason), reached=True)


def _queue_again(claim: Claim, reason: str, wait_seconds: float) -> Step:
    execution = structs.replace(claim.execution, status=Status.QUEUED, reason=reason)
    return Step(execution=execution, again_seconds=jittered(wait_seconds), note=reason)
