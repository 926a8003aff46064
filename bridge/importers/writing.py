"""Write names, expressions and YAML scalars so that they are read back as they were meant. Pure."""

import re
from collections.abc import Iterable

from bridge.credentials import is_credential

_STEP = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_INDEX = re.compile(r"[0-9]{1,9}")
_PLAIN = re.compile(r"[A-Za-z0-9(./$_][^\x00-\x1f\x7f]*")
_NOT_PLAIN = re.compile(r": |:$| #|^\s|\s$|[^\x20-\x7e]")
_LIKE_ANOTHER_TYPE = re.compile(r"(?i)true|false|null|~|[-+]?[0-9][0-9_.,:eExX+-]*")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LONGEST_NAME = 50
_CREDENTIAL = re.compile(r"token|secret|password|authorization|signature|api-?key|cookie", re.IGNORECASE)


def name(path: Iterable[str | int]) -> str:
    """Write a path such as ("body", "commits", 0, "id") as an expression."""
    root, *steps = path
    return str(root) + "".join(_step(step) for step in steps)


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _STEP.fullmatch(step) else f"[{literal(step)}]"


def steps(dotted: str) -> list[str | int]:
    """Read `commits.0.id`."""
    return [int(step) if _INDEX.fullmatch(step) else step for step in dotted.split(".")]


def literal(text: str) -> str:
    """Write text as a string of an expression."""
    return "'" + "".join(_escaped(character, "'") for character in text) + "'"


def verbatim(text: str) -> str:
    """Write text so that no `${{` in it is taken for an expression."""
    return f"${{{{ {literal(text)} }}}}" if "${{" in text else text


def scalar(text: str, *, flow: bool = False) -> str:
    """Write text as a YAML scalar that is read as that text; `flow`: also between braces, and where it looks better."""
    plain = _PLAIN.fullmatch(text) and not _NOT_PLAIN.search(text) and not _LIKE_ANOTHER_TYPE.fullmatch(text)
    if plain and not (flow and set(text) & set(",[]{}")):
        return text
    return '"' + "".join(_escaped(character, '"') for character in text) + '"'


def _escaped(character: str, quote: str) -> str:
    if character == quote:
        return f"\\{quote}"
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code < 0xE000:  # noqa: PLR2004 - half a surrogate pair is no character of any file
        return "?" if quote == '"' else f"\\u{code:04x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


def comment(text: str) -> str:
    """Write text so that it can stand in one line of a comment."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


def slug(text: str, otherwise: str) -> str:
    """Make a name of a rule, source or template out of anything."""
    made = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).lstrip("-_")[:_LONGEST_NAME].rstrip("-")
    return made or otherwise


def credential(key: str) -> bool:
    """Say whether a header or parameter of this name is likely to prove who sends."""
    # More than the bridge itself hides: a comparison with it would write a secret down.
    return is_credential(key) or _CREDENTIAL.search(key) is not None


def variable(text: str) -> str:
    """Make the name of an environment variable out of anything."""
    made = re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")[:_LONGEST_NAME]
    # Names that begin with BRIDGE_ are the bridge's own.
    return made if made[:1].isalpha() and not made.startswith("BRIDGE") else f"HOOK_{made}".rstrip("_")
