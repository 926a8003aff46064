"""What Comfy Cloud says over its two APIs, and what the engine makes of it."""

import asyncio
import json
import logging
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_socket

from bridge.comfy_live import Live
from bridge.comfy_template import ComfyTemplate, ComfyVariable
from bridge.emulators import comfy as emulated
from bridge.emulators.comfy_jobs import Behaviour
from bridge.emulators.faults import Fault
from bridge.emulators.serving import Server
from bridge.engines.comfy import Comfy
from bridge.errors import Ambiguous, AttemptError, Blocked, Permanent, Throttled, Transient
from bridge.model import Progress, Status
from bridge.outbound import Outbound
from bridge.rules import own_keys
from bridge.runs import File, Order, Snapshot, Started
from bridge.secret import Secret
from tests.contract.test_engines import DATA, KEY, RUN, _soon
from tests.http_server import Received, always, answer, serve

FLOW = "comfy_workflow.json"
GRAPH = json.loads((DATA / FLOW).read_text())
PARTNER = "comfyui-partner-0123456789"
TAKEN = {
    "v1": answer(200, json.dumps({"prompt_id": RUN, "number": 1, "node_errors": {}})),
    "v2": answer(201, json.dumps({"id": RUN, "status": "queued"})),
}
SUBMIT = {"v1": "/api/prompt", "v2": "/api/v2/jobs"}
REUSED = answer(422, json.dumps({"error": {"code": "idempotency_key_reuse", "message": "used before"}}))
ASSET = '{"asset":"a1"}'
VIEW = '{"filename":"a b.png","subfolder":"","type":"output"}'
each_api = pytest.mark.parametrize("api", ["v1", "v2"])


@pytest.fixture
async def outbound():
    """Open a client for one test; it trusts no certificate, for reading them takes longer than a test."""
    async with Outbound(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as opened:
        yield opened


def _engine(base_url: str = "https://c.example.com", **more: Any) -> Comfy:
    return Comfy(**{"api_key": Secret("env: KEY", KEY.encode()), "base_url": base_url, **more})


def _near(base_url: str, **more: Any) -> Comfy:
    """Return an engine that may fetch files from this machine, without TLS."""
    return _engine(base_url, **{"allow_cidrs": ("127.0.0.0/8",), "allow_http": True, **more})


def _template(*, partner_nodes: bool = False, **variables: Any) -> ComfyTemplate:
    made = {name: ComfyVariable(**said) for name, said in variables.items()}
    return ComfyTemplate(engine="e", id=FLOW, variables=made, partner_nodes=partner_nodes)


def _order(template: ComfyTemplate | None = None, key: str = "x_1 trigger", **variables: str) -> Order:
    template = template or _template(prompt={"input": "6.text"})
    return Order(
        template_id=template.id, variables=variables, execution_id="x_1", folder=DATA, key=key, **own_keys(template)
    )


async def _trigger(outbound: Outbound, api: str, *replies: bytes, order: Order | None = None) -> Started:
    async with serve(always(*replies)) as server:
        return await _engine(server.url(""), api=api).trigger(outbound, order or _order(), _soon())


def _turns(*replies: bytes | None):
    """Answer each request with the next of these; None is no answer, and the end of the connection."""
    left = iter(replies)

    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        reply = next(left)
        if reply is None:
            writer.close()
        else:
            writer.write(reply)

    return script


async def _until(condition: Callable[[], Any]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


@asynccontextmanager
async def _comfy(**more: Any) -> AsyncIterator[emulated.Comfy]:
    emulator = emulated.Comfy(keys=(KEY,), **more)
    async with Server(emulator):
        yield emulator


# ------------------------------------------------------------------------------------------------------------ trigger


async def test_the_first_api_is_asked_as_its_page_says(outbound):
    """The filled-in workflow as `prompt`, the key in its header, and nothing that this API does not know."""
    async with serve(always(TAKEN["v1"])) as server:
        started = await _engine(server.url("/prefix/")).trigger(outbound, _order(prompt="ä dog"), _soon())
        [request] = server.requests
    assert started == Started(remote_id=RUN, progress=Progress(0, 5))
    assert (request.method, request.target) == ("POST", "/prefix/api/prompt")
    assert request.headers["x-api-key"] == KEY
    assert request.headers["content-type"] == "application/json"
    assert not {"authorization", "idempotency-key"} & request.headers.keys()
    graph = json.loads(json.dumps(GRAPH))
    graph["6"]["inputs"]["text"] = "ä dog"
    assert json.loads(request.body) == {"prompt": graph}


async def test_the_second_api_is_asked_as_its_page_says(outbound):
    """As `workflow`, with a bearer token and a key that it takes once."""
    async with serve(always(TAKEN["v2"])) as server:
        started = await _engine(server.url(""), api="v2").trigger(outbound, _order(), _soon())
        [request] = server.requests
    assert started == Started(remote_id=RUN, progress=Progress(0, 5))
    assert (request.method, request.target) == ("POST", "/api/v2/jobs")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in request.headers
    assert json.loads(request.body) == {"workflow": GRAPH}


@each_api
@pytest.mark.parametrize("partner", [None, PARTNER])
async def test_partner_nodes_get_a_key_inside_the_request(outbound, api, partner):
    """Only where the template says that it has some: the one for them, or else the engine's own."""
    own = None if partner is None else Secret("env: PARTNER", partner.encode())
    async with serve(always(TAKEN[api])) as server:
        engine = _engine(server.url(""), api=api, partner_key=own)
        await engine.trigger(outbound, _order(_template(partner_nodes=True)), _soon())
        await engine.trigger(outbound, _order(), _soon())
        with_nodes, without = [json.loads(request.body) for request in server.requests]
    assert with_nodes["extra_data"] == {"api_key_comfy_org": partner or KEY}
    assert "extra_data" not in without


async def test_values_go_where_the_template_says_and_have_the_type_that_stands_there(outbound):
    """One may go to several places; a variable without a value is a text that is empty."""
    template = _template(
        prompt={"input": ["6.text", "9.filename_prefix"]},
        steps={"input": "3.steps"},
        cfg={"input": "3.cfg"},
        tiled={"input": "3.tiled"},
        seed={"input": "3.seed", "seed": True},
    )
    order = _order(template, prompt="", steps="5", cfg="2", tiled="false", seed="9")
    async with serve(always(TAKEN["v1"])) as server:
        await _engine(server.url("")).trigger(outbound, order, _soon())
        sent = json.loads(server.requests[0].body)["prompt"]
    expected = {"seed": 9, "steps": 5, "cfg": 2.0, "tiled": False}
    assert sent["3"]["inputs"] == {**GRAPH["3"]["inputs"], **expected}
    assert (sent["6"]["inputs"]["text"], sent["9"]["inputs"]["filename_prefix"]) == ("", "")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"variables": {"steps": "many"}}, "variable 'steps' is 'many', which is not a whole number"),
        ({"template_id": "gone.json"}, "the workflow .*gone.json cannot be read"),
        ({"variable_options": {"steps": {"input": "steps"}}}, "'steps' is not an input of a node"),
        ({"variable_options": {"steps": {"input": "77.steps"}}}, "variable 'steps' unknown node '77'"),
    ],
)
async def test_what_no_longer_fits_the_workflow_is_refused_and_not_sent(outbound, change, problem):
    """The file may have been changed since the configuration was read."""
    order = structs.replace(_order(_template(steps={"input": "3.steps"}), steps="5"), **change)
    async with serve(always()) as server:
        with pytest.raises(Permanent, match=problem):
            await _engine(server.url("")).trigger(outbound, order, _soon())
        assert server.requests == []


