"""`genesis-bridge doctor`: asks Redis, engines and notifiers whether they would do, before anybody else does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import Struct

from bridge.config import Config
from bridge.errors import AttemptError, StoreUnavailable
from bridge.outbound import Outbound
from bridge.settings import Settings
from bridge.store import Store


class Line(Struct, frozen=True):
    """One line of the answer: `ok`, or what to change."""

    verdict: Literal["ok", "warning", "refused"]
    about: str
    text: str = ""

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.verdict}: {self.about}{': ' if self.text else ''}{self.text}"


async def diagnose(settings: Settings, config: Config) -> list[Line]:
    """Ask everything once, harmlessly and at the same time; never raises for what it finds."""
    async with Outbound() as outbound:
        asked = [_redis(settings, config)]
        asking = {name: source for name, source in config.sources.items() if source.asks}
        asked += [_probe(f"source {name}", source.probe, outbound) for name, source in asking.items()]
        asked += [_probe(f"engine {name}", engine.probe, outbound) for name, engine in config.engines.items()]
        asked += [_probe(f"notifier {name}", known.probe, outbound) for name, known in config.notifiers.items()]
        return [line for lines in await asyncio.gather(*asked) for line in lines]


async def _redis(settings: Settings, config: Config) -> list[Line]:
    if settings.redis_url is None:
        return [Line("ok", "redis", "BRIDGE_REDIS_URL is not set, so `up` runs its own")]
    store = Store(settings.redis_url.text(), config.durability)
    lines: list[Line] = []
    try:
        found = await store.examine()
        lines += [Line("refused" if finding.refused else "warning", "redis", finding.text) for finding in found]
        await store.probe()
    except StoreUnavailable as error:
        lines.append(Line("refused", "redis", f"it cannot be written: {error}"))
    finally:
        await store.close()
    return lines or [Line("ok", "redis")]


async def _probe(about: str, probe: Callable[[Outbound], Awaitable[str | None]], outbound: Outbound) -> list[Line]:
    try:
        problem = await probe(outbound)
    except AttemptError as error:
        problem = str(error)
    return [Line("refused", about, problem) if problem else Line("ok", about)]
