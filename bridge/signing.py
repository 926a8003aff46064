"""Sign as a source's sender would: the headers of one request, or the shell that computes them from the environment."""

import re
import secrets
import shlex
from collections.abc import Mapping

from msgspec import Struct

from bridge.errors import BridgeError
from bridge.secret import Secret
from bridge.signatures import Encoding, KeyFormat, Scheme, keys, sign

_PLACEHOLDER = re.compile(r"\{(body|timestamp|id)\}")
_SHELL = {"body": "$body", "timestamp": "$time", "id": "$id"}


class CannotSign(BridgeError):
    """The secret to sign with cannot be read; the message names it, never shows it."""


class Signing(Struct, frozen=True, kw_only=True):
    """How a sender proves itself: by a signature of a scheme, or by showing its secret in a header."""

    secrets: list[Secret]
    """The first is used."""
    scheme: Scheme | None = None
    header: str = "authorization"
    """Without a scheme: where the secret is shown ..."""
    prefix: str = ""
    """... and what stands before it."""
    id_header: str | None = None
    """Where the sender puts its own id of an event, if the scheme does not say."""

    @property
    def proof(self) -> frozenset[str]:
        """The headers that belong to one request only: a repeat has its own."""
        scheme = self.scheme
        found = [self.header if scheme is None else scheme.signature.header, self.id_header]
        if scheme is not None:
            found += [scheme.id, None if scheme.timestamp is None else scheme.timestamp.header]
        return frozenset(name for name in found if name is not None)

    def headers(self, body: bytes, environ: Mapping[str, str], now: int) -> dict[str, str]:
        """Return the headers that prove a body and make it a new event; raises CannotSign."""
        try:
            secret = self.secrets[0].read(environ)
            made = {} if self.id_header is None else {self.id_header: _new_id()}
            if self.scheme is None:
                return made | {self.header: self.prefix + secret.text()}
            key = keys([secret], self.scheme.key_format)
            return made | sign(self.scheme, id=_new_id(), timestamp=now, body=body, secrets=key)
        except ValueError as error:
            raise CannotSign(f"cannot sign: {error}") from None

    def shell(self) -> tuple[list[str], list[str]]:
        """Return the same for a POSIX shell with openssl: what to set first, and `name: value` headers to expand.

        The headers are the inside of double quotes, $body is the body, and the secret stays where it is.
        """
        made = {} if self.id_header is None else {self.id_header: "$id"}
        if self.scheme is None:
            headers = made | {self.header: _quotable(self.prefix) + _secret(self.secrets[0])}
        else:
            headers = made | _signature(self.scheme, self.secrets[0])
        values = " ".join(headers.values())
        first = ["id=$(openssl rand -hex 16)"] if "$id" in values else []
        first += ["time=$(date +%s)"] if "$time" in values else []
        return first, [f"{name}: {value}" for name, value in headers.items()]


def _new_id() -> str:
    return secrets.token_hex(16)


def _signature(scheme: Scheme, secret: Secret) -> dict[str, str]:
    message = _PLACEHOLDER.sub(lambda found: _SHELL[found[1]], _quotable(scheme.signed))
    digest = f'$(printf %s "{message}" | openssl dgst -{scheme.algorithm} {_key(scheme.key_format, secret)}'
    digest += _PRINTED[scheme.encoding]
    place = scheme.signature
    if place.parse == "kv":
        items = [f"{place.timestamp_key}{place.kv_sep}$time"] if place.timestamp_key else []
        value = place.item_sep.join([*items, f"{place.key}{place.kv_sep}{digest}"])
    else:
        value = f"{_quotable(place.prefix)}{digest}"
    headers = {place.header: value}
    if scheme.timestamp is not None and scheme.timestamp.header is not None:
        headers[scheme.timestamp.header] = "$time"
    if scheme.id is not None:
        headers[scheme.id] = "$id"
    return headers


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
    return f"${{{where}:?}}" if re.fullmatch(r"[A-Za-z_]\w*", where, re.ASCII) else f"$(printenv {shlex.quote(where)})"


def _quotable(text: str) -> str:
    """Escape what has a meaning inside double quotes of a shell."""
    return re.sub(r'([$`"\\])', r"\\\1", text)
