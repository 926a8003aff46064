"""The same rules and promises on Comfy Cloud, over both its APIs: HTTP in, HTTP out, a real store, an emulator."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.emulators.comfy import Comfy
from bridge.emulators.comfy_jobs import Behaviour
from bridge.emulators.comfy_requests import Api
from bridge.emulators.faults import Fault
from bridge.emulators.serving import Server
from bridge.store import Store
from tests.http_server import always, answer, serve
from tests.journey.conftest import statuses
from tests.journey.engine_world import KEY, SECRETS, World, running, workers

CONFIG = """
engines:
  comfy:
    type: comfy
    api: @API@
    base_url: "@ENGINE@"
    api_key: {env: ENGINE_KEY}
    partner_key: {env: PARTNER_KEY}
    poll: {first: 50ms, max: 100ms}
    budget: {at_once: @AT_ONCE@}
    allow_cidrs: [@CIDRS@]
    allow_http: true
templates:
  poster:
    engine: comfy
    id: poster.json
    partner_nodes: true
    variables:
      prompt: {required: true, input: "6.text"}
      steps: {default: 20, input: "3.steps"}
      cfg: {default: 7, input: "3.cfg"}
      seed: {default: random, seed: true, input: ["3.seed", "11.seed"]}
      picture: {default: "", upload: true, input: "10.image"}
    outputs: {summary: "12", poster: "9"}
    deadline: @DEADLINE@
rules:
  - name: poster
    source: relay
    event: poster
    template: poster
    variables:
      prompt: ${{ body.prompt }}
      steps: ${{ body.steps | default(20) }}
      picture: ${{ body.picture | default('') }}
    notify: [asker]
"""
GRAPH: dict[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 20, "cfg": 8.0, "positive": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lake"}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "poster", "images": ["3", 0]}},
    "10": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "11": {"class_type": "RandomNoise", "inputs": {"seed": 2}},
    "12": {"class_type": "ShowText", "inputs": {"text": "a poster"}},
}
PARTNER_KEY = "partner-key-0123456789"
QUICK = (("pending", 0.2), ("running", 0.5), ("completed", None))
every_api = pytest.mark.parametrize("api", ["v1", "v2"])


@asynccontextmanager
async def drawing(  # noqa: PLR0913 - each is one property of one world
    redis_url: str,
    path: Path,
    api: Api,
    timeline: Any = QUICK,
    *,
    work: bool = True,
    at_once: int = 5,
    deadline: str = "20s",
    cidrs: str = "127.0.0.0/8",
) -> AsyncIterator[World[Comfy]]:
    """Run a bridge whose templates are graphs, between a receiver and an account that can run five at once."""
    (path / "poster.json").write_text(json.dumps(GRAPH))
    config = CONFIG.replace("@API@", api).replace("@AT_ONCE@", str(at_once)).replace("@DEADLINE@", deadline)
    engine = Comfy(keys=(KEY,), behaviour=Behaviour(timeline=timeline))
    async with running(redis_url, path, engine, config.replace("@CIDRS@", cidrs), work=work) as world:
        yield world


@pytest.fixture(autouse=True)
def partner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the second key in the environment that configurations are read with."""
    monkeypatch.setitem(SECRETS, "PARTNER_KEY", PARTNER_KEY)


@every_api
async def test_an_event_becomes_a_picture(store: Store, redis_url: str, tmp_path: Path, api: Api) -> None:
    """Variables become what the graph has there; outputs are text and links, told by name, and no key with them."""
    async with drawing(redis_url, tmp_path, api) as world:
        execution = await world.ended(await world.send("poster", prompt='a "quoted" lake', steps=30))
        assert (execution["status"], execution["engine"]) == ("completed", "comfy")
        assert statuses(execution)[:3] == ["queued", "starting", "pending"]
        assert execution["progress"] == {"done": 6, "total": 6}
        [submitted] = world.engine.seen("submit")
        seed = int(execution["variables"]["seed"])
        assert 0 <= seed < 2**53
        inputs = {node: said["inputs"] for node, said in submitted.graph.items()}
        assert inputs["3"] == {"seed": seed, "steps": 30, "cfg": 7.0, "positive": ["6", 0]}
        assert type(inputs["3"]["cfg"]) is float
        assert (inputs["6"]["text"], inputs["11"]["seed"], inputs["10"]["image"]) == (
            'a "quoted" lake',
            seed,
            "example.png",
        )
        assert submitted.extra_data == {"api_key_comfy_org": PARTNER_KEY}
        assert submitted.api == api
        link = execution["outputs"]["poster"]
        assert link["type"] == "image/png"
        [callback] = world.receiver.journal
        told = msgspec.json.decode(callback.body)
        assert told["data"]["outputs"] == execution["outputs"]
        assert KEY not in callback.body.decode()
        assert PARTNER_KEY not in callback.body.decode()


