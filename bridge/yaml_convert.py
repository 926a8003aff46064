"""Turn positioned YAML nodes into typed records, noting every problem instead of stopping at the first. Pure.

msgspec alone stops at the first mistake and cannot name a key of a mapping, so mappings, lists and structs are
walked here by their annotations and only scalars are left to it. What could not be read is reported and left
out: the rest is still built, so that what it *means* can be checked in the same run.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct, structs

from bridge.secret import Secret
from bridge.suggest import nearest, unknown
from bridge.yaml_text import BOOLEANS, NUMBER, WHOLE_NUMBER, ListNode, MapNode, Mark, Node, Report, ScalarNode, plain

_WORDS = {"`str`": "text", "`int`": "a whole number", "`float`": "a number", "`array`": "a list"}
_BOOLEAN_WORDS = {"true": "true yes on y", "false": "false no off n"}

SEQUENCES = (list, tuple, frozenset)
_NOTHING = "nothing is written here; for empty text write '', and put text that begins with # into quotes"

_OTHER_BOOLEANS = {word: meant for meant, words in _BOOLEAN_WORDS.items() for word in words.split()}


class _Failed:
    """The type of FAILED."""


FAILED = _Failed()
"""Stands for a value that could not be read; the report says why."""


class Converter:
    """Reads nodes of one file as the types the configuration is made of."""

    def __init__(self, report: Report, environ: Mapping[str, str] | None) -> None:
        """Report problems there; read secrets from `environ`, or not at all when it is None."""
        self._report = report
        self._environ = environ

    def value(self, node: Node, kind: Any) -> Any:
        """Return the node as `kind`, or FAILED."""
        members = members_of(kind)
        if _is_null(node) and NoneType in members:
            return None
        records = records_of(members)
        if records and (_is_null(node) or not isinstance(node, ScalarNode)):
            return self._record(node, records)
        decoder = next((member for member in members if hasattr(member, "decode")), None)
        return self._decoded(node, decoder) if decoder else self._builtin(node, kind, members)

    def _builtin(self, node: Node, kind: Any, members: tuple[Any, ...]) -> Any:
        origins = {get_origin(member) or member: member for member in members}
        if Any in origins:
            return plain(node)
        sequence = next((origin for origin in SEQUENCES if origin in origins), None)
        if sequence and (isinstance(node, ListNode) or _is_null(node)):
            return self._list(node, origins[sequence], kind)
        if dict in origins and (isinstance(node, MapNode) or _is_null(node)):
            return self._dict(node, get_args(origins[dict])[1])
        return self._scalar(node, kind, members)

    def fields(self, node: MapNode, cls: type[Struct], besides: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the readable fields of `cls` by name; unknown and missing keys are reported.

        `besides` are keys the caller reads itself.
        """
        fields = fields_of(cls)
        values: dict[str, Any] = {}
        strays: set[str | None] = set()
        for key, (mark, value) in node.entries.items():
            if key in fields:
                read = self.value(value, fields[key].type)
                if read is not FAILED:
                    values[fields[key].name] = read
            elif key not in besides:
                strays.add(nearest(key, fields))
                self._report.add(mark, unknown("key", key, [*fields, *besides]))
        for key, field in fields.items():
            # A mistyped key is one mistake: it is not reported as missing as well.
            if field.required and key not in node.entries and key not in strays:
                self._report.add(node.mark, f"{key!r} is missing")
        return values

    def _record(self, node: Node, records: dict[str | None, type[Struct]]) -> Any:
        if isinstance(node, ListNode):
            return self._fail(node.mark, "expected a mapping (key: value), not a list")
        mapping = node if isinstance(node, MapNode) else MapNode(node.mark, {})
        cls = self.kind(mapping, records)
        if cls is None:
            return FAILED
        besides = () if cls.__struct_config__.tag is None else (str(cls.__struct_config__.tag_field),)
        values = self.fields(mapping, cls, besides)
        if any(field.required and field.name not in values for field in fields_of(cls).values()):
            return FAILED
        try:
            return cls(**values)
        except ValueError as error:
            return self._fail(node.mark, str(error))

    def kind(self, node: MapNode, records: dict[str | None, type[Struct]]) -> type[Struct] | None:
        """Return which of the records the mapping's `type:` names; None, reported, when none of them."""
        if None in records:
            return records[None]
        tag_field = str(next(iter(records.values())).__struct_config__.tag_field)
        tags = {str(tag): record for tag, record in records.items()}
        if tag_field not in node.entries:
            self._report.add(node.mark, f"{tag_field!r} is missing; there are: {', '.join(sorted(tags))}")
            return None
        _, value = node.entries[tag_field]
        if isinstance(value, ScalarNode) and value.text in tags:
            return tags[value.text]
        shown = value.text if isinstance(value, ScalarNode) else "that is no text"
        message = unknown(tag_field, shown, tags)
        listed = "" if "there are" in message else f" There are: {', '.join(sorted(tags))}"
        self._report.add(value.mark, message + listed)
        return None

    def _decoded(self, node: Node, kind: Any) -> Any:
        if _is_null(node):
            return self._fail(node.mark, _NOTHING)
        value = node.text if isinstance(node, ScalarNode) else plain(node)
        try:
            return kind.decode(value, self._environ) if issubclass(kind, Secret) else kind.decode(value)
        except ValueError as error:
            self._fail(node.mark, str(error))
        # A secret that is well referred to but not set is no reason to leave the rest of its record unchecked.
        return _unread(value) if issubclass(kind, Secret) else FAILED

    def _list(self, node: Node, kind: Any, whole: Any) -> Any:
        items = node.items if isinstance(node, ListNode) else []
        inner = (get_args(kind) or (Any,))[0]
        values = [value for item in items if (value := self.value(item, inner)) is not FAILED]
        checked = self._constrained(node.mark, [None] * len(items), _constraint(whole, list[None]))
        return FAILED if checked is FAILED else (get_origin(kind) or kind)(values)

    def _dict(self, node: Node, inner: Any) -> dict[str, Any]:
        entries = node.entries if isinstance(node, MapNode) else {}
        values = {key: self.value(value, inner) for key, (_, value) in entries.items()}
        return {key: value for key, value in values.items() if value is not FAILED}

    def _scalar(self, node: Node, kind: Any, members: tuple[Any, ...]) -> Any:
        wanted = frozenset(_basic(members))
        if not isinstance(node, ScalarNode):
            found = "a list" if isinstance(node, ListNode) else "a mapping"
            listed = _listed(wanted, members)
            how = ": begin each item with `- `, or write [...]" if listed == "a list" else ""
            return self._fail(node.mark, f"expected {listed}, not {found}{how}")
        if node.null:
            return self._fail(node.mark, _NOTHING)
        value = _resolved(node, wanted)
        if value is FAILED:
            return self._fail(
                node.mark, f"expected {_listed(wanted, members)}, not {node.text[:80]!r}{_hint(node, wanted)}"
            )
        choices = _choices(members)
        if choices and value not in choices:
            return self._fail(node.mark, unknown("value", str(value), map(str, choices)))
        return self._constrained(node.mark, value, kind)

    def _constrained(self, mark: Mark, value: Any, kind: Any) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            described = [meta.description for meta in getattr(kind, "__metadata__", ()) if meta.description]
            return self._fail(mark, f"expected {described[0] if described else _worded(error)}, not {_shown(value)}")

    def _fail(self, mark: Mark, message: str) -> _Failed:
        self._report.add(mark, message)
        return FAILED


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.null


