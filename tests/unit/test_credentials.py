import copy
import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.credentials import Concealed, is_credential, is_hidden, redacted, shown
from bridge.scheme import PRESETS, without_credentials

CREDENTIALS = """
authorization proxy-authorization cookie x-api-key api_key apiKey APIKEY access_token accessToken X-Gitlab-Token
x-hub-signature x-hub-signature-256 x-slack-signature webhook-signature response_url responseUrl client_secret password
x-amz-security-token cf-access-jwt-assertion sig x-vault-token PRIVATE_KEY session_id x-forwarded-access-token
X-Auth-Key
""".split()
OTHERS = """
author x-author idempotency-key webhook-id webhook-timestamp x-github-delivery x-github-event user-agent content-type
key issue_key url sha head signed assignee design authored_date tokenizer x-request-id signal response q url_response
x-auth-request-email
""".split()


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_are_known_by_their_names(name):
    """However the words of a name are put together."""
    assert is_credential(name)
    assert without_credentials({name: "x", "x-id": "y"}) == {"x-id": "y"}


def test_long_names_are_judged_as_well():
    """However long a sender makes them."""
    assert is_credential("x-" * 1000 + "token")
    assert not is_credential("x-" * 1000 + "tokenizer")


@pytest.mark.parametrize("name", OTHERS)
def test_other_names_are_none(name):
    """A word that only begins like one does not count."""
    assert not is_credential(name)


def test_urls_to_call_are_hidden_and_can_be_used():
    """Who knows a callback's URL may call it, so its value is in no record; but it is there for rules."""
    for name in ("callback_url", "callbackUrl", "X-Callback-Url", "webhook_url", "token"):
        assert is_hidden(name)
    assert not is_credential("x-callback-url")
    assert not any(is_hidden(name) for name in ("url", "html_url", "callback", "hook_id"))


def test_every_presets_signature_is_a_credential():
    """A new preset needs no entry in a second list."""
    for scheme in PRESETS.values():
        assert without_credentials({scheme.header: "x", scheme.token or scheme.header: "y", "x-kept": "z"}) == {
            "x-kept": "z"
        }


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("https://u:p@x.example/a?q=1&token=t0#f", "https://(secret)@x.example/a?q=1&token=(secret)#f"),
        (
            "see https://x.example/?sig=abc and https://y.example/?q=b",
            "see https://x.example/?sig=(secret) and https://y.example/?q=b",
        ),
        ("https://x.example/@scope/pkg?a=b@c", "https://x.example/@scope/pkg?a=b@c"),
        ("token=t0", "token=t0"),
        ("postgres://u:p@db/x", "postgres://(secret)@db/x"),
    ],
)
def test_urls_are_shown_without_their_credentials(text, hidden):
    """User names and parameters whose names say so are hidden; the rest of a URL stays."""
    assert redacted(text) == hidden
    assert shown(text) == hidden


@given(st.text(min_size=8).filter(lambda text: "(secret)" not in text and text not in "(secret)"))
def test_a_concealed_text_shows_nowhere(value):
    """It equals what it is, and no way of writing it out writes it."""
    concealed = Concealed(value)
    assert concealed == value
    assert concealed.reveal() == value
    for written in (
        str(concealed),
        repr(concealed),
        f"{concealed}",
        f"{concealed!s:>20}",
        repr([concealed]),
    ):
        assert "(secret)" in written
    for write in (msgspec.json.encode, msgspec.to_builtins, pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            write(concealed)
    assert shown({"a": concealed, "b": 1}) == {"a": "(secret)", "b": 1}
    assert shown([1]) == [1]
