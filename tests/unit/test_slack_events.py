import hashlib
import re

import pytest

from bridge import slack_events, slack_facts
from bridge.emulators import slack_sender as sender
from bridge.model import Press

OTHER_BOT = "a bot wrote it: bots that answer each other would never end"


def envelope(inner, **more):
    """Return an event as Slack wraps it."""
    authorizations = [{"user_id": "U0INSTALLER", "is_bot": False}, {"user_id": "U0BOT", "is_bot": True}]
    return {"type": "event_callback", "api_app_id": "A1", "authorizations": authorizations, "event": inner} | more


def mentioned(text, **more):
    """Return what is read as said to the app."""
    return slack_events.mention(envelope({"type": "app_mention", "text": text}, **more))


def pressed(action_id="gb:again", value="qa|x_1|1700000000|5f", **more):
    """Return the payload of a button."""
    user = {"id": "U1", "username": "ann"}
    return {"type": "block_actions", "user": user, "actions": [{"action_id": action_id, "value": value}]} | more


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (envelope({"type": "app_mention"}), "app_mention"),
        (envelope({"type": "reaction_added"}), "reaction_added"),
        (envelope({"type": "an.event_of_2030"}), "an.event_of_2030"),
        (envelope({"type": "/genesis"}), "event_callback"),
        (envelope({"type": "shortcut:x"}), "event_callback"),
        (envelope({"type": "x" * 101}), "event_callback"),
        (envelope({"type": 7}), "event_callback"),
        (envelope(None), "event_callback"),
        ({"type": "other", "event": {"type": "message"}}, "other"),
        ({}, "request"),
        ({"type": ""}, "request"),
    ],
)
def test_an_event_has_the_name_of_what_is_in_its_envelope(body, name):
    """And never that of a command or a shortcut, which are another kind of request."""
    assert slack_events.event_name(body) == name


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        ({"type": "message", "user": "U1"}, None),
        ({"type": "message", "user": "U1", "subtype": "file_share"}, None),
        ({"type": "message", "user": "U1", "subtype": "thread_broadcast"}, None),
        ({"type": "message", "user": "U0INSTALLER"}, None),
        ({"type": "message", "app_id": "A2"}, None),
        ({"type": "message", "app_id": "A1"}, "our own doing"),
        ({"type": "message", "bot_profile": {"app_id": "A1"}, "bot_id": "B1"}, "our own doing"),
        ({"type": "message", "user": "U0BOT"}, "our own doing"),
        ({"type": "reaction_added", "user": "U0BOT"}, "our own doing"),
        ({"type": "app_mention", "user": "U7", "bot_id": "B7", "app_id": "A7"}, OTHER_BOT),
        ({"type": "message", "subtype": "bot_message", "username": "ci"}, OTHER_BOT),
        ({"type": "message", "subtype": "message_changed"}, "a message was edited: only new ones start something"),
        ({"type": "message", "subtype": "message_deleted"}, "a message was deleted: only new ones start something"),
        ({"type": "message", "subtype": "channel_join"}, "Slack's own note: channel_join"),
        ({"type": "reaction_added", "subtype": "channel_join"}, None),
        ({"type": 7}, "only commands, events and shortcuts start something; this is Slack's event_callback"),
    ],
)
def test_what_starts_nothing_is_told(inner, why):
    """Our own messages would call us for ever, another bot's may do so; what nobody wrote anew is no message."""
    assert slack_events.ignored(envelope(inner)) == why


@pytest.mark.parametrize("authorizations", [None, "x", [], [7, None, {"is_bot": True}, {"user_id": 7, "is_bot": True}]])
def test_an_envelope_that_does_not_say_who_we_are_is_read_all_the_same(authorizations):
    """Nobody's message is taken for our own then, but for what our app's id marks."""
    inner = {"type": "message", "user": "U0BOT"}
    assert slack_events.ignored(envelope(inner, authorizations=authorizations)) is None
    assert slack_events.ignored(envelope(inner | {"app_id": 1}, api_app_id=1, authorizations=[])) is None
    assert slack_events.ignored(envelope(inner | {"app_id": "A1"}, authorizations=authorizations)) == "our own doing"


