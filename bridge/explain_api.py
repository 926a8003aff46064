"""POST /api/explain: what the rules make of an event, without a trace; a read token is enough."""

from typing import Any

from litestar import Response, Router, post
from litestar.datastructures import State
from litestar.params import JSONBody
from msgspec import Struct, structs

from bridge import operations
from bridge.api import may_read
from bridge.contracts import Request, Source
from bridge.errors import Refusal, Unfindable
from bridge.explanation import Explanation, explain
from bridge.model import Event
from bridge.parts import Bridge
from bridge.problems import answers, problem
from bridge.suggest import unknown

_MOST_BODY_BYTES = 5_000_000


class Question(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event as its sender would send it, or a delivery that is stored."""

    source: str = ""
    event: str = ""
    """Its name, where `headers` do not say it."""
    body: Any = None
    """An object or a list; or text, exactly as it is sent, with its content type in `headers`."""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    delivery_id: str | None = None
    """Instead of all of these."""


@post("/explain", status_code=200, responses=answers(400, 401, 404, 409, 413, 415, 429, 503))
async def explain_event(state: State, data: JSONBody[Question]) -> Explanation | Response[bytes]:
    """Say of each rule whether it would run under the present configuration, and why; nothing is stored or sent."""
    parts: Bridge = state.bridge
    if data.delivery_id is not None:
        if data != Question(delivery_id=data.delivery_id):
            return problem(400, "Bad Request", "`delivery_id` stands alone: the delivery has the rest")
        event, _ = await operations.stored_event(parts, data.delivery_id)
        return explain(parts.config, event)
    source = parts.config.sources.get(data.source)
    if source is None:
        raise Unfindable(unknown("source", data.source, parts.config.sources))
    try:
        return explain(parts.config, structs.replace(_event(source, data), source=data.source))
    except Refusal as refusal:
        return problem(refusal.status, refusal.title, str(refusal))


def _event(source: Source, asked: Question) -> Event:
    body = source.smallest(asked.event) if asked.body is None else asked.body
    named = {name.lower(): value for name, value in asked.headers.items()}
    request = source.packed(asked.event, {} if isinstance(body, str) else body)
    sent = body.encode(errors="surrogatepass") if isinstance(body, str) else request.body
    headers, query = {**request.headers, **named}, {**request.query, **asked.query}
    return source.parse(Request(headers=headers, query=query, body=sent, now=0))


ROUTER = Router(
    "/api",
    route_handlers=[explain_event],
    guards=[may_read],
    request_max_body_size=_MOST_BODY_BYTES,
    security=[{"token": []}],
)
