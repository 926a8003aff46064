import re

from hypothesis import given
from hypothesis import strategies as st

from bridge.mrkdwn import escape, plain, unescape


@given(st.text(), st.none() | st.integers(1, 40))
def test_nothing_that_pings_or_links_survives(text, limit):
    """Whatever the text, its escaped form holds no mention and no link."""
    assert not re.search(r"<!|<@|<#|<http|[<>]", escape(text, limit))


@given(st.text(alphabet=st.sampled_from("<>&a é😀;lt")))
def test_escaping_can_be_undone(text):
    """What was escaped unescapes to itself, text that already looks escaped included."""
    assert unescape(escape(text)) == text


@given(st.text(alphabet=st.sampled_from("<>&ab😀")), st.integers(1, 30))
def test_a_limit_holds_and_cuts_no_escape(text, limit):
    """A cut text fits its limit, ends in an ellipsis and unescapes to a beginning of the original."""
    short = escape(text, limit)
    assert len(short) <= limit
    if short != escape(text):
        assert short.endswith("…")
        kept = unescape(short[:-1])
        assert text.startswith(kept)
        assert escape(kept) == short[:-1]
        assert len(escape(text[: len(kept) + 1])) + 1 > limit


def test_a_text_that_just_fits_is_not_cut():
    """The limit counts escaped characters, and is inclusive."""
    assert escape("a&b", 7) == "a&amp;b"
    assert escape("a&b", 6) == "a…"


def test_unescaping_happens_once():
    """A typed `&lt;`, which Slack sends as `&amp;lt;`, stays what was typed."""
    assert unescape("&amp;lt; &lt;b&gt; &nbsp;") == "&lt; <b> &nbsp;"


def test_smart_quotes_and_hard_spaces_become_plain():
    """What phones make of quotes and spaces is undone."""
    assert plain("\u201ca\u201d\u00a0\u2018b\u2019") == "\"a\" 'b'"
