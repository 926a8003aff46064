"""The store's scripts on their way to Redis: loaded once, and calls of one moment share a round trip."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from bridge.clock import Clock
from bridge.errors import StoreUnavailable
from bridge.replication import Replication, Unconfirmed

_TRIES = 3
_SCRIPTS: dict[str, tuple[str, ...]] = {
    "accept": ("group", "outbox"),
    "claim": ("group", "budget"),
    "commit": ("group", "outbox"),
    "claim_notification": (),
    "commit_notification": (),
    "ring": (),
    "page": (),
    "read": (),
    "resolve": ("group",),
    "retry": (),
    "pause": (),
    "rate": (),
    "audit": (),
    "session": (),
    "hold": (),
    "renew": (),
    "note": ("outbox",),
}
"""Each with the files that stand before it: of executions' turns, of what is told, of the engines' budgets."""
_PROMISES = ("accept", "claim")
"""What is promised on these must survive a failover as well, under `durability: strict`."""


class _Call(NamedTuple):
    command: tuple[Any, ...]
    promises: bool
    future: asyncio.Future[Any]


class Scripts:
    """Runs scripts/*.lua on one Redis."""

    def __init__(self, redis: Redis, replication: Replication) -> None:
        """Read the scripts; nothing is asked of Redis before the first use."""
        self._redis = redis
        self._replication = replication
        self._texts = {
            name: "".join(_text(part) for part in ("prelude", *before, name)) for name, before in _SCRIPTS.items()
        }
        self.clock: Clock | None = None
        """Redis time, once it was asked for."""
        self._shas: dict[str, str] = {}
        self._queue: list[_Call] = []
        self._flushing: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Have Redis know every script, and read its clock; raises redis-py's errors."""
        for name, text in self._texts.items():
            self._shas[name] = await self._redis.script_load(text)
        asked = Clock.starting_now()
        seconds, microseconds = await self._redis.time()
        self.clock = asked.reading(seconds * 1000 + microseconds / 1000)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._flushing)

    async def insist(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """Run a script that is safe to repeat, over a connection that Redis may have closed meanwhile."""
        for tried in range(1, _TRIES):
            try:
                return await self.run(script, keys, arguments)
            except StoreUnavailable:
                await asyncio.sleep(0.05 * tried)
        return await self.run(script, keys, arguments)

    async def run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """Run a script; raises StoreUnavailable."""
        try:
            return await self._submit(script, keys, arguments)
        except NoScriptError:
            # Redis was restarted or flushed. Nothing of the script ran, so running it again is safe.
            async with redis_errors():
                await self.load()
                return await self._submit(script, keys, arguments)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error

    def _submit(self, script: str, keys: list[str], arguments: list[Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        command = ("EVALSHA", self._shas.get(script, script), len(keys), *keys, *arguments)
        self._queue.append(_Call(command, script in _PROMISES, future))
        if len(self._queue) == 1:
            loop.call_soon(self._start_flush)
        return future

    def _start_flush(self) -> None:
        batch, self._queue = self._queue, []
        task = asyncio.create_task(self._flush(batch))
        self._flushing.add(task)
        task.add_done_callback(self._flushing.discard)

    async def _flush(self, batch: list["_Call"]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for call in batch:
            pipeline.execute_command(*call.command)
        asks = self._replication.strict and any(call.promises for call in batch)
        if asks:
            pipeline.execute_command(*self._replication.question())
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it, whatever it is
            answers, asks = [error] * len(batch), False
        confirmed = self._replication.confirmed(answers.pop()) if asks else True
        for call, answer in zip(batch, answers, strict=True):
            if call.future.done():
                continue  # whoever asked has been cancelled
            if isinstance(answer, Exception):
                call.future.set_exception(answer)
            elif call.promises and not confirmed:
                call.future.set_exception(Unconfirmed(answer))
            else:
                call.future.set_result(answer)


@contextlib.asynccontextmanager
async def redis_errors() -> AsyncIterator[None]:
    """Turn what redis-py raises into StoreUnavailable."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


def _text(name: str) -> str:
    return resources.files("bridge").joinpath("scripts", f"{name}.lua").read_text()
