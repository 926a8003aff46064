"""Every way in which contracts known in the wild prove a request, each made here by hand and not by our own signer."""

import base64
import hashlib
import hmac
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from bridge import metrics
from bridge.authentication import Basic, Bearer, Header, Hmac, Nothing
from bridge.contracts import Request
from bridge.scheme import PRESETS
from bridge.secret import Secret

NOW = 1_700_000_000
BODY = b'{"a": "\xc3\xa9"}'
RAW = b"0123456789abcdef0123456789abcdef"
WHSEC = "whsec_" + base64.b64encode(RAW).decode()
ENVIRON = {
    "KEY": "a-secret-of-enough-bytes",
    "WHSEC": WHSEC,
    "B64": base64.b64encode(RAW).decode(),
    "OLD": "another-secret-0123456789",
    "OLD_WHSEC": "whsec_" + "A" * 32,
    "SHORT": "too-short",
    "NO_WHSEC": "whsec_***",
}
Auth = Hmac | Bearer | Basic | Header | Nothing


def auth(environ=ENVIRON, **settings):
    """Return a way to prove requests as the configuration describes it."""

    def decode(kind, value):
        return Secret.decode(value, environ) if kind is Secret else kind.decode(value)

    return msgspec.convert(settings, Auth, dec_hook=decode)


def request(headers, body=BODY, now=NOW):
    """Return a request."""
    return Request(headers=headers, query={}, body=body, now=now)


def digest(signed, key=ENVIRON["KEY"], algorithm="sha256", encoding="hex"):
    """Return an HMAC as text."""
    made = hmac.new(key if isinstance(key, bytes) else key.encode(), signed, getattr(hashlib, algorithm)).digest()
    return made.hex() if encoding == "hex" else base64.b64encode(made).decode()


def standard(prefix, key=RAW):
    """Return the three headers of Standard Webhooks and those who took them over."""
    made = digest(b"m-1.%d." % NOW + BODY, key, encoding="base64")
    return {f"{prefix}-id": "m-1", f"{prefix}-timestamp": str(NOW), f"{prefix}-signature": f"v1a,xx v1,AAAA v1,{made}"}


def own(**settings):
    """Return the settings of a scheme without a preset."""
    return {"type": "hmac", "secrets": [{"env": "OLD"}, {"env": "KEY"}], **settings}


def preset(name, secret="KEY", old="OLD"):
    """Return the settings of a preset."""
    return {"type": "hmac", "preset": name, "secrets": [{"env": old}, {"env": secret}]}


