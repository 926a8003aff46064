"""The pools: every wait ends, Sentinel URLs are read whole, and sentinels are asked in turn."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import uvloop
from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import ConnectionError as RedisConnectionError

from bridge.embedded import Embedded
from bridge.errors import SettingsError, StoreUnavailable
from bridge.redis_pool import GuardedWrites, SentinelPool, Sentinels, pool
from bridge.secret import Secret, SecretFile
from bridge.store import Store

BOUNDS = {"socket_timeout": 3.0, "socket_connect_timeout": 2.0, "health_check_interval": 15}


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("unix:///run/valkey.sock", {}),
        ("redis://127.0.0.1:1", {"socket_keepalive": True}),
        ("sentinel://127.0.0.1:1/main", {"socket_keepalive": True}),
    ],
)
def test_every_wait_on_a_connection_has_an_end(url: str, more: dict[str, Any]) -> None:
    """By default redis-py waits for ever on a server that is there and says nothing."""
    made = pool(url)
    assert isinstance(made, BlockingConnectionPool)
    assert (made.max_connections, made.timeout) == (64, 3)
    assert {**BOUNDS, **more}.items() <= made.connection_kwargs.items()


def sentinel_pool(url: str) -> SentinelPool:
    made = pool(url)
    assert isinstance(made, SentinelPool)
    return made


def test_a_sentinel_url_is_read_whole() -> None:
    """Every sentinel, the master's name, both kinds of credentials, percent-decoded."""
    made = sentinel_pool("sentinel://me%40x:p%3Aw%2F@h1,[::1]:7/my%20main?db=2&sentinel_user=s&sentinel_password=%26x")
    assert made.service_name == "my main"
    assert {"username": "me@x", "password": "p:w/", "db": 2}.items() <= made.connection_kwargs.items()
    asked = [sentinel.connection_pool.connection_kwargs for sentinel in made.sentinel_manager.sentinels]
    assert [(of["host"], of["port"]) for of in asked] == [("h1", 26379), ("::1", 7)]
    for of in asked:
        assert {"username": "s", "password": "&x", "socket_timeout": 0.5, "socket_connect_timeout": 0.5}.items() <= (
            of.items()
        )


def test_a_sentinel_url_without_credentials_sends_none() -> None:
    """Neither an empty user nor an empty password."""
    options = sentinel_pool("sentinel://h1/main").connection_kwargs
    assert (options["username"], options["password"], options["db"]) == (None, None, 0)


def test_tls_is_for_redis_and_for_the_sentinels_and_checks_the_name() -> None:
    """A certificate that is not the host's is refused on every connection."""
    made = sentinel_pool("sentinel://h1/main?tls=true")
    asked = made.sentinel_manager.sentinels[0].connection_pool
    for connection in (made.make_connection(), asked.make_connection()):
        assert connection.ssl_context.check_hostname is True


def test_a_rediss_url_checks_whose_certificate_it_is() -> None:
    """redis-py by itself takes anybody's; the URL may say so in as many words."""
    for url, checked in (("rediss://h1", True), ("rediss://h1?ssl_check_hostname=false", False)):
        assert pool(url).make_connection().ssl_context.check_hostname is checked


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sentinel://h1,h2", "ends with the master's name"),
        ("sentinel://h1/main/0", "ends with the master's name"),
        ("sentinel://h1,,h2/main", "names every sentinel"),
        ("sentinel://:hunter2@/main", "names every sentinel"),
        ("sentinel://h1/main?db=x", "db"),
        ("sentinel://h1/main?tls=yes", "tls"),
        ("sentinel://h1/main?hunter=2", "no option 'hunter': it takes db, sentinel_password, sentinel_user, tls"),
        ("sentinel://h1:hunter2/main", "is not a Redis URL"),
        ("sentinel://h1/main?hunter2", "is not a Redis URL"),
        ("redis://h1:hunter2", "is not a Redis URL"),
        ("redis://h1?db=hunter2", "is not a Redis URL"),
    ],
)
def test_a_url_that_cannot_be_read_is_said_so_and_not_repeated(url: str, problem: str) -> None:
    """One line that names the variable and what to write; the URL may hold a password."""
    with pytest.raises(SettingsError) as caught:
        pool(url)
    assert str(caught.value).startswith("BRIDGE_REDIS_URL: ")
    assert problem in str(caught.value)
    assert "hunter2" not in str(caught.value)


class Fake:
    """A sentinel that knows what it is told to know."""

    def __init__(self, knows: dict[str, Any] | Exception) -> None:
        self.knows = knows
        self.asked = 0

    async def sentinel_masters(self) -> dict[str, Any]:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.knows, Exception):
            raise self.knows
        return self.knows


