"""Source, Engine, Notifier: the one file to read before writing an adapter.

An adapter *is* its configuration: a frozen, tagged msgspec Struct whose fields are the YAML keys and whose
methods are the behaviour. It owns no loop, no retry and no logging: it answers, or it raises one of
`Refusal` (sources), `Transient`, `Permanent`, `Ambiguous` (engines, notifiers).
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

from msgspec import Struct

from bridge.errors import BadSignature, Permanent, Refusal
from bridge.expressions import Text
from bridge.model import Acknowledgement, Event, Execution, Message, Press, Status
from bridge.outbound import Outbound
from bridge.own_words import OwnWords
from bridge.rate import Rate
from bridge.rules import Template
from bridge.runs import Budget, Complaint, Order, Poll, Snapshot, Started
from bridge.signing import Signing

Outcome = Literal["accepted", "no_match", "ignored", "duplicate", "rule_error"]
Reception = Literal["runs", "help", "not_run"]
"""How a command fared."""


class Request(Struct, frozen=True, kw_only=True):
    """One inbound HTTP request, its body read whole and within the source's limit."""

    headers: Mapping[str, str]
    """Lower-case names; values decoded as Latin-1, so that every byte survives."""
    query: Mapping[str, str]
    body: bytes
    now: float
    """Unix seconds; a parameter so that tests and replays choose it."""


