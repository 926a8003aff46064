"""The emulated Comfy Cloud: what is documented of its two APIs, and what is known to be otherwise."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from bridge.emulators.comfy import Comfy
from bridge.emulators.comfy_faults import ERRORS
from bridge.emulators.comfy_jobs import VOCABULARIES, Behaviour, Job
from bridge.emulators.faults import Fault
from bridge.emulators.serving import Server
from tests.http_server import always, answer, serve

KEY = "k1"
GRAPH: dict[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 7}},
    "5": {"class_type": "ShowText", "inputs": {"text": "hello"}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "shot"}},
}
LOADS: dict[str, Any] = {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}
FOREVER = {status: Behaviour(timeline=((status, None),)) for status in ("pending", "running", "completed", "failed")}
SUBMIT = {"v1": "/api/prompt", "v2": "/api/v2/jobs"}
JOB = {"v1": "/api/jobs/", "v2": "/api/v2/jobs/"}
each_api = pytest.mark.parametrize("api", ["v1", "v2"])


@asynccontextmanager
async def served(emulator: Comfy, key: str = KEY):
    headers = {"x-api-key": key, "authorization": f"Bearer {key}"} if key else {}
    async with Server(emulator), httpx.AsyncClient(base_url=emulator.url, headers=headers) as client:
        yield client


async def submit(client: httpx.AsyncClient, api: str = "v1", graph: Any = GRAPH, **headers: str) -> httpx.Response:
    body = {"prompt" if api == "v1" else "workflow": graph}
    return await client.post(
        SUBMIT[api], json=body, headers={name.replace("_", "-"): headers[name] for name in headers}
    )


async def begun(client: httpx.AsyncClient, api: str = "v1", graph: Any = GRAPH) -> str:
    job: str = (await submit(client, api, graph)).json()["prompt_id" if api == "v1" else "id"]
    return job


async def seen(client: httpx.AsyncClient, job: str, api: str = "v1") -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(JOB[api] + job)).json()
    return found


# --------------------------------------------------------------------------------------------------------------- jobs


@each_api
async def test_a_job_goes_its_way(api):
    """By the clock, and each API tells it in its own words; its outputs are there when it is over."""
    now = [100.0]
    behaviour = Behaviour(timeline=(("pending", 1), ("running", 3), ("completed", None)))
    async with served(Comfy(behaviour=behaviour, clock=lambda: now[0])) as client:
        made = await submit(client, api)
        job = made.json()["prompt_id" if api == "v1" else "id"]
        found = []
        for now[0] in (100.5, 102.5, 104.5):
            found.append(await seen(client, job, api))
    words = ("pending", "in_progress", "completed") if api == "v1" else ("queued", "running", "succeeded")
    assert tuple(one["status"] for one in found) == words
    if api == "v1":
        assert (made.status_code, made.json()) == (200, {"prompt_id": job, "number": 1, "node_errors": {}})
        assert "outputs" not in found[1]
        image = {"filename": "shot_00001_.png", "subfolder": "", "type": "output"}
        assert found[2]["outputs"] == {"9": {"images": [image]}, "5": {"text": ["hello"]}}
    else:
        assert made.status_code == 201
        assert found[1]["progress"] == {"value": 1 / 3, "nodes_done": 1, "nodes_total": 3}
        assert [one["queue_position"] for one in found] == [0, None, None]
        assert [(one["node_id"], one["content_type"]) for one in found[2]["outputs"]] == [
            ("5", "text/plain"),
            ("9", "image/png"),
        ]


@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [
        ("friendly", ["pending", "in_progress", "completed", "failed"]),
        ("openapi", ["waiting_to_dispatch", "in_progress", "completed", "error"]),
        ("internal", ["queued_waiting", "executing", "success", "non_retryable_error"]),
    ],
)
async def test_every_published_vocabulary_of_the_first_api_can_be_spoken(vocabulary, words):
    """Nobody knows which one it speaks today; the second API's is its own throughout."""
    emulator = Comfy()
    emulator.vocabulary = vocabulary
    async with served(emulator) as client:
        said, of_v2 = [], []
        for emulator.behaviour in FOREVER.values():
            job = await begun(client)
            said.append((await seen(client, job))["status"])
            of_v2.append((await seen(client, job, "v2"))["status"])
    assert said == words
    assert of_v2 == ["queued", "running", "succeeded", "failed"]
    assert set(VOCABULARIES) == {"friendly", "openapi", "internal", "v2"}


