"""Text from outside on its way to a terminal: it may say anything, and drive nothing. Pure."""

import json

_KEPT = "\n\t"


def plain(text: str, kept: str = _KEPT) -> str:
    """Return the text with everything but printable characters (and `kept`) written as an escape.

    That takes in what moves the cursor, sets the title or the clipboard, and what turns the direction of a line
    (https://trojansource.codes).
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in kept else _escaped(one) for one in text)


def line(text: str) -> str:
    """Return the text as one line."""
    return plain(text, kept="")


def json_text(text: str) -> str:
    """Return a JSON document that says the same in printable characters."""
    return "".join(one if one.isprintable() or one in _KEPT else json.dumps(one)[1:-1] for one in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
