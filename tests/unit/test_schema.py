"""The JSON Schema says of a configuration what reading it would say, and describes its keys."""

import msgspec
import pytest
from jsonschema import Draft202012Validator

from bridge.config import KEYS, SECTIONS
from bridge.errors import Problem
from bridge.schema import schema
from bridge.yaml_text import Report, parse, plain
from tests.unit.test_config import BASE, RULES


def mistakes(text):
    """Return what the schema finds in a YAML text, as paths."""
    problems: list[Problem] = []
    node = parse(text.encode(), Report("f", problems))
    assert node is not None, problems
    found = Draft202012Validator(schema()).iter_errors(plain(node))
    return [".".join(map(str, error.absolute_path)) for error in found]


def test_is_a_schema():
    """It is valid JSON Schema 2020-12, and plain JSON."""
    Draft202012Validator.check_schema(schema())
    assert msgspec.json.decode(msgspec.json.encode(schema())) == schema()


@pytest.mark.parametrize(
    "text",
    [
        BASE,
        BASE + RULES,
        BASE + "rules:\n",
        "version: 1\ninclude: rules/*.yaml\n",
        "version: 1\ninclude: [a.yaml, b.yaml]\n",
        RULES,
        "rules: [{name: a, source: b, template: c, when: x == 1, event: [d, e], variables: {f: 3.10, g: true}}]",
        "templates: {t: {engine: e, id: 5, variables: {a: , b: {default: 012, choices: [1, true]}}, deadline: 5m}}",
    ],
)
def test_accepts_what_can_be_loaded(text):
    """Whole files, included files, and every short form that reading takes are valid."""
    assert mistakes(text) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("version: 2", "version"),
        ("sorces: {}", ""),
        ("sources: {A: {type: github, secrets: [{env: X}]}}", "sources"),
        ("sources: {a: {type: gitub, secrets: [{env: X}]}}", "sources.a"),
        ("sources: {a: {type: github, secrets: []}}", "sources.a"),
        ("sources: {a: {type: github, secrets: [literal]}}", "sources.a"),
        ("engines: {a: {type: genesis}}", "engines.a"),
        ("templates: {t: {engine: e, id: i, deadline: 1y}}", "templates.t.deadline"),
        ("notifiers: {a: {type: slack, token: xoxb-1, channel: C1}}", "notifiers.a"),
        ("rules: [{name: a, source: b}]", "rules.0"),
        ("rules: [{name: A, source: b, template: c}]", "rules.0.name"),
        ("rules: [{name: a, source: b, template: c, always: on}]", "rules.0.always"),
        ("rules: [{name: a, source: b, template: c, on_unknown: rety}]", "rules.0.on_unknown"),
        ("rules: [{name: a, source: b, template: c, whn: d}]", "rules.0"),
    ],
)
def test_refuses_what_cannot_be_loaded(text, path):
    """Unknown keys and types, literal secrets, wrong names and values are marked in the editor."""
    assert any(found.startswith(path.split(".")[0]) for found in mistakes(text))
    assert mistakes(text)


def test_every_key_is_described():
    """By what stands below it in the source: a key without a description does not exist."""
    written = schema()
    assert list(written["properties"]) == list(KEYS)
    undescribed = [path for path, field in fields(written) if not field.get("description")]
    assert undescribed == []


def fields(written, path=""):
    """Yield every key there is anywhere in a schema, with what is said of it."""
    for key, value in written.items() if isinstance(written, dict) else enumerate(written):
        if isinstance(value, (dict, list)):
            if path.endswith("/properties"):
                yield f"{path}/{key}", value
            yield from fields(value, f"{path}/{key}")


def test_every_type_of_every_section_is_in_it():
    """What the configuration reads by its annotations is what the schema is made of."""
    definitions = schema()["$defs"]
    for _, kind in SECTIONS.values():
        for cls in getattr(kind, "__args__", (kind,)):
            name = f"{cls.__module__.removeprefix('bridge.')}.{cls.__name__}"
            tag = cls.__struct_config__.tag
            assert tag is None or definitions[name]["properties"]["type"]["const"] == tag
            assert definitions[name]["additionalProperties"] is False
            assert definitions[name]["description"] == cls.__doc__.partition("\n")[0]
