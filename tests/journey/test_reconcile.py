"""What GitHub could not deliver is asked for again, and arrives once."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from click.testing import CliRunner

from bridge.cli import main
from bridge.emulators.exchange import Answer
from bridge.emulators.github_api import GitHubApi, HookDelivery
from bridge.emulators.serving import Server
from bridge.errors import Transient
from bridge.outbound import Outbound
from bridge.reconcile import Attempt, CannotReconcile, GitHubHook
from tests.journey.conftest import SAMPLES, World

HOOK = "repos/octo/hello/hooks/7"
DAY = timedelta(days=1)
DEPLOYED = msgspec.json.decode((SAMPLES / "deployment_status.json").read_bytes())


def ago(seconds: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def attempt(number: int, guid: str, *, seconds: float = 60, status: str = "OK", code: int = 200) -> HookDelivery:
    return HookDelivery(
        id=number,
        guid=guid,
        delivered_at=ago(seconds),
        event="deployment_status",
        action="created",
        status=status,
        status_code=code,
    )


def api(*deliveries: HookDelivery) -> GitHubApi:
    built = GitHubApi(HOOK, token="t0ken-of-github")
    built.deliveries = list(deliveries)
    return built


async def failed(emulator: GitHubApi, since: timedelta = DAY, token: str = "t0ken-of-github") -> list[str]:
    async with Server(emulator) as server, Outbound() as outbound:
        hook = GitHubHook(outbound, HOOK, token, api_url=server.url, pace_seconds=0)
        return [one.guid for one in await hook.failed(since)]


async def test_what_never_arrived_is_sent_again_and_runs_once(world: World) -> None:
    """We were away for one delivery; another arrived: both asked for, one execution each."""
    first = await world.github("deployment_status", DEPLOYED, guid="arrived")
    await world.ended(first.json()["executions"][0]["id"])
    emulator = api(attempt(1, "arrived"), attempt(2, "lost", status="Service Unavailable", code=503))

    async def redeliver(delivery: HookDelivery) -> int:
        return (await world.github("deployment_status", DEPLOYED, guid=delivery.guid)).status_code

    emulator.redeliver = redeliver
    async with Server(emulator) as server, Outbound() as outbound:
        hook = GitHubHook(outbound, HOOK, "t0ken-of-github", api_url=server.url, pace_seconds=0)
        [lost] = await hook.failed(DAY)
        assert (lost.guid, lost.id) == ("lost", 2)
        await hook.redeliver(lost)
        assert await hook.failed(DAY) == []
    again = await world.github("deployment_status", DEPLOYED, guid="lost")
    assert again.json()["outcome"] == "duplicate"
    await world.ended(again.json()["executions"][0]["id"])
    assert len(world.genesis.triggers) == 2


async def test_an_event_that_arrived_later_is_not_asked_for() -> None:
    """Failed once, redelivered well: GitHub lists both attempts under one GUID."""
    emulator = api(
        attempt(1, "late", seconds=90, status="timed out", code=0),
        attempt(2, "late", seconds=30),
        attempt(3, "never", seconds=80, status="timed out", code=0),
        attempt(4, "never", seconds=20, status="timed out", code=0),
        attempt(5, "old", seconds=90_000, status="timed out", code=0),
    )
    assert await failed(emulator) == ["never"]


async def test_all_pages_are_read_as_far_back_as_asked() -> None:
    """Oldest first, and no page beyond the time that was asked for."""
    emulator = api(*(attempt(n, f"g{n}", seconds=n * 10, status="timed out", code=0) for n in range(350)))
    assert await failed(emulator, timedelta(seconds=2495)) == [f"g{n}" for n in range(249, -1, -1)]
    assert [record.kind for record in emulator.journal] == ["list"] * 3
    assert len(await failed(emulator)) == 350


async def test_the_token_goes_nowhere_but_to_the_hook() -> None:
    """A link to another place is not followed."""
    emulator = api(attempt(1, "g", status="timed out", code=0))
    page = msgspec.json.encode([msgspec.to_builtins(one) for one in emulator.deliveries]).decode()
    emulator.answers.add(
        Answer(body=page, headers={"link": '<https://evil.example/x?per_page=1>; rel="next"'}), on="list"
    )
    assert await failed(emulator) == ["g"]


async def test_a_rate_limit_is_waited_out() -> None:
    """403 with Retry-After is not a refusal."""
    emulator = api(attempt(1, "g", status="timed out", code=0))
    emulator.answers.add(Answer(status=403, body='{"message": "secondary rate limit"}', headers={"retry-after": "1"}))
    assert await failed(emulator) == ["g"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(status=401, body='{"message": "Bad credentials"}'), "HTTP 401: Bad credentials - the token needs"),
        (Answer(status=404, body='{"message": "Not Found"}'), "HTTP 404: Not Found - is the hook's path right"),
        (Answer(status=403, headers={"retry-after": "3600"}), "HTTP 403"),
        (Answer(status=500), "HTTP 500"),
        (Answer(body="{"), "cannot be read"),
    ],
)
async def test_what_github_refuses_is_said_with_what_to_do(answer: Answer, words: str) -> None:
    """In GitHub's words, without the token."""
    emulator = api()
    emulator.answers.add(answer)
    with pytest.raises(CannotReconcile, match=words) as refused:
        await failed(emulator)
    assert "t0ken" not in str(refused.value)


