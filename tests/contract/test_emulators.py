"""The emulators over real sockets: every endpoint, every refusal, every fault."""

import asyncio
import hashlib
import json
import logging
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs

import httpx
import msgspec
import pytest
import standardwebhooks

from bridge.emulators import github, slack_sender
from bridge.emulators.emulator import Emulator
from bridge.emulators.exchange import Answer, Exchange, Scripted, http_date, json_answer
from bridge.emulators.faults import Fault
from bridge.emulators.genesis import PAYLOAD_LIMIT_BYTES, Genesis
from bridge.emulators.genesis_faults import ERRORS
from bridge.emulators.genesis_runs import Template
from bridge.emulators.receiver import Receiver, relay
from bridge.emulators.serving import Server
from bridge.emulators.signing import slack_signature, webhook_signature
from bridge.emulators.slack import Slack, error, ratelimited, slash

UUID = "7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44"
OTHER = "7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c45"
KEY = {"x-api-key": "k1"}
TRIGGER = f"/api/workflows/{UUID}/trigger"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx would read the CA bundle for each client
BEARER = {"authorization": "Bearer xoxb-1"}


class Clock:
    """A clock that moves when told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def served(app: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an emulator and give a client of it."""
    async with Server(app) as server, httpx.AsyncClient(base_url=server.url, timeout=5, verify=NO_TLS) as client:
        yield client


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens in the server, which has no event to give
        await asyncio.sleep(0.005)


async def run(client: httpx.AsyncClient, body: object = None, template: str = UUID) -> str:
    """Trigger a workflow and give the execution's id."""
    reply = await client.post(f"/api/workflows/{template}/trigger", json=body or {}, headers=KEY)
    assert reply.status_code == 200, reply.text
    assert reply.json()["success"] is True
    return reply.json()["executionId"]


async def fetch(client: httpx.AsyncClient, execution_id: str) -> dict:
    """Read an execution."""
    reply = await client.get(f"/api/executions/{execution_id}", headers=KEY)
    assert reply.status_code == 200, reply.text
    return reply.json()


# --- the server ---------------------------------------------------------------------------------------------------


class Odd(Emulator):
    """An app whose one answer waits, to be cut short."""

    async def handle(self, exchange: Exchange) -> Answer:
        self.journal.append(exchange.client)
        return Answer(delay_seconds=30)


async def test_server_takes_a_free_port_and_tells_the_app():
    """A server on port 0 finds a port, and the emulator knows its address."""
    app = Genesis(any_template=True)
    async with Server(app) as server:
        assert server.url == app.url == f"http://127.0.0.1:{server.port}"
        assert server.port > 0


async def test_server_entered_again_keeps_its_port():
    """An outage is leaving and entering: refused in between, the same address and journal afterwards."""
    app = Genesis(any_template=True)
    server = Server(app)
    async with server, httpx.AsyncClient(base_url=server.url, verify=NO_TLS) as client:
        await run(client)
    port = server.port
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(verify=NO_TLS) as client:
            await client.post(server.url + TRIGGER)
    async with server, httpx.AsyncClient(base_url=server.url, verify=NO_TLS) as client:
        await run(client)
    assert server.port == port
    assert len(app.triggers) == 2


async def test_server_says_that_a_port_is_taken():
    """A taken port is an OSError to the caller, and leaving a server that never started is harmless."""
    async with Server(Genesis()) as server:
        second = Server(Genesis(), port=server.port)
        with pytest.raises(OSError, match="in use"):
            await second.__aenter__()
        await second.__aexit__(None, None, None)


async def test_server_stops_at_once_and_silently(caplog):
    """Stopping cuts a connection that waits for a delayed answer and an idle one, logs nothing and leaves no task."""
    caplog.set_level(logging.INFO)
    app = Odd()
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        async with Server(app) as server:
            waiting = asyncio.ensure_future(client.post(server.url, content=b"never read"))
            idle, writer = await asyncio.open_connection(server.host, server.port)
            await until(lambda: app.journal)
            begun = time.monotonic()
        assert time.monotonic() - begun < 1
        with pytest.raises(httpx.TransportError):
            await waiting
        assert await idle.read() == b""
        writer.close()
        await writer.wait_closed()
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("ticks", range(6))
async def test_server_stops_in_the_middle_of_an_accept(ticks):
    """A connection made in the very moment of stopping is cut, however far the server has come with it."""
    async with Server(Receiver()) as server:
        with socket.create_connection((server.host, server.port)) as late:
            for _ in range(ticks):
                await asyncio.sleep(0)
            await server.__aexit__(None, None, None)
            late.settimeout(1)
            with suppress(ConnectionResetError):
                assert late.recv(1) == b""


async def test_server_stops_while_a_client_does_not_read(caplog):
    """A huge answer that nobody reads does not hold up the stop, and is no error in the log."""
    app = Receiver()
    app.answers.add(Answer(pad_bytes=50_000_000))
    async with Server(app) as server:
        _, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        await until(lambda: app.journal)
        await asyncio.sleep(0.05)
        begun = time.monotonic()
    assert time.monotonic() - begun < 1
    writer.close()
    assert caplog.records == []