WAIT = {"retry-after": "7"}


@pytest.mark.parametrize(
    ("api", "status", "headers", "kind"),
    [
        ("v1", 429, {}, Blocked),
        ("v1", 429, WAIT, Throttled),
        ("v2", 429, {}, Throttled),
        ("v2", 429, WAIT, Throttled),
        *((api, status, {}, Blocked) for api in ("v1", "v2") for status in (401, 402, 403)),
        *((api, status, {}, Permanent) for api in ("v1", "v2") for status in (302, 400, 404, 409, 422)),
        *((api, 503, WAIT, Transient) for api in ("v1", "v2")),
        *((api, status, {}, Ambiguous) for api in ("v1", "v2") for status in (500, 502, 503, 504)),
        *((api, 500, WAIT, Ambiguous) for api in ("v1", "v2")),
    ],
)
@pytest.mark.parametrize("body", ['{"error": {"message": "no", "code": "c"}}', '{"message": "no"}', "no"])
async def test_every_refusal_is_sorted_by_its_status(outbound, api, status, headers, kind, body):
    """In every form of the body. v1 says "not paid" with 429; only one that names a time is about pace."""
    with pytest.raises(AttemptError) as failed:
        await _trigger(outbound, api, answer(status, body, headers))
    assert type(failed.value) is kind
    assert f"Comfy: HTTP {status}: no" in str(failed.value)
    if headers and isinstance(failed.value, Transient):
        assert failed.value.retry_after == 7.0


async def test_a_refusal_may_come_with_200(outbound):
    """As the vendor's own sample has it; with no job named, nothing has begun."""
    found = {"error": {"message": "invalid prompt"}, "node_errors": {"4": {"errors": [{"message": "not in list"}]}}}
    for body in (found, {"node_errors": found["node_errors"]}):
        with pytest.raises(Permanent, match=r"\(node 4: not in list\)"):
            await _trigger(outbound, "v1", answer(200, json.dumps(body)))


async def test_a_run_of_a_part_is_a_run_with_a_warning(outbound):
    """v1 runs the outputs that can be made, and complains of the others."""
    found = {"prompt_id": RUN, "node_errors": {"4": {"class_type": "Loader", "errors": [{"message": f"no {KEY}"}]}}}
    started = await _trigger(outbound, "v1", answer(200, json.dumps(found)))
    assert started.remote_id == RUN
    assert (started.reason or "").startswith("not all of the workflow is run: Comfy: HTTP 200")
    assert "node 4 Loader: no ***" in (started.reason or "")


@each_api
@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"null", b'{"id": 7, "prompt_id": 7}', json.dumps(dict.fromkeys(["id", "prompt_id"], "x" * 201))],
)
async def test_a_success_without_a_job_is_ambiguous(outbound, api, body):
    """Whether one began is not known."""
    with pytest.raises(Ambiguous, match="names no job"):
        await _trigger(outbound, api, answer(200, body))


# ------------------------------------------------------------------------------------------- trigger: sent once more


@pytest.mark.parametrize(
    "first", [None, answer(500, "no"), answer(502, "<html>"), answer(503, "no"), answer(200, "hi")]
)
async def test_what_is_not_known_is_sent_again_under_the_same_key(outbound, first):
    """Once: if the first was not taken, this one is, and it runs."""
    async with serve(_turns(first, TAKEN["v2"])) as server:
        started = await _engine(server.url(""), api="v2").trigger(outbound, _order(), _soon())
        one, other = server.requests
    assert started == Started(remote_id=RUN, progress=Progress(0, 5))
    assert one.headers["idempotency-key"] == other.headers["idempotency-key"]
    assert (one.target, one.body) == (other.target, other.body)
    assert one.connection != other.connection


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (REUSED, "taken before, and Comfy does not say as which job: look among its jobs"),
        (None, "closed the connection without an answer"),
        (answer(401, "no"), "HTTP 401"),
        (answer(422, "no"), "HTTP 422"),
        (answer(429, "no", WAIT), "HTTP 429"),
        (answer(500, "no"), "HTTP 500"),
        (answer(503, "no", WAIT), "HTTP 503"),
        (answer(200, "{}"), "names no job"),
    ],
)
async def test_whatever_else_the_second_is_told_says_nothing_of_the_first(outbound, second, said):
    """Only that it has begun now does; that the key was taken means that the first one may run. No third is sent."""
    async with serve(_turns(None, second)) as server:
        with pytest.raises(Ambiguous) as failed:
            await _engine(server.url(""), api="v2").trigger(outbound, _order(), _soon())
        assert len(server.requests) == 2
    assert "without an answer; sent again under the same key: " in str(failed.value)
    assert said in str(failed.value)


