"""Orders given on a message, on a real store: carried out once, by whom may, named in the history and the message."""

from typing import Any

import msgspec
import pytest
from msgspec import structs

from bridge.config import Config
from bridge.contracts import Engine
from bridge.engines.genesis import Genesis
from bridge.errors import Transient, Unfindable, WrongState
from bridge.expressions import Text
from bridge.listing import read
from bridge.model import Event, Execution, Press, Status
from bridge.notifiers.slack import Buttons, Slack
from bridge.operations import again, tell
from bridge.outbound import Outbound
from bridge.parts import Bridge
from bridge.presses import carry_out
from bridge.records import Recipient
from bridge.rules import RuleSet
from bridge.secret import Secret
from bridge.sources.slack import Slack as SlackSource
from bridge.store import Store
from tests.contract.test_store import RECORD, accepted, claimed, told

TOKEN = Secret("env: TOKEN", b"xoxb-0123456789-abcdef")
QA = Slack(token=TOKEN, channel=Text("C1"), buttons=Buttons(users=("U1",)))


class Whispering(SlackSource, frozen=True, kw_only=True, tag="slack"):
    heard: list[str]
    fails: bool = False

    async def whisper(self, outbound: Outbound, event: Event, words: str) -> None:
        self.heard.append(words)
        if self.fails:
            raise Transient("the response URL is used up")


class World:
    """A bridge with one message of an execution that has ended."""

    def __init__(self, store: Store, **source: Any) -> None:
        self.store = store
        self.heard: list[str] = []
        engine: Engine = Genesis(api_key=Secret("env: KEY", b"a-key-for-genesis"))
        config = Config(
            sources={"slack": Whispering(secrets=[Secret("env: S", b"0123456789abcdef")], heard=self.heard, **source)},
            engines={"genesis": engine},
            templates={},
            notifiers={"qa": QA},
            ruleset=RuleSet([], {}),
            hash="",
            files=(),
        )
        self.bridge = Bridge(config=config, store=store, outbound=Outbound(), public_url="http://x")

    async def ended(self, status: Status = Status.COMPLETED) -> None:
        await accepted(self.store, "x_1", structs.replace(RECORD, notify=[Recipient("qa", {"channel": "C1"})]))
        await self.store.commit(claim := await claimed(self.store), told(claim, status))

    async def execution(self, id_: str = "x_1") -> Execution:
        found = await self.store.execution(id_)
        assert found is not None
        return found

    async def buttons(self) -> dict[str, dict[str, Any]]:
        blocks = msgspec.json.decode(QA.compose(await self.execution(), "qa"))["blocks"]
        elements = [element for block in blocks for element in block.get("elements", []) if "action_id" in element]
        return {element["action_id"].removeprefix("gb:"): element for element in elements}

    async def press(self, action: str, *, user: str = "U1", **more: Any) -> str:
        """Press a button as it stands under the message, or as somebody forged it."""
        button = (await self.buttons()).get(action, {"value": ""})
        said = {"action": action, "execution_id": "x_1", "by": f"ann ({user})", "value": button["value"], **more}
        said = {"notifier": said["value"].partition("|")[0], **said}  # as the source reads it
        event = Event(name="block_actions", source="slack", facts={"user": user}, press=Press(**said))
        return await carry_out(self.bridge, event)


@pytest.fixture
async def world(store: Store) -> Any:
    """Return one whose execution has completed."""
    made = World(store)
    await made.ended()
    yield made
    await made.bridge.outbound.aclose()


async def bodies(store: Store) -> list[Any]:
    """Return what is due to be told, decoded."""
    keys = sorted(await store.redis.keys("gb:n:*"))
    return [msgspec.json.decode(fields["body"]) for fields in await read(store, [key.decode() for key in keys])]


async def test_run_again_starts_the_same_once_more(world: World) -> None:
    """Same rule, template, variables and recipients; both histories and the message say by whom."""
    said = await world.press("again")
    assert said.startswith("run again by ann (U1), as x_")
    first, again = await world.execution(), await world.execution(said.rpartition(" ")[2])
    assert (again.rule, again.template, again.variables) == (first.rule, first.template, first.variables)
    assert again.history[0].note == "again, by ann (U1)"
    assert first.history[-1].note == f"ann (U1): run again as {again.id}"
    assert first.status == Status.COMPLETED
    [old, new] = sorted(await bodies(world.store), key=lambda body: "queued" in body["text"])
    assert f"ann (U1): run again as {again.id}" in str(old)
    assert "gb:again" not in str(old)
    assert "queued" in new["text"]
    delivery = await world.store.delivery(again.delivery_id)
    assert delivery is not None
    assert (delivery.replay_of, delivery.reason) == (first.delivery_id, "run again by ann (U1)")
    assert world.heard == []


async def test_pressing_twice_is_pressing_once(world: World) -> None:
    """Whoever presses it the second time hears what it is now; nothing else is started."""
    value = (await world.buttons())["again"]["value"]
    first = await world.press("again", value=value)
    second = await world.press("again", value=value)
    assert second == f"it was run again before, as {first.rpartition(' ')[2]}"
    assert await world.store.redis.zcard("gb:executions") == 2


