from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.bodies import MAX_FORM_FIELDS, MAX_LEVELS, media_type, read_form, read_json, read_object
from bridge.errors import Malformed


@pytest.mark.parametrize(
    ("header", "expected"),
    [("application/JSON; charset=utf-8", "application/json"), (" text/plain ", "text/plain"), ("", "")],
)
def test_media_type_is_read_without_parameters(header, expected):
    """Case, spaces and parameters of a content type do not count."""
    assert media_type({"content-type": header}) == expected


def test_no_content_type_is_an_empty_one():
    """A request without the header has no media type."""
    assert media_type({}) == ""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'"\xff"', "not UTF-8"),
        (b"NaN", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'"\\ud800"', "not JSON"),
        ('"\ud800"', "not UTF-8"),
        (b"[" * 100_000 + b"]" * 100_000, "levels deep"),
        (b"[" * 200 + b"]" * 200, "levels deep"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "levels deep"),
        (b"[" * (MAX_LEVELS + 1) + b"]" * (MAX_LEVELS + 1), "levels deep"),
    ],
    ids=range(12),
)
def test_json_that_cannot_be_read_is_malformed(body, reason):
    """Bad JSON, bad UTF-8 and bottomless nesting each end in one sentence."""
    with pytest.raises(Malformed, match=reason):
        read_json(body)


def test_json_is_read_down_to_the_last_level():
    """The limit of nesting is inclusive, and flat values have no depth."""
    assert read_json(b"[" * MAX_LEVELS + b"]" * MAX_LEVELS)
    assert read_json("1") == 1


def test_an_object_must_be_one():
    """A list where an object is needed is malformed."""
    assert read_object(b'{"a": [1]}') == {"a": [1]}
    with pytest.raises(Malformed, match="not an object"):
        read_object(b"[]")


def test_a_form_is_text_to_text():
    """Blank values are kept, escapes decoded, and the last of equal names wins."""
    assert read_form(b"a=1&a=%C3%A9+x&b=&c") == {"a": "é x", "b": "", "c": ""}


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"\xff=1", "UTF-8"), (b"a=%ff", "UTF-8"), (b"&" * (MAX_FORM_FIELDS + 1), "more than 1000 fields")],
)
def test_a_form_that_cannot_be_read_is_malformed(body, reason):
    """Bytes that are no text, and floods of fields, are refused."""
    with pytest.raises(Malformed, match=reason):
        read_form(body)


@given(st.binary())
def test_any_bytes_end_in_a_value_or_malformed(body):
    """No bytes raise anything but Malformed."""
    for read in (read_json, read_form):
        with suppress(Malformed):
            read(body)
