"""What every source promises for any bytes anybody can send; a new source adds its way of signing to SENDERS."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import get_args
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import Acceptance, Reply, Request
from bridge.emulators.signing import github_signature, slack_signature, webhook_signature
from bridge.errors import BadSignature, BodyTimeout, Malformed, Refusal, TooLarge, UnsupportedMedia
from bridge.model import Command, Event
from bridge.outbound import Outbound
from bridge.secret import Secret
from bridge.sources import AnySource
from bridge.sources.generic import Generic
from bridge.sources.github import GitHub
from bridge.sources.slack import Slack

NOW = 1_700_000_000
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"KEY": KEY, "OTHER": "whsec_" + "A" * 32, "EMPTY": "", "SHORT": "whsec_" + "A" * 8}


def _github(body):
    return {"x-github-event": "push", "x-github-delivery": "g-1"} | {
        "x-hub-signature-256": github_signature(body, secret=KEY, algorithm="sha256")
    }


def _slack(body):
    return {
        "x-slack-request-timestamp": str(NOW),
        "x-slack-signature": slack_signature(body, secret=KEY, timestamp=str(NOW)),
    }


def _standard(body):
    made = webhook_signature(body, secret=KEY, message_id="m", timestamp=str(NOW))
    return {"webhook-id": "m", "webhook-timestamp": str(NOW), "webhook-signature": made}


def _described(body):
    return {"x-signature": hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()}


def _bearer(_):
    return {"authorization": f"Bearer {KEY}"}


def _basic(_):
    return {"authorization": "Basic " + base64.b64encode(f"me:{KEY}".encode()).decode()}


def _header(_):
    return {"x-key": KEY}


class Sender(msgspec.Struct, frozen=True):
    """One way to be configured, and how its sender proves itself."""

    settings: dict
    sign: Callable[[bytes], dict[str, str]]
    at: tuple[str, ...] = ()
    """Where in the settings the secrets are."""
    signed: bool = True
    """Whether the proof covers the body."""


SENDERS = {
    "github": Sender({"type": "github"}, _github),
    "slack": Sender({"type": "slack"}, _slack),
    "standard-webhooks": Sender(
        {"type": "generic", "auth": {"type": "hmac", "preset": "standard-webhooks"}}, _standard, ("auth",)
    ),
    "hmac": Sender({"type": "generic", "auth": {"type": "hmac", "header": "X-Signature"}}, _described, ("auth",)),
    "bearer": Sender({"type": "generic", "auth": {"type": "bearer"}}, _bearer, ("auth",), signed=False),
    "basic": Sender({"type": "generic", "auth": {"type": "basic", "username": "me"}}, _basic, ("auth",), signed=False),
    "header": Sender(
        {"type": "generic", "auth": {"type": "header", "header": "X-Key"}}, _header, ("auth",), signed=False
    ),
}
every_sender = pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)


def configured(sender, secrets=({"env": "OTHER"}, {"env": "KEY"})):
    """Return the sender's source, read as from the configuration."""

    def decode(kind, value):
        return Secret.decode(value, ENVIRON) if kind is Secret else kind.decode(value)

    settings = msgspec.json.decode(msgspec.json.encode(sender.settings))
    place = settings
    for step in sender.at:
        place = place[step]
    place["secrets"] = list(secrets)
    return msgspec.convert(settings, AnySource, dec_hook=decode)


SOURCES = {name: configured(sender) for name, sender in SENDERS.items()}
every_source = pytest.mark.parametrize(("name", "sender"), SENDERS.items(), ids=SENDERS)


def read(source, headers, body):
    """Read a request at NOW."""
    return source.read(Request(headers=headers, query={}, body=body, now=NOW))


def test_every_source_has_a_sender_here():
    """No member of the union goes without this suite."""
    assert {type(source) for source in SOURCES.values()} == set(get_args(AnySource)) == {Generic, GitHub, Slack}


@every_sender
@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        ([], "length >= 1"),
        ([{"env": "KEY"}] * 6, "length <= 5"),
        ([{"env": "EMPTY"}], "empty"),
        ([{"env": "KEY"}, {"env": "SHORT"}], "env: SHORT: only [0-9]+ bytes long"),
        (["literal"], "never written"),
    ],
)
def test_secrets_that_protect_nothing_are_refused_at_load(sender, secrets, reason):
    """No secret, an empty one, one written out and more than are tried never get as far as a request."""
    with pytest.raises(msgspec.ValidationError, match=reason):
        configured(sender, secrets)


