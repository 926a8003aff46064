"""The same rules and promises on AgentifyMe: HTTP in, HTTP out, a real store, an emulated engine."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from bridge.emulators.agentifyme import AgentifyMe, Workflow
from bridge.emulators.faults import Fault
from bridge.emulators.receiver import relay
from bridge.store import Store
from tests.journey.conftest import WHSEC, statuses
from tests.journey.engine_world import KEY, World, running, workers

CONFIG = """
engines:
  agent:
    type: agentifyme
    endpoint: my-agent
    base_url: "@ENGINE@/v1"
    api_key: {env: ENGINE_KEY}
    poll: {first: 50ms, max: 100ms}
    budget: @BUDGET@
templates:
  summarize:
    engine: agent
    id: summarize-document
    variables: {text: {required: true}, words: {type: number, default: "100"}}
  at-once: {engine: agent, id: summarize-document, mode: sync, deadline: @DEADLINE@, variables: {text: {}}}
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


def agent(workflow: Workflow) -> AgentifyMe:
    return AgentifyMe(keys=(KEY,), any_workflow=True, default=workflow)


def config(*, budget: str = "{}", deadline: str = "2s") -> str:
    return CONFIG.replace("@BUDGET@", budget).replace("@DEADLINE@", deadline)


async def send(world: World[AgentifyMe], event: str = "document") -> str:
    """Deliver an event that must start one execution; return its id."""
    return await world.send(event, text="long", words=50)


@pytest.fixture
async def world(store: Store, redis_url: str, tmp_path: Path) -> AsyncIterator[World[AgentifyMe]]:
    """Run web and worker; a job takes a moment and has a summary."""
    workflow = Workflow(timeline=(("pending", 0.2), ("completed", None)), result={"summary": "short", "words": 12})
    async with running(redis_url, tmp_path, agent(workflow), config()) as built:
        yield built


async def test_an_event_becomes_a_job_and_its_result_is_told(world: World[AgentifyMe]) -> None:
    """Typed parameters go out; outputs come back, by name, in the API, the callback and its words."""
    execution = await world.ended(await send(world))
    assert (execution["status"], execution["engine"]) == ("completed", "agent")
    assert statuses(execution) == ["queued", "starting", "pending", "completed"]
    assert execution["outputs"] == {"summary": "short", "words": "12"}
    [job] = world.engine.seen("job")
    assert (job.name, job.parameters, job.endpoint) == ("summarize-document", {"text": "long", "words": 50}, "my-agent")
    assert job.job_id == execution["remote_id"]
    [callback] = world.receiver.journal
    told = msgspec.json.decode(callback.body)
    assert callback.verified
    assert told["data"]["outputs"] == execution["outputs"]
    assert told["text"] == "The summary: short"
    assert KEY not in callback.body.decode()


async def test_a_synchronous_run_ends_with_its_answer(world: World[AgentifyMe]) -> None:
    """Nothing is polled, and it was never pending."""
    execution = await world.ended(await send(world, "question"))
    assert statuses(execution) == ["queued", "starting", "completed"]
    assert (execution["remote_id"], execution["outputs"]["summary"]) == (None, "short")
    assert execution["started_at"] < execution["finished_at"]
    assert [record.kind for record in world.engine.journal] == ["run"]


@pytest.mark.parametrize("event", ["document", "question"])
async def test_a_failed_run_says_why(world: World[AgentifyMe], event: str) -> None:
    """In AgentifyMe's words, without the traceback; what is told has no words of its own then."""
    world.engine.form = "client"
    world.engine.default = Workflow(timeline=(("failed", None),), error="the model is away")
    execution = await world.ended(await send(world, event))
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
    world: World[AgentifyMe], event: str, fault: Fault, status: str, requests: int
) -> None:
    """The four ways an attempt can end, for jobs and for synchronous runs."""
    kind = "run" if event == "question" else "job"
    world.engine.faults[kind].append(fault)
    execution = await world.ended(await send(world, event))
    assert execution["status"] == status
    assert len(world.engine.seen(kind)) == requests  # type: ignore[arg-type]
    assert world.engine.seen("elsewhere") == []


async def test_a_job_is_looked_at_through_every_trouble(world: World[AgentifyMe]) -> None:
    """Refused, broken and unreadable answers to a poll end nothing."""
    faults = [
        Fault("bare_500"),
        Fault("truncated_json"),
        Fault("drop_before_run"),
        Fault("error", error="job_not_found"),
    ]
    world.engine.faults["result"].extend([*faults, Fault("gateway_502"), Fault("too_many_429")])
    execution = await world.ended(await send(world))
    assert execution["status"] == "completed"
    assert {record.status for record in world.engine.seen("result")} == {500, 200, 0, 404, 502, 429}


