"""Text on its way into and out of Slack's mrkdwn: what we did not write may neither ping anybody nor disguise a link.

https://docs.slack.dev/messaging/formatting-message-text/#escaping
"""

import re
from itertools import accumulate, takewhile

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_CHARACTERS = {escape: character for character, escape in _ESCAPES.items()}
_TABLE = str.maketrans(_ESCAPES)
_ESCAPE = re.compile("&(?:amp|lt|gt);")
# What phones and macOS make of the quotes and spaces a person typed.
_PLAIN = str.maketrans(
    {**dict.fromkeys("\u201c\u201d\u201e\u201f", '"'), **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"), "\u00a0": " "}
)
_CUT = "…"


def escape(text: str, limit: int | None = None) -> str:
    """Return the text as Slack shows it literally, in at most `limit` (>= 1) characters if one is given.

    A longer text is cut before it is escaped and ends in `…`: no code point and no `&amp;` is ever cut in two.
    """
    escaped = text.translate(_TABLE)
    if limit is None or len(escaped) <= limit:
        return escaped
    lengths = accumulate(len(_ESCAPES.get(character, character)) for character in text)
    kept = sum(1 for _ in takewhile(lambda length: length <= limit - len(_CUT), lengths))
    return text[:kept].translate(_TABLE) + _CUT


def unescape(text: str) -> str:
    """Return what the sender typed where Slack sends `&amp;`, `&lt;` and `&gt;`; each is read once."""
    return _ESCAPE.sub(lambda found: _CHARACTERS[found[0]], text)


def plain(text: str) -> str:
    """Return the text with smart quotes and non-breaking spaces as a keyboard has them."""
    return text.translate(_PLAIN)
