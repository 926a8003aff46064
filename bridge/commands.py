"""Commands among the events: whether one is for us, and what whoever gave it should know. Pure."""

from bridge.config import Config
from bridge.contracts import Reception
from bridge.model import Command, Event
from bridge.rules import RuleResult, help_text, permits
from bridge.usage import other_words, sentence


def taken(config: Config, event: Event) -> Command | None:
    """Return the event's command: any slash command, in a comment one that a rule takes from who wrote it.

    A mention is one where a rule has a usage line for it; elsewhere it is an event like others.
    """
    command = event.command
    if command is None or not command.unheard:
        return command
    ours = [rule for rule in config.ruleset.candidates(event) if command.name in rule.events]
    if command.in_thread and all(rule.usage is None for rule in ours):
        return None
    return command if any(permits(rule, event) for rule in ours) else None


def received(config: Config, event: Event, command: Command, results: list[RuleResult]) -> tuple[Reception, str | None]:
    """Say how a command fared, whatever other rules make of its comment, and what its author should know of it."""
    ours = {rule.name for rule in config.ruleset.candidates(event) if command.name in rule.events}
    results = [result for result in results if result.rule in ours]
    if any(result.verdict == "match" for result in results):
        return "runs", None
    hint = hint_for(config, event, command, results)
    helps = command.help_about is not None and not any(result.usage_error for result in results)
    return ("help" if helps else "not_run"), hint or mistyped(config, event, command)


def hint_for(config: Config, event: Event, command: Command, results: list[RuleResult]) -> str | None:
    """Say what a command that started nothing should have looked like; None where it was right."""
    wrong_uses = [result.usage_error for result in results if result.usage_error is not None]
    if wrong_uses:
        return "\n".join(wrong_uses)
    return None if command.help_about is None else help_text(config.ruleset, event.source, command)


def mistyped(config: Config, event: Event, command: Command | None) -> str | None:
    """Say which words there are, where a command begins with none of them."""
    if command is None:
        return None
    candidates = config.ruleset.candidates(event)
    meant = [rule for rule in candidates if command.name in rule.events or not command.guarded]
    lines = [rule.usage for rule in meant if rule.usage is not None and permits(rule, event)]
    if not lines or any(rule.usage is None or rule.usage.takes(command.text) for rule in meant):
        return None
    return f"{sentence(other_words(lines, command.text))} Write {command.word} help to see how each is used"
