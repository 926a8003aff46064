"""Comfy Cloud's WebSocket: what is told of jobs while they run."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from bridge.emulators.comfy_jobs import PIXEL, Job
from bridge.emulators.exchange import Receive, Send

_TICK_SECONDS = 0.05


async def listen(receive: Receive, send: Send, jobs: Callable[[], Iterable[Job]], clock: Callable[[], float]) -> None:
    """Tell of every job's nodes, with a preview now and then, until whoever listens hangs up."""
    await send({"type": "websocket.accept"})
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await _say(send, "status", {"status": {"exec_info": {"queue_remaining": 0}}})
        told: dict[str, int] = {}
        while not gone.done():
            for job in list(jobs()):
                await _tell(send, job, clock(), told)
            await asyncio.sleep(_TICK_SECONDS)
    finally:
        gone.cancel()


async def _tell(send: Send, job: Job, now: float, told: dict[str, int]) -> None:
    done, nodes = job.done(now), list(job.graph)
    before = told.get(job.id)
    if job.status(now) == "pending" or before == len(done):
        return
    told[job.id] = len(done)
    if before is None:
        await _say(send, "execution_start", {"prompt_id": job.id})
        await _say(send, "execution_cached", {"prompt_id": job.id, "nodes": []})
    for node in done[before or 0 :]:
        await _say(send, "executed", {"prompt_id": job.id, "node": node, "output": {}})
    if len(done) < len(nodes):
        await _say(send, "executing", {"prompt_id": job.id, "node": nodes[len(done)]})
        await send({"type": "websocket.send", "bytes": b"\0\0\0\1\0\0\0\2" + PIXEL})
    else:
        await _say(send, "execution_success", {"prompt_id": job.id})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        continue


async def _say(send: Send, kind: str, data: dict[str, Any]) -> None:
    await send({"type": "websocket.send", "text": msgspec.json.encode({"type": kind, "data": data}).decode()})
