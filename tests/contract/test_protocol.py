"""Connections as anybody may open them, over real sockets: cut in time, bounded, and never answered with a 5xx."""

import asyncio
import contextlib
import resource
import socket
import time

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bridge import metrics
from bridge.protocol import GuardedProtocol, Limits, fitting, guarded

QUICK = Limits(head_seconds=0.4, body_seconds=0.6, unread_seconds=0.4, idle_seconds=1)
HOST = b"host: x\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"


class App:
    """`/deaf` reads nothing, `/slow` answers late, `/big` and `/bulk` much, the rest what was read."""

    def __init__(self):
        self.requests = []
        self.headers = []

    async def __call__(self, scope, receive, send):
        path = scope["path"]
        self.requests.append((scope["method"], path))
        body, more = b"", path != "/deaf"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        if path == "/slow":
            await asyncio.sleep(0.3)
        if path == "/big":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(500):
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            await send({"type": "http.response.body"})
            return
        self.headers.append([name for name, _ in scope["headers"]])
        said = b"y" * 20_000_000 if path == "/bulk" else f"{path} {len(body)}".encode()
        headers = [(b"content-length", b"%d" % len(said))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})


@contextlib.asynccontextmanager
async def serving(limits=QUICK):
    """Serve the app with these limits; yields it, with the port it listens on."""
    app, state, kind = App(), ServerState(), guarded(limits)
    config = uvicorn.Config(app, http=kind, ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: kind(config, state, {}), "127.0.0.1", 0)
    app.port = listener.sockets[0].getsockname()[1]
    yield app
    listener.close()
    for connection in list(state.connections):
        connection.transport.abort()
    await asyncio.gather(*state.tasks, return_exceptions=True)
    await asyncio.sleep(0.01)


