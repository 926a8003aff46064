"""Read CEL's text into tokens. Pure."""

import re

from bridge.errors import BridgeError

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>[rR]?(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))|(?P<number>[0-9]+(?:\.[0-9]+)?)(?![\w.])"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>&&|\|\||==|!=|<=|>=|[-!<>+()\[\].,?:]))""",
)
_SIMPLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)


class Untranslatable(BridgeError):
    """Something of another tool that has no equal here; the message says what."""


def tokens(source: str) -> list[tuple[str, str]]:
    """Return each token with its kind, and an end; raises Untranslatable."""
    found_so_far, at, end = [], 0, len(source.rstrip())
    while at < end:
        found = _TOKEN.match(source, at)
        if found is None:
            raise Untranslatable(f"what stands at character {at + 1} is nothing this reads")
        found_so_far.append((str(found.lastgroup), found[str(found.lastgroup)]))
        at = found.end()
    return [*found_so_far, ("end", "")]


def unquoted(token: str) -> str:
    """Return what a string token says; raises Untranslatable."""
    if token[0] in "rR":
        return token[2:-1]

    def unescaped(found: re.Match[str]) -> str:
        escape = found[1]
        if escape[0] in "ux" and len(escape) > 1:
            return chr(int(escape[1:], 16))
        if escape not in _SIMPLE_ESCAPES:
            raise Untranslatable(f"the escape \\{escape}")
        return _SIMPLE_ESCAPES[escape]

    return _ESCAPE.sub(unescaped, token[1:-1])
