"""`genesis-bridge doctor`, and the look at Redis at every start: one line for each thing to change."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from bridge.cli import main
from bridge.config import load
from bridge.contracts import Engine
from bridge.doctor import diagnose
from bridge.emulators.genesis import Genesis
from bridge.emulators.github_api import GitHubApi
from bridge.emulators.receiver import Receiver
from bridge.emulators.serving import Server
from bridge.emulators.slack import Slack
from bridge.errors import StoreUnavailable
from bridge.notifiers.slack import SlackReply
from bridge.outbound import Outbound
from bridge.process import Service, UnfitRedis
from bridge.redis_checks import Finding
from bridge.secret import Secret
from bridge.settings import Settings
from bridge.store import Store
from tests.journey.conftest import SECRETS, config_text
from tests.journey.redis_world import RedisServer, bridge_on, readiness


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Return a server of this test's own, which is up."""
    built = RedisServer(tmp_path / "server")
    built.start()
    yield built
    built.kill()


def config(tmp_path: Path, more: str = "", genesis: str = "http://127.0.0.1:1", slack: str = "http://x") -> Path:
    path = tmp_path / "bridge.yaml"
    path.write_text(config_text(genesis, slack, "http://127.0.0.1:1") + more)
    return path


def called(command: str, path: Path, url: str) -> Result:
    environ = {**SECRETS, "BRIDGE_CONFIG": str(path), "BRIDGE_PORT": "0", "BRIDGE_LOG": "json"}
    try:
        return CliRunner().invoke(main, [command], env={**environ, "BRIDGE_REDIS_URL": url})
    finally:
        structlog.reset_defaults()


async def examined(url: str, password: str = "") -> list[Finding]:
    store = Store(url.replace("//", f"//{password}"), "strict")
    try:
        return await store.examine()
    finally:
        await store.close()


async def told(tmp_path: Path, url: str | None, *, key: str = "genesis-key", token: str = "xoxb-token") -> list[str]:
    genesis, slack = Genesis(keys={"genesis-key": None, "old": "disabled_key"}), Slack(tokens=["xoxb-token"])
    async with Server(genesis), Server(slack), Server(Receiver()) as _:
        path = config(tmp_path, genesis=genesis.url, slack=slack.url)
        loaded = load(path, SECRETS | {"GENESIS_KEY": key, "SLACK_TOKEN": token})
        settings = Settings(redis_url=None if url is None else Secret("a test", url.encode()))
        return [str(line) for line in await diagnose(settings, loaded)]


async def test_where_all_is_well_every_line_is_ok(tmp_path: Path, redis_url: str) -> None:
    """Redis, each engine, each notifier; nothing is triggered and nothing posted."""
    lines = await told(tmp_path, redis_url)
    assert lines == [
        "ok: redis",
        "ok: engine genesis",
        "ok: notifier ci",
        "ok: notifier asker",
        "ok: notifier qa",
        "ok: notifier reply",
    ]


async def test_a_sources_token_is_looked_at(tmp_path: Path) -> None:
    """That of a github source, with which it answers comments; other sources have nothing to ask."""
    api = GitHubApi(token="t0ken-of-github")
    async with Server(api):
        path = config(tmp_path)
        path.write_text(
            path.read_text().replace(
                "{type: github, ", f'{{type: github, token: {{env: GITHUB_TOKEN}}, api_url: "{api.url}", '
            )
        )
        for token, line in (
            ("t0ken-of-github", "ok: source github"),
            ("another-token", "refused: source github: GitHub: HTTP 401: Bad credentials - check the token"),
        ):
            loaded = load(path, SECRETS | {"GITHUB_TOKEN": token})
            lines = [str(found) for found in await diagnose(Settings(redis_url=None), loaded)]
            assert [found for found in lines if "source" in found] == [line]


class Mute(Engine, frozen=True, kw_only=True, tag="mute"):
    """An engine that cannot be asked."""


async def test_what_cannot_be_asked_is_ok() -> None:
    """An engine without a harmless question, a reply without a token."""
    async with Outbound() as outbound:
        assert await Mute().probe(outbound) is None
        assert await SlackReply().probe(outbound) is None


async def test_a_bad_key_and_a_bad_token_are_said_so(tmp_path: Path) -> None:
    """In one line each, which shows neither."""
    redis, genesis, _, _, qa, reply = await told(tmp_path, None, key="wrong-key", token="xoxb-wrong")
    assert redis == "ok: redis: BRIDGE_REDIS_URL is not set, so `up` runs its own"
    assert genesis.startswith("refused: engine genesis: Genesis: HTTP 401: ")
    assert genesis.endswith(" - check api_key")
    for slack in (qa, reply):
        assert slack.startswith("refused: notifier ")
        assert slack.endswith("invalid_auth - check the token")
    assert "wrong" not in f"{genesis}{qa}{reply}"