T = b"%d" % NOW
# One row for each sender of the table in docs/sources.md: its settings, and a request as that sender makes it.
SENDERS = {
    "Standard Webhooks": (preset("standard-webhooks", "WHSEC", "OLD_WHSEC"), standard("webhook")),
    "Svix": (preset("svix", "WHSEC", "OLD_WHSEC"), standard("svix")),
    "GitLab signing": (preset("gitlab", "WHSEC", "OLD_WHSEC"), standard("webhook")),
    "GitLab token": (preset("gitlab", "KEY"), {"x-gitlab-token": ENVIRON["KEY"], "idempotency-key": "i"}),
    "GitHub": (preset("github"), {"x-hub-signature-256": "sha256=" + digest(BODY)}),
    "Gitea": (preset("gitea"), {"x-gitea-signature": digest(BODY)}),
    "Forgejo": (own(header="X-Forgejo-Signature", id="X-Forgejo-Delivery"), {"x-forgejo-signature": digest(BODY)}),
    "Stripe": (
        preset("stripe", "WHSEC"),
        {"stripe-signature": f"v0=00,t={NOW},v1={'0' * 64},v1={digest(T + b'.' + BODY, WHSEC)}"},
    ),
    "ElevenLabs": (
        own(
            header="ElevenLabs-Signature",
            pattern="t={timestamp},v0={signature}",
            separator=",",
            signed="{timestamp}.{body}",
        ),
        {"elevenlabs-signature": f"t={NOW},v0={digest(T + b'.' + BODY)}"},
    ),
    "Paddle": (
        own(
            header="Paddle-Signature",
            pattern="ts={timestamp};h1={signature}",
            separator=";",
            signed="{timestamp}:{body}",
            tolerance="5s",
        ),
        {"paddle-signature": f"ts={NOW};h1={digest(T + b':' + BODY)}"},
    ),
    "Slack": (
        preset("slack"),
        {"x-slack-signature": "v0=" + digest(b"v0:" + T + b":" + BODY), "x-slack-request-timestamp": str(NOW)},
    ),
    "Shopify": (preset("shopify"), {"x-shopify-hmac-sha256": digest(BODY, encoding="base64")}),
    "WooCommerce": (
        own(header="X-WC-Webhook-Signature", encoding="base64"),
        {"x-wc-webhook-signature": digest(BODY, encoding="base64")},
    ),
    "Vercel": (
        own(header="x-vercel-signature", algorithm="sha1"),
        {"x-vercel-signature": digest(BODY, algorithm="sha1")},
    ),
    "Zendesk": (
        own(
            header="X-Zendesk-Webhook-Signature",
            encoding="base64",
            timestamp="X-Zendesk-Webhook-Signature-Timestamp",
            signed="{timestamp}{body}",
        ),
        {
            "x-zendesk-webhook-signature": digest(T + BODY, encoding="base64"),
            "x-zendesk-webhook-signature-timestamp": str(NOW),
        },
    ),
    "PagerDuty": (
        own(header="X-PagerDuty-Signature", pattern="v1={signature}", separator=","),
        {"x-pagerduty-signature": f"v1={'0' * 64},v1={digest(BODY)}"},
    ),
    "a key in base64": (
        own(header="X-Sig", algorithm="sha512", secret_format="base64", secrets=[{"env": "B64"}]),
        {"x-sig": digest(BODY, RAW, "sha512")},
    ),
    "an id that is signed": (
        own(header="X-Sig", id="X-Id", signed="{id}/{body}"),
        {"x-sig": digest(b"i/" + BODY), "x-id": "i"},
    ),
    "bearer": (
        {"type": "bearer", "secrets": [{"env": "OLD"}, {"env": "KEY"}]},
        {"authorization": f"Bearer {ENVIRON['KEY']}"},
    ),
    "basic": (
        {"type": "basic", "username": "me", "secrets": [{"env": "OLD"}, {"env": "KEY"}]},
        {"authorization": "Basic " + base64.b64encode(f"me:{ENVIRON['KEY']}".encode()).decode()},
    ),
    "header": (
        {"type": "header", "header": "X-Api-Key", "secrets": [{"env": "OLD"}, {"env": "KEY"}]},
        {"x-api-key": ENVIRON["KEY"]},
    ),
}
every_sender = pytest.mark.parametrize(("settings", "headers"), SENDERS.values(), ids=SENDERS)
UNSIGNED = {"x-gitlab-token", "authorization", "x-api-key"}


@every_sender
def test_every_sender_is_believed_as_it_proves_itself(settings, headers):
    """A request made by hand as its sender makes it holds under the second secret; changed in any way it does not."""
    way = auth(**settings)
    assert way.holds(request(headers))
    assert not way.holds(request({}))
    if not UNSIGNED & headers.keys():
        assert not way.holds(request(headers, BODY + b" "))
        assert way.holds(request(headers, now=NOW + 301)) is not way.scheme().timed
        assert way.holds(request(headers, now=NOW - 301)) is not way.scheme().timed
    for name in headers.keys() - {"idempotency-key"}:
        assert not way.holds(request({**headers, name: headers[name][:-2]}))
        for spoilt in ("", "\xe9", "\u20ac", headers[name].swapcase() + "=", "9" * 5000):
            assert not way.holds(request({**headers, name: spoilt}))
        assert not way.holds(request({other: headers[other] for other in headers if other != name}))


@every_sender
def test_every_way_signs_as_it_verifies(settings, headers):
    """What a sender would send is made by the same settings, under the first secret."""
    way = auth(**settings)
    made = way.signing().headers(BODY, ENVIRON, NOW, "m-2")
    assert headers.keys() - {"idempotency-key"} <= made.keys()
    assert way.holds(request(made))
    assert "m-2" in made.values() or way.scheme().id is None


