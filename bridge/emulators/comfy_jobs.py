"""Jobs of Comfy Cloud: graphs that run by the clock, and how both APIs show them."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

Signed = Callable[[str], str]
"""From a file's name to a URL at which anybody can have it."""

VOCABULARIES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "friendly": {"running": "in_progress"},
        "openapi": {"pending": "waiting_to_dispatch", "running": "in_progress", "failed": "error"},
        "internal": {
            "pending": "queued_waiting",
            "running": "executing",
            "completed": "success",
            "failed": "non_retryable_error",
            "cancelling": "cancel_requested",
        },
        "v2": {"pending": "queued", "completed": "succeeded", "cancelled": "canceled", "cancelling": "canceling"},
    }
)
"""What our own words for a job's states are called; what is not listed is called the same."""
TERMINAL = frozenset(("completed", "failed", "cancelled"))
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
"""How a PNG begins: enough for whoever looks only at that."""


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a graph goes: `timeline` is a row of (pending, running, completed, failed or cancelled, seconds).

    None seconds, and the last, last for ever. `outputs` are by node what v1 shows of it; None: an image for each node
    that saves something, a text for each that shows one.
    """

    timeline: tuple[tuple[str, float | None], ...] = (("pending", 0.2), ("running", 0.8), ("completed", None))
    outputs: dict[str, dict[str, Any]] | None = None
    error: str = "CUDA out of memory"
    error_type: str = "OOMError"


class Job(msgspec.Struct):
    """One run of a graph."""

    id: str
    graph: dict[str, Any]
    behaviour: Behaviour
    submitted: float
    begins: float
    """When it has a place among those that run at once."""
    cancelled: float = math.inf

    def status(self, now: float) -> str:
        """Tell the status now, in our words."""
        if now >= self.cancelled:
            return "cancelled"
        until = self.begins
        for status, seconds in self.behaviour.timeline:
            if seconds is None or status in TERMINAL or now < until + seconds:
                return status
            until += seconds
        return self.behaviour.timeline[-1][0]

    def ends(self) -> float:
        """Tell when it is over; infinity: never."""
        until = self.begins
        for status, seconds in self.behaviour.timeline:
            if status in TERMINAL:
                break
            until += math.inf if seconds is None else seconds
        return min(until, self.cancelled)

    def done(self, now: float) -> list[str]:
        """List the nodes that are done, in the order of the graph."""
        status, nodes = self.status(now), list(self.graph)
        if status == "completed":
            return nodes
        if status != "running":
            return []
        before = sum(seconds or 0 for kind, seconds in self.behaviour.timeline if kind == "pending")
        lasts = sum(seconds or 0 for kind, seconds in self.behaviour.timeline if kind == "running") or 1
        return nodes[: int(len(nodes) * min(0.99, (now - self.begins - before) / lasts))]


def _called(status: str, vocabulary: str) -> str:
    return VOCABULARIES[vocabulary].get(status, status)


def shown_v1(job: Job, now: float, vocabulary: str) -> dict[str, Any]:
    """Show a job as v1 does, in one of the vocabularies it is said to speak."""
    status, at = job.status(now), time.time()
    shown: dict[str, Any] = {
        "id": job.id,
        "status": _called(status, vocabulary),
        "create_time": int(at),
        "update_time": int(at),
        "workflow": {"prompt": job.graph},
    }
    if status == "completed":
        shown |= {"outputs": _outputs(job), "outputs_count": len(_outputs(job))}
    if status == "failed":
        shown["execution_error"] = {
            "node_id": next(iter(job.graph)),
            "node_type": next(iter(job.graph.values()))["class_type"],
            "exception_message": job.behaviour.error,
            "exception_type": job.behaviour.error_type,
            "traceback": ['File "execution.py", line 1, in run'],
            "current_inputs": job.graph,
        }
    return shown


def _outputs(job: Job) -> dict[str, Any]:
    if job.behaviour.outputs is not None:
        return job.behaviour.outputs
    found: dict[str, Any] = {}
    for id_, node in job.graph.items():
        if node["class_type"].startswith("Save"):
            prefix = node["inputs"].get("filename_prefix", "ComfyUI")
            found[id_] = {"images": [{"filename": f"{prefix}_00001_.png", "subfolder": "", "type": "output"}]}
        elif node["class_type"].startswith("Show"):
            found[id_] = {"text": [str(node["inputs"].get("text", ""))]}
    return found


def shown_v2(job: Job, now: float, signed: Signed) -> dict[str, Any]:
    """Show a job as v2 does; `signed` makes the URL of a file."""
    status, done, total = job.status(now), len(job.done(now)), len(job.graph)
    here = f"/api/v2/jobs/{job.id}"
    error = {
        "code": "node_execution_error",
        "message": job.behaviour.error,
        "traceback": "File ...",
        "node_id": "1",
    }
    moment = "2026-11-25T00:00:00Z"
    return {
        "id": job.id,
        "status": _called(status, "v2"),
        "created_at": moment,
        "started_at": None if status == "pending" else moment,
        "completed_at": moment if status in TERMINAL else None,
        "expires_at": moment,
        "queue_position": 0 if status == "pending" else None,
        "progress": {"value": done / total, "nodes_done": done, "nodes_total": total} if done else None,
        "outputs": list(_assets(job, signed)) if status == "completed" else [],
        "error": error if status == "failed" else None,
        "urls": {"self": here, "events": f"{here}/events", "cancel": f"{here}/cancel"},
    }


def _assets(job: Job, signed: Signed) -> Iterator[dict[str, Any]]:
    for node, kinds in _outputs(job).items():
        for items in kinds.values():
            for item in items:
                name = item["filename"] if isinstance(item, dict) else "text.txt"
                kind = "image/png" if name.endswith(".png") else "text/plain"
                yield {
                    "node_id": node,
                    "name": name,
                    "type": kind.partition("/")[0],
                    "content_type": kind,
                    "size_bytes": len(PIXEL),
                    "id": f"asset-{name}",
                    "hash": None,
                    "url": signed(name),
                    "url_expires_at": "2026-11-25T01:00:00Z",
                }
