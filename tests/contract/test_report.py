"""One attempt at one notification, on a real store, with a notifier that does as it is told."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs

from bridge.config import Config
from bridge.contracts import Notifier
from bridge.errors import Ambiguous, Permanent, Transient
from bridge.model import Execution, Message, Notification, Status
from bridge.outbound import Outbound
from bridge.parts import Bridge
from bridge.reports import NOTIFICATION_SCHEDULE_SECONDS, report
from bridge.rules import RuleSet
from bridge.store import Store
from tests.contract.test_store import ended, note


class Teller(Notifier, frozen=True, kw_only=True, tag="teller"):
    says: list[Exception]
    sent: list[Message]

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        return {}

    def wants(self, status: Status) -> bool:
        return True

    def compose(self, execution: Execution, name: str) -> bytes:
        return b""

    async def send(self, outbound: Outbound, message: Message) -> None:
        self.sent.append(message)
        if self.says:
            raise self.says[0]


def bridge(store: Store, *says: Exception, notifier: str = "ci") -> Bridge:
    config = Config(
        sources={},
        engines={},
        templates={},
        notifiers={notifier: Teller(says=list(says), sent=[])},
        ruleset=RuleSet([], {}),
        hash="",
        files=(),
    )
    return Bridge(config=config, store=store, outbound=Outbound(user_agent="test"), public_url="http://x")


async def shown(store: Store) -> Notification:
    execution = await store.execution("x_1")
    assert execution is not None
    return execution.notifications[0]


async def test_a_delivered_notification_is_over(store: Store) -> None:
    """It went out with its body, address and first attempt's number, and nothing is left to do."""
    await ended(store, note("msg_1"))
    parts = bridge(store)
    assert await report(parts, "msg_1") is None
    [message] = parts.config.notifiers["ci"].sent  # type: ignore[attr-defined]
    assert (message.id, message.body, message.address, message.attempt) == ("msg_1", b"{}", {"url": "u"}, 1)
    assert (await shown(store)).state == "delivered"
    assert await report(parts, "msg_1") is None
    assert len(parts.config.notifiers["ci"].sent) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [Transient("HTTP 500"), Ambiguous("no answer"), ZeroDivisionError("oops")])
async def test_a_failed_attempt_is_made_again_on_the_schedule(store: Store, error: Exception) -> None:
    """Whatever went wrong, the first retry comes after about five seconds, and the reason is kept."""
    await ended(store, note("msg_1"))
    again = await report(bridge(store, error), "msg_1")
    assert again is not None
    assert 4 <= again <= 6
    found = await shown(store)
    assert (found.state, found.attempts) == ("due", 1)
    assert found.last_error in ("HTTP 500", "no answer", "unexpected ZeroDivisionError")


async def test_the_receivers_own_wish_decides_the_wait(store: Store) -> None:
    """Retry-After counts more than the schedule."""
    await ended(store, note("msg_1"))
    assert await report(bridge(store, Transient("HTTP 429", 90)), "msg_1") == 90


async def test_a_permanent_failure_is_a_dead_letter(store: Store) -> None:
    """It is not tried again, and a person can see it."""
    await ended(store, note("msg_1"))
    assert await report(bridge(store, Permanent("HTTP 410")), "msg_1") is None
    found = await shown(store)
    assert (found.state, found.last_error) == ("dead", "HTTP 410")


async def test_after_the_last_attempt_it_is_a_dead_letter(store: Store) -> None:
    """The schedule has an end."""
    await ended(store, note("msg_1"))
    parts = bridge(store, Transient("HTTP 500"))
    for attempt in range(1, len(NOTIFICATION_SCHEDULE_SECONDS) + 1):
        again = await report(parts, "msg_1")
        assert again is not None
        assert 0.8 <= again / NOTIFICATION_SCHEDULE_SECONDS[attempt - 1] <= 1.2
        await store.redis.hset("gb:n:msg_1", "next", "0")
    assert await report(parts, "msg_1") is None
    found = await shown(store)
    assert (found.state, found.attempts) == ("dead", 8)


async def test_a_notifier_that_is_no_longer_configured_is_a_dead_letter(store: Store) -> None:
    """Nobody can send it; but first it gets the five minutes which a new configuration may take to come here."""
    await ended(store, structs.replace(note("msg_1")))
    for seconds in (5, 300):
        again = await report(bridge(store, notifier="another"), "msg_1")
        assert again == pytest.approx(seconds, rel=0.2)
        assert (await shown(store)).last_error == "the configuration here has no notifier 'ci' (yet)"
        await store.redis.hset("gb:n:msg_1", "next", "0")
    assert await report(bridge(store, notifier="another"), "msg_1") is None
    assert (await shown(store)).last_error == "the notifier 'ci' is no longer configured"


async def test_a_message_whose_attempts_all_die_with_their_worker_is_given_up(store: Store) -> None:
    """Something that takes workers down must not do so for ever."""
    await ended(store, note("msg_1"))
    parts = bridge(store)
    for _ in range(11):
        assert await store.claim_notification("msg_1") is not None
        await store.redis.hset("gb:n:msg_1", "next", "0")
    assert await report(parts, "msg_1") is None
    found = await shown(store)
    assert (found.state, found.attempts) == ("dead", 12)
    assert parts.config.notifiers["ci"].sent == []  # type: ignore[attr-defined]
