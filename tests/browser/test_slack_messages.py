"""An execution's message through its life, as a person reads it in Slack.

The pictures in docs/images are taken anew, whenever the layout of the messages has changed, by:

    BRIDGE_SCREENSHOTS=1 pytest tests/browser/test_slack_messages.py
"""

import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest
from msgspec import structs
from playwright.async_api import Browser, expect

from bridge.emulators import slack_blocks, slack_html
from bridge.emulators.serving import Server
from bridge.emulators.slack import Slack
from bridge.emulators.slack_messages import Message
from bridge.emulators.slack_mrkdwn import Reader
from bridge.expressions import Text
from bridge.model import Execution, Link, Progress, Status
from bridge.notifiers.slack import Buttons
from bridge.notifiers.slack import Slack as Notifier
from bridge.secret import Secret

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LARGEST_BYTES = 60_000
# 2026-03-02 is a Monday; whoever reads it two minutes later does so on the same day, in Tokyo.
STARTED, FINISHED, NOW = "2026-03-02T01:15:00Z", "2026-03-02T01:17:41Z", 1_772_414_280
READER = Reader(zone=ZoneInfo("Asia/Tokyo"), now=NOW, names={"C0123ABCD": "qa"})
QUEUED = Execution(
    id="x_2gq5zqkq3m7c",
    delivery_id="d_1",
    rule="e2e-on-preview",
    source="github",
    engine="genesis",
    template="e2e",
    variables={"branch": "feature/login"},
    status=Status.QUEUED,
    final=False,
    created_at=STARTED,
)
RUNNING = structs.replace(
    QUEUED,
    status=Status.RUNNING,
    started_at=STARTED,
    progress=Progress(2, 5),
    url="https://app.genesis.example/executions/7f3a",
)
ENDED = structs.replace(RUNNING, final=True, finished_at=FINISHED, progress=Progress(5, 5))
REPORT = Link(url="https://app.genesis.example/r/1", type="text/html", size=48_213)
FAILED = structs.replace(ENDED, status=Status.FAILED, progress=Progress(3, 5), reason="step 3: <Log in> did not appear")
LOST_SIGHT = structs.replace(ENDED, progress=None, url=None, started_at=None)
UNKNOWN = structs.replace(LOST_SIGHT, status=Status.UNKNOWN, reason="no answer within 30 s: it may have run")
LIFE = {
    "queued": (QUEUED, ["queued"], []),
    "running": (RUNNING, ["running", "2/5 steps", "today 10:15 AM"], ["Open"]),
    "review": (
        structs.replace(RUNNING, status=Status.REVIEW_PENDING, progress=Progress(4, 5)),
        ["waiting for a review", "4/5 steps"],
        ["Open"],
    ),
    "completed": (
        structs.replace(ENDED, status=Status.COMPLETED, outputs={"report": REPORT, "summary": "42 <passed>"}),
        ["completed", "2 min 41 s", "today 10:17 AM", "summary", "42 <passed>", "48,213 bytes"],
        ["Open", "Run again"],
    ),
    "failed": (FAILED, ["failed", "3/5 steps", "step 3: <Log in> did not appear"], ["Open", "Run again"]),
    "unknown": (UNKNOWN, ["unknown", "it may have run"], ["It did not run: start it", "Close"]),
}
"""State -> the execution, what a person reads of it, and what they can follow or press."""


# With buttons, by which everybody may give orders.
NOTIFIER = Notifier(
    token=Secret("env: SLACK_BOT_TOKEN", b"xoxb-token"), channel=Text("C0123ABCD"), buttons=Buttons(anyone=True)
)


def posted(execution: Execution) -> Message:
    """Return the message that the notifier would post now."""
    content: dict[str, Any] = msgspec.json.decode(NOTIFIER.compose(execution, "qa"))
    ts = f"{NOW - 120}.000100"
    return Message(channel="C0123ABCD", ts=ts, text=content["text"], blocks=content["blocks"], via="chat.postMessage")


@pytest.mark.parametrize("state", LIFE)
async def test_a_person_reads_how_it_stands(browser: Browser, state: str) -> None:
    """The rule, the state and what there is to it in words, times in their own zone, and every button by its name."""
    execution, words, controls = LIFE[state]
    page = await browser.new_page(viewport={"width": 640, "height": 300}, device_scale_factor=1)
    await page.set_content(slack_html.page([posted(execution)], READER))
    message = page.get_by_role("article")
    await expect(message).to_contain_text("e2e-on-preview")
    for text in words:
        await expect(message).to_contain_text(text)
    found = page.get_by_role("button").or_(page.get_by_role("link"))
    named = await found.all_inner_texts()
    assert sorted(set(named)) == sorted(controls)
    assert await page.locator("script, img").count() == 0
    if os.environ.get("BRIDGE_SCREENSHOTS") == "1":
        IMAGES.mkdir(exist_ok=True)
        path = IMAGES / f"slack-{state}.png"
        await page.locator("main").screenshot(path=path)
        assert path.stat().st_size < LARGEST_BYTES
    await page.close()


@pytest.mark.parametrize("state", LIFE)
def test_slack_takes_the_message(state: str) -> None:
    """What is drawn here is nothing that Slack would refuse."""
    assert slack_blocks.problems(posted(LIFE[state][0]).blocks) == []


async def test_the_emulators_page_shows_what_was_posted(browser: Browser) -> None:
    """Whoever develops rules against `genesis-bridge emulate slack` sees the channel, and nothing in it can run."""
    slack = Slack()
    async with Server(slack), httpx.AsyncClient() as client:
        page = await browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        await page.goto(slack.url)
        await expect(page.get_by_text("No messages yet.")).to_be_visible()
        text = "*done* <script>document.title='taken'</script> &lt;img src=x onerror=document.title='taken'&gt;"
        content = {"channel": "C2147483705", "text": text}
        await client.post(f"{slack.url}/api/chat.postMessage", json=content, headers={"authorization": "Bearer x"})
        await expect(page.get_by_role("article")).to_contain_text("done <script>")  # by itself: it looks again
        await expect(page.get_by_role("heading", name="#test")).to_be_visible()
        assert await page.title() == "Slack (emulated)"
        await page.close()
    assert complaints == []
