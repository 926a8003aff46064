"""Events that are only the echo of what we told GitHub: they start nothing, or a rule might answer itself. Pure.

By what they carry, not by who sent them: the token may be a person's, whose own events count.
"""

from collections.abc import Iterator

from bridge.config import Config
from bridge.github_comments import MARKED
from bridge.github_reports import OURS
from bridge.model import Event
from bridge.notifiers.github_check import GitHubCheck
from bridge.notifiers.github_status import GitHubStatus
from bridge.paths import at
from bridge.sources.github import GitHub

_ASKED_FOR = frozenset({"requested", "rerequested", "requested_action"})
"""Actions that a push or a person causes, never what we tell of a check."""


def reason(config: Config, event: Event) -> str | None:
    """Say why an event is an echo; None: it is none."""
    if not isinstance(config.sources.get(event.source), GitHub):
        return None
    if event.name == "status":
        return _of_status(config, at(event.body, "context"))
    if event.name in ("check_run", "check_suite") and event.action not in _ASKED_FOR:
        return _of_check(config, at(event.body, f"{event.name}.app.id"))
    if event.name == "issue_comment":
        return _of_comment(at(event.body, "comment.body"))
    return None


def _of_status(config: Config, context: object) -> str | None:
    if not isinstance(context, str):
        return None
    said = context.casefold()  # to GitHub Ci and ci are one
    for name, notifier in _reports(config):
        named = notifier.context.casefold() if isinstance(notifier, GitHubStatus) else None
        if named == said or (named == "" and said.startswith(OURS)):
            return f"the commit status {context[:100]!r} is what the notifier {name!r} sets; it starts nothing"
    return None


def _of_check(config: Config, app: object) -> str | None:
    for name, notifier in _reports(config):
        if isinstance(notifier, GitHubCheck) and notifier.app_id == app:
            return f"the check is of the App that the notifier {name!r} writes checks with; it starts nothing"
    return None


def _of_comment(body: object) -> str | None:
    if isinstance(body, str) and body.startswith(MARKED):
        return "the comment is one of ours, by how it begins; it starts nothing"
    return None


def _reports(config: Config) -> Iterator[tuple[str, GitHubStatus | GitHubCheck]]:
    for name, notifier in config.notifiers.items():
        if isinstance(notifier, (GitHubStatus, GitHubCheck)):
            yield name, notifier