async def test_a_second_that_cannot_be_sent_says_nothing_of_the_first(outbound):
    """Nobody listens any more: that is no proof that the first has not begun."""

    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        listening.close()
        writer.transport.abort()

    listening = await asyncio.start_server(drop, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    with pytest.raises(Ambiguous, match=r"sent again under the same key: .*could not be connected to"):
        await _engine(url, api="v2").trigger(outbound, _order(), _soon())


async def test_what_was_taken_before_may_run_already(outbound):
    """Another process may have sent it: nobody knows as which job, so a person has to look."""
    with pytest.raises(Ambiguous, match="taken before"):
        await _trigger(outbound, "v2", REUSED)


async def test_the_key_is_the_same_for_the_same_order_and_for_no_other(outbound):
    """A UUID, as the vendor wants it, which says nothing of what it was made of."""
    async with serve(always(TAKEN["v2"])) as server:
        engine = _engine(server.url(""), api="v2")
        for order in (_order(prompt="a"), _order(prompt="b"), _order(key="x_2 trigger")):
            await engine.trigger(outbound, order, _soon())
        keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys[0] == keys[1] != keys[2]
    assert [str(uuid.UUID(key)) for key in keys] == keys


async def test_the_first_api_never_sends_twice(outbound):
    """It has no such key: what is ambiguous stays so."""
    async with serve(_turns(None)) as server:
        with pytest.raises(Ambiguous):
            await _engine(server.url("")).trigger(outbound, _order(), _soon())
        assert len(server.requests) == 1
    assert not _engine().repeatable(_order())
    assert _engine(api="v2").repeatable(_order())


async def test_what_is_submitted_runs_once_whatever_becomes_of_the_answer(outbound):
    """With an emulator that takes a key once: lost before it was read, it runs then; lost after, nobody is told."""
    async with _comfy() as comfy:
        engine = _engine(comfy.url, api="v2")
        comfy.faults["submit"].append(Fault("drop_before_run"))
        assert (await engine.trigger(outbound, _order(), _soon())).remote_id in comfy.jobs
        comfy.faults["submit"].append(Fault("drop_after_run"))
        with pytest.raises(Ambiguous, match="taken before"):
            await engine.trigger(outbound, _order(key="x_2"), _soon())
        assert len(comfy.jobs) == 2


# -------------------------------------------------------------------------------------------------------------- fetch


@pytest.mark.parametrize(
    ("api", "target"), [("v1", "/p/api/jobs/..%2Fx%3Fy%23%2F"), ("v2", "/p/api/v2/jobs/..%2Fx%3Fy%23%2F")]
)
async def test_a_job_is_asked_for_by_its_id_and_nothing_else(outbound, api, target):
    """An id cannot lead to another address."""
    async with serve(always(answer(200, '{"status": "running"}'))) as server:
        seen = await _engine(server.url("/p"), api=api, live=False).fetch(outbound, "../x?y#/")
        [request] = server.requests
    assert (seen.status, request.method, request.target) == (Status.RUNNING, "GET", target)
    assert request.headers.get("x-api-key", request.headers.get("authorization")) in (KEY, f"Bearer {KEY}")


@each_api
@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait"),
    [
        (404, {}, Permanent, None),
        (429, {}, Throttled, None),
        (429, WAIT, Throttled, 7.0),
        (401, {}, Transient, 60.0),
        (403, {}, Transient, 60.0),
        (302, {}, Transient, 60.0),
        (401, WAIT, Transient, 7.0),
        (500, {}, Transient, None),
        (503, WAIT, Transient, 7.0),
    ],
)
async def test_what_is_no_answer_ends_no_run(outbound, api, status, headers, kind, wait):
    """Only a 404 means that there is no such job; a bad key is tried slowly."""
    async with serve(always(answer(status, "no", headers))) as server:
        engine = _engine(server.url(""), api=api)
        for attempt in (engine.fetch, engine.cancel):
            with pytest.raises(AttemptError) as failed:
                await attempt(outbound, RUN)
            assert type(failed.value) is kind
            assert getattr(failed.value, "retry_after", None) == wait


async def test_a_key_that_cannot_be_sent_is_no_verdict_on_a_run(outbound):
    """It refuses a trigger; what runs already goes on."""
    async with serve(always()) as server:
        engine = _engine(server.url(""), api_key=Secret("env: KEY", b"s3cret\nkey"))
        with pytest.raises(Permanent, match="line break"):
            await engine.trigger(outbound, _order(), _soon())
        with pytest.raises(Transient, match="line break"):
            await engine.fetch(outbound, RUN)
        assert server.requests == []


@each_api
async def test_a_run_is_seen_from_its_start_to_its_files(outbound, api):
    """The first API tells how far it is over its WebSocket, the second in the job itself."""
    behaviour = Behaviour(timeline=(("pending", 0.1), ("running", 0.4), ("completed", None)))
    async with _comfy(behaviour=behaviour) as comfy:
        engine = _engine(comfy.url, api=api)
        started = await engine.trigger(outbound, _order(), _soon())
        seen: list[Snapshot] = []
        while not seen or not seen[-1].status.final:
            seen.append(await engine.fetch(outbound, started.remote_id or ""))
            await asyncio.sleep(0.02)
        [(node, file)] = seen[-1].outputs.items()
        assert (node, seen[-1].status) == ("9", Status.COMPLETED)
        assert isinstance(file, File)
        assert file.type == "image/png"
        url = await engine.locate(outbound, file.reference)
        assert url.startswith(f"{comfy.url}/_emulator/storage/shot_00001_.png?signature=")
    assert [one.status for one in seen] == sorted((one.status for one in seen), key=list(Status).index)


# ------------------------------------------------------------------------------------------------------------- cancel


