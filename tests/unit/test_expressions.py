"""Expressions are checked when compiled, total when evaluated, and never read an event's text as code."""

import json
import re
import time

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.errors import EvaluationError, ExpressionError, MissingName
from bridge.expression_check import MAX_DEPTH
from bridge.expressions import (
    MAX_TEXT_CHARACTERS,
    MISSING,
    Condition,
    ConditionResult,
    Text,
    dotted,
    look_up,
    shortened,
)
from bridge.functions import FILTERS, TESTS

WORDS = sorted(name for name in TESTS if name.isalpha())
EVENT = {
    "branch": "main",
    "draft": False,
    "number": 7,
    "labels": ["bug", "ui"],
    "body": {"commits": [{"id": "c0"}, {"id": "c1"}], "items": "a key", "nothing": None},
    "headers": {"x-id": "h1"},
}


def outcome(condition, names=EVENT):
    """Return verdict and reason of one condition."""
    result = Condition(condition).evaluate(names)
    return result.verdict, result.reason


@pytest.mark.parametrize(
    "condition",
    [
        "branch == 'main'",
        "not draft",
        "number > 5 and number < 10",
        "'bug' in labels",
        "labels | length == 2",
        "body.commits[1].id == 'c1'",
        "body.items == 'a key'",
        "headers['x-id'] == 'h1'",
        "branch.startswith('ma')",
        "gone is not defined",
        "gone.deeper[3].still | default('x') == 'x'",
        "body.nothing is none",
        "(branch if not draft else 'other') == 'main'",
        "branch ~ number == 'main7'",
        "number + 1 == 8 and number - 1 == 6 and number // 2 == 3 and -number < 0",
    ],
)
def test_a_condition_holds(condition):
    """Comparisons, logic, paths, methods, defaults and arithmetic are what people expect."""
    assert outcome(condition) == ("true", None)


