"""GitHub commit statuses: one line beside a commit, from anybody who may push.

https://docs.github.com/en/rest/commits/statuses
"""

import msgspec

from bridge import github_reports
from bridge.addresses import base_url
from bridge.github_api import ask, probe
from bridge.github_notifier import OnCommit, ShortName
from bridge.model import Execution, Message
from bridge.outbound import Outbound
from bridge.secret import Secret


class GitHubStatus(OnCommit, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="github_status"):
    """A commit status."""

    token: Secret
    """Of somebody who may push; a fine-grained one needs commit statuses: write."""
    context: ShortName = ""
    """How it is called, with what branches require; by default genesis-bridge/ and the rule's name."""

    def compose(self, execution: Execution, name: str) -> bytes:  # noqa: ARG002 - nothing in it is pressed
        """Write the status, in at most 140 characters."""
        return msgspec.json.encode(github_reports.commit_status(execution, self.context, self.said(execution)))

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask for the token's rate limit, which costs none of it."""
        return await probe(outbound, self.token.text(), base_url(self.api_url))

    async def send(self, outbound: Outbound, message: Message) -> None:
        """Set it; raises as `github_api.ask` does."""
        url = f"{self.url(message.address)}/statuses/{message.address['sha']}"
        content = msgspec.json.decode(message.body)
        await ask(outbound, self.token.text(), "POST", url, content, now=message.now, repeatable=True)
