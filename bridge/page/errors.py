"""What goes wrong, as pages: what it is, and what to do."""

from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from bridge.errors import BridgeError, Refusal, StoreUnavailable, Unfindable, WrongState
from bridge.listing import BadCursor
from bridge.page.render import page
from bridge.page.session import Closed, LoginNeeded

log = structlog.get_logger()


def wanted(request: Request[Any, Any, Any]) -> bool:
    """Say whether a page is the right answer: to a browser, outside of what machines use."""
    return "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith(
        ("/api", "/hooks", "/schema")
    )


def http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[str]:
    """Show what Litestar, or we with its exceptions, refused."""
    return _error(request, error.status_code, error.detail)


def _error(
    request: Request[Any, Any, Any], status: int, detail: str, headers: dict[str, str] | None = None
) -> Response[str]:
    return page(request, "error.html", status=status, headers=headers, code=status, detail=detail)


def _login(request: Request[Any, Any, Any], _: LoginNeeded) -> Response[str]:
    query = request.scope["query_string"].decode("latin-1")
    where = request.scope["path"] + (f"?{query}" if query else "")
    return page(request, "login.html", status=200 if where == "/" else 401, next=where, wrong=False)


def _closed(request: Request[Any, Any, Any], _: Closed) -> Response[str]:
    return page(request, "closed.html", status=403)


def _refusal(request: Request[Any, Any, Any], refusal: Refusal) -> Response[str]:
    return _error(request, refusal.status, str(refusal), refusal.headers)


def _store_error(request: Request[Any, Any, Any], error: StoreUnavailable) -> Response[str]:
    log.warning("store.unavailable", reason=str(error))
    return _error(request, 503, "Redis does not answer; what was accepted is safe there", {"retry-after": "5"})


def _plain(request: Request[Any, Any, Any], error: BridgeError) -> Response[str]:
    status = {Unfindable: 404, WrongState: 409, BadCursor: 400}[type(error)]
    return _error(request, status, str(error))


HANDLERS: ExceptionHandlersMap = {
    HTTPException: http_error,
    Closed: _closed,
    LoginNeeded: _login,
    Refusal: _refusal,
    StoreUnavailable: _store_error,
    Unfindable: _plain,
    WrongState: _plain,
    BadCursor: _plain,
}
