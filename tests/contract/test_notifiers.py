"""What every notifier promises, whatever its receiver answers; a new notifier adds itself to WORLDS."""

import asyncio
import gzip
import json
import re
import ssl
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from bridge.contracts import Notifier
from bridge.duration import Duration
from bridge.emulators.serving import Server
from bridge.emulators.slack import Slack as EmulatedSlack
from bridge.errors import Ambiguous, EvaluationError, Permanent, Throttled, Transient
from bridge.expressions import Text
from bridge.model import FINAL, Change, Execution, Link, Message, Notification, Press, Progress, Status
from bridge.notifiers import NOTIFIERS
from bridge.notifiers.callback import Callback
from bridge.notifiers.github_check import GitHubCheck
from bridge.notifiers.github_comment import GitHubComment
from bridge.notifiers.github_status import GitHubStatus
from bridge.notifiers.slack import Buttons, Slack, SlackReply
from bridge.outbound import Outbound
from bridge.secret import Secret
from bridge.urls import Url
from tests.github_keys import PRIVATE_KEY
from tests.http_server import always, answer, in_turn, serve

CREATED = "2026-03-16T10:00:00.000Z"
NOW = datetime.fromisoformat(CREATED).timestamp() + 60
FINISHED = int(datetime.fromisoformat("2026-03-16T10:04:06.400Z").timestamp())
TOKEN = "xoxb-0123456789-abcdef"
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EXECUTION = Execution(
    id="x_1",
    delivery_id="d_1",
    rule="e2e-on-preview",
    source="github",
    engine="genesis",
    template="e2e",
    variables={"branch": "main"},
    status=Status.COMPLETED,
    final=True,
    remote_id="r-1",
    progress=Progress(5, 5),
    outputs={"summary": "all good"},
    attempts=1,
    created_at=CREATED,
    started_at="2026-03-16T10:00:01.000Z",
    finished_at="2026-03-16T10:04:06.400Z",
    history=[Change("2026-03-16T10:04:06.000Z", Status.COMPLETED)],
    notifications=[Notification(id="msg_1", notifier="ci", status=Status.COMPLETED, state="due")],
)


def _secret(value):
    return Secret("env: SECRET", value.encode())


def _callback(url="http://127.0.0.1/", secrets=(SIGNING,), **settings):
    loopback = {"allow_http": True, "allow_cidrs": ("127.0.0.0/8",)}
    return Callback(url=Url(url), secrets=[_secret(one) for one in secrets], **{**loopback, **settings})


def _slack(origin, **settings):
    return Slack(token=_secret(TOKEN), channel=Text("C1"), api_url=f"{origin}/api", **settings)


def _reply(origin, token=TOKEN):
    return SlackReply(token=None if token is None else _secret(token), api_url=f"{origin}/api")


COMMIT = {"repo": "o/r", "sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246"}


class World(msgspec.Struct, frozen=True):
    """How one notifier is configured towards a server, and what its receiver answers when all is well."""

    make: Callable[[str], Notifier]
    names: Callable[[str], dict[str, Any]]
    """What the event carries, of what the notifier needs."""
    success: bytes
    credentials: tuple[str, ...]
    made: str | None = None
    """What an earlier message has made, where that makes the next one a single request."""
    methods: tuple[str, ...] = ("POST",)
    patience: float | None = None
    """How long it waits where it is told to slow down, but not for how long."""


WORLDS = {
    Callback: World(
        lambda origin: _callback(f"{origin}/s3cret-path"), lambda _: {}, answer(204), (SIGNING, "s3cret-path", "v1,")
    ),
    Slack: World(_slack, lambda _: {}, answer(200, b'{"ok":true}'), (TOKEN,)),
    SlackReply: World(
        _reply,
        lambda origin: {"response_url": f"{origin}/commands/s3cret-path", "channel": "C1"},
        answer(200, b'{"ok":true,"channel":"C1","ts":"1.2"}'),
        (TOKEN, "s3cret-path"),
    ),
    GitHubStatus: World(
        lambda origin: GitHubStatus(token=_secret(TOKEN), api_url=origin),
        lambda _: COMMIT,
        answer(201, b'{"id":1}'),
        (TOKEN,),
        patience=60,
    ),
    GitHubCheck: World(
        lambda origin: GitHubCheck(app_id=7, private_key=_secret(PRIVATE_KEY), api_url=origin),
        lambda _: COMMIT,
        answer(201, b'{"id":1,"token":"ghs_t0ken","expires_at":"2030-01-01T00:00:00Z"}'),
        ("PRIVATE KEY", "eyJ", "ghs_t0ken"),
        made="1",
        methods=("GET", "POST", "PATCH"),
        patience=60,
    ),
    GitHubComment: World(
        lambda origin: GitHubComment(token=_secret(TOKEN), api_url=origin),
        lambda _: {"repo": "o/r", "number": 7},
        answer(200, b'{"id":1,"user":{"id":1},"body":"<!-- genesis-bridge: e2e-on-preview | x -->"}'),
        (TOKEN,),
        made="1",
        methods=("GET", "GET", "PATCH"),
        patience=60,
    ),
}
every_notifier = pytest.mark.parametrize("world", WORLDS.values(), ids=[notifier.__name__ for notifier in WORLDS])


