"""Check what a rule says of commands: its `usage:`, its `allow:`, and events such as `comment:/run`. Pure."""

import re
from collections.abc import Iterator

from bridge.contracts import Source
from bridge.rules import Rule

_WORD = re.compile(r"/[a-z0-9][a-z0-9_-]{0,63}")


def problems(rule: Rule, source: type[Source], named: str) -> Iterator[tuple[str, str]]:
    """Yield the key each problem is about, and what is wrong; `named` tells people which source it is."""
    yield from _usage_problems(rule, source, named)
    prefix = source.guarded_commands
    guarded = [event for event in rule.events if prefix and event.startswith(prefix)]
    for event in guarded:
        if not _WORD.fullmatch(event.removeprefix(prefix)):
            yield "event", f"{event!r} is no command: write {prefix}/ and a word in lower case, such as {prefix}/run"
    if guarded and len(guarded) < len(rule.events):
        yield "event", "a rule for commands in comments takes no other events: make it two rules"
    if rule.allow is not None and not guarded:
        yield "allow", "`allow:` is for commands in comments, that is with `event: comment:/...` of a GitHub source"


def _usage_problems(rule: Rule, source: type[Source], named: str) -> Iterator[tuple[str, str]]:
    prefix = source.guarded_commands
    if rule.usage is None:
        return
    if not source.commands:
        yield "usage", f"`usage:` is for commands, and {named} has none"
    elif prefix and not any(event.startswith(prefix) for event in rule.events):
        yield "usage", f"`usage:` is for commands, and {named} has them as events such as {prefix}/run"
    for event in rule.events if source.commands else ():
        if not source.reads_usage(event):
            yield "usage", f"`usage:` is for what people type after a command or mention, and {event!r} is neither"
