"""The page for people: what came in, what runs, what failed, and the orders about it. Server-rendered, no script."""

from litestar import Router

from bridge.page.errors import HANDLERS
from bridge.page.orders import give
from bridge.page.session import log_in, log_out
from bridge.page.views import VIEWS

ROUTER = Router(
    "/",
    route_handlers=[*VIEWS, log_in, log_out, give],
    exception_handlers=HANDLERS,
    include_in_schema=False,
    request_max_body_size=10_000,
)
