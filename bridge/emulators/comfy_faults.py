"""How Comfy Cloud says no, over both its APIs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from bridge.emulators.exchange import Answer, json_answer

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


class Refused(Exception):
    """One of the refusals."""

    def __init__(self, error: ErrorName, nodes: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(error)
        self.error = error
        self.nodes = dict(nodes)


def refusal(refused: Refused, api: str, retry_after: str, *, says_error: bool) -> Answer:
    """Say no as an API does; v1 may do so with 200."""
    status, text = ERRORS[refused.error]
    headers = {"retry-after": retry_after} if status == 429 and retry_after else {}  # noqa: PLR2004
    if api == "v2":
        details = {"node_errors": refused.nodes} if refused.nodes else None
        error: dict[str, Any] = {"code": refused.error, "message": text, "details": details}
        return json_answer({"error": error}, status, headers)
    if status != 400:  # noqa: PLR2004 - only the errors of a prompt have its form
        return json_answer({"code": refused.error, "message": text}, status, headers)
    kind = "prompt_outputs_failed_validation" if refused.nodes else "no_prompt"
    error = {"type": kind, "message": text, "details": "", "extra_info": {}}
    return json_answer({"error": error, "node_errors": refused.nodes}, 200 if says_error else 400, headers)
