"""One HMAC engine for every sender, inbound and outbound: a scheme is a row of data, never code.

`verify` is total: whatever headers and bytes anybody sends, it answers. Only bytes are compared, for
`hmac.compare_digest` raises on text that is not ASCII, which slack_sdk and gidgethub let a stranger do.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Annotated

from msgspec import Meta

from bridge.scheme import PLACEHOLDER, Encoding, KeyFormat, Scheme, items_of
from bridge.secret import Secret

MAX_SIGNATURES = 10
MAX_SECRETS = 5
MIN_SECRET_BYTES = 16
"""128 bits, if they are random; RFC 2104 asks for no less than half of what SHA-256 gives out."""

Secrets = Annotated[list[Secret], Meta(min_length=1, max_length=MAX_SECRETS)]
"""What `secrets:` takes: any of them may match, so that they can be rotated; without one nothing could."""
# Not int(): it takes '1_0', ' 5 ', '+7' and other alphabets' digits, and raises on more than 4,300 of them.
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_WHSEC = b"whsec_"


def verify(scheme: Scheme, headers: Mapping[str, str], body: bytes, keys: Sequence[bytes], now: float) -> int | None:
    """Return the place of the key that signed the request; None when none did or it is stale. Never raises.

    Header names are in lower case, values decoded as Latin-1; `now` is in Unix seconds. Every signature is compared
    with every key (at most 10 with 5) and the time is looked at last, so that the answer's time tells nothing.
    """
    presented, timestamp = _presented(scheme, headers.get(scheme.header, ""))
    if scheme.timestamp is not None:
        timestamp = headers.get(scheme.timestamp)
    identifier = None if scheme.id is None else headers.get(scheme.id)
    message = _message(scheme, identifier, timestamp, body)
    if message is None:
        return None
    decoded = [_decode(signature, scheme.encoding) for signature in presented[:MAX_SIGNATURES]]
    # An empty key would do as well as any other, and anyone can sign with it.
    expected = [hmac.digest(key, message, scheme.algorithm) if key else b"" for key in keys[:MAX_SECRETS]]
    found = matching(expected, decoded)
    return found if not scheme.timed or _fresh(timestamp, now, scheme.tolerance_seconds) else None


def matching(expected: Sequence[bytes], presented: Sequence[bytes]) -> int | None:
    """Return the place of the first expected value that is presented; an empty one never is.

    Every pair is compared, so that the time it takes does not tell which matched.
    """
    found = None
    for place, value in enumerate(expected):
        for shown in presented:
            if hmac.compare_digest(value, shown) and value and found is None:
                found = place
    return found


def sign(scheme: Scheme, *, id: str, timestamp: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:  # noqa: A002 - the scheme's own word
    """Return the headers that a sender of this scheme adds.

    Each key signs where the scheme has room for several signatures, otherwise the first. ValueError without a key
    or with an id that no header can carry.
    """
    if not secrets or b"" in secrets:
        raise ValueError("there is nothing to sign with: a secret is missing or empty")
    message = _message(scheme, id, str(timestamp), body)
    if message is None:
        raise ValueError(f"the id {id!r} cannot stand in a header")
    signatures = [_encode(hmac.digest(secret, message, scheme.algorithm), scheme.encoding) for secret in secrets]
    written = []
    for item in items_of(scheme.pattern, scheme.separator):
        if "{timestamp}" in item:
            written.append(item.replace("{timestamp}", str(timestamp)))
        else:
            most = len(signatures) if scheme.separator else 1
            written += [item.replace("{signature}", signature) for signature in signatures[:most]]
    headers = {scheme.header: scheme.separator.join(written)}
    if scheme.timestamp is not None:
        headers[scheme.timestamp] = str(timestamp)
    if scheme.id is not None:
        headers[scheme.id] = id
    return headers


def key_bytes(secret: bytes, key_format: KeyFormat) -> bytes:
    """Return the key that a secret stands for; ValueError (without the secret) when it is not of this format.

    The scheme decides, never the prefix: Stripe's key is the whole `whsec_...` text, Standard Webhooks' what follows.
    """
    if key_format == "utf8":
        return secret
    what = "base64"
    if key_format == "whsec":
        secret, what = secret.removeprefix(_WHSEC), "`whsec_` and base64"
    try:
        key = base64.b64decode(secret, validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError(f"the secret is not {what}: copy it whole from where it was made")
    return key


def keys(secrets: Sequence[Secret], key_format: KeyFormat = "utf8") -> list[bytes]:
    """Return the keys that secrets stand for; ValueError names the one that is not of this format.

    LookupError if they were never read. What a file is changed to counts only if it is of this format.
    """
    read = partial(key_bytes, key_format=key_format)
    found = []
    for secret in secrets:
        try:
            found.append(read(secret.reveal(usable=read)))
        except ValueError as error:
            raise ValueError(f"{secret.reference}: {error}") from None
    return found


def check_keys(secrets: Sequence[Secret], key_format: KeyFormat = "utf8") -> None:
    """Refuse secrets that are of another format, or so short that they can be guessed; ValueError names the first.

    Whoever knows one request and its signature can try keys at billions a second. LookupError if they were never read.
    """
    for secret, key in zip(secrets, keys(secrets, key_format), strict=True):
        if len(key) < MIN_SECRET_BYTES:
            how = f"openssl rand -{'hex' if key_format == 'utf8' else 'base64'} 32"
            how = f'echo "whsec_$({how})"' if key_format == "whsec" else how
            raise ValueError(
                f"{secret.reference}: only {len(key)} bytes long, which can be guessed; {MIN_SECRET_BYTES} are the "
                f"least. Make one with `{how}`"
            )


def is_key(secret: Secret, scheme: Scheme) -> bool:
    """Say whether the scheme's sender signs with this secret; where it could be a token, its prefix says so.

    LookupError if it was never read.
    """
    return scheme.token is None or secret.reveal().startswith(_WHSEC)


@lru_cache
def _affixes(pattern: str, separator: str, placeholder: str) -> tuple[str, str] | None:
    """Return what stands before and after a placeholder in its item; None when no item has it."""
    found = [item.partition(placeholder) for item in items_of(pattern, separator) if placeholder in item]
    return (found[0][0], found[0][2]) if found else None


def _inside(items: Sequence[str], affixes: tuple[str, str]) -> list[str]:
    before, after = affixes
    return [
        item[len(before) : len(item) - len(after)]
        for item in items
        if len(item) >= len(before) + len(after) and item.startswith(before) and item.endswith(after)
    ]


def _presented(scheme: Scheme, value: str) -> tuple[list[str], str | None]:
    items = items_of(value, scheme.separator)
    signature = _affixes(scheme.pattern, scheme.separator, "{signature}")
    time = _affixes(scheme.pattern, scheme.separator, "{timestamp}")
    timestamps = _inside(items, time) if time else []
    # Two timestamps: which one was signed is anybody's guess, so neither was.
    return _inside(items, signature) if signature else [], timestamps[0] if len(timestamps) == 1 else None


@lru_cache
def _pieces(signed: str) -> tuple[tuple[bool, str], ...]:
    # re.split puts what the group matched, here the placeholders' names, at the odd places.
    return tuple((at % 2 == 1, piece) for at, piece in enumerate(PLACEHOLDER.split(signed)) if piece)


def _message(scheme: Scheme, identifier: str | None, timestamp: str | None, body: bytes) -> bytes | None:
    try:
        known = {
            "body": body,
            "id": None if identifier is None else identifier.encode("latin-1"),
            "timestamp": None if timestamp is None else timestamp.encode("latin-1"),
        }
    except UnicodeEncodeError:
        return None
    parts = [known[piece] if placeholder else piece.encode() for placeholder, piece in _pieces(scheme.signed)]
    found = [part for part in parts if part is not None]
    return b"".join(found) if len(found) == len(parts) else None


def _decode(signature: str, encoding: Encoding) -> bytes:
    try:
        return binascii.unhexlify(signature) if encoding == "hex" else base64.b64decode(signature, validate=True)
    except ValueError:
        return b""  # as long as no digest, so it equals none


def _encode(digest: bytes, encoding: Encoding) -> str:
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()


def _fresh(timestamp: str | None, now: float, tolerance_seconds: float) -> bool:
    if timestamp is None or not _TIMESTAMP.fullmatch(timestamp):
        return False
    return abs(now - int(timestamp)) <= tolerance_seconds
