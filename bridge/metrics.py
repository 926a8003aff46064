"""What is counted and measured, every metric by name; read over `/metrics`. A leaf that anyone may use.

Each process tells of itself only: Prometheus adds up. Labels hold names from the configuration and words from the
code, never text from an event, so that nobody outside decides how many series there are.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Info
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
CONFIG_RELOADS = Counter(
    "genesis_bridge_config_reloads",
    "Times the configuration was read again, by what became of it: adopted, or refused and the last good one kept.",
    ["outcome"],
    registry=REGISTRY,
)
CONFIG_GOOD = Gauge(
    "genesis_bridge_config_good",
    "1 while the configuration's files are what this process runs with; 0 while they hold mistakes.",
    registry=REGISTRY,
)
CONFIG_LOADED = Gauge(
    "genesis_bridge_config_loaded_timestamp_seconds",
    "When the configuration this process runs with was read.",
    registry=REGISTRY,
)
CONFIG = Info(
    "genesis_bridge_config",
    "The hash of the configuration this process runs with, as each delivery records it.",
    registry=REGISTRY,
)
SECRET_LAST_USED = Gauge(
    "genesis_bridge_secret_last_used_timestamp_seconds",
    "When a request was last proven by this secret (named as in the configuration), in Unix seconds.",
    ["secret"],
    registry=REGISTRY,
)
CONNECTIONS_CUT = Counter(
    "genesis_bridge_connections_cut",
    "Connections closed by us, by reason: what came was not HTTP, too large or too slow, or there were too many.",
    ["reason"],
    registry=REGISTRY,
)


def exposition() -> bytes:
    """Return every metric in Prometheus' text format."""
    return generate_latest(REGISTRY)
