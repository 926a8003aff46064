import asyncio
import contextlib
import inspect
import re
import socket
import ssl
import time
import tracemalloc
import zlib
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from bridge import connections
from bridge.addresses import Guard, networks
from bridge.errors import Ambiguous, Permanent, Transient
from bridge.outbound import Answer, Limits, Outbound
from bridge.wire import Destination
from tests.http_server import always, answer, in_turn, serve

LOOPBACK = Guard(allow_cidrs=networks(["127.0.0.0/8"]), allow_http=True)
CERTIFICATE = Path(__file__).parent.parent / "data" / "receiver.pem"


@pytest.fixture
async def client():
    """Open a client for one test; it trusts no certificate, for reading them takes longer than a test."""
    async with Outbound(user_agent="tests", ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as opened:
        yield opened


def get(client, url, **options):
    """Ask."""
    return client.request("GET", url, **{"timeout_seconds": 5, "max_bytes": 10_000, **options})


def post(client, url, **options):
    """Post a small body."""
    return client.request("POST", url, **{"content": b"{}", "timeout_seconds": 5, "max_bytes": 10_000, **options})


async def until(condition):
    """Wait for a condition."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


# ------------------------------------------------------------------------------------------- requests and answers


async def test_a_request_is_sent_as_it_was_asked_for(client):
    """Method, path with its escapes, host, headers and body arrive, and no compression is asked for."""
    async with serve(always(answer(201, b"done", {"X-One": "1"}))) as server:
        found = await post(client, server.url("/a%2Fb?c=d#e"), headers={"x-key": "k"}, content=b"body")
        [seen] = server.requests
    assert (seen.method, seen.target, seen.body) == ("POST", "/a%2Fb?c=d", b"body")
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"
    assert (seen.headers["x-key"], seen.headers["user-agent"]) == ("k", "tests")
    assert (seen.headers["accept-encoding"], seen.headers["content-length"]) == ("identity", "4")
    assert (found.status, found.body, found.truncated) == (201, b"done", False)
    assert found.headers["content-length"] == "4"


async def test_repeated_headers_are_joined(client):
    """A header that comes twice is one, joined by a comma."""
    async with serve(always(b"HTTP/1.1 204 x\r\nX-One: 1\r\nx-one: 2\r\n\r\n")) as server:
        assert (await get(client, server.url())).headers["x-one"] == "1, 2"


async def test_redirects_are_answers(client):
    """A redirect is returned, never followed."""
    async with serve(always(answer(302))) as elsewhere:
        async with serve(always(answer(302, headers={"location": elsewhere.url()}))) as server:
            assert (await get(client, server.url(), headers={"x-api-key": "k"})).status == 302
        assert elsewhere.connections == 0


async def test_proxies_of_the_environment_are_ignored(client, monkeypatch):
    """HTTP_PROXY changes nothing: the address that was checked is the one that is connected to."""
    async with serve(always(answer(500))) as proxy, serve(always(answer(200))) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert (await get(client, server.url())).status == 200
        assert proxy.connections == 0


async def test_an_answer_longer_than_wanted_is_cut_and_its_connection_closed(client):
    """Of an endless body only max_bytes are kept, in memory too, and no task is left behind."""

    async def endless(_, writer):
        writer.write(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()

    async with serve(endless) as server:
        before = asyncio.all_tasks()
        tracemalloc.start()
        found = await get(client, server.url(), max_bytes=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (len(found.body), found.truncated) == (1_000_000, True)
        assert peak < 8_000_000
        assert {task for task in asyncio.all_tasks() - before if "connected" not in repr(task)} == set()
        server.script = always(answer(200))
        assert (await get(client, server.url())).status == 200
        assert server.connections == 2


async def test_an_answer_of_just_the_wanted_length_is_whole(client):
    """max_bytes is allowed, one more is cut."""
    async with serve(always(answer(200, b"x" * 10))) as server:
        assert not (await get(client, server.url(), max_bytes=10)).truncated
        found = await get(client, server.url(), max_bytes=9)
    assert (found.body, found.truncated) == (b"x" * 9, True)


async def test_compressed_answers_are_refused(client):
    """A body in a Content-Encoding is not read, but its status counts; `identity` is no encoding."""
    packed = zlib.compress(b"{}" * 100_000)
    async with serve(always(answer(401, packed, {"content-encoding": "gzip"}))) as server:
        found = await get(client, server.url())
        server.script = always(answer(200, b"{}", {"content-encoding": "Identity"}))
        plain = await get(client, server.url())
    assert (found.status, found.body, found.truncated) == (401, b"", True)
    assert (plain.body, plain.truncated) == (b"{}", False)


# ------------------------------------------------------------------------------------------ what was sent is known


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_refused_connections_are_transient(client, method):
    """Where nobody listens nothing was sent."""
    async with serve(always()) as server:
        url = server.url("/secret-path")
    with pytest.raises(Transient, match=r"'127\.0\.0\.1' could not be connected to") as failed:
        await client.request(method, url, timeout_seconds=5, max_bytes=10)
    assert "secret-path" not in str(failed.value)


async def test_unknown_names_are_transient():
    """A name that cannot be looked up, or has no address, may have one later."""

    def nowhere(*_):
        raise OSError(-2, "Name or service not known")

    for resolve in (nowhere, Names([])):
        async with Outbound(resolve=resolve) as client:
            with pytest.raises(Transient, match=r"ci\.example\.com"):
                await get(client, "https://ci.example.com/")


def test_the_system_resolves_names():
    """Without another resolver the system's is asked, and each address comes once."""
    assert connections.resolve("127.0.0.1", 80) == ["127.0.0.1"]


@pytest.mark.parametrize("url", ["ftp://x/", "nothing", "https://u:p@x.example.com/", "https://\x00/", "http://x:0/"])
async def test_urls_that_cannot_be_requested_are_permanent(client, url):
    """What is no http(s) URL never will be."""
    with pytest.raises(Permanent, match="the URL cannot be used"):
        await get(client, url)


async def test_headers_that_cannot_be_written_are_permanent_and_not_shown(client):
    """A key with a line break in it is refused before anything is sent, and the message does not show it."""
    async with serve(always(answer(200))) as server:
        with pytest.raises(Permanent, match="line break") as failed:
            await get(client, server.url(), headers={"x-api-key": "s3cret\nx: y"})
        assert server.requests == []
    assert "s3cret" not in str(failed.value)


@pytest.mark.parametrize("name", ["x\r\ny", "x: y", "x y", "", "é"])
async def test_no_header_is_named_otherwise(client, name):
    """A name that could end a line or begin a value is refused as well."""
    with pytest.raises(Permanent, match="line break"):
        await get(client, "http://127.0.0.1:1/", headers={name: "x"})


@given(st.text() | st.text(st.sampled_from("a \r\n\t\x00\x85\u2028:")))
def test_no_value_of_a_header_makes_another(value):
    """Whatever its text: refused before anything is sent, or it arrives as the one header it was, as UTF-8."""

    async def sent():
        untrusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with serve(always(answer(200))) as server, Outbound(ssl_context=untrusting) as outbound:
            await get(outbound, server.url())
            with contextlib.suppress(Permanent):
                await get(outbound, server.url(), headers={"x-said": value})
            return server.requests

    plain, *more = asyncio.run(sent())
    for request in more:
        assert request.headers == {**plain.headers, "x-said": value.encode().decode("latin-1")}
    assert bool(more) == (not re.search("[\x00-\x08\n-\x1f\x7f\ud800-\udfff]", value) and value == value.strip(" \t"))


async def test_a_server_that_never_answers_is_ambiguous(client):
    """Once the request is out, silence until the deadline says nothing."""
    async with serve(always()) as server:
        started = time.monotonic()
        with pytest.raises(Ambiguous, match=r"within 0\.2 s"):
            await post(client, server.url(), timeout_seconds=0.2)
        assert 0.2 <= time.monotonic() - started < 2


async def test_a_dripping_server_cannot_extend_the_deadline(client):
    """One byte now and then does not keep a request alive."""

    async def drip(_, writer):
        writer.write(b"HTTP/1.1 200 x\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    async with serve(drip) as server:
        started = time.monotonic()
        with pytest.raises(Ambiguous):
            await post(client, server.url(), timeout_seconds=0.3)
        assert time.monotonic() - started < 2


async def test_a_deadline_before_the_first_byte_is_transient(client):
    """A server that takes the connection and never shakes hands was sent nothing."""
    async with serve(always()) as server:
        with pytest.raises(Transient, match="could not be connected to within"):
            await post(client, server.url(scheme="https"), timeout_seconds=0.2)


class Raw(asyncio.Protocol):
    """A server without HTTP: says something when connected to, when spoken to, or both, and hangs up."""

    def __init__(self, first=b"", then=b""):
        self.first, self.then = first, then

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.first)

    def data_received(self, _):
        self.transport.write(self.then)
        self.transport.close()


@asynccontextmanager
async def raw(first=b"", then=b""):
    """Run a Raw server; yields its port."""
    listening = await asyncio.get_running_loop().create_server(lambda: Raw(first, then), "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("first", "then"), [(b"SSH-2.0-x\r\n", b""), (b"", b"HTTP/1.1 400 x\r\n\r\n"), (b"", b"")])
async def test_a_server_that_is_not_tls_is_transient(client, first, then):
    """A failed handshake does not count as sending, whether the server speaks first, in plain text or not at all."""
    async with raw(first, then) as port:
        with pytest.raises(Transient, match="could not be connected to"):
            await post(client, f"https://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\nhalf"],
        [b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal"],
        [b"HTTP/1.1 2"],
        [b"this is not HTTP\r\n\r\n"],
        [b"HTTP/1.1 200 x\r\n" + b"a: " + b"x" * 300_000 + b"\r\n\r\n"],
        [b"HTTP/1.1 101 x\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"],
    ],
)
async def test_broken_answers_are_ambiguous(client, parts):
    """Closing, cutting short or answering nonsense after the request went out leaves open what happened."""
    async with serve(always(*parts, close=True)) as server:
        with pytest.raises(Ambiguous, match=r"'127\.0\.0\.1'"):
            await post(client, server.url())
        assert len(server.requests) == 1


async def test_a_reset_is_ambiguous(client):
    """A connection that is reset after the request went out leaves open what happened."""

    async def reset(_, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER 0: close() sends RST
        writer.transport.abort()

    async with serve(reset) as server:
        with pytest.raises(Ambiguous, match="without an answer"):
            await post(client, server.url())


async def test_an_answer_before_the_body_was_taken_counts(client):
    """A server that refuses a large body early and hangs up is understood."""
    async with raw(then=answer(413, b"too large", {"connection": "close"})) as port:
        found = await post(client, f"http://127.0.0.1:{port}/", content=b"x" * 8_000_000)
    assert (found.status, found.body) == (413, b"too large")


async def test_after_the_lease_nothing_is_sent(client):
    """not_after is looked at when the connection stands: one that took too long is closed without a byte."""
    async with serve(always(answer(200))) as server:
        with pytest.raises(Transient, match="the lease ran out before anything was sent"):
            await post(client, server.url(), fresh=True, not_after=time.monotonic() - 0.01)
        assert (server.connections, server.requests) == (1, [])
        assert (await post(client, server.url(), fresh=True, not_after=time.monotonic() + 60)).status == 200


async def test_the_lease_is_looked_at_after_the_connection():
    """A lease that runs out while the name is being looked up is noticed, for the check comes last."""

    def slow(*_):
        time.sleep(0.2)
        return ["127.0.0.1"]

    async with serve(always(answer(200))) as server, Outbound(resolve=slow) as patient:
        with pytest.raises(Transient, match="lease"):
            await post(patient, server.url(), fresh=True, not_after=time.monotonic() + 0.1)
        assert server.requests == []


# -------------------------------------------------------------------------------------------------- connections


async def test_a_fresh_request_has_a_connection_of_its_own(client):
    """It neither takes a kept connection nor leaves one, and tells the server so."""
    async with serve(always(answer(200))) as server:
        for fresh in (False, True, False, True):
            await get(client, server.url(), fresh=fresh)
        assert [seen.connection for seen in server.requests] == [1, 2, 1, 3]
        assert [seen.headers.get("connection") for seen in server.requests] == [None, "close", None, "close"]


async def test_the_connection_used_last_is_used_next(client):
    """Kept connections are a stack, so that those not needed grow old."""
    gate = asyncio.Event()

    async def wait(_, writer):
        await gate.wait()
        writer.write(answer(200))

    async with serve(wait) as server:
        both = [asyncio.create_task(get(client, server.url())) for _ in range(2)]
        await server.received(2)
        gate.set()
        await asyncio.gather(*both)
        for _ in range(3):
            await get(client, server.url())
        assert server.connections == 2
        assert len({seen.connection for seen in server.requests[2:]}) == 1


async def test_a_kept_connection_that_was_closed_is_replaced(client):
    """A connection the server closed while it was idle is noticed before it is used, whatever the method."""
    async with serve(always(answer(200), close=True)) as server:
        for _ in range(3):
            assert (await post(client, server.url())).status == 200
            await asyncio.sleep(0.05)
        assert server.connections == 3


@pytest.mark.parametrize("later", [0, 0.02])
@pytest.mark.parametrize("unasked", [answer(408, b"unasked"), b""])
async def test_a_kept_connection_that_says_something_unasked_is_dropped(client, later, unasked):
    """Bytes that come between requests (a 408, say), or the end, at once or later, never meet the next request."""

    async def script(_, writer):
        writer.write(answer(200, b"yes"))
        asyncio.get_running_loop().call_later(later, writer.write, unasked)
        if not unasked:
            asyncio.get_running_loop().call_later(later, writer.close)

    async with serve(script) as server:
        for _ in range(2):
            assert (await get(client, server.url())).body == b"yes"
            await asyncio.sleep(0.06)
        assert server.connections == 2


async def test_an_answer_and_what_follows_it_in_one_piece_are_told_apart(client):
    """Bytes after the answer, read together with it, are not taken for the next one."""
    async with serve(always(answer(200, b"yes") + answer(408, b"unasked"))) as server:
        for _ in range(2):
            assert (await get(client, server.url())).body == b"yes"
        assert server.connections == 2


async def test_a_large_body_arrives_whole(client):
    """More than fits into the socket's buffers waits until the server takes it."""
    async with serve(always(answer(200))) as server:
        assert (await post(client, server.url(), content=b"x" * 10_000_000)).status == 200
        assert len(server.requests[0].body) == 10_000_000


async def test_a_question_is_asked_anew_when_a_kept_connection_breaks(client):
    """GET is repeated once where a kept connection closed instead of answering; POST is ambiguous then."""
    replies = iter([answer(200), b"", answer(200), b""])

    async def script(_, writer):
        reply = next(replies)
        writer.write(reply)
        if not reply:
            writer.transport.abort()

    async with serve(script) as server:
        assert (await get(client, server.url())).status == 200
        assert (await get(client, server.url())).status == 200
        assert [seen.connection for seen in server.requests] == [1, 1, 2]
        with pytest.raises(Ambiguous):
            await post(client, server.url())
        assert [seen.connection for seen in server.requests] == [1, 1, 2, 2]


async def test_after_the_deadline_nothing_more_is_sent(client):
    """What a slow server has not taken by then it never gets, and no socket waits for it."""
    taken = bytearray()
    lost = asyncio.Event()

    class Slow(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            # Not at once: until 3.11.4 asyncio begins to read after this, whatever was said here.
            asyncio.get_running_loop().call_soon(transport.pause_reading)

        def data_received(self, data):
            taken.extend(data)

        def connection_lost(self, _):
            lost.set()

    servers = []

    def accept():
        servers.append(Slow())
        return servers[-1]

    async with await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(Ambiguous):
            await post(client, f"http://127.0.0.1:{port}/", content=b"x" * 30_000_000, timeout_seconds=0.2)
        servers[0].transport.resume_reading()
        await asyncio.wait_for(lost.wait(), 5)
    assert 0 < len(taken) < 30_000_000


async def test_a_new_connection_that_breaks_is_not_tried_again(client):
    """A server that closes every connection is asked once."""
    async with serve(always(close=True)) as server:
        with pytest.raises(Ambiguous):
            await get(client, server.url())
        assert server.connections == 1


async def test_idle_connections_expire():
    """A connection nobody needs is closed after a while, and its destination forgotten, without another request."""
    async with serve(always(answer(200))) as server, Outbound(limits=Limits(idle_seconds=0.1)) as client:
        await get(client, server.url())
        await asyncio.sleep(0.06)
        await get(client, server.url(host="127.0.0.1"), guard=LOOPBACK)
        assert len(client._pool._places) == 2
        await until(lambda: not client._pool._places)
        await get(client, server.url())
        assert server.connections == 3


async def test_limits_hold_in_all_and_for_each_destination():
    """No more requests are under way at once than the limits say, and a slow destination does not take them all."""
    under_way = {}
    most = {}

    async def slow(seen, writer):
        host = seen.headers["host"]
        under_way[host] = under_way.get(host, 0) + 1
        most[host] = max(most.get(host, 0), under_way[host])
        most["all"] = max(most.get("all", 0), sum(under_way.values()))
        await asyncio.sleep(0.01)
        under_way[host] -= 1
        writer.write(answer(200))

    limits = Limits(connections=5, connections_each=3)
    async with serve(slow) as server, Outbound(resolve=Names(["127.0.0.1"]), limits=limits) as client:
        hosts = ["a.example.com", "b.example.com", "c.example.com"]
        await asyncio.gather(*(get(client, server.url(host=host)) for host in hosts for _ in range(20)))
    assert most.pop("all") == 5
    assert set(most.values()) == {3}


async def test_waiting_for_a_connection_counts_against_the_deadline():
    """Who gets no connection in time has sent nothing."""
    async with serve(always()) as server, Outbound(limits=Limits(connections=1)) as client:
        first = asyncio.create_task(get(client, server.url()))
        await server.received(1)
        with pytest.raises(Transient):
            await get(client, server.url(), timeout_seconds=0.1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


class Kept:
    """Something beside the connections."""

    def __init__(self, tls):
        self.tls = tls
        self.closed = 0

    async def aclose(self):
        """Count how often."""
        self.closed += 1


async def test_what_is_kept_beside_the_connections_is_made_once_for_each_key():
    """With what TLS trusts here, and closed with the client: engines keep a WebSocket there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with Outbound(user_agent="tests", ssl_context=context) as client:
        first = client.beside(("a", 1), Kept)
        assert client.beside(("a", 1), Kept) is first
        other = client.beside(("a", 2), Kept)
        assert other is not first
        assert first.tls is context
        assert (first.closed, other.closed) == (0, 0)
    assert (first.closed, other.closed) == (1, 1)


async def test_a_closed_client_sends_nothing():
    """After aclose a request is transient; one under way at that moment ends, and its connection is not kept."""
    gate = asyncio.Event()

    async def wait(_, writer):
        await gate.wait()
        writer.write(answer(200))

    async with serve(wait) as server:
        client = Outbound()
        under_way = asyncio.create_task(get(client, server.url()))
        await server.received(1)
        await client.aclose()
        gate.set()
        assert (await under_way).status == 200
        assert client._pool._places == {}
        with pytest.raises(Transient, match="shutting down"):
            await get(client, server.url())


async def test_cancelled_requests_poison_nothing():
    """After hundreds of requests cancelled at any moment, later ones work, and no task or destination is left."""

    async def slow(_, writer):
        await asyncio.sleep(0.01)
        writer.write(answer(200, b"{}"))

    async with serve(slow) as server, Outbound(limits=Limits(connections=10)) as client:
        before = asyncio.all_tasks()
        for round_ in range(30):
            tasks = [asyncio.create_task(get(client, server.url(), fresh=n % 3 == 0)) for n in range(20)]
            await asyncio.sleep(0.0005 * round_)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, (Answer, asyncio.CancelledError)) for one in ended)
        found = await asyncio.gather(*(get(client, server.url()) for _ in range(20)))
        assert [one.status for one in found] == [200] * 20
        assert {task for task in asyncio.all_tasks() - before if "connected" not in repr(task)} == set()
        await client.aclose()
        assert client._pool._places == {}


async def test_many_connections_at_once_are_not_slower_each(client):
    """200 requests at once to a server that takes 100 ms end in about the time 5 at once take, not 40 times it."""

    async def slow(_, writer):
        await asyncio.sleep(0.1)
        writer.write(answer(200, b"{}"))

    async with serve(slow) as server:

        async def took(count):
            started = time.monotonic()
            await asyncio.gather(*(get(client, server.url()) for _ in range(count)))
            return time.monotonic() - started

        await took(200)
        few = min([await took(5) for _ in range(3)])
        many = min([await took(200) for _ in range(3)])
        assert server.connections == 200
    assert many < 5 * few


# ------------------------------------------------------------------------------------------------------ the guard


class Names:
    """A resolver under test, which counts."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, *_):
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_a_name_that_resolves_inside_is_permanent():
    """The message names the host and the way out, not the address."""
    names = Names(["10.0.0.7"])
    async with Outbound(user_agent="tests", resolve=names) as client:
        with pytest.raises(Permanent, match=r"'ci\.example\.com' resolves to .* not allowed; .* allow_cidrs") as failed:
            await post(client, "https://ci.example.com/x?token=s3cret", guard=Guard())
    assert "10.0.0.7" not in str(failed.value)
    assert "s3cret" not in str(failed.value)


async def test_one_inner_address_spoils_all():
    """A name with a public and an inner address is refused, in whichever order they come."""
    for answers in (["93.184.215.14", "127.0.0.1"], ["::ffff:127.0.0.1", "93.184.215.14"]):
        async with Outbound(user_agent="tests", resolve=Names(answers)) as client:
            with pytest.raises(Permanent):
                await post(client, "https://ci.example.com/", guard=Guard())


async def test_the_checked_address_is_the_one_connected_to():
    """The name is looked up once for each connection, so that it cannot change between check and use."""
    names = Names(["127.0.0.1"], ["10.0.0.7"])
    async with serve(always(answer(200))) as server, Outbound(user_agent="tests", resolve=names) as client:
        url = server.url(host="rebinding.example.com")
        assert (await post(client, url, guard=LOOPBACK, fresh=True)).status == 200
        assert names.asked == 1
        assert server.requests[0].headers["host"] == f"rebinding.example.com:{server.port}"
        with pytest.raises(Permanent):
            await post(client, url, guard=LOOPBACK, fresh=True)
        assert server.connections == 1


async def test_connections_are_not_shared_between_guards(client):
    """A connection opened without a guard, or under a laxer one, is of no use to a guarded request."""
    async with serve(always(answer(200))) as server:
        await post(client, server.url())
        await post(client, server.url(), guard=LOOPBACK)
        with pytest.raises(Permanent):
            await post(client, server.url(), guard=Guard(allow_http=True, ports=frozenset({server.port})))
        assert server.connections == 2


async def test_the_form_is_looked_at_first(client):
    """A guarded request checks the URL before anything is looked up."""
    with pytest.raises(Permanent, match="https://"):
        await post(client, "http://ci.example.com/", guard=Guard())


async def test_further_addresses_are_tried():
    """Where the first address refuses, the next one is taken."""
    async with serve(always(answer(200))) as server:
        names = Names(["127.0.0.9", "127.0.0.1"])
        async with Outbound(user_agent="tests", resolve=names) as client:
            assert (await get(client, server.url(host="two.example.com"))).status == 200


@pytest.fixture
def swallowing():
    """Return a listening socket whose queue is full: connecting to it takes for ever."""
    with socket.socket() as listening, ExitStack() as stack:
        listening.bind(("127.0.0.9", 0))
        listening.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.settimeout(0)
            one.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


async def test_an_address_that_does_not_answer_is_given_up(swallowing):
    """An address that swallows the attempt takes only its share of the time; if it is the only one, that was all."""
    quick = Limits(connect_seconds=0.2)
    async with Outbound(resolve=Names(["127.0.0.9", "127.0.0.8"]), limits=quick) as client:
        with pytest.raises(Transient, match="could not be connected to: Conn"):
            await get(client, f"http://two.example.com:{swallowing}/")
    async with Outbound(resolve=Names(["127.0.0.9"]), limits=quick) as client:
        with pytest.raises(Transient, match="does not answer"):
            await get(client, f"http://one.example.com:{swallowing}/")


# --------------------------------------------------------------------------------------------------------- TLS


@pytest.fixture
def tls():
    """Return what a server needs to be receiver.example.com."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@pytest.fixture
async def trusting():
    """Open a client that trusts that certificate, and finds every name on this machine."""
    context = ssl.create_default_context(cafile=CERTIFICATE)
    async with Outbound(user_agent="tests", resolve=Names(["127.0.0.1"]), ssl_context=context) as opened:
        yield opened


async def test_tls_is_checked_against_the_name(tls, trusting):
    """The address is connected to, the certificate is for the name, and the connection is kept."""
    async with serve(always(answer(200, b"x" * 1_000_000)), tls) as server:
        url = server.url(host="receiver.example.com", scheme="https")
        dotted = server.url(host="receiver.example.com.", scheme="https")
        assert (await post(trusting, dotted, fresh=True, max_bytes=1_000_000, guard=LOOPBACK)).status == 200
        for _ in range(2):
            found = await post(trusting, url, content=b"y" * 500_000, max_bytes=1_000_000, guard=LOOPBACK)
            assert len(found.body) == 1_000_000
        assert server.connections == 2
        assert len(server.requests[2].body) == 500_000


async def test_a_certificate_for_another_name_is_refused(tls, trusting):
    """A wrong or untrusted certificate is found out before anything is sent."""
    async with serve(always(answer(200)), tls) as server:
        with pytest.raises(Transient, match="certificate is not valid"):
            await post(trusting, server.url(host="other.example.com", scheme="https"))
        async with Outbound(user_agent="tests", resolve=Names(["127.0.0.1"])) as client:
            with pytest.raises(Transient, match="certificate is not valid"):
                await post(client, server.url(host="receiver.example.com", scheme="https"))
        assert server.requests == []


async def test_the_lease_is_looked_at_after_the_handshake(tls, trusting):
    """Over TLS too: the handshake is no sending, and after the lease no request follows it."""
    async with serve(always(answer(200)), tls) as server:
        with pytest.raises(Transient, match="lease"):
            await post(
                trusting,
                server.url(host="receiver.example.com", scheme="https"),
                fresh=True,
                not_after=time.monotonic() - 0.01,
            )
        assert (server.connections, server.requests) == (1, [])


async def test_an_unsent_request_on_a_dead_kept_connection_goes_over_a_new_one(client):
    """Between taking a kept connection and writing to it, it may end: nothing was sent, so POST is sent anew."""
    async with serve(always(answer(200))) as server:
        await post(client, server.url())
        [place] = client._pool._places.values()
        stream = place.idle[-1]._stream
        asyncio.get_running_loop().call_soon(stream.eof_received)
        assert (await post(client, server.url())).status == 200
        assert server.connections == 2


def test_destinations_differ_by_guard():
    """What is leased under one guard is never found under another."""
    assert Destination("https", "x", 443, None) != Destination("https", "x", 443, Guard())
    assert hash(Destination("https", "x", 443, LOOPBACK)) == hash(Destination("https", "x", 443, LOOPBACK))


async def test_answers_come_in_turn_over_one_connection(client):
    """Each answer on a kept connection belongs to its own request."""
    async with serve(in_turn(iter([answer(200, str(n)) for n in range(5)]))) as server:
        assert [(await get(client, server.url())).body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
        assert server.connections == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        test_a_request_is_sent_as_it_was_asked_for,
        test_an_answer_longer_than_wanted_is_cut_and_its_connection_closed,
        test_refused_connections_are_transient,
        test_a_dripping_server_cannot_extend_the_deadline,
        test_a_deadline_before_the_first_byte_is_transient,
        test_a_reset_is_ambiguous,
        test_an_answer_before_the_body_was_taken_counts,
        test_a_large_body_arrives_whole,
        test_after_the_lease_nothing_is_sent,
        test_a_kept_connection_that_was_closed_is_replaced,
        test_a_question_is_asked_anew_when_a_kept_connection_breaks,
        test_an_unsent_request_on_a_dead_kept_connection_goes_over_a_new_one,
        test_tls_is_checked_against_the_name,
        test_a_certificate_for_another_name_is_refused,
        test_the_lease_is_looked_at_after_the_handshake,
        test_cancelled_requests_poison_nothing,
        test_many_connections_at_once_are_not_slower_each,
    ],
)
def test_all_this_holds_on_uvloop(behaviour, tls):
    """The worker runs on uvloop, whose transports are others: what matters most behaves the same there."""

    async def run():
        trust = ssl.create_default_context(cafile=CERTIFICATE)
        given = {"tls": tls, "method": "POST"}
        async with (
            Outbound(user_agent="tests") as given["client"],
            Outbound(resolve=Names(["127.0.0.1"]), ssl_context=trust) as given["trusting"],
        ):
            await behaviour(**{name: given[name] for name in inspect.signature(behaviour).parameters})

    uvloop.run(run())
