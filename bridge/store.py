"""The store: every Redis key, lifetime and script. The record decides; everything else only hurries it.

Keys (all times are Redis TIME in milliseconds, so no machine's clock matters):

gb:d:<delivery>      hash    one delivery and its outcome; its existence is the duplicate check
gb:b:<delivery>      string  its body, for replay and explain
gb:x:<execution>     hash    one execution
gb:n:<notification>  hash    one notification
gb:due               zset    execution -> when its next step is due: schedule and lease in one
gb:outbox            zset    notification -> when to ring for it
gb:g:<group>         zset    executions of one key of `at_a_time` -> their turns (scripts/group.lua)
gb:bell, gb:rung     lists   wake one waiting worker: for what is due, for one notification
gb:dead              zset    what a person has to look at
gb:tokens:... gb:hold:... gb:holds gb:slots:... gb:line:...  budgets of engines' keys, see scripts/budget.lua
gb:paused            hash    the pause switches that are on; the one key that stays until a person decides
gb:deliveries, gb:executions  zsets  the newest of them -> when they came
gb:audit             zset    the newest orders of people -> when they were given
gb:session:<digest>  string  a session on the page
gb:lane:<lane>       string  somebody has just been told something in a place that takes only so many messages
gb:rate:<source>     string  when the source may again send as much as its rate allows
"""

import math
import uuid
from datetime import timedelta
from typing import Any, Literal

import msgspec
from msgspec import structs
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ResponseError

from bridge import outputs
from bridge.clock import Clock
from bridge.errors import Unreadable
from bridge.model import Delivery, Durability, Execution, Notification, Status
from bridge.notes import ALONE, Beside, Fields, NotificationClaim, read_notification, read_notification_claim, written
from bridge.packing import pack_body, unpack_body
from bridge.records import (
    RECORD_ERRORS,
    Claim,
    Claims,
    DeliveryRecord,
    Record,
    Step,
    Stored,
    changed_fields,
    decode_record,
    read_claims,
    read_delivery,
    read_execution,
    read_stored,
    readable,
    unreadable,
)
from bridge.redis_checks import Finding, examine
from bridge.redis_pool import pool
from bridge.replication import Replication, Unconfirmed
from bridge.scripting import Scripts, redis_errors
from bridge.secret import Secret

RECORD_SECONDS = 30 * 86_400
"""How long a record is kept after its last change, at least: longer than any sender repeats (GitHub: 3 days)."""
BODIES_KEPT = timedelta(days=7)
TRIGGER_LEASE_SECONDS = 40.0
POLL_LEASE_SECONDS = 20.0
NOTIFICATION_LEASE_SECONDS = 40.0
HOLD_SECONDS = 2.0
"""How often a paused execution is looked at: so long it may take to go on after a resume."""
WAIT_SECONDS = 30.0
"""How often one that waits for its turn is looked at; whoever ends before it wakes it, so this is for records that
cannot be read."""
SLOT_SECONDS = 0.5
"""How often what waits for a run to end is looked at: so long a free slot may stay unused."""
PROBE_SECONDS = 300.0
"""Between two probes of an engine that paused itself."""
MOST_UNCOMMITTED = 10
"""So many polls of one execution in a row may end with their worker, before the execution is what ends workers."""
LANE_SECONDS = 1.0
"""Between two messages to one place that takes only so many (Slack: about one a second in a channel)."""
UNRUNG_SECONDS = 5
"""After this long the sweep rings for a notification whose own ring got lost."""


_COMMITTED: tuple[Literal["", "written", "newer"], ...] = ("", "written", "newer")


