"""What anyone can send: a 4xx with problem+json or a Slack sentence, never a 500."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from bridge.emulators import github
from bridge.emulators.signing import slack_signature
from bridge.emulators.slack_sender import slash
from tests.journey.conftest import API_TOKEN, SECRETS, World

DEEP = b'{"a":' * 200 + b"1" + b"}" * 200
BAD_BODIES = {
    "not JSON": b"{",
    "200 levels": DEEP,
    "a thousand levels of lists": b"[" * 100_000,
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "NaN": b'{"a": NaN}',
    "half a surrogate pair": b'{"a": "\\ud800"}',
    "a number of 5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "nothing": b"",
    "a list": b"[]",
    "NUL": b"\0",
}


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert "Traceback" not in answer.text
    return found


@pytest.mark.parametrize("what", BAD_BODIES)
async def test_a_signed_but_bad_github_body_is_a_400(world: World, what: str) -> None:
    """The signature holds, the body cannot be read: the sender is told so in a sentence."""
    headers, body = github.deliver("push", BAD_BODIES[what], secret=SECRETS["GITHUB_SECRET"])
    assert problem(await world.client.post("/hooks/github", headers=headers, content=body), 400)["detail"]


@pytest.mark.parametrize("what", BAD_BODIES)
async def test_a_signed_but_bad_relay_body_is_a_4xx(world: World, what: str) -> None:
    """A relay that signs rubbish gets a clear answer; nothing starts."""
    answer = await world.relay(BAD_BODIES[what])
    assert 400 <= answer.status_code < 500
    assert world.genesis.triggers == []


async def test_unsigned_wrongly_signed_and_stale_are_told_alike(world: World) -> None:
    """One 401 for all: nothing is learned from the answer."""
    now = time.time()  # half a minute beyond the 300 s: the test may be slow to send
    stale = slash("/genesis", "e2e https://x.example", secret=SECRETS["SLACK_SECRET"], now=now - 330)
    early = slash("/genesis", "e2e https://x.example", secret=SECRETS["SLACK_SECRET"], now=now + 330)
    wrong = slash("/genesis", "e2e https://x.example", secret="another", now=now)
    bodies = set()
    for headers, body in (stale, early, wrong):
        answer = await world.client.post("/hooks/slack", headers=headers, content=body)
        problem(answer, 401)
        bodies.add(answer.text)
    unsigned = await world.client.post("/hooks/slack", content=b"x", headers={"content-type": "application/json"})
    problem(unsigned, 401)
    assert bodies == {unsigned.text}


@pytest.mark.parametrize("signature", ["sha256=é", "sha256", "md5=x", "sha256=%22%c3", "", "sha256=" + "0" * 64])
async def test_a_hostile_github_signature_is_a_401(world: World, signature: str) -> None:
    """Whatever stands in the header, it is compared, not believed."""
    headers = {"x-github-event": "push", "content-type": "application/json"}
    sent = {**headers, "x-hub-signature-256": signature.encode()}
    problem(await world.client.post("/hooks/github", headers=sent, content=b"{}"), 401)  # type: ignore[arg-type]


async def test_another_content_type_is_a_415(world: World) -> None:
    """A body of a kind nobody reads is refused by its kind."""
    headers, body = github.deliver("push", b"<a/>", secret=SECRETS["GITHUB_SECRET"])
    headers["Content-Type"] = "application/xml"
    problem(await world.client.post("/hooks/github", headers=headers, content=body), 415)


async def test_a_large_body_is_a_413_whether_its_length_is_told_or_not(world: World) -> None:
    """Counted while reading, not believed from the header."""
    large = b"x" * 1_000_001
    problem(await world.client.post("/hooks/relay", content=large), 413)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100_000

    problem(await world.client.post("/hooks/relay", content=chunks()), 413)


async def test_a_body_that_never_ends_is_cut_off(world: World) -> None:
    """A sender gets ten seconds for its whole body."""
    host, port = world.service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /hooks/relay HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf")
    began = time.monotonic()
    head = await reader.readuntil(b"\r\n")
    assert b" 408 " in head
    assert 9 < time.monotonic() - began < 14  # the deadline is what is tested
    writer.close()
    await writer.wait_closed()


async def test_an_unknown_source_is_a_404_and_a_get_a_405(world: World) -> None:
    """Both in the same form as every other problem."""
    assert "'nobody'" in problem(await world.client.post("/hooks/nobody", content=b"{}"), 404)["detail"]
    problem(await world.client.get("/hooks/github"), 405)
    problem(await world.client.get("/nowhere"), 404)


async def test_slack_is_told_in_words(world: World) -> None:
    """What Slack sends signed gets 200 and a sentence, also when it cannot be read."""
    for body in (b"command=%2Fgenesis", b"nothing=1", b"payload=%7B"):
        headers, _ = slash("/genesis", "", secret="unused")
        signed = sign_slack(body)
        answer = await world.client.post("/hooks/slack", headers={**headers, **signed}, content=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["text"]


async def test_slacks_certificate_check_is_answered(world: World) -> None:
    """`ssl_check` comes unsigned and wants an empty 200."""
    body = urlencode({"ssl_check": "1", "token": "x"}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await world.client.post("/hooks/slack", headers=headers, content=body)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_slacks_url_verification_is_answered(world: World) -> None:
    """The signed challenge comes back."""
    body = msgspec.json.encode({"type": "url_verification", "challenge": "c-1", "token": "x"})
    headers = {**sign_slack(body), "content-type": "application/json"}
    answer = await world.client.post("/hooks/slack", headers=headers, content=body)
    assert (answer.status_code, answer.json()) == (200, {"challenge": "c-1"})


@pytest.mark.parametrize("body", [b'{"reason": "\xff"}', b'{"reason": ' + b"[" * 2000 + b"]" * 2000 + b"}"])
async def test_an_order_that_cannot_be_read_is_a_400(world: World, body: bytes) -> None:
    """What an operator sends is no more trusted to be text, or shallow, than what a sender sends."""
    headers = {"authorization": f"Bearer {API_TOKEN}", "content-type": "application/json"}
    problem(await world.client.post("/api/engines/genesis/pause", content=body, headers=headers), 400)


async def test_a_query_that_is_no_text_is_told_so(world: World) -> None:
    """Percent-encoded bytes that are no UTF-8 are taken as they can be, and start nothing by themselves."""
    problem(await world.client.get("/api/deliveries?limit=%ff", headers={"authorization": f"Bearer {API_TOKEN}"}), 400)
    headers, body = github.deliver("push", b"{}", secret=SECRETS["GITHUB_SECRET"])
    answer = await world.client.post("/hooks/github?%ff=%fe", headers=headers, content=body)
    assert answer.status_code == 200


def sign_slack(body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    signature = slack_signature(body, secret=SECRETS["SLACK_SECRET"], timestamp=timestamp)
    return {"x-slack-request-timestamp": timestamp, "x-slack-signature": signature}