@pytest.fixture
async def outbound():
    """Open a client for one test; it trusts no certificate, for reading them takes longer than a test."""
    async with Outbound(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as opened:
        yield opened


def _message(notifier, names, execution=EXECUTION, now=NOW, made=None):
    body, address = notifier.compose(execution, "qa"), notifier.address(names)
    return Message(id="msg_1", body=body, address=address, attempt=1, now=now, made=made)


async def _send(outbound, world, script):
    async with serve(script) as server:
        notifier = world.make(server.url(""))
        await notifier.send(outbound, _message(notifier, world.names(server.url("")), made=world.made))
        return server.requests


# -------------------------------------------------------------------------------------------------- every notifier


def test_every_notifier_is_held_to_this():
    """A notifier that is not in WORLDS is not tested."""
    assert set(WORLDS) == set(NOTIFIERS)


@every_notifier
async def test_success_is_one_request(outbound, world):
    """A message is sent as JSON, once, with the same content on every attempt, after what has to be asked first."""
    requests = await _send(outbound, world, always(world.success))
    assert tuple(request.method for request in requests) == world.methods
    assert requests[-1].headers["content-type"].startswith("application/json")
    assert requests[-1].headers["user-agent"].startswith("genesis-bridge/")
    assert requests[-1].body == (await _send(outbound, world, always(world.success)))[-1].body


@every_notifier
@pytest.mark.parametrize("status", list(Status))
def test_every_status_can_be_told(world, status):
    """There are words for every status, with much known about the run or little."""
    notifier = world.make("https://x.example.com")
    little = Execution(
        id="x",
        delivery_id="d",
        rule="r",
        source="s",
        engine="e",
        template="t",
        variables={},
        status=status,
        final=status.final,
        created_at=CREATED,
    )
    for execution in (little, msgspec.structs.replace(EXECUTION, status=status)):
        assert isinstance(json.loads(notifier.compose(execution, "qa")), dict)
        assert notifier.compose(execution, "qa") == notifier.compose(execution, "qa")


@every_notifier
def test_ends_and_reviews_are_told(world):
    """What a person waits for is told by every notifier unless it is configured otherwise."""
    notifier = world.make("https://x.example.com")
    assert all(notifier.wants(status) for status in (*FINAL, Status.REVIEW_PENDING))
    assert not any(notifier.wants(status) for status in (Status.STARTING, Status.RUNNING))
    in_place = (GitHubStatus, GitHubCheck, GitHubComment, Slack, SlackReply)  # what is changed may be told early
    assert notifier.wants(Status.QUEUED) == isinstance(notifier, in_place)


@every_notifier
async def test_redirects_are_not_followed(outbound, world):
    """A redirect is a failure, and neither signature, token nor message goes anywhere else."""
    async with serve(always(world.success)) as elsewhere:
        with pytest.raises((Transient, Permanent)):
            await _send(outbound, world, always(answer(307, headers={"location": elsewhere.url()})))
        assert elsewhere.connections == 0


@every_notifier
async def test_what_was_not_sent_is_transient(outbound, world):
    """Where nobody listens, nothing was told."""
    async with serve(always()) as server:
        origin = server.url("")
    notifier = world.make(origin)
    with pytest.raises(Transient):
        await notifier.send(outbound, _message(notifier, world.names(origin)))


@every_notifier
@pytest.mark.parametrize("parts", [[], [b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n{"], [b"nonsense\r\n\r\n"]])
async def test_a_broken_answer_is_ambiguous(outbound, world, parts):
    """Once the message is out, an answer that cannot be read says nothing."""
    with pytest.raises(Ambiguous):
        await _send(outbound, world, always(*parts, close=True))


@every_notifier
@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [(429, {"retry-after": "30"}, 30.0), (429, {}, None), (503, {}, None), (500, {"retry-after": "9"}, 9.0)],
)
async def test_receivers_in_trouble_are_tried_again_at_their_pace(outbound, world, status, headers, seconds):
    """429 and 5xx are transient, and Retry-After counts."""
    with pytest.raises(Transient) as failed:
        await _send(outbound, world, always(answer(status, "slow down", headers)))
    assert failed.value.retry_after == (seconds if status != 429 or headers else world.patience)


async def _echo(request, writer, status):
    said = f"{request.target} {request.headers}"
    writer.write(answer(status, json.dumps({"ok": False, "error": said, "message": said})))


@every_notifier
@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 429, 500])
async def test_no_credential_is_in_any_message(outbound, world, status):
    """A receiver that repeats what it was sent does not make us repeat it."""
    with pytest.raises((Transient, Permanent, Ambiguous)) as failed:
        await _send(outbound, world, partial(_echo, status=status))
    for credential in world.credentials:
        assert credential not in str(failed.value)


@pytest.mark.parametrize("notifier", [Slack, SlackReply])
async def test_no_credential_is_in_what_slack_names_as_error(outbound, notifier):
    """That holds for the failures that come with 200 too."""
    with pytest.raises(Permanent) as failed:
        await _send(outbound, WORLDS[notifier], partial(_echo, status=200))
    for credential in WORLDS[notifier].credentials:
        assert credential not in str(failed.value)


@every_notifier
async def test_a_cancelled_attempt_leaves_nothing_behind(outbound, world):
    """Cancelling passes through at once, and the next attempt works."""
    async with serve(always()) as server:
        notifier = world.make(server.url(""))
        message = _message(notifier, world.names(server.url("")), made=world.made)
        attempt = asyncio.create_task(notifier.send(outbound, message))
        await server.received(1)
        attempt.cancel()
        assert isinstance((await asyncio.gather(attempt, return_exceptions=True))[0], asyncio.CancelledError)
        server.script = always(world.success)
        await notifier.send(outbound, message)


# -------------------------------------------------------------------------------------------------------- callback


def test_callbacks_tell_the_execution():
    """The body is the event that Standard Webhooks describes, about everything but the deliveries of messages."""
    link = Link(url="https://bridge/files/x_1/abc", type="image/png", size=7)
    execution = msgspec.structs.replace(EXECUTION, outputs={"summary": "all good", "shot.png": link})
    body = json.loads(_callback().compose(execution, "qa"))
    assert (body["type"], body["timestamp"]) == ("execution.completed", "2026-03-16T10:04:06.400Z")
    data = body["data"]
    assert set(data) == {field.name for field in msgspec.structs.fields(Execution)} - {"notifications"}
    assert data["progress"] == {"done": 5, "total": 5}
    assert data["outputs"] == {
        "summary": "all good",
        "shot.png": {"url": "https://bridge/files/x_1/abc", "type": "image/png", "size": 7},
    }


def test_callbacks_carry_the_time_of_the_change():
    """Before the end it is the newest entry of the history, or else when the execution was made."""
    review = msgspec.structs.replace(EXECUTION, status=Status.REVIEW_PENDING, finished_at=None)
    assert json.loads(_callback().compose(review, "qa"))["timestamp"] == "2026-03-16T10:04:06.000Z"
    bare = msgspec.structs.replace(review, history=[])
    assert json.loads(_callback().compose(bare, "qa"))["timestamp"] == CREATED


async def test_callbacks_verify_with_the_reference_library(outbound):
    """Each secret of the list signs, so that a receiver with either takes it."""
    other = "whsec_" + "QUJD" * 8
    async with serve(always(answer(200))) as server:
        notifier = _callback(server.url("/in"), secrets=(SIGNING, other))
        now = datetime.now().astimezone().timestamp()
        await notifier.send(outbound, _message(notifier, {}, now=now))
        [request] = server.requests
    assert (request.headers["webhook-id"], request.headers["webhook-timestamp"]) == ("msg_1", str(int(now)))
    for secret in (SIGNING, other):
        assert Webhook(secret).verify(request.body, request.headers)["type"] == "execution.completed"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (302, {}, None),
        (400, {}, None),
        (401, {}, None),
        (404, {"retry-after": "0"}, 1.0),
        (500, {"retry-after": "999999"}, 86_400.0),
        (502, {"retry-after": "soon"}, None),
        (503, {"retry-after": "Mon, 16 Mar 2026 10:02:00 GMT"}, 60.0),
    ],
)
async def test_callbacks_are_tried_again_after_every_other_answer(outbound, status, headers, seconds):
    """Receivers are repaired, so only 410 is the end; Retry-After counts between a second and a day."""
    with pytest.raises(Transient, match=f"HTTP {status}") as failed:
        await _send(outbound, WORLDS[Callback], always(answer(status, "secrets of the inner network", headers)))
    assert failed.value.retry_after == seconds
    assert "inner" not in str(failed.value)


