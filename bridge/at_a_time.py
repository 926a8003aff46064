"""`at_a_time:`, how many executions of one key a rule lets run side by side; scripts/group.lua does it. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from msgspec import Struct

from bridge.duration import Duration
from bridge.errors import EvaluationError
from bridge.expressions import Text

_LONGEST_DEBOUNCE = timedelta(days=1)


class AtATime(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many executions of one key may run at a time, and which of them are kept."""

    key: Text = Text("")
    """Executions of one rule and one key concern one another; by default all of the rule do."""
    keep: Literal["all", "first", "latest", "queue"] = "all"
    """`first` skips the newer, `latest` the older that wait, `queue` runs one after the other, `all` at once."""
    debounce: Duration | None = None
    """How long an execution waits for a newer one of its key, which then replaces it."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.keep == "first" and self.debounce is not None:
            raise ValueError("`keep: first` keeps the older, `debounce` the newer of two: leave out one of them")
        if self.debounce is not None and self.debounce > _LONGEST_DEBOUNCE:
            raise ValueError("`debounce` is at most 1d")

    def resolve(self, names: Mapping[str, Any]) -> str:
        """Return the key of one event; EvaluationError when it has none."""
        try:
            return self.key.render(names)
        except EvaluationError as error:
            raise EvaluationError(f"the key of `at_a_time`: {error}") from None