class Reply(Struct, frozen=True, kw_only=True):
    """Our HTTP answer to a delivery."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = {}


class ExecutionReference(Struct, frozen=True):
    """An execution as the answer to a delivery names it."""

    id: str
    rule: str
    status: Status
    status_url: str


class Skipped(Struct, frozen=True):
    """A rule that did not run, and why in words."""

    rule: str
    reason: str


class Acceptance(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a delivery; the 2xx body of `POST /hooks/{source}` (spec section 5)."""

    delivery_id: str
    outcome: Outcome
    executions: list[ExecutionReference] = []
    skipped: list[Skipped] = []
    reason: str | None = None
    """Why an event was ignored, or the sentence a person gets (usage, help)."""


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Authenticates and reads deliveries; also says how its senders want to be answered. Every source takes `rate:`."""

    rate: Rate | None = None
    """What it may send, counted once its signature held; None: as much as it likes."""

    facts: ClassVar[Mapping[str, str]] = {}
    """Fact name -> one line of documentation. Names not listed here are unknown to rules of this source."""
    origins: ClassVar[Mapping[str, str]] = {}
    """Fact name -> where in a delivery it is taken from, for the documentation."""
    max_body_bytes: ClassVar[int] = 1_000_000
    actions: ClassVar[bool] = False
    """Whether a rule's `event: a.b` means the event `a` with the action `b`; else it is all one name."""
    commands: ClassVar[bool] = False
    """Whether rules of this source may have `usage:` lines."""
    guarded_commands: ClassVar[str] = ""
    """How `event:` begins for commands that anybody on the internet can give; only these have usage lines, then."""
    credentials: ClassVar[frozenset[str]] = frozenset()
    """Facts, and keys of the body, that are Concealed: conditions may use them, texts may not."""

    @classmethod
    def reads_usage(cls, event: str) -> bool:  # noqa: ARG003 - for those who override it
        """Say whether somebody types events of this name, so that a rule for them may have a usage line."""
        return cls.commands

    @classmethod
    def doubt(cls, event: str) -> str | None:  # noqa: ARG003 - for those who override it
        """Say why no event that starts something is ever called this, for a warning at load; None: one may be."""
        return None

    def read(self, request: Request) -> Event | Reply:
        """Verify, then parse; a finished Reply where the protocol has one (Slack's ssl_check).

        Raises BadSignature, Malformed or UnsupportedMedia, and nothing else for any bytes. Nothing is parsed
        before the signature holds.
        """
        if not self.verify(request):
            raise BadSignature
        return self.parse(request)

    @property
    def open(self) -> bool:
        """Whether anybody who knows the URL is believed."""
        return False

    def verify(self, request: Request) -> bool:
        """Say whether the request is signed as this source expects, and not stale; never raises."""
        raise NotImplementedError

    def parse(self, request: Request) -> Event:
        """Read a request that was verified: just now, or before it was stored.

        What was stored has `Event.keep` as its body and `Event.headers` as its headers, so it has to make do without
        the credentials that were left out of both. Raises Malformed or UnsupportedMedia.
        """
        raise NotImplementedError

    async def complete(self, outbound: Outbound, event: Event) -> Event:  # noqa: ARG002 - for those who override it
        """Ask for what a command's event does not carry but rules need.

        Called only for a command that some rule takes from whoever gave it. Raises AttemptError: no rule runs then.
        """
        return event

    def acknowledge(self, event: Event, reception: Reception, words: str | None) -> Acknowledgement | None:  # noqa: ARG002
        """Compose what whoever gave an unheard command is told of it, `words` being what they should know; pure."""
        return None

    async def send(self, outbound: Outbound, message: Message) -> str | None:
        """Make one attempt at an acknowledgement, as a notifier does."""
        raise NotImplementedError

    @property
    def asks(self) -> bool:
        """Whether it has credentials of its own, so that `doctor` probes it."""
        return False

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask, harmlessly, whether the credentials are good; as `Engine.probe` does."""
        raise NotImplementedError

    @property
    def catches_up(self) -> timedelta | None:
        """How often its sender is asked for what it could not deliver; None: it cannot be asked."""
        return None

    async def catch_up(self, outbound: Outbound, since: timedelta, most: int) -> list[str]:
        """Have the sender send again what it could not deliver within the last `since`, at most so many.

        Returns the ids of what was asked for, the oldest first. Raises BridgeError when it cannot be asked.
        """
        raise NotImplementedError

    def texts(self) -> dict[str, Text]:
        """Return the expressions in this source's settings by their YAML path, to be checked at load."""
        return {}

    def smallest(self, event: str) -> dict[str, Any]:
        """Return the smallest body that is an event of this name, for tests beside rules; `packed` sends it."""
        raise NotImplementedError

    def packed(self, event: str, body: Any) -> Request:
        """Return the request, unsigned, in which this source's sender sends a body; `event` may be empty: unknown."""
        raise NotImplementedError

    def guess(self, body: Any) -> str:  # noqa: ARG002 - for those who override it
        """Say which event a body is of, where its headers are not at hand; empty where that cannot be told."""
        return ""

    def signing(self) -> Signing:
        """Say how this source's sender signs."""
        raise NotImplementedError

    async def whisper(self, outbound: Outbound, event: Event, words: str) -> None:
        """Tell whoever pressed a button, and nobody else, what became of it, if the event says where; never raises."""

    def answer(self, acceptance: Acceptance, request: Request) -> Reply | None:  # noqa: ARG002 - for those who override it
        """Word the answer as the sender of the request wants it; None: the JSON answer everybody gets."""
        return None

    def refuse(self, refusal: Refusal, request: Request) -> Reply | None:  # noqa: ARG002 - for those who override it
        """Word a refusal as the sender wants it, whose body may not have come; None: problem+json with its status."""
        return None

    def unavailable(self, request: Request) -> Reply | None:  # noqa: ARG002 - for those who override it
        """Word 'not taken, try again'; None: 503 with Retry-After as problem+json."""
        return None


