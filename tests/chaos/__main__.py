"""Break things for a while and hold the journals against the records: `make chaos SECONDS=60 SEED=1`."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.chaos.checker import check
from tests.chaos.storm import NEVER, Plan, graceful, storm

SHOWN = 30


def main() -> int:
    """Print one table; 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=40, help="deliveries per second")
    parser.add_argument("--keep", type=Path, help="a directory to leave logs and data in")
    parser.add_argument("--graceful", choices=["workers", "all"], help="only SIGTERM, and no faults: rolling restarts")
    asked = parser.parse_args()
    plan = Plan(seconds=asked.seconds, seed=asked.seed, rate=asked.rate)
    if asked.graceful:
        plan = graceful(plan)
    if asked.graceful == "workers":
        plan = msgspec.structs.replace(plan, web_life=(NEVER, NEVER))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        after, blows = asyncio.run(storm(asked.keep or Path(name), plan))
    verdict = check(after)
    figures = {**dict(sorted(blows.items())), **verdict.figures, "violations": len(verdict.violations)}
    print(f"seed {plan.seed}, {plan.seconds:g} s of storm, {time.monotonic() - began:.0f} s in all\n")  # noqa: T201
    print("| what | how many |\n|---|---|")  # noqa: T201
    for what, count in figures.items():
        print(f"| {what} | {count:,} |")  # noqa: T201
    for violation in verdict.violations[:SHOWN]:
        print(violation)  # noqa: T201
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
