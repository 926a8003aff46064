"""Sources of every kind of proof behind one running bridge."""

import asyncio
from pathlib import Path

import httpx

from bridge import log
from bridge.config import load
from bridge.process import Service
from bridge.settings import Settings
from bridge.store import Store
from tests.journey.conftest import API_TOKEN, SECRETS

CONFIG = """\
version: 1
sources:
  gitlab: {type: generic, auth: {type: hmac, preset: gitlab, secrets: [{env: RELAY_SECRET}, {env: BEARER_TOKEN}]}}
  sensor: {type: generic, auth: {type: header, header: X-Api-Key, secrets: [{env: BEARER_TOKEN}]}}
  open: {type: generic, auth: none, allow_unauthenticated: true}
engines:
  genesis: {type: genesis, api_key: {env: GENESIS_KEY}}
templates:
  e2e: {engine: genesis, id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44}
rules:
  - {name: merged, source: gitlab, event: Merge Request Hook, template: e2e}
"""


async def test_every_proof_is_looked_at_and_an_open_source_is_told_at_the_start(
    store: Store, redis_url: str, tmp_path: Path
) -> None:
    """A right token starts its rule, a wrong one is a 401; which secret was used and which source is open is told."""
    path = tmp_path / "bridge.yaml"
    path.write_text(CONFIG)
    settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_API_TOKENS": API_TOKEN})
    with log.kept_in_memory() as lines:
        service = Service(settings, load(path, SECRETS), redis_url, web=True, work=False)
        running = asyncio.create_task(service.run())
        async with httpx.AsyncClient(base_url=service.url) as client:
            hook = {"x-gitlab-event": "Merge Request Hook", "idempotency-key": "i-1"}
            right, wrong = {"x-gitlab-token": SECRETS["BEARER_TOKEN"]}, {"x-gitlab-token": SECRETS["RELAY_SECRET"]}
            answers = [
                await client.post("/hooks/gitlab", json={}, headers=hook | right),
                await client.post("/hooks/gitlab", json={}, headers=hook | right),
                await client.post("/hooks/gitlab", json={}, headers=hook | wrong),
                await client.post("/hooks/sensor", json={}, headers={"x-api-key": "another"}),
                await client.post("/hooks/open", json={}),
            ]
            metrics = (await client.get("/metrics")).text
        service.stop()
        await running
    assert [answer.status_code for answer in answers] == [202, 200, 401, 401, 200]
    assert [answers[1].json()["outcome"], answers[4].json()["outcome"]] == ["duplicate", "no_match"]
    assert 'genesis_bridge_secret_last_used_timestamp_seconds{secret="env: BEARER_TOKEN"}' in metrics
    told = [line for line in lines.getvalue().splitlines() if '"source.open"' in line]
    assert len(told) == 1
    assert '"source": "open"' in told[0]
