"""Text that is no YAML is told where the mistake begins, with what to do."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import Problem
from bridge.yaml_hints import explained
from bridge.yaml_text import Report, parse


def told(text):
    """Return `line:column: message` for a text the parser refuses."""
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        list(yaml.parse(text, Loader=yaml.CSafeLoader))
    line, column, message = explained(caught.value, text)
    return f"{line}:{column}: {message}"


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("a:\n  b: c\n  d:e\n  f: g\n", "3:3", "a key ends with a colon and a space"),
        ("a: 'x\nb: c\n", "1:4", "the quote that opens here is never closed"),
        (
            "a: {b: c, d: #qa}\ne: f\n",
            "1:14",
            "a comment begins inside { } or [ ]: if it is text, put it into quotes",
        ),
        (
            "a: [b, #c]\n\n  \nd: e\n",
            "1:8",
            "a comment begins inside { } or [ ]: if it is text, put it into quotes",
        ),
        ("a: [b, c] # [closed]\nd: [\n", "3:1", "a bracket that opens above is not closed"),
        ("a: {b: c\nd: e\n", "2:2", "a bracket that opens in line 1 is not closed"),
        ("a: [b\nd: e\n", "2:2", "a bracket that opens in line 1 is not closed"),
        ("a:\n\tb: 1\n", "2:1", "YAML does not indent with tabs, use spaces"),
        ('a: "\\d"\n', "1:5", "in double quotes a backslash begins an escape, use single quotes"),
        ("a: {x: ${{ url }}}\n", "1:9", "inside { } and [ ] put text with ${{ }} into quotes"),
        ("a:\n  - b: c\n    d: e\n   f: g\n", "4:4", "its indentation does not fit the lines above"),
        ("a:\n  b: c\n   d: e\n", "3:5", "it is indented deeper than the line above, which has a value already"),
        ("a:\n  b: c\n   d:\n", "3:5", "it is indented deeper than the line above, which has a value already"),
        ("a: b: c\n", "1:5", "put the whole value into quotes"),
        ("- 'x' in labels\n", "1:7", "put the whole value into quotes"),
        ("a:\n  @x\n", "2:3", "put the whole value into quotes"),
        ("a: @x\n", "1:4", "put the whole value into quotes"),
        ("a:\n  b:\u00a0c\n  d: e\n", "2:5", "a no-break space (U+00A0) looks like a space and is none"),
        ("[a]]\n", "1:4", None),
    ],
)
def test_the_hint_is_about_what_stands_at_the_place(text, place, hint):
    """Without anything to say the parser's own words stand alone."""
    found = told(text)
    assert found.startswith(f"{place}: ")
    assert hint is None or hint in found
    assert hint is not None or found.count(": ") == 1


def test_the_parsers_own_words_come_first():
    """They are what one searches the web for."""
    assert told("a: b: c\n").startswith("1:5: mapping values are not allowed in this context: ")


def test_an_error_without_a_place_is_at_the_beginning():
    """As YAML's own classes allow."""
    assert explained(yaml.MarkedYAMLError(problem="something"), "") == (1, 1, "something")


@given(st.text(alphabet=" \n\t'\"{}[],#:-@&*!|>%\\<ab1\u00a0\r", max_size=60))
def test_whatever_is_written_is_read_or_told_inside_the_text(text):
    """A place that editors can go to: a line there is, or the one after the last."""
    problems: list[Problem] = []
    node = parse(text.encode(), Report("f", problems))
    assert node is not None or problems
    lines = [*text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), ""]
    for problem in problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
