"""Everything that can go wrong, as one tree.

BridgeError
    ConfigError             the configuration has problems; carries every one of them
    SettingsError           the environment has problems; carries every one of them
    ExpressionError         an expression cannot be compiled (at load)
    EvaluationError         an expression cannot be evaluated for this event (at run time)
        MissingName         ... because the event does not carry a name it uses
    Refusal                 an inbound request is not taken; carries the HTTP status
        Malformed           400: the body is not what its content type says
        BadSignature        401: unsigned, wrongly signed or stale (one answer for all three)
        UnknownSource       404
        BodyTimeout         408: the body did not arrive in time
        TooLarge            413
        UnsupportedMedia    415
        TooMany             429: verified, but more than this source may send
    Unfindable              an order is about something that does not exist
    WrongState              an order cannot be carried out as things stand; says how they stand
    StoreUnavailable        the store did not confirm a write; nothing may be promised
    AttemptError            one outbound attempt failed; the three kinds below are the whole retry protocol
        Transient           nothing happened out there: try again
            Throttled       ... later, as everything that this key sends: it was too much
        Permanent           it was refused: never try again
            Blocked         ... as everything would be: the key is refused, or there is no credit left
        Ambiguous           it may or may not have happened
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple


class BridgeError(Exception):
    """The root; catching it catches everything this package raises on purpose."""


class Problem(NamedTuple):
    """One mistake in a configuration file, where a person can find it."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """Return `file:line:column: message`, which editors and terminals make clickable."""
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigError(BridgeError):
    """The configuration cannot be used; `problems` holds every reason, sorted by place."""

    def __init__(
        self, problems: Sequence[Problem], patterns: Sequence[str] = (), attached: Sequence[Path] = ()
    ) -> None:
        """Keep the problems, sorted by file, line and column, what the main file includes, and what templates read."""
        self.problems = tuple(sorted(problems))
        self.patterns = tuple(patterns)
        self.attached = tuple(attached)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SettingsError(BridgeError):
    """The environment cannot be used; `problems` holds every reason, each naming its variable."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep the problems in the order given."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class ExpressionError(BridgeError, ValueError):
    """An expression cannot be compiled. A ValueError, so that msgspec adds the path to it."""


class EvaluationError(BridgeError):
    """An expression has no usable value for this event."""


class MissingName(EvaluationError):
    """The event does not carry `name`."""

    def __init__(self, name: str) -> None:
        """Remember which name was missing."""
        self.name = name
        super().__init__(f"{name} is missing")


class Refusal(BridgeError):
    """An inbound request is refused with `status`; the message is for the sender."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Bad Request"

    @property
    def headers(self) -> dict[str, str]:
        """Return what the answer's head says besides."""
        return {}


class Malformed(Refusal):
    """The signature holds, but the body cannot be read."""


class BadSignature(Refusal):
    """Unsigned, wrongly signed or stale: one message for all, so that nothing is learned from it."""

    status = 401
    title = "Unauthorized"

    def __init__(self) -> None:
        """Say the same thing whatever was wrong."""
        super().__init__("the request is not signed as this source expects, or its timestamp is too old")


class BodyTimeout(Refusal):
    """The whole body did not arrive within the time a sender gets."""

    status = 408
    title = "Request Timeout"


class TooLarge(Refusal):
    """The body is larger than this source takes."""

    status = 413
    title = "Content Too Large"


class UnsupportedMedia(Refusal):
    """The content type is not one this source reads."""

    status = 415
    title = "Unsupported Media Type"


class TooMany(Refusal):
    """The sender is who it says, and sends more than it may; `retry_after` is in seconds."""

    status = 429
    title = "Too Many Requests"

    def __init__(self, reason: str, retry_after: int) -> None:
        """Keep when to come again beside the reason, and say it in words as well."""
        self.retry_after = retry_after
        super().__init__(f"{reason}; come again in {retry_after} s")

    @property
    def headers(self) -> dict[str, str]:
        """Return when to come again."""
        return {"retry-after": str(self.retry_after)}


class Unfindable(BridgeError):
    """There is no such delivery, execution, notification, engine or rule."""


class WrongState(BridgeError):
    """What is asked for cannot be done to it as it now stands; the message says how it stands."""


class Unreadable(BridgeError):
    """A record is damaged, or not ours; the message says which and why."""


class StoreUnavailable(BridgeError):
    """Redis is away, full, read-only or slow: whether the write landed is not known."""


class AttemptError(BridgeError):
    """One outbound attempt failed; the message is safe to show (no keys, no tokens, no full URLs)."""


class Transient(AttemptError):
    """Nothing happened at the other end; `retry_after` (seconds) is its own wish, if it had one."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        """Keep the wish beside the reason."""
        self.retry_after = retry_after
        super().__init__(reason)


class Throttled(Transient):
    """The key has sent too much; whatever else of the same kind it sends would be refused as well."""


class Permanent(AttemptError):
    """The other end refused, and will refuse again."""


class Blocked(Permanent):
    """An engine refuses whoever asks, whatever it is asked: nothing was started, and nothing would be."""


class Ambiguous(AttemptError):
    """The request may have been carried out, but no usable answer came back."""
