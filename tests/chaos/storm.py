"""Load, and everything that can be killed being killed; then calm, and the collection of what is left."""

import asyncio
import contextlib
import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from bridge.model import Durability
from tests.chaos.balancer import Balancer
from tests.chaos.blows import (
    CALLBACK_FAULTS,
    FETCH_FAULTS,
    NETWORK_BLOWS,
    NO_CALLBACK_FAULT,
    NO_FAULT,
    REDIS_BLOWS,
    TRIGGER_FAULTS,
    strike_network,
    strike_redis,
)
from tests.chaos.checker import After, Callback, Sent, Trigger
from tests.chaos.place import Place, Process
from tests.journey.fault_proxy import FaultProxy

OF_REDIS_KILLED = ("Worker.finish_job()", "Unclosed Pipeline client", "Unclosed connection")
"""What arq and redis-py say through asyncio about a connection that was killed; nobody awaits these tasks of theirs."""
REFUSED_AT_START = b"Redis: this server is a replica"
REFUSED = ("unavailable_503", "too_many_429")
TRIES = 30
DRAIN_SECONDS = 30
SETTLE_SECONDS = 120
NEVER = 1e6

F = TypeVar("F")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How hard to blow; the same seed deals the same blows, though not to the same bytes on the wire."""

    seconds: float = 60
    seed: int = 1
    rate: float = 40
    webs: int = 2
    workers: int = 3
    fault_share: float = 0.2
    worker_life: tuple[float, float] = (0.3, 2.5)
    web_life: tuple[float, float] = (6.0, 14.0)
    redis_life: tuple[float, float] = (5.0, 9.0)
    redis_away: tuple[float, float] = (0.0, 2.0)
    network_life: tuple[float, float] = (1.0, 6.0)
    blows: tuple[int, int, int] = (6, 2, 2)
    """The shares of SIGKILL, SIGTERM and SIGSTOP."""
    redis_blows: dict[str, int] = msgspec.field(default_factory=REDIS_BLOWS.copy)
    durability: Durability = "strict"
    rolling: bool = False
    """Nothing but restarts as a deploy does them: SIGTERM, one after the other, behind a balancer, and no faults."""


def rolling(plan: Plan) -> Plan:
    """Return the plan with nothing but rolling restarts."""
    calm = (NEVER, NEVER)
    return msgspec.structs.replace(plan, rolling=True, fault_share=0, redis_life=calm, network_life=calm)


def power_losses(plan: Plan) -> Plan:
    """Return the plan with a power loss wherever the server would be killed."""
    return msgspec.structs.replace(plan, redis_blows={"power loss": 1})


def steady(plan: Plan) -> Plan:
    """Return the plan with blows to Redis alone, so that it shows how soon all is back at work."""
    calm = (NEVER, NEVER)
    return msgspec.structs.replace(plan, worker_life=calm, web_life=calm, network_life=calm)


def kills(plan: Plan) -> Plan:
    """Return the plan with kill -9 of workers alone, so that it shows how soon what they had in hand goes on."""
    return msgspec.structs.replace(
        steady(plan), fault_share=0, redis_life=(NEVER, NEVER), worker_life=(1, 4), blows=(1, 0, 0)
    )


class Storm:
    """One storm over one place."""

    def __init__(self, place: Place, plan: Plan) -> None:
        self.place = place
        self.plan = plan
        self.sent: list[Sent] = []
        self.blows: Counter[str] = Counter()
        self.trouble: list[str] = []
        self.returns: list[float] = []
        """When Redis was as it should be again (monotonic seconds)."""
        self.taken: list[float] = []
        """When a delivery was taken."""
        self._proxies = [FaultProxy(place.valkey.port) for _ in range(plan.webs + plan.workers)]
        self._webs: list[Process] = []
        self._workers: list[Process] = []
        self._balancer: Balancer | None = None
        self._over = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    async def blow(self) -> After:
        """Run the whole of it and return what is left."""
        async with contextlib.AsyncExitStack() as stack:
            for proxy in self._proxies:
                await stack.enter_async_context(proxy)
            urls = iter([proxy.url for proxy in self._proxies])
            self._webs = [self.place.process("serve", next(urls)) for _ in range(self.plan.webs)]
            self._workers = [self.place.process("worker", next(urls)) for _ in range(self.plan.workers)]
            await self._all_up()
            if self.plan.rolling:
                balancer = Balancer([web.url for web in self._webs])
                self._balancer = await stack.enter_async_context(balancer)
                await asyncio.gather(*(balancer.sees(web.url) for web in self._webs))
            return await self._blow()

    async def _blow(self) -> After:
        async with asyncio.TaskGroup() as tasks:
            for fate in self._fates():
                tasks.create_task(fate)
            await asyncio.sleep(self.plan.seconds)
            self._over.set()
        await self._all_up()
        while self._sending:
            await asyncio.wait(self._sending)
        await self.place.settled(SETTLE_SECONDS)
        after = await self._collect()
        for process in (*self._webs, *self._workers):
            await self._drained(process)
        self.trouble += self._errors()
        after.trouble = self.trouble
        return after

    def _fates(self) -> Iterator[Coroutine[Any, Any, None]]:
        if self.plan.rolling:
            yield self._roll(self._workers)
            yield self._roll(self._webs)
        else:
            for i, worker in enumerate(self._workers):
                yield self._fate(worker, self._dice(f"worker {i}"), self.plan.worker_life)
            for i, web in enumerate(self._webs):
                yield self._fate(web, self._dice(f"web {i}"), self.plan.web_life)
        yield self._redis_fate(self._dice("redis"))
        yield self._network_fate(self._dice("network"))
        yield self._feed(self._dice("faults"))
        yield self._load(self._dice("load"))

    def _dice(self, name: str) -> random.Random:
        return random.Random(f"{self.plan.seed} {name}")  # noqa: S311 - chance, not secrecy

    async def _all_up(self) -> None:
        await asyncio.gather(*(self._up(process) for process in (*self._webs, *self._workers)))

    async def _up(self, process: Process) -> None:
        """Start a process as an orchestrator does: again, when it refused what Redis was just then."""
        while True:
            if not process.alive:
                await process.start()
            try:
                await process.ready()
            except AssertionError:
                if REFUSED_AT_START not in process.said():
                    raise
                self.blows[f"{process.command} refused to start on a replica"] += 1
                await asyncio.sleep(0.5)
            else:
                return

    async def _pause(self, seconds: float) -> bool:
        """Sleep; returns whether the storm is still on."""
        try:
            await asyncio.wait_for(self._over.wait(), seconds)
        except TimeoutError:
            return True
        return False

    async def _fate(self, process: Process, dice: random.Random, life: tuple[float, float]) -> None:
        while await self._pause(dice.uniform(*life)):
            if not process.alive:
                self.trouble.append(f"a {process.command} ended by itself")
            blow = dice.choices(("SIGKILL", "SIGTERM", "SIGSTOP"), self.plan.blows)[0]
            self.blows[f"{process.command} {blow}"] += 1
            if blow == "SIGSTOP":
                process.send(signal.SIGSTOP)
                await asyncio.sleep(dice.uniform(0.5, 6))
                process.send(signal.SIGCONT)
                continue
            if blow == "SIGKILL":
                process.send(signal.SIGKILL)
                await process.ended()
            else:
                await self._drained(process)
            await self._up(process)

    async def _drained(self, process: Process) -> None:
        process.send(signal.SIGTERM)
        try:
            code = await process.ended(DRAIN_SECONDS)
        except TimeoutError:
            self.trouble.append(f"a {process.command} did not end within {DRAIN_SECONDS} s of SIGTERM")
            process.send(signal.SIGKILL)
            await process.ended()
            return
        if code != 0:
            self.trouble.append(f"a {process.command} ended with {code} after SIGTERM")

    async def _roll(self, processes: list[Process]) -> None:
        """Restart one after the other, as a deploy does: the next one when this one is at work again."""
        for process in itertools.cycle(processes):
            if not await self._pause(0.2):
                return
            self.blows[f"{process.command} SIGTERM"] += 1
            await self._drained(process)
            await self._up(process)
            if self._balancer is not None and process.command == "serve":
                await self._balancer.sees(process.url)

    async def _redis_fate(self, dice: random.Random) -> None:
        while await self._pause(dice.uniform(*self.plan.redis_life)):
            [blow] = dice.choices(list(self.plan.redis_blows), list(self.plan.redis_blows.values()))
            self.blows[f"Redis {blow}"] += 1
            await strike_redis(self.place.valkey, blow, dice.uniform(*self.plan.redis_away), dice)
            self.returns.append(time.monotonic())

    async def _network_fate(self, dice: random.Random) -> None:
        while await self._pause(dice.uniform(*self.plan.network_life)):
            [blow] = dice.choices(list(NETWORK_BLOWS), list(NETWORK_BLOWS.values()))
            self.blows[f"network {blow}"] += 1
            await strike_network(dice.choice(self._proxies), blow, dice)
        for proxy in self._proxies:
            proxy.cut_at = None

    async def _feed(self, dice: random.Random) -> None:
        """Keep the emulators' scripts long enough: mostly nothing happens, and sometimes something does."""
        genesis, answers = self.place.genesis, self.place.receiver.answers

        def drawn(faults: tuple[F, ...], otherwise: F) -> Iterable[F]:
            while True:
                yield dice.choice(faults) if dice.random() < self.plan.fault_share else otherwise

        scripts: list[tuple[Callable[[], int], Callable[[int], None]]] = []
        for queue, faults in ((genesis.trigger_faults, TRIGGER_FAULTS), (genesis.fetch_faults, FETCH_FAULTS)):
            stream = iter(drawn(faults, NO_FAULT))
            scripts.append((queue.__len__, lambda n, q=queue, s=stream: q.extend(itertools.islice(s, n))))
        callbacks = iter(drawn(CALLBACK_FAULTS, NO_CALLBACK_FAULT))
        scripts.append((answers.__len__, lambda n: answers.extend(itertools.islice(callbacks, n))))
        while True:
            for length, extend in scripts:
                extend(max(0, 500 - length()))
            if not await self._pause(0.2):
                break
        genesis.trigger_faults.clear()
        genesis.fetch_faults.clear()
        answers.clear()

    async def _load(self, dice: random.Random) -> None:
        for n in itertools.count():
            if not await self._pause(1 / self.plan.rate):
                return
            two = dice.random() < 0.1
            sent = Sent(str(n), ["run", "also"] if two else ["run"], [], [], [])
            self.sent.append(sent)
            copies = [0.0] * (2 if dice.random() < 0.1 else 1) + [dice.uniform(1, 6)] * (dice.random() < 0.1)
            for delay in copies:
                task = asyncio.create_task(self._send(sent, "two" if two else "one", delay, dice.randrange(100)))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)

    async def _send(self, sent: Sent, event: str, delay: float, first: int) -> None:
        """Deliver as a patient sender does: again, elsewhere, until somebody says 2xx."""
        await asyncio.sleep(delay)
        for tried in range(TRIES):
            web = self._balancer or self._webs[(first + tried) % len(self._webs)]
            try:
                answer = await self.place.deliver(web.url, int(sent.n), event)
            except httpx.TransportError:
                sent.answers.append(0)
            else:
                sent.answers.append(answer.status_code)
                if answer.is_success:
                    self.taken.append(time.monotonic())
                    said = answer.json()
                    sent.deliveries.append(said["delivery_id"])
                    sent.executions.append([one["id"] for one in said["executions"]])
                    return
            await asyncio.sleep(min(0.2 * (tried + 1), 1.0))

    async def _collect(self) -> After:
        place, redis = self.place, self.place.store.redis
        keys = [key.decode() async for key in redis.scan_iter("gb:[xdbn]:*", count=1000)]
        lives: list[int] = []
        for first in range(0, len(keys), 500):
            pipeline = redis.pipeline(transaction=False)
            for key in keys[first : first + 500]:
                pipeline.ttl(key)
            lives += await pipeline.execute()
        return After(
            sent=self.sent,
            triggers=[
                Trigger(record.variables["n"], record.variables["rule"], record.fault in REFUSED, record.execution_id)
                for record in place.genesis.triggers
                if record.variables is not None
            ],
            callbacks=[
                Callback(record.id, record.body, record.at, record.verified, 200 <= record.status < 300)
                for record in place.receiver.journal
            ],
            executions=await place.executions(),
            runs={id_: place.genesis.status_of(id_) for id_ in place.genesis.executions},
            deliveries={key.removeprefix("gb:d:") for key in keys if key.startswith("gb:d:")},
            dead={member.decode() for member in await redis.zrange("gb:dead", 0, -1)},
            left=await place.left(),
            back_at_work=self._back_at_work(),
            eternal=[key for key, life in zip(keys, lives, strict=True) if life < 0],
        )

    def _back_at_work(self) -> list[float]:
        """Return, for each return of Redis, the seconds until a delivery had been taken and a trigger sent."""
        triggered = [record.monotonic for record in self.place.genesis.triggers]
        waits = []
        for since in self.returns:
            after = [min((at for at in moments if at > since), default=None) for moments in (self.taken, triggered)]
            waits += [max(at for at in after if at is not None) - since] if None not in after else []
        return waits

    def _errors(self) -> list[str]:
        found = []
        for process in (*self._webs, *self._workers):
            for line in process.log.read_bytes().splitlines():
                try:
                    said = msgspec.json.decode(line)
                except msgspec.DecodeError:
                    if line.startswith(REFUSED_AT_START):
                        continue
                    # A line that a kill cut off; what is no log line at all is a traceback or the like.
                    said = {"level": "info" if line.startswith(b"{") else "error", "event": repr(line)}
                expected = said["event"] == "notification.dead" or any(one in said["event"] for one in OF_REDIS_KILLED)
                if said.get("level") in ("error", "critical") and not expected:
                    found.append(f"{process.command} logged {line[:600]!r}")
        return found


async def storm(directory: Path, plan: Plan) -> tuple[After, Counter[str]]:
    """Blow once over a new place; returns what is left and how often each blow was dealt."""
    async with Place(directory, durability=plan.durability) as place:
        blowing = Storm(place, plan)
        return await blowing.blow(), blowing.blows
