"""Budgets: what one key of an engine may do, counted over all workers by the claim itself (scripts/budget.lua).

A step that has no token or no slot is put off before anything of it is written: it is no attempt, stands in no history,
and what is queued has its deadline stand still.
"""

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from bridge.contracts import Engine
from bridge.errors import StoreUnavailable, Throttled, Transient
from bridge.pacing import LONGEST_WAIT_SECONDS
from bridge.store import Store

_MINUTE_MS = 61_000
"""A second more than a minute, for not every request takes equally long to arrive."""
_SUFFIX = "_per_minute"
_LONGEST_SECONDS = 60.0
_BURST = 10
"""This part of a minute's budget may be spent at once."""

log = structlog.get_logger()


def encoded(engines: Mapping[str, Engine]) -> tuple[bytes, bool]:
    """Return every engine's budget as the claim reads it, and whether any of them has a limit."""
    said: dict[str, dict[str, Any]] = {}
    for name, engine in engines.items():
        limits = {bucket: _limit(most) for bucket, most in buckets(engine).items() if most is not None}
        said[name] = {"account": account(engine), "limits": limits}
        if engine.budget.at_once is not None:
            said[name]["at_once"] = engine.budget.at_once
    return msgspec.json.encode(said), any(one["limits"] or "at_once" in one for one in said.values())


def buckets(engine: Engine) -> dict[str, int | None]:
    """Return what the engine's budget allows in a minute, by bucket."""
    return {
        name.removesuffix(_SUFFIX): getattr(engine.budget, name)
        for name in engine.budget.__struct_fields__
        if name.endswith(_SUFFIX)
    }


def account(engine: Engine) -> str:
    """Name the key whose budget it is, without showing it: engines with one key share one budget."""
    parts = [str(engine.__struct_config__.tag), *engine.credentials()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _limit(most: int) -> list[float]:
    """Return the milliseconds between two tokens, and how far ahead of them one may be.

    A burst and then an even pace that leaves room for it: no minute, wherever it begins, has more than `most`.
    """
    burst = max(1, most // _BURST)
    interval = _MINUTE_MS / (most - burst + 1)
    return [round(interval, 3), round((burst - 1) * interval, 3)]


class Strikes:
    """What this process was last answered, by bucket: after 'too many' without a time everybody waits longer each time.

    Once is chance, and only who was refused waits. Twice, with nothing in between that got through, is a limit.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without any; `clock` gives monotonic seconds."""
        self._clock = clock
        self._in_a_row: dict[str, tuple[int, float]] = {}

    def passed(self, engine: Engine, bucket: str) -> None:
        """Note that something got through."""
        if self._in_a_row:
            self._in_a_row.pop(_name(engine, bucket), None)

    async def asked(self, store: Store, engine: Engine, bucket: str, error: Transient) -> float | None:
        """Return how many seconds to wait; None: the engine did not say.

        After a 'too many' every worker waits: as long as the engine asks for; else, from the second in a row on, for
        2, 4, 8 ... 60 s.
        """
        if not isinstance(error, Throttled):
            return error.retry_after
        name = _name(engine, bucket)
        if error.retry_after is not None:
            return await _hold(store, name, error, min(error.retry_after, LONGEST_WAIT_SECONDS))
        seconds, first = self._again(name)
        return seconds if first else await _hold(store, name, error, seconds)

    def _again(self, name: str) -> tuple[float, bool]:
        """Return how long the next wait is, and whether it is the first."""
        strikes, until = self._in_a_row.get(name, (0, 0.0))
        now = self._clock()
        if until <= now:
            # Of several answers to what was sent at one time only the first makes it longer.
            strikes += 1
            until = now + min(_LONGEST_SECONDS, 2.0 ** (strikes - 1))
            self._in_a_row[name] = strikes, until
        return until - now, strikes == 1


def _name(engine: Engine, bucket: str) -> str:
    return f"{account(engine)}:{bucket}"


async def _hold(store: Store, name: str, refusal: Throttled, seconds: float) -> float:
    try:
        wait = await store.run("hold", [f"gb:hold:{name}", "gb:holds"], [math.ceil(seconds * 1000)])
    except StoreUnavailable as error:
        log.warning("store.unavailable", reason=str(error))
        return seconds  # each execution waits on its own
    log.warning("engine.throttled", bucket=name, seconds=wait / 1000, reason=str(refusal))
    return float(wait) / 1000
