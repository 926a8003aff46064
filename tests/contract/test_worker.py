"""The supervisor on a real store: jobs in hand are finished, and Redis' trouble is not its end."""

import asyncio
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec import structs
from redis.exceptions import ConnectionError as RedisConnectionError

from bridge.budgets import account
from bridge.config import Config
from bridge.contracts import Notifier
from bridge.engines.genesis import Genesis
from bridge.errors import StoreUnavailable
from bridge.model import Execution, Message, Status
from bridge.notes import NotificationClaim
from bridge.outbound import Outbound
from bridge.parts import Bridge
from bridge.redis_checks import Finding
from bridge.rules import RuleSet
from bridge.runs import Budget
from bridge.secret import Secret
from bridge.store import Store
from bridge.worker import QUEUE, Supervisor, _close
from tests.contract.test_store import ended, note


class Slow(Notifier, frozen=True, kw_only=True, tag="slow"):
    sent: list[str]
    began: asyncio.Event

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        return {}

    def wants(self, status: Status) -> bool:
        return True

    def compose(self, execution: Execution, name: str) -> bytes:
        return b""

    async def send(self, outbound: Outbound, message: Message) -> None:
        self.sent.append("began")
        self.began.set()
        await asyncio.sleep(0.5)
        self.sent.append("ended")


class AwayStore(Store):
    async def examine(self) -> list[Finding]:
        raise StoreUnavailable("away")

    async def claim_notification(self, notification_id: str) -> NotificationClaim | None:
        raise StoreUnavailable("away")

    async def ring(self, limit: int) -> list[str]:
        raise StoreUnavailable("away")


def supervisor(store: Store) -> tuple[Supervisor, Slow]:
    notifier = Slow(sent=[], began=asyncio.Event())
    config = Config(
        sources={},
        engines={},
        templates={},
        notifiers={"ci": notifier},
        ruleset=RuleSet([], {}),
        hash="",
        files=(),
    )
    bridge = Bridge(config=config, store=store, outbound=Outbound(user_agent="test"), public_url="http://x")
    return Supervisor(bridge), notifier


async def test_budgets_are_those_of_the_configuration_and_the_keys_that_hold_now(store: Store, tmp_path: Path) -> None:
    """One that was read anew, and a key that was changed in its file, count from the next claim."""
    built, _ = supervisor(store)
    (tmp_path / "key").write_text("k" * 32)
    secret = Secret.decode({"file": str(tmp_path / "key")}, {})
    engine = Genesis(api_key=secret, budget=Budget(at_once=3))
    assert built._budgets() == (b"{}", False)
    config = structs.replace(built.bridge.config, engines={"genesis": engine})
    built.bridge = structs.replace(built.bridge, config=config)
    before = account(engine)
    said = {"account": before, "limits": {}, "at_once": 3}
    assert (msgspec.json.decode(built._budgets()[0]), built._budgets()[1]) == ({"genesis": said}, True)
    (tmp_path / "key").write_text("l" * 32)
    await asyncio.sleep(1.1)
    [now] = msgspec.json.decode(built._budgets()[0]).values()
    assert now["account"] == account(engine) != before
    await closed(built)


async def closed(built: Supervisor) -> None:
    built.stop()
    await asyncio.wait_for(built.run(), 2)


async def test_a_job_in_hand_is_finished_before_the_worker_stops(store: Store) -> None:
    """A callback on its way is not cut off by a rolling deploy."""
    await ended(store, note("msg_1"))
    built, slow = supervisor(store)
    running = asyncio.create_task(built.run())
    await asyncio.sleep(0.2)
    await built._ring(["msg_1"])
    await slow.began.wait()
    built.stop()
    await running
    assert slow.sent == ["began", "ended"]
    execution = await store.execution("x_1")
    assert execution is not None
    assert execution.notifications[0].state == "delivered"


async def test_a_job_that_begins_while_the_worker_is_told_to_stop_is_finished_too(store: Store) -> None:
    """A row of jobs may just be being taken; none of them is cut off."""
    names = [f"msg_{number}" for number in range(60)]
    await ended(store, *map(note, names))
    built, slow = supervisor(store)
    await built._ring(names)
    running = asyncio.create_task(built.run())
    await slow.began.wait()
    built.stop()
    await running
    assert slow.sent.count("began") == slow.sent.count("ended")
    execution = await store.execution("x_1")
    assert execution is not None
    assert {told.state for told in execution.notifications} <= {"delivered", "due"}


async def test_a_worker_that_is_stopped_before_it_runs_does_nothing(store: Store) -> None:
    """It returns at once."""
    built, _ = supervisor(store)
    await closed(built)


async def test_jobs_survive_a_store_that_is_away(store: Store) -> None:
    """They end without an error; the sweep or a lease brings the work back."""
    away = AwayStore(store.url)
    built, slow = supervisor(away)
    await built._report({}, "msg_1")
    await built._sweep({})
    await built._upkeep({})
    assert slow.sent == []
    await closed(built)
    await away.close()


async def test_the_sweep_rings_for_everything_that_is_overdue(store: Store) -> None:
    """Each notification becomes a job in arq's queue."""
    await ended(store, note("msg_1"), note("msg_2"))
    await store.redis.zadd("gb:outbox", {"msg_1": 0, "msg_2": 0})
    built, _ = supervisor(store)
    await built._sweep({})
    assert await store.redis.zcard("gb:arq") == 2
    await closed(built)


async def test_the_settings_of_redis_are_looked_at_again(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """What became wrong since the start is said once, and again after it was right in between."""
    built, _ = supervisor(store)
    said = []
    for policy in ("noeviction", "allkeys-lru", "allkeys-lru", "noeviction", "allkeys-lru"):
        await store.redis.config_set("maxmemory-policy", policy)
        await built._upkeep({})
        said.append(capsys.readouterr().out.count("maxmemory-policy is allkeys-lru"))
    await store.redis.config_set("maxmemory-policy", "noeviction")
    assert said == [0, 1, 0, 0, 1]
    await closed(built)


async def test_a_ring_that_gets_lost_is_only_logged(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The record decides; the sweep rings again."""
    built, _ = supervisor(Store(f"unix://{tmp_path}/nobody.sock"))
    await built._ring(["msg_1"])
    assert "notification.waits" in capsys.readouterr().out
    await closed(built)


async def test_a_connection_that_does_not_close_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of a stopped worker holds up the next one."""

    async def aclose(*, close_connection_pool: bool) -> None:
        raise RedisConnectionError("already gone")

    await _close(SimpleNamespace(pool=SimpleNamespace(aclose=aclose)))  # type: ignore[arg-type]
    assert "worker.close_failed" in capsys.readouterr().out


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


async def test_jobs_are_never_pickled(store: Store, tmp_path: Path) -> None:
    """What runs code when it is unpickled runs none: it is thrown away, and the worker works on."""
    bomb = pickle.dumps({"t": 1, "f": "report", "a": Bomb(tmp_path / "blown"), "k": {}, "et": 1, "r": None})
    await store.redis.set("arq:job:bomb", bomb, ex=60)
    await store.redis.zadd(QUEUE, {"bomb": 1})
    await ended(store, note("msg_1"))
    built, slow = supervisor(store)
    running = asyncio.create_task(built.run())
    await built._ring(["msg_1"])
    await asyncio.wait_for(slow.began.wait(), 10)
    built.stop()
    await running
    assert await store.redis.zscore(QUEUE, "bomb") is None
    assert not (tmp_path / "blown").exists()
    pickle.loads(bomb)  # noqa: S301 - our own, to see that it is one
    assert (tmp_path / "blown").exists()
