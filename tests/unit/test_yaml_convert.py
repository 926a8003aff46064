"""Nodes become typed records; every mistake is reported at its place, and the rest is still built."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from bridge.duration import Duration
from bridge.errors import Problem
from bridge.expressions import Text
from bridge.secret import Secret
from bridge.yaml_convert import FAILED, Converter, members_of, records_of
from bridge.yaml_text import MapNode, Report, parse


class Colour(StrEnum):
    """Two colours."""

    RED = "red"
    BLUE = "blue"


class Point(Struct, frozen=True, kw_only=True):
    """A record without a tag."""

    x: int
    y: int = 0
    renamed: str = ""


class Picky(Struct, frozen=True, kw_only=True):
    """A record that checks itself."""

    low: int = 0
    high: int = 9

    def __post_init__(self):
        """Refuse the wrong order."""
        if self.low > self.high:
            raise ValueError("low is above high")


class Circle(Struct, frozen=True, kw_only=True, tag="circle", tag_field="type"):
    """One of two kinds."""

    radius: float


class Square(Struct, frozen=True, kw_only=True, tag="square", tag_field="type"):
    """The other kind."""

    secrets: Annotated[list[Secret], Meta(min_length=1)] = []


def convert(text, kind, environ=None):
    """Return the value of `key: <text>` as a kind, and the problems as `line:column: message`."""
    problems: list[Problem] = []
    report = Report("f", problems)
    top = parse(f"key: {text}\n".encode(), report)
    assert isinstance(top, MapNode)
    value = Converter(report, environ).value(top.entries["key"][1], kind)
    return value, [f"{problem.line}:{problem.column}: {problem.message}" for problem in problems]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3.10", str, "3.10"),
        ("on", str, "on"),
        ("012", str, "012"),
        ("true", str, "true"),
        ("2026-11-22", str, "2026-11-22"),
        ("true", bool, True),
        ("false", bool | None, False),
        ("12", int, 12),
        ("-3", int | None, -3),
        ("1.5", float, 1.5),
        ("2", float, 2.0),
        ("2", int | str, 2),
        ("'2'", int | str, "2"),
        ("~", str | None, None),
        ("", dict[str, str], {}),
        ("", list[str], []),
        ("[3.10, on]", list[str], ["3.10", "on"]),
        ("[a]", tuple[str, ...], ("a",)),
        ("[a]", frozenset[str], frozenset({"a"})),
        ("[a]", str | list[str], ["a"]),
        ("a", str | list[str], "a"),
        ("[a, 1]", list, ["a", 1]),
        ("{a: 012}", dict[str, str], {"a": "012"}),
        ("{a: {b: [1, on]}}", dict[str, Any], {"a": {"b": [1, "on"]}}),
        ("hold", Literal["hold", "retry"], "hold"),
        ("1", Literal[1], 1),
        ("red", Colour, Colour.RED),
        ("[red, blue]", list[Colour], [Colour.RED, Colour.BLUE]),
        ("15s", Duration, Duration(seconds=15)),
        ("{x: 1}", Point, Point(x=1)),
        ("{x: 1}", Point | None, Point(x=1)),
        ("", Point | None, None),
        ("", Picky, Picky()),
        ("{type: circle, radius: 1}", Circle, Circle(radius=1.0)),
        ("{type: circle, radius: 1}", Circle | Square, Circle(radius=1.0)),
        ("5", Annotated[int, Meta(ge=1)], 5),
        ("abc", Annotated[str, Meta(pattern="^a")] | None, "abc"),
        ("[a]", Annotated[list[str], Meta(min_length=1)] | None, ["a"]),
    ],
)
def test_reads_what_the_type_wants(text, kind, value):
    """The type decides what a scalar is: text stays as written, numbers and booleans only where they are wanted."""
    read, problems = convert(text, kind)
    assert (read, type(read), problems) == (value, type(value), [])


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("yes", bool, "1:6: expected true or false, not 'yes'"),
        ("'true'", bool, "1:6: expected true or false, not 'true'"),
        ("012", int, "1:6: expected a whole number, not '012'"),
        ("'5'", int, "1:6: expected a whole number, not '5'"),
        ("1.5", int | bool, "1:6: expected true or false or a whole number, not '1.5'"),
        ("x", float, "1:6: expected a number, not 'x'"),
        ("~", str, "1:6: nothing is written here; for empty text write ''"),
        ("", Text, "1:5: nothing is written here; for empty text write ''"),
        ("[a]", str, "1:6: expected text, not a list"),
        ("{a: b}", str | list[str], "1:6: expected text or a list, not a mapping"),
        ("a", list[str], "1:6: expected a list, not 'a'"),
        ("a", dict[str, str], "1:6: expected a mapping (key: value), not 'a'"),
        ("a", Point, "1:6: expected a mapping (key: value), not 'a'"),
        ("[a]", Point, "1:6: expected a mapping (key: value), not a list"),
        ("holt", Literal["hold", "retry"], "1:6: unknown value 'holt': did you mean 'hold'?"),
        ("green", Colour, "1:6: unknown value 'green': there are: blue, red"),
        ("2", Literal[1], "1:6: unknown value '2': there are: 1"),
        ("0", Annotated[int, Meta(ge=1)], "1:6: expected a whole number >= 1, not 0"),
        ("b", Annotated[str, Meta(pattern="^a")], "1:6: expected text matching regex '^a', not 'b'"),
        ("b", Annotated[str, Meta(pattern="^a", description="an a")], "1:6: expected an a, not 'b'"),
        ("[]", Annotated[list[str], Meta(min_length=1)] | None, "1:6: expected a list of length >= 1, not of length 0"),
        ("15", Duration, "1:6: '15' is not a duration: write a number and a unit, such as 500ms, 15s, 5m, 1h, 7d"),
        ("[a]", Text, "1:6: expected text, such as: ${{ branch }}"),
        ("s3cret", Secret, "1:6: a secret is never written here, for this file is read by many: write {env: NAME}"),
        ("{x: 1, z: 2}", Point, "1:13: unknown key 'z': there are: renamed, x, y"),
        ("{y: 1}", Point, "1:6: 'x' is missing"),
        ("{low: 5, high: 4}", Picky, "1:6: low is above high"),
        ("{radius: 1}", Circle, "1:6: 'type' is missing; there are: circle"),
        ("", Circle | Square, "1:5: 'type' is missing; there are: circle, square"),
        ("{type: circel}", Circle | Square, "1:13: unknown type 'circel': did you mean 'circle'? There are: circle, s"),
        ("{type: zzz}", Circle | Square, "1:13: unknown type 'zzz': there are: circle, square"),
        ("{type: [a]}", Circle | Square, "1:13: unknown type 'that is no text': there are: circle, square"),
        ("{type: circle}", Circle | Square, "1:6: 'radius' is missing"),
        ("{type: square, secrets: []}", Square, "1:30: expected a list of length >= 1, not of length 0"),
    ],
)
def test_says_what_is_wrong_and_where(text, kind, problem):
    """Each mistake is one problem at the place of the value or key, in words for people."""
    _, problems = convert(text, kind)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_reports_every_mistake_and_keeps_the_rest():
    """Wrong items are left out, and what is right beside them is read."""
    assert convert("[15s, x, 5m, y]", list[Duration])[0] == [Duration(seconds=15), Duration(minutes=5)]
    assert convert("{a: 1, b: x, c: 2}", dict[str, int])[0] == {"a": 1, "c": 2}
    value, problems = convert("{x: 1, y: yes, renamed: [a]}", Point)
    assert value == Point(x=1)
    assert problems == ["1:16: expected a whole number, not 'yes'", "1:30: expected text, not a list"]


def test_a_required_field_that_cannot_be_read_fails_its_record():
    """Without a required field there is no record, but one problem."""
    assert convert("{x: yes}", Point) == (FAILED, ["1:10: expected a whole number, not 'yes'"])


def test_a_mistyped_key_is_one_mistake():
    """A required key that is only mistyped is not reported as missing as well."""

    class Named(Struct):
        """A record with one long key."""

        template: str

    assert convert("{tempalte: x}", Named)[1] == ["1:7: unknown key 'tempalte': did you mean 'template'?"]


def test_a_secret_that_is_not_set_does_not_hide_its_record():
    """The problem is reported, and the record is there to be checked further."""
    value, problems = convert("{type: square, secrets: [{env: GONE}]}", Square, environ={})
    assert [secret.reference for secret in value.secrets] == ["env: GONE"]
    assert problems == ["1:31: the environment variable GONE (or GONE_FILE) is not set"]
    assert convert("{type: square, secrets: [{env: SET}]}", Square, environ={"SET": "x"})[1] == []


def test_a_converter_names_what_it_reads():
    """Problems begin with the thing they are about."""
    problems: list[Problem] = []
    report = Report("f", problems)
    node = parse(b"x", report)
    assert Converter(report.within("rule 'a'"), None).value(node, int) is FAILED
    assert str(problems[0]) == "f:1:1: rule 'a': expected a whole number, not 'x'"


def test_unions_are_taken_apart():
    """Members and their tags are found through annotations and nested unions."""
    assert members_of(Annotated[int | None, Meta(ge=1)] | str) == (int, type(None), str)
    assert records_of(members_of(Circle | Square | None)) == {"circle": Circle, "square": Square}
    assert records_of((Point,)) == {None: Point}
