"""A machine whose clock is ten minutes off changes nothing: what is decided is decided on Redis time."""

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from bridge.emulators.receiver import relay
from bridge.model import Execution
from tests.chaos.place import WHSEC, Place

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        not LIBRARIES and "CI" not in os.environ, reason="clocks are set wrong with libfaketime (Debian: faketime)"
    ),
]


def off(offset: str) -> dict[str, str]:
    """Return the environment of a process on a machine whose clock is off; time passes as everywhere."""
    return {"LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.parametrize("offsets", [("+10m", "-10m", "+0"), ("-10m", "+0", "+10m")], ids=" ".join)
async def test_a_clock_ten_minutes_off_changes_nothing(tmp_path: Path, offsets: tuple[str, str, str]) -> None:
    """Of the web process or a worker: each delivery is taken, runs once, and is told once, signed for today."""
    async with Place(tmp_path / "place") as place:
        web, *workers = place.process("serve"), place.process("worker"), place.process("worker")
        for process, offset in zip((web, *workers), offsets, strict=True):
            await process.start(environ=off(offset))
        for process in (web, *workers):
            await process.ready()
        for n in range(20):
            answer = await place.deliver(web.url, n)
            assert answer.status_code == 202, answer.text
        assert await place.settled(40)
        executions = await place.executions()
        assert {execution.status for execution in executions} == {"completed"}
        assert len(place.genesis.triggers) == len(executions) == 20
        assert sorted(record.id for record in place.receiver.journal) == sorted(told(executions))
        assert all(record.verified for record in place.receiver.journal)
        for process in (web, *workers):
            process.send(signal.SIGTERM)
            assert await process.ended() == 0


def told(executions: list[Execution]) -> list[str]:
    return [note.id for execution in executions for note in execution.notifications if note.state == "delivered"]


async def test_a_stale_delivery_is_stale_by_both_clocks(tmp_path: Path) -> None:
    """What was signed ten minutes ago is refused, whichever clock is right."""
    async with Place(tmp_path / "place") as place:
        web = place.process("serve")
        await web.start(environ=off("+5s"))
        await web.ready()
        headers = relay(b"{}", secret=WHSEC, message_id="msg_stale", now=time.time() - 600)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{web.url}/hooks/relay", content=b"{}", headers=headers)
        assert answer.status_code == 401
