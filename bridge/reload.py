"""Hot reload: notice that the configuration's files changed, or SIGHUP, and hand over the new one whole.

What cannot be used changes nothing: the last good configuration stays, and log, metrics and /readyz say so.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from bridge import metrics
from bridge.config import Config
from bridge.config_files import Inputs, Stamp
from bridge.errors import ConfigError

LOOK_SECONDS = 0.5
"""Between two looks at the files. A change is read once two looks find the same, so that nobody's half-written
file is taken for a bad one."""
_MOST_TOLD = 20

log = structlog.get_logger()


class Reloader:
    """Watches the files of one configuration until told to stop."""

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config],
        adopt: Callable[[Config], None],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Take the configuration as it is, how to read it anew (raises ConfigError), and who takes a new one over."""
        self.refused = 0
        """How many problems keep the files as they are now from being used."""
        self._config = config
        self._read = read
        self._adopt = adopt
        self._look_seconds = look_seconds
        self._inputs = Inputs(config.files[0], config.patterns, config.attached)
        self._known: Stamp | None = None  # what changed since it was read at start-up is found by the first look
        self._changing: Stamp | None = None
        self._wake = asyncio.Event()
        self._asked = False
        self._stopping = False
        _show(config)

    def ask(self) -> None:
        """Read everything again now, the secrets' files included, whether or not a file looks changed."""
        self._asked = True
        self._wake.set()

    def stop(self) -> None:
        """Look no more; `run` returns."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Look and listen until `stop`."""
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._look_seconds)
            self._wake.clear()
            try:
                await self._turn()
            except Exception:
                # The edge of the process: a defect in reading must not end the work under the last good one.
                log.exception("config.failed", keeps=self._config.hash)

    async def _turn(self) -> None:
        if self._asked:
            self._asked = False
            await self._reread()
        elif await self._settled() and not await self._as_adopted():
            await self._reread()

    async def _settled(self) -> bool:
        """Whether the files differ from what was read last, and have done so in the same way for two looks."""
        seen = await asyncio.to_thread(self._inputs.stamp)
        if seen == self._known:
            self._changing = None
            return False
        settled, self._changing = seen == self._changing, seen
        return settled

    async def _as_adopted(self) -> bool:
        """Whether only dates and inodes changed; then the bytes need not be read as YAML."""
        if self.refused or await asyncio.to_thread(self._inputs.digest) != self._config.hash:
            return False
        self._known = self._changing
        return True

    async def _reread(self) -> None:
        before = await asyncio.to_thread(self._inputs.stamp)
        found: Config | ConfigError
        try:
            # In a thread: hundreds of rules take longer to compile than a delivery may be kept waiting.
            found = await asyncio.to_thread(self._read)
        except ConfigError as error:
            found = error
        if await asyncio.to_thread(self._inputs.stamp) != before:
            return  # half of it was read before a change and half after: what it is now is read by the next looks
        patterns, attached = found.patterns, found.attached
        if isinstance(found, Config):
            self._take(found)
        else:
            self._refuse(found)
            # Watched with those of the last good one, so that mending any of the files is noticed.
            patterns = tuple(dict.fromkeys([*self._config.patterns, *patterns]))
            attached = tuple(dict.fromkeys([*self._config.attached, *attached]))
        inputs = Inputs(self._inputs.main, patterns, attached)
        # Other patterns match other files, of which nothing was noted: the next looks do.
        self._known, self._inputs = before if inputs == self._inputs else None, inputs

    def _take(self, config: Config) -> None:
        was, self._config, self.refused = self._config, config, 0
        self._adopt(config)
        _show(config, told=was)
        metrics.CONFIG_RELOADS.labels("adopted").inc()
        log.info("config.adopted", config=config.hash, was=was.hash, rules=len(config.ruleset.rules))

    def _refuse(self, error: ConfigError) -> None:
        self.refused = len(error.problems)
        metrics.CONFIG_GOOD.set(0)
        metrics.CONFIG_RELOADS.labels("refused").inc()
        told = [str(problem) for problem in error.problems[:_MOST_TOLD]]
        log.error("config.refused", keeps=self._config.hash, count=self.refused, problems=told)


def _show(config: Config, told: Config | None = None) -> None:
    metrics.CONFIG_GOOD.set(1)
    metrics.CONFIG_LOADED.set_to_current_time()
    metrics.CONFIG.info({"hash": config.hash})
    before = set() if told is None else {warning.message for warning in told.warnings}
    for warning in [one for one in config.warnings if one.message not in before][:_MOST_TOLD]:
        log.warning("config.doubtful", what=str(warning))