def _unread(value: Any) -> Any:
    try:
        return Secret.decode(value, None)
    except ValueError:
        return FAILED


@cache
def fields_of(cls: type[Struct]) -> dict[str, structs.FieldInfo]:
    """Return a struct's fields by the key that names them in YAML."""
    return {field.encode_name: field for field in structs.fields(cls)}


def members_of(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself; annotations are taken off."""
    if get_origin(kind) is Annotated:
        return members_of(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return tuple(inner for member in get_args(kind) for inner in members_of(member))
    return (kind,)


def records_of(members: tuple[Any, ...]) -> dict[str | None, type[Struct]]:
    """Return the structs among the members of a union by their tag; None: a struct without one."""
    found = [member for member in members if isinstance(member, type) and issubclass(member, Struct)]
    return {None if cls.__struct_config__.tag is None else str(cls.__struct_config__.tag): cls for cls in found}


def _constraint(kind: Any, base: Any) -> Any:
    """Return `base` with the constraints of an annotated list, wherever in a union it stands."""
    if get_origin(kind) in (Union, UnionType):
        return next((found for member in get_args(kind) if (found := _constraint(member, base)) is not base), base)
    return Annotated[base, *get_args(kind)[1:]] if get_origin(kind) is Annotated else base


def _basic(members: tuple[Any, ...]) -> Iterator[type]:
    for member in members:
        if get_origin(member) is Literal:
            yield from map(type, get_args(member))
        elif isinstance(member, type) and issubclass(member, Enum):
            yield str
        elif member in (bool, int, float, str):
            yield member


def _choices(members: tuple[Any, ...]) -> list[Any]:
    """Return the values allowed, where the type is a list of values."""
    literals = [value for member in members if get_origin(member) is Literal for value in get_args(member)]
    enums = [member for member in members if isinstance(member, type) and issubclass(member, Enum)]
    return literals + [entry.value for enum in enums for entry in enum]


def _resolved(node: ScalarNode, wanted: frozenset[type]) -> Any:
    if node.plain:
        if bool in wanted and node.text in BOOLEANS:
            return BOOLEANS[node.text]
        if int in wanted and WHOLE_NUMBER.fullmatch(node.text):
            return int(node.text)
        if float in wanted and NUMBER.fullmatch(node.text):
            return float(node.text)
    return node.text if str in wanted else FAILED


def _hint(node: ScalarNode, wanted: frozenset[type]) -> str:
    """Say how the boolean is written that YAML 1.1, and much that is called YAML, would have read here."""
    meant = _OTHER_BOOLEANS.get(node.text.lower()) if bool in wanted else None
    if meant is None:
        return ""
    return f": write {meant}" if node.plain else f": write {meant}, without quotes"


def _listed(wanted: frozenset[type], members: tuple[Any, ...]) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    kinds = [word for kind, word in words.items() if kind in wanted]
    origins = {get_origin(member) or member for member in members}
    kinds += ["a list"] if origins & set(SEQUENCES) else []
    kinds += ["a mapping (key: value)"] if dict in origins or records_of(members) else []
    return " or ".join(kinds)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"of length {len(value)}"
    return repr(value[:80]) if isinstance(value, str) else str(value)


def _worded(error: msgspec.ValidationError) -> str:
    message = str(error).removeprefix("Expected ")
    for word, plainly in _WORDS.items():
        message = message.replace(word, plainly)
    return message
