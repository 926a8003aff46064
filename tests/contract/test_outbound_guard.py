"""The guard on addresses that events bring: however they are written, wherever a name turns, whoever redirects.

What is counted is real: connections that the loop was asked to open, and those that a listening socket took.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from bridge import connections
from bridge.errors import AttemptError, EvaluationError, Permanent
from bridge.model import Message
from bridge.notifiers.callback import Callback
from bridge.outbound import Outbound
from bridge.secret import Secret
from bridge.urls import Url

ALLOWED = "127.0.0.77"
"""The one address that the operator permits; everything else is inside, around or at this machine."""
LITERALS = """
127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.1 0x7f.0.0.1 0177.0.0.1 017700000001 0 0.0.0.0 127.0.0.1.
127.255.255.254 localhost localhost. LOCALHOST 127\u30020\u30020\u30021 \uff11\uff12\uff17.0.0.1
\uff11\uff12\uff17\uff0e\uff10\uff0e\uff10\uff0e\uff11 \u2460\u2461\u2466.0.0.1
\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3 local\u00adhost
169.254.169.254 0xa9fea9fe 2852039166 0251.0376.0251.0376 169.254.43518 0xa9.0xfe.0xa9.0xfe 10.0.0.1 10.1 0x0a000001
172.16.0.1 192.168.0.1 192.168.1 100.64.0.1 100.100.100.200 168.63.129.16 224.0.0.1 255.255.255.255 240.0.0.1
198.18.0.1 192.0.0.8 192.0.0.192 192.88.99.1
[::] [::1] [0:0:0:0:0:0:0:1] [::127.0.0.1] [::7f00:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:169.254.169.254]
[::ffff:0:7f00:1] [64:ff9b::a9fe:a9fe] [64:ff9b::127.0.0.1] [64:ff9b:1::1] [2002:7f00:1::] [2002:a9fe:a9fe::]
[2001:0:7f00:1::] [2001:db8::1] [3fff::1] [5f00::1] [fc00::1] [fd00:ec2::254] [fe80::1] [fe80::1%25lo]
[::1%25lo] [::1%lo] [fec0::1] [ff02::1] [100::1]
user@127.0.0.1 ci.example.com@127.0.0.1 ci.example.com:443@127.0.0.1 ci.example.com\\@127.0.0.1
127.0.0.1#@ci.example.com 127.0.0.1?@ci.example.com %31%32%37.0.0.1 127.0.0.1%2f@ci.example.com
127.0.0.1%00.ci.example.com
""".split()
NAMES = {
    "metadata": "169.254.169.254",
    "metadata.google.internal": "169.254.169.254",
    "metadata.google.internal.": "169.254.169.254",
    "instance-data": "169.254.169.254",
    "instance-data.ec2.internal": "169.254.169.254",
    "metadata.tencentyun.com": "169.254.0.23",
    "kubernetes.default.svc": "10.96.0.1",
    "host.docker.internal": "192.168.65.254",
    "127.0.0.1.nip.io": "127.0.0.1",
    "localtest.me": "::1",
}
"""Names that lead inside, as some network's DNS answers them."""
SPELLINGS = [*LITERALS, *NAMES]