async def test_the_first_api_ends_only_what_still_waits(outbound):
    """`interrupt` would end whatever runs in the account, so what runs is left alone, and that is said."""
    async with _comfy(at_once=1, behaviour=Behaviour(timeline=(("running", None),))) as comfy:
        engine = _engine(comfy.url, live=False)
        running, waiting = [(await engine.trigger(outbound, _order(), _soon())).remote_id or "" for _ in range(2)]
        # The second waits for the place of the first, which never ends.
        comfy.jobs[waiting].behaviour = Behaviour(timeline=(("pending", None),))
        assert await engine.cancel(outbound, running) == "at Comfy it may still run"
        assert await engine.cancel(outbound, waiting) == "it was still waiting at Comfy, and has been taken back"
        assert [(await engine.fetch(outbound, job)).status for job in (running, waiting)] == ["running", "cancelled"]
        assert {record.path for record in comfy.seen("cancel")} == {"/api/queue"}


async def test_the_second_api_is_told_to_cancel_one_run(outbound):
    """By its id, so that no other one ends."""
    async with _comfy(behaviour=Behaviour(timeline=(("running", None),))) as comfy:
        engine = _engine(comfy.url, api="v2")
        jobs = [(await engine.trigger(outbound, _order(key=key), _soon())).remote_id or "" for key in "ab"]
        assert await engine.cancel(outbound, jobs[0]) == "Comfy was told to cancel it"
        assert [(await engine.fetch(outbound, job)).status for job in jobs] == ["cancelled", "running"]


@each_api
@pytest.mark.parametrize("body", [b"", b"[]", b'{"deleted": 7}', b'{"deleted": ["other"]}'])
async def test_a_word_on_cancelling_that_says_nothing_promises_nothing(outbound, api, body):
    """What was cancelled is only what is named."""
    async with serve(always(answer(200, body))) as server:
        assert "taken back" not in (await _engine(server.url(""), api=api).cancel(outbound, RUN))


@each_api
async def test_cancelling_may_be_tried_again(outbound, api):
    """An answer that got lost is no reason to give up."""
    async with serve(_turns(None)) as server:
        with pytest.raises(Transient, match="without an answer"):
            await _engine(server.url(""), api=api).cancel(outbound, RUN)


# ------------------------------------------------------------------------------------------------------------- locate


@pytest.mark.parametrize(
    ("reference", "header", "target", "reply"),
    [
        (VIEW, "x-api-key", "/api/view?filename=a+b.png&subfolder=&type=output", {"status": 302}),
        (ASSET, "authorization", "/api/v2/assets/a1", {"status": 200}),
    ],
)
@each_api
async def test_a_link_is_signed_by_comfy_and_the_key_goes_nowhere_else(outbound, api, reference, header, target, reply):
    """By the API that knows the file, whichever is spoken now: v1 redirects there, v2 tells it; nobody follows."""
    async with serve(always(answer(200, "bytes"))) as storage, serve(always()) as server:
        url = storage.url("/x.png?signature=s")
        redirect = reply["status"] == 302
        server.script = always(
            answer(302, headers={"location": url}) if redirect else answer(200, json.dumps({"id": "a1", "url": url}))
        )
        assert await _engine(server.url(""), api=api).locate(outbound, reference) == url
        [request] = server.requests
        assert storage.connections == 0
    assert (request.method, request.target) == ("GET", target)
    assert KEY in request.headers[header]
    assert KEY not in url


def _leads_to(url: str, reference: str) -> bytes:
    return answer(302, headers={"location": url}) if reference == VIEW else answer(200, json.dumps({"url": url}))


@pytest.mark.parametrize("reference", [VIEW, ASSET])
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (f"https://s.example.com/x?token={KEY}", "would not be safe to show"),
        ("https://user:pw@s.example.com/x", "must not carry a user name or password"),
        ("javascript:alert(1)", "must be an absolute URL"),
        ("https://[", "cannot be used"),
        ("https://s.example.com:99999/x", "cannot be used"),
    ],
)
async def test_a_link_that_should_not_be_shown_is_not(outbound, reference, found, said):
    """Least of all one with the key in it."""
    async with serve(always(_leads_to(found, reference))) as server:
        with pytest.raises(Permanent, match=said) as refused:
            await _engine(server.url("")).locate(outbound, reference)
    assert KEY not in str(refused.value)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize("reference", [VIEW, ASSET])
async def test_a_link_may_be_relative_to_the_host(outbound, reference):
    """It is made whole, for whoever follows it is not at that host."""
    async with serve(always(_leads_to("/files/x?s=1", reference))) as server:
        assert await _engine(server.url("/prefix")).locate(outbound, reference) == server.url("/files/x?s=1")


def test_a_link_without_tls_is_not_shown_where_comfy_itself_has_it():
    """Signed links are as good as keys, if only for a while."""
    with pytest.raises(Permanent, match="would not be safe"):
        _engine("https://c.example.com")._public("http://s.example.com/x")
    assert _engine("http://c.example.com")._public("http://s.example.com/x") == "http://s.example.com/x"
    assert _engine("https://c.example.com/p")._public("/x") == "https://c.example.com/x"


@pytest.mark.parametrize("reference", [VIEW, ASSET])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Permanent),
        (404, Permanent),
        (410, Permanent),
        (200, Transient),
        (302, Transient),
        (401, Transient),
        (429, Throttled),
        (500, Transient),
    ],
)
async def test_no_link_is_a_file_that_is_gone_or_one_to_ask_for_again(outbound, reference, status, kind):
    """Without a place that it leads to, even a redirect is no answer."""
    async with serve(always(answer(status, "no"))) as server:
        with pytest.raises(AttemptError) as failed:
            await _engine(server.url("")).locate(outbound, reference)
    assert type(failed.value) is kind


async def test_a_link_whose_answer_got_lost_is_asked_for_again(outbound):
    """Asking twice does no harm."""
    async with serve(always(close=True)) as server:
        with pytest.raises(Transient, match="without an answer"):
            await _engine(server.url("")).locate(outbound, VIEW)


