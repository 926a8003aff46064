"""The main job on this machine: an emulated engine, Slack and receiver, web and worker, three real deliveries."""

import asyncio
import contextlib
import secrets
import signal
import tempfile
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib import resources
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from bridge import __version__, log
from bridge.config import Config, load
from bridge.decision import derived_id
from bridge.demo_engines import EMULATORS, Timeline
from bridge.demo_view import View
from bridge.embedded import Embedded
from bridge.emulators import github
from bridge.emulators.receiver import Receiver, relay
from bridge.emulators.serving import App, Server
from bridge.emulators.slack import Slack
from bridge.errors import BridgeError
from bridge.model import Execution, Status
from bridge.outbound import Outbound
from bridge.process import Service
from bridge.settings import Settings

_TIMELINE: Timeline = (("pending", 0.4), ("running", 2.0), ("completed", None))
_FOLLOW_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_DONE = frozenset({"delivered", "superseded", "dead"})


class DemoFailed(BridgeError):
    """Something did not go as it should; the message says what."""


class Sent(Struct, frozen=True):
    """One delivery as it was sent and taken."""

    title: str
    execution_id: str


class World(Struct, frozen=True):
    """Everything outside the bridge, and the secrets both sides know."""

    engine_name: str
    engine: App
    slack: Slack
    receiver: Receiver
    secrets: dict[str, str]

    def sample(self, name: str) -> bytes:
        """Return a file of bridge/samples with the emulators' addresses filled in."""
        text = resources.files("bridge").joinpath("samples", name).read_text()
        for mark, url in (
            ("@ENGINE@", self.engine.url),
            ("@SLACK@", self.slack.url),
            ("@RECEIVER@", self.receiver.url),
        ):
            text = text.replace(mark, url)
        return text.encode()


async def run(
    *, once: bool, engine: str = "genesis", console: Console | None = None, timeline: Timeline = _TIMELINE
) -> None:
    """Show the main job, following `timeline` on an engine; raises DemoFailed unless all three end as they should.

    With `once` it returns as soon as they have ended, else it goes on serving until Ctrl-C.
    """
    shown = console or Console()
    with tempfile.TemporaryDirectory(prefix="genesis-bridge-demo-") as directory, log.kept_in_memory() as lines:
        if not await _run(Path(directory), shown, engine, timeline, once=once):
            shown.print(lines.getvalue()[-8000:], markup=False, highlight=False)
            raise DemoFailed("not every delivery ended as it should; what happened stands above")


async def _run(directory: Path, console: Console, engine: str, timeline: Timeline, *, once: bool) -> bool:
    stop = _stop_signal()
    async with _world(engine, timeline) as world, AsyncExitStack() as stack:
        server = Embedded(directory / "data")
        server.start()
        stack.callback(server.stop)
        token = secrets.token_urlsafe(24)
        settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_API_TOKENS": token})
        service = Service(settings, _config(directory, world), server.url, web=True, work=True)
        running = asyncio.create_task(service.run())
        outbound = Outbound(user_agent=f"genesis-bridge-demo/{__version__}")
        stack.push_async_callback(outbound.aclose)
        try:
            client = Client(outbound, service.url, token)
            with View(console, service.url, EMULATORS[engine].title) as view:
                well = await _three_deliveries(client, world, view)
            if not once:
                console.print(
                    f"\nThe page is at [bold]{service.url}[/], the token to log in with: {token}\nCtrl-C stops it."
                )
                await stop.wait()
        finally:
            service.stop()
            await running
        return well


@contextlib.asynccontextmanager
async def _world(engine: str, timeline: Timeline) -> AsyncIterator[World]:
    known = {
        "DEMO_GITHUB_SECRET": secrets.token_hex(20),
        "DEMO_SLACK_SECRET": secrets.token_hex(16),
        "DEMO_RELAY_SECRET": _whsec(),
        "DEMO_CALLBACK_SECRET": _whsec(),
        "DEMO_ENGINE_KEY": secrets.token_urlsafe(24),
        "DEMO_SLACK_TOKEN": f"xoxb-{secrets.token_urlsafe(16)}",
    }
    world = World(
        engine_name=engine,
        engine=EMULATORS[engine].build(known["DEMO_ENGINE_KEY"], timeline),
        slack=Slack(tokens=[known["DEMO_SLACK_TOKEN"]]),
        receiver=Receiver([known["DEMO_CALLBACK_SECRET"]], strict=True),
        secrets=known,
    )
    async with Server(world.engine), Server(world.slack), Server(world.receiver):
        yield world


def _whsec() -> str:
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


