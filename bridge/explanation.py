"""Why each rule runs or does not: `decide`'s own verdicts, as they are recorded and told (spec 4.1). Pure."""

from typing import Any

from msgspec import Struct, structs

from bridge.config import Config
from bridge.credentials import shown
from bridge.decision import Decision, decide
from bridge.expressions import ConditionResult, shortened
from bridge.model import Event
from bridge.rules import Rule, RuleResult, other_event

_ASKED = "d_asked"
"""Stands for the id of a delivery that nobody sent; ids are all that it is good for."""
_LONGEST_VALUE = 2000


class Explanation(Struct, frozen=True, kw_only=True):
    """What all rules of its source say of an event, in file order; its JSON is spec 4.1's."""

    source: str
    event: str
    facts: dict[str, Any]
    rules: list[RuleResult]


def ask(config: Config, event: Event) -> Decision:
    """Decide as the server does, about a delivery that nobody sent."""
    return decide(config, event, _ASKED)


def explain(config: Config, event: Event, decision: Decision | None = None) -> Explanation:
    """Return what was decided (by default: what would be), and of the rules that were not asked why they were not."""
    decision = decision or ask(config, event)
    asked = {result.rule: result for result in decision.results}
    results = [asked.get(rule.name) or _not_asked(rule, event, decision) for rule in config.ruleset.of(event.source)]
    told = [_cut(result, _LONGEST_VALUE) for result in results]
    return Explanation(
        source=event.source,
        event=event.name,
        facts={name: shown(value) for name, value in event.facts.items()},
        rules=told,
    )


def recorded(result: RuleResult) -> RuleResult:
    """Return what a delivery keeps of a rule's result: all of it, but no second copy of half the body."""
    return _cut(result, 200)


def _cut(result: RuleResult, characters: int) -> RuleResult:
    conditions = [_cut_condition(condition, characters) for condition in result.conditions]
    if result.usage_error is not None:
        result = structs.replace(result, usage_error=None)  # it is the reason
    if all(after is before for after, before in zip(conditions, result.conditions, strict=True)):
        return result  # nearly always; this is on the way of every accept
    return structs.replace(result, conditions=conditions)


def _cut_condition(condition: ConditionResult, characters: int) -> ConditionResult:
    values = condition.values
    cut = {name: short for name, value in values.items() if (short := shortened(value, characters)) is not value}
    return structs.replace(condition, values=values | cut) if cut else condition


def _not_asked(rule: Rule, event: Event, decision: Decision) -> RuleResult:
    if event.ignored is not None:
        reason = event.ignored
    elif decision.outcome == "ignored" and not decision.results:
        reason = "the command asks for help, which starts nothing"
    else:
        reason = other_event(rule, event)
    return RuleResult(rule=rule.name, verdict="no_match", reason=reason, conditions=[], variables={})
