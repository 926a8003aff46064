"""A worker that is paused for two leases and goes on does no harm: others have taken over, and it finds that out."""

import asyncio
import signal
from pathlib import Path

import msgspec
import pytest

from bridge.model import Execution, Status
from tests.chaos.place import Place
from tests.chaos.run_process import LEASE_SECONDS

pytestmark = pytest.mark.timeout(180)
POINTS = ("claim.after", "trigger.answered", "end.before", "notify.sent")


class End(msgspec.Struct):
    """How it stood before the paused worker went on, and in the end."""

    triggers_before: int
    before: Execution
    triggers: int
    after: Execution
    callbacks: list[tuple[str, bytes]]


async def paused(directory: Path, point: str) -> End:
    """Deliver one event, pause its worker at `point` for two leases, beside a healthy one."""
    async with Place(directory) as place:
        web, sleeper, healthy = place.process("serve"), place.process("worker"), place.process("worker")
        await web.start()
        await sleeper.start(stop_at=point)
        await web.ready()
        assert (await place.deliver(web.url, 1)).status_code == 202
        await sleeper.stopped()
        await healthy.start()
        await healthy.ready()
        await asyncio.sleep(2 * LEASE_SECONDS)
        assert await place.settled(30)
        [before], triggers_before = await place.executions(), len(place.genesis.triggers)
        sleeper.send(signal.SIGCONT)
        await asyncio.sleep(2)
        assert await place.settled(30)
        [after] = await place.executions()
        for process in (web, sleeper, healthy):
            process.send(signal.SIGTERM)
            assert await process.ended() == 0
        received = [(record.id, record.body) for record in place.receiver.journal]
        return End(triggers_before, before, len(place.genesis.triggers), after, received)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, End]:
    """Pause at every point, at once: most of it is waiting."""
    directory = tmp_path_factory.mktemp("pauses")

    async def run() -> dict[str, End]:
        return dict(zip(POINTS, await asyncio.gather(*(paused(directory / at, at) for at in POINTS)), strict=True))

    return asyncio.run(run())


def statuses(execution: Execution) -> list[Status]:
    return [change.status for change in execution.history]


def test_it_does_not_send_after_its_lease_ran_out(ends: dict[str, End]) -> None:
    """Paused between claim and first byte: called unknown meanwhile; then surely not sent, so it is queued again."""
    end = ends["claim.after"]
    assert (end.before.status, end.triggers_before) == (Status.UNKNOWN, 0)
    assert statuses(end.after)[:5] == ["queued", "starting", "unknown", "queued", "starting"]
    assert end.after.history[3].note == "the lease ran out before anything was sent"
    assert (end.after.status, end.triggers, end.after.attempts) == (Status.COMPLETED, 1, 2)


def test_a_late_answer_resolves_an_unknown(ends: dict[str, End]) -> None:
    """Paused with the engine's answer in its hand: the answer counts, and the run is followed to its end."""
    end = ends["trigger.answered"]
    assert (end.before.status, end.triggers_before) == (Status.UNKNOWN, 1)
    assert statuses(end.after)[:4] == ["queued", "starting", "unknown", "pending"]
    assert (end.after.status, end.triggers) == (Status.COMPLETED, 1)
    assert {msgspec.json.decode(body)["type"] for _, body in end.callbacks} == {
        "execution.unknown",
        "execution.completed",
    }


def test_a_late_end_changes_nothing(ends: dict[str, End]) -> None:
    """Paused before writing down the end: somebody else has, and has told."""
    end = ends["end.before"]
    assert end.before == end.after
    assert end.after.status == Status.COMPLETED
    assert (end.triggers, len(end.callbacks)) == (1, 1)


def test_a_late_delivery_is_a_repeat_under_the_same_id(ends: dict[str, End]) -> None:
    """Paused after sending a callback: it is sent again by another, and the record says delivered."""
    end = ends["notify.sent"]
    assert end.before == end.after
    assert len(end.callbacks) == 2
    assert len(set(end.callbacks)) == 1
    assert [note.state for note in end.after.notifications] == ["delivered"]