def test_server_serves_what_emulate_needs_on_uvloop():
    """On uvloop the same server answers, drops, resets and stops."""
    script = f"""
import asyncio, sys, httpx, uvloop
from bridge.emulators.genesis import Genesis, Fault
from bridge.emulators.serving import Server
async def main():
    app = Genesis(any_template=True)
    app.trigger_faults.append(Fault("drop_after_run"))
    app.trigger_faults.append(Fault("drop_before_run", reset=True))
    app.trigger_faults.append(Fault("delay", seconds=30))
    async with httpx.AsyncClient() as client:
        async with Server(app) as server:
            for expected in (httpx.RemoteProtocolError, httpx.ReadError):
                try:
                    await client.post(server.url + "{TRIGGER}", json={{}}, headers={{"x-api-key": "k"}})
                except expected:
                    print("ok", end=" ")
            request = client.post(server.url + "{TRIGGER}", json={{}}, headers={{"x-api-key": "k"}})
            waiting = asyncio.ensure_future(request)
            while len(app.triggers) < 3:
                await asyncio.sleep(0.005)
        try:
            await waiting
        except httpx.TransportError:
            print(len(app.executions))
uvloop.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ok ok 2\n", "")


async def test_half_a_request_is_never_acted_on():
    """A client that hangs up in the middle of its body has started nothing."""
    app = Genesis(any_template=True)
    async with Server(app) as server:
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(f"POST {TRIGGER} HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\ncontent-length: 100\r\n\r\n{{".encode())
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
        assert app.journal == []
        assert app.executions == {}


async def test_an_emulator_says_what_it_must_be_given():
    """The base of all emulators plays nothing by itself."""
    exchange: Exchange = None
    for part in (Emulator().handle, Emulator().control):
        with pytest.raises(NotImplementedError):
            await part(exchange)


# --- Genesis: the documented way ----------------------------------------------------------------------------------


async def test_genesis_runs_a_workflow_to_its_end():
    """An execution goes pending, running, completed with the clock, and counts its blocks on the way."""
    clock = Clock(0.0)
    template = Template(
        timeline=(("pending", 1.0), ("running", 10.0)), blocks=5, outputs={"summary": "All green", "data": {"n": 1}}
    )
    async with served(Genesis(templates={UUID.upper(): template}, clock=clock)) as client:
        execution_id = await run(client, {"url": "https://x"})
        seen = []
        for moment in (0.0, 1.0, 3.0, 10.9, 11.0, 500.0):
            clock.now = moment
            shown = await fetch(client, execution_id)
            seen.append((shown["status"], shown["completedBlocks"]))
    assert seen == [
        ("pending", 0),
        ("running", 0),
        ("running", 1),
        ("running", 4),
        ("completed", 5),
        ("completed", 5),
    ]
    assert shown["blockCount"] == 5
    assert list(shown["state"]["blocks"]) == ["block-1", "block-2", "block-3", "summary", "data"]
    assert shown["state"]["blocks"]["summary"]["output"] == "All green"
    assert shown["state"]["blocks"]["data"]["output"] == {"n": 1}
    assert shown["state"]["blocks"]["block-1"]["output"] is None


async def test_genesis_shows_an_execution_in_the_documented_shape():
    """A running execution carries every documented field, with Genesis's form of timestamps and ids."""
    clock = Clock(0.0)
    template = Template(timeline=(("pending", 1.0), ("running", 4.0)), blocks=2, outputs={"report": "r"}, name="E2E")
    async with served(Genesis(templates={UUID: template}, clock=clock)) as client:
        execution_id = await run(client, {"a": "ä"})
        clock.now = 3.0
        shown = await fetch(client, execution_id)
    state = shown.pop("state")
    stamps = [shown[name] for name in ("createdAt", "startedAt", "updatedAt")]
    moments = [datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ") for stamp in stamps]  # noqa: DTZ007 - ends in Z
    assert all(len(stamp) == 24 for stamp in stamps)
    assert (moments[1] - moments[0]).total_seconds() == pytest.approx(1.0, abs=0.002)
    assert shown | dict.fromkeys(("createdAt", "startedAt", "updatedAt"), "") == {
        "id": execution_id,
        "status": "running",
        "workflowName": "E2E",
        "blockCount": 2,
        "completedBlocks": 1,
        "createdAt": "",
        "updatedAt": "",
        "startedAt": "",
        "finishedAt": None,
        "cancelRequestedAt": None,
        "cancelReason": None,
        "error": None,
        "triggerType": "api",
        "triggerPayload": {"a": "ä"},
        "triggerMetadata": {
            "ip": "127.0.0.1",
            "userAgent": f"python-httpx/{httpx.__version__}",
            "apiKeyId": "ak_" + hashlib.sha256(b"k1").hexdigest()[:12],
        },
    }
    assert state == {
        "workflowId": UUID,
        "executionId": execution_id,
        "status": "running",
        "createdAt": stamps[0],
        "updatedAt": stamps[2],
        "blocks": {
            "block-1": {
                "status": "completed",
                "startTime": stamps[1],
                "endTime": stamps[2],
                "inputs": {},
                "output": None,
            },
            "report": {"status": "running", "startTime": stamps[1], "endTime": None, "inputs": {}, "output": None},
        },
    }


async def test_genesis_waits_for_a_review():
    """A review without seconds waits until approved, over HTTP or in Python; only a pending review can be approved."""
    clock = Clock(0.0)
    review = (("running", 2.0), ("review_pending", None), ("running", 2.0), ("review_pending", None))
    genesis = Genesis(templates={UUID: Template(timeline=review, blocks=4)}, clock=clock)
    async with served(genesis) as client:
        execution_id = await run(client)
        approve = f"/_emulator/executions/{execution_id}/approve"
        assert (await client.post(approve)).json() == {"approved": False}
        clock.now = 1000.0
        shown = await fetch(client, execution_id)
        assert (shown["status"], shown["completedBlocks"], shown["finishedAt"]) == ("review_pending", 2, None)
        assert (await client.post(approve)).json() == {"approved": True}
        clock.now = 1001.0
        assert (await fetch(client, execution_id))["completedBlocks"] == 3
        clock.now = 1003.0
        assert genesis.status_of(execution_id) == "review_pending"
        assert genesis.approve(execution_id)
        assert (await fetch(client, execution_id))["status"] == "completed"
        assert (await client.post("/_emulator/executions/none/approve")).status_code == 404


async def test_genesis_reviews_with_seconds_approve_themselves():
    """A review with seconds is over after them, for a demo without a person."""
    clock = Clock(0.0)
    timeline = (("review_pending", 5.0), ("completed", None))
    async with served(Genesis(templates={UUID: Template(timeline=timeline)}, clock=clock)) as client:
        execution_id = await run(client)
        assert (await fetch(client, execution_id))["status"] == "review_pending"
        clock.now = 5.0
        assert (await fetch(client, execution_id))["status"] == "completed"


@pytest.mark.parametrize(
    ("status", "message", "final"),
    [
        ("skipped", None, True),
        ("failed", "Block 2 failed", True),
        ("failed", None, True),
        ("cancelled", None, True),
        ("paused_by_moon", None, False),
    ],
)
async def test_genesis_ends_as_scripted(status, message, final):
    """Every other ending, a failure without a reason and an unknown status included, shows as scripted."""
    clock = Clock(0.0)
    template = Template(timeline=(("pending", 1.0), (status, None)), error=message)
    async with served(Genesis(templates={UUID: template}, clock=clock)) as client:
        execution_id = await run(client)
        clock.now = 99.0
        shown = await fetch(client, execution_id)
    assert (shown["status"], shown["error"], shown["startedAt"]) == (status, message, None)
    assert (shown["finishedAt"] is not None) is final
    assert shown["completedBlocks"] == 0


async def test_genesis_never_counts_all_blocks_of_a_failed_execution():
    """A failure after all the running time leaves at least one block undone."""
    clock = Clock(0.0)
    template = Template(timeline=(("running", 1.0), ("failed", None)), blocks=3)
    async with served(Genesis(templates={UUID: template}, clock=clock)) as client:
        execution_id = await run(client)
        clock.now = 2.0
        shown = await fetch(client, execution_id)
    assert (shown["completedBlocks"], shown["state"]["blocks"]["block-3"]["status"]) == (2, "failed")


async def test_genesis_lets_a_newer_execution_cancel_older_ones():
    """With cancel_previous a new execution supersedes pending and running ones of its workflow, and no others."""
    clock = Clock(0.0)
    timeline = (("pending", 1.0), ("running", 1.0), ("review_pending", None))
    policy = Template(cancel_previous=True, timeline=timeline)
    async with served(Genesis(templates={UUID: policy, OTHER: policy}, clock=clock)) as client:
        reviewed = await run(client)
        clock.now = 2.0
        other, older = await run(client, template=OTHER), await run(client)
        clock.now = 2.5
        newer = await run(client)
        shown = await fetch(client, older)
        assert (shown["status"], shown["cancelReason"]) == ("cancelled", "Superseded by a newer execution")
        assert shown["cancelRequestedAt"] == shown["finishedAt"] is not None
        statuses = [(await fetch(client, one))["status"] for one in (reviewed, other, newer)]
    assert statuses == ["review_pending", "pending", "pending"]


async def test_genesis_may_cancel_reviews_and_take_its_time():
    """Reviews are cancelled where scripted; until cancel_seconds are over only cancelRequestedAt shows it."""
    clock = Clock(0.0)
    timeline = (("review_pending", None),)
    policy = Template(cancel_previous=True, cancel_reviews_too=True, cancel_seconds=5.0, timeline=timeline)
    async with served(Genesis(templates={UUID: policy}, clock=clock)) as client:
        first = await run(client)
        clock.now = 1.0
        second = await run(client)
        clock.now = 2.0
        await run(client)  # asks again: the first request stands
        shown = await fetch(client, first)
        assert (shown["status"], shown["finishedAt"]) == ("review_pending", None)
        assert shown["cancelRequestedAt"] is not None
        clock.now = 6.0
        assert (await fetch(client, first))["status"] == "cancelled"
        assert (await fetch(client, second))["status"] == "review_pending"


async def test_genesis_may_finish_before_a_cancellation_lands():
    """An execution that ends while its cancellation is under way stays what it is."""
    clock = Clock(0.0)
    policy = Template(cancel_previous=True, cancel_seconds=5.0, timeline=(("running", 3.0), ("failed", None)))
    async with served(Genesis(templates={UUID: policy}, clock=clock)) as client:
        first = await run(client)
        await run(client)
        clock.now = 60.0
        assert (await fetch(client, first))["status"] == "failed"


@pytest.mark.parametrize(
    ("omit", "there"),
    [
        ({"state"}, lambda shown: "state" not in shown),
        ({"blocks"}, lambda shown: "blocks" not in shown["state"]),
        ({"output"}, lambda shown: "output" not in shown["state"]["blocks"]["block-1"]),
    ],
)
async def test_genesis_may_leave_out_optional_parts(omit, there: Callable[[dict], bool]):
    """The parts the vendor's own client does not count on can be missing."""
    async with served(Genesis(templates={UUID: Template(omit=frozenset(omit))})) as client:
        assert there(await fetch(client, await run(client)))


async def test_genesis_ids_are_opaque():
    """An id with a slash and other letters is found again when it was escaped in the path."""
    async with served(Genesis(any_template=True, new_id=lambda: "run/1 ä")) as client:
        assert (await fetch(client, (await run(client)).replace("/", "%2F")))["id"] == "run/1 ä"
        assert (await client.get("/api/executions/run/1 ä", headers=KEY)).status_code == 404


async def test_genesis_hides_a_fresh_execution():
    """A template can make its executions unfindable for their first seconds."""
    clock = Clock(0.0)
    template = Template(visible_after_seconds=2.0, timeline=(("running", None),))
    async with served(Genesis(templates={UUID: template}, clock=clock)) as client:
        execution_id = await run(client)
        reply = await client.get(f"/api/executions/{execution_id}", headers=KEY)
        assert (reply.status_code, reply.json()) == (404, {"error": "Execution not found"})
        clock.now = 2.0
        assert (await fetch(client, execution_id))["status"] == "running"


async def test_genesis_answers_any_2xx():
    """The status of a successful trigger is not documented, so it can be another 2xx."""
    genesis = Genesis(any_template=True, default=Template(name="D"))
    genesis.trigger_status = 202
    async with served(genesis) as client:
        reply = await client.post(TRIGGER, json={}, headers=KEY)
        assert reply.status_code == 202
        assert (await fetch(client, reply.json()["executionId"]))["workflowName"] == "D"


async def test_genesis_knows_no_other_routes():
    """Any other path or method is a plain 404."""
    async with served(Genesis(any_template=True)) as client:
        for method, path in (("GET", TRIGGER), ("GET", "/"), ("POST", "/api/executions/x")):
            reply = await client.request(method, path, headers=KEY)
            assert (reply.status_code, reply.text) == (404, "Not Found")


# --- Genesis: every refusal ---------------------------------------------------------------------------------------

REFUSALS = [
    ("missing_key", {"headers": {}}),
    ("missing_key", {"headers": {"x-api-key": ""}}),
    ("invalid_key", {"headers": {"x-api-key": "nobody"}}),
    ("key_without_organization", {"headers": {"x-api-key": "orphan"}}),
    ("unauthorized", {"headers": {"x-api-key": "leaver"}}),
    ("other_organization", {"headers": {"x-api-key": "stranger"}}),
    ("usage_limit", {"headers": {"x-api-key": "broke"}}),
    ("invalid_json", {"content": b"{"}),
    ("invalid_json", {"content": b""}),
    ("invalid_json", {"content": b'{"a": "\xff"}'}),
    ("invalid_json", {"content": b"[" * 100_000}),
    ("too_large", {"content": b'{"a": "' + b"x" * (PAYLOAD_LIMIT_BYTES + 1_000_000) + b'"}'}),
    ("not_strings", {"json": {"a": 1}}),
    ("not_strings", {"json": {"a": None}}),
    ("not_strings", {"json": {"a": True}}),
    ("not_strings", {"json": {"a": ["x"]}}),
    ("not_strings", {"json": ["a"]}),
    ("unexpected_fields", {"json": {"a": "1", "zzz": "1"}}),
    ("missing_fields", {"json": {}}),
    ("template_not_found", {"url": f"/api/workflows/{UUID[:-1]}0/trigger"}),
    ("template_not_found", {"url": f"/api/workflows/{UUID[:-1]}1/trigger"}),
    ("invalid_template_id", {"url": "/api/workflows/e2e/trigger"}),
    ("invalid_template_id", {"url": f"/api/workflows/{UUID}x/trigger"}),
    ("no_project", {"url": f"/api/workflows/{UUID[:-1]}2/trigger"}),
    ("project_not_found", {"url": f"/api/workflows/{UUID[:-1]}3/trigger"}),
    ("execution_not_found", {"method": "GET", "url": "/api/executions/nope"}),
]


def genesis_with_all_troubles(shape: str = "error") -> Genesis:
    """Build a Genesis with a key or a template for each refusal."""
    return Genesis(
        keys={
            "k1": None,
            "orphan": "key_without_organization",
            "leaver": "unauthorized",
            "stranger": "other_organization",
            "broke": "usage_limit",
        },
        templates={
            UUID: Template(variables=frozenset({"a", "b"}), required=frozenset({"a"})),
            UUID[:-1] + "1": Template(api_enabled=False),
            UUID[:-1] + "2": Template(project=False),
            UUID[:-1] + "3": Template(project_deleted=True),
        },
        shape=shape,
    )


@pytest.mark.parametrize(("name", "request_"), REFUSALS)
async def test_genesis_refuses(name, request_):
    """Each documented refusal has its exact status and text, starts nothing and is in the journal."""
    genesis = genesis_with_all_troubles()
    wanted = {"method": "POST", "url": TRIGGER, "headers": KEY} | request_
    wanted |= {} if wanted.keys() & {"json", "content"} or wanted["method"] == "GET" else {"json": {"a": "1"}}
    async with served(genesis) as client:
        reply = await client.request(**wanted)
    status, text = ERRORS[name]
    assert (reply.status_code, reply.json()) == (status, {"error": text})
    assert genesis.executions == {}
    assert [record.status for record in genesis.journal] == [status]


def test_genesis_refusals_are_all_tried():
    """No refusal is missing from the table above."""
    assert {name for name, _ in REFUSALS} == set(ERRORS)


async def test_genesis_takes_exactly_ten_megabytes():
    """The limit itself is not over the limit."""
    genesis = genesis_with_all_troubles()
    async with served(genesis) as client:
        body = b'{"a": "' + b"x" * (PAYLOAD_LIMIT_BYTES - 9) + b'"}'
        assert len(body) == PAYLOAD_LIMIT_BYTES
        reply = await client.post(TRIGGER, content=body, headers=KEY)
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("shape", "body", "content_type"),
    [
        ("error", '{"error":"Invalid API key"}', "application/json"),
        ("success_false", '{"success":false,"error":"Invalid API key"}', "application/json"),
        ("message", '{"message":"Invalid API key"}', "application/json"),
        ("text", "Invalid API key", "text/plain; charset=utf-8"),
        ("html", "<h1>401 Invalid API key</h1>", "text/html"),
    ],
)
async def test_genesis_refuses_in_every_shape(shape, body, content_type):
    """The undocumented form of a refusal's body can be chosen."""
    async with served(genesis_with_all_troubles(shape)) as client:
        reply = await client.post(TRIGGER, json={}, headers={"x-api-key": "nobody"})
    assert reply.status_code == 401
    assert reply.headers["content-type"] == content_type
    assert body in reply.text


