import pytest

from bridge.outbound import Answer

KEY = "gk_live_0123456789abcdef"


def answer(status=500, body=b"", **headers):
    """Return an answer with these headers."""
    return Answer(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("9" * 5000, 86_400.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 60.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 60.0),
        ("Wed, 21 Oct 2015 07:26:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 86_400.0),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(written, seconds):
    """Retry-After is read in both its forms, is never negative and at most a day; anything else is no wish."""
    assert answer(retry_after=written).retry_after(1445412420.0) == seconds


@pytest.mark.parametrize(("date", "seconds"), [("Wed, 21 Oct 2015 07:27:30 GMT", 30.0), ("yesterday", 60.0)])
def test_a_wish_for_a_date_is_counted_from_the_answers_own_date(date, seconds):
    """So a clock of ours that is off shortens or lengthens no wait; without a readable date ours has to do."""
    assert answer(retry_after="Wed, 21 Oct 2015 07:28:00 GMT", date=date).retry_after(1445412420.0) == seconds


def test_no_retry_after_is_no_wish():
    """Without the header there is no wish."""
    assert answer().retry_after(0) is None


def test_text_is_short_and_never_fails():
    """Bytes that are not UTF-8 are replaced, and the limit counts characters."""
    assert answer(body=b"\xffabc").text(3) == "\ufffdab"
    assert answer(body="ä".encode() * 10).text(4) == "ääää"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"Invalid API key"}', "HTTP 500: Invalid API key"),
        (b'{"success":false,"error":"Invalid API key"}', "HTTP 500: Invalid API key"),
        (b'{"message":"Invalid API key"}', "HTTP 500: Invalid API key"),
        (b'{"error":{"code":7,"message":"Invalid API key"}}', "HTTP 500: Invalid API key"),
        (b'{"error":"","detail":"Invalid API key"}', "HTTP 500: Invalid API key"),
        (b'"Invalid API key"', "HTTP 500: Invalid API key"),
        (b"Invalid API key\nand a stack trace", "HTTP 500: Invalid API key"),
        (b"\r\n\x1b[31m Invalid API key \xe2\x80\xae\r\n", "HTTP 500: [31m Invalid API key"),
        (b'{"code":7}', 'HTTP 500: {"code":7}'),
        (b"[" * 100_000, f"HTTP 500: {'[' * 299}…"),
        (b"\n <!DOCTYPE html><h1>Bad Gateway</h1>", "HTTP 500 (an HTML page)"),
        (b"", "HTTP 500"),
        (b" \n ", "HTTP 500"),
    ],
)
def test_words_are_the_other_ends_own_in_one_line(body, words):
    """The text is found in every shape an error may have, is one printable line, and pages are only named."""
    assert answer(body=body).words() == words


def test_words_hide_what_they_are_told_to():
    """A key that an engine repeats is replaced, also where the line would be cut in the middle of it."""
    assert answer(body=f'{{"error":"no key {KEY} here"}}'.encode()).words(KEY) == "HTTP 500: no key *** here"
    assert "gk_" not in answer(body=b"x" * 290 + KEY.encode() * 3000).words(KEY)
    assert answer(body=b"a cat").words("a") == "HTTP 500: a cat"


def test_words_of_an_encoded_answer_say_so():
    """A refused Content-Encoding is not shown as an empty answer."""
    assert "encoding" in Answer(status=200, headers={}, body=b"", truncated=True).words()
