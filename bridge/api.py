"""/api: deliveries and executions as records, behind bearer tokens."""

import hmac
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Response, Router, get
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter

from bridge import listing, pauses
from bridge.listing import MOST_PER_PAGE, DeadLetter, DeliverySummary, ExecutionSummary, Page
from bridge.model import Delivery, Execution
from bridge.pauses import Pause
from bridge.problems import problem

Limit = Annotated[int, QueryParameter(ge=1, le=MOST_PER_PAGE)]
"""How many a page holds."""

_HOW = "set BRIDGE_READ_TOKENS (or BRIDGE_API_TOKENS) and send one of them as `Authorization: Bearer ...`"


def may_read(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let a request through that carries a read or an operate token; raises NotAuthorizedException."""
    if not any(presented(connection, connection.app.state.read_tokens)):
        raise NotAuthorizedException(detail=f"this needs a token: {_HOW}", headers={"www-authenticate": "Bearer"})


def presented(connection: ASGIConnection[Any, Any, Any, Any], tokens: Sequence[bytes]) -> list[bool]:
    """Say of each token whether the request carries it."""
    scheme, shown = [*connection.headers.get("authorization", "").split(" ", 1), ""][:2]
    given = shown.strip().encode("latin-1", errors="replace")
    # Every token is compared, so that the time taken tells nothing.
    return [hmac.compare_digest(token, given) and scheme.lower() == "bearer" for token in tokens]


@get("/executions/{execution_id:str}")
async def execution(execution_id: FromPath[str], state: State) -> Execution | Response[bytes]:
    """Return one execution in full."""
    found: Execution | None = await state.bridge.store.execution(execution_id)
    return problem(404, "Not Found", f"no execution {execution_id!r}") if found is None else found


@get("/deliveries/{delivery_id:str}")
async def delivery(delivery_id: FromPath[str], state: State) -> Delivery | Response[bytes]:
    """Return one delivery with each rule's verdict."""
    found: Delivery | None = await state.bridge.store.delivery(delivery_id)
    return problem(404, "Not Found", f"no delivery {delivery_id!r}") if found is None else found


@get("/deliveries")
async def deliveries(state: State, limit: Limit = 20, cursor: FromQuery[str | None] = None) -> Page[DeliverySummary]:
    """List the newest deliveries, page by page."""
    return await listing.deliveries(state.bridge.store, limit, cursor)


@get("/executions")
async def executions(state: State, limit: Limit = 20, cursor: FromQuery[str | None] = None) -> Page[ExecutionSummary]:
    """List the newest executions, page by page."""
    return await listing.executions(state.bridge.store, limit, cursor)


@get("/dead-letters")
async def dead_letters(state: State, limit: Limit = 20, cursor: FromQuery[str | None] = None) -> Page[DeadLetter]:
    """List what a person has to look at, page by page: the newest first."""
    return await listing.dead_letters(state.bridge.store, limit, cursor)


@get("/paused")
async def paused(state: State) -> list[Pause]:
    """List the engines and rules that are paused, by whom and why."""
    return await pauses.paused(state.bridge.store)


ROUTER = Router(
    "/api", route_handlers=[execution, delivery, deliveries, executions, dead_letters, paused], guards=[may_read]
)
