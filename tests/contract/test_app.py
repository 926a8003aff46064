import httpx

from bridge.access import Access
from bridge.app import build
from bridge.config import Config
from bridge.contracts import Reply, Request, Source
from bridge.model import Event
from bridge.outbound import Outbound
from bridge.parts import Bridge
from bridge.rules import RuleSet
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
