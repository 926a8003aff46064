"""The emulated AgentifyMe: every answer of its page and of its client, its limits and its faults."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from bridge.emulators.agentifyme import CODES, ERRORS, LIMITS, AgentifyMe, Job, Workflow
from bridge.emulators.faults import Fault
from bridge.emulators.serving import Server

HEADERS = {"x-api-key": "k1", "x-wf-endpoint": "e1"}
QUICK = Workflow(timeline=(("completed", None),), result={"summary": "fine"})


@asynccontextmanager
async def served(emulator: AgentifyMe, **headers: str):
    async with Server(emulator), httpx.AsyncClient(base_url=emulator.url, headers={**HEADERS, **headers}) as client:
        yield client


async def submit(client: httpx.AsyncClient, path: str = "/v1/workflows/jobs", **body: Any) -> httpx.Response:
    return await client.post(path, json={"name": "summarize", **body})


async def test_a_job_goes_its_way():
    """202 with its id, then its statuses by the clock, then its result; base paths are of no importance."""
    now = [100.0]
    emulator = AgentifyMe(any_workflow=True, clock=lambda: now[0], default=Workflow(result={"a": 1}))
    async with served(emulator) as client:
        made = await submit(client, parameters={"n": 1})
        assert made.status_code == 202
        job = made.json()["jobId"]
        assert made.json() == {"jobId": job, "status": "pending"}
        first = await client.get(f"/v1/workflows/jobs/{job}")
        now[0] += 1
        last = await client.get(f"/v1/workflows/jobs/{job}")
    assert first.json() == {"jobId": job, "status": "pending", "executionTime": 7}
    assert last.json() == {"jobId": job, "status": "completed", "result": {"a": 1}, "executionTime": 7}
    [record] = emulator.seen("job")
    assert (record.key, record.endpoint, record.name) == ("k1", "e1", "summarize")
    assert (record.parameters, record.job_id, record.status) == ({"n": 1}, job, 202)
    assert [record.job_id for record in emulator.seen("result")] == [job, job]


def test_a_timeline_lasts_as_it_says():
    """Without seconds for ever; past its end it stays at the last; a terminal status is the end."""
    assert Job(Workflow(timeline=(("pending", None), ("completed", None))), 0).status(1e9) == "pending"
    assert Job(Workflow(timeline=(("pending", 1), ("RUNNING", 1))), 0).status(5) == "RUNNING"
    assert Job(Workflow(timeline=(("failed", 1), ("completed", None))), 0).status(5) == "failed"


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "timed_out"])
async def test_it_speaks_as_its_page_and_as_its_client(status):
    """Results as `result` or `data`, errors as text or as an object with a traceback, asynchronous or not."""
    workflow = Workflow(timeline=((status, None),), result={"a": 1}, error="no")
    for form, error in (("documented", "no"), ("client", {"message": "no", "errorType": "ValueError"})):
        emulator = AgentifyMe(any_workflow=True, default=workflow, form=form)
        async with served(emulator) as client:
            job = (await client.get(f"/workflows/jobs/{(await submit(client)).json()['jobId']}")).json()
            run = await submit(client, "/workflows/run")
        if status == "completed":
            name = "data" if form == "client" else "result"
            assert job[name] == run.json()[name] == {"a": 1}
            assert run.status_code == 200
        else:
            assert run.status_code == (200 if form == "client" else 500)
            assert job["error"] == run.json()["error"]
            assert job["error"] == error or error.items() <= job["error"].items()


async def test_a_synchronous_run_takes_its_time():
    """The answer comes when the timeline is over."""
    emulator = AgentifyMe(any_workflow=True, default=Workflow(timeline=(("pending", 0.2), ("completed", None))))
    loop = asyncio.get_running_loop()
    async with served(emulator) as client:
        began = loop.time()
        assert (await submit(client, "/workflows/run")).status_code == 200
        assert loop.time() - began >= 0.2
        emulator.faults["run"].append(Fault("drop_after_run"))
        with pytest.raises(httpx.RemoteProtocolError):
            await submit(client, "/workflows/run")
    assert [record.status for record in emulator.seen("run")] == [200, 0]


async def test_every_refusal_has_its_status_and_code():
    """As the page lists them; every one of them can be met."""
    emulator = AgentifyMe(keys=("k1",), workflows={"summarize": Workflow(parameters=frozenset({"a"}))})
    emulator.faults["job"].append(Fault("error", error="internal"))
    emulator.visible_after_seconds = 60
    async with served(emulator) as client:
        replies = {
            "internal": await submit(client),
            "invalid_key": await client.post("/workflows/jobs", json={}, headers={"x-api-key": "other"}),
            "missing_endpoint": await client.post("/workflows/jobs", json={}, headers={"x-wf-endpoint": ""}),
            "invalid_parameters": await submit(client, parameters={"b": 1}),
            "workflow_not_found": await client.post("/workflows/run", json={"name": "other"}),
            "job_not_found": await client.get(f"/workflows/jobs/{(await submit(client)).json()['jobId']}"),
        }
        bodies = [await client.post("/workflows/jobs", content=body) for body in (b"", b"[]", b'{"parameters": {}}')]
        emulator.limits["job"] = 0
        replies["too_many"] = await submit(client)
        assert (await client.get("/elsewhere")).status_code == 404
    assert set(replies) == set(ERRORS)
    for name, reply in replies.items():
        status, text = ERRORS[name]  # type: ignore[index]
        assert reply.status_code == status
        if name != "internal":
            assert reply.json() == {"error": text, "code": CODES[status], "details": {}}
    assert [reply.status_code for reply in bodies] == [400] * 3
    assert LIMITS == {"run": 100, "job": 1000, "result": 500}


@pytest.mark.parametrize(("shape", "start"), [("message", '{"message"'), ("text", "Invalid"), ("html", "<html>")])
async def test_refusals_may_have_another_form(shape, start):
    """What a gateway in front of it might say instead."""
    emulator = AgentifyMe(keys=())
    emulator.shape = shape
    async with served(emulator) as client:
        assert (await submit(client)).text.startswith(start)


async def test_it_counts_any_minute_and_answers_429():
    """Without Retry-After, as far as anybody knows; with it, if a test asks for that."""
    now = [0.0]
    emulator = AgentifyMe(any_workflow=True, default=QUICK, clock=lambda: now[0])
    emulator.limits["result"] = 2
    async with served(emulator) as client:
        path = f"/workflows/jobs/{(await submit(client)).json()['jobId']}"

        async def looked() -> httpx.Response:
            return await client.get(path)

        assert [(await looked()).status_code for _ in range(3)] == [200, 200, 429]
        assert "retry-after" not in (await looked()).headers
        emulator.retry_after = "7"
        assert (await looked()).headers["retry-after"] == "7"
        now[0] = 60.5
        assert (await looked()).status_code == 200
    assert emulator.most_in_a_minute("result") == 6
    assert emulator.most_in_a_minute("run") == 0


async def test_its_faults_are_those_of_every_engine():
    """Whether anything ran is in the journal, whatever the client got to see."""
    emulator = AgentifyMe(any_workflow=True, default=QUICK)
    async with served(emulator) as client:
        for fault, on in (
            ({"fault": "drop_before_run", "reset": True}, "job"),
            ({"fault": "drop_after_run"}, "job"),
            ({"fault": "gateway_502"}, "job"),
            ({"fault": "truncated_json"}, "job"),
            ({"fault": "bare_500"}, "result"),
        ):
            assert (await client.post("/_emulator/faults", json={"on": on, **fault})).status_code == 204
        for _ in range(2):
            with pytest.raises(httpx.TransportError):
                await submit(client)
        gateway, broken, good = [await submit(client) for _ in range(3)]
        assert (gateway.status_code, broken.status_code, good.status_code) == (502, 202, 202)
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(broken.text)
        path = f"/workflows/jobs/{good.json()['jobId']}"
        assert [(await client.get(path)).status_code for _ in range(2)] == [500, 200]
        await client.post("/_emulator/faults", json={"on": "run", "fault": "delay", "times": 0})
        assert (await client.delete("/_emulator/faults")).status_code == 204
        assert (
            await client.post("/_emulator/faults", json={"on": "run", "fault": "error", "error": "x"})
        ).status_code == 400
    jobs = emulator.seen("job")
    assert [record.fault for record in jobs] == [
        "drop_before_run",
        "drop_after_run",
        "gateway_502",
        "truncated_json",
        "",
    ]
    assert [record.job_id is not None for record in jobs] == [False, True, False, True, True]
    assert [record.status for record in jobs] == [0, 0, 502, 202, 202]
    assert emulator.faults["run"] == type(emulator.faults["run"])()


async def test_it_is_steered_over_http():
    """Workflows can be given, the journal read, and what followed a redirect is seen with its key."""
    emulator = AgentifyMe()
    async with served(emulator) as client:
        workflow = {"timeline": [["completed", None]], "result": {"a": "b"}}
        assert (await client.post("/_emulator/workflows/summarize", json=workflow)).status_code == 204
        assert (await submit(client, "/workflows/run")).json()["result"] == {"a": "b"}
        assert (await client.get("/_emulator/elsewhere")).text == "elsewhere"
        kinds = [(record["kind"], record["key"]) for record in (await client.get("/_emulator/journal")).json()]
        assert (await client.put("/_emulator/nothing")).status_code == 404
    assert kinds == [("run", "k1"), ("elsewhere", "k1")]