async def test_a_failed_job_tells_more_than_should_be_shown():
    """Its error has a traceback and all its inputs, as Comfy's has."""
    async with served(Comfy(behaviour=FOREVER["failed"])) as client:
        job = await begun(client)
        v1, v2 = await seen(client, job), await seen(client, job, "v2")
    assert v1["execution_error"]["exception_message"] == v2["error"]["message"] == "CUDA out of memory"
    assert v1["execution_error"]["exception_type"] == "OOMError"
    assert v1["execution_error"]["current_inputs"] == GRAPH
    assert v1["execution_error"]["traceback"]
    assert v2["error"]["traceback"]


async def test_outputs_may_be_anything():
    """Whatever a test wants to have come out of it."""
    outputs = {"9": {"images": [{"filename": "../x.png"}], "animated": [True]}}
    emulator = Comfy(behaviour=Behaviour(timeline=(("completed", None),), outputs=outputs))
    async with served(emulator) as client:
        assert (await seen(client, await begun(client)))["outputs"] == outputs


def test_a_timeline_lasts_as_it_says():
    """Without seconds for ever; past its end it stays at the last; a terminal status is the end."""
    assert Job("j", GRAPH, FOREVER["pending"], 0, 0).status(1e9) == "pending"
    assert Job("j", GRAPH, FOREVER["pending"], 0, 0).ends() == float("inf")
    short = Job("j", GRAPH, Behaviour(timeline=(("pending", 1), ("running", 1))), 0, 0)
    assert (short.status(5), short.ends()) == ("running", 2)
    ended = Job("j", GRAPH, Behaviour(timeline=(("failed", 1), ("completed", None))), 0, 0)
    assert (ended.status(5), ended.ends()) == ("failed", 0)
    running = Job("j", GRAPH, FOREVER["running"], 0, 0)
    assert [len(running.done(at)) for at in (0.0, 0.5, 99.0)] == [0, 1, 2]


async def test_more_than_run_at_once_wait():
    """As a subscription has it: that is no error, only late."""
    now = [0.0]
    behaviour = Behaviour(timeline=(("running", 10), ("completed", None)))
    emulator = Comfy(at_once=2, behaviour=behaviour, clock=lambda: now[0])
    async with served(emulator) as client:
        jobs = []
        for now[0] in (0.0, 1.0, 2.0, 3.0):
            jobs.append(await begun(client))
        assert [emulator.jobs[job].begins for job in jobs] == [0, 1, 10, 11]
        now[0] = 9.0
        assert [(await seen(client, job))["status"] for job in jobs] == ["in_progress"] * 4
        assert emulator.most_at_once() == 4
        now[0] = 10.5
        assert (await seen(client, jobs[0]))["status"] == "completed"
        now[0] = 19.5
        assert [emulator.jobs[job].status(now[0]) for job in jobs] == ["completed", "completed", "running", "running"]
    assert Comfy().most_at_once() == 0


@each_api
async def test_a_job_that_is_none_is_not_found(api):
    """Over both APIs, in the form of each."""
    async with served(Comfy()) as client:
        reply = await client.get(f"{JOB[api]}nothing")
        assert (await client.get("/api/nothing")).status_code == 404
    assert reply.status_code == 404
    assert (reply.json() if api == "v1" else reply.json()["error"])["code"] == "not_found"


