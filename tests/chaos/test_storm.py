import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.checker import Verdict, check
from tests.chaos.storm import Plan, power_losses, rolling, storm
from tests.chaos.valkey import COMPILER, Valkey

SECONDS = 60
SEED = 20261122
needs_compiler = pytest.mark.skipif(
    COMPILER is None and "CI" not in os.environ, reason="a power loss is played with a C compiler (cc)"
)


async def survived(place: Path, plan: Plan) -> tuple[Verdict, Counter[str]]:
    """Blow, and expect that nothing was lost and nothing done twice."""
    after, blows = await storm(place, plan)
    verdict = check(after)
    assert verdict.violations == []
    for figure in ("triggered twice or more", "lost", "never accepted"):
        assert verdict.figures[figure] == 0, figure
    # Something was going on in it.
    assert verdict.figures["accepted"] > plan.seconds * plan.rate / 3
    return verdict, blows


@pytest.mark.timeout(400)
async def test_a_storm_does_no_damage(tmp_path: Path) -> None:
    """The short form of `make chaos`: nothing lost, nothing twice, no invariant violated."""
    _, blows = await survived(tmp_path / "place", Plan(seconds=SECONDS, seed=SEED, rate=25))
    # It was a storm.
    for end, at_least in (("worker", 15), ("serve", 5), ("Redis", 5), ("network", 5)):
        assert sum(count for blow, count in blows.items() if blow.startswith(end)) >= at_least, end


@needs_compiler
@pytest.mark.timeout(240)
async def test_power_losses_do_no_damage_under_strict(tmp_path: Path) -> None:
    """What was promised had been synced: nothing is lost, nothing runs twice."""
    _, blows = await survived(tmp_path / "place", power_losses(Plan(seconds=20, seed=SEED, rate=20, workers=2)))
    assert blows["Redis power loss"] >= 2


@pytest.mark.timeout(240)
async def test_rolling_restarts_cost_nothing(tmp_path: Path) -> None:
    """SIGTERM lets each step in hand end: nothing unknown, nothing told twice, nobody turned away."""
    verdict, blows = await survived(tmp_path / "place", rolling(Plan(seconds=15, seed=SEED, rate=15)))
    assert blows["worker SIGTERM"] >= 3
    assert blows["serve SIGTERM"] >= 2
    for figure in ("unknown", "notifications received repeatedly", "sent again after a 503 or no answer"):
        assert verdict.figures[figure] == 0, figure


@needs_compiler
@pytest.mark.parametrize(("fsync", "kept"), [("always", "$1"), ("no", "$-1")])
def test_a_power_loss_costs_what_was_not_synced_and_nothing_else(tmp_path: Path, fsync: str, kept: str) -> None:
    """So the blow is a real one: what `always` answered is there afterwards, what `no` answered is gone."""
    valkey = Valkey(tmp_path / "data", fsync=fsync)
    valkey.start()
    assert valkey.ask("SET before 1") == "+OK\r\n"
    lost = valkey.lose_power(Unlucky())
    valkey.start()
    assert valkey.ask("GET before").startswith(kept)
    assert (lost > 0) == (fsync == "no")
    valkey.kill()


@needs_compiler
def test_under_everysec_a_crash_costs_what_redis_held_back_from_a_slow_disk(tmp_path: Path) -> None:
    """While a sync is under way Redis answers before it has written: so `standard` promises less than `strict`."""
    for fsync, kept in (("everysec", "$-1"), ("always", "$1")):
        valkey = Valkey(tmp_path / fsync, fsync=fsync, fsync_takes_ms=1500)
        valkey.start()
        end = time.monotonic() + 1.3
        while time.monotonic() < end:  # until a sync is surely under way
            valkey.ask("SET before 1")
        assert valkey.ask("SET last 1") == "+OK\r\n"
        valkey.kill()
        valkey.start()
        valkey.wait_until_loaded()
        assert valkey.ask("GET before").startswith("$1")
        assert valkey.ask("GET last").startswith(kept)
        valkey.kill()


class Unlucky(random.Random):
    """Leaves nothing that was not synced."""

    def choice(self, seq):  # type: ignore[no-untyped-def]
        return seq[0]
