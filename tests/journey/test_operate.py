"""The commands over the API, against a bridge that runs."""

import asyncio
import os
import re
import subprocess
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from bridge.cli import main
from bridge.emulators.exchange import Answer
from bridge.emulators.faults import Fault
from tests.http_server import always, answer, serve
from tests.journey.conftest import API_TOKEN, READ_TOKEN, World
from tests.journey.test_command_line import COMMAND


def invoked(url: str, token: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {"BRIDGE_PUBLIC_URL": url, "BRIDGE_API_TOKENS": token}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    environ = kept | {name: value for name, value in own.items() if value}
    return subprocess.run([COMMAND, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=30)


async def ran(world: World, *arguments: str, token: str = API_TOKEN) -> subprocess.CompletedProcess[str]:
    """Run a command beside the bridge, which has this test's loop."""
    return await asyncio.to_thread(invoked, world.service.url, token, *arguments)


async def said(world: World, *arguments: str) -> Any:
    result = await ran(world, *arguments)
    assert result.returncode == 0, result.stderr
    return msgspec.json.decode(result.stdout)


async def test_what_came_in_can_be_listed_shown_and_replayed(world: World) -> None:
    """A line for each, the newest first, and the rest as JSON."""
    for _ in range(2):
        await world.ended(await world.run())
    listed = await ran(world, "deliveries", "list", "--limit", "1")
    [line] = listed.stdout.splitlines()
    assert re.fullmatch(r"\S+Z  d_\w+  relay  run  accepted", line)
    cursor = listed.stderr.split()[-1]
    [older] = (await ran(world, "deliveries", "list", "--cursor", cursor)).stdout.splitlines()
    assert older < line
    id_ = line.split()[1]
    assert (await said(world, "deliveries", "show", id_))["id"] == id_
    for rules in ("present", "old"):
        replayed = await said(world, "deliveries", "replay", id_, "--rules", rules)
        execution = await world.ended(replayed["executions"][0]["id"])
        assert (await said(world, "executions", "show", execution["id"]))["status"] == "completed"
    assert len((await ran(world, "executions", "list")).stdout.splitlines()) == 4


async def test_dead_letters_can_be_listed_resolved_and_retried(world: World) -> None:
    """An unknown execution is settled, a dead notification sent."""
    world.genesis.trigger_faults.append(Fault("drop_after_run"))
    world.receiver.answers.add(Answer(status=410), on="/asker")
    execution = await world.ended(await world.run())
    letters = (await ran(world, "executions", "list", "--dead")).stdout
    [notification] = execution["notifications"]
    assert f"execution  {execution['id']}  " in letters
    assert f"notification  {notification['id']}  " in letters
    result = await ran(world, "executions", "resolve", execution["id"], "ran")
    assert result.returncode == 1
    assert "remote_id" in result.stderr
    resolved = await said(world, "executions", "resolve", execution["id"], "did-not-run", "--reason", "looked")
    # A worker may have started it by the time it is shown.
    assert any("looked" in change.get("note", "") for change in resolved["history"])
    assert (await said(world, "executions", "retry", notification["id"]))["state"] == "due"
    after = await world.ended(execution["id"])
    assert {sent["state"] for sent in after["notifications"]} == {"delivered"}


async def test_what_senders_say_does_not_drive_the_terminal(world: World) -> None:
    """Escape codes are written out in lists, and in a form that JSON reads back."""
    hostile = "\x1b]0;owned\x07\x9b2J\u202e"
    delivery = (await world.relay({"type": hostile})).json()["delivery_id"]
    listed = await ran(world, "deliveries", "list")
    shown = await ran(world, "deliveries", "show", delivery)
    for result in (listed, shown):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", result.stdout)
    assert r"\x1b]0;owned\x07\x9b2J\u202e" in listed.stdout
    assert msgspec.json.decode(shown.stdout)["event"] == hostile


async def test_switches_can_be_turned(world: World) -> None:
    """Pause, look, resume."""
    [switch] = await said(world, "executions", "pause", "engine", "genesis", "--reason", "tonight")
    assert await said(world, "executions", "paused") == [switch]
    assert switch["reason"] == "tonight"
    assert await said(world, "executions", "resume", "engine", "genesis") == []


async def test_what_goes_wrong_is_one_line(world: World) -> None:
    """The API's own words, without a traceback, and exit code 1."""
    for arguments, token, words in (
        (["deliveries", "show", "../x"], API_TOKEN, "HTTP 404"),
        (["executions", "retry", "msg_none"], API_TOKEN, "no notification 'msg_none' (HTTP 404)"),
        (["executions", "retry", "msg_none"], READ_TOKEN, "BRIDGE_API_TOKENS (HTTP 403)"),
        (["executions", "paused"], "", "set BRIDGE_API_TOKENS"),
    ):
        result = await ran(world, *arguments, token=token)
        assert result.returncode == 1
        assert words in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("body", [b"<html>", b"\xff"])
async def test_what_is_no_bridge_is_said_so(body: bytes) -> None:
    """Something else listens there."""
    async with serve(always(answer(200, body))) as server:
        result = await asyncio.to_thread(invoked, server.url(""), API_TOKEN, "executions", "paused")
    assert result.returncode == 1
    assert "BRIDGE_PUBLIC_URL" in result.stderr


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("localhost", "localhost")])  # noqa: S104
def test_without_a_public_url_it_is_this_machine(host: str, shown: str) -> None:
    """An address to listen on everywhere is none to connect to."""
    environ = {"BRIDGE_HOST": host, "BRIDGE_PORT": "1", "BRIDGE_API_TOKENS": "t" * 32}
    result = CliRunner().invoke(main, ["executions", "paused"], env=environ)
    assert result.exit_code == 1
    assert shown in result.output


async def test_an_error_of_another_shape_still_has_its_status() -> None:
    """Not every proxy answers with a problem."""
    async with serve(always(answer(502, b"[]"))) as server:
        result = await asyncio.to_thread(invoked, server.url(""), API_TOKEN, "executions", "paused")
    assert "refused (HTTP 502)" in result.stderr
