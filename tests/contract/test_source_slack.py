"""What the Slack source sends itself: answers in threads, whispers to who pressed a button, and who its token is."""

import pytest

from bridge.credentials import Concealed
from bridge.emulators.exchange import Answer
from bridge.emulators.serving import Server
from bridge.emulators.slack import Slack as Emulator
from bridge.emulators.slack import error
from bridge.errors import Permanent, Transient
from bridge.model import Event, Message
from bridge.outbound import Outbound
from bridge.secret import Secret
from bridge.sources.slack import Slack

SECRETS = [Secret("env: SLACK", b"8f742231b10e8888abcd99yyyzzz85a5")]
MESSAGE = Message(
    id="msg_1", body=b'{"text": "help"}', address={"channel": "C1", "thread_ts": "1.2"}, attempt=1, now=1_700_000_000
)


def source(emulator, token=b"xoxb-1"):
    """Return a source whose Slack is the emulated one."""
    return Slack(secrets=SECRETS, token=Secret("env: TOKEN", token), api_url=f"{emulator.url}/api")


async def test_an_answer_is_posted_into_its_thread():
    """Without a preview of what it may link to."""
    emulator = Emulator(tokens=["xoxb-1"])
    async with Server(emulator), Outbound() as outbound:
        assert await source(emulator).send(outbound, MESSAGE) is None
    [record] = emulator.requests("chat.postMessage")
    assert record.body == {"text": "help", "channel": "C1", "thread_ts": "1.2", "unfurl_links": False}


@pytest.mark.parametrize(
    ("answer", "kind"), [(error("not_in_channel"), Permanent), (Answer(status=503), Transient), (None, Permanent)]
)
async def test_an_answer_that_slack_does_not_take_fails_as_notifications_do(answer, kind):
    """It is tried again, or goes to the dead letters; so does one whose token is gone from the configuration."""
    emulator = Emulator()
    async with Server(emulator), Outbound() as outbound:
        talking = Slack(secrets=SECRETS) if answer is None else source(emulator)
        if answer is not None:
            emulator.answers.add(answer)
        with pytest.raises(kind):
            await talking.send(outbound, MESSAGE)


async def test_a_token_is_asked_for_and_not_shown():
    """By `doctor`, as that of every notifier; a source without one has nothing to be asked."""
    emulator = Emulator(tokens=["xoxb-1"])
    async with Server(emulator), Outbound() as outbound:
        assert await source(emulator).probe(outbound) is None
        assert (
            await source(emulator, b"xoxb-wrong").probe(outbound) == "Slack: HTTP 200: invalid_auth - check the token"
        )
        assert await Slack(secrets=SECRETS).probe(outbound) is None
    assert (source(emulator).asks, Slack(secrets=SECRETS).asks) == (True, False)


async def test_whoever_pressed_a_button_is_told_beside_its_message():
    """Only to them, with the message as it was: `replace_original` would take it away from everybody."""
    emulator = Emulator()
    async with Server(emulator), Outbound() as outbound:
        url = emulator.new_response_url("actions", channel="C1", message_ts="1.2")
        event = Event(name="block_actions", facts={"response_url": Concealed(url)})
        await source(emulator).whisper(outbound, event, "nothing was done: <!here> it has ended")
        [record] = emulator.requests("response_url")
        assert record.body == {
            "response_type": "ephemeral",
            "replace_original": False,
            "text": "nothing was done: &lt;!here&gt; it has ended",
        }
        emulator.answers.add(Answer(status=500))
        await source(emulator).whisper(outbound, event, "lost")
    assert [one.text for one in emulator.messages] == ["nothing was done: &lt;!here&gt; it has ended"]


async def test_nothing_is_whispered_to_an_address_that_is_not_slacks():
    """The address came in a request, and what is not Slack's or the operator's own is not called."""
    emulator, stranger = Emulator(), Emulator()
    async with Server(emulator), Server(stranger), Outbound() as outbound:
        event = Event(name="block_actions", facts={"response_url": Concealed(stranger.new_response_url())})
        await source(emulator).whisper(outbound, event, "x")
        await source(emulator).whisper(outbound, Event(name="block_actions"), "x")
    assert emulator.journal == stranger.journal == []
