"""How an execution stands, in words for people wherever they read it. Pure."""

from datetime import datetime

from bridge.model import Execution, Status
from bridge.pacing import spoken

WORDS = {
    Status.QUEUED: "queued",
    Status.STARTING: "starting",
    Status.PENDING: "started",
    Status.RUNNING: "running",
    Status.REVIEW_PENDING: "waiting for a review: somebody has to approve it in the engine",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
    Status.SKIPPED: "skipped",
    Status.REJECTED: "rejected: the engine did not take it",
    Status.UNKNOWN: "unknown: it may or may not have run; somebody has to look",
    Status.TIMED_OUT: "timed out",
    Status.LOST: "lost: the engine no longer knows the run",
}


def took(execution: Execution) -> str:
    """Say how long a run took; nothing where it has not begun or not ended."""
    if execution.started_at is None or execution.finished_at is None:
        return ""
    lasted = datetime.fromisoformat(execution.finished_at) - datetime.fromisoformat(execution.started_at)
    return spoken(round(lasted.total_seconds()))
