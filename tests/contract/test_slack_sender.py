"""What the emulated Slack sends is what Slack documents (docs.slack.dev), checked without our own reader."""

import json
import time
from urllib.parse import parse_qs

import httpx
import pytest

from bridge.emulators import slack_sender as sender
from bridge.emulators.serving import Server
from bridge.emulators.signing import slack_signature
from bridge.emulators.slack import Slack

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BUTTON = {
    "type": "button",
    "text": {"type": "plain_text", "text": "Run again"},
    "action_id": "gb:again",
    "value": "qa|x_1|5|s",
}
BLOCKS = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "x"}, "accessory": BUTTON | {"action_id": "beside"}},
    {"type": "actions", "block_id": "orders", "elements": [BUTTON | {"action_id": "gb:close"}, BUTTON]},
]
MESSAGE = {"channel": "C1", "ts": "1531420618.000100", "text": "done", "blocks": BLOCKS, "thread_ts": ""}


def payload(body):
    """Return what an interaction holds in its only field."""
    form = parse_qs(body.decode(), strict_parsing=True)
    assert form.keys() == {"payload"}
    return json.loads(form["payload"][0])


@pytest.mark.parametrize(
    "sent",
    [
        sender.event({"type": "message"}, secret=SECRET, now=5, retry=2),
        sender.mention("e2e", secret=SECRET, now=5),
        sender.shortcut("x", secret=SECRET, now=5),
        sender.shortcut("x", secret=SECRET, now=5, message={"ts": "1.2", "text": "x"}),
        sender.press(MESSAGE, "gb:again", secret=SECRET, now=5),
    ],
    ids=["event", "mention", "shortcut", "message shortcut", "press"],
)
def test_everything_is_signed_over_its_raw_body(sent):
    """With the moment it was sent, a retry's too."""
    headers, body = sent
    assert headers["X-Slack-Request-Timestamp"] == "5"
    assert headers["X-Slack-Signature"] == slack_signature(body, secret=SECRET, timestamp="5")


def test_a_mention_is_an_event_in_slacks_envelope():
    """With the app's own name in front, and who the app is beside the event."""
    headers, body = sender.mention("e2e x", secret=SECRET, ts="1.2", thread_ts="1.1", user="U7", channel="C7")
    envelope = json.loads(body)
    assert headers["Content-Type"] == "application/json"
    assert envelope.keys() == set("token team_id api_app_id event type event_id event_time authorizations".split())
    assert envelope["event"] == {
        "type": "app_mention",
        "user": "U7",
        "text": "<@U0001> e2e x",
        "ts": "1.2",
        "event_ts": "1.2",
        "team": "T0001",
        "channel": "C7",
        "thread_ts": "1.1",
    }
    assert envelope["authorizations"] == [{"team_id": "T0001", "user_id": "U0001", "is_bot": True}]


def test_a_message_outside_of_a_thread_has_none():
    """And a moment of its own: two messages are never one."""
    one, two = (json.loads(sender.mention("x", secret=SECRET)[1])["event"] for _ in range(2))
    assert "thread_ts" not in one
    assert one["ts"] != two["ts"]
    assert abs(float(one["ts"]) - time.time()) < 5


@pytest.mark.parametrize("reason", ["http_timeout", "connection_failed", "http_error"])
def test_a_retry_keeps_its_event_and_says_that_it_is_one(reason):
    """Slack tries three times more, and counts them in a header."""
    _, first = sender.mention("x", secret=SECRET, ts="1.2", event_id="Ev1", now=5)
    headers, again = sender.mention("x", secret=SECRET, ts="1.2", event_id="Ev1", now=5, retry=3, retry_reason=reason)
    assert again == first
    assert (headers["X-Slack-Retry-Num"], headers["X-Slack-Retry-Reason"]) == ("3", reason)


def test_a_global_shortcut_knows_of_no_message():
    """It has neither a channel nor a response URL, for it is used anywhere."""
    headers, body = sender.shortcut("run_e2e", secret=SECRET)
    used = payload(body)
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert used.keys() == set("type token action_ts team user callback_id trigger_id".split())
    assert (used["type"], used["callback_id"]) == ("shortcut", "run_e2e")
    assert payload(sender.shortcut("run_e2e", secret=SECRET)[1])["trigger_id"] != used["trigger_id"]


def test_a_message_shortcut_has_its_message():
    """With where it stands, and an address to answer to."""
    used = payload(sender.shortcut("run_e2e", secret=SECRET, message={"ts": "1.2", "text": "look"}, now=5)[1])
    assert (used["type"], used["action_ts"], used["message_ts"]) == ("message_action", "5.000000", "1.2")
    assert used["message"] == {"type": "message", "ts": "1.2", "text": "look"}
    assert used["response_url"].startswith("https://hooks.slack.com/app/")
    given = sender.shortcut("x", secret=SECRET, message={}, response_url="https://r", user={"id": "U7"})[1]
    assert (payload(given)["response_url"], payload(given)["user"]) == ("https://r", {"id": "U7"})


def test_a_press_carries_what_the_button_has():
    """The value of the very button, the block it stands in, the message and who pressed."""
    pressed = payload(sender.press(MESSAGE, "gb:again", secret=SECRET, user="U7", user_name="ann", now=5)[1])
    assert pressed["type"] == "block_actions"
    [action] = pressed["actions"]
    assert action == BUTTON | {"block_id": "orders", "action_ts": "5.000000"}
    assert (pressed["user"]["id"], pressed["user"]["username"]) == ("U7", "ann")
    assert pressed["container"]["message_ts"] == pressed["message"]["ts"] == MESSAGE["ts"]
    assert pressed["message"]["blocks"] == BLOCKS
    assert (pressed["channel"]["id"], "thread_ts" in pressed["message"]) == ("C1", False)
    beside = payload(sender.press(MESSAGE | {"thread_ts": "1.1"}, "beside", secret=SECRET)[1])
    assert (beside["actions"][0]["action_id"], beside["message"]["thread_ts"]) == ("beside", "1.1")


@pytest.mark.parametrize("blocks", [BLOCKS, [], None, [{"type": "divider"}]])
def test_nobody_presses_what_is_not_there(blocks):
    """A test that presses a button which the message no longer has fails, as a person would."""
    with pytest.raises(LookupError, match="no button 'gb:ran'"):
        sender.press(MESSAGE | {"blocks": blocks}, "gb:ran", secret=SECRET)


async def test_a_press_in_the_emulator_may_replace_its_message():
    """Its response URL leads back to the emulator, and to the message that the button stands under."""
    slack = Slack()
    async with Server(slack), httpx.AsyncClient() as client:
        body = {"channel": "C1", "text": "done", "blocks": BLOCKS}
        await client.post(f"{slack.url}/api/chat.postMessage", json=body, headers={"authorization": "Bearer x"})
        headers, sent = slack.press(slack.messages[0], "gb:again", secret=SECRET, user_name="ann")
        pressed = payload(sent)
        await client.post(pressed["response_url"], json={"text": "again"})
        used = payload(slack.shortcut("x", slack.messages[0], secret=SECRET)[1])
        await client.post(used["response_url"], json={"text": "beside"})
    assert abs(int(headers["X-Slack-Request-Timestamp"]) - time.time()) < 5
    assert (pressed["message"]["ts"], pressed["user"]["username"]) == (slack.messages[0].ts, "ann")
    assert [(one.text, one.edits) for one in slack.messages] == [("again", 1), ("beside", 0)]
    assert (used["channel"]["id"], used["message"]["text"]) == ("C1", "again")
    assert "response_url" not in payload(slack.shortcut("x", secret=SECRET, now=5)[1])