async def said(app, *pieces, pause=0.0):
    """Send pieces and return everything that comes back until the connection is closed, and the seconds it took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
    began, answer = time.monotonic(), bytearray()

    async def listen():
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 20):
                answer.extend(piece)

    listening = asyncio.create_task(listen())
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            if not listening.done():  # else it would only reset what we are about to read
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
    await asyncio.wait_for(listening, 8)
    took = time.monotonic() - began
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return bytes(answer), took


def statuses(answer):
    """Return the status codes of the answers."""
    return [int(piece.split(b" ")[0]) for piece in answer.split(b"HTTP/1.1 ")[1:]]


def cut(reason):
    """Return how many connections were cut for a reason."""
    return metrics.CONNECTIONS_CUT.labels(reason)._value.get()


@pytest.mark.parametrize("piece", [b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n"])
async def test_half_a_head_is_answered_and_cut(piece):
    """Whoever does not finish the head is told so after the deadline, however little of it came."""
    before = cut("head_timeout")
    async with serving() as app:
        answer, seconds = await said(app, piece)
    assert statuses(answer) == [408]
    assert b"application/problem+json" in answer
    assert QUICK.head_seconds <= seconds < 4
    assert app.requests == []
    assert cut("head_timeout") == before + 1


async def test_a_head_that_drips_is_cut_all_the_same():
    """Each byte is no new deadline; nor is it on a connection that has been used before."""
    drips = [bytes([one]) for one in b"GET / HTTP/1.1\r\nx-a: " + b"x" * 200]
    async with serving() as app:
        for pieces in (drips, [GET, *drips]):
            answer, seconds = await said(app, *pieces, pause=0.02)
            assert statuses(answer)[-1] == 408
            assert seconds < 6


async def test_a_connection_that_says_nothing_is_closed():
    """Silence is cut without a word, before the first request and after one."""
    async with serving() as app:
        assert (await said(app))[0] == b""
        answer, seconds = await said(app, GET)
    assert statuses(answer) == [200]
    assert QUICK.idle_seconds <= seconds < 5


@pytest.mark.parametrize("path", [b"/", b"/deaf"])
@pytest.mark.parametrize("form", [b"content-length: 1000", b"transfer-encoding: chunked"])
async def test_half_a_body_is_cut_whoever_reads_it(path, form):
    """A body that drips ends at its deadline, also where the answer was given long before."""
    head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + form + b"\r\n\r\n"
    drips = [b"1\r\nx\r\n" if b"chunked" in form else b"x" for _ in range(100)]
    async with serving() as app:
        answer, seconds = await said(app, head, *drips, pause=0.02)
    assert statuses(answer) == ([200] if path == b"/deaf" else [408])
    assert QUICK.body_seconds <= seconds < 5


async def test_requests_follow_each_other_on_one_connection():
    """Kept alive, pipelined, and after a body nobody read: every request has its own answer, in order."""
    deaf = b"POST /deaf HTTP/1.1\r\n" + HOST + b"content-length: 300000\r\n\r\n"
    async with serving() as app:
        answer, _ = await said(app, GET, GET, pause=0.1)
        assert statuses(answer) == [200, 200]
        answer, _ = await said(app, GET.replace(b"/ ", b"/slow ") + GET + GET.replace(b"/ ", b"/last "))
        assert [answer.index(path) for path in (b"/slow 0", b"/ 0", b"/last 0")] == sorted(
            answer.index(path) for path in (b"/slow 0", b"/ 0", b"/last 0")
        )
        answer, seconds = await said(app, deaf, b"x" * 300_000, GET, pause=0.1)
        assert statuses(answer) == [200, 200]
        assert seconds >= QUICK.idle_seconds, "kept until nobody used it"


MANY = b"".join(b"x-%d: 1\r\n" % number for number in range(101))
LARGE = {
    "a hundred and one headers": b"GET / HTTP/1.1\r\n" + HOST + MANY + b"\r\n",
    "200,000 headers": b"GET / HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 200_000 + b"\r\n",
    "one long header": b"GET / HTTP/1.1\r\n" + HOST + b"x: " + b"x" * 40_000 + b"\r\n\r\n",
    "one long header that never ends": b"GET / HTTP/1.1\r\n" + HOST + b"x: " + b"x" * 40_000,
    "a long name": b"GET / HTTP/1.1\r\n" + b"x" * 40_000 + b": 1\r\n\r\n",
    "a long target": b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "many targets' worth": b"GET /" + b"x" * 40_000,
}


@pytest.mark.parametrize("what", LARGE)
@pytest.mark.parametrize("size", [1_000_000_000, 1000])
async def test_a_large_head_is_refused_at_once(what, size):
    """In one piece or in many, with or without an end, nothing larger than the limit is kept."""
    pieces = [
        LARGE[what][at : at + size] for at in range(0, min(len(LARGE[what]), 60_000 if size == 1000 else size), size)
    ]
    async with serving(Limits(head_seconds=5)) as app:
        answer, seconds = await said(app, *pieces)
        assert statuses(answer) in ([431], [])  # the answer can be lost where much more was sent than is read
        assert seconds < 4
        assert app.requests == []


async def test_what_is_within_the_limits_is_taken():
    """A hundred headers, and bodies as large as anything beside small heads, are nobody's fault."""
    head = b"POST / HTTP/1.1\r\n" + HOST + b"".join(b"x-%d: 1\r\n" % number for number in range(98))
    async with serving() as app:
        answer, _ = await said(app, head + b"content-length: 200000\r\n\r\n" + b"x" * 200_000, GET, pause=0.1)
    assert b"/ 200000" in answer
    assert statuses(answer) == [200, 200]


POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = b"transfer-encoding: chunked\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"
SMUGGLED = {
    "both lengths": POST + b"content-length: 4\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
    "both lengths, the other way": POST + CHUNKED + b"content-length: 4\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": POST + b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcde" + HIDDEN,
    "a length that is a list": POST + b"content-length: 4, 4\r\n\r\nabcd" + HIDDEN,
    "a negative length": POST + b"content-length: -1\r\n\r\n" + HIDDEN,
    "a signed length": POST + b"content-length: +4\r\n\r\nabcd" + HIDDEN,
    "a length in hex": POST + b"content-length: 0x4\r\n\r\nabcd" + HIDDEN,
    "a length that overflows": POST + b"content-length: 99999999999999999999999\r\n\r\n" + HIDDEN,
    "chunked, but not last": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "another coding": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked twice": POST + CHUNKED + b"transfer-encoding: identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a chunk size that is none": POST + CHUNKED + b"\r\nzz\r\nabc\r\n" + HIDDEN,
    "a negative chunk size": POST + CHUNKED + b"\r\n-1\r\nabc\r\n" + HIDDEN,
    "a chunk size that overflows": POST + CHUNKED + b"\r\nfffffffffffffffff\r\nabc\r\n" + HIDDEN,
    "a chunk longer than its size": POST + CHUNKED + b"\r\n1\r\nabc\r\n0\r\n\r\n" + HIDDEN,
    "a space before the colon": POST + b"content-length : 4\r\n\r\nabcd" + HIDDEN,
    "a folded header": POST + b"x: 1\r\n content-length: 4\r\n\r\nabcd" + HIDDEN,
    "a bare line feed in a chunk": POST + CHUNKED + b"\r\n1\nx\r\n0\r\n\r\n" + HIDDEN,
    "a NUL in a header": POST + b"x: \0\r\n\r\n" + HIDDEN,
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "no method": b" / HTTP/1.1\r\n\r\n",
    "a tunnel": b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + b"host: y\r\n\r\n",
    "a target in another alphabet": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a query in another alphabet": b"GET /?\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("what", SMUGGLED)
async def test_what_two_servers_could_read_differently_is_refused(what):
    """Ambiguous lengths and broken chunks are a 400 and the end of the connection; what hides behind is never run."""
    async with serving() as app:
        answer, seconds = await said(app, SMUGGLED[what])
        await asyncio.sleep(0.05)
        assert ("GET", "/hidden") not in app.requests
    assert statuses(answer) == [400]
    assert b"connection: close" in answer
    assert seconds < 4


async def test_headers_behind_a_body_are_dropped():
    """Trailers, which no proxy filters, never become headers of the request; too many of them are refused."""
    head = POST + b"x-a: 1\r\n" + CHUNKED + b"\r\n1\r\nx\r\n0\r\n"
    async with serving() as app:
        answer, _ = await said(app, head + b"x-forwarded-for: 10.0.0.1\r\nx-b: 1\r\n\r\n", GET, pause=0.1)
        assert statuses(answer) == [200, 200]
        assert app.headers == [[b"host", b"x-a", b"transfer-encoding"], [b"host"]]
        answer, _ = await said(app, head + b"x: " + b"y" * 40_000 + b"\r\n\r\n")
        assert statuses(answer) in ([431], [])


async def test_what_comes_behind_a_refusal_is_not_read():
    """After a 400 the connection is deaf, also while it is being closed."""
    async with serving() as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        writer.write(SMUGGLED["both lengths"])
        for _ in range(20):
            writer.write(HIDDEN)
            await asyncio.sleep(0)
        with contextlib.suppress(ConnectionError):
            assert statuses(await reader.read()) == [400]
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        assert ("GET", "/hidden") not in app.requests


async def test_a_refusal_is_never_taken_for_another_answer():
    """Rubbish behind a request in hand closes the connection, without an answer that the first one could get."""
    slow = GET.replace(b"/ ", b"/slow ")
    async with serving() as app:
        assert (await said(app, slow + b"rubbish\r\n\r\n"))[0] == b""
        assert (await said(app, slow + b"POST / HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\nzz\r\n"))[0] == b""
        head = b"POST /deaf HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n"
        answer, _ = await said(app, head, b"zz\r\n", pause=0.1)
        assert statuses(answer) == [200], "it had its answer before its body broke"


@pytest.mark.parametrize("half", [b"", b"GET / HT", POST + b"content-length: 5\r\n\r\nhal"])
async def test_the_longest_wait_makes_room(half):
    """Over the cap those go that owe a head or a body the longest; who sends a request is served."""
    before = cut("too_many")
    async with serving(Limits(connections=5)) as app:
        idle = [await asyncio.open_connection("127.0.0.1", app.port) for _ in range(8)]
        for _, writer in idle:
            with contextlib.suppress(ConnectionError):
                writer.write(half)
                await writer.drain()
        answer = await asyncio.wait_for(first_line(app), 4)
        assert b" 200 " in answer
        assert cut("too_many") >= before + 4
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(idle[0][0].read(), 4) == b""
        for _, writer in idle:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def first_line(app):
    """Return the first line that answers a GET."""
    reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
    writer.write(GET)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line


async def test_a_sender_that_asks_first_is_told_to_go_on():
    """`Expect: 100-continue` gets its 100 where the body is wanted, else the answer and the end."""
    head = b" HTTP/1.1\r\n" + HOST + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n"
    async with serving() as app:
        answer, _ = await said(app, b"POST /" + head, b"abc", pause=0.1)
        assert statuses(answer) == [100, 200]
        assert b"/ 3" in answer
        answer, seconds = await said(app, b"POST /deaf" + head)
        assert statuses(answer) == [200]
        assert seconds < QUICK.body_seconds


async def test_an_answer_that_nobody_reads_is_cut():
    """Whoever does not read holds neither its connection nor what is written to it."""
    before = cut("unread")
    async with serving() as app:
        plain = socket.create_connection(("127.0.0.1", app.port))
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.to_thread(plain.sendall, GET.replace(b"/ ", b"/big "))
        for _ in range(100):
            await asyncio.sleep(0.05 if cut("unread") == before else 0)
        assert cut("unread") == before + 1
        plain.close()
        answer, _ = await said(app, GET.replace(b"/ ", b"/big "))
        assert answer.count(b"x" * 100_000) == 500, "who reads gets all of it"
        answer, _ = await said(app, b"GET /bulk HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert answer.endswith(b"y" * 20_000_000), "also when it is the last"


@pytest.mark.parametrize(
    "head",
    [
        b"HEAD / HTTP/1.1\r\n" + HOST,
        b"OPTIONS / HTTP/1.1\r\n" + HOST,
        b"GET / HTTP/1.0\r\n",
        b"GET http://x/ HTTP/1.1\r\n" + HOST,
        b"GET / HTTP/1.1\r\n" + HOST + b"connection: upgrade\r\nupgrade: websocket\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\n",
        b"GET /%ff%00?%zz#x HTTP/1.1\r\n" + HOST,
        b"BREW / HTTP/1.1\r\n" + HOST,
    ],
)
async def test_odd_requests_are_answered(head):
    """Old, unusual and hopeful ones get an answer below 500, and the connection ends in time."""
    async with serving() as app:
        answer, seconds = await said(app, head + b"\r\n", b"anything else", pause=0.1)
    assert statuses(answer)[0] in (200, 400)
    assert seconds < 5


@pytest.mark.parametrize(
    "name",
    [name for name in vars(GuardedProtocol) if not name.startswith("__") and name in vars(HttpToolsProtocol)],
)
def test_what_is_overridden_is_uvicorns_own(name):
    """A method that uvicorn renames would be overridden in vain: these are the names it calls."""
    assert callable(getattr(HttpToolsProtocol, name))


def test_every_name_the_guard_relies_on_is_there():
    """The parts of uvicorn's inside that are used here exist; an update that moves them fails here first."""
    overridden = "connection_made connection_lost data_received on_message_begin on_url on_header on_headers_complete"
    overridden += " on_message_complete on_response_complete pause_writing resume_writing timeout_keep_alive_handler"
    overridden += " send_400_response"
    assert {name for name in vars(GuardedProtocol) if name in vars(HttpToolsProtocol)} >= set(overridden.split())
    used = "_unset_keepalive_if_required cycle pipeline headers connections timeout_keep_alive_task expect_100_continue"
    source = HttpToolsProtocol.__init__.__code__.co_names + tuple(vars(HttpToolsProtocol))
    assert set(used.split()) <= set(source)


@pytest.mark.parametrize(
    ("files", "connections"), [(1024, 824), (65_536, 2000), (resource.RLIM_INFINITY, 2000), (100, 50)]
)
def test_the_cap_leaves_descriptors_for_the_rest(files, connections):
    """There are never more connections than files may be open, less what Redis and the engines need."""
    assert fitting(files).connections == connections
    assert 50 <= fitting().connections <= 2000
