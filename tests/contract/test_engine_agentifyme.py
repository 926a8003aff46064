"""What AgentifyMe says, in the words of its page and of its client, and what the engine makes of it."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from bridge.budgets import buckets
from bridge.duration import Duration
from bridge.engines.agentifyme import AgentifyMe, AgentifyMeTemplate, AgentifyMeVariable
from bridge.errors import Ambiguous, Blocked, Permanent, Throttled, Transient
from bridge.model import Status
from bridge.outbound import Outbound
from bridge.rules import own_keys
from bridge.runs import Order, Snapshot, Started
from bridge.secret import Secret
from tests.contract.test_engines import KEY, RUN, SHAPES, _soon
from tests.http_server import always, answer, serve


@pytest.fixture
async def outbound():
    """Open a client for one test; it trusts no certificate, for reading them takes longer than a test."""
    async with Outbound(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as opened:
        yield opened


def _engine(base_url="https://a.example.com", **more: Any) -> AgentifyMe:
    return AgentifyMe(
        **{"api_key": Secret("env: KEY", KEY.encode()), "endpoint": "my-agent", "base_url": base_url, **more}
    )


def _order(*, sync=False, types=None, **variables):
    options = {name: {"type": kind} for name, kind in (types or {}).items()}
    return Order(
        template_id="summarize",
        variables=variables,
        execution_id="x_1",
        options={"mode": "sync" if sync else "async"},
        variable_options=options,
        deadline_seconds=5,
    )


async def _trigger(outbound, *reply, order=None) -> Started:
    async with serve(always(*reply)) as server:
        return await _engine(server.url("")).trigger(outbound, order or _order(), _soon())


async def _run(outbound, status: int, body: Any) -> Snapshot:
    started = await _trigger(outbound, answer(status, json.dumps(body)), order=_order(sync=True))
    assert started.remote_id is None
    assert started.ended is not None
    return started.ended


async def _fetch(outbound, *reply) -> Snapshot:
    async with serve(always(*reply)) as server:
        return await _engine(server.url("")).fetch(outbound, RUN)


async def _seen(outbound, **job: Any) -> Snapshot:
    return await _fetch(outbound, answer(200, json.dumps({"jobId": RUN, **job})))


# ------------------------------------------------------------------------------------------------------------ trigger


async def test_a_job_is_asked_for_as_the_page_says(outbound):
    """A POST of name and parameters, with key and endpoint in their headers, answered by the job's id."""
    async with serve(always(answer(202, json.dumps({"jobId": RUN, "status": "pending"})))) as server:
        started = await _engine(server.url("/v1/")).trigger(outbound, _order(text="ä", empty=""), _soon())
        [request] = server.requests
    assert started == Started(remote_id=RUN)
    assert (request.method, request.target) == ("POST", "/v1/workflows/jobs")
    assert (request.headers["x-api-key"], request.headers["x-wf-endpoint"]) == (KEY, "my-agent")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {"name": "summarize", "parameters": {"text": "ä", "empty": ""}}


async def test_parameters_have_the_types_the_template_says(outbound):
    """Variables are text; a workflow may want numbers, booleans or any JSON."""
    types = {"count": "number", "ratio": "number", "deep": "boolean", "list": "json", "text": "text"}
    order = _order(types=types, count="3", ratio="0.5", deep="true", list='["a", {"b": null}]', text="3")
    async with serve(always(answer(202, json.dumps({"jobId": RUN})))) as server:
        await _engine(server.url("")).trigger(outbound, order, _soon())
        [request] = server.requests
    parameters = {"count": 3, "ratio": 0.5, "deep": True, "list": ["a", {"b": None}], "text": "3"}
    assert json.loads(request.body)["parameters"] == parameters


@pytest.mark.parametrize(
    ("kind", "value", "what"),
    [
        ("number", "many", "not a number"),
        ("number", "true", "not a number"),
        ("number", "", "not a number"),
        ("number", "1e999", "not a number"),
        ("boolean", "yes", "not true or false"),
        ("boolean", "1", "not true or false"),
        ("boolean", "null", "not true or false"),
        ("json", "{a: 1}", "not JSON"),
        ("json", "[" * 50_000, "not JSON"),
        ("number", "x" * 500, "xx'..."),
    ],
)
async def test_a_value_of_another_type_is_refused_and_not_sent(outbound, kind, value, what):
    """At load where it is written in the configuration, else before anything goes out."""
    async with serve(always()) as server:
        with pytest.raises(Permanent, match=r"variable 'a' is .*" + what.replace(".", r"\.")) as refused:
            await _engine(server.url("")).trigger(outbound, _order(types={"a": kind}, a=value), _soon())
        assert server.requests == []
    assert len(str(refused.value)) < 200
    assert what in (AgentifyMeVariable(type=kind).problem(value) or "")
    assert AgentifyMeVariable(type="json").problem("null") is None
    assert AgentifyMeVariable(choices=["a"]).problem("b") is not None


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_success_is_any_2xx_with_a_job(outbound, status):
    """The id alone is proof, whatever else the answer says."""
    for more in ({}, {"status": "pending"}, {"error": "ignored"}):
        assert (await _trigger(outbound, answer(status, json.dumps({"jobId": "j", **more})))).remote_id == "j"


