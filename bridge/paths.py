"""Look into what somebody sent: total, whatever stands there. Pure."""

from typing import Any


def at(body: Any, path: str) -> Any:
    """Return the value at a dotted path; None where a step is missing or leads into what is no object."""
    for step in path.split("."):
        body = body.get(step) if isinstance(body, dict) else None
    return body
