"""One message in Slack for each execution: written, changed as it goes on, and pressed on; over sockets, to its end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.emulators import slack_sender
from bridge.emulators.genesis import Genesis
from bridge.emulators.genesis_runs import Template
from bridge.emulators.serving import Server
from bridge.emulators.slack import Message, Slack
from bridge.store import Store
from tests.journey.conftest import READ_TOKEN
from tests.journey.engine_world import HEAD, SECRETS, World, running, workers
from tests.journey.test_three_users import when

SLACK_SECRET = "slack-signing-secret"
SOURCE = "{type: slack, secrets: [{env: SLACK_SECRET}]}"
CONFIG = """
  qa: {type: slack, token: {env: SLACK_TOKEN}, channel: C1, api_url: "@SLACK@/api", buttons: {users: [U1]}}
  thread: {type: slack, token: {env: SLACK_TOKEN}, channel: C2, api_url: "@SLACK@/api", thread: true}
  reply:
    type: slack_reply
    token: {env: SLACK_TOKEN}
    api_url: "@SLACK@/api"
    fields: {Branch: "${{ variables.branch }}"}
  bare: {type: slack_reply, api_url: "@SLACK@/api"}
engines:
  genesis: {type: genesis, base_url: "@ENGINE@", api_key: {env: ENGINE_KEY}, poll: {first: 50ms, max: 100ms}}
templates:
  e2e:
    engine: genesis
    id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44
    variables: {branch: {default: main}}
rules:
  - {name: relayed, source: relay, event: run, template: e2e, notify: [qa]}
  - {name: threaded, source: relay, event: thread, template: e2e, notify: [thread]}
  - {name: typed, source: slack, event: /genesis, template: e2e, notify: [reply]}
  - {name: bare, source: slack, event: /bare, template: e2e, notify: [bare]}
"""
SLOW = Template(
    timeline=(("pending", 0.2), ("running", 4.0), ("completed", None)), outputs={"summary": "all <!channel> fine"}
)
REVIEWED = Template(
    timeline=(("pending", 0.2), ("running", 1.5), ("review_pending", 1.5), ("running", 1.5), ("completed", None))
)


class Chat:
    """A bridge between Genesis and Slack."""

    def __init__(self, world: World[Genesis], slack: Slack) -> None:
        self.world = world
        self.slack = slack

    async def slash(self, command: str) -> str:
        """Type a command that starts one run; return the execution's id."""
        headers, sent = self.slack.slash(command, "", secret=SLACK_SECRET)
        answer = await self.world.client.post("/hooks/slack", headers=headers, content=sent)
        assert "Started" in answer.json()["text"], answer.text
        found = await self.world.client.get("/api/executions", headers={"authorization": f"Bearer {READ_TOKEN}"})
        return str(found.json()["items"][0]["id"])

    def said(self, channel: str = "") -> list[Message]:
        return [message for message in self.slack.messages if channel in ("", message.channel)]

    def words(self, channel: str = "") -> str:
        """Return all that stands in the only message there is."""
        [message] = self.said(channel)
        return str(message.blocks)


@contextlib.asynccontextmanager
async def chatting(
    redis_url: str, path: Path, template: Template, *, work: bool = True, **slack: Any
) -> AsyncIterator[Chat]:
    engine = Genesis(keys={SECRETS["ENGINE_KEY"]: None}, any_template=True, default=template)
    emulated = Slack(tokens=["xoxb-token"], strict_rate=True, **slack)
    async with Server(emulated):
        text = CONFIG.replace("@SLACK@", emulated.url)
        head = HEAD.replace("sources:\n", f"sources:\n  slack: {SOURCE}\n").replace("@SLACK@", emulated.url)
        async with running(redis_url, path, engine, text, work=work, head=head) as world:
            yield Chat(world, emulated)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Slack's secrets in the environment that configurations are read with."""
    monkeypatch.setitem(SECRETS, "SLACK_SECRET", SLACK_SECRET)
    monkeypatch.setitem(SECRETS, "SLACK_TOKEN", "xoxb-token")


@pytest.mark.timeout(90)
async def test_a_command_has_one_message_from_its_start_to_its_result(
    store: Store, redis_url: str, tmp_path: Path
) -> None:
    """Written once and changed after that: started, how far it is, and what came of it; no ping gets through."""
    async with chatting(redis_url, tmp_path, SLOW) as chat:
        id_ = await chat.slash("/genesis")
        await when(lambda: chat.said() and "steps" in chat.words() and "running" in chat.words(), 10)
        execution = await chat.world.ended(id_, 30)
        assert execution["status"] == "completed"
        [message] = chat.said()
        assert message.edits >= 2
        assert "✓ completed" in chat.words()
        assert "5/5 steps" in chat.words()
        assert "all &lt;!channel&gt; fine" in chat.words()
        assert "*Branch*" in chat.words()
        assert "<!date^" in chat.words()
        assert [record.error for record in chat.slack.journal if record.error] == []
        assert {record.kind for record in chat.slack.journal} == {"chat.postMessage", "chat.update"}
        assert {note["state"] for note in execution["notifications"]} <= {"delivered", "superseded"}