@pytest.mark.parametrize(
    ("status", "text", "code", "kind"),
    [
        (400, "Invalid parameters", "INVALID_PARAMETERS", Permanent),
        (401, "Invalid API key", "INVALID_API_KEY", Blocked),
        (402, "Payment required", "", Blocked),
        (403, "Forbidden", "", Blocked),
        (404, "Invalid workflow", "NOT_FOUND", Permanent),
        (409, "Conflict", "", Permanent),
        (429, "Rate limit exceeded", "RATE_LIMIT_EXCEEDED", Throttled),
        (500, "Internal Server Error", "INTERNAL_ERROR", Ambiguous),
        (500, "Too many", "rate-limit-exceeded", Throttled),
        (500, "No such workflow", "WORKFLOW_NOT_FOUND", Permanent),
        (500, "Who are you", "UNAUTHORIZED", Blocked),
        (502, "Bad Gateway", "", Ambiguous),
        (503, "Unavailable", "", Ambiguous),
        (504, "Gateway Timeout", "", Ambiguous),
        (200, "Rate limit exceeded", "RATE_LIMIT_EXCEEDED", Throttled),
        (200, "Invalid API key", "INVALID_API_KEY", Blocked),
        (202, "No such workflow", "NOT_FOUND", Permanent),
        (200, "Something went wrong", "", Ambiguous),
        (200, "Something went wrong", "SOMETHING", Ambiguous),
    ],
)
async def test_every_refusal_is_sorted_by_its_status_and_code(outbound, status, text, code, kind):
    """In both forms of an error, the page's text and the client's object."""
    for body in (
        {"error": text, "code": code, "details": {}},
        {"error": {"message": text, "errorCode": code, "traceback": "secret line"}},
    ):
        with pytest.raises((Transient, Permanent, Ambiguous)) as failed:
            await _trigger(outbound, answer(status, json.dumps(body)))
        assert type(failed.value) is kind
        assert f"AgentifyMe: HTTP {status}: {text}" in str(failed.value)
        assert "secret line" not in str(failed.value)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("status", "kind"), [(400, Permanent), (401, Blocked), (404, Permanent), (429, Throttled), (500, Ambiguous)]
)
async def test_the_status_alone_is_enough(outbound, status, kind, shape):
    """Whatever the form of the body, a page of a gateway included."""
    with pytest.raises((Transient, Permanent, Ambiguous)) as failed:
        await _trigger(outbound, answer(status, SHAPES[shape]("no")))
    assert type(failed.value) is kind


async def test_503_with_a_time_was_refused_before_any_work(outbound):
    """It is tried again at the pace it names, and holds nobody else back."""
    with pytest.raises(Transient) as failed:
        await _trigger(outbound, answer(503, "later", {"retry-after": "3"}))
    assert (type(failed.value), failed.value.retry_after) == (Transient, 3.0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"jobId": ""}',
        b'{"jobId": 7}',
        b"{}",
        b'{"jobId": "abc',
        json.dumps({"jobId": "x" * 201}),
    ],
)
async def test_a_success_without_a_job_is_ambiguous(outbound, body):
    """A 2xx that names no job leaves open whether one began."""
    with pytest.raises(Ambiguous, match="job"):
        await _trigger(outbound, answer(202, body))


# --------------------------------------------------------------------------------------------------------------- sync


async def test_a_synchronous_run_ends_with_its_answer(outbound):
    """`result` by the page, `data` by the client; there is no job to ask for afterwards."""
    async with serve(always(answer(200, json.dumps({"result": {"summary": "ok"}, "executionTime": 9})))) as server:
        started = await _engine(server.url("")).trigger(outbound, _order(sync=True, a="b"), _soon())
        [request] = server.requests
    assert request.target == "/workflows/run"
    assert json.loads(request.body) == {"name": "summarize", "parameters": {"a": "b"}}
    assert started == Started(remote_id=None, ended=Snapshot(status=Status.COMPLETED, outputs={"summary": "ok"}))
    assert await _run(outbound, 200, {"data": {"summary": "ok"}}) == started.ended
    assert (await _run(outbound, 200, {"result": None})).outputs == {}


