"""What there is to see: lists, one delivery, one execution, the switches."""

from litestar import Response, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from bridge import audit, listing, pauses
from bridge.page.render import CSS, HEADERS, ICON, Asked, page
from bridge.page.session import entered

_FEW = 8
_MANY = 50
_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}


@get("/", guards=[entered])
async def home(request: Asked, state: State) -> Response[str]:
    """Show what is newest, and what a person has to look at."""
    store = state.bridge.store
    return page(
        request,
        "home.html",
        dead=await listing.dead_letters(store, _FEW, None),
        paused=await pauses.paused(store),
        executions=await listing.executions(store, _FEW, None),
        deliveries=await listing.deliveries(store, _FEW, None),
    )


@get("/deliveries", guards=[entered])
async def deliveries(request: Asked, state: State, cursor: FromQuery[str | None] = None) -> Response[str]:
    """List the deliveries."""
    found = await listing.deliveries(state.bridge.store, _MANY, cursor)
    return page(request, "list.html", title="Deliveries", kind="deliveries", found=found)


@get("/executions", guards=[entered])
async def executions(request: Asked, state: State, cursor: FromQuery[str | None] = None) -> Response[str]:
    """List the executions."""
    found = await listing.executions(state.bridge.store, _MANY, cursor)
    return page(request, "list.html", title="Executions", kind="executions", found=found)


@get("/dead-letters", guards=[entered])
async def dead_letters(request: Asked, state: State, cursor: FromQuery[str | None] = None) -> Response[str]:
    """List what a person has to look at."""
    found = await listing.dead_letters(state.bridge.store, _MANY, cursor)
    return page(request, "list.html", title="Dead letters", kind="dead", found=found)


@get("/audit", guards=[entered])
async def orders(request: Asked, state: State, cursor: FromQuery[str | None] = None) -> Response[str]:
    """List what people ordered."""
    found = await audit.orders(state.bridge.store, _MANY, cursor)
    return page(request, "list.html", title="Orders", kind="audit", found=found)


@get("/deliveries/{delivery_id:str}", guards=[entered])
async def delivery(request: Asked, state: State, delivery_id: FromPath[str]) -> Response[str]:
    """Show one delivery with each rule's verdict and conditions."""
    found = await listing.delivery(state.bridge.store, delivery_id)
    return page(request, "delivery.html", delivery=found)


@get("/executions/{execution_id:str}", guards=[entered])
async def execution(request: Asked, state: State, execution_id: FromPath[str]) -> Response[str]:
    """Show one execution with its history and notifications."""
    found = await listing.execution(state.bridge.store, execution_id)
    return page(request, "execution.html", execution=found)


@get("/switches", guards=[entered])
async def switches(request: Asked, state: State) -> Response[str]:
    """Show which engines and rules are paused, and turn them."""
    found = {(one.kind, one.name): one for one in await pauses.paused(state.bridge.store)}
    config = state.bridge.config
    names = [("engine", name) for name in config.engines] + [("rule", rule.name) for rule in config.ruleset.rules]
    # What is no longer configured may still be paused.
    return page(request, "switches.html", switches=[(key, found.get(key)) for key in dict.fromkeys([*names, *found])])


@get("/page.css", media_type="text/css")
async def style() -> Response[bytes]:
    """Return the style sheet; its address changes with it."""
    return Response(CSS, media_type="text/css", headers=HEADERS | _FOREVER)


@get("/icon.svg", media_type="image/svg+xml")
async def icon() -> Response[bytes]:
    """Return the icon."""
    return Response(ICON, media_type="image/svg+xml", headers=HEADERS | _FOREVER)


VIEWS = [home, deliveries, executions, dead_letters, orders, delivery, execution, switches, style, icon]