def test_slack_holding_events_back_is_told():
    """Nothing starts by it, but whoever looks for a missing event finds why it is missing."""
    why = slack_events.ignored({"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1})
    assert why == "Slack holds events back: there were more than 30,000 of this workspace within an hour"


@pytest.mark.parametrize(
    ("text", "word", "said"),
    [
        ("<@U0BOT> e2e <https://x|x> &lt;b&gt;", "@U0BOT", "e2e <https://x|x> &lt;b&gt;"),
        ("<@U0BOT|genesis>:\u00a0 e2e x ", "@U0BOT", "e2e x"),
        ("hey <@U0BOT>, e2e <@U2>", "@U0BOT", "e2e <@U2>"),
        ("<@U2> look: <@U0BOT> e2e <@U0BOT> y", "@U0BOT", "e2e <@U0BOT> y"),
        ("<@U2> e2e <@U3>", "@U2", "e2e <@U3>"),
        ("thanks <@U0BOT>", "@U0BOT", ""),
        ("e2e x", "@app", "e2e x"),
    ],
)
def test_what_follows_the_mention_of_the_app_is_said_to_it(text, word, said):
    """Of the app's own where others are mentioned as well, else of the first; raw, as usage lines have it."""
    command = mentioned(text)
    assert (command.name, command.word, command.text) == ("app_mention", word, said)
    assert command.unheard
    assert not command.guarded


def test_nothing_else_is_said_to_the_app():
    """Neither a message that mentions it, which comes as a mention as well, nor a mention without a text."""
    assert slack_events.mention(envelope({"type": "message", "text": "<@U0BOT> e2e"})) is None
    assert mentioned(None) is None


def test_an_answer_names_the_app_and_pings_nobody():
    """In the help lines Slack shows the app's name, as people type it; all else is escaped and cut."""
    command = mentioned("<@U0BOT> help")
    assert slack_events.answer(command, "@U0BOT e2e <url>\n<!channel> @U0BOTX") == (
        "<@U0BOT> e2e &lt;url&gt;\n&lt;!channel&gt; @U0BOTX"
    )
    assert len(slack_events.answer(command, "<" * 5000)) <= 3000
    assert slack_events.answer(mentioned("help"), "@app e2e") == "@app e2e"


@pytest.mark.parametrize(
    ("payload", "name", "ignored"),
    [
        ({"type": "shortcut", "callback_id": "run e2e"}, "shortcut:run e2e", None),
        ({"type": "message_action", "callback_id": "x"}, "shortcut:x", None),
        ({"type": "shortcut"}, "shortcut", "this is Slack's shortcut"),
        ({"type": "shortcut", "callback_id": 7}, "shortcut", "this is Slack's shortcut"),
        ({"type": "view_submission", "callback_id": "x"}, "view_submission", "this is Slack's view_submission"),
        (pressed("other"), "block_actions", "this is Slack's block_actions"),
        (pressed(), "block_actions", "a button under a message of ours: nothing for rules"),
        (pressed("gb:open"), "block_actions", "a button under a message of ours: nothing for rules"),
        ({}, "request", "this is Slack's request"),
    ],
)
def test_of_interactions_only_shortcuts_are_for_rules(payload, name, ignored):
    """By their callback_id; the rest is recorded with the reason."""
    assert slack_events.interaction_name(payload) == name
    found = slack_events.interaction_ignored(payload)
    assert found is None if ignored is None else found.endswith(ignored)


def test_two_uses_of_a_shortcut_are_told_apart_without_the_credential():
    """By the trigger_id, of which only a hash is kept; else by the time; else not at all."""
    known = f"sha256:{hashlib.sha256(b'1.2.x').hexdigest()}"
    assert slack_events.interaction_key({"trigger_id": "1.2.x", "action_ts": "5.6"}) == known
    assert slack_events.interaction_key({"trigger_id": "", "action_ts": "5.6"}) == "5.6"
    assert slack_events.interaction_key({"trigger_id": 7, "action_ts": 8}) is None
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", slack_events.interaction_key({"trigger_id": "\ud800"}))


@pytest.mark.parametrize("action", ["again", "did_not_run", "close"])
def test_a_button_of_ours_is_an_order(action):
    """On the execution it names, by who pressed it; the whole value is for the notifier to hold it to."""
    value = "qa|x_1|1700000000|5f"
    assert slack_events.press(pressed(f"gb:{action}", value)) == Press(
        action=action, execution_id="x_1", by="ann (U1)", notifier="qa", value=value
    )


@pytest.mark.parametrize(
    ("user", "by"),
    [
        ({"id": "U1", "username": "", "name": "bob"}, "bob (U1)"),
        ({"id": "U1"}, "U1"),
        ({"id": 1, "username": "ann"}, "ann"),
        (None, ""),
    ],
)
def test_who_pressed_is_known_by_name_and_id(user, by):
    """Or by what there is of both."""
    assert slack_events.press(pressed(user=user)).by == by


@pytest.mark.parametrize("value", ["|x_1|5|s", "qa|x_1", "qa|x_1|5|s|more"])
def test_a_value_is_read_leniently(value):
    """Whether it is one of ours, its signature says; that is checked where the key is."""
    found = slack_events.press(pressed(value=value))
    assert (found.execution_id, found.notifier, found.value) == ("x_1", value.partition("|")[0], value)


@pytest.mark.parametrize(
    "payload",
    [
        pressed("gb:open", "x"),
        pressed("gb:delete"),
        pressed("gb:ran"),
        pressed("other"),
        pressed(value=None),
        pressed(None),
        pressed(actions=[]),
        pressed(actions=[7]),
        pressed(actions=None),
        pressed(type="view_submission"),
        {},
    ],
)
def test_other_buttons_give_no_order(payload):
    """A link that was opened, another app's, or nothing that Slack sends."""
    assert slack_events.press(payload) is None


def test_what_is_typed_in_a_mention_is_the_same_as_in_a_command():
    """One rule with one usage line reads both alike."""
    facts = slack_facts.find(
        "events", envelope({"type": "app_mention", "text": "&lt;x&gt; \u201ca\u201d", "ts": "1.2"})
    )
    assert facts == {"text": '<x> "a"', "thread_ts": "1.2"}


@pytest.mark.parametrize(
    ("kind", "body", "facts"),
    [
        (
            "events",
            {"event": {"channel": "C1", "ts": "2.1", "thread_ts": "1.1"}},
            {"channel": "C1", "thread_ts": "1.1"},
        ),
        (
            "events",
            {"event": {"user": "U1", "item": {"channel": "C1", "ts": "2.1"}}},
            {"user": "U1", "channel": "C1", "thread_ts": "2.1"},
        ),
        (
            "events",
            {"event": {"user": {"id": "U1"}, "channel": {"id": "C1", "name": "c"}}},
            {"user": "U1", "channel": "C1", "channel_name": "c"},
        ),
        (
            "interactions",
            {"container": {"channel_id": "C1"}, "message": {"ts": "2.1", "text": "a&amp;b"}, "user": {"name": "ann"}},
            {"user_name": "ann", "channel": "C1", "thread_ts": "2.1", "text": "a&b"},
        ),
        ("interactions", {"user": {"id": "U1", "team_id": "T1"}}, {"user": "U1", "team": "T1"}),
        ("commands", {"command": 7, "event": {"text": "x"}}, {}),
    ],
)
def test_a_fact_is_the_first_text_among_its_places(kind, body, facts):
    """Answers go into the thread of what was done, or begin one under its message."""
    assert slack_facts.find(kind, body) == facts


def test_the_emulators_app_is_the_one_that_its_events_are_for():
    """So that what the emulated app says itself is known as its own."""
    assert slack_events.smallest("app_mention")["event"]["text"] == f"<@{sender.BOT}>"
