import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from bridge.emulators.exchange import Answer
from bridge.emulators.faults import Fault
from bridge.emulators.genesis_runs import Template
from tests.journey.conftest import SAMPLES, SECRETS, World, statuses

DEPLOYED = msgspec.json.decode((SAMPLES / "deployment_status.json").read_bytes())


async def test_a_github_webhook_runs_a_workflow_and_tells_ci_and_slack(world: World) -> None:
    """A deployment becomes a run with the preview's URL; its end reaches the callback and the channel."""
    answer = await world.github("deployment_status", DEPLOYED)
    assert answer.status_code == 202
    taken = answer.json()
    assert taken["outcome"] == "accepted"
    [started] = taken["executions"]
    assert (started["rule"], started["status"]) == ("e2e-on-preview", "queued")
    assert started["status_url"] == f"{world.service.url}/api/executions/{started['id']}"

    execution = await world.ended(started["id"])
    assert execution["status"] == "completed"
    assert statuses(execution)[:3] == ["queued", "starting", "pending"]
    assert statuses(execution)[-1] == "completed"
    assert execution["outputs"] == {"summary": "all fine"}
    assert execution["progress"] == {"done": 5, "total": 5}
    [trigger] = world.genesis.triggers
    assert trigger.variables == {
        "target_url": "https://preview-7.example.com",
        "branch": "feature/login",
        "browser": "chrome",
    }
    [callback] = world.receiver.journal
    assert callback.verified
    told = msgspec.json.decode(callback.body)
    assert told["type"] == "execution.completed"
    assert told["data"]["id"] == started["id"]
    assert told["data"]["variables"] == trigger.variables
    assert told["data"]["history"][-1]["status"] == "completed"
    assert SECRETS["GENESIS_KEY"] not in callback.body.decode()
    assert {message.channel for message in world.slack.messages} == {"C0123ABCD"}
    assert "completed" in world.slack.messages[-1].text.lower()


async def test_github_deliveries_may_be_forms_and_signed_with_the_old_secret(world: World) -> None:
    """What GitHub sends by default, during a rotation, runs as well."""
    answer = await world.github("deployment_status", DEPLOYED, form=True, secret=SECRETS["GITHUB_SECRET_OLD"])
    assert answer.status_code == 202
    assert (await world.ended(answer.json()["executions"][0]["id"]))["status"] == "completed"


async def test_a_github_ping_is_ignored(world: World) -> None:
    """The first thing a new webhook sends is answered with 200 and starts nothing."""
    answer = await world.github("ping", {"zen": "Design for failure.", "hook_id": 1})
    assert (answer.status_code, answer.json()["outcome"]) == (200, "ignored")
    assert world.genesis.triggers == []


async def test_a_rule_that_does_not_match_says_why(world: World) -> None:
    """The answer names the condition that failed and the value it saw."""
    failed = {**DEPLOYED, "deployment_status": {**DEPLOYED["deployment_status"], "state": "failure"}}
    answer = await world.github("deployment_status", failed)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "no_match")
    [skipped] = answer.json()["skipped"]
    assert skipped == {"rule": "e2e-on-preview", "reason": "state == 'success' is false: state is 'failure'"}


async def test_a_redelivery_is_a_duplicate_with_the_first_ones_execution(world: World) -> None:
    """GitHub's Redeliver button starts nothing twice and shows what the first one became."""
    first = await world.github("deployment_status", DEPLOYED, guid="a-guid")
    execution_id = first.json()["executions"][0]["id"]
    await world.ended(execution_id)
    again = await world.github("deployment_status", DEPLOYED, guid="a-guid")
    assert again.status_code == 200
    assert again.json()["outcome"] == "duplicate"
    assert again.json()["delivery_id"] == first.json()["delivery_id"]
    [known] = again.json()["executions"]
    assert (known["id"], known["status"]) == (execution_id, "completed")
    assert len(world.genesis.triggers) == 1


async def test_fifty_copies_at_once_start_one_run(world: World) -> None:
    """Copies that arrive together are told apart."""
    copies = (world.github("deployment_status", DEPLOYED, guid="a-guid") for _ in range(50))
    answers = await asyncio.gather(*copies)
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    [accepted] = [answer for answer in answers if answer.status_code == 202]
    await world.ended(accepted.json()["executions"][0]["id"])
    assert len(world.genesis.triggers) == 1