async def test_callbacks_end_with_410(outbound):
    """A receiver that says it is gone is not asked again."""
    with pytest.raises(Permanent, match="HTTP 410"):
        await _send(outbound, WORLDS[Callback], always(answer(410)))


async def test_callbacks_have_a_deadline(outbound):
    """A receiver that does not answer within `timeout` may or may not have it."""
    async with serve(always()) as server:
        notifier = _callback(server.url(), timeout=Duration(milliseconds=100))
        with pytest.raises(Ambiguous, match=r"within 0\.1 s"):
            await notifier.send(outbound, _message(notifier, {}))


async def test_a_callback_url_in_the_configuration_is_not_kept(outbound):
    """It may hold a token; so it is what it is when the message is sent, unless an event had brought another."""
    async with serve(always(answer(200))) as server:
        before, after = _callback(server.url("/a?token=t0ken")), _callback("${{ body.url }}")
        kept = _message(before, {})
        assert "t0ken" not in str(kept)
        await before.send(outbound, kept)
        await before.send(outbound, _message(after, {"body": {"url": server.url("/b")}}))
        assert [request.target for request in server.requests] == ["/a?token=t0ken", "/b"]
        with pytest.raises(Permanent, match="not there any more"):
            await after.send(outbound, kept)


async def test_callbacks_pass_the_guard(outbound):
    """A URL in the configuration too is checked when it is connected to."""
    async with serve(always(answer(200))) as server:
        notifier = _callback(server.url(), allow_cidrs=())
        with pytest.raises(Permanent, match="not allowed"):
            await notifier.send(outbound, _message(notifier, {}))
        assert server.connections == 0


def test_callback_urls_from_events_are_looked_at_when_the_event_is_accepted():
    """The sender hears at once of a URL that cannot be used, without it being repeated."""
    notifier = _callback("${{ body.url }}", allow_hosts=("*.Example.com",), allow_http=False, allow_cidrs=())
    assert notifier.texts()["url"].source == "${{ body.url }}"
    good = "https://ci.example.com/x"
    assert notifier.address({"body": {"url": good}}) == {"url": good}
    for wrong in ("http://ci.example.com/t0ken", "https://evil.example.net/t0ken", "https://ci.example.com:8443/t0ken"):
        with pytest.raises(EvaluationError, match="the callback URL cannot be used") as failed:
            notifier.address({"body": {"url": wrong}})
        assert "t0ken" not in str(failed.value)
    with pytest.raises(EvaluationError, match=r"body\.url is missing"):
        notifier.address({"body": {}})


def test_ports_beside_the_usual_ones_are_listed():
    """443 is open, 80 with allow_http, and what allow_ports lists; a port from an event is none of the operator's."""
    notifier = _callback("${{ body.url }}", allow_cidrs=(), allow_ports=(8443,))
    for good in ("https://ci.example.com/", "https://ci.example.com:8443/", "http://ci.example.com/"):
        assert notifier.address({"body": {"url": good}}) == {"url": good}
    with pytest.raises(EvaluationError, match="port 8080 is not one of allow_ports"):
        notifier.address({"body": {"url": "http://ci.example.com:8080/"}})


def test_callback_urls_in_the_configuration_are_looked_at_when_it_is_read():
    """Their port is the operator's word; their form is not."""
    assert _callback("https://ci.example.com:8443/", allow_http=False, allow_cidrs=()).address({}) == {}
    for wrong in ("http://ci.example.com/", "ci.example.com", "https://u:p@ci.example.com/"):
        with pytest.raises(ValueError, match="the callback URL cannot be used"):
            _callback(wrong, allow_http=False)
    with pytest.raises(ValueError, match="allow_hosts"):
        _callback("https://ci.example.com/", allow_hosts=("*.example.net",))
    with pytest.raises(ValueError, match="allow_cidrs"):
        _callback(allow_cidrs=("everywhere",))


def test_a_receiver_may_not_take_longer_than_the_job_that_asks_it():
    """A timeout beyond that is refused at load."""
    with pytest.raises(ValueError, match="25s at most"):
        _callback("https://ci.example.com", timeout=Duration(seconds=26))


def test_callback_secrets_are_looked_at_when_the_configuration_is_read():
    """A secret that is no key is found at load and not shown; one that was not read is not looked at."""
    with pytest.raises(ValueError, match="env: SECRET") as failed:
        _callback(secrets=("no key at all",))
    assert "no key at all" not in str(failed.value)
    assert Callback(url=Url("https://ci.example.com/"), secrets=[Secret("env: SECRET", None)])


def test_callbacks_tell_what_they_are_told_to():
    """on_status replaces the list of statuses."""
    notifier = _callback(on_status=[Status.FAILED, Status.RUNNING])
    assert [status for status in Status if notifier.wants(status)] == [Status.RUNNING, Status.FAILED]


# ----------------------------------------------------------------------------------------------------------- Slack


def _text_of(body):
    """Return everything of a message that Slack would show."""
    found = json.loads(body)
    parts = [found["text"]]
    for block in found["blocks"]:
        parts += [element["text"] for element in block.get("elements", [block.get("text")])]
    return "\n".join(parts)


