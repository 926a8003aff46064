"""Every order of a person is written down, with its outcome, and a store that fails takes none of it with it."""

import asyncio

import pytest
from structlog.testing import capture_logs

from bridge.audit import audited, orders
from bridge.errors import StoreUnavailable, WrongState
from bridge.store import Store


async def told(store: Store) -> list[tuple[str, str, str, str, str]]:
    page = await orders(store, 100, None)
    return [(one.by, one.order, one.about, one.reason, one.outcome) for one in page.items]


async def test_an_order_is_kept_with_its_outcome(store: Store) -> None:
    """Done or refused and why, the newest first, in the log as well; long and broken words are shortened."""
    with capture_logs() as lines:
        async with audited(store, "api token 1", "retry", "msg_1", reason=" why\n not ") as entry:
            entry.details = "twice"
        await asyncio.sleep(0.002)  # in one millisecond two have no order
        with pytest.raises(WrongState):
            async with audited(store, "api token 2", "resolve", "x_1", reason="y" * 10_000):
                raise WrongState("the execution\nis queued")
    await store.redis.zadd("gb:audit", {b"{": 1})
    assert await told(store) == [
        ("api token 2", "resolve", "x_1", "y" * 500, "refused: the execution is queued"),
        ("api token 1", "retry", "msg_1", "why not", "done"),
        ("", "", "", "", "it cannot be read"),
    ]
    [newest, first, _] = (await orders(store, 100, None)).items
    assert first.at <= newest.at
    assert first.details == "twice"
    assert [(line["event"], line["by"], line["outcome"]) for line in lines] == [
        ("order.given", "api token 1", "done"),
        ("order.given", "api token 2", "refused: the execution is queued"),
    ]


async def test_what_was_cut_short_is_not_called_done(store: Store) -> None:
    """Nobody knows whether Redis carried it out."""
    with pytest.raises(StoreUnavailable):
        async with audited(store, "me", "replay", "d_1"):
            raise StoreUnavailable("it went away")
    assert await told(store) == [("me", "replay", "d_1", "", "not known: it was cut short")]


async def test_an_order_that_cannot_be_kept_stands_in_the_log(store: Store) -> None:
    """What was done is not called off for that."""
    await store.redis.set("gb:audit", "no index", ex=60)
    with capture_logs() as lines:
        async with audited(store, "me", "pause", "engine genesis"):
            pass
    assert [line["event"] for line in lines] == ["order.given", "store.unavailable"]


async def test_the_audit_is_bounded_and_expires(store: Store) -> None:
    """Only the newest ten thousand orders, for a month after the last."""
    await store.redis.zadd("gb:audit", {f"{{{at}": at for at in range(10_050)})
    async with audited(store, "me", "pause", "engine genesis"):
        pass
    assert await store.redis.zcard("gb:audit") == 10_000
    assert 0 < await store.redis.ttl("gb:audit") <= 30 * 86_400


async def test_lists_are_read_page_by_page(store: Store) -> None:
    """As every list is."""
    for number in range(3):
        async with audited(store, "me", "pause", f"rule {number}"):
            pass
    first = await orders(store, 2, None)
    rest = await orders(store, 2, first.next)
    assert {one.about for one in [*first.items, *rest.items]} == {"rule 2", "rule 1", "rule 0"}
    assert len(first.items) == 2
    assert rest.next is None
