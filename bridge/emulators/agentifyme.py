"""AgentifyMe as its page documents it, or as its client expects it: jobs, synchronous runs, limits and refusals."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal
from uuid import uuid4

import msgspec

from bridge.emulators.emulator import Emulator
from bridge.emulators.exchange import Answer, Exchange, json_answer, text_answer
from bridge.emulators.faults import Fault, Shape, clear, order, refusal, spoil, take

ErrorName = Literal[
    "invalid_parameters",
    "missing_endpoint",
    "invalid_key",
    "workflow_not_found",
    "job_not_found",
    "too_many",
    "internal",
]
ERRORS: Mapping[ErrorName, tuple[int, str]] = MappingProxyType(
    {
        "invalid_parameters": (400, "Invalid parameters"),
        "missing_endpoint": (400, "Missing x-wf-endpoint header"),
        "invalid_key": (401, "Invalid API key"),
        "workflow_not_found": (404, "Invalid workflow"),
        "job_not_found": (404, "Invalid job ID"),
        "too_many": (429, "Rate limit exceeded"),
        "internal": (500, "Internal Server Error"),
    }
)
CODES: Mapping[int, str] = MappingProxyType(
    {
        400: "INVALID_PARAMETERS",
        401: "INVALID_API_KEY",
        404: "NOT_FOUND",
        429: "RATE_LIMIT_EXCEEDED",
        500: "INTERNAL_ERROR",
    }
)
LIMITS: Mapping[str, int] = MappingProxyType({"run": 100, "job": 1000, "result": 500})
TERMINAL = frozenset(("completed", "failed", "succeeded", "cancelled", "timed_out"))
MINUTE_SECONDS = 60.0

Form = Literal["documented", "client"]
Kind = Literal["job", "run", "result", "elsewhere"]


class Workflow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workflow and how it goes: `timeline` is a row of (status, seconds); None seconds, and the last, last for ever.

    A synchronous run takes the seconds of the whole timeline and ends as its last status says.
    """

    parameters: frozenset[str] | None = None  # None: any name is accepted
    timeline: tuple[tuple[str, float | None], ...] = (("pending", 1.0), ("completed", None))
    result: Any = {}
    error: str = "the workflow raised an error"
    traceback: str = 'Traceback (most recent call last):\n  File "workflow.py", line 1, in run'


class Record(msgspec.Struct, kw_only=True):
    """One request in the journal, written before its answer leaves.

    `status` is what is answered (0: the connection is dropped); `job_id` is None if nothing was started.
    """

    kind: Kind
    at: float
    monotonic: float
    client: tuple[str, int]
    key: str | None
    endpoint: str | None
    name: str = ""
    parameters: Any = None
    job_id: str | None = None
    fault: str = ""
    status: int = 0


class Job(msgspec.Struct, frozen=True):
    """One run of a workflow."""

    workflow: Workflow
    began: float

    def status(self, now: float) -> str:
        """Tell the status now."""
        until = self.began
        for status, seconds in self.workflow.timeline:
            if seconds is None or status in TERMINAL or now < until + seconds:
                return status
            until += seconds
        return self.workflow.timeline[-1][0]


class Refused(Exception):
    """One of the refusals."""

    def __init__(self, error: ErrorName) -> None:
        super().__init__(error)
        self.error = error


class _Order(msgspec.Struct):
    on: Literal["job", "run", "result"]
    error: ErrorName = "invalid_key"


