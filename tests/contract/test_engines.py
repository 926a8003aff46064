"""What every engine promises, whatever its server answers; a new engine adds its ways of answering to WORLDS."""

import asyncio
import gzip
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.budgets import buckets
from bridge.comfy_template import ComfyTemplate
from bridge.contracts import Engine
from bridge.engines import ENGINES
from bridge.engines.agentifyme import AgentifyMe, AgentifyMeTemplate
from bridge.engines.comfy import Comfy
from bridge.engines.genesis import Genesis
from bridge.errors import Ambiguous, Blocked, Permanent, Throttled, Transient
from bridge.model import Progress, Status
from bridge.outbound import Outbound
from bridge.rules import Template
from bridge.runs import Order, Snapshot
from bridge.secret import Secret
from tests.http_server import always, answer, serve

KEY = "gk_live_0123456789abcdef"
WORKFLOW = "7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44"
RUN = "0d9f8a52-6a0e-4d0e-8a45-7c2f6b1e9d10"

# https://help.genesis.autify.com/integrations/api-guide.md; the shape of the body is not documented.
SHAPES: dict[str, Callable[[str], str]] = {
    "error": lambda text: json.dumps({"error": text}),
    "success": lambda text: json.dumps({"success": False, "error": text}),
    "message": lambda text: json.dumps({"message": text}),
    "plain": lambda text: text,
    "page": lambda text: f"<html><body><h1>{text}</h1></body></html>",
}
REFUSALS = [
    (401, "Missing API key"),
    (401, "Invalid API key"),
    (403, "API key is not associated with an organization"),
    (403, "Unauthorized"),
    (403, "API key does not have access to this organization"),
    (403, "Usage limit reached"),
    (400, "Invalid JSON payload"),
    (413, "Payload too large"),
    (500, "Invalid payload: expected object with string values"),
    (500, "Unexpected fields in payload"),
    (404, "Workflow template not found or API access not enabled"),
    (400, "Invalid template ID"),
    (400, "Workflow template must belong to a project"),
    (404, "Project not found"),
]
UNSURE = [
    (500, "Internal Server Error"),
    (502, "Bad Gateway"),
    (503, "Unavailable"),
    (504, "Gateway Timeout"),
    (501, ""),
]


class World(msgspec.Struct, frozen=True):
    """How one engine is configured, and how it answers when all is well."""

    make: Callable[[str], Engine]
    order: Order
    taken: bytes
    """A trigger's success."""
    running: bytes
    """A run's state."""
    template: Template
    """One with which nothing is wrong."""
    paid_429: bool = False
    """Whether a trigger's 429 that names no time is about paying."""


def _genesis(base_url):
    return Genesis(api_key=Secret("env: KEY", KEY.encode()), base_url=base_url)


def _order(**variables):
    return Order(template_id=WORKFLOW, variables=variables, execution_id="x_1")


def _comfy(api):
    return lambda base_url: Comfy(api_key=Secret("env: KEY", KEY.encode()), base_url=base_url, api=api, live=False)


DATA = Path(__file__).parent.parent / "data"
_WORKFLOW_FILE = "comfy_workflow.json"
_COMFY_ORDER = Order(
    template_id=_WORKFLOW_FILE,
    variables={"prompt": "a dog"},
    execution_id="x_1",
    variable_options={"prompt": {"input": "6.text"}},
    folder=DATA,
    key="x_1 trigger",
)
WORLDS = {
    "Genesis": World(
        _genesis,
        _order(target_url="https://preview.example.com"),
        answer(200, json.dumps({"success": True, "executionId": RUN})),
        answer(200, json.dumps({"id": RUN, "status": "running", "blockCount": 5, "completedBlocks": 2})),
        Template(engine="e", id=WORKFLOW),
    ),
    "AgentifyMe": World(
        lambda base_url: AgentifyMe(api_key=Secret("env: KEY", KEY.encode()), endpoint="my-agent", base_url=base_url),
        Order(template_id="summarize", variables={"text": "long"}, execution_id="x_1"),
        answer(202, json.dumps({"jobId": RUN, "status": "pending"})),
        answer(200, json.dumps({"jobId": RUN, "status": "running"})),
        AgentifyMeTemplate(engine="e", id="summarize"),
    ),
    "Comfy v1": World(
        _comfy("v1"),
        _COMFY_ORDER,
        answer(200, json.dumps({"prompt_id": RUN, "number": 1, "node_errors": {}})),
        answer(200, json.dumps({"id": RUN, "status": "in_progress"})),
        ComfyTemplate(engine="e", id=_WORKFLOW_FILE),
        paid_429=True,
    ),
    "Comfy v2": World(
        _comfy("v2"),
        _COMFY_ORDER,
        answer(201, json.dumps({"id": RUN, "status": "queued"})),
        answer(200, json.dumps({"id": RUN, "status": "running"})),
        ComfyTemplate(engine="e", id=_WORKFLOW_FILE),
    ),
}
every_engine = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


