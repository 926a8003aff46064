"""Budgets: what one key of an engine may do, counted over all workers by the claim itself (scripts/budget.lua).

A step that has no token or no slot is put off before anything of it is written: it is no attempt, stands in no history,
and what is queued has its deadline stand still.
"""

import hashlib
from collections.abc import Mapping
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
_REMEMBERED_MS = 60_000
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


async def asked(store: Store, engine: Engine, bucket: str, error: Transient) -> float | None:
    """Return how many seconds to wait; None: the engine did not say.

    After a 'too many' every worker waits: as long as it asks for, else 1, 2, 4 ... 60 s.
    """
    return await _hold(store, engine, bucket, error) if isinstance(error, Throttled) else error.retry_after


async def _hold(store: Store, engine: Engine, bucket: str, refusal: Throttled) -> float | None:
    name = f"{account(engine)}:{bucket}"
    asked = -1 if refusal.retry_after is None else int(min(refusal.retry_after, LONGEST_WAIT_SECONDS) * 1000)
    try:
        wait = await store.run("hold", [f"gb:hold:{name}", "gb:holds"], [asked, _REMEMBERED_MS])
    except StoreUnavailable as error:
        log.warning("store.unavailable", reason=str(error))
        return refusal.retry_after  # each execution waits on its own
    log.warning("engine.throttled", bucket=name, seconds=wait / 1000, reason=str(refusal))
    return float(wait) / 1000
