"""/api: deliveries and executions as records, behind bearer tokens."""

from typing import Annotated, Any

from litestar import Router, get
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter

from bridge import listing, pauses
from bridge.access import Access
from bridge.audit import AuditEntry, orders
from bridge.listing import MOST_PER_PAGE, DeadLetter, DeliverySummary, ExecutionSummary, Page
from bridge.model import Delivery, Execution
from bridge.pauses import Pause
from bridge.problems import answers

Limit = Annotated[int, QueryParameter(ge=1, le=MOST_PER_PAGE)]
"""How many a page holds."""

_HOW = "set BRIDGE_READ_TOKENS (or BRIDGE_API_TOKENS) and send one of them as `Authorization: Bearer ...`"
_LOOKING = answers(401, 429, 503)
_ASKING = answers(400, 401, 429, 503)
_FINDING = answers(400, 401, 404, 409, 429, 503)


def may_read(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let a request through that carries a token; raises NotAuthorizedException and TooMany."""
    access: Access = connection.app.state.access
    scheme, shown = [*connection.headers.get("authorization", "").split(" ", 1), ""][:2]
    given = shown.strip().encode("latin-1", errors="replace") if scheme.lower() == "bearer" else b""
    peer = None if connection.client is None else connection.client.host
    identity = access.enter(given, peer, connection.headers.get("x-forwarded-for", ""))
    if identity is None:
        raise NotAuthorizedException(detail=f"this needs a token: {_HOW}", headers={"www-authenticate": "Bearer"})
    connection.scope["auth"] = identity


@get("/executions/{execution_id:str}", responses=_FINDING)
async def execution(execution_id: FromPath[str], state: State) -> Execution:
    """Return one execution in full."""
    return await listing.execution(state.bridge.store, execution_id)


@get("/deliveries/{delivery_id:str}", responses=_FINDING)
async def delivery(delivery_id: FromPath[str], state: State) -> Delivery:
    """Return one delivery with each rule's verdict."""
    return await listing.delivery(state.bridge.store, delivery_id)


@get("/deliveries", responses=_ASKING)
async def deliveries(state: State, limit: Limit = 20, cursor: FromQuery[str | None] = None) -> Page[DeliverySummary]:
    """List the newest deliveries, page by page."""
    return await listing.deliveries(state.bridge.store, limit, cursor)


@get("/executions", responses=_ASKING)
async def executions(state: State, limit: Limit = 20, cursor: FromQuery[str | None] = None) -> Page[ExecutionSummary]:
    """List the newest executions, page by page."""
    return await listing.executions(state.bridge.store, limit, cursor)


@get("/dead-letters", responses=_ASKING)
async def dead_letters(state: State, limit: Limit = 20, cursor: FromQuery[str | None] = None) -> Page[DeadLetter]:
    """List what a person has to look at, page by page: the newest first."""
    return await listing.dead_letters(state.bridge.store, limit, cursor)


@get("/paused", responses=_LOOKING)
async def paused(state: State) -> list[Pause]:
    """List the engines and rules that are paused, by whom and why."""
    return await pauses.paused(state.bridge.store)


@get("/audit", responses=_ASKING)
async def audit(state: State, limit: Limit = 20, cursor: FromQuery[str | None] = None) -> Page[AuditEntry]:
    """List what people ordered, page by page: who, what, when, and what came of it."""
    return await orders(state.bridge.store, limit, cursor)


ROUTER = Router(
    "/api",
    route_handlers=[execution, delivery, deliveries, executions, dead_letters, paused, audit],
    guards=[may_read],
    security=[{"token": []}],
)
