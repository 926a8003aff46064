"""Text on its way to GitHub: what we did not write is shown as it is, and is nothing but shown. Pure.

In Markdown always as code. No escape would do: GitHub looks for @mentions, #references and links in what is left after
rendering, where an escaped one looks like any other, but never inside code.

https://github.github.com/gfm/#code-spans and #fenced-code-blocks
"""

import re
from urllib.parse import quote

_BACKTICKS = re.compile("`+")
_BREAKS = re.compile("\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_KEPT = "\n\t\u200d"
"""Beside what is printable: the last one joins emoji."""
_CUT = "…"
_UNKNOWN = "\ufffd"
_LONGEST_LINK = 2_000


def code(text: str, limit: int = 1000) -> str:
    """Return one line as a code span, cut to `limit` characters; it may stand in a sentence, a list or a heading."""
    line = _shown(_BREAKS.sub(" ", text), limit).expandtabs(1)
    runs = {len(run) for run in _BACKTICKS.findall(line)}
    fence = "`" * next(length for length in range(1, len(line) + 2) if length not in runs)
    # One space at both ends is taken off, except where there is nothing else; a backtick must not meet the fence.
    padded = line.strip(" ") and (line[0] in " `" or line[-1] in " `")
    return f"{fence} {line} {fence}" if padded else f"{fence}{line or ' '}{fence}"


def cell(text: str, limit: int = 1000) -> str:
    """Return one line as a code span inside a table, where a `|` would begin the next cell even in code."""
    return code(text.replace("\\|", "\\ |"), limit).replace("|", "\\|")


def block(text: str, limit: int = 10_000) -> str:
    """Return the text as a fenced block, cut to `limit` characters, to stand on lines of its own."""
    lines = _shown(_BREAKS.sub("\n", text), limit)
    longest = max((len(run) for run in _BACKTICKS.findall(lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{lines}\n{fence}"


def plain(text: str, limit: int) -> str:
    """Return one line as it is, cut to `limit` characters, for where GitHub reads no Markdown."""
    return _shown(_BREAKS.sub(" ", text), limit).expandtabs(1).strip()


def link(url: str, words: str) -> str:
    """Return a link that says `words`, which are ours; empty where the URL is none that a person should follow."""
    if not url.startswith(("https://", "http://")) or len(url) > _LONGEST_LINK:
        return ""
    # Percent-encoded and between <>, nothing in it ends the link, a table's cell or the line, and no & names a sign.
    target = quote(url, safe="%/:?#[]@!$&'()*+,;=~", errors="replace").replace("&", "&amp;")
    return f"[{words}](<{target}>)"


def _shown(text: str, limit: int) -> str:
    """Return a text without what turns its direction or is not to be seen, cut if it is too long."""
    text = text if len(text) <= limit else text[: limit - len(_CUT)] + _CUT
    return "".join(one if one.isprintable() or one in _KEPT else " " if one.isspace() else _UNKNOWN for one in text)
