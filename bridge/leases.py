"""Keeps a claim while its trigger is on its way, for an engine may answer only when the run is over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from bridge.errors import StoreUnavailable
from bridge.records import Claim
from bridge.store import TRIGGER_LEASE_SECONDS, Store
from bridge.tasks import end

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def keeping(store: Store, claim: Claim, every_seconds: float | None = None) -> AsyncIterator[None]:
    """Renew the claim until the end of the block, or until it has become somebody else's."""
    renewing = asyncio.create_task(_renew(store, claim, every_seconds or TRIGGER_LEASE_SECONDS / 3))
    try:
        yield
    finally:
        await end(renewing)


async def _renew(store: Store, claim: Claim, every_seconds: float) -> None:
    ours = True
    while ours:
        await asyncio.sleep(every_seconds)
        try:
            ours = await store.renew(claim)
        except StoreUnavailable as error:
            log.warning("store.unavailable", reason=str(error))