async def test_links_of_the_second_api_are_relative_to_the_host():
    """Those of a job always, those of files where a test wants them to be."""
    emulator = Comfy(behaviour=FOREVER["completed"])
    emulator.storage = "/files"
    async with served(emulator) as client:
        found = await seen(client, await begun(client, "v2"), "v2")
    assert found["urls"] == {
        "self": f"/api/v2/jobs/{found['id']}",
        "events": f"/api/v2/jobs/{found['id']}/events",
        "cancel": f"/api/v2/jobs/{found['id']}/cancel",
    }
    assert found["outputs"][1]["url"].startswith("/files/shot_00001_.png?signature=")


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("api", "body", "status", "code"),
    [
        *(
            ("v1", body, 400, "no_prompt")
            for body in (b"", b"[]", b"{}", b'{"prompt": []}', b'{"prompt": {}}', b"\xff")
        ),
        ("v1", b"[" * 50_000, 400, "no_prompt"),
        ("v1", b'{"prompt": {"nodes": [], "links": []}}', 400, "no_prompt"),
        ("v1", b'{"prompt": {"1": {"class_type": "A"}}}', 400, "no_prompt"),
        ("v1", b'{"prompt": {"1": {"inputs": {}}}}', 400, "no_prompt"),
        ("v1", b'{"prompt": {"1": 7}}', 400, "no_prompt"),
        *(("v2", body, 422, "invalid_workflow") for body in (b"", b"{}", b'{"workflow": {}}', b'{"prompt": {"1": 7}}')),
        ("v2", b'{"workflow": {"1": 7}, "webhook_url": "https://x"}', 422, "invalid_workflow"),
        ("v2", b'{"workflow": {"nodes": [], "links": []}}', 422, "workflow_format_ui"),
    ],
)
async def test_what_is_no_workflow_is_refused(api, body, status, code):
    """With the status and the form of each API; the second one's request is a closed object."""
    emulator = Comfy()
    async with served(emulator) as client:
        reply = await client.post(SUBMIT[api], content=body)
    assert reply.status_code == status
    assert reply.json()["error"]["type" if api == "v1" else "code"] == code
    assert emulator.jobs == {}


async def test_complaints_about_nodes_refuse_a_workflow_or_go_with_its_run():
    """In the form of each API; the first may say no with 200, and may run a part and complain of the rest."""
    emulator = Comfy(behaviour=FOREVER["completed"])
    emulator.complaints = {"3": {"errors": [{"message": "no"}], "class_type": "KSampler"}}
    async with served(emulator) as client:
        v1, v2 = await submit(client), await submit(client, "v2")
        emulator.says_error = True
        with_200 = await submit(client)
        emulator.partial = True
        partial = await submit(client)
    assert (v1.status_code, v1.json()["node_errors"]) == (400, emulator.complaints)
    assert v1.json()["error"]["type"] == "prompt_outputs_failed_validation"
    assert (v2.status_code, v2.json()["error"]["details"]) == (422, {"node_errors": emulator.complaints})
    assert (with_200.status_code, with_200.json()) == (200, v1.json())
    assert (partial.status_code, partial.json()["node_errors"]) == (200, emulator.complaints)
    assert list(emulator.jobs) == [partial.json()["prompt_id"]]


@each_api
@pytest.mark.parametrize("error", ERRORS)
async def test_every_refusal_can_be_met(api, error):
    """With its status and code; 429 names a time only where a test wants that, as v1's is about paying."""
    emulator = Comfy()
    status, text = ERRORS[error]
    async with served(emulator) as client:
        for retry_after in ("", "7"):
            emulator.retry_after = retry_after
            emulator.faults["submit"].append(Fault("error", error=error))
            reply = await submit(client, api)
            assert reply.status_code == status
            assert reply.headers.get("retry-after", "") == (retry_after if status == 429 else "")
            found = reply.json()
            if api == "v2":
                assert found["error"] == {"code": error, "message": text, "details": None}
            elif status == 400:
                assert found["error"]["message"] == text
            else:
                assert found == {"code": error, "message": text}
    assert emulator.jobs == {}
    assert [record.status for record in emulator.seen("submit")] == [status] * 2


