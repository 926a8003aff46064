"""Asking about an event and sending it: the commands, the API, and the lines they print, run by a real shell."""

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from tests.http_server import always, answer, serve
from tests.journey.conftest import API_TOKEN, READ_TOKEN, SAMPLES, SECRETS, World, config_text
from tests.journey.test_command_line import COMMAND

DEPLOYED = (SAMPLES / "deployment_status.json").read_text()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the journeys' configuration, whose world is nowhere."""
    path = tmp_path / "alone.yaml"
    path.write_text(config_text("http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1"))
    return path


def called(config: Path, *arguments: str, stdin: bytes = b"", **environ: str) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin, env={"BRIDGE_CONFIG": str(config), **environ})


async def ran(world: World, config: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command beside the bridge, which has this test's loop."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    own = {"BRIDGE_CONFIG": str(config), "BRIDGE_PUBLIC_URL": world.service.url, **environ}
    return await asyncio.to_thread(
        subprocess.run,
        [COMMAND, *arguments],
        env=kept | own,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=config.parent,
    )


def written(config: Path, name: str, text: str) -> str:
    (config.parent / name).write_text(text)
    return str(config.parent / name)


def failing() -> str:
    body = json.loads(DEPLOYED)
    body["deployment_status"]["state"] = "failure"
    return json.dumps(body)


def test_explain_says_why_a_rule_does_not_run(config: Path) -> None:
    """Without any secret; the failing condition with what was seen, and how to send it."""
    file = written(config, "body.json", failing())
    result = called(config, "explain", "github", file)
    assert result.exit_code == 0, result.output
    assert "  ✗ state == 'success'\n    ^^^^^ 'failure'\n" in result.output
    assert re.search(rf"✗ e2e-on-preview does not run  {re.escape(str(config))}:\d+:\d+\n", result.output)
    assert f"genesis-bridge send github {file} --event deployment_status\n" in result.output
    assert "'deployment_status' is what the body looks like" in result.output
    assert "\x1b[" not in result.output
    assert "looks like" not in called(config, "explain", "github", file, "--event", "deployment_status").output


def test_explain_as_json_is_the_documented_shape(config: Path) -> None:
    """Nothing but that on standard output."""
    result = called(config, "explain", "github", written(config, "body.json", DEPLOYED), "--json")
    told = json.loads(result.stdout)
    assert told.keys() == {"source", "event", "facts", "rules"}
    [matched, other] = told["rules"]
    assert (matched["rule"], matched["verdict"], other["verdict"]) == ("e2e-on-preview", "match", "no_match")
    assert matched["variables"]["browser"] == "chrome"


@pytest.mark.parametrize(
    ("rule", "code", "words"),
    [
        ("e2e-on-preview", 0, ""),
        ("number-is-text", 1, "expected number-is-text to run, but it does not: event is 'deployment_status.created'"),
        ("e2e-on-previw", 1, "unknown rule 'e2e-on-previw': did you mean 'e2e-on-preview'?"),
    ],
)
def test_explain_can_be_a_check_of_its_own(config: Path, rule: str, code: int, words: str) -> None:
    """--expect: 0 only if that rule would run."""
    file = written(config, "body.json", DEPLOYED)
    result = called(config, "explain", "github", file, "--json", "--expect", rule)
    assert (result.exit_code, words in result.stderr) == (code, True)


def test_explain_reads_captured_requests_forms_and_standard_input(config: Path) -> None:
    """Whatever is at hand."""
    head = ["POST /hooks/github HTTP/1.1", "X-GitHub-Event: deployment_status", "Content-Type: application/json", ""]
    captured = "\r\n".join([*head, DEPLOYED])
    (config.parent / "captured.http").write_text(captured, newline="")
    result = called(config, "explain", "github", str(config.parent / "captured.http"))
    assert "✓ e2e-on-preview runs" in result.output
    assert "looks like" not in result.output
    form = b"command=%2Fgenesis&text=e2e+https%3A%2F%2Fshop.example.com&user_id=U1"
    result = called(config, "explain", "slack", "-", stdin=form)
    assert "✓ slash-e2e runs" in result.output
    assert "    target_url  https://shop.example.com\n" in result.output
    assert f"body='{form.decode()}'" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explain", "github"], "name a SOURCE and a FILE"),
        (["explain", "gitub", "x"], "unknown source 'gitub': did you mean 'github'?"),
        (["explain", "github", "gone.json"], "gone.json cannot be read: No such file"),
        (["explain", "github", "-"], "- cannot be read: the file is empty"),
        (["explain", "github", "BODY"], "X-GitHub-Event is missing"),
        (
            ["send", "github", "BODY", "--event", "push", "--to", "http://127.0.0.1:1"],
            "cannot sign: the environment variable GITHUB_SECRET",
        ),
    ],
)
def test_what_cannot_be_explained_or_sent_is_said(config: Path, arguments: list[str], words: str) -> None:
    """In one line, without a traceback."""
    body = written(config, "BODY", "{}")
    result = called(config, *(body if argument == "BODY" else argument for argument in arguments))
    assert result.exit_code != 0
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output