async def test_genesis_reads_go_on_without_credits_but_not_without_rights():
    """Used-up credits stop new executions only; a bad key also blinds the reader."""
    genesis = genesis_with_all_troubles()
    async with served(genesis) as client:
        execution_id = await run(client, {"a": "1"})
        codes = [
            (await client.get(f"/api/executions/{execution_id}", headers={"x-api-key": key})).status_code
            for key in ("broke", "leaver", "nobody")
        ]
    assert codes == [200, 403, 401]


# --- Genesis: every fault -----------------------------------------------------------------------------------------


async def faulty(fault: Fault, **options) -> tuple[Genesis, httpx.Response]:
    """Trigger once with a fault and once without, and forget the second."""
    genesis = Genesis(any_template=True)
    genesis.trigger_faults.append(fault)
    async with served(genesis) as client:
        reply = await client.post(TRIGGER, json={"a": "1"}, headers=KEY, **options)
        assert (await client.post(TRIGGER, json={}, headers=KEY)).status_code == 200, "the fault is used up"
    genesis.journal.pop()
    genesis.executions.popitem()
    return genesis, reply


@pytest.mark.parametrize(
    ("fault", "raised", "runs", "variables"),
    [
        (Fault("drop_after_run"), httpx.RemoteProtocolError, 1, {"a": "1"}),
        (Fault("drop_after_run", reset=True), httpx.ReadError, 1, {"a": "1"}),
        (Fault("drop_before_run"), httpx.RemoteProtocolError, 0, {"a": "1"}),
        (Fault("drop_before_run", reset=True), (httpx.ReadError, httpx.WriteError), 0, None),
    ],
)
async def test_genesis_drops_the_connection(fault, raised, runs, variables):
    """A dropped connection gives no answer, by FIN or by RST; the journal knows whether the workflow runs."""
    genesis = Genesis(any_template=True)
    genesis.trigger_faults.append(fault)
    async with served(genesis) as client:
        with pytest.raises(raised):
            await client.post(TRIGGER, json={"a": "1"}, headers=KEY)
    (record,) = genesis.triggers
    assert (record.fault, record.status, record.variables) == (fault.kind, 0, variables)
    assert len(genesis.executions) == runs
    assert record.execution_id == next(iter(genesis.executions), None)


