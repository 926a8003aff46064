"""Refuse what an expression must not say, when it is compiled: unknown filters, growth, Python's insides. Pure."""

from collections.abc import Callable, Sequence
from functools import cache
from inspect import Signature, signature, unwrap
from typing import Any

from jinja2 import nodes

from bridge.errors import ExpressionError
from bridge.functions import FILTERS, METHODS, TESTS, compile_pattern

MAX_DEPTH = 60
"""How many operators of one expression may stand inside one another; `a and b and c` counts as two."""

TOO_DEEP = "the expression is nested too deeply: split it into several lines of `when:`, which must all hold"

_REFUSED = {
    nodes.Mul: "`*` is not available: repeating text from an event could fill the memory",
    nodes.Pow: "`**` is not available: powers of numbers from an event could fill the memory",
    nodes.Mod: "`%` is not available: formatting text from an event could fill the memory; put `${{ }}` into the text",
}
_TAKES_NAMES = {"select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}
"""Filters that take a test's name, and at which position it stands."""


def check(tree: nodes.Node) -> None:
    """Raise ExpressionError for the first thing in an expression that is not available."""
    _check_depth(tree)
    for node in (tree, *tree.find_all(nodes.Node)):
        if isinstance(node, nodes.BinExpr) and type(node) in _REFUSED:
            raise ExpressionError(_REFUSED[type(node)])
        if isinstance(node, nodes.Filter):
            _check_filter(node)
        elif isinstance(node, nodes.Test):
            _refuse_stars(node)
            _check_test(node.name, node.args, node.kwargs)
        elif isinstance(node, nodes.Call):
            _check_call(node)
        elif isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            raise ExpressionError(f"{node.attr!r} is not available: names that begin with _ are Python's own")


def _refuse_stars(node: nodes.Filter | nodes.Test | nodes.Call) -> None:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise ExpressionError("* and ** arguments are not available")


def _check_filter(node: nodes.Filter) -> None:
    if node.name not in FILTERS:
        raise ExpressionError(f"unknown filter {node.name!r}; there are: {', '.join(sorted(FILTERS))}")
    _refuse_stars(node)
    if node.name == "map" and node.args:
        name = _constant(node.args[0], "the name of a filter")
        if name not in FILTERS:
            raise ExpressionError(f"unknown filter {name!r}; there are: {', '.join(sorted(FILTERS))}")
        if name in _TAKES_NAMES or name == "map":
            # Their own arguments could not be checked here, and one may be a pattern out of an event.
            raise ExpressionError(f"`map` cannot apply `{name}`: use it by itself")
    _check_arguments(f"the filter `{node.name}`", FILTERS[node.name], node.args, node.kwargs)
    at = _TAKES_NAMES.get(node.name)
    if at is not None and len(node.args) > at:
        _check_test(_constant(node.args[at], "the name of a test"), node.args[at + 1 :])


def _check_test(name: Any, arguments: list[nodes.Expr], keywords: Sequence[Any] = ()) -> None:
    if name not in TESTS:
        raise ExpressionError(f"unknown test {name!r}; there are: {', '.join(sorted(TESTS))}")
    if name in ("like", "matching"):
        if len(arguments) != 1:
            raise ExpressionError(f"`is {name}` needs one pattern in quotes")
        pattern = _constant(arguments[0], f"the pattern of `is {name}`")
        if name == "matching":
            compile_pattern(pattern)
    _check_arguments(f"the test `{name}`", TESTS[name], arguments, keywords)


def _check_call(node: nodes.Call) -> None:
    method = node.node.attr if isinstance(node.node, nodes.Getattr) else None
    if method == "replace":
        raise ExpressionError("write `| replace(old, new)` instead of `.replace(old, new)`")
    if method not in METHODS:
        what = f".{method}()" if method else "a call"
        raise ExpressionError(f"{what} is not available; of text there are: {', '.join(sorted(METHODS))}")
    _refuse_stars(node)
    _check_unique(f"`.{method}()`", [keyword.key for keyword in node.kwargs])


def _check_arguments(
    what: str, function: Callable[..., Any], arguments: Sequence[nodes.Expr], keywords: Sequence[Any]
) -> None:
    """Refuse arguments the function does not take, which Python would only notice when an event comes."""
    names = [keyword.key for keyword in keywords]
    _check_unique(what, names)
    # Before its own arguments a filter or test gets the value and, if it asks for it, Jinja's context.
    given = (2 if hasattr(unwrap(function), "jinja_pass_arg") else 1) + len(arguments)
    try:
        _signature(function).bind(*range(given), **dict.fromkeys(names))
    except TypeError as error:
        raise ExpressionError(f"{what}: {error}") from None


def _check_unique(what: str, names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise ExpressionError(f"{what}: an argument is given twice")


@cache
def _signature(function: Callable[..., Any]) -> Signature:
    return signature(function)


def _constant(node: nodes.Expr, what: str) -> str:
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        return node.value
    raise ExpressionError(f"{what} must be written out in quotes: text from an event is never parsed")


def _check_depth(tree: nodes.Node) -> None:
    """Refuse what Jinja's code generator and Python's compiler, both recursive, would only choke on at run time."""
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return
    raise ExpressionError(TOO_DEEP)
