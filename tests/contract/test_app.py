from typing import Any

import httpx

from bridge.access import Access
from bridge.app import build
from bridge.config import Config
from bridge.contracts import Reply, Request, Source
from bridge.model import Event
from bridge.outbound import Outbound
from bridge.parts import Bridge
from bridge.rules import RuleSet
from bridge.sources.generic import Generic
from bridge.store import Store


class Broken(Source, frozen=True, kw_only=True, tag="broken"):
    def read(self, request: Request) -> Event | Reply:
        raise ZeroDivisionError("a defect with a secret in it")


async def test_a_defect_of_ours_is_a_plain_500_without_its_words(store: Store) -> None:
    """The log has it, the sender has not: neither the words nor a traceback."""
    config = Config(
        sources={"broken": Broken()},
        engines={},
        templates={},
        notifiers={},
        ruleset=RuleSet([], {}),
        hash="",
        files=(),
    )
    parts = Bridge(config=config, store=store, outbound=Outbound(), public_url="http://x")
    transport = httpx.ASGITransport(app=build(parts, Access()), raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://bridge") as client:
        answer = await client.post("/hooks/broken", content=b"{}")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


async def test_a_body_that_is_cut_short_is_malformed(store: Store) -> None:
    """Whoever leaves in the middle would get a 400: half a body is never read, and it is no defect of ours."""
    config = Config(
        sources={"cut": Generic(auth="none", allow_unauthenticated=True)},
        engines={},
        templates={},
        notifiers={},
        ruleset=RuleSet([], {}),
        hash="",
        files=(),
    )
    app = build(Bridge(config=config, store=store, outbound=Outbound(), public_url="http://x"), [])
    coming: list[Any] = [{"type": "http.request", "body": b"{}", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/hooks/cut", "query_string": b"", "headers": []}
    await app(scope | {"raw_path": b"/hooks/cut", "root_path": "", "asgi": {"version": "3.0"}}, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 400
    assert await store.redis.dbsize() == 0
