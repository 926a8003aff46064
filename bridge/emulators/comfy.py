"""Comfy Cloud as its two APIs are documented: graphs that run by the clock, uploads, signed files, the WebSocket."""

import asyncio
import hashlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlencode
from uuid import uuid4

import msgspec
from multipart import MultipartError, MultipartParser, parse_options_header

from bridge.emulators.emulator import Emulator
from bridge.emulators.exchange import Answer, Exchange, Message, Receive, Send, json_answer, text_answer
from bridge.emulators.faults import Fault, Shape, spoil, take

ErrorName = Literal[
    "invalid_prompt",
    "invalid_workflow",
    "workflow_format_ui",
    "missing_asset",
    "idempotency_key_reuse",
    "insufficient_credits",
    "subscription_inactive",
    "queue_full",
    "rate_limited",
    "unauthorized",
    "forbidden",
    "not_found",
    "upstream_error",
]
ERRORS: Mapping[ErrorName, tuple[int, str]] = MappingProxyType(
    {
        "invalid_prompt": (400, "Cannot execute because the prompt is invalid"),
        "invalid_workflow": (422, "The workflow is invalid"),
        "workflow_format_ui": (422, "This is UI-format workflow JSON; submit the API format"),
        "missing_asset": (422, "A referenced asset does not exist"),
        "idempotency_key_reuse": (422, "This idempotency key was used before"),
        "insufficient_credits": (402, "Insufficient credits"),
        "subscription_inactive": (429, "Subscription inactive"),
        "queue_full": (429, "The queue is full"),
        "rate_limited": (429, "Too many requests"),
        "unauthorized": (401, "Invalid API key"),
        "forbidden": (403, "Not allowed"),
        "not_found": (404, "Not found"),
        "upstream_error": (500, "Something went wrong"),
    }
)
UNDECIDED = frozenset(("bare_500", "gateway_502"))
"""After these faults a key of v2 stays claimed: for all Comfy knows, the job may exist."""
VOCABULARIES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "friendly": {"running": "in_progress"},
        "openapi": {"pending": "waiting_to_dispatch", "running": "in_progress", "failed": "error"},
        "internal": {
            "pending": "queued_waiting",
            "running": "executing",
            "completed": "success",
            "failed": "non_retryable_error",
            "cancelling": "cancel_requested",
        },
        "v2": {"pending": "queued", "completed": "succeeded", "cancelled": "canceled", "cancelling": "canceling"},
    }
)
"""What our own words for a job's states are called; what is not listed is called the same."""
TERMINAL = frozenset(("completed", "failed", "cancelled"))
MAX_UPLOAD_BYTES = 50_000_000
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
"""How a PNG begins: enough for whoever looks only at that."""
ANY = "*"
_TICK_SECONDS = 0.05

