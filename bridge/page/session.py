"""Logging in with a token, the session that follows, and how a form proves that it is ours.

The cookie holds a random secret and no token. Redis keeps, under the secret's digest, what the token made of it: so a
session ends by itself, on logout, and as soon as its token is no longer one.
"""

import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import urlsplit

from litestar import Response, post
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, State
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.response import Redirect
from msgspec import Struct

from bridge.access import Access, Identity
from bridge.bodies import read_form
from bridge.page.render import HEADERS, Asked, page, root

SESSION_SECONDS = 12 * 3600


class Closed(Exception):
    """No token is set, so nobody can come in."""


class LoginNeeded(Exception):
    """There is no session, or it has ended."""


class Session(Struct, frozen=True):
    """Somebody who is logged in."""

    identity: Identity
    secret: str

    @property
    def form_token(self) -> str:
        """What each of this session's forms carries, and nobody else's can."""
        return hmac.digest(self.secret.encode(), b"form", "sha256").hex()


async def entered(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let somebody through who is logged in; raises Closed, LoginNeeded, TooMany and StoreUnavailable."""
    access: Access = connection.app.state.access
    if access.closed:
        raise Closed
    secret = connection.cookies.get(_cookie_name(connection), "")
    kept = await connection.app.state.bridge.store.run("session", [_key(secret)], ["read"]) if secret else []
    identity = access.prove(secret.encode(), kept[0]) if kept else None
    if identity is None:
        raise LoginNeeded
    access.use(identity)
    connection.scope["auth"] = Session(identity, secret)


async def form_of(request: Asked) -> dict[str, str]:
    """Return the form of somebody who is logged in; raises PermissionDeniedException unless it is one of ours."""
    same_origin(request)
    form = read_form(await request.body())
    session: Session = request.auth
    if not hmac.compare_digest(form.pop("token", "").encode(), session.form_token.encode()):
        raise PermissionDeniedException(detail="this form is of another session: load the page again")
    return form


def same_origin(request: Asked) -> None:
    """Let a form through that a browser says is from our own page; raises PermissionDeniedException.

    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    ours = urlsplit(request.app.state.bridge.public_url).netloc, request.headers.get("host")
    from_us = origin is not None and urlsplit(origin).scheme in ("http", "https") and urlsplit(origin).netloc in ours
    if not from_us or site not in (None, "same-origin"):
        raise PermissionDeniedException(detail="the form does not come from this page, or the browser does not say so")


@post("/login", status_code=303)
async def log_in(request: Asked, state: State) -> Response[Any]:
    """Begin a session for whoever has a token, and show what they had asked for."""
    same_origin(request)
    access: Access = state.access
    if access.closed:
        raise Closed
    form = read_form(await request.body())
    given = form.get("access-token", "").strip().encode()
    peer = None if request.client is None else request.client.host
    where = _path(form.get("next", ""))
    if access.enter(given, peer, request.headers.get("x-forwarded-for", "")) is None:
        return page(request, "login.html", status=403, next=where, wrong=True)
    secret = secrets.token_urlsafe(32)
    proof = access.proof(secret.encode(), given)
    await state.bridge.store.run("session", [_key(secret)], ["keep", proof, SESSION_SECONDS])
    return Redirect(root(request) + where, status_code=303, headers=HEADERS, cookies=[_cookie(request, secret)])


@post("/logout", status_code=303, guards=[entered])
async def log_out(request: Asked, state: State) -> Response[Any]:
    """End the session, here and in Redis."""
    await form_of(request)
    await state.bridge.store.run("session", [_key(request.auth.secret)], ["end"])
    return Redirect(f"{root(request)}/", status_code=303, headers=HEADERS, cookies=[_cookie(request, "", seconds=0)])


def _path(text: str) -> str:
    """Return where to go after the login: a path of ours, whatever a form says."""
    parts = urlsplit(text)
    plain = text.isascii() and text.isprintable() and "\\" not in text
    return text if plain and text.startswith("/") and not text.startswith("//") and not parts.netloc else "/"


def _key(secret: str) -> str:
    return f"gb:session:{hashlib.sha256(secret.encode(errors='surrogatepass')).hexdigest()}"


def _cookie(request: Asked, value: str, seconds: int = SESSION_SECONDS) -> Cookie:
    return Cookie(
        key=_cookie_name(request),
        value=value,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="strict",
        secure=_secure(request),
    )


def _cookie_name(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    # A browser takes the prefix to mean: only over https, only from this host, whatever its neighbours set.
    return "__Host-genesis-bridge" if _secure(connection) else "genesis-bridge"


def _secure(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    return bool(connection.app.state.bridge.public_url.startswith("https:"))
