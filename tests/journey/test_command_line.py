"""The commands as a person types them: processes, signals, exit codes, what is printed."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.emulators.receiver import relay
from tests.journey.conftest import SECRETS, WHSEC

COMMAND = Path(sys.executable).parent / "genesis-bridge"
CONFIG = """
version: 1
sources:
  relay: {type: generic, auth: {type: hmac, preset: standard-webhooks, secrets: [{env: RELAY_SECRET}]}}
engines:
  genesis: {type: genesis, api_key: {env: GENESIS_KEY}}
templates:
  e2e: {engine: genesis, id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44}
rules:
  - {name: run, source: relay, event: run, template: e2e}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a small configuration."""
    path = tmp_path / "bridge.yaml"
    path.write_text(CONFIG)
    return path


def called(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environ)


def environment(config: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    return {
        **kept,
        "BRIDGE_CONFIG": str(config),
        "BRIDGE_DATA_DIR": str(config.parent / "data"),
        "BRIDGE_PORT": port,
        "RELAY_SECRET": WHSEC,
        "GENESIS_KEY": "k",
        **more,
    }


def test_check_says_what_it_found(config: Path) -> None:
    """A good configuration is counted."""
    result = called("check", str(config), RELAY_SECRET=WHSEC, GENESIS_KEY="k")
    assert result.exit_code == 0
    assert result.output == f"{config}: ok: 1 source, 1 engine, 1 template, 0 notifiers, 1 rule, 0 tests\n"


def test_check_names_every_mistake_with_its_place(config: Path) -> None:
    """All problems at once, each as file:line:column, and exit code 1."""
    config.write_text(CONFIG.replace("source: relay", "source: rely").replace("e2e: {engine: g", "e2e: {engine: j"))
    result = called("check", str(config), RELAY_SECRET=WHSEC, GENESIS_KEY="k")
    assert result.exit_code == 1
    places = re.findall(rf"^{re.escape(str(config))}:(\d+):\d+: ", result.output, flags=re.MULTILINE)
    assert places == ["8", "10"]
    assert "2 problems" in result.output


def test_check_runs_the_tests_beside_the_rules(config: Path) -> None:
    """How many ran; of those that fail, expected and actual at the place of the expectation, and exit code 1."""
    template = "id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44"
    rules = CONFIG.replace(template, f"{template}, variables: {{n: , m: {{default: x}}}}").replace(
        "template: e2e}", 'template: e2e, variables: {n: "${{ body.n }}"}, tests: [@]}'
    )
    good = "{event: {n: 1}, runs: {n: 1}}, {event: {n: 1}, as: other, skips: true}"
    config.write_text(rules.replace("@", good))
    result = called("check", str(config), "--no-secrets")
    assert (result.exit_code, result.output.endswith("1 rule, 2 tests\n")) == (0, True), result.output
    config.write_text(rules.replace("@", f"{good}, {{event: {{n: 3}}, runs: {{n: 4}}}}"))
    result = called("check", str(config), "--no-secrets")
    assert result.exit_code == 1
    column = config.read_text().splitlines()[9].index("{n: 4}") + 5
    assert result.stderr == (
        f"{config}:10:{column}: rule 'run': test 3: variable 'n' differs\n"
        "      expected  4\n      actual    3\n1 of 3 tests failed\n"
    )


def test_check_tells_what_is_surely_not_meant(config: Path) -> None:
    """As a warning with its place, which fails nothing unless --strict is asked for."""
    config.write_text(
        CONFIG.replace("rules:", "  old: {engine: genesis, id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44}\nrules:")
    )
    warning = f"{config}:9:3: warning: template 'old': no rule starts it\n"
    counts = "1 source, 1 engine, 2 templates, 0 notifiers, 1 rule, 0 tests, 1 warning\n"
    result = called("check", str(config), "--no-secrets")
    assert (result.exit_code, result.output) == (0, f"{warning}{config}: ok: {counts}")
    result = called("check", str(config), "--no-secrets", "--strict")
    assert (result.exit_code, result.output) == (1, f"{warning}{config}: not ok under --strict: {counts}")
    config.write_text(CONFIG)
    assert called("check", str(config), "--no-secrets", "--strict").exit_code == 0


def test_check_without_secrets_needs_none(config: Path) -> None:
    """A missing secret is a mistake, unless the machine is not meant to have any."""
    assert called("check", str(config)).exit_code == 1
    assert called("check", str(config), "--no-secrets").exit_code == 0


def test_nothing_waits_for_cryptography_before_it_seals() -> None:
    """It is imported by the first delivery that is kept, so `check` answers at once."""
    program = "import sys, bridge.cli, bridge.config; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_check_takes_its_file_from_the_environment(config: Path) -> None:
    """Without an argument it is the file the service would run."""
    result = called("check", "--no-secrets", BRIDGE_CONFIG=str(config))
    assert result.output.startswith(str(config))


def test_a_wrong_environment_is_named() -> None:
    """An unknown BRIDGE_ variable is refused with the likely meant one."""
    result = called("check", BRIDGE_PROT="80")
    assert result.exit_code == 1
    assert "BRIDGE_PROT" in result.output
    assert "BRIDGE_PORT" in result.output


def test_schema_is_json() -> None:
    """What editors read."""
    assert "rules" in msgspec.json.decode(called("schema").output)["properties"]


@pytest.mark.parametrize(
    ("kind", "file"), [("adnanh", "adnanh-mixed.yaml"), ("gwt", "gwt.yaml"), ("tekton", "tekton.yaml")]
)
def test_import_prints_a_configuration_that_check_takes(kind: str, file: str, tmp_path: Path) -> None:
    """The rules go to standard output, what is not carried over to standard error as well."""
    source = Path(__file__).parents[1] / "data" / "import" / file
    imported = called("import", kind, str(source))
    assert imported.exit_code == 0
    path = tmp_path / "imported.yaml"
    path.write_text(imported.stdout)
    assert called("check", "--no-secrets", str(path)).exit_code == 0
    *notes, told = imported.stderr.splitlines()
    assert all(note.startswith(f"{source}:") and f"#   {note}\n" in imported.stdout for note in notes)
    assert re.fullmatch(rf"\d rules; {len(notes)} notes on what is not as it was", told)


def test_import_says_what_it_cannot_read(tmp_path: Path) -> None:
    """As `check` does."""
    missing = called("import", "adnanh", str(tmp_path / "none.json"))
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "none.json:1:1: the file cannot be read: No such file or directory" in missing.stderr
    (tmp_path / "one.json").write_text('[{"id": "x"}]')
    assert "1 rule; 1 note on" in called("import", "adnanh", str(tmp_path / "one.json")).stderr


def test_serve_and_worker_need_a_redis(config: Path) -> None:
    """Only `up` brings its own server; the message says what to do."""
    for command in ("serve", "worker"):
        result = called(command, **environment(config))
        assert result.exit_code == 1
        assert "BRIDGE_REDIS_URL" in result.output


def test_a_taken_port_is_said_so(config: Path) -> None:
    """One line, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = called("serve", **environment(config, BRIDGE_PORT=port, BRIDGE_REDIS_URL="redis://127.0.0.1:1"))
    assert result.exit_code == 1
    assert f"127.0.0.1:{port}" in result.output
    assert "BRIDGE_PORT" in result.output


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Collect processes, and end what a failing test leaves behind."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def started(processes: list[subprocess.Popen[str]], environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [COMMAND, *arguments], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    processes.append(process)
    return process


