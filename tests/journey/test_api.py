import pytest

from tests.journey.conftest import READ_TOKEN, World

AUTHORIZED = {"authorization": f"Bearer {READ_TOKEN}"}


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", f"Basic {READ_TOKEN}", READ_TOKEN, "Bearer é"])
async def test_records_are_for_those_with_a_token(world: World, authorization: str) -> None:
    """Without one, the answer says how to set one."""
    headers = {"authorization": authorization.encode()}
    answer = await world.client.get("/api/executions/x_1", headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "BRIDGE_READ_TOKENS" in answer.json()["detail"]


async def test_unknown_ids_are_404s(world: World) -> None:
    """The problem names the id."""
    for path in ("/api/executions/x_none", "/api/deliveries/d_none"):
        answer = await world.client.get(path, headers=AUTHORIZED)
        assert answer.status_code == 404
        assert path.rsplit("/", 1)[-1] in answer.json()["detail"]


async def test_a_record_that_cannot_be_read_is_a_conflict(world: World) -> None:
    """The problem says which, and why; it is no defect of the service."""
    for path, key in (("executions", "gb:x:x_damaged"), ("deliveries", "gb:d:d_damaged")):
        await world.store.redis.hset(key, "record", "{")
        answer = await world.client.get(f"/api/{path}/{key[5:]}", headers=AUTHORIZED)
        await world.store.redis.delete(key)
        assert answer.status_code == 409
        assert f"{key[5:]}': the record cannot be read" in answer.json()["detail"]


async def test_a_delivery_shows_what_each_rule_said(world: World) -> None:
    """Its outcome, its executions and, per rule, the verdict."""
    answer = await world.relay({"type": "refused", "callback_url": f"{world.receiver.url}/asker"})
    taken = answer.json()
    found = (await world.client.get(f"/api/deliveries/{taken['delivery_id']}", headers=AUTHORIZED)).json()
    assert (found["source"], found["event"], found["outcome"]) == ("relay", "refused", "accepted")
    assert found["executions"] == [taken["executions"][0]["id"]]
    assert [(rule["rule"], rule["verdict"]) for rule in found["rules"]] == [("run-refused", "match")]


async def test_liveness_and_readiness(world: World) -> None:
    """Alive is alive; ready means deliveries can be taken."""
    assert (await world.client.get("/livez")).text == "ok"
    assert (await world.client.get("/readyz")).status_code == 200
    world.service._draining = True
    answer = await world.client.get("/readyz")
    assert answer.status_code == 503
    assert "stopping" in answer.json()["detail"]


async def test_the_openapi_document_names_the_routes(world: World) -> None:
    """What there is can be looked up."""
    paths = (await world.client.get("/schema")).json()["paths"]
    assert {"/hooks/{source}", "/api/executions/{execution_id}", "/livez", "/readyz"} <= set(paths)
    assert {"/api/dead-letters", "/api/deliveries/{delivery_id}/replay"} <= set(paths)


async def test_metrics_count_what_came_and_what_was_told(world: World) -> None:
    """In Prometheus' text format, by source and outcome, by notifier and what became of the attempt."""
    taken = (await world.relay({"type": "refused", "callback_url": f"{world.receiver.url}/asker"})).json()
    await world.ended(taken["executions"][0]["id"])
    answer = await world.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    for series in (
        'genesis_bridge_deliveries_total{outcome="accepted",source="relay"}',
        'genesis_bridge_notification_attempts_total{notifier="asker",state="delivered"}',
    ):
        [counted] = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(series)]
        assert counted >= 1