async def test_a_github_that_cannot_be_reached_is_said_so() -> None:
    """Nothing was sent, so nothing has to be undone."""
    async with Outbound() as outbound:
        hook = GitHubHook(outbound, HOOK, "t", api_url="http://127.0.0.1:1")
        with pytest.raises(Transient):
            await hook.failed(DAY)


@pytest.mark.parametrize("path", ["octo/hello", "repos/octo/hello/hooks/x", "repos/../hooks/1", "repos/o/r/hooks/1?x"])
async def test_a_hook_is_named_by_its_path(path: str) -> None:
    """Anything else could lead the token elsewhere."""
    async with Outbound() as outbound:
        with pytest.raises(CannotReconcile, match="repos/OWNER/REPO/hooks/ID"):
            GitHubHook(outbound, path, "t")


async def test_the_emulator_knows_only_its_hook() -> None:
    """Wrong tokens, other paths and unknown deliveries are refused as GitHub does."""
    emulator = api()
    async with Server(emulator) as server, Outbound() as outbound:
        for method, path, token, status in (
            ("GET", f"{HOOK}/deliveries", "wrong", 401),
            ("POST", f"{HOOK}/deliveries/1/attempts", "t0ken-of-github", 404),
            ("POST", f"{HOOK}/deliveries/x/attempts", "t0ken-of-github", 404),
            ("POST", "_emulator/anything", "t0ken-of-github", 404),
        ):
            answer = await outbound.request(
                method,
                f"{server.url}/{path}",
                headers={"authorization": f"Bearer {token}"},
                timeout_seconds=5,
                max_bytes=1000,
            )
            assert answer.status == status
        emulator.deliveries.append(attempt(1, "g"))
        with pytest.raises(CannotReconcile):
            await GitHubHook(outbound, HOOK, "wrong", api_url=server.url).redeliver(
                msgspec.convert(msgspec.to_builtins(emulator.deliveries[0]), type=Attempt)
            )


def test_the_command_lists_and_asks() -> None:
    """Each line says what and why; a dry run asks for nothing."""
    emulator = api(attempt(1, "g-1", status="timed out", code=0))
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with Server(emulator):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(5)
    try:
        base = ["reconcile", "github", "--hook", HOOK, "--api-url", emulator.url]
        environ = {"GITHUB_TOKEN": "t0ken-of-github"}
        dry = CliRunner().invoke(main, [*base, "--dry-run"], env=environ)
        assert (dry.exit_code, dry.output.splitlines()[-1]) == (0, "1 never arrived")
        assert "g-1  deployment_status.created: timed out" in dry.output
        done = CliRunner().invoke(main, base, env=environ)
        assert done.output.splitlines()[-1] == "1 never arrived, all asked for again"
        assert [record.kind for record in emulator.journal] == ["list", "list", "attempt"]
        assert CliRunner().invoke(main, base, env={"GITHUB_TOKEN": ""}).exit_code == 2
        assert CliRunner().invoke(main, [*base, "--since", "soon"], env=environ).exit_code == 2
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()
