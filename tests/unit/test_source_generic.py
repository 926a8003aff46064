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

ENVIRON = {"WHSEC": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "NEW": "new", "OLD": "ol\u00e9", "SHORT": "whsec_*"}
STANDARD = {"type": "hmac", "preset": "standard-webhooks", "secrets": [{"env": "WHSEC"}]}
HMAC = {"type": "hmac", "header": "X-Signature", "secrets": [{"env": "NEW"}, {"env": "OLD"}]}
BEARER = {"type": "bearer", "secrets": [{"env": "NEW"}, {"env": "OLD"}]}
TOKEN = {"authorization": "Bearer new"}
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
    [({}, "sha256"), ({"prefix": "sha1=", "algorithm": "sha1"}, "sha1"), ({"algorithm": "sha512"}, "sha512")],
)
@pytest.mark.parametrize("secret", ["NEW", "OLD"])
def test_a_signature_header_can_be_described(more, algorithm, secret):
    """Header, prefix and algorithm describe a plain HMAC; any of the secrets may have signed."""
    made = hmac.new(ENVIRON[secret].encode(), b"{}", getattr(hashlib, algorithm)).hexdigest()
    headers = {"x-signature": more.get("prefix", "") + made, "x-other": "1"}
    assert read(b"{}", headers, auth=HMAC | more).headers == {"x-other": "1"}
    with pytest.raises(BadSignature):
        read(b"[]", headers, auth=HMAC | more)


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("Bearer new", True),
        ("bearer   new", True),
        ("Bearer " + ENVIRON["OLD"].encode().decode("latin-1"), True),
        ("Bearer new ", False),
        ("Bearer ne", False),
        ("Bearernew", False),
        ("Basic new", False),
        ("new", False),
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


def test_an_empty_token_opens_nothing():
    """Even a source made with an empty secret, which no configuration can, takes no request without a token."""
    made = source(BEARER)
    empty = msgspec.structs.replace(made, auth=msgspec.structs.replace(made.auth, secrets=[Secret("env: E", b"")]))
    with pytest.raises(BadSignature):
        empty.read(Request(headers={}, query={}, body=b"{}", now=NOW))


@pytest.mark.parametrize(
    ("auth", "reason"),
    [
        ({"type": "hmac", "secrets": [{"env": "NEW"}]}, "say how requests are signed"),
        (STANDARD | {"header": "x"}, "leave out header"),
        (STANDARD | {"prefix": "", "algorithm": "sha1", "encoding": "hex"}, "leave out prefix, algorithm, encoding"),
        (STANDARD | {"preset": "nobody"}, "Invalid enum value 'nobody'"),
        (STANDARD | {"secrets": [{"env": "SHORT"}]}, "env: SHORT: the secret is not `whsec_` and base64"),
        (HMAC | {"header": "not a header"}, "matching regex"),
        (HMAC | {"secrets": []}, "length >= 1"),
        (HMAC | {"secrets": [{"env": "NEW"}] * 6}, "length <= 5"),
        (HMAC | {"secrets": [{"env": "NOWHERE"}]}, "NOWHERE"),
        (BEARER | {"secrets": []}, "length >= 1"),
        (BEARER | {"header": "x"}, "unknown field"),
        ({"type": "none"}, "Invalid value 'none'"),
    ],
)
def test_authentication_that_cannot_work_is_refused_at_load(auth, reason):
    """Half a description, two at once, and secrets that are none say so when they are loaded."""
    with pytest.raises(msgspec.ValidationError, match=reason):
        source(auth)


def test_a_configuration_can_be_checked_without_secrets():
    """Where no secret is read, the rest of the settings is checked all the same."""
    assert source(STANDARD, environ=None).auth.preset == "standard-webhooks"


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