async def test_genesis_answers_late():
    """A delayed answer is a good answer that comes after its seconds; a client with less patience has still run it."""
    begun = time.monotonic()
    genesis, reply = await faulty(Fault("delay", seconds=0.2))
    assert time.monotonic() - begun > 0.2
    assert reply.json()["executionId"] in genesis.executions
    genesis.trigger_faults.append(Fault("delay", seconds=20))
    async with served(genesis) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(TRIGGER, json={}, headers=KEY, timeout=0.1)
    assert len(genesis.executions) == 2


@pytest.mark.parametrize(
    ("fault", "status", "retry_after", "text"),
    [
        (Fault("gateway_502"), 502, None, "<h1>502 Bad Gateway</h1>"),
        (Fault("bare_500"), 500, None, "Internal Server Error"),
        (Fault("bare_500", text="boom"), 500, None, "boom"),
        (Fault("unavailable_503"), 503, None, "Service Unavailable"),
        (Fault("unavailable_503", retry_after="2"), 503, "2", "Service Unavailable"),
        (Fault("too_many_429"), 429, None, '{"error":"Too Many Requests"}'),
        (Fault("too_many_429", retry_after="7"), 429, "7", '{"error":"Too Many Requests"}'),
        (Fault("error", error="usage_limit"), 403, None, '{"error":"Usage limit reached"}'),
        (Fault("error", status=418, text="teapot"), 418, None, '{"error":"teapot"}'),
        (Fault("success_false"), 200, None, '{"success":false}'),
    ],
)
async def test_genesis_answers_badly_without_running(fault, status, retry_after, text):
    """Gateway pages, bare errors, rate limits and `success: false` start nothing."""
    genesis, reply = await faulty(fault)
    assert (reply.status_code, reply.headers.get("retry-after")) == (status, retry_after)
    assert text in reply.text
    assert genesis.executions == {}
    assert [(record.fault, record.status) for record in genesis.triggers] == [(fault.kind, status)]


async def test_genesis_may_run_behind_an_error():
    """A gateway that gives up after the workflow has started is told with `runs`."""
    genesis, reply = await faulty(Fault("gateway_502", runs=True))
    assert reply.status_code == 502
    assert genesis.triggers[0].execution_id in genesis.executions


async def test_genesis_truncates():
    """An answer can break off before its Content-Length, or be complete in bytes and broken as JSON; both have run."""
    genesis = Genesis(any_template=True)
    genesis.trigger_faults.append(Fault("truncated_body"))
    async with served(genesis) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            await client.post(TRIGGER, json={}, headers=KEY)
    assert len(genesis.executions) == 1
    genesis, reply = await faulty(Fault("truncated_json"))
    assert reply.text.startswith('{"success":true,')
    with pytest.raises(json.JSONDecodeError):
        reply.json()
    assert len(genesis.executions) == 1


async def test_genesis_drips():
    """A slow body arrives byte by byte: no single wait is long, the whole is."""
    genesis = Genesis(any_template=True)
    genesis.trigger_faults.append(Fault("drip", seconds=0.3))
    async with served(genesis) as client:
        begun = time.monotonic()
        async with client.stream("POST", TRIGGER, json={}, headers=KEY, timeout=0.2) as reply:
            pieces = [piece async for piece in reply.aiter_raw()]
    assert time.monotonic() - begun > 0.3
    assert len(pieces) > 10
    assert json.loads(b"".join(pieces))["executionId"] in genesis.executions


async def test_genesis_sends_fifty_megabytes():
    """A huge answer streams its bytes and is valid to the last; a client may also stop reading."""
    genesis, reply = await faulty(Fault("huge_body"))
    assert len(reply.content) > 50_000_000
    assert reply.json()["executionId"] in genesis.executions
    genesis.trigger_faults.append(Fault("huge_body"))
    async with served(genesis) as client, client.stream("POST", TRIGGER, json={}, headers=KEY) as streamed:
        assert len(await anext(streamed.aiter_raw())) < 1_000_000


@pytest.mark.parametrize("status", [302, 307])
async def test_genesis_redirects_and_sees_a_leaked_key(status):
    """Whoever follows a redirect to another host shows there whether the key came along."""
    elsewhere = Genesis()
    genesis = Genesis(any_template=True)
    async with served(elsewhere), served(genesis) as client:
        target = elsewhere.url + "/_emulator/elsewhere"
        genesis.trigger_faults.append(Fault("redirect", location=target, status=status, times=2))
        reply = await client.post(TRIGGER, json={}, headers=KEY)
        assert (reply.status_code, reply.headers["location"]) == (status, target)
        assert elsewhere.journal == []
        reply = await client.post(TRIGGER, json={}, headers=KEY, follow_redirects=True)
        assert reply.text == "elsewhere"
    assert [(record.kind, record.key) for record in elsewhere.journal] == [("elsewhere", "k1")]
    assert genesis.executions == {}
    assert Fault("redirect").location == "/_emulator/elsewhere"


