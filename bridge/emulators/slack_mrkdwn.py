"""Slack's mrkdwn as HTML: what a person would read, in their own time zone. Everything else is text.

https://docs.slack.dev/messaging/formatting-message-text
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from html import escape
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    ```\n?(?P<fence>.*?)```                                  # nothing inside is formatted
    | `(?P<code>[^`\n]+)`
    | <(?P<reference>[^<>\n]+)>
    | (?<![\w*])\*(?P<bold>[^\s*](?:[^*\n]*[^\s*])?)\*(?![\w*])
    | (?<!\w)_(?P<italic>[^\s_](?:[^_\n]*[^\s_])?)_(?!\w)
    | (?<![\w~])~(?P<strike>[^\s~](?:[^~\n]*[^\s~])?)~(?![\w~])
    | ^(?P<quote>(?:&gt;[^\n]*(?:\n|$))+)
    | (?P<line>\n)
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_QUOTED = re.compile("^&gt; ?", re.MULTILINE)
_ENTITY = re.compile("&(amp|lt|gt);")
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">"}
_DATE = re.compile(r"!date\^(\d{1,11})\^([^^]+)(?:\^(https?://.*))?")
_FORMAT = re.compile(r"\{(\w+)\}")
_LINK = re.compile(r"(?:https?://|mailto:|tel:)")
_DAY = timedelta(days=1)


class Reader(NamedTuple):
    """Who looks at a message: in which time zone (None: this machine's), when, and which people they know by name."""

    zone: tzinfo | None = None
    now: float = 0
    """Epoch seconds; decides what is today."""
    names: Mapping[str, str] = {}
    """Id of a person or channel -> name."""


def html(text: str, reader: Reader) -> str:
    """Return mrkdwn as HTML."""
    parts, at = [], 0
    for found in _TOKEN.finditer(text):
        parts.append(plain(text[at : found.start()]))
        kind = str(found.lastgroup)
        parts.append(_SHOWN[kind](found[kind], reader))
        at = found.end()
    return "".join([*parts, plain(text[at:])])


def plain(text: str) -> str:
    """Return text that is not formatted as HTML, with Slack's three escapes undone first."""
    return escape(_ENTITY.sub(lambda found: _CHARACTERS[found[1]], text))


def moment(seconds: float, wanted: str, reader: Reader) -> str:
    """Return a moment in one of Slack's formats, such as `date_short_pretty`; an unknown one as it is written.

    https://docs.slack.dev/messaging/formatting-message-text#date-formatting
    """
    then = datetime.fromtimestamp(seconds, reader.zone)
    name, pretty = wanted.removesuffix("_pretty"), wanted.endswith("_pretty")
    today = datetime.fromtimestamp(reader.now, reader.zone).date()
    near = {today: "today", today - _DAY: "yesterday", today + _DAY: "tomorrow"}.get(then.date())
    if pretty and near and name in _FORMATS:
        return near
    return _FORMATS[name](then) if name in _FORMATS else f"{{{wanted}}}"


def _tagged(tag: str) -> Callable[[str, Reader], str]:
    return lambda text, reader: f"<{tag}>{html(text, reader)}</{tag}>"


def _quote(text: str, reader: Reader) -> str:
    return f"<blockquote>{html(_QUOTED.sub('', text).rstrip(), reader)}</blockquote>"


def _reference(text: str, reader: Reader) -> str:
    target, _, label = text.partition("|")
    if date := _DATE.fullmatch(target):
        return _date(date, reader)
    if target[0] in "@#":
        name = reader.names.get(target[1:], label or target[1:])
        return f'<span class="mention">{plain(target[0] + name)}</span>'
    if target[0] == "!":
        name = label or "@" + target[1:].partition("^")[0]
        return f'<span class="mention">{plain(name)}</span>'
    if not _LINK.match(target):
        return plain(f"<{text}>")
    return _link(target, plain(label or target.removeprefix("mailto:").removeprefix("tel:")))


def _date(found: re.Match[str], reader: Reader) -> str:
    said = _FORMAT.sub(lambda one: moment(int(found[1]), one[1], reader), found[2])
    return _link(found[3], plain(said)) if found[3] else f"<time>{plain(said)}</time>"


def _link(target: str, shown: str) -> str:
    return f'<a href="{plain(target)}" rel="noreferrer">{shown}</a>'


def _ordinal(day: int) -> str:
    ending = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")  # noqa: PLR2004 - 11th to 13th
    return f"{day}{ending}"


def _clock(then: datetime, seconds: str = "") -> str:
    return f"{then.hour % 12 or 12}:{then:%M}{seconds} {'AM' if then.hour < 12 else 'PM'}"  # noqa: PLR2004 - noon


_FORMATS: Mapping[str, Callable[[datetime], str]] = {
    "date_num": lambda then: f"{then:%Y-%m-%d}",
    "date": lambda then: f"{then:%B} {_ordinal(then.day)}, {then.year}",
    "date_short": lambda then: f"{then:%b} {then.day}, {then.year}",
    "date_long": lambda then: f"{then:%A}, {then:%B} {_ordinal(then.day)}, {then.year}",
    "time": _clock,
    "time_secs": lambda then: _clock(then, f":{then:%S}"),
}
_SHOWN: Mapping[str, Callable[[str, Reader], str]] = {
    "fence": lambda text, _: f"<pre>{plain(text)}</pre>",
    "code": lambda text, _: f"<code>{plain(text)}</code>",
    "reference": _reference,
    "bold": _tagged("b"),
    "italic": _tagged("i"),
    "strike": _tagged("s"),
    "quote": _quote,
    "line": lambda *_: "<br>",
}
