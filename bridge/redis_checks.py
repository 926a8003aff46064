"""What a Redis must be set to, and what it is: one round trip, and one line for each thing to change.

`INFO` tells nearly all of it; CONFIG is often forbidden and only asked for the one thing that INFO does not tell.
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError

from bridge.model import Durability

OLDEST = (6, 2)
CLOCKS_APART_SECONDS = 2.0
MEMORY_SHARE = 0.8


class Finding(Struct, frozen=True):
    """One thing to change. Refused: the bridge does not start with it, or is not ready; else it is a warning."""

    refused: bool
    text: str


async def examine(redis: Redis, durability: Durability) -> list[Finding]:
    """Ask a server how it is set and judge it; raises redis-py's errors when it does not answer."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.info()
    pipeline.time()
    pipeline.config_get("appendfsync")
    began = time.time()
    info, clock, config = await pipeline.execute(raise_on_error=False)
    middle = (began + time.time()) / 2
    if isinstance(info, Exception):
        return [Finding(refused=False, text="INFO is not permitted, so its settings are unknown: grant +info")]
    if info.get("loading"):
        # Until it has read its file, it says of the file that it is off.
        raise BusyLoadingError("Redis is loading its data")
    apart = 0.0 if isinstance(clock, Exception) else clock[0] + clock[1] / 1e6 - middle
    fsync = None if isinstance(config, Exception) else config.get("appendfsync")
    return judge(info, durability, fsync=fsync, clocks_apart_seconds=apart)


def judge(
    info: Mapping[str, Any], durability: Durability, *, fsync: str | None, clocks_apart_seconds: float
) -> list[Finding]:
    """Hold what INFO says against what the bridge needs. Pure; what a server does not tell is not held against it."""
    refusals = [*_wrong_server(info), *_forgetful(info, durability)]
    warnings = [*_unsafe_fsync(durability, fsync), *_doubtful(info, clocks_apart_seconds)]
    return [Finding(refused=True, text=text) for text in refusals] + [
        Finding(refused=False, text=text) for text in warnings
    ]


def _wrong_server(info: Mapping[str, Any]) -> Iterator[str]:
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(number) for number in re.findall("[0-9]+", version)[:2])
    if numbers and numbers < OLDEST:
        yield f"the server is version {version}: update it to 6.2 or later"
    if info.get("cluster_enabled") in (1, "1"):
        yield (
            "this is a Redis Cluster, where one step cannot write keys of several slots as the bridge does: "
            "use a single Redis or Sentinel"
        )
    elif info.get("role", "master") != "master":
        yield "this server is a replica: point BRIDGE_REDIS_URL at the master, or use sentinel://"


def _forgetful(info: Mapping[str, Any], durability: Durability) -> Iterator[str]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield f"maxmemory-policy is {policy}, which deletes records to make room: set it to noeviction"
    if durability == "none":
        return
    if info.get("aof_enabled", 1) in (0, "0"):
        yield "the append-only file is off, so a restart forgets deliveries: set appendonly yes (or durability: none)"
    elif (status := info.get("aof_last_write_status", "ok")) != "ok":
        yield f"the last write to the append-only file failed ({status}): look for a full or broken disk"


def _unsafe_fsync(durability: Durability, fsync: str | None) -> Iterator[str]:
    if durability != "strict" or fsync == "always":
        return
    if fsync is None:
        yield "CONFIG is not permitted, so appendfsync is unknown: see that it is always, as durability: strict wants"
    else:
        yield f"appendfsync is {fsync}, so a power loss costs what was accepted last: set it to always"


def _doubtful(info: Mapping[str, Any], clocks_apart_seconds: float) -> Iterator[str]:
    if abs(clocks_apart_seconds) > CLOCKS_APART_SECONDS:
        yield f"its clock is {clocks_apart_seconds:+.1f} s from this machine's: let both follow the same time server"
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if limit and used > MEMORY_SHARE * limit:
        yield f"{used / limit:.0%} of its memory is used, and when it is full nothing is taken: raise maxmemory"
    if evicted := int(info.get("evicted_keys", 0)):
        yield f"it has evicted {evicted} keys since its start, perhaps ours: give the bridge a server of its own"
