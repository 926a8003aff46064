"""AgentifyMe: starts a workflow as a job and reads its result; or runs it while the connection waits (`mode: sync`).

https://agentifyme.ai/docs/invoke/http - and its Python client (agentifyme 0.2.11), which expects other names in places:
both are read.
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import Struct, field

from bridge.addresses import base_url
from bridge.answers import MAX_OUTPUT_CHARACTERS, MAX_REASON_CHARACTERS, as_text, cut, json_object
from bridge.contracts import Engine
from bridge.errors import Ambiguous, AttemptError, Blocked, Permanent, Throttled, Transient
from bridge.model import Link, Status
from bridge.outbound import Answer, Outbound
from bridge.rules import Template, Variable, short
from bridge.runs import AtLeastOne, Budget, Complaint, File, Order, Snapshot, Started
from bridge.secret import Secret

LONGEST_SYNC_SECONDS = 300
"""As long as AgentifyMe's own client waits; a worker that is to stop waits for it, too."""

_TRIGGER_SECONDS = 30.0
_FETCH_SECONDS = 10.0
_MAX_ANSWER_BYTES = 10_000_000
_MAX_ID_CHARACTERS = 200
_SHUT_EYES_SECONDS = 60.0

# The documentation knows pending, completed and failed; its wire protocol has the others, in capitals.
_STATUSES = {
    "pending": Status.PENDING,
    "waiting": Status.PENDING,
    "running": Status.RUNNING,
    "retrying": Status.RUNNING,
    "paused": Status.RUNNING,
    "completed": Status.COMPLETED,
    "succeeded": Status.COMPLETED,
    "success": Status.COMPLETED,
    "failed": Status.FAILED,
    "error": Status.FAILED,
    "timed_out": Status.FAILED,
    "cancelled": Status.CANCELLED,
    "canceled": Status.CANCELLED,
}

# `code` is documented, its values are not: these can mean one thing only. Anything else is judged by the HTTP status.
_TOO_MANY = frozenset("RATE_LIMIT RATE_LIMITED RATE_LIMIT_EXCEEDED TOO_MANY_REQUESTS".split())
_BAD_KEY = frozenset("UNAUTHORIZED UNAUTHENTICATED INVALID_API_KEY MISSING_API_KEY FORBIDDEN".split())
_REFUSED = frozenset(
    "BAD_REQUEST INVALID_REQUEST INVALID_PARAMETERS VALIDATION_ERROR NOT_FOUND WORKFLOW_NOT_FOUND".split()
)
_UNKNOWN_JOB = frozenset(("NOT_FOUND", "JOB_NOT_FOUND"))


