"""A place to break things in: a private Valkey, emulators in this process, and web and worker as real processes."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from bridge.emulators.genesis import Genesis
from bridge.emulators.genesis_runs import Template
from bridge.emulators.receiver import Receiver, relay
from bridge.emulators.serving import Server
from bridge.model import Durability, Execution
from bridge.store import Store
from tests.chaos.valkey import Valkey
from tests.ports import free_port

WHSEC = "whsec_" + b64encode(b"0123456789abcdef0123456789abcdef").decode()
SECRETS = {"RELAY_SECRET": WHSEC, "GENESIS_KEY": "k", "CALLBACK_SECRET": WHSEC}
SETTLED = {"delivered", "dead", "superseded"}
CONFIG = """version: 1
sources:
  relay:
    type: generic
    auth: {type: hmac, preset: standard-webhooks, secrets: [{env: RELAY_SECRET}]}
    event: ${{ body.type }}
engines:
  genesis: {type: genesis, base_url: "@GENESIS@", api_key: {env: GENESIS_KEY}, poll: {first: 200ms, max: 500ms}}
templates:
  e2e:
    engine: genesis
    id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44
    variables: {n: {required: true}, rule: {required: true}}
    deadline: 10m
notifiers:
  ci:
    type: callback
    url: "@RECEIVER@/ci"
    secrets: [{env: CALLBACK_SECRET}]
    allow_http: true
    allow_cidrs: [127.0.0.0/8]
    timeout: 2s
rules:
  - name: run
    source: relay
    event: [one, two]
    template: e2e
    variables: {n: "${{ body.n }}", rule: run}
    notify: [ci]
  - name: queued
    source: relay
    event: queued
    template: e2e
    variables: {n: "${{ body.n }}", rule: queued}
    notify: [ci]
    at_a_time: {keep: queue}
  - name: also
    source: relay
    event: two
    template: e2e
    variables: {n: "${{ body.n }}", rule: also}
    notify: [ci]
    at_a_time: {key: "${{ body.n[-1:] }}", keep: queue}
"""
QUICK = Template(timeline=(("pending", 0.1), ("running", 0.3), ("completed", None)), outputs={"summary": "fine"})


class Process:
    """One of ours, `serve` or `worker`; what it logs goes to a file."""

    def __init__(self, place: "Place", command: str, number: int, redis_url: str) -> None:
        self._place = place
        self._redis_url = redis_url
        self.command = command
        self.log = place.directory / f"{command}-{number}.log"
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log_from = 0
        self._running: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        return self._running is not None and self._running.returncode is None

    async def start(self, crash_at: str = "", stop_at: str = "", environ: Mapping[str, str] | None = None) -> None:
        whole = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")},
            **SECRETS,
            "BRIDGE_CONFIG": str(self._place.config),
            "BRIDGE_REDIS_URL": self._redis_url,
            "BRIDGE_PORT": self.url.rpartition(":")[2],
            "BRIDGE_LOG": "json",
            "CRASH_AT": crash_at,
            "STOP_AT": stop_at,
            **(environ or {}),
        }
        with self.log.open("ab") as log:
            self._log_from = log.tell()
            self._running = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.chaos.run_process", self.command, env=whole, stdout=log, stderr=log
            )

    async def ready(self, seconds: float = 60) -> None:
        """Wait until it has begun: from then on it answers to SIGTERM, and a web process takes deliveries."""
        async with asyncio.timeout(seconds):
            while b"process.started" not in self.said():
                assert self.alive, f"{self.command} ended by itself: {self.said()[-2000:]!r}"
                await asyncio.sleep(0.02)

    def said(self) -> bytes:
        """Return what it logged since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read()

    def send(self, number: signal.Signals) -> None:
        if self.alive and self._running is not None:
            self._running.send_signal(number)

    async def stopped(self, seconds: float = 20) -> None:
        """Wait until it has stopped itself."""
        assert self._running is not None
        status = Path(f"/proc/{self._running.pid}/status")
        end = time.monotonic() + seconds
        while "State:\tT" not in status.read_text():  # noqa: ASYNC240 - not a disk
            assert time.monotonic() < end, f"{self.command} did not stop itself"
            await asyncio.sleep(0.02)

    async def ended(self, seconds: float = 40) -> int:
        """Wait for the end; returns the exit code, negative for a signal."""
        assert self._running is not None
        return await asyncio.wait_for(self._running.wait(), seconds)


class Place:
    """Everything one run needs, gone without a trace afterwards; one seed gives one run."""

    def __init__(self, directory: Path, template: Template = QUICK, durability: Durability = "standard") -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.durability = durability
        self.valkey = Valkey(directory / "data", fsync="always" if durability == "strict" else "everysec")
        self.genesis = Genesis(keys={"k": None}, any_template=True, default=template)
        self.receiver = Receiver([WHSEC], strict=True)
        self.config = directory / "bridge.yaml"
        self.processes: list[Process] = []
        self.store = Store(self.valkey.url)
        self._stack = contextlib.AsyncExitStack()
        # A connection for each delivery: one that is kept open would hide who takes new ones.
        self._client = httpx.AsyncClient(timeout=5, limits=httpx.Limits(max_keepalive_connections=0))

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.valkey.start)
        await self._stack.enter_async_context(Server(self.genesis))
        await self._stack.enter_async_context(Server(self.receiver))
        text = f"durability: {self.durability}\n{CONFIG}".replace("@GENESIS@", self.genesis.url).replace(
            "@RECEIVER@", self.receiver.url
        )
        self.config.write_text(text)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
        for process in self.processes:
            process.send(signal.SIGKILL)
        await asyncio.gather(*(process.ended() for process in self.processes if process.alive))
        await self.store.close()
        self.valkey.kill()
        await self._stack.aclose()

    def process(self, command: str, redis_url: str = "") -> Process:
        made = Process(self, command, len(self.processes), redis_url or self.valkey.url)
        self.processes.append(made)
        return made

    async def deliver(self, url: str, n: int, event: str = "one") -> httpx.Response:
        """Sign and send delivery number `n`; raises httpx.TransportError."""
        body = msgspec.json.encode({"type": event, "n": str(n)})
        headers = relay(body, secret=WHSEC, message_id=f"msg_{n}")
        return await self._client.post(f"{url}/hooks/relay", content=body, headers=headers)

    async def executions(self) -> list[Execution]:
        """Return every execution that is stored."""
        ids = [key.decode().removeprefix("gb:x:") async for key in self.store.redis.scan_iter("gb:x:*", count=1000)]
        found = []
        for first in range(0, len(ids), 50):
            found += await asyncio.gather(*(self.store.execution(id_) for id_ in ids[first : first + 50]))
        return [execution for execution in found if execution is not None]

    async def settled(self, seconds: float) -> bool:
        """Wait until nothing is due and nothing is to be told."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if await self.left() == 0:
                return True
            await asyncio.sleep(0.1)
        return False

    async def left(self) -> int:
        """Count the executions and notifications that still have a next step."""
        redis: Any = self.store.redis
        return int(await redis.zcard("gb:due")) + int(await redis.zcard("gb:outbox"))
