"""The HTTP client: one request with one deadline and a bounded answer, and whether it was sent is always known.

No redirects, no proxies from the environment, no cookies, HTTP/1.1 only: nothing goes anywhere but where it was told.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, Self, TypeVar

import httpcore
import httpx
import msgspec
from msgspec import Struct

from bridge import __version__
from bridge.addresses import Guard, parse, port_of, shown
from bridge.connections import Limits, Pool, Resolve, resolve
from bridge.errors import Ambiguous, AttemptError, Permanent, Transient
from bridge.secret import SHORTEST_HIDDEN
from bridge.wire import Connection, Destination, Exchange

__all__ = ["Answer", "Guard", "Limits", "Outbound"]

_LONGEST_WISH_SECONDS = 86_400.0
_SHOWN_CHARACTERS = 300
_LOOKED_AT_CHARACTERS = 1 << 16
_NAME = re.compile("[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile("(?:(?![ \t])[^\x00-\x08\n-\x1f\x7f\ud800-\udfff]*(?<![ \t]))?")
"""What a header may hold (RFC 9110, 5.5): nothing that ends it, nor blanks around it. Checked here and nowhere else."""
_HTML = re.compile(r"\s*<", re.ASCII)
_WORDS = ("error", "message", "detail", "title", "error_description", "reason")


class Answer(Struct, frozen=True, kw_only=True):
    """What came back, read to its end or to `max_bytes`."""

    status: int
    headers: dict[str, str]
    """Lower-case names; repeated ones joined by commas."""
    body: bytes
    truncated: bool = False
    """The body is not whole: longer than asked for, or in a Content-Encoding, which is refused (it is empty then)."""

    def retry_after(self, now: float) -> float | None:
        """Return the seconds it asks to wait: never negative, at most a day.

        A date is counted from the answer's own Date, or else from `now` (Unix seconds): so no clock of ours matters.
        """
        wish = self.headers.get("retry-after", "").strip()
        if re.fullmatch("[0-9]+", wish):
            return min(float(wish[:10]), _LONGEST_WISH_SECONDS)
        until = _moment(wish)
        if until is None:
            return None
        said_at = _moment(self.headers.get("date", ""))
        return min(max(0.0, until - (now if said_at is None else said_at)), _LONGEST_WISH_SECONDS)

    def text(self, limit: int) -> str:
        """Return at most `limit` characters of the body, for messages: what is not UTF-8 is replaced."""
        return self.body[: limit * 4].decode(errors="replace")[:limit]

    def words(self, *hidden: str) -> str:
        """Sum the answer up in one short line for people, without the `hidden` texts: `HTTP 401: Invalid API key`."""
        if self.truncated and not self.body:
            return f"HTTP {self.status} (in an encoding that was not asked for)"
        text = self.text(_LOOKED_AT_CHARACTERS)
        if _HTML.match(text):
            return f"HTTP {self.status} (an HTML page)"
        said = _said(self.body) or text
        for secret in hidden:
            # An engine may repeat the key it was sent; a very short one would hide ordinary words instead.
            said = said.replace(secret, "***") if len(secret) >= SHORTEST_HIDDEN else said
        line = next((line for line in map(_printable, said.splitlines()) if line), "")
        if len(line) > _SHOWN_CHARACTERS:
            line = f"{line[: _SHOWN_CHARACTERS - 1]}…"
        return f"HTTP {self.status}: {line}" if line else f"HTTP {self.status}"


class Closable(Protocol):
    """Something that is open."""

    async def aclose(self) -> None:
        """Close it."""


K = TypeVar("K", bound=Closable)


class Outbound:
    """Every request this process makes to the outside goes through one of these; `aclose()` when done."""

    def __init__(
        self,
        *,
        user_agent: str = f"genesis-bridge/{__version__}",
        resolve: Resolve = resolve,
        ssl_context: ssl.SSLContext | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Read the trusted certificates (certifi's, or SSL_CERT_FILE's), once, and open nothing."""
        self._user_agent = user_agent
        self._tls = ssl_context or httpx.create_ssl_context()
        self._pool = Pool(self._tls, resolve, limits or Limits())
        self._beside: dict[object, Any] = {}

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    def beside(self, key: object, make: Callable[[ssl.SSLContext], K]) -> K:
        """Return what is kept under a key beside the connections, made once, and closed (`aclose`) with them.

        `make` gets what TLS trusts here.
        """
        if key not in self._beside:
            self._beside[key] = make(self._tls)
        kept: K = self._beside[key]
        return kept

    async def aclose(self) -> None:
        """Close every idle connection, and what is kept beside them."""
        try:
            for kept in self._beside.values():
                await kept.aclose()
        finally:
            await self._pool.aclose()

    async def request(  # noqa: PLR0913 - each is one property of one request
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = {},
        content: bytes | None = None,
        timeout_seconds: float,
        max_bytes: int,
        fresh: bool = False,
        not_after: float | None = None,
        guard: Guard | None = None,
    ) -> Answer:
        """Make one request; every answer, whatever its status, is returned.

        `fresh` gives it a connection of its own. `not_after` (monotonic seconds) is looked at when the connection
        stands and before the first byte. `guard` is for URLs that somebody else may have chosen.
        Raises Transient when nothing was sent, Ambiguous when something was, and Permanent when it cannot be sent.
        """
        parsed = _parse(url, guard)
        host = shown(parsed.host)
        destination = Destination(parsed.scheme, parsed.raw_host.decode(), port_of(parsed), guard)
        exchange = Exchange(not_after)
        request = self._write(method, parsed, headers, content, close=fresh)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._exchange(request, destination, exchange, max_bytes, fresh=fresh)
        except AttemptError:
            raise
        except TimeoutError:
            what = f"{host} did not answer in full" if exchange.sent else f"{host} could not be connected to"
            raise _kind(exchange)(f"{what} within {timeout_seconds:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _kind(exchange)(_broken(host, exchange, error)) from None

    def _write(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes | None, *, close: bool
    ) -> httpcore.Request:
        fields = {
            "host": url.netloc.decode(),
            "user-agent": self._user_agent,
            "accept": "*/*",
            **headers,
            # A compressed answer of 600 kB can be 600 MB.
            "accept-encoding": "identity",
            **({} if content is None and method == "GET" else {"content-length": str(len(content or b""))}),
            **({"connection": "close"} if close else {}),
        }
        if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in fields.items()):
            # Which one is not said: it may be a key.
            raise Permanent("the request cannot be written: a header has a line break or the like")
        return httpcore.Request(
            method,
            httpcore.URL(scheme=url.scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=[(name.encode(), value.encode()) for name, value in fields.items()],
            content=content,
        )

    async def _exchange(
        self, request: httpcore.Request, destination: Destination, exchange: Exchange, max_bytes: int, *, fresh: bool
    ) -> Answer:
        if not fresh:
            async with self._pool.lease(destination, reuse=True, keep=True) as connection:
                try:
                    return await _ask(connection, request, exchange, max_bytes)
                except (httpcore.NetworkError, httpcore.ProtocolError):
                    # A kept connection that the other end closed meanwhile. Unsent, or only a question: ask anew.
                    harmless = request.method == b"GET" or not exchange.sent
                    if not (connection.reused and harmless and not exchange.answered):
                        raise
        async with self._pool.lease(destination, reuse=False, keep=not fresh) as connection:
            return await _ask(connection, request, exchange, max_bytes)


async def _ask(connection: Connection, request: httpcore.Request, exchange: Exchange, max_bytes: int) -> Answer:
    response = await connection.ask(request, exchange)
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if headers.get("content-encoding", "identity").lower() != "identity":
        return Answer(status=response.status, headers=headers, body=b"", truncated=True)
    body = bytearray()
    try:
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) > max_bytes:
                # Going on until the closed stream ends it leaves none of httpcore's generators half-way.
                connection.drop()
    except httpcore.ProtocolError:
        if len(body) <= max_bytes:
            raise
    await response.aclose()
    truncated = len(body) > max_bytes
    return Answer(status=response.status, headers=headers, body=bytes(body[:max_bytes]), truncated=truncated)


