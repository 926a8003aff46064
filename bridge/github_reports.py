"""An execution in GitHub's words: a commit status, a check run, a comment. Pure.

https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
https://docs.github.com/en/rest/checks/runs#create-a-check-run
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from bridge.gfm import block, cell, code, link, plain
from bridge.github_comments import MARKED
from bridge.model import Execution, Link, Output, Status
from bridge.status_words import WORDS, took

OURS = "genesis-bridge/"
"""How a commit status and a check are called that the configuration gives no name: this and the rule's."""
CHECK_COMPLETED = "completed"

_LONGEST_DESCRIPTION = 140
_LONGEST_TITLE = 200
_LONGEST_SUMMARY = 65_000
"""GitHub takes 65,535 characters of a summary and 65,536 of a comment, which is four times as many bytes."""
_LONGEST_REASON = 2_000
_LONGEST_OUTPUT = 10_000
_LONGEST_NAME = 200
_ROOM_FOR_MORE = 100
_MOST_FIELDS = 20
_LONGEST_FIELD = 500
_NOT_TAKEN = re.compile("[\U00010000-\U0010ffff]")
"""A commit status "doesn't accept 4-byte Unicode": HTTP 422 (ouzi-dev/commit-status-updater#526)."""

STATES = dict.fromkeys(Status, "pending") | {
    Status.COMPLETED: "success",
    Status.SKIPPED: "success",
    Status.FAILED: "failure",
    Status.REJECTED: "failure",
    Status.TIMED_OUT: "failure",
    Status.CANCELLED: "error",
    Status.UNKNOWN: "error",
    Status.LOST: "error",
}
"""A commit status knows four states; what was skipped must not block a merge for ever."""

CONCLUSIONS = {
    Status.COMPLETED: "success",
    Status.FAILED: "failure",
    Status.REJECTED: "failure",
    Status.CANCELLED: "cancelled",
    Status.SKIPPED: "skipped",
    Status.TIMED_OUT: "timed_out",
    Status.UNKNOWN: "action_required",
    Status.LOST: "action_required",
}
"""`neutral` would let a merge through of which nobody knows whether it ran well."""


def named(name: str, execution: Execution) -> str:
    """Return what a status or a check is called."""
    return name or f"{OURS}{execution.rule}"


def commit_status(execution: Execution, name: str, own: str | None) -> dict[str, str]:
    """Return a commit status; `own` are the notifier's own words."""
    said = _title(execution) if own is None else own
    if own is None and execution.reason:
        said = f"{said} - {execution.reason}"
    made = {
        "state": STATES[execution.status],
        "context": named(name, execution),
        "description": plain(_NOT_TAKEN.sub("\ufffd", said), _LONGEST_DESCRIPTION),
    }
    url = _page(execution)
    return {**made, "target_url": url} if url else made


def check_run(execution: Execution, name: str, own: str | None, fields: Mapping[str, str] = {}) -> dict[str, Any]:
    """Return a check run, which says whose it is with the execution's id."""
    made: dict[str, Any] = {
        "name": named(name, execution),
        "external_id": execution.id,
        "output": {"title": plain(_title(execution), _LONGEST_TITLE), "summary": _summary(execution, own, fields)},
    }
    if execution.started_at is not None:
        made["started_at"] = execution.started_at
    url = _page(execution)
    if url:
        made["details_url"] = url
    if not execution.status.final:
        # Of those that may be said here only these two are an App's to say.
        return {**made, "status": "queued" if execution.status is Status.QUEUED else "in_progress"}
    if execution.finished_at is not None:
        made["completed_at"] = execution.finished_at
    return {**made, "status": CHECK_COMPLETED, "conclusion": CONCLUSIONS[execution.status]}


class Comment(Struct, frozen=True):
    """A comment that is edited in place, and how it is found again."""

    mark: str
    """How it begins, and no other one does."""
    at: str
    """When the execution was made that it tells of (RFC 3339)."""
    execution: str
    text: str

    @property
    def body(self) -> str:
        """Return it as it is posted."""
        return f"{self.mark} {self.at} {self.execution} -->\n{self.text}"

    def is_newer(self, body: str) -> bool:
        """Say whether a comment with this mark tells of a newer execution."""
        there = body.removeprefix(self.mark).partition("-->")[0].split()
        return len(there) == 2 and there[1] != self.execution and there[0] > self.at  # noqa: PLR2004 - as in `body`


def comment(execution: Execution, key: str, own: str | None, fields: Mapping[str, str] = {}) -> Comment:
    """Return the comment that tells of an execution; there is one for each key under a pull request."""
    heading = f"### {code(execution.rule, _LONGEST_NAME)}: {plain(_title(execution), _LONGEST_TITLE)}"
    return Comment(
        mark=f"{MARKED}: {key or execution.rule} |",
        at=execution.created_at,
        execution=execution.id,
        text=f"{heading}\n\n{_summary(execution, own, fields)}",
    )


def _title(execution: Execution) -> str:
    """Return how it stands in our own words."""
    said = WORDS[execution.status]
    if execution.progress is not None:
        said += f", {execution.progress.done}/{execution.progress.total} steps"
    lasted = took(execution)
    return f"{said} in {lasted}" if lasted and execution.status is Status.COMPLETED else said


def _page(execution: Execution) -> str:
    url = execution.url or ""
    return url if link(url, "Open") else ""


def _summary(execution: Execution, own: str | None, fields: Mapping[str, str]) -> str:
    """Return it in Markdown: what is known, why it ended so, and what came out or the notifier's own words instead."""
    parts = ["\n".join([*_table(execution), *_rows(fields)])]
    if execution.reason:
        parts.append(block(execution.reason, _LONGEST_REASON))
    if own is not None:
        return "\n\n".join([*parts, block(own, _LONGEST_OUTPUT)] if own else parts)
    left = list(execution.outputs.items())
    while left and sum(len(part) + 2 for part in parts) + len(_output(*left[0])) < _LONGEST_SUMMARY - _ROOM_FOR_MORE:
        parts.append(_output(*left.pop(0)))
    if left:
        parts.append(f"and {len(left)} more outputs, for which there is no room here")
    return "\n\n".join(parts)


def _table(execution: Execution) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    yield f"| status | {WORDS[execution.status]} |"
    yield f"| template | {cell(execution.template, _LONGEST_NAME)} on {cell(execution.engine, _LONGEST_NAME)} |"
    if execution.progress is not None:
        yield f"| steps | {execution.progress.done}/{execution.progress.total} |"
    if took(execution):
        yield f"| took | {took(execution)} |"
    yield f"| execution | {cell(execution.id, _LONGEST_NAME)} {link(execution.url or '', 'Open')} |"


def _rows(fields: Mapping[str, str]) -> Iterator[str]:
    for name, text in list(fields.items())[:_MOST_FIELDS]:
        yield f"| {cell(name, _LONGEST_NAME)} | {cell(text, _LONGEST_FIELD)} |"


def _output(name: str, value: Output) -> str:
    """Show an output; a link says 'Open', never what somebody named it, which could be another address."""
    said = code(name, _LONGEST_NAME)
    if not isinstance(value, Link):
        return f"{said}\n\n{block(value, _LONGEST_OUTPUT)}"
    told = [said, link(value.url, "Open") or code(value.url, _LONGEST_REASON)]
    told += [code(value.type, _LONGEST_NAME)] if value.type else []
    told += [f"{value.size:,} bytes"] if value.size is not None else []
    return " ".join(told)
