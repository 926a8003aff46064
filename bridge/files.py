"""GET /files/{execution}/{part}: the links to outputs that an engine keeps, located afresh whenever one is followed."""

import structlog
from litestar import Response, get
from litestar.datastructures import State
from litestar.params import FromPath

from bridge.errors import AttemptError, Permanent, Transient
from bridge.parts import Bridge
from bridge.problems import answers, problem

_RETRY_SECONDS = 5

log = structlog.get_logger()


@get("/files/{execution_id:str}/{part:str}", status_code=302, responses=answers(404, 409, 503))
async def follow(execution_id: FromPath[str], part: FromPath[str], state: State) -> Response[bytes]:
    """Send a browser on to where the file can be had now; the link itself says that it may."""
    bridge: Bridge = state.bridge
    found = await bridge.store.file(execution_id, part)
    if found is None:
        return problem(404, "Not Found", "there is no such file, or its record has expired")
    engine_name, reference = found
    engine = bridge.config.engines.get(engine_name)
    if engine is None:
        return problem(404, "Not Found", f"the engine {engine_name!r}, which kept the file, is no longer configured")
    try:
        url = await engine.locate(bridge.outbound, reference)
    except Permanent as error:
        return problem(404, "Not Found", str(error))
    except AttemptError as error:
        asked = error.retry_after if isinstance(error, Transient) else None
        wait = _RETRY_SECONDS if asked is None else max(1, round(asked))
        return problem(503, "Service Unavailable", str(error), headers={"retry-after": str(wait)})
    log.info("file.located", execution=execution_id, engine=engine_name)
    headers = {"location": url, "cache-control": "no-store", "referrer-policy": "no-referrer"}
    return Response(b"", status_code=302, headers=headers)
