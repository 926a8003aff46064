"""A ComfyUI workflow: read from its file, checked against what is bound to it, filled in."""

import copy
import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.comfy_graph import MAX_BYTES, Place, drawn, filled, misplaced, no_seed, no_value, read
from bridge.errors import Permanent

GRAPH = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 7, "cfg": 8.0, "sampler_name": "euler", "tiled": True, "model": ["4", 0], "mask": None},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}, "_meta": {"title": "Prompt"}},
    "10": {"class_type": "LoadImage", "inputs": {"image": "example.png", "extra": {"a": 1}}},
}
WHOLE = "a whole number (if it takes fractions, write 7.0 in the workflow)"


@pytest.fixture
def path(tmp_path):
    """Name a workflow's file, which is not there yet."""
    return tmp_path / "flow.json"


# --------------------------------------------------------------------------------------------------------------- read


def test_a_workflow_is_read_as_it_was_exported(path):
    """With everything that ComfyUI wrote into it, in its order."""
    path.write_text(json.dumps(GRAPH))
    assert read(path) == GRAPH
    assert list(read(path)) == ["3", "6", "10"]


def test_a_workflow_that_is_not_there_is_named(path):
    """So that a mistyped name is seen at once."""
    with pytest.raises(ValueError, match=r"the workflow .*/flow\.json cannot be read: No such file") as failed:
        read(path)
    assert str(path) in str(failed.value)


def test_a_workflow_of_more_than_ten_megabytes_is_not_read(path):
    """One byte less is taken: the limit is the file's, not the text's."""
    head = json.dumps(GRAPH).encode()
    path.write_bytes(head + b" " * (MAX_BYTES + 1 - len(head)))
    with pytest.raises(ValueError, match="is larger than 10 MB"):
        read(path)
    path.write_bytes(head + b" " * (MAX_BYTES - len(head)))
    assert read(path) == GRAPH


@pytest.mark.parametrize("data", [b"", b"{", b"<html>", b"\xff", b'{"1": NaN}', b"[" * 50_000, b'{"1":' * 50_000])
def test_what_is_not_json_is_said_to_be_none(path, data):
    """A file nested without end included, which costs no more than any other."""
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"flow\.json is not JSON: "):
        read(path)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({}, "is not a workflow: it has to be an object of nodes"),
        ([], "is not a workflow"),
        ([GRAPH], "is not a workflow"),
        ("text", "is not a workflow"),
        (None, "is not a workflow"),
        ({"nodes": [], "links": [], "version": 0.4}, 'format of ComfyUI\'s editor.*export it with "Export \\(API\\)"'),
        ({"nodes": []}, "format of ComfyUI's editor"),
        ({"prompt": GRAPH, "extra_data": {}}, 'is a whole request: keep of it what stands under "prompt"'),
        ({"1": {"class_type": "A"}}, "node '1' has no `class_type` and `inputs`"),
        ({"1": {"inputs": {}}}, "node '1' has no"),
        ({"1": {"class_type": 7, "inputs": {}}}, "node '1' has no"),
        ({"1": {"class_type": "A", "inputs": []}}, "node '1' has no"),
        ({"1": "text"}, "node '1' has no"),
        ({**GRAPH, "x" * 500: None}, "node 'x{80}' has no"),
    ],
)
def test_what_is_no_workflow_in_the_api_format_is_refused(path, found, problem):
    """What people save by mistake is recognised, and told with what to do instead."""
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=problem):
        read(path)


def test_a_node_may_be_called_prompt(path):
    """Only what looks like a whole request is taken for one; a node of that name has a class, too."""
    path.write_text(json.dumps({"prompt": "text", **GRAPH}))
    with pytest.raises(ValueError, match="node 'prompt' has no"):
        read(path)


# ------------------------------------------------------------------------------------------------------------- places


@pytest.mark.parametrize(
    ("text", "place"), [("6.text", ("6", "text")), ("57:3.a.b", ("57:3", "a.b")), ("6.a b", ("6", "a b"))]
)
def test_a_place_is_a_node_and_one_of_its_inputs(text, place):
    """Ids of nodes have no dot, names of inputs may have some."""
    assert Place.read(text) == place


