"""Compile and evaluate `when:` conditions and `${{ }}` texts: strict, sandboxed Jinja2 expressions. Pure.

An expression is the operator's; the values are anybody's. So everything about the expression is checked when
it is compiled, evaluation always ends in a value, `missing` or a named error, its cost is linear in the event,
and text that came from an event is never parsed again.
"""

import re
import reprlib
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, Literal

from jinja2 import ChainableUndefined, StrictUndefined, Undefined, UndefinedError, nodes
from jinja2.exceptions import TemplateError
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct

from bridge import credentials
from bridge.errors import EvaluationError, ExpressionError, MissingName
from bridge.expression_check import TOO_DEEP, check
from bridge.functions import FILTERS, TESTS, to_json, to_text

Verdict = Literal["true", "false", "missing", "error"]
Path = tuple[str | int, ...]
"""`body.commits[0].id` as ("body", "commits", 0, "id")."""

MAX_TEXT_CHARACTERS = 1_000_000


class _Missing(ChainableUndefined, StrictUndefined):
    """A name the event does not carry: any use but `is defined` and `default` is an error, at any depth."""


class _Environment(ImmutableSandboxedEnvironment):
    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look a mapping's key up and nothing else, so that `body.items` is the key, never dict.items."""
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)


def _environment() -> _Environment:
    # Jinja's block and comment delimiters cannot be switched off, so they get ones that no YAML text can contain.
    environment = _Environment(
        undefined=_Missing,
        variable_start_string="${{",
        variable_end_string="}}",
        block_start_string="\0{",
        block_end_string="\0}",
        comment_start_string="\0#",
        comment_end_string="#\0",
        keep_trailing_newline=True,
        autoescape=False,
        finalize=to_text,
    )
    environment.globals.clear()
    environment.filters = dict(FILTERS)
    environment.tests = dict(TESTS)
    return environment


_ENVIRONMENT = _environment()
_STRAY = re.compile(r"""unexpected char (['"])(.+)\1 at [0-9]+""")


class ConditionResult(Struct, frozen=True):
    """What one condition said of one event."""

    text: str
    verdict: Verdict
    values: dict[str, Any]
    """The names the condition uses, with what they were; missing ones are absent."""
    reason: str | None
    """Why it is not true, for people."""


class Condition:
    """One line of `when:`: an expression that must be true or false."""

    def __init__(self, source: str) -> None:
        """Compile; ExpressionError says what is wrong."""
        self.source = source
        tree = _parse(lambda: _expression(source))
        check(tree)
        self.paths = _paths(tree)
        self._named = tuple((dotted(path), path, credentials.is_hidden(str(path[-1]))) for path in self.paths)

    @cached_property
    def _run(self) -> Any:
        return _ENVIRONMENT.compile_expression(self.source, undefined_to_none=False)._template

    @classmethod
    def decode(cls, value: Any) -> "Condition":
        """Compile a YAML scalar."""
        if not isinstance(value, str):
            raise ExpressionError("a condition is one line of text, such as: branch == 'main'")
        return _condition(value)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the written form."""
        return {"type": "string", "examples": ["branch is like 'release/*'"]}

    def evaluate(self, names: Mapping[str, Any]) -> ConditionResult:
        """Say true, false, missing or error, with the values seen; never raises."""
        seen = [(name, look_up(path, names), hidden) for name, path, hidden in self._named]
        values = {
            name: credentials.SHOWN if hidden else credentials.shown(value)
            for name, value, hidden in seen
            if value is not MISSING
        }
        absent = [name for name, value, _ in seen if value is MISSING]
        try:
            value = self._value(names)
        except UndefinedError as error:
            return ConditionResult(self.source, "missing", values, _are_missing(absent) or str(error))
        except Exception as error:  # noqa: BLE001 - whatever JSON anyone sends, a condition ends in an answer
            return ConditionResult(self.source, "error", values, f"{type(error).__name__}: {error}")
        if value is True:
            return ConditionResult(self.source, "true", values, None)
        if value is False:
            return ConditionResult(self.source, "false", values, _seen(values, absent))
        if isinstance(value, Undefined):
            return ConditionResult(self.source, "missing", values, _are_missing(absent) or value._undefined_message)
        reason = f"a condition must be true or false, this is {_kind(value)}"
        return ConditionResult(self.source, "error", values, reason)

    def _value(self, names: Mapping[str, Any]) -> Any:
        context = self._run.new_context(names)
        list(self._run.root_render_func(context))  # yields no text: a compiled expression leaves its value in `vars`
        return context.vars["result"]

    def __repr__(self) -> str:
        """Show the source."""
        return f"Condition({self.source!r})"


class Text:
    """Text with `${{ expression }}` in it; without one it is itself."""

    def __init__(self, source: str) -> None:
        """Compile; ExpressionError says what is wrong."""
        self.source = source
        tree = _parse(lambda: _ENVIRONMENT.parse(source))
        check(tree)
        self.paths = _paths(tree)
        self.literal = "${{" not in source

    @cached_property
    def _template(self) -> Any:
        return _ENVIRONMENT.from_string(self._tree())

    def _tree(self) -> nodes.Template:
        return _ENVIRONMENT.parse(self.source)

    @classmethod
    def decode(cls, value: Any) -> "Text":
        """Compile a YAML scalar."""
        if not isinstance(value, str):
            raise ExpressionError("expected text, such as: ${{ branch }}")
        return _text(value)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the written form."""
        return {"type": ["string", "number", "boolean"], "examples": ["${{ branch }}"]}

    def render(self, names: Mapping[str, Any]) -> str:
        """Return the text for this event.

        Raises MissingName when the event lacks a name it uses, EvaluationError when it has no text.
        """
        if self.literal:
            return self.source
        try:
            text = "".join(self._template.root_render_func(self._template.new_context(names)))
        except EvaluationError:
            raise
        except UndefinedError as error:
            absent = [dotted(path) for path in self.paths if look_up(path, names) is MISSING]
            raise (MissingName(absent[0]) if absent else EvaluationError(str(error))) from None
        except Exception as error:  # noqa: BLE001 - whatever JSON anyone sends, a text ends in an answer
            raise EvaluationError(f"{type(error).__name__}: {error}") from None
        if len(text) > MAX_TEXT_CHARACTERS:
            raise EvaluationError(f"the text is {len(text):,} characters long, more than {MAX_TEXT_CHARACTERS:,}")
        return text

    def __repr__(self) -> str:
        """Show the source."""
        return f"Text({self.source!r})"


