"""Seals what has to be kept until it is used, with a key that only the configuration has: AES-256-GCM under HKDF."""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from bridge.secret import Secret

_NONCE_BYTES = 12
_KEY_BYTES = 32


class CannotOpen(ValueError):
    """None of the secrets opens it: the one it was sealed with is no longer configured, or it was tampered with."""


def secrets_in(*records: Any) -> list[Secret]:
    """Return every secret in the settings of adapters, in the order they are written."""
    return [secret for record in records for secret in _walk(record)]


def seal(data: bytes, purpose: str, secrets: Sequence[Secret]) -> bytes:
    """Seal with the first secret; it opens for the same purpose only."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_key(secrets[0].reveal())).encrypt(nonce, data, purpose.encode())


def unseal(sealed: bytes, purpose: str, secrets: Sequence[Secret]) -> bytes:
    """Return what was sealed, trying each secret, and what it was before its file changed; raises CannotOpen."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    for secret in secrets:
        secret.reveal()  # looks at its file
        for value in secret.values():
            try:
                return AESGCM(_key(value)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
            except (InvalidTag, ValueError):
                continue
    raise CannotOpen


def _walk(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Struct):
        yield from _walk([getattr(value, field.name) for field in msgspec.structs.fields(value)])
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _walk(inner)


@lru_cache(maxsize=64)
def _key(secret: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"genesis-bridge: sealed records").derive(secret)
