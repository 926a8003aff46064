"""Rules, the templates they start, and what both say of an event. Pure.

`evaluate` decides one rule for one event; `RuleSet` finds the rules an event can concern without looking at the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, to_builtins

from bridge.at_a_time import AtATime
from bridge.cases import Case
from bridge.credentials import redacted
from bridge.duration import Duration
from bridge.errors import EvaluationError
from bridge.expressions import Condition, ConditionResult, Text
from bridge.functions import compile_pattern
from bridge.model import Command, Event
from bridge.permission import ALLOW, Allow
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
    """Whether an execution needs a value for it that is not empty."""
    default: str | None = None
    """The value where the rule gives none."""
    pattern: str | None = None
    """What a value has to match: RE2, over the whole value."""
    choices: list[str] | None = None
    """The only values allowed."""

    def problem(self, value: str) -> str | None:
        """Say why a value is not allowed, to follow the variable's name; None: it is."""
        if self.required and not value:
            return "is required, and its value is empty"
        if self.choices is not None and value not in self.choices:
            return f"is {short(value)}, which is none of: {', '.join(self.choices)}"
        if self.pattern is not None and not _matches(self.pattern, value):
            return f"is {short(value)}, which does not match the pattern {self.pattern!r}"
        return None


class Template(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workflow of an engine, and the variables it takes."""

    engine: str
    """The name of the engine it runs on."""
    id: Annotated[str, Meta(pattern=r"\S", description="the engine's own id of the workflow")]
    """The engine's own id of the workflow."""
    variables: dict[str, Variable] = {}
    """What the workflow takes, by name; a rule that gives anything else is a mistake."""
    deadline: Duration = Duration(hours=1)
    """An execution that is not final by then ends as `timed_out`."""

    def settled(self, variables: dict[str, str], execution_id: str) -> dict[str, str]:  # noqa: ARG002 - for engines
        """Return the values as they stay for this execution, however often it is sent."""
        return variables


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
    """Unique among all rules; part of every execution's id."""
    source: str
    """The name of the source whose events it takes."""
    template: str
    """The name of the template it starts."""
    event: str | list[str] | None = None
    """The event's name, or a list; of GitHub also `pull_request.opened`, `comment:/run`. Left out: every event."""
    when: list[Condition] = []
    """Conditions that must all hold, such as branch is like 'release/*'."""
    always: bool = False
    """Says that a rule with neither `event` nor `when` is meant to take every event."""
    variables: dict[str, Text] = {}
    """Values of the template's variables; ${{ }} takes them from the event."""
    notify: list[str] = []
    """The names of the notifiers that are told."""
    usage: Usage | None = None
    """How a command is written, such as e2e <url> [branch=main]; names what ${{ args.url }} is."""
    allow: Allow | None = None
    """Who may give the command by a comment on GitHub; left out: OWNER, MEMBER and COLLABORATOR."""
    description: str = ""
    """One line for people, shown in the command's help."""
    on_unknown: Literal["hold", "retry"] = "hold"
    """If the trigger may or may not have run: `hold` until it is known, or `retry`, perhaps twice."""
    tests: list[Case] = []
    """Events, and what the rule must make of each; `genesis-bridge check` runs them."""
    at_a_time: AtATime | None = None
    """How many executions of one key may run at a time, and which of them are kept."""

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
    at_a_time: str | None = None
    """The key under which it takes turns, for a rule that says `at_a_time`."""
    usage_error: str | None = None
    """The line for the person whose command was meant for this rule, but is wrong."""


class Asked:
    """What the rules of one event share: its names, and what each condition said of them, for many begin alike."""

    def __init__(self, event: Event) -> None:
        """Begin with the event's names, which nobody changes."""
        self.names = event.names()
        self.conditions: dict[str, ConditionResult] = {}


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
        names = {None, event.name, *_precise(event), *((event.command.name,) if event.command else ())}
        places = {place for name in names for place in self._places.get((event.source, name), ())}
        return [self.rules[place] for place in sorted(places)]

    def evaluate(self, event: Event) -> Iterator[tuple[Rule, RuleResult]]:
        """Yield each candidate with what it says of the event, in file order."""
        asked = Asked(event)
        for rule in self.candidates(event):
            yield rule, evaluate(rule, self.templates[rule.template], event, asked)

    def of(self, source: str) -> Iterator[Rule]:
        """Yield the rules of one source, in file order."""
        return (rule for rule in self.rules if rule.source == source)


def evaluate(rule: Rule, template: Template, event: Event, asked: Asked | None = None) -> RuleResult:
    """Decide whether the rule runs for this event and with which variables; never raises, whatever the event."""
    asked = asked or Asked(event)
    names, shared = asked.names, asked.conditions
    if rule.usage is not None:
        names, shared = dict(names), {}  # `args` is this rule's own
    conditions = _permission(rule, event)
    unusable = _read_command(rule, event, names, conditions)
    if unusable is not None:
        return unusable
    conditions += _conditions(rule, names, shared)
    for verdict, outcome in _DECIDING:
        for condition in conditions:
            if condition.verdict in verdict:
                return _not_run(rule, outcome, _sentence(condition), conditions)
    variables, problems = _variables(rule, template, names)
    key = None
    if rule.at_a_time is not None:
        try:
            key = rule.at_a_time.resolve(names)
        except EvaluationError as error:
            problems.append(str(error))
    if problems:
        return _not_run(rule, "error", "; ".join(problems), conditions)
    return RuleResult(
        rule=rule.name, verdict="match", reason=None, conditions=conditions, variables=variables, at_a_time=key
    )


def _conditions(rule: Rule, names: Mapping[str, Any], shared: dict[str, ConditionResult]) -> list[ConditionResult]:
    for condition in rule.when:
        if condition.source not in shared:
            shared[condition.source] = condition.evaluate(names)
    return [shared[condition.source] for condition in rule.when]


def help_text(ruleset: RuleSet, source: str, command: Command) -> str:
    """List what can be said to a command, or to what help is asked about: one line per rule, usage and description."""
    lines: dict[str, Usage] = {}
    for rule in ruleset.of(source):
        if rule.usage is not None and command.name in (rule.events or (command.name,)):
            line = rule.usage.help_line(command.word)
            lines[f"{line} - {rule.description}" if rule.description else line] = rule.usage
    about = command.help_about
    named = [line for line, usage in lines.items() if about and usage.takes(about)]
    return "\n".join(named or lines) or f"No rule takes {command.word} yet."


def _read_command(
    rule: Rule, event: Event, names: dict[str, Any], conditions: list[ConditionResult]
) -> RuleResult | None:
    """Add `args` to the names; return the result where the command decides that the rule does not run."""
    if any(condition.verdict == "false" for condition in conditions):
        return _not_run(rule, "no_match", _sentence(conditions[0]), conditions)
    if rule.usage is not None:
        try:
            names["args"] = rule.usage.parse(event.command.text if event.command else "")
        except UsageMismatch as error:
            return _not_run(rule, "no_match", str(error), conditions)
        except UsageError as error:
            return _not_run(rule, "no_match", str(error), conditions, usage_error=str(error))
    if conditions and event.incomplete is not None:
        return _not_run(rule, "error", event.incomplete, conditions)
    return None


def permits(rule: Rule, event: Event) -> bool:
    """Say whether the event is a command meant for this rule, by somebody who may give it."""
    return event.command is not None and all(one.verdict == "true" for one in _permission(rule, event))


def _permission(rule: Rule, event: Event) -> list[ConditionResult]:
    """Return what `allow:` says, as the first condition; nothing where it has no say."""
    command = event.command
    if command is None or not command.guarded or command.name not in rule.events:
        return []
    return [(rule.allow or ALLOW).check(command)]


def other_event(rule: Rule, event: Event) -> str:
    """Say why a rule is not asked about an event."""
    wanted = " or ".join(repr(name) for name in rule.events)
    typed = f" with the command {event.command.name!r}" if event.command and event.command.name != event.name else ""
    return f"{OTHER_EVENT}{(*_precise(event), event.name)[0]!r}{typed}, the rule wants {wanted}"


OTHER_EVENT = "event is "
"""How the reason of a rule begins that was not asked."""

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


def _precise(event: Event) -> tuple[str, ...]:
    return () if event.action is None else (f"{event.name}.{event.action}",)


def short(value: str) -> str:
    """Return an event's value as a reason shows it: in a line, and without the credentials of URLs."""
    value = redacted(value)
    return repr(value) if len(value) <= 60 else f"{value[:57]!r}..."  # noqa: PLR2004 - fits into a line
