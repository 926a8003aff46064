"""What one event causes under one configuration: the outcome, each rule's verdict, the executions. Pure.

The one evaluation: whoever wants to know what an event does asks `decide`.
"""

import hashlib
from base64 import b32encode
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from bridge import echoes
from bridge.commands import hint_for, mistyped, received, taken
from bridge.config import Config
from bridge.contracts import Outcome
from bridge.errors import EvaluationError
from bridge.model import Event, Status
from bridge.notes import NewNotification
from bridge.records import Recipient, Record, Turn
from bridge.rules import Rule, RuleResult, help_text, own_keys

SOURCE = "source:"
"""What the notifier of an acknowledgement is called: this and the source's name, which no notifier can have."""


class Decision(Struct, frozen=True, kw_only=True):
    """The outcome of one event, why, and the executions it asks for."""

    outcome: Outcome
    reason: str | None = None
    """For a person: why nothing runs, what they may have meant, or the help they asked for."""
    results: list[RuleResult] = []
    executions: dict[str, Record] = {}


def decide(config: Config, event: Event, delivery_id: str) -> Decision:
    """Match the event against every rule it concerns; never raises for anything an event can hold."""
    ignored = event.ignored or echoes.reason(config, event)
    if ignored is not None:
        return Decision(outcome="ignored", reason=ignored)
    command = taken(config, event)
    if command is not None and command.text.strip() and command.help_about == "":
        return Decision(outcome="ignored", reason=help_text(config.ruleset, event.source, command))
    results: list[RuleResult] = []
    executions: dict[str, Record] = {}
    for rule, said in config.ruleset.evaluate(event):
        result = said
        if result.verdict == "match":
            try:
                executions[derived_id("x", delivery_id, rule.name)] = _record(config, event, delivery_id, rule, result)
            except EvaluationError as error:
                result = structs.replace(result, verdict="error", reason=str(error))
        results.append(result)
    if executions:
        return Decision(outcome="accepted", results=results, executions=executions)
    errors = [f"rule {result.rule!r}: {result.reason}" for result in results if result.verdict == "error"]
    if errors:
        return Decision(outcome="rule_error", reason="; ".join(errors), results=results)
    hint = None if command is None else hint_for(config, event, command, results)
    if hint is not None:
        return Decision(outcome="ignored", reason=hint, results=results)
    return Decision(outcome="no_match", reason=mistyped(config, event, command), results=results)


def acknowledgement(config: Config, event: Event, decision: Decision, delivery_id: str) -> NewNotification | None:
    """Return what whoever gave a command is told at once; nothing to those whose command no rule takes."""
    command = taken(config, event)
    if command is None or not command.unheard:
        return None
    reception, words = received(config, event, command, decision.results)
    if reception == "not_run":
        words = words or f"see the delivery {delivery_id} for the reason"
    told = config.sources[event.source].acknowledge(event, reception, words)
    if told is None:
        return None
    return NewNotification(
        # A repeat of the delivery may have another outcome, which is told as well.
        id=derived_id("msg", delivery_id, told.body.decode()),
        notifier=f"{SOURCE}{event.source}",
        status=Status.QUEUED if reception == "runs" else Status.SKIPPED,
        body=told.body,
        address=told.address,
        in_order=False,
    )


def _record(config: Config, event: Event, delivery_id: str, rule: Rule, result: RuleResult) -> Record:
    template = config.ruleset.templates[rule.template]
    return Record(
        delivery_id=delivery_id,
        rule=rule.name,
        source=event.source,
        engine=template.engine,
        template=rule.template,
        template_id=template.id,
        variables=template.settled(result.variables, derived_id("x", delivery_id, rule.name)),
        deadline_seconds=template.deadline.total_seconds(),
        **own_keys(template),
        bucket=config.engines[template.engine].bucket(template),
        on_unknown=rule.on_unknown,
        notify=[_recipient(config, name, event.names()) for name in rule.notify],
        at_a_time=_turn(rule, result),
    )


def _turn(rule: Rule, result: RuleResult) -> Turn | None:
    """Return whom the execution takes turns with: those of the same rule and key, and no others."""
    if rule.at_a_time is None:
        return None
    debounce = rule.at_a_time.debounce
    group = derived_id("g", rule.name, result.at_a_time or "")
    return Turn(group, rule.at_a_time.keep, debounce.total_seconds() if debounce else 0)


def _recipient(config: Config, name: str, names: Mapping[str, Any]) -> Recipient:
    try:
        return Recipient(name, config.notifiers[name].address(names))
    except EvaluationError as error:
        raise EvaluationError(f"notifier {name!r}: {error}") from None


def derived_id(kind: str, *parts: str) -> str:
    """Derive an id: the same parts give the same id, so repeating a step cannot make a second record."""
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).digest()
    return f"{kind}_{b32encode(digest[:15]).decode().lower()}"
