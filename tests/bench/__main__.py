"""Measure what was designed for: `python -m tests.bench [--short]`.

Each figure is printed beside the one it is to be compared with, taken in the same run on the same machine.
"""

import argparse
import asyncio
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from bridge import log
from bridge.embedded import Embedded
from bridge.emulators.genesis import Genesis
from bridge.emulators.genesis_runs import Template
from bridge.emulators.receiver import relay
from bridge.emulators.serving import Server
from bridge.records import DeliveryRecord, Record
from bridge.store import Store
from tests.bench import recording
from tests.bench.memory import lived

WHSEC = "whsec_" + b64encode(b"0123456789abcdef0123456789abcdef").decode()
SECRETS = {"RELAY_SECRET": WHSEC, "GENESIS_KEY": "k"}
COMMAND = Path(sys.executable).parent / "genesis-bridge"
WORKFLOW = "7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44"
HEAD = """version: 1
sources:
  relay: {{type: generic, auth: {{type: hmac, preset: standard-webhooks, secrets: [{{env: RELAY_SECRET}}]}}}}
engines:
  genesis: {{type: genesis, base_url: "{url}", api_key: {{env: GENESIS_KEY}}}}
templates:
  e2e: {{engine: genesis, id: {workflow}, variables: {{n: {{}}}}, deadline: 1h}}
rules:
  - name: run
    source: relay
    event: run
    when: [body.n is defined]
    template: e2e
    variables: {{n: "${{{{ body.n }}}}"}}
"""


class Figure(NamedTuple):
    """One row of the table."""

    what: str
    measured: str
    beside: str


def written(directory: Path, url: str) -> Path:
    """Write a configuration with one rule that matches."""
    path = directory / "bridge.yaml"
    path.write_text(HEAD.format(url=url, workflow=WORKFLOW))
    return path


def rules(directory: Path, repeats: int) -> list[Figure]:
    """Time the decision about one event with 10 rules for it, and with 1,000 rules for 50 events, of which 20 are."""
    few, many = recording.per_event(directory, repeats)
    what = "one decision with 1,000 rules for 50 events"
    return [Figure(what, f"{many * 1e6:.0f} us", f"{many / few:.2f} of that with 10 rules for it")]


async def explaining(directory: Path, redis_url: str, repeats: int) -> list[Figure]:
    """Time accepts that record why each of 3 or 10 rules runs, beside accepts that do not."""
    figures = []
    for count in (3, 10):
        with log.kept_in_memory():
            recorded, plain = await recording.accepting(directory, redis_url, count, repeats)
        what = f"an accept that records why {count} rules run"
        figures.append(Figure(what, f"{recorded * 1e6:.0f} us", f"{recorded / plain:.3f} of one that records nothing"))
    return figures


def checking(directory: Path, count: int) -> list[Figure]:
    """Time `genesis-bridge check` of rules with three tests each, beside the same rules without tests."""
    path = recording.with_tests(directory, count)
    tested, plain = (min(recording.checked(one) for _ in range(3)) for one in (path, recording.without_tests(path)))
    return [Figure(f"check of {count} rules with 3 tests each", f"{tested:.1f} s", f"{plain:.1f} s without the tests")]