@pytest.mark.parametrize(
    ("condition", "verdict", "reason"),
    [
        ("branch == 'dev'", "false", "branch is 'main'"),
        ("1 == 2", "false", None),
        ("draft or gone is defined", "false", "draft is False, gone is missing"),
        ("gone == 'x'", "missing", "gone is missing"),
        ("gone != 'x'", "missing", "gone is missing"),
        ("gone", "missing", "gone is missing"),
        ("body.a.b == 1", "missing", "body.a.b is missing"),
        ("one == two", "missing", "one and two are missing"),
        ("body.commits[9].id == 'x'", "missing", "body.commits[9].id is missing"),
        ("(labels | first).name == 'x'", "missing", "'str object' has no attribute 'name'"),
        ("(labels | last).name", "missing", "'str object' has no attribute 'name'"),
        ("branch", "error", "a condition must be true or false, this is text"),
        ("number", "error", "a condition must be true or false, this is a number"),
        ("labels", "error", "a condition must be true or false, this is a list"),
        ("body", "error", "a condition must be true or false, this is an object"),
        ("body.nothing", "error", "a condition must be true or false, this is null"),
        ("labels | map('lower')", "error", "a condition must be true or false, this is something else"),
        ("branch < 5", "error", "TypeError: '<' not supported between instances of 'str' and 'int'"),
        ("number / 0 == 1", "error", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_condition_says_why_not(condition, verdict, reason):
    """What is not true says which values or missing names made it so."""
    assert outcome(condition) == (verdict, reason)


def test_a_result_is_what_spec_says_in_json():
    """The JSON of a condition's result always has text, verdict, values and reason."""
    result = Condition("branch == 'main' and gone is not defined").evaluate(EVENT)
    assert json.loads(msgspec.json.encode(result)) == {
        "text": "branch == 'main' and gone is not defined",
        "verdict": "true",
        "values": {"branch": "main"},
        "reason": None,
    }


def test_long_and_deep_values_are_shown_short():
    """However large or deep a value is, the reason shows the beginning of it."""
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 10_000_000, deep, 10**5000, {"k": [1] * 100_000}):
        verdict, reason = outcome("a == 1", {"a": value})
        assert verdict == "false"
        assert reason.startswith("a is ")
        assert len(reason) <= len("a is ") + 80


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("branch = 'main'", "to compare, write =="),
        ("branch 'main'", "unexpected 'main' after the end of the expression"),
        ("branch ==", "unexpected"),
        ("'open", re.escape("a quote (') is opened, but not closed")),
        ("branch == “main”", "“ is no quote here: write ' or \""),
        ("branch ? 'a'", re.escape("unexpected character '?'")),
        ("", "expected"),
        ("a * 2 == 4", r"`\*` is not available"),
        ("a ** 2 == 4", r"`\*\*` is not available"),
        ("'%s' % a == 'x'", "`%` is not available"),
        ("a | frobnicate", "unknown filter 'frobnicate'; there are: abs"),
        ("a | map('frobnicate') | list == []", "unknown filter 'frobnicate'"),
        ("a | map('select', 'matching', b) | list == []", "`map` cannot apply `select`"),
        ("a | map('map', b) | list == []", "`map` cannot apply `map`"),
        ("a | map(b) | list == []", "the name of a filter must be written out in quotes"),
        ("a | join(*b)", r"\* and \*\* arguments are not available"),
        ("a.split(**b)", r"\* and \*\* arguments are not available"),
        ("a is frob", "unknown test 'frob'; there are: !="),
        ("a | select('frob') | list == []", "unknown test 'frob'"),
        ("a | selectattr('x', b) | list == []", "the name of a test must be written out in quotes"),
        ("a is like b", "the pattern of `is like` must be written out in quotes"),
        ("a is like", "`is like` needs one pattern in quotes"),
        ("a | select('like', b) | list == []", "the pattern of `is like` must be written out"),
        ("a is matching '('", "is not a regular expression RE2 knows"),
        ("a.replace('a', 'b')", r"write `\| replace\(old, new\)`"),
        ("a.format(b)", r"\.format\(\) is not available"),
        ("range(9)", "a call is not available"),
        ("a.split(sep='x', sep='y') == 1", r"`\.split\(\)`: an argument is given twice"),
        ("a | replace(old='x', old='y') == 1", "the filter `replace`: an argument is given twice"),
        ("a | replace('x') == 1", "the filter `replace`: missing a required argument: 'new'"),
        ("a | default(els=1) == 1", "the filter `default`: got an unexpected keyword argument 'els'"),
        ("a is divisibleby", "the test `divisibleby`: missing a required argument: 'num'"),
        ("a | select('even', 2) | list == []", "the test `even`: too many positional arguments"),
        ("a is eq(*b)", r"\* and \*\* arguments are not available"),
        ("9" * 5000 + " == a", "Exceeds the limit"),
        ("a.__class__ == 1", "'__class__' is not available"),
        ("a._x == 1", "'_x' is not available"),
        ("(" * 400 + "a" + ")" * 400, "nested too deeply"),
        ("a" + ".b" * 3000, "nested too deeply"),
        ("not " * 400 + "a", "nested too deeply"),
        (" and ".join(["a"] * 2000), "nested too deeply"),
    ],
)
def test_a_condition_is_refused_when_compiled(condition, message):
    """Mistakes, growth, Python's insides and depth are found at load, each with its reason."""
    with pytest.raises(ExpressionError, match=message):
        Condition(condition)
    with pytest.raises(ExpressionError):
        Text("${{ " + condition + " }}")


def test_the_deepest_expression_that_compiles_also_runs():
    """Nothing that passes the check chokes the compiler later."""
    for deepest in ("not " * (MAX_DEPTH - 1) + "a", " and ".join(["a"] * MAX_DEPTH)):
        assert Condition(deepest).evaluate({"a": True}).verdict in ("true", "false")
        assert Text("${{ " + " and ".join(["a"] * (MAX_DEPTH - 2)) + " }}").render({"a": True}) == "true"


