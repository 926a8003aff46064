"""Read the files of other tools: YAML or JSON into nodes that know their line. Pure."""

import re
from collections.abc import Iterator

from bridge.errors import ConfigError, Problem
from bridge.yaml_text import ListNode, MapNode, Mark, Node, Report, ScalarNode, parse

_BETWEEN = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)


def documents(data: bytes, file: str) -> list[Node]:
    """Read every document of a file; ConfigError with the place of what cannot be read."""
    problems: list[Problem] = []
    report = Report(file, problems)
    found = [node for part in _parts(data) if (node := parse(part, report)) is not None]
    if problems:
        raise ConfigError(problems)
    if not found:
        raise ConfigError([Problem(file, 1, 1, "the file is empty")])
    return found


def _parts(data: bytes) -> Iterator[bytes]:
    """Yield each document at the line where it stands, those with nothing but comments left out."""
    text = data.decode("utf-8-sig", "surrogateescape")
    if text.lstrip()[:1] in ("{", "["):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML may not
    starts = [0, *(found.end() for found in _BETWEEN.finditer(text))]
    ends = [*(found.start() for found in _BETWEEN.finditer(text)), len(text)]
    for start, end in zip(starts, ends, strict=True):
        part = text[start:end]
        if any(line.strip() and not line.lstrip().startswith("#") for line in part.splitlines()):
            yield ("\n" * text.count("\n", 0, start) + part).encode("utf-8", "surrogateescape")


def at(node: Node | None, *path: str) -> Node | None:
    """Follow keys; None where there is nothing."""
    for step in path:
        found = node.entries.get(step) if isinstance(node, MapNode) else None
        node = None if found is None else found[1]
    return None if isinstance(node, ScalarNode) and node.null else node


def text(node: Node | None, *path: str) -> str:
    """Return the text at a path; nothing where there is none."""
    found = at(node, *path)
    return found.text if isinstance(found, ScalarNode) else ""


def items(node: Node | None, *path: str) -> list[Node]:
    """Return the items of the list at a path; what is no list stands for a list of one."""
    found = at(node, *path)
    if isinstance(found, ListNode):
        return found.items
    return [] if found is None else [found]


def entries(node: Node | None, *path: str) -> dict[str, tuple[Mark, Node]]:
    """Return the keys of the mapping at a path, with where they stand."""
    found = at(node, *path)
    return found.entries if isinstance(found, MapNode) else {}


def line(node: Node | None) -> int:
    """Return where a node stands."""
    return 1 if node is None else node.mark.line
