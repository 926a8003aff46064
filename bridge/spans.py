"""Where the names of a condition stand in its text, so that what each of them was can be written below it. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

_PIECE = re.compile(
    r"""(?P<literal>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<path>[^\W\d]\w*(?:\.\w+|\[(?:'[^']*'|"[^"]*"|-?\d+)\])*)""",
    re.VERBOSE,
)
# `| title` and `is defined` are no names, whatever the event carries.
_NO_NAME_AFTER = re.compile(r"(?:\||\.|\bis|\bis\s+not)\s*$")


class Span(NamedTuple):
    """One place where a name stands."""

    start: int
    end: int
    name: str


def spans(text: str, names: Iterable[str]) -> list[Span]:
    """Return every place of the names (as `dotted` writes them) in an expression, from left to right."""
    known = sorted(names, key=len, reverse=True)
    found = []
    for piece in _PIECE.finditer(text):
        if piece["path"] is None or _NO_NAME_AFTER.search(text, 0, piece.start()):
            continue
        written = piece["path"].replace('"', "'")
        name = next((one for one in known if written == one or written.startswith((f"{one}.", f"{one}["))), None)
        if name is not None:
            found.append(Span(piece.start(), piece.start() + len(name), name))
    return found


def labelled(places: list[Span], labels: dict[str, str]) -> list[list[tuple[str, str | None]]]:
    """Return the lines that stand below the text: markers, then each name's label below its first place.

    A line is made of pieces, each with the name it is about, or None for what is between.
    """
    last_of_line = -1
    markers: list[tuple[str, str | None]] = []
    for place in places:
        markers += [(" " * (place.start - max(last_of_line, 0)), None), ("^" * (place.end - place.start), place.name)]
        last_of_line = place.end
    firsts = list({place.name: place for place in reversed(places)}.values())
    firsts.sort()
    if not firsts:
        return []
    if firsts[-1].end == last_of_line:
        *firsts, last = firsts
        markers += [(" ", None), (labels[last.name], last.name)]
    lines = [markers]
    while firsts:
        *firsts, last = firsts
        line: list[tuple[str, str | None]] = []
        at = 0
        for place in firsts:
            line += [(" " * (place.start - at), None), ("|", place.name)]
            at = place.start + 1
        line += [(" " * (last.start - at), None), (labels[last.name], last.name)]
        lines.append(line)
    return lines
