"""GitHub Apps as the REST API has them: an App's own token, its installations, and the tokens of those.

https://docs.github.com/en/rest/apps/apps
"""

from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bridge.emulators.exchange import Answer, json_answer
from bridge.emulators.github_repository import Caller, invalid, not_found

TOKEN_SECONDS = 3600
LONGEST_JWT_SECONDS = 600


class App(msgspec.Struct, kw_only=True):
    """An App and where it is installed: an installation's id and the repositories it may see."""

    id: int
    public_key: bytes
    """PEM."""
    slug: str = "bridge"
    installations: dict[int, list[str]] = {}
    permissions: dict[str, str] = msgspec.field(default_factory=lambda: {"checks": "write", "metadata": "read"})
    tokens: dict[str, tuple[int, float]] = {}
    """Token -> installation, and when it ends (Unix seconds)."""

    def caller(self, token: str, repository: str, now: float) -> Caller | Answer | None:
        """Return who asks with an installation's token; an Answer where it does not count; None: not one of ours."""
        if token not in self.tokens:
            return None
        installation, end = self.tokens[token]
        if now >= end:
            return json_answer({"message": "Bad credentials"}, 401)
        if repository and repository not in self.installations.get(installation, []):
            return not_found()
        return Caller(id=self.id * 1000, login=f"{self.slug}[bot]", app=self.id)

    def answer(self, method: str, segments: tuple[str, ...], body: bytes, now: float) -> Answer:
        """Answer a request that the App makes as itself."""
        match method, segments:
            case "GET", ("app",):
                return json_answer({"id": self.id, "slug": self.slug})
            case "GET", ("repos", owner, name, "installation"):
                found = [id_ for id_, repos in self.installations.items() if f"{owner}/{name}" in repos]
                return json_answer({"id": found[0], "app_id": self.id}) if found else not_found()
            case "POST", ("app", "installations", number, "access_tokens"):
                return self._new_token(number, body, now)
        return not_found()

    def _new_token(self, number: str, body: bytes, now: float) -> Answer:
        installation = int(number) if number.isdecimal() else -1
        if installation not in self.installations:
            return not_found()
        asked: dict[str, str] = msgspec.json.decode(body, type=dict[str, Any]).get("permissions", {}) if body else {}
        if not asked.items() <= self.permissions.items():
            return invalid("permissions")
        token = f"ghs_{self.id}_{installation}_{len(self.tokens)}"
        self.tokens = {**self.tokens, token: (installation, now + TOKEN_SECONDS)}
        end = datetime.fromtimestamp(now + TOKEN_SECONDS, UTC)
        made = {"token": token, "expires_at": end.strftime("%Y-%m-%dT%H:%M:%SZ"), "permissions": asked}
        return json_answer(made, 201)


def app_of(token: str, apps: list[App], now: float) -> App | str | None:
    """Return whose App's own token this is; in words why it does not count; None where it is no such token."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        return None
    try:
        header, claims = (_decoded(part) for part in parts[:2])
        signature = _bytes(parts[2])
    except (ValueError, msgspec.MsgspecError):
        return "A JSON web token could not be decoded"
    app = next((app for app in apps if str(app.id) == claims.get("iss")), None)
    if app is None:
        return "'Issuer' claim ('iss') must be an Integer"
    if header.get("alg") != "RS256" or not _verified(app, f"{parts[0]}.{parts[1]}", signature):
        return "A JSON web token could not be decoded"
    return _untimely(claims.get("iat"), claims.get("exp"), now) or app


def _untimely(begin: Any, end: Any, now: float) -> str:
    if not isinstance(begin, int) or begin > now:
        return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
    if not isinstance(end, int) or end <= now:
        return "'Expiration time' claim ('exp') must be a numeric value representing the future time"
    return "'Expiration time' claim ('exp') is too far in the future" if end > now + LONGEST_JWT_SECONDS else ""


def _verified(app: App, signed: str, signature: bytes) -> bool:
    key = load_pem_public_key(app.public_key)
    assert isinstance(key, RSAPublicKey)  # noqa: S101 - a test made it
    try:
        key.verify(signature, signed.encode(), PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _decoded(part: str) -> dict[str, Any]:
    return msgspec.json.decode(_bytes(part), type=dict[str, Any])


def _bytes(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
