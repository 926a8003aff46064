"""The store: every Redis key, lifetime and script. The record decides; everything else only hurries it.

Keys (all times are Redis TIME in milliseconds, so no machine's clock matters):

gb:d:<delivery>      hash    one delivery and its outcome; its existence is the duplicate check
gb:b:<delivery>      string  its body, for replay and explain
gb:x:<execution>     hash    one execution
gb:n:<notification>  hash    one notification
gb:due               zset    execution -> when its next step is due: schedule and lease in one
gb:outbox            zset    notification -> when to ring for it
gb:bell              list    wakes one waiting worker
gb:dead              zset    what a person has to look at
gb:paused            hash    the pause switches that are on; the one key that stays until a person decides
gb:deliveries        zset    the newest deliveries, and
gb:executions        zset    the newest executions -> when they came
gb:audit             zset    the newest orders of people -> when they were given
gb:session:<digest>  string  a session on the page
gb:rate:<source>     string  when the source may again send as much as its rate allows
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from bridge.clock import Clock
from bridge.errors import StoreUnavailable
from bridge.model import Delivery, Durability, Execution
from bridge.records import (
    Claim,
    Claims,
    DeliveryRecord,
    Fields,
    NotificationClaim,
    NotificationRecord,
    Record,
    Step,
    Stored,
    changed_fields,
    pack_body,
    read_claims,
    read_delivery,
    read_execution,
    read_notification,
    read_notification_claim,
    read_stored,
    unpack_body,
)
from bridge.redis_checks import Finding, examine
from bridge.redis_pool import pool
from bridge.replication import Replication, Unconfirmed

RECORD_SECONDS = 30 * 86_400
"""How long a record is kept after its last change: longer than any sender repeats (GitHub: 3 days)."""
BODY_SECONDS = 7 * 86_400
TRIGGER_LEASE_SECONDS = 40.0
POLL_LEASE_SECONDS = 20.0
NOTIFICATION_LEASE_SECONDS = 40.0
HOLD_SECONDS = 2.0
"""How often a paused execution is looked at: so long it may take to go on after a resume."""
PROBE_SECONDS = 300.0
"""Between two probes of an engine that paused itself."""
UNRUNG_SECONDS = 5
"""After this long the sweep rings for a notification whose own ring got lost."""

_TRIES = 3
_SCRIPTS = (
    "accept",
    "claim",
    "commit",
    "claim_notification",
    "commit_notification",
    "ring",
    "page",
    "read",
    "resolve",
    "retry",
    "pause",
    "rate",
    "audit",
    "session",
)


_PROMISES = ("accept", "claim")
"""What is promised on these must survive a failover as well, under `durability: strict`."""


class _Call(NamedTuple):
    command: tuple[Any, ...]
    promises: bool
    future: asyncio.Future[Any]


class Store:
    """Redis, behind the few atomic steps the pipeline is made of."""

    def __init__(self, url: str, durability: Durability = "standard") -> None:
        """Prepare a pool for `url`; nothing connects before the first use."""
        self.url = url
        self.durability = durability
        self._replication = Replication(strict=durability == "strict", expected=url.startswith("sentinel:"))
        self.redis = Redis(connection_pool=pool(url))
        self._scripts = {
            name: resources.files("bridge").joinpath("scripts", f"{name}.lua").read_text() for name in _SCRIPTS
        }
        self._shas: dict[str, str] = {}
        self._queue: list[_Call] = []
        self._flushing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Load the scripts; raises StoreUnavailable."""
        async with _redis_errors():
            await self._load()
            if self._replication.strict:
                await self._look_for_replicas()

    async def _look_for_replicas(self) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.execute_command(*self._replication.question())
        self._replication.confirmed((await pipeline.execute(raise_on_error=False))[0])

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*self._flushing)
        await self.redis.aclose(close_connection_pool=True)

    async def probe(self) -> None:
        """Write something; raises StoreUnavailable when Redis is away, read-only or full."""
        async with _redis_errors():
            await self.redis.set("gb:probe", "1", ex=60)

    async def examine(self) -> list[Finding]:
        """Say what to change about how Redis is set; raises StoreUnavailable."""
        async with _redis_errors():
            return await examine(self.redis, self.durability)

    async def accept(
        self, delivery_id: str, delivery: DeliveryRecord, outcome: str, body: bytes, executions: dict[str, Record]
    ) -> Stored:
        """Store a delivery and everything it causes, or say what it is a duplicate of; raises StoreUnavailable.

        Repeated after a lost connection: the attempt's id makes its own earlier call recognisable.
        """
        arguments: list[Any] = [
            delivery_id,
            uuid.uuid4().hex,
            msgspec.json.encode(delivery),
            outcome,
            pack_body(body),
            RECORD_SECONDS,
            BODY_SECONDS,
        ]
        for execution_id, record in executions.items():
            arguments += [execution_id, msgspec.json.encode(record), int(record.deadline_seconds * 1000)]
        answer = await self._insist("accept", ["gb:due", "gb:bell"], arguments)
        return read_stored(answer)

    async def claim(self, limit: int) -> Claims:
        """Take up to `limit` due steps; raises StoreUnavailable."""
        token = uuid.uuid4().hex
        clock = Clock.starting_now()
        leases = [int(TRIGGER_LEASE_SECONDS * 1000), int(POLL_LEASE_SECONDS * 1000)]
        pauses = [int(HOLD_SECONDS * 1000), RECORD_SECONDS, int(PROBE_SECONDS * 1000)]
        keys, confirmed = ["gb:due", "gb:dead", "gb:paused"], True
        try:
            answer = await self._run("claim", keys, [limit, token, *leases, *pauses])
        except Unconfirmed as error:
            answer, confirmed = error.answer, False
        return read_claims(answer, token, clock, confirmed=confirmed)

    async def commit(self, claim: Claim, step: Step) -> bool:
        """Write down what a step found out.

        Returns whether the claim was still ours. Raises StoreUnavailable, after which it may be called again.
        """
        fields = changed_fields(claim, step)
        arguments: list[Any] = [
            claim.execution.id,
            claim.token,
            -1 if step.again_seconds is None else max(0, int(step.again_seconds * 1000)),
            step.execution.status,
            " ".join(step.note.split()),
            RECORD_SECONDS,
            UNRUNG_SECONDS,
            len(fields),
        ]
        for name, value in fields.items():
            arguments += [name, value]
        for new in step.notifications:
            record = NotificationRecord(
                execution=claim.execution.id,
                notifier=new.notifier,
                status=new.status,
                address=new.address,
                in_order=new.in_order,
            )
            arguments += [new.id, msgspec.json.encode(record), new.body]
        return bool(await self._run("commit", ["gb:due", "gb:outbox", "gb:dead"], arguments))

    async def bury(self, execution_id: str, reason: str) -> None:
        """Take an execution that cannot be read out of the schedule and show it among the dead letters."""
        async with _redis_errors():
            pipeline = self.redis.pipeline(transaction=True)
            pipeline.zrem("gb:due", execution_id)
            pipeline.zadd("gb:dead", {f"x {execution_id} {reason}": time.time() * 1000})
            await pipeline.execute()

    async def claim_notification(self, notification_id: str) -> NotificationClaim | None:
        """Take one notification for one attempt; None when it is not due or no longer to be sent."""
        token = uuid.uuid4().hex
        clock = Clock.starting_now()
        lease = int(NOTIFICATION_LEASE_SECONDS * 1000)
        answer = await self._run("claim_notification", ["gb:outbox"], [notification_id, token, lease])
        if not answer:
            return None
        return read_notification_claim(notification_id, token, answer, clock)

    async def commit_notification(
        self, claim: NotificationClaim, state: str, *, error: str = "", again_seconds: float = 0
    ) -> bool:
        """Write down an attempt's outcome: delivered, due (again in `again_seconds`) or dead."""
        arguments = [claim.id, claim.token, state, error, int(again_seconds * 1000)]
        return bool(await self._run("commit_notification", ["gb:outbox", "gb:dead"], arguments))

    async def ring(self, limit: int) -> list[str]:
        """Name the notifications whose attempt is overdue; each is named again only after a while."""
        answer = await self._run("ring", ["gb:outbox"], [limit, UNRUNG_SECONDS * 1000])
        return [notification.decode() for notification in answer]

    async def wait_for_bell(self, seconds: int) -> bool:
        """Sleep until an accept rings, at most `seconds`; raises StoreUnavailable."""
        async with _redis_errors():
            return await self.redis.blpop(["gb:bell"], timeout=seconds) is not None  # type: ignore[misc]

    async def execution(self, execution_id: str) -> Execution | None:
        """Return one execution as the API shows it; raises StoreUnavailable."""
        fields = await self._hash(f"gb:x:{execution_id}")
        if "record" not in fields:
            return None
        ids = fields.get("notifications", b"").decode().split()
        found = [(id_, await self._hash(f"gb:n:{id_}")) for id_ in ids]
        return read_execution(execution_id, fields, [read_notification(id_, note) for id_, note in found if note])

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """Return one delivery as the API shows it; raises StoreUnavailable."""
        fields = await self._hash(f"gb:d:{delivery_id}")
        return read_delivery(delivery_id, fields) if "record" in fields else None

    async def body(self, delivery_id: str) -> bytes | None:
        """Return a delivery's body while it is kept; raises StoreUnavailable."""
        async with _redis_errors():
            stored: bytes | None = await self.redis.get(f"gb:b:{delivery_id}")
        return None if stored is None else unpack_body(stored)

    async def run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """Run one of the scripts that people's orders are made of; raises StoreUnavailable."""
        return await self._run(script, keys, arguments)

    async def _hash(self, key: str) -> Fields:
        async with _redis_errors():
            found: dict[bytes, bytes] = await self.redis.hgetall(key)  # type: ignore[misc]  # its stub says sync or async
        return {name.decode(): value for name, value in found.items()}

    async def _insist(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """Run a script that is safe to repeat, over a connection that Redis may have closed meanwhile."""
        for tried in range(1, _TRIES):
            try:
                return await self._run(script, keys, arguments)
            except StoreUnavailable:
                await asyncio.sleep(0.05 * tried)
        return await self._run(script, keys, arguments)

    async def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """Run a script; calls made in the same turn of the loop share one round trip."""
        try:
            return await self._submit(script, keys, arguments)
        except NoScriptError:
            # Redis was restarted or flushed. Nothing of the script ran, so running it again is safe.
            async with _redis_errors():
                await self._load()
                return await self._submit(script, keys, arguments)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error

    def _submit(self, script: str, keys: list[str], arguments: list[Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        command = ("EVALSHA", self._shas.get(script, script), len(keys), *keys, *arguments)
        self._queue.append(_Call(command, script in _PROMISES, future))
        if len(self._queue) == 1:
            loop.call_soon(self._start_flush)
        return future

    def _start_flush(self) -> None:
        batch, self._queue = self._queue, []
        task = asyncio.create_task(self._flush(batch))
        self._flushing.add(task)
        task.add_done_callback(self._flushing.discard)

    async def _flush(self, batch: list["_Call"]) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for call in batch:
            pipeline.execute_command(*call.command)
        asks = self._replication.strict and any(call.promises for call in batch)
        if asks:
            pipeline.execute_command(*self._replication.question())
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            answers, asks = [error] * len(batch), False
        confirmed = self._replication.confirmed(answers.pop()) if asks else True
        for call, answer in zip(batch, answers, strict=True):
            if call.future.done():
                continue  # whoever asked has been cancelled
            if isinstance(answer, Exception):
                call.future.set_exception(answer)
            elif call.promises and not confirmed:
                call.future.set_exception(Unconfirmed(answer))
            else:
                call.future.set_result(answer)

    async def _load(self) -> None:
        for name, text in self._scripts.items():
            self._shas[name] = await self.redis.script_load(text)


@contextlib.asynccontextmanager
async def _redis_errors() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
