import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.errors import EvaluationError, MissingName
from bridge.urls import Url

INSIDE = Url("https://ci.example.com/hooks/${{ body.id }}/done?run=${{ body.run }}&x=1")
HOSTILE = ["../../admin", "a/b", "?x=2", "#f", "@evil", "%2e%2e"]
VALUES = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(HOSTILE)


@given(VALUES, VALUES)
def test_a_value_fills_its_place_and_changes_no_other(first, second):
    """Whatever an event holds: same origin, same number of segments, same parameters, and the values come out whole."""
    assume(first not in (".", ".."))
    url = httpx.URL(INSIDE.render({"body": {"id": first, "run": second}}))
    assert (url.scheme, url.host, url.port, url.fragment) == ("https", "ci.example.com", None, "")
    raw = url.raw_path.decode().partition("?")[0].split("/")
    assert (raw[:2], raw[3:]) == (["", "hooks"], ["done"])
    assert list(url.params.multi_items()) == [("run", second), ("x", "1")]
    assert httpx.URL(f"https://x/{raw[2]}").path == f"/{first}"


@pytest.mark.parametrize("value", [".", ".."])
def test_a_value_cannot_climb(value):
    """Dots cannot be encoded away: `%2e%2e` is `..` to every server."""
    with pytest.raises(EvaluationError, match="lead elsewhere"):
        INSIDE.render({"body": {"id": value, "run": "1"}})
    with pytest.raises(EvaluationError, match="lead elsewhere"):
        Url("https://x.example/${{ a }}${{ a }}/b").render({"a": "."})
    assert Url("https://x.example/v${{ a }}").render({"a": value}) == f"https://x.example/v{value}"


def test_a_value_the_url_begins_with_is_a_url():
    """The event names the receiver then; what follows is still filled in."""
    names = {"body": {"url": "https://x.example/a?b=c", "id": "1/2"}}
    assert Url("${{ body.url }}").render(names) == "https://x.example/a?b=c"
    assert Url("${{ body.url }}").render({"body": {"url": "https://x.example/../a"}}) == "https://x.example/../a"
    assert Url("${{ body.url }}&id=${{ body.id }}").render(names) == "https://x.example/a?b=c&id=1%2F2"


def test_what_is_encoded_already_is_not_encoded_twice():
    """`| urlencode` inside a URL is superfluous, and harmless."""
    assert Url("https://x.example/${{ a | urlencode }}").render({"a": "a b%"}) == "https://x.example/a%20b%25"
    assert Url("https://x.example/${{ [a | urlencode] }}").render({"a": "/"}) == "https://x.example/%5B%22%252F%22%5D"
    assert Url("https://x.example/${{ n }}").render({"n": 3.0}) == "https://x.example/3"


def test_what_is_missing_is_named():
    """As in any text."""
    with pytest.raises(MissingName, match=r"body\.id is missing"):
        INSIDE.render({"body": {"run": "1"}})
    assert Url("https://x.example/${{ a | default('b') }}").render({}) == "https://x.example/b"


def test_the_operators_own_dots_and_broken_urls_are_left_to_who_uses_them():
    """What the configuration spells out is meant; what is no URL at all is refused by the guard."""
    assert Url("https://x.example/a/../${{ b }}").render({"b": "c"}) == "https://x.example/a/../c"
    assert Url("https://[x/${{ b }}").render({"b": "c"}) == "https://[x/c"
    assert Url("https://x.example/../a").render({}) == "https://x.example/../a"
