"""The same rules and promises on AgentifyMe: HTTP in, HTTP out, a real store, an emulated engine."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from bridge.config import load
from bridge.emulators.agentifyme import AgentifyMe, Workflow
from bridge.emulators.faults import Fault
from bridge.emulators.receiver import Receiver, relay
from bridge.emulators.serving import Server
from bridge.emulators.slack_sender import trigger_id
from bridge.process import Service
from bridge.settings import Settings
from bridge.store import Store
from tests.journey.conftest import READ_TOKEN, WHSEC, settled, statuses

KEY = "agent-key-0123456789"
SECRETS = {"RELAY_SECRET": WHSEC, "CALLBACK_SECRET": WHSEC, "AGENT_KEY": KEY}
CONFIG = """
version: 1
sources:
  relay:
    type: generic
    auth: {type: hmac, preset: standard-webhooks, secrets: [{env: RELAY_SECRET}]}
    event: ${{ body.type }}
engines:
  agent:
    type: agentifyme
    endpoint: my-agent
    base_url: "@AGENT@/v1"
    api_key: {env: AGENT_KEY}
    poll: {first: 50ms, max: 100ms}
    budget: @BUDGET@
templates:
  summarize:
    engine: agent
    id: summarize-document
    variables: {text: {required: true}, words: {type: number, default: "100"}}
  at-once: {engine: agent, id: summarize-document, mode: sync, deadline: @DEADLINE@, variables: {text: {}}}
notifiers:
  asker:
    type: callback
    url: "@RECEIVER@/asker"
    secrets: [{env: CALLBACK_SECRET}]
    allow_http: true
    allow_cidrs: [127.0.0.0/8]
    text: "The summary: ${{ outputs.summary }}"
rules:
  - name: summarize
    source: relay
    event: document
    template: summarize
    variables: {text: "${{ body.text }}", words: "${{ body.words }}"}
    notify: [asker]
  - name: at-once
    source: relay
    event: question
    template: at-once
    variables: {text: "${{ body.text }}"}
    notify: [asker]
"""


class World:
    """A running bridge between AgentifyMe and a receiver."""

    def __init__(self, agent: AgentifyMe, receiver: Receiver, service: Service) -> None:
        self.agent = agent
        self.receiver = receiver
        self.client = httpx.AsyncClient(base_url=service.url, timeout=10)

    async def send(self, event: str = "document", **body: Any) -> str:
        """Deliver an event that must start one execution; return its id."""
        content = msgspec.json.encode({"type": event, "text": "long", "words": 50, **body})
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


def written(path: Path, agent: AgentifyMe, receiver: Receiver, budget: str, deadline: str) -> Path:
    text = CONFIG.replace("@AGENT@", agent.url).replace("@RECEIVER@", receiver.url)
    text = text.replace("@BUDGET@", budget).replace("@DEADLINE@", deadline)
    file = path / "bridge.yaml"
    file.write_text(text)
    return file


@asynccontextmanager
async def running(
    redis_url: str, path: Path, workflow: Workflow, *, work: bool = True, budget: str = "{}", deadline: str = "2s"
) -> AsyncIterator[World]:
    agent = AgentifyMe(keys=(KEY,), any_workflow=True, default=workflow)
    receiver = Receiver([WHSEC], strict=True)
    async with Server(agent), Server(receiver):
        settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_READ_TOKENS": READ_TOKEN})
        config = load(written(path, agent, receiver, budget, deadline), SECRETS)
        service = Service(settings, config, redis_url, web=True, work=work)
        task = asyncio.create_task(service.run())
        world = World(agent, receiver, service)
        yield world
        await world.client.aclose()
        service.stop()
        await task


@pytest.fixture
async def world(store: Store, redis_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """Run web and worker; a job takes a moment and has a summary."""
    workflow = Workflow(timeline=(("pending", 0.2), ("completed", None)), result={"summary": "short", "words": 12})
    async with running(redis_url, tmp_path, workflow) as built:
        yield built


async def test_an_event_becomes_a_job_and_its_result_is_told(world: World) -> None:
    """Typed parameters go out; outputs come back, by name, in the API, the callback and its words."""
    execution = await world.ended(await world.send())
    assert (execution["status"], execution["engine"]) == ("completed", "agent")
    assert statuses(execution) == ["queued", "starting", "pending", "completed"]
    assert execution["outputs"] == {"summary": "short", "words": "12"}
    [job] = world.agent.seen("job")
    assert (job.name, job.parameters, job.endpoint) == ("summarize-document", {"text": "long", "words": 50}, "my-agent")
    assert job.job_id == execution["remote_id"]
    [callback] = world.receiver.journal
    told = msgspec.json.decode(callback.body)
    assert callback.verified
    assert told["data"]["outputs"] == execution["outputs"]
    assert told["text"] == "The summary: short"
    assert KEY not in callback.body.decode()


async def test_a_synchronous_run_ends_with_its_answer(world: World) -> None:
    """Nothing is polled, and it was never pending."""
    execution = await world.ended(await world.send("question"))
    assert statuses(execution) == ["queued", "starting", "completed"]
    assert (execution["remote_id"], execution["outputs"]["summary"]) == (None, "short")
    assert execution["started_at"] < execution["finished_at"]
    assert [record.kind for record in world.agent.journal] == ["run"]


@pytest.mark.parametrize("event", ["document", "question"])
async def test_a_failed_run_says_why(world: World, event: str) -> None:
    """In AgentifyMe's words, without the traceback; what is told has no words of its own then."""
    world.agent.form = "client"
    world.agent.default = Workflow(timeline=(("failed", None),), error="the model is away")
    execution = await world.ended(await world.send(event))
    assert (execution["status"], execution["reason"]) == ("failed", "ValueError: the model is away")
    [callback] = world.receiver.journal
    assert b"Traceback" not in callback.body
    assert b'"text":"The' not in callback.body


