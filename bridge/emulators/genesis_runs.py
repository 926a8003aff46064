"""A Genesis execution as a function of time: its scripted timeline, its progress and the record the API shows of it."""

import hashlib
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

TERMINAL = frozenset({"completed", "failed", "cancelled", "skipped"})


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workflow template and how its executions go.

    `timeline` is a row of (status, seconds). None seconds, and any final status, last for ever; a `review_pending`
    with seconds is approved by itself after them, with None it waits for `approve`. Past its end an execution is
    `completed`.
    """

    variables: frozenset[str] | None = None  # None: any name is accepted
    required: frozenset[str] = frozenset()
    api_enabled: bool = True
    project: bool = True
    project_deleted: bool = False
    cancel_previous: bool = False
    cancel_reviews_too: bool = False  # whether that spares review_pending executions is not documented
    cancel_seconds: float = 0.0  # between cancelRequestedAt and the status `cancelled`
    visible_after_seconds: float = 0.0  # until then a fetch answers 404
    timeline: tuple[tuple[str, float | None], ...] = (("pending", 0.3), ("running", 1.0), ("completed", None))
    blocks: int = 5
    outputs: dict[str, Any] = {}  # by block name
    error: str | None = None  # of a failed execution; Genesis may leave it null
    name: str = "Emulated workflow"
    # Parts of `state` the vendor's own client does not count on.
    omit: frozenset[Literal["state", "blocks", "output"]] = frozenset()


class Position(NamedTuple):
    """Where an execution stands: its status and since when, when it began to run and for how many seconds it has."""

    status: str
    since: float
    started: float | None
    ran_seconds: float
    stage: int


class Execution:
    """One run of a template; all moments are seconds of the emulator's clock."""

    def __init__(
        self,
        execution_id: str,
        template_id: str,
        template: Template,
        variables: dict[str, str],
        metadata: dict[str, str],
        now: float,
    ) -> None:
        self.id = execution_id
        self.template_id = template_id
        self.template = template
        self.variables = variables
        self.metadata = metadata
        self.created = now
        self.approvals: dict[int, float] = {}
        self.cancel_requested: float | None = None
        self.cancel_reason: str | None = None

    def position(self, now: float) -> Position:
        """Tell where the execution stands now."""
        if self.cancel_requested is not None:
            cancelled = self.cancel_requested + self.template.cancel_seconds
            last = self._scripted(min(now, cancelled))
            if now >= cancelled and last.status not in TERMINAL:
                return last._replace(status="cancelled", since=cancelled)
        return self._scripted(now)

    def approve(self, now: float) -> bool:
        """Approve a pending review; False if there is none."""
        position = self.position(now)
        if position.status != "review_pending":
            return False
        self.approvals[position.stage] = now
        return True

    def supersede(self, now: float) -> None:
        """Cancel the execution for a newer one, if it is in a status that the policy covers."""
        cancellable = {"pending", "running"} | ({"review_pending"} if self.template.cancel_reviews_too else set())
        if self.cancel_requested is None and self.position(now).status in cancellable:
            self.cancel_requested = now
            self.cancel_reason = "Superseded by a newer execution"

    def _scripted(self, now: float) -> Position:
        begin, started, ran = self.created, None, 0.0
        for stage, (status, seconds) in enumerate(self.template.timeline):
            if status == "running" and started is None:
                started = begin
            lasts = math.inf if seconds is None or status in TERMINAL else seconds
            end = self.approvals.get(stage, begin + lasts)
            if now < end:
                running = now - begin if status == "running" else 0.0
                return Position(status, begin, started, ran + running, stage)
            ran += lasts if status == "running" else 0.0
            begin = end
        return Position("completed", begin, started, ran, len(self.template.timeline))

    def _done(self, position: Position, total: int) -> int:
        if position.status == "completed":
            return total
        planned = sum(seconds or 0.0 for status, seconds in self.template.timeline if status == "running")
        # Only a completed execution has all its blocks done.
        return max(0, min(total - 1, int(total * position.ran_seconds / planned))) if planned else 0

    def show(self, now: float, wall: Callable[[float], float]) -> dict[str, Any]:
        """Give the record `GET /api/executions/{id}` answers with; `wall` turns clock seconds into epoch seconds."""

        def stamp(moment: float | None) -> str | None:
            return None if moment is None else iso(wall(moment))

        position = self.position(now)
        names = block_names(self.template)
        done = self._done(position, len(names))
        created, updated = stamp(self.created), stamp(position.since)
        shown: dict[str, Any] = {
            "id": self.id,
            "status": position.status,
            "workflowName": self.template.name,
            "blockCount": len(names),
            "completedBlocks": done,
            "createdAt": created,
            "updatedAt": updated,
            "startedAt": stamp(position.started),
            "finishedAt": updated if position.status in TERMINAL else None,
            "cancelRequestedAt": stamp(self.cancel_requested),
            "cancelReason": self.cancel_reason,
            "error": self.template.error if position.status == "failed" else None,
            "triggerType": "api",
            "triggerPayload": self.variables,
            "triggerMetadata": self.metadata,
        }
        if "state" not in self.template.omit:
            shown["state"] = {"workflowId": self.template_id, "executionId": self.id, "status": position.status}
            shown["state"] |= {"createdAt": created, "updatedAt": updated}
            if "blocks" not in self.template.omit:
                shown["state"]["blocks"] = self._blocks(names, done, position, stamp)
        return shown

    def _blocks(
        self, names: list[str], done: int, position: Position, stamp: Callable[[float | None], str | None]
    ) -> dict[str, dict[str, Any]]:
        blocks: dict[str, dict[str, Any]] = {}
        for number, name in enumerate(names):
            status = "completed" if number < done else position.status if number == done else "pending"
            block: dict[str, Any] = {"status": status, "startTime": None, "endTime": None, "inputs": {}, "output": None}
            if status != "pending":
                block["startTime"] = stamp(position.started)
            if status == "completed":
                block |= {"endTime": stamp(position.since), "output": self.template.outputs.get(name)}
            if "output" in self.template.omit:
                del block["output"]
            blocks[name] = block
        return blocks


def block_names(template: Template) -> list[str]:
    """Name a template's blocks: those with outputs come last, under the name a rule selects them by."""
    plain = max(0, template.blocks - len(template.outputs))
    return [f"block-{number}" for number in range(1, plain + 1)] + list(template.outputs)


def iso(epoch_seconds: float) -> str:
    """Write a moment as Genesis does: ISO 8601, milliseconds, Z."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def key_id(key: str) -> str:
    """Name an API key in metadata without showing it."""
    return "ak_" + hashlib.sha256(key.encode()).hexdigest()[:12]
