"""What people type after a command, split into words: quotes, escapes, dashes and Slack's references. Pure.

Total and linear: any text ends in words, and each character is looked at a fixed number of times.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from bridge.mrkdwn import plain, unescape

# Slack's own brackets: <@U1|name>, <#C1|name>, <!here>, <https://x|label>. People's are escaped.
_REFERENCE = re.compile(r"<([@#!][^<>|\s]*|[a-z][a-z0-9+.-]*:[^<>|\s]*)(?:\|[^<>]*)?>")
_RUN = re.compile(rf"(?:{_REFERENCE.pattern}|\S)*")
_SPACES = re.compile(r"\s*")
_NAMED = re.compile("(?:--|[\u2013\u2014])?([A-Za-z][A-Za-z0-9_-]*)=")
_DOUBLE, _SINGLE = '"\u201c\u201d\u201e\u201f', "'\u2018\u2019\u201a\u201b"
_INSIDE = {
    quote: re.compile(rf"((?:[^{quotes}\\]|\\.)*)[{quotes}]", re.DOTALL)
    for quotes in (_DOUBLE, _SINGLE)
    for quote in quotes
}
"""From behind an opening quote to the closing one of its kind; a backslash keeps what follows it from being one."""
_ESCAPED_QUOTE = re.compile(rf"\\([{_DOUBLE}{_SINGLE}])")
_ESCAPED_INSIDE = re.compile(rf"\\([\\{_DOUBLE}{_SINGLE}])")


class Word(NamedTuple):
    """One word of what somebody typed."""

    text: str
    start: int
    """Where it begins in what was typed, and where it ends."""
    end: int
    name: str | None = None
    """What stands before the `=` of `name=value` or `--name=value`."""
    value: str = ""
    quoted: bool = False
    """Whether it, or its value, begins with a quote."""
    closed: bool = True
    """Whether that quote is closed."""

    @property
    def literal(self) -> bool:
        """Whether quotes around the whole word say that it is no `name=value` and no flag."""
        return self.quoted and self.name is None


def words(typed: str) -> Iterator[Word]:
    r"""Split at spaces outside quotes.

    A quote only opens at the beginning of a word or of a value, the one in `don't` is an apostrophe; `\\"` is a quote
    that neither opens nor closes. Other backslashes stay, for `C:\\temp` is a path.
    """
    at = _end(_SPACES, typed, 0)
    while at < len(typed):
        word = _word(typed, at)
        yield word
        at = _end(_SPACES, typed, word.end)


def free_text(typed: str) -> str:
    """Return a text that is no list of words: as it was typed, but for quotes around the whole of it."""
    text = typed.strip()
    first = _word(text, 0)
    return first.text if first.literal and first.closed and first.end == len(text) else _meant(text)


def _word(typed: str, start: int) -> Word:
    named = _NAMED.match(typed, start)
    begin = named.end() if named else start
    inside, value, closed, at = _INSIDE.get(typed[begin : begin + 1]), "", True, begin
    if inside is not None:
        found = inside.match(typed, begin + 1)
        closed = found is not None
        value, at = (found[1], found.end()) if found else (typed[begin + 1 :], len(typed))
        value = _ESCAPED_INSIDE.sub(r"\1", _meant(value))
    end = _end(_RUN, typed, at)
    value += _ESCAPED_QUOTE.sub(r"\1", _meant(typed[at:end]))
    name = named[1].replace("-", "_") if named else None
    text = f"{named[0]}{value}" if named else value
    return Word(text, start, end, name, value, quoted=inside is not None, closed=closed)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _meant(typed: str) -> str:
    """Return what was typed before Slack turned people, channels and addresses into references and escaped the rest."""
    return plain(unescape(_REFERENCE.sub(lambda found: _referred(found[1]), typed)))


def _referred(reference: str) -> str:
    if reference[0] in "@#":
        return reference[1:]
    if reference[0] == "!":  # <!here>, <!subteam^S1|@qa>
        return reference[1:].rpartition("^")[2]
    return reference.removeprefix("mailto:").removeprefix("tel:")
