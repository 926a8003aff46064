import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook

from bridge.secret import Secret
from bridge.signatures import (
    MAX_SECRETS,
    MAX_SIGNATURES,
    PRESETS,
    Place,
    Scheme,
    Window,
    key_bytes,
    keys,
    sign,
    verify,
    without_credentials,
)

DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "signature_vectors.json").read_text())
HOSTILE = json.loads((DATA / "hostile_signatures.json").read_text())["cases"]
SCHEMES = {
    "github-sha256": PRESETS["github"],
    "slack-v0": PRESETS["slack"],
    "standard-webhooks": PRESETS["standard-webhooks"],
    "generic-hmac sha1 hex prefix sha1=": Scheme(
        signature=Place(header="x-hub-signature", prefix="sha1="), algorithm="sha1"
    ),
    "generic-hmac sha256 hex": Scheme(signature=Place(header="x-signature")),
    # As Stripe signs, to hold the `kv` form: https://docs.stripe.com/webhooks#verify-manually
    "kv": Scheme(
        signature=Place(header="stripe-signature", parse="kv", key="v1", timestamp_key="t"),
        signed="{timestamp}.{body}",
        timestamp=Window(),
    ),
    "kv without time": Scheme(signature=Place(header="x-sig", parse="kv", item_sep=";", kv_sep=":", key="h1")),
    "sha512 base64": Scheme(signature=Place(header="x-sig"), algorithm="sha512", encoding="base64"),
}
NOW = 1_700_000_000
GITHUB, SLACK, STANDARD = (PRESETS[name] for name in ("github", "slack", "standard-webhooks"))
SECRET = b"a secret"
TEXT = st.characters(exclude_categories=["Cs"])


def signed(scheme, body=b"{}", *, at=NOW, secrets=(SECRET,)):
    """Return the headers of a rightly signed request."""
    return sign(scheme, id="msg_1", timestamp=at, body=body, secrets=secrets)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_published_examples_verify(vector):
    """What the senders publish as right is right, and no longer so with another byte, secret or time."""
    scheme = SCHEMES[vector["scheme"]]
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    key, body, now = (
        key_bytes(vector["secret"].encode(), scheme.key_format),
        vector["body"].encode(),
        vector["now"] or 0,
    )
    assert verify(scheme, headers, body, [key], now) is vector["valid"]
    assert not verify(scheme, headers, body + b" ", [key], now)
    assert not verify(scheme, headers, body, [key + b" "], now)
    assert not verify(scheme, {}, body, [key], now)
    assert verify(scheme, headers, body, [key], now + 301) is (scheme.timestamp is None)


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: f"{case['scheme']} {case.get('ts')} {case['sig']}"[:40])
def test_what_makes_other_verifiers_raise_is_simply_wrong(case):
    """Every request that breaks or fools a known verifier is refused, without an exception."""
    scheme, body = SCHEMES[case["scheme"]], bytes.fromhex(case["body_hex"])
    stamp = {"NOW": str(NOW), "NOW+3600": str(NOW + 3600)}.get(case.get("ts"), case.get("ts"))
    headers = {scheme.signature.header: case["sig"]}
    if case["sig"] == "VALID-FOR-TS":
        headers = signed(scheme, body, at=NOW + 3600)
        assert verify(scheme, headers, body, [SECRET], NOW + 3600)
    elif scheme.timestamp is not None:
        headers[scheme.timestamp.header] = stamp
    if scheme.id is not None:
        headers[scheme.id] = case["id"]
    assert verify(scheme, headers, body, [SECRET], NOW) is False


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@given(body=st.binary(), secret=st.binary(min_size=1), identifier=st.text(st.characters(max_codepoint=255)))
def test_what_is_signed_verifies(scheme, body, secret, identifier):
    """Outbound and inbound are one engine: what it signs, it accepts, under any of several secrets."""
    headers = sign(scheme, id=identifier, timestamp=NOW, body=body, secrets=[secret])
    assert verify(scheme, headers, body, [b"other", secret], NOW)
    assert not verify(scheme, headers, body + b"x", [secret], NOW)
    assert not verify(scheme, headers, body, [], NOW)


HEADER = st.text() | st.sampled_from(
    ["v0=", "v1,", "sha256=", "t=1,v1=", "1700000000", "١٢", "1_0", " 5 ", "+7", "9" * 5000]
)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@given(data=st.data(), body=st.binary(), now=st.floats())
def test_any_request_at_all_gets_an_answer(scheme, data, body, now):
    """Verification is total: any headers, bytes and clock end in False, for nothing here is signed."""
    names = st.sampled_from([scheme.signature.header, "x-slack-request-timestamp", "webhook-timestamp", "webhook-id"])
    headers = data.draw(st.dictionaries(names, st.builds("".join, st.lists(HEADER))))
    assert verify(scheme, headers, body, [SECRET], now) is False


