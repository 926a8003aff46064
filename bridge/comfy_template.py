"""What a template of Comfy Cloud is: a workflow's file, and which inputs of its nodes the variables are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import field

from bridge.comfy_graph import RANDOM, Graph, Place, drawn, filled, misplaced, no_seed, no_value, read
from bridge.errors import Permanent
from bridge.rules import Template, Variable
from bridge.runs import Complaint, Order


class ComfyVariable(Variable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input of a node: its text becomes what the workflow has there, text, a number, or true or false."""

    input: str | list[str] = ""
    """Which input of which node it is, such as "6.text"; a list where one value goes to several."""
    seed: bool = False
    """Whether it is a seed: a whole number, or `random`, which is drawn anew for each execution."""
    upload: bool = False
    """Whether its value is the URL of a file, which is uploaded to Comfy first."""

    def places(self) -> list[Place]:
        """Read `input`; ValueError says what is wrong with it."""
        return [Place.read(text) for text in ([self.input] if isinstance(self.input, str) else self.input)]

    def problem(self, value: str) -> str | None:
        """Say, too, why a value is no seed."""
        return super().problem(value) or (no_seed(value) if self.seed else None)


class ComfyTemplate(Template, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workflow's file in API format, named relative to the configuration."""

    variables: dict[str, ComfyVariable] = field(default_factory=dict)  # type: ignore[assignment]  # only read
    """What is filled in, by name; a rule that gives anything else is a mistake."""
    outputs: dict[str, str] = field(default_factory=dict)
    """Names for outputs: name -> node id; without one an output has its node's id."""
    partner_nodes: bool = False
    """Whether it has Partner Nodes, which need a key inside the request."""

    def settled(self, variables: dict[str, str], execution_id: str) -> dict[str, str]:
        """Draw the seeds that are `random`: for one execution always the same."""
        seeds = {name for name, variable in self.variables.items() if variable.seed}
        return {
            name: drawn(value, f"{execution_id} {name}") if name in seeds else value
            for name, value in variables.items()
        }


def problems(template: Template, folder: Path) -> Iterator[Complaint]:
    """Say what is wrong with a template, and with what its file does not have."""
    try:
        graph = read(folder / template.id)
    except ValueError as error:
        yield ("id",), str(error)
        graph = {}
    variables = template.variables if isinstance(template, ComfyTemplate) else {}
    for name, variable in variables.items():
        yield from _of_variable(graph, name, variable)
    for name, node in template.outputs.items() if isinstance(template, ComfyTemplate) else ():
        if graph and node not in graph:
            yield ("outputs", name), misplaced(graph, Place(node, "")) or ""


def filled_in(order: Order) -> Graph:
    """Read the workflow's file and fill it in; raises Permanent."""
    try:
        graph = read(order.folder / order.template_id)
        values: dict[str, tuple[list[Place], Any]] = {
            name: (
                ComfyVariable(input=order.variable_options.get(name, {}).get("input", "")).places(),
                order.prepared.get(name, value),
            )
            for name, value in order.variables.items()
            # Without a file to upload the workflow keeps its own.
            if value or not order.variable_options.get(name, {}).get("upload")
        }
    except ValueError as error:
        raise Permanent(str(error)) from None
    return filled(graph, values)


def _of_variable(graph: Graph, name: str, variable: ComfyVariable) -> Iterator[Complaint]:
    """Say what is wrong with where a variable goes; of a workflow that cannot be read, nothing is known."""
    if not variable.input:
        yield ("variables", name), f'variable {name!r} names no `input:`, such as "6.text"'
        return
    if variable.seed and variable.upload:
        yield ("variables", name, "upload"), f"variable {name!r} cannot be a seed and a file"
    try:
        places = variable.places()
    except ValueError as error:
        yield ("variables", name, "input"), str(error)
        return
    for place in places if graph else ():
        problem = misplaced(graph, place)
        if problem is not None:
            yield ("variables", name, "input"), problem
            continue
        said = [("choices", choice) for choice in variable.choices or ()]
        default = variable.default
        if default is not None and not (variable.seed and no_seed(default)):  # else `problem` has told that already
            said.append(("default", default))
        for key, value in said:
            drawn_later = variable.upload or (variable.seed and value == RANDOM)
            if not drawn_later and (wrong := no_value(graph, place, value)):
                yield ("variables", name, key), f"variable {name!r} {wrong}"
        if variable.seed and no_value(graph, place, "0"):
            yield (
                ("variables", name, "seed"),
                f"variable {name!r}: no whole number is there, as a seed would be",
            )
