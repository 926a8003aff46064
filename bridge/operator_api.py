"""/api for operators: replay, retry, resolve, pause and resume; they need a token that may operate."""

from typing import Annotated, Any

from litestar import Request, Response, Router, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from bridge import listing, operations, pauses
from bridge.access import Identity
from bridge.api import may_read
from bridge.contracts import Acceptance
from bridge.model import Execution
from bridge.operations import Outcome, Rules
from bridge.pauses import Kind, Pause
from bridge.problems import answers

Asked = Request[Any, Identity, State]

_MOST_BODY_BYTES = 10_000
_ANSWERS = answers(400, 401, 403, 404, 409, 413, 429, 503)


class Why(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an order that needs none: `reason` is kept with what was done."""

    reason: str = ""


class Resolution(Struct, frozen=True, forbid_unknown_fields=True):
    """How an unknown execution is settled."""

    outcome: Outcome
    remote_id: Annotated[str, Meta(pattern=r"^[!-~]{1,200}$")] | None = None
    """With `ran`: the engine's own id of the run."""
    reason: str = ""


class Replay(Struct, frozen=True, forbid_unknown_fields=True):
    """Which rules a replay runs under: those of now, or exactly what the delivery started then."""

    rules: Rules = "present"


def may_operate(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let a request through whose token may operate; raises PermissionDeniedException. To stand behind `may_read`."""
    if not connection.scope["auth"].operate:
        raise PermissionDeniedException(detail="this needs a token that may operate: one of BRIDGE_API_TOKENS")


@post("/notifications/{notification_id:str}/retry", status_code=202, responses=_ANSWERS)
async def retry(
    notification_id: FromPath[str],
    request: Asked,
    state: State,
    data: JSONBody[Why | None] = None,
) -> dict[str, str]:
    """Have a dead or waiting notification sent now, under the same id; 409 when it is neither."""
    reason = (data or Why()).reason
    await operations.retry(state.bridge.store, notification_id, request.auth.name, reason)
    return {"id": notification_id, "state": "due"}


@post("/executions/{execution_id:str}/resolve", status_code=200, responses=_ANSWERS)
async def resolve(execution_id: FromPath[str], request: Asked, state: State, data: JSONBody[Resolution]) -> Execution:
    """Settle an unknown execution, and return it as it then stands; 409 when it is not unknown (any more)."""
    await operations.resolve(
        state.bridge.store,
        execution_id,
        data.outcome,
        by=request.auth.name,
        remote_id=data.remote_id,
        reason=data.reason,
    )
    return await listing.execution(state.bridge.store, execution_id)


@post("/deliveries/{delivery_id:str}/replay", status_code=202, responses=_ANSWERS)
async def replay(
    delivery_id: FromPath[str],
    request: Asked,
    state: State,
    data: JSONBody[Replay | None] = None,
) -> Response[Acceptance]:
    """Run a stored delivery again as a delivery of its own; 202 when something runs, else 200 with the outcome."""
    rules = (data or Replay()).rules
    taken = await operations.replay(state.bridge, delivery_id, rules, request.auth.name)
    return Response(taken, status_code=202 if taken.outcome == "accepted" else 200)


@post("/engines/{name:str}/pause", status_code=200, responses=_ANSWERS)
async def pause_engine(
    name: FromPath[str], request: Asked, state: State, data: JSONBody[Why | None] = None
) -> list[Pause]:
    """Keep what is queued for an engine, and return all that is paused."""
    return await _pause(request, state, "engine", name, data)


@post("/rules/{name:str}/pause", status_code=200, responses=_ANSWERS)
async def pause_rule(
    name: FromPath[str], request: Asked, state: State, data: JSONBody[Why | None] = None
) -> list[Pause]:
    """Keep what a rule has queued and will queue, and return all that is paused."""
    return await _pause(request, state, "rule", name, data)


@post("/engines/{name:str}/resume", status_code=200, responses=_ANSWERS)
async def resume_engine(name: FromPath[str], request: Asked, state: State) -> list[Pause]:
    """Let go what is queued for an engine, and return what is still paused."""
    return await _resume(request, state, "engine", name)


@post("/rules/{name:str}/resume", status_code=200, responses=_ANSWERS)
async def resume_rule(name: FromPath[str], request: Asked, state: State) -> list[Pause]:
    """Let go what a rule has queued, and return what is still paused."""
    return await _resume(request, state, "rule", name)


async def _pause(request: Asked, state: State, kind: Kind, name: str, why: Why | None) -> list[Pause]:
    await operations.pause(state.bridge, kind, name, request.auth.name, (why or Why()).reason)
    return await pauses.paused(state.bridge.store)


async def _resume(request: Asked, state: State, kind: Kind, name: str) -> list[Pause]:
    await operations.resume(state.bridge, kind, name, request.auth.name)
    return await pauses.paused(state.bridge.store)


ROUTER = Router(
    "/api",
    route_handlers=[retry, resolve, replay, pause_engine, pause_rule, resume_engine, resume_rule],
    guards=[may_read, may_operate],
    security=[{"token": []}],
    request_max_body_size=_MOST_BODY_BYTES,
)
