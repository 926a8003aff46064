"""The web process: routes, limits, and errors turned into statuses. With api.py the only importer of litestar."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog
from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath

import bridge
from bridge import contracts, files, metrics, operator_api, pipeline
from bridge.api import ROUTER
from bridge.contracts import Acceptance, Reply
from bridge.errors import BodyTimeout, Refusal, StoreUnavailable, TooLarge, Unfindable, Unreadable, WrongState
from bridge.listing import BadCursor
from bridge.parts import Bridge
from bridge.problems import problem

BODY_SECONDS = 10.0
"""How long a sender may take for its whole body; GitHub itself gives up after 10 s."""
ACCEPT_SECONDS = 2.5
"""How long storing may take before the sender is told to try again; Slack shows an error after 3 s."""

_STATUSES = {"accepted": 202, "rule_error": 422}

log = structlog.get_logger()


@post("/hooks/{source:str}", status_code=202, include_in_schema=True)
async def receive(source: FromPath[str], request: Request[Any, Any, State], state: State) -> Response[bytes]:
    """Take one delivery: verify, match, store, then answer."""
    parts: Bridge = state.bridge
    configured = parts.config.sources.get(source)
    if configured is None:
        return problem(404, "Not Found", f"no source is called {source!r}")
    try:
        body = await _body(request, configured.max_body_bytes, state.body_seconds)
        delivery = contracts.Request(
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]},
            query=dict(request.query_params.multi_items()),
            body=body,
            now=time.time(),
        )
        async with asyncio.timeout(ACCEPT_SECONDS):
            taken = await pipeline.accept(parts, source, delivery)
    except Refusal as refusal:
        reply = configured.refuse(refusal)
        return _respond(reply) if reply else problem(refusal.status, refusal.title, str(refusal))
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("store.unavailable", source=source, reason=str(error) or "no answer in time")
        reply = configured.unavailable()
        return _respond(reply) if reply else _unavailable()
    if isinstance(taken, Reply):
        return _respond(taken)
    reply = configured.answer(taken)
    return _respond(reply) if reply else _answer(taken)


async def _body(request: Request[Any, Any, State], limit: int, seconds: float) -> bytes:
    """Read the whole body, counting while reading; raises TooLarge and BodyTimeout."""
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
    return b"".join(chunks)


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


@get("/livez", media_type=MediaType.TEXT)
async def livez() -> str:
    """Say that the process is alive; never asks Redis."""
    return "ok"


@get("/readyz", media_type=MediaType.TEXT)
async def readyz(state: State) -> Response[bytes]:
    """Say whether deliveries can be taken: Redis writable and rightly set, not draining."""
    if state.draining():
        return problem(503, "Service Unavailable", "this process is stopping")
    try:
        found = await state.bridge.store.examine()
        if refused := [finding.text for finding in found if finding.refused]:
            return problem(503, "Service Unavailable", f"Redis is not set as it must be: {'; '.join(refused)}")
        await state.bridge.store.probe()
    except StoreUnavailable as error:
        return problem(503, "Service Unavailable", f"Redis cannot be written: {error}")
    return Response(b"ok", media_type=MediaType.TEXT)


@get("/metrics", media_type=metrics.CONTENT_TYPE)
async def prometheus() -> bytes:
    """Return this process's metrics in Prometheus' text format."""
    return metrics.exposition()


def _http_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    headers = error.headers or {}
    return problem(error.status_code, type(error).__name__.removesuffix("Exception"), error.detail, headers=headers)


def _defect(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("request.failed", path=request.scope["path"], exc_info=error)
    return problem(500, "Internal Server Error", "a defect in this service; it has been logged")


def _store_error(_: Request[Any, Any, Any], error: StoreUnavailable) -> Response[bytes]:
    log.warning("store.unavailable", reason=str(error))
    return problem(503, "Service Unavailable", "Redis does not answer", headers={"retry-after": "5"})


def _refused(status: int, title: str) -> Callable[[Request[Any, Any, Any], Exception], Response[bytes]]:
    """Return a handler that answers an order which cannot be carried out with its own words."""
    return lambda _, error: problem(status, title, str(error))


def build(
    parts: Bridge,
    read_tokens: list[bytes],
    draining: Callable[[], bool] = lambda: False,
    *,
    api_tokens: Sequence[bytes] = (),
    body_seconds: float = BODY_SECONDS,
) -> Litestar:
    """Assemble the application; `parts` is opened and closed by whoever calls."""
    return Litestar(
        route_handlers=[receive, livez, readyz, prometheus, files.follow, ROUTER, operator_api.ROUTER],
        state=State(
            {
                "bridge": parts,
                "read_tokens": read_tokens,
                "api_tokens": list(api_tokens),
                "draining": draining,
                "body_seconds": body_seconds,
            }
        ),
        exception_handlers={
            HTTPException: _http_error,
            StoreUnavailable: _store_error,
            Unfindable: _refused(404, "Not Found"),
            WrongState: _refused(409, "Conflict"),
            Unreadable: _refused(409, "Conflict"),
            BadCursor: _refused(400, "Bad Request"),
            Exception: _defect,
        },
        openapi_config=OpenAPIConfig(
            title="genesis-bridge",
            version=bridge.__version__,
            path="/schema",
            # The document itself; Litestar's pages around it load their scripts from the internet.
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        ),
        logging_config=None,
        request_max_body_size=None,  # each source has its own limit, counted in `receive`
    )
