"""Somebody writes `/run` under a pull request: from the webhook to the engine, and back to the comment."""

import asyncio
import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.config import load
from bridge.emulators.exchange import Answer
from bridge.emulators.genesis import Genesis
from bridge.emulators.github_api import GitHubApi
from bridge.emulators.github_repository import Comment, Repository
from bridge.emulators.receiver import Receiver
from bridge.emulators.serving import Server
from bridge.emulators.slack import Slack
from bridge.process import Service
from bridge.settings import Settings
from bridge.store import Store
from tests.journey.conftest import API_TOKEN, QUICK, READ_TOKEN, SECRETS, WHSEC, World
from tests.journey.test_three_users import when

TOKEN = "t0ken-of-github"
SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
HOME = {"full_name": "octo/hello"}
PULL = {"number": 7, "head": {"ref": "changes", "sha": SHA, "repo": HOME}, "base": {"ref": "main", "repo": HOME}}
CONFIG = """
version: 1
sources:
  github:
    type: github
    secrets: [{env: GITHUB_SECRET}]
    token: {env: GITHUB_TOKEN}
    api_url: "@GITHUB@"
engines:
  genesis: {type: genesis, base_url: "@GENESIS@", api_key: {env: GENESIS_KEY}, poll: {first: 20ms, max: 100ms}}
templates:
  e2e:
    engine: genesis
    id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44
    variables: {commit: {required: true}, browser: {choices: [chrome, firefox]}, number: {}}
rules:
  - name: e2e-on-comment
    source: github
    event: comment:/run
    usage: e2e [browser=chrome|firefox]
    description: Run the end-to-end suite
    when: [not fork]
    template: e2e
    variables: {commit: "${{ sha }}", browser: "${{ args.browser }}", number: "${{ number }}"}
"""


class Thread:
    """A bridge beside GitHub, and a pull request to comment on."""

    def __init__(self, world: World, api: GitHubApi, parts: tuple[Settings, Path, str]) -> None:
        self.world = world
        self.api = api
        self.parts = parts
        self.repository = api.repositories[0]
        self.sent: dict[str, Any] = {}

    async def write(
        self, text: str, association: str = "MEMBER", action: str = "created", guid: str | None = None, **more: Any
    ) -> Any:
        """Comment on the pull request; return our answer to the webhook."""
        number = max(self.repository.comments, default=0) + 1
        comment = Comment(id=number, number=7, body=text)
        self.repository.comments = {**self.repository.comments, number: comment}
        user = {"login": "ann", "type": "User"}
        body = {
            "action": action,
            "repository": {"full_name": "octo/hello"},
            "issue": {"number": 7, "pull_request": {}},
            "comment": {"id": number, "body": text, "user": user, "author_association": association},
            "sender": user,
        }
        return await self.deliver(body | more, guid)

    async def deliver(self, body: dict[str, Any], guid: str | None = None) -> Any:
        """Send the webhook of a comment."""
        number = body["comment"]["id"]
        answer = await self.world.github("issue_comment", body, guid=guid)
        self.sent = body
        return answer.json() | {"comment": number, "status": answer.status_code}

    def reactions(self, number: int) -> list[str]:
        return self.repository.comments[number].reactions


async def dead_letters(thread: Thread) -> list[dict[str, Any]]:
    """Wait until there are some."""
    for _ in range(500):
        found: list[dict[str, Any]] = (await thread.world.look("/api/dead-letters"))["items"]
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("no dead letter")


def service(parts: tuple[Settings, Path, str], *, web: bool, work: bool) -> Service:
    settings, path, redis_url = parts
    return Service(settings, load(path, SECRETS | {"GITHUB_TOKEN": TOKEN}), redis_url, web=web, work=work)


@pytest.fixture
async def thread(store: Store, redis_url: str, tmp_path: Path, request: Any) -> AsyncIterator[Thread]:
    """Run the bridge between Genesis and GitHub; with the parameter "web", without a worker."""
    work = getattr(request, "param", "") != "web"
    genesis = Genesis(keys={"genesis-key": None}, any_template=True, default=QUICK)
    slack, callbacks, api = Slack(tokens=[]), Receiver([WHSEC]), GitHubApi(token=TOKEN)
    api.repositories = [Repository(name="octo/hello", pulls={7: copy.deepcopy(PULL)})]
    async with Server(genesis), Server(api):
        path = tmp_path / "bridge.yaml"
        path.write_text(CONFIG.replace("@GENESIS@", genesis.url).replace("@GITHUB@", api.url))
        settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_READ_TOKENS": READ_TOKEN, "BRIDGE_API_TOKENS": API_TOKEN})
        parts = (settings, path, redis_url)
        running_service = service(parts, web=True, work=work)
        running = asyncio.create_task(running_service.run())
        world = World(genesis, slack, callbacks, running_service, store)
        yield Thread(world, api, parts)
        await world.client.aclose()
        running_service.stop()
        await running


async def test_a_command_runs_on_the_head_of_its_pull_request_and_is_seen(thread: Thread) -> None:
    """The engine gets the commit that the comment's webhook does not carry, and the comment gets its eyes."""
    answer = await thread.write("/run e2e firefox\n\nThanks!")
    assert (answer["status"], answer["outcome"]) == (202, "accepted")
    assert (await thread.world.ended(answer["executions"][0]["id"]))["status"] == "completed"
    [trigger] = thread.world.genesis.triggers
    assert trigger.variables == {"commit": SHA, "browser": "firefox", "number": "7"}
    await when(lambda: thread.reactions(answer["comment"]) == ["eyes"])
    delivery = await thread.world.look(f"/api/deliveries/{answer['delivery_id']}")
    [told] = delivery["notifications"]
    assert (told["notifier"], told["attempts"]) == ("source:github", 1)


