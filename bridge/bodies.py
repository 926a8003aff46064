"""Request bodies into values: JSON and forms, total over any bytes.

Whatever anybody sends ends in a value or in a `Malformed` that says what is wrong with it.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from bridge.errors import Malformed

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

MAX_LEVELS = 100
"""Nesting that is read; no sender comes near, and whatever walks a value later on needs no care of its own."""
MAX_VALUES = 1_000_000
"""Values that are read, counted by their commas; 25 MB could be twelve million, and hold everything up for seconds."""
MAX_FORM_FIELDS = 1000


def media_type(headers: Mapping[str, str]) -> str:
    """Return the content type in lower case, without its parameters; empty when there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def read_json(text: bytes | str) -> Any:
    """Decode JSON; Malformed says why it cannot be."""
    if (text.count(b",") if isinstance(text, bytes) else text.count(",")) >= MAX_VALUES:
        raise Malformed(f"the body is not read: it holds more than {MAX_VALUES:,} values")
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Malformed(f"the body is not JSON: {error}") from None
    except UnicodeError:
        raise Malformed("the body is not JSON: it is not UTF-8 text") from None
    except RecursionError:
        raise _too_deep() from None
    _check_levels(value)
    return value


def read_object(text: bytes | str) -> dict[str, Any]:
    """Decode JSON that must be an object; Malformed says why it cannot be."""
    value = read_json(text)
    if not isinstance(value, dict):
        raise Malformed("the body is JSON, but not an object")
    return value


def read_form(body: bytes) -> dict[str, str]:
    """Decode a URL-encoded form, the last of equal names winning; Malformed says why it cannot be."""
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except UnicodeDecodeError:
        raise Malformed("the form is not UTF-8 text") from None
    except ValueError:
        raise Malformed(f"the form has more than {MAX_FORM_FIELDS} fields") from None
    return dict(fields)


def _check_levels(value: Any) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_LEVELS):
        # No isinstance(): decoded JSON has exact types, and this runs over 25 MB.
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Malformed:
    return Malformed(f"the body is not read: it is nested more than {MAX_LEVELS} levels deep")
