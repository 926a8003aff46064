"""Throw hostile inputs at everything that reads what strangers send: `python -m tests.fuzz --inputs N --seed S`.

Each input's processor time is taken, so that a busy machine does not lie. Exit 1 for an exception, an answer of 5xx, an
input over 50 ms or memory grown by 50 MB; what did it is printed, and becomes a test.
"""

import argparse
import asyncio
import gc
import logging
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from bridge import log
from bridge.embedded import Embedded
from bridge.store import Store
from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import PURE
from tests.fuzz.web import Connections, Web, corpora

HANG_SECONDS = 0.05
GROWTH_MB = 50.0
SHARES = {
    "hooks": 10,
    "paths": 4,
    "wire": 10,
    "rules": 10,
    "sources": 20,
    "bodies": 16,
    "signatures": 10,
    "texts": 10,
    "urls": 10,
}
"""Of a hundred inputs."""
WARM_UP = 2000
SHOWN = 5
KEPT_DELIVERIES = 2000
"""The store is emptied so often, for its memory is not what is weighed."""

Check = Callable[[bytes], Awaitable[None] | None]


class Failure(NamedTuple):
    """One input that should not have done what it did."""

    target: str
    data: bytes
    what: str


class Verdict(NamedTuple):
    """What came of all inputs."""

    inputs: int
    failures: list[Failure]
    slowest_ms: dict[str, float]
    growth_mb: float
    seconds: float

    @property
    def good(self) -> bool:
        """Whether nothing failed, hung or grew."""
        return not self.failures and self.growth_mb < GROWTH_MB


@asynccontextmanager
async def targets(redis_url: str) -> AsyncIterator[dict[str, tuple[Check, list[bytes]]]]:
    """Yield every check with its corpus."""
    store = Store(redis_url)
    await store.redis.flushall()
    await store.open()
    web, bases, done = Web(store), corpora(), 0

    async def hooks(data: bytes) -> None:
        nonlocal done
        done += 1
        if done % KEPT_DELIVERIES == 0:
            await store.redis.flushall()
        await web.hooks(data)

    yield PURE | {
        "hooks": (hooks, bases["hooks"]),
        "paths": (web.paths, bases["paths"]),
        "wire": (Connections().wire, bases["wire"]),
    }
    await store.close()


async def fuzz(redis_url: str, inputs: int, seed: int) -> Verdict:
    """Try so many inputs; the same for the same seed."""
    mutator, began = Mutator(seed), time.monotonic()
    failures: list[Failure] = []
    slowest = dict.fromkeys(SHARES, 0.0)
    turns = [name for name, share in SHARES.items() for _ in range(share)]
    before = 0.0
    async with targets(redis_url) as checks:
        for number in range(inputs):
            if number == min(WARM_UP, inputs // 2):
                gc.collect()
                gc.freeze()
                before = resident_mb()
            name = turns[number * 37 % len(turns)]
            check, corpus = checks[name]
            data = mutator.mutated(corpus)
            what, took = await tried(check, data)
            if what is None and took > HANG_SECONDS:
                # Once more: the first time may have paid for something shared, such as the collector's rounds.
                what, took = await tried(check, data)
                what = f"took {took * 1000:.0f} ms" if what is None and took > HANG_SECONDS else what
            if what is not None:
                failures.append(Failure(name, data, what))
            slowest[name] = max(slowest[name], took * 1000)
    gc.collect()
    return Verdict(inputs, failures, slowest, resident_mb() - before, time.monotonic() - began)


async def tried(check: Check, data: bytes) -> tuple[str | None, float]:
    """Return what went wrong, if anything, and the seconds of processor time."""
    began = time.thread_time()
    try:
        waiting = check(data)
        if waiting is not None:
            await waiting
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return f"{type(error).__name__}: {error}", time.thread_time() - began
    return None, time.thread_time() - began


@contextmanager
def silence() -> Iterator[None]:
    """Keep the log, which tells of every delivery, from being what grows."""
    with log.kept_in_memory(), Path(os.devnull).open("w") as nowhere:
        log.configure("json", nowhere, logging.CRITICAL)
        yield


def resident_mb() -> float:
    """Return this process's resident memory in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


def main() -> int:
    """Print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, silence():
        server = Embedded(Path(name) / "data")
        server.start()
        try:
            verdict = asyncio.run(fuzz(server.url, asked.inputs, asked.seed))
        finally:
            server.stop()
    print(f"seed {asked.seed}: {verdict.inputs:,} inputs in {verdict.seconds:.0f} s\n")  # noqa: T201
    print("| target | inputs in a hundred | slowest, ms of processor time |\n|---|---|---|")  # noqa: T201
    for target, share in SHARES.items():
        print(f"| {target} | {share} | {verdict.slowest_ms[target]:.1f} |")  # noqa: T201
    print(f"\nfailures: {len(verdict.failures)}; memory grown by {verdict.growth_mb:.1f} MB")  # noqa: T201
    for failure in verdict.failures[:SHOWN]:
        print(f"{failure.target}: {failure.what}\n    {failure.data[:500]!r}")  # noqa: T201
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