async def test_a_wrong_use_is_answered_under_the_comment(thread: Thread) -> None:
    """What is wrong and how it is used, as a comment nobody takes for a command."""
    answer = await thread.write("/run e2e crome")
    assert (answer["status"], answer["outcome"]) == (200, "ignored")
    [said] = await when(lambda: list(thread.repository.comments.values())[1:])
    assert "browser is chrome or firefox, not 'crome'; did you mean chrome?" in said.body
    assert thread.reactions(answer["comment"]) == ["confused"]
    again = await thread.write(said.body)
    assert (again["outcome"], thread.world.genesis.triggers) == ("ignored", [])


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("/run e2e", {"association": "CONTRIBUTOR"}),
        ("/run e2e", {"action": "edited", "changes": {"body": {"from": "run e2e"}}}),
        ("> /run e2e", {}),
        ("```\n/run e2e\n```", {}),
        ("/approve", {}),
    ],
)
async def test_what_is_no_command_or_not_allowed_causes_nothing(thread: Thread, text: str, more: Any) -> None:
    """No run, no question to GitHub, no answer: strangers cannot make us do anything."""
    answer = await thread.write(text, **more)
    assert (answer["status"], answer["outcome"]) == (200, "no_match")
    assert await thread.world.store.redis.zcard("gb:outbox") == 0
    assert (thread.api.journal, thread.world.genesis.triggers) == ([], [])


async def test_where_the_head_cannot_be_asked_for_nothing_runs(thread: Thread) -> None:
    """The delivery is recorded with the reason; sent again when GitHub answers, it runs on the right commit."""
    thread.api.answers.add(Answer(status=502))
    first = await thread.write("/run e2e", guid="g-1")
    assert (first["status"], first["outcome"]) == (422, "rule_error")
    assert "GitHub: HTTP 502" in first["detail"]
    await when(lambda: thread.reactions(first["comment"]) == ["confused"])
    again = await thread.deliver(thread.sent, guid="g-1")
    assert (again["status"], again["delivery_id"]) == (202, first["delivery_id"])
    await thread.world.ended(again["executions"][0]["id"])
    assert [trigger.variables["commit"] for trigger in thread.world.genesis.triggers] == [SHA]
    await when(lambda: thread.reactions(first["comment"]) == ["confused", "eyes"])


async def test_a_replay_asks_for_the_head_as_well_and_tells_nobody(thread: Thread) -> None:
    """It is the operator's order, not the commenter's."""
    thread.api.answers.add(Answer(status=502))
    first = await thread.write("/run e2e")
    await when(lambda: thread.reactions(first["comment"]) == ["confused"])
    replayed = await thread.world.order(f"/api/deliveries/{first['delivery_id']}/replay", {"rules": "present"})
    [execution] = replayed.json()["executions"]
    await thread.world.ended(execution["id"])
    assert [trigger.variables["commit"] for trigger in thread.world.genesis.triggers] == [SHA]
    delivery = await thread.world.look(f"/api/deliveries/{replayed.json()['delivery_id']}")
    assert delivery["notifications"] == []


async def test_an_answer_that_github_refuses_is_a_dead_letter_that_can_be_sent(thread: Thread) -> None:
    """The run is not touched; with the token mended a person has it sent after all."""
    thread.api.answers.add(Answer(body=msgspec.json.encode(PULL).decode()), on="repository")
    thread.api.answers.add(Answer(status=403, body='{"message": "Resource not accessible"}'), on="repository")
    answer = await thread.write("/run e2e")
    await thread.world.ended(answer["executions"][0]["id"])
    [letter] = await dead_letters(thread)
    assert (letter["notifier"], letter["execution_id"]) == ("source:github", "")
    assert letter["reason"] == "GitHub: HTTP 403: Resource not accessible - the token may not do this"
    assert (await thread.world.order(f"/api/notifications/{letter['id']}/retry")).status_code == 202
    await when(lambda: thread.reactions(answer["comment"]) == ["eyes"])


async def test_a_condition_on_the_pull_request_holds_for_its_comments(thread: Thread) -> None:
    """A fork's pull request is told from one of the repository's own, which the comment alone cannot."""
    thread.repository.pulls[7]["head"]["repo"] = {"full_name": "stranger/hello"}
    answer = await thread.write("/run e2e")
    assert (answer["status"], answer["outcome"]) == (200, "no_match")
    assert answer["skipped"][0]["reason"].startswith("not fork is false")


@pytest.mark.parametrize("thread", ["web"], indirect=True)
async def test_what_was_to_be_said_survives_the_process(thread: Thread) -> None:
    """The reaction is stored with the delivery: whatever worker comes later puts it."""
    answer = await thread.write("/run e2e")
    assert answer["status"] == 202
    assert thread.reactions(answer["comment"]) == []
    worker = service(thread.parts, web=False, work=True)
    running = asyncio.create_task(worker.run())
    await when(lambda: thread.reactions(answer["comment"]) == ["eyes"])
    worker.stop()
    await running
