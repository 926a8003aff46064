"""Connection pools to Redis, bounded and with an end to every wait: one server by its URL, or a master by Sentinel.

A Sentinel URL is `sentinel://[user:password@]host[:26379],host[:26379].../name[?options]`; user and password are
Redis's own. Options: `db`, `tls` (true: to Redis and to the sentinels), `sentinel_user` and `sentinel_password`.
Everything may be percent-encoded.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Sentinel, SentinelConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import MasterNotFoundError
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from bridge.errors import SettingsError
from bridge.secret import Secret

SENTINEL_PORT = 26_379

_BOUNDS: dict[str, Any] = {"max_connections": 64, "timeout": 3}
"""How many connections, and how many seconds to wait for a free one."""
_TIMEOUTS: dict[str, Any] = {"socket_timeout": 3.0, "socket_connect_timeout": 2.0, "health_check_interval": 15}
"""By default redis-py waits for ever on a black hole."""
_SENTINEL_TIMEOUTS: dict[str, Any] = {
    "socket_timeout": 0.5,
    "socket_connect_timeout": 0.5,
    "socket_keepalive": True,
}
"""A sentinel that does not answer must cost less than what a delivery may wait for being stored."""
_CHECKED: dict[str, Any] = {"ssl_check_hostname": True}
"""redis-py by itself takes any valid certificate, whoever's it is."""
_SENTINEL_OPTIONS = frozenset({"db", "tls", "sentinel_user", "sentinel_password"})


def pool(url: str, changing: Secret | None = None) -> ConnectionPool:
    """Return a pool for a redis://, rediss://, unix:// or sentinel:// URL; SettingsError when it cannot be read.

    `changing` is that URL where it may change: each new connection uses the user and password it then has.
    """
    made = _pool(url)
    if changing is not None:
        made.connection_kwargs |= {"username": None, "password": None, "credential_provider": _Credentials(changing)}
    return made


class _Credentials(CredentialProvider):
    """The user and password of a URL, as it is when a connection is made."""

    def __init__(self, url: Secret) -> None:
        self._url = url

    def get_credentials(self) -> Any:
        """Return what AUTH takes; nothing where the URL has no password."""
        return _credentials(self._url.reveal(usable=_credentials))

    async def get_credentials_async(self) -> Any:
        """Return the same; redis-py's own logs a warning for each connection before it does so."""
        return self.get_credentials()


def _credentials(url: bytes) -> tuple[str, ...]:
    """Return the user and the password of a URL, as many as it has; ValueError when it cannot be read."""
    try:
        options = _pool(url.decode()).connection_kwargs
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return tuple(part for part in (options.get("username"), options.get("password")) if part)


def _pool(url: str) -> ConnectionPool:
    try:
        if url.startswith("sentinel:"):
            return _guarded(_sentinel_pool(url))
        options = _TIMEOUTS if url.startswith("unix:") else _TIMEOUTS | {"socket_keepalive": True}
        if url.startswith("rediss:"):
            options = options | _CHECKED
        return _guarded(BlockingConnectionPool.from_url(url, **_BOUNDS, **options))
    except ValueError as error:
        # Only our own words: those of a parser may show the password.
        said = str(error) if isinstance(error, _Unusable) else "is not a Redis URL"
        raise SettingsError([f"BRIDGE_REDIS_URL: {said}"]) from None


class GuardedWrites(AbstractConnection):
    """A connection that calls it a connection error to write after the other end is gone, under uvloop, too."""

    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        try:
            await super()._send_packed_command(command)
        except RuntimeError as error:
            # uvloop's word for a closed transport; redis-py expects asyncio's and would let this one through.
            raise ConnectionResetError(str(error)) from None


def _guarded(made: ConnectionPool) -> ConnectionPool:
    kind = made.connection_class
    made.connection_class = type(f"Guarded{kind.__name__}", (GuardedWrites, kind), {})
    return made


class _Unusable(ValueError):
    """What is wrong with a Sentinel URL, without repeating it."""


class Sentinels(Sentinel):
    """Sentinels that are asked one after the other until one knows the master.

    Not redis-py's own way of asking: its swap of the list, done by several connections at once, loses sentinels.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the master's address; MasterNotFoundError when no sentinel knows one that is up."""
        said = []
        for sentinel in tuple(self.sentinels):
            try:
                masters = await sentinel.sentinel_masters()  # type: ignore[no-untyped-call]
            except (RedisError, OSError) as error:
                said.append(type(error).__name__)
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                # Asked first from now on.
                self.sentinels = [sentinel, *(other for other in self.sentinels if other is not sentinel)]
                return state["ip"], state["port"]
            said.append("down" if state else "of another name")
        raise MasterNotFoundError(f"no sentinel knows a master {service_name!r} that is up ({', '.join(said)})")


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """A bounded pool of connections to whichever server is the master now."""

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Close the connections; when all of them, those to the sentinels as well."""
        await super().disconnect(inuse_connections=inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose(close_connection_pool=True)


def _sentinel_pool(text: str) -> SentinelPool:
    # Several hosts, of which one may be in brackets, are no netloc to every release of Python: it is taken out first.
    netloc, slash, rest = text.removeprefix("sentinel://").partition("/")
    url = urlsplit(f"sentinel://{slash}{rest}")
    options = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
    if unknown := sorted(options.keys() - _SENTINEL_OPTIONS):
        known = ", ".join(sorted(_SENTINEL_OPTIONS))
        raise _Unusable(f"a sentinel:// URL has no option {unknown[0]!r}: it takes {known}")
    name, db = unquote(url.path.removeprefix("/")), options.get("db", "0")
    if not name or "/" in name:
        raise _Unusable("a sentinel:// URL ends with the master's name, as in sentinel://host1,host2/mymaster")
    if not (db.isascii() and db.isdecimal()):
        raise _Unusable("the option db of a sentinel:// URL is a number")
    credentials, _, hosts = netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    tls = _tls(options.get("tls", "false"))
    sentinels = Sentinels(  # type: ignore[no-untyped-call]
        [_address(host) for host in hosts.split(",")],
        sentinel_kwargs={
            **_SENTINEL_TIMEOUTS,
            **tls,
            "username": options.get("sentinel_user"),
            "password": options.get("sentinel_password"),
        },
    )
    return SentinelPool(  # type: ignore[no-untyped-call]
        name,
        sentinels,
        **_BOUNDS,
        **_TIMEOUTS,
        **tls,
        socket_keepalive=True,
        db=int(db),
        username=unquote(user) or None,
        password=unquote(password) or None,
    )


def _tls(text: str) -> dict[str, Any]:
    if text not in ("true", "false"):
        raise _Unusable("the option tls of a sentinel:// URL is true or false")
    return {"ssl": True, **_CHECKED} if text == "true" else {}


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise _Unusable("a sentinel:// URL names every sentinel as host or host:port, separated by commas")
    return unquote(parts.hostname), parts.port or SENTINEL_PORT
