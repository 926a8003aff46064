"""Credentials that have to be kept until they are used: sealed with a key that only the configuration has.

Whoever reads Redis, or a backup of it, cannot open them. AES-256-GCM, its key by HKDF from a secret that is configured
anyway; a text says for which source it was sealed, and it opens for no other and for no other purpose.
"""

import base64
import binascii
import os
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from bridge.secret import Secret

_PREFIX = "sealed1"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class CannotOpen(ValueError):
    """None of the secrets opens it: the one it was sealed with is no longer configured, or it was tampered with."""


def secrets_in(*records: Any) -> list[Secret]:
    """Return every secret in the settings of adapters, in the order they are written."""
    return [secret for record in records for secret in _walk(record)]


def seal(text: str, source: str, purpose: str, secrets: Sequence[Secret]) -> str:
    """Return the text, sealed with the first secret; the source's name stays readable."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(_key(secrets[0].reveal())).encrypt(
        nonce, text.encode(errors="surrogatepass"), _bound(source, purpose)
    )
    return f"{_PREFIX}.{source}.{base64.b64encode(nonce + sealed).decode()}"


def source_of(text: str) -> str | None:
    """Return which source a text was sealed for; None when it is not sealed."""
    prefix, dot, rest = text.partition(".")
    return rest.partition(".")[0] if dot and prefix == _PREFIX else None


def unseal(sealed: str, purpose: str, secrets: Sequence[Secret]) -> str:
    """Return what was sealed, trying each secret, and what it was before its file changed; raises CannotOpen."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    _, source, encoded = sealed.split(".", 2)
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise CannotOpen from None
    for secret in secrets:
        secret.reveal()  # looks at its file
        for value in secret.values():
            try:
                opened = AESGCM(_key(value)).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(source, purpose))
            except (InvalidTag, ValueError):
                continue
            return opened.decode(errors="surrogatepass")
    raise CannotOpen


def _walk(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Struct):
        yield from _walk([getattr(value, field.name) for field in msgspec.structs.fields(value)])
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _walk(inner)


def _bound(source: str, purpose: str) -> bytes:
    return f"{source}\0{purpose}".encode()


def _key(secret: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"genesis-bridge: sealed records").derive(secret)