@pytest.mark.parametrize("text", ["", "6", ".", "6.", ".text", "x" * 500])
def test_what_names_no_input_is_said_to_be_no_place(text):
    """With how to write one."""
    with pytest.raises(ValueError, match=r'write <node>\.<input>, such as "6\.text"') as failed:
        Place.read(text)
    assert len(str(failed.value)) < 200


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        (Place("6", "text"), None),
        (Place("3", "seed"), None),
        (Place("3", "cfg"), None),
        (Place("3", "tiled"), None),
        (Place("100", "text"), "unknown node '100': did you mean '10'?"),
        (Place("zz", "text"), "unknown node 'zz': there are: 3 (KSampler), 6 (CLIPTextEncode), 10 (LoadImage)"),
        (Place("6", "txt"), "node 6 (CLIPTextEncode): unknown input 'txt': did you mean 'text'?"),
        (Place("6", "zzzz"), "node 6 (CLIPTextEncode): unknown input 'zzzz': there are: clip, text"),
        (Place("6", "clip"), "node 6 (CLIPTextEncode): 'clip' is connected to another node, so no value can be put"),
        (Place("3", "mask"), "node 3 (KSampler): 'mask' is neither text nor a number nor true or false"),
        (Place("10", "extra"), "node 10 (LoadImage): 'extra' is neither text nor a number nor true or false"),
    ],
)
def test_what_a_value_can_be_put_into_is_text_a_number_or_true_or_false(place, problem):
    """Anything else is said with what there is instead."""
    found = misplaced(GRAPH, place)
    assert found == problem if problem is None else (found or "").startswith(problem)


def test_of_many_nodes_only_some_are_named():
    """A workflow with hundreds of them does not fill the screen."""
    graph = {str(number): {"class_type": "A", "inputs": {}} for number in range(100, 130)}
    assert (misplaced(graph, Place("zz", "x")) or "").endswith("107 (A) and 22 more")


# ------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("there", "text", "value"),
    [
        ("a", "", ""),
        ("a", "7", "7"),
        ("a", "true", "true"),
        ("", "ä\n\x00", "ä\n\x00"),
        (True, "true", True),
        (True, "false", False),
        (7, "0", 0),
        (7, "-0", 0),
        (7, "007", 7),
        (7, "-9223372036854775808", -(2**63)),
        (7, "18446744073709551615", 2**64 - 1),
        (8.0, "1", 1.0),
        (8.0, "-0.5", -0.5),
        (8.0, "1e3", 1000.0),
        (8.0, "1E-400", None),
        (8.0, "1E-99", 1e-99),
    ],
)
def test_a_text_becomes_what_stands_there(there, text, value):
    """Of the same type: ComfyUI refuses a text where a number belongs, and true where a 1 does."""
    graph = {"1": {"class_type": "A", "inputs": {"x": there}}}
    if value is None:
        assert no_value(graph, Place("1", "x"), text) is None
        value = 0.0
    made = filled(graph, {"v": ([Place("1", "x")], text)})["1"]["inputs"]["x"]
    assert (type(made), made) == (type(there), value)


@pytest.mark.parametrize(
    ("there", "text", "what"),
    [
        *((True, text, "true or false") for text in ("", "True", "yes", "1", " true")),
        *((7, text, WHOLE) for text in ("", "1.0", "1e3", " 1", "1_000", "٣", "true", "+1", "0x10", "1" * 21)),
        *((7, text, WHOLE) for text in ("18446744073709551616", "-9223372036854775809")),
        *((8.0, text, "a number") for text in ("", "1e999", "-1e999", "nan", "inf", "-Infinity", "1_0", ".5", "1.")),
        *((8.0, text, "a number") for text in ("٣", "1 ", "0x1p3", "9" * 41, "true")),
    ],
)
def test_a_text_that_is_nothing_of_what_stands_there_is_refused(there, text, what):
    """With the type that is wanted, and where."""
    graph = {"1": {"class_type": "A", "inputs": {"x": there}}}
    problem = no_value(graph, Place("1", "x"), text)
    assert problem == f"is {text!r}, which is not {what} (node 1 (A), 'x')"
    with pytest.raises(Permanent) as refused:
        filled(graph, {"v": ([Place("1", "x")], text)})
    assert str(refused.value) == f"variable 'v' {problem}"


def test_a_refusal_shows_only_the_beginning_of_a_value():
    """It may be a whole prompt."""
    graph = {"1": {"class_type": "A" * 500, "inputs": {"x": 7}}}
    assert len(no_value(graph, Place("1", "x"), "y" * 10_000) or "") < 300