@pytest.fixture
async def outbound():
    """Open a client for one test; it trusts no certificate, for reading them takes longer than a test."""
    async with Outbound(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as opened:
        yield opened


def _soon():
    return time.monotonic() + 60


async def _trigger(outbound, script, world=WORLDS["Genesis"]):
    async with serve(script) as server:
        return await world.make(server.url("")).trigger(outbound, world.order, _soon())


async def _fetch(outbound, script, world=WORLDS["Genesis"]) -> Snapshot:
    async with serve(script) as server:
        return await world.make(server.url("")).fetch(outbound, RUN)


async def _seen(outbound, **execution: Any) -> Snapshot:
    return await _fetch(outbound, always(answer(200, json.dumps({"id": RUN, "status": "completed", **execution}))))


# ---------------------------------------------------------------------------------------------------- every engine


def test_every_engine_is_held_to_this():
    """An engine that is not in WORLDS is not tested."""
    assert {type(world.make("https://a.example.com")) for world in WORLDS.values()} == set(ENGINES)


@every_engine
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_permanent_and_the_key_is_not_sent_on(outbound, world, status):
    """A trigger that is answered with a redirect is refused, and nobody else is connected to."""
    async with serve(always(world.taken)) as elsewhere:
        with pytest.raises(Permanent, match="redirect"):
            await _trigger(outbound, always(answer(status, headers={"location": elsewhere.url()})), world)
        with pytest.raises(Transient):
            await _fetch(outbound, always(answer(status, headers={"location": elsewhere.url()})), world)
        assert elsewhere.connections == 0


@every_engine
async def test_what_was_not_sent_is_transient(outbound, world):
    """Where nobody listens, nothing started."""
    async with serve(always()) as server:
        engine = world.make(server.url(""))
    with pytest.raises(Transient):
        await engine.trigger(outbound, world.order, _soon())
    with pytest.raises(Transient):
        await engine.fetch(outbound, RUN)


@every_engine
async def test_after_the_lease_nothing_is_sent(outbound, world):
    """The moment after which a trigger must not begin reaches the connection."""
    async with serve(always(world.taken)) as server:
        with pytest.raises(Transient, match="lease"):
            await world.make(server.url("")).trigger(outbound, world.order, time.monotonic() - 1)
        assert server.requests == []


@every_engine
@pytest.mark.parametrize("parts", [[], [b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n{"], [b"nonsense\r\n\r\n"]])
async def test_a_broken_answer_is_ambiguous_for_a_trigger_and_transient_for_a_look(outbound, world, parts):
    """Once a trigger is sent, an answer that cannot be read says nothing; a look can be repeated."""
    with pytest.raises(Ambiguous):
        await _trigger(outbound, always(*parts, close=True), world)
    with pytest.raises(Transient):
        await _fetch(outbound, always(*parts, close=True), world)


@every_engine
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
async def test_the_key_is_in_no_message(outbound, world, status, shape):
    """An engine that repeats the key it was sent does not make us repeat it."""
    script = always(answer(status, shape(f"the key {KEY} is not good; {KEY}")))
    for attempt in (_trigger, _fetch):
        try:
            said = str(await attempt(outbound, script, world))
        except (Transient, Permanent, Ambiguous) as failed:
            said = str(failed)
        assert KEY not in said
        assert "127.0.0.1" not in said


@every_engine
@pytest.mark.parametrize(("wish", "seconds"), [({}, None), ({"retry-after": "7"}, 7.0)])
async def test_too_many_is_about_the_key(outbound, world, wish, seconds):
    """429 holds everybody back who has the key, for as long as it asks; or is about paying, which holds it as well."""
    about_paying = world.paid_429 and seconds is None
    if about_paying:
        with pytest.raises(Blocked):
            await _trigger(outbound, always(answer(429, "slow down", wish)), world)
    for attempt in [_fetch] if about_paying else [_trigger, _fetch]:
        with pytest.raises(Throttled) as failed:
            await attempt(outbound, always(answer(429, "slow down", wish)), world)
        assert failed.value.retry_after == seconds


@every_engine
async def test_a_bad_key_blocks_the_engine_and_ends_no_run(outbound, world):
    """Nothing it triggers would be taken; what runs already goes on, only we do not see it."""
    with pytest.raises(Blocked):
        await _trigger(outbound, always(answer(401, '{"error": "Unauthorized"}')), world)
    with pytest.raises(Transient):
        await _fetch(outbound, always(answer(401, '{"error": "Unauthorized"}')), world)


@every_engine
async def test_a_run_it_does_not_know_is_permanent(outbound, world):
    """404 for a run is its word that there is none."""
    with pytest.raises(Permanent):
        await _fetch(outbound, always(answer(404, '{"error": "not found"}')), world)


@every_engine
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"7", b'{"status": 7}', b"{}", b"<html>", b"[" * 50_000, b"\xff"]
)
async def test_a_look_at_something_else_is_transient(outbound, world, body):
    """What cannot be read says nothing of the run."""
    with pytest.raises(Transient):
        await _fetch(outbound, always(answer(200, body)), world)


@every_engine
def test_a_budget_is_its_keys(world):
    """What it belongs to is the key and where it is one; the bucket its triggers take from is one it may have."""
    engine, other = world.make("https://a.example.com"), world.make("https://b.example.com")
    assert KEY in engine.credentials()
    assert engine.credentials() != other.credentials()
    assert engine.bucket(world.template) in buckets(engine)


@every_engine
def test_nothing_is_wrong_with_a_good_template(world):
    """Its own kind of template is one it takes."""
    assert isinstance(world.template, world.make("https://a.example.com").template)
    assert list(world.make("https://a.example.com").problems(world.template, world.order.folder)) == []


@every_engine
@pytest.mark.parametrize(("status", "good"), [(404, True), (401, False), (500, False)])
async def test_a_probe_says_what_to_change(outbound, world, status, good):
    """Harmless: it only asks for a run that cannot exist."""
    async with serve(always(answer(status, json.dumps({"error": f"no, not {KEY}"})))) as server:
        said = await world.make(server.url("")).probe(outbound)
        assert [request.method for request in server.requests] == ["GET"]
    assert (said is None) is good
    assert KEY not in (said or "")
    assert good or "check" in (said or "")


@every_engine
async def test_a_trigger_has_a_connection_of_its_own_and_looks_share_one(outbound, world):
    """A kept connection that the engine closes at the wrong moment would make a trigger ambiguous for nothing."""
    async with serve(always(world.taken)) as server:
        engine = world.make(server.url(""))
        await engine.trigger(outbound, world.order, _soon())
        await engine.trigger(outbound, world.order, _soon())
        server.script = always(world.running)
        await engine.fetch(outbound, RUN)
        await engine.fetch(outbound, RUN)
        assert [request.connection for request in server.requests] == [1, 2, 3, 3]


@every_engine
async def test_a_cancelled_attempt_leaves_nothing_behind(outbound, world):
    """Cancelling passes through at once, and the next attempt works."""
    async with serve(always()) as server:
        engine = world.make(server.url(""))
        attempts = [
            asyncio.create_task(engine.trigger(outbound, world.order, _soon())),
            asyncio.create_task(engine.fetch(outbound, RUN)),
        ]
        await server.received(2)
        for attempt in attempts:
            attempt.cancel()
        ended = await asyncio.gather(*attempts, return_exceptions=True)
        assert [type(one) for one in ended] == [asyncio.CancelledError] * 2
        server.script = always(world.taken)
        assert (await engine.trigger(outbound, world.order, _soon())).remote_id
        server.script = always(world.running)
        assert (await engine.fetch(outbound, RUN)).status == Status.RUNNING


# ------------------------------------------------------------------------------------------------- Genesis: trigger


async def test_genesis_is_asked_as_its_guide_says(outbound):
    """A trigger is a POST of the variables as a flat object of texts, with the key in its header."""
    async with serve(always(WORLDS["Genesis"].taken)) as server:
        started = await _genesis(server.url("/prefix/")).trigger(outbound, _order(a="ä", b=""), _soon())
        [request] = server.requests
    assert (started.remote_id, started.url) == (RUN, None)
    assert (request.method, request.target) == ("POST", f"/prefix/api/workflows/{WORKFLOW}/trigger")
    assert request.headers["x-api-key"] == KEY
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {"a": "ä", "b": ""}


async def test_genesis_ids_stay_within_their_path_segment(outbound):
    """An id with a slash or dots in it cannot lead to another address."""
    async with serve(always(WORLDS["Genesis"].running)) as server:
        engine = _genesis(server.url(""))
        await engine.fetch(outbound, "../../other?x=/#")
        assert server.requests[0].target == "/api/executions/..%2F..%2Fother%3Fx%3D%2F%23"


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_genesis_success_is_any_2xx_with_an_id(outbound, status):
    """The guide names no status for success, and the id alone is proof."""
    for body in ({"success": True, "executionId": "x"}, {"executionId": "x"}):
        assert (await _trigger(outbound, always(answer(status, json.dumps(body))))).remote_id == "x"


@pytest.mark.parametrize(("status", "text"), REFUSALS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_genesis_refusals_are_permanent_in_its_own_words(outbound, status, text, shape):
    """Every documented refusal, the two that come as 500 included, is permanent in every shape of the body."""
    with pytest.raises(Permanent) as failed:
        await _trigger(outbound, always(answer(status, SHAPES[shape](text))))
    blocked = status in (401, 403) and "does not have access" not in text
    assert isinstance(failed.value, Blocked) == blocked
    said = f"Genesis: HTTP {status}"
    assert str(failed.value) == (f"{said} (an HTML page)" if shape == "page" else f"{said}: {text}")


@pytest.mark.parametrize(("status", "text"), UNSURE)
@pytest.mark.parametrize("shape", SHAPES)
async def test_genesis_other_5xx_are_ambiguous(outbound, status, text, shape):
    """A gateway may have given up after the run began, so nothing is known."""
    with pytest.raises(Ambiguous, match=f"HTTP {status}"):
        await _trigger(outbound, always(answer(status, SHAPES[shape](text))))


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [(429, {}, None), (429, {"retry-after": "7"}, 7.0), (503, {"retry-after": "3"}, 3.0)],
)
async def test_genesis_may_ask_to_wait(outbound, status, headers, seconds):
    """429, and 503 with Retry-After, were refused before any work."""
    with pytest.raises(Transient) as failed:
        await _trigger(outbound, always(answer(status, "slow down", headers)))
    assert failed.value.retry_after == seconds


@pytest.mark.parametrize(
    "reply",
    [
        answer(200, b""),
        answer(200, b"null"),
        answer(200, b"[]"),
        answer(200, b'"text"'),
        answer(200, b'{"success": true, "executionId": "abc'),
        answer(200, b'{"success": false, "error": "Invalid"}'),
        answer(200, b'{"success": false, "executionId": "abc"}'),
        answer(200, b'{"success": true}'),
        answer(200, b'{"success": true, "executionId": ""}'),
        answer(200, b'{"success": true, "executionId": null}'),
        answer(200, b'{"success": true, "executionId": 7}'),
        answer(200, b'{"success": "yes", "executionId": "abc"}'),
        answer(200, json.dumps({"executionId": "x" * 201})),
        answer(200, b'{"executionId": "\xff"}'),
        answer(200, b"[" * 50_000),
        answer(200, b"<html>welcome</html>"),
        answer(200, json.dumps({"executionId": RUN, "more": "x" * 100_000})),
        answer(200, gzip.compress(b'{"executionId": "abc"}'), {"content-encoding": "gzip"}),
        answer(204),
    ],
)
async def test_genesis_success_without_a_usable_id_is_ambiguous(outbound, reply):
    """A 2xx that names no execution leaves open whether one began."""
    with pytest.raises(Ambiguous):
        await _trigger(outbound, always(reply))


async def test_genesis_is_spared_what_it_would_refuse(outbound):
    """More than 10 MB of variables is refused here, and the limit counts bytes of JSON."""
    async with serve(always(WORLDS["Genesis"].taken)) as server:
        engine = _genesis(server.url(""))
        with pytest.raises(Permanent, match="10,000,001 bytes"):
            await engine.trigger(outbound, _order(a="x" * (10_000_001 - 8)), _soon())
        assert server.requests == []
        await engine.trigger(outbound, _order(a="x" * (10_000_000 - 8)), _soon())


@pytest.mark.parametrize(
    ("template_id", "good"),
    [
        (WORKFLOW, True),
        (WORKFLOW.upper(), True),
        (WORKFLOW.replace("-", ""), False),
        (f"{{{WORKFLOW}}}", False),
        (f"urn:uuid:{WORKFLOW}", False),
        ("e2e", False),
        ("", False),
    ],
)
def test_genesis_workflows_have_uuids(template_id, good):
    """A template's id is checked at load, for Genesis would refuse it at midnight."""
    template = Template(engine="genesis", id=template_id)
    complaints = list(_genesis("https://g.example.com").problems(template, Path()))
    assert [where for where, _ in complaints] == ([] if good else [("id",)])


@pytest.mark.parametrize("wrong", ["genesis.example.com", "https://g.example.com?x=1", "https://u:p@g.example.com", ""])
def test_genesis_base_urls_are_checked(wrong):
    """A base URL that paths cannot be appended to is refused at load."""
    with pytest.raises(ValueError, match="the URL cannot be used"):
        _genesis(wrong)


# --------------------------------------------------------------------------------------------------- Genesis: fetch


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("pending", Status.PENDING),
        ("running", Status.RUNNING),
        ("review_pending", Status.REVIEW_PENDING),
        ("completed", Status.COMPLETED),
        ("failed", Status.FAILED),
        ("cancelled", Status.CANCELLED),
        ("skipped", Status.SKIPPED),
        ("paused", Status.RUNNING),
        ("unknown", Status.RUNNING),
        ("x" * 10_000, Status.RUNNING),
    ],
)
async def test_genesis_statuses_are_ours(outbound, said, status):
    """Its seven words are taken as they are; any other one means that the run goes on."""
    seen = await _seen(outbound, status=said)
    assert seen.status == status
    assert len(seen.reason or "") < 200


async def test_genesis_tells_how_far_it_is(outbound):
    """Progress is blocks done of blocks there are; while it runs nothing is put out yet."""
    blocks = {"a": {"output": "early"}}
    seen = await _seen(outbound, status="running", blockCount=5, completedBlocks=2, state={"blocks": blocks})
    assert seen == Snapshot(status=Status.RUNNING, progress=Progress(2, 5))


@pytest.mark.parametrize(
    ("status", "fields", "reason"),
    [
        ("failed", {"error": "the block broke"}, "the block broke"),
        ("failed", {"error": None}, "the workflow failed; Genesis names no reason"),
        ("failed", {"error": ""}, "the workflow failed; Genesis names no reason"),
        ("failed", {"error": {"code": 7}}, '{"code":7}'),
        ("failed", {"error": f"no {KEY}"}, "no ***"),
        ("cancelled", {"cancelReason": "by Ann"}, "by Ann"),
        ("cancelled", {}, "cancelled by a person, or superseded by a newer run of the workflow"),
        ("skipped", {}, "skipped by a condition of the workflow"),
        ("completed", {"error": None}, None),
        ("review_pending", {}, None),
        ("paused", {}, "Genesis calls this 'paused', which is not in its documentation: taken as running"),
    ],
)
async def test_genesis_reasons(outbound, status, fields, reason):
    """A reason is Genesis's own where it gives one, neutral where it gives none."""
    assert (await _seen(outbound, status=status, **fields)).reason == reason


async def test_genesis_long_reasons_are_cut(outbound):
    """A reason has at most 1,000 characters, and says how long it was."""
    reason = (await _seen(outbound, status="failed", error="x" * 5_000)).reason
    assert len(reason) == 1_000
    assert reason.endswith("… (5,000 characters in all)")


async def test_genesis_outputs_are_by_block(outbound):
    """Text is kept as it is, other JSON is written compactly, and blocks without an output are left out."""
    outputs = {"text": "a\nb", "list": [1, "x"], "no": False, "zero": 0, "null": None, "empty": ""}
    blocks = {name: {"status": "completed", "output": output} for name, output in outputs.items()}
    seen = await _seen(outbound, state={"blocks": {**blocks, "none": {}, "odd": 7}})
    assert seen.outputs == {"text": "a\nb", "list": '[1,"x"]', "no": "false", "zero": "0"}


async def test_genesis_outputs_are_bounded(outbound):
    """At most 50 outputs of 4,000 characters are kept; a cut one says so."""
    blocks = {f"{n}" + "x" * 300: {"output": "y" * 5_000} for n in range(60)}
    outputs = (await _seen(outbound, state={"blocks": blocks})).outputs
    assert len(outputs) == 50
    assert {len(text) for text in outputs.values()} == {4_000}
    assert all(text.endswith("… (5,000 characters in all)") for text in outputs.values())
    assert max(map(len, outputs)) == 200


ODD = [None, True, 7, -1, 1.5, "text", [], {}, [None], {"a": None}]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("name", ["blockCount", "completedBlocks", "error", "cancelReason", "state"])
async def test_genesis_fields_may_be_anything(outbound, name, odd):
    """No field but the status is relied on: one of another type is as good as absent."""
    for status in ("completed", "failed", "cancelled", "running"):
        seen = await _seen(outbound, status=status, **{"blockCount": 5, "completedBlocks": 2, name: odd})
        assert seen.status == status
        assert seen.outputs == {}
    state = {"blocks": odd}
    assert (await _seen(outbound, state=state)).outputs == {}


async def test_genesis_state_beyond_reading_is_no_output(outbound):
    """A number no machine can hold inside `state` does not hide how the run ended."""
    body = b'{"status":"completed","state":{"blocks":{"a":{"output":1e999}}}}'
    assert await _fetch(outbound, always(answer(200, body))) == Snapshot(status=Status.COMPLETED)


@pytest.mark.parametrize(
    "reply",
    [
        answer(200, b""),
        answer(200, b"null"),
        answer(200, b"[]"),
        answer(200, b"{}"),
        answer(200, b'{"status": null}'),
        answer(200, b'{"status": ""}'),
        answer(200, b'{"status": 7}'),
        answer(200, b'{"status": "running"'),
        answer(200, b'{"status": "\xff"}'),
        answer(200, b"[" * 50_000),
        answer(200, b"<html>sign in</html>"),
        answer(200, gzip.compress(b'{"status": "running"}'), {"content-encoding": "gzip"}),
        answer(200, b'{"status": "running", "state": "' + b"x" * 10_000_000 + b'"}'),
        answer(204),
        answer(400, "Bad Request"),
    ],
    ids=range(15),
)
async def test_genesis_answers_that_are_none_are_transient(outbound, reply):
    """What is no execution is asked for again."""
    with pytest.raises(Transient):
        await _fetch(outbound, always(reply))


@pytest.mark.parametrize("shape", SHAPES)
async def test_genesis_says_when_it_does_not_know_a_run(outbound, shape):
    """404 is permanent: the pipeline decides for how long it may be a lag."""
    with pytest.raises(Permanent, match="HTTP 404"):
        await _fetch(outbound, always(answer(404, SHAPES[shape]("Execution not found"))))


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (401, {}, 60.0),
        (403, {}, 60.0),
        (302, {}, 60.0),
        (401, {"retry-after": "5"}, 5.0),
        (429, {}, None),
        (429, {"retry-after": "5"}, 5.0),
        (500, {}, None),
        (503, {"retry-after": "9"}, 9.0),
    ],
)
async def test_genesis_with_our_eyes_shut_the_run_goes_on(outbound, status, headers, seconds):
    """A bad key or a server in trouble is no verdict on the run; a bad key is tried slowly."""
    with pytest.raises(Transient) as failed:
        await _fetch(outbound, always(answer(status, "Invalid API key", headers)))
    assert failed.value.retry_after == seconds
    assert "Invalid API key" in str(failed.value)


async def test_genesis_with_a_key_that_cannot_be_sent(outbound):
    """A key with a line break in it refuses a trigger, is no verdict on a run, and is not shown."""
    async with serve(always(WORLDS["Genesis"].running)) as server:
        engine = Genesis(api_key=Secret("env: KEY", b"s3cret\nkey"), base_url=server.url(""))
        with pytest.raises(Permanent, match="line break") as refused:
            await engine.trigger(outbound, _order(), _soon())
        with pytest.raises(Transient, match="line break"):
            await engine.fetch(outbound, RUN)
        assert server.requests == []
    assert "s3cret" not in str(refused.value)