def test_string_attributes_of_values_are_no_way_in():
    """A key given as text reaches keys only, never Python's attributes."""
    assert outcome("branch['__class__'] == 1")[0] in ("missing", "error")
    assert outcome("labels | map(attribute='__class__') | first == 1")[0] in ("missing", "error")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{ branch }} {% x %} {# y #}", "{{ branch }} {% x %} {# y #}"),
        ("${{ branch }}", "main"),
        ("a ${{ branch }}-${{ number }}\n", "a main-7\n"),
        ("${{ labels }}", '["bug","ui"]'),
        ("${{ draft }}", "false"),
        ("${{ gone | default('x') }}", "x"),
        ("${{ '}' ~ '{' }}", "}{"),
        ("${{ body.commits | map(attribute='id') | join(',') }}", "c0,c1"),
    ],
)
def test_a_text_renders(text, result):
    """Only `${{ }}` is special; values become text in the one documented way."""
    assert Text(text).render(EVENT) == result


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("${{ gone }}", MissingName, "gone is missing"),
        ("${{ body.gone.deeper }}", MissingName, "body.gone.deeper is missing"),
        ("${{ (labels | first).name }}", EvaluationError, "'str object' has no attribute 'name'"),
        ("${{ body.nothing }}", EvaluationError, "null"),
        ("${{ number / 0 }}", EvaluationError, "ZeroDivisionError"),
        ("${{ big }}${{ big }}", EvaluationError, "characters long, more than 1,000,000"),
    ],
)
def test_a_text_without_a_value_is_an_error(text, error, message):
    """Missing, null, failing and oversized values are errors of their own names."""
    with pytest.raises(error, match=message):
        Text(text).render(EVENT | {"big": "x" * (MAX_TEXT_CHARACTERS // 2 + 1)})


@pytest.mark.parametrize("text", ["${{ branch", "${{ }}", "${{ branch branch }}", "${{ a * 2 }}"])
def test_a_broken_text_is_refused_when_compiled(text):
    """An expression that is not closed, empty or not allowed is found at load."""
    with pytest.raises(ExpressionError):
        Text(text)


def test_an_unclosed_text_says_what_is_expected():
    """The message names our delimiter, not Jinja's words for it."""
    with pytest.raises(ExpressionError, match="the end of the expression, }}"):
        Text("${{ branch branch }}")


@pytest.mark.parametrize("value", ["${{ 1+1 }}", "{{ 1+1 }}", "{% raw %}", "\0{ x \0}", "' == ''", "${{ secret }}"])
def test_text_from_an_event_stays_text(value):
    """A value that looks like an expression, a block or a quote is passed on and compared as it is."""
    names = {"branch": value, "secret": "s3cret"}
    assert Text("<${{ branch }}>").render(names) == f"<{value}>"
    assert Text("${{ branch ~ branch }}").render(names) == value * 2
    assert Condition("branch == ''").evaluate(names).verdict == "false"


def test_compiled_expressions_know_themselves():
    """Source, literalness, paths and repr are there for those who check and explain them."""
    text = Text("${{ body.commits[0].id ~ headers['x-id'] ~ branch.split('/')[0] ~ body[true] ~ labels[number] }}")
    assert [dotted(path) for path in text.paths] == [
        "body.commits[0].id",
        "headers['x-id']",
        "branch",
        "body",
        "labels",
        "number",
    ]
    assert (text.literal, Text("x").literal) == (False, True)
    assert repr(Text("x")) == "Text('x')"
    assert repr(Condition("a == 1")) == "Condition('a == 1')"
    assert Condition("a.startswith(prefix=b)").paths == (("a",), ("b",))


@pytest.mark.parametrize("cls", [Condition, Text])
def test_decode_takes_text_only(cls):
    """A YAML value that is no text is refused with an example, and the schema says so, too."""
    assert cls.decode("a == 1").source == "a == 1"
    with pytest.raises(ExpressionError, match="such as"):
        cls.decode(["a"])
    assert "string" in cls.schema()["type"]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        (True, True),
        (10**30, 10**30),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "..."),
        ([1, "a"], [1, "a"]),
        ({"k": "x" * 300}, '{"k":"' + "x" * 194 + "..."),
    ],
)
def test_shortened_keeps_what_is_short(value, kept):
    """Short values are kept as they are, long ones as the beginning of their text or JSON."""
    assert shortened(value) == kept


def test_look_up_ends_where_the_value_ends():
    """A path leads through objects and lists; anything else is missing."""
    assert look_up(("body", "commits", -1, "id"), EVENT) == "c1"
    for path in (("gone",), ("branch", "x"), ("labels", 9), ("labels", "x"), ("number", 0)):
        assert look_up(path, EVENT) is MISSING


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "items", "0"]), inner),
    max_leaves=8,
)
CONDITIONS = [
    Condition(source)
    for source in (
        "a == b",
        "a.b.items == 'x'",
        "a[0] > b",
        "a in b",
        "a is like 'x*'",
        "a is matching '^(a|b)+$'",
        "a | length > 3",
        "a | default(b) == b",
        "a | map(attribute='b') | list == b",
        "a | replace('x', b) == b",
        "a | sort | first == b",
        "a | round(b) == a",
        "a.split(b) == b",
        "a ~ b == a",
        "a + b == a",
        "not a",
        "a and b",
    )
]
TEXTS = [
    Text("${{ a }}"),
    Text("${{ a | join(b) }}"),
    Text("${{ a.b }}-${{ b | json }}"),
    Text("${{ a | truncate(b) }}"),
]