class Store:
    """Redis, behind the few atomic steps the pipeline is made of."""

    def __init__(
        self,
        url: str,
        durability: Durability = "standard",
        retention: timedelta = BODIES_KEPT,
        changing: Secret | None = None,
    ) -> None:
        """Prepare a pool for `url`; nothing connects before the first use. Bodies are kept for `retention`.

        `changing` is the URL where it may change in its file: new connections use the user and password it then has.
        """
        self.url = url
        self.keep_for(retention)
        self.durability = durability
        self._replication = Replication(strict=durability == "strict", expected=url.startswith("sentinel:"))
        self._changing = changing
        self.redis = Redis(connection_pool=self.new_pool())
        self._scripts = Scripts(self.redis, self._replication)

    def new_pool(self) -> ConnectionPool:
        """Return another pool of connections to the same Redis, for arq."""
        return pool(self.url, self._changing)

    def keep_for(self, retention: timedelta) -> None:
        """Keep the bodies of what comes from now on for so long, and all records at least as long."""
        self._body_seconds = math.ceil(retention.total_seconds())
        self.record_seconds = max(RECORD_SECONDS, self._body_seconds)

    async def open(self) -> None:
        """Load the scripts; raises StoreUnavailable."""
        async with redis_errors():
            await self._scripts.load()
            if self._replication.strict:
                await self._look_for_replicas()

    async def _look_for_replicas(self) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.execute_command(*self._replication.question())
        self._replication.confirmed((await pipeline.execute(raise_on_error=False))[0])

    async def close(self) -> None:
        """Close every connection."""
        await self._scripts.close()
        await self.redis.aclose(close_connection_pool=True)

    @property
    def now(self) -> float | None:
        """Redis time in Unix seconds, without asking it; None before it was reached for the first time."""
        clock = self._scripts.clock
        return None if clock is None else clock.now_ms() / 1000

    async def probe(self) -> None:
        """Write something; raises StoreUnavailable when Redis is away, read-only or full."""
        async with redis_errors():
            await self.redis.set("gb:probe", "1", ex=60)

    async def examine(self) -> list[Finding]:
        """Say what to change about how Redis is set; raises StoreUnavailable."""
        async with redis_errors():
            return await examine(self.redis, self.durability)

    async def accept(
        self,
        delivery_id: str,
        delivery: DeliveryRecord,
        outcome: str,
        body: bytes,
        executions: dict[str, Record],
        beside: Beside = ALONE,
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
            self.record_seconds,
            self._body_seconds,
            " ".join(beside.note.split()),
            *((0,) if beside.told is None else (1, *written(beside.told))),
        ]
        for execution_id, record in executions.items():
            arguments += [execution_id, msgspec.json.encode(record), int(record.deadline_seconds * 1000)]
            arguments.append("" if record.at_a_time is None else record.at_a_time.written())
            notes = beside.queued.get(execution_id, [])
            arguments.append(len(notes))
            for note in notes:
                arguments += written(note, execution_id)
        answer = await self._scripts.insist("accept", ["gb:due", "gb:bell", "gb:outbox"], arguments)
        return read_stored(answer)

    async def claim(self, limit: int, budgets: tuple[bytes, bool] = (b"{}", False)) -> Claims:
        """Take up to `limit` due steps that the engines' budgets have room for; raises StoreUnavailable."""
        token = uuid.uuid4().hex
        clock = Clock.starting_now()
        leases = [int(TRIGGER_LEASE_SECONDS * 1000), int(POLL_LEASE_SECONDS * 1000)]
        pauses = [int(HOLD_SECONDS * 1000), self.record_seconds, int(PROBE_SECONDS * 1000), MOST_UNCOMMITTED]
        pauses.append(int(WAIT_SECONDS * 1000))
        room = [budgets[0], int(budgets[1]), int(SLOT_SECONDS * 1000)]
        keys, confirmed = ["gb:due", "gb:dead", "gb:paused", "gb:holds"], True
        try:
            answer = await self._scripts.run("claim", keys, [limit, token, *leases, *pauses, *room])
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
            self.record_seconds,
            UNRUNG_SECONDS,
            len(fields),
        ]
        for name, value in fields.items():
            arguments += [name, value]
        for new in step.notifications:
            arguments += written(new, claim.execution.id)
        return bool(await self._scripts.run("commit", ["gb:due", "gb:outbox", "gb:dead", "gb:bell"], arguments))

    async def renew(self, claim: Claim) -> bool:
        """Keep the claim of a trigger that takes long; returns whether it was still ours. Raises StoreUnavailable."""
        arguments = [claim.execution.id, claim.token, int(TRIGGER_LEASE_SECONDS * 1000)]
        return bool(await self._scripts.run("renew", ["gb:due"], arguments))

    async def bury(self, execution_id: str, reason: str) -> None:
        """Take an execution that cannot be read out of the schedule and show it among the dead letters."""
        await self._bury("gb:due", "x", execution_id, reason)

    async def _bury(self, schedule: str, kind: str, id_: str, reason: str) -> None:
        async with redis_errors():
            seconds, _ = await self.redis.time()
            pipeline = self.redis.pipeline(transaction=True)
            pipeline.zrem(schedule, id_)
            pipeline.zadd("gb:dead", {f"{kind} {id_} {reason}": seconds * 1000})
            await pipeline.execute()

    async def claim_notification(self, notification_id: str) -> NotificationClaim | float | None:
        """Take one notification for one attempt; None when it is no longer to be sent, or seconds until it may be."""
        token = uuid.uuid4().hex
        clock = Clock.starting_now()
        lease = int(NOTIFICATION_LEASE_SECONDS * 1000)
        answer = await self._scripts.run(
            "claim_notification",
            ["gb:outbox", "gb:dead"],
            [notification_id, token, lease, int(LANE_SECONDS * 1000)],
        )
        if not answer:
            return None
        if len(answer) == 1:
            return float(answer[0]) / 1000
        try:
            return read_notification_claim(notification_id, token, answer, clock)
        except RECORD_ERRORS as error:
            await self._bury("gb:outbox", "n", notification_id, unreadable(error))
            return None

    async def commit_notification(
        self,
        claim: NotificationClaim,
        state: str,
        *,
        error: str = "",
        again_seconds: float = 0,
        made: str | None = None,
        hold_seconds: float = 0,
    ) -> Literal["", "written", "newer"]:
        """Write down an attempt's outcome: delivered, due (again in `again_seconds`) or dead, and what it has `made`.

        Its lane takes nothing for `hold_seconds`.
        Returns nothing where the attempt was no longer ours, `newer` where there is something new to tell already.
        """
        arguments = [claim.id, claim.token, state, error, int(again_seconds * 1000), claim.version, made or ""]
        arguments.append(int(hold_seconds * 1000))
        answer: int = await self._scripts.run("commit_notification", ["gb:outbox", "gb:dead"], arguments)
        return _COMMITTED[answer]

    async def ring(self, limit: int) -> list[str]:
        """Name the notifications whose attempt is overdue; each is named again only after a while."""
        answer = await self._scripts.run("ring", ["gb:outbox"], [limit, UNRUNG_SECONDS * 1000])
        return [notification.decode() for notification in answer]

    async def wait_for_bell(self, seconds: int) -> bool | str:
        """Sleep until somebody rings, at most `seconds`: True for what is due, an id for that notification.

        Raises StoreUnavailable.
        """
        async with redis_errors():
            rung = await self.redis.blpop(["gb:bell", "gb:rung"], timeout=seconds)  # type: ignore[misc]
        return False if rung is None else rung[0] == b"gb:bell" or rung[1].decode(errors="replace")

    async def execution(self, execution_id: str) -> Execution | None:
        """Return one execution as the API shows it; raises Unreadable and StoreUnavailable."""
        fields = await self._hash(f"gb:x:{execution_id}")
        if not fields:
            return None
        with readable(f"execution {execution_id!r}"):
            found = read_execution(execution_id, fields, [])
            ids = fields.get("notifications", b"").decode().split()
        notes = [note for id_ in ids if (note := await self._notification(id_, found.status)) is not None]
        return structs.replace(found, notifications=notes)

    async def _notification(self, id_: str, told: Status) -> Notification | None:
        """Return a notification as the API shows it; a damaged one must not hide its execution."""
        try:
            fields = await self._hash(f"gb:n:{id_}")
            with readable(f"notification {id_!r}"):
                return read_notification(id_, fields) if fields else None
        except Unreadable as error:
            return Notification(id=id_, notifier="", status=told, state="dead", last_error=str(error))

    async def file(self, execution_id: str, part: str) -> tuple[str, str] | None:
        """Return the engine and its reference of an output's file; raises Unreadable and StoreUnavailable."""
        fields = await self._hash(f"gb:x:{execution_id}")
        with readable(f"execution {execution_id!r}"):
            found = outputs.reference(fields, part) if fields else None
            return None if found is None else (decode_record(fields["record"]).engine, found)

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """Return one delivery as the API shows it; raises Unreadable and StoreUnavailable."""
        fields = await self._hash(f"gb:d:{delivery_id}")
        if not fields:
            return None
        told = fields.get("notification", b"").decode(errors="replace")
        note = await self._notification(told, Status.QUEUED) if told else None
        with readable(f"delivery {delivery_id!r}"):
            return read_delivery(delivery_id, fields, [] if note is None else [note])

    async def body(self, delivery_id: str) -> bytes | None:
        """Return a delivery's body while it is kept; raises StoreUnavailable."""
        async with redis_errors():
            stored: bytes | None = await self.redis.get(f"gb:b:{delivery_id}")
        return None if stored is None else unpack_body(stored)

    async def run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """Run one of the scripts that people's orders are made of; raises StoreUnavailable."""
        return await self._scripts.run(script, keys, arguments)

    async def _hash(self, key: str) -> Fields:
        async with redis_errors():
            try:
                found: dict[bytes, bytes] = await self.redis.hgetall(key)  # type: ignore[misc]  # stub: sync or async
            except ResponseError as error:
                if "WRONGTYPE" in str(error):
                    raise Unreadable(f"{key} in Redis is not ours: it holds another kind of value") from None
                raise
        return {name.decode(errors="replace"): value for name, value in found.items()}
