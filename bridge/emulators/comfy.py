"""Comfy Cloud as its two APIs are documented: graphs that run by the clock, uploads, signed files, the WebSocket."""

import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlencode
from uuid import uuid4

import msgspec

from bridge.emulators.comfy_faults import ERRORS, UNDECIDED, ErrorName, Refused, refusal
from bridge.emulators.comfy_jobs import PIXEL, TERMINAL, Behaviour, Job, shown_v1, shown_v2
from bridge.emulators.comfy_requests import ANY, MAX_UPLOAD_BYTES, Api, Asked, Kind, Record, file_of, fits, noted
from bridge.emulators.comfy_socket import listen
from bridge.emulators.emulator import Emulator
from bridge.emulators.exchange import Answer, Exchange, Message, Receive, Send, json_answer, text_answer
from bridge.emulators.faults import Fault, Shape, clear, order, spoil, take


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
            if method == exchange.method and fits(pattern, exchange.segments):
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
        record = noted(kind, exchange, api, fault)
        # A reset before reading is one: nothing of the body may have been looked at, and the journal says so.
        if fault and fault.kind == "drop_before_run" and fault.reset:
            return self._answered(record, json_answer({}), fault)
        try:
            body = await exchange.body(MAX_UPLOAD_BYTES * 2)
            self._check(record)
            answer = await serve(Asked(record, body, exchange.headers, parse_qs(exchange.query), fault), *named)
        except Refused as refused:
            answer = self._no(refused, api)
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
                order(self.faults, _Order, body)
            case "DELETE", ("faults",):
                clear(self.faults)
            case "POST", ("behaviour",):
                self.behaviour = msgspec.json.decode(body, type=Behaviour)
            case _:
                return None
        return Answer(status=204)

    # ------------------------------------------------------------------------------------------------- submitting

    async def _submit(self, asked: Asked) -> Answer:
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
            return json_answer(shown_v2(job, self._clock(), self._signed), 201)
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

    async def _job(self, asked: Asked, job_id: str) -> Answer:
        asked.record.job_id = job_id
        job = self._known(job_id)
        return json_answer(
            shown_v1(job, self._clock(), self.vocabulary)
            if asked.record.api == "v1"
            else shown_v2(job, self._clock(), self._signed)
        )

    def _known(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise Refused("not_found")
        return self.jobs[job_id]

    # ------------------------------------------------------------------------------------------------- cancelling

    async def _delete(self, asked: Asked) -> Answer:
        now, deleted = self._clock(), []
        for job_id in msgspec.json.decode(asked.body, type=dict[str, Any]).get("delete", []):
            job = self.jobs.get(job_id)
            if job is not None and job.status(now) == "pending":  # what runs is not touched
                job.cancelled = now
                deleted.append(job_id)
        return json_answer({"deleted": deleted, "cleared": False})

    async def _interrupt(self, _: Asked) -> Answer:
        """End whatever runs in the account: nobody asks which."""
        now = self._clock()
        for job in self.jobs.values():
            if job.status(now) == "running":
                job.cancelled = now
        return json_answer({})

    async def _cancel(self, _: Asked, job_id: str) -> Answer:
        job, now = self._known(job_id), self._clock()
        if job.status(now) not in TERMINAL:
            job.cancelled = now
        return json_answer(shown_v2(job, self._clock(), self._signed))

    # ------------------------------------------------------------------------------------------------------ files

    async def _upload(self, asked: Asked) -> Answer:
        v1 = asked.record.api == "v1"
        name, content = file_of(asked.headers.get("content-type", ""), asked.body, "image" if v1 else "file")
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

    async def _view(self, asked: Asked) -> Answer:
        [name] = asked.query.get("filename", [""])
        if not name:
            raise Refused("not_found")
        return Answer(status=302, headers={"location": self._signed(name)})

    async def _asset(self, _: Asked, asset: str) -> Answer:
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
        self.listeners += 1
        try:
            await listen(receive, send, self.jobs.values, self._clock)
        finally:
            self.listeners -= 1

    # ----------------------------------------------------------------------------------------------------- common

    def _check(self, record: Record) -> None:
        if not record.key or (self.keys is not None and record.key not in self.keys):
            raise Refused("unauthorized")

    def _no(self, refused: Refused, api: Api) -> Answer:
        return refusal(refused, api, self.retry_after, says_error=self.says_error)

    def _answered(self, record: Record, answer: Answer, fault: Fault | None) -> Answer:
        if fault and fault.kind == "error":
            answer = self._no(Refused(fault.error), record.api)  # type: ignore[arg-type]  # named by whoever orders it
        elif fault:
            answer = spoil(answer, fault, self.shape, ERRORS)
        record.status = 0 if answer.drop else answer.status
        self.journal.append(record)
        return answer

    def _note(self, kind: Kind, exchange: Exchange, api: Api, status: int) -> None:
        record = noted(kind, exchange, api)
        record.status = status
        self.journal.append(record)
