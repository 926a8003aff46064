"""The web process: routes, limits, and errors turned into statuses. It, /api and the page alone import litestar."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import structlog
from litestar import HttpMethod, Litestar, MediaType, Request, Response, get, post, route
from litestar.datastructures import State
from litestar.exceptions import HTTPException, InternalServerException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath
from msgspec import structs

import bridge
from bridge import contracts, explain_api, files, hardening, metrics, operator_api, page, pipeline, presses
from bridge.access import Access
from bridge.api import ROUTER
from bridge.contracts import Acceptance, Reply
from bridge.errors import (
    BodyTimeout,
    Malformed,
    Refusal,
    StoreUnavailable,
    TooLarge,
    TooMany,
    Unfindable,
    Unreadable,
    WrongState,
)
from bridge.listing import BadCursor
from bridge.page.errors import http_error as page_error
from bridge.page.errors import wanted as page_wanted
from bridge.parts import Bridge
from bridge.problems import answers, problem

BODY_SECONDS = 9.2
"""How long a sender may take for its whole body; GitHub itself gives up after 10 s, and then the connection is cut."""

_GET_OR_HEAD = [HttpMethod.GET, HttpMethod.HEAD]  # load balancers ask by either
_STATUSES = {"accepted": 202, "rule_error": 422}

log = structlog.get_logger()


@post("/hooks/{source:str}", status_code=202, responses=answers(400, 401, 404, 408, 413, 415, 422, 429, 503))
async def receive(source: FromPath[str], request: Request[Any, Any, State], state: State) -> Response[bytes]:
    """Take one delivery: verify, match, store, then answer."""
    parts: Bridge = state.bridge
    configured = parts.config.sources.get(source)
    if configured is None:
        return problem(404, "Not Found", f"no source is called {source!r}")
    delivery = contracts.Request(
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]},
        query=dict(request.query_params.multi_items()),
        body=b"",
        now=time.time(),
    )
    try:
        body = await _body(request, configured.max_body_bytes, state.body_seconds)
        delivery = structs.replace(delivery, body=body, now=time.time())
        taken = await pipeline.accept(parts, source, delivery, partial(presses.carry_out, parts))
    except Refusal as refusal:
        reply = configured.refuse(refusal, delivery)
        return _respond(reply) if reply else _refusal(refusal)
    except StoreUnavailable as error:
        log.warning("store.unavailable", source=source, reason=str(error))
        reply = configured.unavailable(delivery)
        return _respond(reply) if reply else _unavailable()
    if isinstance(taken, Reply):
        return _respond(taken)
    reply = configured.answer(taken, delivery)
    return _respond(reply) if reply else _answer(taken)


async def _body(request: Request[Any, Any, State], limit: int, seconds: float) -> bytes:
    """Read the whole body, counting while reading; raises TooLarge, BodyTimeout and Malformed."""
    too_large = TooLarge(f"the body is larger than the {limit:,} bytes this source takes")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:12]) > limit:
        raise too_large
    chunks, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise BodyTimeout(f"the body did not arrive within {seconds:g} s") from None
    except InternalServerException:  # Litestar's word for a connection that ended
        raise Malformed("the connection ended before the body did") from None
    return b"".join(chunks)


def _refusal(refusal: Refusal) -> Response[bytes]:
    return problem(refusal.status, refusal.title, str(refusal), headers=refusal.headers)


def _respond(reply: Reply) -> Response[bytes]:
    return Response(reply.body, status_code=reply.status, media_type=reply.content_type, headers=reply.headers)


def _answer(accepted: Acceptance) -> Response[bytes]:
    status = _STATUSES.get(accepted.outcome, 200)
    if status == 422:  # noqa: PLR2004
        extra = msgspec.to_builtins(accepted)
        return problem(422, "Unprocessable Content", accepted.reason or "no rule could run", **extra)
    return Response(msgspec.json.encode(accepted), status_code=status, media_type=MediaType.JSON)


def _unavailable() -> Response[bytes]:
    detail = "the delivery was not confirmed as stored; send it again, a repeat is recognised"
    return problem(503, "Service Unavailable", detail, headers={"retry-after": "5"})


@route("/livez", http_method=_GET_OR_HEAD, media_type=MediaType.TEXT)
async def livez() -> str:
    """Say that the process is alive; never asks Redis."""
    return "ok"


@route("/readyz", http_method=_GET_OR_HEAD, media_type=MediaType.TEXT, responses=answers(503))
async def readyz(state: State) -> Response[bytes]:
    """Say whether deliveries can be taken: Redis writable and rightly set, not draining.

    A configuration file that turned bad is told, but is no reason to send deliveries elsewhere: every process reads
    the same files, and each goes on with the last good one.
    """
    if state.draining():
        return problem(503, "Service Unavailable", "this process is stopping")
    try:
        found = await state.bridge.store.examine()
        if refused := [finding.text for finding in found if finding.refused]:
            return problem(503, "Service Unavailable", f"Redis is not set as it must be: {'; '.join(refused)}")
        await state.bridge.store.probe()
    except StoreUnavailable as error:
        return problem(503, "Service Unavailable", f"Redis cannot be written: {error}")
    return Response("\n".join(["ok", *state.remarks()]).encode(), media_type=MediaType.TEXT)


@get("/metrics", media_type=metrics.CONTENT_TYPE)
async def prometheus() -> bytes:
    """Return this process's metrics in Prometheus' text format."""
    return metrics.exposition()


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    if page_wanted(request):
        return page_error(request, error)
    # What is wrong with a question's body, Litestar says beside the detail.
    found = error.extra if isinstance(error.extra, list) else []
    detail = ": ".join([error.detail, *(str(one["message"]) for one in found if "message" in one)])
    headers = error.headers or {}
    return problem(error.status_code, type(error).__name__.removesuffix("Exception"), detail, headers=headers)


def _defect(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("request.failed", path=request.scope["path"], exc_info=error)
    return problem(500, "Internal Server Error", "a defect in this service; it has been logged")


def _unreadable(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    # Litestar lets through what its decoders of queries and bodies raise beside their own errors.
    log.warning("request.unreadable", path=request.scope["path"], exc_info=error)
    return problem(400, "Bad Request", "the query or the body is not UTF-8 text, or is nested too deep")


def _store_error(_: Request[Any, Any, Any], error: StoreUnavailable) -> Response[bytes]:
    log.warning("store.unavailable", reason=str(error))
    return problem(503, "Service Unavailable", "Redis does not answer", headers={"retry-after": "5"})


def _refused(status: int, title: str) -> Callable[[Request[Any, Any, Any], Exception], Response[bytes]]:
    """Return a handler that answers an order which cannot be carried out with its own words."""
    return lambda _, error: problem(status, title, str(error))


def build(
    parts: Bridge,
    access: Access,
    draining: Callable[[], bool] = lambda: False,
    *,
    body_seconds: float = BODY_SECONDS,
    remarks: Callable[[], list[str]] = list,
) -> Litestar:
    """Assemble the application; `parts` is opened and closed by whoever calls, and may be set anew (`state.bridge`)."""
    return Litestar(
        route_handlers=[
            receive,
            livez,
            readyz,
            prometheus,
            files.follow,
            ROUTER,
            explain_api.ROUTER,
            operator_api.ROUTER,
            page.ROUTER,
        ],
        state=State(
            {
                "bridge": parts,
                "access": access,
                "draining": draining,
                "remarks": remarks,
                "body_seconds": body_seconds,
            }
        ),
        exception_handlers={
            HTTPException: _http_error,
            StoreUnavailable: _store_error,
            Unfindable: _refused(404, "Not Found"),
            WrongState: _refused(409, "Conflict"),
            Unreadable: _refused(409, "Conflict"),
            TooMany: lambda _, refusal: _refusal(refusal),
            BadCursor: _refused(400, "Bad Request"),
            UnicodeDecodeError: _unreadable,
            RecursionError: _unreadable,
            Exception: _defect,
        },
        openapi_config=OpenAPIConfig(
            title="genesis-bridge",
            version=bridge.__version__,
            path="/schema",
            components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
            # The document itself; Litestar's pages around it load their scripts from the internet.
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        ),
        before_send=[hardening.harden],
        logging_config=None,
        request_max_body_size=None,  # each source has its own limit, counted in `receive`
    )
