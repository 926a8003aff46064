"""The faults of the road to an engine, the same for all of them, and the shapes of body in which one might say no."""

from collections import deque
from collections.abc import Callable, Mapping
from html import escape
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from bridge.emulators.exchange import Answer, json_answer, spend, text_answer

# Where the documentation does not give the form of a refusal's body, any of these may be true.
Shape = Literal["error", "success_false", "message", "text", "html"]

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

# With these the request is obeyed and only the answer suffers; the others never reach the engine unless `runs` says so.
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
    error: str = "invalid_key"
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


def order(queues: Mapping[str, deque[Fault]], kind: type[Any], body: bytes) -> None:
    """Queue the fault that a control request asks for; of `kind` is what names the queue (`on`) and the refusal.

    Raises msgspec's errors.
    """
    said: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    on = msgspec.convert(said, kind).on
    del said["on"]
    queues[on].append(msgspec.convert(said, Fault))


def clear(queues: Mapping[str, deque[Fault]]) -> None:
    """Let nothing more go wrong."""
    for queue in queues.values():
        queue.clear()


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


def spoil(answer: Answer, fault: Fault, shape: Shape, errors: Mapping[Any, tuple[int, str]]) -> Answer:
    """Turn the answer the engine would have given into the one the fault leaves; `errors` are its refusals by name."""
    if fault.kind == "error":
        status, text = errors[fault.error]
        return refusal(fault.status or status, fault.text or text, shape)
    return _SPOILERS[fault.kind](answer, fault, shape)


def _drop(answer: Answer, fault: Fault, _: Shape) -> Answer:
    return msgspec.structs.replace(answer, drop="reset" if fault.reset else "close")


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