def _config(directory: Path, world: World) -> Config:
    path = directory / "demo.yaml"
    path.write_bytes(world.sample("demo.yaml"))
    (directory / "engine.yaml").write_bytes(world.sample(f"engine-{world.engine_name}.yaml"))
    with contextlib.suppress(FileNotFoundError):  # only where a template is a file
        (directory / "workflow.json").write_bytes(world.sample(f"engine-{world.engine_name}.json"))
    return load(path, world.secrets)


class Client:
    """What a sender and a reader of the API need."""

    def __init__(self, outbound: Outbound, url: str, token: str) -> None:
        """Talk to the bridge at `url`."""
        self._outbound = outbound
        self._url = url
        self._token = token

    async def deliver(self, source: str, headers: dict[str, str], body: bytes) -> bytes:
        """Send one delivery; return the answer's body."""
        answer = await self._outbound.request(
            "POST", f"{self._url}/hooks/{source}", headers=headers, content=body, timeout_seconds=5, max_bytes=100_000
        )
        if answer.status not in (200, 202):
            raise DemoFailed(f"{source}: HTTP {answer.status}: {answer.text(500)}")
        return answer.body

    async def execution(self, execution_id: str) -> Execution:
        """Read one execution over the API."""
        answer = await self._outbound.request(
            "GET",
            f"{self._url}/api/executions/{execution_id}",
            headers={"authorization": f"Bearer {self._token}"},
            timeout_seconds=5,
            max_bytes=1_000_000,
        )
        if answer.status != 200:  # noqa: PLR2004
            raise DemoFailed(f"GET /api/executions: HTTP {answer.status}: {answer.text(500)}")
        return msgspec.json.decode(answer.body, type=Execution)


async def _three_deliveries(client: Client, world: World, view: View) -> bool:
    sent = [
        Sent("GitHub: deployment_status", await _from_github(client, world)),
        Sent("Slack: /genesis e2e https://shop.example.com", await _from_slack(client, world)),
        Sent("Relay: build.published", await _from_relay(client, world)),
    ]
    end = time.monotonic() + _FOLLOW_SECONDS
    while True:
        executions = [await client.execution(one.execution_id) for one in sent]
        for one, execution in zip(sent, executions, strict=True):
            view.show(one.title, execution)
        if all(_over(execution) for execution in executions) or time.monotonic() > end:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    callbacks = [record.verified for record in world.receiver.journal]
    view.summary(callbacks=len(callbacks), verified=sum(callbacks), posts=len(world.slack.messages))
    return all(_went_well(execution) for execution in executions) and all(callbacks)


async def _from_github(client: Client, world: World) -> str:
    body = world.sample("deployment_status.json")
    secret = world.secrets["DEMO_GITHUB_SECRET"]
    return _started(await client.deliver("github", *github.deliver("deployment_status", body, secret=secret)))


async def _from_slack(client: Client, world: World) -> str:
    """Send the command; Slack is answered in words, so the execution's id is derived as the bridge derives it."""
    trigger_id = secrets.token_hex(8)
    text = "e2e https://shop.example.com browser=firefox"
    secret = world.secrets["DEMO_SLACK_SECRET"]
    await client.deliver("slack", *world.slack.slash("/genesis", text, secret=secret, trigger_id=trigger_id))
    return derived_id("x", derived_id("d", "slack", trigger_id), "slash-e2e")


async def _from_relay(client: Client, world: World) -> str:
    body = world.sample("relay.json")
    signed = relay(body, secret=world.secrets["DEMO_RELAY_SECRET"], message_id=f"msg_{secrets.token_hex(12)}")
    return _started(await client.deliver("relay", signed, body))


def _started(answer: bytes) -> str:
    """Return the id of the execution that an answer names; raises DemoFailed when it names none."""
    executions = msgspec.json.decode(answer).get("executions", [])
    if not executions:
        raise DemoFailed(f"no rule ran: {answer.decode()}")
    return str(executions[0]["id"])


def _over(execution: Execution) -> bool:
    return execution.final and all(notification.state in _DONE for notification in execution.notifications)


def _went_well(execution: Execution) -> bool:
    told = all(notification.state != "dead" for notification in execution.notifications)
    return execution.status == Status.COMPLETED and told


async def emulate(what: str, port: int, secret: str | None) -> None:
    """Serve one emulator until Ctrl-C; its journal is at /_emulator/journal."""
    emulators: dict[str, App] = {
        **{name: emulator.build(None, None) for name, emulator in EMULATORS.items()},
        "slack": Slack(),
        "receiver": Receiver([secret] if secret else []),
    }
    stop = _stop_signal()
    async with Server(emulators[what], port=port) as server:
        shown = f", what people see of it at {server.url}/" if what == "slack" else ""
        Console().print(f"{what} on [bold]{server.url}[/]: what arrives is at {server.url}/_emulator/journal{shown}")
        await stop.wait()


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    return stop
