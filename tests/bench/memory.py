"""What executions leave behind in Redis: their records, for a while, and nothing else."""

import asyncio
from collections import Counter
from typing import Any, NamedTuple

from msgspec import structs

from bridge.model import Status
from bridge.notes import NewNotification
from bridge.records import DeliveryRecord, Recipient, Record, Step
from bridge.store import Store

WAVE = 100
BODY = b'{"repository": {"full_name": "octo/hello"}, "ref": "refs/heads/main", "commits": []}' * 20
DELIVERY = DeliveryRecord(
    source="relay", event="run", action=None, key="guid", reason=None, config="cafe", rules=[{"rule": "run"}]
)


class Left(NamedTuple):
    """What a number of executions that have ended and been told left in Redis."""

    keys: Counter[str]
    """By their names, ids aside."""
    bytes_before: int
    bytes_after: int
    """With all records there."""
    bytes_of_records: int
    """What Redis says its keys take, one by one."""
    bytes_expired: int
    """When their time is over."""


async def lived(store: Store, executions: int) -> Left:
    """Take executions from their delivery to the end of their callback, and let their records expire."""
    redis: Any = store.redis
    await end_all(store, 2 * WAVE)  # what comes once, however many follow: scripts, connections, their buffers
    await expire(store)
    before = await used(redis)
    await end_all(store, executions)
    after, keys, size = await used(redis), Counter[str](), 0
    async for key in redis.scan_iter(count=1000):
        name = key.decode()
        keys[name[:5] if name[4:5] == ":" else name] += 1
        size += await redis.memory_usage(key, samples=0)
    await expire(store)
    return Left(keys, before, after, size, await used(redis))


async def end_all(store: Store, executions: int) -> None:
    """Accept, start, end and tell, in waves."""
    for first in range(0, executions, WAVE):
        wave = range(first, min(first + WAVE, executions))
        await asyncio.gather(*(_accept(store, n) for n in wave))
        claims = (await store.claim(WAVE)).claims
        assert len(claims) == len(wave)
        steps = [
            Step(
                execution=structs.replace(
                    claim.execution, status=Status.COMPLETED, remote_id=f"run-{claim.execution.id}"
                ),
                again_seconds=None,
                notifications=[
                    NewNotification(
                        id=f"msg_{claim.execution.id}",
                        notifier="ci",
                        status=Status.COMPLETED,
                        body=BODY,
                        address={"url": "https://ci.example.com"},
                        in_order=False,
                    )
                ],
            )
            for claim in claims
        ]
        await asyncio.gather(*map(store.commit, claims, steps))
        await asyncio.gather(*(_tell(store, f"msg_{claim.execution.id}") for claim in claims))


async def _accept(store: Store, n: int) -> None:
    record = Record(
        delivery_id=f"d_{n:08}",
        rule="run",
        source="relay",
        engine="genesis",
        template="e2e",
        template_id="7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44",
        variables={"target_url": "https://preview.example.com", "branch": "main"},
        deadline_seconds=3600,
        notify=[Recipient("ci", {"url": "https://ci.example.com"})],
    )
    await store.accept(record.delivery_id, DELIVERY, "accepted", BODY, {f"x_{n:08}": record})


async def _tell(store: Store, notification_id: str) -> None:
    claim = await store.claim_notification(notification_id)
    assert claim is not None
    await store.commit_notification(claim, "delivered")


async def expire(store: Store) -> None:
    """Let the time of every key that has one be over."""
    redis: Any = store.redis
    async for key in redis.scan_iter(count=1000):
        if await redis.ttl(key) >= 0:
            await redis.expire(key, 0)


async def used(redis: Any) -> int:
    """Return the bytes Redis' data takes, its own overhead and buffers aside."""
    return int((await redis.memory_stats())["dataset.bytes"])
