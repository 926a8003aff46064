"""Senders are asked for what they could not deliver: by one worker, as often as the source says."""

import time
from datetime import timedelta

import msgspec
import pytest

from bridge.config import Config
from bridge.contracts import Source
from bridge.emulators.github_api import GitHubApi
from bridge.emulators.serving import Server
from bridge.errors import BridgeError
from bridge.outbound import Outbound
from bridge.parts import Bridge
from bridge.reconcile import Reconcile
from bridge.rules import RuleSet
from bridge.secret import Secret
from bridge.sources.github import GitHub
from bridge.store import Store
from bridge.upkeep import catch_up
from bridge.worker import Supervisor
from tests.journey.test_reconcile import HOOK, attempt

HOUR = timedelta(hours=1)
KEY = [Secret("env: S", b"a-secret-of-16-bytes")]
TOKEN = Secret("env: T", b"t0ken-of-github")


class Asked(Source, frozen=True, kw_only=True, tag="asked"):
    """A sender that could not deliver `lost`, and writes down how it is asked."""

    every: timedelta | None = HOUR
    lost: list[str]
    times: list[timedelta]
    fails: bool = False

    @property
    def catches_up(self) -> timedelta | None:
        return self.every

    async def catch_up(self, outbound: Outbound, since: timedelta, most: int) -> list[str]:
        self.times.append(since)
        if self.fails:
            raise BridgeError("GitHub: HTTP 401")
        asked, self.lost[:most] = self.lost[:most], []
        return asked


def asked(count: int = 0, **more: object) -> Asked:
    return Asked(lost=[str(n) for n in range(count)], times=[], **more)  # type: ignore[arg-type]


def bridge(store: Store, source: Source) -> Bridge:
    config = Config(
        sources={"s": source}, engines={}, templates={}, notifiers={}, ruleset=RuleSet([], {}), hash="", files=()
    )
    return Bridge(
        config=config, store=store, outbound=Outbound(user_agent="test"), public_url="http://x", since=time.monotonic()
    )


async def a_minute_passes(store: Store) -> None:
    await store.redis.delete("gb:catching-up:s")


async def last_time_was(store: Store, ago: timedelta) -> None:
    seconds, _ = await store.redis.time()
    await store.redis.set("gb:caught-up:s", int(seconds - ago.total_seconds()))


async def test_the_first_time_everything_that_github_keeps_is_looked_at(store: Store) -> None:
    """Three days; then not again before its time."""
    source = asked(2)
    parts = bridge(store, source)
    for _ in range(3):
        await catch_up(parts)
        await a_minute_passes(store)
    assert (source.times, source.lost) == ([timedelta(days=3)], [])


async def test_then_back_to_the_last_time_and_a_little_more(store: Store) -> None:
    """What GitHub gave up on meanwhile is found, too."""
    source = asked()
    await last_time_was(store, timedelta(hours=2))
    await catch_up(bridge(store, source))
    [since] = source.times
    assert timedelta(hours=2, minutes=10) <= since < timedelta(hours=2, minutes=11)


async def test_one_worker_asks_at_a_time(store: Store) -> None:
    """And one that died with it is followed by another within a minute."""
    source = asked(fails=True)
    for _ in range(2):
        await catch_up(bridge(store, source))
    assert len(source.times) == 1
    assert 0 < await store.redis.ttl("gb:catching-up:s") <= 50


async def test_a_sender_that_cannot_be_asked_is_asked_again(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is logged, and the time that was not looked at is not forgotten."""
    source = asked(fails=True)
    await catch_up(bridge(store, source))
    assert "HTTP 401" in capsys.readouterr().out
    await a_minute_passes(store)
    await catch_up(bridge(store, source))
    assert source.times == [timedelta(days=3)] * 2


async def test_much_is_asked_for_bit_by_bit(store: Store) -> None:
    """A job is short, and GitHub wants a second between two: the rest comes a minute later."""
    source = asked(40)
    for _ in range(4):
        await catch_up(bridge(store, source))
        await a_minute_passes(store)
    assert (len(source.times), source.lost) == (3, [])


async def test_who_cannot_be_asked_is_not(store: Store) -> None:
    """Most senders repeat by themselves, or never."""
    source = asked(every=None)
    await catch_up(bridge(store, source))
    assert source.times == []


async def test_a_damaged_memory_of_the_last_time_is_none(store: Store) -> None:
    """Everything is looked at again, which does no harm."""
    source = asked()
    await store.redis.set("gb:caught-up:s", "yesterday")
    await catch_up(bridge(store, source))
    assert source.times == [timedelta(days=3)]


async def test_github_is_asked_for_what_failed(store: Store) -> None:
    """With the token of `reconcile`, else the source's own."""
    emulator = GitHubApi(HOOK, token="t0ken-of-github")
    emulator.deliveries = [attempt(1, "arrived"), attempt(2, "lost", status="timed out", code=0)]
    async with Server(emulator) as server:
        for own, others in ((TOKEN, None), (None, TOKEN)):
            await store.redis.flushdb()
            source = GitHub(secrets=KEY, api_url=server.url, token=others, reconcile=Reconcile(hook=HOOK, token=own))
            await catch_up(bridge(store, source))
    assert [record.delivery_id for record in emulator.journal if record.kind == "attempt"] == [2, 2]


async def test_a_source_without_a_schedule_asks_nobody() -> None:
    """Whoever calls it."""
    source = GitHub(secrets=KEY, token=TOKEN)
    assert source.catches_up is None
    assert await source.catch_up(Outbound(user_agent="test"), timedelta(days=1), 10) == []


async def test_a_worker_survives_a_store_that_is_away() -> None:
    """The next minute asks."""
    away = Store("redis://127.0.0.1:1")
    source = asked(1)
    await Supervisor(bridge(away, source))._catch_up({})
    assert source.lost == ["0"]
    await away.close()


def test_a_schedule_that_cannot_work_is_refused() -> None:
    """Without a token, too often, or with a path that is none."""
    with pytest.raises(ValueError, match="needs a token that may administer"):
        GitHub(secrets=KEY, reconcile=Reconcile(hook=HOOK))
    with pytest.raises(ValueError, match="at least 5m"):
        msgspec.convert({"hook": HOOK, "every": "1m"}, Reconcile, dec_hook=lambda kind, value: kind.decode(value))
