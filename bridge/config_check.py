"""Check what a readable configuration means: every name is known where it is used, every value is allowed. Pure.

Works on what could be read, so that one run reports misspelt keys and misspelt names alike.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path as File
from typing import Any

from msgspec import Struct, structs

from bridge import command_check
from bridge.at_a_time import AtATime
from bridge.contracts import Engine, Notifier, Source
from bridge.credentials import is_credential
from bridge.errors import ExpressionError, Problem
from bridge.expressions import Path, dotted
from bridge.functions import compile_pattern
from bridge.model import EXECUTION_NAMES
from bridge.rules import Rule, Template, Variable
from bridge.suggest import unknown
from bridge.yaml_text import ListNode, MapNode, Mark, Node, Report, ScalarNode, mark_of

BASE_NAMES = ("source", "event", "action", "body", "headers", "query")
"""The names every expression has, whatever its source."""


class Entry(Struct, frozen=True, kw_only=True):
    """One named thing or rule of the configuration, and where it is written."""

    name: str
    mark: Mark
    """Where its name stands."""
    node: Node
    report: Report
    kind: type[Struct] | None = None
    """Its type, known even where the value could not be read."""
    value: Any = None
    """The record; None when it could not be read."""

    @property
    def type_name(self) -> str:
        """What its `type:` says."""
        return "" if self.kind is None else str(self.kind.__struct_config__.tag)

    def problem(self, path: tuple[str | int, ...], message: str) -> None:
        """Report a problem with the value at `path`."""
        self.report.add(mark_of(self.node, path), message)

    def into(self, problems: list[Problem]) -> "Entry":
        """Return this entry with another list to report into."""
        return structs.replace(self, report=self.report.into(problems))

    def written(self, key: str) -> Node | None:
        """Return what stands under a key; None when that is nothing or an empty list."""
        found = self.node.entries.get(key) if isinstance(self.node, MapNode) else None
        if found is None or (isinstance(found[1], ScalarNode) and found[1].null):
            return None
        return None if isinstance(found[1], ListNode) and not found[1].items else found[1]

    def item_problem(self, key: str, text: str, message: str) -> None:
        """Report a problem with the item of a list that reads `text`."""
        node = self.written(key)
        items = node.items if isinstance(node, ListNode) else []
        marks = [item.mark for item in items if isinstance(item, ScalarNode) and item.text == text]
        # Of several equal items the last is the one too many.
        self.report.add(marks[-1] if marks else mark_of(self.node, (key,)), message)


class Parts:
    """Everything the files hold, by kind."""

    def __init__(self) -> None:
        """Begin empty."""
        self.sources: dict[str, Entry] = {}
        self.engines: dict[str, Entry] = {}
        self.templates: dict[str, Entry] = {}
        self.notifiers: dict[str, Entry] = {}
        self.rules: list[Entry] = []


class _Scope:
    """The names an expression may use."""

    def __init__(
        self, facts: Iterable[str], arguments: frozenset[str] | None, credentials: frozenset[str] = frozenset()
    ) -> None:
        """Take the facts as sources declare them (`files.added` is a name in `files`), and what `args` holds."""
        self.facts: dict[str, set[str]] = {}
        self.arguments = arguments
        self.credentials = credentials
        for fact in facts:
            root, _, inner = fact.partition(".")
            self.facts.setdefault(root, set()).update({inner} - {""})

    def problems(self, paths: Iterable[Path]) -> Iterator[str]:
        """Say what is wrong with the names an expression uses."""
        for path in paths:
            problem = self._problem(path)
            if problem is not None:
                yield problem

    def text_problems(self, paths: Iterable[Path]) -> Iterator[str]:
        """Say what is wrong with the names that a text uses, which is sent to others and kept."""
        for path in paths:
            problem = self._problem(path)
            if problem is None and path[0] in self.credentials | {"body"} and path[-1] in self.credentials:
                problem = f"{dotted(path)} is a credential: a condition may use it, a text may not"
            if problem is not None:
                yield problem

    def _problem(self, path: Path) -> str | None:
        root, inner = str(path[0]), path[1] if len(path) > 1 else None
        if root == "args":
            return self._argument(inner)
        if root not in BASE_NAMES and root not in self.facts:
            return unknown("name", root, [*BASE_NAMES, *self.facts])
        if not isinstance(inner, str):
            return None
        if root in ("headers", "query"):
            return self._request_part(root, inner)
        choices = self.facts.get(root)
        if choices and inner not in choices:
            return unknown("name", dotted(path[:2]), [f"{root}.{choice}" for choice in choices])
        return None

    def _request_part(self, root: str, name: str) -> str | None:
        if root == "headers" and name != name.lower():
            return f"the names of headers are in lower case here: headers[{name.lower()!r}]"
        if is_credential(name):
            return (
                f"{dotted((root, name))} is a credential by its name: rules do not see it, and records do not keep it"
            )
        return None

    def _argument(self, name: str | int | None) -> str | None:
        if self.arguments is None:
            return "`args` is what a command's `usage:` line names; there is none here"
        if name is not None and name not in self.arguments:
            return unknown("argument", f"args.{name}", [f"args.{argument}" for argument in self.arguments])
        return None


def check(parts: Parts, folder: File) -> None:
    """Report everything in the parts that cannot work; `folder` is where the configuration lies."""
    for entry in parts.sources.values():
        _check_source(entry)
    for entry in parts.templates.values():
        _check_template(entry, parts.engines, folder)
    for entry in parts.rules:
        _check_rule(entry, parts)
    used = {name for entry in parts.rules for name in entry.value.notify}
    for name, entry in parts.notifiers.items():
        _check_said(entry)
        if name not in used:
            _check_texts(entry, _Scope(_all_facts(parts.sources), frozenset()))


def _all_facts(sources: Mapping[str, Entry]) -> list[str]:
    return [fact for entry in sources.values() for fact in _facts(entry)]


def _facts(entry: Entry) -> Mapping[str, str]:
    return entry.kind.facts if entry.kind is not None and issubclass(entry.kind, Source) else {}


def _credentials(entry: Entry) -> frozenset[str]:
    return entry.kind.credentials if entry.kind is not None and issubclass(entry.kind, Source) else frozenset()


def _check_source(entry: Entry) -> None:
    _check_texts(entry, _Scope(_facts(entry), None))


def _check_texts(entry: Entry, scope: _Scope, used_by: str = "") -> None:
    if not isinstance(entry.value, (Source, Notifier)):
        return
    for where, text in entry.value.texts().items():
        path = tuple(
            int(step) if step.isdecimal() else step for step in where.replace("[", ".").replace("]", "").split(".")
        )
        for problem in scope.text_problems(text.paths):
            entry.problem(path, problem + used_by)


def _check_said(entry: Entry) -> None:
    """Hold a notifier's own words to the names that an execution has."""
    said = entry.value.said_texts() if isinstance(entry.value, Notifier) else {}
    for where, text in said.items():
        for root in dict.fromkeys(str(path[0]) for path in text.paths):
            if root not in EXECUTION_NAMES:
                entry.problem(tuple(where.split(".", 1)), unknown("name", root, EXECUTION_NAMES))


