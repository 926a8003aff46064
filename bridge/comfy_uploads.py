"""Files for Comfy Cloud from URLs that an event may have chosen: fetched through the guard, sent on as one form."""

import hashlib
import mimetypes
import re
import secrets
import time
from collections.abc import Mapping

from msgspec import Struct

from bridge.addresses import Guard
from bridge.errors import Ambiguous, Permanent, Transient
from bridge.outbound import Outbound

MAX_BYTES = 50_000_000
"""What Comfy Cloud takes of one image."""

_SECONDS = 30.0
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")
_PLAIN = "application/octet-stream"


class Fetched(Struct, frozen=True):
    """A file, and what it is called from now on."""

    name: str
    type: str
    content: bytes


async def fetch(outbound: Outbound, url: str, guard: Guard) -> Fetched:
    """Fetch a file whole; raises Transient or Permanent."""
    try:
        answer = await outbound.request("GET", url, guard=guard, timeout_seconds=_SECONDS, max_bytes=MAX_BYTES)
    except Ambiguous as error:
        raise Transient(f"the file to upload could not be fetched: {error}") from None
    except Permanent as error:
        raise Permanent(f"the file to upload cannot be fetched: {error}") from None
    status = answer.status
    if status == 429 or status >= 500:  # noqa: PLR2004 - perhaps later
        raise Transient(f"the file to upload could not be fetched: HTTP {status}", answer.retry_after(time.time()))
    if status != 200:  # noqa: PLR2004 - OK
        more = " (redirects are not followed)" if 300 <= status < 400 else ""  # noqa: PLR2004
        raise Permanent(f"the file to upload cannot be fetched: HTTP {status}{more}")
    if answer.truncated:
        raise Permanent(f"the file to upload is larger than {MAX_BYTES // 1_000_000} MB, or in an encoding")
    said = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    kind = said if _MEDIA_TYPE.fullmatch(said) else _PLAIN
    # By its content, so that the same file is the same input, and nothing of the URL is a part of any path.
    ending = (mimetypes.guess_extension(kind, strict=False) if kind != _PLAIN else None) or ""
    return Fetched(f"{hashlib.sha256(answer.body).hexdigest()[:32]}{ending}", kind, answer.body)


def form(fields: Mapping[str, str], field: str, file: Fetched) -> tuple[str, bytes]:
    """Return a form with one file in it, as content type and body (RFC 7578); every name in it is our own."""
    boundary = secrets.token_hex(16)
    parts = [f'content-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    parts.append(
        f'content-disposition: form-data; name="{field}"; filename="{file.name}"\r\ncontent-type: {file.type}\r\n\r\n'
    )
    head = "".join(f"--{boundary}\r\n{part}" for part in parts)
    return (
        f"multipart/form-data; boundary={boundary}",
        head.encode() + file.content + f"\r\n--{boundary}--\r\n".encode(),
    )
