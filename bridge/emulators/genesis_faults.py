"""How Genesis says no: every documented refusal, by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

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
