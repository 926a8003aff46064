"""The arq worker: its job functions, and the supervisor that keeps it alive. The only importer of arq.

arq by itself dies on a Redis restart and hangs on a black hole; here it gets a pool whose every wait has an end,
and is started again. What must not be lost is in the store's records: arq's jobs only carry ids, an enqueue that
vanishes is found by the sweep, and the tracker (started with the worker, ended by its drain) does not stop
when the arq worker does.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
import structlog
from arq import cron
from arq.connections import ArqRedis
from arq.typing import WorkerCoroutine
from arq.worker import Worker, func
from redis.exceptions import RedisError

from bridge import budgets, pipeline, reports, upkeep
from bridge.errors import StoreUnavailable
from bridge.parts import Bridge
from bridge.records import Claim, Step
from bridge.tasks import end
from bridge.tracker import Tracker

QUEUE = "gb:arq"
JOB_SECONDS = 30
"""The longest a job may take; also how long arq takes to notice that a worker died with one."""

_RING_BATCH = 500
_RING_SOON_SECONDS = 60
"""A retry nearer than this is enqueued at once; a later one is left to the sweep."""
_RECOVERED_SECONDS = 10
"""A worker that ran this long had got over what took the last one down."""
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0)

log = structlog.get_logger()


class Supervisor:
    """Runs the tracker and the arq worker until told to stop."""

    def __init__(self, bridge: Bridge) -> None:
        """Take everything the steps need; nothing runs before `run`."""
        self.bridge = bridge
        """What the next step or attempt is taken with; set it to go on under another configuration."""
        self._stopping = asyncio.Event()
        self._redis = self._connect()
        self._found: set[str] = set()
        """What was wrong with Redis when it was last looked at."""
        self._tracker = Tracker(bridge.store, self._step, self._ring, self._budgets)

    def stop(self) -> None:
        """Take no more work; `run` returns when what is in hand is finished."""
        self._stopping.set()
        self._tracker.stop()

    async def run(self) -> None:
        """Work until `stop`, starting the arq worker again whenever Redis takes it down."""
        failures = 0
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            await self._mend()
            await self._run_once(self._new_worker())
            lasted = asyncio.get_running_loop().time() - began
            failures = 0 if lasted > _RECOVERED_SECONDS else failures + 1
            await self._stop_comes_within(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
        await self._tracker.drain()
        await self._redis.aclose(close_connection_pool=True)

    async def _mend(self) -> None:
        """Set aside what is in the way of everything, arq included; what it queued is rung for again."""
        try:
            await upkeep.mend(self.bridge.store)
        except StoreUnavailable as error:
            log.warning("store.unavailable", reason=str(error))

    async def _run_once(self, worker: Worker) -> None:
        """Run one arq worker until it fails or `stop` is called; its jobs in hand are finished first."""
        main = asyncio.create_task(worker.main())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({main, stopping}, return_when=asyncio.FIRST_COMPLETED)
        failed = main.done()
        await end(main)  # before the jobs are counted: one that it was just taking would be waited for by nobody
        jobs = list(worker.tasks.values())
        if jobs and not failed:
            await asyncio.wait(jobs, timeout=JOB_SECONDS)
        for task in (stopping, *jobs):
            await end(task)
        if not main.cancelled() and (error := main.exception()) is not None:
            log.warning("worker.restarts", reason=f"{type(error).__name__}: {error}")
        await _close(worker)

    async def _stop_comes_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _new_worker(self) -> Worker:
        return Worker(
            functions=[func(_job(self._report), name="report", timeout=JOB_SECONDS, max_tries=1, keep_result=0)],
            cron_jobs=[
                cron(_job(self._sweep), name="sweep", second=set(range(0, 60, 5)), timeout=10, keep_result=0),
                cron(_job(self._upkeep), name="upkeep", second=30, timeout=JOB_SECONDS, keep_result=0),
                cron(_job(self._catch_up), name="catch_up", second=10, timeout=JOB_SECONDS, keep_result=0),
            ],
            redis_pool=self._connect(),
            queue_name=QUEUE,
            on_startup=_job(self._start),
            handle_signals=False,
            job_timeout=JOB_SECONDS,
            max_jobs=100,
            poll_delay=0.01,
            keep_result=0,
            max_tries=1,
            log_results=False,
            allow_abort_jobs=False,
            health_check_interval=5,
            health_check_key=f"{QUEUE}:health:{socket.gethostname()}:{os.getpid()}",
            job_serializer=msgspec.msgpack.encode,
            job_deserializer=msgspec.msgpack.decode,
        )

    def _connect(self) -> ArqRedis:
        return ArqRedis(
            connection_pool=self.bridge.store.new_pool(),
            default_queue_name=QUEUE,
            job_serializer=msgspec.msgpack.encode,
            job_deserializer=msgspec.msgpack.decode,
        )

    def _budgets(self) -> tuple[bytes, bool]:
        """Return the budgets of the configuration, and of the keys, that hold now."""
        return budgets.encoded(self.bridge.config.engines)

    async def _step(self, claim: Claim) -> Step:
        return await pipeline.step(self.bridge, claim)

    async def _start(self, _: dict[Any, Any]) -> None:
        self._tracker.start()

    async def _report(self, _: dict[Any, Any], notification_id: str) -> None:
        """Make one attempt at one notification."""
        try:
            again = await reports.report(self.bridge, notification_id)
        except StoreUnavailable as error:
            # Its lease runs out by itself, then the sweep rings for it.
            log.warning("notification.waits", notification=notification_id, reason=str(error))
            return
        if again is not None and again <= _RING_SOON_SECONDS:
            await self._ring([notification_id], again)

    async def _sweep(self, _: dict[Any, Any]) -> None:
        """Set aside what is in the way of everything, and ring for what got lost or has come due."""
        await self._mend()
        try:
            # Bounded, for it is a job with a time of its own; a longer backlog goes on with the next sweep.
            await self._ring(await self.bridge.store.ring(_RING_BATCH))
        except StoreUnavailable as error:
            log.warning("store.unavailable", reason=str(error))

    async def _upkeep(self, _: dict[Any, Any]) -> None:
        """Let go of what is old, and say when Redis is set otherwise than it was."""
        try:
            await upkeep.trim(self.bridge.store)
            found = await self.bridge.store.examine()
        except StoreUnavailable as error:
            log.warning("store.unavailable", reason=str(error))
            return
        for finding in found:
            if finding.text not in self._found:
                say = log.error if finding.refused else log.warning
                say("store.unfit" if finding.refused else "store.doubtful", finding=finding.text)
        self._found = {finding.text for finding in found}

    async def _catch_up(self, _: dict[Any, Any]) -> None:
        """Ask for what senders could not deliver."""
        try:
            await upkeep.catch_up(self.bridge)
        except StoreUnavailable as error:
            log.warning("store.unavailable", reason=str(error))

    async def _ring(self, notification_ids: list[str], after_seconds: float = 0) -> None:
        for notification_id in notification_ids:
            try:
                await self._redis.enqueue_job("report", notification_id, _defer_by=after_seconds or None)
            except (RedisError, OSError) as error:
                log.warning("notification.waits", notification=notification_id, reason=f"{type(error).__name__}")


def _job(function: Callable[..., Awaitable[None]]) -> WorkerCoroutine:
    """Say what arq's types cannot: that a bound method with named arguments is what it calls, too."""
    return cast("WorkerCoroutine", function)


async def _close(worker: Worker) -> None:
    try:
        await asyncio.wait_for(worker.pool.aclose(close_connection_pool=True), 2)
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("worker.close_failed", reason=f"{type(error).__name__}: {error}")