@every_sender
@settings_of_hypothesis(max_examples=30)
@given(data=st.data())
def test_any_request_at_all_gets_an_answer(settings, headers, data):
    """Whatever stands in the headers, nothing is raised; what was not proven does not hold."""
    text = st.text() | st.sampled_from(["Basic =", "Basic \xe9", "Basic " + "A" * 9, "bearer ", "t=1,v1=", "v1,"])
    drawn = data.draw(st.dictionaries(st.sampled_from(sorted(headers)), text))
    assert auth(**settings).holds(request(drawn, data.draw(st.binary()), data.draw(st.floats()))) is False


def test_a_gitlab_signing_token_is_never_shown():
    """A `whsec_` secret signs and is no token, and a token is no key: each counts in its own header only."""
    way = auth(**preset("gitlab", "KEY", "WHSEC"))
    assert not way.holds(request({"x-gitlab-token": WHSEC}))
    assert not way.holds(request(standard("webhook", ENVIRON["KEY"])))
    assert way.holds(request(standard("webhook")))
    assert way.holds(request(standard("webhook")))


def test_a_password_may_have_colons_and_a_name_may_be_of_any_alphabet():
    """Name and password are compared as one text, so no colon is split at a wrong place."""
    environ = {"KEY": "a:password:with:colons"}
    way = auth(environ, type="basic", username="m\u00e9", secrets=[{"env": "KEY"}])
    for pair, right in (
        ("m\u00e9:a:password:with:colons", True),
        ("m\u00e9:a", False),
        ("m\u00e9", False),
        ("", False),
    ):
        shown = base64.b64encode(pair.encode()).decode()
        assert way.holds(request({"authorization": f"basic {shown}"})) is right
    assert not way.holds(request({"authorization": "Bearer x"}))


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "bearer"},
        {"type": "header", "header": "X-Key"},
        {"type": "basic", "username": "me"},
        {"type": "hmac", "preset": "gitlab"},
        {"type": "hmac", "preset": "github"},
    ],
)
def test_secrets_beyond_ascii_are_shown_as_their_bytes(settings):
    """What the signer writes into a header is what the verifier reads out of it, byte for byte."""
    environ = {"KEY": "\u00e9\u20ac-0123456789abcdef"}
    way = auth(environ, **settings, secrets=[{"env": "KEY"}])
    assert way.holds(request(way.signing().headers(BODY, environ, NOW)))


@pytest.mark.parametrize(
    "settings", [{"type": "bearer"}, {"type": "basic", "username": "me"}, {"type": "header", "header": "X-Api-Key"}]
)
def test_an_empty_secret_opens_nothing(settings):
    """Even a secret that became empty, which no configuration can have, believes nobody."""
    way = auth(**settings, secrets=[{"env": "KEY"}])
    way.secrets[0] = Secret("env: GONE", b"")
    for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Basic bWU6"}, {"x-api-key": ""}):
        assert not way.holds(request(headers))


def test_a_secret_that_was_spoilt_since_the_start_opens_nothing():
    """It is passed over, and the next one counts."""
    way = auth(**preset("standard-webhooks", "WHSEC", "OLD_WHSEC"))
    way.secrets[0] = Secret("env: SPOILT", b"whsec_***")
    assert way.holds(request(standard("webhook")))
    assert not way.holds(request(standard("webhook", b"")))


def last_used(reference):
    """Return when a secret was last used, from what is exposed."""
    name = "genesis_bridge_secret_last_used_timestamp_seconds"
    found = re.search(rf'{name}{{secret="{reference}"}} (\S+)', metrics.exposition().decode())
    return found and float(found[1])