Api = Literal["v1", "v2"]
Kind = Literal["submit", "job", "cancel", "upload", "locate", "storage", "socket", "elsewhere"]


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a graph goes: `timeline` is a row of (pending, running, completed, failed or cancelled, seconds).

    None seconds, and the last, last for ever. `outputs` are by node what v1 shows of it; None: an image for each node
    that saves something, a text for each that shows one.
    """

    timeline: tuple[tuple[str, float | None], ...] = (("pending", 0.2), ("running", 0.8), ("completed", None))
    outputs: dict[str, dict[str, Any]] | None = None
    error: str = "CUDA out of memory"
    error_type: str = "OOMError"


class Record(msgspec.Struct, kw_only=True):
    """One request in the journal, written before its answer leaves.

    `status` is what is answered (0: the connection is dropped); `job_id` is None if nothing was started.
    """

    kind: Kind
    api: Api
    path: str
    at: float
    monotonic: float
    client: tuple[str, int]
    key: str | None
    idempotency_key: str | None = None
    graph: Any = None
    extra_data: Any = None
    job_id: str | None = None
    fault: str = ""
    status: int = 0


class Job(msgspec.Struct):
    """One run of a graph."""

    id: str
    graph: dict[str, Any]
    behaviour: Behaviour
    submitted: float
    begins: float
    """When it has a place among those that run at once."""
    cancelled: float = math.inf

    def status(self, now: float) -> str:
        """Tell the status now, in our words."""
        if now >= self.cancelled:
            return "cancelled"
        until = self.begins
        for status, seconds in self.behaviour.timeline:
            if seconds is None or status in TERMINAL or now < until + seconds:
                return status
            until += seconds
        return self.behaviour.timeline[-1][0]

    def ends(self) -> float:
        """Tell when it is over; infinity: never."""
        until = self.begins
        for status, seconds in self.behaviour.timeline:
            if status in TERMINAL:
                break
            until += math.inf if seconds is None else seconds
        return min(until, self.cancelled)

    def done(self, now: float) -> list[str]:
        """List the nodes that are done, in the order of the graph."""
        status, nodes = self.status(now), list(self.graph)
        if status == "completed":
            return nodes
        if status != "running":
            return []
        before = sum(seconds or 0 for kind, seconds in self.behaviour.timeline if kind == "pending")
        lasts = sum(seconds or 0 for kind, seconds in self.behaviour.timeline if kind == "running") or 1
        return nodes[: int(len(nodes) * min(0.99, (now - self.begins - before) / lasts))]


class Refused(Exception):
    """One of the refusals."""

    def __init__(self, error: ErrorName, nodes: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(error)
        self.error = error
        self.nodes = dict(nodes)


class _Order(msgspec.Struct):
    on: Literal["submit", "job", "upload", "locate"]
    error: ErrorName = "unauthorized"


class Comfy(Emulator[Record]):
    """Jobs that move with the clock, seen over both APIs.

    `keys` are the good ones (None: any); `behaviour` is how graphs go, `at_once` how many of them at a time.
    `vocabulary` is the one v1 speaks. `complaints` are node errors to find in every graph: refused, or with `partial`
    only complained of. `says_error` answers a refusal with 200, as v1 may. `retry_after` goes with 429.
    `storage` is where files lie, this server by default; a path alone leaves out the host.
    """

    def __init__(
        self,
        *,
        keys: tuple[str, ...] | None = None,
        behaviour: Behaviour | None = None,
        at_once: int = 5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.keys = keys
        self.behaviour = behaviour or Behaviour()
        self.at_once = at_once
        self.vocabulary = "friendly"
        self.complaints: dict[str, Any] = {}
        self.partial = False
        self.says_error = False
        self.retry_after = ""
        self.storage = ""
        self.shape: Shape = "error"
        self.faults: dict[str, deque[Fault]] = {"submit": deque(), "job": deque(), "upload": deque(), "locate": deque()}
        self.jobs: dict[str, Job] = {}
        self.uploads: dict[str, bytes] = {}
        """By their name; those of v2 by their id."""
        self.listeners = 0
        self._claimed: set[str] = set()
        self._clock = clock

    def seen(self, kind: Kind) -> list[Record]:
        """List the requests of one kind received so far."""
        return [record for record in self.journal if record.kind == kind]

    def most_at_once(self) -> int:
        """Count the jobs that were there, waiting or running, at the moment that had the most of them."""
        begins = [job.submitted for job in self.jobs.values()]
        return max((sum(job.submitted <= at < job.ends() for job in self.jobs.values()) for at in begins), default=0)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, or one WebSocket."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def handle(self, exchange: Exchange) -> Answer:
        """Route one request."""
        for method, pattern, kind, api, serve in self._routes:
            if method == exchange.method and _fits(pattern, exchange.segments):
                named = [part for part, asked in zip(exchange.segments, pattern, strict=True) if asked == ANY]
                return await self._served(exchange, kind, api, serve, *named)
        return text_answer("Not Found", 404)

    @property
    def _routes(self) -> tuple[tuple[str, tuple[str, ...], Kind, Api, Callable[..., Awaitable[Answer]]], ...]:
        v2 = ("api", "v2")
        return (
            ("POST", ("api", "prompt"), "submit", "v1", self._submit),
            ("POST", (*v2, "jobs"), "submit", "v2", self._submit),
            ("GET", ("api", "jobs", ANY), "job", "v1", self._job),
            ("GET", (*v2, "jobs", ANY), "job", "v2", self._job),
            ("POST", ("api", "queue"), "cancel", "v1", self._delete),
            ("POST", ("api", "interrupt"), "cancel", "v1", self._interrupt),
            ("POST", (*v2, "jobs", ANY, "cancel"), "cancel", "v2", self._cancel),
            ("POST", ("api", "upload", "image"), "upload", "v1", self._upload),
            ("POST", (*v2, "assets"), "upload", "v2", self._upload),
            ("GET", ("api", "view"), "locate", "v1", self._view),
            ("GET", (*v2, "assets", ANY), "locate", "v2", self._asset),
        )

    async def _served(
        self, exchange: Exchange, kind: Kind, api: Api, serve: Callable[..., Awaitable[Answer]], *named: str
    ) -> Answer:
        """Answer one request, journalled first; a fault may keep it from being read, or spoil its answer."""
        queue = self.faults.get(kind)
        fault = None if queue is None else take(queue, "")
        record = self._record(kind, exchange, api, fault)
        # A reset before reading is one: nothing of the body may have been looked at, and the journal says so.
        if fault and fault.kind == "drop_before_run" and fault.reset:
            return self._answered(record, json_answer({}), fault)
        try:
            body = await exchange.body(MAX_UPLOAD_BYTES * 2)
            self._check(record)
            answer = await serve(_Asked(record, body, exchange.headers, parse_qs(exchange.query), fault), *named)
        except Refused as refused:
            answer = self._refusal(refused, api)
        return self._answered(record, answer, fault)

    async def control(self, exchange: Exchange) -> Answer | None:
        """Obey `/_emulator/...`: elsewhere, faults, behaviour; storage is where signed URLs lead to."""
        body = await exchange.body()
        match exchange.method, exchange.segments[1:]:
            case _, ("elsewhere",):
                self._note("elsewhere", exchange, "v1", 200)
                return text_answer("elsewhere")
            case "GET", ("storage", _):
                self._note("storage", exchange, "v1", 200)
                return Answer(body=PIXEL.decode("latin-1"), content_type="image/png")
            case "POST", ("faults",):
                order: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
                on = msgspec.convert(order, _Order).on
                del order["on"]
                self.faults[on].append(msgspec.convert(order, Fault))
            case "DELETE", ("faults",):
                for queue in self.faults.values():
                    queue.clear()
            case "POST", ("behaviour",):
                self.behaviour = msgspec.json.decode(body, type=Behaviour)
            case _:
                return None
        return Answer(status=204)

    # ------------------------------------------------------------------------------------------------- submitting

    async def _submit(self, asked: "_Asked") -> Answer:
        record, fault = asked.record, asked.fault
        graph = self._graph(asked.body, record.api, record)
        self._claim(record, fault)
        if fault and not fault.obeyed:
            if fault.kind not in UNDECIDED:  # what says no for certain lets go of the key
                self._claimed.discard(record.idempotency_key or "")
            return json_answer({})
        job = self._begin(graph)
        record.job_id = job.id
        if record.api == "v2":
            return json_answer(self._shown_v2(job), 201)
        errors = self.complaints if self.partial else {}
        return json_answer({"prompt_id": job.id, "number": len(self.jobs), "node_errors": errors})

    def _claim(self, record: Record, fault: Fault | None) -> None:
        key = record.idempotency_key
        if key is None or (fault and fault.kind == "drop_before_run"):
            return
        if key in self._claimed:
            raise Refused("idempotency_key_reuse")
        self._claimed.add(key)

    def _graph(self, body: bytes, api: Api, record: Record) -> dict[str, Any]:
        wrong: ErrorName = "invalid_prompt" if api == "v1" else "invalid_workflow"
        try:
            found = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise Refused(wrong) from None
        if api == "v2" and not found.keys() <= {"workflow", "extra_data"}:
            raise Refused(wrong)
        graph, record.extra_data = found.get("prompt" if api == "v1" else "workflow"), found.get("extra_data")
        record.graph = graph
        if not isinstance(graph, dict) or not graph:
            raise Refused(wrong)
        if {"nodes", "links"} & graph.keys():
            raise Refused(wrong if api == "v1" else "workflow_format_ui")
        if not all(isinstance(node, dict) and node.get("class_type") and "inputs" in node for node in graph.values()):
            raise Refused(wrong)
        for id_, node in graph.items():
            self._look_for_file(id_, node, api)
        if self.complaints and not self.partial:
            raise Refused(wrong, self.complaints)
        return graph

    def _look_for_file(self, id_: str, node: dict[str, Any], api: Api) -> None:
        """Hold a node that loads an image to what was uploaded."""
        image = node["inputs"].get("image")
        if node["class_type"] != "LoadImage":
            return
        known = isinstance(image, str) and (image in self.uploads or image.startswith("example"))
        if isinstance(image, dict) and image.get("__type") == "core/ASSET":
            known = image.get("info", {}).get("id") in self.uploads
        if known:
            return
        if api == "v2":
            raise Refused("missing_asset")
        about = {"type": "value_not_in_list", "message": "Value not in list", "details": f"image: {image!r} not in []"}
        raise Refused("invalid_prompt", {id_: {"errors": [about], "class_type": "LoadImage", "dependent_outputs": []}})

    def _begin(self, graph: dict[str, Any]) -> Job:
        now = self._clock()
        ends = sorted(end for job in self.jobs.values() if (end := job.ends()) > now)
        begins = now if len(ends) < self.at_once else ends[-self.at_once]
        job = Job(str(uuid4()), graph, self.behaviour, now, begins)
        self.jobs[job.id] = job
        return job

    # ------------------------------------------------------------------------------------------------------- jobs

    async def _job(self, asked: "_Asked", job_id: str) -> Answer:
        asked.record.job_id = job_id
        job = self._known(job_id)
        return json_answer(self._shown_v1(job) if asked.record.api == "v1" else self._shown_v2(job))

    def _known(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise Refused("not_found")
        return self.jobs[job_id]

    def _called(self, status: str, vocabulary: str) -> str:
        return VOCABULARIES[vocabulary].get(status, status)

    def _shown_v1(self, job: Job) -> dict[str, Any]:
        status, at = job.status(self._clock()), time.time()
        shown: dict[str, Any] = {
            "id": job.id,
            "status": self._called(status, self.vocabulary),
            "create_time": int(at),
            "update_time": int(at),
            "workflow": {"prompt": job.graph},
        }
        if status == "completed":
            shown |= {"outputs": self._outputs(job), "outputs_count": len(self._outputs(job))}
        if status == "failed":
            shown["execution_error"] = {
                "node_id": next(iter(job.graph)),
                "node_type": next(iter(job.graph.values()))["class_type"],
                "exception_message": job.behaviour.error,
                "exception_type": job.behaviour.error_type,
                "traceback": ['File "execution.py", line 1, in run'],
                "current_inputs": job.graph,
            }
        return shown

    def _outputs(self, job: Job) -> dict[str, Any]:
        if job.behaviour.outputs is not None:
            return job.behaviour.outputs
        found: dict[str, Any] = {}
        for id_, node in job.graph.items():
            if node["class_type"].startswith("Save"):
                prefix = node["inputs"].get("filename_prefix", "ComfyUI")
                found[id_] = {"images": [{"filename": f"{prefix}_00001_.png", "subfolder": "", "type": "output"}]}
            elif node["class_type"].startswith("Show"):
                found[id_] = {"text": [str(node["inputs"].get("text", ""))]}
        return found

    def _shown_v2(self, job: Job) -> dict[str, Any]:
        now = self._clock()
        status, done, total = job.status(now), len(job.done(now)), len(job.graph)
        here = f"/api/v2/jobs/{job.id}"
        error = {
            "code": "node_execution_error",
            "message": job.behaviour.error,
            "traceback": "File ...",
            "node_id": "1",
        }
        moment = "2026-11-25T00:00:00Z"
        return {
            "id": job.id,
            "status": self._called(status, "v2"),
            "created_at": moment,
            "started_at": None if status == "pending" else moment,
            "completed_at": moment if status in TERMINAL else None,
            "expires_at": moment,
            "queue_position": 0 if status == "pending" else None,
            "progress": {"value": done / total, "nodes_done": done, "nodes_total": total} if done else None,
            "outputs": list(self._assets(job)) if status == "completed" else [],
            "error": error if status == "failed" else None,
            "urls": {"self": here, "events": f"{here}/events", "cancel": f"{here}/cancel"},
        }

    def _assets(self, job: Job) -> Iterator[dict[str, Any]]:
        for node, kinds in self._outputs(job).items():
            for items in kinds.values():
                for item in items:
                    name = item["filename"] if isinstance(item, dict) else "text.txt"
                    kind = "image/png" if name.endswith(".png") else "text/plain"
                    yield {
                        "node_id": node,
                        "name": name,
                        "type": kind.partition("/")[0],
                        "content_type": kind,
                        "size_bytes": len(PIXEL),
                        "id": f"asset-{name}",
                        "hash": None,
                        "url": self._signed(name),
                        "url_expires_at": "2026-11-25T01:00:00Z",
                    }

    # ------------------------------------------------------------------------------------------------- cancelling

    async def _delete(self, asked: "_Asked") -> Answer:
        now, deleted = self._clock(), []
        for job_id in msgspec.json.decode(asked.body, type=dict[str, Any]).get("delete", []):
            job = self.jobs.get(job_id)
            if job is not None and job.status(now) == "pending":  # what runs is not touched
                job.cancelled = now
                deleted.append(job_id)
        return json_answer({"deleted": deleted, "cleared": False})

    async def _interrupt(self, _: "_Asked") -> Answer:
        """End whatever runs in the account: nobody asks which."""
        now = self._clock()
        for job in self.jobs.values():
            if job.status(now) == "running":
                job.cancelled = now
        return json_answer({})

    async def _cancel(self, _: "_Asked", job_id: str) -> Answer:
        job, now = self._known(job_id), self._clock()
        if job.status(now) not in TERMINAL:
            job.cancelled = now
        return json_answer(self._shown_v2(job))

    # ------------------------------------------------------------------------------------------------------ files

    async def _upload(self, asked: "_Asked") -> Answer:
        v1 = asked.record.api == "v1"
        name, content = _file(asked.headers.get("content-type", ""), asked.body, "image" if v1 else "file")
        if len(content) > MAX_UPLOAD_BYTES:
            raise Refused("invalid_prompt" if v1 else "invalid_workflow")
        if asked.fault and not asked.fault.obeyed:
            return json_answer({})
        digest = hashlib.sha256(content).hexdigest()
        if v1:
            stored = f"{digest}{name[name.rfind('.') :] if '.' in name else ''}"
            self.uploads[stored] = content
            return json_answer({"name": stored, "subfolder": "", "type": "input"})
        asset = str(uuid4())
        self.uploads[asset] = content
        shown = {"id": asset, "hash": None, "size_bytes": len(content), "content_type": "image/png", "file_path": name}
        return json_answer({**shown, "url": self._signed(name)}, 201)

    async def _view(self, asked: "_Asked") -> Answer:
        [name] = asked.query.get("filename", [""])
        if not name:
            raise Refused("not_found")
        return Answer(status=302, headers={"location": self._signed(name)})

    async def _asset(self, _: "_Asked", asset: str) -> Answer:
        if not asset.startswith("asset-") and asset not in self.uploads:
            raise Refused("not_found")
        url = self._signed(asset.removeprefix("asset-"))
        return json_answer({"id": asset, "url": url, "url_expires_at": "2026-11-25T01:00:00Z"})

    def _signed(self, name: str) -> str:
        where = self.storage or f"{self.url}/_emulator/storage"
        return f"{where}/{quote(name, safe='')}?{urlencode({'signature': uuid4().hex})}"

    # -------------------------------------------------------------------------------------------------- WebSocket

    async def _socket(self, scope: Message, receive: Receive, send: Send) -> None:
        """Tell whoever has the key of every job's nodes, with a preview now and then; `clientId` is ignored."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        [key] = query.get("token", [""])
        good = bool(key) and (self.keys is None or key in self.keys) and scope["path"] == "/ws"
        self.journal.append(
            Record(
                kind="socket",
                api="v1",
                path=scope["path"],
                at=time.time(),
                monotonic=time.monotonic(),
                client=scope["client"] or ("", 0),
                key=key,
                status=101 if good else 403,
            )
        )
        await receive()
        if not good:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        gone = asyncio.ensure_future(_gone(receive))
        self.listeners += 1
        try:
            await _say(send, "status", {"status": {"exec_info": {"queue_remaining": 0}}})
            told: dict[str, int] = {}
            while not gone.done():
                for job in list(self.jobs.values()):
                    await self._tell(send, job, told)
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            self.listeners -= 1
            gone.cancel()

    async def _tell(self, send: Send, job: Job, told: dict[str, int]) -> None:
        now = self._clock()
        done, nodes = job.done(now), list(job.graph)
        before = told.get(job.id)
        if job.status(now) == "pending" or before == len(done):
            return
        told[job.id] = len(done)
        if before is None:
            await _say(send, "execution_start", {"prompt_id": job.id})
            await _say(send, "execution_cached", {"prompt_id": job.id, "nodes": []})
        for node in done[before or 0 :]:
            await _say(send, "executed", {"prompt_id": job.id, "node": node, "output": {}})
        if len(done) < len(nodes):
            await _say(send, "executing", {"prompt_id": job.id, "node": nodes[len(done)]})
            await send({"type": "websocket.send", "bytes": b"\0\0\0\1\0\0\0\2" + PIXEL})
        else:
            await _say(send, "execution_success", {"prompt_id": job.id})

    # ----------------------------------------------------------------------------------------------------- common

    def _check(self, record: Record) -> None:
        if not record.key or (self.keys is not None and record.key not in self.keys):
            raise Refused("unauthorized")

    def _refusal(self, refused: Refused, api: Api) -> Answer:
        status, text = ERRORS[refused.error]
        headers = {"retry-after": self.retry_after} if status == 429 and self.retry_after else {}  # noqa: PLR2004
        if api == "v2":
            details = {"node_errors": refused.nodes} if refused.nodes else None
            error: dict[str, Any] = {"code": refused.error, "message": text, "details": details}
            return json_answer({"error": error}, status, headers)
        if status != 400:  # noqa: PLR2004 - only the errors of a prompt have its form
            return json_answer({"code": refused.error, "message": text}, status, headers)
        kind = "prompt_outputs_failed_validation" if refused.nodes else "no_prompt"
        error = {"type": kind, "message": text, "details": "", "extra_info": {}}
        return json_answer({"error": error, "node_errors": refused.nodes}, 200 if self.says_error else 400, headers)

    def _answered(self, record: Record, answer: Answer, fault: Fault | None) -> Answer:
        if fault and fault.kind == "error":
            answer = self._refusal(Refused(fault.error), record.api)  # type: ignore[arg-type]  # named by whoever orders it
        elif fault:
            answer = spoil(answer, fault, self.shape, ERRORS)
        record.status = 0 if answer.drop else answer.status
        self.journal.append(record)
        return answer

    def _note(self, kind: Kind, exchange: Exchange, api: Api, status: int) -> None:
        record = self._record(kind, exchange, api, None)
        record.status = status
        self.journal.append(record)

    def _record(self, kind: Kind, exchange: Exchange, api: Api, fault: Fault | None) -> Record:
        bearer = exchange.headers.get("authorization", "")
        return Record(
            kind=kind,
            api=api,
            path=exchange.path,
            at=time.time(),
            monotonic=time.monotonic(),
            client=exchange.client,
            key=exchange.headers.get("x-api-key") or (bearer.removeprefix("Bearer ") or None),
            idempotency_key=exchange.headers.get("idempotency-key"),
            fault=fault.kind if fault else "",
        )


class _Asked(msgspec.Struct, frozen=True):
    """One request, read."""

    record: Record
    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, list[str]]
    fault: Fault | None


def _fits(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    return len(pattern) == len(segments) and all(
        asked in (ANY, part) for asked, part in zip(pattern, segments, strict=True)
    )


def _file(content_type: str, body: bytes, field: str) -> tuple[str, bytes]:
    """Return the file of a form; raises Refused for what is none."""
    kind, options = parse_options_header(content_type)
    try:
        limit = MAX_UPLOAD_BYTES * 2  # all of it in memory: a temporary file would be left open
        parser = MultipartParser(BytesIO(body), options.get("boundary", ""), spool_limit=limit, memory_limit=limit)
        part = parser.get(field) if kind == "multipart/form-data" else None
    except MultipartError:
        part = None
    if part is None or not part.filename:
        raise Refused("invalid_prompt")
    return part.filename, part.raw


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        continue


async def _say(send: Send, kind: str, data: dict[str, Any]) -> None:
    await send({"type": "websocket.send", "text": msgspec.json.encode({"type": kind, "data": data}).decode()})
