"""The forms that change something: each is confirmed, ours, and ends up in the audit as an order over the API does."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response, post
from litestar.datastructures import State
from litestar.exceptions import PermissionDeniedException, ValidationException
from litestar.response import Redirect
from msgspec import Struct

from bridge import operations
from bridge.operator_api import Replay, Resolution
from bridge.page.render import HEADERS, Asked, root
from bridge.page.session import Session, entered, form_of
from bridge.parts import Bridge
from bridge.pauses import Kind


class _Switch(Struct, frozen=True):
    kind: Kind
    name: str
    reason: str = ""


async def _replay(bridge: Bridge, form: dict[str, str], by: str) -> str:
    id_ = form.pop("id", "")
    taken = await operations.replay(bridge, id_, msgspec.convert(form, Replay).rules, by)
    return f"deliveries/{quote(taken.delivery_id)}"


async def _retry(bridge: Bridge, form: dict[str, str], by: str) -> str:
    await operations.retry(bridge.store, form.get("id", ""), by, form.get("reason", ""))
    execution = form.get("execution", "")
    return f"executions/{quote(execution, safe='')}" if execution else "dead-letters"


async def _resolve(bridge: Bridge, form: dict[str, str], by: str) -> str:
    id_ = form.pop("id", "")
    # A field that is left empty says nothing.
    order = msgspec.convert({name: value for name, value in form.items() if value}, Resolution)
    await operations.resolve(bridge.store, id_, order.outcome, by=by, remote_id=order.remote_id, reason=order.reason)
    return f"executions/{quote(id_, safe='')}"


async def _pause(bridge: Bridge, form: dict[str, str], by: str) -> str:
    switch = msgspec.convert(form, _Switch)
    await operations.pause(bridge, switch.kind, switch.name, by, switch.reason)
    return "switches"


async def _resume(bridge: Bridge, form: dict[str, str], by: str) -> str:
    switch = msgspec.convert(form, _Switch)
    await operations.resume(bridge, switch.kind, switch.name, by)
    return "switches"


_ORDERS: dict[str, Callable[[Bridge, dict[str, str], str], Awaitable[str]]] = {
    "replay": _replay,
    "retry": _retry,
    "resolve": _resolve,
    "pause": _pause,
    "resume": _resume,
}


@post("/orders", status_code=303, guards=[entered])
async def give(request: Asked, state: State) -> Response[Any]:
    """Carry out what a form orders, and show what became of it."""
    session: Session = request.auth
    form = await form_of(request)
    if not session.identity.operate:
        raise PermissionDeniedException(detail="this needs a token that may operate: one of BRIDGE_API_TOKENS")
    if form.pop("sure", "") != "yes":
        raise ValidationException(detail="tick the box to confirm it")
    order = form.pop("order", "")
    if order not in _ORDERS:
        raise ValidationException(detail="there is no such order")
    try:
        where = await _ORDERS[order](state.bridge, form, f"{session.identity.name} (page)")
    except msgspec.ValidationError as error:
        raise ValidationException(detail=str(error)) from None
    return Redirect(f"{root(request)}/{where}?done={order}", status_code=303, headers=HEADERS)