def curl_line(output: str) -> str:
    [line] = [line for line in output.splitlines() if line.startswith("with curl")]
    return line.removeprefix("with curl").strip()


@pytest.mark.parametrize("kind", ["body", "captured", "form", "relay", "bearer", "stdin"])
async def test_the_printed_lines_are_taken_by_a_running_bridge(world: World, config: Path, kind: str) -> None:
    """Both: `send`, and curl with a signature computed by the shell; neither line holds a secret."""
    texts = {
        "body": DEPLOYED + "\n",
        "captured": f"POST /hooks/github?x=a+b HTTP/1.1\nHost: x\nX-GitHub-Event: deployment_status\n"
        f"X-Hub-Signature-256: sha256=00\nX-GitHub-Delivery: g-1\nContent-Type: application/json\n\n{DEPLOYED}",
        "form": json.dumps({"command": "/genesis", "text": "e2e https://shop.example.com/?q='x'", "user_id": "U1"}),
        "relay": '{"type": "refused", "callback_url": "https://x", "odd": "it\'s $HOME `id` é"}',
        "bearer": '{"type": "run"}',
    }
    source = {"form": "slack", "relay": "relay", "bearer": "token", "stdin": "token"}.get(kind, "github")
    name = "-" if kind == "stdin" else written(config, f"the {kind}'s file", texts[kind])
    output = called(
        config, "explain", source, name, stdin=b'{"type": "run"}', BRIDGE_PUBLIC_URL=world.service.url
    ).output
    line = curl_line(output)
    assert not any(secret in output for secret in SECRETS.values())
    environ = {"PATH": os.environ["PATH"], **SECRETS}
    for _ in range(2):
        shell = await asyncio.to_thread(
            subprocess.run, ["sh", "-c", line], env=environ, capture_output=True, text=True, check=False
        )
        assert shell.stderr == ""
        said = json.loads(shell.stdout)
        assert said.get("outcome") == "accepted" or said["text"] == "Started: slash-e2e.", said
    if kind != "stdin":
        [send] = [line for line in output.splitlines() if line.startswith("send it")]
        assert send.endswith(f"send {source} {quoted(name)}" + (" --event deployment_status" if kind == "body" else ""))
        sent = await ran(world, config, "send", source, name, **SECRETS)
        assert sent.returncode == 0, sent.stderr
        assert "202 accepted" in sent.stdout or "Started: slash-e2e." in sent.stdout


def quoted(name: str) -> str:
    return "'" + name.replace("'", "'\"'\"'") + "'"


async def test_send_shows_the_answer_for_people(world: World, config: Path) -> None:
    """What started, what did not and why; a refusal is a refusal, and exits with 1."""
    sent = await ran(world, config, "send", "github", written(config, "b.json", DEPLOYED), **SECRETS)
    [first, delivery, execution] = sent.stdout.splitlines()
    assert first == "202 accepted"
    assert re.fullmatch(r"  d_\w+", delivery)
    assert re.fullmatch(r"  ✓ e2e-on-preview  http://\S+/api/executions/x_\w+", execution)
    sent = await ran(world, config, "send", "github", written(config, "b.json", failing()), **SECRETS)
    assert sent.stdout.splitlines()[0] == "200 no_match"
    assert "  ✗ e2e-on-preview  state == 'success' is false: state is 'failure'" in sent.stdout
    wrong = written(config, "wrong.json", '{"command": "/genesis", "text": "e2e", "user_id": "U1"}')
    sent = await ran(world, config, "send", "slack", wrong, **SECRETS)
    assert sent.stdout.startswith("200 <url> is missing. Expected: e2e <url> [branch=main]")
    to = f"{world.service.url}/hooks/slack"
    sent = await ran(world, config, "send", "github", written(config, "b.json", DEPLOYED), "--to", to, **SECRETS)
    assert (sent.returncode, sent.stdout.splitlines()[0]) == (1, "401 Unauthorized")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff"])
async def test_send_to_something_else_shows_what_it_says(config: Path, body: bytes) -> None:
    """Not every URL is a bridge."""
    async with serve(always(answer(404, body))) as server:
        arguments = ["send", "token", written(config, "b.json", "{}"), "--to", server.url("")]
        result = await asyncio.to_thread(called, config, *arguments, **SECRETS)
    assert result.exit_code == 1
    assert result.output.startswith("404 ")


async def asked(world: World, question: Any, token: str = READ_TOKEN) -> tuple[int, dict[str, Any]]:
    given = await world.order("/api/explain", question, token=token)
    return given.status_code, given.json()


