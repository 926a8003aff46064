from pathlib import Path

import pytest

from tests.chaos.checker import check
from tests.chaos.storm import NEVER, Plan, graceful, storm

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


@pytest.mark.timeout(240)
async def test_rolling_restarts_of_workers_leave_nothing_unknown(tmp_path: Path) -> None:
    """SIGTERM lets each step in hand end: no outcome is lost, no callback is sent twice, no delivery is refused."""
    plan = graceful(Plan(seconds=10, seed=20261122, rate=20, web_life=(NEVER, NEVER)))
    after, blows = await storm(tmp_path / "place", plan)
    verdict = check(after)
    assert verdict.violations == []
    assert blows["worker SIGTERM"] >= 3
    for figure in ("unknown", "notifications received repeatedly", "sent again after a 503 or no answer"):
        assert verdict.figures[figure] == 0, figure