async def test_an_expression_that_fails_is_recorded_and_nothing_is_lost(world: World) -> None:
    """A rule's mistake is a 422 with the reason; once mended, the same delivery runs."""
    mistaken = {"action": "opened", "issue": {"number": 3}}
    answer = await world.github("issues", mistaken)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["outcome"] == "rule_error"
    assert "number-is-text" in problem["detail"]
    delivery = await world.store.delivery(problem["delivery_id"])
    assert delivery is not None
    assert delivery.outcome == "rule_error"
    assert delivery.rules[0]["conditions"][0]["values"] == {"number": 3}
    replayed = await world.order(f"/api/deliveries/{delivery.id}/replay")
    assert replayed.json()["outcome"] == "rule_error", "its body was kept"


async def test_a_slash_command_runs_a_workflow_and_is_answered_where_it_came_from(world: World) -> None:
    """The command is acknowledged in words within Slack's three seconds, then its result is posted."""
    began = time.monotonic()
    answer = await world.slash("e2e <https://shop.example.com> browser=firefox")
    assert time.monotonic() - began < 3  # Slack's deadline
    assert answer.status_code == 200
    assert answer.json()["response_type"] == "ephemeral"
    assert "slash-e2e" in answer.json()["text"]
    [trigger] = await when(lambda: world.genesis.triggers)
    assert trigger.variables == {"target_url": "https://shop.example.com", "branch": "main", "browser": "firefox"}
    await when(lambda: world.slack.messages and "completed" in world.slack.messages[-1].text.lower())


async def test_a_wrong_use_is_answered_with_what_is_wrong(world: World) -> None:
    """One line says what is wrong and how it is used; nothing runs."""
    answer = await world.slash("e2e https://shop.example.com browser=chrom")
    assert answer.status_code == 200
    assert "chrome" in answer.json()["text"]
    assert "e2e" in answer.json()["text"]
    assert world.genesis.triggers == []


async def test_a_value_the_template_refuses_is_answered_in_words(world: World) -> None:
    """A pattern that is not met is said to the person, with 200."""
    answer = await world.slash("e2e ftp://shop.example.com")
    assert answer.status_code == 200
    assert "target_url" in answer.json()["text"]
    assert world.genesis.triggers == []


async def test_help_lists_what_a_command_can_do(world: World) -> None:
    """`help`, or nothing, shows usage lines and descriptions."""
    for text in ("help", ""):
        answer = await world.slash(text)
        assert answer.status_code == 200
        assert "Run the end-to-end suite against a URL" in answer.json()["text"]


async def test_a_relay_gets_a_signed_callback_at_its_own_url(world: World) -> None:
    """The relay's callback carries a constant id, a fresh timestamp and a signature that verifies."""
    execution_id = await world.run()
    execution = await world.ended(execution_id)
    assert execution["status"] == "completed"
    [callback] = world.receiver.received("/asker")
    assert callback.verified
    [notification] = execution["notifications"]
    assert (callback.id, notification["state"], notification["attempts"]) == (notification["id"], "delivered", 1)


async def test_a_receiver_that_fails_twice_gets_the_same_message_again(world: World) -> None:
    """Retries keep id and body, sign afresh, and follow the receiver's Retry-After."""
    busy = Answer(status=503, headers={"retry-after": "1"})
    world.receiver.answers.add(busy, on="/asker", times=2)
    execution = await world.ended(await world.run())
    attempts = world.receiver.received("/asker")
    assert [attempt.status for attempt in attempts] == [503, 503, 204]
    assert len({attempt.id for attempt in attempts}) == 1
    assert len({attempt.body for attempt in attempts}) == 1
    assert all(attempt.verified for attempt in attempts)
    assert len({attempt.timestamp for attempt in attempts}) == 3
    assert execution["notifications"][0]["attempts"] == 3


async def test_a_receiver_that_is_gone_ends_in_the_dead_letters(world: World) -> None:
    """410 is final: the message is shown as dead with its reason, the execution is not touched."""
    world.receiver.answers.add(Answer(status=410), on="/asker")
    execution = await world.ended(await world.run())
    assert execution["status"] == "completed"
    [notification] = execution["notifications"]
    assert notification["state"] == "dead"
    assert "410" in notification["last_error"]
    assert await world.store.redis.zcard("gb:dead") == 1


async def test_a_callback_may_not_lead_elsewhere(world: World) -> None:
    """An address the operator did not allow is refused when the event comes, with the reason."""
    body = {"type": "run", "url": "https://example.com", "callback_url": "http://user@127.0.0.1/x"}
    answer = await world.relay(body)
    assert answer.status_code == 422
    assert "callback" in answer.json()["detail"]
    assert world.genesis.triggers == []


