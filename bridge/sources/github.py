"""GitHub webhooks: verify, read JSON and form deliveries, and find the facts in every event's own shape.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from bridge.authentication import refuse_weak, signed
from bridge.bodies import FORM, JSON, media_type, read_form, read_object
from bridge.contracts import Request, Source
from bridge.errors import Malformed, UnsupportedMedia
from bridge.model import Event
from bridge.scheme import PRESETS, without_credentials
from bridge.signatures import Secrets

# Neither header is signed, so neither is taken as it comes.
_EVENT = re.compile(r"[a-z0-9_]{1,64}")
_GUID = re.compile(r"[!-~]{1,128}")
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH, _TAG = "refs/heads/", "refs/tags/"

_Find = Callable[[str, Any], Any]
"""From the event's name and the body to the fact; None where the body does not carry it."""


class _Fact(NamedTuple):
    document: str
    find: _Find


def _at(body: Any, path: str) -> Any:
    for step in path.split("."):
        body = body.get(step) if isinstance(body, dict) else None
    return body


def _first(kind: type, *paths: str) -> _Find:
    """Return a finder of the first path with such a value; `*` is the event's name, empty text is GitHub's 'none'."""

    def find(event: str, body: Any) -> Any:
        values = (_at(body, path.replace("*", event)) for path in paths)
        return next((value for value in values if type(value) is kind and value != ""), None)

    return find


def _short(find: _Find) -> _Find:
    """Return the finder of a branch's name without refs/heads/."""

    def shorten(event: str, body: Any) -> Any:
        ref = find(event, body)
        return None if ref is None else ref.removeprefix(_BRANCH)

    return shorten


_REF = _first(str, "ref")
_REF_TYPE = _first(str, "ref_type")
_DEPLOYED = _first(str, "deployment.ref")
_TAG_NAME = _first(str, "release.tag_name")
_BASE = _short(_first(str, "pull_request.base.ref", "merge_group.base_ref"))
_HEAD = _short(_first(str, "pull_request.head.ref", "merge_group.head_ref"))
_HEAD_BRANCH = _first(str, "*.head_branch", "check_run.check_suite.head_branch", "workflow_run.head_branch", "branch")
_COMMIT = _first(
    str,
    "pull_request.head.sha",
    "deployment.sha",
    "*.head_sha",
    "workflow_run.head_sha",
    "head_commit.id",  # an annotated tag's `after` is the tag's own id, which takes no commit status
    "after",
    "sha",
    "commit_oid",
    "comment.commit_id",
    "build.commit",
)
_HOME = _first(str, "pull_request.base.repo.full_name", "repository.full_name")


def _branch(event: str, body: Any) -> str | None:
    return _HEAD(event, body) or _ref(event, body, "branch", _BRANCH) or _HEAD_BRANCH(event, body) or _only_branch(body)


def _tag(event: str, body: Any) -> str | None:
    return _ref(event, body, "tag", _TAG) or _TAG_NAME(event, body)


def _ref(event: str, body: Any, kind: str, prefix: str) -> str | None:
    ref = _REF(event, body)
    if ref is not None and "ref_type" in body:  # create, delete: the short name
        return ref if _REF_TYPE(event, body) == kind else None
    if ref is None:
        ref = _DEPLOYED(event, body)
        # What is deployed is a branch, a tag or a commit, and only the last can be told from its looks.
        if ref is not None and kind == "branch" and not ref.startswith("refs/") and not _SHA.fullmatch(ref):
            return str(ref)
    return ref.removeprefix(prefix) if ref is not None and ref.startswith(prefix) else None


def _only_branch(body: Any) -> str | None:
    """Return the branch of a commit status; with several of them it is none in particular."""
    branches = _at(body, "branches")
    names = _texts(branches, "name")
    return names[0] if names is not None and len(names) == len(branches) == 1 else None


def _sha(event: str, body: Any) -> str | None:
    sha = _COMMIT(event, body)
    return None if sha is None or not sha.strip("0") else sha


def _short_sha(event: str, body: Any) -> str | None:
    sha = _sha(event, body)
    return sha and sha[:7]


def _labels(_: str, body: Any) -> list[str] | None:
    found = (_texts(_at(body, f"{subject}.labels"), "name") for subject in ("pull_request", "issue", "discussion"))
    return next((labels for labels in found if labels is not None), None)


def _fork(event: str, body: Any) -> bool | None:
    for holder, key in (("pull_request.head", "repo"), ("workflow_run", "head_repository")):
        head = _at(body, holder)
        if isinstance(head, dict) and key in head:
            home, other = _HOME(event, body), _at(head[key], "full_name")
            if head[key] is None:  # the fork was deleted; the pull request's own repository cannot be
                return True
            return None if home is None or not isinstance(other, str) else other != home
    return None


def _texts(items: Any, key: str) -> list[str] | None:
    if not isinstance(items, list):
        return None
    return [text for item in items if isinstance(text := _at(item, key), str)]


