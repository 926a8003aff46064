"""Signing as a sender does: every source believes it, and a shell with openssl comes to the same signature."""

import shutil
import subprocess
import time

import pytest
from msgspec import structs

from bridge.authentication import Basic, Bearer, Header, Hmac, Nothing
from bridge.contracts import Request
from bridge.expressions import Text
from bridge.scheme import PRESETS, Scheme
from bridge.secret import Secret
from bridge.signatures import keys, verify
from bridge.signing import CannotSign, Signing
from bridge.sources.generic import Generic
from bridge.sources.github import GitHub
from bridge.sources.slack import Slack

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ODD = "p$ss`w\"rd\\ 'x' %s"
ENVIRON = {"KEY": KEY, "ODD": ODD}
BODY = b'{"text": "100 % \\"$HOME\\" `id` \\\\n \xc3\xa9"}'
NOW = 1_700_000_000


def secrets(name):
    return [Secret.decode({"env": name}, ENVIRON), Secret("env: OTHER", b"b3RoZXItc2VjcmV0LW9mLTE2LWJ5dGVz")]


def sources(name):
    return [
        GitHub(secrets=secrets(name)),
        Slack(secrets=secrets(name)),
        Generic(auth=Bearer(secrets=secrets(name))),
        Generic(auth=Basic(username="m$e", secrets=secrets(name))),
        Generic(auth=Header(header="X-Key", secrets=secrets(name))),
        Generic(auth=Hmac(secrets=secrets(name), header="X-Signature", pattern="sha256={signature}")),
        Generic(auth=Hmac(secrets=secrets(name), header="X-Signature", algorithm="sha512", encoding="base64")),
    ]


PRESET_SOURCES = [Generic(auth=Hmac(secrets=secrets("KEY"), preset=preset)) for preset in PRESETS]
SOURCES = [*sources("KEY"), *sources("ODD"), *PRESET_SOURCES]
SCHEMES = [
    *PRESETS.values(),
    Scheme(header="x-signature", pattern="ts={timestamp};v1={signature}", separator=";", signed="{timestamp}.{body}"),
    Scheme(header="x-signature", pattern="v1={signature}", separator=" "),
    Scheme(header="x-signature", signed='"$x`{body}', key_format="base64"),
]


def in_a_shell(signing, body, environ):
    """Return the headers as a POSIX shell computes them."""
    first, headers = signing.shell()
    script = ["body=$(cat)", *first, *(f'printf "%s\\n" "{header}"' for header in headers)]
    for shell in filter(None, (shutil.which("dash"), shutil.which("bash"))):
        run = [shell, "-c", "\n".join(script)]
        own = {"PATH": "/usr/bin:/bin", **environ}
        ran = subprocess.run(run, input=body, env=own, capture_output=True, check=False)
        assert ran.stderr == b""
        yield dict(line.split(": ", 1) for line in ran.stdout.decode().splitlines())


@pytest.mark.parametrize("source", SOURCES, ids=repr)
def test_a_source_believes_what_is_signed_as_its_sender_would(source):
    """And nothing else: another body is refused, but by a bearer."""
    headers = source.signing().headers(BODY, ENVIRON, NOW)
    request = Request(headers=headers, query={}, body=BODY, now=NOW)
    assert source.verify(request)
    tokens = isinstance(source, Generic) and not isinstance(source.auth, Hmac)
    assert source.verify(structs.replace(request, body=b"{}")) is tokens
    assert headers.keys() <= source.signing().proof


@pytest.mark.parametrize("source", SOURCES, ids=repr)
def test_a_source_believes_what_a_shell_signs(source):
    """With the secret from the environment; it does not stand in the script."""
    signing = source.signing()
    assert not any(secret in str(signing.shell()) for secret in ENVIRON.values())
    for headers in in_a_shell(signing, BODY, ENVIRON):
        assert source.verify(Request(headers=headers, query={}, body=BODY, now=time.time()))
        assert headers.keys() == signing.headers(BODY, ENVIRON, NOW).keys()


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_every_scheme_can_be_signed_by_a_shell(scheme):
    """Timestamps and ids, keys in base64, signatures among other items."""
    key = {"utf8": KEY, "whsec": KEY, "base64": KEY.removeprefix("whsec_")}[scheme.key_format]
    signing = Signing(secrets=[Secret("env: K", key.encode())], scheme=scheme)
    for headers in in_a_shell(signing, BODY, {"K": key}):
        assert verify(scheme, headers, BODY, keys(signing.secrets, scheme.key_format), time.time()) == 0


