"""Servers that a test may kill, and a bridge on whatever Redis URL it is given."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from bridge.config import load
from bridge.embedded import binary
from bridge.emulators.genesis import Genesis
from bridge.emulators.genesis_runs import Template
from bridge.emulators.receiver import Receiver
from bridge.emulators.serving import Server
from bridge.emulators.slack import Slack
from bridge.process import Service
from bridge.settings import Settings
from bridge.store import Store
from tests.journey.conftest import READ_TOKEN, SECRETS, WHSEC, World, config_text
from tests.ports import free_port


class RedisServer:
    """A server (or a sentinel) on a TCP port, configured by a file as an operator would."""

    def __init__(
        self, place: Path, *lines: str, sentinel: bool = False, environ: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        place.mkdir(parents=True, exist_ok=True)
        self._file = place / "server.conf"
        self._log = place / "server.log"
        own = [f"port {self.port}", "bind 127.0.0.1", f"dir {place}", f"logfile {self._log}"]
        kept = [] if sentinel else ["appendonly yes", "save ''", "repl-diskless-sync-delay 0"]
        self._file.write_text("\n".join([*own, *kept, *lines, ""]))
        self._more = ["--sentinel"] if sentinel else []
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self, *more: str) -> None:
        self._process = subprocess.Popen(
            [binary(), self._file, *self._more, *more], stdout=subprocess.DEVNULL, env=self._environ
        )
        end = time.monotonic() + 10
        while self.ask("PING") == "":
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end
            time.sleep(0.01)

    def wait_until_loaded(self) -> None:
        end = time.monotonic() + 20
        while "\nloading:0" not in self.ask("INFO persistence"):  # and not `async_loading:0`, which is always there
            assert time.monotonic() < end
            time.sleep(0.02)

    def ask(self, command: str) -> str:
        """Send an inline command; return the first bytes of the answer, or an empty text when there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(f"{command}\r\n".encode())
                return connection.recv(65536).decode()
        except OSError:
            return ""

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def bridge_on(redis_url: str, tmp_path: Path, top_level: str = "") -> AsyncIterator[World]:
    """Run web and worker on a Redis URL, with `top_level` lines added to the configuration."""
    running_for = Template(timeline=(("running", 0.3), ("completed", None)))
    genesis = Genesis(keys={"genesis-key": None}, any_template=True, default=running_for)
    slack, callbacks = Slack(), Receiver([WHSEC], strict=True)
    async with Server(genesis), Server(slack), Server(callbacks):
        path = tmp_path / "bridge.yaml"
        path.write_text(config_text(genesis.url, slack.url, callbacks.url) + top_level)
        settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_READ_TOKENS": READ_TOKEN})
        store = Store(redis_url)
        service = Service(settings, load(path, SECRETS), redis_url, web=True, work=True)
        running = asyncio.create_task(service.run())
        built = World(genesis, slack, callbacks, service, store)
        try:
            yield built
        finally:
            await built.client.aclose()
            service.stop()
            await running
            await store.close()


async def readiness(world: World, status: int, seconds: float = 5) -> str:
    """Wait until /readyz answers with `status`; return what it says."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = await world.client.get("/readyz")
        if answer.status_code == status:
            return answer.text
        await asyncio.sleep(0.05)
    pytest.fail(f"/readyz is not {status} within {seconds} s, but {answer.status_code}: {answer.text}")