@every_source
@pytest.mark.parametrize(("content_type", "body"), [(JSON, b'{"a": 1}'), (FORM, b"payload=%7B%7D")])
def test_what_is_rightly_sent_becomes_an_event(name, sender, content_type, body):
    """JSON and forms are read under the second of two secrets; the event keeps no proof and only declared facts."""
    event = read(SOURCES[name], sender.sign(body) | {"content-type": content_type}, body)
    assert isinstance(event, Event)
    assert {fact for fact in event.facts if fact != "files"} <= SOURCES[name].facts.keys()
    assert not {"authorization", "x-signature", "webhook-signature", "x-slack-signature"} & event.headers.keys()
    assert KEY.encode() not in msgspec.json.encode(event)


@every_source
def test_proof_is_needed(name, sender):
    """Without its headers, with any of them missing, spoilt or not ASCII, and over another body: one refusal."""
    proof = {header: value for header, value in sender.sign(b"{}").items() if not header.startswith("x-github")}
    source, media = SOURCES[name], {"content-type": JSON}
    cases = [{}, *({other: proof[other] for other in proof if other != header} for header in proof)]
    for spoilt in (
        "",
        "\xe9",
        "sha256=\xe9",
        "v1,\xe9",
        "v0=\xe9",
        "\x00",
        "\u20ac",
        "\ud800",
        "Bearer \xe9",
        "9" * 5000,
    ):
        cases += [proof | {header: spoilt} for header in proof]
    messages = set()
    for case in cases:
        with pytest.raises(BadSignature) as caught:
            read(source, case | media, b"{}")
        messages.add(str(caught.value))
    if sender.signed:
        with pytest.raises(BadSignature) as caught:
            read(source, proof | media, b"{} ")
        messages.add(str(caught.value))
    assert len(messages) == 1


NESTED = b"[" * 200 + b"]" * 200
BAD_JSON = [b"", b"{", b"[" * 100_000, NESTED, b'{"a":' + NESTED + b"}", b"\xff\xfe", b'{"a": "\xff"}', b'{"a": NaN}']
BAD_JSON += [b'"\\ud800"', b"\xef\xbb\xbf{}", b"null", b"1" * 5000, b'{"a": 1e999999}', b"\x00"]


@every_source
@pytest.mark.parametrize("body", BAD_JSON, ids=range(len(BAD_JSON)))
def test_a_body_that_cannot_be_read_is_malformed(name, sender, body):
    """Broken, bottomless and wrongly encoded JSON, rightly signed, is malformed and no more than that."""
    with pytest.raises(Malformed) as caught:
        read(SOURCES[name], sender.sign(body) | {"content-type": JSON}, body)
    assert str(caught.value)


@every_source
@pytest.mark.parametrize("body", [b"a=%ff", b"\xff=1", b"&" * 2000])
def test_a_form_that_cannot_be_read_is_malformed(name, sender, body):
    """Forms that are no text, or of thousands of fields, are malformed."""
    with pytest.raises(Malformed):
        read(SOURCES[name], sender.sign(body) | {"content-type": FORM}, body)


@every_source
@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "json", "\xe9", ";"])
def test_other_content_is_refused_by_its_type(name, sender, content_type):
    """What a source does not read it says so about; no type at all is JSON only to the generic one."""
    if content_type == ";" and isinstance(SOURCES[name], Generic):
        content_type = "text/html;"
    with pytest.raises(UnsupportedMedia, match="application/json"):
        read(SOURCES[name], sender.sign(b"{}") | {"content-type": content_type}, b"{}")


@every_source
def test_a_body_as_large_as_a_source_takes_is_read_or_refused(name, sender):
    """The largest body of each source, one long text, is an event; junk of that size is malformed."""
    source = SOURCES[name]
    large = b'{"a":"' + b"x" * (source.max_body_bytes - 8) + b'"}'
    assert len(large) == source.max_body_bytes
    assert isinstance(read(source, sender.sign(large) | {"content-type": JSON}, large), Event)
    with pytest.raises(Malformed):
        read(source, sender.sign(large[:-1]) | {"content-type": JSON}, large[:-1])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["type", "ref", "commits", "labels"]), inner)
    ),
    max_leaves=20,
)
TOPS = st.sampled_from(
    "action type challenge event_id ref ref_type after head_commit commits repository pull_request issue release "
    "deployment deployment_status workflow_run check_run merge_group branches sender command text payload".split()
)
OBJECTS = st.dictionaries(
    TOPS, JSON_VALUES | st.dictionaries(st.sampled_from(["head", "labels", "ref", "sha"]), JSON_VALUES)
)
BODIES = st.one_of(
    st.binary(),
    OBJECTS.map(lambda value: json.dumps(value).encode()),
    OBJECTS.map(lambda value: urlencode({"payload": json.dumps(value)}).encode()),
    st.dictionaries(TOPS, st.text(st.characters(exclude_categories=["Cs"]))).map(lambda form: urlencode(form).encode()),
)
TYPES = st.sampled_from([JSON, FORM, "application/x+json", ""]) | st.text(st.characters(max_codepoint=255))
HEADER_NAMES = "x-github-event x-github-delivery webhook-id idempotency-key authorization content-type x-other".split()


