import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec import structs

from bridge.errors import StoreUnavailable
from bridge.model import Status
from bridge.notes import NewNotification
from bridge.records import Claim, Claims, Step
from bridge.store import Store
from bridge.tracker import MOST_IN_FLIGHT, Tracker
from tests.contract.test_store import accepted, note


class FlakyStore(Store):
    """A store that fails as often as it is told to."""

    failing_claims = 0
    failing_commits = 0
    failing_bells = 0
    defects = 0

    async def claim(self, limit: int, budgets: tuple[bytes, bool] = (b"{}", False)) -> Claims:
        if self.defects:
            self.defects -= 1
            raise ZeroDivisionError("a defect")
        if self.failing_claims:
            self.failing_claims -= 1
            raise StoreUnavailable("away")
        return await super().claim(limit, budgets)

    async def commit(self, claim: Claim, step: Step) -> bool:
        if self.failing_commits:
            self.failing_commits -= 1
            raise StoreUnavailable("away")
        return await super().commit(claim, step)

    async def wait_for_bell(self, seconds: int) -> bool | str:
        if self.failing_bells:
            self.failing_bells -= 1
            raise StoreUnavailable("away")
        return await super().wait_for_bell(seconds)


@pytest.fixture
async def flaky(store: Store) -> FlakyStore:
    """Return the store's flaky sister on the same server."""
    return FlakyStore(store.url)


def to(status: Status, *notifications: NewNotification) -> Callable[[Claim], Awaitable[Step]]:
    async def step(claim: Claim) -> Step:
        execution = structs.replace(claim.execution, status=status, remote_id="run")
        again = None if status.final else 0.02
        return Step(execution=execution, again_seconds=again, notifications=list(notifications), reached=True)

    return step


async def tracked(
    store: Store, step: Callable[[Claim], Awaitable[Step]], seconds: float = 3, until: Status = Status.COMPLETED
) -> list[str]:
    rung: list[str] = []

    async def ring(ids: list[str]) -> None:
        rung.extend(ids)

    tracker = Tracker(store, step, ring)
    tracker.start()
    tracker.start()
    for _ in range(int(seconds / 0.02)):
        execution = await store.execution("x_1")
        if execution is None or execution.status == until:
            break
        await asyncio.sleep(0.02)
    await tracker.drain()
    await store.close()
    assert execution is None or execution.status == until
    return rung


async def test_a_step_is_taken_and_its_notifications_are_rung_for(flaky: FlakyStore) -> None:
    """The ids of what a commit made due go to whoever sends them."""
    await accepted(flaky)
    assert await tracked(flaky, to(Status.COMPLETED, note("msg_1"))) == ["msg_1"]


async def test_an_open_execution_is_looked_at_again_when_it_is_due(flaky: FlakyStore) -> None:
    """Step by step, to the end."""
    steps = iter([to(Status.PENDING), to(Status.RUNNING), to(Status.COMPLETED)])

    async def next_step(claim: Claim) -> Step:
        return await next(steps)(claim)

    await accepted(flaky)
    await tracked(flaky, next_step)


async def test_a_store_that_is_away_is_waited_for(flaky: FlakyStore) -> None:
    """Claims, bells and commits fail for a while; nothing is lost by it."""
    await accepted(flaky)
    flaky.failing_claims, flaky.failing_commits, flaky.failing_bells = 3, 3, 1
    await tracked(flaky, to(Status.COMPLETED))


async def test_a_defect_in_the_loop_does_not_end_it(flaky: FlakyStore) -> None:
    """It is logged, and a second later everything else goes on."""
    await accepted(flaky)
    flaky.defects = 1
    await tracked(flaky, to(Status.COMPLETED))


async def test_a_defect_in_a_step_leaves_the_claim_to_its_lease(flaky: FlakyStore) -> None:
    """Nothing is committed; the next holder sees that nobody knows what happened."""

    async def broken(claim: Claim) -> Step:
        raise ZeroDivisionError("a defect")

    await accepted(flaky)
    await tracked(flaky, broken, until=Status.STARTING)


async def test_a_claim_that_became_anothers_is_given_up(flaky: FlakyStore) -> None:
    """The commit is refused and the other's word stands."""

    async def overtaken(claim: Claim) -> Step:
        await flaky.redis.hset("gb:x:x_1", mapping={"token": "another", "trigger_token": "another"})
        return await to(Status.FAILED)(claim)

    await accepted(flaky)
    await tracked(flaky, overtaken, until=Status.STARTING)


async def test_what_cannot_be_read_is_buried(flaky: FlakyStore) -> None:
    """A damaged record leaves the schedule, and the others go on."""
    await accepted(flaky, "x_2")
    await flaky.redis.hset("gb:x:x_2", "record", "{damaged")
    await accepted(flaky)
    keep = Store(flaky.url)
    await tracked(flaky, to(Status.COMPLETED))
    assert await keep.redis.zcard("gb:dead") == 1
    await keep.close()


async def test_no_more_steps_are_in_flight_than_there_are_places(flaky: FlakyStore) -> None:
    """The rest waits for the next free place, and all come to their end."""
    most = 0
    running = 0

    async def slow(claim: Claim) -> Step:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.3)
        running -= 1
        return await to(Status.COMPLETED)(claim)

    for number in range(MOST_IN_FLIGHT + 50, 0, -1):
        await accepted(flaky, f"x_{number}")
    keep = Store(flaky.url)
    await tracked(flaky, slow, seconds=10)
    assert most == MOST_IN_FLIGHT
    await keep.close()


async def test_a_tracker_that_was_never_started_drains_at_once(flaky: FlakyStore) -> None:
    """A worker stopped before its Redis ever answered has nothing in hand."""

    async def ring(ids: list[str]) -> None:
        raise AssertionError

    await Tracker(flaky, to(Status.COMPLETED), ring).drain()
    await flaky.close()


async def test_only_a_nearer_date_than_the_one_slept_for_wakes(flaky: FlakyStore) -> None:
    """Ten thousand open executions must not cost ten thousand alarms."""

    async def ring(ids: list[str]) -> None:
        raise AssertionError

    tracker = Tracker(flaky, to(Status.COMPLETED), ring)
    now = asyncio.get_running_loop().time()
    tracker._expect(now + 0.05)
    began = asyncio.create_task(tracker._sleep(1.0))
    await asyncio.sleep(0)
    assert tracker._sleeps_until == pytest.approx(now + 0.05)
    tracker._expect(now + 0.5)
    await began
    assert not tracker._wake.is_set()
    sleeping = asyncio.create_task(tracker._sleep(10.0))
    tracker._nearest = now + 20
    await asyncio.sleep(0)
    tracker._expect(asyncio.get_running_loop().time() + 0.01)
    await sleeping
    assert tracker._wake.is_set()
    await flaky.close()


async def test_draining_waits_for_the_steps_in_hand(flaky: FlakyStore) -> None:
    """A trigger on its way is not abandoned."""
    entered = asyncio.Event()

    async def slow(claim: Claim) -> Step:
        entered.set()
        await asyncio.sleep(0.3)
        return await to(Status.COMPLETED)(claim)

    async def ring(ids: list[str]) -> None:
        raise AssertionError

    await accepted(flaky)
    tracker = Tracker(flaky, slow, ring)
    tracker.start()
    await entered.wait()
    await tracker.drain()
    execution = await flaky.execution("x_1")
    assert execution is not None
    assert execution.status == Status.COMPLETED
    await flaky.close()
