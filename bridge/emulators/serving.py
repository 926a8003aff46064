"""Put an emulator on a socket of 127.0.0.1, inside the running event loop, and take it off again without a trace."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bridge.emulators.exchange import TRANSPORT, Message, Receive, Send

ACCEPT_TURNS = 5


class App(Protocol):
    """An ASGI app that wants to know its own address."""

    url: str

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""


class _Connection(HttpToolsProtocol):
    """uvicorn's connection, with its transport within reach of the app.

    ASGI has no message for "cut the connection", and uvicorn answers 500 for an app that returns without one. A fault
    that drops the connection therefore needs the transport, which uvicorn keeps to itself. The scope is built in
    on_message_begin, once per request, so that is where it is added.
    """

    def __init__(self, config: Config, server_state: ServerState) -> None:
        super().__init__(config, server_state, {})
        self.access_log = False  # Config's own switch silences the logger for every uvicorn in this process
        self.gone = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.gone.set()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["extensions"] = {TRANSPORT: self.transport}


class Server:
    """Serve an emulator while inside `async with`; entering again serves it at the same port.

    uvicorn's parser and protocol without uvicorn.Server, which installs signal handlers, polls every 100 ms to start
    and to stop, and calls sys.exit when the port is taken. Here a taken port is an OSError. Stopping cuts every
    connection, also one that waits for a delayed answer.
    """

    def __init__(self, app: App, *, host: str = "127.0.0.1", port: int = 0, keep_alive_seconds: int = 5) -> None:
        self.app = app
        self.host = host
        self.port = port
        self._config = Config(
            self._serve,
            http=_Connection,
            ws="websockets-sansio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=keep_alive_seconds,
        )
        self._config.load()
        self._state = ServerState()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Say where the emulator answers."""
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: _Connection(self._config, self._state), self.host, self.port)
        self._listener = listener
        self.port = listener.sockets[0].getsockname()[1]
        self.app.url = self.url
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            return
        # A connection just accepted takes asyncio several turns of the loop until anyone knows of it, and is leaked if
        # the listener closes meanwhile. So: accept no more, let those turns pass, and close only then.
        for listening in listener.sockets:
            with suppress(NotImplementedError):  # Windows
                asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        listener.close()
        connections = list(self._state.connections)
        for connection in connections:
            cast(Any, connection).transport.abort()  # a WebSocket's, too
        http = [connection for connection in connections if isinstance(connection, _Connection)]
        await asyncio.gather(*(connection.gone.wait() for connection in http))
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        # Only __aexit__ cancels. uvicorn would log the cancellation as a failure of the app; with the connection gone
        # it takes a quiet return for what it is.
        with suppress(asyncio.CancelledError):
            await self.app(scope, receive, send)
