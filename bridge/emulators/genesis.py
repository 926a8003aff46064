"""Autify Genesis as its help page documents it: trigger a workflow, read an execution, refuse, and fail on request."""

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal
from uuid import uuid4

import msgspec

from bridge.emulators.emulator import Emulator
from bridge.emulators.exchange import Answer, Exchange, json_answer, text_answer
from bridge.emulators.faults import Fault, Shape, clear, order, refusal, spoil, take
from bridge.emulators.genesis_faults import ERRORS, ErrorName
from bridge.emulators.genesis_runs import Execution, Template, key_id

PAYLOAD_LIMIT_BYTES = 10_000_000
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NOTED_HEADERS = ("content-type", "content-length", "user-agent", "host", "accept", "authorization", "idempotency-key")


class Record(msgspec.Struct, kw_only=True):
    """One request in the journal, written before its answer leaves.

    `status` is what is answered (0: the connection is dropped); `execution_id` of a trigger is None if nothing was
    started; `client` is the other end of the connection, so that a fresh connection shows as a new port. `elsewhere`
    is a request that followed a redirect: its `key` should be None.
    """

    kind: Literal["trigger", "fetch", "elsewhere"]
    at: float
    monotonic: float
    client: tuple[str, int]
    key: str | None
    headers: dict[str, str]
    template_id: str = ""
    variables: dict[str, str] | None = None
    execution_id: str | None = None
    fault: str = ""
    status: int = 0


class _Order(msgspec.Struct):
    on: Literal["trigger", "fetch"]
    error: ErrorName = "invalid_key"


class _KeyOrder(msgspec.Struct, forbid_unknown_fields=True):
    problem: ErrorName | None = None


class Refused(Exception):
    """One of the documented refusals."""

    def __init__(self, error: ErrorName) -> None:
        super().__init__(error)
        self.error = error