def answers(url: str, seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.05)
    return False


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_up_serves_until_it_is_told_to_stop(config: Path, processes: list[subprocess.Popen[str]], name: str) -> None:
    """Web, worker and a private server in one process; it stops cleanly and leaves no server behind."""
    environ = environment(config)
    process = started(processes, environ, "up")
    assert answers(f"http://127.0.0.1:{environ['BRIDGE_PORT']}/readyz")
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    lines = [msgspec.json.decode(line) for line in output.splitlines()]
    assert [line["event"] for line in lines] == ["process.started", "process.stopped"]
    assert not (config.parent / "data" / "valkey.sock").exists()


def test_a_process_told_to_stop_is_unready_first_and_still_takes_deliveries(
    config: Path, redis_url: str, processes: list[subprocess.Popen[str]]
) -> None:
    """Whoever balances the load has time to look elsewhere; nobody is refused meanwhile."""
    environ = environment(config, BRIDGE_REDIS_URL=redis_url)
    url = f"http://127.0.0.1:{environ['BRIDGE_PORT']}"
    process = started(processes, environ, "serve")
    assert answers(f"{url}/readyz")
    process.terminate()
    time.sleep(0.3)
    assert not answers(f"{url}/readyz", seconds=0.2)
    body = b'{"type": "run"}'
    headers = relay(body, secret=WHSEC, message_id="msg_late")
    request = urllib.request.Request(f"{url}/hooks/relay", data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=2) as answer:
        assert answer.status == 202
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output


def test_web_and_worker_may_be_processes_of_their_own(
    config: Path, redis_url: str, processes: list[subprocess.Popen[str]]
) -> None:
    """`serve` and `worker` share nothing but Redis, and both stop on SIGTERM."""
    environ = environment(config, BRIDGE_REDIS_URL=redis_url)
    both = [started(processes, environ, command) for command in ("serve", "worker")]
    assert answers(f"http://127.0.0.1:{environ['BRIDGE_PORT']}/readyz")
    time.sleep(0.5)
    for process in both:
        process.terminate()
    for process in both:
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 0, output


@pytest.mark.parametrize("engine", [[], ["--engine", "agentifyme"], ["--engine", "comfy"]])
def test_the_demo_ends_with_three_completed_executions(
    config: Path, processes: list[subprocess.Popen[str]], engine: list[str]
) -> None:
    """The README's first command, as a script would call it, on any engine."""
    process = started(processes, environment(config, COLUMNS="160"), "demo", "--once", *engine)
    output, _ = process.communicate(timeout=50)
    assert process.returncode == 0, output
    table = output[output.index("What became of them") :]
    assert table.count("completed") >= 3
    assert "2 callbacks, 2 with a valid signature" in output


def test_the_demo_goes_on_serving_until_it_is_told_to_stop(
    config: Path, processes: list[subprocess.Popen[str]]
) -> None:
    """Without --once there is time to look around."""
    process = started(processes, environment(config, COLUMNS="160"), "demo")
    assert process.stdout is not None
    seen = ""
    while "The page is at" not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_an_emulator_serves_until_it_is_told_to_stop(config: Path, processes: list[subprocess.Popen[str]]) -> None:
    """It says where it listens and what arrived."""
    for what in ("genesis", "agentifyme", "slack", "receiver"):
        environ = environment(config, EMULATOR_SECRET=SECRETS["CALLBACK_SECRET"])
        process = started(processes, environ, "emulate", what, "--port", environ["BRIDGE_PORT"])
        assert answers(f"http://127.0.0.1:{environ['BRIDGE_PORT']}/_emulator/journal")
        process.terminate()
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 0, output
        assert f"{what} on http://127.0.0.1:{environ['BRIDGE_PORT']}" in output
