"""A mistyped name gets the nearest one there is."""

import pytest

from bridge.suggest import nearest, unknown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("brnch", "unknown name 'brnch': did you mean 'branch'?"),
        ("BRANCH", "unknown name 'BRANCH': did you mean 'branch'?"),
        ("zzz", "unknown name 'zzz': there are: branch, tag"),
        ("z" * 200, f"unknown name '{'z' * 80}': there are: branch, tag"),
    ],
)
def test_unknown_names_the_nearest_or_all(name, expected):
    """The nearest choice is offered, whatever its case; when nothing is near, all are listed."""
    assert unknown("name", name, {"tag", "branch"}) == expected


def test_unknown_says_when_there_is_nothing_to_choose():
    """Without any choice the message says so."""
    assert unknown("engine", "x", []) == "unknown engine 'x': there are none"


def test_nearest_is_none_for_what_is_not_near():
    """A name that is like no choice has no nearest one."""
    assert nearest("zzz", ["branch"]) is None
