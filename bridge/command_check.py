"""Check what a rule says of commands: its `usage:`, its `allow:`, and events such as `comment:/run`. Pure."""

import re
from collections.abc import Iterator

from bridge.contracts import Source
from bridge.rules import Rule

_WORD = re.compile(r"/[a-z0-9][a-z0-9_-]{0,63}")


def problems(rule: Rule, source: type[Source], named: str) -> Iterator[tuple[str, str]]:
    """Yield the key each problem is about, and what is wrong; `named` tells people which source it is."""
    prefix = source.guarded_commands
    if rule.usage is not None and not source.commands:
        yield "usage", f"`usage:` is for commands, and {named} has none"
    guarded = [event for event in rule.events if prefix and event.startswith(prefix)]
    for event in guarded:
        if not _WORD.fullmatch(event.removeprefix(prefix)):
            yield "event", f"{event!r} is no command: write {prefix}/ and a word in lower case, such as {prefix}/run"
    if guarded and len(guarded) < len(rule.events):
        yield "event", "a rule for commands in comments takes no other events: make it two rules"
    if guarded:
        return
    if rule.usage is not None and prefix:
        yield "usage", f"`usage:` is for commands, and {named} has them as events such as {prefix}/run"
    if rule.allow is not None:
        yield "allow", "`allow:` is for commands in comments, that is with `event: comment:/...` of a GitHub source"
