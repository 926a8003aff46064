"""Rules, the templates they start, and what both say of an event. Pure.

`evaluate` decides one rule for one event, for the server and for `explain` alike; `RuleSet` finds the rules an
event can concern without looking at the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, to_builtins

from bridge.duration import Duration
from bridge.errors import EvaluationError
from bridge.expressions import Condition, ConditionResult, Text
from bridge.functions import compile_pattern
from bridge.model import Event
from bridge.usage import Usage, UsageError, UsageMismatch

# The lookahead is for Python, whose `$` also matches before a final line end; JSON Schema's does not.
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]*$(?!\n)",
        max_length=64,
        description="a name of at most 64 lower-case letters, digits, - and _ that begins with a letter or a digit",
    ),
]


class Variable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a template wants of one of its variables."""

    required: bool = False
    default: str | None = None
    pattern: str | None = None
    """RE2, over the whole value."""
    choices: list[str] | None = None

    def problem(self, value: str) -> str | None:
        """Say why a value is not allowed, to follow the variable's name; None: it is."""
        if self.required and not value:
            return "is required, and its value is empty"
        if self.choices is not None and value not in self.choices:
            return f"is {_short(value)}, which is none of: {', '.join(self.choices)}"
        if self.pattern is not None and not _matches(self.pattern, value):
            return f"is {_short(value)}, which does not match the pattern {self.pattern!r}"
        return None


