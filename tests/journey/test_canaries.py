"""Secrets that nobody could mistake, in every place where one can be, and a search for them wherever we write."""

import asyncio
import contextlib
import secrets
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from bridge.embedded import Embedded
from bridge.emulators import github, receiver, slack_sender
from bridge.emulators.agentifyme import AgentifyMe, Workflow
from bridge.emulators.comfy import Comfy
from bridge.emulators.comfy_jobs import Behaviour
from bridge.emulators.exchange import Answer
from bridge.emulators.faults import Fault
from bridge.emulators.genesis import Genesis
from bridge.emulators.genesis_runs import Template
from bridge.emulators.receiver import Receiver
from bridge.emulators.serving import Server
from bridge.emulators.slack import Slack
from bridge.packing import unpack_body
from bridge.store import Store
from tests.journey.conftest import SAMPLES
from tests.journey.test_command_line import COMMAND, environment

CONFIG = """
version: 1
durability: none
sources:
  github: {type: github, secrets: [{file: "@DIR@/github"}]}
  slack: {type: slack, secrets: [{env: SLACK_SECRET}]}
  relay: {type: generic, auth: {type: hmac, preset: standard-webhooks, secrets: [{env: RELAY_SECRET}]}}
  token: {type: generic, auth: {type: bearer, secrets: [{env: BEARER_TOKEN}]}}
  plain: {type: generic, auth: {type: hmac, header: X-Plain-Sum, secrets: [{env: PLAIN_SECRET}]}}
engines:
  genesis: {type: genesis, base_url: "@GENESIS@", api_key: {file: "@DIR@/genesis"}, poll: {first: 20ms, max: 50ms}}
  refusing: {type: genesis, base_url: "@GENESIS@", api_key: {env: WRONG_KEY}, poll: {first: 20ms, max: 50ms}}
  agent: {type: agentifyme, base_url: "@AGENT@", endpoint: e, api_key: {env: AGENT_KEY}, poll: {first: 20ms, max: 50ms}}
  comfy:
    type: comfy
    base_url: "@COMFY@"
    api_key: {env: COMFY_KEY}
    partner_key: {env: PARTNER_KEY}
    poll: {first: 20ms, max: 50ms}
templates:
  draw: {engine: comfy, id: poster.json, partner_nodes: true}
  look: {engine: agent, id: look-at-service}
  e2e: {engine: genesis, id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44, variables: {text: {default: x, choices: [x]}}}
  refused: {engine: refusing, id: 33333333-3333-4333-8333-333333333333}
notifiers:
  ci:
    type: callback
    url: "@RECEIVER@/ci?token=@CI_TOKEN@"
    secrets: [{env: CALLBACK_SECRET}]
    allow_http: true
    allow_cidrs: [127.0.0.0/8]
  asker:
    type: callback
    url: ${{ body.callback_url }}
    secrets: [{env: CALLBACK_SECRET}]
    allow_http: true
    allow_cidrs: [127.0.0.0/8]
  qa:
    type: slack
    token: {env: SLACK_TOKEN}
    channel: C1
    api_url: "@SLACK@/api"
    buttons: {anyone: true}
  reply: {type: slack_reply, token: {env: SLACK_TOKEN}, api_url: "@SLACK@/api"}
  bare: {type: slack_reply, api_url: "@SLACK@/api"}
  bad: {type: slack, token: {env: WRONG_TOKEN}, channel: C1, api_url: "@SLACK@/api"}
rules:
  - {name: preview, source: github, event: deployment_status, template: e2e, notify: [ci, qa, bad]}
  - {name: looked, source: github, event: deployment_status, template: look, notify: [ci, qa]}
  - {name: drawn, source: github, event: deployment_status, template: draw, notify: [ci, qa]}
  - name: command
    source: slack
    event: /genesis
    when: ["response_url is like 'http*'", "body.token is defined"]
    template: e2e
    notify: [reply, bare]
  - {name: quiet, source: slack, event: /genesis, when: "response_url == 'x' or body == {}", template: e2e}
  - name: relayed
    source: relay
    when: [body.callback_url is like 'http*', body.password != 'x', body.callback_url is defined]
    template: e2e
    notify: [asker]
  - {name: no, source: relay, when: "body.callback_url == 'x' or body.password == 'x'", template: e2e}
  - {name: wrong, source: relay, event: wrong, template: e2e, variables: {text: "${{ body.link }}"}}
  - {name: refused, source: token, always: true, template: refused, notify: [ci]}
  - {name: plain, source: plain, always: true, template: e2e}
"""


