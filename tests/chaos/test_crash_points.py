"""Kill -9 at every named point ends as the table in docs/reliability.md says."""

import asyncio
import signal
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from bridge.faults import POINTS
from bridge.model import Execution
from tests.chaos.place import Place

pytestmark = pytest.mark.timeout(180)
AT_ONCE = 4


class End(msgspec.Struct):
    """How one point ended."""

    exit_code: int
    triggers: int
    execution: Execution
    callbacks: list[tuple[str, bytes]]
    repeat: str
    seconds: float


class Expected(msgspec.Struct):
    """The row of the table: status, trigger requests, callbacks received, attempts the record counts."""

    status: str
    triggers: int
    callbacks: int = 1
    attempts: int = 1
    repeat: str = "duplicate"


TABLE = {
    "accept.before": Expected("completed", 1, repeat="accepted"),
    "accept.after": Expected("completed", 1),
    "claim.before": Expected("completed", 1),
    "claim.after": Expected("unknown", 0),
    "trigger.answered": Expected("unknown", 1),
    "start.committed": Expected("completed", 1),
    "poll.before": Expected("completed", 1),
    "end.before": Expected("completed", 1),
    "end.committed": Expected("completed", 1),
    "notify.before": Expected("completed", 1, callbacks=1, attempts=2),
    "notify.sent": Expected("completed", 1, callbacks=2, attempts=2),
    "notify.committed": Expected("completed", 1),
}


async def killed(directory: Path, point: str) -> End:
    """Deliver one event, let a process die at `point`, then let a healthy one take over."""
    async with Place(directory) as place:
        web, worker = place.process("serve"), place.process("worker")
        at_web = point.startswith("accept.")
        await web.start(point if at_web else "")
        await web.ready()
        if at_web:
            with pytest.raises(httpx.TransportError):
                await place.deliver(web.url, 1)
        else:
            assert (await place.deliver(web.url, 1)).status_code == 202
            await worker.start(point)
        exit_code = await (web if at_web else worker).ended()
        began = time.monotonic()
        if at_web:
            await web.start()
            await web.ready()
        await worker.start()
        await worker.ready()
        repeat = (await place.deliver(web.url, 1)).json()["outcome"]
        assert await place.settled(40), f"{point}: not settled"
        seconds = time.monotonic() - began
        [execution] = await place.executions()
        for process in (web, worker):
            process.send(signal.SIGTERM)
            assert await process.ended() == 0
        received = [(record.id, record.body) for record in place.receiver.journal if record.verified]
        return End(exit_code, len(place.genesis.triggers), execution, received, repeat, seconds)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, End]:
    """Kill at every point, a few at once."""
    directory = tmp_path_factory.mktemp("crash")
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(point: str) -> End:
        async with turns:
            return await killed(directory / point, point)

    async def run() -> dict[str, End]:
        return dict(zip(POINTS, await asyncio.gather(*map(one, POINTS)), strict=True))

    return asyncio.run(run())


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_ends_as_the_table_says(ends: dict[str, End], point: str) -> None:
    """Never a second trigger, never an execution without an end, and every repeat under the same id."""
    end, expected = ends[point], TABLE[point]
    assert end.exit_code == -signal.SIGKILL
    assert end.execution.final
    assert end.execution.status == expected.status
    assert end.triggers == expected.triggers
    assert end.repeat == expected.repeat
    [notification] = end.execution.notifications
    assert notification.state == "delivered"
    assert notification.attempts == expected.attempts
    assert len(end.callbacks) == expected.callbacks
    assert len(set(end.callbacks)) == 1
    assert end.callbacks[0][0] == notification.id
    assert msgspec.json.decode(end.callbacks[0][1])["type"] == f"execution.{expected.status}"


@pytest.mark.parametrize("point", POINTS)
def test_the_table_in_the_docs_is_this_one(point: str) -> None:
    """docs/reliability.md says what is tested."""
    expected = TABLE[point]
    text = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
    row = f"| `{point}` | `{expected.status}` | {expected.triggers} | {expected.callbacks} |"
    assert row in text