class _Request(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class AgentifyMe(Emulator[Record]):
    """The three endpoints over jobs that move with the clock.

    `keys` are the good ones (None: any), `workflows` are known by name; with `any_workflow` every other name is one
    like `default`. `form` is the page's or the client's idea of a result and an error. `limits` are requests of a kind
    in any minute (0: none at all); over them it answers 429, with `retry_after` if that is set. `visible_after_seconds`
    passes before a new job can be read.
    """

    def __init__(
        self,
        *,
        keys: tuple[str, ...] | None = None,
        workflows: Mapping[str, Workflow] | None = None,
        any_workflow: bool = False,
        default: Workflow | None = None,
        form: Form = "documented",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.keys = keys
        self.workflows = dict(workflows or {})
        self.default = (default or Workflow()) if any_workflow else None
        self.form: Form = form
        self.shape: Shape = "error"
        self.limits: dict[str, int] = dict(LIMITS)
        self.retry_after = ""
        self.visible_after_seconds = 0.0
        self.faults: dict[str, deque[Fault]] = {"job": deque(), "run": deque(), "result": deque()}
        self.jobs: dict[str, Job] = {}
        self._clock = clock
        self._counted: dict[str, deque[float]] = {"job": deque(), "run": deque(), "result": deque()}

    def seen(self, kind: Kind) -> list[Record]:
        """List the requests of one kind received so far."""
        return [record for record in self.journal if record.kind == kind]

    def most_in_a_minute(self, kind: Kind, minute_seconds: float = MINUTE_SECONDS) -> int:
        """Count the requests of a kind in the minute that had the most of them."""
        times = sorted(record.monotonic for record in self.seen(kind))
        return max((sum(1 for time_ in times if begin <= time_ < begin + minute_seconds) for begin in times), default=0)

    async def handle(self, exchange: Exchange) -> Answer:
        """Route one request."""
        match exchange.method, exchange.segments[-2:]:
            case "POST", ("workflows", "jobs"):
                return await self._submit(exchange, "job")
            case "POST", ("workflows", "run"):
                return await self._submit(exchange, "run")
            case "GET", ("jobs", job_id):
                return self._result(exchange, job_id)
        return text_answer("Not Found", 404)

    async def control(self, exchange: Exchange) -> Answer | None:
        """Obey `/_emulator/...`: elsewhere, faults, workflows/{name}."""
        body = await exchange.body()
        match exchange.method, exchange.segments[1:]:
            case _, ("elsewhere",):
                self.journal.append(self._record("elsewhere", exchange, status=200))
                return text_answer("elsewhere")
            case "POST", ("faults",):
                order(self.faults, _Order, body)
            case "DELETE", ("faults",):
                clear(self.faults)
            case "POST", ("workflows", name):
                self.workflows[name] = msgspec.json.decode(body, type=Workflow)
            case _:
                return None
        return Answer(status=204)

    async def _submit(self, exchange: Exchange, kind: Literal["job", "run"]) -> Answer:
        fault = take(self.faults[kind], "")
        record = self._record(kind, exchange, fault=fault.kind if fault else "")
        # A reset before reading is one: nothing of the body may have been looked at, and the journal says so.
        if fault and fault.kind == "drop_before_run" and fault.reset:
            return self._answered(record, json_answer({}), fault)
        body = await exchange.body()
        try:
            self._check(record, kind)
            request = self._request(body, record)
            workflow = self._workflow(request)
        except Refused as refused:
            return self._answered(record, self._refusal(refused.error), fault)
        if fault and not fault.obeyed:
            return self._answered(record, json_answer({}), fault)
        record.job_id = str(uuid4())
        self.jobs[record.job_id] = Job(workflow, self._clock())
        if kind == "job":
            return self._answered(record, json_answer({"jobId": record.job_id, "status": "pending"}, 202), fault)
        answer = self._answered(record, self._ran(workflow), fault)
        if not answer.drop:
            await asyncio.sleep(sum(seconds or 0.0 for _, seconds in workflow.timeline))
        return answer

    def _result(self, exchange: Exchange, job_id: str) -> Answer:
        fault = take(self.faults["result"], "")
        record = self._record("result", exchange, fault=fault.kind if fault else "")
        record.job_id = job_id
        try:
            self._check(record, "result")
            job = self._job(job_id)
            shown = self._shown(job.workflow, job.status(self._clock()))
            answer = json_answer({"jobId": job_id, **shown, "executionTime": 7})
        except Refused as refused:
            answer = self._refusal(refused.error)
        return self._answered(record, answer, fault)

    def _job(self, job_id: str) -> Job:
        job = self.jobs.get(job_id)
        if job is None or self._clock() < job.began + self.visible_after_seconds:
            raise Refused("job_not_found")
        return job

    def _shown(self, workflow: Workflow, status: str) -> dict[str, Any]:
        if status in ("completed", "succeeded"):
            return {"status": status, "data" if self.form == "client" else "result": workflow.result}
        return {"status": status, "error": self._error(workflow)} if status in TERMINAL else {"status": status}

    def _error(self, workflow: Workflow) -> Any:
        if self.form == "documented":
            return workflow.error
        about = {"errorCode": "WORKFLOW_ERROR", "category": "runtime", "severity": "error", "errorType": "ValueError"}
        return {"message": workflow.error, **about, "traceback": workflow.traceback}

    def _ran(self, workflow: Workflow) -> Answer:
        """Answer a synchronous run; a failed one is a 500 by the page, and a 200 with an error by the client."""
        status = workflow.timeline[-1][0]
        if status in TERMINAL - {"completed", "succeeded"}:
            failed = self._shown(workflow, status)
            return json_answer({"error": failed["error"]}, 500 if self.form == "documented" else 200)
        return json_answer({"data" if self.form == "client" else "result": workflow.result, "executionTime": 7})

    def _refusal(self, error: ErrorName) -> Answer:
        status, text = ERRORS[error]
        answer = refusal(status, text, self.shape)
        if self.shape == "error":
            answer = json_answer({"error": text, "code": CODES[status], "details": {}}, status)
        headers = {"retry-after": self.retry_after} if error == "too_many" and self.retry_after else {}
        return msgspec.structs.replace(answer, headers=headers)

    def _answered(self, record: Record, answer: Answer, fault: Fault | None) -> Answer:
        if fault:
            answer = spoil(answer, fault, self.shape, ERRORS)
        record.status = 0 if answer.drop else answer.status
        self.journal.append(record)
        return answer

    def _record(self, kind: Kind, exchange: Exchange, *, fault: str = "", status: int = 0) -> Record:
        return Record(
            kind=kind,
            at=time.time(),
            monotonic=time.monotonic(),
            client=exchange.client,
            key=exchange.headers.get("x-api-key"),
            endpoint=exchange.headers.get("x-wf-endpoint"),
            fault=fault,
            status=status,
        )

    def _check(self, record: Record, kind: str) -> None:
        if not record.key or (self.keys is not None and record.key not in self.keys):
            raise Refused("invalid_key")
        if not record.endpoint:
            raise Refused("missing_endpoint")
        now, counted = self._clock(), self._counted[kind]
        while counted and counted[0] <= now - MINUTE_SECONDS:
            counted.popleft()
        if len(counted) >= self.limits[kind]:
            raise Refused("too_many")
        counted.append(now)

    def _request(self, body: bytes, record: Record) -> _Request:
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise Refused("invalid_parameters") from None
        record.name, record.parameters = request.name, request.parameters
        return request

    def _workflow(self, request: _Request) -> Workflow:
        workflow = self.workflows.get(request.name, self.default)
        if workflow is None:
            raise Refused("workflow_not_found")
        if workflow.parameters is not None and not request.parameters.keys() <= workflow.parameters:
            raise Refused("invalid_parameters")
        return workflow