def test_slack_tells_the_result():
    """Rule, status, duration, progress, link, reason and outputs are in the message."""
    execution = msgspec.structs.replace(EXECUTION, url="https://g.example.com/r?a=1&b=2|x", reason="so it is")
    shown = _text_of(_slack("https://slack.com").compose(execution, "qa"))
    for part in (
        "*e2e-on-preview*: ✓ completed",
        "template e2e · 5/5 steps · 4 min 5 s · "
        "<!date^1773655446^{date_short_pretty} {time}|2026-03-16T10:04:06.400Z> · "
        "<https://g.example.com/r?a=1&amp;b=2%7Cx|Open>",
        "so it is",
        "summary\nall good",
    ):
        assert part in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${{ outputs.summary }} in ${{ template }}", "all good in e2e"),
        ("${{ status }}: ${{ outputs['shot.png'].url }}", "completed: https://bridge/files/x_1/abc"),
        ("${{ progress.done }} of ${{ progress.total }}", "5 of 5"),
        ("${{ reason | default('no reason') }}", "no reason"),
        ("${{ variables.branch }} <!channel>", "main <!channel>"),
        ("${{ outputs.missing }}", None),
        ("${{ reason }}", None),
    ],
)
def test_every_notifier_may_have_words_of_its_own(text, told):
    """They are made of the execution; where it lacks what they name, the message is what it would be without them."""
    link = Link(url="https://bridge/files/x_1/abc", type="image/png")
    execution = msgspec.structs.replace(EXECUTION, outputs={"summary": "all good", "shot.png": link})
    body = json.loads(_callback(text=Text(text)).compose(execution, "qa"))
    assert body.get("text") == told
    assert body["data"]["outputs"]["summary"] == "all good"
    for notifier in (_slack("https://slack.com"), _reply("https://slack.com")):
        plainly = _text_of(notifier.compose(execution, "qa"))
        shown = _text_of(msgspec.structs.replace(notifier, text=Text(text)).compose(execution, "qa"))
        if told is None:
            assert shown == plainly
        else:
            assert shown.endswith(told.replace("<", "&lt;").replace(">", "&gt;"))
            assert "summary" not in shown
    silent = msgspec.structs.replace(_slack("https://slack.com"), text=Text("${{ '' }}"))
    assert "all good" not in _text_of(silent.compose(execution, "qa"))


def test_slack_links_to_files():
    """With their type and size; a URL that nobody should follow is no link, and no output names what it leads to."""
    outputs = {
        "a|b.png": Link(url="https://bridge/files/x_1/abc", type="image/png", size=123_456),
        "c.bin": Link(url="https://bridge/files/x_1/def"),
        "d": Link(url="javascript:x"),
        "https://bank.example": Link(url="https://evil.example.net/a|https://bank.example>", type="*a*"),
    }
    body = json.loads(_slack("https://slack.com").compose(msgspec.structs.replace(EXECUTION, outputs=outputs), "qa"))
    shown = [
        [element["text"] for element in block.get("elements", [block.get("text")])] for block in body["blocks"][2:]
    ]
    assert shown == [
        ["a|b.png", "image/png", "123,456 bytes"],
        ["<https://bridge/files/x_1/abc|Open>"],
        ["c.bin"],
        ["<https://bridge/files/x_1/def|Open>"],
        ["d"],
        ["javascript:x"],
        ["https://bank.example", "*a*"],
        ["<https://evil.example.net/a%7Chttps://bank.example&gt;|Open>"],
    ]


def test_slack_tells_short_runs_in_seconds():
    """A run of less than a minute has no minutes."""
    execution = msgspec.structs.replace(EXECUTION, finished_at="2026-03-16T10:00:08.000Z", url="javascript:x")
    shown = _text_of(_slack("https://slack.com").compose(execution, "qa"))
    assert "· 7 s" in shown
    assert "javascript" not in shown


@pytest.mark.parametrize("notifier", [_slack("https://slack.com"), _reply("https://slack.com")])
def test_slack_shows_nothing_of_strangers_as_markup(notifier):
    """No text of an event or an engine can ping anybody or disguise a link."""
    evil = "<!channel> <@U1> <https://evil.example.net|https://good.example.com> &lt;"
    execution = msgspec.structs.replace(
        EXECUTION, rule=evil, template=evil, reason=evil, outputs={evil: evil}, url=f"https://x/{evil}"
    )
    body = notifier.compose(execution, "qa")
    shown = _text_of(body)
    assert re.findall(r"<[!@]\w*\^?\d*", shown) == [f"<!date^{FINISHED}"]
    assert shown.count("<") == 2  # our own moment and link
    assert "&amp;lt;" in shown
    for block in json.loads(body)["blocks"]:
        assert all(text["verbatim"] for text in block.get("elements", [block.get("text")]))


MARKUP = st.text(st.sampled_from("<>!@#|*_~`&;: \nhtps/a1\u202e")) | st.text(st.characters(exclude_categories=["Cs"]))


@given(MARKUP, MARKUP, MARKUP)
def test_slack_shows_our_own_words_whatever_others_say(reason, output, text):
    """What others wrote has blocks of its own: it makes nothing bold, struck out or code that we wrote, nor a link."""
    notifier = _slack("https://slack.com")
    url = "https://g.example.com/r"
    benign = msgspec.structs.replace(EXECUTION, url=url, reason="r", outputs={"o": "t"})
    hostile = msgspec.structs.replace(EXECUTION, url=url, reason=reason or "r", outputs={output: text})
    expected, found = (json.loads(notifier.compose(one, "qa"))["blocks"] for one in (benign, hostile))
    assert found[:2] == expected[:2]
    for block in found[2:]:
        [shown] = block.get("elements", [block.get("text")])
        assert not re.search("[<>]", shown["text"])
        assert shown["verbatim"]


@pytest.mark.parametrize("letter", ["x", "&", "😀", "`", "*"])
def test_slack_messages_keep_to_block_kit_limits(letter):
    """However much is said, no text is longer than 3,000 characters, no field than 2,000, all together than 10,000."""
    execution = msgspec.structs.replace(
        EXECUTION,
        rule=letter * 500,
        template=letter * 500,
        reason=letter * 5_000,
        outputs={f"{n}{letter * 500}": letter * 5_000 for n in range(60)},
        url="https://x.example.com/" + "y" * 5_000,
    )
    fields = {f"{n}{letter * 500}": Text("${{ rule }}") for n in range(60)}
    body = json.loads(_slack("https://slack.com", fields=fields).compose(execution, "qa"))
    [section] = [block for block in body["blocks"] if "fields" in block]
    assert len(section["fields"]) == 10
    assert max(len(field["text"]) for field in section["fields"]) <= 2_000
    parts = [block.get("elements") or block.get("fields") or [block["text"]] for block in body["blocks"]]
    texts = [text["text"] for part in parts for text in part]
    assert max(map(len, texts)) <= 3_000
    assert sum(map(len, texts)) <= 10_000
    assert len(body["blocks"]) <= 50
    assert len(body["text"]) <= 3_000
    assert texts[-1] == "and 55 more outputs"


