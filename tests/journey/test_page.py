"""The page over plain HTTP: what no browser of good will would send."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from bridge.config import load
from bridge.emulators import receiver
from bridge.process import Service
from bridge.settings import Settings
from bridge.store import Store
from tests.journey.conftest import API_TOKEN, READ_TOKEN, SECRETS, World, config_text

LONG = "0123456789abcdef0123456789abcdef"


@asynccontextmanager
async def logged_in(world: World, token: str = API_TOKEN) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client with a session."""
    async with httpx.AsyncClient(base_url=world.service.url, headers={"origin": world.service.url}) as client:
        answer = await client.post("/login", data={"access-token": token})
        assert answer.status_code == 303, answer.text
        yield client


async def form_token(client: httpx.AsyncClient) -> str:
    [found] = set(re.findall(r'name="token" value="([0-9a-f]{64})"', (await client.get("/switches")).text))
    return str(found)


PAUSE = {"order": "pause", "kind": "engine", "name": "genesis", "sure": "yes"}


async def test_without_a_session_there_is_only_the_login(world: World) -> None:
    """Every page and order answers with the form, a made-up cookie or not; only the first one with 200."""
    for cookie in ("", "x", "é", "a" * 4000):
        headers = {"cookie": f"genesis-bridge={cookie}".encode()} if cookie else {}
        for path in ("/", "/deliveries", "/executions/x_1", "/dead-letters", "/audit", "/switches"):
            answer = await world.client.get(path, headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == (200 if path == "/" else 401)
            assert 'name="access-token"' in answer.text
        answer = await world.client.post("/orders", headers=headers, data=PAUSE)  # type: ignore[arg-type]
        assert answer.status_code == 401
    assert await world.look("/api/paused") == []


async def test_the_head_of_every_page_forbids_what_a_page_does_not_need(world: World) -> None:
    """Pages, errors, redirects and the login alike: the strict policy, nosniff, no caching of records."""
    async with logged_in(world) as client:
        token = await form_token(client)
        for answer in (
            await world.client.get("/"),
            await world.client.post("/login", data={}),
            await client.get("/"),
            await client.get("/executions/x_none"),
            await client.get("/nowhere", headers={"accept": "text/html"}),
            await client.post("/orders", data=PAUSE | {"token": token}),
            await client.post("/orders", data=PAUSE),
        ):
            assert answer.headers["content-security-policy"] == (
                "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
                "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            )
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "same-origin"
        style = await world.client.get("/page.css")
        assert style.headers["content-type"].startswith("text/css")
        assert "immutable" in style.headers["cache-control"]


async def test_nor_does_any_other_answer_invite_a_browser(world: World) -> None:
    """The API's and the senders' answers are no pages, and records are kept nowhere."""
    for path in ("/api/paused", "/livez", "/hooks/relay", "/nowhere", "/schema"):
        answer = await world.client.get(path, headers={"authorization": f"Bearer {READ_TOKEN}"})
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_outputs_are_text_or_links_over_the_web_only(world: World) -> None:
    """A link shows where it leads, with type and size where they are known; whatever else is text."""
    execution = await world.ended(await world.run())
    outputs = {
        "summary": "<b>fine</b>",
        "shot": {"url": "https://bridge.example.com/files/x/abc", "type": "image/png", "size": 123456},
        "bare": {"url": "http://store.example.com/a?b=1&c=2"},
        "evil": {"url": "javascript:alert(1)", "type": "<i>"},
    }
    await world.store.redis.hset(f"gb:x:{execution['id']}", "outputs", msgspec.json.encode(outputs))
    async with logged_in(world) as client:
        page = (await client.get(f"/executions/{execution['id']}")).text
    for shown in (
        '<dd class="code">&lt;b&gt;fine&lt;/b&gt;</dd>',
        '<dd class="code"><a href="https://bridge.example.com/files/x/abc" rel="noopener noreferrer">'
        'https://bridge.example.com/files/x/abc</a> <span class="note">image/png</span>'
        ' <span class="note">123,456 bytes</span></dd>',
        '<dd class="code"><a href="http://store.example.com/a?b=1&amp;c=2" rel="noopener noreferrer">'
        "http://store.example.com/a?b=1&amp;c=2</a></dd>",
        '<dd class="code">javascript:alert(1) <span class="note">&lt;i&gt;</span></dd>',
    ):
        assert shown in " ".join(page.split()), shown


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "ours", "sec-fetch-site": "cross-site"},
        {"origin": "ours", "sec-fetch-site": "same-site"},
        {"origin": "ours", "sec-fetch-site": "none"},
        {"origin": "null", "sec-fetch-site": "same-origin"},
    ],
)
async def test_a_form_from_elsewhere_is_refused(world: World, headers: dict[str, str]) -> None:
    """Orders, login and logout, with the right session and token too: the browser says where a form comes from."""
    async with logged_in(world) as client:
        token = await form_token(client)
        sent = headers | ({"origin": world.service.url} if headers["origin"] == "ours" else {})
        for path in ("/orders", "/login", "/logout"):
            answer = await client.post(path, data=PAUSE | {"token": token, "access-token": API_TOKEN}, headers=sent)
            assert answer.status_code == 403, path
        assert await world.look("/api/paused") == []
        assert (await client.get("/switches")).status_code == 200


