"""A real Chromium, and the whole bridge of the journeys in front of it."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Response, async_playwright

from tests.journey.conftest import API_TOKEN, World, world

__all__ = ["world"]

_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start the Chromium of this machine; skip without one, but not where CI installs it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None and os.environ.get("CI") != "true":
        pytest.skip("no chromium on PATH: install it (apt install chromium) to test the page in a browser")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield opened
        await opened.close()


class Visitor:
    """One person at a browser; what the page tries against its policy, or asks of others, is written down."""

    def __init__(self, context: BrowserContext, page: Page, world: World) -> None:
        self.context = context
        self.page = page
        self.world = world
        self.complaints: list[str] = []
        page.on("console", lambda message: self._said(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda request: self._asked(request.url))
        page.on("response", self._answered)

    def _said(self, text: str) -> None:
        # A page that is itself the answer to a mistake is none; what it is made of is looked at below.
        if not text.startswith("Failed to load resource: the server responded with a status of 4"):
            self.complaints.append(text)

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.request.resource_type != "document":
            self.complaints.append(f"{response.status} for {response.url}")

    def _asked(self, url: str) -> None:
        if not url.startswith(self.world.service.url + "/"):
            self.complaints.append(f"asked for {url}")

    async def go(self, path: str) -> None:
        await self.page.goto(self.world.service.url + path)

    async def log_in(self, token: str = API_TOKEN) -> None:
        await self.page.get_by_label("Token").fill(token)
        await self.page.get_by_role("button", name="Log in").click()


@pytest.fixture
async def visitor(browser: Browser, world: World) -> AsyncIterator[Visitor]:
    """Return somebody who has just opened the browser; fail if the page did what it should not."""
    context = await browser.new_context()
    found = Visitor(context, await context.new_page(), world)
    yield found
    await context.close()
    assert found.complaints == []