# ------------------------------------------------------------------------------------------------------------ prepare

PICTURE = b"\x89PNG\r\n\x1a\n--boundary\r\n\xff\x00"
IMAGE = _template(image={"input": "10.image", "upload": True}, prompt={"input": "6.text"})


@pytest.mark.usefixtures("bare_machine")
@each_api
@pytest.mark.parametrize(
    ("said", "ending"),
    [
        ("image/png", ".png"),
        ("image/webp", ".webp"),
        ("Image/JPEG; charset=x", ".jpg"),
        ("application/octet-stream", ""),
        ("image/x-unheard-of", ""),
        ('image/png"; x', ""),
        ("", ""),
    ],
)
async def test_a_file_is_fetched_and_uploaded_before_the_trigger(outbound, api, said, ending):
    """Under a name of its content, so that nothing of its URL is a part of any path; then the workflow names it."""
    headers = {"content-type": said} if said else {}
    async with serve(always(answer(200, PICTURE, headers))) as files, _comfy() as comfy:
        engine = _near(comfy.url, api=api)
        url = files.url("/../../etc/passwd?token=t")
        order = await engine.prepare(outbound, _order(IMAGE, image=url, prompt="a"))
        [request] = files.requests
        again = await engine.prepare(outbound, _order(IMAGE, image=url))
        await engine.trigger(outbound, order, _soon())
        [record] = comfy.seen("submit")
    assert not {"x-api-key", "authorization"} & request.headers.keys()
    assert set(comfy.uploads.values()) == {PICTURE}
    assert order.variables == {"image": url, "prompt": "a"}
    assert list(order.prepared) == ["image"]
    assert record.graph["10"]["inputs"]["image"] == order.prepared["image"]
    if api == "v1":
        assert again.prepared == order.prepared
        assert order.prepared["image"] in comfy.uploads
        assert order.prepared["image"].endswith(ending) if ending else "." not in order.prepared["image"]
    else:
        info = order.prepared["image"]["info"]
        assert order.prepared["image"] == {"__type": "core/ASSET", "info": info}
        assert info["id"] in comfy.uploads
        assert info["file_path"] == again.prepared["image"]["info"]["file_path"]
        assert info["file_path"].endswith(ending) if ending else "." not in info["file_path"]


@pytest.mark.parametrize(
    ("api", "target", "parts", "reply", "stands"),
    [
        (
            "v1",
            "/api/upload/image",
            ['name="type"\r\n\r\ninput\r\n', 'name="image"; filename="'],
            {"name": "a.png", "subfolder": "x", "type": "input"},
            "x/a.png",
        ),
        (
            "v2",
            "/api/v2/assets",
            ['name="content_type"\r\n\r\nimage/png\r\n', 'name="file_path"\r\n\r\n', 'name="file"; filename="'],
            {"id": "a1"},
            {"id": "a1"},
        ),
    ],
)
async def test_a_file_is_uploaded_as_each_api_wants_it(outbound, api, target, parts, reply, stands):
    """One form with the file, byte for byte, and what the answer calls it is what the workflow names."""
    async with (
        serve(always(answer(200, PICTURE, {"content-type": "image/png"}))) as files,
        serve(always(answer(201, json.dumps(reply)))) as server,
    ):
        order = await _near(server.url("/p"), api=api).prepare(outbound, _order(IMAGE, image=files.url("/a")))
        [request] = server.requests
    assert (request.method, request.target) == ("POST", f"/p{target}")
    assert KEY in request.headers.get("x-api-key", request.headers.get("authorization", ""))
    boundary = request.headers["content-type"].removeprefix("multipart/form-data; boundary=").encode()
    first, *sent, last = request.body.split(b"--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    assert len(sent) == len(parts)
    for part, begins in zip(sent, parts, strict=True):
        assert part.startswith(b"\r\ncontent-disposition: form-data; " + begins.encode())
    assert sent[-1].endswith(b"\r\ncontent-type: image/png\r\n\r\n" + PICTURE + b"\r\n")
    made = order.prepared["image"]
    assert made == stands or made["info"].items() >= stands.items()


async def test_without_a_file_the_workflow_keeps_its_own(outbound):
    """An empty value uploads nothing, and puts nothing in its place; where nothing is to upload nothing is asked."""
    async with serve(always(TAKEN["v1"])) as server:
        engine = _near(server.url(""))
        order = _order(IMAGE, image="", prompt="a")
        assert await engine.prepare(outbound, order) is order
        await engine.trigger(outbound, order, _soon())
        [request] = server.requests
    assert json.loads(request.body)["prompt"]["10"] == GRAPH["10"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"allow_cidrs": ()}, "the file to upload cannot be fetched: .*port"),
        ({"allow_cidrs": ("10.0.0.0/8",)}, "the file to upload cannot be fetched: .*127.0.0.1"),
        ({"allow_http": False}, "allow_http permits http://"),
        ({"allow_hosts": ("*.example.com",)}, "is not one of allow_hosts"),
    ],
)
async def test_a_file_is_fetched_only_from_where_it_may_be(outbound, more, said):
    """An event may have chosen the URL: private networks, other hosts and plain HTTP are for the operator to allow."""
    async with serve(always(answer(200, PICTURE))) as files:
        with pytest.raises(Permanent, match=said):
            await _near("https://c.example.com", **more).prepare(outbound, _order(IMAGE, image=files.url("/a")))
        assert files.connections == 0