# Many rules have conditions and texts in common: each is compiled once.
@lru_cache(maxsize=4096)
def _condition(source: str) -> Condition:
    return Condition(source)


@lru_cache(maxsize=4096)
def _text(source: str) -> Text:
    return Text(source)


class _Absent:
    """The type of MISSING."""


MISSING = _Absent()


def look_up(path: Path, names: Mapping[str, Any]) -> Any:
    """Follow a path into the names; MISSING where it ends early."""
    value: Any = names
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step, MISSING)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return MISSING
    return value


def dotted(path: Path) -> str:
    """Write a path as the rule would: `body.commits[0].id`, `headers['x-id']`."""
    text = str(path[0])
    for step in path[1:]:
        plain = isinstance(step, str) and step.isidentifier()
        text += f".{step}" if plain else f"[{step!r}]"
    return text


def shortened(value: Any, characters: int = 200) -> Any:
    """Return a value as it is where it is short, else the beginning of its JSON, marked as cut."""
    if value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= characters):
        return value
    text = value if isinstance(value, str) else to_json(value)
    return value if len(text) <= characters else f"{text[:characters]}..."


def _are_missing(absent: list[str]) -> str | None:
    return f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} missing" if absent else None


def _seen(values: Mapping[str, Any], absent: list[str]) -> str | None:
    seen = [f"{name} is {shown(value)}" for name, value in values.items()]
    return ", ".join([*seen, *(f"{name} is missing" for name in absent)]) or None


class _Glimpse(reprlib.Repr):
    def __init__(self) -> None:
        # Deeper or longer than this falls outside the one line that is shown.
        super().__init__()
        self.maxlevel, self.maxlist, self.maxdict, self.maxstring, self.maxlong = 4, 20, 20, 200, 200


_GLIMPSE = _Glimpse()


def shown(value: Any) -> str:
    """Return the beginning of a value's repr, at a cost that does not depend on its size or depth."""
    if type(value) is str and len(value) <= 60:  # noqa: PLR2004 - whose repr is short as well, nearly always
        return repr(value)
    try:
        text = _GLIMPSE.repr(value)
    except ValueError:
        text = "a number of more than 4,300 digits"  # CPython does not write those out
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - one terminal line


def _kind(value: Any) -> str:
    kinds = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "something else")


def _expression(source: str) -> nodes.Node:
    parser = Parser(_ENVIRONMENT, source, state="variable")
    tree = parser.parse_expression()
    if not parser.stream.eos:
        raise ExpressionError(_friendly(f"unexpected {parser.stream.current.value!r} after the end of the expression"))
    tree.set_environment(_ENVIRONMENT)
    return tree


def _parse(parse: Any) -> nodes.Node:
    try:
        tree: nodes.Node = parse()
    except ExpressionError:
        raise
    except (TemplateError, ValueError) as error:  # ValueError: a number of more digits than Python reads
        raise ExpressionError(_friendly(str(error))) from None
    except RecursionError:
        raise ExpressionError(TOO_DEEP) from None
    return tree


def _friendly(message: str) -> str:
    if "got '='" in message or message.startswith("unexpected '='"):
        return f"{message}: to compare, write =="
    if stray := _STRAY.match(message):
        return _strange(stray[2])
    return message.replace("end of print statement", "the end of the expression, }}")


def _strange(character: str) -> str:
    if character in "'\"":
        return f"a quote ({character}) is opened, but not closed"
    if character in "\u2018\u2019\u201a\u201c\u201d\u201e":
        return f"{character} is no quote here: write ' or \""
    return f"unexpected character {character!r}"


def _paths(tree: nodes.Node) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(_walk_paths(tree)))


def _walk_paths(node: nodes.Node) -> Iterator[Path]:
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        # `branch.startswith('x')` uses the name `branch`; the method is no part of the path.
        children: list[nodes.Node] = [node.node.node, *node.args, *node.kwargs]
        for child in children:
            yield from _walk_paths(child)
        return
    path = _path(node)
    if path is not None:
        yield path
        return
    for child in node.iter_child_nodes():
        yield from _walk_paths(child)


def _path(node: nodes.Node) -> Path | None:
    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, nodes.Getattr):
        step: str | int = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        constant: Any = node.arg.value
        if not isinstance(constant, (str, int)) or isinstance(constant, bool):
            return None
        step = constant
    else:
        return None
    above = _path(node.node)
    return None if above is None else (*above, step)