class Engine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """A remote workflow system. Every engine takes `poll:` and `budget:`."""

    template: ClassVar[type[Template]] = Template
    """What its templates are; an engine with keys of its own for them, or for their variables, names its subclass."""

    poll: Poll = Poll()
    """How often an execution is looked at."""
    budget: Budget = Budget()
    """What its key may do, counted over all workers; engines with the same key share one."""

    def credentials(self) -> tuple[str, ...]:
        """Return what a budget belongs to: the key, and where it is one. Hashed before anybody sees it."""
        raise NotImplementedError

    def bucket(self, template: Template) -> str:  # noqa: ARG002 - for those who override it
        """Say which bucket of the budget a template's triggers take from."""
        return "triggers"

    def problems(self, template: Template, folder: Path) -> Iterable[Complaint]:
        """Say what is wrong with a template of this engine, at load; `folder` is where the configuration lies."""
        raise NotImplementedError

    def files(self, template: Template, folder: Path) -> Iterable[Path]:  # noqa: ARG002 - for those who override it
        """Name the files, beside the configuration, that a template is made of: a change of one is a change of it."""
        return ()

    def repeatable(self, order: Order) -> bool:  # noqa: ARG002 - for those who override it
        """Whether a trigger with the same `Order.key` runs once, however often it is sent."""
        return False

    async def prepare(self, outbound: Outbound, order: Order) -> Order:  # noqa: ARG002 - for those who override it
        """Do what has to be done before the trigger and may be done any number of times; raises as `trigger` does.

        Never Ambiguous.
        """
        return order

    async def trigger(self, outbound: Outbound, order: Order, not_after: float) -> Started:
        """Start a run; pass `not_after` (monotonic seconds) on to the outbound request, unchanged.

        Raises Transient when surely nothing started, Permanent when refused, Ambiguous otherwise; Throttled, a
        Transient, when the key has sent too much, so that others wait as well; Blocked, a Permanent, when the key or
        the account is refused, so that this engine's executions wait for a person.
        """
        raise NotImplementedError

    async def fetch(self, outbound: Outbound, remote_id: str) -> Snapshot:
        """Ask how a run is.

        Raises Transient (Throttled) when the answer is not to be had now, Permanent when it does not know the run.
        """
        raise NotImplementedError

    async def cancel(self, outbound: Outbound, remote_id: str) -> str | None:  # noqa: ARG002
        """Ask for a run to be ended that nobody waits for any more; None: that cannot be asked.

        Returns what became of that, in a sentence without a capital or a full stop; raises AttemptError.
        """
        return None

    async def locate(self, outbound: Outbound, reference: str) -> str:  # noqa: ARG002 - for those who override it
        """Return a URL at which anybody can have a `File`, if only for a while; raises as `fetch` does."""
        raise Permanent("this engine keeps no files")

    async def probe(self, outbound: Outbound) -> str | None:  # noqa: ARG002 - for those who override it
        """Ask, harmlessly, whether the credentials are good, for `doctor`; None: they are, or nothing can be asked.

        Returns what to change in one line; raises AttemptError when there is no answer.
        """
        return None


class Notifier(OwnWords, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Tells someone outside how an execution stands. Every notifier takes `text:` and `fields:`."""

    in_order: ClassVar[bool] = False
    """Whether a newer message makes an unsent older one of the same execution superfluous (chat)."""
    living: ClassVar[bool] = False
    """Whether it changes what it told before, so that progress is told as well."""
    sources: ClassVar[frozenset[str] | None] = None
    """The source types whose events this notifier can answer; None: all."""
    sealed: ClassVar[frozenset[str]] = frozenset()
    """Names in its address that are credentials: they are kept sealed, with a secret of the source or the notifier."""

    @property
    def answers(self) -> frozenset[str] | None:
        """The source types whose events this one can answer as it is configured; None: all."""
        return self.sources

    def texts(self) -> dict[str, Text]:
        """Return the expressions in this notifier's settings by their YAML path, to be checked at load."""
        return {}

    async def allows(self, outbound: Outbound, press: Press, user: str, now: float) -> str | None:  # noqa: ARG002
        """Say why an order that was given on one of its messages is not carried out; None: it is.

        `user` is who gave it, as the source knows them; `now` in Unix seconds. Raises AttemptError where it cannot ask.
        """
        return "its messages take no orders"

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Resolve, at accept, where this event's notifications go; stored with the execution.

        Raises EvaluationError when the event lacks what is needed: the rule then does not run.
        """
        raise NotImplementedError

    def wants(self, status: Status) -> bool:
        """Whether a change to `status` is told."""
        raise NotImplementedError

    def compose(self, execution: Execution, name: str) -> bytes:
        """Render the message once; pure. `name` is what the configuration calls this notifier."""
        raise NotImplementedError

    async def probe(self, outbound: Outbound) -> str | None:  # noqa: ARG002 - for those who override it
        """Ask, harmlessly, whether the credentials are good; as `Engine.probe` does."""
        return None

    def lane(self, address: Mapping[str, str]) -> str:  # noqa: ARG002 - for those who override it
        """Name what takes only about one message a second, among all that is told; empty: nothing does."""
        return ""

    async def send(self, outbound: Outbound, message: Message) -> str | None:
        """Make one attempt; return what it has made, for messages that follow and change it (None: nothing new).

        Raises Transient to be tried again on the schedule (or at its retry_after), Permanent to end in the dead
        letters, Ambiguous to be tried again: receivers know repeats by the id.
        """
        raise NotImplementedError
