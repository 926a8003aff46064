"""A delivery's body as it is stored: compressed where that is worth it, unless it is sealed already. Pure."""

import zlib

_WORTH_COMPRESSING_BYTES = 1024
_COMPRESSED = b"\0z"
"""Only what was read as JSON or a form is stored, and neither can begin like this."""
SEALED = b"\0s"
"""How a sealed body begins (`keeping`)."""


def pack_body(body: bytes) -> bytes:
    """Return a body as it is stored: compressed where that is worth it (7 kB of GitHub's JSON become 1.5 kB)."""
    plain = len(body) < _WORTH_COMPRESSING_BYTES or body.startswith(SEALED)
    return body if plain else _COMPRESSED + zlib.compress(body, 1)


def unpack_body(stored: bytes) -> bytes:
    """Return a body as it came."""
    return zlib.decompress(stored[len(_COMPRESSED) :]) if stored.startswith(_COMPRESSED) else stored
