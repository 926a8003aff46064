"""Below a condition each of its names gets a marker and a label."""

import pytest

from bridge.spans import labelled, spans


def drawn(text, labels):
    lines = labelled(spans(text, labels), labels)
    return [text, *("".join(piece for piece, _ in line) for line in lines)]


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        ("state == 'success'", ["state"], ["state"]),
        ("'state' == state", ["state"], ["state"]),
        ("body.a.b == a", ["body.a.b", "a"], ["body.a.b", "a"]),
        ("branch.startswith('x')", ["branch"], ["branch"]),
        ("labels[0] == 'x'", ["labels[0]"], ["labels[0]"]),
        ('headers["x-id"] == "x-id"', ["headers['x-id']"], ['headers["x-id"]']),
        ("title | title == 'title'", ["title"], ["title"]),
        ("number is number and x is not number", ["number", "x"], ["number", "x"]),
        ("a == a", ["a"], ["a", "a"]),
        ("statement == 1", ["state"], []),
        ("1 == 2", [], []),
    ],
)
def test_names_are_found_where_they_stand(text, names, found):
    """Not in quotes, not as filters, tests or methods, not as the beginning of another word."""
    assert [text[span.start : span.end] for span in spans(text, names)] == found


def test_one_name_has_its_label_beside_its_marker():
    """The commonest case is one line."""
    assert drawn("state == 'success'", {"state": "'failure'"}) == [
        "state == 'success'",
        "^^^^^ 'failure'",
    ]


def test_several_names_have_their_labels_below_one_another():
    """The last beside the markers, the others under their own."""
    assert drawn("a == bb and ccc", {"a": "1", "bb": "2", "ccc": "3"}) == [
        "a == bb and ccc",
        "^    ^^     ^^^ 3",
        "|    2",
        "1",
    ]


def test_a_name_that_stands_twice_has_one_label():
    """Below its first place."""
    assert drawn("a == b or a", {"a": "1", "b": "2"}) == ["a == b or a", "^    ^    ^", "|    2", "1"]


def test_without_names_there_is_nothing_to_draw():
    """A condition of constants."""
    assert drawn("1 == 2", {}) == ["1 == 2"]