async def test_a_value_of_another_type_is_rejected_with_the_reason(world: World[AgentifyMe]) -> None:
    """Or the rule does not run: nothing goes out either way."""
    content = msgspec.json.encode({"type": "document", "text": "long", "words": "many"})
    headers = relay(content, secret=WHSEC, message_id="msg_1")
    answer = await world.client.post("/hooks/relay", content=content, headers=headers)
    assert answer.status_code == 422
    assert "variable 'words' is 'many', which is not a number" in answer.json()["detail"]
    assert world.engine.journal == []


async def test_a_run_longer_than_a_lease_stays_with_its_worker(store: Store, redis_url: str, tmp_path: Path) -> None:
    """A synchronous run of six seconds under a lease of four is not called lost by the other worker."""
    workflow = Workflow(timeline=(("pending", 6.0), ("completed", None)), result={"summary": "late"})
    async with (
        running(redis_url, tmp_path, agent(workflow), config(deadline="20s"), work=False) as world,
        workers(2, tmp_path / "bridge.yaml", redis_url, "tests.chaos.run_process"),
    ):
        execution = await world.ended(await send(world, "question"), 20)
    assert statuses(execution) == ["queued", "starting", "completed"]
    assert len(world.engine.seen("run")) == 1


# ------------------------------------------------------------------------------------------------- budgets, 4 workers

SECONDS = float(os.environ.get("BUDGET_SECONDS", "6"))
"""How long the workers are watched; set it to 150 for two whole minutes."""


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
    async with running(redis_url, tmp_path, agent(workflow), config(budget=budget), work=False) as world:
        world.engine.limits |= {"result": 300, "job": 600}
        async with workers(4, tmp_path / "bridge.yaml", redis_url) as logs:
            began = time.monotonic()
            ids = await asyncio.gather(*(send(world) for _ in range(50)))
            await asyncio.sleep(SECONDS)
            looked, took = len(world.engine.seen("result")), time.monotonic() - began
            ended = [await world.ended(id_, SECONDS + 60) for id_ in ids]
        # A tenth at once, then one every 225 ms. Unbounded, 50 runs would be looked at 500 to 1,000 times a second.
        assert took / 0.226 * 0.7 < looked <= 30 + took / 0.225 + 1
        assert {execution["status"] for execution in ended} == {"completed"}
        assert {record.status for record in world.engine.journal} == {200, 202}
        assert world.engine.most_in_a_minute("result") <= 300
        assert len({execution["remote_id"] for execution in ended}) == len(world.engine.seen("job")) == 50
        assert sum("execution.changed" in log.read_text() for log in logs) > 1  # it was not one of them alone


@pytest.mark.timeout(120)
async def test_four_workers_share_slots_and_a_429(store: Store, redis_url: str, tmp_path: Path) -> None:
    """Three run at once, however many wait; and what one worker is told, all of them heed."""
    workflow = Workflow(timeline=(("pending", 0.5), ("completed", None)), result={"summary": "x"})
    budget = "{at_once: 3, fetches_per_minute: null, triggers_per_minute: null}"
    async with (
        running(redis_url, tmp_path, agent(workflow), config(budget=budget), work=False) as world,
        workers(4, tmp_path / "bridge.yaml", redis_url),
    ):
        ids = await asyncio.gather(*(send(world) for _ in range(12)))
        ended = [await world.ended(id_, 30) for id_ in ids]
        assert {execution["status"] for execution in ended} == {"completed"}
        assert running_at_once(world.engine) == 3
        assert all(len(execution["history"]) == 4 for execution in ended)
        # Now it says 'too many' for two seconds: everybody who looks is told, and then nobody asks.
        world.engine.retry_after = "2"
        world.engine.default = Workflow(timeline=(("pending", 30.0),))
        ids = await asyncio.gather(*(send(world) for _ in range(3)))
        await asyncio.sleep(2)
        world.engine.limits["result"] = 0
        await asyncio.sleep(0.5)
        refused = [record.monotonic for record in world.engine.seen("result") if record.status == 429]
        await asyncio.sleep(1)
        again = [record.monotonic for record in world.engine.seen("result") if record.status == 429]
    assert 1 <= len(refused) <= 3
    assert again == refused
