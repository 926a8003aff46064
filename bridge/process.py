"""Running it: web, worker or both on one event loop, from the first signal to the last step in hand."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from msgspec import structs

from bridge import __version__
from bridge.access import Access
from bridge.app import build
from bridge.config import Config
from bridge.embedded import HOW_TO_GET_ONE, Embedded, NoServer
from bridge.errors import BridgeError, StoreUnavailable
from bridge.outbound import Outbound
from bridge.parts import Bridge
from bridge.protocol import Limits, fitting, guarded
from bridge.reload import Reloader
from bridge.settings import Settings
from bridge.store import Store
from bridge.worker import Supervisor

_LINGER_SECONDS = 2.0
"""How long a process that is told to stop still takes deliveries, while load balancers learn of it."""
_GRACE_SECONDS = 20
"""How long a request in hand may take after the process was told to stop."""
_HTTP: dict[str, Any] = {
    "ws": "none",
    "loop": "none",
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,  # uvicorn would believe anybody on this machine; see bridge/proxies.py
    "timeout_graceful_shutdown": _GRACE_SECONDS,
}

log = structlog.get_logger()


class CannotListen(BridgeError):
    """The address is taken or not ours; the message says which and what to change."""


class UnfitRedis(BridgeError):
    """Redis is set in a way that would lose what is accepted; the message has one line for each thing to change."""


class Service:
    """One process's work: `run` returns when `stop` was called and everything in hand is finished."""

    def __init__(
        self,
        settings: Settings,
        config: Config,
        redis_url: str,
        *,
        web: bool,
        work: bool,
        reread: Callable[[], Config] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare; nothing connects or listens before `run`. With `reread` the configuration's files are watched."""
        self._settings = settings
        self._draining = False
        self._socket = _listen(settings.host, settings.port) if web else None
        self._bridge = Bridge(
            config=config,
            store=Store(redis_url, config.durability, config.retention, settings.redis_url),
            outbound=Outbound(user_agent=f"genesis-bridge/{__version__}"),
            public_url=(settings.public_url or self.url).rstrip("/"),
            since=time.monotonic(),
        )
        self._durability = config.durability
        self._reloader = Reloader(config, reread, self._adopt) if reread is not None else None
        access = Access(
            settings.api_tokens, settings.read_tokens, rate=settings.api_rate, trusted_proxies=settings.trusted_proxies
        )
        draining, says = (lambda: self._draining), self._remarks
        self._app = build(self._bridge, access, draining, remarks=says) if web else None
        self._server = None if self._app is None else _web_server(self._app, limits or fitting())
        self._supervisor = Supervisor(self._bridge) if work else None

    @property
    def url(self) -> str:
        """Where the web half listens."""
        port = self._settings.port if self._socket is None else self._socket.getsockname()[1]
        return f"http://{self._settings.host}:{port}"

    def stop(self, linger_seconds: float = 0) -> None:
        """Start nothing more and finish what is in hand.

        Readiness is off at once; deliveries are still taken for `linger_seconds`, for whoever sends them here needs
        that long to notice. What they cause is stored, and another process, or the next one, does it.
        """
        self._draining = True
        if self._reloader is not None:
            self._reloader.stop()
        if self._supervisor is not None:
            self._supervisor.stop()
        if self._server is not None:
            asyncio.get_running_loop().call_later(linger_seconds, self._server.leave)

    def reload(self) -> None:
        """Read the configuration again, and go on under it if it is good."""
        if self._reloader is not None:
            self._reloader.ask()

    async def run(self) -> None:
        """Work until `stop`; raises UnfitRedis, but not for a Redis that is merely away."""
        try:
            await self._look_at_redis()
            for name, source in self._bridge.config.sources.items():
                if source.open:
                    log.warning("source.open", source=name, finding="anybody who knows its URL is believed")
            _settle_memory()
            async with asyncio.TaskGroup() as tasks:
                if self._server is not None:
                    tasks.create_task(self._server.serve(sockets=[self._socket] if self._socket else None))
                if self._supervisor is not None:
                    tasks.create_task(self._supervisor.run())
                if self._reloader is not None:
                    tasks.create_task(self._reloader.run())
                log.info(
                    "process.started",
                    web=self._server and self.url,
                    worker=self._supervisor is not None,
                    config=self._bridge.config.hash,
                )
        finally:
            if self._socket is not None:
                self._socket.close()
            await self._bridge.outbound.aclose()
            await self._bridge.store.close()
        log.info("process.stopped")

    async def _look_at_redis(self) -> None:
        try:
            await self._bridge.store.open()
            found = await self._bridge.store.examine()
        except StoreUnavailable as error:
            log.warning("store.unavailable", reason=str(error), does="going on; not ready until it answers")
            return
        if refused := [f"Redis: {finding.text}" for finding in found if finding.refused]:
            raise UnfitRedis("\n".join(refused))
        for finding in found:
            log.warning("store.doubtful", finding=finding.text)

    def _adopt(self, config: Config) -> None:
        """Let everything that begins from now on begin under this configuration."""
        self._bridge = structs.replace(self._bridge, config=config, since=time.monotonic())
        self._bridge.store.keep_for(config.retention)
        if self._app is not None:
            self._app.state.bridge = self._bridge
        if self._supervisor is not None:
            self._supervisor.bridge = self._bridge
        for remark in self._remarks():
            log.warning("config.needs_restart", what=remark)

    def _remarks(self) -> list[str]:
        """Say, for whoever asks whether we are ready, how what runs differs from what the files say."""
        config, found = self._bridge.config, []
        if self._reloader is not None and self._reloader.refused:
            count = self._reloader.refused
            what = f"{count} problem{'s' if count > 1 else ''}, see the log or `genesis-bridge check`"
            found.append(f"the configuration's files have {what}; still running with {config.hash}")
        if config.durability != self._durability:
            found.append(f"`durability: {config.durability}` needs a restart; still running with {self._durability}")
        return found


def _web_server(app: Any, limits: Limits) -> "_Server":
    # Whoever sends what is no HTTP could fill the log with uvicorn's warnings; we count them instead.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return _Server(uvicorn.Config(app, http=guarded(limits), **_HTTP))


class _Server(uvicorn.Server):
    def leave(self) -> None:
        """Take no more connections, and end when those that are open have their answers."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to us: the worker beside this server has to hear them too."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=2048, family=_family(host))
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror}; set BRIDGE_HOST or BRIDGE_PORT"
        ) from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _settle_memory() -> None:
    # What was made at start-up lives as long as the process: keep the collector from walking it again and again,
    # which was most of the p99 of an accept (docs/decisions/0004-one-round-trip.md).
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


async def serve_until_signal(service: Service) -> None:
    """Run a service until SIGTERM, which comes from an orchestrator, or Ctrl-C, which comes from a person.

    SIGHUP reloads the configuration, unless it is the terminal that hung up.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, service.stop, _LINGER_SECONDS)
    loop.add_signal_handler(signal.SIGINT, service.stop)
    loop.add_signal_handler(signal.SIGHUP, _hang_up, service, sys.stderr.isatty())
    try:
        await service.run()
    finally:
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(name)


def _hang_up(service: Service, on_terminal: bool) -> None:  # noqa: FBT001 - the loop passes by position
    if on_terminal and not sys.stderr.isatty():
        # The window was closed. Nobody is there to read what is still said, and saying it would fail.
        with Path(os.devnull).open("wb") as nowhere:
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
        service.stop()
    else:
        service.reload()


@contextlib.contextmanager
def redis_for(settings: Settings, *, private: bool) -> Iterator[str]:
    """Yield the Redis URL; with `private`, that of an own server when none is configured. Raises NoServer."""
    if settings.redis_url is not None:
        yield settings.redis_url.text()
    elif private:
        server = Embedded(Path(settings.data_dir))
        server.start()
        try:
            yield server.url
        finally:
            server.stop()
    else:
        raise NoServer(f"BRIDGE_REDIS_URL is not set, and only `up` brings its own server. {HOW_TO_GET_ONE}")
