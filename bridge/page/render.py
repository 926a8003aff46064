"""Templates to answers: everything escaped, nothing but our own style sheet, never kept by a cache."""

import hashlib
from importlib import resources
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Request, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import State

# No script at all, so none is allowed; `same-origin` rather than `no-referrer`, which would have browsers send
# `Origin: null` with our own forms.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
CSS = resources.files("bridge.page").joinpath("page.css").read_bytes()
ICON = resources.files("bridge.page").joinpath("icon.svg").read_bytes()
_CSS_HASH = hashlib.sha256(CSS).hexdigest()[:12]

Asked = Request[Any, Any, State]


def root(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the path our public URL begins with, for a proxy may have us below one."""
    return str(urlsplit(connection.app.state.bridge.public_url).path).rstrip("/")


def page(
    connection: ASGIConnection[Any, Any, Any, Any],
    template: str,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **names: Any,
) -> Response[str]:
    """Render a template to an answer."""
    shown = {
        "root": root(connection),
        "css": _CSS_HASH,
        "path": connection.scope["path"],
        "session": connection.scope.get("auth"),
        "done": _DONE.get(connection.query_params.get("done", "")),
    }
    text = _ENVIRONMENT.get_template(template).render(shown | names)
    return Response(text, status_code=status, media_type=MediaType.HTML, headers=HEADERS | (headers or {}))


def _moment(at: str | None) -> str:
    """Shorten RFC 3339 to what people read."""
    return f"{at[:10]} {at[11:19]}" if at else ""


def _web(url: str | None) -> bool:
    """Say whether a URL that came from outside may be a link: no `javascript:` and the like."""
    return url is not None and url.startswith(("https://", "http://"))


def _compact(value: Any) -> str:
    """Write a value of a body as text."""
    return str(value) if isinstance(value, str) else msgspec.json.encode(value).decode()


def _segment(text: str) -> str:
    return quote(text, safe="")


_DONE = {
    "replay": "Replayed: this is the new delivery.",
    "retry": "It is sent again within seconds.",
    "resolve": "Settled.",
    "pause": "Paused.",
    "resume": "Resumed.",
}
_ENVIRONMENT = Environment(
    loader=PackageLoader("bridge.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"moment": _moment, "segment": _segment, "compact": _compact}
_ENVIRONMENT.tests["web"] = _web
