"""How much a source may send: counted in Redis, for all processes together, and only what is verified.

A stranger's request never gets here, so nobody can use up what a sender may send.
"""

import math

from bridge import metrics
from bridge.errors import TooMany
from bridge.rate import Rate
from bridge.store import Store


async def admit(store: Store, source: str, rate: Rate | None) -> None:
    """Take one of the source's deliveries; raises TooMany and StoreUnavailable."""
    if rate is None:
        return
    wait_ms: int = await store.run("rate", [f"gb:rate:{source}"], [rate.most, int(rate.seconds * 1000)])
    if wait_ms:
        metrics.DELIVERIES.labels(source, "limited").inc()
        raise TooMany(f"this source may send {rate.written}", max(1, math.ceil(wait_ms / 1000)))
