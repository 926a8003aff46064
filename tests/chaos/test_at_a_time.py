"""Kill -9 at every named point of the first of two executions of one key: the second has its turn all the same."""

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from bridge.faults import POINTS
from bridge.model import Execution
from tests.chaos.place import Place
from tests.chaos.test_crash_points import AT_ONCE, TABLE

pytestmark = pytest.mark.timeout(180)


async def killed(directory: Path, point: str) -> dict[str, Execution]:
    """Deliver two events of one key, let a process die at `point`, then let healthy ones take over."""
    async with Place(directory) as place:
        web, worker = place.process("serve"), place.process("worker")
        at_web = point.startswith("accept.")
        await web.start(point if at_web else "")
        await web.ready()
        if at_web:
            with pytest.raises(httpx.TransportError):
                await place.deliver(web.url, 1, "queued")
            await web.ended()
            await web.start()
            await web.ready()
        for n in (1, 2):
            assert (await place.deliver(web.url, n, "queued")).is_success
        if not at_web:
            await worker.start(point)
            assert await worker.ended() == -signal.SIGKILL
        await worker.start()
        await worker.ready()
        assert await place.settled(40), f"{point}: not settled"
        for process in (web, worker):
            process.send(signal.SIGTERM)
            assert await process.ended() == 0
        assert not await place.store.redis.keys("gb:g:*")
        return {execution.variables["n"]: execution for execution in await place.executions()}


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Execution]]:
    """Kill at every point, a few at once."""
    directory = tmp_path_factory.mktemp("turns")
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(point: str) -> dict[str, Execution]:
        async with turns:
            return await killed(directory / point, point)

    async def run() -> dict[str, dict[str, Execution]]:
        return dict(zip(POINTS, await asyncio.gather(*map(one, POINTS)), strict=True))

    return asyncio.run(run())


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_leaves_no_key_stuck(ends: dict[str, dict[str, Execution]], point: str) -> None:
    """The first ends as the table says, and not before that is written does the second start."""
    first, second = ends[point]["1"], ends[point]["2"]
    assert first.status == TABLE[point].status
    assert second.status == "completed"
    ended = [change.at for change in first.history if change.status.final]
    started = [change.at for change in second.history if change.status == "starting"]
    assert ended[0] <= started[0]