async def test_allowed_hosts_are_taken_in_any_case(outbound):
    """Names of hosts have none."""
    async with serve(always(answer(200, PICTURE))) as files, _comfy() as comfy:
        order = _order(IMAGE, image=files.url("/a", host="LOCALHOST"))
        assert (await _near(comfy.url, allow_hosts=("LocalHost",)).prepare(outbound, order)).prepared


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (answer(302, headers={"location": "https://x.example.com"}), Permanent, "302 (redirects are not followed)"),
        (answer(404), Permanent, "HTTP 404"),
        (answer(204), Permanent, "HTTP 204"),
        (answer(200, b"x", {"content-encoding": "gzip"}), Permanent, "larger than 50 MB, or in an encoding"),
        (answer(429, headers=WAIT), Transient, "HTTP 429"),
        (answer(500), Transient, "HTTP 500"),
        (answer(503, headers=WAIT), Transient, "HTTP 503"),
        (None, Transient, "could not be fetched"),
    ],
)
async def test_a_file_that_cannot_be_had_is_tried_again_or_not(outbound, reply, kind, said):
    """Never Ambiguous, and never about the engine's key: nothing has begun, and whoever has the file is a stranger."""
    async with serve(_turns(reply)) as files, serve(always()) as server:
        with pytest.raises(AttemptError) as failed:
            await _near(server.url("")).prepare(outbound, _order(IMAGE, image=files.url("/secret-path")))
        assert server.requests == []
    assert type(failed.value) is kind
    assert said in str(failed.value)
    assert "secret-path" not in str(failed.value)
    if "retry-after" in (reply or b"").decode("latin-1"):
        assert failed.value.retry_after == 7.0  # type: ignore[attr-defined]


async def test_a_file_of_more_than_fifty_megabytes_is_not_taken(outbound):
    """Comfy would not take it either, and it would fill the memory."""
    async with serve(always(answer(200, bytes(50_000_001)))) as files:
        with pytest.raises(Permanent, match="larger than 50 MB"):
            await _near("https://c.example.com").prepare(outbound, _order(IMAGE, image=files.url("/a")))


@each_api
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(401, "no"), Blocked),
        (answer(402, "no"), Blocked),
        (answer(429, "no", WAIT), Throttled),
        (answer(400, "too many pixels"), Permanent),
        (answer(302), Permanent),
        (answer(503, "no", WAIT), Transient),
        (answer(500, "no"), Transient),
        (answer(200, "{}"), Transient),
        (answer(200, '{"name": "", "id": ""}'), Transient),
        (answer(200, '{"name": 7, "id": 7}'), Transient),
        (None, Transient),
    ],
)
async def test_an_upload_that_was_not_taken_is_sorted_as_a_trigger_is_but_may_be_repeated(outbound, api, reply, kind):
    """So it is never Ambiguous: the same file twice is the same file."""
    async with serve(always(answer(200, PICTURE))) as files, serve(_turns(reply)) as server:
        with pytest.raises(AttemptError) as failed:
            await _near(server.url(""), api=api).prepare(outbound, _order(IMAGE, image=files.url("/a")))
    assert type(failed.value) is kind


# ------------------------------------------------------------------------------------------------------ configuration


@each_api
@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (200, None),
        (404, None),
        (401, "check api_key and the subscription"),
        (402, "check api_key and the subscription"),
        (500, "check base_url, or wait"),
        (302, "check base_url, or wait"),
    ],
)
async def test_a_probe_asks_for_a_job_that_cannot_be(outbound, api, status, hint):
    """It costs nothing, and whoever is told that there is none has a good key."""
    async with serve(always(answer(status, "no"))) as server:
        said = await _engine(server.url(""), api=api).probe(outbound)
        assert server.requests[0].target.endswith("/jobs/00000000-0000-0000-0000-000000000000")
    assert said == (hint and f"Comfy: HTTP {status}: no - {hint}")


def _complaints(**template: Any) -> list[tuple[tuple[str, ...], str]]:
    made = ComfyTemplate(**{"engine": "e", "id": FLOW, **template})
    return list(_engine().problems(made, DATA))


def test_nothing_is_wrong_with_what_fits():
    """Every kind of place, with a default or choices that fit it."""
    variables = {
        "prompt": ComfyVariable(input=["6.text", "9.filename_prefix"], default="x", choices=["x", ""]),
        "seed": ComfyVariable(input="3.seed", seed=True, default="random", choices=["random", "1"]),
        "cfg": ComfyVariable(input="3.cfg", default="1.5"),
        "image": ComfyVariable(input="10.image", upload=True, default="https://example.com/a.png"),
    }
    assert _complaints(variables=variables, outputs={"picture": "9"}, partner_nodes=True) == []


@pytest.mark.parametrize(
    ("variable", "key", "problem"),
    [
        ({}, (), "variable 'v' names no `input:`, such as \"6.text\""),
        ({"input": []}, (), "variable 'v' names no `input:`"),
        ({"input": "text"}, ("input",), "'text' is not an input of a node: write <node>.<input>"),
        ({"input": "77.text"}, ("input",), "unknown node '77'"),
        (
            {"input": ["6.text", "6.txt"]},
            ("input",),
            "node 6 (CLIPTextEncode): unknown input 'txt': did you mean 'text'?",
        ),
        ({"input": "6.clip"}, ("input",), "node 6 (CLIPTextEncode): 'clip' is connected"),
        ({"input": "3.steps", "default": "x"}, ("default",), "variable 'v' is 'x', which is not a whole number"),
        ({"input": "3.steps", "choices": ["1", "x"]}, ("choices",), "variable 'v' is 'x', which is not a whole number"),
        ({"input": "3.steps", "default": "random"}, ("default",), "variable 'v' is 'random', which is not a whole"),
        ({"input": "6.text", "seed": True}, None, ""),
        ({"input": "3.tiled", "seed": True}, ("seed",), "variable 'v': no whole number is there, as a seed would be"),
        ({"input": "3.seed", "seed": True, "upload": True}, ("upload",), "variable 'v' cannot be a seed and a file"),
    ],
)
def test_every_mistake_in_a_variable_is_named_at_its_key(variable, key, problem):
    """At load, where a person can mend it, and not at midnight."""
    found = _complaints(variables={"v": ComfyVariable(**variable)})
    if key is None:
        assert found == []
    else:
        [(where, said)] = found
        assert where == ("variables", "v", *key)
        assert said.startswith(problem)


def test_a_name_for_an_output_of_no_node_is_a_mistake():
    """Its name would never be seen."""
    [(where, said)] = _complaints(outputs={"picture": "9", "other": "99"})
    assert where == ("outputs", "other")
    assert said.startswith("unknown node '99': did you mean '9'?")


