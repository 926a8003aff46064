"""The functions of expressions: total, bounded, and one table that turns values into text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import StrictUndefined, UndefinedError

from bridge.errors import EvaluationError, ExpressionError
from bridge.expressions import Condition, Text
from bridge.functions import FILTERS, MAX_GROWN_CHARACTERS, METHODS, TESTS, compile_pattern, to_json, to_text


def rendered(expression, **names):
    """Return the text of one expression."""
    return Text("${{ " + expression + " }}").render(names)


def verdict(condition, **names):
    """Return what one condition says."""
    return Condition(condition).evaluate(names).verdict


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as is ${{ x }}", "as is ${{ x }}"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (2**70, "1180591620717411303424"),
        (3.0, "3"),
        (-0.5, "-0.5"),
        (1e300, str(int(1e300))),
        ([], "[]"),
        ([1, "a", None, {"b": True}], '[1,"a",null,{"b":true}]'),
        ({"b": 1, "a": [2.5]}, '{"b":1,"a":[2.5]}'),
        (("a", "b"), '["a","b"]'),
        (iter(["a"]), '["a"]'),
        ("\0", "\0"),
    ],
)
def test_values_become_text(value, text):
    """Text as is, true and false, whole numbers without .0, lists and objects as compact JSON."""
    assert to_text(value) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(value=JSON)
def test_every_json_value_has_its_row_in_the_table(value):
    """docs/rules.md, 'Values become text': for any JSON the text is the row's, or it is null."""
    if value is None:
        with pytest.raises(EvaluationError, match="null"):
            to_text(value)
    elif isinstance(value, str):
        assert to_text(value) == value
    elif isinstance(value, bool):
        assert to_text(value) == ("true" if value else "false")
    elif isinstance(value, float):
        assert float(to_text(value)) == value
        assert not to_text(value).endswith(".0")
    elif isinstance(value, int):
        assert to_text(value) == str(value)
    else:
        assert json.loads(to_text(value)) == value
        assert to_text(value) == to_text(json.loads(to_text(value)))


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "null, which has no text"), (float("inf"), "inf has no text"), (b"", "bytes has no text")],
)
def test_some_values_have_no_text(value, reason):
    """Null, infinity and what JSON does not know have no text."""
    with pytest.raises(EvaluationError, match=reason):
        to_text(value)


def test_json_writes_lazy_lists_and_refuses_missing_names():
    """A filter's lazy result is a list; a missing name anywhere in the value is an error that names it."""
    assert to_json([iter([1])]) == "[[1]]"
    missing = StrictUndefined(name="branch")
    for value in (missing, [missing]):
        with pytest.raises(UndefinedError, match="branch"):
            to_json(value)
    with pytest.raises(EvaluationError, match="object has no JSON form"):
        to_json([object()])


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("'a-b-c' | replace('-', '_')", "a_b_c"),
        ("12 | replace('1', 'x')", "x2"),
        ("['a', 1, true] | join", "a1true"),
        ("['a', 'b'] | join(', ')", "a, b"),
        ("[['a'], 'b', ['c', 'd']] | flatten | join", "abcd"),
        ("[1, 2.5] | sum", "3.5"),
        ("'a,b' | split(',')", '["a","b"]'),
        ("' a  b ' | split", '["a","b"]'),
        ("'x' | sha256", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
        ("'a b/c' | urlencode", "a%20b%2Fc"),
        ("{'a': 1} | json", '{"a":1}'),
        ("'A' | lower", "a"),
        ("2.345 | round(2)", "2.35"),
        ("2.5 | round", "2"),
        ("2.41 | round(1, 'ceil')", "2.5"),
        ("['b', 'a'] | sort | first", "a"),
        ("[1, 2] | map('string') | join('+')", "1+2"),
        ("[{'n': 'a'}, {'n': 'b'}] | map(attribute='n') | join", "ab"),
        ("[1, 2, 3] | select('odd') | list", "[1,3]"),
        ("[{'d': true}, {'d': false}] | selectattr('d') | list | length", "1"),
        ("['a1', 'b'] | select('matching', '[0-9]') | first", "a1"),
        ("[{'n': 'a1'}] | rejectattr('n', 'like', 'b*') | list | count", "1"),
        ("'refs/heads/main'.removeprefix('refs/heads/')", "main"),
    ],
)
def test_filters_and_methods_do_what_they_say(expression, text):
    """Each filter of our own, and a sample of Jinja's, gives the documented result."""
    expected = {"2.345 | round(2)": {"2.35", "2.34"}}.get(expression, {text})
    assert rendered(expression) in expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("5 | split", "`split` needs text, not 5"),
        ("['a'] | sum", "`sum` adds numbers only"),
        ("[true] | sum", "`sum` adds numbers only"),
        ("1.5 | round(400, 'floor')", "`round` takes at most 15 digits"),
        ("1.5 | round('1')", "`round` takes at most 15 digits"),
        ("nothing | default(none)", "null, which has no text"),
    ],
)
def test_filters_say_what_they_need(expression, reason):
    """A value of the wrong kind is an error that says which kind is needed."""
    with pytest.raises(EvaluationError, match=reason):
        rendered(expression)


@pytest.mark.parametrize("expression", ["x | split", "[x] | sum", "x | sha256", "x | urlencode", "x | json"])
def test_filters_report_missing_names(expression):
    """A missing name that reaches a filter is reported by its name."""
    with pytest.raises(EvaluationError, match="x is missing"):
        rendered(expression)


@pytest.mark.parametrize("expression", ["body | replace('a', body)", "[body, body] | join(body)"])
def test_growth_is_refused_before_it_happens(expression):
    """What `replace` and `join` would make is counted first."""
    body = "a" * (MAX_GROWN_CHARACTERS // 100)
    with pytest.raises(EvaluationError, match=r"` would make .* characters, more than 1,000,000"):
        rendered(expression, body=body if "replace" in expression else body * 50)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("x is like 'release/*'", "true"),
        ("x is like 'Release/*'", "false"),
        ("x is like 'release/?.[0-9]'", "true"),
        ("x is matching '^release/[0-9.]+$'", "true"),
        ("x is matching '[0-9]$'", "true"),
        ("x is matching '^[0-9]'", "false"),
        ("n is like '1*'", "error"),
        ("n is matching '1'", "error"),
        ("gone is like '*'", "missing"),
        ("gone is matching '.'", "missing"),
        ("m is mapping", "true"),
        ("x is mapping", "false"),
        ("half is matching 'a'", "error"),
    ],
)
def test_tests_match_text(condition, expected):
    """`like` is a glob over the whole text and minds case, `matching` a regex anywhere; both need text."""
    assert verdict(condition, x="release/1.2", n=12, m={}, half="\ud800") == expected


def test_patterns_are_linear_time():
    """A pattern that takes a backtracking engine ages is decided at once, and look-around is refused."""
    assert verdict("x is matching '^(a+)+$'", x="a" * 50_000 + "b") == "false"
    with pytest.raises(ExpressionError, match=r"'\(\?=a\)' is not a regular expression RE2 knows"):
        compile_pattern("(?=a)")


def test_the_lists_hold_nothing_that_grows_or_reaches_out():
    """No filter, test or method that repeats, pads, formats or looks up attributes by name is there."""
    refused = {"attr", "format", "center", "indent", "ljust", "rjust", "zfill", "expandtabs", "translate", "tojson"}
    refused |= {"xmlattr", "pprint", "random", "batch", "slice", "groupby", "urlize", "wordwrap", "join_map", "encode"}
    assert not refused & (set(FILTERS) | set(TESTS) | METHODS)
