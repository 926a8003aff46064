"""The JSON Schema of the configuration, for editors. Pure."""

from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Struct, structs

from bridge.duration import Duration
from bridge.engines import ENGINES, AnyEngine
from bridge.field_docs import field_docs
from bridge.model import Durability
from bridge.notifiers import AnyNotifier
from bridge.rules import Name, Rule, Template
from bridge.sources import AnySource
from bridge.yaml_convert import SEQUENCES, fields_of, members_of

SECTIONS = ("sources", "engines", "templates", "notifiers")

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: dict[Any, Any] = {
    # Where text is wanted a scalar stays as written, so that 3.10 and true need no quotes.
    str: ["string", "number", "boolean"],
    int: "integer",
    float: "number",
    bool: "boolean",
    NoneType: "null",
}
_LIMITS = {
    "pattern": "pattern",
    "description": "description",
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}


class File(Struct, kw_only=True):
    """What a file may hold."""

    version: Literal[1] | None = None
    """The version of this format: 1."""
    include: str | list[str] | None = None
    """More files of the same keys, as globs relative to this file."""
    durability: Durability = "standard"
    """What Redis has to keep through: `strict` a power loss, `standard` a restart, `none` nothing."""
    retention: Duration = Duration(days=7)
    """How long bodies are kept, for replay; records are kept for 30 days, or longer if their bodies are."""
    sources: dict[str, AnySource] | None = None
    """Who may send events, by name; each is a URL, POST /hooks/{name}."""
    engines: dict[str, AnyEngine] | None = None
    """Where workflows run, by name."""
    templates: dict[str, Template] | None = None
    """The workflows rules may start, by name, and the variables they take."""
    notifiers: dict[str, AnyNotifier] | None = None
    """Who may be told how an execution stands, by name."""
    rules: list[Rule] | None = None
    """Which events start which template."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file, the main one or an included one.

    Made from the same annotations the configuration is read by, and described by what stands below each field.
    msgspec's own generator is of no use here: it fails on every default that is not JSON, such as a Duration.
    """
    definitions: dict[str, Any] = {}
    top = _record(File, definitions) | {"description": "What genesis-bridge does."}
    kinds = sorted({engine.template for engine in ENGINES}, key=_key)
    templates = {"anyOf": [_schema(kind, definitions) for kind in kinds]}  # which one, its engine decides
    top["properties"]["templates"]["anyOf"][0]["additionalProperties"] = templates
    for name in SECTIONS:
        top["properties"][name]["anyOf"][0]["propertyNames"] = _constraints(Name)
    rule = definitions[_key(Rule)]
    rule["properties"]["when"] |= {"type": ["array", "null", *_SCALARS[str]]}  # one condition may stand for a list
    return {"$schema": _DIALECT, "title": "genesis-bridge", **top, "$defs": definitions}


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if get_origin(kind) is Annotated:
        return _schema(get_args(kind)[0], definitions) | _constraints(kind)
    if get_origin(kind) in (Union, UnionType):
        return {"anyOf": [_schema(member, definitions) for member in get_args(kind)]}
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) in SEQUENCES:
        return {"type": ["array", "null"], "items": _schema(get_args(kind)[0], definitions)}
    if get_origin(kind) is dict:
        return {"type": ["object", "null"], "additionalProperties": _schema(get_args(kind)[1], definitions)}
    return _single(kind, definitions)


def _single(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind is Any:
        return {}
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if issubclass(kind, Enum):
        return {"enum": [entry.value for entry in kind]}
    if not issubclass(kind, Struct):
        written: dict[str, Any] = kind.schema()
        return written
    definitions[_key(kind)] = _record(kind, definitions)
    return {"$ref": f"#/$defs/{_key(kind)}"}


def _record(cls: type[Struct], definitions: dict[str, Any]) -> dict[str, Any]:
    documents = field_docs(cls)
    properties = {
        key: _field(field, definitions) | {"description": documents.get(field.name, "")}
        for key, field in fields_of(cls).items()
    }
    required = [key for key, field in fields_of(cls).items() if field.required]
    described = {"description": (cls.__doc__ or "").partition("\n")[0]}
    tag, tag_field = cls.__struct_config__.tag, cls.__struct_config__.tag_field
    if tag is not None:
        properties = {str(tag_field): {"const": tag, **described}} | properties
        required = [str(tag_field), *required]
    # Without a required key, nothing written at all (null) is the record of its defaults.
    kind: Any = "object" if required else ["object", "null"]
    return described | {"type": kind, "properties": properties, "required": required, "additionalProperties": False}


def _field(field: structs.FieldInfo, definitions: dict[str, Any]) -> dict[str, Any]:
    written = _schema(field.type, definitions)
    if isinstance(field.default, (str, bool, int)):
        written = written | {"default": field.default}
    return written


def _constraints(kind: Any) -> dict[str, Any]:
    metas = get_args(kind)[1:]
    found = {word: getattr(meta, name) for meta in metas for name, word in _LIMITS.items()}
    unit = "Items" if get_origin(members_of(kind)[0]) in SEQUENCES else "Length"
    for meta in metas:
        found |= {f"min{unit}": meta.min_length, f"max{unit}": meta.max_length}
    return {word: value for word, value in found.items() if value is not None}


def _key(cls: type[Struct]) -> str:
    # Two adapters may have the same name (a source and a notifier called Slack), but not in one module.
    return f"{cls.__module__.removeprefix('bridge.')}.{cls.__name__}"
