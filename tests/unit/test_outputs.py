"""What every engine puts out is shown alike."""

from typing import Literal

from msgspec import field

from bridge.model import Link
from bridge.outputs import MAX_NAME_CHARACTERS, named, reference, shown
from bridge.rules import Template, Variable, own_keys
from bridge.runs import MAX_OUTPUTS, File


def test_text_and_links_stay_as_they_are() -> None:
    """Only what an engine keeps for itself needs a link of ours."""
    outputs = {"summary": "fine", "page": Link(url="https://example.com/report", type="text/html")}
    assert shown(outputs, "https://bridge", "x_1") == (outputs, {})


def test_a_file_becomes_a_link_of_ours_that_tells_neither_its_name_nor_the_engines_reference() -> None:
    """Whatever the engine calls it, the link's path is our own, and cannot be guessed."""
    name = "../../etc/passwd?x=#"
    found, files = shown({name: File(reference="a/../b", type="image/png", size=7)}, "https://bridge", "x_1")
    [(part, kept)] = files.items()
    assert found == {name: Link(url=f"https://bridge/files/x_1/{part}", type="image/png", size=7)}
    assert kept == "a/../b"
    assert len(part) >= 20
    assert part.replace("-", "").replace("_", "").isalnum()
    _, others = shown({name: File(reference="a/../b")}, "https://bridge", "x_1")
    assert part not in others


def test_what_an_engine_puts_out_is_bounded() -> None:
    """A run with thousands of outputs, or a name without end, does not fill the store."""
    found, files = shown({f"{n}{'x' * 300}": File(reference="r") for n in range(200)}, "https://bridge", "x_1")
    assert len(found) == len(files) == MAX_OUTPUTS
    assert {len(name) for name in found} == {MAX_NAME_CHARACTERS}


def test_a_link_leads_to_the_reference_it_was_made_for() -> None:
    """And to nothing else; an execution without files has no links."""
    assert reference({"files": b'{"abc": "r"}'}, "abc") == "r"
    assert reference({"files": b'{"abc": "r"}'}, "abd") is None
    assert reference({}, "abc") is None


def test_outputs_have_the_names_a_template_has_for_them() -> None:
    """A node's second file as well as its first; what it has no name for, or what only looks like a second, stays."""
    outputs = {
        "9": "a",
        "9_2": "b",
        "9_10": "c",
        "12": "d",
        "9_x": "e",
        "_2": "f",
        "12_2": "g",
        "9_2_3": "h",
        "9_": "i",
    }
    assert named(outputs, {"picture": "9", "text": "5"}) == {
        "picture": "a",
        "picture_2": "b",
        "picture_10": "c",
        "12": "d",
        "9_x": "e",
        "_2": "f",
        "12_2": "g",
        "9_2_3": "h",
        "9_": "i",
    }
    assert named(outputs, {}) == outputs


def test_a_name_for_what_looks_like_a_second_output_comes_first() -> None:
    """An engine's name may end in a number of its own."""
    assert named({"9": "a", "9_2": "b"}, {"one": "9", "other": "9_2"}) == {"one": "a", "other": "b"}


class _Variable(Variable, frozen=True, kw_only=True):
    input: str = "6.text"


class _Template(Template, frozen=True, kw_only=True):
    mode: Literal["async", "sync"] = "async"
    variables: dict[str, _Variable] = field(default_factory=dict)


def test_an_execution_keeps_what_its_engine_wants_to_know_of_a_template() -> None:
    """The keys that only this engine's templates and variables have, as JSON has them."""
    own = own_keys(
        _Template(
            engine="e", id="i", mode="sync", variables={"a": _Variable(required=True), "b": _Variable(input="7.x")}
        )
    )
    assert own == {"options": {"mode": "sync"}, "variable_options": {"a": {"input": "6.text"}, "b": {"input": "7.x"}}}
    assert own_keys(Template(engine="e", id="i", variables={"a": Variable()})) == {
        "options": {},
        "variable_options": {},
    }
