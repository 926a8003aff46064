"""Durations as people write them in YAML: `500ms`, `15s`, `5m`, `1h`, `7d`."""

import re
from datetime import timedelta
from typing import Any, Self

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PATTERN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SHORTEST = timedelta(microseconds=1)  # less would become no time at all
_LONGEST = timedelta(days=365)


class Duration(timedelta):
    """A length of time that reads itself from `15s` and the like."""

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Return the duration a YAML scalar names; ValueError says how to write it."""
        found = _PATTERN.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f"{value!r} is not a duration: write a number and a unit, such as 500ms, 15s, 5m, 1h, 7d")
        seconds = float(found[1]) * _UNITS[found[2]]
        if not _SHORTEST.total_seconds() <= seconds <= _LONGEST.total_seconds():
            raise ValueError(f"{value!r} is out of range: a duration is more than zero and at most 365d")
        return cls(seconds=seconds)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the written form."""
        return {"type": "string", "pattern": f"^{_PATTERN.pattern}$", "examples": ["15s", "5m", "1h"]}
