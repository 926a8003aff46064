"""What YAML 1.1 makes of innocent text, and we do not; each trap by its name."""

from datetime import timedelta

import pytest

from bridge.config import load
from bridge.errors import ConfigError, Problem
from bridge.yaml_text import Report, parse, plain

HEAD = """\
version: 1
sources:
  github: {type: github, secrets: [{env: SECRET}]}
engines:
  genesis: {type: genesis, api_key: {env: SECRET}}
"""
TEMPLATE = "engine: genesis\n    id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44"

AS_TEXT = [
    pytest.param("on", id="on-is-true"),
    pytest.param("yes", id="yes-is-true"),
    pytest.param("no", id="norway"),
    pytest.param("off", id="off-is-false"),
    pytest.param("True", id="true-with-a-capital"),
    pytest.param("3.10", id="python-3.10-is-3.1"),
    pytest.param("1.0", id="trailing-zero"),
    pytest.param("012", id="leading-zero-is-octal"),
    pytest.param("0o14", id="octal"),
    pytest.param("0x10", id="hexadecimal"),
    pytest.param("0b11", id="binary"),
    pytest.param("1_000", id="underscores"),
    pytest.param("12:30:00", id="sexagesimal"),
    pytest.param("22:22", id="port-mapping-is-sexagesimal"),
    pytest.param("1e3", id="exponent"),
    pytest.param("12e03456", id="commit-that-looks-like-a-number"),
    pytest.param("2026-11-24", id="date"),
    pytest.param("2026-11-24T10:00:00Z", id="timestamp"),
    pytest.param(".inf", id="infinity"),
    pytest.param("=", id="default-value"),
    pytest.param("<<", id="merge-key-as-a-value"),
]


@pytest.fixture
def read(tmp_path):
    """Load a configuration of one template and one rule, with lines of their own."""

    def load_it(template="", rule="variables: {a: x}", variable="{}"):
        path = tmp_path / "bridge.yaml"
        path.write_text(
            f"{HEAD}templates:\n  t:\n    {TEMPLATE}\n    variables: {{a: {variable}}}\n    {template}\n"
            f"rules:\n  - name: r\n    source: github\n    event: push\n    template: t\n    {rule}\n"
        )
        return load(path, {"SECRET": "0123456789abcdef"})

    return load_it


@pytest.fixture
def refused(read):
    """Return the one problem of such a configuration, as `line:column: message`."""

    def problem(**lines):
        with pytest.raises(ConfigError) as caught:
            read(**lines)
        [found] = caught.value.problems
        return str(found).partition("bridge.yaml:")[2]

    return problem


@pytest.mark.parametrize("written", AS_TEXT)
def test_text_is_what_is_written(read, written):
    """Wherever text is wanted, as a value, a default, a choice, an event's name."""
    config = read(variable=f"{{default: {written}, choices: [{written}]}}", rule=f"variables: {{a: {written}}}")
    [rule] = config.ruleset.rules
    assert rule.variables["a"].source == written
    assert config.templates["t"].variables["a"].default == written
    assert config.templates["t"].variables["a"].choices == [written]


@pytest.mark.parametrize("written", AS_TEXT)
def test_a_name_is_what_is_written(read, written):
    """A key is not turned into something else either, and back into text."""
    key = f"'{written}'" if written == "<<" else written  # the one that means something here, too: refused
    config = read(variable=f"{{}}, {key}: {{required: false}}")
    assert list(config.templates["t"].variables) == ["a", written]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((word, "true") for word in ("yes", "Yes", "on", "ON", "True", "TRUE", "y")),
        *((word, "false") for word in ("no", "No", "off", "OFF", "False", "FALSE", "n")),
    ],
)
def test_a_boolean_is_true_or_false(refused, written, meant):
    """YAML 1.1's other words for it are refused with the right one."""
    found = refused(rule=f"always: {written}")
    assert found == f"17:13: rule 'r': expected true or false, not {written!r}: write {meant}"


def test_a_boolean_in_quotes_is_text(refused):
    """And what is a number to C is none to us."""
    found = refused(rule="always: 'true'")
    assert found == "17:13: rule 'r': expected true or false, not 'true': write true, without quotes"
    assert refused(rule="always: 1") == "17:13: rule 'r': expected true or false, not '1'"


@pytest.mark.parametrize("written", ["12:30:00", "90", "1_000s", "0x10", "012", "1h30m"])
def test_a_duration_has_a_number_and_one_unit(refused, written):
    """`12:30:00` is 45,000 in YAML 1.1, and a bare number seconds for some, minutes for others."""
    assert refused(template=f"deadline: {written}").startswith(f"11:15: template 't': '{written}' is not a duration")


def test_a_duration_is_what_it_says(read):
    """Leading zeros are not octal here either."""
    assert read(template="deadline: 010s").templates["t"].deadline == timedelta(seconds=10)


@pytest.mark.parametrize("written", ["~", "null", "Null", "NULL", ""])
def test_nothing_is_not_empty_text(refused, written):
    """`~` and its like are nothing, which is no text."""
    assert refused(rule=f"variables: {{a: {written}}}").startswith(
        "17:20: rule 'r': nothing is written here; for empty"
    )


def test_a_value_that_begins_with_a_hash_is_a_comment(refused):
    """As a channel's name does; said so on a line of its own and inside brackets."""
    found = refused(rule="variables:\n      a: #qa")
    assert found == (
        "18:9: rule 'r': nothing is written here; for empty text write '', and put text that begins with # into quotes"
    )
    assert refused(rule="variables: {a: #qa}").endswith(
        "a comment begins inside { } or [ ]: if it is text, put it into quotes"
    )


def test_duplicate_keys_do_not_win_silently(refused):
    """In YAML parsers the last one does."""
    assert refused(rule="variables: {a: x, a: y}") == "17:23: duplicate key 'a': it stands in line 17 already"


def test_merge_keys_are_refused(refused):
    """With an anchor or without; where the text is meant it can be quoted."""
    assert refused(rule="variables: {<<: {a: x}}") == (
        "17:17: merge keys (<<) are not available: write out what it would add"
    )
    assert refused(rule="variables: {a: x, <<: *base}").startswith("17:27: aliases (*name) are not available")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("012", "012"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2026-11-24", "2026-11-24"),
        ("yes", "yes"),
        ("~", None),
        ("true", True),
        ("12", 12),
        ("3.10", 3.1),
        ("1e3", 1000.0),
        ("'3.10'", "3.10"),
    ],
)
def test_where_anything_may_stand_it_is_json(written, value):
    """Only there a number is a number, and only one that every reader of YAML 1.2 takes for the same."""
    problems: list[Problem] = []
    node = parse(f"a: {written}\n".encode(), Report("f", problems))
    assert node is not None
    assert plain(node) == {"a": value}
