"""One HTTP/1.1 connection: httpcore's protocol over a stream that knows what has left it and can be dropped at once.

Not httpcore's own stream: closing that awaits, so a cancelled request can leave a socket behind, and it yields between
being asked to write and writing, where a lease could run out unseen.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import httpcore
from msgspec import Struct

from bridge.addresses import Guard
from bridge.errors import Transient

_MAX_ADDRESSES = 4
_READ_AHEAD_BYTES = 1 << 18


class Exchange:
    """What is known about one request on the wire."""

    def __init__(self, not_after: float | None = None) -> None:
        """Start with nothing sent; `not_after` in monotonic seconds."""
        self.not_after = not_after
        self.sent = False
        self.answered = False

    def begin(self) -> None:
        """Allow the first byte, or raise Transient when it is too late for it."""
        if self.not_after is not None and time.monotonic() > self.not_after:
            raise Transient("the lease ran out before anything was sent")
        self.sent = True


class Destination(Struct, frozen=True):
    """Everything a connection is opened for; only what is equal in all of it may share one."""

    scheme: str
    host: str
    """As it stands on the wire (IDNA)."""
    port: int
    guard: Guard | None


LookUp = Callable[[Destination], Awaitable[Sequence[str]]]
"""A destination's addresses, checked. Raises Transient or Permanent."""


class Stream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One TCP or TLS stream under httpcore. Closing it takes no time and cannot fail."""

    def __init__(self) -> None:
        """Stay empty until asyncio connects it."""
        self.exchange = Exchange()
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._ended = False
        self._broken: Exception | None = None
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def stale(self) -> bool:
        """Whether an idle stream was closed by the other end, or said something nobody asked for."""
        return self._ended or bool(self._received)

    def drop(self) -> None:
        """Close at once, whatever is unsent or unread."""
        self._ended = True
        self._received.clear()
        self._transport.abort()

    # What asyncio calls:

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Buffer, and stop reading while nobody takes what is there."""
        self._received += data
        if len(self._received) >= _READ_AHEAD_BYTES:
            self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> None:
        """Note that no more will come; the transport then closes itself."""
        self._ended = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits."""
        self._ended, self._broken = True, exc
        self._news.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """Make `write` wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `write` go on."""
        self._writable.set()

    # What httpcore calls; its timeouts are not used, for one deadline holds over everything:

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109 - httpcore's
        """Return what came, b"" at the end."""
        while not self._received and not self._ended:
            self._news.clear()
            await self._news.wait()
        if not self._received:
            if self._broken is not None:
                raise httpcore.ReadError(str(self._broken)) from self._broken
            return b""
        self.exchange.answered = True
        taken = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        if not self._ended and len(self._received) < _READ_AHEAD_BYTES:
            self._transport.resume_reading()
        return taken

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - httpcore's
        """Send; between the check of the lease and the first byte nothing else runs."""
        if self._ended:
            raise httpcore.WriteError("the connection was closed")
        if not self.exchange.sent:
            self.exchange.begin()
        self._transport.write(buffer)
        await self._writable.wait()

    async def aclose(self) -> None:
        """Close at once."""
        self.drop()


class Connection:
    """An HTTP/1.1 connection to one destination, for one request at a time."""

    def __init__(
        self, destination: Destination, look_up: LookUp, ssl_context: ssl.SSLContext, connect_seconds: float
    ) -> None:
        """Stay unconnected until the first request."""
        self.reused = False
        self.idle_since = 0.0
        self._destination = destination
        self._look_up = look_up
        self._tls = ssl_context if destination.scheme == "https" else None
        self._connect_seconds = connect_seconds
        self._stream: Stream | None = None
        self._http: httpcore.AsyncHTTP11Connection | None = None

    async def ask(self, request: httpcore.Request, exchange: Exchange) -> httpcore.Response:
        """Send a request and return its answer, the body still unread.

        Raises Permanent when the guard refuses the destination, Transient when its name cannot be looked up or the
        lease has run out, and httpcore's NetworkError and ProtocolError.
        """
        if self._stream is None or self._http is None:
            self._stream = await self._connect()
            at = self._destination
            origin = httpcore.Origin(at.scheme.encode(), at.host.encode(), at.port)
            self._http = httpcore.AsyncHTTP11Connection(origin, self._stream)
        self._stream.exchange = exchange
        return await self._http.handle_async_request(request)

    async def _connect(self) -> Stream:
        """Connect to one of the addresses that were looked up and checked; a certificate must be for the name."""
        at = self._destination
        addresses = (await self._look_up(at))[:_MAX_ADDRESSES]
        loop = asyncio.get_running_loop()
        # A final dot belongs to the name in DNS, not to the one in a certificate (RFC 6066, 3).
        name = at.host.removesuffix(".") if self._tls else None
        why = "it has no address"
        for address in addresses:
            try:
                async with asyncio.timeout(self._connect_seconds / len(addresses)):
                    _, stream = await loop.create_connection(
                        Stream, address, at.port, ssl=self._tls, server_hostname=name
                    )
            except TimeoutError:
                why = "it does not answer"
            except ssl.SSLCertVerificationError as error:
                why = f"its certificate is not valid: {error.verify_message}"
            except OSError as error:
                # The texts of other TLS errors are OpenSSL's, and for its developers.
                why = "the TLS handshake failed" if isinstance(error, ssl.SSLError) else _plain(error)
            else:
                return stream
        raise httpcore.ConnectError(why)

    @property
    def reusable(self) -> bool:
        """Whether the answer was read to its end, nothing came after it, and both sides would go on."""
        if self._stream is None or self._http is None or not self._http.is_idle():
            return False
        # httpcore keeps what came after the answer and would take it for the next one.
        after, _ = self._http._h11_state.trailing_data
        return not after and not self._stream.stale

    def drop(self) -> None:
        """Close at once."""
        if self._stream is not None:
            self._stream.drop()


def _plain(error: OSError) -> str:
    return error.strerror or type(error).__name__
