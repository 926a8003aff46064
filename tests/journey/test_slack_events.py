"""Somebody speaks to the app in a thread, or uses a shortcut: from Slack's request to the engine, and back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.config import load
from bridge.emulators import slack_sender as sender
from bridge.emulators.genesis import Genesis
from bridge.emulators.receiver import Receiver
from bridge.emulators.serving import Server
from bridge.emulators.slack import Message, Slack, error
from bridge.process import Service
from bridge.settings import Settings
from bridge.store import Store
from tests.journey.conftest import API_TOKEN, QUICK, READ_TOKEN, SECRETS, WHSEC, World
from tests.journey.test_three_users import when

SECRET = SECRETS["SLACK_SECRET"]
THREAD = "1531420618.000100"
CONFIG = """
version: 1
sources:
  slack: {type: slack, secrets: [{env: SLACK_SECRET}], token: {env: SLACK_TOKEN}, api_url: "@SLACK@/api"}
engines:
  genesis: {type: genesis, base_url: "@GENESIS@", api_key: {env: GENESIS_KEY}, poll: {first: 20ms, max: 100ms}}
templates:
  e2e:
    engine: genesis
    id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44
    variables: {target_url: {required: true}, browser: {choices: [chrome, firefox]}}
notifiers:
  reply: {type: slack_reply, token: {env: SLACK_TOKEN}, api_url: "@SLACK@/api", buttons: {users: [U7]}}
rules:
  - name: e2e-when-asked
    source: slack
    event: [app_mention, /genesis]
    usage: e2e <url> [browser=chrome|firefox]
    description: Run the end-to-end suite
    template: e2e
    variables: {target_url: "${{ args.url }}", browser: "${{ args.browser }}"}
    notify: [reply]
  - name: e2e-of-a-message
    source: slack
    event: shortcut:run_e2e
    template: e2e
    variables: {target_url: "${{ text }}"}
    notify: [reply]
  - name: e2e-on-alarm
    source: slack
    event: message
    when: [text is like 'ALARM *']
    template: e2e
    variables: {target_url: "https://example.com"}
    notify: [reply]
"""


class Workspace:
    """A bridge, and a Slack whose people speak to it."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def post(self, sent: tuple[dict[str, str], bytes]) -> httpx.Response:
        """Deliver what Slack sends; it has to be answered within Slack's three seconds."""
        began = time.monotonic()
        answer = await self.world.client.post("/hooks/slack", headers=sent[0], content=sent[1])
        assert time.monotonic() - began < 3
        return answer

    async def take(self, sent: tuple[dict[str, str], bytes]) -> None:
        """Deliver what is taken: Slack gets its empty 200, whatever becomes of it."""
        answer = await self.post(sent)
        assert (answer.status_code, answer.content) == (200, b"")

    async def say(self, text: str, **more: Any) -> None:
        """Mention the app."""
        await self.take(sender.mention(text, secret=SECRET, **({"thread_ts": THREAD} | more)))

    async def deliveries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.world.look("/api/deliveries"))["items"]
        return found

    async def delivery(self) -> dict[str, Any]:
        """Return the only one, whole."""
        [found] = await self.deliveries()
        return await self.world.look(f"/api/deliveries/{found['id']}")

    async def ran(self) -> dict[str, Any]:
        """Return the only execution, when it has ended."""
        [delivery] = [one for one in await self.deliveries() if one["outcome"] == "accepted"]
        return await self.world.ended(delivery["executions"][0])

    def told(self) -> list[Message]:
        return self.world.slack.messages


@pytest.fixture
async def workspace(store: Store, redis_url: str, tmp_path: Path) -> AsyncIterator[Workspace]:
    """Run the bridge between Genesis and Slack."""
    genesis = Genesis(keys={"genesis-key": None}, any_template=True, default=QUICK)
    slack = Slack(tokens=["xoxb-token"])
    async with Server(genesis), Server(slack):
        path = tmp_path / "bridge.yaml"
        path.write_text(CONFIG.replace("@GENESIS@", genesis.url).replace("@SLACK@", slack.url))
        settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_READ_TOKENS": READ_TOKEN, "BRIDGE_API_TOKENS": API_TOKEN})
        service = Service(settings, load(path, SECRETS), redis_url, web=True, work=True)
        running = asyncio.create_task(service.run())
        world = World(genesis, slack, Receiver([WHSEC]), service, store)
        yield Workspace(world)
        await world.client.aclose()
        service.stop()
        await running


