"""Where things are: environment variables -> Settings. What the bridge does is in the configuration."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from msgspec import Struct

from bridge.addresses import Network
from bridge.errors import SettingsError
from bridge.rate import Rate
from bridge.secret import Secret
from bridge.suggest import unknown

PREFIX = "BRIDGE_"
REDIS_SCHEMES = (b"redis", b"rediss", b"unix", b"sentinel")
API_RATE = Rate.decode("30000/m")
SHORTEST_TOKEN = 32
"""Characters: what cannot be guessed by trying, however often somebody may try."""


class Tokens(Sequence[bytes]):
    """Bearer tokens, separated by commas in one secret: as they are now, for they may change in their file."""

    def __init__(self, *secrets: Secret) -> None:
        """Take the tokens of each secret; ValueError when one is empty or no header can carry it."""
        self._secrets = secrets
        for secret in secrets:
            _split(secret.reveal())

    def __getitem__(self, place: Any) -> Any:
        """Return the token in that place."""
        return self._now()[place]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._now())

    def __add__(self, other: "Tokens") -> "Tokens":
        """Return the tokens of both."""
        return Tokens(*self._secrets, *other._secrets)

    def _now(self) -> list[bytes]:
        return [token for secret in self._secrets for token in _split(secret.reveal(usable=_split))]


class Settings(Struct, frozen=True, kw_only=True):
    """The environment, read once at start-up."""

    config: Path = Path("config/bridge.yaml")
    redis_url: Secret | None = None
    """May hold a password. None: a private Valkey in `data_dir`."""
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str | None = None
    """How others reach us, without a slash at the end."""
    data_dir: Path = Path(".bridge")
    api_tokens: Tokens = Tokens()
    """Bearer tokens that may operate."""
    read_tokens: Tokens = Tokens()
    """Bearer tokens that may look."""
    api_rate: Rate = API_RATE
    """What one token may ask of one process."""
    trusted_proxies: tuple[Network, ...] = ()
    """Whose X-Forwarded-For is believed; none: nobody's."""
    log: Literal["json", "console"] | None = None
    """None: `console` on a terminal, else `json`."""

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read every BRIDGE_ variable; SettingsError names all that are wrong."""
        problems = list(_strangers(environ))
        values: dict[str, Any] = {}
        for field, read in _READERS.items():
            name = PREFIX + field.upper()
            try:
                value = _secret(name, environ) if field in _SECRET else _text(name, environ)
                if value is not None:
                    values[field] = read(value)
            except ValueError as error:
                problems.append(f"{name}: {error}")
        settings = cls(**values)
        problems += _short_tokens(settings)
        if problems:
            raise SettingsError(problems)
        return settings

    @property
    def local(self) -> bool:
        """Whether nobody but this machine is meant to reach us."""
        hosts = {self.host, urlsplit(self.public_url or "").hostname or self.host}
        return all(_is_loopback(host) for host in hosts)

    def __repr__(self) -> str:
        """Show where things are, but no password and no token."""
        shown = {field: getattr(self, field) for field in _READERS if field not in _SECRET}
        return f"Settings({', '.join(f'{field}={value!r}' for field, value in shown.items())})"


def _strangers(environ: Mapping[str, str]) -> Iterator[str]:
    known = [PREFIX + field.upper() for field in _READERS]
    known += [f"{PREFIX}{field.upper()}_FILE" for field in _SECRET]
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            hint = _SERVICE_LINK if environ[name].startswith("tcp://") or "_SERVICE_" in name else ""
            yield unknown("variable", name, known) + hint


def _secret(name: str, environ: Mapping[str, str]) -> Secret | None:
    file = f"{name}_FILE"
    if file in environ:
        if name in environ:
            raise ValueError(f"{file} is set as well: set one of the two")
        return Secret.decode({"file": environ[file]}, environ)
    text = _text(name, environ)
    return None if text is None else Secret.decode({"env": name}, {name: text})


def _text(name: str, environ: Mapping[str, str]) -> str | None:
    if name not in environ:
        return None
    if not environ[name].strip():
        raise ValueError("is empty: give it a value or leave it unset")
    return environ[name].strip()


def _redis_url(secret: Secret) -> Secret:
    # Neither the URL nor what a parser says of it is shown: it may hold a password.
    if secret.reveal().partition(b"://")[0] not in REDIS_SCHEMES or b"://" not in secret.reveal():
        known = ", ".join(f"{scheme.decode()}://" for scheme in REDIS_SCHEMES)
        raise ValueError(f"is not a URL that begins with {known}")
    return secret


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535):  # noqa: PLR2004 - TCP's own
        raise ValueError(f"{text!r} is not a port: write a number from 0 to 65535" + _link_hint(text))
    return int(text)


def _link_hint(text: str) -> str:
    return _SERVICE_LINK if text.startswith("tcp://") else ""


def _public_url(text: str) -> str:
    parts = urlsplit(text)  # a ValueError of its own for a broken host
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is not an address such as https://bridge.example.com")
    return text.rstrip("/")


def _split(value: bytes) -> list[bytes]:
    tokens = [token.strip() for token in value.split(b",")]
    if not all(tokens):
        raise ValueError("holds an empty token: separate tokens by single commas")
    if not all(_SENDABLE.fullmatch(token) for token in tokens):
        raise ValueError(f"holds a token with characters that a header cannot carry; {_MAKE_ONE}")
    return tokens


def _short_tokens(settings: Settings) -> Iterator[str]:
    """Refuse tokens that could be guessed, where others than this machine may try."""
    for field in () if settings.local else ("api_tokens", "read_tokens"):
        short = [place for place, token in enumerate(getattr(settings, field), 1) if len(token) < SHORTEST_TOKEN]
        if short:
            which = ", ".join(map(str, short))
            yield f"{PREFIX}{field.upper()}: token {which} is shorter than {SHORTEST_TOKEN} characters; {_MAKE_ONE}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _proxies(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"{error}; write networks such as 10.0.0.0/8, separated by commas") from None


def _log(text: str) -> str:
    if text not in ("json", "console"):
        raise ValueError(f"{text!r} is neither json nor console")
    return text


_SERVICE_LINK = "; Kubernetes sets this for a Service named 'bridge': say `enableServiceLinks: false` in the pod"
_SENDABLE = re.compile(rb"[!-~]+")
_MAKE_ONE = "make one with `python3 -c 'import secrets; print(secrets.token_urlsafe(32))'`"
_SECRET = ("redis_url", "api_tokens", "read_tokens")
_READERS: dict[str, Callable[[Any], Any]] = {
    "config": Path,
    "redis_url": _redis_url,
    "host": str,
    "port": _port,
    "public_url": _public_url,
    "data_dir": Path,
    "api_tokens": Tokens,
    "read_tokens": Tokens,
    "api_rate": Rate.decode,
    "trusted_proxies": _proxies,
    "log": _log,
}