def test_filling_in_touches_nothing_else():
    """Not the graph itself, nor any value but the named ones, nor what ComfyUI keeps beside the inputs."""
    before = copy.deepcopy(GRAPH)
    made = filled(
        GRAPH,
        {
            "prompt": ([Place("6", "text")], "a dog"),
            "number": ([Place("3", "seed"), Place("3", "cfg"), Place("3", "sampler_name")], "5"),
        },
    )
    assert before == GRAPH
    expected = copy.deepcopy(before)
    expected["6"]["inputs"]["text"] = "a dog"
    expected["3"]["inputs"] |= {"seed": 5, "cfg": 5.0, "sampler_name": "5"}
    assert made == expected
    assert type(made["3"]["inputs"]["cfg"]) is float
    assert filled(GRAPH, {}) == before


@pytest.mark.parametrize("value", [{"__type": "core/ASSET", "info": {"id": "a"}}, 7, ["x"]])
def test_what_stands_for_an_uploaded_file_goes_in_as_it_is(value):
    """It may be an object where the workflow has a name."""
    assert filled(GRAPH, {"image": ([Place("10", "image")], value)})["10"]["inputs"]["image"] == value


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (Place("77", "text"), "a", "variable 'v' unknown node '77'"),
        (Place("6", "clip"), {"a": 1}, "variable 'v' node 6 (CLIPTextEncode): 'clip' is connected"),
        (Place("3", "seed"), "many", "variable 'v' is 'many', which is not a whole number"),
    ],
)
def test_a_workflow_that_was_changed_meanwhile_refuses_the_value(place, value, problem):
    """For it was checked when the configuration was read; nothing is sent that ComfyUI would misunderstand."""
    with pytest.raises(Permanent) as refused:
        filled(GRAPH, {"v": ([place], value)})
    assert str(refused.value).startswith(problem)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
texts = st.text() | st.integers().map(str) | st.floats().map(str) | st.sampled_from(["true", "false"])


@given(scalars | st.lists(st.integers()), texts)
@example(there=0, text="9" * 5_000)
@example(there=0.0, text="1" * 40 + "e999")
@example(there=False, text="null")
def test_any_text_either_has_the_type_that_stands_there_or_is_refused_with_a_reason(there, text):
    """Never anything else, whatever the workflow has there and whatever an event brings."""
    graph, place = {"1": {"class_type": "A", "inputs": {"x": there}}}, Place("1", "x")
    problem = misplaced(graph, place) or no_value(graph, place, text)
    if problem is not None:
        with pytest.raises(Permanent) as refused:
            filled(graph, {"v": ([place], text)})
        assert str(refused.value) == f"variable 'v' {problem}"
        return
    made = filled(graph, {"v": ([place], text)})["1"]["inputs"]["x"]
    assert type(made) is type(there)
    assert not isinstance(made, float) or math.isfinite(made)


# -------------------------------------------------------------------------------------------------------------- seeds


def test_a_seed_that_is_a_number_stays():
    """Only `random` is drawn."""
    assert drawn("42", "x_1 seed") == "42"
    assert drawn("many", "x_1 seed") == "many"


def test_a_random_seed_is_the_same_whenever_it_is_drawn_for_the_same_thing():
    """Sent again, an execution asks for the same picture; another one, or another of its seeds, for another."""
    seeds = {drawn("random", f"x_{number} {name}") for number in range(50) for name in ("seed", "noise")}
    assert len(seeds) == 100
    assert seeds == {drawn("random", f"x_{number} {name}") for number in range(50) for name in ("seed", "noise")}


@given(st.text())
def test_a_random_seed_is_a_number_that_every_editor_keeps_exactly(seed_of):
    """Above 2**53 JavaScript rounds, and the picture could not be made again."""
    assert 0 <= int(drawn("random", seed_of)) < 2**53
    assert no_seed(drawn("random", seed_of)) is None


@pytest.mark.parametrize("text", ["random", "0", "18446744073709551615"])
def test_a_seed_is_a_whole_number_or_random(text):
    """As ComfyUI's own samplers take it."""
    assert no_seed(text) is None


@pytest.mark.parametrize("text", ["", "-1", "1.5", "Random", "18446744073709551616", "x" * 500])
def test_what_is_no_seed_is_refused(text):
    """With what it may be."""
    problem = no_seed(text) or ""
    assert problem.endswith("which is neither a whole number nor 'random'")
    assert len(problem) < 150
