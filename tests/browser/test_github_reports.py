"""What is told of an execution, as a person reads it on GitHub: its comment and its check, drawn from their Markdown.

The pictures in docs/images are taken anew, whenever what is told has changed, by:

    BRIDGE_SCREENSHOTS=1 pytest tests/browser/test_github_reports.py
"""

import html
import os
from typing import Any

import pytest
from markdown_it import MarkdownIt
from msgspec import structs
from playwright.async_api import Browser, expect

from bridge.github_reports import CONCLUSIONS, check_run, comment
from bridge.model import Execution, Status
from tests.browser.test_slack_messages import ENDED, FAILED, IMAGES, LARGEST_BYTES, REPORT, RUNNING, UNKNOWN

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #1f2328; background: #fff; margin: 0; padding: 16px }
main { border: 1px solid #d1d9e0; border-radius: 6px; width: 600px }
header { background: #f6f8fa; border-bottom: 1px solid #d1d9e0; padding: 8px 16px; color: #59636e }
article { padding: 4px 16px 12px } h3 { font-size: 1.2em }
code { background: #eff1f3; border-radius: 6px; padding: 2px 5px; font-size: 85% }
pre { background: #f6f8fa; border-radius: 6px; padding: 12px; overflow: auto } pre code { background: none; padding: 0 }
table { border-collapse: collapse } td, th { border: 1px solid #d1d9e0; padding: 5px 12px } thead { display: none }
"""
DONE = structs.replace(
    ENDED, status=Status.COMPLETED, outputs={"report": REPORT, "summary": "42 <passed>, says @everyone"}
)
TOLD: dict[str, tuple[Execution, list[str]]] = {
    "running": (structs.replace(RUNNING, status=Status.RUNNING), ["running", "2/5"]),
    "completed": (DONE, ["completed", "2 min 41 s", "42 <passed>, says @everyone", "report"]),
    "failed": (FAILED, ["failed", "step 3: <Log in> did not appear"]),
    "unknown": (UNKNOWN, ["unknown", "it may have run"]),
}


def drawn(head: str, markdown: str) -> str:
    """Return a page that shows Markdown as GitHub does."""
    body = MARKDOWN.render(markdown)
    return f"<style>{STYLE}</style><main><header>{html.escape(head)}</header><article>{body}</article></main>"


def check(execution: Execution) -> str:
    told: dict[str, Any] = check_run(execution, "E2E", None)
    how = CONCLUSIONS.get(execution.status, told["status"])
    return drawn(f"{told['name']} - {how} - {told['output']['title']}", told["output"]["summary"])


@pytest.mark.parametrize("state", TOLD)
@pytest.mark.parametrize("kind", ["comment", "check"])
async def test_a_person_reads_how_it_stands(browser: Browser, kind: str, state: str) -> None:
    """In words, with what came out of it as it is: no mention, no markup and no link but our own."""
    execution, words = TOLD[state]
    told = comment(execution, "", None)
    page = await browser.new_page(viewport={"width": 640, "height": 300}, device_scale_factor=1)
    await page.set_content(
        drawn("genesis-bridge (bot) commented", told.text) if kind == "comment" else check(execution)
    )
    shown = page.locator("main")
    for text in words:
        await expect(shown).to_contain_text(text)
    assert {await link.inner_text() for link in await page.get_by_role("link").all()} <= {"Open"}
    assert await page.locator("script, img").count() == 0
    for code in await page.locator("code").all():
        assert "<a" not in await code.inner_html()
    if os.environ.get("BRIDGE_SCREENSHOTS") == "1":
        IMAGES.mkdir(exist_ok=True)
        path = IMAGES / f"github-{kind}-{state}.png"
        await shown.screenshot(path=path)
        assert path.stat().st_size < LARGEST_BYTES
    await page.close()