async def test_a_mention_in_a_thread_starts_a_run_once(workspace: Workspace) -> None:
    """With the arguments of its usage line; Slack's repeats start nothing, and all is told in the thread."""
    await workspace.say("e2e <https://example.com|example.com> firefox", event_id="Ev1")
    await workspace.say("e2e <https://example.com|example.com> firefox", event_id="Ev1", retry=1)
    await workspace.say(
        "e2e <https://example.com|example.com> firefox", event_id="Ev1", retry=2, retry_reason="connection_failed"
    )
    assert (await workspace.ran())["status"] == "completed"
    [trigger] = workspace.world.genesis.triggers
    assert trigger.variables == {"target_url": "https://example.com", "browser": "firefox"}
    delivery = await workspace.delivery()
    assert (delivery["event"], delivery["notifications"]) == ("app_mention", [])
    assert {(one.channel, one.thread_ts) for one in workspace.told()} == {(sender.CHANNEL, THREAD)}


async def test_a_retry_whose_first_attempt_never_came_starts_the_run(workspace: Workspace) -> None:
    """Whoever drops requests by their retry headers loses these."""
    await workspace.say("e2e https://example.com", retry=1, retry_reason="connection_failed")
    assert (await workspace.ran())["status"] == "completed"


async def test_a_wrong_use_is_answered_in_the_thread(workspace: Workspace) -> None:
    """Once, though Slack repeats the event; what is wrong, and how it is used."""
    wanted = {
        "e2e https://x crome": "browser is chrome or firefox, not 'crome'; did you mean chrome? Expected: e2e",
        "help": "<@U0001> e2e &lt;url&gt; [browser=chrome|firefox] - Run the end-to-end suite",
        "e3e https://x": "did you mean e2e? Write <@U0001> help",
    }
    for typed in wanted:
        await workspace.say(typed, event_id=f"Ev {typed}", thread_ts=f"in {typed}")
    await when(lambda: len(workspace.told()) == len(wanted))
    said = {one.thread_ts: one.text for one in workspace.told()}
    assert {typed: text in said[f"in {typed}"] for typed, text in wanted.items()} == dict.fromkeys(wanted, True)
    assert {one.channel for one in workspace.told()} == {sender.CHANNEL}
    for delivery in await workspace.deliveries():
        told = (await workspace.world.look(f"/api/deliveries/{delivery['id']}"))["notifications"]
        assert [one["notifier"] for one in told] == ["source:slack"]
    for typed in wanted:
        await workspace.say(typed, event_id=f"Ev {typed}", thread_ts=f"in {typed}", retry=1)
    await workspace.say("help", thread_ts="1.2")
    await when(lambda: [one for one in workspace.told() if one.thread_ts == "1.2"])
    assert len(workspace.told()) == len(wanted) + 1
    assert workspace.world.genesis.triggers == []


async def test_an_answer_begins_a_thread_under_a_mention_outside_of_one(workspace: Workspace) -> None:
    """Nothing of it stands in the channel, where it would disturb everybody."""
    await workspace.say("help", thread_ts=None, ts="1.2")
    [message] = await when(workspace.told)
    assert message.thread_ts == "1.2"


