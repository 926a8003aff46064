"""Connections, leased one at a time, newest first.

Not httpx's own pool: it is quadratic in open connections and, after enough cancelled requests, answers every later one
with PoolTimeout for good (docs/decisions/0006-connections-of-our-own.md).
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from msgspec import Struct

from bridge.addresses import shown
from bridge.errors import Permanent, Transient
from bridge.wire import Connection, Destination

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port to addresses, in the order to try them; called in a thread. Raises OSError or ValueError."""

_GUARDED_LOOKUPS = 8


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for a host's addresses."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Limits(Struct, frozen=True, kw_only=True):
    """How many connections, and how long."""

    connections: int = 1000
    connections_each: int = 200
    """To one destination."""
    idle_seconds: float = 30.0
    connect_seconds: float = 10.0
    """For all of a name's addresses together, the TLS handshake included."""


class _Place:
    """The connections to one destination."""

    def __init__(self, most: int) -> None:
        self.limit = asyncio.Semaphore(most)
        self.users = 0
        self.idle: list[Connection] = []
        """The one used last stands last, so that those not needed grow old."""


class Pool:
    """Leases connections: at most so many at once, in all and to each destination."""

    def __init__(self, ssl_context: ssl.SSLContext, resolve: Resolve, limits: Limits) -> None:
        """Open nothing yet."""
        ssl_context.set_alpn_protocols(["http/1.1"])
        self._ssl_context = ssl_context
        self._resolve = resolve
        self._limits = limits
        self._limit = asyncio.Semaphore(limits.connections)
        self._places: dict[Destination, _Place] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        # Names that strangers chose are looked up in threads of their own: a slow DNS server of theirs must not
        # hold up the engine's.
        self._guarded_lookups = ThreadPoolExecutor(_GUARDED_LOOKUPS, thread_name_prefix="guarded-lookup")

    @asynccontextmanager
    async def lease(self, destination: Destination, *, reuse: bool, keep: bool) -> AsyncIterator[Connection]:
        """Lend a connection: `reuse` an idle one if there is one, `keep` it afterwards if it is still good.

        One that failed, was cancelled or was not read to its end is closed. Raises Transient once the pool is closed.
        """
        if self._closed:
            raise Transient("this process is shutting down; nothing was sent")
        place = self._places.setdefault(destination, _Place(self._limits.connections_each))
        place.users += 1
        try:
            # The destination's limit first: who waits for a slow one must not hold what others could use.
            async with place.limit, self._limit:
                connection = (self._idle(place) if reuse else None) or self._new(destination)
                kept = False
                try:
                    yield connection
                    kept = keep and connection.reusable and not self._closed
                finally:
                    if kept:
                        self._put_back(place, connection)
                    else:
                        connection.drop()
        finally:
            place.users -= 1
            self._forget(destination, place)

    async def aclose(self) -> None:
        """Close what is idle; what is leased closes when its request ends."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for destination, place in list(self._places.items()):
            while place.idle:
                place.idle.pop().drop()
            self._forget(destination, place)
        self._guarded_lookups.shutdown(wait=False, cancel_futures=True)
        await asyncio.sleep(0)  # transports end in a callback of the loop

    def _new(self, destination: Destination) -> Connection:
        return Connection(destination, self._look_up, self._ssl_context, self._limits.connect_seconds)

    async def _look_up(self, destination: Destination) -> Sequence[str]:
        """Return a destination's addresses; Permanent when its guard refuses one, Transient when there are none."""
        guard = destination.guard
        executor = None if guard is None else self._guarded_lookups
        loop = asyncio.get_running_loop()
        try:
            addresses = await loop.run_in_executor(executor, self._resolve, destination.host, destination.port)
        except (OSError, ValueError):
            raise Transient(f"the name {shown(destination.host)} could not be looked up") from None
        # One answer that is not allowed spoils them all: a name that mixes them was made to get past a guard.
        if guard is not None and not all(guard.permits(address, destination.port) for address in addresses):
            raise Permanent(
                f"{shown(destination.host)} resolves to an address that is not allowed; if it is meant, "
                "permit its network with allow_cidrs"
            )
        return addresses

    def _idle(self, place: _Place) -> Connection | None:
        while place.idle:
            connection = place.idle.pop()
            if connection.reusable:
                connection.reused = True
                return connection
            connection.drop()
        return None

    def _put_back(self, place: _Place, connection: Connection) -> None:
        connection.idle_since = time.monotonic()
        place.idle.append(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._limits.idle_seconds, self._expire)

    def _expire(self) -> None:
        self._timer = None
        oldest = time.monotonic() - self._limits.idle_seconds
        for destination, place in list(self._places.items()):
            while place.idle and place.idle[0].idle_since <= oldest:
                place.idle.pop(0).drop()
            self._forget(destination, place)
        waiting = [place.idle[0].idle_since for place in self._places.values() if place.idle]
        if waiting:
            delay = max(min(waiting) - oldest, 0.01)
            self._timer = asyncio.get_running_loop().call_later(delay, self._expire)

    def _forget(self, destination: Destination, place: _Place) -> None:
        if not place.users and not place.idle:
            self._places.pop(destination, None)