@every_api
async def test_a_link_leads_to_the_file_and_never_the_key_with_it(
    store: Store, redis_url: str, tmp_path: Path, api: Api
) -> None:
    """Signed afresh whenever it is followed, at Comfy's word; the storage sees nothing but the signature."""
    async with drawing(redis_url, tmp_path, api) as world, Server(Comfy()) as elsewhere:
        world.engine.storage = f"{elsewhere.url}/_emulator/storage"
        execution = await world.ended(await world.send("poster", prompt="a lake"))
        url = execution["outputs"]["poster"]["url"]
        first, second = await world.client.get(url), await world.client.get(url)
        assert (first.status_code, first.headers["location"] != second.headers["location"]) == (302, True)
        assert first.headers["location"].startswith(elsewhere.url)
        got = await world.client.get(first.headers["location"])
        assert (got.status_code, got.headers["content-type"]) == (200, "image/png")
        [storage] = elsewhere.app.journal  # type: ignore[attr-defined]
        assert storage.key is None
        assert KEY not in first.headers["location"]


@pytest.mark.parametrize(
    ("api", "fault", "status", "requests", "jobs"),
    [
        ("v1", Fault("drop_after_run"), "unknown", 1, 1),
        ("v1", Fault("drop_before_run"), "unknown", 1, 0),
        ("v1", Fault("gateway_502"), "unknown", 1, 0),
        ("v1", Fault("too_many_429", retry_after="1"), "completed", 2, 1),
        ("v1", Fault("unavailable_503", retry_after="1"), "completed", 2, 1),
        ("v1", Fault("error", error="subscription_inactive"), "rejected", 1, 0),
        ("v1", Fault("error", error="insufficient_credits"), "rejected", 1, 0),
        ("v1", Fault("redirect"), "rejected", 1, 0),
        ("v2", Fault("drop_after_run"), "unknown", 2, 1),
        ("v2", Fault("drop_before_run"), "completed", 2, 1),
        ("v2", Fault("drop_before_run", reset=True), "completed", 2, 1),
        ("v2", Fault("bare_500"), "unknown", 2, 0),
        ("v2", Fault("error", error="upstream_error", runs=True), "unknown", 2, 1),
        ("v2", Fault("error", error="queue_full"), "completed", 2, 1),
        ("v2", Fault("error", error="invalid_workflow"), "rejected", 1, 0),
        ("v2", Fault("redirect"), "rejected", 1, 0),
    ],
)
async def test_a_submission_that_goes_wrong_is_repeated_only_where_it_runs_once(  # noqa: PLR0913, PLR0917
    store: Store, redis_url: str, tmp_path: Path, api: Api, fault: Fault, status: str, requests: int, jobs: int
) -> None:
    """With v2's key what got lost may be sent again; where it had been taken, that is said, and it stays unknown."""
    async with drawing(redis_url, tmp_path, api) as world:
        world.engine.faults["submit"].append(fault)
        execution = await world.ended(await world.send("poster", prompt="a lake"))
        assert execution["status"] == status, execution["reason"]
        assert (len(world.engine.seen("submit")), len(world.engine.jobs)) == (requests, jobs)
        assert world.engine.seen("elsewhere") == []
        if api == "v2" and status == "unknown":
            assert "taken before" in execution["reason"]


