"""Break things for a while and hold the journals against the records: `make chaos SECONDS=60 SEED=1`."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace

from tests.chaos.checker import check
from tests.chaos.storm import Plan, kills, power_losses, rolling, steady, storm

SHOWN = 30


def main() -> int:
    """Print one table; 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=40, help="deliveries per second")
    parser.add_argument("--keep", type=Path, help="a directory to leave logs and data in")
    parser.add_argument("--away", type=float, help="how many seconds Redis stays away after a blow (0 to 2)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--rolling", action="store_true", help="no faults, only rolling restarts behind a balancer")
    kind.add_argument("--power", action="store_true", help="power losses instead of kills of Redis")
    kind.add_argument("--steady", action="store_true", help="only Redis is struck: how soon is all back at work?")
    kind.add_argument("--kills", action="store_true", help="only workers are killed: how soon does their work go on?")
    asked = parser.parse_args()
    plan = Plan(seconds=asked.seconds, seed=asked.seed, rate=asked.rate)
    if asked.away is not None:
        plan = replace(plan, redis_away=(asked.away, asked.away))
    if asked.rolling:
        plan = rolling(plan)
    if asked.power:
        plan = power_losses(plan)
    if asked.steady:
        plan = steady(plan)
    if asked.kills:
        plan = kills(plan)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        after, blows = asyncio.run(storm(asked.keep or Path(name), plan))
    verdict = check(after)
    figures = {**dict(sorted(blows.items())), **verdict.figures, "violations": len(verdict.violations)}
    print(f"seed {plan.seed}, {plan.seconds:g} s of storm, {time.monotonic() - began:.0f} s in all\n")  # noqa: T201
    print("| what | how many |\n|---|---|")  # noqa: T201
    for what, count in figures.items():
        print(f"| {what} | {count:,} |")  # noqa: T201
    for what, seconds in verdict.waits.items():
        print(f"| {what} | {seconds:.1f} s |")  # noqa: T201
    for violation in verdict.violations[:SHOWN]:
        print(violation)  # noqa: T201
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
