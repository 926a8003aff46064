"""One HTTP exchange as an emulator sees it: the request read, and an answer sent well or, on purpose, badly."""

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

import msgspec

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
C = TypeVar("C")

# Where serving.Server leaves the connection's transport; nothing in ASGI itself can cut a connection.
TRANSPORT = "bridge.transport"
CHUNK_BYTES = 65_536
BODILESS = frozenset({204, 304})


class ClientGone(Exception):
    """The client hung up before its request was complete: a half request is never acted on."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes back to the client, and how badly.

    `delay_seconds` passes before the first byte; `drip_seconds` is spread over the body's bytes; `pad_bytes` of
    spaces follow the body (valid JSON stays valid), made while sending and never held; `cut` promises the whole body
    in Content-Length, sends half and closes; `drop` sends nothing at all and ends the connection with a FIN (`close`)
    or an RST (`reset`).
    """

    status: int = 200
    body: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    pad_bytes: int = 0
    cut: bool = False
    drop: Literal["", "close", "reset"] = ""


def json_answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Wrap a value as a JSON answer."""
    return Answer(status=status, body=msgspec.json.encode(value).decode(), headers=headers or {})


def text_answer(text: str, status: int = 200) -> Answer:
    """Wrap a text as a plain-text answer."""
    return Answer(status=status, body=text, content_type="text/plain; charset=utf-8")


def http_date(epoch_seconds: float) -> str:
    """Write a moment as an HTTP date, the second form a Retry-After may have."""
    return formatdate(epoch_seconds, usegmt=True)


class Exchange:
    """One request with its connection."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        # Split before decoding, so that an escaped slash stays inside its segment.
        path = scope["raw_path"].decode("latin-1")
        self.path: str = unquote(path)
        self.query: str = scope["query_string"].decode("latin-1")
        self.segments = tuple(unquote(part) for part in path.strip("/").split("/"))
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.client: tuple[str, int] = scope["client"] or ("", 0)  # None: already gone
        self._transport: asyncio.Transport = scope["extensions"][TRANSPORT]
        self._receive = receive
        self._send = send

    async def body(self, limit_bytes: int | None = None) -> bytes:
        """Read the whole request body; of one over the limit keep only enough to see that it is."""
        kept = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message["more_body"]
            if limit_bytes is None or len(kept) <= limit_bytes:
                kept += message["body"]
        return bytes(kept)

    async def answer(self, answer: Answer) -> None:
        """Send the answer the way it says."""
        await asyncio.sleep(answer.delay_seconds)
        if answer.drop:
            await self.drop(reset=answer.drop == "reset")
            return
        payload = b"" if answer.status in BODILESS else answer.body.encode()
        headers = dict(answer.headers)
        if answer.status not in BODILESS:
            headers |= {"content-type": answer.content_type, "content-length": str(len(payload) + answer.pad_bytes)}
        pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        if answer.cut:
            await self._send({"type": "http.response.body", "body": payload[: len(payload) // 2], "more_body": True})
            self._transport.close()
            await self._until_gone()
            return
        async for piece in _pieces(payload, answer):
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def drop(self, *, reset: bool) -> None:
        """End the connection without another byte, with an RST or with a FIN."""
        if reset and not self._transport.is_closing():
            # Lingering for zero seconds is how a socket is told to send RST. Through a second descriptor, because what
            # asyncio and uvloop hand out is not the socket itself.
            number = os.dup(self._transport.get_extra_info("socket").fileno())
            with socket.socket(fileno=number) as twin:
                twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        await self._until_gone()

    async def _until_gone(self) -> None:
        # uvicorn logs an app that returns without an answer, unless it has seen the disconnect first.
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _pieces(payload: bytes, answer: Answer) -> AsyncIterator[bytes]:
    step = 1 if answer.drip_seconds else CHUNK_BYTES
    for start in range(0, len(payload), step):
        await asyncio.sleep(answer.drip_seconds / len(payload))
        yield payload[start : start + step]
    left = answer.pad_bytes
    while left > 0:
        yield b" " * min(left, CHUNK_BYTES)
        left -= CHUNK_BYTES


class Scripted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer to give instead of the normal one.

    `on` names the path or method it is for (`*`: any), `times` how often (0: for good); with `runs` the request is
    obeyed all the same.
    """

    answer: Answer
    on: str = "*"
    times: int = 1
    runs: bool = False


class Script(deque[Scripted]):
    """The scripted answers still to be given, first come first served."""

    def add(self, answer: Answer, *, on: str = "*", times: int = 1, runs: bool = False) -> None:
        """Queue an answer for a path or method, or for any (`*`)."""
        self.append(Scripted(answer=answer, on=on, times=times, runs=runs))

    def take(self, name: str) -> Scripted | None:
        """Take the first entry meant for this path or method."""
        for index, entry in enumerate(self):
            if entry.on in ("*", name):
                spend(self, index)
                return entry
        return None


def spend(queue: deque[C], index: int) -> None:
    """Count one use of a queued entry: the last one removes it, 0 times never runs out."""
    entry: Any = queue[index]
    if entry.times == 1:
        del queue[index]
    elif entry.times > 1:
        queue[index] = msgspec.structs.replace(entry, times=entry.times - 1)