@pytest.mark.parametrize(
    ("point", "status", "jobs"), [("claim.after", "completed", 1), ("trigger.answered", "unknown", 1)]
)
@pytest.mark.timeout(120)
async def test_what_a_killed_worker_perhaps_sent_is_sent_again(
    store: Store,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    status: str,
    jobs: int,
) -> None:
    """Under v2's key: what had not left runs now, what had is recognised; neither runs twice."""
    async with drawing(redis_url, tmp_path, "v2", work=False) as world:
        monkeypatch.setenv("CRASH_AT", point)
        async with workers(1, tmp_path / "bridge.yaml", redis_url, "tests.chaos.run_process"):
            id_ = await world.send("poster", prompt="a lake")
            for _ in range(400):
                if (await world.look(id_))["status"] == "starting":
                    break
                await asyncio.sleep(0.02)
        monkeypatch.delenv("CRASH_AT")
        async with workers(1, tmp_path / "bridge.yaml", redis_url, "tests.chaos.run_process"):
            execution = await world.ended(id_, 30)
    assert execution["status"] == status
    assert len(world.engine.jobs) == jobs
    notes = " ".join(change.get("note") or "" for change in execution["history"])
    assert "the worker was lost while the trigger was on its way; sent again" in notes


@pytest.mark.parametrize("at_once", [1, 3, 5])
@pytest.mark.timeout(120)
async def test_four_workers_keep_to_what_a_subscription_runs_at_once(
    store: Store, redis_url: str, tmp_path: Path, at_once: int
) -> None:
    """However many wait and whoever looks after them: no more are at Comfy, waiting there or running."""
    timeline = (("pending", 0.1), ("running", 0.3), ("completed", None))
    async with (
        drawing(redis_url, tmp_path, "v2", timeline, work=False, at_once=at_once, deadline="60s") as world,
        workers(4, tmp_path / "bridge.yaml", redis_url),
    ):
        ids = await asyncio.gather(*(world.send("poster", prompt=f"lake {n}") for n in range(3 * at_once)))
        ended = [await world.ended(id_, 60) for id_ in ids]
    assert {execution["status"] for execution in ended} == {"completed"}
    assert world.engine.most_at_once() == at_once
    assert len({execution["variables"]["seed"] for execution in ended}) == len(ids)


@pytest.mark.parametrize(
    ("api", "timeline", "told", "left"),
    [
        ("v1", (("pending", None),), "it was still waiting at Comfy, and has been taken back", "cancelled"),
        ("v1", (("pending", 0.1), ("running", None)), "at Comfy it may still run", "running"),
        ("v2", (("pending", 0.1), ("running", None)), "Comfy was told to cancel it", "cancelled"),
    ],
)
async def test_what_nobody_waits_for_any_more_is_taken_back(
    store: Store, redis_url: str, tmp_path: Path, api: Api, timeline: Any, told: str, left: str
) -> None:
    """At its deadline, as far as Comfy lets it; another run of the account is never touched."""
    async with drawing(redis_url, tmp_path, api, timeline, deadline="1s") as world:
        execution = await world.ended(await world.send("poster", prompt="a lake"))
        assert execution["status"] == "timed_out"
        assert execution["reason"].endswith(told)
        [job] = world.engine.jobs.values()
        assert job.status(time.monotonic() + 100) == left


@every_api
async def test_a_file_is_uploaded_from_its_url(store: Store, redis_url: str, tmp_path: Path, api: Api) -> None:
    """Fetched through the guard, known to Comfy by its content, and put where the graph wants a file."""
    picture = b"\x89PNG\r\n\x1a\n" + os.urandom(1000)
    async with (
        serve(always(answer(200, picture, {"content-type": "image/png"}))) as files,
        drawing(redis_url, tmp_path, api) as world,
    ):
        execution = await world.ended(await world.send("poster", prompt="a lake", picture=files.url("/a%2e%2e/x?k=1")))
        assert execution["status"] == "completed", execution["reason"]
        assert list(world.engine.uploads.values()) == [picture]
        assert all(name not in str(files.requests[0].headers) for name in (KEY, PARTNER_KEY))
        [submitted] = world.engine.seen("submit")
        image = submitted.graph["10"]["inputs"]["image"]
        known = image if api == "v1" else image["info"]["id"]
        assert known in world.engine.uploads