def canary(name: str) -> str:
    return f"canary-{name}-{secrets.token_hex(8)}"


def whsec() -> str:
    return "whsec_" + b64encode(secrets.token_bytes(24)).decode()


class Cage:
    """Every canary by its name, and every text that we wrote."""

    def __init__(self) -> None:
        self.birds = {name: canary(name) for name in CANARIES} | {"relay": whsec(), "callback": whsec()}
        self.texts: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> str:
        return self.birds[name]

    def keep(self, place: str, text: bytes | str) -> None:
        self.texts[place] = self.texts.get(place, b"") + (text.encode() if isinstance(text, str) else text) + b"\n"

    def hits(self) -> list[tuple[str, str]]:
        """Return (canary, place) for every canary found, in the form it was given."""
        found = ((name, place, bird) for name, bird in self.birds.items() for place in self.texts)
        return [
            (name, place) for name, place, bird in found if bird.removeprefix("whsec_").encode() in self.texts[place]
        ]

    def around(self) -> str:
        """Show where the canaries were found, for whoever has to mend it."""
        lines = []
        for name, place in self.hits():
            text, bird = self.texts[place], self.birds[name].removeprefix("whsec_").encode()
            at = text.index(bird)
            lines.append(f"{name} in {place}: {text[max(0, at - 160) : at + 60]!r}")
        return "\n".join(lines)


CANARIES = """
github slack bearer plain genesis genesis_next agentifyme comfy partner wrong_key slack_token wrong_token redis
api_token read_token ci_token signature presented_bearer presented_cookie presented_key presented_query
presented_basic slack_form_token response_url callback_path callback_token callback_user password link
wrong_api_token
""".split()
VARIABLES = {
    "BRIDGE_API_TOKENS": "api_token",
    "BRIDGE_READ_TOKENS": "read_token",
    "SLACK_SECRET": "slack",
    "RELAY_SECRET": "relay",
    "BEARER_TOKEN": "bearer",
    "PLAIN_SECRET": "plain",
    "WRONG_KEY": "wrong_key",
    "AGENT_KEY": "agentifyme",
    "COMFY_KEY": "comfy",
    "PARTNER_KEY": "partner",
    "CALLBACK_SECRET": "callback",
    "SLACK_TOKEN": "slack_token",
    "WRONG_TOKEN": "wrong_token",
}


