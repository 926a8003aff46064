"""How Comfy Cloud says no, over both its APIs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

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
