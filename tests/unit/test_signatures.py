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
from standardwebhooks.webhooks import WebhookVerificationError
from stripe import SignatureVerificationError, WebhookSignature

from bridge.scheme import PRESETS, Scheme, without_credentials
from bridge.secret import Secret
from bridge.signatures import (
    MAX_SECRETS,
    MAX_SIGNATURES,
    MIN_SECRET_BYTES,
    check_keys,
    key_bytes,
    keys,
    matching,
    sign,
    verify,
)

DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "signature_vectors.json").read_text())
HOSTILE = json.loads((DATA / "hostile_signatures.json").read_text())["cases"]
SCHEMES = {
    "github-sha256": PRESETS["github"],
    "slack-v0": PRESETS["slack"],
    **{name: PRESETS[name] for name in PRESETS if name not in ("github", "slack")},
    "generic-hmac sha1 hex prefix sha1=": Scheme(
        header="x-hub-signature", pattern="sha1={signature}", algorithm="sha1"
    ),
    "generic-hmac sha256 hex": Scheme(header="x-signature"),
    "several without time": Scheme(header="x-sig", pattern="h1:{signature}", separator=";"),
    "text after it": Scheme(header="x-sig", pattern="<{signature}>"),
    "sha512 base64": Scheme(header="x-sig", algorithm="sha512", encoding="base64"),
}
NOW = 1_700_000_000
GITHUB, SLACK, STANDARD, STRIPE = (PRESETS[name] for name in ("github", "slack", "standard-webhooks", "stripe"))
SECRET = b"a secret"
TEXT = st.characters(exclude_categories=["Cs"])


def holds(*arguments):
    """Say whether any of the keys signed."""
    return verify(*arguments) is not None


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
    assert holds(scheme, headers, body, [key], now) is vector["valid"]
    assert not holds(scheme, headers, body + b" ", [key], now)
    assert not holds(scheme, headers, body, [key + b" "], now)
    assert not holds(scheme, {}, body, [key], now)
    assert holds(scheme, headers, body, [key], now + 301) is not scheme.timed


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: f"{case['scheme']} {case.get('ts')} {case['sig']}"[:40])
def test_what_makes_other_verifiers_raise_is_simply_wrong(case):
    """Every request that breaks or fools a known verifier is refused, without an exception."""
    scheme, body = SCHEMES[case["scheme"]], bytes.fromhex(case["body_hex"])
    stamp = {"NOW": str(NOW), "NOW+3600": str(NOW + 3600)}.get(case.get("ts"), case.get("ts"))
    headers = {scheme.header: case["sig"]}
    if case["sig"] == "VALID-FOR-TS":
        headers = signed(scheme, body, at=NOW + 3600)
        assert holds(scheme, headers, body, [SECRET], NOW + 3600)
    elif scheme.timestamp is not None:
        headers[scheme.timestamp] = stamp
    if scheme.id is not None:
        headers[scheme.id] = case.get("id", "1")
    assert holds(scheme, headers, body, [SECRET], NOW) is False


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@given(body=st.binary(), secret=st.binary(min_size=1), identifier=st.text(st.characters(max_codepoint=255)))
def test_what_is_signed_verifies(scheme, body, secret, identifier):
    """Outbound and inbound are one engine: what it signs, it accepts, under any of several secrets."""
    headers = sign(scheme, id=identifier, timestamp=NOW, body=body, secrets=[secret])
    assert holds(scheme, headers, body, [b"other", secret], NOW)
    assert not holds(scheme, headers, body + b"x", [secret], NOW)
    assert not holds(scheme, headers, body, [], NOW)


HEADER = st.text() | st.sampled_from(
    ["v0=", "v1,", "sha256=", "t=1,v1=", "1700000000", "١٢", "1_0", " 5 ", "+7", "9" * 5000]
)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@given(data=st.data(), body=st.binary(), now=st.floats())
def test_any_request_at_all_gets_an_answer(scheme, data, body, now):
    """Verification is total: any headers, bytes and clock end in False, for nothing here is signed."""
    names = st.sampled_from(
        [scheme.header, "x-slack-request-timestamp", "webhook-timestamp", "webhook-id", "svix-timestamp", "svix-id"]
    )
    headers = data.draw(st.dictionaries(names, st.builds("".join, st.lists(HEADER))))
    assert holds(scheme, headers, body, [SECRET], now) is False


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
    assert holds(STANDARD, headers, body.encode(), [key_bytes(f"whsec_{secret}".encode(), "whsec")], now)


@given(st.text(TEXT), st.sampled_from(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "another secret"]))
def test_stripe_agrees(body, secret):
    """Stripe's own library accepts what we sign with the whole secret, under the old and under the new one."""
    headers = sign(STRIPE, id="", timestamp=int(time.time()), body=body.encode(), secrets=[b"old", secret.encode()])
    for one in ("old", secret):
        assert WebhookSignature.verify_header(body, headers["stripe-signature"], one, 300)


