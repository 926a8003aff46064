"""A GitHub App: signs as itself, and asks as one of its installations, with tokens that live for an hour.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

import asyncio
import time
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from bridge.errors import Ambiguous, AttemptError
from bridge.github_api import Refused, ask, repository_path
from bridge.outbound import Outbound
from bridge.secret import Secret

T = TypeVar("T")

_BACK_SECONDS = 60
"""A token from the future is refused, and clocks differ."""
_FORWARD_SECONDS = 9 * 60
"""GitHub takes ten minutes at most, by its own clock."""
_BEFORE_ITS_END_SECONDS = 5 * 60
_UNAUTHORIZED = 401


def check_key(pem: bytes) -> None:
    """Raise ValueError when a text is no RSA private key in PEM, without showing it."""
    _private_key(pem)


def jwt(app_id: int, pem: bytes, now: float) -> str:
    """Return the token an App asks with on its own behalf: RS256, good for nine minutes from `now` (Unix seconds).

    https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    claims = {"iat": int(now) - _BACK_SECONDS, "exp": int(now) + _FORWARD_SECONDS, "iss": str(app_id)}
    signed = b".".join(_base64(msgspec.json.encode(part)) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    return b".".join([signed, _base64(_private_key(pem).sign(signed, PKCS1v15(), SHA256()))]).decode()


class Place(Struct, frozen=True):
    """A repository, and the installation that an event says is the App's there; empty where it does not say."""

    repo: str
    installation: str = ""


class _Tokens:
    """The tokens of one App's installations, kept until shortly before their end."""

    def __init__(self) -> None:
        """Begin without any."""
        self.kept: dict[Place, tuple[str, float]] = {}
        self.turns: defaultdict[Place, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def aclose(self) -> None:
        """Forget them."""
        self.kept.clear()


class App(Struct, frozen=True):
    """An App by its id, with its private key, at one API."""

    app_id: int
    key: Secret
    api_url: str

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask who the App is; returns what is wrong, None when GitHub knows it by this key."""
        try:
            found = await ask(outbound, self._jwt(time.time()), "GET", f"{self.api_url}/app", now=0)
        except AttemptError as error:
            return str(error)
        return None if found.get("id") == self.app_id else f"GitHub: the key is not of the App {self.app_id}"

    async def as_installed(self, outbound: Outbound, place: Place, now: float, do: Callable[[str], Awaitable[T]]) -> T:
        """Do something with a token of the App's installation; once more with a new one where it is not taken.

        Raises as `github_api.ask` does.
        """
        # It may have been revoked, or its hour may be over by GitHub's clock.
        token = await self._token(outbound, place, now)
        try:
            return await do(token)
        except Refused as refused:
            if refused.status != _UNAUTHORIZED:
                raise
        return await do(await self._token(outbound, place, now, instead_of=token))

    async def _token(self, outbound: Outbound, place: Place, now: float, instead_of: str = "") -> str:
        tokens = outbound.beside(("GitHub App", self.api_url, self.app_id), lambda _: _Tokens())
        known = Place("", place.installation) if place.installation else place
        async with tokens.turns[known]:
            token, end = tokens.kept.get(known, ("", 0.0))
            if not token or token == instead_of or end - _BEFORE_ITS_END_SECONDS < now:
                token, end = tokens.kept[known] = await self._new_token(outbound, place, now)
            return token

    async def _new_token(self, outbound: Outbound, place: Place, now: float) -> tuple[str, float]:
        """Return a token that may do nothing but write checks, and when it ends (Unix seconds)."""
        signed, where = self._jwt(now), place.installation
        if not where:
            # The webhook is a repository's own, or the event came from elsewhere.
            url = f"{self.api_url}/{repository_path(place.repo)}/installation"
            where = str((await ask(outbound, signed, "GET", url, now=now)).get("id"))
        url = f"{self.api_url}/app/installations/{where}/access_tokens"
        wanted = {"permissions": {"checks": "write"}}
        found: dict[str, Any] = await ask(outbound, signed, "POST", url, wanted, now=now, repeatable=True)
        try:
            return _text(found["token"]), datetime.fromisoformat(_text(found["expires_at"])).timestamp()
        except (KeyError, ValueError):
            raise Ambiguous("GitHub: its answer holds no token of the App's installation") from None

    def _jwt(self, now: float) -> str:
        return jwt(self.app_id, self.key.reveal(check_key), now)


def _private_key(pem: bytes) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        # In an environment variable its lines often end in a backslash and an n.
        found = load_pem_private_key(pem.replace(b"\\n", b"\n"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("it is no private key in PEM (-----BEGIN RSA PRIVATE KEY-----)") from None
    if not isinstance(found, RSAPrivateKey):
        raise ValueError("it is a private key, but no RSA key, which GitHub's Apps have")
    return found


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value
