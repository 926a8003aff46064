"""One bridge between real emulators, over sockets: what goes in and what comes out is HTTP."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from bridge.config import load
from bridge.emulators import github, receiver, slack_sender
from bridge.emulators.genesis import Genesis
from bridge.emulators.genesis_runs import Template
from bridge.emulators.receiver import Receiver
from bridge.emulators.serving import Server
from bridge.emulators.slack import Slack
from bridge.process import Service
from bridge.settings import Settings
from bridge.store import Store

WHSEC = "whsec_" + b64encode(b"0123456789abcdef0123456789abcdef").decode()
SECRETS = {
    "GITHUB_SECRET": "new-github-secret",
    "GITHUB_SECRET_OLD": "old-github-secret",
    "SLACK_SECRET": "slack-signing-secret",
    "RELAY_SECRET": WHSEC,
    "BEARER_TOKEN": "a-bearer-token-for-tests",
    "GENESIS_KEY": "genesis-key",
    "CALLBACK_SECRET": WHSEC,
    "SLACK_TOKEN": "xoxb-token",
}
READ_TOKEN = "read-token"
API_TOKEN = "operate-token"
SAMPLES = Path(__file__).parents[2] / "bridge" / "samples"
QUICK = Template(timeline=(("pending", 0.05), ("running", 0.1), ("completed", None)), outputs={"summary": "all fine"})


class World:
    """A running bridge and everything around it."""

    def __init__(self, genesis: Genesis, slack: Slack, receiver_: Receiver, service: Service, store: Store) -> None:
        self.genesis = genesis
        self.slack = slack
        self.receiver = receiver_
        self.service = service
        self.store = store
        self.client = httpx.AsyncClient(base_url=service.url, timeout=10)

    async def github(self, event: str, body: dict[str, Any], **options: Any) -> httpx.Response:
        options = {"secret": SECRETS["GITHUB_SECRET"], **options}
        headers, sent = github.deliver(event, msgspec.json.encode(body), **options)
        return await self.client.post("/hooks/github", headers=headers, content=sent)

    async def slash(self, text: str, command: str = "/genesis", **fields: str) -> httpx.Response:
        headers, sent = self.slack.slash(command, text, secret=SECRETS["SLACK_SECRET"], **fields)
        return await self.client.post("/hooks/slack", headers=headers, content=sent)

    async def relay(self, body: dict[str, Any] | bytes, message_id: str | None = None) -> httpx.Response:
        sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = receiver.relay(sent, secret=WHSEC, message_id=message_id or f"msg_{slack_sender.trigger_id()}")
        return await self.client.post("/hooks/relay", headers=headers, content=sent)

    async def run(self, event: str = "run", **more: Any) -> str:
        """Relay one event that must start one execution; return its id."""
        body = {"type": event, "url": "https://example.com", "callback_url": f"{self.receiver.url}/asker", **more}
        answer = await self.relay(body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["executions"][0]["id"])

    async def look(self, path: str, **query: Any) -> dict[str, Any]:
        """Get something from the API that must be there."""
        answer = await self.client.get(path, params=query, headers={"authorization": f"Bearer {READ_TOKEN}"})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def order(self, path: str, body: Any = None, token: str = API_TOKEN) -> httpx.Response:
        """Have the API do something."""
        content = b"" if body is None else msgspec.json.encode(body)
        return await self.client.post(path, content=content, headers={"authorization": f"Bearer {token}"})

    async def execution(self, execution_id: str) -> dict[str, Any]:
        path = f"/api/executions/{execution_id}"
        answer = await self.client.get(path, headers={"authorization": f"Bearer {READ_TOKEN}"})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def until(
        self, execution_id: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 15
    ) -> dict[str, Any]:
        """Look until `holds` is true of the execution; fail with the last look."""
        async with asyncio.timeout(seconds + 5):
            for _ in range(int(seconds / 0.02)):
                found = await self.execution(execution_id)
                if holds(found):
                    return found
                await asyncio.sleep(0.02)
        pytest.fail(f"not within {seconds} s: {found}")

    async def ended(self, execution_id: str, seconds: float = 15) -> dict[str, Any]:
        """Wait until the execution is final and every notification settled."""
        return await self.until(execution_id, settled, seconds)


def settled(execution: dict[str, Any]) -> bool:
    states = {notification["state"] for notification in execution["notifications"]}
    return bool(execution["final"]) and states <= {"delivered", "superseded", "dead"}


def statuses(execution: dict[str, Any]) -> list[str]:
    return [change["status"] for change in execution["history"]]


def config_text(genesis: str, slack: str, receiver_: str) -> str:
    text = (Path(__file__).parent / "bridge.yaml").read_text()
    return text.replace("@GENESIS@", genesis).replace("@SLACK@", slack).replace("@RECEIVER@", receiver_)


@pytest.fixture
async def world(store: Store, redis_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """Run web and worker between emulators, all on sockets of this machine, on an empty store."""
    genesis = Genesis(keys={"genesis-key": None}, any_template=True, default=QUICK)
    slack, callbacks = Slack(tokens=["xoxb-token"]), Receiver([WHSEC], strict=True)
    async with Server(genesis), Server(slack), Server(callbacks):
        path = tmp_path / "bridge.yaml"
        path.write_text(config_text(genesis.url, slack.url, callbacks.url))
        settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_READ_TOKENS": READ_TOKEN, "BRIDGE_API_TOKENS": API_TOKEN})
        service = Service(settings, load(path, SECRETS), redis_url, web=True, work=True)
        running = asyncio.create_task(service.run())
        built = World(genesis, slack, callbacks, service, store)
        yield built
        await built.client.aclose()
        service.stop()
        await running
