"""Commit statuses and check runs of one repository, refused as GitHub refuses them.

https://docs.github.com/en/rest/commits/statuses
https://docs.github.com/en/rest/checks/runs
"""

from typing import Any
from urllib.parse import parse_qs

import msgspec

from bridge.emulators.exchange import Answer, json_answer

STATES = frozenset({"error", "failure", "pending", "success"})
CONCLUSIONS = frozenset("action_required cancelled failure neutral success skipped timed_out".split())
LONGEST_DESCRIPTION = 140
LONGEST_SUMMARY = 65_535
MOST_STATUSES = 1000
PER_PAGE = 30
_MOST_PER_PAGE = 100
_CHECK = frozenset(
    "name head_sha details_url external_id status started_at conclusion completed_at output actions".split()
)


class Reports(msgspec.Struct, kw_only=True):
    """What was said of `commits`; others there are not."""

    commits: list[str] = []
    statuses: list[dict[str, str]] = []
    checks: dict[int, dict[str, Any]] = {}

    def states(self, sha: str) -> dict[str, str]:
        """Return the newest state of every context of a commit, in lower case, for case does not matter."""
        return {status["context"].lower(): status["state"] for status in self.statuses if status["sha"] == sha}

    def set_status(self, sha: str, body: bytes) -> Answer:
        """Set a commit status."""
        if sha not in self.commits:
            return refused(f"No commit found for SHA: {sha}")
        said = fields(body)
        description, context = said.get("description") or "", said.get("context") or "default"
        wrong = _wrong_field(said, description)
        if wrong is not None:
            return custom("Status", *wrong)
        same = [one for one in self.statuses if one["sha"] == sha and one["context"].lower() == context.lower()]
        if len(same) >= MOST_STATUSES:
            return custom("Status", "", "This SHA and context has reached the maximum number of statuses.")
        made = {**said, "description": description, "context": context, "sha": sha}
        self.statuses = [*self.statuses, made]
        return json_answer({"id": len(self.statuses), **made}, 201)

    def create_check(self, body: bytes, app: int | None) -> Answer:
        """Make a check run."""
        said = fields(body)
        if app is None:
            return _only_apps()
        problem = _problem(said) or ("name is missing" if not said.get("name") else "")
        if problem:
            return refused(f"Invalid request.\n\n{problem}")
        if said.get("head_sha") not in self.commits:
            return refused(f"No commit found for SHA: {said.get('head_sha')}")
        made = {"status": "queued", "conclusion": None, **said, "id": len(self.checks) + 1, "app": {"id": app}}
        self.checks = {**self.checks, made["id"]: _concluded(made)}
        return json_answer(self.checks[made["id"]], 201)

    def change_check(self, number: int, body: bytes, app: int | None) -> Answer:
        """Change a check run; one that is completed stays so (Mergifyio/mergify#1989)."""
        if app is None:
            return _only_apps()
        there, said = self.checks.get(number), fields(body)
        if there is None:
            return json_answer({"message": "Not Found", "status": "404"}, 404)
        if there["app"]["id"] != app:
            return json_answer({"message": "Invalid app_id `...` - check run can only be modified by the App"}, 403)
        problem = _problem(said)
        if problem:
            return refused(f"Invalid request.\n\n{problem}")
        kept = {"status": "completed", "conclusion": there["conclusion"]} if there["status"] == "completed" else {}
        if said.get("conclusion"):
            kept = {}
        self.checks = {**self.checks, number: _concluded({**there, **said, **kept})}
        return json_answer(self.checks[number])

    def list_checks(self, sha: str, query: str) -> Answer:
        """List a commit's check runs, the newest first."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        found = [one for one in reversed(self.checks.values()) if one["head_sha"] == sha]
        if "check_name" in asked:
            found = [one for one in found if one["name"] == asked["check_name"]]
        if "app_id" in asked:
            found = [one for one in found if str(one["app"]["id"]) == asked["app_id"]]
        if asked.get("filter", "latest") == "latest":
            found = found[:1]
        return json_answer({"total_count": len(found), "check_runs": paged(found, query)})


def paged(items: list[Any], query: str) -> list[Any]:
    """Return the page of a list that a query asks for."""
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    size, number = min(int(asked.get("per_page", PER_PAGE)), _MOST_PER_PAGE), int(asked.get("page", 1))
    return items[(number - 1) * size : number * size]


def refused(message: str) -> Answer:
    """Refuse a request as a whole."""
    return json_answer({"message": message, "status": "422"}, 422)


def custom(resource: str, field: str, message: str) -> Answer:
    """Refuse a field's value, in words."""
    error = {"resource": resource, "code": "custom", "field": field, "message": message}
    return json_answer({"message": "Validation Failed", "errors": [error]}, 422)


def fields(body: bytes) -> dict[str, Any]:
    """Read what is sent; what is no object has no fields."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _wrong_field(said: dict[str, Any], description: str) -> tuple[str, str] | None:
    """Say which field of a commit status is wrong, and how."""
    if said.get("state") not in STATES:
        return "state", "state is not included in the list"
    if len(description) > LONGEST_DESCRIPTION:
        return "description", "description is too long (maximum is 140 characters)"
    if any(one > "\uffff" for one in description):
        return "description", "description doesn't accept 4-byte Unicode"
    return None if _is_url(said.get("target_url")) else ("target_url", "target_url must use http(s) scheme")


def _problem(said: dict[str, Any]) -> str:
    """Say what is wrong with a check run's fields; empty: nothing."""
    stray = said.keys() - _CHECK
    if stray:
        return f"{min(stray)} is not a permitted key."
    output = said.get("output")
    if output is not None and not (output.get("title") and output.get("summary")):
        return "output needs a title and a summary"
    if output is not None and len(output["summary"]) > LONGEST_SUMMARY:
        return "Only 65535 characters are allowed"
    if said.get("status") == "completed" and said.get("conclusion") not in CONCLUSIONS:
        return f"{said.get('conclusion')} is not a member of the conclusions"
    if said.get("status", "queued") not in ("queued", "in_progress", "completed"):
        return f"{said['status']} is not a member of the statuses"
    return "" if _is_url(said.get("details_url")) else "details_url must use http(s) scheme"


def _concluded(check: dict[str, Any]) -> dict[str, Any]:
    return {**check, "status": "completed"} if check["conclusion"] else check


def _is_url(url: Any) -> bool:
    return url is None or str(url).startswith(("http://", "https://"))


def _only_apps() -> Answer:
    return json_answer({"message": "You must authenticate via a GitHub App."}, 403)