@each_api
async def test_it_may_be_unavailable(api):
    """503, with or without a time to come again, before anything ran."""
    emulator = Comfy()
    emulator.faults["submit"] += [Fault("unavailable_503"), Fault("unavailable_503", retry_after="3")]
    async with served(emulator) as client:
        replies = [await submit(client, api) for _ in range(3)]
    assert [reply.status_code for reply in replies][:2] == [503, 503]
    assert [reply.headers.get("retry-after") for reply in replies] == [None, "3", None]
    assert len(emulator.jobs) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/prompt"),
        ("GET", "/api/jobs/x"),
        ("POST", "/api/queue"),
        ("POST", "/api/interrupt"),
        ("POST", "/api/upload/image"),
        ("GET", "/api/view?filename=x"),
        ("POST", "/api/v2/jobs"),
        ("GET", "/api/v2/jobs/x"),
        ("POST", "/api/v2/jobs/x/cancel"),
        ("POST", "/api/v2/assets"),
        ("GET", "/api/v2/assets/x"),
    ],
)
@pytest.mark.parametrize("key", ["", "other"])
async def test_nothing_is_done_without_a_good_key(method, path, key):
    """Whatever is asked for."""
    emulator = Comfy(keys=(KEY,))
    async with served(emulator, key) as client:
        reply = await client.request(method, path)
    assert reply.status_code == 401
    assert [record.key for record in emulator.journal] == [key or None]


# --------------------------------------------------------------------------------------------- idempotency keys of v2


async def test_a_key_is_taken_once():
    """It is refused then, whatever is sent under it, and the job it was taken for is not named."""
    emulator = Comfy()
    async with served(emulator) as client:
        first = await submit(client, "v2", idempotency_key="i1")
        again = await submit(client, "v2", idempotency_key="i1")
        other = await submit(client, "v2", idempotency_key="i2")
        without = [await submit(client, "v2") for _ in range(2)]
    assert (again.status_code, again.json()["error"]["code"]) == (422, "idempotency_key_reuse")
    assert first.json()["id"] not in again.text
    assert [reply.status_code for reply in (first, other, *without)] == [201] * 4
    assert [record.idempotency_key for record in emulator.seen("submit")] == ["i1", "i1", "i2", None, None]


@pytest.mark.parametrize(
    ("fault", "then"),
    [
        (Fault("error", error="queue_full"), 201),
        (Fault("error", error="insufficient_credits"), 201),
        (Fault("unavailable_503", retry_after="1"), 201),
        (Fault("too_many_429"), 201),
        (Fault("bare_500"), 422),
        (Fault("gateway_502"), 422),
        (Fault("drop_after_run"), 422),
        (Fault("drop_before_run"), 201),
        (Fault("drop_before_run", reset=True), 201),
        (Fault("truncated_json"), 422),
    ],
)
async def test_a_key_is_let_go_of_only_where_surely_nothing_began(fault, then):
    """What says no for certain releases it; where the outcome is not known it stays taken."""
    emulator = Comfy()
    emulator.faults["submit"].append(fault)
    async with served(emulator) as client:
        if fault.kind.startswith("drop"):
            with pytest.raises(httpx.TransportError):
                await submit(client, "v2", idempotency_key="i1")
        else:
            await submit(client, "v2", idempotency_key="i1")
        assert (await submit(client, "v2", idempotency_key="i1")).status_code == then
    assert [record.fault for record in emulator.seen("submit")] == [fault.kind, ""]


async def test_a_refused_workflow_takes_no_key():
    """It can be mended and sent again under the same one."""
    async with served(Comfy()) as client:
        assert (await submit(client, "v2", {}, idempotency_key="i1")).status_code == 422
        assert (await submit(client, "v2", idempotency_key="i1")).status_code == 201


# --------------------------------------------------------------------------------------------------------- cancelling


