"""Callbacks: a signed POST that tells whoever asked how an execution stands (Standard Webhooks 1.0.0).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from bridge.addresses import HTTPS_PORT, Guard, networks, parse, port_of
from bridge.contracts import Notifier
from bridge.duration import Duration
from bridge.errors import EvaluationError, Permanent, Transient
from bridge.expressions import Text
from bridge.model import Execution, Message, Status
from bridge.outbound import Outbound
from bridge.scheme import PRESETS
from bridge.signatures import Secrets, check_keys, keys, sign
from bridge.urls import Url

_SCHEME = PRESETS["standard-webhooks"]
_MAX_ANSWER_BYTES = 1 << 16
_SHORTEST_WAIT_SECONDS = 1.0
_LONGEST_TIMEOUT = Duration(seconds=25)
"""Less than the job that makes the attempt may take."""
_GONE = 410
_Port = Annotated[int, Meta(ge=1, le=65_535, description="a port from 1 to 65535")]


class Callback(Notifier, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="callback"):
    """One receiver. Even a URL written in the configuration passes the guard: names change what they point to."""

    sealed: ClassVar[frozenset[str]] = frozenset({"url"})

    url: Url
    """Where it is told; https, and ${{ }} may take it from the event."""
    secrets: Secrets
    """All of them sign, so that receivers can change theirs without a gap."""
    allow_hosts: tuple[str, ...] = ()
    """The only hosts it may lie on, such as *.example.com; give them where the address comes from an event."""
    allow_cidrs: tuple[str, ...] = ()
    """Private networks it may lie in; without them, public addresses only."""
    allow_ports: tuple[_Port, ...] = ()
    """Beside 443, 80 with `allow_http`, and the port of a URL that the configuration spells out."""
    allow_http: bool = False
    """Whether it may do without TLS."""
    timeout: Duration = Duration(seconds=15)
    """How long the receiver may take to answer, at most 25s."""
    on_status: list[Status] | None = None
    """The statuses that are told; by default the final ones and review_pending."""

    def __post_init__(self) -> None:
        """Refuse secrets that are no keys, networks that are none, and a URL that could never be used."""
        with suppress(LookupError):  # `check` may run where no secret can be read
            check_keys(self.secrets, _SCHEME.key_format)
        guard = self._guard()
        if self.timeout > _LONGEST_TIMEOUT:
            raise ValueError(f"a receiver may take {_LONGEST_TIMEOUT.total_seconds():g}s at most: answer, then work")
        problem = guard.problem(self.url.source) if self.url.literal else None
        if problem is not None:
            raise ValueError(f"the callback URL cannot be used: {problem}")

    def texts(self) -> dict[str, Text]:
        """Return the URL."""
        return {"url": self.url}

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Resolve the URL and look at its form, so that the sender hears of a bad one at once.

        One that the configuration spells out is not kept: it may hold a token, and may be mended there.
        """
        if self.url.literal:
            return {}
        url = self.url.render(names)
        problem = self._guard().problem(url)
        if problem is not None:
            raise EvaluationError(f"the callback URL cannot be used: {problem}")
        return {"url": url}

    def wants(self, status: Status) -> bool:
        """Tell ends and reviews, unless the configuration lists something else."""
        if self.on_status is None:
            return status.final or status == Status.REVIEW_PENDING
        return status in self.on_status

    def compose(self, execution: Execution, name: str) -> bytes:  # noqa: ARG002 - nothing in it is pressed
        """Write the execution as the API shows it, without `notifications`: a message cannot tell of its delivery.

        `text:` and `fields:`, where there are some, stand beside it.
        """
        data = msgspec.to_builtins(execution)
        del data["notifications"]
        event = {"type": f"execution.{execution.status}", "timestamp": _changed_at(execution), "data": data}
        said, fields = self.said(execution), self.said_fields(execution)
        if said is not None:
            event["text"] = said
        if fields:
            event["fields"] = fields
        return msgspec.json.encode(event)

    async def send(self, outbound: Outbound, message: Message) -> None:
        """Post it, signed afresh.

        Raises Permanent when the receiver is gone or its address is refused, Ambiguous when no whole answer came,
        Transient for every other answer; its Retry-After counts, between a second and a day.
        """
        url = message.address.get("url") or (self.url.source if self.url.literal else None)
        if url is None:
            raise Permanent("the URL was in the configuration and is not there any more: put it back, or replay")
        signature = sign(
            _SCHEME,
            id=message.id,
            timestamp=int(message.now),
            body=message.body,
            secrets=keys(self.secrets, _SCHEME.key_format),
        )
        answer = await outbound.request(
            "POST",
            url,
            headers={**signature, "content-type": "application/json"},
            content=message.body,
            timeout_seconds=self.timeout.total_seconds(),
            max_bytes=_MAX_ANSWER_BYTES,
            guard=self._guard(),
        )
        if 200 <= answer.status < 300:  # noqa: PLR2004 - success, as the specification has it
            return
        # What a receiver says is not shown: whoever chose its address must not read other servers through us.
        if answer.status == _GONE:
            raise Permanent("the receiver answered HTTP 410: it wants no more of these")
        asked = answer.retry_after(message.now)
        wait = None if asked is None else max(_SHORTEST_WAIT_SECONDS, asked)
        raise Transient(f"the receiver answered HTTP {answer.status}", wait)

    def _guard(self) -> Guard:
        return Guard(
            allow_cidrs=networks(self.allow_cidrs),
            allow_hosts=tuple(pattern.lower() for pattern in self.allow_hosts),
            allow_http=self.allow_http,
            ports=frozenset({HTTPS_PORT, self._own_port(), *self.allow_ports}),
        )

    def _own_port(self) -> int:
        """Return the port the operator wrote down, which is allowed; one that an event brings is not."""
        try:
            return port_of(parse(self.url.source)) if self.url.literal else HTTPS_PORT
        except ValueError:
            return HTTPS_PORT


def _changed_at(execution: Execution) -> str:
    if execution.finished_at is not None:
        return execution.finished_at
    return execution.history[-1].at if execution.history else execution.created_at
