"""The sources there are: `AnySource` is the registration line, a new source is one file and one name in it."""

from bridge.sources.generic import Generic
from bridge.sources.github import GitHub
from bridge.sources.slack import Slack

AnySource = Generic | GitHub | Slack