@pytest.mark.parametrize(
    ("event", "fault", "status", "requests"),
    [
        ("document", Fault("drop_after_run"), "unknown", 1),
        ("document", Fault("drop_before_run", reset=True), "unknown", 1),
        ("document", Fault("bare_500"), "unknown", 1),
        ("document", Fault("error", error="workflow_not_found"), "rejected", 1),
        ("document", Fault("redirect"), "rejected", 1),
        ("document", Fault("too_many_429", retry_after="1"), "completed", 2),
        ("document", Fault("unavailable_503", retry_after="1"), "completed", 2),
        ("question", Fault("drop_after_run"), "unknown", 1),
        ("question", Fault("delay", seconds=10), "unknown", 1),
        ("question", Fault("gateway_502"), "unknown", 1),
        ("question", Fault("too_many_429", retry_after="1"), "completed", 2),
    ],
)
async def test_a_trigger_that_goes_wrong_is_repeated_only_where_nothing_ran(
    world: World, event: str, fault: Fault, status: str, requests: int
) -> None:
    """The four ways an attempt can end, for jobs and for synchronous runs."""
    kind = "run" if event == "question" else "job"
    world.agent.faults[kind].append(fault)
    execution = await world.ended(await world.send(event))
    assert execution["status"] == status
    assert len(world.agent.seen(kind)) == requests  # type: ignore[arg-type]
    assert world.agent.seen("elsewhere") == []


async def test_a_job_is_looked_at_through_every_trouble(world: World) -> None:
    """Refused, broken and unreadable answers to a poll end nothing."""
    faults = [
        Fault("bare_500"),
        Fault("truncated_json"),
        Fault("drop_before_run"),
        Fault("error", error="job_not_found"),
    ]
    world.agent.faults["result"].extend([*faults, Fault("gateway_502"), Fault("too_many_429")])
    execution = await world.ended(await world.send())
    assert execution["status"] == "completed"
    assert {record.status for record in world.agent.seen("result")} == {500, 200, 0, 404, 502, 429}


async def test_a_value_of_another_type_is_rejected_with_the_reason(world: World) -> None:
    """Or the rule does not run: nothing goes out either way."""
    content = msgspec.json.encode({"type": "document", "text": "long", "words": "many"})
    headers = relay(content, secret=WHSEC, message_id="msg_1")
    answer = await world.client.post("/hooks/relay", content=content, headers=headers)
    assert answer.status_code == 422
    assert "variable 'words' is 'many', which is not a number" in answer.json()["detail"]
    assert world.agent.journal == []