async def test_slack_posts_to_the_channel(outbound):
    """The message goes to chat.postMessage with the token, on a connection of its own, without link previews."""
    async with serve(always(answer(200, b'{"ok":true,"ts":"1.2"}'))) as server:
        notifier = Slack(token=_secret(TOKEN), channel=Text("${{ repo }}"), api_url=server.url("/api/"))
        assert notifier.texts()["channel"].source == "${{ repo }}"
        await notifier.send(outbound, _message(notifier, {"repo": "C7"}))
        [request] = server.requests
    assert (request.target, request.headers["authorization"]) == ("/api/chat.postMessage", f"Bearer {TOKEN}")
    assert request.headers["connection"] == "close"
    sent = json.loads(request.body)
    assert set(sent) == {"channel", "text", "blocks", "unfurl_links"}
    assert (sent["channel"], sent["unfurl_links"]) == ("C7", False)


@pytest.mark.parametrize("sender", [Slack, SlackReply])
@pytest.mark.parametrize("error", "ratelimited internal_error fatal_error request_timeout service_unavailable".split())
async def test_slack_in_trouble_is_tried_again(outbound, sender, error):
    """Slack says 200 to its own failures too, and names them."""
    with pytest.raises(Transient, match=error):
        await _send(outbound, WORLDS[sender], always(answer(200, json.dumps({"ok": False, "error": error}))))


@pytest.mark.parametrize("sender", [Slack, SlackReply])
@pytest.mark.parametrize(
    ("error", "hint"), [("not_in_channel", "invite the app"), ("invalid_auth", "token"), ("invalid_blocks", "blocks")]
)
async def test_slack_refusals_are_permanent(outbound, sender, error, hint):
    """Every other named failure is for a person, with what to do where that is known."""
    with pytest.raises(Permanent, match=f"{error}.*{hint}|{error}$"):
        await _send(outbound, WORLDS[sender], always(answer(200, json.dumps({"ok": False, "error": error}))))


@pytest.mark.parametrize("sender", [Slack, SlackReply])
@pytest.mark.parametrize("status", [302, 400, 403, 413])
async def test_slack_other_statuses_are_permanent(outbound, sender, status):
    """Slack answers plain text to what it does not even read."""
    with pytest.raises(Permanent, match=f"HTTP {status}: invalid_payload"):
        await _send(outbound, WORLDS[sender], always(answer(status, b"invalid_payload")))


@pytest.mark.parametrize(
    "reply",
    [b"", b"ok", b"[]", b"{}", b'{"ok":1}', b'{"ok":false}', b'{"ok":false,"error":7}', b"[" * 50_000, b"<html>"],
)
async def test_slack_answers_that_are_none_are_ambiguous(outbound, reply):
    """200 means nothing without `ok: true`."""
    with pytest.raises(Ambiguous, match="not an answer of Slack's API"):
        await _send(outbound, WORLDS[Slack], always(answer(200, reply)))


async def test_slack_answers_that_cannot_be_read_are_ambiguous(outbound):
    """A compressed answer was not asked for and is not read."""
    packed = answer(200, gzip.compress(b'{"ok":true}'), {"content-encoding": "gzip"})
    with pytest.raises(Ambiguous):
        await _send(outbound, WORLDS[Slack], always(packed))


def test_slack_api_urls_are_checked():
    """A URL that method names cannot be appended to is refused at load."""
    for make in (_slack, _reply):
        with pytest.raises(ValueError, match="the URL cannot be used"):
            make("slack.com")


def test_slack_tells_what_it_is_told_to():
    """By default the start is told, once, as `pending`; on_status replaces the list."""
    assert _slack("https://slack.com").wants(Status.PENDING)
    notifier = _slack("https://slack.com", on_status=[Status.FAILED])
    assert [status for status in Status if notifier.wants(status)] == [Status.FAILED]


# ----------------------------------------------------------------------------------------------------- Slack's reply


def _two_ways(origin, **names):
    return {"response_url": f"{origin}/commands/T/1", "channel": "C1", "user": "U1", **names}


async def test_a_reply_goes_to_the_response_url(outbound):
    """It needs no token, is for everybody to see, and tells nothing that only we need."""
    async with serve(always(answer(200, b"ok"))) as server:
        notifier = _reply(server.url(""), token=None)
        await notifier.send(outbound, _message(notifier, _two_ways(server.url(""))))
        [request] = server.requests
    assert request.target == "/commands/T/1"
    assert "authorization" not in request.headers
    sent = json.loads(request.body)
    assert set(sent) == {"text", "blocks", "response_type", "replace_original"}
    assert (sent["response_type"], sent["replace_original"]) == ("in_channel", False)


@pytest.mark.parametrize("reply", [b"", b"ok", b'{"ok":true}', b'{"anything":1}'])
async def test_a_reply_was_taken_unless_slack_says_no(outbound, reply):
    """What Slack answers to a response URL is not documented: 2xx that is not `ok: false` is success."""
    async with serve(always(answer(200, reply))) as server:
        notifier = _reply(server.url(""), token=None)
        made = await notifier.send(outbound, _message(notifier, _two_ways(server.url(""))))
        assert (len(server.requests), made) == (1, "response_url 1")


@pytest.mark.parametrize(
    "used",
    [
        answer(404, b"used_url"),
        answer(410, b"expired"),
        answer(200, b'{"ok":false,"error":"used_url"}'),
        answer(200, b'{"ok":false,"error":"expired_url"}'),
    ],
)
async def test_a_used_up_response_url_falls_over_to_the_channel(outbound, used):
    """With a token the message is posted to the channel, in the thread it belongs to; without one it is over."""
    posted = answer(200, b'{"ok":true,"channel":"C1","ts":"1.9"}')
    async with serve(in_turn(iter([used, posted, used]))) as server:
        notifier = _reply(server.url(""))
        names = _two_ways(server.url(""), thread_ts="1.5")
        message = msgspec.structs.replace(_message(notifier, names), made="response_url 2")
        assert await notifier.send(outbound, message) == "C1 1.9"
        assert [request.target for request in server.requests] == ["/commands/T/1", "/api/chat.postMessage"]
        sent = json.loads(server.requests[1].body)
        assert set(sent) == {"channel", "thread_ts", "text", "blocks", "unfurl_links"}
        assert (sent["channel"], sent["thread_ts"]) == ("C1", "1.5")
        with pytest.raises(Permanent, match="with a token"):
            await _reply(server.url(""), token=None).send(outbound, _message(notifier, names))


