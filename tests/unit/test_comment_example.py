"""config/examples/github-comment.yaml does what its comments promise, with GitHub's own payload of a comment."""

from pathlib import Path
from typing import Any

import pytest

from bridge.config import load
from bridge.decision import decide
from bridge.github_comments import command, facts
from bridge.github_facts import find
from bridge.model import Event

CONFIG = load(Path(__file__).parents[2] / "config" / "examples" / "github-comment.yaml", None)
SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"


def started(text: str, *, by: str = "ann", association: str = "MEMBER", fork: bool = False, **more: Any) -> list[str]:
    """Return the rules that run for a comment, its pull request being known."""
    body = {
        "action": "created",
        "repository": {"full_name": "o/r"},
        "sender": {"login": by},
        "issue": {"number": 7, "pull_request": {}},
        "comment": {"id": 1, "body": text, "user": {"login": by, "type": "User"}, "author_association": association},
        "pull_request": {
            "head": {"ref": "changes", "sha": SHA, "repo": {"full_name": "stranger/r" if fork else "o/r"}},
            "base": {"ref": "main", "repo": {"full_name": "o/r"}},
        },
    } | more
    given = command("issue_comment", body)
    found = {**find("issue_comment", body), **facts(given)}
    event = Event(name="issue_comment", action="created", source="github", body=body, facts=found, command=given)
    return [record.rule for record in decide(CONFIG, event, "d_1").executions.values()]


@pytest.mark.parametrize("association", ["OWNER", "MEMBER", "COLLABORATOR"])
def test_those_with_a_say_run_it_on_branches_of_the_repository(association: str) -> None:
    """And on no fork."""
    assert started("/run e2e firefox", association=association) == ["e2e-on-comment"]
    assert started("/run e2e firefox", association=association, fork=True) == []


def test_nobody_else_does() -> None:
    """Contributors have the smoke test only, strangers nothing."""
    assert started("/run e2e", association="CONTRIBUTOR") == []
    assert started("/smoke", association="CONTRIBUTOR") == ["smoke-on-comment"]
    assert started("/smoke", association="NONE") == []


def test_a_fork_runs_on_a_commit_that_one_of_two_people_names() -> None:
    """The commit they looked at, not whatever is the head by now, and in enough digits."""
    assert started("/run fork 6113728", by="octocat", association="NONE", fork=True) == ["e2e-on-fork"]
    assert started("/run fork 6113729", by="octocat", fork=True) == []
    assert started("/run fork 611372", by="octocat", fork=True) == []
    assert started("/run fork 6113728", by="ann", association="OWNER", fork=True) == []
    assert started("/run fork 6113728", by="octocat", fork=False) == []


def test_an_edit_counts_where_the_rule_says_so() -> None:
    """For the smoke test, and not for the suite."""
    edit = {"action": "edited", "changes": {"body": {"from": "smoke"}}}
    assert started("/smoke", **edit) == ["smoke-on-comment"]
    assert started("/run e2e", **edit) == []