async def test_a_bearer_token_is_enough_where_it_is_configured(world: World) -> None:
    """A sender that cannot sign shows its token; a wrong one is refused."""
    headers = {"authorization": f"Bearer {SECRETS['BEARER_TOKEN']}", "content-type": "application/json"}
    answer = await world.client.post("/hooks/token", json={"type": "run"}, headers=headers)
    assert answer.status_code == 202
    headers["authorization"] = "Bearer wrong"
    answer = await world.client.post("/hooks/token", json={"type": "run"}, headers=headers)
    assert answer.status_code == 401


async def test_a_rejected_trigger_says_what_the_engine_said(world: World) -> None:
    """Genesis' documented 500 is a refusal: one request, the engine's own words, told to the asker."""
    world.genesis.trigger_faults.append(Fault("error", error="unexpected_fields"))
    execution = await world.ended(await world.run("refused"))
    assert execution["status"] == "rejected"
    assert "Unexpected fields in payload" in execution["reason"]
    assert len(world.genesis.triggers) == 1
    [callback] = world.receiver.received("/asker")
    assert msgspec.json.decode(callback.body)["type"] == "execution.rejected"


async def test_a_trigger_that_ran_but_never_answered_is_unknown_and_sent_once(world: World) -> None:
    """Nobody can know whether it ran, so it is said so and not tried again."""
    world.genesis.trigger_faults.append(Fault("drop_after_run"))
    execution = await world.ended(await world.run())
    assert execution["status"] == "unknown"
    assert execution["remote_id"] is None
    assert len(world.genesis.executions) == 1
    assert len(world.genesis.triggers) == 1
    [callback] = world.receiver.received("/asker")
    assert msgspec.json.decode(callback.body)["type"] == "execution.unknown"
    assert await world.store.redis.zcard("gb:dead") == 1


async def test_an_unknown_one_is_sent_again_only_where_the_rule_says_so(world: World) -> None:
    """`on_unknown: retry` is the operator's word that a second run does no harm."""
    world.genesis.trigger_faults.append(Fault("drop_after_run"))
    execution = await world.ended(await world.run("again"))
    assert execution["status"] == "completed"
    assert execution["attempts"] == 2
    assert len(world.genesis.triggers) == 2


async def test_an_engine_that_asks_to_wait_is_asked_again(world: World) -> None:
    """429 and 503 with Retry-After are refusals before any work: the trigger is repeated at their pace."""
    world.genesis.trigger_faults.append(Fault("too_many_429", retry_after="1"))
    world.genesis.trigger_faults.append(Fault("unavailable_503", retry_after="1"))
    execution = await world.ended(await world.run())
    assert execution["status"] == "completed"
    assert execution["attempts"] == 3
    assert len(world.genesis.executions) == 1


async def test_every_trigger_has_a_connection_of_its_own(world: World) -> None:
    """A kept-alive connection that the engine is just closing would make a false unknown."""
    for _ in range(3):
        await world.ended(await world.run())
    assert len({trigger.client for trigger in world.genesis.triggers}) == 3


async def test_a_run_past_its_deadline_is_timed_out(world: World) -> None:
    """What does not finish in its time is given up and told."""
    world.genesis.default = slow("running")
    execution = await world.ended(await world.run("hasty"))
    assert execution["status"] == "timed_out"
    assert "0.3 s" in execution["reason"]


async def test_a_review_is_told_once_and_does_not_use_up_the_deadline(world: World) -> None:
    """A run that waits for a person longer than its deadline still completes, and both are told."""
    world.genesis.default = slow("review_pending")
    execution_id = await world.run("review")
    await world.until(execution_id, lambda found: found["status"] == "review_pending")
    await asyncio.sleep(0.6)  # longer than the template's deadline of 400 ms
    [run] = world.genesis.executions
    assert world.genesis.approve(run)
    execution = await world.ended(execution_id)
    assert execution["status"] == "completed"
    types = [msgspec.json.decode(record.body)["type"] for record in world.receiver.received("/asker")]
    assert types == ["execution.review_pending", "execution.completed"]


async def test_polling_survives_an_engine_in_trouble(world: World) -> None:
    """Errors while looking are not the run's errors: 404 at first, 500, a cut connection, then the result."""
    for fault in ("execution_not_found", "bare_500", "drop_before_run", "truncated_json"):
        world.genesis.fetch_faults.append(
            Fault("error", error=fault) if fault == "execution_not_found" else Fault(fault)  # type: ignore[arg-type]
        )
    execution = await world.ended(await world.run())
    assert execution["status"] == "completed"


def slow(status: str) -> Template:
    return Template(timeline=((status, None),))


async def when(holds: Callable[[], Any], seconds: float = 10) -> Any:
    for _ in range(int(seconds / 0.02)):
        if found := holds():
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")