@given(st.text(TEXT))
def test_slack_sdk_agrees(body):
    """Slack's own SDK accepts and makes the same signatures."""
    stamp = str(int(time.time()))
    theirs = SignatureVerifier(SECRET.decode())
    headers = sign(SLACK, id="", timestamp=int(stamp), body=body.encode(), secrets=[SECRET])
    assert theirs.is_valid(body, stamp, headers["x-slack-signature"])
    made = theirs.generate_signature(timestamp=stamp, body=body)
    assert made == headers["x-slack-signature"]


@given(st.text(TEXT), st.binary(min_size=24, max_size=64))
def test_standardwebhooks_agrees(text, key):
    """The reference library accepts our messages, under the old and under the new secret, and we accept its."""
    body, now = json.dumps(text), int(time.time())
    secret = base64.b64encode(key).decode()
    headers = sign(STANDARD, id="msg_1", timestamp=now, body=body.encode(), secrets=[b"old", key])
    assert Webhook(secret).verify(body, headers) == text
    assert Webhook(base64.b64encode(b"old").decode()).verify(body, headers) == text
    theirs = Webhook(secret).sign("msg_2", datetime.fromtimestamp(now, tz=UTC), body)
    headers |= {"webhook-id": "msg_2", "webhook-signature": theirs}
    assert verify(STANDARD, headers, body.encode(), [key_bytes(f"whsec_{secret}".encode(), "whsec")], now)


@pytest.mark.parametrize(
    ("moment", "fresh"),
    [(NOW - 300, True), (NOW + 300, True), (NOW - 301, False), (NOW + 301, False), (0, False)],
)
@pytest.mark.parametrize("scheme", [SLACK, STANDARD, SCHEMES["kv"]])
def test_time_is_checked_to_both_sides(scheme, moment, fresh):
    """A signed request from too long ago, or from the future, is not taken."""
    assert verify(scheme, signed(scheme, at=moment), b"{}", [SECRET], NOW) is fresh


@pytest.mark.parametrize(
    "stamp", ["1e9", "+1700000000", " 1700000000", "1_700_000_000", "1700000000.0", "0" * 13, "\xb2"]
)
def test_a_time_is_twelve_digits_at_most_even_if_signed(stamp):
    """What int() would take but no sender writes is refused, however well it is signed."""
    made = hmac.new(SECRET, b"v0:" + stamp.encode("latin-1") + b":{}", hashlib.sha256).hexdigest()
    headers = {"x-slack-signature": f"v0={made}", "x-slack-request-timestamp": stamp}
    assert verify(SLACK, headers, b"{}", [SECRET], NOW) is False


def test_a_time_that_is_checked_must_be_there():
    """A scheme with a time refuses a request without one, even where the time is not part of the text."""
    scheme = Scheme(signature=Place(header="x-sig"), timestamp=Window(header="x-time"))
    headers = signed(scheme)
    assert verify(scheme, headers, b"{}", [SECRET], NOW)
    del headers["x-time"]
    assert not verify(scheme, headers, b"{}", [SECRET], NOW)


def test_an_id_that_is_signed_must_be_there():
    """Without the id that its signature covers, a message is refused."""
    headers = signed(STANDARD)
    del headers["webhook-id"]
    assert not verify(STANDARD, headers, b"{}", [SECRET], NOW)


def test_two_times_in_one_header_are_none():
    """Where the signature header gives two times, neither is believed."""
    value = signed(SCHEMES["kv"])["stripe-signature"]
    assert not verify(SCHEMES["kv"], {"stripe-signature": f"{value},t={NOW}"}, b"{}", [SECRET], NOW)


@pytest.mark.parametrize(
    "spoilt", [str.upper, lambda text: text + "\n", lambda text: f" {text}", lambda text: text[:-1]]
)
def test_signatures_are_decoded_strictly(spoilt):
    """Junk around a signature is not ignored; hex digits may be of either case."""
    prefix, digits = signed(GITHUB)["x-hub-signature-256"].split("=")
    accepted = verify(GITHUB, {"x-hub-signature-256": f"{prefix}={spoilt(digits)}"}, b"{}", [SECRET], NOW)
    assert accepted is (spoilt is str.upper)
    headers = signed(STANDARD)
    headers["webhook-signature"] = "v1," + spoilt(headers["webhook-signature"].removeprefix("v1,"))
    assert not verify(STANDARD, headers, b"{}", [SECRET], NOW)