async def test_the_first_api_deletes_only_what_waits_and_interrupts_whatever_runs():
    """The id of a running job is not among the deleted; `interrupt` asks for no id at all."""
    emulator = Comfy(behaviour=FOREVER["running"])
    async with served(emulator) as client:
        running = [await begun(client) for _ in range(2)]
        emulator.behaviour = FOREVER["pending"]
        waiting = [await begun(client) for _ in range(2)]
        asked = [running[0], waiting[0], "nothing"]
        deleted = await client.post("/api/queue", json={"delete": asked})
        assert deleted.json() == {"deleted": [waiting[0]], "cleared": False}
        assert (await client.post("/api/queue", json={"delete": [running[0]]})).json()["deleted"] == []
        assert [(await seen(client, job))["status"] for job in running] == ["in_progress"] * 2
        assert (await client.post("/api/interrupt")).json() == {}
        said = [(await seen(client, job))["status"] for job in (*running, *waiting)]
    assert said == ["cancelled", "cancelled", "cancelled", "pending"]


async def test_the_second_api_cancels_one_job_and_may_be_told_twice():
    """What is over stays what it was."""
    emulator = Comfy(behaviour=FOREVER["running"])
    async with served(emulator) as client:
        jobs = [await begun(client, "v2") for _ in range(2)]
        emulator.behaviour = FOREVER["completed"]
        jobs.append(await begun(client, "v2"))
        replies = [await client.post(f"/api/v2/jobs/{job}/cancel") for job in (jobs[0], jobs[0], jobs[2])]
        assert [reply.json()["status"] for reply in replies] == ["canceled", "canceled", "succeeded"]
        assert (await seen(client, jobs[1], "v2"))["status"] == "running"
        assert (await client.post("/api/v2/jobs/nothing/cancel")).status_code == 404


# -------------------------------------------------------------------------------------------------------------- files


async def test_an_upload_is_what_a_workflow_may_load():
    """v1 names it by its content and keeps its ending, v2 gives it an id; what was never uploaded is refused."""
    emulator = Comfy()
    files = {"image": ("a b.png", b"\x89PNG\r\n--x")}
    async with served(emulator) as client:
        first, again = [(await client.post("/api/upload/image", files=files)).json() for _ in range(2)]
        bare = (await client.post("/api/upload/image", files={"image": ("plain", b"x")})).json()
        made = await client.post("/api/v2/assets", files={"file": files["image"]}, data={"file_path": "a b.png"})
        asset = made.json()["id"]
        by_id = {"__type": "core/ASSET", "info": {"id": asset, "file_path": "a b.png"}}
        images = [
            first["name"],
            bare["name"],
            by_id,
            "example.png",
            "never.png",
            7,
            {"__type": "x"},
            {**by_id, "info": {}},
        ]
        replies: dict[str, list[httpx.Response]] = {"v1": [], "v2": []}
        for api, found in replies.items():
            for image in images:
                graph = {"1": {"class_type": "LoadImage", "inputs": {"image": image}}}
                found.append(await submit(client, api, graph))
    assert first == again == {"name": first["name"], "subfolder": "", "type": "input"}
    assert first["name"].endswith(".png")
    assert "." not in bare["name"]
    assert (made.status_code, made.json()["size_bytes"], made.json()["file_path"]) == (201, 9, "a b.png")
    assert emulator.uploads[first["name"]] == emulator.uploads[asset] == b"\x89PNG\r\n--x"
    assert [reply.status_code for reply in replies["v1"]] == [200] * 4 + [400] * 4
    assert [reply.status_code for reply in replies["v2"]] == [201] * 4 + [422] * 4
    assert replies["v1"][4].json()["node_errors"]["1"]["errors"][0]["type"] == "value_not_in_list"
    assert replies["v2"][4].json()["error"]["code"] == "missing_asset"