class Bridge:
    """The two halves as processes of their own, between emulators, on a Redis with a password."""

    def __init__(
        self, cage: Cage, url: str, store: Store, emulators: tuple[Genesis, AgentifyMe, Comfy, Slack, Receiver]
    ) -> None:
        self.cage = cage
        self.store = store
        self.genesis, self.agent, self.comfy, self.slack, self.receiver = emulators
        self.client = httpx.AsyncClient(base_url=url, timeout=10)

    async def send(self, source: str, headers: dict[str, str], body: bytes, **query: str) -> httpx.Response:
        """Deliver something that also carries what senders and proxies put beside it."""
        cage = self.cage
        beside = {
            "authorization": f"Bearer {cage['presented_bearer']}",
            "proxy-authorization": f"Basic {cage['presented_basic']}",
            "cookie": f"session={cage['presented_cookie']}",
            "x-auth-token": cage["presented_key"],
        }
        query = {"access_token": cage["presented_query"], "q": "1"} | query
        answer = await self.client.post(f"/hooks/{source}", headers=beside | headers, content=body, params=query)
        cage.keep("answers to senders", answer.content + str(answer.headers).encode())
        return answer

    async def api(self, path: str, token: str = "api_token", method: str = "GET", body: Any = None) -> Any:
        """Ask the API and keep what it says."""
        headers = {"authorization": f"Bearer {self.cage[token]}"}
        content = b"" if body is None else msgspec.json.encode(body)
        answer = await self.client.request(method, path, headers=headers, content=content)
        self.cage.keep(f"{method} {path.split('/', 3)[:3]}", answer.content + str(answer.headers).encode())
        return answer.json() if answer.content[:1] in (b"{", b"[") else None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Embedded]:
    """Run a server of this test's own."""
    server = Embedded(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


@contextlib.contextmanager
def processes(environ: dict[str, str], cage: Cage) -> Iterator[None]:
    """Run `serve`, logging as JSON, and `worker`, for people; keep what they print and are called with."""
    logs = {"serve": "json", "worker": "console"}
    running = {
        command: subprocess.Popen(
            [COMMAND, command], env=environ | {"BRIDGE_LOG": log}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for command, log in logs.items()
    }
    try:
        yield
        for process in running.values():
            cage.keep("arguments of processes", Path(f"/proc/{process.pid}/cmdline").read_bytes())
    finally:
        for command, process in running.items():
            process.terminate()
            output, _ = process.communicate(timeout=30)
            cage.keep(f"output of {command}", output)


def commands(environ: dict[str, str], cage: Cage) -> None:
    """Run every command that looks or asks."""
    listings = (["deliveries", "list"], ["executions", "list"], ["executions", "list", "--dead"])
    for command in (["check"], ["doctor"], *listings):
        done = subprocess.run([COMMAND, *command], env=environ, capture_output=True, timeout=30, check=False)
        cage.keep(f"output of {' '.join(command)}", done.stdout + done.stderr)


@contextlib.asynccontextmanager
async def running(cage: Cage, server: Embedded, path: Path) -> AsyncIterator[Bridge]:
    """Run everything, with a canary for every secret."""
    genesis = Genesis(
        keys={cage["genesis"]: None, cage["genesis_next"]: None},
        any_template=True,
        default=Template(
            timeline=(("running", 0.05), ("completed", None)),
            outputs={"echo": f"they gave me {cage['genesis']} as the key"},
        ),
    )
    said = f"the key was {cage['agentifyme']}"
    agent = AgentifyMe(
        keys=(cage["agentifyme"],),
        any_workflow=True,
        default=Workflow(timeline=(("running", 0.05), ("completed", None)), result={"echo": said, said: [said]}),
    )
    echoes = {"9": {"text": [f"the keys were {cage['comfy']} and {cage['partner']}"]}}
    lasts = (("running", 0.5), ("completed", None))
    comfy = Comfy(keys=(cage["comfy"],), behaviour=Behaviour(timeline=lasts, outputs=echoes))
    (path / "poster.json").write_text('{"9": {"class_type": "ShowText", "inputs": {"text": "x"}}}')
    slack, callbacks = Slack(tokens=[cage["slack_token"]]), Receiver([cage["callback"]], strict=True)
    (path / "genesis").write_text(cage["genesis"])
    (path / "github").write_text(cage["github"])
    async with Server(genesis), Server(agent), Server(comfy), Server(slack), Server(callbacks):
        text = CONFIG.replace("@DIR@", str(path)).replace("@CI_TOKEN@", cage["ci_token"])
        text = (
            text.replace("@AGENT@", agent.url)
            .replace("@COMFY@", comfy.url)
            .replace("@GENESIS@", genesis.url)
            .replace("@SLACK@", slack.url)
            .replace("@RECEIVER@", callbacks.url)
        )
        (path / "bridge.yaml").write_text(text)
        redis_url = server.url.replace("unix://", f"unix://:{cage['redis']}@")
        secret = {variable: cage[name] for variable, name in VARIABLES.items()}
        environ = environment(path / "bridge.yaml", BRIDGE_REDIS_URL=redis_url, **secret)
        store = Store(server.url)
        await store.redis.config_set("requirepass", cage["redis"])
        await store.close()
        store = Store(redis_url)
        with processes(environ, cage):
            built = Bridge(
                cage, f"http://127.0.0.1:{environ['BRIDGE_PORT']}", store, (genesis, agent, comfy, slack, callbacks)
            )
            for _ in range(400):
                if await ready(built.client):
                    break
                await asyncio.sleep(0.05)
            yield built
            await asyncio.to_thread(commands, environ, cage)
            await built.client.aclose()
        await store.redis.config_set("requirepass", "")
        await store.close()


async def ready(client: httpx.AsyncClient) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await client.get("/readyz")).status_code == 200
    return False


async def everything_comes_in(bridge: Bridge) -> None:
    """Send every kind of delivery, good and bad, each with its secrets."""
    cage, send = bridge.cage, bridge.send
    deployed = msgspec.json.decode((SAMPLES / "deployment_status.json").read_bytes())
    await send("github", *github.deliver("deployment_status", msgspec.json.encode(deployed), secret=cage["github"]))
    wrong = {"x-hub-signature-256": f"sha256={cage['signature']}", "x-github-event": "push", "x-github-delivery": "g"}
    await send("github", {**wrong, "content-type": "application/json"}, b"{}")
    hooks = "https://hooks.slack.com/commands/T/1/" + cage["response_url"]
    for url in (bridge.slack.new_response_url(), f"{bridge.slack.url}/commands/{cage['response_url']}", hooks):
        fields = {"response_url": url, "token": cage["slack_form_token"]}
        await send("slack", *slack_sender.slash("/genesis", "go", secret=cage["slack"], **fields))
    stale = slack_sender.slash("/genesis", "go", secret=cage["slack"], now=5, response_url=hooks)
    await send("slack", *stale)
    press = {"response_url": hooks, "token": cage["slack_form_token"]}
    await send("slack", *slack_sender.button("again", "run", secret=cage["slack"], **press))
    base = f"{bridge.receiver.url}/asker/{cage['callback_path']}?token={cage['callback_token']}"
    closed = f"http://127.0.0.1:1/{cage['callback_path']}?token={cage['callback_token']}"
    user = f"http://user:{cage['callback_user']}@127.0.0.1/"
    for url in (base, closed, user):
        body = {"type": "run", "callback_url": url, "password": cage["password"]}
        sent = msgspec.json.encode(body)
        await send("relay", receiver.relay(sent, secret=cage["relay"], message_id=canary("id")), sent)
    link = {"type": "wrong", "link": f"https://x.example/?api_key={cage['link']}"}
    sent = msgspec.json.encode(link)
    await send("relay", receiver.relay(sent, secret=cage["relay"], message_id=canary("id")), sent)
    sent = b'{"type": '
    await send("relay", receiver.relay(sent, secret=cage["relay"], message_id=canary("id")), sent)
    await send("relay", {"webhook-signature": f"v1,{cage['signature']}", "webhook-id": "m"}, b"{}")
    for token in (cage["bearer"], cage["presented_bearer"]):
        await send("token", {"authorization": f"Bearer {token}", "content-type": "application/json"}, b'{"a": 1}')
    await send("plain", {"x-plain-sum": cage["signature"], "content-type": "application/json"}, b"{}")


async def what_is_asked(bridge: Bridge) -> None:
    """Ask for everything there is, and order what can be ordered."""
    for path in ("deliveries", "executions", "dead-letters", "paused"):
        page = await bridge.api(f"/api/{path}", token="read_token")
        for item in page["items"] if isinstance(page, dict) else []:
            kind = "executions" if path == "dead-letters" else path
            await bridge.api(f"/api/{kind}/{item.get('execution_id', item['id'])}")
    for item in (await bridge.api("/api/deliveries"))["items"]:
        for rules in ("present", "old"):
            await bridge.api(f"/api/deliveries/{item['id']}/replay", method="POST", body={"rules": rules})
    for order in ("pause", "resume"):
        await bridge.api(f"/api/engines/genesis/{order}", method="POST", body={"reason": "to see"})
    for item in (await bridge.api("/api/dead-letters"))["items"]:
        if item["kind"] == "notification":
            await bridge.api(f"/api/notifications/{item['id']}/retry", method="POST", body={"reason": "to see"})
        else:
            await bridge.api(f"/api/executions/{item['id']}/resolve", method="POST", body={"outcome": "did_not_run"})
    for path in ("/metrics", "/schema", "/schema/openapi.json", "/livez", "/readyz", "/api/executions/none"):
        await bridge.api(path, token="wrong_api_token")
        await bridge.api(path)


async def settled(bridge: Bridge) -> None:
    """Wait until every execution that can end has ended."""
    async with asyncio.timeout(20):
        while True:
            page = await bridge.api("/api/executions?limit=100")
            if all(item["final"] or item["rule"] == "refused" for item in page["items"]):
                return
            await asyncio.sleep(0.1)


async def dump(store: Store) -> bytes:
    """Return every key of Redis and everything it holds, bodies unpacked."""
    redis, held = store.redis, []
    async for key in redis.scan_iter(count=1000):
        kind = (await redis.type(key)).decode()
        if kind == "string":
            values = [unpack_body(await redis.get(key))]
        elif kind == "hash":
            values = [part for pair in (await redis.hgetall(key)).items() for part in pair]
        elif kind == "zset":
            values = await redis.zrange(key, 0, -1)
        else:
            values = await redis.lrange(key, 0, -1)
        held += [key, *values]
    return b"\n".join(held)


async def test_no_canary_gets_out(redis: Embedded, tmp_path: Path) -> None:
    """Whatever comes in and goes wrong: no secret is in an answer, a log line, a record, a metric or an argument."""
    cage = Cage()
    async with running(cage, redis, tmp_path) as bridge:
        bridge.genesis.trigger_faults.append(Fault("error", text=f"the key {cage['genesis']} is odd", status=400))
        bridge.genesis.trigger_faults.append(Fault("bare_500", text=cage["genesis"]))
        bridge.agent.faults["job"].append(Fault("error", text=f"the key {cage['agentifyme']} is odd", status=400))
        bridge.receiver.answers.add(Answer(status=500, body=f"{cage['ci_token']} {cage['callback']}"), on="/ci")
        await everything_comes_in(bridge)
        await settled(bridge)
        (tmp_path / "genesis").write_text(cage["genesis_next"])
        await asyncio.sleep(1.1)
        await what_is_asked(bridge)
        await settled(bridge)
        cage.keep("Redis", await dump(bridge.store))
        seen = repr(
            [
                bridge.genesis.journal,
                bridge.agent.journal,
                bridge.comfy.journal,
                bridge.slack.journal,
                bridge.receiver.journal,
            ]
        )
    assert cage.hits() == [], cage.around()

    # And they did fly: each was where it belongs, much was written, and the search finds what it looks for.
    for name in (
        "genesis",
        "genesis_next",
        "agentifyme",
        "comfy",
        "partner",
        "wrong_key",
        "response_url",
        "callback_path",
    ):
        assert cage[name] in seen, name
    assert {"", "invalid_auth"} <= {record.error for record in bridge.slack.journal}
    assert b"the keys were *** and ***" in cage.texts["Redis"]
    assert bridge.comfy.seen("socket")
    assert b"the key was ***" in cage.texts["Redis"]
    assert b"the key *** is odd" in cage.texts["Redis"]
    assert cage.texts["Redis"].count(b"sealed.slack.") >= 3
    for place, least in (("Redis", 10_000), ("output of serve", 5_000), ("output of worker", 5_000)):
        assert len(cage.texts[place]) > least, place
    cage.keep("control", f"x{cage['github']}y")
    assert cage.hits() == [("github", "control")]
