"""Read YAML text into nodes that know where they stand; scalars stay as written until a type asks for more.

PyYAML resolves YAML 1.1 (`on` is true, `012` is 10, `3.10` is 3.1), lets duplicate keys win silently and loses
positions, so only its parser is used: its events become nodes here. Anchors, aliases, merge keys and tags are refused:
a configuration has no use for them, and aliases make a small file arbitrarily large.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

import yaml
from msgspec import Struct

from bridge.errors import Problem
from bridge.yaml_hints import explained

MAX_BYTES = 1_000_000
"""What one configuration file may weigh."""
MAX_DEPTH = 50
"""How deep mappings and lists may be nested."""

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
WHOLE_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
"""Without leading zeros, which mean octal in YAML 1.1 and decimal in 1.2; of 64 bits, as JSON readers have."""
NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
BOOLEANS = {"true": True, "false": False}

_EMPTY = "the file is empty"
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Mark(NamedTuple):
    """A place in a file, counted from 1 as editors do."""

    line: int
    column: int


class ScalarNode(Struct, frozen=True):
    """A scalar as it was written; `plain` when it had no quotes and was no block."""

    mark: Mark
    text: str
    plain: bool

    @property
    def null(self) -> bool:
        """Whether nothing (or `null`) is written here."""
        return self.plain and self.text in NULLS


class ListNode(Struct, frozen=True):
    """A list."""

    mark: Mark
    items: list["Node"]


class MapNode(Struct, frozen=True):
    """A mapping: per key where the key stands, and the value."""

    mark: Mark
    entries: dict[str, tuple[Mark, "Node"]]


Node = ScalarNode | ListNode | MapNode


class Report:
    """Collects the problems of one file; `about` names the thing they are about."""

    def __init__(self, file: str, problems: list[Problem], about: str = "") -> None:
        """Write into `problems`, which the reports of other files share."""
        self.file = file
        self._problems = problems
        self._about = about

    def within(self, about: str) -> "Report":
        """Return a report into the same list whose messages begin with `about`."""
        return Report(self.file, self._problems, f"{about}: ")

    def into(self, problems: list[Problem]) -> "Report":
        """Return a report of the same file and thing into another list."""
        return Report(self.file, problems, self._about)

    def add(self, mark: Mark, message: str) -> None:
        """Note a problem, once."""
        problem = Problem(self.file, mark.line, mark.column, self._about + message)
        if problem not in self._problems:
            self._problems.append(problem)


class _Unreadable(Exception):
    """The rest of the file cannot be made sense of."""

    def __init__(self, mark: Mark, message: str) -> None:
        self.mark = mark
        super().__init__(message)


def parse(data: bytes, report: Report) -> Node | None:
    """Read one YAML document; None when there is nothing usable, which is then in the report."""
    try:
        text = _decode(data)
        return _Reader(text, report).document()
    except _Unreadable as error:
        report.add(error.mark, str(error))
        return None


def plain(node: Node) -> Any:
    """Turn a node into JSON-like data by the YAML 1.2 core rules, for places that take any value."""
    if isinstance(node, MapNode):
        return {key: plain(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return _core_value(node.text) if node.plain else node.text


def _core_value(text: str) -> Any:
    if text in NULLS:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    if WHOLE_NUMBER.fullmatch(text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else text


def mark_of(node: Node, path: tuple[str | int, ...]) -> Mark:
    """Return where the value at `path` stands, or the nearest thing above it that is there."""
    for step in path:
        if isinstance(node, MapNode) and step in node.entries:
            node = node.entries[str(step)][1]
        elif isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            break
    return node.mark


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Unreadable(Mark(1, 1), f"the file is larger than {MAX_BYTES:,} bytes: split it with `include:`")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Unreadable(_mark_at(data, error.start), "this byte is not UTF-8 text") from None


def _mark_at(data: bytes, offset: int) -> Mark:
    before = data[:offset]
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace"))
    return Mark(before.count(b"\n") + 1, column + 1)


class _Reader:
    def __init__(self, text: str, report: Report) -> None:
        self._text = text
        self._report = report
        self._events = self._parsed()

    def document(self) -> Node:
        # A document always begins with stream and document events; without a document the stream ends at once.
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise _Unreadable(Mark(1, 1), _EMPTY)
        node = self._node(next(self._events), 1)
        next(self._events)
        extra = next(self._events)
        if not isinstance(extra, yaml.StreamEndEvent):
            raise _Unreadable(_mark(extra), "a second document begins here: a file holds one, without `---` inside")
        if isinstance(node, ScalarNode) and node.null:
            raise _Unreadable(node.mark, _EMPTY)
        return node

    def _parsed(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self._text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            self._refuse(error)
        except yaml.reader.ReaderError as error:
            mark = _mark_at(self._text.encode(), error.position)
            raise _Unreadable(mark, f"the character U+{_number(error.character):04X} is not allowed in YAML") from None

    def _refuse(self, error: yaml.MarkedYAMLError) -> NoReturn:
        line, column, message = explained(error, self._text)
        if "nesting depth" in message:  # libyaml's own limit, which it may come to while reading ahead
            message = _TOO_DEEP
        raise _Unreadable(Mark(line, column), message) from None

    def _node(self, event: yaml.Event, depth: int) -> Node:
        mark = _mark(event)
        self._refuse_cleverness(event, mark)
        if depth > MAX_DEPTH:
            raise _Unreadable(mark, _TOO_DEEP)
        if isinstance(event, yaml.ScalarEvent):
            return ScalarNode(mark, event.value, event.implicit[0])
        if isinstance(event, yaml.SequenceStartEvent):
            items = [self._node(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
            return ListNode(mark, items)
        entries: dict[str, tuple[Mark, Node]] = {}
        for at in self._until(yaml.MappingEndEvent):
            key, value = self._node(at, depth + 1), self._node(next(self._events), depth + 1)
            self._keep(entries, key, value)
        return MapNode(mark, entries)

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    def _keep(self, entries: dict[str, tuple[Mark, Node]], key: Node, value: Node) -> None:
        if isinstance(key, ScalarNode) and key.plain and key.text == "<<":
            raise _Unreadable(key.mark, "merge keys (<<) are not available: write out what it would add")
        if not isinstance(key, ScalarNode):
            self._report.add(key.mark, "a key is text, not a list or a mapping; put text with braces into quotes")
        elif key.text in entries:
            first = entries[key.text][0]
            self._report.add(key.mark, f"duplicate key {key.text!r}: it stands in line {first.line} already")
        else:
            entries[key.text] = (key.mark, value)

    def _refuse_cleverness(self, event: Any, mark: Mark) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise _Unreadable(mark, "aliases (*name) are not available: write it out, or quote text that begins with *")
        if event.anchor is not None:
            raise _Unreadable(mark, "anchors (&name) are not available: write it out, or quote text that begins with &")
        if event.tag is not None:
            raise _Unreadable(mark, f"tags ({event.tag}) are not available: put text that begins with ! into quotes")


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _number(character: int | str) -> int:
    # PyYAML's C parser gives the number, the Python one the character.
    return character if isinstance(character, int) else ord(character)
