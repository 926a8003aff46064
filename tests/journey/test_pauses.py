"""Pause switches: by a person for an engine or a rule, by an engine for itself."""

import asyncio
from typing import Any

import msgspec
import pytest

from bridge.emulators.faults import Fault
from bridge.emulators.genesis_faults import ErrorName
from bridge.pauses import block, pause, paused, recover
from bridge.store import HOLD_SECONDS, Store
from tests.journey.conftest import READ_TOKEN, World, statuses
from tests.journey.test_three_users import when


async def held(world: World, execution_id: str) -> dict[str, Any]:
    """Wait until a worker has seen that the execution has to wait."""
    return await world.until(execution_id, lambda found: "paused" in (found["reason"] or ""))


async def on(world: World) -> list[tuple[str, str]]:
    headers = {"authorization": f"Bearer {READ_TOKEN}"}
    answer = await world.client.get("/api/paused", headers=headers)
    return [(switch["kind"], switch["name"]) for switch in answer.json()]


@pytest.mark.parametrize(("kind", "name"), [("engine", "genesis"), ("rule", "run")])
async def test_what_is_paused_stays_queued_until_it_is_resumed(world: World, kind: str, name: str) -> None:
    """No attempt and no deadline is used up meanwhile, and others go on."""
    answer = await world.order(f"/api/{kind}s/{name}/pause", {"reason": "maintenance"})
    assert answer.status_code == 200, answer.text
    [switch] = answer.json()
    assert (switch["kind"], switch["name"], switch["by"]) == (kind, name, "api token 1")
    assert (switch["reason"], switch["next_probe"]) == ("maintenance", None)
    assert await on(world) == [(kind, name)]
    id_ = await world.run()
    found = await held(world, id_)
    assert (found["status"], found["attempts"]) == ("queued", 0)
    assert found["reason"] == f"held: the {kind} {name} is paused"
    assert world.genesis.triggers == []
    if kind == "rule":
        assert (await world.ended(await world.run("hasty")))["attempts"] == 1
    answer = await world.order(f"/api/{kind}s/{name}/resume")
    assert (answer.status_code, answer.json()) == (200, [])
    execution = await world.ended(id_)
    assert (execution["status"], execution["attempts"], execution["reason"]) == ("completed", 1, None)
    assert statuses(execution)[:3] == ["queued", "starting", "pending"]


async def test_the_time_it_was_held_does_not_count(world: World) -> None:
    """An execution with a deadline of 300 ms survives a pause of more than two seconds."""
    await world.order("/api/rules/run-hasty/pause")
    id_ = await world.run("hasty")
    await held(world, id_)
    await asyncio.sleep(HOLD_SECONDS + 0.5)
    await world.order("/api/rules/run-hasty/resume")
    execution = await world.ended(id_)
    assert (execution["attempts"], execution["started_at"] is not None) == (1, True)


async def test_only_what_exists_can_be_paused(world: World) -> None:
    """Both ways; and resuming what is not paused changes nothing."""
    for path in ("engines/none/pause", "engines/none/resume", "rules/none/pause", "rules/none/resume"):
        answer = await world.order(f"/api/{path}")
        assert answer.status_code == 404
        assert "'none'" in answer.json()["detail"]
    assert (await world.order("/api/engines/genesis/resume")).json() == []
    assert (await world.order("/api/engines/genesis/pause", token=READ_TOKEN)).status_code == 403
    await pause(world.store, "rule", "removed", "test", "")
    assert (await world.order("/api/rules/removed/resume")).json() == []


@pytest.mark.parametrize("error", ["invalid_key", "usage_limit", "unauthorized"])
async def test_an_engine_that_refuses_everybody_pauses_itself(world: World, error: ErrorName) -> None:
    """The one that met the refusal is rejected in the engine's words, the next is held; after a resume it runs."""
    world.genesis.keys = {"genesis-key": error}
    assert (await world.ended(await world.run()))["status"] == "rejected"
    second = await world.run()
    await held(world, second)
    assert len(world.genesis.triggers) == 1
    [switch] = await world.store.redis.hvals("gb:paused")
    assert msgspec.json.decode(switch)["by"] == "the engine itself"
    world.genesis.keys = {"genesis-key": None}
    answer = await world.order("/api/engines/genesis/resume")
    assert answer.json() == []
    execution = await world.ended(second)
    assert (execution["status"], execution["attempts"]) == ("completed", 1)
    assert len(world.genesis.executions) == 1


async def probe_now(world: World) -> None:
    [switch] = await world.store.redis.hvals("gb:paused")
    due = msgspec.json.encode({**msgspec.json.decode(switch), "probe": 1})
    await world.store.redis.hset("gb:paused", "engine genesis", due)


async def test_a_good_probe_resumes_the_engine(world: World) -> None:
    """One execution goes through when a probe is due: refused, the pause goes on; taken, all go on."""
    world.genesis.trigger_faults.append(Fault("error", error="usage_limit"))
    assert (await world.ended(await world.run()))["status"] == "rejected"
    ids = [await world.run() for _ in range(2)]
    for id_ in ids:
        await held(world, id_)
    refused = len(world.genesis.triggers)
    assert refused == 1
    world.genesis.trigger_faults.append(Fault("error", error="usage_limit"))
    await probe_now(world)
    await when(lambda: not world.genesis.trigger_faults)
    await asyncio.sleep(0.2)
    assert len(world.genesis.triggers) == refused + 1
    assert await on(world) == [("engine", "genesis")]
    await probe_now(world)
    for id_ in ids:
        assert (await world.ended(id_))["status"] == "completed"
    assert await on(world) == []
    assert len(world.genesis.executions) == 2


async def test_a_key_that_is_wrong_for_one_workflow_stops_only_that(world: World) -> None:
    """A workflow of another organization is a mistake in one template."""
    world.genesis.trigger_faults.append(Fault("error", error="other_organization"))
    assert (await world.ended(await world.run("refused")))["status"] == "rejected"
    assert await on(world) == []
    assert (await world.ended(await world.run()))["status"] == "completed"


async def test_a_person_s_pause_is_stronger_than_a_probe(store: Store) -> None:
    """Neither a refusal nor a good probe changes what a person switched on."""
    await pause(store, "engine", "genesis", "me", "a\nreason")
    await block(store, "genesis", "refused")
    await recover(store, "genesis")
    [switch] = await paused(store)
    assert (switch.by, switch.reason, switch.next_probe) == ("me", "a reason", None)


async def test_without_the_store_a_switch_is_left_to_the_next_step() -> None:
    """Neither turning on nor off by itself may fail a step."""
    away = Store("unix:///nobody")
    await block(away, "genesis", "refused")
    await recover(away, "genesis")
    await away.close()