@pytest.mark.parametrize("name", ["invalid_key", "unauthorized", "execution_not_found"])
async def test_genesis_refuses_while_polling(name):
    """A read can be refused a number of times, a fresh execution's 404 included, and works afterwards."""
    genesis = Genesis(any_template=True)
    async with served(genesis) as client:
        execution_id = await run(client)
        genesis.fetch_faults.append(Fault("error", error=name, times=2))
        replies = [await client.get(f"/api/executions/{execution_id}", headers=KEY) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [ERRORS[name][0]] * 2 + [200]
    assert replies[0].json() == {"error": ERRORS[name][1]}
    assert [record.execution_id for record in genesis.fetches] == [execution_id] * 3


async def test_genesis_reads_suffer_the_same_faults():
    """A read can be dropped, truncated and made huge like a trigger."""
    genesis = Genesis(any_template=True)
    kinds = [Fault("drop_after_run"), Fault("truncated_json"), Fault("gateway_502"), Fault("huge_body", size_bytes=10)]
    genesis.fetch_faults.extend(kinds)
    async with served(genesis) as client:
        path = f"/api/executions/{await run(client)}"
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(path, headers=KEY)
        replies = [await client.get(path, headers=KEY) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 502, 200]
    assert replies[2].text.endswith("}" + " " * 10)
    assert [record.status for record in genesis.fetches] == [0, 200, 502, 200]


async def test_genesis_faults_can_be_for_one_workflow_and_for_good():
    """A fault for one workflow spares the others; one with times 0 stays until cleared."""
    genesis = Genesis(any_template=True)
    genesis.trigger_faults.append(Fault("bare_500", template=OTHER.upper(), times=0))
    async with served(genesis) as client:
        await run(client)
        for _ in range(3):
            assert (await client.post(f"/api/workflows/{OTHER}/trigger", json={}, headers=KEY)).status_code == 500
        assert (await client.delete("/_emulator/faults")).status_code == 204
        await run(client, template=OTHER)


# --- Genesis: steered and watched from outside --------------------------------------------------------------------


async def test_genesis_is_steered_over_http():
    """Templates, keys and faults can be set over HTTP, and the journal be read and cleared."""
    async with served(Genesis()) as client:
        template = {"variables": ["a"], "timeline": [["completed", None]], "blocks": 1}
        assert (await client.post(f"/_emulator/templates/{UUID}", json=template)).status_code == 204
        assert (await client.post("/_emulator/keys/k1", json={})).status_code == 204
        assert (await client.post("/_emulator/keys/k2", json={"problem": "unauthorized"})).status_code == 204
        for order in ({"on": "trigger", "fault": "bare_500"}, {"on": "fetch", "fault": "error", "times": 2}):
            assert (await client.post("/_emulator/faults", json=order)).status_code == 204
        assert (await client.post(TRIGGER, json={"a": "1"}, headers=KEY)).status_code == 500
        assert (await client.post(TRIGGER, json={"a": "1"}, headers={"x-api-key": "k2"})).status_code == 403
        execution_id = await run(client, {"a": "1"})
        assert (await client.get(f"/api/executions/{execution_id}", headers=KEY)).status_code == 401
        journal = (await client.get("/_emulator/journal")).json()
        assert (await client.delete("/_emulator/journal")).status_code == 204
        assert (await client.get("/_emulator/journal")).json() == []
    assert [(one["kind"], one["fault"], one["status"], one["key"], one["execution_id"]) for one in journal] == [
        ("trigger", "bare_500", 500, "k1", None),
        ("trigger", "", 403, "k2", None),
        ("trigger", "", 200, "k1", execution_id),
        ("fetch", "error", 401, "k1", execution_id),
    ]
    assert journal[0]["variables"] == {"a": "1"}
    assert journal[0]["template_id"] == UUID
    assert journal[0]["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("faults", {"on": "nowhere", "fault": "drip"}, 400),
        ("faults", {"on": "fetch", "fault": "gremlin"}, 400),
        ("faults", {"on": "fetch", "fault": "drip", "secs": 1}, 400),
        (f"templates/{UUID}", {"varaibles": []}, 400),
        ("keys/k", {"problem": "bad"}, 400),
        ("nothing", {}, 404),
    ],
)
async def test_genesis_says_what_is_wrong_with_an_order(path, body, status):
    """A mistyped order is refused with its reason rather than ignored."""
    async with served(Genesis()) as client:
        reply = await client.post(f"/_emulator/{path}", json=body)
    assert reply.status_code == status
    assert reply.json()["error"]


async def test_genesis_journal_tells_connections_apart():
    """Requests on one connection share a client, a fresh connection shows as another."""
    genesis = Genesis(any_template=True)
    before, mono = time.time(), time.monotonic()
    async with served(genesis) as client:
        await run(client)
        await run(client)
        async with httpx.AsyncClient(base_url=genesis.url, verify=NO_TLS) as fresh:
            await run(fresh)
    first, second, third = genesis.triggers
    assert first.client == second.client != third.client
    assert before <= first.at <= third.at <= time.time()
    assert mono <= first.monotonic <= third.monotonic <= time.monotonic()


# --- Slack --------------------------------------------------------------------------------------------------------


async def post(client: httpx.AsyncClient, method: str = "chat.postMessage", **body) -> dict:
    """Call a Web API method."""
    reply = await client.post(f"/api/{method}", json=body, headers=BEARER)
    assert reply.status_code == 200
    return reply.json()


async def test_slack_posts_and_updates_one_message():
    """A message is posted, threaded and edited in place, and the journal has every step."""
    slack = Slack(tokens={"xoxb-1"}, channels={"C1"})
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "hi"}}]
    async with served(slack) as client:
        posted = await post(client, channel="C1", text="started", blocks=blocks)
        assert (posted["ok"], posted["channel"], posted["message"]["blocks"]) == (True, "C1", blocks)
        threaded = await post(client, channel="C1", text="more", thread_ts=posted["ts"])
        updated = await post(client, "chat.update", channel="C1", ts=posted["ts"], text="done")
        assert (updated["ok"], updated["ts"], updated["message"]["text"]) == (True, posted["ts"], "done")
        missing = await post(client, "chat.update", channel="C1", ts="1.1", text="done")
        shown = (await client.get("/_emulator/messages")).json()
    assert missing == {"ok": False, "error": "message_not_found"}
    assert [(one["text"], one["edits"], one["thread_ts"]) for one in shown] == [
        ("done", 1, ""),
        ("more", 0, posted["ts"]),
    ]
    assert [(one.kind, one.ts, one.error) for one in slack.journal] == [
        ("chat.postMessage", posted["ts"], ""),
        ("chat.postMessage", threaded["ts"], ""),
        ("chat.update", posted["ts"], ""),
        ("chat.update", "", "message_not_found"),
    ]
    assert slack.requests("chat.update")[0].text == "done"


async def test_slack_takes_forms():
    """A form works as JSON does, its blocks being JSON text."""
    slack = Slack()
    blocks = json.dumps([{"type": "divider"}])
    async with served(slack) as client:
        data = {"channel": "C1", "text": "hä", "blocks": blocks}
        assert (await client.post("/api/chat.postMessage", data=data, headers=BEARER)).json()["ok"]
        data["blocks"] = "[{"
        reply = await client.post("/api/chat.postMessage", data=data, headers=BEARER)
    assert reply.json()["error"] == "invalid_blocks_format"
    assert [(one.text, one.blocks) for one in slack.messages] == [("hä", [{"type": "divider"}])]


