"""A pull request is opened: commit status, check and comment go pending, follow the run, and end with it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.config import load
from bridge.emulators.genesis import Genesis
from bridge.emulators.genesis_runs import Template
from bridge.emulators.github_api import GitHubApi
from bridge.emulators.github_apps import App
from bridge.emulators.github_reports import Reports
from bridge.emulators.github_repository import Repository
from bridge.emulators.receiver import Receiver
from bridge.emulators.serving import Server
from bridge.emulators.slack import Slack
from bridge.process import Service
from bridge.settings import Settings
from bridge.smallest import github as smallest
from bridge.store import Store
from tests.github_keys import PRIVATE_KEY, PUBLIC_KEY
from tests.journey.conftest import QUICK, READ_TOKEN, SECRETS, WHSEC, World
from tests.journey.test_three_users import when

TOKEN = "t0ken-of-github"
REPO = "octo-org/hello"
GIVEN = SECRETS | {"GITHUB_TOKEN": TOKEN, "APP_KEY": PRIVATE_KEY}
SLOW = Template(
    timeline=(("pending", 0.5), ("running", 7.0), ("completed", None)),
    outputs={"summary": "All *good*, says @everyone"},
)
CONFIG = """
version: 1
sources:
  github: {type: github, secrets: [{env: GITHUB_SECRET}]}
engines:
  genesis: {type: genesis, base_url: "@GENESIS@", api_key: {env: GENESIS_KEY}, poll: {first: 50ms, max: 200ms}}
templates:
  e2e: {engine: genesis, id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44, variables: {commit: {required: true}}}
notifiers:
  status: {type: github_status, token: {env: GITHUB_TOKEN}, context: ci/e2e, api_url: "@GITHUB@"}
  check: {type: github_check, app_id: 9, private_key: {env: APP_KEY}, name: E2E, api_url: "@GITHUB@"}
  comment: {type: github_comment, token: {env: GITHUB_TOKEN}, api_url: "@GITHUB@"}
rules:
  - name: e2e
    source: github
    event: pull_request.opened
    template: e2e
    variables: {commit: "${{ sha }}"}
    notify: [@NOTIFY@]
  - {name: loop, source: github, event: [status, check_run, issue_comment], template: e2e, variables: {commit: x}}
"""


class Bridge:
    """A bridge beside GitHub, where a pull request can be opened."""

    def __init__(self, world: World, api: GitHubApi, environ: dict[str, str]) -> None:
        self.world = world
        self.api = api
        self.environ = environ
        self.repository = api.repositories[0]
        self.body = smallest("pull_request.opened") | {"installation": {"id": 55}}
        self.sha = self.body["pull_request"]["head"]["sha"]

    @property
    def checks(self) -> list[dict[str, Any]]:
        return list(self.repository.reports.checks.values())

    async def opened(self) -> str:
        """Open the pull request; return the execution's id."""
        answer = await self.world.github("pull_request", self.body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["executions"][0]["id"])


@pytest.fixture
async def bridge(store: Store, redis_url: str, tmp_path: Path, request: Any) -> AsyncIterator[Bridge]:
    """Run the bridge between Genesis and GitHub; with a parameter, without a worker and with that notifier only."""
    only = getattr(request, "param", "")
    genesis = Genesis(keys={"genesis-key": None}, any_template=True, default=SLOW)
    api = GitHubApi(token=TOKEN)
    sha = smallest("pull_request.opened")["pull_request"]["head"]["sha"]
    api.repositories = [Repository(name=REPO, pulls={1: {"number": 1}}, reports=Reports(commits=[sha]))]
    api.apps = [App(id=9, public_key=PUBLIC_KEY, installations={55: [REPO]})]
    async with Server(genesis), Server(api):
        path = tmp_path / "bridge.yaml"
        notify = only or "status, check, comment"
        text = CONFIG.replace("@GENESIS@", genesis.url).replace("@GITHUB@", api.url).replace("@NOTIFY@", notify)
        path.write_text(text)
        settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_READ_TOKENS": READ_TOKEN})
        service = Service(settings, load(path, GIVEN), redis_url, web=True, work=not only)
        running = asyncio.create_task(service.run())
        world = World(genesis, Slack(tokens=[]), Receiver([WHSEC]), service, store)
        environ = {"BRIDGE_CONFIG": str(path), "BRIDGE_REDIS_URL": redis_url, "BRIDGE_LOG": "json"}
        yield Bridge(world, api, environ)
        await world.client.aclose()
        service.stop()
        await running