def test_of_a_workflow_that_cannot_be_read_that_is_all_that_is_said(tmp_path):
    """What its variables name cannot be known; what is wrong without it is told all the same."""
    variables = {"good": ComfyVariable(input="6.text"), "bad": ComfyVariable(input="text"), "none": ComfyVariable()}
    made = ComfyTemplate(engine="e", id="gone.json", variables=variables, outputs={"picture": "99"})
    found = list(_engine().problems(made, tmp_path))
    assert [where for where, _ in found] == [("id",), ("variables", "bad", "input"), ("variables", "none")]
    assert "cannot be read" in found[0][1]


def test_a_variable_refuses_what_is_no_seed():
    """And what any other variable would."""
    assert ComfyVariable(input="3.seed", seed=True).problem("random") is None
    assert "neither a whole number nor 'random'" in (ComfyVariable(input="3.seed", seed=True).problem("x") or "")
    assert ComfyVariable(input="3.seed").problem("x") is None
    assert ComfyVariable(input="3.seed", seed=True, required=True).problem("") == "is required, and its value is empty"


def test_random_seeds_are_drawn_when_an_execution_is_made():
    """Each by its own name, for one execution always the same; what is no seed may be called random."""
    template = _template(
        a={"input": "3.seed", "seed": True}, b={"input": "3.seed", "seed": True}, c={"input": "6.text"}
    )
    given = {"a": "random", "b": "random", "c": "random"}
    drawn = template.settled(given, "x_1")
    assert template.settled(given, "x_1") == drawn != template.settled(given, "x_2")
    assert drawn["a"] != drawn["b"]
    assert drawn["c"] == "random"
    assert template.settled({"a": "7"}, "x_1") == {"a": "7"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"base_url": "cloud.comfy.org"}, "the URL cannot be used"),
        ({"base_url": "https://c.example.com?x=1"}, "the URL cannot be used"),
        ({"allow_cidrs": ("10.0.0.1/8",)}, "allow_cidrs: "),
    ],
)
def test_an_address_that_is_none_is_refused_at_load(more, said):
    """Before anything is sent there."""
    with pytest.raises(ValueError, match=said):
        _engine(**more)


def test_a_budget_is_one_run_at_once_unless_it_says_otherwise():
    """As the smallest subscription has it; what a budget belongs to is the key, and where it is one."""
    assert (_engine().budget.at_once, _engine().budget.triggers_per_minute) == (1, None)
    assert _engine("https://c.example.com/").credentials() == ("https://c.example.com", KEY)


def test_a_template_is_made_of_its_workflows_file():
    """A change of the file is a change of the template."""
    assert list(_engine().files(_template(), DATA)) == [DATA / FLOW]


# -------------------------------------------------------------------------------------------------------------- live


async def test_progress_is_heard_and_is_never_another_jobs(outbound):
    """It grows with the nodes that are done, and all jobs' messages come over one connection."""
    now = [0.0]
    behaviour = Behaviour(timeline=(("running", float(len(GRAPH))), ("completed", None)))
    async with _comfy(at_once=3, behaviour=behaviour, clock=lambda: now[0]) as comfy:
        engine = _engine(comfy.url)
        first = (await engine.trigger(outbound, _order(), _soon())).remote_id or ""
        now[0] = 1.0
        second = (await engine.trigger(outbound, _order(), _soon())).remote_id or ""
        comfy.behaviour = Behaviour(timeline=(("pending", None),))
        waits = (await engine.trigger(outbound, _order(), _soon())).remote_id or ""
        for done in range(1, len(GRAPH) + 1):
            now[0] = done + 0.5
            async with asyncio.timeout(10):
                while (await engine.fetch(outbound, second)).done != done - 1:
                    pass
            assert (await engine.fetch(outbound, first)).done == done
            assert (await engine.fetch(outbound, waits)).done is None
        assert len(comfy.seen("socket")) == 1
        assert comfy.listeners == 1


