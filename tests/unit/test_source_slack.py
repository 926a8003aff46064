import json
from urllib.parse import parse_qs, parse_qsl, urlencode

import msgspec
import pytest
from msgspec import structs

from bridge.config import Config
from bridge.contracts import Acceptance, ExecutionReference, Reply, Request, Skipped
from bridge.emulators import slack_sender as sender
from bridge.errors import BadSignature, BodyTimeout, EvaluationError, Malformed, TooLarge, TooMany, UnsupportedMedia
from bridge.explanation import explain
from bridge.expressions import Condition, Text
from bridge.model import Status
from bridge.rules import RuleSet
from bridge.secret import Secret
from bridge.sources.slack import Slack

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
SOURCE = Slack(secrets=[Secret("env: SLACK", SECRET.encode())])
TALKING = Slack(secrets=[Secret("env: SLACK", SECRET.encode())], token=Secret("env: TOKEN", b"xoxb-1"))
NOW = 1_531_420_618
FORM = "application/x-www-form-urlencoded"
RESPONSE_URL = "https://hooks.slack.example/commands/T/1/x"


def read(headers, body, **replaced):
    """Read a request that Slack sent, with some headers replaced."""
    lower = {name.lower(): value for name, value in headers.items()} | replaced
    return SOURCE.read(Request(headers=lower, query={"a": "b"}, body=body, now=NOW))


def slash(text, **fields):
    """Read a slash command with this raw text."""
    fields = {"response_url": RESPONSE_URL, "trigger_id": "13345224609.738474920.8088930838d88f008e0"} | fields
    return read(*sender.slash("/genesis", text, secret=SECRET, now=NOW, **fields))


def signed(body, content_type):
    """Read any body under Slack's signature."""
    return read(sender._signed(body, content_type, SECRET, NOW), body)


def text_of(reply):
    """Return what the person sees of an ephemeral answer."""
    said = json.loads(reply.body)
    assert (reply.status, reply.content_type, said.pop("response_type")) == (200, "application/json", "ephemeral")
    return said.pop("text")


def test_a_slash_command_becomes_an_event():
    """A command's name, key and facts come from its form."""
    event = slash("e2e x")
    assert (event.name, event.key) == ("/genesis", "13345224609.738474920.8088930838d88f008e0")
    assert event.facts == {
        "command": "/genesis",
        "text": "e2e x",
        "user": "U2147483697",
        "user_name": "steve",
        "channel": "C2147483705",
        "channel_name": "test",
        "team": "T0001",
        "response_url": RESPONSE_URL,
    }
    assert event.body["text"] == "e2e x"
    assert event.query == {"a": "b"}
    assert "x-slack-signature" not in event.headers
    assert event.ignored is None
    assert event.facts.keys() < Slack.facts.keys()


def test_credentials_are_concealed_but_can_be_compared():
    """Whoever knows the response URL can answer in the app's name, so nothing that is written out shows it."""
    event = slash("e2e")
    for where in (event.facts, event.body):
        assert where["response_url"] == RESPONSE_URL
        assert RESPONSE_URL not in repr(where)
        with pytest.raises(TypeError):
            msgspec.json.encode(where)
    assert repr(event.body["trigger_id"]) == "(secret)"


def test_a_condition_may_use_the_response_url_and_does_not_record_it():
    """It is compared as it is, and shown as `(secret)`: by itself, in the body, and in the whole body."""
    names = slash("e2e").names()
    condition = Condition(f"response_url == '{RESPONSE_URL}' and response_url is like 'https://*/x'")
    assert condition.evaluate(names).verdict == "true"
    for text in ("response_url == 'x'", "body.response_url == 'x'", "body == {}", "body | json == 'x'"):
        said = Condition(text).evaluate(names)
        assert said.verdict == "false"
        assert RESPONSE_URL not in repr(said) + msgspec.json.encode(said.values).decode()
    assert "'(secret)'" in Condition("response_url == 'x'").evaluate(names).reason


@pytest.mark.parametrize("text", ["${{ response_url }}", "at ${{ body.response_url }}", "${{ body[event] }}"])
def test_a_text_with_a_credential_is_an_error(text):
    """Even where the load could not see it coming."""
    names = slash("e2e", **{"/genesis": "x"}).names() | {"event": "response_url"}
    with pytest.raises(EvaluationError, match="not put into texts"):
        Text(text).render(names)


def test_an_explanation_shows_no_credential():
    """What people and the API are told of an event's facts can be encoded, and hides the response URL."""
    nothing = Config(
        sources={}, engines={}, templates={}, notifiers={}, ruleset=RuleSet([], {}), written={}, hash="", files=()
    )
    told = explain(nothing, slash("e2e"))
    assert told.facts["response_url"] == "(secret)"
    assert RESPONSE_URL not in msgspec.json.encode(told).decode()


