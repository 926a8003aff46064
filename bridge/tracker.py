"""The tracker: one loop that claims due executions in batches and takes each one step further.

No leader: any number of trackers claim from the same set, and a dead one's claims come due again. A new
execution rings the bell; everything else is waited for exactly as long as the store says.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable

import structlog

from bridge.errors import StoreUnavailable
from bridge.faults import point
from bridge.pacing import jittered
from bridge.records import Claim, Step
from bridge.store import Store
from bridge.tasks import end

MOST_IN_FLIGHT = 400
"""Steps at once; more due ones wait for the next free place."""

_MOST_PER_CLAIM = 100
_TICK_SECONDS = 0.02
"""What is due within one tick is claimed together; only the bell is answered at once."""
_LONGEST_SLEEP_SECONDS = 1.0
"""Bounds what a lost ring or another worker's death can cost."""
_STORE_PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0)

log = structlog.get_logger()


class Tracker:
    """Runs `step` for whatever is due until told to drain."""

    def __init__(
        self,
        store: Store,
        step: Callable[[Claim], Awaitable[Step]],
        ring: Callable[[list[str]], Awaitable[None]],
        budgets: Callable[[], tuple[bytes, bool]] = lambda: (b"{}", False),
    ) -> None:
        """Take the store, the step, what to do with the ids of notifications a commit made due, and the budgets."""
        self._budgets = budgets
        self._store = store
        self._step = step
        self._ring = ring
        self._wake = asyncio.Event()
        self._draining = False
        self._sleeps_until = 0.0
        self._nearest = math.inf
        self._steps: set[asyncio.Task[None]] = set()
        self._claiming: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to claim; starting twice is harmless."""
        if self._claiming is None:
            self._claiming = asyncio.create_task(self._claim_for_ever())
            self._listening = asyncio.create_task(self._listen_for_ever())

    def stop(self) -> None:
        """Claim no more."""
        self._draining = True
        self._wake.set()

    async def drain(self) -> None:
        """Stop claiming, finish the steps in hand, then return."""
        self.stop()
        if self._listening is not None:
            await end(self._listening)
        if self._claiming is not None:
            await self._claiming
        while self._steps:
            await asyncio.wait(self._steps)

    async def _claim_for_ever(self) -> None:
        failures = 0
        while not self._draining:
            try:
                await self._claim_once()
                failures = 0
            except StoreUnavailable as error:
                log.warning("store.unavailable", reason=str(error))
                await self._sleep(_pause(failures))
                failures += 1
            except Exception:
                # The edge of the process: a defect must not end the tracking of everything else.
                log.exception("tracker.failed")
                await self._sleep(_LONGEST_SLEEP_SECONDS)

    async def _claim_once(self) -> None:
        free = min(_MOST_PER_CLAIM, MOST_IN_FLIGHT - len(self._steps))
        if free == 0:
            await asyncio.wait(self._steps, return_when=asyncio.FIRST_COMPLETED)
            return
        self._wake.clear()
        self._nearest = math.inf
        point("claim.before")
        batch = await self._store.claim(free, self._budgets())
        for claim in batch.claims:
            task = asyncio.create_task(self._take(claim))
            self._steps.add(task)
            task.add_done_callback(self._steps.discard)
        for execution_id, reason in batch.unreadable:
            log.error("execution.unreadable", execution=execution_id, reason=reason)
            await self._store.bury(execution_id, reason)
        if len(batch.claims) < free:
            due = _LONGEST_SLEEP_SECONDS if batch.next_due_seconds is None else batch.next_due_seconds
            await self._sleep(min(due, _LONGEST_SLEEP_SECONDS))

    async def _sleep(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        # A step may have been committed while the store was asked, too late for its answer.
        self._sleeps_until = max(min(now + seconds, self._nearest), now + _TICK_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), self._sleeps_until - now)

    async def _listen_for_ever(self) -> None:
        while not self._draining:
            try:
                rung = await self._store.wait_for_bell(1)
                if isinstance(rung, str):
                    await self._ring([rung])
                elif rung:
                    self._wake.set()
            except StoreUnavailable:
                await asyncio.sleep(jittered(1.0))

    async def _take(self, claim: Claim) -> None:
        try:
            found = await self._step(claim)
            await self._commit(claim, found)
        except Exception:
            # The edge of the process: its lease runs out, and the next claim sees what is to be done.
            log.exception("execution.step_failed", execution=claim.execution.id)
            return
        if found.again_seconds is not None:
            self._expect(asyncio.get_running_loop().time() + found.again_seconds)

    def _expect(self, due: float) -> None:
        """Wake for a step due at `due` (the loop's time), if what the store said last knows of none as near."""
        self._nearest = min(self._nearest, due)
        if due < self._sleeps_until:
            asyncio.get_running_loop().call_at(due, self._wake.set)

    async def _commit(self, claim: Claim, found: Step) -> None:
        """Hold on to a known outcome, through any outage of the store, until it is written down."""
        status, id_ = found.execution.status, claim.execution.id
        if found.execution.remote_id != claim.execution.remote_id:
            # A second trace of the one thing that cannot be asked for again.
            log.info("execution.started", execution=id_, remote=found.execution.remote_id)
        if found.again_seconds is None:
            point("end.before")
        if not await self._insist(claim, found):
            log.warning("execution.claim_lost", execution=id_, status=status)
        if claim.kind == "start":
            point("start.committed")
        if found.again_seconds is None:
            point("end.committed")
        if status != claim.execution.status:
            log.info(
                "execution.changed", execution=id_, status=status, rule=claim.record.rule, reason=found.execution.reason
            )
        if found.notifications:
            await self._ring([notification.id for notification in found.notifications])

    async def _insist(self, claim: Claim, found: Step) -> bool:
        """Commit until the store answers; returns False when the claim had become somebody else's."""
        failures = 0
        while True:
            try:
                # After a failure the first try may have landed, and the second is then refused: no loss.
                return await self._store.commit(claim, found) or failures > 0
            except StoreUnavailable as error:
                log.warning("execution.commit_waits", execution=claim.execution.id, reason=str(error))
                await asyncio.sleep(_pause(failures))
                failures += 1


def _pause(failures: int) -> float:
    return _STORE_PAUSES_SECONDS[min(failures, len(_STORE_PAUSES_SECONDS) - 1)]