async def test_a_synchronous_run_that_fails_says_why_and_shows_no_traceback(outbound):
    """An error on 200 is the workflow's own: it has run. A code proves nothing there."""
    error = {"message": f"no such file, {KEY}", "errorType": "IOError", "errorCode": "NOT_FOUND", "traceback": "line 1"}
    seen = await _run(outbound, 200, {"error": error})
    assert (seen.status, seen.reason) == (Status.FAILED, "IOError: no such file, ***")
    seen = await _run(outbound, 200, {"error": "out of memory", "code": "NOT_FOUND"})
    assert (seen.status, seen.reason) == (Status.FAILED, "out of memory")
    seen = await _run(outbound, 200, {"error": {"traceback": "line 1"}})
    assert (seen.status, seen.reason) == (Status.FAILED, "it failed; AgentifyMe names no reason")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, "", Ambiguous),
        (200, "{}", Ambiguous),
        (200, '{"result": {"a"', Ambiguous),
        (500, '{"error": "boom", "code": "NOT_FOUND"}', Ambiguous),
        (504, "", Ambiguous),
        (400, '{"error": "Invalid parameters"}', Permanent),
        (401, '{"error": "Invalid API key"}', Blocked),
        (429, "", Throttled),
    ],
)
async def test_a_synchronous_run_without_a_result_is_known_only_if_it_was_refused(outbound, status, body, kind):
    """Whether it ran is not known, for there is nothing to ask for."""
    with pytest.raises((Transient, Permanent, Ambiguous)) as failed:
        await _trigger(outbound, answer(status, body), order=_order(sync=True))
    assert type(failed.value) is kind


async def test_a_synchronous_run_has_until_its_deadline(outbound):
    """Then nobody knows what became of it."""
    order = Order(template_id="a", variables={}, execution_id="x", options={"mode": "sync"}, deadline_seconds=0.2)
    with pytest.raises(Ambiguous, match=r"within 0\.2 s"):
        await _trigger(outbound, order=order)


# -------------------------------------------------------------------------------------------------------------- fetch


async def test_a_result_is_asked_for_as_the_page_says(outbound):
    """With both headers; an id cannot lead to another address."""
    async with serve(always(answer(200, json.dumps({"status": "pending"})))) as server:
        await _engine(server.url("/v1")).fetch(outbound, "../x?y#/")
        [request] = server.requests
    assert (request.method, request.target) == ("GET", "/v1/workflows/jobs/..%2Fx%3Fy%23%2F")
    assert (request.headers["x-api-key"], request.headers["x-wf-endpoint"]) == (KEY, "my-agent")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("pending", Status.PENDING),
        ("WAITING", Status.PENDING),
        ("RUNNING", Status.RUNNING),
        ("RETRYING", Status.RUNNING),
        ("PAUSED", Status.RUNNING),
        ("completed", Status.COMPLETED),
        ("SUCCEEDED", Status.COMPLETED),
        ("success", Status.COMPLETED),
        ("failed", Status.FAILED),
        ("TIMED_OUT", Status.FAILED),
        ("error", Status.FAILED),
        ("cancelled", Status.CANCELLED),
        ("canceled", Status.CANCELLED),
        ("compacting", Status.RUNNING),
        ("x" * 10_000, Status.RUNNING),
    ],
)
async def test_statuses_are_ours(outbound, said, status):
    """The page's, those of the wire protocol behind it, and any other: that one is in flight."""
    seen = await _seen(outbound, status=said)
    assert seen.status == status
    assert len(seen.reason or "") < 200
    assert ("nobody documents" in (seen.reason or "")) == (said in ("compacting", "x" * 10_000))


async def test_a_result_is_read_in_both_forms(outbound):
    """Its members are the outputs; what is no object is the output `result`."""
    result = {"summary": "fine", "score": 0.5, "tags": ["a"], "nothing": None, "long": "x" * 9_000}
    for name in ("result", "data"):
        outputs = (await _seen(outbound, status="completed", **{name: result})).outputs
        assert list(outputs) == ["summary", "score", "tags", "long"]
        assert (outputs["summary"], outputs["score"], outputs["tags"]) == ("fine", "0.5", '["a"]')
        assert len(outputs["long"]) == 4_000
        assert (await _seen(outbound, status="completed", **{name: "text"})).outputs == {"result": "text"}
        assert (await _seen(outbound, **{name: {"a": "b"}})).status == Status.COMPLETED  # the client's form: no status
    assert (await _seen(outbound, status="completed")).outputs == {}
    assert (await _seen(outbound, status="pending", result=result)).outputs == {}


