"""Autify Genesis: starts a workflow and reads how its execution stands.

https://help.genesis.autify.com/integrations/api-guide.md
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec

from bridge.addresses import base_url
from bridge.answers import MAX_OUTPUT_CHARACTERS, MAX_REASON_CHARACTERS, as_text, cut, json_object
from bridge.contracts import Engine
from bridge.errors import Ambiguous, AttemptError, Blocked, Permanent, Throttled, Transient
from bridge.model import Link, Progress, Status
from bridge.outbound import Answer, Outbound
from bridge.rules import Template
from bridge.runs import MAX_OUTPUTS, Complaint, File, Order, Snapshot, Started
from bridge.secret import Secret

MAX_PAYLOAD_BYTES = 10_000_000
"""'10 MB' in the API guide; read in the way that is safe."""

_TRIGGER_SECONDS = 30.0
_FETCH_SECONDS = 10.0
_MAX_TRIGGER_ANSWER_BYTES = 1 << 16
_MAX_EXECUTION_BYTES = 10_000_000
_MAX_ID_CHARACTERS = 200
_SHUT_EYES_SECONDS = 60.0
_TEXTS_LOOKED_AT = 4_096

# Configuration mistakes that Genesis answers with 500; any other 500 says nothing about what happened.
_REFUSALS_WITH_500 = ("Invalid payload: expected object with string values", "Unexpected fields in payload")

# The other 401s and 403s are about the key, its owner or the credit: every trigger would meet them.
_REFUSED_FOR_THIS_WORKFLOW = "does not have access to this organization"

_CANCELLED = "cancelled by a person, or superseded by a newer run of the workflow"
_STATUSES = {
    status.value: status
    for status in (
        Status.PENDING,
        Status.RUNNING,
        Status.REVIEW_PENDING,
        Status.COMPLETED,
        Status.FAILED,
        Status.CANCELLED,
        Status.SKIPPED,
    )
}


class _Execution(msgspec.Struct, rename="camel"):
    """What we read of an execution. Nothing is relied on: every field may be absent, or of another type."""

    status: Any = None
    block_count: Any = None
    completed_blocks: Any = None
    error: Any = None
    cancel_reason: Any = None
    state: msgspec.Raw = msgspec.Raw(b"null")
    """Large, and wanted only at the end."""


class Genesis(Engine, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="genesis"):
    """One API key at one Genesis; `base_url` is for self-hosted ones (http allowed: it is the operator's word)."""

    api_key: Secret
    """A key of Genesis' organization settings; it belongs to a person there, so take a service user's."""
    base_url: str = "https://genesis.autify.com"
    """The address of a self-hosted Genesis."""

    def __post_init__(self) -> None:
        """Refuse a base URL that paths cannot be appended to."""
        base_url(self.base_url)

    def credentials(self) -> tuple[str, ...]:
        """Return the key, and where it is one."""
        return base_url(self.base_url), self.api_key.text()

    def problems(self, template: Template, folder: Path) -> Iterator[Complaint]:  # noqa: ARG002 - Genesis needs no file
        """Require a UUID: Genesis answers anything else with 400 `Invalid template ID`."""
        try:
            plain = str(UUID(template.id)) == template.id.lower()
        except ValueError:
            plain = False
        if not plain:
            yield ("id",), "a Genesis workflow's id is a UUID: copy it from the workflow's API endpoint"

    async def trigger(self, outbound: Outbound, order: Order, not_after: float) -> Started:
        """Start a run.

        Genesis knows no idempotency key and lists no executions, so what is ambiguous here stays so.
        Raises Transient, Permanent (Blocked) or Ambiguous.
        """
        content = msgspec.json.encode(order.variables)
        if len(content) > MAX_PAYLOAD_BYTES:
            raise Permanent(f"the variables are {len(content):,} bytes as JSON; Genesis takes {MAX_PAYLOAD_BYTES:,}")
        answer = await outbound.request(
            "POST",
            f"{base_url(self.base_url)}/api/workflows/{quote(order.template_id, safe='')}/trigger",
            headers={"x-api-key": self.api_key.text(), "content-type": "application/json"},
            content=content,
            timeout_seconds=_TRIGGER_SECONDS,
            max_bytes=_MAX_TRIGGER_ANSWER_BYTES,
            fresh=True,
            not_after=not_after,
        )
        if 200 <= answer.status < 300:  # noqa: PLR2004 - the guide names no status for success
            return self._started(answer)
        raise self._refused(answer)

    async def fetch(self, outbound: Outbound, remote_id: str) -> Snapshot:
        """Ask how a run is.

        Raises Permanent when Genesis does not know the run, Transient for everything else that is no answer: with
        a bad key or a server in trouble the run still goes on, only we do not see it.
        """
        try:
            answer = await self._ask(outbound, remote_id)
        except (Ambiguous, Permanent) as error:
            raise Transient(str(error)) from None
        if answer.status == 404:  # noqa: PLR2004 - `Execution not found`
            raise Permanent(self._words(answer))
        if answer.status == 429:  # noqa: PLR2004 - too many
            raise Throttled(self._words(answer), answer.retry_after(time.time()))
        if answer.status != 200:  # noqa: PLR2004 - OK
            patience = None if answer.status >= 500 else _SHUT_EYES_SECONDS  # noqa: PLR2004
            raise Transient(self._words(answer), answer.retry_after(time.time()) or patience)
        return self._snapshot(answer)

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask for an execution that cannot exist: whoever is told so has a good key."""
        answer = await self._ask(outbound, str(UUID(int=0)))
        if answer.status in (200, 404):
            return None
        hint = "check api_key" if answer.status in (401, 403) else "check base_url, or try again later"
        return f"{self._words(answer)} - {hint}"

    async def _ask(self, outbound: Outbound, execution_id: str) -> Answer:
        return await outbound.request(
            "GET",
            f"{base_url(self.base_url)}/api/executions/{quote(execution_id, safe='')}",
            headers={"x-api-key": self.api_key.text()},
            timeout_seconds=_FETCH_SECONDS,
            max_bytes=_MAX_EXECUTION_BYTES,
        )

    def _words(self, answer: Answer) -> str:
        return f"Genesis: {answer.words(*self.api_key.texts())}"

    def _started(self, answer: Answer) -> Started:
        found = json_object(answer)
        remote_id = found.get("executionId")
        if found.get("success", True) is not True or not isinstance(remote_id, str):
            raise Ambiguous(f"{self._words(answer)} - it names no execution, so whether one began is not known")
        if not 0 < len(remote_id) <= _MAX_ID_CHARACTERS:
            raise Ambiguous(f"Genesis: HTTP {answer.status}, but its executionId is {len(remote_id):,} characters long")
        return Started(remote_id=remote_id)

    def _refused(self, answer: Answer) -> AttemptError:
        """Sort a trigger's answer; the guide's list of errors is by text, and the shape of the body not documented."""
        words, status = self._words(answer), answer.status
        asked = answer.retry_after(time.time())
        if 300 <= status < 400:  # noqa: PLR2004 - redirects
            return Permanent(f"{words} - a redirect is never followed with a key: check base_url")
        if status == 429:  # noqa: PLR2004 - refused before any work, as everything would be
            return Throttled(words, asked)
        if status == 503 and asked is not None:  # noqa: PLR2004 - refused before any work
            return Transient(words, asked)
        text = answer.text(_TEXTS_LOOKED_AT)
        if status in (401, 403) and _REFUSED_FOR_THIS_WORKFLOW not in text:
            return Blocked(words)
        if 400 <= status < 500 or (status == 500 and any(known in text for known in _REFUSALS_WITH_500)):  # noqa: PLR2004
            return Permanent(words)
        return Ambiguous(words)

    def _snapshot(self, answer: Answer) -> Snapshot:
        if answer.truncated:
            raise Transient(f"Genesis: the execution is larger than {_MAX_EXECUTION_BYTES:,} bytes, or encoded")
        try:
            found = msgspec.json.decode(answer.body, type=_Execution)
        except (ValueError, RecursionError):
            raise Transient("Genesis: HTTP 200, but what it says is not an execution in JSON") from None
        if not isinstance(found.status, str) or not found.status:
            raise Transient("Genesis: HTTP 200, but the execution has no status")
        status = _STATUSES.get(found.status, Status.RUNNING)
        return Snapshot(
            status=status,
            progress=_progress(found),
            outputs=_outputs(found.state, self.api_key.hide) if status.final else {},
            reason=self._reason(found, status),
        )

    def _reason(self, found: _Execution, status: Status) -> str | None:
        if status == Status.FAILED:
            reason = as_text(found.error) or "the workflow failed; Genesis names no reason"
        elif status == Status.CANCELLED:
            # The likeliest cause is the workflow's own 'Cancel previous executions': nobody's failure.
            reason = as_text(found.cancel_reason) or _CANCELLED
        elif status == Status.SKIPPED:
            reason = as_text(found.error) or "skipped by a condition of the workflow"
        elif found.status not in _STATUSES:
            reason = f"Genesis calls this {found.status[:80]!r}, which is not in its documentation: taken as running"
        else:
            return None
        return cut(self.api_key.hide(reason), MAX_REASON_CHARACTERS)


def _progress(found: _Execution) -> Progress | None:
    done, total = found.completed_blocks, found.block_count
    if type(done) is not int or type(total) is not int or done < 0 or total <= 0:
        return None
    return Progress(done, total)


def _outputs(state: msgspec.Raw, hide: Callable[[str], str]) -> dict[str, str | Link | File]:
    """Return what each block put out, by the block's name; the vendor's own client, too, skips what is empty."""
    try:
        found = msgspec.json.decode(state)
    except (ValueError, RecursionError):
        return {}
    blocks = found.get("blocks") if isinstance(found, dict) else None
    outputs: dict[str, str | Link | File] = {}
    for name, block in blocks.items() if isinstance(blocks, dict) else ():
        text = as_text(block.get("output")) if isinstance(block, dict) else ""
        if text and len(outputs) < MAX_OUTPUTS:
            outputs[hide(name)[:_MAX_ID_CHARACTERS]] = cut(hide(text), MAX_OUTPUT_CHARACTERS)
    return outputs
