"""The facts of GitHub's events: which one is taken from where in which event's body. Pure.

`FACTS` is the one table: events are read by it, docs/rules.md shows it, and a test holds it against every body
GitHub publishes. Paths are tried in order whatever the event, so that events and servers not thought of here (old
Enterprise Servers, new events) have the facts their bodies hold.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.github_values import (
    Take,
    branch_of,
    commit,
    complete,
    deployed_branch,
    deployed_tag,
    full_name,
    names,
    only,
    other_head,
    other_run,
    paths,
    short,
    short_commit,
    tag_of,
)
from bridge.paths import at

_CHANGES = ("added", "modified", "removed")


class Way(NamedTuple):
    """One place a fact is taken from."""

    events: str
    """The events whose bodies have it there; empty: any event."""
    path: str
    """`*` is the event's name."""
    take: Take = lambda value, _: value
    note: str = ""
    """What `take` does, for the table."""


class Fact(NamedTuple):
    """What a fact says, as what kind of value, and where it is found."""

    document: str
    kind: type
    ways: tuple[Way, ...]


def find(event: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return every fact the body carries; what it does not carry is absent, and so is null and empty text."""
    found: dict[str, Any] = {}
    for name, fact in FACTS.items():
        value = _first(fact, event, body)
        if value is None:
            continue
        group, _, inner = name.partition(".")
        if inner:
            found.setdefault(group, {})[inner] = value
        else:
            found[name] = value
    return found


def _first(fact: Fact, event: str, body: dict[str, Any]) -> Any:
    for way in fact.ways:
        value = way.take(at(body, way.path.replace("*", event)), body)
        if type(value) is fact.kind and value != "":
            return value
    return None


def _one(path: str) -> tuple[Take, str]:
    return only(path), f"{path}, where there is just one"


PULLS = "pull_request pull_request_review pull_request_review_comment pull_request_review_thread"
_ISSUES = "issues issue_comment"
_DISCUSSIONS = "discussion discussion_comment"
_DEPLOYMENTS = "deployment deployment_status"
_COMMENTS = "issue_comment pull_request_review_comment commit_comment discussion_comment"
_CHECKS = "check_run check_suite"
EVENTS = tuple(
    f"push {PULLS} {_ISSUES} {_DISCUSSIONS} commit_comment create delete release {_DEPLOYMENTS} "
    f"workflow_run workflow_job workflow_dispatch {_CHECKS} status merge_group repository_dispatch".split()
)
"""The events for which the table says everything; others have those facts whose paths their bodies have."""

_NO_PREFIX = "without refs/heads/"
_SHAS = (
    Way(PULLS, "pull_request.head.sha"),
    Way(f"workflow_run workflow_job {_CHECKS} merge_group", "*.head_sha"),
    Way(_DEPLOYMENTS, "deployment.sha"),
    Way("push", "head_commit.id"),  # an annotated tag's `after` is the tag's own id, which takes no commit status
    Way("push", "after"),
    Way("status", "sha"),
    Way("commit_comment", "comment.commit_id"),
    Way("", "workflow_run.head_sha"),
    Way("", "commit_oid"),
    Way("", "build.commit"),
)

FACTS: dict[str, Fact] = {
    "repo": Fact(
        "the repository, as owner/name",
        str,
        (
            Way("", "repository.full_name"),
            Way("", "repository", full_name, "owner and name, where a server has no full_name"),
        ),
    ),
    "owner": Fact(
        "login of the repository's owner, or of the organization",
        str,
        (Way("", "repository.owner.login"), Way("", "repository.owner.name"), Way("", "organization.login")),
    ),
    "sender": Fact("login of who caused the event", str, (Way("", "sender.login"), Way("push", "pusher.name"))),
    "branch": Fact(
        "the branch it is about, without refs/heads/; of a pull request the one it comes from",
        str,
        (
            Way(PULLS, "pull_request.head.ref", short),
            Way("merge_group", "merge_group.head_ref", short, _NO_PREFIX),
            Way("push workflow_dispatch create delete", "ref", branch_of, "of a branch"),
            Way("workflow_run workflow_job check_suite", "*.head_branch"),
            Way(_DEPLOYMENTS, "deployment.ref", deployed_branch, "unless it is a commit or says refs/tags/"),
            Way(f"check_run {_DEPLOYMENTS}", "check_run.check_suite.head_branch"),
            Way(_DEPLOYMENTS, "workflow_run.head_branch"),
            Way("repository_dispatch", "branch"),
            Way("status", "branches", *_one("name")),
        ),
    ),
    "tag": Fact(
        "the tag pushed, created, deleted, deployed or released, without refs/tags/",
        str,
        (
            Way("push workflow_dispatch create delete", "ref", tag_of, "of a tag"),
            Way("release", "release.tag_name"),
            Way(_DEPLOYMENTS, "deployment.ref", deployed_tag, "that says refs/tags/"),
        ),
    ),
    "base": Fact(
        "the branch a pull request or merge group goes into",
        str,
        (
            Way(PULLS, "pull_request.base.ref", short),
            Way("merge_group", "merge_group.base_ref", short, _NO_PREFIX),
            Way(f"workflow_run {_CHECKS}", "*.pull_requests", *_one("base.ref")),
        ),
    ),
    "head": Fact(
        "the branch a pull request or merge group comes from",
        str,
        (
            Way(PULLS, "pull_request.head.ref", short),
            Way("merge_group", "merge_group.head_ref", short, _NO_PREFIX),
            Way(f"workflow_run {_CHECKS}", "*.pull_requests", *_one("head.ref")),
        ),
    ),
    "sha": Fact("the commit; a deleted branch has none", str, tuple(way._replace(take=commit) for way in _SHAS)),
    "short_sha": Fact("the first seven digits of sha", str, tuple(way._replace(take=short_commit) for way in _SHAS)),
    "number": Fact(
        "number of the pull request, issue or discussion",
        int,
        (
            Way(PULLS, "pull_request.number"),
            Way(_ISSUES, "issue.number"),
            Way(_DISCUSSIONS, "discussion.number"),
            Way("pull_request", "number"),
            Way(f"workflow_run {_CHECKS}", "*.pull_requests", *_one("number")),
        ),
    ),
    "title": Fact(
        "title of the pull request, issue, discussion or milestone, name of the release, the run's own title",
        str,
        (
            Way(PULLS, "pull_request.title"),
            Way(_ISSUES, "issue.title"),
            Way(_DISCUSSIONS, "discussion.title"),
            Way("", "milestone.title"),
            Way("release", "release.name"),
            Way(f"workflow_run {_DEPLOYMENTS}", "workflow_run.display_title"),
        ),
    ),
    "name": Fact(
        "name of the workflow that ran, the job, the check or the commit status",
        str,
        (
            Way("workflow_job", "workflow_job.name"),
            Way(f"check_run {_DEPLOYMENTS}", "check_run.name"),
            Way("check_suite", "check_suite.app.name"),
            Way(f"workflow_run {_DEPLOYMENTS}", "workflow_run.name"),
            Way("status", "context"),
        ),
    ),
    "author": Fact(
        "login of who wrote the pull request, issue, discussion, release, commit comment or newest commit",
        str,
        (
            Way(PULLS, "pull_request.user.login"),
            Way(_ISSUES, "issue.user.login"),
            Way(_DISCUSSIONS, "discussion.user.login"),
            Way("release", "release.author.login"),
            Way("commit_comment", "comment.user.login"),
            Way("push", "head_commit.author.username"),
            Way("status", "commit.author.login"),
        ),
    ),
    "commenter": Fact(
        "login of who wrote the comment or the review",
        str,
        (Way(_COMMENTS, "comment.user.login"), Way("pull_request_review", "review.user.login")),
    ),
    "author_association": Fact(
        "what the commenter, else the author, is to the repository: OWNER, MEMBER, COLLABORATOR, CONTRIBUTOR, ...",
        str,
        (
            Way(_COMMENTS, "comment.author_association"),
            Way("pull_request_review", "review.author_association"),
            Way(PULLS, "pull_request.author_association"),
            Way(_ISSUES, "issue.author_association"),
            Way(_DISCUSSIONS, "discussion.author_association"),
        ),
    ),
    "labels": Fact(
        "names of the labels of the pull request, issue or discussion, a list",
        list,
        (
            Way(PULLS, "pull_request.labels", names),
            Way(_ISSUES, "issue.labels", names),
            Way(_DISCUSSIONS, "discussion.labels", names),
        ),
    ),
    "label": Fact(
        "name of the label just added or removed", str, (Way("pull_request issues discussion", "label.name"),)
    ),
    "draft": Fact(
        "whether the pull request or release is a draft",
        bool,
        (Way(PULLS, "pull_request.draft"), Way("release", "release.draft"), Way(_ISSUES, "issue.draft")),
    ),
    "merged": Fact("whether the pull request is merged", bool, (Way("pull_request", "pull_request.merged"),)),
    "fork": Fact(
        "whether the pull request or workflow run comes from another repository",
        bool,
        (
            Way(PULLS, "pull_request.head", other_head, "its repo against the base's"),
            Way("workflow_run", "workflow_run", other_run, "its head_repository against the repository"),
        ),
    ),
    "state": Fact(
        "state of the deployment, review, pull request, issue, ...; of a check or run its conclusion, else its status",
        str,
        (
            Way("deployment_status pull_request discussion", "*.state"),
            Way("pull_request_review", "review.state"),
            Way(f"workflow_run workflow_job {_CHECKS}", "*.conclusion"),
            Way(f"workflow_run workflow_job {_CHECKS}", "*.status"),
            Way(PULLS, "pull_request.state"),
            Way(_ISSUES, "issue.state"),
            Way(_DISCUSSIONS, "discussion.state"),
            Way("", "alert.state"),
            Way("status", "state"),
        ),
    ),
    "environment": Fact(
        "the environment deployed to",
        str,
        (
            Way("deployment_status", "deployment_status.environment"),
            Way(f"{_DEPLOYMENTS} workflow_job", "deployment.environment"),
            Way("check_run", "check_run.deployment.environment"),
            Way("", "environment"),
        ),
    ),
    "url": Fact(
        "where the deployment can be visited; of other events the page of what they are about",
        str,
        (
            Way("deployment_status", "deployment_status.environment_url"),
            Way("deployment_status", "deployment_status.target_url"),
            Way("pull_request release workflow_run workflow_job check_run discussion", "*.html_url"),
            Way(PULLS, "pull_request.html_url"),
            Way(_ISSUES, "issue.html_url"),
            Way(_DISCUSSIONS, "discussion.html_url"),
            Way("commit_comment", "comment.html_url"),
            Way("status", "target_url"),
            Way("push", "compare"),
        ),
    ),
    "files.complete": Fact(
        "false where a push may have changed more: GitHub lists 2048 commits at most, old Enterprise Servers 20",
        bool,
        (Way("push", "commits", complete, "fewer than 2048, and not 20"),),
    ),
} | {
    f"files.{change}": Fact(
        f"paths {change} by the commits of a push, each once, a list",
        list,
        (Way("push", "commits", paths(change), f"each one's {change}"),),
    )
    for change in _CHANGES
}

DOCUMENTS: Mapping[str, str] = {name: fact.document for name, fact in FACTS.items()}


def _origin(fact: str) -> str:
    return "where `sha` is" if fact == "short_sha" else "; ".join(_shown(way) for way in FACTS[fact].ways)


def _shown(way: Way) -> str:
    events = way.events.replace(PULLS, "pull_request*").split() or ["any event"]
    note = f" ({way.note})" if way.note else ""
    return f"{', '.join(events)}: `{way.path}`{note}"


ORIGINS: Mapping[str, str] = {name: _origin(name) for name in FACTS}
"""Where each fact is taken from, as docs/rules.md shows it: the paths in the order they are tried."""