async def test_a_form_of_another_session_is_refused(world: World) -> None:
    """Without its token, with a made-up one and with that of another session nothing is done."""
    async with logged_in(world) as client, logged_in(world) as other:
        for token in ("", "x", "é", "0" * 64, await form_token(other)):
            answer = await client.post("/orders", data=PAUSE | {"token": token})
            assert answer.status_code == 403
            assert "of another session" in answer.text
        assert await world.look("/api/paused") == []
        answer = await client.post("/orders", data=PAUSE | {"token": await form_token(client)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/switches?done=pause")
        [switch] = await world.look("/api/paused")
        assert switch["by"] == "api token 1 (page)"


async def test_who_may_only_look_cannot_order(world: World) -> None:
    """Whatever form is made up."""
    async with logged_in(world, READ_TOKEN) as client:
        answer = await client.post("/orders", data=PAUSE | {"token": await form_token(client)})
        assert answer.status_code == 403
        assert "BRIDGE_API_TOKENS" in answer.text
    assert await world.look("/api/paused") == []


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"sure": ""}, 400, "tick the box"),
        ({"order": "erase"}, 400, "no such order"),
        ({"kind": "planet"}, 400, "Invalid enum value"),
        ({"name": "none"}, 404, "no engine is called"),
        ({"order": "resume", "name": "none"}, 404, "no engine is called"),
        ({"order": "retry", "id": "msg_none"}, 404, "no notification"),
        ({"order": "replay", "id": "d_none", "rules": "x"}, 400, "Invalid enum value"),
        ({"order": "resolve", "id": "x_none", "outcome": "ran", "remote_id": "a b"}, 400, "matching regex"),
        ({"order": "resolve", "id": "x_none", "outcome": "ran", "remote_id": ""}, 409, "remote_id"),
    ],
)
async def test_a_form_that_orders_nonsense_is_told_so(
    world: World, form: dict[str, str], status: int, words: str
) -> None:
    """In the words of the API, as a page."""
    async with logged_in(world) as client:
        sent = {**PAUSE, **form, "token": await form_token(client)}
        if sent["order"] not in ("pause", "resume"):
            del sent["kind"], sent["name"]
        answer = await client.post("/orders", data=sent)
    assert answer.status_code == status, answer.text
    assert words in answer.text
    assert await world.look("/api/paused") == []


async def test_a_form_that_is_none_is_a_400_and_a_big_one_a_413(world: World) -> None:
    """What cannot be read is not guessed at."""
    async with logged_in(world) as client:
        for content, status in ((b"\xff%zz=%ff", 400), (b"a=" + b"x" * 20_000, 413)):
            answer = await client.post("/orders", content=content)
            assert answer.status_code == status
            assert "text/html" in answer.headers["content-type"]