async def test_an_old_response_url_is_not_tried(outbound):
    """After 29 minutes by Redis' clock the URL is as good as expired."""
    async with serve(always(answer(200, b"ok"))) as server:
        notifier, names = _reply(server.url(""), token=None), _two_ways(server.url(""))
        late = NOW - 60 + 29 * 60
        assert await notifier.send(outbound, _message(notifier, names, now=late - 1)) == "response_url 1"
        with pytest.raises(Permanent, match="30 minutes"):
            await notifier.send(outbound, _message(notifier, names, now=late))
        running = msgspec.structs.replace(EXECUTION, status=Status.RUNNING, final=False)
        assert await notifier.send(outbound, _message(notifier, names, running, now=late)) is None
        assert [request.target for request in server.requests] == ["/commands/T/1"]


@pytest.mark.parametrize(
    ("status", "uses", "sent"),
    [
        (Status.QUEUED, 0, False),
        (Status.PENDING, 0, True),
        (Status.RUNNING, 1, True),
        (Status.RUNNING, 2, False),
        (Status.REVIEW_PENDING, 2, True),
        (Status.RUNNING, 3, False),
        (Status.COMPLETED, 3, True),
        (Status.COMPLETED, 4, True),
    ],
)
async def test_a_response_urls_five_messages_are_used_wisely(outbound, status, uses, sent):
    """The start, one progress, a review, the result, and one to spare: progress never takes the result's."""
    async with serve(always(answer(200, b"ok"))) as server:
        notifier = _reply(server.url(""), token=None)
        execution = msgspec.structs.replace(EXECUTION, status=status, final=status.final)
        message = _message(notifier, _two_ways(server.url("")), execution)
        made = f"response_url {uses}" if uses else None
        told = await notifier.send(outbound, msgspec.structs.replace(message, made=made))
        assert told == (f"response_url {uses + 1}" if sent else None)
        assert len(server.requests) == sent


async def test_after_the_fifth_the_result_is_a_dead_letter_that_says_so(outbound):
    """Nothing is sent to a URL that takes no more; the record has the reason, and what would help."""
    async with serve(always(answer(200, b"ok"))) as server:
        notifier = _reply(server.url(""), token=None)
        message = msgspec.structs.replace(_message(notifier, _two_ways(server.url(""))), made="response_url 5")
        with pytest.raises(Permanent, match="used up or older than 30 minutes; with a token"):
            await notifier.send(outbound, message)
        assert server.requests == []


# ------------------------------------------------------------------------------------------------- the living message


def _requests(server):
    return [(request.target.rpartition("/")[2], json.loads(request.body)) for request in server.requests]


async def test_a_message_is_changed_in_its_place(outbound):
    """What was posted is changed by its channel and ts, as Slack gave them; nothing is posted again."""
    async with serve(always(answer(200, b'{"ok":true,"channel":"D9","ts":"17.1"}'))) as server:
        notifier = _slack(server.url(""))
        message = _message(notifier, {})
        made = await notifier.send(outbound, message)
        assert made == "D9 17.1"
        assert await notifier.send(outbound, msgspec.structs.replace(message, made=made)) == made
        (posted, first), (updated, second) = _requests(server)
    assert (posted, updated) == ("chat.postMessage", "chat.update")
    assert (second["channel"], second["ts"]) == ("D9", "17.1")
    assert second["blocks"] == first["blocks"]


@pytest.mark.parametrize("error", ["message_not_found", "cant_update_message", "edit_window_closed"])
async def test_a_message_that_cannot_be_changed_is_written_anew(outbound, error):
    """Somebody deleted it, or it is too old: the news is told all the same."""
    refused = answer(200, json.dumps({"ok": False, "error": error}))
    posted = answer(200, b'{"ok":true,"channel":"C1","ts":"18.2"}')
    async with serve(in_turn(iter([refused, posted]))) as server:
        notifier = _slack(server.url(""))
        message = msgspec.structs.replace(_message(notifier, {}), made="C1 17.1")
        assert await notifier.send(outbound, message) == "C1 18.2"
        assert [kind for kind, _ in _requests(server)] == ["chat.update", "chat.postMessage"]


async def test_in_a_thread_what_changes_stays_to_be_read(outbound):
    """The first message says how it stands, the thread under it how it came to that."""
    async with serve(always(answer(200, b'{"ok":true,"channel":"C1","ts":"17.1"}'))) as server:
        notifier = _slack(server.url(""), thread=True)
        message = msgspec.structs.replace(_message(notifier, {}), made="C1 17.1")
        assert await notifier.send(outbound, message) == "C1 17.1"
        (replied, reply), (updated, _) = _requests(server)
    assert (replied, reply["thread_ts"], updated) == ("chat.postMessage", "17.1", "chat.update")


@pytest.mark.parametrize("told", [{}, {"ts": 5}, {"ts": "1.2 x"}, {"channel": ["C1"], "ts": "1.2"}])
async def test_without_a_usable_ts_the_next_message_is_a_new_one(outbound, told):
    """What Slack does not say cannot be relied on; nothing of its answer is stored as it is."""
    async with serve(always(answer(200, json.dumps({"ok": True, **told})))) as server:
        notifier = _slack(server.url(""))
        assert await notifier.send(outbound, _message(notifier, {})) is None


async def test_a_command_given_where_the_app_is_not_is_answered_by_its_url(outbound):
    """Slash commands work in every channel; the token writes only where the app was invited."""
    refused = answer(200, b'{"ok":false,"error":"not_in_channel"}')
    async with serve(in_turn(iter([refused, answer(200, b"ok"), answer(200, b"ok")]))) as server:
        notifier = _reply(server.url(""))
        message = _message(notifier, _two_ways(server.url("")))
        made = await notifier.send(outbound, message)
        assert made == "response_url 1"
        assert await notifier.send(outbound, msgspec.structs.replace(message, made=made)) == "response_url 2"
        assert [kind for kind, _ in _requests(server)] == ["chat.postMessage", "1", "1"]


async def test_where_the_app_is_not_and_there_is_no_url_it_is_for_a_person(outbound):
    """With what to do."""
    async with serve(always(answer(200, b'{"ok":false,"error":"not_in_channel"}'))) as server:
        notifier = _reply(server.url(""))
        with pytest.raises(Permanent, match="invite the app"):
            await notifier.send(outbound, _message(notifier, {"channel": "C1"}))


