"""What is counted and measured, every metric by name; read over `/metrics`. A leaf that anyone may use.

Each process tells of itself only: Prometheus adds up. Labels hold names from the configuration and words from the
code, never text from an event, so that nobody outside decides how many series there are.
"""

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
REGISTRY = CollectorRegistry()
"""Our own, without the defaults of the library, which a test process would register twice."""

DELIVERIES = Counter(
    "genesis_bridge_deliveries",
    "Deliveries that were verified, by source and what became of them (limited: refused by the source's rate).",
    ["source", "outcome"],
    registry=REGISTRY,
)
NOTIFICATION_ATTEMPTS = Counter(
    "genesis_bridge_notification_attempts",
    "Attempts to tell somebody, by notifier and what became of them: delivered, due (to be tried again), dead.",
    ["notifier", "state"],
    registry=REGISTRY,
)


def exposition() -> bytes:
    """Return every metric in Prometheus' text format."""
    return generate_latest(REGISTRY)
