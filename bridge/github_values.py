"""What GitHub's values say: how one found in an event's body becomes a fact. Pure."""

import re
from collections.abc import Callable
from typing import Any

from bridge.paths import at

Take = Callable[[Any, Any], Any]
"""From the value at a path and the whole body to the fact; None where there is none."""

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH, _TAG = "refs/heads/", "refs/tags/"
_SHORT_SHA = 7
_MOST_COMMITS = 2048
_MOST_COMMITS_ONCE = 20
"""The limit until 2023, and so that of older Enterprise Servers."""


def branch_of(ref: Any, body: Any) -> str | None:
    """Return the short name of a ref that is a branch: refs/heads/x, or x where `ref_type` says so."""
    return _ref(ref, body, "branch", _BRANCH)


def tag_of(ref: Any, body: Any) -> str | None:
    """Return the short name of a ref that is a tag, told as a branch is."""
    return _ref(ref, body, "tag", _TAG)


def _ref(ref: Any, body: Any, kind: str, prefix: str) -> str | None:
    if not isinstance(ref, str):
        return None
    if "ref_type" in body:  # create, delete: the short name
        return ref if body["ref_type"] == kind else None
    return ref.removeprefix(prefix) if ref.startswith(prefix) else None


def deployed_branch(ref: Any, _: Any) -> str | None:
    """Return the branch that a deployment was made of, as far as that can be told."""
    # What is deployed is a branch, a tag or a commit, and only the last can be told from its looks.
    if not isinstance(ref, str) or _SHA.fullmatch(ref):
        return None
    return None if ref.startswith("refs/") and not ref.startswith(_BRANCH) else ref.removeprefix(_BRANCH)


def deployed_tag(ref: Any, _: Any) -> str | None:
    """Return the tag that a deployment was made of, where it says so."""
    return ref.removeprefix(_TAG) if isinstance(ref, str) and ref.startswith(_TAG) else None


def short(ref: Any, _: Any) -> Any:
    """Return a branch without refs/heads/."""
    return ref.removeprefix(_BRANCH) if isinstance(ref, str) else None


def commit(sha: Any, _: Any) -> Any:
    """Return a commit's id; GitHub has zeros for 'none'."""
    return sha if isinstance(sha, str) and sha.strip("0") else None


def short_commit(sha: Any, body: Any) -> Any:
    """Return the first digits of a commit, as people write it."""
    return (commit(sha, body) or "")[:_SHORT_SHA]


def full_name(repository: Any, _: Any) -> str | None:
    """Return owner/name of a repository that does not say so itself."""
    owner, name = at(repository, "owner.login") or at(repository, "owner.name"), at(repository, "name")
    return f"{owner}/{name}" if isinstance(owner, str) and isinstance(name, str) and owner and name else None


def only(path: str) -> Take:
    """Return what takes a value of a list's one item; with several it is none in particular."""
    return lambda items, _: at(items[0], path) if isinstance(items, list) and len(items) == 1 else None


def names(items: Any, _: Any) -> list[str] | None:
    """Return the names in a list of objects."""
    if not isinstance(items, list):
        return None
    return [name for item in items if isinstance(name := at(item, "name"), str)]


def _other(repository: Any, body: Any) -> bool | None:
    """Say whether a repository is another one than that which the event is about; GitHub has null for deleted forks."""
    home = at(body, "pull_request.base.repo.full_name") or at(body, "repository.full_name")
    name = at(repository, "full_name")
    return name != home if isinstance(home, str) and isinstance(name, str) else None


def other_head(head: Any, body: Any) -> bool | None:
    """Say whether a pull request's head is in another repository."""
    if not isinstance(head, dict) or "repo" not in head:
        return None
    # The fork was deleted; the pull request's own repository cannot be.
    return True if head["repo"] is None else _other(head["repo"], body)


def other_run(run: Any, body: Any) -> bool | None:
    """Say whether a workflow ran for another repository."""
    if not isinstance(run, dict) or "head_repository" not in run:
        return None
    return True if run["head_repository"] is None else _other(run["head_repository"], body)


def paths(change: str) -> Take:
    """Return what collects the paths that a list of commits changed in one way, each once, in order."""

    def take(commits: Any, _: Any) -> list[str] | None:
        if not isinstance(commits, list):
            return None
        lists = [at(commit, change) for commit in commits]
        paths = [path for paths in lists if isinstance(paths, list) for path in paths if isinstance(path, str)]
        return list(dict.fromkeys(paths))

    return take


def complete(commits: Any, _: Any) -> bool | None:
    """Say whether a list of commits is surely whole, that is below the most GitHub puts into one."""
    if not isinstance(commits, list):
        return None
    return len(commits) < _MOST_COMMITS and len(commits) != _MOST_COMMITS_ONCE