class AgentifyMeVariable(Variable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parameter, and the type of JSON the workflow wants it in: variables are text, parameters need not be."""

    type: Literal["text", "number", "boolean", "json"] = "text"
    """The JSON that the workflow gets of it."""

    def problem(self, value: str) -> str | None:
        """Say, too, why a value is none of its type."""
        return super().problem(value) or _no_value(value, self.type)


class AgentifyMeTemplate(Template, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workflow, by its name."""

    variables: dict[str, AgentifyMeVariable] = field(default_factory=dict)  # type: ignore[assignment]  # only read
    """What the workflow takes; a rule that gives anything else is a mistake."""
    mode: Literal["async", "sync"] = "async"
    """A job that is looked at (async), or a run that the connection waits for, at most 5m (sync)."""


class AgentifyMeBudget(Budget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What AgentifyMe documents: 1000 jobs, 500 reads of results and 100 synchronous runs a minute."""

    triggers_per_minute: AtLeastOne | None = 1000
    """Jobs started."""
    fetches_per_minute: AtLeastOne | None = 500
    """Looks at jobs."""
    sync_per_minute: AtLeastOne | None = 100
    """Synchronous runs."""


class _Words(Struct):
    """An answer that is no success, as it sums itself up."""

    text: str
    code: str


class AgentifyMe(Engine, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="agentifyme"):
    """One endpoint at AgentifyMe and its API key; the engines of one key share its budget."""

    template = AgentifyMeTemplate

    api_key: Secret
    """The key, of AgentifyMe's own pages."""
    endpoint: str
    """What AgentifyMe's pages call the workflow endpoint."""
    base_url: str = "https://run.agentifyme.ai/v1"
    """Where its API is."""
    budget: AgentifyMeBudget = AgentifyMeBudget()

    def __post_init__(self) -> None:
        """Refuse a base URL that paths cannot be appended to, and an endpoint that no header can carry."""
        base_url(self.base_url)
        if problem := _no_header(self.endpoint):
            raise ValueError(problem)

    def credentials(self) -> tuple[str, ...]:
        """Return the key, and where it is one."""
        return base_url(self.base_url), self.api_key.text()

    def bucket(self, template: Template) -> str:
        """Tell synchronous runs apart, which have a limit of their own."""
        return "sync" if isinstance(template, AgentifyMeTemplate) and template.mode == "sync" else "triggers"

    def problems(self, template: Template, folder: Path) -> Iterator[Complaint]:  # noqa: ARG002 - there is no file
        """Hold a synchronous run to the time a connection may wait."""
        if self.bucket(template) == "sync" and template.deadline.total_seconds() > LONGEST_SYNC_SECONDS:
            yield (
                ("mode",),
                f"a synchronous run keeps a connection open: give it a `deadline:` of at most {LONGEST_SYNC_SECONDS}s, "
                "or leave `mode: sync` out",
            )

    async def trigger(self, outbound: Outbound, order: Order, not_after: float) -> Started:
        """Start a job; in `mode: sync`, run it and return what became of it.

        There is no idempotency key and no list of jobs, so what is ambiguous stays so.
        Raises Transient (Throttled), Permanent (Blocked) or Ambiguous.
        """
        sync = order.options.get("mode") == "sync"
        answer = await outbound.request(
            "POST",
            f"{base_url(self.base_url)}/workflows/{'run' if sync else 'jobs'}",
            headers={**self._headers(), "content-type": "application/json"},
            content=msgspec.json.encode({"name": order.template_id, "parameters": _parameters(order)}),
            timeout_seconds=order.deadline_seconds if sync else _TRIGGER_SECONDS,
            max_bytes=_MAX_ANSWER_BYTES,
            fresh=True,
            not_after=not_after,
        )
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - success is 200 or 202
            raise self._refused(answer, sync=sync)
        return Started(remote_id=None, ended=self._ran(answer)) if sync else Started(remote_id=self._job(answer))

    async def fetch(self, outbound: Outbound, remote_id: str) -> Snapshot:
        """Ask for a job's result.

        Raises Permanent when AgentifyMe does not know the job, Transient (Throttled) for everything that is no answer.
        """
        try:
            answer = await self._ask(outbound, remote_id)
        except (Ambiguous, Permanent) as error:
            raise Transient(str(error)) from None
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise self._no_answer(answer)
        return self._snapshot(answer)

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask for a job that cannot exist: whoever is told so has a good key."""
        answer = await self._ask(outbound, str(UUID(int=0)))
        if answer.status in (200, 404):
            return None
        hint = "check api_key and endpoint" if answer.status in (400, 401, 403) else "check base_url, or try later"
        return f"{self._words(answer).text} - {hint}"

    async def _ask(self, outbound: Outbound, remote_id: str) -> Answer:
        return await outbound.request(
            "GET",
            f"{base_url(self.base_url)}/workflows/jobs/{quote(remote_id, safe='')}",
            headers=self._headers(),
            timeout_seconds=_FETCH_SECONDS,
            max_bytes=_MAX_ANSWER_BYTES,
        )

    def _headers(self) -> dict[str, str]:
        return {"x-api-key": self.api_key.text(), "x-wf-endpoint": self.endpoint}

    def _words(self, answer: Answer) -> _Words:
        found = json_object(answer)
        inner = found.get("error")
        code = found.get("code") or (inner.get("code") or inner.get("errorCode") if isinstance(inner, dict) else None)
        known = code if isinstance(code, str) else ""
        text = f"AgentifyMe: {answer.words(*self.api_key.texts())}"
        return _Words(text, known.upper().replace("-", "_"))

    def _refused(self, answer: Answer, *, sync: bool = False) -> AttemptError:
        """Sort an answer to a trigger that is no success: by its status, and by its code where that leaves no doubt.

        An error of a synchronous run may come from within the workflow, so there a code proves nothing.
        """
        words, asked, status = self._words(answer), answer.retry_after(time.time()), answer.status
        code = "" if sync else words.code
        if 300 <= status < 400:  # noqa: PLR2004 - redirects
            return Permanent(f"{words.text} - a redirect is never followed with a key: check base_url")
        if status == 429 or code in _TOO_MANY:  # noqa: PLR2004 - refused before any work, as everything would be
            return Throttled(words.text, asked)
        if status == 503 and asked is not None:  # noqa: PLR2004 - refused before any work
            return Transient(words.text, asked)
        if status in (401, 402, 403) or code in _BAD_KEY:  # 402 and 403 are not documented, but can mean no less
            return Blocked(words.text)
        if 400 <= status < 500 or code in _REFUSED:  # noqa: PLR2004 - 'invalid parameters', 'invalid workflow'
            return Permanent(words.text)
        return Ambiguous(words.text)

    def _job(self, answer: Answer) -> str:
        found = json_object(answer)
        job = found.get("jobId")
        if isinstance(job, str) and 0 < len(job) <= _MAX_ID_CHARACTERS:
            return job
        if found.get("error") and not job:
            raise self._refused(answer)  # success by its status, a refusal by its words
        raise Ambiguous(f"{self._words(answer).text} - it names no job, so whether one began is not known")

    def _ran(self, answer: Answer) -> Snapshot:
        """Read the answer to a synchronous run: `result` by the documentation, `data` by the client."""
        found = json_object(answer)
        if found.get("error"):
            return self._failed(found["error"])
        if answer.truncated or not found.keys() & {"result", "data"}:
            raise Ambiguous(f"AgentifyMe: HTTP {answer.status}, but no result can be read, so what ran is not known")
        return Snapshot(status=Status.COMPLETED, outputs=_outputs(found, self.api_key.hide))

    def _no_answer(self, answer: Answer) -> AttemptError:
        words, asked, status = self._words(answer), answer.retry_after(time.time()), answer.status
        if status == 429 or words.code in _TOO_MANY:  # noqa: PLR2004 - too many
            return Throttled(words.text, asked)
        if status == 404:  # noqa: PLR2004 - 'invalid workflow or job ID'
            return Permanent(words.text)
        return Transient(words.text, asked or (None if status >= 500 else _SHUT_EYES_SECONDS))  # noqa: PLR2004

    def _snapshot(self, answer: Answer) -> Snapshot:
        found = json_object(answer)
        if answer.truncated or not found:
            raise Transient("AgentifyMe: HTTP 200, but what it says is not a job in JSON, or too large")
        said, error = found.get("status"), found.get("error")
        if not isinstance(said, str) or not said:
            return self._without_status(found, self._words(answer))
        status = _STATUSES.get(said.lower(), Status.RUNNING)
        if status == Status.FAILED or (status == Status.COMPLETED and error):
            return self._failed(error or f"AgentifyMe calls it {said[:80]!r}, and names no reason")
        if status == Status.CANCELLED:
            return Snapshot(status=status, reason=self._safe(_said(error) or "cancelled at AgentifyMe"))
        if status == Status.COMPLETED:
            return Snapshot(status=status, outputs=_outputs(found, self.api_key.hide))
        known = said.lower() in _STATUSES
        reason = None if known else f"AgentifyMe calls this {said[:80]!r}, which nobody documents: taken as running"
        return Snapshot(status=status, reason=reason)

    def _without_status(self, found: dict[str, Any], words: _Words) -> Snapshot:
        """Read the client's form of a result; or a refusal that only its words tell from a success."""
        if words.code in _TOO_MANY:
            raise Throttled(words.text)
        if words.code in _UNKNOWN_JOB:
            raise Permanent(words.text)
        if words.code in _BAD_KEY:
            raise Transient(words.text, _SHUT_EYES_SECONDS)
        if found.get("error"):
            return self._failed(found["error"])
        if found.keys() & {"result", "data"}:
            return Snapshot(status=Status.COMPLETED, outputs=_outputs(found, self.api_key.hide))
        raise Transient("AgentifyMe: HTTP 200, but the job has no status")

    def _failed(self, error: Any) -> Snapshot:
        return Snapshot(
            status=Status.FAILED, reason=self._safe(_said(error) or "it failed; AgentifyMe names no reason")
        )

    def _safe(self, text: str) -> str:
        return cut(self.api_key.hide(text), MAX_REASON_CHARACTERS)


def _said(error: Any) -> str:
    """Return an error as a line for people: its type and message, never its traceback, which shows code and values."""
    if not isinstance(error, dict):
        return as_text(error)
    kind, message = error.get("errorType"), error.get("message") or error.get("error")
    parts = [part for part in (kind, message) if isinstance(part, str) and part]
    return ": ".join(parts)


def _outputs(found: dict[str, Any], hide: Callable[[str], str]) -> dict[str, str | Link | File]:
    """Return a result's members by name; one that is no object is the output `result`."""
    result = found.get("result") if found.get("result") is not None else found.get("data")
    members = result if isinstance(result, dict) else {"result": result}
    return {
        hide(name): cut(hide(text), MAX_OUTPUT_CHARACTERS)
        for name, value in members.items()
        if (text := as_text(value))
    }


def _parameters(order: Order) -> dict[str, Any]:
    """Return the variables as the JSON their `type:` says; raises Permanent for one that is none."""
    parameters: dict[str, Any] = {}
    for name, value in order.variables.items():
        kind = order.variable_options.get(name, {}).get("type", "text")
        if problem := _no_value(value, kind):
            raise Permanent(f"variable {name!r} {problem}")
        parameters[name] = value if kind == "text" else msgspec.json.decode(value)
    return parameters


def _no_value(value: str, kind: str) -> str | None:
    """Say why a text is no value of a type of JSON; None: it is."""
    if kind == "text":
        return None
    try:
        found = msgspec.json.decode(value)
    except (ValueError, RecursionError):
        found = None if kind != "json" else _NOTHING
    number = isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found)
    good = {"number": number, "boolean": isinstance(found, bool), "json": found is not _NOTHING}[kind]
    what = {"number": "a number", "boolean": "true or false", "json": "JSON"}[kind]
    return None if good else f"is {short(value)}, which is not {what}"


_NOTHING = object()


def _no_header(endpoint: str) -> str | None:
    good = endpoint.isascii() and endpoint.isprintable() and endpoint.strip() == endpoint != ""
    return (
        None if good else "the endpoint goes into a header: write it as AgentifyMe shows it, without spaces around it"
    )