def test_only_sha256_of_github_counts():
    """GitHub's legacy signature, though right, is not looked at."""
    made = hmac.new(SECRET, b"{}", hashlib.sha1).hexdigest()
    for headers in ({"x-hub-signature": f"sha1={made}"}, {"x-hub-signature-256": f"sha1={made}"}):
        assert not verify(GITHUB, headers, b"{}", [SECRET], NOW)


def test_signatures_and_secrets_are_counted():
    """The last of the allowed signatures and secrets counts, the next ones do not; other versions are not counted."""
    value = signed(STANDARD)["webhook-signature"]
    others = ["v1,AAAA"] * (MAX_SIGNATURES - 1)
    for presented, accepted in (([*others, value], True), ([*others, "v1,AAAA", value], False)):
        headers = signed(STANDARD) | {"webhook-signature": " ".join(["v1a,AAAA", *presented])}
        assert verify(STANDARD, headers, b"{}", [SECRET], NOW) is accepted
    wrong = [b"wrong"] * (MAX_SECRETS - 1)
    assert verify(GITHUB, signed(GITHUB), b"{}", [*wrong, SECRET], NOW)
    assert not verify(GITHUB, signed(GITHUB), b"{}", [*wrong, b"wrong", SECRET], NOW)


def test_an_empty_secret_opens_nothing():
    """Anyone can sign with the empty key, so it verifies nothing and signs nothing."""
    made = hmac.new(b"", b"{}", hashlib.sha256).hexdigest()
    assert not verify(GITHUB, {"x-hub-signature-256": f"sha256={made}"}, b"{}", [b""], NOW)
    for secrets in ([], [b""], [SECRET, b""]):
        with pytest.raises(ValueError, match="nothing to sign with"):
            signed(GITHUB, secrets=secrets)


def test_a_header_with_room_for_one_signature_takes_the_first_secret():
    """Where a scheme has no list of signatures, the first secret signs; a `kv` header takes them all."""
    assert signed(GITHUB, secrets=[b"new", b"old"]) == signed(GITHUB, secrets=[b"new"])
    both = signed(SCHEMES["kv"], secrets=[b"new", b"old"])
    assert both["stripe-signature"].startswith(f"t={NOW},v1=")
    assert verify(SCHEMES["kv"], both, b"{}", [b"old"], NOW)


def test_an_id_must_fit_into_a_header():
    """An id that no header can carry is refused before it is signed."""
    with pytest.raises(ValueError, match="cannot stand in a header"):
        sign(STANDARD, id="\u20ac", timestamp=NOW, body=b"", secrets=[SECRET])


def test_the_scheme_says_what_a_secret_means():
    """The same text is a key in itself or base64 of one; nothing is guessed from its prefix."""
    assert key_bytes(b"whsec_YWJj", "utf8") == b"whsec_YWJj"
    assert key_bytes(b"whsec_YWJj", "whsec") == key_bytes(b"YWJj", "whsec") == b"abc"
    assert key_bytes(b"YWJj", "base64") == b"abc"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_YWJ", "whsec_Y*Jj", "whsec_YW Jj", "whsec_\u00e9"])
def test_a_secret_of_another_format_is_named_but_not_shown(secret):
    """A bad key is told by where it is configured, never by what it is."""
    with pytest.raises(ValueError, match="env: KEY: the secret is not `whsec_` and base64") as caught:
        keys([Secret("env: KEY", secret.encode())], "whsec")
    assert secret.removeprefix("whsec_") not in str(caught.value) or secret == "whsec_"
    with pytest.raises(ValueError, match="the secret is not base64"):
        key_bytes(b"***", "base64")


def test_keys_of_secrets_that_were_never_read_are_not_there():
    """A secret that was not read gives a LookupError, a read one its key."""
    assert keys([Secret("env: KEY", b"abc")]) == [b"abc"]
    with pytest.raises(LookupError):
        keys([Secret("env: KEY", None)])


def test_rules_never_see_credentials():
    """Signatures, tokens and cookies are no headers of an event; the rest is."""
    headers = dict.fromkeys(
        ["authorization", "cookie", "x-api-key", "x-hub-signature", "x-hub-signature-256", "x-slack-signature", "mine"],
        "s",
    )
    assert without_credentials(headers | {"x-id": "7"}, "mine") == {"x-id": "7"}
