"""What the two APIs of Comfy Cloud answer, in our words: statuses, errors, outputs. Pure.

v1: https://docs.comfy.org/development/cloud/api-reference; v2: https://docs.comfy.org/api-reference/v2/overview
"""

import mimetypes
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import msgspec

from bridge.answers import MAX_OUTPUT_CHARACTERS, MAX_REASON_CHARACTERS, as_text, cut, json_object
from bridge.errors import Transient
from bridge.model import Link, Progress, Status
from bridge.outbound import Answer
from bridge.runs import File, Snapshot

_MAX_PART_CHARACTERS = 300
_MOST_NODES_NAMED = 3
_KNOWN_CHARACTERS = 80

# Three vocabularies are published for one endpoint of v1, and v2 has its own; what is in none of them is in flight.
_STATUSES = {
    **dict.fromkeys(
        (
            "pending",
            "waiting_to_dispatch",
            "submitted",
            "queued",
            "queued_limited",
            "queued_waiting",
            "allocated",
            "preparing",
            "pending_execution",
        ),
        Status.PENDING,
    ),
    **dict.fromkeys(
        (
            "in_progress",
            "executing",
            "executed",
            "running",
            "erroring",
            "cancel_requested",
            "cancel_pending",
            "cancelling_preparing",
            "canceling",
        ),
        Status.RUNNING,
    ),
    **dict.fromkeys(("completed", "success", "succeeded"), Status.COMPLETED),
    **dict.fromkeys(("failed", "error", "non_retryable_error", "lost", "expired"), Status.FAILED),
    **dict.fromkeys(("cancelled", "canceled"), Status.CANCELLED),
}

Hide = Callable[[str], str]
Outputs = dict[str, str | Link | File]


def words(answer: Answer, hide: Hide) -> str:
    """Sum up an answer that is no success, with what it says of single nodes, in one line for people."""
    found = json_object(answer)
    error = found.get("error")
    details = error.get("details") if isinstance(error, dict) else None
    nodes = found.get("node_errors") or (details.get("node_errors") if isinstance(details, dict) else None)
    said = f"Comfy: {answer.words()}"
    about = of_nodes(nodes)
    return cut(hide(f"{said} ({about})" if about else said), MAX_REASON_CHARACTERS)


def of_nodes(found: Any) -> str:
    """Put what is wrong with nodes into words; nothing where nothing is."""
    if not isinstance(found, dict):
        return ""
    told = [
        f"node {node[:_KNOWN_CHARACTERS]}{_of_node(said)}" for node, said in list(found.items())[:_MOST_NODES_NAMED]
    ]
    more = len(found) - _MOST_NODES_NAMED
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _of_node(said: Any) -> str:
    """Read v1's `{"class_type", "errors": [{"message", "details"}]}` or v2's `[{"field", "reason"}]`."""
    kind = said.get("class_type") if isinstance(said, dict) else None
    errors = said.get("errors") if isinstance(said, dict) else said
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    parts = [first.get(name) for name in ("field", "message", "reason", "details")]
    text = ": ".join(part for part in parts if isinstance(part, str) and part)
    return (f" {kind[:_KNOWN_CHARACTERS]}" if isinstance(kind, str) else "") + f": {_line(text)}"


def _line(text: str) -> str:
    """Make one short line of a text that may be a list of every model there is."""
    return cut(" ".join(text.split()), _MAX_PART_CHARACTERS)


def code_of(answer: Answer) -> str:
    """Return v2's machine-readable code; empty where there is none."""
    error = json_object(answer).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


def job_v1(answer: Answer, hide: Hide) -> Snapshot:
    """Read `GET /api/jobs/{id}`; raises Transient for what is no job."""
    found, said = _job(answer)
    status, reason = _status(said)
    error = found.get("execution_error")
    if status == Status.COMPLETED and isinstance(error, dict) and error.get("exception_message"):
        status = Status.FAILED  # ComfyUI calls an interrupted run completed
    if status == Status.FAILED:
        reason = _error(error, "exception_type", "exception_message", "node_type") or _no_reason(said)
    return _snapshot(status, reason, hide, _outputs_v1(found.get("outputs")))


