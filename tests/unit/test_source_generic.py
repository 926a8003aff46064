import hashlib
import hmac

import msgspec
import pytest

from bridge.contracts import Request
from bridge.emulators.signing import webhook_signature
from bridge.errors import BadSignature, Malformed, UnsupportedMedia
from bridge.expressions import Text
from bridge.secret import Secret
from bridge.sources.generic import Generic

ENVIRON = {
    "WHSEC": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "NEW": "new-0123456789abcdef",
    "OLD": "ol\u00e9-0123456789abcdef",
    "SHORT": "whsec_*",
}
STANDARD = {"type": "hmac", "preset": "standard-webhooks", "secrets": [{"env": "WHSEC"}]}
HMAC = {"type": "hmac", "header": "X-Signature", "secrets": [{"env": "NEW"}, {"env": "OLD"}]}
BEARER = {"type": "bearer", "secrets": [{"env": "NEW"}, {"env": "OLD"}]}
TOKEN = {"authorization": "Bearer new-0123456789abcdef"}
NEW = ENVIRON["NEW"]
NOW = 1_614_265_330


def source(auth, *, environ=ENVIRON, **settings):
    """Return a source as the configuration describes it."""

    def decode(kind, value):
        return Secret.decode(value, environ) if kind is Secret else kind.decode(value)

    return msgspec.convert({"type": "generic", "auth": auth} | settings, Generic, dec_hook=decode)


def read(body=b"{}", headers=TOKEN, *, auth=BEARER, **settings):
    """Read a request at NOW."""
    return source(auth, **settings).read(Request(headers=headers, query={"q": "1"}, body=body, now=NOW))


def standard(body):
    """Return the headers of a Standard Webhooks message."""
    made = webhook_signature(body, secret=ENVIRON["WHSEC"], message_id="msg_1", timestamp=str(NOW))
    return {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": made}


def test_standard_webhooks_are_read():
    """A Standard Webhooks message is verified, named by its type and known by its id."""
    body = b'{"type": "build.published", "n": 1}'
    event = read(body, standard(body), auth=STANDARD)
    assert (event.name, event.key, event.action) == ("build.published", "msg_1", None)
    assert event.body == {"type": "build.published", "n": 1}
    assert event.headers == {"webhook-id": "msg_1", "webhook-timestamp": str(NOW)}
    assert event.query == {"q": "1"}
    with pytest.raises(BadSignature):
        read(body + b" ", standard(body), auth=STANDARD)


@pytest.mark.parametrize(
    ("more", "algorithm"),
    [
        ({}, "sha256"),
        ({"pattern": "sha1={signature}", "algorithm": "sha1"}, "sha1"),
        ({"algorithm": "sha512"}, "sha512"),
    ],
)
@pytest.mark.parametrize("secret", ["NEW", "OLD"])
def test_a_signature_header_can_be_described(more, algorithm, secret):
    """Header, pattern and algorithm describe a plain HMAC; any of the secrets may have signed."""
    made = hmac.new(ENVIRON[secret].encode(), b"{}", getattr(hashlib, algorithm)).hexdigest()
    headers = {"x-signature": more.get("pattern", "").removesuffix("{signature}") + made, "x-other": "1"}
    assert read(b"{}", headers, auth=HMAC | more).headers == {"x-other": "1"}
    with pytest.raises(BadSignature):
        read(b"[]", headers, auth=HMAC | more)


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        (f"Bearer {NEW}", True),
        (f"bearer   {NEW}", True),
        ("Bearer " + ENVIRON["OLD"].encode().decode("latin-1"), True),
        (f"Bearer {NEW} ", False),
        (f"Bearer {NEW[:-1]}", False),
        (f"Bearer{NEW}", False),
        (f"Basic {NEW}", False),
        (NEW, False),
        ("Bearer \u20ac", False),
        ("", False),
    ],
)
def test_a_bearer_token_is_one_of_the_secrets(header, taken):
    """The token is compared as the bytes that were sent; the scheme's case does not count."""
    if taken:
        assert read(headers={"authorization": header}).headers == {}
    else:
        with pytest.raises(BadSignature):
            read(headers={"authorization": header})


def test_a_configuration_can_be_checked_without_secrets():
    """Where no secret is read, the rest of the settings is checked all the same."""
    assert source(STANDARD, environ=None).auth.preset == "standard-webhooks"


@pytest.mark.parametrize("auth", ["none", {"type": "none"}])
def test_an_open_source_has_to_be_meant(auth):
    """Without authentication nothing loads unless it says so twice; an open source then takes anything."""
    with pytest.raises(msgspec.ValidationError, match="`allow_unauthenticated: true` beside `auth: none`"):
        source(auth)
    event = read(b'{"type": "a"}', {"idempotency-key": "i"}, auth=auth, allow_unauthenticated=True)
    assert (event.name, event.key) == ("a", "i")
    assert source(auth, allow_unauthenticated=True).open
    assert not source(BEARER).open
    with pytest.raises(msgspec.ValidationError, match="is for `auth: none` only"):
        source(BEARER, allow_unauthenticated=True)