class Template(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workflow of an engine, and the variables it takes."""

    engine: str
    id: str
    """The engine's own id of the workflow."""
    variables: dict[str, Variable] = {}
    deadline: Duration = Duration(hours=1)
    """An execution that is not final by then ends as `timed_out`."""


def own_keys(template: Template) -> dict[str, Any]:
    """Return what a template and its variables say beyond the keys that every engine's have, as JSON has it."""
    return {
        "options": _beyond(template, Template),
        "variable_options": {
            name: beyond for name, variable in template.variables.items() if (beyond := _beyond(variable, Variable))
        },
    }


def _beyond(record: Struct, common: type[Struct]) -> dict[str, Any]:
    beyond = [name for name in record.__struct_fields__ if name not in common.__struct_fields__]
    said: dict[str, Any] = to_builtins({name: getattr(record, name) for name in beyond})
    return said


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events of a source start which template, with what, and who is told."""

    name: Name
    source: str
    template: str
    event: str | list[str] | None = None
    when: list[Condition] = []
    always: bool = False
    variables: dict[str, Text] = {}
    notify: list[str] = []
    usage: Usage | None = None
    description: str = ""
    on_unknown: Literal["hold", "retry"] = "hold"

    @property
    def events(self) -> tuple[str, ...]:
        """The event names it takes; none: every event of its source."""
        if self.event is None:
            return ()
        return (self.event,) if isinstance(self.event, str) else tuple(self.event)


class RuleResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one rule said of one event; its JSON is spec 4.1's."""

    rule: str
    verdict: Literal["match", "no_match", "error"]
    reason: str | None
    """Why it does not run, in a sentence; None when it runs."""
    conditions: list[ConditionResult]
    variables: dict[str, str]
    usage_error: str | None = None
    """The line for the person whose command was meant for this rule, but is wrong."""


class Explanation(Struct, frozen=True, kw_only=True):
    """What all rules of its source say of an event (spec 4.1)."""

    source: str
    event: str
    facts: dict[str, Any]
    rules: list[RuleResult]


class RuleSet:
    """All rules in file order, indexed by source and event."""

    def __init__(self, rules: Sequence[Rule], templates: Mapping[str, Template]) -> None:
        """Index the rules once; their templates are looked up by name."""
        self.rules = tuple(rules)
        self.templates = dict(templates)
        self._places: dict[tuple[str, str | None], list[int]] = {}
        for place, rule in enumerate(self.rules):
            for name in rule.events or (None,):
                self._places.setdefault((rule.source, name), []).append(place)

    def candidates(self, event: Event) -> Sequence[Rule]:
        """Return the rules that take events of this name (or this name and action), in file order."""
        names = {None, event.name, *_precise(event)}
        places = {place for name in names for place in self._places.get((event.source, name), ())}
        return [self.rules[place] for place in sorted(places)]

    def evaluate(self, event: Event) -> list[RuleResult]:
        """Return what each candidate says of the event, in file order."""
        return [evaluate(rule, self.templates[rule.template], event) for rule in self.candidates(event)]

    def of(self, source: str) -> Iterator[Rule]:
        """Yield the rules of one source, in file order."""
        return (rule for rule in self.rules if rule.source == source)


def evaluate(rule: Rule, template: Template, event: Event) -> RuleResult:
    """Decide whether the rule runs for this event and with which variables; never raises, whatever the event."""
    names = event.names()
    if rule.usage is not None:
        try:
            names["args"] = rule.usage.parse(_command_text(event))
        except UsageMismatch as error:
            return _not_run(rule, "no_match", str(error), [])
        except UsageError as error:
            return _not_run(rule, "no_match", str(error), [], usage_error=str(error))
    conditions = [condition.evaluate(names) for condition in rule.when]
    for verdict, outcome in _DECIDING:
        for condition in conditions:
            if condition.verdict in verdict:
                return _not_run(rule, outcome, _sentence(condition), conditions)
    variables, problems = _variables(rule, template, names)
    if problems:
        return _not_run(rule, "error", "; ".join(problems), conditions)
    return RuleResult(rule=rule.name, verdict="match", reason=None, conditions=conditions, variables=variables)


def explain(ruleset: RuleSet, event: Event) -> Explanation:
    """Say of every rule of the event's source whether it runs and why, those for other events included."""
    candidates = {rule.name for rule in ruleset.candidates(event)}
    results = [
        evaluate(rule, ruleset.templates[rule.template], event)
        if rule.name in candidates
        else _not_run(rule, "no_match", _other_event(rule, event), [])
        for rule in ruleset.of(event.source)
    ]
    return Explanation(source=event.source, event=event.name, facts=event.facts, rules=results)


def help_text(ruleset: RuleSet, source: str, command: str) -> str:
    """List what can be said to a command: one line per rule, its usage and description."""
    lines = []
    for rule in ruleset.of(source):
        if rule.usage is not None and command in (rule.events or (command,)):
            line = rule.usage.help_line(command)
            lines.append(f"{line} - {rule.description}" if rule.description else line)
    return "\n".join(lines) or f"No rule takes {command} yet."


_DECIDING: tuple[tuple[frozenset[str], Literal["no_match", "error"]], ...] = (
    (frozenset({"error"}), "error"),
    (frozenset({"false", "missing"}), "no_match"),
)
"""An error is said first: it is a mistake in the rule, not something about the event."""

_SAYS = {"false": "is false", "missing": "does not hold", "error": "cannot be decided"}


def _not_run(
    rule: Rule,
    verdict: Literal["no_match", "error"],
    reason: str,
    conditions: list[ConditionResult],
    usage_error: str | None = None,
) -> RuleResult:
    return RuleResult(
        rule=rule.name, verdict=verdict, reason=reason, conditions=conditions, variables={}, usage_error=usage_error
    )


def _sentence(condition: ConditionResult) -> str:
    says = f"{condition.text} {_SAYS[condition.verdict]}"
    return f"{says}: {condition.reason}" if condition.reason else says


def _variables(rule: Rule, template: Template, names: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Render the rule's values over the template's defaults, and check all of them."""
    values = {name: variable.default for name, variable in template.variables.items() if variable.default is not None}
    problems = []
    for name, text in rule.variables.items():
        try:
            values[name] = text.render(names)
        except EvaluationError as error:
            problems.append(f"variable {name!r}: {error}")
    if problems:
        return {}, problems
    for name, variable in template.variables.items():
        if name in values and (problem := variable.problem(values[name])):
            problems.append(f"variable {name!r} {problem}")
        elif name not in values and variable.required:
            problems.append(f"variable {name!r} is required, but neither the rule nor the template gives it")
    return values, problems


def _matches(pattern: str, value: str) -> bool:
    try:
        return compile_pattern(pattern).fullmatch(value) is not None
    except UnicodeEncodeError:
        return False  # half a surrogate pair is no text, so it matches nothing


def _command_text(event: Event) -> str:
    text = event.body.get("text") if isinstance(event.body, Mapping) else None
    return text if isinstance(text, str) else ""


def _precise(event: Event) -> tuple[str, ...]:
    return () if event.action is None else (f"{event.name}.{event.action}",)


def _other_event(rule: Rule, event: Event) -> str:
    wanted = " or ".join(repr(name) for name in rule.events)
    return f"event is {(*_precise(event), event.name)[0]!r}, the rule wants {wanted}"


def _short(value: str) -> str:
    return repr(value) if len(value) <= 60 else f"{value[:57]!r}..."  # noqa: PLR2004 - fits into a line