async def test_a_logout_ends_the_session_for_good(world: World) -> None:
    """A copy of its cookie is worth nothing afterwards."""
    async with logged_in(world) as client:
        [(name, secret)] = client.cookies.items()
        copied = {"cookie": f"{name}={secret}"}
        assert (await world.client.get("/switches", headers=copied)).status_code == 200
        answer = await client.post("/logout", data={"token": await form_token(client)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await world.client.get("/switches", headers=copied)).status_code == 401


async def test_a_cookie_tells_nothing_and_ends_by_itself(world: World) -> None:
    """No token in it, none in Redis, and Redis forgets it after half a day."""
    async with logged_in(world) as client:
        [(_, secret)] = client.cookies.items()
        [key] = [key async for key in world.store.redis.scan_iter("gb:session:*")]
        kept = await world.store.redis.get(key)
        assert API_TOKEN not in secret
        assert API_TOKEN.encode() not in key + kept
        assert secret.encode() not in key + kept
        assert 0 < await world.store.redis.ttl(key) <= 12 * 3600
        await world.store.redis.set(key, b"x" * 32, ex=60)
        assert (await client.get("/switches")).status_code == 401


@pytest.mark.parametrize(
    "where", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", "", "\u00e9", "/%0d%0a\n"]
)
async def test_the_login_leads_nowhere_but_here(world: World, where: str) -> None:
    """A path of ours is followed, everything else is the first page."""
    async with httpx.AsyncClient(base_url=world.service.url, headers={"origin": world.service.url}) as client:
        answer = await client.post("/login", data={"access-token": API_TOKEN, "next": where})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        answer = await client.post("/login", data={"access-token": API_TOKEN, "next": "/audit?cursor=x"})
        assert answer.headers["location"] == "/audit?cursor=x"


async def test_guesses_are_counted_over_page_and_api(world: World) -> None:
    """After twenty wrong tokens none from that address is looked at, whatever a header claims; deliveries go on."""
    async with httpx.AsyncClient(base_url=world.service.url, headers={"origin": world.service.url}) as client:
        for guess in range(10):
            answer = await client.post("/login", data={"access-token": f"guess {guess}"})
            assert answer.status_code == 403
            assert "none of this bridge's tokens" in answer.text
            headers = {"authorization": "Bearer guess", "x-forwarded-for": f"10.0.0.{guess}"}
            assert (await client.get("/api/paused", headers=headers)).status_code == 401
        page = await client.post("/login", data={"access-token": API_TOKEN})
        api = await client.get("/api/paused", headers={"authorization": f"Bearer {API_TOKEN}"})
    for answer in (page, api):
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 3
        assert "too many wrong tokens" in answer.text
    assert (await world.relay({"type": "nobody wants this"})).status_code == 200


async def test_lists_go_page_by_page(world: World) -> None:
    """The older ones are one link away; a cursor that no page gave is a 400."""
    for number in range(52):
        await world.order(f"/api/rules/none{number}/pause")
        await world.relay({"type": "nobody wants this"})
    await world.ended(await world.run())
    async with logged_in(world) as client:
        for path, newest, oldest in (("/audit", "none51", "none0<"), ("/deliveries", "accepted", "no match")):
            first = await client.get(path)
            assert newest in first.text
            [older] = re.findall(rf'href="({path}\?cursor=[^"]+)">Older', first.text)
            rest = await client.get(older.replace("&amp;", "&"))
            assert oldest in rest.text
            assert newest not in rest.text
            assert "Older" not in rest.text
        for path in ("/executions", "/dead-letters"):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "Older" not in answer.text
            assert (await client.get(path, params={"cursor": "?"})).status_code == 400


async def test_redis_away_is_a_page(world: World) -> None:
    """503, and when to come again."""
    async with logged_in(world) as client:
        await world.store.redis.set("gb:deliveries", "no index", ex=60)
        answer = await client.get("/deliveries")
        await world.store.redis.delete("gb:deliveries")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Redis does not answer" in answer.text


class Bare:
    """Bridges with other settings than the world's."""

    def __init__(self, redis_url: str, path: Path) -> None:
        self._redis_url = redis_url
        self._path = path
        self._running: list[tuple[Service, asyncio.Task[None]]] = []

    def start(self, **environ: str) -> Service:
        settings = Settings.load({"BRIDGE_PORT": "0", **environ})
        service = Service(settings, load(self._path, SECRETS), self._redis_url, web=True, work=False)
        self._running.append((service, asyncio.create_task(service.run())))
        return service

    async def stop(self) -> None:
        for service, running in self._running:
            service.stop()
            await running


@pytest.fixture
async def bare(store: Store, redis_url: str, tmp_path: Path) -> AsyncIterator[Bare]:
    path = tmp_path / "bare.yaml"
    limited = "    rate: 2/h\n    event: ${{ body.type }}"
    text = config_text("http://127.0.0.1:9", "http://127.0.0.1:9", "http://127.0.0.1:9")
    text = text.replace("type: slack, secrets", "type: slack, rate: 1/h, secrets")
    path.write_text(text.replace("    event: ${{ body.type }}", limited))
    found = Bare(redis_url, path)
    yield found
    await found.stop()


async def test_without_any_token_nothing_is_shown_but_how_to_set_one(bare: Bare) -> None:
    """The page and the API alike; there is nothing to log in with."""
    async with httpx.AsyncClient(base_url=bare.start().url) as client:
        for path in ("/", "/executions"):
            answer = await client.get(path)
            assert answer.status_code == 403
            assert "BRIDGE_API_TOKENS" in answer.text
            assert "secrets.token_urlsafe(32)" in answer.text
            assert "<form" not in answer.text
        headers = {"origin": str(client.base_url).rstrip("/")}
        assert (await client.post("/login", data={"access-token": ""}, headers=headers)).status_code == 403
        answer = await client.get("/api/paused", headers={"authorization": "Bearer"})
        assert answer.status_code == 401
        assert "BRIDGE_READ_TOKENS" in answer.json()["detail"]


async def test_behind_https_the_cookie_is_for_https_and_this_host_only(bare: Bare) -> None:
    """And below the path that the public URL has."""
    service = bare.start(BRIDGE_PUBLIC_URL="https://b.example.com/sub", BRIDGE_API_TOKENS=LONG)
    async with httpx.AsyncClient(base_url=service.url, headers={"origin": "https://b.example.com"}) as client:
        answer = await client.post("/login", data={"access-token": LONG, "next": "/audit"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sub/audit")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-genesis-bridge=")
        assert {"Secure", "HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        secret = cookie.partition(";")[0]
        shown = await client.get("/audit", headers={"cookie": secret})
        assert shown.status_code == 200
        assert 'href="/sub/page.css?' in shown.text
        assert 'action="/sub/logout"' in shown.text


async def test_a_session_ends_with_its_token(bare: Bare) -> None:
    """A bridge that no longer knows the token no longer knows the session; a second one that does, does."""
    first, second = (bare.start(BRIDGE_API_TOKENS=LONG) for _ in range(2))
    third = bare.start(BRIDGE_API_TOKENS="another")
    async with httpx.AsyncClient(headers={"origin": first.url}) as client:
        answer = await client.post(f"{first.url}/login", data={"access-token": LONG})
        headers = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
        statuses = [
            (await client.get(f"{one.url}/audit", headers=headers)).status_code for one in (first, second, third)
        ]
    assert statuses == [200, 200, 401]


async def test_a_token_may_ask_only_so_often(bare: Bare) -> None:
    """On the page and over the API together, each token on its own."""
    service = bare.start(BRIDGE_API_TOKENS="first,second", BRIDGE_API_RATE="4/h")
    async with httpx.AsyncClient(base_url=service.url, headers={"origin": service.url}) as client:
        assert (await client.post("/login", data={"access-token": "first"})).status_code == 303
        answers = [await client.get("/audit") for _ in range(2)]
        answers += [await client.get("/api/paused", headers={"authorization": "Bearer first"}) for _ in range(2)]
        answers += [await client.get("/audit")]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[3].headers["content-type"] == "application/problem+json"
        assert int(answers[3].headers["retry-after"]) > 800
        assert "api token 1 may ask 4/h" in answers[4].text
        other = await client.get("/api/paused", headers={"authorization": "Bearer second"})
        assert other.status_code == 200


async def test_behind_a_named_proxy_each_client_has_its_own_guesses(bare: Bare) -> None:
    """The rightmost hop that is no proxy counts: what a client writes into the header itself changes nothing."""
    service = bare.start(BRIDGE_API_TOKENS="first", BRIDGE_TRUSTED_PROXIES="127.0.0.0/8")

    async def tried(forwarded: str, token: str = "wrong") -> int:
        headers = {"authorization": f"Bearer {token}", "x-forwarded-for": forwarded}
        return (await client.get("/api/paused", headers=headers)).status_code

    async with httpx.AsyncClient(base_url=service.url) as client:
        assert {await tried(f"9.9.9.{at}, 203.0.113.7") for at in range(20)} == {401}
        assert await tried("203.0.113.7", "first") == 429
        assert await tried("203.0.113.8", "first") == 200


async def test_a_source_may_send_only_so_much(bare: Bare, world: World) -> None:
    """Over all processes together, and only what is verified is counted: 429 and when to come again."""
    first, second = bare.start(), bare.start()

    async def sent(service: Service, secret: str = SECRETS["RELAY_SECRET"]) -> httpx.Response:
        body = b'{"type": "nobody wants this"}'
        headers = receiver.relay(body, secret=secret, message_id=f"msg_{service.url}_{len(statuses)}")
        return await world.client.post(f"{service.url}/hooks/relay", headers=headers, content=body)

    statuses: list[int] = []
    for service, secret in ((first, "whsec_c3RyYW5nZXI="), (first, None), (second, None), (first, None)):
        answer = await sent(service, *([secret] if secret else []))
        statuses.append(answer.status_code)
    assert statuses == [401, 200, 200, 429]
    assert answer.headers["content-type"] == "application/problem+json"
    assert 1000 < int(answer.headers["retry-after"]) <= 1800
    assert "this source may send 2/h" in answer.json()["detail"]
    metrics = (await world.client.get("/metrics")).text
    assert 'genesis_bridge_deliveries_total{outcome="limited",source="relay"}' in metrics


async def test_slack_is_told_in_a_sentence_that_it_sends_too_much(bare: Bare, world: World) -> None:
    """200, since Slack shows anything else as a crash."""
    service = bare.start()
    answers = []
    for _ in range(2):
        headers, body = world.slack.slash("/genesis", "help", secret=SECRETS["SLACK_SECRET"])
        answers.append(await world.client.post(f"{service.url}/hooks/slack", headers=headers, content=body))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].json()["text"].startswith("Not taken: this source may send 1/h; come again in ")