GITEA = {"type": "hmac", "preset": "gitea", "secrets": [{"env": "NEW"}]}


def gitea(body=b"{}", **headers):
    """Return the headers of a delivery as Gitea signs it."""
    made = hmac.new(NEW.encode(), body, hashlib.sha256).hexdigest()
    return {"x-gitea-signature": made} | {name.replace("_", "-"): value for name, value in headers.items()}


def test_a_preset_knows_where_event_and_id_stand():
    """The header that a preset's senders name the event in is its name, and their id is the key."""
    event = read(b"{}", gitea(x_gitea_event="push", x_gitea_delivery="g-1"), auth=GITEA)
    assert (event.name, event.key) == ("push", "g-1")
    event = read(b'{"type": "t"}', gitea(b'{"type": "t"}', idempotency_key="i"), auth=GITEA)
    assert (event.name, event.key) == ("t", "i")
    event = read(b"{}", gitea(x_gitea_event="push"), auth=GITEA, event="own")
    assert event.name == "own"


@pytest.mark.parametrize("name", ["", "\xe9", "a\nb", "x" * 129])
def test_a_header_that_names_no_event_is_malformed(name):
    """The header is not signed, so only what can be a name is one."""
    with pytest.raises(Malformed, match="no name"):
        read(b"{}", gitea(x_gitea_event=name), auth=GITEA)


@pytest.mark.parametrize(
    ("body", "name"),
    [(b'{"type": "a.b"}', "a.b"), (b'{"type": 7}', "request"), (b'{"type": ""}', "request"), (b"[1]", "request")],
)
def test_without_a_setting_the_type_names_the_event(body, name):
    """The body's `type` is the event's name where it is text, else the name is `request`."""
    assert read(body).name == name


def test_the_event_can_be_named_from_anywhere():
    """`event:` may use the body, the headers and the query."""
    event = read(b'{"kind": "k"}', TOKEN | {"x-h": "h"}, event="${{ body.kind }}-${{ headers['x-h'] }}-${{ query.q }}")
    assert event.name == "k-h-1"


@pytest.mark.parametrize(("body", "reason"), [(b"{}", "body.kind is missing"), (b'{"kind": ""}', "is empty")])
def test_an_event_that_cannot_be_named_is_malformed(body, reason):
    """A request whose name the setting cannot tell is refused, for no rule could be meant by it."""
    with pytest.raises(Malformed, match=reason):
        read(body, event="${{ body.kind }}")


@pytest.mark.parametrize(
    ("body", "headers", "settings", "key"),
    [
        (b"{}", {}, {}, None),
        (b"{}", {"idempotency-key": "i"}, {}, "i"),
        (b"{}", {"idempotency-key": ""}, {}, None),
        (b'{"id": 7}', {"idempotency-key": "i"}, {"dedupe": "${{ body.id }}"}, "7"),
        (b"{}", {"idempotency-key": "i"}, {"dedupe": "${{ body.id }}"}, None),
        (b'{"id": null}', {}, {"dedupe": "${{ body.id }}"}, None),
        (b'{"id": ""}', {}, {"dedupe": "${{ body.id }}"}, None),
        (b"{}", {"webhook-id": "unsigned"}, {}, None),
    ],
)
def test_a_repeat_is_known_by_the_senders_id(body, headers, settings, key):
    """The setting's value is the key, by default the idempotency key; without one nothing is a repeat."""
    assert read(body, TOKEN | headers, **settings).key == key


def test_expressions_are_told_so_that_they_can_be_checked():
    """The settings that hold expressions are named by their place in the file."""
    texts = source(BEARER, event="${{ body.a }}", dedupe="${{ body.b }}").texts()
    assert {name: text.source for name, text in texts.items()} == {"event": "${{ body.a }}", "dedupe": "${{ body.b }}"}
    assert all(isinstance(text, Text) for text in texts.values())
    assert source(BEARER).texts() == {}


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json; charset=utf-8", b'{"a": 1}', {"a": 1}),
        ("application/cloudevents+json", b"[1]", [1]),
        ("", b"{}", {}),
        ("application/x-www-form-urlencoded", b"a=1&b=", {"a": "1", "b": ""}),
    ],
)
def test_json_and_forms_are_read(content_type, body, expected):
    """JSON of any name, JSON without a name, and forms become the body."""
    assert read(body, TOKEN | {"content-type": content_type}).body == expected


@pytest.mark.parametrize("body", [b"", b"1", b'"a"', b"null", b"{", b"\xff"])
def test_bodies_that_are_no_object_or_list_are_malformed(body):
    """A bare value gives rules nothing to look at, and is refused like what cannot be read."""
    with pytest.raises(Malformed):
        read(body)


def test_other_content_is_not_read():
    """Content of another type is refused by name."""
    with pytest.raises(UnsupportedMedia, match="application/json"):
        read(b"<a/>", TOKEN | {"content-type": "text/xml"})
