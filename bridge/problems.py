"""Errors over HTTP, as RFC 9457 problem details."""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response


def problem(
    status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
) -> Response[bytes]:
    """Return an application/problem+json response (rfc-editor.org/rfc/rfc9457)."""
    body = msgspec.json.encode({"type": "about:blank", "title": title, "status": status, "detail": detail, **extra})
    return Response(body, status_code=status, media_type="application/problem+json", headers=dict(headers or {}))