@pytest.mark.parametrize(
    ("action", "status", "said"),
    [
        ("did_not_run", Status.QUEUED, "settled by ann (U1): it did not run, so it is started"),
        ("close", Status.UNKNOWN, "settled by ann (U1): closed"),
    ],
)
async def test_an_unknown_one_can_be_settled(store: Store, action: str, status: Status, said: str) -> None:
    """As over the API: in its history by name, and no longer among the dead letters."""
    world = World(store)
    await world.ended(Status.UNKNOWN)
    assert await world.press(action) == said
    found = await world.execution()
    assert found.status == status
    assert (found.history[-1].note or "").startswith("ann (U1): ")
    assert await store.redis.zcard("gb:dead") == 0
    [body] = await bodies(store)
    assert ("ann (U1): closed" in str(body)) is (action == "close")
    assert "gb:" not in str(body)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"user": "U2"}, "you are not among those who may use it"),
        ({"value": "|x_1|9999999999|forged"}, "that button is not one of ours"),
        ({"execution_id": "x_none"}, "there is no execution 'x_none', or no more"),
        ({"action": "close"}, "that button is not one of ours"),
    ],
)
async def test_who_may_not_changes_nothing_and_hears_why(world: World, more: dict[str, Any], said: str) -> None:
    """Nobody else is told, and nothing is started."""
    assert await world.press(**{"action": "again", **more}) == f"nothing was done: {said}"
    assert world.heard == [f"nothing was done: {said}"]
    assert await world.store.redis.zcard("gb:executions") == 1
    assert await bodies(world.store) == []


async def test_a_button_is_good_for_the_message_it_stands_under(store: Store) -> None:
    """Where another notifier of the same token lets everybody press, that is for its own messages."""
    world = World(store)
    world.bridge.config.notifiers["open"] = structs.replace(QA, buttons=Buttons(anyone=True))
    told_twice = [Recipient("open", {"channel": "C2"}), Recipient("qa", {"channel": "C1"})]
    await accepted(store, "x_1", structs.replace(RECORD, notify=told_twice))
    await store.commit(claim := await claimed(store), told(claim, Status.COMPLETED))
    assert await world.press("again", user="U2") == "nothing was done: you are not among those who may use it"
    moved = (await world.buttons())["again"]["value"].replace("qa|", "open|")
    assert await world.press("again", user="U2", value=moved) == "nothing was done: that button is not one of ours"
    assert (await world.press("again")).startswith("run again by ann (U1)")


async def test_what_is_settled_already_is_said_so(store: Store) -> None:
    """The button was there when it was pressed; somebody was quicker."""
    world = World(store)
    await world.ended(Status.UNKNOWN)
    value = (await world.buttons())["did_not_run"]["value"]
    await world.press("did_not_run", value=value)
    said = await world.press("did_not_run", value=value)
    assert said == "nothing was done: the execution is queued: only an unknown one can be resolved"


async def test_a_whisper_that_cannot_be_heard_is_no_failure(store: Store) -> None:
    """It is a courtesy; what was ordered, and that it was not done, stands on record."""
    world = World(store, fails=True)
    await world.ended()
    assert (await world.press("again", user="U2")).startswith("nothing was done")


async def test_whether_somebody_may_can_fail_to_be_known(world: World, store: Store) -> None:
    """Then nothing is done, and whoever pressed hears why."""
    asking = Slack(token=TOKEN, channel=Text("C1"), buttons=Buttons(groups=("S1",)), api_url="http://127.0.0.1:1/api")
    world.bridge.config.notifiers["qa"] = asking
    said = await world.press("again", user="U7")
    assert said.startswith("nothing was done: it could not be asked whether you may: ")
    assert await store.redis.zcard("gb:executions") == 1


@pytest.mark.parametrize(
    ("damage", "error"), [("", Unfindable), ("{", WrongState)], ids=["an execution that is gone", "a damaged record"]
)
async def test_what_cannot_be_read_cannot_be_run_again(world: World, store: Store, damage: str, error: Any) -> None:
    """It is said so; nothing is started, and a note about what is gone is no failure."""
    await (store.redis.hset("gb:x:x_1", "record", damage) if damage else store.redis.delete("gb:x:x_1"))  # type: ignore[misc]
    with pytest.raises(error):
        await again(world.bridge, "x_1", "ann", "pressed")
    if not damage:
        await tell(world.bridge, "x_1", "gone")
    assert await store.redis.zcard("gb:executions") == 1


async def test_nobody_who_was_told_takes_the_order(store: Store) -> None:
    """An execution whose notifiers have no buttons, or are gone, is not to be ordered about."""
    world = World(store)
    await accepted(store)  # told to `ci` only, which is not configured
    assert await world.press("again") == "nothing was done: nobody was told of it here"
    assert await carry_out(world.bridge, Event(name="x", source="slack")) == "nothing was ordered"