def test_fields_are_the_executions():
    """By their names, escaped; one that cannot be made of this execution is left out."""
    fields = {"Branch": Text("${{ variables.branch }}"), "Why": Text("${{ reason }}"), "<x>": Text("<!channel>")}
    notifier = _slack("https://slack.com", fields=fields)
    blocks = json.loads(notifier.compose(EXECUTION, "qa"))["blocks"]
    [section] = [block for block in blocks if "fields" in block]
    assert [field["text"] for field in section["fields"]] == [
        "*Branch*\nmain",
        "*&lt;x&gt;*\n&lt;!channel&gt;",
    ]
    assert notifier.said_texts().keys() == {"fields.Branch", "fields.Why", "fields.<x>"}


def test_fields_stand_beside_what_callbacks_and_githubs_summaries_say():
    """As JSON for programs, as rows of code for people."""
    fields = {"Branch": Text("${{ variables.branch }} @all"), "Why": Text("${{ reason }}")}
    assert json.loads(_callback(fields=fields).compose(EXECUTION, "qa"))["fields"] == {"Branch": "main @all"}
    assert "fields" not in json.loads(_callback(fields={"Why": Text("${{ reason }}")}).compose(EXECUTION, "qa"))
    comment = GitHubComment(token=_secret(TOKEN), fields=fields).compose(EXECUTION, "qa")
    check = GitHubCheck(app_id=7, private_key=_secret(PRIVATE_KEY), fields=fields).compose(EXECUTION, "qa")
    for told in (comment, check):
        assert b"| `Branch` | `main @all` |" in told
        assert b"Why" not in told


def test_a_channel_is_one_lane():
    """About one message a second may be written there, whoever writes; no name of it is shown."""
    one, other = _slack("https://slack.com"), _slack("https://slack.example.com")
    assert one.lane({"channel": "C1"}) == _reply("https://slack.com").lane({"channel": "C1"})
    assert one.lane({"channel": "C1"}) != other.lane({"channel": "C1"})
    assert one.lane({"channel": "C1"}) != one.lane({"channel": "C2"})
    assert one.lane({}) == ""
    assert _reply("https://slack.com", token=None).lane({"channel": "C1"}) == ""


# ------------------------------------------------------------------------------------------------------------ buttons

FOR_ANN = Buttons(users=("U1",))


def _elements(notifier, execution):
    blocks = json.loads(notifier.compose(execution, "qa"))["blocks"]
    return [element for block in blocks if block["type"] == "actions" for element in block["elements"]]


def _press(element, **more):
    value = element["value"]
    action = element["action_id"].removeprefix("gb:")
    notifier, execution = value.split("|")[:2]
    read = {"action": action, "execution_id": execution, "notifier": notifier, "by": "ann (U1)", "value": value}
    return Press(**(read | more))


@pytest.mark.parametrize(
    ("status", "actions"),
    [
        (Status.RUNNING, []),
        (Status.COMPLETED, ["gb:again"]),
        (Status.FAILED, ["gb:again"]),
        (Status.UNKNOWN, ["gb:did_not_run", "gb:close"]),
    ],
)
async def test_buttons_are_there_where_they_can_do_something(outbound, status, actions):
    """And only where the configuration says who may use them; each is one that its notifier knows as its own."""
    execution = msgspec.structs.replace(EXECUTION, status=status, final=status.final)
    notifier = _slack("https://slack.com", buttons=FOR_ANN)
    elements = _elements(notifier, execution)
    assert [element["action_id"] for element in elements] == actions
    assert _elements(_slack("https://slack.com"), execution) == []
    assert _elements(SlackReply(buttons=FOR_ANN), execution) == []
    for element in elements:
        assert len(element["value"]) <= 2_000
        assert TOKEN not in element["value"]
        assert await notifier.allows(outbound, _press(element), "U1", FINISHED + 3600) is None


@pytest.mark.parametrize(("url", "opens"), [("https://g.example.com/r", True), ("javascript:x", False), (None, False)])
def test_a_run_that_can_be_looked_at_has_a_button_for_that(url, opens):
    """Where there are buttons; else, and where a button was used, it is a link."""
    notifier = _slack("https://slack.com", buttons=FOR_ANN)
    execution = msgspec.structs.replace(EXECUTION, url=url)
    found = [element["url"] for element in _elements(notifier, execution) if "url" in element]
    assert found == ([url] if opens else [])
    assert b"|Open>" not in notifier.compose(execution, "qa")
    assert (b"|Open>" in _slack("https://slack.com").compose(execution, "qa")) is opens


async def test_a_button_is_held_to_what_it_says(outbound):
    """Another person, another execution, another order, another key, and a week later: each is refused, with why."""
    notifier = _slack("https://slack.com", buttons=FOR_ANN)
    [again] = _elements(notifier, EXECUTION)
    soon, late = FINISHED + 3600, FINISHED + 7 * 86_400 + 1
    not_ours, too_old, not_you = "that button is not one of ours", "that button is too old", "you are not among"
    for press, user, now, said in (
        (_press(again), "U2", soon, not_you),
        (_press(again), "U1", late, too_old),
        (_press(again, execution_id="x_2"), "U1", soon, not_ours),
        (_press(again, notifier="other"), "U1", soon, not_ours),
        (_press(again, notifier="other", value=again["value"].replace("qa|", "other|")), "U1", soon, not_ours),
        (_press(again, action="close"), "U1", soon, not_ours),
        (_press(again, value=again["value"].replace("|x_", "|y_")), "U1", soon, not_ours),
        (_press(again, value=""), "U1", soon, not_ours),
        (_press(again, value="|" * 50), "U1", soon, not_ours),
    ):
        assert (await notifier.allows(outbound, press, user, now) or "").startswith(said)
    other = Slack(token=_secret("xoxb-another-token"), channel=Text("C1"), buttons=FOR_ANN)
    assert await other.allows(outbound, _press(again), "U1", soon) == not_ours
    assert "no buttons" in await _slack("https://slack.com").allows(outbound, _press(again), "U1", soon)
    assert await _callback().allows(outbound, _press(again), "U1", soon) == "its messages take no orders"