def slack_sdk(body, headers):
    """Return the verdict of Slack's SDK."""
    stamp, signature = headers.get("x-slack-request-timestamp"), headers.get("x-slack-signature")
    return SignatureVerifier(SECRET.decode()).is_valid(body, stamp, signature)


def standardwebhooks(body, headers):
    """Return the verdict of the reference library; it reads the body as JSON once the signature holds."""
    try:
        Webhook(base64.b64encode(SECRET).decode()).verify(body, headers)
    except WebhookVerificationError:
        return False
    except json.JSONDecodeError:
        return True
    return True


def stripe(body, headers):
    """Return the verdict of Stripe's library."""
    try:
        return WebhookSignature.verify_header(body.decode(), headers.get("stripe-signature", ""), SECRET.decode(), 300)
    except SignatureVerificationError:
        return False


STAMPS = st.sampled_from([0, -200, 200, -400, 400, -(10**6)])
MANGLED = st.sampled_from(
    [
        lambda value: value,
        lambda value: value[:-1],
        lambda value: value + "\xe9",
        lambda value: value.replace("=", ""),
        lambda value: value.replace("v1", "v2"),
        lambda value: value.replace(",", ""),
        lambda value: value.replace("v", "v0,"),
        lambda value: f"v1,AAAA v1a,AAAA {value}",
        lambda value: f"v1=00,v0=11,{value}",
    ]
)
HEADERS = st.sampled_from(["", "v1", "t=,v1=", "\u20ac"]) | st.none()
BODIES = st.binary() | st.text(TEXT).map(str.encode) | st.just(b"{}")


@pytest.mark.parametrize(("scheme", "theirs"), [(SLACK, slack_sdk), (STANDARD, standardwebhooks), (STRIPE, stripe)])
@given(data=st.data(), body=BODIES, shift=STAMPS, key=st.sampled_from([SECRET, b"another"]), stamp=HEADER | st.none())
def test_the_senders_own_libraries_come_to_the_same_verdict(scheme, theirs, data, body, shift, key, stamp):
    """On random requests the verdict is theirs; where they crash, ours is no, and so it is for times to come."""
    now = time.time()
    headers = sign(scheme, id="msg_1", timestamp=int(now) + shift, body=body, secrets=[key])
    mangled = data.draw(MANGLED)(headers[scheme.header])
    headers[scheme.header] = data.draw(st.just(mangled) | HEADERS.map(lambda text: mangled if text is None else text))
    if stamp is not None and scheme.timestamp is not None:
        headers[scheme.timestamp] = stamp
    ours = holds(scheme, headers, body, [SECRET], now)
    try:
        verdict = theirs(body, headers)
    except Exception:  # noqa: BLE001 - that it raises anything at all is what is looked for
        assert not ours or not body.isascii(), "they read no bytes that are not text, we do"
        return
    assert ours is (verdict and (scheme is not STRIPE or shift <= 300))  # Stripe's looks for old ones only


@pytest.mark.parametrize(
    ("moment", "fresh"),
    [(NOW - 300, True), (NOW + 300, True), (NOW - 301, False), (NOW + 301, False), (0, False)],
)
@pytest.mark.parametrize("scheme", [SLACK, STANDARD, STRIPE])
def test_time_is_checked_to_both_sides(scheme, moment, fresh):
    """A signed request from too long ago, or from the future, is not taken."""
    assert holds(scheme, signed(scheme, at=moment), b"{}", [SECRET], NOW) is fresh


@pytest.mark.parametrize(
    "stamp", ["1e9", "+1700000000", " 1700000000", "1_700_000_000", "1700000000.0", "0" * 13, "\xb2"]
)
def test_a_time_is_twelve_digits_at_most_even_if_signed(stamp):
    """What int() would take but no sender writes is refused, however well it is signed."""
    made = hmac.new(SECRET, b"v0:" + stamp.encode("latin-1") + b":{}", hashlib.sha256).hexdigest()
    headers = {"x-slack-signature": f"v0={made}", "x-slack-request-timestamp": stamp}
    assert holds(SLACK, headers, b"{}", [SECRET], NOW) is False


def test_a_time_that_is_checked_must_be_there():
    """A scheme with a time refuses a request without one, even where the time is not part of the text."""
    scheme = Scheme(header="x-sig", timestamp="x-time")
    headers = signed(scheme)
    assert holds(scheme, headers, b"{}", [SECRET], NOW)
    del headers["x-time"]
    assert not holds(scheme, headers, b"{}", [SECRET], NOW)


def test_an_id_that_is_signed_must_be_there():
    """Without the id that its signature covers, a message is refused."""
    headers = signed(STANDARD)
    del headers["webhook-id"]
    assert not holds(STANDARD, headers, b"{}", [SECRET], NOW)


