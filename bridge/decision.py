"""What one event causes under one configuration: the outcome, each rule's verdict, the executions. Pure.

The one evaluation: whoever wants to know what an event does asks `decide`.
"""

import hashlib
from base64 import b32encode
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from bridge.config import Config
from bridge.contracts import Outcome
from bridge.errors import EvaluationError
from bridge.model import Event
from bridge.records import Recipient, Record
from bridge.rules import Rule, RuleResult, evaluate, help_text, own_keys


class Decision(Struct, frozen=True, kw_only=True):
    """The outcome of one event, why, and the executions it asks for."""

    outcome: Outcome
    reason: str | None = None
    """For a person: why nothing runs, or the help they asked for."""
    results: list[RuleResult] = []
    executions: dict[str, Record] = {}


def decide(config: Config, event: Event, delivery_id: str) -> Decision:
    """Match the event against every rule it concerns; never raises for anything an event can hold."""
    if event.ignored is not None:
        return Decision(outcome="ignored", reason=event.ignored)
    if _typed(config, event) == "help":
        return Decision(outcome="ignored", reason=help_text(config.ruleset, event.source, event.name))
    results, executions = [], {}
    for rule in config.ruleset.candidates(event):
        result = evaluate(rule, config.ruleset.templates[rule.template], event)
        if result.verdict == "match":
            try:
                executions[derived_id("x", delivery_id, rule.name)] = _record(
                    config, event, delivery_id, rule, result.variables
                )
            except EvaluationError as error:
                result = structs.replace(result, verdict="error", reason=str(error))
        results.append(result)
    if executions:
        return Decision(outcome="accepted", results=results, executions=executions)
    errors = [f"rule {result.rule!r}: {result.reason}" for result in results if result.verdict == "error"]
    if errors:
        return Decision(outcome="rule_error", reason="; ".join(errors), results=results)
    hint = _hint(config, event, results)
    return Decision(outcome="no_match" if hint is None else "ignored", reason=hint, results=results)


def _hint(config: Config, event: Event, results: list[RuleResult]) -> str | None:
    """Say what a command that started nothing should have looked like; None for what is no command."""
    wrong_uses = [result.usage_error for result in results if result.usage_error is not None]
    if wrong_uses:
        return "\n".join(wrong_uses)
    return help_text(config.ruleset, event.source, event.name) if _typed(config, event) == "" else None


def _typed(config: Config, event: Event) -> str | None:
    """Return what was typed after a command; None where there is no command."""
    if not config.sources[event.source].commands or "command" not in event.facts:
        return None
    return str(event.facts.get("text", "")).strip()


def _record(config: Config, event: Event, delivery_id: str, rule: Rule, variables: dict[str, str]) -> Record:
    template = config.ruleset.templates[rule.template]
    return Record(
        delivery_id=delivery_id,
        rule=rule.name,
        source=event.source,
        engine=template.engine,
        template=rule.template,
        template_id=template.id,
        variables=variables,
        deadline_seconds=template.deadline.total_seconds(),
        **own_keys(template),
        bucket=config.engines[template.engine].bucket(template),
        on_unknown=rule.on_unknown,
        notify=[_recipient(config, name, event.names()) for name in rule.notify],
    )


def _recipient(config: Config, name: str, names: Mapping[str, Any]) -> Recipient:
    try:
        return Recipient(name, config.notifiers[name].address(names))
    except EvaluationError as error:
        raise EvaluationError(f"notifier {name!r}: {error}") from None


def derived_id(kind: str, *parts: str) -> str:
    """Derive an id: the same parts give the same id, so repeating a step cannot make a second record."""
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).digest()
    return f"{kind}_{b32encode(digest[:15]).decode().lower()}"