async def latency(directory: Path, redis_url: str, events: int) -> list[Figure]:
    """Time from the 2xx of an event to the first byte of its trigger at the engine, 20 events a second."""
    genesis = Genesis(any_template=True, default=Template(timeline=(("completed", None),)))
    async with Server(genesis), httpx.AsyncClient() as client:
        process, url = await started("up", directory, redis_url, genesis.url)
        answered: dict[str, float] = {}
        accepts = []
        for number in range(-10, events):
            began = time.monotonic()
            body = msgspec.json.encode({"type": "run", "n": str(number)})
            headers = relay(body, secret=WHSEC, message_id=f"msg_{number}")
            answer = await client.post(f"{url}/hooks/relay", content=body, headers=headers)
            assert answer.status_code == 202, answer.text
            answered[str(number)] = time.monotonic()
            accepts.append(answered[str(number)] - began)
            await asyncio.sleep(max(0.0, 0.05 - accepts[-1]))
        await asyncio.sleep(0.5)
        await stopped(process)
    late = sorted(
        max(0.0, record.monotonic - answered[(record.variables or {})["n"]])
        for record in genesis.triggers
        if int((record.variables or {})["n"]) >= 0
    )
    assert len(late) == events, f"{len(late)} triggers of {events} events"
    p50, p99 = late[len(late) // 2] * 1000, late[int(len(late) * 0.99)] * 1000
    accept = statistics.median(accepts) * 1000
    return [Figure("2xx to trigger, p50 / p99", f"{p50:.1f} / {p99:.1f} ms", f"the accept itself: p50 {accept:.1f} ms")]


async def in_flight(directory: Path, redis_url: str, executions: int) -> list[Figure]:
    """Weigh a worker that follows many executions, against one that follows none."""
    genesis = Genesis(any_template=True, default=Template(timeline=(("running", None),)))
    store = Store(redis_url)
    await store.redis.flushall()
    async with Server(genesis):
        process, _ = await started("worker", directory, redis_url, genesis.url)
        await asyncio.sleep(2)
        empty = resident_mb(process.pid)
        delivery = DeliveryRecord(source="relay", event="run", action=None, key=None, reason=None, config="", rules=[])
        record = Record(
            delivery_id="d",
            rule="run",
            source="relay",
            engine="genesis",
            template="e2e",
            template_id=WORKFLOW,
            variables={"n": "1"},
            deadline_seconds=3600,
        )
        for first in range(0, executions, 100):
            wave = range(first, min(first + 100, executions))
            await asyncio.gather(*(store.accept(f"d_{n}", delivery, "accepted", b"", {f"x_{n}": record}) for n in wave))
        await asyncio.sleep(executions / 500)
        await asyncio.sleep(20 if executions > 1000 else 1)
        heavy = resident_mb(process.pid)
        polls = len(genesis.fetches)
        await stopped(process)
    triggered = {record.execution_id for record in genesis.triggers}
    assert len(genesis.triggers) == len(triggered) == executions
    await store.close()
    what = f"a worker with {executions:,} executions in flight"
    return [Figure(what, f"{heavy:.0f} MB", f"{empty:.0f} MB with none; {polls:,} polls made")]


async def memory(redis_url: str, executions: int) -> list[Figure]:
    """Weigh what executions leave in Redis, with their records there and when these have expired."""
    store = Store(redis_url)
    await store.redis.flushall()
    left = await lived(store, executions)
    await store.close()
    grown, back = left.bytes_after - left.bytes_before, left.bytes_expired - left.bytes_before
    return [
        Figure(
            f"Redis after {executions:,} executions, with deliveries, bodies and notifications",
            f"{grown / executions / 1000:.1f} kB each",
            f"{grown / left.bytes_of_records:.2f} of what their keys take; {back / grown:.1%} when these have expired",
        )
    ]


async def started(
    command: str, directory: Path, redis_url: str, genesis_url: str
) -> tuple[asyncio.subprocess.Process, str]:
    """Start a process of ours and wait until it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")},
        **SECRETS,
        "BRIDGE_CONFIG": str(written(directory, genesis_url)),
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_PORT": str(port),
        "BRIDGE_LOG": "json",
    }
    process = await asyncio.create_subprocess_exec(COMMAND, command, env=environ, stderr=asyncio.subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    if command != "worker":
        async with httpx.AsyncClient() as client:
            while True:
                try:
                    if (await client.get(f"{url}/readyz")).status_code == 200:
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
    return process, url


async def stopped(process: asyncio.subprocess.Process) -> None:
    """Stop a process of ours and expect it to end well."""
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


def resident_mb(pid: int) -> float:
    """Return a process's resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


async def measure(*, short: bool) -> list[Figure]:
    """Take every figure; `short` shows only that they can be taken."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        server = Embedded(directory / "data")
        server.start()
        try:
            return [
                *rules(directory, 3 if short else 15),
                *await latency(directory, server.url, 20 if short else 400),
                *await in_flight(directory, server.url, 200 if short else 10_000),
                *await memory(server.url, 200 if short else 100_000),
                *await explaining(directory, server.url, 20 if short else 1000),
                *checking(directory, 20 if short else 500),
            ]
        finally:
            server.stop()


def main(measuring: Callable[..., Coroutine[None, None, list[Figure]]]) -> None:
    """Print the figures, `--short` for less exact ones."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    table = Table("what", "measured", "beside it")
    for figure in asyncio.run(measuring(short=parser.parse_args().short)):
        table.add_row(*figure)
    Console().print(table)


if __name__ == "__main__":
    main(measure)