def job_v2(answer: Answer, hide: Hide) -> Snapshot:
    """Read `GET /api/v2/jobs/{id}`; raises Transient for what is no job."""
    found, said = _job(answer)
    status, reason = _status(said)
    if status == Status.FAILED:
        reason = _error(found.get("error"), "code", "message", "class_type") or _no_reason(said)
    return msgspec.structs.replace(
        _snapshot(status, reason, hide, _outputs_v2(found.get("outputs"))), progress=_progress(found.get("progress"))
    )


def _job(answer: Answer) -> tuple[dict[str, Any], str]:
    found = json_object(answer)
    said = found.get("status")
    if answer.truncated or not isinstance(said, str) or not said:
        raise Transient("Comfy: HTTP 200, but what it says is not a job in JSON, or too large")
    return found, said


def _status(said: str) -> tuple[Status, str | None]:
    status = _STATUSES.get(said.lower())
    if status is not None:
        return status, None
    return Status.RUNNING, f"Comfy calls this {said[:_KNOWN_CHARACTERS]!r}, which nobody documents: taken as running"


def _no_reason(said: str) -> str:
    return f"Comfy calls it {said[:_KNOWN_CHARACTERS]!r}, and names no reason"


def _error(found: Any, kind: str, message: str, node: str) -> str:
    """Put an execution's error into words: never its traceback or inputs, which show prompts and perhaps keys."""
    if not isinstance(found, dict):
        return as_text(found)
    said = ": ".join(part for name in (kind, message) if isinstance(part := found.get(name), str) and part)
    where = found.get(node)
    return f"{said} (in {where[:_KNOWN_CHARACTERS]})" if said and isinstance(where, str) and where else said


def _snapshot(status: Status, reason: str | None, hide: Hide, outputs: Iterator[tuple[str, str | File]]) -> Snapshot:
    return Snapshot(
        status=status,
        outputs=_named(outputs, hide) if status.final else {},
        reason=None if reason is None else cut(hide(reason), MAX_REASON_CHARACTERS),
    )


def _named(outputs: Iterator[tuple[str, str | File]], hide: Hide) -> Outputs:
    """Name each output by its node, the second of a node `9_2`."""
    named: Outputs = {}
    for node, output in outputs:
        name, number = node, 1
        while name in named:
            number += 1
            name = f"{node}_{number}"
        named[name] = cut(hide(output), MAX_OUTPUT_CHARACTERS) if isinstance(output, str) else output
    return named


def _outputs_v1(found: Any) -> Iterator[tuple[str, str | File]]:
    """Go through `{node: {kind: [...]}}`: of every list the files and the texts; `animated` has neither."""
    for node, kinds in found.items() if isinstance(found, dict) else ():
        for items in kinds.values() if isinstance(kinds, dict) else ():
            texts = [item for item in items if isinstance(item, str)] if isinstance(items, list) else []
            if texts:
                yield node, "\n".join(texts)
            for item in items if isinstance(items, list) else ():
                if isinstance(item, dict) and isinstance(item.get("filename"), str) and item["filename"]:
                    yield node, _file_v1(item)


def _file_v1(item: dict[str, Any]) -> File:
    asked = {name: item[name] for name in ("filename", "subfolder", "type") if isinstance(item.get(name), str)}
    return File(reference=msgspec.json.encode(asked).decode(), type=media_type(item["filename"]))


def _outputs_v2(found: Any) -> Iterator[tuple[str, str | File]]:
    for item in found if isinstance(found, list) else ():
        node, asset = (item.get("node_id"), item.get("id")) if isinstance(item, dict) else (None, None)
        if isinstance(node, str) and isinstance(asset, str) and asset:
            kind, size = item.get("content_type"), item.get("size_bytes")
            yield (
                node,
                File(
                    reference=msgspec.json.encode({"asset": asset}).decode(),
                    type=kind if isinstance(kind, str) else None,
                    size=size if type(size) is int else None,
                ),
            )


def _progress(found: Any) -> Progress | None:
    done, total = (found.get("nodes_done"), found.get("nodes_total")) if isinstance(found, dict) else (None, None)
    if type(done) is not int or type(total) is not int or done < 0 or total <= 0:
        return None
    return Progress(done, total)


def media_type(name: str) -> str | None:
    """Guess a file's type by its name's ending, whatever the path in front of it is."""
    plain = PurePosixPath(PureWindowsPath(name).as_posix()).name
    return mimetypes.guess_type(plain, strict=False)[0]  # so that WebP is one everywhere
