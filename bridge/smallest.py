"""The smallest bodies that are events, one row per event of GitHub, for tests beside rules: a table, and its reading.

Each row is what GitHub's payloads of that event always carry and facts are made of, with plain values; a test says what
is different. https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from typing import Any

Body = dict[str, Any]

_SHA = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
_ZEROS = "0" * 40
_TIME = "2027-01-15T08:00:00Z"
_REPO = "https://github.com/octo-org/hello"
_USER = {"login": "octocat", "id": 1, "type": "User"}
_ORGANIZATION = {"login": "octo-org", "id": 2}
_REPOSITORY = {
    "id": 3,
    "name": "hello",
    "full_name": "octo-org/hello",
    "private": False,
    "owner": {"login": "octo-org", "id": 2, "type": "Organization"},
    "html_url": _REPO,
    "default_branch": "main",
}
_COMMIT = {
    "id": _SHA,
    "message": "Say hello",
    "timestamp": _TIME,
    "url": f"{_REPO}/commit/{_SHA}",
    "author": {"name": "Octo Cat", "email": "octocat@example.com", "username": "octocat"},
    "added": [],
    "modified": ["README.md"],
    "removed": [],
}
_HEAD = {"ref": "feature", "sha": _SHA, "user": _USER, "repo": _REPOSITORY}
_PULL_REQUEST = {
    "number": 1,
    "title": "Say hello",
    "body": "",
    "state": "open",
    "draft": False,
    "user": _USER,
    "labels": [],
    "html_url": f"{_REPO}/pull/1",
    "author_association": "CONTRIBUTOR",
    "head": _HEAD,
    "base": _HEAD | {"ref": "main", "sha": _ZEROS[:-1] + "1"},
}
_ISSUE = {
    "number": 1,
    "title": "Say hello",
    "body": "",
    "state": "open",
    "user": _USER,
    "labels": [],
    "html_url": f"{_REPO}/issues/1",
    "author_association": "CONTRIBUTOR",
}
_COMMENT = {
    "id": 4,
    "body": "Hello",
    "user": _USER,
    "html_url": f"{_REPO}/issues/1#issuecomment-4",
    "author_association": "CONTRIBUTOR",
    "created_at": _TIME,
    "updated_at": _TIME,
}
_DISCUSSION = {
    "number": 1,
    "title": "Say hello",
    "body": "",
    "state": "open",
    "user": _USER,
    "html_url": f"{_REPO}/discussions/1",
    "category": {"name": "General", "slug": "general"},
}
_DEPLOYMENT = {"id": 5, "sha": _SHA, "ref": "main", "task": "deploy", "environment": "production", "payload": {}}
_SUITE = {"id": 6, "head_branch": "main", "head_sha": _SHA, "status": "completed", "conclusion": "success"}
_RUN = _SUITE | {"name": "CI", "html_url": f"{_REPO}/actions/runs/6"}
_ALERT = {"number": 1, "state": "open", "html_url": f"{_REPO}/security/1", "created_at": _TIME}
_PACKAGE = {"id": 7, "name": "hello", "package_type": "container", "html_url": f"{_REPO}/packages/7"}
_LABEL = {"id": 8, "name": "bug", "color": "f29513"}
_TEAM = {"id": 9, "name": "Team", "slug": "team"}
_INSTALLATION = {"id": 10, "account": _ORGANIZATION, "events": [], "permissions": {}}

GITHUB: dict[str, Body] = {
    "branch_protection_rule": {"action": "created", "rule": {"id": 11, "name": "main"}},
    "check_run": {
        "action": "completed",
        "check_run": {
            "id": 20,
            "name": "CI",
            "head_sha": _SHA,
            "status": "completed",
            "conclusion": "success",
            "html_url": f"{_REPO}/runs/20",
            "details_url": f"{_REPO}/runs/20",
            "check_suite": _SUITE,
            "pull_requests": [],
        },
    },
    "check_suite": {"action": "completed", "check_suite": _SUITE | {"pull_requests": []}},
    "code_scanning_alert": {"action": "created", "alert": _ALERT, "commit_oid": _SHA, "ref": "refs/heads/main"},
    "commit_comment": {"action": "created", "comment": _COMMENT | {"commit_id": _SHA}},
    "create": {"ref": "feature", "ref_type": "branch", "master_branch": "main", "pusher_type": "user"},
    "delete": {"ref": "feature", "ref_type": "branch", "pusher_type": "user"},
    "dependabot_alert": {"action": "created", "alert": _ALERT},
    "deploy_key": {"action": "created", "key": {"id": 12, "title": "key", "read_only": True}},
    "deployment": {"action": "created", "deployment": _DEPLOYMENT},
    "deployment_protection_rule": {"action": "requested", "environment": "production", "deployment": _DEPLOYMENT},
    "deployment_review": {"action": "requested", "environment": "production", "workflow_run": _RUN},
    "deployment_status": {
        "action": "created",
        "deployment": _DEPLOYMENT,
        "deployment_status": {
            "id": 13,
            "state": "success",
            "environment": "production",
            "environment_url": "https://production.example.com",
            "target_url": f"{_REPO}/actions/runs/6",
            "creator": _USER,
        },
    },
    "discussion": {"action": "created", "discussion": _DISCUSSION},
    "discussion_comment": {"action": "created", "discussion": _DISCUSSION, "comment": _COMMENT},
    "fork": {"forkee": _REPOSITORY | {"full_name": "octocat/hello", "owner": _USER}},
    "github_app_authorization": {"action": "revoked"},
    "gollum": {"pages": [{"page_name": "Home", "title": "Home", "action": "edited", "sha": _SHA}]},
    "installation": {"action": "created", "installation": _INSTALLATION, "repositories": []},
    "installation_repositories": {
        "action": "added",
        "installation": _INSTALLATION,
        "repositories_added": [],
        "repositories_removed": [],
    },
    "issue_comment": {"action": "created", "issue": _ISSUE, "comment": _COMMENT},
    "issues": {"action": "opened", "issue": _ISSUE},
    "label": {"action": "created", "label": _LABEL},
    "marketplace_purchase": {"action": "purchased", "marketplace_purchase": {"account": _ORGANIZATION}},
    "member": {"action": "added", "member": _USER},
    "membership": {"action": "added", "scope": "team", "member": _USER, "team": _TEAM, "organization": _ORGANIZATION},
    "merge_group": {
        "action": "checks_requested",
        "merge_group": {
            "head_sha": _SHA,
            "head_ref": f"refs/heads/gh-readonly-queue/main/pr-1-{_SHA}",
            "base_sha": _ZEROS[:-1] + "1",
            "base_ref": "refs/heads/main",
        },
    },
    "meta": {"action": "deleted", "hook_id": 14, "hook": {"id": 14, "type": "Repository"}},
    "milestone": {"action": "created", "milestone": {"number": 1, "title": "1.0", "state": "open"}},
    "org_block": {"action": "blocked", "blocked_user": _USER, "organization": _ORGANIZATION},
    "organization": {"action": "member_added", "membership": {"user": _USER}, "organization": _ORGANIZATION},
    "package": {"action": "published", "package": _PACKAGE},
    "page_build": {"id": 15, "build": {"status": "built", "commit": _SHA, "pusher": _USER}},
    "ping": {"zen": "Keep it logically awesome.", "hook_id": 14, "hook": {"id": 14, "type": "Repository"}},
    "project": {"action": "created", "project": {"id": 21, "name": "Project", "number": 1, "state": "open"}},
    "project_card": {"action": "created", "project_card": {"id": 22, "note": ""}},
    "project_column": {"action": "created", "project_column": {"id": 23, "name": "To do"}},
    "projects_v2_item": {"action": "created", "projects_v2_item": {"id": 24, "content_type": "Issue"}},
    "public": {},
    "pull_request": {"action": "opened", "number": 1, "pull_request": _PULL_REQUEST},
    "pull_request_review": {
        "action": "submitted",
        "pull_request": _PULL_REQUEST,
        "review": {"id": 16, "state": "approved", "user": _USER, "body": "", "author_association": "MEMBER"},
    },
    "pull_request_review_comment": {
        "action": "created",
        "pull_request": _PULL_REQUEST,
        "comment": _COMMENT | {"commit_id": _SHA, "path": "README.md"},
    },
    "pull_request_review_thread": {
        "action": "resolved",
        "pull_request": _PULL_REQUEST,
        "thread": {"node_id": "T_1", "comments": []},
    },
    "push": {
        "ref": "refs/heads/main",
        "before": _ZEROS[:-1] + "1",
        "after": _SHA,
        "created": False,
        "deleted": False,
        "forced": False,
        "compare": f"{_REPO}/compare/main",
        "commits": [_COMMIT],
        "head_commit": _COMMIT,
        "pusher": {"name": "octocat", "email": "octocat@example.com"},
    },
    "registry_package": {"action": "published", "registry_package": _PACKAGE},
    "release": {
        "action": "published",
        "release": {
            "id": 17,
            "tag_name": "v1.0.0",
            "target_commitish": "main",
            "name": "1.0.0",
            "body": "",
            "draft": False,
            "prerelease": False,
            "author": _USER,
            "html_url": f"{_REPO}/releases/tag/v1.0.0",
        },
    },
    "repository": {"action": "created"},
    "repository_dispatch": {"action": "run", "branch": "main", "client_payload": {}},
    "repository_import": {"status": "success"},
    "repository_vulnerability_alert": {"action": "create", "alert": {"id": 25, "affected_package_name": "hello"}},
    "secret_scanning_alert": {"action": "created", "alert": _ALERT},
    "security_advisory": {"action": "published", "security_advisory": {"ghsa_id": "GHSA-1", "severity": "high"}},
    "sponsorship": {"action": "created", "sponsorship": {"sponsor": _USER, "sponsorable": _USER}},
    "star": {"action": "created", "starred_at": _TIME},
    "status": {
        "id": 18,
        "sha": _SHA,
        "state": "success",
        "context": "ci",
        "target_url": "https://ci.example.com/1",
        "branches": [{"name": "main", "commit": {"sha": _SHA}}],
        "commit": {"sha": _SHA, "author": _USER},
    },
    "team": {"action": "created", "team": _TEAM, "organization": _ORGANIZATION},
    "team_add": {"team": _TEAM, "organization": _ORGANIZATION},
    "watch": {"action": "started"},
    "workflow_dispatch": {"ref": "refs/heads/main", "workflow": ".github/workflows/ci.yml", "inputs": {}},
    "workflow_job": {
        "action": "completed",
        "workflow_job": _RUN | {"run_id": 6, "workflow_name": "CI", "labels": ["ubuntu-latest"]},
    },
    "workflow_run": {
        "action": "completed",
        "workflow_run": _RUN
        | {"display_title": "Say hello", "event": "push", "head_repository": {"full_name": "octo-org/hello"}},
        "workflow": {"id": 19, "name": "CI", "path": ".github/workflows/ci.yml"},
    },
}
"""Event -> what its body holds beside who and where, with the action GitHub's documentation begins with."""