def test_a_source_that_believes_anybody_needs_no_proof():
    """Only an id, so that it is a new event."""
    signing = Generic(auth=Nothing(), allow_unauthenticated=True).signing()
    assert signing.headers(BODY, {}, NOW, "m") == {"idempotency-key": "m"}
    assert signing.shell() == (["id=$(openssl rand -hex 16)"], ["idempotency-key: $id"])


def test_a_token_of_a_scheme_that_signs_too_is_shown():
    """GitLab's secret token: it is no `whsec_` key."""
    source = Generic(auth=Hmac(secrets=secrets("ODD"), preset="gitlab"))
    headers = source.signing().headers(BODY, ENVIRON, NOW, "m")
    assert headers == {"x-gitlab-token": ODD, "idempotency-key": "m"}
    assert source.verify(Request(headers=headers, query={}, body=BODY, now=NOW))


def test_a_secret_may_be_a_file(tmp_path):
    """`{file: PATH}`, whatever its path."""
    path = tmp_path / "the secret's file"
    path.write_text(KEY + "\n")
    secret = Secret(f"file: {path}", None)
    source = GitHub(secrets=[secret])
    read = GitHub(secrets=[secret.read({})])
    for headers in (source.signing().headers(BODY, {}, NOW), *in_a_shell(source.signing(), BODY, {})):
        assert read.verify(Request(headers=headers, query={}, body=BODY, now=NOW))


@pytest.mark.parametrize(
    ("secret", "words"),
    [("GONE", "the environment variable GONE .* is not set"), ("WEAK", "the secret is not `whsec_` and base64")],
)
def test_a_secret_that_cannot_sign_is_named(secret, words):
    """And not shown."""
    source = Generic(auth=Hmac(secrets=[Secret(f"env: {secret}", None)], preset="standard-webhooks"))
    with pytest.raises(CannotSign, match=words) as error:
        source.signing().headers(BODY, {"WEAK": "#weak#"}, NOW)
    assert "#weak#" not in str(error.value)


def test_a_shell_without_the_secret_says_so():
    """Rather than sign with nothing."""
    first, [_, header] = GitHub(secrets=[Secret("env: GONE", None)]).signing().shell()
    script = "\n".join(["body=x", *first, f'printf "%s" "{header}"'])
    run = ["/bin/sh", "-c", script]
    ran = subprocess.run(run, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert "GONE" in ran.stderr


@pytest.mark.parametrize(
    ("source", "event"),
    [
        (GitHub(secrets=secrets("KEY")), "pull_request.closed"),
        (Slack(secrets=secrets("KEY")), "/genesis"),
        (Slack(secrets=secrets("KEY")), "app_mention"),
        (Slack(secrets=secrets("KEY")), "reaction_added"),
        (Slack(secrets=secrets("KEY")), "shortcut:run_e2e"),
        (Slack(secrets=secrets("KEY")), "block_actions"),
        (Slack(secrets=secrets("KEY")), "app_rate_limited"),
        (Generic(auth=Bearer(secrets=secrets("KEY")), event=Text("${{ body.kind }}")), "run"),
        (Generic(auth=Bearer(secrets=secrets("KEY"))), "run"),
    ],
    ids=repr,
)
def test_the_smallest_body_is_an_event_of_its_name(source, event):
    """What `smallest` makes, `packed` sends and `parse` reads."""
    name, _, action = event.partition(".")
    request = source.packed(event, source.smallest(event))
    read = source.parse(request)
    assert (read.name, read.action or "") == (name, action)
    assert source.smallest("") == ({} if not isinstance(source, GitHub) else source.smallest("unheard-of"))
