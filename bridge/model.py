"""The records that travel through the pipeline: frozen, without behaviour beyond reading themselves."""

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct, to_builtins

Durability = Literal["strict", "standard", "none"]
"""What Redis has to keep what was accepted through: a power loss, a restart, nothing."""


class Status(StrEnum):
    """Every state an execution can be in (spec section 6)."""

    QUEUED = "queued"
    STARTING = "starting"
    PENDING = "pending"
    RUNNING = "running"
    REVIEW_PENDING = "review_pending"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    TIMED_OUT = "timed_out"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in FINAL


FINAL = frozenset(
    {
        Status.COMPLETED,
        Status.FAILED,
        Status.CANCELLED,
        Status.SKIPPED,
        Status.REJECTED,
        Status.UNKNOWN,
        Status.TIMED_OUT,
        Status.LOST,
    }
)


_HELP = frozenset({"", "help", "--help", "-h", "?", "\u2014help", "\u2013help"})


class Command(Struct, frozen=True, kw_only=True):
    """What somebody typed for rules to do: a slash command or a mention in a chat, or the first line of a comment."""

    name: str
    """What a rule's `event:` says of it: `/genesis`, `app_mention`, `comment:/run`."""
    word: str
    """As it is typed: `/genesis`, `@U0123`, `/run`."""
    text: str
    """What follows it, for usage lines: escaped as Slack does it."""
    guarded: bool = False
    """Whether anybody on the internet can type it, so that each rule's `allow:` decides who may."""
    by: str = ""
    """Who typed it, where that is needed for `allow:`."""
    association: str = ""
    """What they are to the repository, in GitHub's words."""
    bot: bool = False
    edited: bool = False
    """Whether it only stands there since the comment was edited."""
    in_thread: bool = False
    """Whether it was given by a mention, which is answered in its thread."""

    @property
    def unheard(self) -> bool:
        """Whether whoever gave it does not see the answer to the delivery, and so is told apart from that."""
        return self.guarded or self.in_thread

    @property
    def help_about(self) -> str | None:
        """What somebody wants to know more of, empty being everything; None: this is no question for help."""
        first, _, more = self.text.strip().partition(" ")
        return more.strip() if first.casefold() in _HELP else None


class Press(Struct, frozen=True, kw_only=True):
    """An order that a person gave where an execution was told: a button in Slack, *Re-run* on GitHub."""

    action: Literal["again", "did_not_run", "close"]
    execution_id: str
    by: str
    """Who, as the source knows them."""
    notifier: str = ""
    """Whose message it was given on; empty where the source itself vouches for it."""
    value: str = ""
    """What the button carried, for the notifier to recognise as its own."""


class Event(Struct, frozen=True, kw_only=True):
    """What a delivery says once it is verified and parsed."""

    name: str
    """What a rule's `event:` is compared with, e.g. `push`, `/genesis`."""
    action: str | None = None
    """GitHub's `action`; a rule may say `pull_request.opened`."""
    key: str | None = None
    """The sender's own id of this event: the same key from the same source is a duplicate."""
    body: Any = None
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    facts: dict[str, Any] = {}
    """Names a rule may use without digging; what the event does not carry is absent, not empty."""
    source: str = ""
    """The configured name of the source; stamped by the pipeline, for adapters do not know their name."""
    keep: bytes | None = None
    """The body as it may be stored, where the raw one holds a credential, in the same content type; None: the raw
    one."""
    ignored: str | None = None
    """Why this event triggers nothing by itself (a GitHub ping); None: it is matched against the rules."""
    command: Command | None = None
    press: Press | None = None
    """An order on an execution, instead of anything for rules."""
    incomplete: str | None = None
    """Why facts of a command could not be asked for: then no rule may take it, for it might run on the wrong thing."""

    def names(self) -> dict[str, Any]:
        """Return every name an expression can use for this event, `args` aside."""
        return {
            **self.facts,
            "source": self.source,
            "event": self.name,
            "body": self.body,
            "headers": self.headers,
            "query": self.query,
            **({} if self.action is None else {"action": self.action}),
        }


class Progress(Struct, frozen=True):
    """How many of the engine's steps are done; with skipped steps `done` need not reach `total`."""

    done: int
    total: int


class Change(Struct, frozen=True, omit_defaults=True):
    """One entry of an execution's history."""

    at: str
    """RFC 3339, Redis time."""
    status: Status
    note: str | None = None


class Notification(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message to one notifier about one status, as the API shows it."""

    id: str
    """Constant over all attempts; receivers use it to recognise a repeat."""
    notifier: str
    status: Status
    """The execution's status this message tells."""
    state: str
    """due | sending | delivered | superseded | dead."""
    attempts: int = 0
    last_error: str | None = None
    next_attempt: str | None = None
    """RFC 3339; only while due."""


class Link(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An output that is a file: where it can be had, without any key."""

    url: str
    type: str | None = None
    """Its media type, where it is known."""
    size: int | None = None
    """In bytes, where it is known."""


Output = str | Link
"""What every engine's outputs are: text, or a link to a file."""


class Execution(Struct, frozen=True, kw_only=True):
    """One run of a template that we follow (spec section 6)."""

    id: str
    delivery_id: str
    rule: str
    source: str
    engine: str
    template: str
    variables: dict[str, str]
    status: Status
    final: bool
    remote_id: str | None = None
    progress: Progress | None = None
    outputs: dict[str, Output] = {}
    reason: str | None = None
    url: str | None = None
    attempts: int = 0
    created_at: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    history: list[Change] = []
    notifications: list[Notification] = []


EXECUTION_NAMES = tuple(name for name in Execution.__struct_fields__ if name not in ("history", "notifications"))
"""The names a notifier's `text:` may use."""


def said_of(execution: Execution) -> dict[str, Any]:
    """Return an execution's fields as a notifier's `text:` sees them: what it does not have yet is missing."""
    fields: dict[str, Any] = to_builtins(execution)
    return {name: fields[name] for name in EXECUTION_NAMES if fields[name] is not None}


class Delivery(Struct, frozen=True, kw_only=True):
    """One inbound request that was verified, and what became of it."""

    id: str
    source: str
    event: str
    action: str | None
    key: str | None
    outcome: str
    """accepted | no_match | ignored | rule_error."""
    reason: str | None
    config: str
    """The first 16 hex digits of the SHA-256 of the configuration that decided."""
    received_at: str
    executions: list[str]
    rules: list[dict[str, Any]]
    """Per rule: verdict and why (spec 4.1), as decided then."""
    replay_of: str | None = None
    """The delivery that a person had replayed as this one."""
    notifications: list[Notification] = []
    """What whoever gave a command was told of it."""


class Acknowledgement(Struct, frozen=True, kw_only=True):
    """What a source tells whoever gave a command, beside the answer to the delivery, which they do not see."""

    body: bytes
    """The same bytes on every attempt."""
    address: dict[str, str]


class Message(Struct, frozen=True, kw_only=True):
    """One notification on its way out: everything `send` needs beside the notifier's own settings."""

    id: str
    """Constant over attempts."""
    body: bytes
    """As `compose` made it when the status changed; the same bytes on every attempt."""
    address: dict[str, str]
    """As `address` made it from the event."""
    attempt: int
    """1 on the first attempt."""
    now: float
    """Unix seconds."""
    made: str | None = None
    """What an earlier message of the same execution to the same notifier has made, as its `send` said."""
