"""Run the command line with short leases and timeouts, in proportion: what takes 40 s in earnest takes 4 s here.

A process of its own rather than a setting: nobody who runs the bridge should be able to shorten these by accident.
"""

import os
import signal
from functools import partial

from bridge import cli, leases, pipeline, polling, reports, store, tracker
from bridge.engines import genesis
from bridge.faults import armed

TRIGGER_SECONDS = 1.5
LEASE_SECONDS = 4.0


def shorten() -> None:
    """Shorten the constants where they are read, at the moment of their use."""
    store.TRIGGER_LEASE_SECONDS = leases.TRIGGER_LEASE_SECONDS = LEASE_SECONDS
    store.POLL_LEASE_SECONDS = LEASE_SECONDS
    store.NOTIFICATION_LEASE_SECONDS = LEASE_SECONDS
    store.UNRUNG_SECONDS = 1
    leases.TRIGGER_SECONDS = genesis._TRIGGER_SECONDS = TRIGGER_SECONDS
    genesis._FETCH_SECONDS = 2.0
    reports.NOTIFICATION_SCHEDULE_SECONDS = (1, 1, 1, 1, 2, 2, 2)


def stop_there(spec: str) -> None:
    """Stop (SIGSTOP) at a point instead of dying there: as a paused machine does, or one that swaps."""
    pipeline.point = polling.point = reports.point = tracker.point = armed(
        spec, partial(os.kill, os.getpid(), signal.SIGSTOP)
    )


if __name__ == "__main__":
    shorten()
    if os.environ.get("STOP_AT"):
        stop_there(os.environ["STOP_AT"])
    cli.main(prog_name="genesis-bridge")
