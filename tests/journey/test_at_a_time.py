"""One at a time, over HTTP: what the senders and receivers of a rule with `at_a_time` see."""

import asyncio
import re
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from bridge.emulators.faults import Fault
from bridge.emulators.genesis_runs import Template
from tests.journey.conftest import World, statuses

SLOW = Template(timeline=(("running", 1.0), ("completed", None)))


async def running(world: World, execution_id: str) -> None:
    await world.until(execution_id, lambda found: found["status"] == "running")


def between(execution: dict[str, Any]) -> tuple[float, float]:
    """Return when its trigger was claimed, and when it had ended."""
    times = {change["status"]: datetime.fromisoformat(change["at"]).timestamp() for change in execution["history"]}
    return times["starting"], times[execution["status"]]


def told(world: World, execution_id: str) -> list[tuple[str, str | None]]:
    bodies = [msgspec.json.decode(record.body)["data"] for record in world.receiver.journal]
    return [(body["status"], body["reason"]) for body in bodies if body["id"] == execution_id]


async def test_a_queue_runs_one_after_the_other_in_order_and_other_keys_beside_it(world: World) -> None:
    """However fast they come."""
    world.genesis.default = SLOW
    ids = [await world.run("queued", branch="main") for _ in range(3)]
    other = await world.run("queued", branch="dev")
    executions = [await world.ended(id_) for id_ in ids]
    assert {execution["status"] for execution in executions} == {"completed"}
    spans = [between(execution) for execution in executions]
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))
    assert between(await world.ended(other))[0] < spans[0][1]
    assert statuses(executions[2])[:3] == ["queued", "starting", "pending"]
    assert executions[2]["reason"] is None


async def test_latest_tells_whom_a_newer_one_superseded(world: World) -> None:
    """One runs, the newest waits for it, and those between end as skipped without a trigger; each is told once."""
    world.genesis.default = SLOW
    first = await world.run("latest", branch="main")
    await running(world, first)
    second, third = [await world.run("latest", branch="main") for _ in range(2)]
    executions = [await world.ended(id_) for id_ in (first, third)]
    assert [execution["status"] for execution in executions] == ["completed", "completed"]
    assert between(executions[0])[1] <= between(executions[1])[0]
    skipped = await world.ended(second)
    assert (skipped["status"], skipped["reason"]) == ("skipped", f"superseded by {third}")
    assert skipped["attempts"] == 0
    assert statuses(skipped) == ["queued", "skipped"]
    assert told(world, second) == [("skipped", f"superseded by {third}")]
    assert second not in {record.execution_id for record in world.genesis.triggers}


async def test_first_skips_what_comes_while_one_is_running(world: World) -> None:
    """And takes the next when that has ended."""
    world.genesis.default = SLOW
    first = await world.run("first")
    second = await world.run("first")
    skipped = await world.ended(second)
    assert (skipped["status"], skipped["reason"]) == ("skipped", f"{first} of the same key came first")
    assert (await world.ended(first))["status"] == "completed"
    assert (await world.ended(await world.run("first")))["status"] == "completed"


async def test_a_debounced_flurry_is_one_run(world: World) -> None:
    """The last one, once nothing newer came."""
    ids = [await world.run("flurry") for _ in range(5)]
    ended = [await world.ended(id_) for id_ in ids]
    assert [execution["status"] for execution in ended] == ["skipped"] * 4 + ["completed"]
    assert len(world.genesis.triggers) == 1


async def test_a_replay_takes_its_turn_and_a_repeat_of_a_skipped_one_is_a_duplicate(world: World) -> None:
    """A person's order always runs; a sender's repeat must not overtake what is newer."""
    world.genesis.default = SLOW
    body = {"type": "first", "url": "https://x", "callback_url": f"{world.receiver.url}/asker"}
    first = await world.run("first")
    answer = await world.relay(body, message_id="msg_second")
    [second] = answer.json()["executions"]
    await world.ended(second["id"])
    await world.ended(first)
    again = await world.relay(body, message_id="msg_second")
    assert (again.json()["outcome"], again.json()["executions"][0]["status"]) == ("duplicate", "skipped")
    for rules in ("old", "present"):
        replayed = await world.order(f"/api/deliveries/{answer.json()['delivery_id']}/replay", {"rules": rules})
        assert (await world.ended(replayed.json()["executions"][0]["id"]))["status"] == "completed"


async def test_an_unknown_one_does_not_keep_the_next_waiting(world: World) -> None:
    """And a person's word that it did not run lets it take its turn again."""
    world.genesis.default = SLOW
    world.genesis.trigger_faults.append(Fault("drop_before_run"))
    first = await world.run("queued", branch="main")
    second = await world.run("queued", branch="main")
    await world.until(first, lambda found: found["status"] == "unknown")
    await world.until(second, lambda found: found["status"] in ("pending", "running"))
    assert (await world.order(f"/api/executions/{first}/resolve", {"outcome": "did_not_run"})).status_code == 200
    waits = await world.until(first, lambda found: found["reason"] is not None and "waits" in found["reason"])
    assert re.fullmatch(rf"waits for {second} of the same key", waits["reason"])
    ended = [await world.ended(id_) for id_ in (second, first)]
    assert [execution["status"] for execution in ended] == ["completed", "completed"]
    assert between(ended[0])[1] <= between(ended[1])[1]


@pytest.mark.parametrize("event", ["queued", "latest"])
async def test_a_pause_does_not_lose_a_turn(world: World, event: str) -> None:
    """What waits behind a paused one goes on after a resume."""
    await world.order(f"/api/rules/run-{event}/pause")
    ids = [await world.run(event, branch="main") for _ in range(2)]
    await asyncio.sleep(0.2)
    assert world.genesis.triggers == []
    await world.order(f"/api/rules/run-{event}/resume")
    assert (await world.ended(ids[1]))["status"] == "completed"
    assert (await world.ended(ids[0]))["status"] == ("completed" if event == "queued" else "skipped")
