"""A file that holds an event, as the request its sender would send: a body, or a whole request as captured. Pure.

What is read here was not verified: it is for `explain`, `send` and tests, never for deliveries.
"""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import structs

from bridge.bodies import FORM, read_json
from bridge.contracts import Request, Source
from bridge.errors import Malformed

_REQUEST_LINE = re.compile(r"[A-Z]{3,10} (\S+)(?: HTTP/[0-9.]+)?")
_HEADER = re.compile(r"([!#$%&'*+.^`|~0-9A-Za-z-]+):[ \t]*(.*)")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_ON_THE_PAGE = ("request url:", "request method:")
"""What stands above the headers where GitHub shows a delivery, for those who copy from there."""
_JSON = (b"{", b"[")
_OF_THE_CONNECTION = frozenset(
    "host content-length connection accept accept-encoding user-agent transfer-encoding expect".split()
)


def read(source: Source, data: bytes, event: str = "") -> Request:
    """Return the request that a file stands for, unsigned.

    The file is a JSON body, a form, or a request: a request line (or none), headers, an empty line, the body. `event`
    names the event where no header does. Raises Malformed.
    """
    text = data.removeprefix(b"\xef\xbb\xbf").strip()
    if not text:
        raise Malformed("the file is empty")
    if text.startswith(_JSON):
        return _from_json(source, text, event)
    captured = _captured(text)
    if captured is not None:
        known = source.packed(event, {}).headers
        return structs.replace(captured, headers={**known, **captured.headers})
    known = source.packed(event, {}).headers
    return Request(headers={**known, "content-type": FORM}, query={}, body=text, now=0)


def guessed(source: Source, data: bytes) -> str:
    """Say which event a file without headers looks like; empty where it has them or it cannot be told."""
    text = data.removeprefix(b"\xef\xbb\xbf").strip()
    return source.guess(read_json(text)) if text.startswith(_JSON) else ""


def is_captured(data: bytes) -> bool:
    """Say whether a file holds more than a body."""
    text = data.removeprefix(b"\xef\xbb\xbf").strip()
    return not text.startswith(_JSON) and _captured(text) is not None


def _from_json(source: Source, text: bytes, event: str) -> Request:
    body = read_json(text)
    packed = source.packed(event or source.guess(body), body)
    # Where the body travels as it is, its bytes are the file's own.
    return structs.replace(packed, body=text) if packed.body == msgspec.json.encode(body) else packed


def _captured(text: bytes) -> Request | None:
    """Read a request; None for what does not begin as one."""
    head, body = _split(text)
    lines = head.decode("latin-1").splitlines()
    started = _REQUEST_LINE.fullmatch(lines[0])
    target = started[1] if started else ""
    headers: dict[str, str] = {}
    for line in lines[1 if started else 0 :]:
        if line.lower().startswith(_ON_THE_PAGE):
            continue
        found = _HEADER.fullmatch(line)
        if found is None:
            if not started:
                return None
            raise Malformed(f"{line[:60]!r} is no header: after the request line come headers, an empty line, the body")
        headers[found[1].lower()] = found[2].strip()
    if "chunked" in headers.get("transfer-encoding", ""):
        raise Malformed("the captured body is chunked: save it as one piece, and leave transfer-encoding out")
    kept = {name: value for name, value in headers.items() if name not in _OF_THE_CONNECTION}
    query: dict[str, Any] = dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))
    return Request(headers=kept, query=query, body=body, now=0)


def _split(text: bytes) -> tuple[bytes, bytes]:
    end = _HEAD_END.search(text)
    return (text, b"") if end is None else (text[: end.start()], text[end.end() :])