async def test_slack_tells_who_the_token_is():
    """auth.test names team and user, and refuses what is no token of ours, all with 200."""
    async with served(Slack(tokens=["xoxb-1"])) as client:
        replies = [
            await client.post("/api/auth.test", headers=headers)
            for headers in (
                BEARER | {"content-type": "application/json"},
                {},
                {"authorization": "Bearer no"},
                {"authorization": "Basic xoxb-1"},
            )
        ]
    assert {reply.status_code for reply in replies} == {200}
    assert replies[0].json()["user"] == "genesis-bridge"
    assert [reply.json().get("error") for reply in replies] == [None, "not_authed", "invalid_auth", "invalid_auth"]


def section(text: str) -> dict:
    """Build a section block."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


@pytest.mark.parametrize(
    ("method", "body", "word"),
    [
        ("chat.postMessage", {"channel": "C9", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "C1"}, "no_text"),
        ("chat.postMessage", {"channel": "C1", "text": 5}, "no_text"),
        ("chat.postMessage", {"channel": "C1", "blocks": [{"type": "no"}]}, "invalid_blocks"),
        ("chat.postMessage", {"channel": "C1", "blocks": [section("x" * 2800)] * 5}, "msg_blocks_too_long"),
        ("chat.fly", {}, "unknown_method"),
    ],
)
async def test_slack_fails_with_200(method, body, word):
    """A failing method answers 200 with Slack's word for it, and posts nothing."""
    slack = Slack(channels=["C1"])
    async with served(slack) as client:
        reply = await post(client, method, **body)
    assert (reply["ok"], reply["error"]) == (False, word)
    assert slack.messages == []
    assert [(one.error, one.status) for one in slack.journal] == [(word, 200)]


@pytest.mark.parametrize(
    ("content", "content_type", "word"),
    [
        (b"{", "application/json; charset=utf-8", "invalid_json"),
        (b"[]", "application/json", "invalid_json"),
        (b"hi", "text/plain", "invalid_post_type"),
    ],
)
async def test_slack_refuses_what_it_cannot_read(content, content_type, word):
    """A body that is neither JSON object nor form has its own words."""
    async with served(Slack()) as client:
        headers = BEARER | {"content-type": content_type}
        reply = await client.post("/api/chat.postMessage", content=content, headers=headers)
    assert reply.json() == {"ok": False, "error": word}


async def test_slack_truncates_very_long_texts():
    """A text over 40,000 characters is cut, not refused."""
    slack = Slack()
    async with served(slack) as client:
        assert (await post(client, channel="C1", text="x" * 40_001))["ok"]
    assert len(slack.messages[0].text) == 40_000


async def test_slack_limits_the_rate_per_channel():
    """With a strict rate the second message in a second gets 429 and Retry-After, in its own channel only."""
    clock = Clock()
    slack = Slack(strict_rate=True, clock=clock)
    async with served(slack) as client:
        assert (await post(client, channel="C1", text="1"))["ok"]
        assert (await post(client, channel="C2", text="1"))["ok"]
        reply = await client.post("/api/chat.postMessage", json={"channel": "C1", "text": "2"}, headers=BEARER)
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
        assert reply.json() == {"ok": False, "error": "ratelimited"}
        clock.now += 1
        assert (await post(client, channel="C1", text="2"))["ok"]
    assert [one.status for one in slack.journal] == [200, 200, 429, 200]


async def test_slack_follows_a_script():
    """A scripted answer replaces the normal one, with or without the work done behind it."""
    slack = Slack()
    async with served(slack) as client:
        slack.answers.add(ratelimited(30), on="chat.update")
        slack.answers.add(error("fatal_error"), runs=True)
        slack.answers.add(Answer(drop="close"))
        assert (await post(client, channel="C1", text="1"))["error"] == "fatal_error"
        assert [one.text for one in slack.messages] == ["1"]
        with pytest.raises(httpx.RemoteProtocolError):
            await post(client, channel="C1", text="2")
        order = {"on": "chat.postMessage", "answer": {"status": 500, "body": "oops"}}
        assert (await client.post("/_emulator/answers", json=order)).status_code == 204
        reply = await client.post("/api/chat.postMessage", json={}, headers=BEARER)
        assert (reply.status_code, reply.text) == (500, "oops")
        reply = await client.post("/api/chat.update", json={}, headers=BEARER)
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "30")
        slack.answers.add(error("x"), times=0)
        assert (await client.delete("/_emulator/answers")).status_code == 204
        assert (await post(client, channel="C1", text="3"))["ok"]
        assert (await client.post("/_emulator/nothing")).status_code == 404
        assert (await client.get("/api/auth.test")).status_code == 404
    assert [one.status for one in slack.journal] == [200, 0, 500, 429, 200]
    assert [one.text for one in slack.messages] == ["1", "3"]


async def test_slack_response_url_lasts_five_uses():
    """A response URL takes five messages, never a sixth; replace_original does nothing for a slash command."""
    slack = Slack()
    async with served(slack) as client:
        url = slack.new_response_url()
        for number in range(5):
            body = {"text": f"{number}", "replace_original": True, "response_type": "in_channel"}
            reply = await client.post(url, json=body)
            assert (reply.status_code, reply.text) == (200, "ok")
        reply = await client.post(url, json={"text": "5"})
    assert (reply.status_code, reply.json()) == (404, {"ok": False, "error": "used_url"})
    assert [(one.text, one.edits, one.ephemeral) for one in slack.messages] == [
        (str(number), 0, False) for number in range(5)
    ]
    assert [one.error for one in slack.requests("response_url")] == [""] * 5 + ["used_url"]


@pytest.mark.parametrize("status", [404, 200])
async def test_slack_response_url_lasts_half_an_hour(status):
    """A response URL ends after 30 minutes, with either of the statuses seen in the wild."""
    clock = Clock()
    slack = Slack(spent_status=status, clock=clock)
    async with served(slack) as client:
        url = (await client.post("/_emulator/response_urls")).json()["url"]
        clock.now += 30 * 60
        assert (await client.post(url, json={"text": "just in time"})).text == "ok"
        clock.now += 1
        reply = await client.post(url, json={"text": "late"})
        assert (reply.status_code, reply.json()) == (status, {"ok": False, "error": "expired_url"})
        assert (await client.post("/commands/T1/1/guess", json={"text": "x"})).json()["error"] == "invalid_url"
    assert [one.ephemeral for one in slack.messages] == [True]


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"payload=x", "invalid_payload"), (b"{}", "no_text"), (b'{"blocks": [1]}', "invalid_blocks")],
)
async def test_slack_response_url_refuses_bad_messages(content, word):
    """A bad message is a 400 in plain text and no use of the URL."""
    slack = Slack()
    async with served(slack) as client:
        url = slack.new_response_url()
        reply = await client.post(url, content=content)
    assert (reply.status_code, reply.text) == (400, word)
    assert slack.response_urls[httpx.URL(url).path].uses == 0


async def test_slack_response_url_passes_long_blocks():
    """The undocumented limit on the sum of characters holds for the Web API only."""
    slack = Slack()
    async with served(slack) as client:
        reply = await client.post(slack.new_response_url(), json={"blocks": [section("x" * 2800)] * 5})
    assert reply.text == "ok"


async def test_slack_button_url_replaces_its_message():
    """A button's response URL edits the message the button is on, unless replace_original is false."""
    slack = Slack()
    async with served(slack) as client:
        ts = (await post(client, channel="C1", text="asked"))["ts"]
        url = slack.new_response_url("actions", channel="C1", message_ts=ts)
        assert "/actions/" in url
        await client.post(url, json={"text": "answered"})
        await client.post(url, json={"text": "apart", "replace_original": False})
    assert [(one.text, one.edits) for one in slack.messages] == [("answered", 1), ("apart", 0)]


