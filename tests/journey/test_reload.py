"""A configuration that changes under running processes: real files, real signals, deliveries meanwhile."""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from bridge.embedded import Embedded
from bridge.emulators.receiver import relay
from tests.journey.conftest import READ_TOKEN, WHSEC
from tests.journey.redis_world import free_port
from tests.journey.test_command_line import COMMAND, answers

MAIN = """\
version: 1
include: rules*.yaml
sources:
  relay: {type: generic, auth: {type: hmac, preset: standard-webhooks, secrets: [{env: RELAY_SECRET}]}}
engines:
  genesis: {type: genesis, base_url: "@GENESIS@", api_key: {env: GENESIS_KEY}, poll: {first: 20ms, max: 100ms}}
templates:
  e2e: {engine: genesis, id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44}
"""
RULES = "rules:\n  - {name: @NAME@, source: relay, event: run, template: e2e}\n"


def environment(place: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    secrets = {"RELAY_SECRET": WHSEC, "GENESIS_KEY": "k", "BRIDGE_READ_TOKENS": READ_TOKEN}
    return {**kept, **secrets, "BRIDGE_CONFIG": str(place / "bridge.yaml"), "BRIDGE_PORT": str(port)}


class Running:
    """One process of the command line, and what it says."""

    def __init__(self, place: Path, command: str, **environ: str) -> None:
        self.port = free_port()
        self._log = place / f"{command}.log"
        environ = environment(place, self.port) | environ
        with self._log.open("w") as output:
            self.process = subprocess.Popen([COMMAND, command], env=environ, stdout=output, stderr=output)

    def __enter__(self) -> Self:
        self.says("process.started")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.process.kill()
        assert self.process.wait() == 0, self._log.read_text()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines that say this."""
        lines = [msgspec.json.decode(line) for line in self._log.read_text().splitlines(keepends=True) if "\n" in line]
        return [line for line in lines if line["event"] == event]

    def says(self, event: str, times: int = 1) -> dict[str, Any]:
        """Wait until the log has such a line for the n-th time; return it."""
        until(lambda: len(self.logged(event)) >= times, self._log.read_text)
        return self.logged(event)[times - 1]

    def get(self, path: str) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        request.add_header("authorization", f"Bearer {READ_TOKEN}")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.read().decode())

    def deliver(self, event: str = "run") -> dict[str, Any]:
        """Send one signed event; return the answer, whatever it is."""
        body = msgspec.json.encode({"type": event})
        headers = relay(body, secret=WHSEC, message_id=f"msg_{time.monotonic_ns()}")
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/hooks/relay", body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: dict[str, Any] = msgspec.json.decode(answer.read())
        return found

    def rules_run(self) -> list[str]:
        return [execution["rule"] for execution in self.deliver().get("executions", [])]

    def config_of(self, delivery_id: str) -> str:
        return str(msgspec.json.decode(self.get(f"/api/deliveries/{delivery_id}"))["config"])

    def ends(self, execution_id: str) -> str:
        """Wait until an execution has ended; return how."""
        until(lambda: bool(self.execution(execution_id)["final"]), lambda: str(self.execution(execution_id)))
        return str(self.execution(execution_id)["status"])

    def execution(self, execution_id: str) -> dict[str, Any]:
        """Return what the API shows of an execution."""
        shown: dict[str, Any] = msgspec.json.decode(self.get(f"/api/executions/{execution_id}"))
        return shown


def until(holds: Callable[[], bool], otherwise: Callable[[], str], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.05)


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """Run an own server: what is queued here and never started must not be found by another test's worker."""
    server = Embedded(tmp_path / "valkey")
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def genesis(tmp_path: Path) -> Iterator[str]:
    """Run an emulated Genesis as a process of its own."""
    port = free_port()
    process = subprocess.Popen(
        [COMMAND, "emulate", "genesis", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert answers(f"http://127.0.0.1:{port}/_emulator/journal")
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
def place(tmp_path: Path, genesis: str) -> Path:
    """Return a directory with a configuration of one rule, `first`."""
    (tmp_path / "bridge.yaml").write_text(MAIN.replace("@GENESIS@", genesis))
    (tmp_path / "rules.yaml").write_text(RULES.replace("@NAME@", "first"))
    return tmp_path


def test_a_changed_rule_counts_without_a_restart(place: Path, redis_url: str) -> None:
    """By a change of a file, and by SIGHUP; each delivery records which configuration decided it."""
    with Running(place, "serve", BRIDGE_REDIS_URL=redis_url) as web:
        first = web.deliver()
        assert [execution["rule"] for execution in first["executions"]] == ["first"]
        (place / "rules.yaml").write_text(RULES.replace("@NAME@", "second"))
        adopted = web.says("config.adopted")
        second = web.deliver()
        assert [execution["rule"] for execution in second["executions"]] == ["second"]
        assert web.config_of(first["delivery_id"]) == adopted["was"]
        assert web.config_of(second["delivery_id"]) == adopted["config"]
        (place / "rules-more.yaml").write_text(RULES.replace("@NAME@", "third"))
        os.kill(web.process.pid, signal.SIGHUP)
        web.says("config.adopted", times=2)
        assert sorted(web.rules_run()) == ["second", "third"]


def test_a_bad_file_changes_nothing_but_is_told(place: Path, redis_url: str) -> None:
    """The service stays ready under the last good configuration; readiness, metric and log tell; mending is enough."""
    with Running(place, "serve", BRIDGE_REDIS_URL=redis_url) as web:
        good = (place / "bridge.yaml").read_text()
        running = re.findall(r'genesis_bridge_config_info{hash="(\w+)"} 1.0', web.get("/metrics"))
        assert web.get("/readyz") == "ok"
        (place / "bridge.yaml").write_text(good.replace("engine: genesis", "engine: gensis"))
        refused = web.says("config.refused")
        assert refused["problems"] == [
            f"{place}/bridge.yaml:8:17: template 'e2e': unknown engine 'gensis': did you mean 'genesis'?"
        ]
        assert web.get("/readyz").startswith("ok\nthe configuration's files have 1 problem, see the log or")
        assert web.get("/readyz").endswith(f"still running with {running[0]}")
        assert "genesis_bridge_config_good 0.0" in web.get("/metrics")
        assert 'genesis_bridge_config_reloads_total{outcome="refused"} 1.0' in web.get("/metrics")
        assert web.rules_run() == ["first"]
        (place / "bridge.yaml").write_text(f"{good}# mended\n")
        adopted = web.says("config.adopted")
        assert adopted["was"] == running[0]
        assert web.get("/readyz") == "ok"
        metrics = web.get("/metrics")
        assert "genesis_bridge_config_good 1.0" in metrics
        assert re.findall(r'genesis_bridge_config_info{hash="(\w+)"} 1.0', metrics) == [adopted["config"]]
        loaded = re.search(r"^genesis_bridge_config_loaded_timestamp_seconds (\S+)$", metrics, re.MULTILINE)
        assert loaded is not None
        assert time.time() - float(loaded[1]) < 10


def test_a_process_does_not_start_with_a_bad_file(place: Path, redis_url: str) -> None:
    """So a rolling deploy of one stops at its first new process, and the old ones go on."""
    (place / "bridge.yaml").write_text("version: 1\nsorces: {}\n")
    running = Running(place, "serve", BRIDGE_REDIS_URL=redis_url)
    assert running.process.wait(20) == 1


def test_a_swapped_configmap_is_adopted(place: Path, redis_url: str) -> None:
    """The mounted names stay what they are; where they lead changes in one step."""
    mounted = place / "mounted"
    for number, name in ((1, "first"), (2, "second")):
        (mounted / f"..v{number}").mkdir(parents=True)
        (mounted / f"..v{number}" / "bridge.yaml").write_text((place / "bridge.yaml").read_text())
        (mounted / f"..v{number}" / "rules.yaml").write_text(RULES.replace("@NAME@", name))
    (mounted / "..data").symlink_to("..v1")
    for name in ("bridge.yaml", "rules.yaml"):
        (mounted / name).symlink_to(f"..data/{name}")
    with Running(mounted, "serve", BRIDGE_REDIS_URL=redis_url) as web:
        assert web.rules_run() == ["first"]
        (mounted / "..data_tmp").symlink_to("..v2")
        (mounted / "..data_tmp").replace(mounted / "..data")
        web.says("config.adopted")
        assert web.rules_run() == ["second"]


def test_a_delivery_in_flight_ends_under_the_configuration_it_began_with(place: Path, redis_url: str) -> None:
    """Its source is taken out while its body is still on the way."""
    with Running(place, "serve", BRIDGE_REDIS_URL=redis_url) as web:
        body = b'{"type": "run"}'
        headers = relay(body, secret=WHSEC, message_id=f"msg_{time.monotonic_ns()}")
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
            request = f"POST /hooks/relay HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}"
            connection.sendall(f"{request}content-length: {len(body)}\r\n\r\n".encode() + body[:5])
            time.sleep(0.3)
            main = (place / "bridge.yaml").read_text()
            (place / "rules.yaml").write_text("rules: []\n")
            (place / "bridge.yaml").write_text(main.replace("  relay:", "  another:"))
            adopted = web.says("config.adopted")
            with pytest.raises(urllib.error.HTTPError, match="404"):
                web.deliver()
            connection.sendall(body[5:])
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 202")
        taken = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
        assert [execution["rule"] for execution in taken["executions"]] == ["first"]
        assert web.config_of(taken["delivery_id"]) == adopted["was"]


def test_processes_may_change_one_after_the_other(place: Path, redis_url: str, genesis: str) -> None:
    """An execution for an engine that only the web process knows yet waits for the worker to learn of it."""
    other = place / "worker"
    other.mkdir()
    for name in ("bridge.yaml", "rules.yaml"):
        (other / name).write_text((place / name).read_text())
    with (
        Running(place, "serve", BRIDGE_REDIS_URL=redis_url) as web,
        Running(other, "worker", BRIDGE_REDIS_URL=redis_url) as worker,
    ):
        renamed = (place / "bridge.yaml").read_text().replace("  genesis: {", "  newer: {")
        renamed = renamed.replace("engine: genesis", "engine: newer")
        (place / "bridge.yaml").write_text(renamed)
        web.says("config.adopted")
        [execution] = web.deliver()["executions"]
        until(lambda: web.execution(execution["id"])["reason"] is not None, lambda: str(web.execution(execution["id"])))
        waits = web.execution(execution["id"])
        assert not waits["final"]
        assert waits["reason"] == "waiting: the configuration here has no engine 'newer' (yet)"
        (other / "bridge.yaml").write_text(renamed)
        os.kill(worker.process.pid, signal.SIGHUP)
        worker.says("config.adopted")
        assert web.ends(execution["id"]) == "completed"


def test_a_terminal_that_is_closed_ends_what_runs_in_it(place: Path, redis_url: str) -> None:
    """SIGHUP is a reload as long as there is one, and no reason to live on without it."""
    ours, theirs = pty.openpty()
    environ = environment(place, free_port()) | {"BRIDGE_REDIS_URL": redis_url}
    process = subprocess.Popen(
        [COMMAND, "serve"], env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    said = b""
    while b"process.started" not in said:
        said += os.read(ours, 10_000)
    process.send_signal(signal.SIGHUP)
    while b"config.adopted" not in said:
        said += os.read(ours, 10_000)
    os.close(ours)
    process.send_signal(signal.SIGHUP)  # as the kernel does for the session whose terminal it is
    assert process.wait(20) == 0


def test_every_delivery_is_decided_by_one_configuration(place: Path, redis_url: str) -> None:
    """While it changes over and over: each is taken, and the hash it records is that of the rule that ran."""
    with Running(place, "serve", BRIDGE_REDIS_URL=redis_url) as web, ThreadPoolExecutor(8) as senders:
        taken = []
        for turn in range(12):
            (place / "rules.yaml").write_text(RULES.replace("@NAME@", ("first", "second")[turn % 2]))
            os.kill(web.process.pid, signal.SIGHUP)
            taken += list(senders.map(lambda _: web.deliver(), range(20)))
        decided = {(answer["executions"][0]["rule"], web.config_of(answer["delivery_id"])) for answer in taken}
        assert len(taken) == 240
        assert len(decided) == 2
        assert {rule for rule, _ in decided} == {"first", "second"}


def test_what_needs_a_restart_is_said(place: Path, redis_url: str) -> None:
    """All else is adopted; the durability stays, in the log and at /readyz, until the process starts anew."""
    with Running(place, "serve", BRIDGE_REDIS_URL=redis_url) as web:
        (place / "rules.yaml").write_text(RULES.replace("@NAME@", "second"))
        (place / "bridge.yaml").write_text(f"durability: none\n{(place / 'bridge.yaml').read_text()}")
        says = web.says("config.needs_restart")["what"]
        assert says == "`durability: none` needs a restart; still running with standard"
        assert web.get("/readyz") == f"ok\n{says}"
        assert web.rules_run() == ["second"]