def test_what_may_be_stored_of_a_command_holds_no_credential():
    """The stored body lacks the addresses and tokens with which its reader could act."""
    kept = dict(parse_qsl(slash("e2e").keep.decode()))
    assert kept["text"] == "e2e"
    assert not {"response_url", "token", "trigger_id"} & kept.keys()


def test_the_text_is_as_it_was_typed_and_the_body_as_it_was_sent():
    """The fact is unescaped and has plain quotes and spaces; the body keeps the raw text for usage lines."""
    raw = "\u201ca\u201d\u00a0&lt;b&gt; &amp;amp; it\u2019s"
    event = slash(raw)
    assert event.facts["text"] == '"a" <b> &amp; it\'s'
    assert event.body["text"] == raw


def test_fields_that_are_not_sent_are_no_facts():
    """A form with nothing but a command has that fact only, and no key."""
    event = signed(urlencode({"command": "/x"}).encode(), FORM)
    assert (event.facts, event.key) == ({"command": "/x"}, None)


def test_the_certificate_check_is_answered_unsigned():
    """`ssl_check` gets an empty 200 whatever its signature."""
    for headers in ({}, {"x-slack-signature": "v0=x"}):
        reply = read({"content-type": FORM} | headers, b"ssl_check=1&token=x")
        assert reply == Reply(status=200, content_type="text/plain")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"ssl_check=0", FORM), (b"x=ssl_check", FORM), (b"ssl_check=1&a=%ff", FORM), (b"ssl_check=1", "text/plain")],
)
def test_nothing_else_goes_unsigned(body, content_type):
    """What only resembles `ssl_check` needs its signature."""
    with pytest.raises(BadSignature):
        read({"content-type": content_type}, body)


def test_a_new_address_is_confirmed():
    """`url_verification` is signed and gets its challenge back."""
    reply = read(*sender.url_verification("3eZbrw1a", secret=SECRET, now=NOW))
    assert (reply.status, json.loads(reply.body)) == (200, {"challenge": "3eZbrw1a"})
    with pytest.raises(BadSignature):
        read(*sender.url_verification("3eZbrw1a", secret="other", now=NOW))


def test_an_event_is_named_by_what_is_in_its_envelope():
    """It is recorded without its tokens, under its id, which a retry keeps."""
    inner = {"type": "function_executed", "bot_access_token": "xwfp-1", "blocks": [{"token": "t", "text": "hi"}]}
    event = read(*sender.event(inner, secret=SECRET, now=NOW, event_id="Ev1"))
    assert (event.name, event.key, event.ignored) == ("function_executed", "Ev1", None)
    assert event.facts.keys() == {"team"}
    assert b"xwfp-1" not in event.keep
    assert json.loads(event.keep)["event"] == {"type": "function_executed", "blocks": [{"text": "hi"}]}
    assert event.body == json.loads(event.keep)
    assert "x-slack-signature" not in event.headers


@pytest.mark.parametrize("reason", ["http_timeout", "connection_failed"])
def test_a_retry_is_read_like_the_first_attempt(reason):
    """Its headers decide nothing: with connection_failed the first attempt has never arrived."""
    inner = {"type": "message", "text": "x"}
    first = read(*sender.event(inner, secret=SECRET, now=NOW, event_id="Ev1"))
    again = read(*sender.event(inner, secret=SECRET, now=NOW, event_id="Ev1", retry=1, retry_reason=reason))
    assert (again.key, again.ignored) == (first.key, None)


def test_button_presses_are_ignored_by_name():
    """An interaction is recorded without its address and starts nothing."""
    event = read(*sender.button("run", "x_1", secret=SECRET, now=NOW, response_url=RESPONSE_URL))
    assert (event.name, event.press) == ("block_actions", None)
    assert event.facts == {
        "user": "U2147483697",
        "user_name": "steve",
        "channel": "C2147483705",
        "channel_name": "test",
        "team": "T0001",
        "response_url": RESPONSE_URL,
    }
    assert event.ignored is not None
    assert b"hooks.slack" not in event.keep
    assert json.loads(parse_qs(event.keep.decode())["payload"][0])["type"] == "block_actions"


def test_a_button_of_ours_is_an_order_and_nothing_for_rules():
    """A rule that takes every event of the source must not run because somebody pressed a button."""
    event = read(*sender.button("gb:close", "qa|x_1|5|s", secret=SECRET, now=NOW))
    assert (event.press.action, event.press.execution_id, event.press.by) == ("close", "x_1", "steve (U2147483697)")
    assert event.ignored == "a button under a message of ours: nothing for rules"