class Loop(asyncio.SelectorEventLoop):
    """Counts the connections it is asked to open."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        self.asked.append(host)
        return await super().create_connection(factory, host, port, **options)


class Trap:
    """Listens at every address of this machine; `caught` has those it was reached at."""

    def __init__(self) -> None:
        self.caught: list[str] = []
        self.location = ""
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Trap"]:
        with contextlib.ExitStack() as stack:
            four = stack.enter_context(socket.create_server(("0.0.0.0", 0)))  # noqa: S104 - a trap is open on all sides
            self.port = four.getsockname()[1]
            servers = [await asyncio.start_server(self._connected, sock=four)]
            with contextlib.suppress(OSError):  # a machine without IPv6
                six = stack.enter_context(socket.create_server(("::", self.port), family=socket.AF_INET6))
                servers.append(await asyncio.start_server(self._connected, sock=six))
            yield self
            for server in servers:
                server.close()
            await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.caught.append(writer.get_extra_info("sockname")[0])
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            status = f"302 Found\r\nlocation: {self.location}" if self.location else "200 OK"
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()


def counted(story: Callable[[Trap], Coroutine[Any, Any, None]]) -> tuple[list[str], list[str]]:
    """Run one story; return what the loop was asked to connect to and where the trap was reached, the allowed aside."""

    async def run() -> list[str]:
        async with Trap().listening() as trap:
            await story(trap)
            await asyncio.sleep(0.01)
            return [where for where in trap.caught if where != ALLOWED]

    with asyncio.Runner(loop_factory=Loop) as runner:
        caught = runner.run(run())
        loop = runner.get_loop()
        assert isinstance(loop, Loop)
        return [host for host in loop.asked if host != ALLOWED], caught


def looked_up(host: str, port: int) -> list[str]:
    """Resolve as the system does, or as a network whose names lead inside."""
    return [NAMES[host]] if host in NAMES else connections.resolve(host, port)


def client(resolve: connections.Resolve) -> Outbound:
    """Return a client that trusts no certificate, for reading them takes longer than a test."""
    return Outbound(resolve=resolve, ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


async def told(outbound: Outbound, trap: Trap, url: str, allow: str = f"{ALLOWED}/32") -> None:
    """Send one notification to a URL that an event brought; the port and http are allowed, so the address decides."""
    notifier = Callback(
        url=Url("${{ body.callback_url }}"),
        secrets=[Secret("env: SECRET", b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        allow_http=True,
        allow_ports=(trap.port,),
        allow_cidrs=(allow,),
    )
    address = notifier.address({"body": {"callback_url": url}})
    await notifier.send(outbound, Message(id="msg_1", body=b"{}", address=address, attempt=1, now=1_800_000_000))


def flipping(before: list[str], after: list[str]) -> connections.Resolve:
    """Return a resolver whose name leads somewhere else from the second look on, as rebinding servers answer."""
    answers: Iterator[list[str]] = iter([before])
    return lambda *_: next(answers, after)


def inner(spelling: str) -> list[str]:
    """Return what a spelling resolves to, where the system resolves it."""
    with contextlib.suppress(OSError, ValueError):
        return looked_up(spelling.strip("[]").replace("%25", "%"), 80)
    return ["127.0.0.1"]


def test_there_are_more_than_sixty_spellings() -> None:
    """The figure of docs/security.md."""
    assert len(set(SPELLINGS)) >= 90


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_is_connected_to(spelling: str, scheme: str) -> None:
    """However a forbidden address is written, no connection is opened."""

    async def story(trap: Trap) -> None:
        async with client(looked_up) as outbound:
            with pytest.raises((EvaluationError, AttemptError), match=r"not allowed|looked up|cannot be used"):
                await told(outbound, trap, f"{scheme}://{spelling}:{trap.port}/")

    assert counted(story) == ([], [])


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_name_is_followed_inside_when_it_turns(spelling: str) -> None:
    """A name that was good at first, and then leads inside, alone or beside a good address, is refused."""

    async def story(trap: Trap) -> None:
        url = f"http://rebinding.example.com:{trap.port}/"
        for after in (inner(spelling), [ALLOWED, *inner(spelling)]):
            async with client(flipping([ALLOWED], after)) as outbound:
                await told(outbound, trap, url)
                with pytest.raises(Permanent, match="not allowed"):
                    await told(outbound, trap, url)
        assert trap.caught == [ALLOWED, ALLOWED]

    assert counted(story) == ([], [])


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_redirect_is_followed(spelling: str) -> None:
    """A permitted receiver that sends us on, to whatever spelling, is a receiver that failed."""

    async def story(trap: Trap) -> None:
        trap.location = f"http://{spelling}:{trap.port}/"
        async with client(looked_up) as outbound:
            with pytest.raises(AttemptError, match=r"HTTP 302|not HTTP"):
                await told(outbound, trap, f"http://{ALLOWED}:{trap.port}/")
        assert trap.caught == [ALLOWED]

    assert counted(story) == ([], [])


@pytest.mark.parametrize("spelling", ["127.1", "2130706433", "0x7f.1", "017700000001"])
def test_the_counting_counts(spelling: str) -> None:
    """Where the operator allows this machine, the spellings that mean it are reached."""

    async def story(trap: Trap) -> None:
        async with client(looked_up) as outbound:
            await told(outbound, trap, f"http://{spelling}:{trap.port}/", allow="127.0.0.0/8")

    assert counted(story) == (["127.0.0.1"], ["127.0.0.1"])
