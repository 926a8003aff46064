"""A bridge between one emulated engine and a receiver, for journeys on any of them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx
import msgspec
import pytest

from bridge.config import load
from bridge.emulators.receiver import Receiver, relay
from bridge.emulators.serving import App, Server
from bridge.emulators.slack_sender import trigger_id
from bridge.process import Service
from bridge.settings import Settings
from tests.journey.conftest import READ_TOKEN, WHSEC, settled

KEY = "engine-key-0123456789"
SECRETS = {"RELAY_SECRET": WHSEC, "CALLBACK_SECRET": WHSEC, "ENGINE_KEY": KEY}
HEAD = """
version: 1
sources:
  relay:
    type: generic
    auth: {type: hmac, preset: standard-webhooks, secrets: [{env: RELAY_SECRET}]}
    event: ${{ body.type }}
notifiers:
  asker:
    type: callback
    url: "@RECEIVER@/asker"
    secrets: [{env: CALLBACK_SECRET}]
    allow_http: true
    allow_cidrs: [127.0.0.0/8]
    text: "The summary: ${{ outputs.summary }}"
"""

E = TypeVar("E", bound=App)


class World(Generic[E]):
    """A running bridge between an engine and a receiver."""

    def __init__(self, engine: E, receiver: Receiver, service: Service) -> None:
        self.engine = engine
        self.receiver = receiver
        self.client = httpx.AsyncClient(base_url=service.url, timeout=10)

    async def send(self, event: str, **body: Any) -> str:
        """Deliver an event that must start one execution; return its id."""
        content = msgspec.json.encode({"type": event, **body})
        headers = relay(content, secret=WHSEC, message_id=f"msg_{trigger_id()}")
        answer = await self.client.post("/hooks/relay", content=content, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["executions"][0]["id"])

    async def look(self, execution_id: str) -> dict[str, Any]:
        path = f"/api/executions/{execution_id}"
        answer = await self.client.get(path, headers={"authorization": f"Bearer {READ_TOKEN}"})
        found: dict[str, Any] = answer.json()
        return found

    async def ended(self, execution_id: str, seconds: float = 15) -> dict[str, Any]:
        """Wait until the execution is final and told."""
        for _ in range(int(seconds / 0.05)):
            found = await self.look(execution_id)
            if settled(found):
                return found
            await asyncio.sleep(0.05)
        pytest.fail(f"not within {seconds} s: {found}")


@asynccontextmanager
async def running(
    redis_url: str, path: Path, engine: E, config: str, *, work: bool = True, head: str = HEAD
) -> AsyncIterator[World[E]]:
    """Run an engine, a receiver and the bridge; `config` follows `head`, with @ENGINE@ where the engine is."""
    receiver = Receiver([WHSEC], strict=True)
    async with Server(engine), Server(receiver):
        file = path / "bridge.yaml"
        file.write_text((head + config).replace("@ENGINE@", engine.url).replace("@RECEIVER@", receiver.url))
        settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_READ_TOKENS": READ_TOKEN})
        service = Service(settings, load(file, SECRETS), redis_url, web=True, work=work)
        task = asyncio.create_task(service.run())
        world = World(engine, receiver, service)
        yield world
        await world.client.aclose()
        service.stop()
        await task


@asynccontextmanager
async def workers(count: int, config: Path, redis_url: str, module: str = "") -> AsyncIterator[list[Path]]:
    """Run worker processes; yields the files they log to."""
    script = [str(Path(sys.executable).parent / "genesis-bridge")] if not module else [sys.executable, "-m", module]
    command = [*script, "worker"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    environ = {**kept, **SECRETS, "BRIDGE_CONFIG": str(config), "BRIDGE_REDIS_URL": redis_url, "BRIDGE_LOG": "json"}
    logs = [config.parent / f"worker-{number}.log" for number in range(count)]
    with ExitStack() as files:
        processes = [
            subprocess.Popen(command, env=environ, stdout=files.enter_context(log.open("w")), stderr=subprocess.STDOUT)  # noqa: ASYNC220
            for log in logs
        ]
        try:
            for _ in range(400):
                if all("process.started" in log.read_text() for log in logs):
                    break
                await asyncio.sleep(0.1)
            yield logs
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                await asyncio.to_thread(process.wait, 30)
