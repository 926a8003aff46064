"""One HMAC engine for every sender, inbound and outbound: a scheme is a row of data, never code.

`verify` is total: whatever headers and bytes anybody sends, the answer is True or False. Only bytes are compared,
for `hmac.compare_digest` raises on text that is not ASCII, which slack_sdk and gidgethub let a stranger do.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Annotated, Literal

from msgspec import Meta, Struct

from bridge.credentials import is_credential
from bridge.secret import Secret

MAX_SIGNATURES = 10
MAX_SECRETS = 5

Secrets = Annotated[list[Secret], Meta(min_length=1, max_length=MAX_SECRETS)]
"""What `secrets:` takes: any of them may match, so that they can be rotated; without one nothing could."""
KeyFormat = Literal["utf8", "base64", "whsec"]
Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]

_PLACEHOLDER = re.compile(r"\{(body|timestamp|id)\}")
# Not int(): it takes '1_0', ' 5 ', '+7' and other alphabets' digits, and raises on more than 4,300 of them.
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_WHSEC = b"whsec_"


class Place(Struct, frozen=True, kw_only=True):
    """Where a request carries its signatures, and how they are written there."""

    header: str
    """In lower case."""
    parse: Literal["single", "list", "kv"] = "single"
    """`single`: one signature. `list`: several, between `item_sep`. `kv`: `key``kv_sep``signature` items."""
    item_sep: str = ","
    kv_sep: str = "="
    key: str = ""
    """kv: the key of the items that are signatures."""
    timestamp_key: str = ""
    """kv: the key of the item that is the timestamp, for schemes that have no header for it."""
    prefix: str = ""
    """single, list: what stands before each signature; one without it is not a signature of this scheme."""


class Window(Struct, frozen=True, kw_only=True):
    """Where the signed timestamp (Unix seconds) stands, and how far from now it may be, to either side."""

    header: str | None = None
    """In lower case; None: in the signature header, under `timestamp_key`."""
    tolerance_seconds: int = 300


class Scheme(Struct, frozen=True, kw_only=True):
    """How one kind of sender signs."""

    signature: Place
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    signed: str = "{body}"
    """The text that is signed; {body}, {timestamp} and {id} stand for the request's own, byte for byte."""
    timestamp: Window | None = None
    id: str | None = None
    """The header of the message's id, in lower case."""
    key_format: KeyFormat = "utf8"


PRESETS: Mapping[str, Scheme] = {
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    "github": Scheme(signature=Place(header="x-hub-signature-256", prefix="sha256=")),
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    "slack": Scheme(
        signature=Place(header="x-slack-signature", prefix="v0="),
        signed="v0:{timestamp}:{body}",
        timestamp=Window(header="x-slack-request-timestamp"),
    ),
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    "standard-webhooks": Scheme(
        signature=Place(header="webhook-signature", parse="list", item_sep=" ", prefix="v1,"),
        encoding="base64",
        signed="{id}.{timestamp}.{body}",
        timestamp=Window(header="webhook-timestamp"),
        id="webhook-id",
        key_format="whsec",
    ),
}

_CREDENTIALS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "x-hub-signature"}
    | {scheme.signature.header for scheme in PRESETS.values()}
)


def verify(scheme: Scheme, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: float) -> bool:
    """Say whether the request is signed with one of the secrets and not stale; never raises.

    Header names are in lower case, values decoded as Latin-1; `now` is in Unix seconds. Every signature is compared
    with every secret (at most 10 with 5) and the time is looked at last, so that the answer's time tells nothing.
    """
    place = scheme.signature
    presented, timestamp = _presented(place, headers.get(place.header, ""))
    if scheme.timestamp is not None and scheme.timestamp.header is not None:
        timestamp = headers.get(scheme.timestamp.header)
    identifier = None if scheme.id is None else headers.get(scheme.id)
    message = _message(scheme, identifier, timestamp, body)
    if message is None:
        return False
    decoded = [_decode(signature, scheme.encoding) for signature in presented[:MAX_SIGNATURES]]
    matches = False
    # An empty secret would do as well as any other, and anyone can sign with it.
    for secret in filter(None, secrets[:MAX_SECRETS]):
        expected = hmac.digest(secret, message, scheme.algorithm)
        for signature in decoded:
            matches |= hmac.compare_digest(expected, signature)
    return matches and _fresh(scheme.timestamp, timestamp, now)


def sign(scheme: Scheme, *, id: str, timestamp: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:  # noqa: A002 - the scheme's own word
    """Return the headers that a sender of this scheme adds.

    Each secret signs where the scheme has room for several signatures, otherwise the first. ValueError without a secret
    or with an id that no header can carry.
    """
    if not secrets or b"" in secrets:
        raise ValueError("there is nothing to sign with: a secret is missing or empty")
    place = scheme.signature
    message = _message(scheme, id, str(timestamp), body)
    if message is None:
        raise ValueError(f"the id {id!r} cannot stand in a header")
    signatures = [_encode(hmac.digest(secret, message, scheme.algorithm), scheme.encoding) for secret in secrets]
    if place.parse == "kv":
        items = [(place.timestamp_key, str(timestamp))] if place.timestamp_key else []
        items += [(place.key, signature) for signature in signatures]
        value = place.item_sep.join(f"{key}{place.kv_sep}{item}" for key, item in items)
    else:
        prefixed = [f"{place.prefix}{signature}" for signature in signatures]
        value = place.item_sep.join(prefixed) if place.parse == "list" else prefixed[0]
    headers = {place.header: value}
    if scheme.timestamp is not None and scheme.timestamp.header is not None:
        headers[scheme.timestamp.header] = str(timestamp)
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


def without_credentials(headers: Mapping[str, str], *more: str) -> dict[str, str]:
    """Return the headers or parameters that rules may see and records may keep: no credential, nor any of `more`."""
    left_out = _CREDENTIALS.union(more)
    return {name: value for name, value in headers.items() if name not in left_out and not is_credential(name)}


def _presented(place: Place, value: str) -> tuple[list[str], str | None]:
    if place.parse == "kv":
        items = [item.partition(place.kv_sep) for item in value.split(place.item_sep)]
        timestamps = [text for key, _, text in items if key == place.timestamp_key]
        signatures = [text for key, _, text in items if key == place.key]
        # Two timestamps: which one was signed is anybody's guess, so neither was.
        return signatures, timestamps[0] if len(timestamps) == 1 else None
    values = value.split(place.item_sep) if place.parse == "list" else [value]
    return [one.removeprefix(place.prefix) for one in values if one.startswith(place.prefix)], None


@lru_cache
def _pieces(signed: str) -> tuple[tuple[bool, str], ...]:
    # re.split puts what the group matched, here the placeholders' names, at the odd places.
    return tuple((at % 2 == 1, piece) for at, piece in enumerate(_PLACEHOLDER.split(signed)) if piece)


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


def _fresh(window: Window | None, timestamp: str | None, now: float) -> bool:
    if window is None:
        return True
    if timestamp is None or not _TIMESTAMP.fullmatch(timestamp):
        return False
    return abs(now - int(timestamp)) <= window.tolerance_seconds