def test_two_times_in_one_header_are_none():
    """Where the signature header gives two times, neither is believed."""
    value = signed(STRIPE)["stripe-signature"]
    assert not holds(STRIPE, {"stripe-signature": f"{value},t={NOW}"}, b"{}", [SECRET], NOW)


@pytest.mark.parametrize(
    "spoilt", [str.upper, lambda text: text + "\n", lambda text: f" {text}", lambda text: text[:-1]]
)
def test_signatures_are_decoded_strictly(spoilt):
    """Junk around a signature is not ignored; hex digits may be of either case."""
    prefix, digits = signed(GITHUB)["x-hub-signature-256"].split("=")
    accepted = holds(GITHUB, {"x-hub-signature-256": f"{prefix}={spoilt(digits)}"}, b"{}", [SECRET], NOW)
    assert accepted is (spoilt is str.upper)
    headers = signed(STANDARD)
    headers["webhook-signature"] = "v1," + spoilt(headers["webhook-signature"].removeprefix("v1,"))
    assert not holds(STANDARD, headers, b"{}", [SECRET], NOW)


def test_only_sha256_of_github_counts():
    """GitHub's legacy signature, though right, is not looked at."""
    made = hmac.new(SECRET, b"{}", hashlib.sha1).hexdigest()
    for headers in ({"x-hub-signature": f"sha1={made}"}, {"x-hub-signature-256": f"sha1={made}"}):
        assert not holds(GITHUB, headers, b"{}", [SECRET], NOW)


def test_signatures_and_secrets_are_counted():
    """The last of the allowed signatures and secrets counts, the next ones do not; other versions are not counted."""
    value = signed(STANDARD)["webhook-signature"]
    others = ["v1,AAAA"] * (MAX_SIGNATURES - 1)
    for presented, accepted in (([*others, value], True), ([*others, "v1,AAAA", value], False)):
        headers = signed(STANDARD) | {"webhook-signature": " ".join(["v1a,AAAA", *presented])}
        assert holds(STANDARD, headers, b"{}", [SECRET], NOW) is accepted
    wrong = [b"wrong"] * (MAX_SECRETS - 1)
    assert holds(GITHUB, signed(GITHUB), b"{}", [*wrong, SECRET], NOW)
    assert not holds(GITHUB, signed(GITHUB), b"{}", [*wrong, b"wrong", SECRET], NOW)


def test_an_empty_secret_opens_nothing():
    """Anyone can sign with the empty key, so it verifies nothing and signs nothing."""
    made = hmac.new(b"", b"{}", hashlib.sha256).hexdigest()
    assert not holds(GITHUB, {"x-hub-signature-256": f"sha256={made}"}, b"{}", [b""], NOW)
    for secrets in ([], [b""], [SECRET, b""]):
        with pytest.raises(ValueError, match="nothing to sign with"):
            signed(GITHUB, secrets=secrets)


def test_a_header_with_room_for_one_signature_takes_the_first_secret():
    """Where a scheme has no list of signatures, the first secret signs; a `kv` header takes them all."""
    assert signed(GITHUB, secrets=[b"new", b"old"]) == signed(GITHUB, secrets=[b"new"])
    both = signed(STRIPE, secrets=[b"new", b"old"])
    assert both["stripe-signature"].startswith(f"t={NOW},v1=")
    assert holds(STRIPE, both, b"{}", [b"old"], NOW)


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


@pytest.mark.parametrize(
    ("secret", "key_format", "how"),
    [
        (b"x" * (MIN_SECRET_BYTES - 1), "utf8", "openssl rand -hex 32"),
        (b"YWJj", "base64", "openssl rand -base64 32"),
        (b"whsec_YWJj", "whsec", 'echo "whsec_$(openssl rand -base64 32)"'),
    ],
)
def test_a_short_key_is_refused_with_the_way_to_a_better_one(secret, key_format, how):
    """What can be guessed is refused by name and length, and the message says how one is made."""
    with pytest.raises(ValueError, match=r"env: KEY: only [0-9]+ bytes long") as caught:
        check_keys([Secret("env: KEY", secret)], key_format)
    assert f"`{how}`" in str(caught.value)
    assert secret.decode() not in str(caught.value)
    check_keys([Secret("env: KEY", b"x" * MIN_SECRET_BYTES)])


def test_the_key_that_matched_is_told():
    """The first key that signed is named by its place; an empty one never is."""
    assert verify(GITHUB, signed(GITHUB), b"{}", [b"", b"other", SECRET, SECRET], NOW) == 2
    assert matching([b"", b"a", b"b"], [b"", b"b", b"a"]) == 1
    assert matching([b""], [b""]) is None


def test_rules_never_see_credentials():
    """Signatures, tokens and cookies are no headers of an event; the rest is."""
    headers = dict.fromkeys(
        ["authorization", "cookie", "x-api-key", "x-hub-signature", "x-hub-signature-256", "x-slack-signature", "mine"],
        "s",
    )
    assert without_credentials(headers | {"x-id": "7"}, "mine") == {"x-id": "7"}
