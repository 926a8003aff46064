"""What engines' answers have in common: JSON that nobody vouches for, shown as texts of bounded length. Pure."""

from typing import Any

import msgspec

from bridge.outbound import Answer

MAX_OUTPUT_CHARACTERS = 4_000
MAX_REASON_CHARACTERS = 1_000


def json_object(answer: Answer) -> dict[str, Any]:
    """Return the answer's body as an object; {} when it is anything else."""
    try:
        found = msgspec.json.decode(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def as_text(value: Any) -> str:
    """Return JSON as text: text as it is, null as nothing, all else as compact JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def cut(text: str, limit: int) -> str:
    """Return the text in at most `limit` characters; a longer one says how long it was."""
    if len(text) <= limit:
        return text
    mark = f"… ({len(text):,} characters in all)"
    return text[: limit - len(mark)] + mark
