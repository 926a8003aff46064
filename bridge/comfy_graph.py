"""A workflow of ComfyUI in its API format: read, checked against what is bound to it, filled in.

"Export (API)" in ComfyUI's menu makes one: https://docs.comfy.org/development/core-concepts/workflow
"""

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bridge.errors import Permanent
from bridge.suggest import nearest, unknown

MAX_BYTES = 10_000_000
RANDOM = "random"
"""What a seed may be instead of a number."""

_SEEDS = 1 << 53
"""Above that JavaScript, and with it ComfyUI's editor, rounds."""
_WHOLE = re.compile("-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1
_NODES_NAMED = 8

Graph = dict[str, dict[str, Any]]
"""Node id -> `class_type`, `inputs`, and what else ComfyUI wrote there."""


class Place(NamedTuple):
    """An input of a node, as `input: "6.text"` names it."""

    node: str
    name: str

    @classmethod
    def read(cls, text: str) -> "Place":
        """Read `6.text`; ids of nodes have no dot, names of inputs may. ValueError: it is none."""
        node, _, name = text.partition(".")
        if not node or not name:
            raise ValueError(f'{text[:80]!r} is not an input of a node: write <node>.<input>, such as "6.text"')
        return cls(node, name)


def read(path: Path) -> Graph:
    """Read a workflow's file; ValueError says why it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the workflow {path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"the workflow {path} is larger than {MAX_BYTES // 1_000_000} MB")
    try:
        found: Any = msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the workflow {path} is not JSON: {error}") from None
    problem = _not_a_graph(found)
    if problem is not None:
        raise ValueError(f"the workflow {path} {problem}")
    graph: Graph = found
    return graph


def _not_a_graph(found: Any) -> str | None:
    if not isinstance(found, dict) or not found:
        return "is not a workflow: it has to be an object of nodes"
    if {"nodes", "links"} & found.keys():
        return 'is in the format of ComfyUI\'s editor, which cannot be run: export it with "Export (API)"'
    if isinstance(found.get("prompt"), dict):
        return 'is a whole request: keep of it what stands under "prompt"'
    for node, said in found.items():
        good = isinstance(said, dict) and isinstance(said.get("class_type"), str)
        if not good or not isinstance(said.get("inputs"), dict):
            return f"is not in the API format: node {node[:80]!r} has no `class_type` and `inputs`"
    return None


def misplaced(graph: Graph, place: Place) -> str | None:
    """Say why no value can be put there; None: one can."""
    if place.node not in graph:
        near = nearest(place.node, graph)
        named = [f"{node} ({said['class_type']})" for node, said in graph.items()]
        more = f" and {len(named) - _NODES_NAMED} more" if len(named) > _NODES_NAMED else ""
        hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(named[:_NODES_NAMED])}{more}"
        return f"unknown node {place.node[:80]!r}: {hint}"
    inputs = graph[place.node]["inputs"]
    if place.name not in inputs:
        return f"{_node(graph, place)}: {unknown('input', place.name, inputs)}"
    is_ = inputs[place.name]
    if isinstance(is_, list):
        return f"{_node(graph, place)}: {place.name!r} is connected to another node, so no value can be put there"
    if not isinstance(is_, (str, int, float)):
        return f"{_node(graph, place)}: {place.name!r} is neither text nor a number nor true or false"
    return None


def no_value(graph: Graph, place: Place, text: str) -> str | None:
    """Say why a text cannot be put there, to follow the variable's name; None: it can."""
    try:
        _converted(text, graph[place.node]["inputs"][place.name])
    except ValueError as error:
        return f"is {text[:60]!r}, which is not {error} ({_node(graph, place)}, {place.name!r})"
    return None


def filled(graph: Graph, values: Mapping[str, tuple[list[Place], Any]]) -> Graph:
    """Return the graph with each variable's value in its places, of the type that stood there.

    `values` are by the variable's name: its places, and a text, or what stands for an uploaded file. Raises Permanent,
    for the file may have been changed since the configuration was read.
    """
    made = {node: {**said, "inputs": dict(said["inputs"])} for node, said in graph.items()}
    for name, (places, value) in values.items():
        for place in places:
            problem = misplaced(graph, place)
            if problem is None and isinstance(value, str):
                problem = no_value(graph, place, value)
            if problem is not None:
                raise Permanent(f"variable {name!r} {problem}")
            is_ = graph[place.node]["inputs"][place.name]
            made[place.node]["inputs"][place.name] = _converted(value, is_) if isinstance(value, str) else value
    return made


def drawn(text: str, seed_of: str) -> str:
    """Return a seed as it is, or for `random` one that is the same whenever it is drawn for the same thing."""
    if text != RANDOM:
        return text
    return str(int.from_bytes(hashlib.sha256(seed_of.encode()).digest()[:8]) % _SEEDS)


def no_seed(text: str) -> str | None:
    """Say why a text is no seed, to follow the variable's name; None: it is."""
    good = text == RANDOM or (_WHOLE.fullmatch(text) and 0 <= int(text) <= _LARGEST)
    return None if good else f"is {text[:60]!r}, which is neither a whole number nor {RANDOM!r}"


def _converted(text: str, is_: Any) -> Any:
    """Return the text as the type of what is there; ValueError names the type."""
    if isinstance(is_, bool):
        if text not in ("true", "false"):
            raise ValueError("true or false")
        return text == "true"
    if isinstance(is_, int):
        if not _WHOLE.fullmatch(text) or not _SMALLEST <= int(text) <= _LARGEST:
            raise ValueError(f"a whole number (if it takes fractions, write {is_}.0 in the workflow)")
        return int(text)
    if isinstance(is_, float):
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            raise ValueError("a number")
        return number
    return text


def _node(graph: Graph, place: Place) -> str:
    return f"node {place.node} ({graph[place.node]['class_type'][:80]})"
