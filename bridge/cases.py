"""A test beside a rule, as it is written: an event, and what the rule must make of it. Pure."""

from typing import Any

from msgspec import Struct

_HOW = "say what the rule must do: `runs:` with its variables (or true), or `skips:` with the condition that must fail"


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"as_": "as"}):
    """One test of one rule; `genesis-bridge check` runs it."""

    event: str | dict[str, Any]
    """A file, relative to the one this is written in; or what is different from the smallest body of the event."""
    runs: dict[str, str | None] | bool | None = None
    """Variables with their values, null for one that must not be given; others may be there. Or just true."""
    skips: str | bool | None = None
    """The condition of the rule that must be false or miss a name; or just true."""
    name: str = ""
    """For people."""
    as_: str = ""
    """The event's name, where the rule takes several or any."""
    headers: dict[str, str] = {}
    """Of the request, over what the sender sends anyway."""
    query: dict[str, str] = {}
    """Of the request."""

    def __post_init__(self) -> None:
        """Refuse a test that wants nothing, or both."""
        if (self.runs is None) == (self.skips is None) or False in (self.runs, self.skips):
            raise ValueError(_HOW)


def merged(base: Any, patch: Any) -> Any:
    """Return `base` with what is different, as JSON Merge Patch has it (RFC 7386): deep, lists whole, null removes."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