@every_source
@given(body=BODIES, content_type=TYPES, data=st.data())
def test_any_signed_request_is_an_event_a_reply_or_a_refusal(name, sender, body, content_type, data):
    """Whatever a rightful sender sends, the source never fails: its event is storable, its refusal has words."""
    proof = sender.sign(body)
    others = st.sampled_from(
        [header for header in HEADER_NAMES if header not in proof or header.startswith("x-github")]
    )
    values = st.text(st.characters(max_codepoint=255))
    headers = {"content-type": content_type} | proof | data.draw(st.dictionaries(others, values))
    try:
        result = read(SOURCES[name], headers, body)
    except BadSignature:
        raise
    except Refusal as caught:
        refusal = caught
    else:
        assert isinstance(result, (Event, Reply))
        assert msgspec.json.encode(result)
        return
    assert str(refusal)
    SOURCES[name].refuse(refusal, Request(headers=headers, query={}, body=body, now=NOW))


@every_source
@given(
    body=BODIES,
    headers=st.dictionaries(st.sampled_from([*HEADER_NAMES, "x-signature", "x-slack-signature"]), st.text()),
)
def test_any_unsigned_request_is_refused(name, sender, body, headers):
    """Whatever a stranger sends is refused as unsigned; only Slack's certificate check is answered, with nothing."""
    try:
        result = read(SOURCES[name], headers, body)
    except BadSignature:
        return
    assert isinstance(SOURCES[name], Slack)
    assert result == Reply(status=200, content_type="text/plain")


@every_source
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b'{"type": "x", "a": [1]}'),
        (FORM, b"payload=%7B%22type%22:%22x%22%7D"),
        (JSON, b'{"type": "event_callback", "event": {"type": "app_mention", "text": "<@U1> e2e", "ts": "1.2"}}'),
        (FORM, b"payload=%7B%22type%22:%22shortcut%22,%22callback_id%22:%22x%22%7D"),
        (FORM, b"command=/x&text=a%26b&token=t&response_url=https://x"),
    ],
)
def test_what_was_stored_can_be_read_again(name, sender, content_type, body):
    """A replay needs no signature, gets the body and headers as they were kept, and finds the same event in them."""
    headers = sender.sign(body) | {"content-type": content_type}
    try:
        event = read(SOURCES[name], headers, body)
    except Malformed:
        assert name == "github"  # a form without `payload`
        return
    kept = body if event.keep is None else event.keep
    again = SOURCES[name].parse(Request(headers=event.headers, query=event.query, body=kept, now=0))
    known = {fact: value for fact, value in event.facts.items() if fact != "response_url"}
    assert (again.name, again.action, again.ignored, again.facts) == (event.name, event.action, event.ignored, known)
    assert (again.keep, again.command, again.press) == (event.keep, event.command, event.press)


@every_source
@pytest.mark.parametrize("outcome", ["accepted", "no_match", "ignored", "duplicate", "rule_error"])
def test_every_outcome_has_an_answer(name, sender, outcome):
    """A source words every outcome itself or leaves it to the common answer."""
    for content_type in (JSON, FORM):
        request = Request(headers={"content-type": content_type}, query={}, body=b"", now=NOW)
        answer = SOURCES[name].answer(Acceptance(delivery_id="d_1", outcome=outcome, reason="why"), request)
        assert answer is None or answer.status == 200


@every_source
def test_a_forged_request_and_a_flood_keep_their_status(name, sender):
    """Whoever words refusals, 401 and 413 stay what they are; the rest is the sender's to read."""
    source = SOURCES[name]
    for content_type in (JSON, FORM):
        request = Request(headers={"content-type": content_type}, query={}, body=b"", now=NOW)
        assert source.refuse(BadSignature(), request) is source.refuse(TooLarge("x"), request) is None
        refused = [source.refuse(refusal, request) for refusal in (Malformed("x"), BodyTimeout("x"))]
        for worded in (*refused, source.unavailable(request)):
            assert worded is None or worded.status == 200


def test_no_source_shows_its_secrets():
    """Neither a source nor its settings in a log give a secret away."""
    assert not [source for source in SOURCES.values() if KEY in repr(source)]


@every_source
async def test_without_a_token_a_source_asks_and_tells_nothing(name, sender):
    """What needs credentials of its own is left out: an event stays as it is, and nobody is answered."""
    source, command = SOURCES[name], Command(name="comment:/run", word="/run", text="", guarded=True)
    facts = {"channel": "C1", "thread_ts": "1.2"}
    event = Event(name="issue_comment", body={"issue": {"pull_request": {}}}, facts=facts, command=command)
    async with Outbound() as outbound:
        assert await source.complete(outbound, event) == event
    assert source.acknowledge(event, "not_run", "words") is None
    assert not source.asks