def test_what_cannot_be_reached_is_refused(tmp_path: Path) -> None:
    """Redis, the engine and Slack away: exit 1, and a line for each."""
    result = called("doctor", config(tmp_path), "redis://127.0.0.1:1")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0].startswith("refused: redis: it cannot be written: ConnectionError: ")
    assert lines[1].startswith("refused: engine genesis: '127.0.0.1' could not be connected to")
    assert [line.split(":")[0] for line in lines] == ["refused", "refused", "ok", "ok", "refused", "refused"]


def test_a_redis_that_would_lose_deliveries_stops_the_start(tmp_path: Path, server: RedisServer) -> None:
    """`serve` and `worker` end with 1 and one line for each thing to change, which doctor prints as well."""
    server.ask("CONFIG SET maxmemory-policy allkeys-lru")
    server.ask("CONFIG SET appendonly no")
    for command in ("serve", "worker", "up"):
        result = called(command, config(tmp_path), server.url)
        assert result.exit_code == 1, result.output
        policy, aof = (line for line in result.output.splitlines() if line.startswith("Redis: "))
        assert "set it to noeviction" in policy
        assert "set appendonly yes" in aof
    lines = called("doctor", config(tmp_path), server.url).output.splitlines()
    assert [line.startswith("refused: redis: ") for line in lines[:3]] == [True, True, False]


def test_doctor_ends_with_0_when_there_are_only_warnings(tmp_path: Path, server: RedisServer) -> None:
    """Under `strict`, fsync once a second is one of them."""
    path = tmp_path / "bridge.yaml"
    path.write_text("version: 1\ndurability: strict\n")
    result = called("doctor", path, server.url)
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        ["warning: redis: appendfsync is everysec, so a power loss costs what was accepted last: set it to always"],
    )


async def test_a_warning_does_not_stop_the_start(tmp_path: Path, server: RedisServer) -> None:
    """It is logged."""
    with capture_logs() as logs:
        async with bridge_on(server.url, tmp_path, "durability: strict\n") as world:
            await readiness(world, 200)
    [line] = [line for line in logs if line["event"] == "store.doubtful"]
    assert "set it to always" in line["finding"]


async def test_a_refused_start_leaves_nothing_open(tmp_path: Path, server: RedisServer) -> None:
    """Neither the socket nor a connection."""
    server.ask("CONFIG SET maxmemory-policy volatile-lru")
    loaded = load(config(tmp_path), SECRETS)
    service = Service(Settings.load({"BRIDGE_PORT": "0"}), loaded, server.url, web=True, work=False)
    with pytest.raises(UnfitRedis, match="volatile-lru"):
        await service.run()
    assert service._socket is not None
    assert service._socket.fileno() == -1


async def test_a_redis_that_comes_back_refused_keeps_readiness_off(tmp_path: Path, server: RedisServer) -> None:
    """And says why; set right, it is ready by itself."""
    server.kill()
    async with bridge_on(server.url, tmp_path) as world:
        assert "Redis cannot be written" in await readiness(world, 503)
        server.start()
        await readiness(world, 200)
        server.ask("CONFIG SET maxmemory-policy allkeys-random")
        assert "set it to noeviction" in await readiness(world, 503)
        server.ask("CONFIG SET maxmemory-policy noeviction")
        await readiness(world, 200)


async def test_a_user_who_may_not_ask_is_told_what_is_unknown(server: RedisServer) -> None:
    """INFO forbidden is a warning, CONFIG forbidden another; TIME forbidden says nothing of clocks."""
    server.ask("ACL SETUSER low on >pw ~* +@all -info")
    server.ask("ACL SETUSER middle on >pw ~* +@all -config -time")
    assert [found.text for found in await examined(server.url, "low:pw@")] == [
        "INFO is not permitted, so its settings are unknown: grant +info"
    ]
    [found] = await examined(server.url, "middle:pw@")
    assert "CONFIG is not permitted" in found.text


async def test_a_missing_password_is_no_answer(server: RedisServer) -> None:
    """It is said in Redis' own words."""
    server.ask("CONFIG SET requirepass pw")
    with pytest.raises(StoreUnavailable, match="AuthenticationError: Authentication required"):
        await examined(server.url)


async def test_a_cluster_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Its nodes would refuse every accept for keys of several slots."""
    node = RedisServer(tmp_path / "node", "cluster-enabled yes")
    node.start()
    try:
        found = await asyncio.wait_for(examined(node.url), 5)
        assert "this is a Redis Cluster" in found[0].text
        assert found[0].refused
    finally:
        node.kill()