def state(**more: Any) -> dict[str, Any]:
    up = {"is_master": True, "is_sdown": False, "is_odown": False, "num-other-sentinels": 2}
    return {"main": {"ip": "10.0.0.1", "port": 6379, **up, **more}}


def sentinels(*fakes: Fake) -> Sentinels:
    made = Sentinels([])
    made.sentinels = list(fakes)
    return made


async def test_no_sentinel_is_lost_when_many_ask_at_once() -> None:
    """The one that knows comes first, and all the others stay."""
    away, other, knows = Fake(RedisConnectionError("away")), Fake(OSError("away")), Fake(state())
    made = sentinels(away, other, knows)
    assert set(await asyncio.gather(*(made.discover_master("main") for _ in range(50)))) == {("10.0.0.1", 6379)}
    assert made.sentinels == [knows, away, other]
    asked = away.asked
    await made.discover_master("main")
    assert away.asked == asked


async def test_a_master_that_is_down_or_unknown_is_none() -> None:
    """The message says what each sentinel said."""
    made = sentinels(Fake(state(is_sdown=True)), Fake({}), Fake(RedisConnectionError("away")))
    with pytest.raises(MasterNotFoundError, match=r"'main' that is up \(down, of another name, ConnectionError\)"):
        await made.discover_master("main")


async def test_arq_takes_such_a_pool() -> None:
    """An unreachable sentinel is an error of the connection, soon, and closing closes everything."""
    client = ArqRedis(connection_pool=pool("sentinel://127.0.0.1:1,127.0.0.1:2/main"))
    with pytest.raises(RedisConnectionError, match="no sentinel"):
        await client.ping()
    await client.aclose(close_connection_pool=True)


def test_a_connection_that_is_closed_under_uvloop_is_a_connection_error(redis_url: str) -> None:
    """Uvloop raises RuntimeError where asyncio raises an OSError, and redis-py knows the latter only."""

    async def write_after_its_end() -> None:
        made = pool(redis_url).make_connection()
        await made.connect()
        made._writer.transport.abort()
        await asyncio.sleep(0.05)
        with pytest.raises(RedisConnectionError):
            await made.send_command("PING")

    uvloop.run(write_after_its_end())


@pytest.mark.parametrize("url", ["redis://x", "rediss://x", "unix:///x", "sentinel://x/m", "sentinel://x/m?tls=true"])
def test_every_kind_of_connection_is_guarded(url: str) -> None:
    """Whatever the URL."""
    assert issubclass(pool(url).connection_class, GuardedWrites)


@pytest.mark.parametrize("user", ["", "default"])
async def test_a_password_that_changes_in_its_file_is_used_by_new_connections(tmp_path: Path, user: str) -> None:
    """The password of Redis can be rotated without a restart; a file that is no URL meanwhile changes nothing."""
    server = Embedded(tmp_path / "valkey")
    server.start()
    file, now = tmp_path / "url", [0.0]
    file.write_text(server.url.replace("unix://", f"unix://{user}:first@"))
    watched = SecretFile(file, lambda: now[0])
    url = Secret("file: url", watched.read(), watched)
    store = Store(url.text(), changing=url)
    unguarded = Store(server.url)
    try:
        await unguarded.redis.config_set("requirepass", "first")
        await store.probe()
        await store.redis.config_set("requirepass", "second")
        file.write_text("nonsense")
        now[0] += 2
        await store.redis.connection_pool.disconnect()
        with pytest.raises(StoreUnavailable):
            await store.probe()
        file.write_text(server.url.replace("unix://", f"unix://{user}:second@"))
        now[0] += 2
        await store.probe()
        await store.redis.config_set("requirepass", "")
    finally:
        await store.close()
        await unguarded.close()
        server.stop()


async def test_connecting_with_a_changing_password_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A storm had one line of redis-py's for each connection."""
    url = b"redis://u:p@h"
    provider = pool(url.decode(), Secret("env: X", url)).connection_kwargs["credential_provider"]
    assert await provider.get_credentials_async() == ("u", "p")
    assert caplog.messages == []


def test_a_url_without_a_password_sends_none() -> None:
    """Neither for one server nor through Sentinel."""
    for url in (b"redis://r", b"sentinel://h/main"):
        provider = pool(url.decode(), Secret("env: X", url)).connection_kwargs["credential_provider"]
        assert provider.get_credentials() == ()
    url = b"sentinel://u:p@h/main"
    assert pool(url.decode(), Secret("env: X", url)).connection_kwargs["credential_provider"].get_credentials() == (
        "u",
        "p",
    )
