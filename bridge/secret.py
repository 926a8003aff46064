"""Secrets: named in the configuration, read from the environment or a file, never shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

_HOW = "write {env: NAME} or {file: PATH}"


class Secret:
    """A value that no log, error, repr or serialiser can show; `reveal()` is the only way to it.

    Constructed by `decode` from a reference; without an environment (`check --no-secrets`) it stays unread.
    """

    __slots__ = ("_value", "reference")

    def __init__(self, reference: str, value: bytes | None) -> None:
        """Keep the reference (which may be shown) and the value (which may not)."""
        self.reference = reference
        self._value = value

    @classmethod
    def decode(cls, value: Any, environ: Mapping[str, str] | None) -> Self:
        """Read the secret a YAML value refers to; ValueError when it is literal, missing or empty."""
        if not isinstance(value, dict):
            raise ValueError(f"a secret is never written here, for this file is read by many: {_HOW}")
        if len(value) != 1 or not isinstance(next(iter(value.values())), str) or not {"env", "file"} & value.keys():
            raise ValueError(f"not a reference to a secret: {_HOW}")
        [(kind, where)] = value.items()
        reference = f"{kind}: {where}"
        if environ is None:
            return cls(reference, None)
        found = _from_environment(where, environ) if kind == "env" else _from_file(Path(where))
        return cls(reference, found)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a reference."""
        return {
            "type": "object",
            "properties": {
                "env": {"type": "string", "description": "The environment variable it is in, or NAME_FILE its file."},
                "file": {"type": "string", "description": "The file it is in."},
            },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        }

    def reveal(self) -> bytes:
        """Return the value; LookupError if it was never read."""
        if self._value is None:
            raise LookupError(f"the secret ({self.reference}) was not read")
        return self._value

    def text(self) -> str:
        """Return the value as text, for tokens that travel in a header."""
        return self.reveal().decode()

    def __repr__(self) -> str:
        """Show the reference only."""
        return f"Secret({self.reference})"


def _from_environment(name: str, environ: Mapping[str, str]) -> bytes:
    if file := environ.get(f"{name}_FILE"):
        return _from_file(Path(file))
    if name not in environ:
        raise ValueError(f"the environment variable {name} (or {name}_FILE) is not set")
    return _not_empty(environ[name].encode(errors="surrogateescape"), f"the environment variable {name}")


def _from_file(path: Path) -> bytes:
    try:
        # Editors and `kubectl create secret` leave a line end behind that nobody means as part of the secret.
        return _not_empty(path.read_bytes().rstrip(b"\r\n"), f"the file {path}")
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}") from None


def _not_empty(value: bytes, what: str) -> bytes:
    if not value:
        raise ValueError(f"{what} is empty: an empty secret protects nothing")
    try:
        value.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not UTF-8 text") from None
    return value
