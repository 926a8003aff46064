"""Secrets: named in the configuration, read from the environment or a file, never shown.

One that stands in a file is looked at again while it is used, so that it can be changed without a restart.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

_HOW = "write {env: NAME} or {file: PATH}"
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_LOOK_SECONDS = 1.0
"""How often, at most, a file is looked at."""
SHORTEST_HIDDEN = 6

# Not structlog: `check` reads secrets and must not wait for it. The lines come out in the same form.
_log = logging.getLogger(__name__)
_log.setLevel(logging.INFO)


class SecretFile:
    """A file with a secret in it, and what it looked like when it was read last."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read nothing yet; `clock` in seconds."""
        self.path = path
        self._clock = clock
        self._stamp: tuple[int, ...] | None = None
        self._next_look = 0.0
        self._complained = False

    def read(self) -> bytes:
        """Return what the file holds; ValueError when that is no secret."""
        try:
            # First what it looks like: if it changes now, the next look finds that out.
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)
            # Editors and `kubectl create secret` leave a line end behind that nobody means as part of the secret.
            value = _not_empty(self.path.read_bytes().rstrip(b"\r\n"), f"the file {self.path}")
        except OSError as error:
            raise ValueError(f"the file {self.path} cannot be read: {error.strerror}") from None
        self._stamp, self._next_look = stamp, self._clock() + _LOOK_SECONDS
        return value

    def changed(self, usable: Callable[[bytes], object]) -> bytes | None:
        """Return what the file holds if that is new and `usable` does not raise ValueError for it; else None.

        What cannot be used is logged once, and the file looked at again: it may be about to be written.
        """
        if self._clock() < self._next_look:
            return None
        before = self._stamp
        try:
            value = self.read()
            if self._stamp != before:
                usable(value)
        except ValueError as error:
            self._stamp, self._next_look = before, self._clock() + _LOOK_SECONDS
            if not self._complained:
                _log.warning("a secret is kept as it was: %s", error)
            self._complained = True
            return None
        self._complained = False
        return None if self._stamp == before else value


class Secret:
    """A value that no log, error, repr or serialiser can show; `reveal()` is the only way to it.

    Constructed by `decode` from a reference; without an environment (`check --no-secrets`) it stays unread.
    """

    __slots__ = ("_file", "_former", "_value", "reference")

    def __init__(self, reference: str, value: bytes | None, file: SecretFile | None = None) -> None:
        """Keep the reference (which may be shown), the value (which may not), and the file it may change in."""
        self.reference = reference
        self._value = value
        self._former: bytes | None = None
        self._file = file

    @classmethod
    def decode(cls, value: Any, environ: Mapping[str, str] | None) -> Self:
        """Read the secret a YAML value refers to; ValueError when it is literal, missing or empty."""
        if not isinstance(value, dict):
            raise ValueError(f"a secret is never written here, for this file is read by many: {_HOW}")
        if len(value) != 1 or not isinstance(next(iter(value.values())), str) or not {"env", "file"} & value.keys():
            raise ValueError(f"not a reference to a secret: {_HOW}")
        [(kind, where)] = value.items()
        if kind == "env" and not _VARIABLE.fullmatch(where):
            # Not repeated: it may be the secret itself, written into the wrong place.
            raise ValueError("`env:` takes the name of a variable, such as {env: API_TOKEN}; what stands there is none")
        reference = f"{kind}: {where}"
        if environ is None:
            return cls(reference, None)
        path = where if kind == "file" else environ.get(f"{where}_FILE")
        if path:
            file = SecretFile(Path(path))
            return cls(reference, file.read(), file)
        return cls(reference, _from_environment(where, environ))

    def read(self, environ: Mapping[str, str]) -> Self:
        """Return it read, where a configuration was loaded without its secrets; ValueError when it cannot be."""
        kind, _, where = self.reference.partition(": ")
        return self.decode({kind: where}, environ)

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

    def reveal(self, usable: Callable[[bytes], object] = bytes) -> bytes:
        """Return the value; LookupError if it was never read.

        A file's new value that `usable` raises ValueError for is not taken: the last good one is kept.
        """
        if self._value is None:
            raise LookupError(f"the secret ({self.reference}) was not read")
        new = None if self._file is None else self._file.changed(usable)
        if new is not None:
            self._former, self._value = self._value, new
            _log.info("a secret was changed: %s", self.reference)
        return self._value

    def text(self) -> str:
        """Return the value as text, for tokens that travel in a header."""
        return self.reveal().decode()

    def values(self) -> list[bytes]:
        """Return the value and, where its file was changed, the one before it, which others may still have."""
        return [value for value in (self._value, self._former) if value]

    def texts(self) -> list[str]:
        """Return what to hide in the words of others: an answer may repeat what was sent before a change."""
        return [value.decode() for value in self.values()]

    def hide(self, text: str) -> str:
        """Return what others said with `***` in the secret's place; a very short one would hide ordinary words."""
        for value in self.texts():
            text = text.replace(value, "***") if len(value) >= SHORTEST_HIDDEN else text
        return text

    def __repr__(self) -> str:
        """Show the reference only."""
        return f"Secret({self.reference})"

    def __copy__(self) -> Self:
        """Return itself: of a secret there is one."""
        return self

    def __deepcopy__(self, _: Any) -> Self:
        """Return itself: of a secret there is one."""
        return self

    def __reduce_ex__(self, _: Any) -> NoReturn:
        """Refuse to be pickled, which would write the value out."""
        raise TypeError(f"{self!r} is not written anywhere")


def _from_environment(name: str, environ: Mapping[str, str]) -> bytes:
    if name not in environ:
        raise ValueError(f"the environment variable {name} (or {name}_FILE) is not set")
    return _not_empty(environ[name].encode(errors="surrogateescape"), f"the environment variable {name}")


def _not_empty(value: bytes, what: str) -> bytes:
    if not value:
        raise ValueError(f"{what} is empty: an empty secret protects nothing")
    try:
        value.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not UTF-8 text") from None
    return value
