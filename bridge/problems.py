"""Errors over HTTP, as RFC 9457 problem details, and how the OpenAPI document describes them."""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct

MEDIA_TYPE = "application/problem+json"


class ProblemDetails(Struct, frozen=True):
    """What went wrong."""

    type: str
    title: str
    status: int
    detail: str
    """For a person: what is wrong, and what to do about it."""


_WORDS = {
    400: "the request cannot be read as what this takes",
    401: "no token, or a wrong one",
    403: "the token may look, but not operate",
    404: "there is no such thing",
    408: "the body did not arrive in time",
    409: "it cannot be done as things stand; `detail` says how they stand",
    413: "the body is larger than this takes",
    415: "not a content type this reads",
    422: "a rule wants it but cannot run; recorded",
    429: "more than may be asked or sent; Retry-After says when to come again",
    503: "Redis does not answer; come again",
}


def answers(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the problems a route may answer with, for its OpenAPI description."""
    return {
        status: ResponseSpec(ProblemDetails, generate_examples=False, description=_WORDS[status], media_type=MEDIA_TYPE)
        for status in statuses
    }


def problem(
    status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
) -> Response[bytes]:
    """Return an application/problem+json response (rfc-editor.org/rfc/rfc9457)."""
    body = msgspec.json.encode({"type": "about:blank", "title": title, "status": status, "detail": detail, **extra})
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))
