"""Keeps a claim while its trigger is on its way: files may go before it, and its answer may take as long as the run."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import structlog

from bridge.errors import StoreUnavailable
from bridge.records import Claim
from bridge.store import TRIGGER_LEASE_SECONDS, Store
from bridge.tasks import end

TRIGGER_SECONDS = 30.0
"""How long a trigger request may take, answer included; its lease outlives it."""
_SPARE_SECONDS = 2.0

log = structlog.get_logger()


class Lease:
    """A claim, and until when a trigger may begin under it."""

    def __init__(self, store: Store, claim: Claim) -> None:
        """Begin with what is left of the claim; one that was not made for a trigger has to be renewed first."""
        self._store = store
        self._claim = claim
        began = claim.clock.after(0) if claim.kind in ("start", "probe") else -TRIGGER_LEASE_SECONDS
        self._begins_by = began + _beginning()

    async def begins_by(self) -> float:
        """Return the monotonic moment by which a trigger has to begin, renewing the claim where much time has passed.

        A worker that slept must not send: by then others call it lost.
        """
        if time.monotonic() > self._begins_by - _beginning() / 2:
            await self.renew()
        return self._begins_by

    async def renew(self) -> bool:
        """Renew the claim; False: it has become somebody else's."""
        now = time.monotonic()
        try:
            ours = await self._store.renew(self._claim)
        except StoreUnavailable as error:
            log.warning("store.unavailable", reason=str(error))
            return True  # as far as is known
        if ours:
            self._begins_by = now + _beginning()
        return ours


def _beginning() -> float:
    return TRIGGER_LEASE_SECONDS - TRIGGER_SECONDS - _SPARE_SECONDS


@contextlib.asynccontextmanager
async def keeping(store: Store, claim: Claim, every_seconds: float | None = None) -> AsyncIterator[Lease]:
    """Renew the claim until the end of the block, or until it has become somebody else's."""
    lease = Lease(store, claim)
    renewing = asyncio.create_task(_renew(lease, every_seconds or TRIGGER_LEASE_SECONDS / 3))
    try:
        yield lease
    finally:
        await end(renewing)


async def _renew(lease: Lease, every_seconds: float) -> None:
    ours = True
    while ours:
        await asyncio.sleep(every_seconds)
        ours = await lease.renew()
