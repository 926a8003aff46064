"""Links to files that an engine keeps: followed, refused, and never a key in them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from msgspec import structs

from bridge.app import build
from bridge.config import Config
from bridge.contracts import Engine
from bridge.errors import Ambiguous, Permanent, Transient
from bridge.files import follow
from bridge.model import Status
from bridge.outbound import Outbound
from bridge.outputs import shown
from bridge.parts import Bridge
from bridge.rules import RuleSet
from bridge.runs import File
from bridge.store import Store
from tests.contract.test_store import RECORD, accepted, claimed, told

SIGNED = "https://storage.example.com/f.png?signature=abc"


class Keeper(Engine, frozen=True, kw_only=True, tag="keeper"):
    says: list[Any]

    async def locate(self, outbound: Outbound, reference: str) -> str:
        assert reference == "f.png"
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return str(said)


@pytest.fixture
def engine() -> Keeper:
    return Keeper(says=[])


@pytest.fixture
async def client(store: Store, engine: Keeper) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of an application with one engine, called `genesis` as the stored executions have it."""
    config = Config(
        sources={},
        engines={"genesis": engine},
        templates={},
        notifiers={},
        ruleset=RuleSet([], {}),
        hash="",
        files=(),
    )
    outbound = Outbound()
    app = build(Bridge(config=config, store=store, outbound=outbound, public_url="http://bridge"), [])
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://bridge") as opened:
        yield opened
    await outbound.aclose()


async def link(store: Store, execution_id: str = "x_1", engine: str = "genesis") -> str:
    """End an execution with one file, and return its link."""
    await accepted(store, execution_id, structs.replace(RECORD, engine=engine))
    claim = await claimed(store)
    outputs, files = shown({"f.png": File(reference="f.png", type="image/png")}, "http://bridge", execution_id)
    await store.commit(claim, structs.replace(told(claim, Status.COMPLETED, outputs=outputs), files=files))
    execution = await store.execution(execution_id)
    assert execution is not None
    found = execution.outputs["f.png"]
    assert not isinstance(found, str)
    assert found.type == "image/png"
    return found.url


async def test_a_link_leads_to_a_fresh_url_each_time(store: Store, engine: Keeper, client: httpx.AsyncClient) -> None:
    """The engine signs anew whenever somebody follows it; nobody on the way keeps the answer."""
    assert follow.paths == {"/files/{execution_id:str}/{part:str}"}
    url = await link(store)
    engine.says.extend([f"{SIGNED}1", f"{SIGNED}2"])
    for number in (1, 2):
        answer = await client.get(url)
        assert (answer.status_code, answer.headers["location"]) == (302, f"{SIGNED}{number}")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_guessed_link_leads_nowhere(store: Store, engine: Keeper, client: httpx.AsyncClient) -> None:
    """Neither another part, nor another execution, nor a path out of it; the engine is not asked."""
    url = await link(store)
    other = await link(store, "x_2")
    part = other.rsplit("/", 1)[1]
    for guess in (
        f"/files/x_1/{part}",
        "/files/x_1/x",
        "/files/x_3/x",
        "/files/x_1/..%2f..",
        f"{url}/more",
        "/files/x_1",
    ):
        assert (await client.get(guess)).status_code == 404, guess


@pytest.mark.parametrize(
    ("said", "status", "wait"),
    [
        (Transient("busy"), 503, "5"),
        (Transient("slow down", 7.4), 503, "7"),
        (Transient("at once", 0), 503, "1"),
        (Ambiguous("no whole answer"), 503, "5"),
        (Permanent("the engine no longer has it"), 404, None),
    ],
)
async def test_what_the_engine_cannot_give_is_said_in_its_words(
    store: Store, engine: Keeper, client: httpx.AsyncClient, said: Exception, status: int, wait: str | None
) -> None:
    """Later is another answer than never."""
    url = await link(store)
    engine.says.append(said)
    answer = await client.get(url)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, wait)
    assert answer.json()["detail"] == str(said)


async def test_the_engine_may_be_gone(store: Store, client: httpx.AsyncClient) -> None:
    """A file of an engine that is no longer configured cannot be had, and the answer says why."""
    answer = await client.get(await link(store, engine="old"))
    assert answer.status_code == 404
    assert "'old'" in answer.json()["detail"]


async def test_an_engine_without_files_says_so() -> None:
    """What an engine need not write is an answer all the same."""
    async with Outbound() as outbound:
        with pytest.raises(Permanent, match="keeps no files"):
            await Engine().locate(outbound, "r")