@pytest.mark.parametrize(
    ("cidrs", "said"),
    [("", "cannot be fetched"), ("127.0.0.0/8", "cannot be fetched: HTTP 404")],
)
async def test_a_file_that_cannot_be_had_is_a_refusal(
    store: Store, redis_url: str, tmp_path: Path, cidrs: str, said: str
) -> None:
    """Nothing is submitted; nobody is connected to whom the guard does not allow."""
    async with serve(always(answer(404, b""))) as files, drawing(redis_url, tmp_path, "v2", cidrs=cidrs) as world:
        execution = await world.ended(await world.send("poster", prompt="a lake", picture=files.url("/x.png")))
        assert execution["status"] == "rejected"
        assert said in execution["reason"]
        assert files.connections == (1 if cidrs else 0)
        assert world.engine.seen("submit") == []


@every_api
async def test_a_value_that_does_not_fit_is_a_refusal(store: Store, redis_url: str, tmp_path: Path, api: Api) -> None:
    """In words that name the variable and the node; and so is a graph that was changed meanwhile."""
    async with drawing(redis_url, tmp_path, api) as world:
        execution = await world.ended(await world.send("poster", prompt="a lake", steps="many"))
        assert execution["status"] == "rejected"
        assert execution["reason"].startswith("variable 'steps' is 'many', which is not a whole number")
        assert execution["reason"].endswith("(node 3 (KSampler), 'steps')")
        (tmp_path / "poster.json").write_text("{")
        execution = await world.ended(await world.send("poster", prompt="a lake"))
        assert (execution["status"], "is not JSON" in execution["reason"]) == ("rejected", True)
        assert world.engine.seen("submit") == []


async def test_a_graph_that_runs_only_in_part_says_so(store: Store, redis_url: str, tmp_path: Path) -> None:
    """v1 starts what it can and complains of the rest: the run goes on, and its history has the complaint."""
    async with drawing(redis_url, tmp_path, "v1") as world:
        error = {"type": "value_not_in_list", "message": "Value not in list", "details": "ckpt_name"}
        world.engine.complaints, world.engine.partial = {"4": {"errors": [error], "class_type": "Loader"}}, True
        execution = await world.ended(await world.send("poster", prompt="a lake"))
        assert execution["status"] == "completed"
        notes = [change.get("note") or "" for change in execution["history"]]
        assert any("not all of the workflow is run" in note and "node 4 Loader" in note for note in notes)
        world.engine.partial, world.engine.says_error = False, True
        execution = await world.ended(await world.send("poster", prompt="another"))
        assert execution["status"] == "rejected"
        assert "node 4 Loader: Value not in list: ckpt_name" in execution["reason"]


@pytest.mark.parametrize("vocabulary", ["friendly", "openapi", "internal"])
async def test_every_vocabulary_comes_to_an_end(store: Store, redis_url: str, tmp_path: Path, vocabulary: str) -> None:
    """Three are published for one endpoint; a run that failed says why, without the traceback or the inputs."""
    async with drawing(redis_url, tmp_path, "v1") as world:
        world.engine.vocabulary = vocabulary
        assert (await world.ended(await world.send("poster", prompt="a lake")))["status"] == "completed"
        world.engine.behaviour = Behaviour(timeline=(("pending", 0.1), ("failed", None)))
        execution = await world.ended(await world.send("poster", prompt="another"))
        assert (execution["status"], execution["reason"]) == ("failed", "OOMError: CUDA out of memory (in KSampler)")


@every_api
async def test_a_job_is_looked_at_through_every_trouble(store: Store, redis_url: str, tmp_path: Path, api: Api) -> None:
    """Refused, broken and unreadable answers to a poll end nothing."""
    async with drawing(redis_url, tmp_path, api) as world:
        faults = [
            Fault("bare_500"),
            Fault("truncated_json"),
            Fault("drop_before_run"),
            Fault("error", error="not_found"),
        ]
        world.engine.faults["job"].extend([*faults, Fault("gateway_502"), Fault("too_many_429")])
        execution = await world.ended(await world.send("poster", prompt="a lake"))
        assert execution["status"] == "completed"
        assert {record.status for record in world.engine.seen("job")} == {500, 200, 0, 404, 502, 429}
