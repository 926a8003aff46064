"""Clients that are slow, large, rude or gone, at a running bridge with short deadlines."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bridge import log
from bridge.bodies import MAX_VALUES
from bridge.config import load
from bridge.emulators import github
from bridge.process import Service
from bridge.protocol import Limits
from bridge.settings import Settings
from bridge.store import Store
from tests.bench.__main__ import resident_mb
from tests.bench.clients import asked_all_the_while, endless, hold, p99
from tests.journey.conftest import READ_TOKEN, SECRETS, World, config_text

SHORT = Limits(head_seconds=1, body_seconds=1.5)


@pytest.fixture
async def service(store: Store, redis_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """Run the web half with short deadlines."""
    path = tmp_path / "bridge.yaml"
    path.write_text(config_text("http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1"))
    settings = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_READ_TOKENS": READ_TOKEN})
    built = Service(settings, load(path, SECRETS), redis_url, web=True, work=False, limits=SHORT)
    running = asyncio.create_task(built.run())
    yield built
    built.stop()
    await running


def where(service: Service) -> tuple[str, int]:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return host, int(port)


async def test_half_sent_requests_are_cut_while_others_are_answered(service: Service) -> None:
    """Sixty half heads and thirty half bodies are gone after their deadlines, and nobody else noticed."""
    async with asked_all_the_while(service.url) as took:
        held = await hold(*where(service), heads=60, bodies=30)
    assert held.statuses <= {408}
    assert SHORT.head_seconds <= held.heads[0] <= held.heads[-1] < SHORT.head_seconds + 3
    assert SHORT.body_seconds <= held.bodies[0] <= held.bodies[-1] < SHORT.body_seconds + 3
    assert len(took) > 20
    assert p99(took) < SHORT.head_seconds * 1000, "nobody waits until the others are cut; in ms: tests/bench/clients.py"
    async with httpx.AsyncClient(base_url=service.url) as client:
        assert 'genesis_bridge_connections_cut_total{reason="head_timeout"}' in (await client.get("/metrics")).text


async def test_a_body_that_is_too_large_is_not_kept(service: Service) -> None:
    """Of 40 MB in chunks nothing stays in memory, and the sender gets its 413."""
    assert await endless(service.url, 1) == 401
    before = resident_mb_here()
    assert await endless(service.url, 40) == 413
    assert resident_mb_here() - before < 20


def resident_mb_here() -> float:
    """Return this process's resident memory, for the bridge runs in it."""
    return resident_mb(os.getpid())


async def test_whoever_leaves_in_the_middle_of_a_body_is_no_defect(service: Service) -> None:
    """A connection that is closed before its body was whole leaves no error in the log."""
    with log.kept_in_memory() as lines:
        for _ in range(5):
            _, writer = await asyncio.open_connection(*where(service))
            writer.write(b"POST /hooks/relay HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf")
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await asyncio.sleep(0.1)
    assert '"error"' not in lines.getvalue()


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/metrics", "/hooks/relay", "/hooks/%ff", "/api/executions/x", "/schema"]
)
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "GET", "PUT", "DELETE", "TRACE", "PATCH", "BREW"])
async def test_no_method_on_any_path_is_a_500(service: Service, method: str, path: str) -> None:
    """Whatever is asked, the answer is below 500."""
    async with httpx.AsyncClient(base_url=service.url) as client:
        answer = await client.request(method, path)
    assert answer.status_code < 500


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_load_balancers_may_ask_by_head(service: Service, method: str) -> None:
    """Whether the process lives and is ready can be asked without wanting a body."""
    async with httpx.AsyncClient(base_url=service.url) as client:
        for path in ("/livez", "/readyz"):
            answer = await client.request(method, path)
            assert answer.status_code == 200
            assert answer.content == (b"" if method == "HEAD" else b"ok")


async def test_a_large_body_is_read_beside_the_others(world: World) -> None:
    """Five rightly signed megabytes are taken while everybody else is answered; too many values are refused."""
    body = b'{"ref": "refs/heads/main", "commits": [' + b'{"added": ["a/b"]},' * 250_000 + b"{}]}"
    headers, sent = github.deliver("push", body, secret=SECRETS["GITHUB_SECRET"])
    async with asked_all_the_while(world.service.url) as took:
        began = time.monotonic()
        answer = await world.client.post("/hooks/github", headers=headers, content=sent)
        seconds = time.monotonic() - began
    assert answer.status_code == 200, answer.text
    assert len(took) > 1
    assert max(took) < max(1.0, seconds)
    headers, sent = github.deliver("push", b'{"a": [' + b"1," * MAX_VALUES + b"1]}", secret=SECRETS["GITHUB_SECRET"])
    answer = await world.client.post("/hooks/github", headers=headers, content=sent)
    assert answer.status_code == 400
    assert "1,000,000 values" in answer.json()["detail"]