def _listening() -> int:
    return sum("Live._listen" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_closing_the_client_hangs_up():
    """Nothing is left listening, and no task is left behind."""
    async with _comfy() as comfy:
        async with Outbound(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as outbound:
            engine = _engine(comfy.url)
            job = (await engine.trigger(outbound, _order(), _soon())).remote_id or ""
            await engine.fetch(outbound, job)
            await _until(lambda: comfy.listeners == 1)
            assert _listening() == 1
        await _until(lambda: comfy.listeners == 0)
        assert _listening() == 0
    live = Live(comfy.url, KEY, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    await live.aclose()  # also where nobody ever asked


@pytest.mark.parametrize("more", [{"live": False}, {"api": "v2"}])
async def test_nobody_listens_where_it_is_not_wanted(outbound, more):
    """The key does not go into a URL then."""
    async with _comfy(behaviour=Behaviour(timeline=(("running", None),))) as comfy:
        engine = _engine(comfy.url, **more)
        job = (await engine.trigger(outbound, _order(), _soon())).remote_id or ""
        assert (await engine.fetch(outbound, job)).done is None
        assert _listening() == 0


async def test_the_key_is_in_no_log(outbound, caplog):
    """It stands in the WebSocket's URL, and libraries like to write URLs down."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets.client").setLevel(logging.DEBUG)
    async with _comfy(behaviour=Behaviour(timeline=(("running", 0.2), ("completed", None)))) as comfy:
        engine = _engine(comfy.url)
        job = (await engine.trigger(outbound, _order(), _soon())).remote_id or ""
        await engine.fetch(outbound, job)
        await _until(lambda: engine._live(outbound).done(job) == len(GRAPH))
    async with serve(_sockets(always(close=True))) as server:
        await _engine(server.url("")).fetch(outbound, RUN)
        await server.received(2)
    # The emulator's own server writes down whom it serves, and is in this process.
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    assert ours
    assert not [line for line in ours if KEY in line]


def _sockets(otherwise):
    """Answer every look at a job, and leave what asks for a WebSocket to another script."""

    async def script(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.target.startswith("/ws?"):
            await otherwise(request, writer)
        else:
            writer.write(answer(200, '{"status": "running"}'))

    return script


@pytest.mark.parametrize(
    "refusal", [answer(404), answer(401), answer(403), answer(200, "hello"), b"nonsense\r\n\r\n", None]
)
async def test_without_a_websocket_only_progress_is_missing(outbound, refusal):
    """It is knocked at again, but slowly, and a run is seen all the same."""
    script = always(close=True) if refusal is None else always(refusal)
    async with serve(_sockets(script)) as server:
        engine = _engine(server.url(""))
        assert await engine.fetch(outbound, RUN) == Snapshot(status=Status.RUNNING)
        await server.received(2)
        begun = time.monotonic()
        await server.received(3)
        assert time.monotonic() - begun > 0.9
        assert await engine.fetch(outbound, RUN) == Snapshot(status=Status.RUNNING)
        knocks = [request for request in server.requests if request.target.startswith("/ws?")]
    assert len(knocks) == 2
    assert all(f"&token={KEY}" in knock.target for knock in knocks)


async def test_a_websocket_is_not_looked_for_elsewhere(outbound):
    """A redirect is followed with no key, and not without one either."""
    async with serve(always()) as elsewhere, serve(always()) as server:
        server.script = _sockets(always(answer(302, headers={"location": elsewhere.url("/ws", scheme="ws")})))
        await _engine(server.url("")).fetch(outbound, RUN)
        await server.received(3)  # it knocks here again
        assert elsewhere.connections == 0


@asynccontextmanager
async def _told(*messages: str | bytes) -> AsyncIterator[tuple[str, list[str]]]:
    """Tell whoever connects all of this; return where, and what was asked for."""
    paths: list[str] = []

    async def tell(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(connection.request.path)
        for message in messages:
            await connection.send(message)
        await connection.wait_closed()

    async with serve_socket(tell, "127.0.0.1", 0, compression=None) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", paths


def _said(kind: str, job: str = RUN, **data: Any) -> str:
    return json.dumps({"type": kind, "data": {"prompt_id": job, **data}})


@pytest.mark.parametrize(
    ("messages", "done"),
    [
        ([_said("execution_start")], 0),
        ([_said("executing", node="3")], 0),
        ([_said("executing", node="3"), _said("executing", node="4")], 1),
        ([_said("executing", node="3"), _said("executing", node=None)], 1),
        ([_said("executed", node="3"), _said("executed", node="3"), _said("executed", node="4")], 2),
        ([_said("executing", node="3"), _said("executed", node="3"), _said("executing", node="4")], 1),
        ([_said("execution_cached", nodes=["3", "4", 7])], 2),
        ([_said("progress_state", nodes={"3": {"state": "finished"}, "4": {"state": "running"}, "6": 7})], 1),
        ([_said("progress", value=3, max=20)], 0),
        ([_said("executed", node=7), _said("execution_cached", nodes="34"), _said("progress_state", nodes=[])], 0),
    ],
)
async def test_what_is_done_is_counted_in_nodes(messages, done):
    """Each once, by whichever message it is told; cached ones are never executed."""
    async with _told(*messages, _said("executed", job="end", node="1")) as (url, _):
        live = Live(url, KEY, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        await _until(lambda: live.done("end") is not None)
        assert live.done(RUN) == done
        await live.aclose()


async def test_previews_and_nonsense_are_passed_over():
    """A message that is not understood ends nothing."""
    nonsense: list[str | bytes] = [b"\0\0\0\1preview", "", "text", "[]", "7", "[" * 50_000, '{"type": 7, "data": {}}']
    nonsense += [json.dumps({"type": "executed", "data": data}) for data in (None, [], {}, {"prompt_id": 7})]
    nonsense += [json.dumps({"type": 7, "data": {"prompt_id": RUN}}), json.dumps({"data": {"prompt_id": RUN}})]
    async with _told(*nonsense, _said("executed", node="3")) as (url, paths):
        live = Live(url, KEY, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        await _until(lambda: live.done(RUN) == 1)
        await live.aclose()
    assert len(paths) == 1


async def test_of_the_jobs_of_an_account_only_so_many_are_kept():
    """Everybody's are told: the one that was heard of first is forgotten first."""
    messages = [_said("executed", job=f"job-{number}", node="3") for number in range(1_002)]
    async with _told(*messages) as (url, _):
        live = Live(url, KEY, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        await _until(lambda: live.done("job-1001") == 1)
        assert [live.done(f"job-{number}") for number in (0, 1, 2)] == [None, None, 1]
        await live.aclose()


async def test_it_hangs_up_when_nobody_asks_any_more_and_calls_again_when_somebody_does():
    """A connection is not kept for a run that ended long ago."""
    async with _comfy() as comfy:
        live = Live(comfy.url, KEY, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), unasked_seconds=0.5)
        live.done(RUN)
        await _until(lambda: len(comfy.seen("socket")) == 1)
        await _until(lambda: live._listening is not None and live._listening.done())
        await _until(lambda: comfy.listeners == 0)
        live.done(RUN)
        await _until(lambda: len(comfy.seen("socket")) == 2)
        await live.aclose()


async def test_with_tls_it_is_a_secure_websocket():
    """The key is not sent before the server has shown a certificate that the client trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DATA / "receiver.pem")
    trusting = ssl.create_default_context(cafile=str(DATA / "receiver.pem"))
    trusting.check_hostname = False  # it is another host's
    async with serve(always(answer(404)), tls=context) as server:
        live = Live(server.url("", scheme="https"), KEY, trusting)
        live.done(RUN)
        await server.received(1)
        await live.aclose()
        assert server.requests[0].target.endswith(f"&token={KEY}")
    first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.set_result(await reader.read(10_000))
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        live = Live(f"https://127.0.0.1:{port}", KEY, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        live.done(RUN)
        heard = await asyncio.wait_for(first, 10)
        await live.aclose()
    assert heard.startswith(b"\x16\x03")
    assert KEY.encode() not in heard