_FACTS: dict[str, _Fact] = {
    "repo": _Fact("the repository, as owner/name", _first(str, "repository.full_name")),
    "owner": _Fact(
        "login of the repository's owner, or of the organization",
        _first(str, "repository.owner.login", "repository.owner.name", "organization.login"),
    ),
    "sender": _Fact("login of who caused the event", _first(str, "sender.login")),
    "branch": _Fact("the branch it is about, without refs/heads/; of a pull request the one it comes from", _branch),
    "tag": _Fact("the tag pushed, created, deleted or released, without refs/tags/", _tag),
    "base": _Fact("the branch a pull request or merge group goes into", _BASE),
    "head": _Fact("the branch a pull request or merge group comes from", _HEAD),
    "sha": _Fact("the commit; a deleted branch has none", _sha),
    "short_sha": _Fact("the first seven digits of sha", _short_sha),
    "number": _Fact(
        "number of the pull request, issue or discussion",
        _first(int, "pull_request.number", "issue.number", "discussion.number", "number"),
    ),
    "title": _Fact(
        "title of the pull request, issue, discussion or milestone, name of the release, the run's own title",
        _first(
            str,
            "pull_request.title",
            "issue.title",
            "discussion.title",
            "milestone.title",
            "release.name",
            "workflow_run.display_title",
        ),
    ),
    "author": _Fact(
        "login of who wrote the pull request, issue, discussion, release, commit comment or newest commit",
        _first(
            str,
            "pull_request.user.login",
            "issue.user.login",
            "discussion.user.login",
            "release.author.login",
            "comment.user.login",
            "head_commit.author.username",
            "commit.author.login",
        ),
    ),
    "labels": _Fact("names of the labels of the pull request, issue or discussion, a list", _labels),
    "draft": _Fact(
        "whether the pull request or release is a draft", _first(bool, "pull_request.draft", "release.draft")
    ),
    "fork": _Fact("whether the pull request or workflow run comes from another repository", _fork),
    "state": _Fact(
        "state of the deployment, review, pull request, issue, ...; of a check or run its conclusion, else its status",
        _first(
            str,
            "*.state",
            "review.state",
            "*.conclusion",
            "*.status",
            "pull_request.state",
            "issue.state",
            "discussion.state",
            "alert.state",
            "state",
        ),
    ),
    "environment": _Fact(
        "the environment deployed to",
        _first(
            str,
            "deployment_status.environment",
            "deployment.environment",
            "environment",
            "check_run.deployment.environment",
        ),
    ),
    "url": _Fact(
        "where the deployment can be visited; of other events the page of what they are about",
        _first(
            str,
            "deployment_status.environment_url",
            "deployment_status.target_url",
            "*.html_url",
            "pull_request.html_url",
            "issue.html_url",
            "discussion.html_url",
            "comment.html_url",
            "target_url",
            "compare",
        ),
    ),
}
_CHANGES = ("added", "modified", "removed")


class GitHub(Source, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="github"):
    """A webhook of a repository, an organization or an app, with JSON or form content."""

    secrets: Secrets
    dedupe: Literal["guid", "body"] = "guid"
    """What a repeat is known by. Only the body is signed: with `body` a captured delivery cannot be sent again under
    another GUID, but two equal `repository_dispatch` events run once."""

    facts: ClassVar[Mapping[str, str]] = {
        **{name: fact.document for name, fact in _FACTS.items()},
        **{f"files.{change}": f"paths {change} by the commits of a push, a list" for change in _CHANGES},
    }
    max_body_bytes: ClassVar[int] = 25_000_000
    """GitHub's own cap: what is larger it does not deliver at all."""

    def __post_init__(self) -> None:
        """Refuse secrets that can be guessed."""
        refuse_weak(PRESETS["github"], self.secrets)

    def verify(self, request: Request) -> bool:
        """Say whether one of the secrets signed this.

        Only the SHA-256 signature counts, and it is over the raw bytes of a form, too. GitHub signs no time: a
        delivery's GUID, which a redelivery keeps, is what guards against repeats.
        https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
        """
        return signed(PRESETS["github"], request, self.secrets)

    def parse(self, request: Request) -> Event:
        """Read one delivery, of whatever event."""
        name = request.headers.get("x-github-event", "")
        if not _EVENT.fullmatch(name):
            raise Malformed("the header X-GitHub-Event is missing or names no event")
        key = request.headers.get("x-github-delivery")
        if key is not None and not _GUID.fullmatch(key):
            raise Malformed("the header X-GitHub-Delivery is not an id")
        if self.dedupe == "body":
            key = f"sha256:{hashlib.sha256(request.body).hexdigest()}"
        body = _read_body(request)
        found = {fact: row.find(name, body) for fact, row in _FACTS.items()} | {"files": _files(body)}
        return Event(
            name=name,
            action=_first(str, "action")(name, body),
            key=key,
            body=body,
            headers=without_credentials(request.headers),
            query=dict(request.query),
            facts={fact: value for fact, value in found.items() if value is not None},
            ignored="GitHub's ping says that the webhook is set up; it starts nothing" if name == "ping" else None,
        )


def _files(body: dict[str, Any]) -> dict[str, list[str]] | None:
    commits = body.get("commits")
    if not isinstance(commits, list):
        return None
    return {change: _paths(commits, change) for change in _CHANGES}


def _paths(commits: list[Any], change: str) -> list[str]:
    lists = [_at(commit, change) for commit in commits]
    paths = [path for paths in lists if isinstance(paths, list) for path in paths if isinstance(path, str)]
    return list(dict.fromkeys(paths))


def _read_body(request: Request) -> dict[str, Any]:
    media = media_type(request.headers)
    if media == JSON:
        return read_object(request.body)
    if media == FORM:
        form = read_form(request.body)
        if "payload" not in form:
            raise Malformed("the form has no field 'payload', where GitHub puts the event")
        return read_object(form["payload"])
    raise UnsupportedMedia(f"a GitHub webhook sends {JSON} or {FORM}; set its content type to either")
