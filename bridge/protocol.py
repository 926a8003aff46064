"""HTTP connections that cannot be held for long: uvicorn's fast protocol with deadlines, limits and a cap.

uvicorn has none of them: half a head or half a body keeps its connection for ever, and a head may be of any size. What
is overridden here of uvicorn's protocol is pinned by tests/contract/test_protocol.py.
"""

import asyncio
import resource
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from bridge import metrics

_OTHER_FILES = 200
_FEWEST_CONNECTIONS = 50

Reason = Literal["malformed", "head_too_large", "head_timeout", "body_timeout", "idle", "unread", "too_many"]

_ANSWERS: dict[Reason, tuple[int, str, str]] = {
    "malformed": (400, "Bad Request", "this is no request as RFC 9112 has it"),
    "head_too_large": (431, "Request Header Fields Too Large", "too many headers, or too long ones"),
    "head_timeout": (408, "Request Timeout", "the head of the request did not arrive in time"),
    "body_timeout": (408, "Request Timeout", "the body of the request did not arrive in time"),
}


class Limits(Struct, frozen=True, kw_only=True):
    """What one connection, and all of them together, may take."""

    head_seconds: float = 5.0
    """For a whole head, from the connection or, on one that is kept, from its first byte."""
    body_seconds: float = 9.5
    """For a whole body, whoever reads it; the application answers 408 a little earlier."""
    unread_seconds: float = 10.0
    """How long an answer may lie there unread."""
    idle_seconds: int = 5
    """How long a connection is kept for the next request."""
    head_bytes: int = 32_768
    headers: int = 100
    connections: int = 2000
    """With more than these, the one that has owed its head or body the longest is closed."""


class _Refused(Exception):
    """Raised within the parser, to stop it."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection with `limits`; use `guarded` to make a class of them."""

    limits: ClassVar[Limits] = Limits()
    owing: ClassVar[dict["GuardedProtocol", None]] = {}
    """Connections that owe a head or a body, the oldest first; one table for each class that `guarded` makes."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **more: Any) -> None:
        """Take what uvicorn hands to every connection."""
        super().__init__(config, server_state, app_state, **more)
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._in_head, self._in_body = True, False
        self._heads = 0
        self._raw_bytes = 0
        """Of a head that is not whole: as it came."""
        self._parsed_bytes = 0
        """Of a head: what the parser has told of it; it may come in one piece with many heads and bodies."""
        self._refusal: Reason = "malformed"
        self.timeout_keep_alive = self.limits.idle_seconds

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Start the first head's deadline, and make room if there are too many."""
        super().connection_made(transport)
        self._limit(self.limits.head_seconds, "head_timeout")
        if len(self.connections) > self.limits.connections:
            next(iter(self.owing)).cut("too_many")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        self._unlimit()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head, and let uvicorn parse; whatever it cannot parse is refused and closed."""
        if self._in_head and self._deadline is None:
            self._limit(self.limits.head_seconds, "head_timeout")
        heads, was_in_head = self._heads, self._in_head
        self._raw_bytes += len(data) if was_in_head else 0
        super().data_received(data)
        if was_in_head and heads == self._heads and self._raw_bytes > self.limits.head_bytes:
            self.refuse("head_too_large")

    def on_message_begin(self) -> None:
        """Begin to count a head."""
        super().on_message_begin()
        self._parsed_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Count the target, or a piece of it."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one header; those behind a body are dropped, for no proxy has looked at them."""
        if not self._in_body:
            super().on_header(name, value)
        self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Let the body's deadline take the place of the head's."""
        if (
            self.parser.get_http_version() not in ("1.0", "1.1")
            or [name for name, _ in self.headers].count(b"host") > 1
        ):
            raise _Refused
        super().on_headers_complete()
        self._in_head, self._in_body, self._raw_bytes = False, True, 0
        self._heads += 1
        self._limit(self.limits.body_seconds, "body_timeout")

    def on_message_complete(self) -> None:
        """Take the deadline off: what follows is ours to do."""
        self._in_head, self._in_body = True, False
        self._unlimit()
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            delay, then = self.timeout_keep_alive, self.timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(delay, then)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of a body that nobody wants."""
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete:
            self._unset_keepalive_if_required()
            if self.expect_100_continue:
                self._close()  # whether a body follows is the sender's guess, so nothing after it is sure

    def pause_writing(self) -> None:
        """Start the deadline for reading what we have answered."""
        super().pause_writing()
        self._must_be_read()

    def resume_writing(self) -> None:
        """Take that deadline off."""
        super().resume_writing()
        if self._unread is not None and not self.transport.is_closing():
            self._unread.cancel()
            self._unread = None

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection nobody uses."""
        self._close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words; ours say why
        """Refuse what the parser stopped at."""
        self.refuse(self._refusal)

    def refuse(self, reason: Reason) -> None:
        """Say why and close; only close where what is written would be taken for the answer to something else."""
        metrics.CONNECTIONS_CUT.labels(reason).inc()
        self._unlimit()
        if self._owed():
            self.transport.write(_answer(*_ANSWERS[reason]))
        if (current := self._current()) is not None:
            current.disconnected = True
            current.message_event.set()
        self._close()

    def cut(self, reason: Reason) -> None:
        """Close without a word, and without waiting for the other side."""
        metrics.CONNECTIONS_CUT.labels(reason).inc()
        self._unlimit()
        self.transport.abort()

    def _owed(self) -> bool:
        """Say whether the next answer on this connection is to the request that is refused."""
        if self._in_head:
            current = self._current()
            return current is None or current.response_complete
        return not self.cycle.response_started and not self.pipeline

    def _current(self) -> RequestResponseCycle | None:
        return self.cycle  # which uvicorn's annotation never lets be None, though it is before the first head

    def _close(self) -> None:
        self.transport.close()
        self._must_be_read()

    def _must_be_read(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.unread_seconds, self.cut, "unread")

    def _count(self, size: int) -> None:
        self._parsed_bytes += size
        if self._parsed_bytes > self.limits.head_bytes or len(self.headers) > self.limits.headers:
            self._refusal = "head_too_large"
            raise _Refused

    def _limit(self, seconds: float, reason: Reason) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self.owing[self] = None  # from its head on, if it is there already
        self._deadline = self.loop.call_later(seconds, self._late, reason)

    def _unlimit(self) -> None:
        self.owing.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self, reason: Reason) -> None:
        self._deadline = None
        if self._raw_bytes or self._in_body:
            self.refuse(reason)
        else:
            self.cut("idle")  # it never said a word


def fitting(files: int | None = None) -> Limits:
    """Return limits under which Redis, engines and receivers always get their descriptors.

    `files` may be open at once; by default what this process may (RLIMIT_NOFILE).
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if files is None else files
    if most == resource.RLIM_INFINITY:
        return Limits()
    return Limits(connections=max(_FEWEST_CONNECTIONS, min(Limits().connections, most - _OTHER_FILES)))


def guarded(limits: Limits) -> type[GuardedProtocol]:
    """Return a class of connections with these limits, for uvicorn's `http=`."""
    return type("GuardedProtocol", (GuardedProtocol,), {"limits": limits, "owing": {}})


def _answer(status: int, title: str, detail: str) -> bytes:
    body = msgspec.json.encode({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return (
        f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    ).encode() + body
