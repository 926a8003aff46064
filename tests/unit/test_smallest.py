"""The smallest bodies are events: GitHub's source reads each of them, and they tell themselves apart."""

import pytest

from bridge.secret import Secret
from bridge.smallest import GITHUB, github, github_event
from bridge.sources.github import GitHub

SOURCE = GitHub(secrets=[Secret("env: A", b"0123456789abcdef")])
ALIKE = {
    "github_app_authorization",
    "public",
    "repository",
    "watch",
    "dependabot_alert",
    "repository_vulnerability_alert",
    "secret_scanning_alert",
    "team",
    "team_add",
}
"""Events that carry nothing of their own, or the same as another."""


@pytest.mark.parametrize("name", GITHUB)
def test_every_smallest_body_is_read_as_its_event(name):
    """With who caused it, and with the action its documentation begins with."""
    event = SOURCE.parse(SOURCE.packed(name, github(name)))
    assert (event.name, event.action) == (name, GITHUB[name].get("action"))
    assert event.facts.get("sender") == (None if name == "security_advisory" else "octocat")
    assert event.body == github(name)


def test_an_action_in_the_name_goes_into_the_body():
    """`pull_request.closed` is what a rule says."""
    event = SOURCE.parse(SOURCE.packed("pull_request.closed", github("pull_request.closed")))
    assert (event.name, event.action, event.facts["number"]) == ("pull_request", "closed", 1)


def test_an_event_without_a_row_still_says_where_and_who():
    """GitHub adds events; a test of one says what it carries."""
    assert github("brand_new.made").keys() == {"action", "repository", "sender"}
    assert "repository" not in github("installation")


@pytest.mark.parametrize("name", sorted(GITHUB))
def test_a_body_tells_its_event_or_nothing(name):
    """A wrong guess would explain the wrong rules."""
    expected = None if name in ALIKE else name
    assert github_event(github(name)) == expected


def test_what_a_workflow_causes_is_not_taken_for_its_run():
    """Deployments by Actions carry the workflow's run as well."""
    run = {key: github("workflow_run")[key] for key in ("workflow", "workflow_run")}
    assert github_event(github("deployment") | run) == "deployment"
    assert github_event(github("deployment_status") | run) == "deployment_status"
    assert github_event({}) is None