def _parse(url: str, guard: Guard | None) -> httpx.URL:
    problem = None if guard is None else guard.problem(url)
    if problem is not None:
        raise Permanent(f"the URL cannot be used: {problem}")
    try:
        return parse(url)
    except ValueError as error:
        raise Permanent(f"the URL cannot be used: {error}") from None


def _kind(exchange: Exchange) -> type[Transient] | type[Ambiguous]:
    return Ambiguous if exchange.sent else Transient


def _broken(host: str, exchange: Exchange, error: Exception) -> str:
    if isinstance(error, httpcore.ConnectError):
        return f"{host} could not be connected to: {error}"
    if exchange.answered and isinstance(error, httpcore.ProtocolError):
        return f"the answer of {host} is not HTTP or is cut short"
    return f"{host} closed the connection without an answer"


def _moment(date: str) -> float | None:
    """Return an HTTP date as Unix seconds."""
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _said(body: bytes) -> str | None:
    try:
        found: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    while isinstance(found, dict):
        # The first that says something: {"error": ...}, {"error": {"message": ...}}, {"success": false, "message": ...}
        found = next((found[name] for name in _WORDS if isinstance(found.get(name), (str, dict)) and found[name]), None)
    return found if isinstance(found, str) else None


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else " " for character in line).strip()