def _check_template(entry: Entry, engines: Mapping[str, Entry], folder: File) -> None:
    template: Template = entry.value
    if template.engine and template.engine not in engines:
        entry.problem(("engine",), unknown("engine", template.engine, engines))
    elif template.engine and template.id:
        engine = engines[template.engine].value
        for where, problem in engine.problems(template, folder) if isinstance(engine, Engine) else ():
            entry.problem(where, problem)
    for name, variable in template.variables.items():
        _check_variable(entry, name, variable)


def _check_variable(entry: Entry, name: str, variable: Variable) -> None:
    if variable.choices == []:
        entry.problem(("variables", name, "choices"), f"variable {name!r}: an empty list of choices allows nothing")
    try:
        if variable.pattern is not None:
            compile_pattern(variable.pattern)
        problem = None if variable.default is None else variable.problem(variable.default)
        if problem:
            entry.problem(("variables", name, "default"), f"variable {name!r} {problem}")
    except ExpressionError as error:
        entry.problem(("variables", name, "pattern"), str(error))


def _check_rule(entry: Entry, parts: Parts) -> None:
    rule: Rule = entry.value
    if not (entry.written("event") or entry.written("when") or rule.always):
        message = "takes every event of its source: give it `event:` or `when:`, or say `always: true` if that is meant"
        entry.report.add(entry.mark, message)
    _check_variables(entry, rule, parts.templates)
    _check_tests(entry, rule, parts.templates)
    source = parts.sources.get(rule.source)
    kind = None if source is None else source.kind
    if source is not None and kind is not None and issubclass(kind, Source):  # of one of no known type nothing is known
        for key, problem in command_check.problems(rule, kind, f"source {source.name!r} (type {source.type_name})"):
            entry.problem((key,), problem)
        scope = _Scope(_facts(source), None if rule.usage is None else rule.usage.names, _credentials(source))
        _check_names(entry, rule, scope)
        _check_notifiers(entry, rule, source, scope, parts.notifiers)
    elif source is None and rule.source:
        entry.problem(("source",), unknown("source", rule.source, parts.sources))
    for name in rule.notify:
        if name not in parts.notifiers:
            entry.item_problem("notify", name, unknown("notifier", name, parts.notifiers))