async def test_an_answer_that_slack_refuses_is_a_dead_letter(workspace: Workspace) -> None:
    """With what to change; Slack has long got its 200."""
    workspace.world.slack.answers.add(error("not_in_channel"))
    await workspace.say("help")
    await when(lambda: workspace.world.slack.requests("chat.postMessage"))
    for _ in range(500):
        letters = (await workspace.world.look("/api/dead-letters"))["items"]
        if letters:
            break
        await asyncio.sleep(0.02)
    [letter] = letters
    assert letter["notifier"] == "source:slack"
    assert letter["reason"].endswith("not_in_channel - invite the app into the channel")


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ({"app_id": sender.APP, "bot_id": "B0001", "user": sender.BOT}, "our own doing"),
        ({"subtype": "bot_message", "bot_id": "B7"}, "a bot wrote it"),
        ({"subtype": "message_changed"}, "a message was edited"),
    ],
)
async def test_what_nobody_wrote_starts_nothing(workspace: Workspace, inner: dict[str, Any], reason: str) -> None:
    """Our own message would start the next one, for ever; all are on record with the reason."""
    written = {"type": "message", "text": "ALARM x", "channel": "C1", "ts": "1.2"}
    await workspace.take(sender.event(written | inner, secret=SECRET))
    delivery = await workspace.delivery()
    assert delivery["outcome"] == "ignored"
    assert delivery["reason"].startswith(reason)
    await workspace.take(sender.event(written | {"user": "U1"}, secret=SECRET))
    assert (await workspace.ran())["rule"] == "e2e-on-alarm"


async def test_a_shortcut_on_a_message_starts_a_run(workspace: Workspace) -> None:
    """With the message's text, told in its thread; the response URL stands in no record."""
    message = {"text": "https://example.com/7", "ts": "1.2"}
    await workspace.take(sender.shortcut("run_e2e", secret=SECRET, message=message))
    execution = await workspace.ran()
    assert (execution["status"], execution["rule"]) == ("completed", "e2e-of-a-message")
    assert workspace.world.genesis.triggers[0].variables["target_url"] == "https://example.com/7"
    assert {one.thread_ts for one in workspace.told()} == {"1.2"}
    delivery = await workspace.delivery()
    assert delivery["event"] == "shortcut:run_e2e"
    assert "hooks.slack" not in json.dumps(delivery)


async def test_a_button_under_a_runs_message_runs_it_again(workspace: Workspace) -> None:
    """Once, however often it is pressed, and only by those who may; the others are told so, and nobody else."""
    await workspace.say("e2e https://example.com")
    await workspace.ran()
    [message] = await when(lambda: [one for one in workspace.told() if "completed" in one.text])
    slack = workspace.world.slack
    await workspace.take(slack.press(message, "gb:again", secret=SECRET, user="U8"))
    [told] = await when(lambda: [one for one in slack.messages if one.ephemeral])
    assert told.text == "nothing was done: you are not among those who may use it"
    assert len(workspace.world.genesis.triggers) == 1
    pressed = slack.press(message, "gb:again", secret=SECRET, user="U7", user_name="ann")
    for _ in range(2):
        await workspace.take(pressed)
    executions = (await workspace.world.look("/api/executions"))["items"]
    assert [(await workspace.world.ended(one["id"]))["status"] for one in executions] == ["completed"] * 2
    first, second = workspace.world.genesis.triggers
    assert second.variables == first.variables
    assert {one["event"] for one in await workspace.deliveries()} == {"app_mention", "block_actions"}


async def test_other_interactions_are_recorded_and_start_nothing(workspace: Workspace) -> None:
    """Another app's button, and a shortcut that no rule takes."""
    await workspace.take(sender.button("approve", "1", secret=SECRET))
    await workspace.take(sender.shortcut("other", secret=SECRET))
    assert {(one["event"], one["outcome"]) for one in await workspace.deliveries()} == {
        ("block_actions", "ignored"),
        ("shortcut:other", "no_match"),
    }
    assert (workspace.told(), workspace.world.genesis.triggers) == ([], [])


async def test_a_mention_that_cannot_be_stored_is_left_to_slack_to_repeat(workspace: Workspace) -> None:
    """A 200 would lose it for good: nobody reads the answer, and Slack repeats only what was not taken."""
    redis = workspace.world.store.redis
    await redis.config_set("maxmemory", "1")
    try:
        answer = await workspace.post(sender.mention("e2e https://example.com", secret=SECRET, event_id="Ev1"))
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        typed = await workspace.world.slash("e2e https://example.com")
        assert (typed.status_code, typed.json()["text"]) == (200, "Not taken, please try again in a moment.")
    finally:
        await redis.config_set("maxmemory", "0")
    await workspace.say("e2e https://example.com", event_id="Ev1", retry=1)
    assert (await workspace.ran())["status"] == "completed"
