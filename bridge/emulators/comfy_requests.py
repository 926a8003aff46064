"""What arrives at Comfy Cloud: the journal's records, paths, and forms with a file."""

import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Literal

import msgspec
from multipart import MultipartError, MultipartParser, parse_options_header

from bridge.emulators.comfy_faults import Refused
from bridge.emulators.exchange import Exchange
from bridge.emulators.faults import Fault

MAX_UPLOAD_BYTES = 50_000_000
ANY = "*"

Api = Literal["v1", "v2"]
Kind = Literal["submit", "job", "cancel", "upload", "locate", "storage", "socket", "elsewhere"]


class Record(msgspec.Struct, kw_only=True):
    """One request in the journal, written before its answer leaves.

    `status` is what is answered (0: the connection is dropped); `job_id` is None if nothing was started.
    """

    kind: Kind
    api: Api
    path: str
    at: float
    monotonic: float
    client: tuple[str, int]
    key: str | None
    idempotency_key: str | None = None
    graph: Any = None
    extra_data: Any = None
    job_id: str | None = None
    fault: str = ""
    status: int = 0


def noted(kind: Kind, exchange: Exchange, api: Api, fault: Fault | None = None) -> Record:
    """Begin the record of a request."""
    bearer = exchange.headers.get("authorization", "")
    return Record(
        kind=kind,
        api=api,
        path=exchange.path,
        at=time.time(),
        monotonic=time.monotonic(),
        client=exchange.client,
        key=exchange.headers.get("x-api-key") or (bearer.removeprefix("Bearer ") or None),
        idempotency_key=exchange.headers.get("idempotency-key"),
        fault=fault.kind if fault else "",
    )


class Asked(msgspec.Struct, frozen=True):
    """One request, read."""

    record: Record
    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, list[str]]
    fault: Fault | None


def fits(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """Whether a path is one of a pattern: ANY stands for one segment."""
    return len(pattern) == len(segments) and all(
        asked in (ANY, part) for asked, part in zip(pattern, segments, strict=True)
    )


def file_of(content_type: str, body: bytes, field: str) -> tuple[str, bytes]:
    """Return the file of a form; raises Refused for what is none."""
    kind, options = parse_options_header(content_type)
    try:
        limit = MAX_UPLOAD_BYTES * 2  # all of it in memory: a temporary file would be left open
        parser = MultipartParser(BytesIO(body), options.get("boundary", ""), spool_limit=limit, memory_limit=limit)
        part = parser.get(field) if kind == "multipart/form-data" else None
    except MultipartError:
        part = None
    if part is None or not part.filename:
        raise Refused("invalid_prompt")
    return part.filename, part.raw