BAD_BLOCKS = [
    ("no more than 50 items", [{"type": "divider"}] * 51),
    ("unsupported type: None", ["text"]),
    ("must provide an array", {"type": "divider"}),
    ("less than 256", [{"type": "divider", "block_id": "x" * 256}]),
    ("already exists", [{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}]),
    ("less than 3001", [section("x" * 3001)]),
    ("non-empty", [section("")]),
    ("text or fields", [{"type": "section"}]),
    ("text object", [{"type": "section", "text": "x"}]),
    ("no more than 10", [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}]),
    ("less than 2001", [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}]),
    ("at least one item", [{"type": "section", "fields": []}]),
    ("must be an element", [section("x") | {"accessory": "x"}]),
    ("type plain_text", [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]),
    ("less than 151", [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]),
    ("no more than 10", [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}]),
    ("alt_text", [{"type": "context", "elements": [{"type": "image", "image_url": "https://x/y"}]}]),
    ("no more than 25", [{"type": "actions", "elements": [{"type": "button"}] * 26}]),
    ("at least one item", [{"type": "actions"}]),
    (
        "less than 76",
        [{"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "x" * 76}}]}],
    ),
    (
        "less than 2001",
        [
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "text": {"type": "plain_text", "text": "x"}, "value": "x" * 2001, "url": "https"}
                ],
            }
        ],
    ),
    ("less than 2001", [{"type": "image", "image_url": "https://x/y", "alt_text": "x" * 2001}]),
    ("markdown blocks exceed", [{"type": "markdown", "text": "x" * 6001}, {"type": "markdown", "text": "x" * 6000}]),
]


@pytest.mark.parametrize(("complaint", "blocks"), BAD_BLOCKS)
async def test_slack_holds_blocks_to_their_limits(complaint, blocks):
    """Each limit of Block Kit is enforced, and the answer says which one."""
    slack = Slack()
    async with served(slack) as client:
        reply = await post(client, channel="C1", text="x", blocks=blocks)
    assert reply["error"] == "invalid_blocks"
    assert complaint in reply["response_metadata"]["messages"][0]


async def test_slack_takes_all_kinds_of_blocks():
    """A message at the limits, with one block of every kind, is taken."""
    button = {"type": "button", "text": {"type": "plain_text", "text": "x" * 75}, "action_id": "a", "value": "v"}
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "x" * 150}},
        section("x" * 3000) | {"accessory": {"type": "overflow", "options": []}, "block_id": "one"},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 10},
        {
            "type": "context",
            "elements": [{"type": "mrkdwn", "text": "x"}, {"type": "image", "image_url": "u", "alt_text": "a"}],
        },
        {"type": "actions", "elements": [button] * 25},
        {"type": "image", "image_url": "u", "alt_text": "a"},
        {"type": "markdown", "text": "# x"},
        {"type": "divider"},
    ]
    async with served(Slack()) as client:
        reply = await post(client, channel="C1", blocks=blocks)
    assert reply["ok"], reply


# --- the sending sides --------------------------------------------------------------------------------------------


def test_slack_signature_is_the_published_one():
    """Slack's published example signs as published."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = slack_signature(body, secret="8f742231b10e8888abcd99yyyzzz85a5", timestamp="1531420618")
    assert signature == "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


async def test_slack_sends_a_slash_command():
    """A slash command is a signed form with every documented field, and its response URL leads to the emulator."""
    slack = Slack()
    async with served(slack) as client:
        headers, body = slack.slash("/genesis", "e2e https://x", secret="s", now=1531420618, user_name="ann")
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        assert (await client.post(form["response_url"], json={"text": "hi"})).text == "ok"
        moment = int(slack.slash("/genesis", "", secret="s")[0]["X-Slack-Request-Timestamp"])
    assert abs(time.time() - moment) < 5
    assert form.keys() == set(
        "token command text response_url trigger_id user_id user_name team_id team_domain channel_id channel_name "
        "api_app_id is_enterprise_install".split()
    )
    assert (form["command"], form["text"], form["user_name"]) == ("/genesis", "e2e https://x", "ann")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["X-Slack-Request-Timestamp"] == "1531420618"
    assert headers["X-Slack-Signature"] == slack_signature(body, secret="s", timestamp="1531420618")
    assert slack.messages[0].channel == form["channel_id"]


def test_slack_sends_two_equal_commands_with_two_trigger_ids():
    """Without an emulator the response URL is Slack's own, and only the trigger id tells two commands apart."""
    first, second = (parse_qs(slash("/g", "x", secret="s")[1].decode()) for _ in range(2))
    assert first["trigger_id"] != second["trigger_id"]
    assert first["response_url"][0].startswith("https://hooks.slack.com/commands/")


def test_slack_sends_buttons_events_and_challenges():
    """Buttons are a form with one JSON field, events JSON; a retried event keeps its id and says that it is one."""
    headers, body = slack_sender.button("again", "run-1", secret="s", now=5, response_url="https://r")
    press = json.loads(parse_qs(body.decode())["payload"][0])
    assert (press["type"], press["actions"][0]["value"], press["response_url"]) == (
        "block_actions",
        "run-1",
        "https://r",
    )
    assert headers["X-Slack-Signature"] == slack_signature(body, secret="s", timestamp="5")

    headers, body = slack_sender.event({"type": "app_mention"}, secret="s", now=5)
    envelope = json.loads(body)
    assert (envelope["type"], envelope["event"], envelope["event_time"]) == (
        "event_callback",
        {"type": "app_mention"},
        5,
    )
    assert "X-Slack-Retry-Num" not in headers
    again, body = slack_sender.event({"type": "app_mention"}, secret="s", event_id=envelope["event_id"], retry=1)
    assert json.loads(body)["event_id"] == envelope["event_id"]
    assert (again["X-Slack-Retry-Num"], again["X-Slack-Retry-Reason"]) == ("1", "http_timeout")

    headers, body = slack_sender.url_verification("c1", secret="s", now=5)
    assert json.loads(body)["challenge"] == "c1"
    assert headers["X-Slack-Signature"] == slack_signature(body, secret="s", timestamp="5")


