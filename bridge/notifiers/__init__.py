"""The notifiers there are. A new one is one file and one name in `AnyNotifier`, and nothing else changes."""

from typing import get_args

from bridge.contracts import Notifier
from bridge.notifiers.callback import Callback
from bridge.notifiers.github_check import GitHubCheck
from bridge.notifiers.github_comment import GitHubComment
from bridge.notifiers.github_status import GitHubStatus
from bridge.notifiers.slack import Slack, SlackReply

AnyNotifier = Callback | Slack | SlackReply | GitHubStatus | GitHubCheck | GitHubComment

NOTIFIERS: tuple[type[Notifier], ...] = get_args(AnyNotifier)