class Genesis(Emulator[Record]):
    """The trigger and execution endpoints over executions that move with the clock.

    `keys` maps each API key to None (good) or to the refusal it meets; without it any key is good. `templates` are
    keyed by UUID; with `any_template` every other UUID is a workflow like `default`. `shape` is the body of refusals,
    `trigger_status` the 2xx of a trigger: neither is documented. `clock` gives seconds that only grow.
    """

    def __init__(
        self,
        *,
        keys: Mapping[str, ErrorName | None] | None = None,
        templates: Mapping[str, Template] | None = None,
        any_template: bool = False,
        default: Template | None = None,
        shape: Shape = "error",
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        super().__init__()
        self.keys = None if keys is None else dict(keys)
        self.templates = {key.lower(): template for key, template in (templates or {}).items()}
        self.default = (default or Template()) if any_template else None
        self.shape: Shape = shape
        self.trigger_status = 200
        self.trigger_faults: deque[Fault] = deque()
        self.fetch_faults: deque[Fault] = deque()
        self._faults = {"trigger": self.trigger_faults, "fetch": self.fetch_faults}
        self.executions: dict[str, Execution] = {}
        self._clock = clock
        self._new_id = new_id
        self._epoch = time.time() - clock()

    @property
    def triggers(self) -> list[Record]:
        """List the trigger requests received so far."""
        return [record for record in self.journal if record.kind == "trigger"]

    @property
    def fetches(self) -> list[Record]:
        """List the reads of executions received so far."""
        return [record for record in self.journal if record.kind == "fetch"]

    def approve(self, execution_id: str) -> bool:
        """Approve what an execution waits for; False if it waits for nothing."""
        return self.executions[execution_id].approve(self._clock())

    def status_of(self, execution_id: str) -> str:
        """Tell an execution's status now, unseen by the journal."""
        return self.executions[execution_id].position(self._clock()).status

    async def handle(self, exchange: Exchange) -> Answer:
        """Route one request."""
        match exchange.method, exchange.segments:
            case "POST", ("api", "workflows", template_id, "trigger"):
                return await self._trigger(exchange, template_id)
            case "GET", ("api", "executions", execution_id):
                return self._fetch(exchange, execution_id)
        return text_answer("Not Found", 404)

    async def control(self, exchange: Exchange) -> Answer | None:
        """Obey `/_emulator/...`: elsewhere, faults, templates/{id}, keys/{key}, executions/{id}/approve."""
        body = await exchange.body()
        match exchange.method, exchange.segments[1:]:
            case _, ("elsewhere",):
                self.journal.append(self._record("elsewhere", exchange, status=200))
                return text_answer("elsewhere")
            case "POST", ("faults",):
                order(self._faults, _Order, body)
            case "DELETE", ("faults",):
                clear(self._faults)
            case "POST", ("templates", template_id):
                self.templates[template_id.lower()] = msgspec.json.decode(body, type=Template)
            case "POST", ("keys", key):
                self.keys = (self.keys or {}) | {key: msgspec.json.decode(body, type=_KeyOrder).problem}
            case "POST", ("executions", execution_id, "approve") if execution_id in self.executions:
                return json_answer({"approved": self.approve(execution_id)})
            case _:
                return None
        return Answer(status=204)

    async def _trigger(self, exchange: Exchange, template_id: str) -> Answer:
        fault = take(self.trigger_faults, template_id)
        record = self._record("trigger", exchange, template_id=template_id, fault=fault.kind if fault else "")
        # A reset before reading is one: nothing of the body may have been looked at, and the journal says so.
        if not (fault and fault.kind == "drop_before_run" and fault.reset):
            body = await exchange.body(PAYLOAD_LIMIT_BYTES)
            record.variables = _variables(body)
            if fault is None or fault.obeyed:
                return self._answered(record, self._obey(exchange, record, body), fault)
        return self._answered(record, json_answer({"success": True}), fault)

    def _obey(self, exchange: Exchange, record: Record, body: bytes) -> Answer:
        try:
            self._check_key(record.key, triggering=True)
            template = self._template(record.template_id)
            variables = _checked(body, template)
        except Refused as refused:
            return refusal(*ERRORS[refused.error], self.shape)
        now = self._clock()
        if template.cancel_previous:
            for other in self.executions.values():
                if other.template_id == record.template_id:
                    other.supersede(now)
        agent = exchange.headers.get("user-agent", "")
        metadata = {"ip": exchange.client[0], "userAgent": agent, "apiKeyId": key_id(record.key or "")}
        execution = Execution(self._new_id(), record.template_id, template, variables, metadata, now)
        self.executions[execution.id] = execution
        record.execution_id = execution.id
        return json_answer({"success": True, "executionId": execution.id}, self.trigger_status)

    def _fetch(self, exchange: Exchange, execution_id: str) -> Answer:
        execution = self.executions.get(execution_id)
        template_id = execution.template_id if execution else ""
        fault = take(self.fetch_faults, template_id)
        record = self._record("fetch", exchange, template_id=template_id, fault=fault.kind if fault else "")
        record.execution_id = execution_id
        now = self._clock()
        try:
            self._check_key(record.key, triggering=False)
            shown = _visible(execution, now).show(now, lambda moment: self._epoch + moment)
            answer = json_answer(shown)
        except Refused as refused:
            answer = refusal(*ERRORS[refused.error], self.shape)
        return self._answered(record, answer, fault)

    def _answered(self, record: Record, answer: Answer, fault: Fault | None) -> Answer:
        if fault:
            answer = spoil(answer, fault, self.shape, ERRORS)
        record.status = 0 if answer.drop else answer.status
        self.journal.append(record)
        return answer

    def _record(
        self,
        kind: Literal["trigger", "fetch", "elsewhere"],
        exchange: Exchange,
        *,
        template_id: str = "",
        fault: str = "",
        status: int = 0,
    ) -> Record:
        headers = {name: exchange.headers[name] for name in _NOTED_HEADERS if name in exchange.headers}
        return Record(
            kind=kind,
            at=time.time(),
            monotonic=time.monotonic(),
            client=exchange.client,
            key=exchange.headers.get("x-api-key"),
            headers=headers,
            template_id=template_id.lower(),
            fault=fault,
            status=status,
        )

    def _check_key(self, key: str | None, *, triggering: bool) -> None:
        if not key:
            raise Refused("missing_key")
        problem = None if self.keys is None else self.keys.get(key, "invalid_key")
        # Used-up credits stop new executions; nothing says they hide the old ones.
        if problem and (triggering or problem != "usage_limit"):
            raise Refused(problem)

    def _template(self, template_id: str) -> Template:
        if not _UUID.fullmatch(template_id):
            raise Refused("invalid_template_id")
        template = self.templates.get(template_id, self.default)
        if template is None or not template.api_enabled:
            raise Refused("template_not_found")
        if not template.project:
            raise Refused("no_project")
        if template.project_deleted:
            raise Refused("project_not_found")
        return template


def _visible(execution: Execution | None, now: float) -> Execution:
    if execution is None or now < execution.created + execution.template.visible_after_seconds:
        raise Refused("execution_not_found")
    return execution


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Refused("invalid_json") from None


def _variables(body: bytes) -> dict[str, str] | None:
    """Read the variables for the journal: None if the body is not what Genesis takes."""
    try:
        return msgspec.convert(_decoded(body), dict[str, str])
    except (Refused, msgspec.ValidationError):
        return None


def _checked(body: bytes, template: Template) -> dict[str, str]:
    """Hold the body against Genesis's rules, in the order of what can be known first."""
    if len(body) > PAYLOAD_LIMIT_BYTES:
        raise Refused("too_large")
    payload = _decoded(body)
    try:
        variables = msgspec.convert(payload, dict[str, str])
    except msgspec.ValidationError:
        raise Refused("not_strings") from None
    if template.variables is not None and not variables.keys() <= template.variables:
        raise Refused("unexpected_fields")
    if not template.required <= variables.keys():
        raise Refused("missing_fields")
    return variables
