"""Callbacks: a signed POST that tells whoever asked how an execution stands (Standard Webhooks 1.0.0).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from bridge.addresses import HTTPS_PORT, Guard, networks, parse, port_of
from bridge.contracts import Message, Notifier
from bridge.duration import Duration
from bridge.errors import EvaluationError, Permanent, Transient
from bridge.expressions import Text
from bridge.model import Execution, Status
from bridge.outbound import Outbound
from bridge.signatures import PRESETS, Secrets, keys, sign

_SCHEME = PRESETS["standard-webhooks"]
_MAX_ANSWER_BYTES = 1 << 16
_SHORTEST_WAIT_SECONDS = 1.0
_LONGEST_TIMEOUT = Duration(seconds=25)
"""Less than the job that makes the attempt may take."""
_GONE = 410


class Callback(Notifier, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="callback"):
    """One receiver. Even a URL written in the configuration passes the guard: names change what they point to."""

    url: Text
    secrets: Secrets
    """All of them sign, so that receivers can change theirs without a gap."""
    allow_hosts: tuple[str, ...] = ()
    allow_cidrs: tuple[str, ...] = ()
    allow_http: bool = False
    timeout: Duration = Duration(seconds=15)
    on_status: list[Status] | None = None

    def __post_init__(self) -> None:
        """Refuse secrets that are no keys, networks that are none, and a URL that could never be used."""
        with suppress(LookupError):  # `check` may run where no secret can be read
            keys(self.secrets, _SCHEME.key_format)
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
        """Resolve the URL and look at its form, so that the sender hears of a bad one at once."""
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

    def compose(self, execution: Execution) -> bytes:
        """Write the execution as the API shows it, without `notifications`: a message cannot tell of its delivery.

        `text:`, where there is one, stands beside it.
        """
        data = msgspec.to_builtins(execution)
        del data["notifications"]
        event = {"type": f"execution.{execution.status}", "timestamp": _changed_at(execution), "data": data}
        said = self.said(execution)
        if said is not None:
            event["text"] = said
        return msgspec.json.encode(event)

    async def send(self, outbound: Outbound, message: Message) -> None:
        """Post it, signed afresh.

        Raises Permanent when the receiver is gone or its address is refused, Ambiguous when no whole answer came,
        Transient for every other answer; its Retry-After counts, between a second and a day.
        """
        signature = sign(
            _SCHEME,
            id=message.id,
            timestamp=int(message.now),
            body=message.body,
            secrets=keys(self.secrets, _SCHEME.key_format),
        )
        answer = await outbound.request(
            "POST",
            message.address["url"],
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
            ports=frozenset({HTTPS_PORT, self._own_port()}),
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
