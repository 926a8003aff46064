import io

import msgspec
import pytest
from rich.console import Console

from bridge.demo import Client, DemoFailed, _started, run
from bridge.emulators.exchange import Answer
from bridge.emulators.receiver import Receiver
from bridge.emulators.serving import Server
from bridge.outbound import Outbound


async def test_a_demo_that_goes_wrong_says_so_and_shows_the_log() -> None:
    """It fails, and what happened can be read."""
    shown = io.StringIO()
    with pytest.raises(DemoFailed, match="not every delivery"):
        await run(once=True, console=Console(file=shown, width=200), timeline=(("failed", None),))
    assert "execution.changed" in shown.getvalue()
    assert "failed" in shown.getvalue().split("What became of them")[1]


async def test_an_answer_that_is_not_the_expected_one_is_shown() -> None:
    """Delivering and reading name what came back instead."""
    receiver = Receiver()
    receiver.answers.add(Answer(status=503, body="busy"), times=0)
    async with Server(receiver), Outbound() as outbound:
        client = Client(outbound, receiver.url, "token")
        with pytest.raises(DemoFailed, match="relay: HTTP 503: busy"):
            await client.deliver("relay", {}, b"{}")
        with pytest.raises(DemoFailed, match="HTTP"):
            await client.execution("x_1")


def test_a_delivery_that_started_nothing_is_shown() -> None:
    """The answer says why."""
    with pytest.raises(DemoFailed, match="no_match"):
        _started(msgspec.json.encode({"outcome": "no_match"}))
