"""Sign as a source's sender would: the headers of one request, or the shell that computes them from the environment."""

import base64
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence

from msgspec import Struct

from bridge.errors import BridgeError
from bridge.scheme import PLACEHOLDER, Encoding, KeyFormat, Scheme
from bridge.secret import Secret
from bridge.signatures import is_key, keys, sign

_SHELL = {"body": "$body", "timestamp": "$time", "id": "$id"}
_ID = "idempotency-key"


class CannotSign(BridgeError):
    """The secret to sign with cannot be read; the message names it, never shows it."""


class Signing(Struct, frozen=True, kw_only=True):
    """How a sender proves itself: by a signature of a scheme, or by showing its secret in a header."""

    secrets: Sequence[Secret]
    """The first is used; without any there is nothing to prove."""
    scheme: Scheme | None = None
    header: str = "authorization"
    """Without a scheme: where the secret is shown ..."""
    prefix: str = ""
    """... and what stands before it."""
    username: str | None = None
    """With one the secret is its password (RFC 7617)."""
    id_header: str | None = None
    """Where the sender puts its own id of an event, if the scheme does not say."""

    @property
    def proof(self) -> frozenset[str]:
        """The headers that belong to one request only: a repeat has its own."""
        scheme = self.scheme
        found = [self.header, self.id_header]
        if scheme is not None:
            found = [scheme.header, scheme.id, scheme.timestamp, scheme.token, self.id_header]
        return frozenset(name for name in found if name is not None)

    def headers(
        self, body: bytes, environ: Mapping[str, str], now: int, message_id: str | None = None
    ) -> dict[str, str]:
        """Return the headers that prove a body and make it a new event, or that of `message_id`; raises CannotSign."""
        new_id = message_id or secrets.token_hex(16)
        made = {} if self.id_header is None else {self.id_header: new_id}
        if not self.secrets:
            return made
        try:
            secret = self.secrets[0].read(environ)
            if self.scheme is None:
                return made | {self.header: self._shown(secret)}
            if not is_key(secret, self.scheme):
                return made | {_ID: new_id, str(self.scheme.token): _in_a_header(secret.reveal())}
            key = keys([secret], self.scheme.key_format)
            return made | sign(self.scheme, id=new_id, timestamp=now, body=body, secrets=key)
        except ValueError as error:
            raise CannotSign(f"cannot sign: {error}") from None

    def _shown(self, secret: Secret) -> str:
        if self.username is None:
            return self.prefix + _in_a_header(secret.reveal())
        return "Basic " + base64.b64encode(self.username.encode() + b":" + secret.reveal()).decode()

    def shell(self) -> tuple[list[str], list[str]]:
        """Return the same for a POSIX shell with openssl: what to set first, and `name: value` headers to expand.

        The headers are the inside of double quotes, $body is the body, and the secret stays where it is. Of a scheme
        with tokens the secret is taken for a key.
        """
        headers = {} if self.id_header is None else {self.id_header: "$id"}
        if self.secrets and self.scheme is not None:
            headers |= _signature(self.scheme, self.secrets[0])
        elif self.secrets:
            headers[self.header] = self._shown_by_shell(_secret(self.secrets[0]))
        values = " ".join(headers.values())
        first = ["id=$(openssl rand -hex 16)"] if "$id" in values else []
        first += ["time=$(date +%s)"] if "$time" in values else []
        return first, [f"{name}: {value}" for name, value in headers.items()]

    def _shown_by_shell(self, secret: str) -> str:
        if self.username is None:
            return _quotable(self.prefix) + secret
        return f'Basic $(printf %s "{_quotable(self.username)}:{secret}" | openssl base64 -A)'


def _in_a_header(secret: bytes) -> str:
    return secret.decode("latin-1")


def _signature(scheme: Scheme, secret: Secret) -> dict[str, str]:
    message = _expanded(scheme.signed)
    digest = f'$(printf %s "{message}" | openssl dgst -{scheme.algorithm} {_key(scheme.key_format, secret)}'
    headers = {scheme.header: _expanded(scheme.pattern, signature=digest + _PRINTED[scheme.encoding])}
    if scheme.timestamp is not None:
        headers[scheme.timestamp] = "$time"
    if scheme.id is not None:
        headers[scheme.id] = "$id"
    return headers


def _expanded(text: str, **more: str) -> str:
    """Write text with placeholders for the inside of double quotes."""
    known = _SHELL | more
    return PLACEHOLDER.sub(lambda found: known[found[1]], _quotable(text))


_PRINTED: Mapping[Encoding, str] = {"hex": " | sed 's/^.* //')", "base64": " -binary | openssl base64 -A)"}


def _key(key_format: KeyFormat, secret: Secret) -> str:
    shown = _secret(secret)
    if key_format == "utf8":
        return f'-hmac "{shown}"'
    # openssl takes a key of any bytes in hex only.
    text = f'printf %s "{shown}"' + (" | sed 's/^whsec_//'" if key_format == "whsec" else "")
    return f"-mac HMAC -macopt hexkey:$({text} | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n')"


def _secret(secret: Secret) -> str:
    kind, _, where = secret.reference.partition(": ")
    if kind == "file":
        return f"$(cat {shlex.quote(where)})"
    # `:?` has the shell say that it is not set, rather than sign with nothing.
    return f"${{{where}:?}}"


def _quotable(text: str) -> str:
    """Escape what has a meaning inside double quotes of a shell."""
    return re.sub(r'([$`"\\])', r"\\\1", text)