@pytest.mark.parametrize(
    "body",
    [
        {"content": b"text"},
        {"data": {"image": "text", "file": "text"}},
        {"files": {"other": ("a.png", b"x")}},
        {"content": b"--b\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}},
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
    ],
)
@pytest.mark.parametrize("path", ["/api/upload/image", "/api/v2/assets"])
async def test_what_is_no_form_with_a_file_is_refused(path, body):
    """And nothing is kept of it."""
    emulator = Comfy()
    async with served(emulator) as client:
        assert (await client.post(path, **body)).status_code == 400
    assert emulator.uploads == {}


@pytest.mark.parametrize(
    ("path", "field", "status"), [("/api/upload/image", "image", 400), ("/api/v2/assets", "file", 422)]
)
async def test_a_file_of_more_than_fifty_megabytes_is_refused(path, field, status):
    """As the documentation says of images."""
    async with served(Comfy()) as client:
        reply = await client.post(path, files={field: ("a.png", bytes(50_000_001))})
    assert reply.status_code == status


async def test_an_upload_that_is_not_obeyed_keeps_nothing():
    """A fault before the work is one."""
    emulator = Comfy()
    emulator.faults["upload"].append(Fault("bare_500"))
    async with served(emulator) as client:
        files = {"image": ("a.png", b"x")}
        assert [(await client.post("/api/upload/image", files=files)).status_code for _ in range(2)] == [500, 200]
    assert len(emulator.uploads) == 1


async def test_files_lie_at_a_second_place_that_gets_no_key():
    """v1 redirects to a signed URL there, v2 tells it; whoever follows with the key is seen to."""
    emulator = Comfy()
    async with served(emulator) as client, serve(always(answer(200, "bytes"))) as storage:
        emulator.storage = storage.url("/files")
        moved = await client.get("/api/view", params={"filename": "a/../b.png", "subfolder": "", "type": "output"})
        told = await client.get("/api/v2/assets/asset-b.png")
        assert moved.status_code == 302
        assert moved.headers["location"].startswith(storage.url("/files/a%2F..%2Fb.png?signature="))
        assert told.json()["url"].startswith(storage.url("/files/b.png?signature="))
        async with httpx.AsyncClient() as stranger:
            await stranger.get(moved.headers["location"])
        assert "x-api-key" not in storage.requests[0].headers
        assert [(await client.get(path)).status_code for path in ("/api/view", "/api/v2/assets/nothing")] == [404, 404]


async def test_without_a_second_place_files_lie_here_and_who_asks_is_noted():
    """So that a test can see whether the key was sent along."""
    emulator = Comfy()
    async with served(emulator) as client:
        url = (await client.get("/api/view?filename=b.png")).headers["location"]
        found = await client.get(url)
        async with httpx.AsyncClient() as stranger:
            await stranger.get(url)
    assert found.headers["content-type"] == "image/png"
    assert [record.key for record in emulator.seen("storage")] == [KEY, None]


# ---------------------------------------------------------------------------------------------------------- WebSocket


def _socket(emulator: Comfy, token: str, path: str = "/ws") -> connect:
    where = f"ws{emulator.url.removeprefix('http')}{path}?clientId=c&token={token}"
    return connect(where, proxy=None, compression=None, close_timeout=1)


async def test_everybody_with_the_key_hears_of_every_job():
    """With previews in between; `clientId` makes no difference, so whoever listens has to look at the job's id."""
    now = [0.0]
    behaviour = Behaviour(timeline=(("pending", 1), ("running", 1), ("completed", None)))
    emulator = Comfy(keys=(KEY,), behaviour=behaviour, clock=lambda: now[0])
    async with served(emulator) as client, _socket(emulator, KEY) as socket:
        jobs = {await begun(client), await begun(client, "v2")}
        told: list[dict[str, Any]] = []
        previews = 0
        now[0] = 1.5
        while sum(one["type"] == "execution_success" for one in told) < 2:
            message = await asyncio.wait_for(socket.recv(), 10)
            if isinstance(message, bytes):
                previews += 1
                now[0] = 2.5
            else:
                told.append(json.loads(message))
        assert emulator.listeners == 1
        await socket.send("whatever is said to it is passed over")
        await socket.close()
        for _ in range(500):
            if emulator.listeners == 0:
                break
            await asyncio.sleep(0.01)
        assert emulator.listeners == 0
    assert told[0]["type"] == "status"
    assert previews > 0
    for job in jobs:
        own = [one for one in told if one["data"].get("prompt_id") == job]
        assert [one["type"] for one in own[:2]] == ["execution_start", "execution_cached"]
        assert [one["data"]["node"] for one in own if one["type"] == "executed"] == list(GRAPH)
    [record] = emulator.seen("socket")
    assert (record.key, record.status, record.path) == (KEY, 101, "/ws")


@pytest.mark.parametrize(("token", "path"), [("", "/ws"), ("other", "/ws"), (KEY, "/elsewhere")])
async def test_a_websocket_needs_the_key(token, path):
    """In its URL, as it is documented."""
    emulator = Comfy(keys=(KEY,))
    async with served(emulator):
        with pytest.raises(InvalidStatus) as refused:
            async with _socket(emulator, token, path):
                raise AssertionError("it was let in")
    assert refused.value.response.status_code == 403
    assert [record.status for record in emulator.seen("socket")] == [403]


# ---------------------------------------------------------------------------------------------------------- steering


async def test_it_is_steered_over_http():
    """Faults and behaviour can be ordered, the journal read, and what followed a redirect is seen with its key."""
    emulator = Comfy()
    async with served(emulator) as client:
        control = "/_emulator/"
        behaviour = {"timeline": [["failed", None]], "error": "no"}
        assert (await client.post(f"{control}behaviour", json=behaviour)).status_code == 204
        fault = {"on": "submit", "fault": "redirect"}
        assert (await client.post(f"{control}faults", json=fault)).status_code == 204
        moved = await submit(client)
        assert (moved.status_code, moved.headers["location"]) == (302, "/_emulator/elsewhere")
        assert (await client.post(moved.headers["location"])).text == "elsewhere"
        job = await begun(client)
        assert (await seen(client, job))["execution_error"]["exception_message"] == "no"
        for on in ("job", "upload", "locate"):
            await client.post(f"{control}faults", json={"on": on, "fault": "bare_500", "times": 0})
        assert (await client.get(f"/api/jobs/{job}")).status_code == 500
        assert (await client.get("/api/view?filename=x")).status_code == 500
        assert (await client.delete(f"{control}faults")).status_code == 204
        assert (await client.get(f"/api/jobs/{job}")).status_code == 200
        assert (await client.post(f"{control}faults", json={"on": "nothing", "fault": "delay"})).status_code == 400
        assert (await client.post(f"{control}behaviour", json={"timelin": []})).status_code == 400
        assert (await client.put(f"{control}nothing")).status_code == 404
        kinds = [(record["kind"], record["key"]) for record in (await client.get(f"{control}journal")).json()]
    assert kinds[:2] == [("submit", KEY), ("elsewhere", KEY)]
    assert [kind for kind, _ in kinds[2:]] == ["submit", "job", "job", "locate", "job"]


async def test_the_journal_keeps_what_was_submitted():
    """Also what was refused: a test can look at what would have run."""
    emulator = Comfy()
    body = {"prompt": GRAPH, "extra_data": {"api_key_comfy_org": "p"}}
    async with served(emulator) as client:
        job = (await client.post("/api/prompt", json=body)).json()["prompt_id"]
        await submit(client, graph=LOADS)
    one, other = emulator.seen("submit")
    assert (one.api, one.graph, one.extra_data, one.job_id, one.status) == ("v1", GRAPH, body["extra_data"], job, 200)
    assert (other.graph, other.job_id, other.status) == (LOADS, None, 400)


async def test_a_request_that_is_cut_off_before_it_is_read_leaves_no_trace_of_its_body():
    """A reset before reading: the journal says so, and nothing began."""
    emulator = Comfy()
    emulator.faults["submit"] += [Fault("drop_before_run", reset=True), Fault("drop_before_run")]
    async with served(emulator) as client:
        for _ in range(2):
            with pytest.raises(httpx.TransportError):
                await submit(client)
    assert [(record.status, record.job_id) for record in emulator.seen("submit")] == [(0, None)] * 2
    assert [record.graph for record in emulator.seen("submit")] == [None, GRAPH]
    assert emulator.jobs == {}
