"""A source's rate, counted in Redis."""

import asyncio

import pytest

from bridge.errors import TooMany
from bridge.limits import admit
from bridge.rate import Rate
from bridge.store import Store


async def test_a_rate_is_one_for_all_who_ask_at_once(store: Store) -> None:
    """Of a hundred at the same moment exactly as many are let through as the rate has; the rest hear when."""
    rate = Rate.decode("10/h")
    answers = await asyncio.gather(*(admit(store, "s", rate) for _ in range(100)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, TooMany)]
    assert len(refused) == 90
    assert {answer for answer in answers if answer not in refused} == {None}
    assert all(350 <= answer.retry_after <= 360 for answer in refused)
    await admit(store, "another", rate)


async def test_the_bucket_fills_as_time_goes_by_and_is_forgotten_when_full(store: Store) -> None:
    """One by one at the rate's pace, and nothing is left behind."""
    rate = Rate.decode("20/s")
    for _ in range(20):
        await admit(store, "s", rate)
    with pytest.raises(TooMany, match="this source may send 20/s; come again in 1 s"):
        await admit(store, "s", rate)
    await asyncio.sleep(0.06)
    await admit(store, "s", rate)
    assert 0 < await store.redis.pttl("gb:rate:s") <= 1001
    await asyncio.sleep(1.1)
    assert await store.redis.exists("gb:rate:s") == 0


async def test_without_a_rate_redis_is_not_asked(store: Store) -> None:
    """The one round trip of a delivery stays one."""
    await admit(store, "s", None)
    assert await store.redis.exists("gb:rate:s") == 0