async def test_the_key_is_hidden_in_whatever_a_run_says(outbound, tmp_path):
    """In names, texts and JSON of results and in errors, read or run; the key before its change, too."""
    (tmp_path / "key").write_text(KEY)
    secret = Secret.decode({"file": str(tmp_path / "key")}, {})
    result = {f"the {KEY}": f"is {KEY}", "deep": [{KEY: "next-key-0123456789"}]}
    replies = [{"result": result}, {"error": f"{KEY} is bad"}, {"error": {"message": f"no {KEY}"}}]
    assert secret.text() == KEY
    (tmp_path / "key").write_text("next-key-0123456789")
    await asyncio.sleep(1.1)
    assert secret.text() == "next-key-0123456789"
    shown = {"the ***": "is ***", "deep": '[{"***":"***"}]'}, "*** is bad", "no ***"
    for reply, expected in zip(replies, shown, strict=True):
        async with serve(always(answer(200, json.dumps(reply)))) as server:
            engine = _engine(server.url(""), api_key=secret)
            started = await engine.trigger(outbound, _order(sync=True), _soon())
            seen = await engine.fetch(outbound, RUN)
        for said in (started.ended, seen):
            assert (said.outputs or said.reason) == expected


async def test_a_failure_is_read_in_both_forms(outbound):
    """Text or object, with or without a status; never its traceback, never the key, and never without end."""
    error = {"message": "no", "errorType": "ValueError", "traceback": "secret line", "severity": "high"}
    for job in ({"status": "failed", "error": error}, {"error": error}, {"status": "completed", "error": error}):
        seen = await _seen(outbound, **job)
        assert (seen.status, seen.reason) == (Status.FAILED, "ValueError: no")
    assert (await _seen(outbound, status="failed", error=f"{KEY} {'x' * 9_000}")).reason[:5] == "*** x"
    assert len((await _seen(outbound, status="failed", error="x" * 9_000)).reason) == 1_000
    assert "names no reason" in (await _seen(outbound, status="timed_out")).reason
    assert (await _seen(outbound, status="cancelled", error="by ann")).reason == "by ann"
    assert (await _seen(outbound, status="cancelled")).reason == "cancelled at AgentifyMe"
    assert (await _seen(outbound, status="failed", error="slow", code="RATE_LIMITED")).status == Status.FAILED


@pytest.mark.parametrize(
    ("status", "body", "kind", "wait"),
    [
        (200, {"error": "Rate limit exceeded", "code": "RATE_LIMIT_EXCEEDED"}, Throttled, None),
        (200, {"error": "Invalid job ID", "code": "NOT_FOUND"}, Permanent, None),
        (200, {"error": "Invalid API key", "code": "INVALID_API_KEY"}, Transient, 60.0),
        (400, {"error": "Missing header"}, Transient, 60.0),
        (403, {"error": "Forbidden"}, Transient, 60.0),
        (500, {"error": "Internal Server Error"}, Transient, None),
        (500, {"error": "Slow down", "code": "TOO_MANY_REQUESTS"}, Throttled, None),
        (302, {}, Transient, 60.0),
    ],
)
async def test_what_is_no_answer_ends_no_run(outbound, status, body, kind, wait):
    """Only a 404, or a refusal that says as much, means that there is no such job."""
    with pytest.raises((Transient, Permanent)) as failed:
        await _fetch(outbound, answer(status, json.dumps(body)))
    assert type(failed.value) is kind
    assert getattr(failed.value, "retry_after", None) == wait


async def test_a_result_too_large_is_not_half_read(outbound):
    """More than ten megabytes are refused before they fill the memory."""
    with pytest.raises(Transient, match="too large"):
        await _fetch(outbound, answer(200, json.dumps({"status": "completed", "result": "x" * 10_000_100})))


# ------------------------------------------------------------------------------------------------------ configuration


def test_its_budget_is_what_the_page_says():
    """1000 jobs, 500 results, 100 synchronous runs a minute; a synchronous template takes from its own."""
    assert buckets(_engine()) == {"triggers": 1000, "fetches": 500, "sync": 100}
    assert _engine().bucket(AgentifyMeTemplate(engine="e", id="i")) == "triggers"
    assert _engine().bucket(AgentifyMeTemplate(engine="e", id="i", mode="sync")) == "sync"


def test_a_synchronous_template_needs_a_short_deadline():
    """A connection does not wait for an hour, and the complaint says what to write."""
    long = AgentifyMeTemplate(engine="e", id="i", mode="sync")
    [(where, problem)] = _engine().problems(long, Path())
    assert where == ("mode",)
    assert "at most 300s" in problem
    short = AgentifyMeTemplate(engine="e", id="i", mode="sync", deadline=Duration(minutes=5))
    assert list(_engine().problems(short, Path())) == []
    assert own_keys(short) == {"options": {"mode": "sync"}, "variable_options": {}}


@pytest.mark.parametrize("endpoint", ["", " a", "a\r\nx-evil: 1", "ä"])
def test_an_endpoint_is_what_a_header_can_carry(endpoint):
    """Anything else is refused at load."""
    with pytest.raises(ValueError, match="goes into a header"):
        _engine(endpoint=endpoint)
