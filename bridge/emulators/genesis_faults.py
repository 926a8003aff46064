"""How Genesis says no: every documented refusal in every body shape it might have, and the faults of the road to it."""

from collections import deque
from collections.abc import Callable, Mapping
from html import escape
from http import HTTPStatus
from types import MappingProxyType
from typing import Literal

import msgspec

from bridge.emulators.exchange import Answer, json_answer, spend, text_answer

# The help page gives status and text of each refusal but not the form of the body: any of these may be true.
Shape = Literal["error", "success_false", "message", "text", "html"]

ErrorName = Literal[
    "missing_key",
    "invalid_key",
    "key_without_organization",
    "unauthorized",
    "other_organization",
    "usage_limit",
    "invalid_json",
    "too_large",
    "not_strings",
    "unexpected_fields",
    "missing_fields",
    "template_not_found",
    "invalid_template_id",
    "no_project",
    "project_not_found",
    "execution_not_found",
]

ERRORS: Mapping[ErrorName, tuple[int, str]] = MappingProxyType(
    {
        "missing_key": (401, "Missing API key"),
        "invalid_key": (401, "Invalid API key"),
        "key_without_organization": (403, "API key is not associated with an organization"),
        "unauthorized": (403, "Unauthorized"),
        "other_organization": (403, "API key does not have access to this organization"),
        "usage_limit": (403, "Usage limit reached"),
        "invalid_json": (400, "Invalid JSON payload"),
        "too_large": (413, "Payload too large"),
        "not_strings": (500, "Invalid payload: expected object with string values"),
        "unexpected_fields": (500, "Unexpected fields in payload"),
        # Not documented: what Genesis does about missing variables is unknown, so it needs Template.required to happen.
        "missing_fields": (400, "Missing required fields in payload"),
        "template_not_found": (404, "Workflow template not found or API access not enabled"),
        "invalid_template_id": (400, "Invalid template ID"),
        "no_project": (400, "Workflow template must belong to a project"),
        "project_not_found": (404, "Project not found"),
        "execution_not_found": (404, "Execution not found"),
    }
)

FaultKind = Literal[
    "drop_before_run",
    "drop_after_run",
    "delay",
    "error",
    "gateway_502",
    "bare_500",
    "unavailable_503",
    "too_many_429",
    "success_false",
    "truncated_body",
    "truncated_json",
    "drip",
    "huge_body",
    "redirect",
]

# With these the request is obeyed and only the answer suffers; the others never reach Genesis unless `runs` says so.
RUNS: frozenset[FaultKind] = frozenset(
    {"drop_after_run", "delay", "truncated_body", "truncated_json", "drip", "huge_body"}
)


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that goes wrong with the next trigger or fetch.

    `times` 0 means until cleared; `template` limits it to one workflow; `runs` says whether the request is obeyed in
    spite of it (None: as RUNS says). The rest are parameters of single kinds: `seconds` (delay, drip), `error`
    (error), `retry_after` as the header's text, `text` and `status` instead of the usual ones, `location` (redirect),
    `size_bytes` (huge_body), `reset` (drop_*: RST instead of FIN).
    """

    kind: FaultKind = msgspec.field(name="fault")
    times: int = 1
    template: str = ""
    runs: bool | None = None
    seconds: float = 1.0
    error: ErrorName = "invalid_key"
    retry_after: str = ""
    text: str = ""
    status: int = 0
    location: str = "/_emulator/elsewhere"
    size_bytes: int = 50_000_000
    reset: bool = False

    @property
    def obeyed(self) -> bool:
        """Tell whether the request takes effect in spite of the fault."""
        return self.kind in RUNS if self.runs is None else self.runs


def take(queue: deque[Fault], template_id: str) -> Fault | None:
    """Take the first fault meant for this workflow."""
    for index, fault in enumerate(queue):
        if fault.template.lower() in ("", template_id.lower()):
            spend(queue, index)
            return fault
    return None


def refusal(status: int, text: str, shape: Shape) -> Answer:
    """Say no in the given shape of body."""
    bodies: dict[Shape, dict[str, object]] = {
        "error": {"error": text},
        "success_false": {"success": False, "error": text},
        "message": {"message": text},
    }
    if shape in bodies:
        return json_answer(bodies[shape], status)
    if shape == "text":
        return text_answer(text, status)
    title = escape(f"{status} {text}")
    page = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return Answer(status=status, body=page, content_type="text/html")


def spoil(answer: Answer, fault: Fault, shape: Shape) -> Answer:
    """Turn the answer Genesis would have given into the one the fault leaves."""
    return _SPOILERS[fault.kind](answer, fault, shape)


def _drop(answer: Answer, fault: Fault, _: Shape) -> Answer:
    return msgspec.structs.replace(answer, drop="reset" if fault.reset else "close")


def _error(_: Answer, fault: Fault, shape: Shape) -> Answer:
    status, text = ERRORS[fault.error]
    return refusal(fault.status or status, fault.text or text, shape)


def _status(status: int, shape: Shape) -> Callable[[Answer, Fault, Shape], Answer]:
    def refuse(_answer: Answer, fault: Fault, _shape: Shape) -> Answer:
        answer = refusal(status, fault.text or HTTPStatus(status).phrase, shape)
        headers = {"retry-after": fault.retry_after} if fault.retry_after else {}
        return msgspec.structs.replace(answer, headers=headers)

    return refuse


def _redirect(_: Answer, fault: Fault, __: Shape) -> Answer:
    return Answer(status=fault.status or 302, headers={"location": fault.location})


_SPOILERS: Mapping[FaultKind, Callable[[Answer, Fault, Shape], Answer]] = MappingProxyType(
    {
        "drop_before_run": _drop,
        "drop_after_run": _drop,
        "delay": lambda answer, fault, _: msgspec.structs.replace(answer, delay_seconds=fault.seconds),
        "error": _error,
        "gateway_502": _status(502, "html"),
        "bare_500": _status(500, "text"),
        "unavailable_503": _status(503, "text"),
        "too_many_429": _status(429, "error"),
        "success_false": lambda _, __, ___: json_answer({"success": False}),
        "truncated_body": lambda answer, _, __: msgspec.structs.replace(answer, cut=True),
        "truncated_json": lambda answer, _, __: msgspec.structs.replace(
            answer, body=answer.body[: len(answer.body) // 2]
        ),
        "drip": lambda answer, fault, _: msgspec.structs.replace(answer, drip_seconds=fault.seconds),
        "huge_body": lambda answer, fault, _: msgspec.structs.replace(answer, pad_bytes=fault.size_bytes),
        "redirect": _redirect,
    }
)
