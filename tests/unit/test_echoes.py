"""Which events are only the echo of what we told GitHub."""

from pathlib import Path
from typing import Any

import pytest

from bridge import echoes
from bridge.config import Config, load
from bridge.decision import decide
from bridge.github_comments import MARK
from bridge.github_reports import comment
from bridge.model import Event
from tests.contract.test_github_reports import EXECUTION
from tests.github_keys import PRIVATE_KEY

CONFIG = """
version: 1
sources:
  github: {type: github, secrets: [{env: A}]}
  relay: {type: generic, auth: {type: bearer, secrets: [{env: A}]}}
engines:
  genesis: {type: genesis, api_key: {env: A}}
templates:
  e2e: {engine: genesis, id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44}
notifiers:
  default: {type: github_status, token: {env: A}}
  named: {type: github_status, token: {env: A}, context: CI / Straße}
  check: {type: github_check, app_id: 9, private_key: {env: KEY}}
  talk: {type: github_comment, token: {env: A}}
rules:
  - name: all
    source: github
    event: [status, check_run, check_suite, issue_comment, deployment_status]
    template: e2e
  - {name: told, source: github, event: pull_request, template: e2e, notify: [default, named, check, talk]}
  - {name: relayed, source: relay, always: true, template: e2e}
"""
OURS = {"id": 9}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return the configuration above."""
    path = tmp_path / "bridge.yaml"
    path.write_text(CONFIG)
    return load(path, {"A": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0", "KEY": PRIVATE_KEY})


@pytest.mark.parametrize(
    ("name", "action", "body", "reason"),
    [
        ("status", None, {"context": "genesis-bridge/told"}, "the notifier 'default' sets"),
        ("status", None, {"context": "Genesis-Bridge/x"}, "the notifier 'default' sets"),
        ("status", None, {"context": "ci / STRASSE"}, "the notifier 'named' sets"),
        ("status", None, {"context": "ci"}, None),
        ("status", None, {"context": 7}, None),
        ("status", None, {}, None),
        ("check_run", "created", {"check_run": {"app": OURS}}, "of the App that the notifier 'check' writes"),
        ("check_run", "completed", {"check_run": {"app": OURS}}, "of the App that the notifier 'check' writes"),
        ("check_suite", "completed", {"check_suite": {"app": OURS}}, "of the App that the notifier 'check' writes"),
        ("check_run", "rerequested", {"check_run": {"app": OURS}}, None),
        ("check_run", "requested_action", {"check_run": {"app": OURS}}, None),
        ("check_suite", "requested", {"check_suite": {"app": OURS}}, None),
        ("check_suite", "rerequested", {"check_suite": {"app": OURS}}, None),
        ("check_run", "completed", {"check_run": {"app": {"id": 8}}}, None),
        ("check_run", "completed", {"check_run": {"app": None}}, None),
        ("issue_comment", "created", {"comment": {"body": f"{MARK}\nHelp"}}, "one of ours"),
        ("issue_comment", "edited", {"comment": {"body": comment(EXECUTION, "", None).body}}, "one of ours"),
        ("issue_comment", "created", {"comment": {"body": f"> {MARK}"}}, None),
        ("issue_comment", "created", {"comment": {"body": None}}, None),
        ("deployment_status", "created", {"context": "genesis-bridge/told"}, None),
    ],
)
def test_what_we_told_github_starts_nothing(config: Config, name: str, action: str, body: Any, reason: str) -> None:
    """Our statuses, checks and comments are ignored, with a reason; what others or people do is not."""
    decision = decide(config, Event(name=name, action=action, body=body, source="github"), "d_1")
    if reason is None:
        assert (decision.outcome, next(iter(decision.executions.values())).rule) == ("accepted", "all")
    else:
        assert (decision.outcome, decision.executions) == ("ignored", {})
        assert reason in str(decision.reason)


def test_only_github_echoes(config: Config) -> None:
    """An event of another source is what its sender says, whatever it looks like."""
    event = Event(name="status", body={"context": "genesis-bridge/told"}, source="relay")
    assert echoes.reason(config, event) is None
    assert decide(config, event, "d_1").outcome == "accepted"