_NOWHERE = frozenset(
    "github_app_authorization installation installation_repositories marketplace_purchase membership org_block "
    "organization projects_v2_item security_advisory sponsorship".split()
)
"""Events about no repository."""
_NOT_TELLING = frozenset({"action", "organization", "installation", "workflow"})


def github(event: str) -> Body:
    """Return the smallest body of an event such as `push` or `pull_request.closed`; of one we do not know, the rest."""
    name, _, action = event.partition(".")
    place = {} if name in _NOWHERE else {"repository": _REPOSITORY}
    sender = {} if name == "security_advisory" else {"sender": _USER}
    return GITHUB.get(name, {}) | ({"action": action} if action else {}) | place | sender


def github_comment(text: str) -> Body:
    """Return the smallest body of a comment on a pull request, by somebody who may give commands."""
    body = github("issue_comment.created")
    comment = body["comment"] | {"body": text, "author_association": "MEMBER"}
    return body | {"comment": comment, "issue": body["issue"] | {"pull_request": {"html_url": f"{_REPO}/pull/1"}}}


def github_event(body: Body) -> str | None:
    """Say which event a body most likely is, by the keys only that one has; None: it cannot be told."""
    telling = {name: row.keys() - _NOT_TELLING for name, row in GITHUB.items()}
    fitting = {name: len(keys) for name, keys in telling.items() if keys and keys <= body.keys()}
    most = max(fitting.values(), default=0)
    found = [name for name, count in fitting.items() if count == most]
    if len(found) > 1:
        # What a workflow causes carries its run as well.
        found = [name for name in found if name != "workflow_run"]
    return found[0] if len(found) == 1 else None