def _check_variables(entry: Entry, rule: Rule, templates: Mapping[str, Entry]) -> None:
    if rule.template not in templates:
        if rule.template:
            entry.problem(("template",), unknown("template", rule.template, templates))
        return
    template: Template = templates[rule.template].value
    written = entry.written("variables")
    given = written.entries if isinstance(written, MapNode) else {}
    for name, text in rule.variables.items():
        if name not in template.variables:
            stray = unknown("variable", name, template.variables)
            entry.report.add(given[name][0], f"{stray} (of template {rule.template!r})")
        elif text.literal and (problem := _not_allowed(template.variables[name], text.source)):
            entry.problem(("variables", name), f"variable {name!r} {problem}")
    for name, variable in template.variables.items():
        if variable.required and variable.default is None and name not in given:
            entry.problem(("variables",), f"variable {name!r} is required by template {rule.template!r}, but not given")


def _check_tests(entry: Entry, rule: Rule, templates: Mapping[str, Entry]) -> None:
    """Refuse tests that could never pass: of conditions and variables that are not there."""
    conditions = [condition.source for condition in rule.when]
    for at, case in enumerate(rule.tests):
        if isinstance(case.skips, str) and case.skips not in conditions:
            entry.problem(("tests", at, "skips"), f"test {at + 1}: {unknown('condition', case.skips, conditions)}")
        if isinstance(case.runs, dict) and rule.template in templates:
            known = templates[rule.template].value.variables
            for name in case.runs:
                if name not in known:
                    stray = unknown("variable", name, known)
                    entry.problem(("tests", at, "runs", name), f"test {at + 1}: {stray}")


def _not_allowed(variable: Variable, value: str) -> str | None:
    try:
        return variable.problem(value)
    except ExpressionError:
        return None  # the pattern itself is wrong, which the template's own check says


def _check_names(entry: Entry, rule: Rule, scope: _Scope) -> None:
    for condition in rule.when:
        for problem in scope.problems(condition.paths):
            entry.item_problem("when", condition.source, problem)
    for name, text in rule.variables.items():
        for problem in scope.text_problems(text.paths):
            entry.problem(("variables", name), problem)
    if rule.at_a_time is not None:
        _check_turns(entry, rule.at_a_time, scope)


def _check_turns(entry: Entry, turns: AtATime, scope: _Scope) -> None:
    written = entry.written("at_a_time")
    given = written.entries if isinstance(written, MapNode) else {}
    _, keep = given.get("keep", (None, None))
    if "debounce" not in given and (keep is None or (isinstance(keep, ScalarNode) and keep.text == "all")):
        message = "this lets all run at once, as without it: add `keep: first|latest|queue` or `debounce:`"
        entry.problem(("at_a_time",), message)
    for problem in scope.text_problems(turns.key.paths):
        entry.problem(("at_a_time", "key"), problem)


def _check_notifiers(entry: Entry, rule: Rule, source: Entry, scope: _Scope, notifiers: Mapping[str, Entry]) -> None:
    for name in dict.fromkeys(rule.notify):
        if rule.notify.count(name) > 1:
            entry.item_problem("notify", name, f"notifier {name!r} is named twice")
        notifier = notifiers.get(name)
        if notifier is None:
            continue
        _check_texts(notifier, scope, f" (for rule {rule.name!r}, whose source is {source.name!r})")
        # Of one that could not be read, which events it answers is not known either.
        answers = notifier.value.answers if isinstance(notifier.value, Notifier) else None
        if answers is not None and source.type_name not in answers:
            message = (
                f"notifier {name!r} (type {notifier.type_name}) answers events of {' and '.join(sorted(answers))} "
                f"sources only, and source {source.name!r} is of type {source.type_name}"
            )
            entry.item_problem("notify", name, message)