@settings(max_examples=150, deadline=None)
@given(a=JSON, b=JSON)
@example(a="\ud800", b="\ud800")
@example(a=10**5000, b=1)
@example(a=[[]], b=10**9)
def test_evaluation_is_total_and_deterministic(a, b):
    """For any JSON a condition ends in one of four answers and a text in text or a named error, twice the same."""
    names = {"a": a, "b": b}
    for condition in CONDITIONS:
        first, second = condition.evaluate(names), condition.evaluate(names)
        assert isinstance(first, ConditionResult)
        assert first.verdict in ("true", "false", "missing", "error")
        assert (first.verdict, without_addresses(first.reason)) == (second.verdict, without_addresses(second.reason))
    for text in TEXTS:
        assert attempt(text, names) == attempt(text, names)


def without_addresses(reason):
    """Return a reason without the memory addresses in Python's own messages."""
    return reason and re.sub("0x[0-9a-f]+", "", reason)


def attempt(text, names):
    """Return the text or the error's words."""
    try:
        return text.render(names)
    except EvaluationError as error:
        return f"{type(error).__name__}: {error}"


SIZE = 4_000
SHAPES = {
    "text": lambda n: "a" * n,
    "words": lambda n: "a b " * (n // 4),
    "list": lambda n: [str(item) for item in range(n)],
    "objects": lambda n: [{"b": item} for item in range(n)],
    "object": lambda n: {str(item): item for item in range(n)},
}
COSTLY = [
    "a == b",
    "a in b",
    "'x' in a",
    "a | length > 3",
    "a is like '*a*a*a*a*b'",
    "a is matching '(a*)*b$'",
    "a | replace('a', 'b') == b",
    "a | join(',') == ''",
    "a | unique | list == b",
    "a | map(attribute='b') | sum > 0",
    "a | select('equalto', 'x') | list == b",
    "a | sort | first == b",
    "a | dictsort | length > 0",
    "a | flatten | length > 0",
    "a | json | sha256 == ''",
    "a.split('a') == b",
    "a | wordcount > 3",
    "a | title == a | upper",
    "a | truncate(9) == ''",
    "a ~ b == ''",
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("source", COSTLY)
def test_evaluation_is_linear_in_the_event(source, shape):
    """Eight times the event takes about eight times as long (a sort a little more); the square of it would take 64."""
    condition = Condition(source)

    def seconds(size):
        names = {"a": SHAPES[shape](size), "b": SHAPES[shape](size)}
        taken = []
        for _ in range(3):
            began = time.process_time()
            condition.evaluate(names)
            taken.append(time.process_time() - began)
        return min(taken)

    seconds(10)  # compiles it
    assert seconds(8 * SIZE) <= 24 * seconds(SIZE) + 0.005


@pytest.mark.parametrize("use", [*(f"a | {name}" for name in sorted(FILTERS)), *(f"a is {name}" for name in WORDS)])
def test_every_filter_and_test_can_be_checked(use):
    """Each one either compiles as it is or says which argument it misses; none breaks the check itself."""
    try:
        problem = str(Condition(use).source)
    except ExpressionError as error:
        problem = str(error)
    assert problem == use or re.search("missing a required argument|needs one pattern", problem)


def test_values_that_are_credentials_by_their_name_are_not_recorded():
    """They are compared as they are, and shown as `(secret)`; URLs lose their user names and tokens."""
    names = {
        "body": {"password": "s3cret", "callback_url": "https://x/s3cret", "url": "https://u:s3cret@x/?token=s3cret"}
    }
    said = Condition("body.password == 'x' or body.callback_url == 'x' or body.url == 'x'").evaluate(names)
    assert said.verdict == "false"
    assert said.values == {
        "body.password": "(secret)",
        "body.callback_url": "(secret)",
        "body.url": "https://(secret)@x/?token=(secret)",
    }
    assert "s3cret" not in said.reason
    assert Condition("body.password == 's3cret'").evaluate(names).verdict == "true"
