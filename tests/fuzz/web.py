"""The web process under any bytes at all: requests into the application, and raw bytes into its connections."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import uvicorn
from uvicorn.server import ServerState

from bridge.access import Access
from bridge.app import build
from bridge.outbound import Outbound
from bridge.parts import Bridge
from bridge.protocol import Limits, guarded
from bridge.store import Store
from tests.fuzz.targets import CONFIG, EVENT, HEADS, REQUESTS, parted, proof

TOKEN = "a-token-that-may-operate"
_STATUS = re.compile(rb"HTTP/1\.1 (\d+)")
ORDERS = [
    b"GET /api/deliveries?limit=1&cursor=x\n\n",
    b"GET /api/executions/x_1\n\n",
    b'POST /api/executions/x_1/resolve\n\n{"outcome": "ran", "remote_id": "1"}',
    b'POST /api/deliveries/d_1/replay\n\n{"rules": "old"}',
    b'POST /api/engines/genesis/pause\n\n{"reason": "x"}',
    b"GET /metrics\n\n",
    b"HEAD /livez\n\n",
    b"OPTIONS /hooks/relay\n\n",
    b"PUT /hooks/%2e%2e/x?a=%ff&b\n\n",
]
WIRE = [
    b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3,
    b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"GET /a?b#c HTTP/1.0\r\nconnection: keep-alive\r\nupgrade: websocket\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 90 + b"content-length: 0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
]

AsyncCheck = Callable[[bytes], Awaitable[None]]


class Web:
    """The application on a real store, without a socket between."""

    def __init__(self, store: Store) -> None:
        """Build it."""
        parts = Bridge(config=CONFIG, store=store, outbound=Outbound(), public_url="http://x")
        self._app = build(parts, Access([TOKEN.encode()]))

    async def hooks(self, data: bytes) -> None:
        """Deliver a believed request, and one that is not; each is answered below 500."""
        name, headers, body = parted(data)
        path = f"/hooks/{name}?{data[-20:].decode('latin-1')}"
        believed = headers | proof(name, body, int(time.time()))
        await self._ask("POST", path, believed, body, below=500)
        if name != "open" and b"ssl_check" not in body:
            # 400: a length that is no number, which no connection of ours lets through.
            assert await self._ask("POST", path, headers, body, below=500) in (400, 401, 413)

    async def paths(self, data: bytes) -> None:
        """Ask for anything at all, with a token that may operate."""
        line, _, rest = data.partition(b"\n")
        method, _, target = line.decode("latin-1").partition(" ")
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        known = method if re.fullmatch("[A-Z]{1,10}", method) else "POST"
        await self._ask(known, f"/{target.lstrip('/')}", headers, rest.lstrip(b"\n"), below=500)

    async def _ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, below: int) -> int:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path, safe="/%").encode(),
            "root_path": "",
            "query_string": query.encode("latin-1", "replace"),
            "headers": [(_text(name), _text(value)) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        coming: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
        statuses: list[int] = []

        async def receive() -> Any:
            return coming.pop(0) if coming else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await self._app(scope, receive, send)  # type: ignore[arg-type] # ours are plain dictionaries
        assert len(statuses) == 1, "one answer"
        assert statuses[0] < below, f"{statuses[0]} for {method} {target[:100]!r}"
        return statuses[0]


def _text(value: str) -> bytes:
    return value.encode("latin-1", "replace")


class _Wire(asyncio.Transport):
    """A connection without a socket: what is written is kept."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.written = bytearray()
        self._protocol, self._closing = protocol, False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes) -> None:  # type: ignore[override] # only bytes are written
        self.written += data

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        """Be deaf to it: everything was sent already."""

    def resume_reading(self) -> None:
        """Likewise."""


class Connections:
    """Raw bytes into our own protocol, in two pieces, with a small application behind it."""

    def __init__(self) -> None:
        """Build it."""
        self._kind, self._state = guarded(Limits()), ServerState()
        self._config = uvicorn.Config(_say_how_much, http=self._kind, ws="none", lifespan="off", log_config=None)
        self._config.load()

    async def wire(self, data: bytes) -> None:
        """Feed a connection; every answer on it is below 500, and after it nothing is left behind."""
        protocol = self._kind(self._config, self._state, {})
        transport = _Wire(protocol)
        protocol.connection_made(transport)
        half = len(data) // 2
        for piece in (data[:half], data[half:]):
            if piece and not transport.is_closing():
                protocol.data_received(piece)
        for _ in range(12):
            await asyncio.sleep(0)
        transport.close()
        await asyncio.sleep(0)
        if self._state.tasks:
            await asyncio.wait(self._state.tasks)
        assert all(int(status) < 500 for status in _STATUS.findall(bytes(transport.written)))
        assert not self._state.connections
        assert not self._kind.owing


async def _say_how_much(_: Any, receive: Any, send: Any) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    said = b"%d" % size
    headers = [(b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


def corpora() -> dict[str, list[bytes]]:
    """Return what the inputs of each check here are made from."""
    return {"hooks": [*REQUESTS, HEADS[0] + b"\n\n" + EVENT], "paths": ORDERS, "wire": WIRE}