async def test_a_pull_request_hears_of_its_run_from_the_beginning_to_the_end(bridge: Bridge) -> None:
    """Three ways, each pending at once, each following, each ending; one check, one comment."""
    reports = bridge.repository.reports
    execution_id = await bridge.opened()
    await when(lambda: reports.states(bridge.sha) == {"ci/e2e": "pending"})
    await when(lambda: [check["status"] for check in bridge.checks if check["status"] == "in_progress"])
    await when(lambda: bridge.repository.comments)
    await when(lambda: "/5 steps" in bridge.checks[0]["output"]["title"])
    found = await bridge.world.ended(execution_id, seconds=30)
    assert {note["state"] for note in found["notifications"]} <= {"delivered", "superseded"}
    assert reports.states(bridge.sha) == {"ci/e2e": "success"}
    [check], [comment] = bridge.checks, bridge.repository.comments.values()
    assert (check["status"], check["conclusion"], check["external_id"]) == ("completed", "success", execution_id)
    for text in (check["output"]["summary"], comment.body):
        assert "```text\nAll *good*, says @everyone\n```" in text
    assert comment.body.startswith("<!-- genesis-bridge: e2e | ")
    assert sum(record.method == "POST" for record in bridge.api.journal if record.kind in ("check", "comment")) == 2
    times = [record.at for record in bridge.api.journal if record.kind in ("status", "check", "comment")]
    assert len(times) <= times[-1] - times[0] + 3  # about one a second


async def test_re_run_starts_the_same_once_more_with_a_check_of_its_own(bridge: Bridge) -> None:
    """Whoever pressed it is named in both histories; pressed twice, or for another App, it starts nothing more."""
    bridge.world.genesis.default = QUICK
    first = await bridge.world.ended(await bridge.opened())
    [check] = bridge.checks
    run = {"external_id": check["external_id"], "id": check["id"], "name": "E2E", "head_sha": bridge.sha}
    pressed = {"action": "rerequested", "sender": {"login": "ann"}, "repository": bridge.body["repository"]}
    for app, said in ((8, "nothing was done"), (9, "run again by ann, as x_"), (9, "it was run again before, as x_")):
        answer = await bridge.world.github("check_run", pressed | {"check_run": {**run, "app": {"id": app}}})
        assert (answer.status_code, answer.json()["outcome"]) == (200, "ignored")
        assert answer.json()["reason"].startswith(said), answer.json()
    again = await bridge.world.ended(answer.json()["reason"].rpartition(" ")[2])
    assert (again["status"], again["variables"]) == ("completed", first["variables"])
    assert again["history"][0]["note"] == "again, by ann"
    known = await bridge.world.execution(first["id"])
    assert known["history"][-1]["note"] == f"ann: run again as {again['id']}"
    await when(lambda: [one["conclusion"] for one in bridge.checks] == ["success", "success"])
    assert {one["external_id"] for one in bridge.checks} == {first["id"], again["id"]}
    assert len(bridge.world.genesis.triggers) == 2


async def test_what_we_tell_does_not_start_anything(bridge: Bridge) -> None:
    """GitHub sends our own status, check and comment back; each is ignored, with the reason."""
    check = {"app": {"id": 9}, "external_id": "x", "head_sha": bridge.sha}
    for event, body in (
        ("status", smallest("status") | {"context": "CI/e2e"}),
        ("check_run", smallest("check_run.completed") | {"check_run": check}),
        ("issue_comment", smallest("issue_comment.edited") | {"comment": {"body": "<!-- genesis-bridge: e2e | x -->"}}),
    ):
        answer = await bridge.world.github(event, body)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "ignored")
        assert "it starts nothing" in answer.json()["reason"]
    assert bridge.world.genesis.triggers == []


@pytest.mark.parametrize("bridge", ["check"], indirect=True)
@pytest.mark.parametrize("crash", ["notify.sent:1", "notify.before:2"])
async def test_a_worker_that_is_killed_between_updates_leaves_one_check_that_ends(bridge: Bridge, crash: str) -> None:
    """The next one finds the check that the first has made, even where nobody wrote down that it did."""
    execution_id = await bridge.opened()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    environ = {**kept, **GIVEN, **bridge.environ}
    command = [sys.executable, "-m", "tests.chaos.run_process", "worker"]
    quiet = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}
    first = await asyncio.create_subprocess_exec(*command, env={**environ, "CRASH_AT": crash}, **quiet)
    assert await asyncio.wait_for(first.wait(), 40) == -signal.SIGKILL
    second = await asyncio.create_subprocess_exec(*command, env=environ, **quiet)
    try:
        found = await bridge.world.ended(execution_id, seconds=40)
    finally:
        second.terminate()
        await asyncio.wait_for(second.wait(), 30)
    assert found["status"] == "completed"
    [check] = bridge.checks
    assert (check["status"], check["conclusion"], check["external_id"]) == ("completed", "success", execution_id)
