"""/api: deliveries and executions as records, behind bearer tokens."""

import hmac
from typing import Any

from litestar import Response, Router, get
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath

from bridge.model import Delivery, Execution
from bridge.problems import problem

_HOW = "set BRIDGE_READ_TOKENS (or BRIDGE_API_TOKENS) and send one of them as `Authorization: Bearer ...`"


def may_read(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let a request through that carries a read or an operate token; raises NotAuthorizedException."""
    tokens: list[bytes] = connection.app.state.read_tokens
    scheme, presented = [*connection.headers.get("authorization", "").split(" ", 1), ""][:2]
    given = presented.strip().encode("latin-1", errors="replace")
    # Every token is compared, so that the time taken tells nothing.
    matches = [hmac.compare_digest(token, given) for token in tokens]
    if scheme.lower() != "bearer" or not any(matches):
        raise NotAuthorizedException(detail=f"this needs a token: {_HOW}", headers={"www-authenticate": "Bearer"})


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


ROUTER = Router("/api", route_handlers=[execution, delivery], guards=[may_read])