def test_a_shortcut_is_an_event():
    """Named by its callback_id; whoever knows its address can answer, so that stands in no record."""
    event = read(*sender.shortcut("run_e2e", secret=SECRET, now=NOW, message={"text": "at &lt;x&gt;", "ts": "1.2"}))
    assert (event.name, event.ignored, event.command) == ("shortcut:run_e2e", None, None)
    facts = dict(event.facts)
    assert facts.pop("response_url").startswith("https://hooks.slack.com/app/")
    assert facts == {
        "user": "U2147483697",
        "user_name": "steve",
        "channel": "C2147483705",
        "channel_name": "test",
        "team": "T0001",
        "text": "at <x>",
        "thread_ts": "1.2",
    }
    assert "(secret)" in repr(event.facts)
    assert not any(
        credential in event.keep for credential in (b"hooks.slack", b"trigger_id", b"gIkuvaNzQIHg97ATvDxqgjtO")
    )
    everywhere = read(*sender.shortcut("run_e2e", secret=SECRET, now=NOW))
    assert everywhere.facts.keys() == {"user", "user_name", "team"}
    assert everywhere.key != event.key


def test_a_mention_is_a_command():
    """Its text is what follows the app's name, its thread the one answers go to."""
    event = read(*sender.mention("e2e &lt;x&gt; <@U1|ann>", secret=SECRET, now=NOW, ts="1.2"))
    assert (event.name, event.ignored, event.command.text) == ("app_mention", None, "e2e &lt;x&gt; <@U1|ann>")
    assert event.facts == {
        "command": "@U0001",
        "text": "e2e <x> <@U1|ann>",
        "user": "U2147483697",
        "channel": "C2147483705",
        "team": "T0001",
        "thread_ts": "1.2",
    }
    assert read(*sender.mention("e2e", secret=SECRET, now=NOW, thread_ts="1.1")).facts["thread_ts"] == "1.1"


def test_facts_of_another_type_are_missing():
    """Never empty, and never a number where a text is documented."""
    event = read(*sender.event({"type": "reaction_added", "user": None, "text": 7}, secret=SECRET, now=NOW))
    assert event.facts == {"team": "T0001"}


MENTION = structs.replace(
    read(*sender.mention("e2e", secret=SECRET, now=NOW, ts="1.2")), headers={}, body=None, query={}, keep=None
)


def test_a_mention_is_answered_in_its_thread():
    """With what its author should know, in which nothing pings anybody."""
    told = TALKING.acknowledge(MENTION, "not_run", "<url> is missing. Expected: @U0001 e2e <url>")
    assert json.loads(told.body) == {"text": "&lt;url&gt; is missing. Expected: <@U0001> e2e &lt;url&gt;"}
    assert told.address == {"channel": "C2147483705", "thread_ts": "1.2"}


@pytest.mark.parametrize(
    ("source", "event", "words"),
    [
        (SOURCE, MENTION, "words"),
        (TALKING, MENTION, None),
        (TALKING, structs.replace(MENTION, command=None), "words"),
        (TALKING, structs.replace(MENTION, facts={"channel": "C1"}), "words"),
        (TALKING, structs.replace(MENTION, facts={"thread_ts": "1.2"}), "words"),
    ],
)
def test_where_there_is_nothing_to_say_or_no_way_nobody_is_answered(source, event, words):
    """Without a token, where a run begins (its own message tells that), without a thread."""
    assert source.acknowledge(event, "not_run", words) is None


def test_a_request_without_a_type_is_ignored():
    """Well-formed JSON of a kind nobody knows is ignored, too."""
    assert signed(b'{"type": 7, "event_id": 7}', "application/json").name == "request"


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (b"a=b", FORM, Malformed),
        (b"command=", FORM, Malformed),
        (b"command=%ff", FORM, Malformed),
        (b"payload=x", FORM, Malformed),
        (b"payload=[]", FORM, Malformed),
        (b"[]", "application/json", Malformed),
        (b'{"type": "url_verification"}', "application/json", Malformed),
        (b"{}", "text/plain", UnsupportedMedia),
        (b"{}", "", UnsupportedMedia),
        (b"payload=%ff", FORM, Malformed),
    ],
)
def test_signed_requests_that_slack_does_not_send_are_refused(body, content_type, error):
    """A rightly signed request of another form is refused in words."""
    with pytest.raises(error):
        signed(body, content_type)


@pytest.mark.parametrize("now", [NOW - 301, NOW + 301])
def test_stale_requests_are_refused(now):
    """A request signed more than five minutes away is not taken."""
    with pytest.raises(BadSignature):
        read(*sender.slash("/genesis", "e2e", secret=SECRET, now=now))


