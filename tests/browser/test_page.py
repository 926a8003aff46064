import re
from typing import Any

import pytest
from playwright.async_api import expect

from bridge.emulators.exchange import Answer
from bridge.emulators.faults import Fault
from bridge.emulators.genesis_runs import Template
from tests.browser.conftest import Visitor
from tests.journey.conftest import READ_TOKEN

HOSTILE = (
    "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "\"'><svg/onload=document.title='taken'>{{ 7*7 }}${{ 7*7 }}</textarea></title>&lt;b&gt;"
)


async def dead_and_unknown(visitor: Visitor) -> dict[str, Any]:
    """Leave one execution unknown, and the notification of it dead."""
    visitor.world.genesis.trigger_faults.append(Fault("drop_after_run"))
    visitor.world.receiver.answers.add(Answer(status=410), on="/asker")
    return await visitor.world.ended(await visitor.world.run())


async def confirm(visitor: Visitor, title: str) -> None:
    """Open an order, tick its box and press."""
    order = visitor.page.locator("details").filter(has=visitor.page.get_by_text(f"{title}…")).first
    await order.get_by_text(f"{title}…").click()
    await order.get_by_label("Yes, that is what I want").check()
    await order.get_by_role("button", name=title).click()


async def test_somebody_logs_in_looks_and_logs_out(visitor: Visitor) -> None:
    """A deep link asks for the token and then leads on; after the logout it asks again, and Back shows nothing."""
    execution = await visitor.world.ended(await visitor.world.run())
    await visitor.go(f"/executions/{execution['id']}?x=1")
    await expect(visitor.page.get_by_role("heading")).to_have_text("Log in")
    await visitor.log_in("wrong")
    await expect(visitor.page.get_by_role("alert")).to_contain_text("none of this bridge's tokens")
    await visitor.log_in()
    await expect(visitor.page).to_have_url(re.compile(rf"/executions/{execution['id']}\?x=1$"))
    await expect(visitor.page.locator("h1")).to_contain_text("completed")
    [cookie] = await visitor.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
    await visitor.page.get_by_role("button", name="Log out").click()
    await expect(visitor.page.get_by_role("heading")).to_have_text("Log in")
    assert await visitor.context.cookies() == []
    await visitor.page.go_back()
    await expect(visitor.page.get_by_role("heading")).to_have_text("Log in")


async def test_an_unknown_execution_is_settled_and_its_dead_letter_sent(visitor: Visitor) -> None:
    """Both are found from the first page; each order is confirmed, done, and stands among the orders."""
    execution = await dead_and_unknown(visitor)
    await visitor.go("/")
    await visitor.log_in()
    await confirm(visitor, "Send again")
    await expect(visitor.page.get_by_role("status")).to_have_text("It is sent again within seconds.")
    after = await visitor.world.ended(execution["id"])
    assert [sent["state"] for sent in after["notifications"]] == ["delivered"]
    order = visitor.page.locator("details").filter(has=visitor.page.get_by_text("It ran…"))
    await order.get_by_text("It ran…").click()
    await order.get_by_label("The engine's own id of the run").fill("f47ac10b-58cc-4372-a567-0e02b2c3d479")
    await order.get_by_label("Reason, kept with it").fill("seen there")
    await order.get_by_role("button", name="It ran").click()  # the box is not ticked: the browser holds it back
    assert (await visitor.world.execution(execution["id"]))["status"] == "unknown"
    await order.get_by_label("Yes, that is what I want").check()
    await order.get_by_role("button", name="It ran").click()
    await expect(visitor.page.get_by_role("status")).to_have_text("Settled.")
    history = visitor.page.locator(".story")
    await expect(history).to_contain_text("api token 1 (page): it ran as f47ac10b-58cc-4372-a567-0e02b2c3d479 (seen")
    await visitor.go("/audit")
    rows = visitor.page.locator("tbody tr")
    await expect(rows).to_have_count(2)
    await expect(rows.nth(0)).to_contain_text("resolve")
    await expect(rows.nth(1)).to_contain_text("api token 1 (page)")


async def test_a_delivery_is_replayed_and_an_engine_paused(visitor: Visitor) -> None:
    """The replay leads to the new delivery; what it starts waits for the engine until it is resumed."""
    execution = await visitor.world.ended(await visitor.world.run())
    await visitor.go("/switches")
    await visitor.log_in()
    await confirm(visitor, "Pause")
    await expect(visitor.page.locator("tbody tr").first).to_contain_text("paused")
    await visitor.go(f"/deliveries/{execution['delivery_id']}")
    await confirm(visitor, "Replay")
    await expect(visitor.page.get_by_role("status")).to_have_text("Replayed: this is the new delivery.")
    await expect(visitor.page.locator("dl").first).to_contain_text(f"Replay of{execution['delivery_id']}")
    await visitor.page.locator("dl a").last.click()
    await expect(visitor.page.locator("h1")).to_contain_text("queued")
    await visitor.go("/switches")
    await confirm(visitor, "Resume")
    await expect(visitor.page.get_by_role("status")).to_have_text("Resumed.")
    [newest] = (await visitor.world.look("/api/executions", limit=1))["items"]
    assert (await visitor.world.ended(newest["id"]))["status"] == "completed"


