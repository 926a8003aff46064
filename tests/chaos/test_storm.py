from pathlib import Path

import pytest

from tests.chaos.checker import check
from tests.chaos.storm import Plan, storm

SECONDS = 20


@pytest.mark.timeout(240)
async def test_a_short_storm_does_no_damage(tmp_path: Path) -> None:
    """The short form of `make chaos`: nothing lost, nothing twice, no invariant violated."""
    plan = Plan(seconds=SECONDS, seed=20261122, rate=30, workers=2, redis_life=(5, 7))
    after, blows = await storm(tmp_path / "place", plan)
    verdict = check(after)
    assert verdict.violations == []
    assert verdict.figures["triggered twice or more"] == 0
    assert verdict.figures["lost"] == 0
    assert verdict.figures["never accepted"] == 0
    # It was a storm, and something was going on in it.
    assert verdict.figures["accepted"] > SECONDS * plan.rate / 3
    assert blows["Redis SIGKILL"] >= 2
    assert sum(count for blow, count in blows.items() if blow.startswith("worker")) >= 3