@pytest.mark.parametrize(
    ("buttons", "allowed"),
    [(Buttons(anyone=True), True), (Buttons(groups=("S1",)), True), (Buttons(groups=("S2",)), False)],
)
async def test_groups_are_asked_for_and_everybody_is_everybody(outbound, buttons, allowed):
    """Slack knows who is in a group; what it answers otherwise is nobody."""
    slack = EmulatedSlack(tokens=[TOKEN])
    slack.groups = {"S1": ["U8", "U9"], "S2": ["U8"]}
    async with Server(slack):
        notifier = _slack(slack.url, buttons=buttons)
        [again] = _elements(notifier, EXECUTION)
        assert (await notifier.allows(outbound, _press(again), "U9", FINISHED + 1) is None) is allowed


@pytest.mark.parametrize("reply", [b'{"ok":true}', b'{"ok":true,"users":"U9"}', b'{"ok":true,"users":[7]}'])
async def test_a_group_that_cannot_be_read_is_nobody(outbound, reply):
    """What Slack says of a group is believed only where it is a list that names them."""
    async with serve(always(answer(200, reply))) as server:
        notifier = _slack(server.url(""), buttons=Buttons(groups=("S1",)))
        [again] = _elements(notifier, EXECUTION)
        said = await notifier.allows(outbound, _press(again), "U9", FINISHED + 1)
        assert said == "you are not among those who may use it"


async def test_a_group_that_cannot_be_asked_for_is_an_error(outbound):
    """Whoever pressed hears that it could not be asked; nobody is let in for that."""
    slack = EmulatedSlack(tokens=[TOKEN])
    async with Server(slack):
        notifier = _slack(slack.url, buttons=Buttons(groups=("S3",)))
        [again] = _elements(notifier, EXECUTION)
        with pytest.raises(Permanent, match="no_such_subteam"):
            await notifier.allows(outbound, _press(again), "U9", FINISHED + 1)


async def test_too_many_is_about_the_place(outbound):
    """So whatever else is to be told there waits as well."""
    with pytest.raises(Throttled) as failed:
        await _send(outbound, WORLDS[Slack], always(answer(429, b"", {"retry-after": "30"})))
    assert failed.value.retry_after == 30


@pytest.mark.parametrize("said", [{}, {"anyone": True, "users": ("U1",)}])
def test_buttons_say_who_may_use_them(said):
    """Neither nobody nor, beside some, everybody."""
    with pytest.raises(ValueError, match="who may use the buttons"):
        Buttons(**said)


def test_what_was_done_about_it_stands_in_place_of_the_buttons():
    """By whom and what: so nobody presses what was pressed, and everybody sees it."""
    notifier = _slack("https://slack.com", buttons=FOR_ANN)
    history = [Change("2026-03-16T10:05:06.000Z", Status.COMPLETED)]
    pressed = [*history, Change("2026-03-16T10:06:06.000Z", Status.COMPLETED, "ann (U1): run again as x_2 <!here>")]
    done = msgspec.structs.replace(EXECUTION, history=pressed)
    assert _elements(notifier, done) == []
    assert "ann (U1): run again as x_2 &lt;!here&gt;" in _text_of(notifier.compose(done, "qa"))
    assert len(_elements(notifier, msgspec.structs.replace(EXECUTION, history=history))) == 1


async def test_an_event_without_response_url_is_answered_in_its_channel(outbound):
    """Events other than commands have no response URL."""
    async with serve(always(answer(200, b'{"ok":true}'))) as server:
        notifier = _reply(server.url(""))
        await notifier.send(outbound, _message(notifier, {"channel": "C1"}))
        assert [request.target for request in server.requests] == ["/api/chat.postMessage"]


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/commands/T/1/2",
        "https://hooks.slack.com:443/actions/T/1/2",
        "https://slack.emulated.example.com:8443/commands/1",
    ],
)
def test_response_urls_are_slacks_or_the_configured_origins(url):
    """Slack's host over https is good, and for emulators the origin that api_url names."""
    notifier = _reply("https://slack.emulated.example.com:8443")
    assert notifier.address({"response_url": url}) == {"response_url": url}


async def test_slacks_host_must_be_outside():
    """The name alone does not do: where hooks.slack.com leads inside, a reply is not sent there."""
    async with serve(always(answer(200, b"ok"))) as server, Outbound(resolve=lambda *_: ["127.0.0.1"]) as misled:
        notifier = _reply("https://slack.com", token=None)
        message = _message(notifier, {"response_url": "https://hooks.slack.com/commands/T/1/t0ken"})
        with pytest.raises(Permanent, match="not allowed") as failed:
            await notifier.send(misled, message)
        assert server.connections == 0
    assert "t0ken" not in str(failed.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/commands/t0ken",
        "https://hooks.slack.com:8443/commands/t0ken",
        "https://hooks.slack.com.evil.example.net/t0ken",
        "https://hooks.slack.com@evil.example.net/t0ken",
        "https://evil.example.net/hooks.slack.com/t0ken",
        "https://slack.com.evil.example.net/t0ken",
        "http://169.254.169.254/t0ken",
        "t0ken",
    ],
)
def test_other_response_urls_are_refused(url):
    """A response URL comes with a request, and what is posted there must not go to anybody else."""
    with pytest.raises(EvaluationError, match=r"not one of Slack's") as failed:
        _reply("https://slack.com").address({"response_url": url, "channel": "C1"})
    assert "t0ken" not in str(failed.value)


@pytest.mark.parametrize(
    ("token", "names", "address"),
    [
        (TOKEN, {"channel": "C1", "user": "U1"}, {"channel": "C1"}),
        (TOKEN, {"user": "U1"}, {"channel": "U1"}),
        (TOKEN, {"channel": "", "user": "U1", "thread_ts": "1.5"}, {"channel": "U1", "thread_ts": "1.5"}),
        (TOKEN, {"channel": 7}, None),
        (TOKEN, {}, None),
        (None, {"channel": "C1"}, None),
    ],
)
def test_a_reply_needs_some_way_back(token, names, address):
    """Without a response URL it needs a token and a channel or, failing that, a person."""
    notifier = _reply("https://slack.com", token=token)
    if address is None:
        with pytest.raises(EvaluationError, match="response_url"):
            notifier.address(names)
    else:
        assert notifier.address(names) == address


def test_a_reply_is_for_slack_and_within_the_budget():
    """Only Slack's events can be replied to: a wait, the start, a review and the end."""
    notifier = _reply("https://slack.com")
    assert notifier.sources == frozenset({"slack"})
    assert notifier.in_order
    assert [status for status in Status if notifier.wants(status) and not status.final] == [
        Status.QUEUED,
        Status.PENDING,
        Status.REVIEW_PENDING,
    ]
