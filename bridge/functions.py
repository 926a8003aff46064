"""What expressions may call: filters, tests, text methods, and the one table that turns a value into text. Pure.

An allow-list. Each entry is total over JSON or fails with a reason, and its output is bounded by its input:
what could grow without bound (repeat, pad, format, join with a long separator) is absent or counts first.
"""

import fnmatch
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any
from urllib.parse import quote

import msgspec
import re2
from jinja2 import Undefined
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.tests import TESTS as _JINJA_TESTS

from bridge.credentials import SHOWN, Concealed
from bridge.errors import EvaluationError, ExpressionError

JINJA_TESTS: Mapping[str, Any] = _JINJA_TESTS  # Jinja's own annotation is of no use to a type checker

MAX_GROWN_CHARACTERS = 1_000_000
"""What one `replace` or `join` may produce."""

MAX_PRECISION = 15
"""Digits `round` takes: Jinja's own raises 10 to this power, however large an event says it is."""

METHODS = frozenset(
    "capitalize count endswith find isalnum isalpha isdigit lower lstrip partition removeprefix removesuffix rfind "
    "rpartition rsplit rstrip split splitlines startswith strip title upper".split()
)
"""Methods of text; none can make a text longer than what it is called on."""


def to_text(value: Any) -> Any:
    """Turn a value into text, in the one documented way (docs/rules.md, 'Values become text').

    Text as is; true, false; numbers, whole ones without `.0`; lists and objects as compact JSON. null, infinite
    numbers and missing names have no text: EvaluationError. Returns an undefined as it is, for Jinja to report.
    """
    if isinstance(value, Concealed):
        raise EvaluationError("it is a credential, and those are not put into texts")
    if isinstance(value, (str, Undefined)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if value is None:
        raise EvaluationError("the value is null, which has no text; give it one with `| default('...', true)`")
    if isinstance(value, (list, tuple, dict, Iterator)):
        return to_json(list(value) if isinstance(value, Iterator) else value)
    raise EvaluationError(f"a {type(value).__name__} has no text")


def _number(value: float) -> str:
    if not isfinite(value):
        raise EvaluationError(f"{value} has no text")
    return str(int(value)) if value.is_integer() else repr(value)


def to_json(value: Any) -> str:
    """Write a value as compact JSON; an undefined inside is reported as missing."""

    def refuse(inner: Any) -> Any:
        if isinstance(inner, Iterator):
            return list(inner)
        if isinstance(inner, Concealed):
            return SHOWN
        if isinstance(inner, Quoted):
            return str(inner)
        str(inner)  # an undefined raises its own error here, with its name
        raise EvaluationError(f"a {type(inner).__name__} has no JSON form")

    if isinstance(value, Undefined):
        return str(value)
    return msgspec.json.encode(value, enc_hook=refuse).decode()


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Any:
    """Compile a regular expression for linear-time matching (RE2); ExpressionError says what is wrong with it."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        raise ExpressionError(f"the pattern {pattern!r} is not a regular expression RE2 knows: {reason}") from None


def _like(value: Any, pattern: str) -> bool:
    return fnmatch.fnmatchcase(_needs_text(value, "is like"), pattern)


def _matching(value: Any, pattern: str) -> bool:
    return compile_pattern(pattern).search(_needs_text(value, "is matching")) is not None


def _replace(value: Any, old: str, new: str) -> str:
    text = to_text(value)
    grown = len(text) + text.count(old) * (len(new) - len(old))
    return str(_bounded(grown, "replace") and text.replace(old, new))


def _join(value: Iterable[Any], separator: str = "") -> str:
    parts = [to_text(item) for item in value]
    grown = sum(len(part) for part in parts) + len(separator) * len(parts)
    return str(_bounded(grown, "join") and separator.join(parts))


def _bounded(characters: int, what: str) -> bool:
    if characters > MAX_GROWN_CHARACTERS:
        raise EvaluationError(f"`{what}` would make {characters:,} characters, more than {MAX_GROWN_CHARACTERS:,}")
    return True


def _flatten(value: Iterable[Any]) -> list[Any]:
    return [inner for item in value for inner in (item if isinstance(item, list) else [item])]


def _sum(value: Iterable[Any]) -> float:
    return sum(_needs_number(item) for item in value)


def _round(value: Any, precision: Any = 0, method: str = "common") -> Any:
    if not isinstance(precision, int) or abs(precision) > MAX_PRECISION:
        raise EvaluationError(f"`round` takes at most {MAX_PRECISION} digits")
    return JINJA_FILTERS["round"](value, precision, method)


def _split(value: Any, separator: str | None = None) -> list[str]:
    return _needs_text(value, "split").split(separator)


def _sha256(value: Any) -> str:
    return hashlib.sha256(_needs_text(to_text(value), "sha256").encode()).hexdigest()


class Quoted(str):
    """Text that is percent-encoded already, so that nothing encodes it twice."""

    __slots__ = ()


def _urlencode(value: Any) -> str:
    return value if isinstance(value, Quoted) else Quoted(quote(_needs_text(to_text(value), "urlencode"), safe=""))


def _needs_text(value: Any, what: str) -> str:
    if isinstance(value, Undefined):
        return str(value)  # raises the undefined's own error, with its name
    if not isinstance(value, str):
        raise EvaluationError(f"`{what}` needs text, not {msgspec.json.encode(value).decode()[:80]}")
    return value


def _needs_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        str(value)  # an undefined raises its own error here
        raise EvaluationError("`sum` adds numbers only; to join lists use `flatten`")
    return value


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


_TAKEN_FILTERS = (
    "abs capitalize count d default dictsort first float int items last length list lower map max min reject "
    "rejectattr reverse select selectattr sort string title trim truncate unique upper wordcount"
)
_TAKEN_TESTS = (
    "boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable le lessthan lower "
    "lt ne none number odd sequence string true undefined upper == != > >= < <="
)


def _taken(everything: Mapping[str, Any], names: str) -> dict[str, Callable[..., Any]]:
    return {name: everything[name] for name in names.split()}


FILTERS: dict[str, Callable[..., Any]] = {
    **_taken(JINJA_FILTERS, _TAKEN_FILTERS),
    "flatten": _flatten,
    "join": _join,
    "json": to_json,
    "replace": _replace,
    "round": _round,
    "sha256": _sha256,
    "split": _split,
    "sum": _sum,
    "urlencode": _urlencode,
}
TESTS: dict[str, Callable[..., Any]] = {
    **_taken(JINJA_TESTS, _TAKEN_TESTS),
    "like": _like,
    "mapping": _is_mapping,
    "matching": _matching,
}
