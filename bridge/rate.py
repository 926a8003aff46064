"""Rates as people write them (`100/m`), and keepers of one in this process's memory. Pure.

A keeper is a token bucket told by one number (GCRA): when the bucket will be full again. So many at once as the rate
allows in its whole period, then one after the other at its pace.
"""

import re
from typing import Any, NamedTuple, Self

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_PATTERN = re.compile(r"([1-9][0-9]{0,6})/([smh])")
_ROUNDING_SECONDS = 1e-9
_HOW = "write a number and a unit, such as 10/s, 100/m, 1000/h"


class Rate(NamedTuple):
    """So many in so many seconds."""

    most: int
    seconds: float
    written: str

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Return the rate a YAML scalar names; ValueError says how to write it."""
        found = _PATTERN.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f"{value!r} is not a rate: {_HOW}")
        return cls(int(found[1]), _UNITS[found[2]], found[0])

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the written form."""
        return {"type": "string", "pattern": f"^{_PATTERN.pattern}$", "examples": ["10/s", "100/m", "1000/h"]}


class Keeper:
    """Holds everybody to one rate, each key on its own; `now` is in monotonic seconds."""

    def __init__(self, rate: Rate, most_keys: int = 10_000) -> None:
        """Remember at most so many keys; beyond that the one longest unseen is forgotten."""
        self._rate = rate
        self._most_keys = most_keys
        self._full_at: dict[str, float] = {}

    def wait(self, key: str, now: float) -> float:
        """Return for how many seconds the key has nothing left; 0: it may go on. Takes nothing."""
        over = self._after_one(key, now) - now - self._rate.seconds
        return over if over > _ROUNDING_SECONDS else 0.0

    def take(self, key: str, now: float) -> float:
        """Take one if there is one, and return 0; else return the seconds until there is."""
        over = self.wait(key, now)
        if not over:
            full_at = self._after_one(key, now)
            self._full_at.pop(key, None)  # so that the order stays that of the last use
            self._full_at[key] = full_at
            if len(self._full_at) > self._most_keys:
                del self._full_at[next(iter(self._full_at))]
        return over

    def _after_one(self, key: str, now: float) -> float:
        return max(self._full_at.get(key, now), now) + self._rate.seconds / self._rate.most