@every_sender
def test_the_secret_that_was_used_is_told_by_its_reference(settings, headers):
    """The metric names the secret by where it is configured, says when, and never shows one."""
    environ = {f"{name}_HERE": value for name, value in ENVIRON.items()}
    secrets = [{"env": f"{secret['env']}_HERE"} for secret in settings["secrets"]]
    metrics.SECRET_LAST_USED.clear()
    way = auth(environ, **{**settings, "secrets": secrets})
    assert not way.holds(request({}))
    assert "_HERE" not in metrics.exposition().decode()
    assert way.holds(request(headers))
    assert last_used(f"env: {secrets[-1]['env']}") == NOW
    assert last_used(f"env: {secrets[0]['env']}") in (None, NOW if len(secrets) == 1 else None)
    assert not any(value in metrics.exposition().decode() for value in environ.values())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"type": "hmac", "secrets": [{"env": "KEY"}]}, "say how requests are signed"),
        (preset("standard-webhooks", "WHSEC", "WHSEC") | {"header": "x"}, "leave out header"),
        (
            preset("github") | {"pattern": "", "algorithm": "sha1", "tolerance": "1s"},
            "out pattern, algorithm, tolerance",
        ),
        (preset("nobody"), "Invalid enum value 'nobody'"),
        (preset("svix", "NO_WHSEC", "WHSEC"), "env: NO_WHSEC: the secret is not `whsec_` and base64"),
        (preset("gitlab", "NO_WHSEC"), "env: NO_WHSEC: the secret is not `whsec_` and base64"),
        (preset("gitlab", "SHORT"), "env: SHORT: only 9 bytes long"),
        (own(header="not a header"), "matching regex"),
        (own(header="X-Sig", secrets=[]), "length >= 1"),
        (own(header="X-Sig", secrets=[{"env": "KEY"}] * 6), "length <= 5"),
        (own(header="X-Sig", secrets=[{"env": "NOWHERE"}]), "NOWHERE"),
        (own(header="X-Sig", secrets=[{"env": "SHORT"}]), "openssl rand -hex 32"),
        (own(header="X-Sig", pattern="sha256="), "one {signature} with the text around it"),
        (own(header="X-Sig", pattern="{signature}{signature}"), "one {signature} with the text around it"),
        (own(header="X-Sig", pattern="{Signature}"), "one {signature} with the text around it"),
        (own(header="X-Sig", pattern="{signature},{body}", separator=","), "one {signature} with the text around it"),
        (own(header="X-Sig", pattern="t={timestamp},v1={signature}"), "`separator` says what divides them"),
        (own(header="X-Sig", pattern="a={signature},b={signature}", separator=","), "one {signature}"),
        (own(header="X-Sig", signed="{timestamp}"), "`signed` holds {body}"),
        (own(header="X-Sig", signed="{body}{url}"), "{timestamp} and {id} only"),
        (own(header="X-Sig", signed="{body}{id}"), "`id` has to name its header"),
        (own(header="X-Sig", signed="{timestamp}{body}"), "named and signed, or neither"),
        (own(header="X-Sig", timestamp="X-Time"), "named and signed, or neither"),
        (
            own(
                header="X-Sig",
                pattern="{timestamp},{signature}",
                separator=",",
                timestamp="X-Time",
                signed="{timestamp}{body}",
            ),
            "not in both",
        ),
        (own(header="X-Sig", tolerance="5m"), "`tolerance` is how far a signed `timestamp` may be"),
        (own(header="X-Sig", timestamp="X-Time", signed="{timestamp}{body}", tolerance="2d"), "1d at most"),
        ({"type": "bearer", "secrets": []}, "length >= 1"),
        ({"type": "bearer", "secrets": [{"env": "SHORT"}]}, "env: SHORT: only 9 bytes"),
        ({"type": "bearer", "secrets": [{"env": "KEY"}], "header": "x"}, "unknown field"),
        ({"type": "basic", "secrets": [{"env": "KEY"}]}, "username"),
        ({"type": "basic", "username": "a:b", "secrets": [{"env": "KEY"}]}, "matching regex"),
        ({"type": "header", "secrets": [{"env": "KEY"}]}, "header"),
        ({"type": "nobody"}, "Invalid value 'nobody'"),
    ],
)
def test_authentication_that_cannot_work_is_refused_at_load(settings, reason):
    """Half a description, two at once, what proves nothing, and secrets that are none say so when they are loaded."""
    with pytest.raises(msgspec.ValidationError, match=re.escape(reason).replace(r"`\,", "`,")):
        auth(**settings)


@every_sender
def test_a_configuration_can_be_checked_without_secrets(settings, headers):
    """Where no secret is read, the rest of the settings is checked all the same."""
    assert auth(None, **settings)


def test_every_preset_has_its_sender_here_and_describes_what_can_work():
    """The table is complete, and each row would pass as somebody's own description."""
    assert {settings.get("preset") for settings, _ in SENDERS.values()} >= PRESETS.keys()
    assert [scheme.problem() for scheme in PRESETS.values()] == [None] * len(PRESETS)
    assert auth(type="none").holds(request({}))
    assert auth(type="none").signing().headers(BODY, {}, NOW, "m") == {"idempotency-key": "m"}
