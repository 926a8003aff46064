"""What is done now and then rather than per event: what has grown old is let go, what is foreign is set aside.

Every worker may do any of it at any time; none of it is needed for a promise to hold by the next minute.
"""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import structlog

from bridge.errors import BridgeError
from bridge.model import Status
from bridge.notes import Fields, read_notification_record
from bridge.parts import Bridge
from bridge.records import RECORD_ERRORS, read_execution
from bridge.scripting import redis_errors
from bridge.store import TRIGGER_LEASE_SECONDS, Store

KINDS = {
    "gb:due": b"zset",
    "gb:outbox": b"zset",
    "gb:bell": b"list",
    "gb:dead": b"zset",
    "gb:paused": b"hash",
    "gb:holds": b"string",
    "gb:deliveries": b"zset",
    "gb:executions": b"zset",
    "gb:arq": b"zset",
}
"""The keys that belong to no one record, and what Redis calls each."""
_SCAN = 500
_MOST_ASKED = 15
"""For redelivery at a time: GitHub wants a second between two, and a job has thirty."""
_CATCH_UP_SECONDS = 50
"""Nobody else asks meanwhile."""
_OVERLAP = timedelta(minutes=10)
_GITHUB_KEEPS = timedelta(days=3)

log = structlog.get_logger()


async def trim(store: Store) -> None:
    """Drop from the lists what is older than any record; raises StoreUnavailable."""
    async with redis_errors():
        seconds, _ = await store.redis.time()
        oldest = (seconds - store.record_seconds) * 1000
        pipeline = store.redis.pipeline(transaction=False)
        for index in ("gb:dead", "gb:deliveries", "gb:executions"):
            pipeline.zremrangebyscore(index, "-inf", oldest)
        pipeline.expire("gb:dead", store.record_seconds)
        await pipeline.execute()


async def catch_up(bridge: Bridge) -> None:
    """Ask the senders whose time has come for what they could not deliver; raises StoreUnavailable."""
    for name, source in bridge.config.sources.items():
        every = source.catches_up
        since = None if every is None else await _since(bridge.store, name, every)
        if since is None:
            continue
        try:
            asked = await source.catch_up(bridge.outbound, since, _MOST_ASKED)
        except BridgeError as error:
            log.warning("source.not_caught_up", source=name, reason=str(error))
            continue
        if asked:
            log.info("source.caught_up", source=name, asked=asked)
        if len(asked) < _MOST_ASKED:  # else the rest is asked for in a minute
            async with redis_errors():
                seconds, _ = await bridge.store.redis.time()
                await bridge.store.redis.set(f"gb:caught-up:{name}", seconds, ex=bridge.store.record_seconds)


async def _since(store: Store, name: str, every: timedelta) -> timedelta | None:
    """Return how far back to look, None when it is not time yet or another worker is at it."""
    async with redis_errors():
        last = await store.redis.get(f"gb:caught-up:{name}")
        seconds, _ = await store.redis.time()
        ago = timedelta(seconds=seconds - int(last)) if last and last.isdigit() else _GITHUB_KEEPS
        if ago < every or not await store.redis.set(f"gb:catching-up:{name}", "1", nx=True, ex=_CATCH_UP_SECONDS):
            return None
    # What fell between: an attempt may take GitHub a while to give up.
    return min(ago + _OVERLAP, _GITHUB_KEEPS)


async def mend(store: Store) -> list[str]:
    """Set aside shared keys that are not ours, and fill the schedules anew; raises StoreUnavailable.

    Returns the keys that were set aside. While such a key stands, deliveries are refused and nothing is claimed.
    """
    async with redis_errors():
        pipeline = store.redis.pipeline(transaction=False)
        for key in KINDS:
            pipeline.type(key)
        found = dict(zip(KINDS, await pipeline.execute(), strict=True))
        foreign = [key for key, kind in found.items() if kind not in (KINDS[key], b"none")]
        for key in foreign:
            aside = f"gb:foreign:{key.removeprefix('gb:')}:{uuid.uuid4().hex}"
            await store.redis.rename(key, aside)
            await store.redis.expire(aside, store.record_seconds)
            log.error("store.foreign_key", key=key, was=found[key].decode(), renamed=aside)
        if "gb:due" in foreign:
            await _reschedule_executions(store)
        if "gb:outbox" in foreign:
            await _reschedule_notifications(store)
    return foreign


async def _reschedule_executions(store: Store) -> None:
    """Make every execution due that has a next step and a delivery which promised it."""
    async for id_, fields in _hashes(store, "gb:x:"):
        try:
            execution = read_execution(id_, fields, [])
        except RECORD_ERRORS:
            continue  # nobody could claim it
        # An accept that met the foreign key left its executions behind without their delivery; it promised nothing.
        promised = execution.remote_id or await store.redis.exists(f"gb:d:{execution.delivery_id}")
        if promised and not execution.final:
            # Whoever holds one in `starting` is trying to write down what became of it.
            wait = TRIGGER_LEASE_SECONDS if execution.status == Status.STARTING else 0
            await store.redis.zadd("gb:due", {id_: ((await store.redis.time())[0] + wait) * 1000}, nx=True)


async def _reschedule_notifications(store: Store) -> None:
    async for id_, fields in _hashes(store, "gb:n:"):
        try:
            note, _ = read_notification_record(id_, fields)
        except RECORD_ERRORS:
            continue
        if note.state in ("due", "sending"):
            await store.redis.zadd("gb:outbox", {id_: float(fields["next"])}, nx=True)


async def _hashes(store: Store, prefix: str) -> AsyncIterator[tuple[str, Fields]]:
    async for key in store.redis.scan_iter(f"{prefix}*", count=_SCAN, _type="HASH"):
        found: dict[bytes, bytes] = await store.redis.hgetall(key)  # type: ignore[misc]  # its stub says sync or async
        yield key.decode(errors="replace").removeprefix(prefix), {name.decode(): value for name, value in found.items()}