async def test_the_api_explains_what_is_sent_to_it(world: World) -> None:
    """The shape of spec 4.1; nothing is stored, nothing starts."""
    status, told = await asked(world, {"source": "github", "event": "deployment_status", "body": json.loads(failing())})
    assert status == 200
    assert told.keys() == {"source", "event", "facts", "rules"}
    assert told["rules"][0]["conditions"][0] == {
        "text": "state == 'success'",
        "verdict": "false",
        "values": {"state": "failure"},
        "reason": "state is 'failure'",
    }
    headers = {"X-GitHub-Event": "deployment_status"}
    _, by_header = await asked(world, {"source": "github", "headers": headers, "body": DEPLOYED})
    assert by_header["rules"][0]["verdict"] == "match"
    form = {"source": "slack", "body": "command=%2Fgenesis&text=e2e+https%3A%2F%2Fx&channel_id=C1"}
    form["headers"] = {"Content-Type": "application/x-www-form-urlencoded"}  # type: ignore[assignment]
    assert (await asked(world, form))[1]["rules"][0]["reason"] is None
    _, smallest = await asked(world, {"source": "slack", "event": "/genesis"})
    assert smallest["rules"][0]["reason"] == "the text does not begin with: e2e"
    assert (await world.look("/api/deliveries"))["items"] == []
    assert world.genesis.triggers == []


@pytest.mark.parametrize(
    ("question", "status", "words"),
    [
        ({"source": "gitub"}, 404, "unknown source 'gitub': did you mean 'github'?"),
        ({"source": "github", "body": {}}, 400, "X-GitHub-Event"),
        ({"source": "github", "event": "push", "body": "{"}, 400, "not JSON"),
        ({"delivery_id": "d_none"}, 404, "no delivery 'd_none'"),
        ({"delivery_id": "d_none", "source": "github"}, 400, "stands alone"),
        ({"sauce": "github"}, 400, "sauce"),
    ],
)
async def test_a_bad_question_is_answered_with_what_is_wrong(
    world: World, question: dict[str, Any], status: int, words: str
) -> None:
    """As a problem."""
    found, problem = await asked(world, question)
    assert found == status
    assert words in problem["detail"] + str(problem.get("extra", ""))


async def test_asking_needs_a_token_that_may_look(world: World) -> None:
    """Explanations show what events carried."""
    assert (await asked(world, {"source": "slack"}, token="wrong"))[0] == 401


async def test_a_stored_delivery_is_explained_as_it_was_and_as_it_would_be(world: World, config: Path) -> None:
    """What the record says of each rule; then, over the API, what the present rules make of it."""
    body = msgspec.json.decode(failing())
    delivery = (await world.github("deployment_status", body)).json()["delivery_id"]
    record = await world.look(f"/api/deliveries/{delivery}")
    _, told = await asked(world, {"delivery_id": delivery})
    [kept] = record["rules"]
    assert kept == told["rules"][0]
    assert kept["conditions"][0]["values"] == {"state": "failure"}
    shown = await ran(world, config, "explain", "--delivery", delivery, BRIDGE_READ_TOKENS=READ_TOKEN)
    assert shown.returncode == 0, shown.stderr
    assert "    ^^^^^ 'failure'\n" in shown.stdout
    assert f"genesis-bridge deliveries replay {delivery}\n" in shown.stdout
    assert "when it came in" not in shown.stdout
    shown = await ran(world, config, "explain", "--delivery", delivery, "--json", BRIDGE_API_TOKENS=API_TOKEN)
    assert json.loads(shown.stdout) == told
    shown = await ran(world, config, "explain", "--delivery", delivery, "--expect", "e2e-on-preview")
    assert (shown.returncode, "BRIDGE_READ_TOKENS" in shown.stderr) == (1, True)


async def test_a_rule_that_says_something_else_by_now_is_pointed_out(world: World, config: Path) -> None:
    """The record decides what happened; the rules have changed since."""
    taken = (await world.relay({"type": "refused", "callback_url": "http://127.0.0.1:9/x"})).json()
    key = f"gb:d:{taken['delivery_id']}"
    record = json.loads(await world.store.redis.hget(key, "record"))
    record["rules"] = [
        {"rule": "run-refused", "verdict": "no_match", "reason": "it was night", "conditions": [], "variables": {}},
        {"rule": "removed", "verdict": "match", "reason": None, "conditions": [], "variables": {}},
    ]
    await world.store.redis.hset(key, "record", json.dumps(record))
    arguments = ["explain", "--delivery", taken["delivery_id"]]
    shown = await ran(world, config, *arguments, BRIDGE_READ_TOKENS=READ_TOKEN)
    assert "run-refused was no_match when it came in, and is match now: it was night\n" in shown.stdout
    assert "removed was match when it came in, and is gone now\n" in shown.stdout