RUNS = [ExecutionReference("x_1", "e2e", Status.QUEUED, "u"), ExecutionReference("x_2", "<b>", Status.QUEUED, "u")]


def asked(content_type, body=b""):
    """Return the request that is answered."""
    return Request(headers={"content-type": content_type}, query={}, body=body, now=NOW)


TYPED = asked(FORM, b"command=%2Fgenesis")
UNREAD = [asked("application/json", b"{}"), asked("application/json"), asked(FORM, b"payload=%7B%7D")]


@pytest.mark.parametrize(
    ("outcome", "more", "said"),
    [
        ("accepted", {"executions": RUNS, "skipped": [Skipped("c", "no")]}, "Started: e2e, &lt;b&gt;."),
        ("no_match", {}, "Nothing was started: no rule is meant for this command."),
        ("no_match", {"reason": "there is no 'x' here"}, "Nothing was started: there is no 'x' here."),
        (
            "no_match",
            {"skipped": [Skipped(str(n), "x < y") for n in range(7)]},
            "Nothing was started: no rule is meant for this command.\n"
            + "".join(f"{n} did not run: x &lt; y\n" for n in range(5))
            + "... and 2 more.",
        ),
        ("ignored", {"reason": "Expected: e2e <url> & more"}, "Expected: e2e &lt;url&gt; &amp; more"),
        ("ignored", {}, "Nothing was started."),
        ("duplicate", {}, "This command was taken before. Nothing was started anew."),
        (
            "duplicate",
            {"executions": RUNS[:1]},
            "This command was taken before and started: e2e. Nothing was started anew.",
        ),
        ("rule_error", {"reason": "rule 'a': url is missing"}, "Nothing was started: rule 'a': url is missing."),
        ("rule_error", {}, "Nothing was started."),
    ],
)
def test_each_outcome_is_worded_for_people(outcome, more, said):
    """A person reads what became of the command, with nothing in it that pings or links."""
    assert text_of(SOURCE.answer(Acceptance(delivery_id="d_1", outcome=outcome, **more), TYPED)) == said


@pytest.mark.parametrize("request_", UNREAD)
@pytest.mark.parametrize("outcome", ["accepted", "no_match", "ignored", "duplicate", "rule_error"])
def test_an_event_that_was_taken_gets_nothing_but_200(outcome, request_):
    """Nobody reads more, a button's or shortcut's answer could be taken for a view, and anything else is sent again."""
    reply = SOURCE.answer(Acceptance(delivery_id="d_1", outcome=outcome, reason="why"), request_)
    assert reply == Reply(status=200, content_type="text/plain")


@pytest.mark.parametrize("request_", UNREAD)
def test_an_event_that_was_not_taken_keeps_its_status(request_):
    """Slack sends it again, up to three times within six minutes; a 200 would lose it for good."""
    assert SOURCE.unavailable(request_) is None
    assert SOURCE.refuse(TooMany("too many", 60), request_) is None
    assert SOURCE.refuse(BodyTimeout("late"), request_) is None


@pytest.mark.parametrize("request_", UNREAD)
def test_what_cannot_be_read_is_not_sent_again(request_):
    """It would be no better the next time, and other than 200 counts towards Slack's switching the events off."""
    assert text_of(SOURCE.refuse(Malformed("a < b"), request_)) == "Not taken: a &lt; b."


def test_a_long_answer_is_cut():
    """However long the reason, Slack gets a text it shows."""
    acceptance = Acceptance(delivery_id="d_1", outcome="ignored", reason="<!channel>" * 1000)
    said = text_of(SOURCE.answer(acceptance, TYPED))
    assert len(said) <= 3000
    assert "<" not in said


def test_refusals_are_worded_for_people_unless_slack_did_not_send_them():
    """A person sees why; a wrong signature and a flood keep their status."""
    assert SOURCE.refuse(BadSignature(), TYPED) is None
    assert SOURCE.refuse(TooLarge("too large"), TYPED) is None
    assert text_of(SOURCE.refuse(Malformed("a < b"), TYPED)) == "Not taken: a &lt; b."
    assert text_of(SOURCE.refuse(BodyTimeout("late"), asked(FORM))) == "Not taken: late."


def test_when_nothing_can_be_stored_the_person_is_asked_to_repeat():
    """Slack never repeats a command, so the person has to."""
    assert text_of(SOURCE.unavailable(TYPED)) == "Not taken, please try again in a moment."


def test_an_api_url_that_paths_cannot_be_appended_to_is_refused():
    """At load, not when the first answer is due."""
    with pytest.raises(ValueError, match="the URL cannot be used"):
        Slack(secrets=[Secret("env: SLACK", SECRET.encode())], api_url="https://slack.com/api?x=1")
