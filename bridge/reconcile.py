"""Ask GitHub to send again what it could not deliver: it never repeats by itself.

Safe at any time: a redelivery keeps its GUID, so what did arrive is recognised as a duplicate.
https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

import asyncio
import re
import time
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from bridge.duration import Duration
from bridge.errors import BridgeError
from bridge.github_api import GITHUB_API, headers, wait_seconds
from bridge.outbound import Answer, Outbound
from bridge.secret import Secret

_HOOK = r"(repos/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+|orgs/[A-Za-z0-9_.-]+)/hooks/[0-9]+"
_SHORTEST_EVERY = timedelta(minutes=5)
_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')
_PAGE = 100
_MAX_BYTES = 5_000_000
_TIMEOUT_SECONDS = 20.0
_PACE_SECONDS = 1.0
"""Between two requests that change something, as GitHub asks for (best practices for the REST API)."""
_LONGEST_WAIT_SECONDS = 120.0


class Reconcile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When GitHub is asked for the deliveries of a webhook that it could not make."""

    hook: Annotated[
        str, Meta(pattern=f"^{_HOOK}$", description="repos/OWNER/REPO/hooks/ID or orgs/ORG/hooks/ID, as its page's URL")
    ]
    """The webhook's path in GitHub's API."""
    every: Duration = Duration(hours=1)
    """How often; at most every five minutes."""
    token: Secret | None = None
    """May administer the webhook; by default the source's own token."""

    def __post_init__(self) -> None:
        """Refuse to ask all the time: GitHub counts every request."""
        if self.every < _SHORTEST_EVERY:
            raise ValueError("`every` is at least 5m: GitHub counts every request")


class CannotReconcile(BridgeError):
    """GitHub cannot be asked; the message says why and what to change."""


class Attempt(Struct, frozen=True):
    """One delivery attempt as GitHub lists it; the attempts of one event share the GUID."""

    id: int
    guid: str
    delivered_at: str
    event: str
    status: str
    status_code: int = 0
    action: str | None = None


class GitHubHook:
    """The deliveries of one webhook, over GitHub's REST API."""

    def __init__(
        self,
        outbound: Outbound,
        hook: str,
        token: str,
        *,
        api_url: str = GITHUB_API,
        pace_seconds: float = _PACE_SECONDS,
    ) -> None:
        """Take the hook's path (`repos/OWNER/REPO/hooks/ID` or `orgs/ORG/hooks/ID`); raises CannotReconcile."""
        if not re.fullmatch(_HOOK, hook):
            raise CannotReconcile(
                f"{hook!r} is not a webhook's path: write repos/OWNER/REPO/hooks/ID or orgs/ORG/hooks/ID"
            )
        self._outbound = outbound
        self._token = token
        self._base = f"{api_url.rstrip('/')}/{hook}/deliveries"
        self._pace_seconds = pace_seconds

    async def failed(self, since: timedelta) -> list[Attempt]:
        """Return the newest attempt of every event of the last `since` that never arrived, oldest first.

        Raises CannotReconcile.
        """
        oldest = time.time() - since.total_seconds()
        newest: dict[str, Attempt] = {}
        arrived: set[str] = set()
        url: str | None = f"{self._base}?per_page={_PAGE}"
        while url is not None:
            answer = await self._ask("GET", url)
            page = self._page(answer)
            for attempt in page:
                if _moment(attempt) >= oldest:
                    newest.setdefault(attempt.guid, attempt)
                    # An event that failed once and arrived later is delivered.
                    arrived |= {attempt.guid} if attempt.status == "OK" else set()
            url = self._next(answer) if page and _moment(page[-1]) >= oldest else None
        return sorted((one for guid, one in newest.items() if guid not in arrived), key=_moment)

    async def redeliver(self, attempt: Attempt) -> None:
        """Ask for one event to be sent again; raises CannotReconcile."""
        await self._ask("POST", f"{self._base}/{attempt.id}/attempts")
        await asyncio.sleep(self._pace_seconds)

    async def _ask(self, method: str, url: str) -> Answer:
        while True:
            answer = await self._outbound.request(
                method, url, headers=headers(self._token), timeout_seconds=_TIMEOUT_SECONDS, max_bytes=_MAX_BYTES
            )
            if answer.status in (200, 202):
                return answer
            wait = wait_seconds(answer, time.time())
            if wait is None or wait > _LONGEST_WAIT_SECONDS:
                raise CannotReconcile(f"GitHub: {answer.words(self._token)}{_advice(answer.status)}")
            await asyncio.sleep(wait)

    def _page(self, answer: Answer) -> list[Attempt]:
        try:
            return msgspec.json.decode(answer.body, type=list[Attempt])
        except msgspec.DecodeError as error:
            raise CannotReconcile(f"GitHub's list of deliveries cannot be read: {error}") from None

    def _next(self, answer: Answer) -> str | None:
        found = _NEXT.search(answer.headers.get("link", ""))
        # The token goes nowhere but to this hook's own address.
        return found[1] if found and found[1].startswith(f"{self._base}?") else None


def _moment(attempt: Attempt) -> float:
    return datetime.fromisoformat(attempt.delivered_at).timestamp()


def _advice(status: int) -> str:
    if status in (401, 403):
        return " - the token needs to administer webhooks (admin:repo_hook or admin:org_hook, or Webhooks: write)"
    return " - is the hook's path right, and may the token see it?" if status == 404 else ""  # noqa: PLR2004