@pytest.mark.timeout(90)
async def test_a_response_url_alone_is_enough_for_what_matters(store: Store, redis_url: str, tmp_path: Path) -> None:
    """No token, a review, and five messages at most: the start, one progress, the review, the result."""
    async with chatting(redis_url, tmp_path, REVIEWED) as chat:
        execution = await chat.world.ended(await chat.slash("/bare"), 30)
        assert execution["status"] == "completed"
        told = [message.text for message in chat.said()]
        assert 3 <= len(told) <= 5
        assert "started" in told[0]
        assert any("review" in text for text in told)
        assert "completed" in told[-1]
        assert {record.kind for record in chat.slack.journal} == {"response_url"}
        assert {note["state"] for note in execution["notifications"]} <= {"delivered", "superseded"}


@pytest.mark.timeout(90)
async def test_where_the_app_is_not_the_response_url_does(store: Store, redis_url: str, tmp_path: Path) -> None:
    """A command works in every channel, the token only where the app was invited: whoever typed it is answered."""
    async with chatting(redis_url, tmp_path, SLOW, channels=["C9"]) as chat:
        execution = await chat.world.ended(await chat.slash("/genesis"), 30)
        assert execution["status"] == "completed"
        assert {message.via for message in chat.said()} == {"response_url"}
        assert "completed" in chat.said()[-1].text


@pytest.mark.timeout(90)
async def test_a_thread_keeps_how_it_came_to_that(store: Store, redis_url: str, tmp_path: Path) -> None:
    """The first message says how it stands, and under it stands each thing that was said."""
    async with chatting(redis_url, tmp_path, REVIEWED) as chat:
        await chat.world.ended(await chat.world.send("thread"), 30)
        first, *rest = chat.said("C2")
        assert "completed" in first.text
        assert {message.thread_ts for message in rest} == {first.ts}
        assert any("review" in message.text for message in rest)


@pytest.mark.timeout(120)
async def test_a_worker_that_dies_between_two_updates_leaves_one_message_that_ends(
    store: Store, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker changes the same message; at worst it says the same twice."""
    async with chatting(redis_url, tmp_path, SLOW, work=False) as chat:
        monkeypatch.setenv("CRASH_AT", "notify.before:2")
        async with workers(1, tmp_path / "bridge.yaml", redis_url, "tests.chaos.run_process"):
            id_ = await chat.world.send("run")
            await when(lambda: chat.said("C1"), 10)
            await asyncio.sleep(2)
        monkeypatch.delenv("CRASH_AT")
        async with workers(1, tmp_path / "bridge.yaml", redis_url, "tests.chaos.run_process"):
            execution = await chat.world.ended(id_, 40)
        assert execution["status"] == "completed"
        assert "✓ completed" in chat.words("C1")


@pytest.mark.timeout(90)
async def test_many_runs_in_one_channel_keep_to_its_pace(store: Store, redis_url: str, tmp_path: Path) -> None:
    """Slack takes about one message a second there: nothing is refused, and every run has its message with its end."""
    async with chatting(redis_url, tmp_path, SLOW) as chat:
        ids = [await chat.world.send("run") for _ in range(4)]
        for id_ in ids:
            await chat.world.ended(id_, 60)
        assert [message.text.partition(": ")[2] for message in chat.said("C1")] == ["✓ completed"] * 4
        assert [record.error for record in chat.slack.journal if record.error] == []


@pytest.mark.timeout(90)
async def test_a_button_runs_it_again_once(store: Store, redis_url: str, tmp_path: Path) -> None:
    """Whoever may press it; pressed twice it is pressed once, and the message says by whom."""
    quick = Template(timeline=(("pending", 0.1), ("running", 0.2), ("completed", None)))
    async with chatting(redis_url, tmp_path, quick) as chat:
        await chat.world.ended(await chat.world.send("run"))
        [message] = chat.said("C1")
        for user in ("U2", "U1", "U1"):
            url = chat.slack.new_response_url("actions", channel="C1", message_ts=message.ts)
            pressed = slack_sender.press(
                msgspec.to_builtins(message), "gb:again", user=user, secret=SLACK_SECRET, response_url=url
            )
            answer = await chat.world.client.post("/hooks/slack", headers=pressed[0], content=pressed[1])
            assert answer.status_code == 200
        await when(lambda: len(chat.world.engine.triggers) == 2 and len(chat.said("C1")) == 2, 20)
        await when(lambda: "run again as x_" in str(message.blocks), 20)
        assert "gb:again" not in str(message.blocks)
        assert "(U1)" in str(message.blocks)
        whispered = [one.text for one in chat.said("C1") if one.ephemeral]
        assert whispered == []
