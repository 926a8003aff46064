"""What a person orders over the API: dead letters, retry, resolve, replay."""

from typing import Any

import msgspec
import pytest

from bridge.emulators.exchange import Answer
from bridge.emulators.faults import Fault
from tests.journey.conftest import READ_TOKEN, World, statuses

RUN = {"type": "run", "url": "https://example.com"}


async def unknown(world: World) -> str:
    """Leave one execution unknown, and return its id."""
    world.genesis.trigger_faults.append(Fault("drop_after_run"))
    execution = await world.ended(await world.run())
    assert execution["status"] == "unknown"
    return str(execution["id"])


def notes(execution: dict[str, Any]) -> list[str]:
    return [change["note"] for change in execution["history"] if change.get("note")]


async def test_an_unknown_one_that_ran_is_followed_to_its_end(world: World) -> None:
    """With the engine's id from a person it is polled on, and the history says who said so and why."""
    id_ = await unknown(world)
    [remote] = world.genesis.executions
    body = {"outcome": "ran", "remote_id": remote, "reason": "seen in\nthe dashboard"}
    answer = await world.order(f"/api/executions/{id_}/resolve", body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["remote_id"] == remote
    execution = await world.ended(id_)
    assert (execution["status"], execution["outputs"]) == ("completed", {"summary": "all fine"})
    assert f"api token 1: it ran as {remote} (seen in the dashboard)" in notes(execution)
    assert len(world.genesis.triggers) == 1
    assert (await world.look("/api/dead-letters"))["items"] == []


async def test_an_unknown_one_that_did_not_run_is_started(world: World) -> None:
    """It is queued and triggered a second time, by a person's word only."""
    id_ = await unknown(world)
    answer = await world.order(f"/api/executions/{id_}/resolve", {"outcome": "did_not_run"})
    assert answer.status_code == 200
    execution = await world.ended(id_)
    assert (execution["status"], execution["attempts"]) == ("completed", 2)
    assert "api token 1: it did not run, start it" in notes(execution)
    assert len(world.genesis.triggers) == 2
    assert statuses(execution)[:5] == ["queued", "starting", "unknown", "queued", "starting"]


async def test_an_unknown_one_can_be_closed(world: World) -> None:
    """It stays unknown, is no dead letter any more, and can still be settled later."""
    id_ = await unknown(world)
    [letter] = (await world.look("/api/dead-letters"))["items"]
    assert (letter["kind"], letter["id"], letter["rule"]) == ("execution", id_, "run")
    assert letter["reason"]
    answer = await world.order(f"/api/executions/{id_}/resolve", {"outcome": "close", "reason": "not needed"})
    assert answer.json()["status"] == "unknown"
    assert answer.json()["final"]
    assert (await world.look("/api/dead-letters"))["items"] == []
    assert "api token 1: closed, nothing to do (not needed)" in notes(await world.execution(id_))
    answer = await world.order(f"/api/executions/{id_}/resolve", {"outcome": "did_not_run"})
    assert answer.status_code == 200
    assert (await world.ended(id_))["status"] == "completed"


async def test_only_an_unknown_one_can_be_resolved(world: World) -> None:
    """409 says how it stands, 404 that there is none, 400 what is wrong with the order."""
    execution = await world.ended(await world.run())
    path = f"/api/executions/{execution['id']}/resolve"
    answer = await world.order(path, {"outcome": "close"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert "the execution is completed" in answer.json()["detail"]
    for body in ({"outcome": "ran"}, {"outcome": "close", "remote_id": "r"}):
        answer = await world.order(path, body)
        assert answer.status_code == 409
        assert "remote_id" in answer.json()["detail"]
    assert (await world.order("/api/executions/x_none/resolve", {"outcome": "close"})).status_code == 404
    for wrong in (
        {},
        {"outcome": "perhaps"},
        {"outcome": "ran", "remote_id": "a b"},
        {"outcome": "close", "more": 1},
        7,
    ):
        answer = await world.order(path, wrong)
        assert answer.status_code == 400, wrong
        assert answer.headers["content-type"] == "application/problem+json"
    answer = await world.order(path, {"outcome": "close", "reason": "x" * 20_000})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path", ["/api/executions/x/resolve", "/api/notifications/n/retry", "/api/deliveries/d/replay"]
)
async def test_orders_need_a_token_that_may_operate(world: World, path: str) -> None:
    """A token that may only look gets 403, none or a wrong one 401."""
    answer = await world.order(path, {"outcome": "close"}, token=READ_TOKEN)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "BRIDGE_API_TOKENS" in answer.json()["detail"]
    assert (await world.order(path, {"outcome": "close"}, token="wrong")).status_code == 401


async def test_a_dead_letter_is_sent_after_all(world: World) -> None:
    """Retried under the same id and body, it is delivered and leaves the dead letters."""
    world.receiver.answers.add(Answer(status=410), on="/asker")
    execution = await world.ended(await world.run())
    [letter] = (await world.look("/api/dead-letters"))["items"]
    [notification] = execution["notifications"]
    assert (letter["kind"], letter["id"]) == ("notification", notification["id"])
    assert (letter["execution_id"], letter["notifier"]) == (execution["id"], "asker")
    assert "410" in letter["reason"]
    answer = await world.order(f"/api/notifications/{letter['id']}/retry")
    assert (answer.status_code, answer.json()) == (202, {"id": letter["id"], "state": "due"})
    after = await world.ended(execution["id"])
    assert [sent["state"] for sent in after["notifications"]] == ["delivered"]
    assert f"api token 1: notification {letter['id']} sent again" in notes(after)
    first, second = world.receiver.received("/asker")
    assert (first.id, first.body) == (second.id, second.body)
    assert (await world.look("/api/dead-letters"))["items"] == []
    answer = await world.order(f"/api/notifications/{letter['id']}/retry", {"reason": "once more"})
    assert answer.status_code == 409
    assert "delivered" in answer.json()["detail"]
    assert (await world.order("/api/notifications/msg_none/retry")).status_code == 404


async def test_a_replay_runs_again_under_the_present_rules(world: World) -> None:
    """A delivery of its own, marked with the first one's id; its repeat still is a duplicate of the first."""
    answer = await world.relay({**RUN, "callback_url": f"{world.receiver.url}/asker"}, "msg_once")
    first = answer.json()
    await world.ended(first["executions"][0]["id"])
    replayed = await world.order(f"/api/deliveries/{first['delivery_id']}/replay")
    assert replayed.status_code == 202, replayed.text
    again = replayed.json()
    assert again["delivery_id"] != first["delivery_id"]
    found = await world.look(f"/api/deliveries/{again['delivery_id']}")
    assert (found["replay_of"], found["key"], found["event"]) == (first["delivery_id"], "msg_once", "run")
    execution = await world.ended(again["executions"][0]["id"])
    assert (execution["status"], execution["rule"]) == ("completed", "run")
    assert len(world.genesis.triggers) == 2
    assert len(world.receiver.received("/asker")) == 2
    twice = await world.order(f"/api/deliveries/{again['delivery_id']}/replay", {"rules": "present"})
    assert twice.status_code == 202
    await world.ended(twice.json()["executions"][0]["id"])


async def test_a_replay_of_a_github_and_a_slack_delivery_needs_no_signature(world: World) -> None:
    """What was stored suffices: the event's name is a header of GitHub's, and Slack's body is kept as a form."""
    body = {"state": "success", "environment": "Preview", "environment_url": "https://p.example.com"}
    deployed = {"deployment_status": body, "deployment": {"ref": "main", "sha": "a" * 40}}
    for answer in (
        await world.github("deployment_status", deployed),
        await world.slash("e2e https://example.com", response_url=f"{world.slack.url}/commands/x"),
    ):
        delivery = (await world.look("/api/deliveries", limit=1))["items"][0]
        assert answer.status_code in (200, 202)
        replayed = await world.order(f"/api/deliveries/{delivery['id']}/replay")
        assert replayed.status_code == 202, replayed.text
        for execution in (*delivery["executions"], replayed.json()["executions"][0]["id"]):
            assert (await world.ended(execution))["status"] == "completed"


async def test_a_replay_under_the_old_rules_runs_what_ran_then(world: World) -> None:
    """Template, variables and recipients are those of the first execution, whatever the rules have become."""
    first = (await world.relay({**RUN, "callback_url": f"{world.receiver.url}/asker"})).json()
    [id_] = [one["id"] for one in first["executions"]]
    was = await world.ended(id_)
    await world.store.redis.delete(f"gb:b:{first['delivery_id']}")
    replayed = await world.order(f"/api/deliveries/{first['delivery_id']}/replay", {"rules": "old"})
    assert replayed.status_code == 202, replayed.text
    now = await world.ended(replayed.json()["executions"][0]["id"])
    assert now["id"] != id_
    assert (now["rule"], now["variables"], now["status"]) == (was["rule"], was["variables"], "completed")
    found = await world.look(f"/api/deliveries/{now['delivery_id']}")
    assert found["replay_of"] == first["delivery_id"]
    assert len(world.receiver.received("/asker")) == 2


async def test_a_replay_that_cannot_be_says_why(world: World) -> None:
    """404 for no delivery; 409 where its body, its source or its executions are gone, or nothing ran."""
    nothing = (await world.relay({"type": "nobody wants this"})).json()["delivery_id"]
    path = f"/api/deliveries/{nothing}/replay"
    assert (await world.order("/api/deliveries/d_none/replay")).status_code == 404
    again = await world.order(path)
    assert (again.status_code, again.json()["outcome"]) == (200, "no_match")

    async def refused(body: dict[str, str], *words: str) -> None:
        answer = await world.order(path, body)
        assert answer.status_code == 409
        assert all(word in answer.json()["detail"] for word in words), answer.text

    await refused({"rules": "old"}, "started nothing then")
    await world.store.redis.hset(f"gb:d:{nothing}", "executions", "x_gone")
    await refused({"rules": "old"}, "no longer on record")
    await world.store.redis.set(f"gb:b:{nothing}", b"{", ex=60)
    await refused({}, "cannot be read", "not JSON")
    await world.store.redis.delete(f"gb:b:{nothing}")
    await refused({}, "no longer kept")
    await world.store.redis.set(f"gb:b:{nothing}", b"{}", ex=60)
    record = msgspec.json.decode(await world.store.redis.hget(f"gb:d:{nothing}", "record"))
    await world.store.redis.hset(f"gb:d:{nothing}", "record", msgspec.json.encode({**record, "source": "removed"}))
    await refused({}, "'removed' is no longer configured")
    await world.store.redis.hset(f"gb:d:{nothing}", "record", "{damaged")
    await refused({}, "record cannot be read")


async def pages(world: World, path: str, limit: int) -> list[list[str]]:
    found, cursor = [], None
    while True:
        page = await world.look(path, limit=limit, **({} if cursor is None else {"cursor": cursor}))
        found.append([item["id"] for item in page["items"]])
        cursor = page["next"]
        if cursor is None:
            return found


async def test_lists_go_page_by_page_newest_first(world: World) -> None:
    """Every delivery and execution once, also where several came in the same millisecond."""
    taken = [(await world.relay({**RUN, "callback_url": f"{world.receiver.url}/x"})).json() for _ in range(5)]
    ids = [one["delivery_id"] for one in taken]
    assert await pages(world, "/api/deliveries", 2) == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    started = [one["executions"][0]["id"] for one in taken]
    assert await pages(world, "/api/executions", 5) == [started[::-1]]
    await world.store.redis.zadd("gb:deliveries", dict.fromkeys(ids, 7))
    assert [id_ for page in await pages(world, "/api/deliveries", 2) for id_ in page] == sorted(ids, reverse=True)
    [newest, *_] = (await world.look("/api/executions"))["items"]
    assert (newest["rule"], newest["delivery_id"]) == ("run", ids[4])
    for id_ in started:
        await world.ended(id_)


async def test_a_list_leaves_out_what_expired_and_what_is_damaged(world: World) -> None:
    """One bad record costs itself only; among the dead letters it is shown with its reason."""
    good = (await world.relay({"type": "nobody wants this"})).json()["delivery_id"]
    redis = world.store.redis
    await redis.zadd("gb:deliveries", {"d_expired": 1, "d_foreign": 2, "d_damaged": 3})
    await redis.set("gb:d:d_foreign", "text", ex=60)
    await redis.hset("gb:d:d_damaged", "record", "{")
    assert await pages(world, "/api/deliveries", 10) == [[good]]
    await redis.zadd(
        "gb:dead", {"x x_expired": 1, "n msg_expired": 2, "x x_damaged it is broken": 3, "n msg_damaged": 4}
    )
    await redis.hset("gb:n:msg_damaged", "record", "{")
    letters = (await world.look("/api/dead-letters"))["items"]
    assert [(letter["kind"], letter["id"], letter["reason"]) for letter in letters] == [
        ("notification", "msg_damaged", "the record cannot be read"),
        ("execution", "x_damaged", "it is broken"),
    ]


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "?"},
        {"cursor": "YWJj"},
        {"cursor": "eCB5"},
        {"cursor": "MV8wIHg"},
        {"cursor": "MS4uMSB4"},
        {"limit": 0},
        {"limit": "x"},
    ],
)
async def test_a_bad_question_is_a_400(world: World, query: dict[str, Any]) -> None:
    """Cursors that no page gave, and pages of an impossible size."""
    headers = {"authorization": f"Bearer {READ_TOKEN}"}
    answer = await world.client.get("/api/deliveries", params=query, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