def test_standard_webhooks_signature_is_the_published_one():
    """The reference libraries' example signs as published, and the reference library takes what relay signs."""
    body = b'{"test": 2432232314}'
    signature = webhook_signature(
        body, secret=SECRET, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp="1614265330"
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert standardwebhooks.Webhook(SECRET).verify(body, relay(body, secret=SECRET, message_id="m1")) == json.loads(
        body
    )


def test_github_delivers_as_published():
    """GitHub's published example signs as published, with all the headers of a delivery."""
    headers, sent = github.deliver("push", b"Hello, World!", secret="It's a Secret to Everybody", guid="g-1")
    assert sent == b"Hello, World!"
    assert headers == {
        "User-Agent": "GitHub-Hookshot/044aadd",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "g-1",
        "X-GitHub-Hook-ID": "1234567",
        "X-GitHub-Hook-Installation-Target-Type": "repository",
        "X-GitHub-Hook-Installation-Target-ID": "7654321",
        "X-Hub-Signature": "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59",
        "X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    }


def test_github_delivers_forms_and_unsigned():
    """A form carries the JSON in `payload` and signs the form; without a secret there is no signature at all."""
    json_headers, _ = github.deliver("push", b'{"a": "b c"}', secret="s")
    headers, sent = github.deliver("push", b'{"a": "b c"}', secret="s", form=True)
    assert parse_qs(sent.decode()) == {"payload": ['{"a": "b c"}']}
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["X-Hub-Signature-256"] != json_headers["X-Hub-Signature-256"]
    assert headers["X-GitHub-Delivery"] != json_headers["X-GitHub-Delivery"]
    headers, _ = github.deliver("push", b"{}", secret=None)
    assert not any("Signature" in name for name in headers)


# --- the receiver -------------------------------------------------------------------------------------------------


async def test_receiver_verifies_what_the_reference_library_signs():
    """A callback signed by the reference library is verified, under any of several secrets, and answered 204."""
    receiver = Receiver(secrets=[OLD_SECRET, SECRET])
    body = '{"type": "execution.completed", "ü": 1}'
    now = datetime.now().astimezone()
    signature = standardwebhooks.Webhook(SECRET).sign("msg_1", now, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp()))}
    async with served(receiver) as client:
        headers["webhook-signature"] = f"v1a,xxx v1,AAAA {signature}"
        reply = await client.post("/hooks/genesis", content=body.encode(), headers=headers)
        journal = (await client.get("/_emulator/journal")).json()
    assert (reply.status_code, reply.content) == (204, b"")
    (record,) = receiver.received("/hooks/genesis")
    assert (record.id, record.body, record.verified, record.problem) == ("msg_1", body.encode(), True, "")
    assert (record.method, record.status, record.scripted) == ("POST", 204, False)
    assert journal[0]["body"] == body
    assert receiver.received("/other") == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"webhook-id": "a.b"}, "webhook-id missing or with a full stop"),
        ({"webhook-id": ""}, "webhook-id missing or with a full stop"),
        ({"webhook-timestamp": "1e9"}, "webhook-timestamp is not a number"),
        ({"webhook-timestamp": ""}, "webhook-timestamp is not a number"),
        ({"webhook-timestamp": "1614265331"}, "no signature matches"),
        ({"webhook-signature": b"v1,\xe9"}, "no signature matches"),
        ({"webhook-signature": "v1"}, "no signature matches"),
    ],
)
async def test_receiver_names_what_is_wrong(change, problem):
    """An unverified callback is journaled with its reason, and refused when the receiver is strict."""
    clock = Clock(1614265330.0)
    receiver = Receiver([SECRET], strict=True, clock=clock)
    headers = relay(b"{}", secret=SECRET, message_id="m1", now=clock.now) | change
    async with served(receiver) as client:
        reply = await client.post("/", content=b"{}", headers=headers)
    assert reply.status_code == 401
    assert [(one.verified, one.problem, one.status) for one in receiver.journal] == [(False, problem, 401)]


@pytest.mark.parametrize(("offset", "verified"), [(300, True), (-300, True), (301, False), (-301, False)])
async def test_receiver_wants_a_fresh_timestamp(offset, verified):
    """A timestamp may be five minutes off in either direction; a lenient receiver still answers 204."""
    clock = Clock(1614265330.0)
    receiver = Receiver([SECRET], clock=clock)
    async with served(receiver) as client:
        headers = relay(b"{}", secret=SECRET, message_id="m1", now=clock.now + offset)
        assert (await client.post("/", content=b"{}", headers=headers)).status_code == 204
    assert receiver.journal[0].verified is verified


async def test_receiver_without_secrets_verifies_nothing():
    """Without a secret nothing is verified, and only POST is a callback."""
    receiver = Receiver()
    async with served(receiver) as client:
        headers = relay(b"{}", secret=SECRET, message_id="m1")
        assert (await client.post("/", content=b"{}", headers=headers)).status_code == 204
        assert (await client.get("/")).status_code == 405
    assert [(one.method, one.verified) for one in receiver.journal] == [("POST", False), ("GET", False)]


async def test_receiver_follows_its_script_per_path():
    """Scripted answers are given in order, per path or for any, and the journal says so."""
    receiver = Receiver([SECRET])
    when = http_date(time.time() + 60)
    receiver.answers.add(Answer(status=429, headers={"Retry-After": "3"}), on="/a", times=2)
    receiver.answers.add(Answer(status=503, headers={"Retry-After": when}))
    receiver.answers.add(Answer(status=307, headers={"Location": "http://169.254.169.254/"}), on="/a")
    async with served(receiver) as client:
        order = {"on": "/c", "answer": {"status": 410}}
        assert (await client.post("/_emulator/answers", json=order)).status_code == 204
        replies = [await client.post(path) for path in ("/a", "/b", "/a", "/a", "/a", "/c", "/c")]
        receiver.answers.append(Scripted(answer=json_answer({"never": 1}), times=0))
        assert (await client.delete("/_emulator/answers")).status_code == 204
        assert (await client.post("/_emulator/answers", json={"answer": {"state": 1}})).status_code == 400
        assert (await client.get("/_emulator/answers")).status_code == 404
        assert (await client.post("/a")).status_code == 204
    assert [reply.status_code for reply in replies] == [429, 503, 429, 307, 204, 410, 204]
    assert replies[0].headers["retry-after"] == "3"
    assert parsedate_to_datetime(replies[1].headers["retry-after"]).timestamp() == pytest.approx(
        time.time() + 60, abs=5
    )
    assert replies[3].headers["location"] == "http://169.254.169.254/"
    assert [one.scripted for one in receiver.journal] == [True, True, True, True, False, True, False, False]


async def test_receiver_misbehaves_on_the_wire():
    """Delays, drips, huge and cut bodies and dropped connections are all scripted answers."""
    receiver = Receiver()
    for answer in (
        Answer(delay_seconds=20),
        Answer(body="slowly", drip_seconds=0.2),
        Answer(pad_bytes=1_000_000),
        Answer(body="half of it", cut=True),
        Answer(drop="close"),
        Answer(drop="reset"),
    ):
        receiver.answers.add(answer)
    async with served(receiver) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/", timeout=0.05)
        begun = time.monotonic()
        assert (await client.post("/")).text == "slowly"
        assert time.monotonic() - begun > 0.2
        assert len((await client.post("/")).content) == 1_000_000
        for raised in (httpx.RemoteProtocolError, httpx.RemoteProtocolError, httpx.ReadError):
            with pytest.raises(raised):
                await client.post("/")
    assert [one.status for one in receiver.journal] == [200, 200, 200, 200, 0, 0]


# --- the house rules ----------------------------------------------------------------------------------------------


def test_emulators_import_nothing_of_the_rest():
    """Importing every emulator brings in no other part of bridge, and neither litestar nor httpx."""
    script = (
        "import sys, bridge.emulators.genesis, bridge.emulators.slack, bridge.emulators.receiver\n"
        "import bridge.emulators.github, bridge.emulators.serving\n"
        "print([n for n in sys.modules if n.startswith('bridge.') and not n.startswith('bridge.emulators')],"
        " [n for n in ('litestar', 'httpx', 'redis', 'arq') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"


def test_records_are_plain_json():
    """An answer survives the way through JSON, so that it can be scripted from outside."""
    answer = Answer(status=429, headers={"retry-after": "1"}, drop="reset")
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer


async def test_slack_reads_groups_from_a_form_only():
    """Its methods that only read take no JSON; an unknown group is an error by name."""
    slack = Slack(tokens=["t"])
    slack.groups = {"S1": ["U1"]}
    headers = {"authorization": "Bearer t"}
    async with Server(slack), httpx.AsyncClient(headers=headers) as client:
        url = f"{slack.url}/api/usergroups.users.list"
        assert (await client.post(url, data={"usergroup": "S1"})).json() == {"ok": True, "users": ["U1"]}
        assert (await client.post(url, data={"usergroup": "S2"})).json()["error"] == "no_such_subteam"
        assert (await client.post(url, json={"usergroup": "S1"})).json()["error"] == "invalid_form_data"