async def test_a_run_longer_than_a_lease_stays_with_its_worker(store: Store, redis_url: str, tmp_path: Path) -> None:
    """A synchronous run of six seconds under a lease of four is not called lost by the other worker."""
    workflow = Workflow(timeline=(("pending", 6.0), ("completed", None)), result={"summary": "late"})
    async with (
        running(redis_url, tmp_path, workflow, work=False, deadline="20s") as world,
        workers(2, tmp_path / "bridge.yaml", redis_url, "tests.chaos.run_process"),
    ):
        execution = await world.ended(await world.send("question"), 20)
    assert statuses(execution) == ["queued", "starting", "completed"]
    assert len(world.agent.seen("run")) == 1


# ------------------------------------------------------------------------------------------------- budgets, 4 workers

SECONDS = float(os.environ.get("BUDGET_SECONDS", "6"))
"""How long the workers are watched; set it to 150 for two whole minutes."""


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


def running_at_once(agent: AgentifyMe) -> int:
    """Count the jobs that ran at the moment that had the most of them."""
    lasts = sum(seconds or 0 for _, seconds in agent.default.timeline) if agent.default else 0
    times = [job.began for job in agent.jobs.values()]
    return max(sum(1 for began in times if began <= moment < began + lasts) for moment in times)


@pytest.mark.timeout(SECONDS + 120)
async def test_four_workers_keep_to_one_budget(store: Store, redis_url: str, tmp_path: Path) -> None:
    """What they ask for together is what one key may: reads a minute, and not one 429; no run is lost by waiting."""
    workflow = Workflow(timeline=(("pending", SECONDS), ("completed", None)), result={"summary": "x"})
    budget = "{fetches_per_minute: 300, triggers_per_minute: 600}"
    async with running(redis_url, tmp_path, workflow, work=False, budget=budget) as world:
        world.agent.limits |= {"result": 300, "job": 600}
        async with workers(4, tmp_path / "bridge.yaml", redis_url) as logs:
            began = time.monotonic()
            ids = await asyncio.gather(*(world.send() for _ in range(50)))
            await asyncio.sleep(SECONDS)
            looked, took = len(world.agent.seen("result")), time.monotonic() - began
            ended = [await world.ended(id_, SECONDS + 60) for id_ in ids]
        # A tenth at once, then one every 225 ms. Unbounded, 50 runs would be looked at 500 to 1,000 times a second.
        assert took / 0.226 * 0.7 < looked <= 30 + took / 0.225 + 1
        assert {execution["status"] for execution in ended} == {"completed"}
        assert {record.status for record in world.agent.journal} == {200, 202}
        assert world.agent.most_in_a_minute("result") <= 300
        assert len({execution["remote_id"] for execution in ended}) == len(world.agent.seen("job")) == 50
        assert sum("execution.changed" in log.read_text() for log in logs) > 1  # it was not one of them alone


@pytest.mark.timeout(120)
async def test_four_workers_share_slots_and_a_429(store: Store, redis_url: str, tmp_path: Path) -> None:
    """Three run at once, however many wait; and what one worker is told, all of them heed."""
    workflow = Workflow(timeline=(("pending", 0.5), ("completed", None)), result={"summary": "x"})
    budget = "{at_once: 3, fetches_per_minute: null, triggers_per_minute: null}"
    async with (
        running(redis_url, tmp_path, workflow, work=False, budget=budget) as world,
        workers(4, tmp_path / "bridge.yaml", redis_url),
    ):
        ids = await asyncio.gather(*(world.send() for _ in range(12)))
        ended = [await world.ended(id_, 30) for id_ in ids]
        assert {execution["status"] for execution in ended} == {"completed"}
        assert running_at_once(world.agent) == 3
        assert all(len(execution["history"]) == 4 for execution in ended)
        # Now it says 'too many' for two seconds: everybody who looks is told, and then nobody asks.
        world.agent.retry_after = "2"
        world.agent.default = Workflow(timeline=(("pending", 30.0),))
        ids = await asyncio.gather(*(world.send() for _ in range(3)))
        await asyncio.sleep(2)
        world.agent.limits["result"] = 0
        await asyncio.sleep(0.5)
        refused = [record.monotonic for record in world.agent.seen("result") if record.status == 429]
        await asyncio.sleep(1)
        again = [record.monotonic for record in world.agent.seen("result") if record.status == 429]
    assert 1 <= len(refused) <= 3
    assert again == refused