async def test_who_may_only_look_sees_no_orders(visitor: Visitor) -> None:
    """No order anywhere, and the only form is the logout."""
    execution = await dead_and_unknown(visitor)
    await visitor.go("/")
    await visitor.log_in(READ_TOKEN)
    await expect(visitor.page.get_by_text("read token 1")).to_be_visible()
    for path in ("/", "/dead-letters", "/switches", f"/executions/{execution['id']}"):
        await visitor.go(path)
        assert await visitor.page.locator("form").count() == 1, path
        assert await visitor.page.locator("details").count() == 0, path


async def test_what_comes_from_outside_is_only_ever_text(visitor: Visitor) -> None:
    """Markup in every field an event, an engine or a receiver fills is shown as it was sent, and does nothing."""
    world = visitor.world
    world.genesis.default = Template(
        timeline=(("running", 0.05), ("completed", None)), outputs={f"out {HOSTILE}": HOSTILE}
    )
    execution = await world.ended(await world.run(url=f"https://example.com/{HOSTILE}"))
    await world.relay({"type": HOSTILE, "callback_url": HOSTILE}, message_id=f"msg {HOSTILE}")
    body = {"state": HOSTILE, "environment": HOSTILE, "environment_url": HOSTILE}
    deployed = {"deployment_status": body, "deployment": {"ref": HOSTILE, "sha": HOSTILE}, "action": HOSTILE}
    delivery = (await world.github("deployment_status", deployed)).json()["delivery_id"]
    await world.order("/api/engines/genesis/pause", {"reason": HOSTILE})
    await world.order(f"/api/engines/{'%3Cb%3E'}/pause", {"reason": HOSTILE})
    await visitor.go("/")
    await visitor.log_in()
    for path in (
        "/",
        "/deliveries",
        f"/deliveries/{delivery}",
        f"/deliveries/{execution['delivery_id']}",
        f"/executions/{execution['id']}",
        "/switches",
        "/audit",
        "/deliveries/%3Cscript%3Edocument.title='taken'%3C%2Fscript%3E",
        "/executions?cursor=%3Cscript%3E",
    ):
        await visitor.go(path)
        assert "taken" not in await visitor.page.title(), path
        assert await visitor.page.locator("main script, main img, main svg, main b").count() == 0, path
        if "%3C" not in path and path != "/executions":
            shown = await visitor.page.locator("main").inner_text()
            assert "<script>document.title='taken'</script>" in shown, path
            assert "49" not in shown.replace(HOSTILE, "").split(), path


async def test_a_link_from_outside_is_a_link_only_over_the_web(visitor: Visitor) -> None:
    """What an engine calls the run's address may be anything, a script too."""
    execution = await visitor.world.ended(await visitor.world.run())
    key = f"gb:x:{execution['id']}"
    await visitor.go("/")
    await visitor.log_in()
    for url, links in (("https://genesis.example.com/runs/1", 1), ("javascript:document.title='taken'", 0)):
        await visitor.world.store.redis.hset(key, "url", url)
        await visitor.go(f"/executions/{execution['id']}")
        assert await visitor.page.locator("dd.code a").count() == links


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_can_be_read(visitor: Visitor, scheme: Any) -> None:
    """Every text has the contrast of WCAG AA on what it stands on, light and dark, and nothing overflows a phone."""
    execution = await dead_and_unknown(visitor)
    await visitor.page.emulate_media(color_scheme=scheme)
    await visitor.page.set_viewport_size({"width": 390, "height": 800})
    await visitor.go("/")
    await visitor.log_in()
    for path in ("/", f"/executions/{execution['id']}", f"/deliveries/{execution['delivery_id']}", "/switches"):
        await visitor.go(path)
        for summary in await visitor.page.locator("summary").all():
            await summary.click()
        assert await visitor.page.evaluate(_FAINT) == [], path
        assert await visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path


# https://www.w3.org/TR/WCAG21/#contrast-minimum: 4.5 to 1 for text of any size.
_FAINT = """() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const value = part / 255
      return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor
      if (color !== 'rgba(0, 0, 0, 0)' && color !== 'transparent') return color
    }
    return 'rgb(255, 255, 255)'
  }
  const faint = []
  for (const element of document.body.querySelectorAll('*')) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim())
    if (!text.length || !element.getClientRects().length) continue
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))]
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    if (contrast < 4.5) faint.push([element.outerHTML.slice(0, 80), contrast])
  }
  return faint
}"""
