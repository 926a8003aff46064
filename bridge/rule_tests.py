"""Run the tests beside rules: every event through `explain`, every difference at the place where it was expected."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from bridge import captured
from bridge.cases import Case, merged
from bridge.config import Config
from bridge.contracts import Request, Source
from bridge.errors import BridgeError, Problem, Refusal
from bridge.explanation import explain
from bridge.model import Event
from bridge.rules import Rule, RuleResult, RuleSet

_NOT_GIVEN = "(not given)"
_LONGEST_SHOWN = 200
_Difference = tuple[tuple[str | int, ...], str]


class Outcome(Struct, frozen=True):
    """How many tests there are, how many failed, and every difference, sorted by place."""

    ran: int
    failed: int
    problems: list[Problem]


class _Unusable(BridgeError):
    """A test's event cannot be made."""


def run(config: Config) -> Outcome:
    """Run all tests of a configuration; each asks only the rule it stands beside."""
    ran, failed, problems = 0, 0, []
    for rule in config.ruleset.rules:
        ruleset = RuleSet([rule], {rule.template: config.ruleset.templates[rule.template]})
        alone = structs.replace(config, ruleset=ruleset)
        for at, case in enumerate(rule.tests):
            found = list(_differences(alone, rule, case))
            ran, failed = ran + 1, failed + bool(found)
            title = f"rule {rule.name!r}: test {at + 1}{f' ({case.name})' if case.name else ''}"
            written = config.written[rule.name]
            problems += [written.problem(("tests", at, *path), f"{title}: {message}") for path, message in found]
    return Outcome(ran, failed, sorted(problems))


def _differences(config: Config, rule: Rule, case: Case) -> Iterator[_Difference]:
    try:
        event = _event(config, rule, case)
    except _Unusable as error:
        yield ("event",), str(error)
        return
    [result] = explain(config, event).rules
    yield from _runs(case, result) if case.skips is None else _skips(case, result)


def _runs(case: Case, result: RuleResult) -> Iterator[_Difference]:
    if result.verdict != "match":
        yield ("runs",), f"it should run, but does not: {result.reason}"
    elif isinstance(case.runs, dict):
        for name, value in case.runs.items():
            actual = result.variables.get(name)
            if actual != value:
                shown = f"\n      expected  {_shown(value)}\n      actual    {_shown(actual)}"
                yield ("runs", name), f"variable {name!r} differs{shown}"


def _skips(case: Case, result: RuleResult) -> Iterator[_Difference]:
    if result.verdict == "match":
        width = max(map(len, result.variables), default=0)
        given = "".join(f"\n      {name:<{width}}  {_shown(value)}" for name, value in result.variables.items())
        yield ("skips",), f"it should not run, but does{', with' if given else ''}{given}"
    elif result.verdict == "error":
        yield ("skips",), f"it should be skipped, but cannot be decided: {result.reason}"
    elif isinstance(case.skips, str):
        expected = case.skips
        verdicts = {one.text: one.verdict for one in result.conditions}
        if verdicts.get(expected) not in ("false", "missing"):
            says = f"that is {verdicts[expected]}" if expected in verdicts else "it does not come to that"
            yield ("skips",), f"it should be skipped by {expected}, but {says}. It is skipped: {result.reason}"


def _shown(value: str | None) -> str:
    if value is None:
        return _NOT_GIVEN
    text = value if value.isprintable() and value == value.strip() and value else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}... ({len(value):,} characters)"


def _event(config: Config, rule: Rule, case: Case) -> Event:
    source = config.sources[rule.source]
    name = case.as_ or next(iter(rule.events), "")
    try:
        if isinstance(case.event, str):
            request = captured.read(source, _file(config, rule, case.event), name)
            return structs.replace(_parsed(source, request, case), source=rule.source)
        return structs.replace(_inline(source, case, case.event, name), source=rule.source)
    except Refusal as error:
        which = "" if name else "; say which event it is, with `as:`"
        raise _Unusable(f"the event cannot be read: {error}{which}") from None


def _file(config: Config, rule: Rule, name: str) -> bytes:
    path = Path(config.written[rule.name].file).parent / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise _Unusable(f"the file {str(path)!r} cannot be read: {error.strerror}") from None


def _inline(source: Source, case: Case, different: dict[str, Any], name: str) -> Event:
    """Merge what is different over the smallest body; a fact's name that is none of the body's keys sets the fact."""
    smallest = source.smallest(name)
    facts = {fact.partition(".")[0] for fact in source.facts}
    own = {key: value for key, value in different.items() if key in facts and not _alike(smallest.get(key), value)}
    body = merged(smallest, {key: value for key, value in different.items() if key not in own})
    event = _parsed(source, source.packed(name, body), case)
    shadowed = {key: value for key, value in different.items() if key in facts - own.keys()}
    if shadowed:
        # A key of the body's outer level, which the fact is not taken from: `number` of a pull request.
        before = _parsed(source, source.packed(name, smallest), case).facts
        own |= {key: value for key, value in shadowed.items() if event.facts.get(key) == before.get(key)}
    return structs.replace(event, facts=merged(event.facts, own)) if own else event


def _alike(inner: Any, given: Any) -> bool:
    return inner is not None and isinstance(inner, dict) == isinstance(given, dict)


def _parsed(source: Source, request: Request, case: Case) -> Event:
    headers = {name.lower(): value for name, value in case.headers.items()}
    merged_headers = {**request.headers, **headers}
    return source.parse(structs.replace(request, headers=merged_headers, query={**request.query, **case.query}))
