"""YAML is read with positions, scalars as written, and nothing clever in it."""

import re

import pytest

from bridge.errors import Problem
from bridge.yaml_text import MAX_BYTES, MAX_DEPTH, ListNode, MapNode, Mark, Report, ScalarNode, mark_of, parse, plain


def read(text):
    """Return the node and the problems of a text as `line:column: message`."""
    problems: list[Problem] = []
    node = parse(text if isinstance(text, bytes) else text.encode(), Report("f", problems))
    return node, [f"{problem.line}:{problem.column}: {problem.message}" for problem in problems]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("True", "True"),
        ("true", True),
        ("false", False),
        ("'true'", "true"),
        ("3.10", 3.1),
        ("'3.10'", "3.10"),
        ("012", "012"),
        ("0o17", "0o17"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("22:30", "22:30"),
        ("12", 12),
        ("-3", -3),
        ("1e3", 1000.0),
        ("9" * 5000, float("inf")),
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'~'", "~"),
        (".inf", ".inf"),
        ("=", "="),
        ("<<", "<<"),
        ("[a, 1]", ["a", 1]),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_traps_of_yaml_1_1_are_none(written, value):
    """Where any value is wanted, the YAML 1.2 core rules hold and nothing else is guessed."""
    node, problems = read(f"key: {written}\n")
    assert (plain(node), problems) == ({"key": value}, [])


@pytest.mark.parametrize("written", ["on", "yes", "3.10", "012", "2026-11-22", "true", "1e3"])
def test_scalars_stay_as_written(written):
    """A node keeps the very text of its scalar, as a key and as a value."""
    node, _ = read(f"{written}: {written}\n")
    assert isinstance(node, MapNode)
    (key, (_, value)), *_ = node.entries.items()
    assert (key, value.text) == (written, written)


def test_everything_knows_where_it_stands():
    """Keys, values and items carry line and column, counted from 1."""
    node, _ = read("a:\n  - x\n  - {b: 'é', c: y}\n")
    assert isinstance(node, MapNode)
    assert node.entries["a"][0] == Mark(1, 1)
    assert mark_of(node, ("a", 0)) == Mark(2, 5)
    assert mark_of(node, ("a", 1, "c")) == Mark(3, 17)
    assert mark_of(node, ("a", 9)) == Mark(2, 3)
    assert mark_of(node, ("a", "x")) == Mark(2, 3)
    assert mark_of(node, ("gone", 0)) == Mark(1, 1)


def test_duplicate_keys_are_all_reported_and_the_first_stays():
    """Each repeated key is a problem at its own place; reading goes on."""
    node, problems = read("a: 1\nb: {x: 1, x: 2}\na: 2\n")
    assert plain(node) == {"a": 1, "b": {"x": 1}}
    assert problems == [
        "2:11: duplicate key 'x': it stands in line 2 already",
        "3:1: duplicate key 'a': it stands in line 1 already",
    ]


def test_a_byte_order_mark_and_directives_are_no_problem():
    """Files of Windows editors and with a YAML header are read."""
    assert plain(read("\ufeff%YAML 1.2\n---\na: b\n...\n")[0]) == {"a": "b"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the file is empty"),
        ("# only a comment\n", "1:1: the file is empty"),
        ("---\n", "2:1: the file is empty"),
        ("null\n", "1:1: the file is empty"),
        (b"a: \xff\n", "1:4: this byte is not UTF-8 text"),
        ("é: ok\nb: é".encode() + b"\xc3", "2:5: this byte is not UTF-8 text"),
        ("a: b\nü: x\x01\n", "2:5: the character U+0001 is not allowed in YAML"),
        ("x" * (MAX_BYTES + 1), "1:1: the file is larger than 1,000,000 bytes"),
        ("a:\n\tb: 1\n", "2:1: found character that cannot start any token: YAML does not indent with tabs"),
        ("a: {x: ${{ url }}}\n", "1:9: did not find expected ',' or '}': inside { } and [ ] put text with ${{ }} in"),
        ("a: b: c\n", "1:5: mapping values are not allowed in this context: put the whole value into quotes"),
        ("- 'x' in labels\n", "1:7: did not find expected '-' indicator: put the whole value into quotes"),
        ("a: [1,\n", "2:1: did not find expected node content"),
        ("a: 'x\n", "1:4: found unexpected end of stream"),
        ("a: {<<: {b: c}}\n", "1:5: merge keys (<<) are not available"),
        ("a: @x\n", "1:4: found character that cannot start any token"),
        ("a: &x 1\n", "1:4: anchors (&name) are not available"),
        ("a: *x\n", "1:4: aliases (*name) are not available"),
        ("a: !draft\n", "1:4: tags (!draft) are not available"),
        ("a: !!int 3\n", "1:4: tags (tag:yaml.org,2002:int) are not available"),
        ("? [a]\n: b\n", "1:3: a key is text, not a list or a mapping"),
        ("a: 1\rb: 'x\r", "2:4: found unexpected end of stream"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document begins here"),
        ("[" * 200 + "]" * 200, f"1:{MAX_DEPTH + 1}: nested more than {MAX_DEPTH} levels deep"),
    ],
)
def test_what_cannot_be_read_is_a_problem_with_a_place(text, problem):
    """Bytes, characters, syntax and cleverness are each refused with line, column and what to do."""
    _, problems = read(text)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


@pytest.mark.parametrize("depth", [1_001, 100_000])
def test_what_is_nested_too_deep_even_for_the_yaml_reader_says_so(depth):
    """Libyaml 0.2.6 stops at 1,000 levels, while it reads ahead; older ones leave it to us. The words are the same."""
    _, [problem] = read("[" * depth)
    assert re.fullmatch(rf"1:\d+: nested more than {MAX_DEPTH} levels deep", problem)


def test_a_report_names_what_its_problems_are_about_and_repeats_none():
    """Problems carry the name of their thing, and the same one is noted once."""
    problems: list[Problem] = []
    report = Report("f", problems)
    for _ in range(2):
        report.within("rule 'x'").add(Mark(1, 2), "is wrong")
    report.add(Mark(1, 2), "is wrong")
    assert [str(problem) for problem in problems] == ["f:1:2: rule 'x': is wrong", "f:1:2: is wrong"]


def test_nodes_tell_null_from_text():
    """Only a plain empty scalar or null is nothing; in quotes it is text."""
    assert ScalarNode(Mark(1, 1), "null", plain=True).null
    assert not ScalarNode(Mark(1, 1), "null", plain=False).null
    assert plain(ListNode(Mark(1, 1), [ScalarNode(Mark(1, 1), "", plain=True)])) == [None]
