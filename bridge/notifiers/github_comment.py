"""GitHub comments: one under a pull request or an issue for each rule, edited in place.

https://docs.github.com/en/rest/issues/comments
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Struct

from bridge import github_reports
from bridge.addresses import base_url
from bridge.errors import EvaluationError, Transient
from bridge.expressions import Text
from bridge.github_api import PER_PAGE, Refused, ask, page, probe
from bridge.github_notifier import NUMBER, Report, id_in
from bridge.model import Execution, Message
from bridge.outbound import Outbound
from bridge.secret import Secret

_MOST_PAGES = 25
"""An issue takes 2,500 comments."""
_GONE = (404, 410)
_Key = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._/-]{0,64}$(?!\n)", description="letters, digits, `.`, `_`, `/`, `-`; at most 64")
]


class _User(Struct, frozen=True):
    """Somebody, as far as it matters here."""

    id: int


class _Comment(Struct, frozen=True):
    """A comment, as far as it matters here; of a deleted account it has no user."""

    id: int
    user: _User | None
    body: str | None


class _Whoami:
    """Whose token it is, asked once."""

    id: int | None = None

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""


class GitHubComment(Report, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="github_comment"):
    """One comment under a pull request or an issue, edited in place."""

    living: ClassVar[bool] = True
    place: ClassVar[str] = "number"

    token: Secret
    """Of whoever is to comment; a fine-grained one needs issues: write, or pull requests: write."""
    number: Text | None = None
    """The pull request's or issue's number; by default the event's."""
    key: _Key = ""
    """What shares one comment; by default the rule's name, so that every rule has its own."""

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Resolve the repository and the number."""
        # A discussion's number is none of an issue.
        about = "" if str(names.get("event")).startswith("discussion") else str(names.get("number", ""))
        number = about if self.number is None else self.number.render(names)
        if not number:
            raise EvaluationError("the event is about no pull request or issue; `number:` can name one")
        if not NUMBER.fullmatch(number):
            raise EvaluationError(f"{number[:80]!r} is not the number of a pull request or issue")
        return {"repo": self.repository(names), "number": number}

    def compose(self, execution: Execution, name: str) -> bytes:  # noqa: ARG002 - nothing in it is pressed
        """Write the comment, and how it is found again."""
        return msgspec.json.encode(
            github_reports.comment(execution, self.key, self.said(execution), self.said_fields(execution))
        )

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask for the token's rate limit, which costs none of it."""
        return await probe(outbound, self.token.text(), base_url(self.api_url))

    async def send(self, outbound: Outbound, message: Message) -> str:
        """Edit our comment, or write it where there is none; one that tells of a newer execution is left as it is.

        Raises as `github_api.ask` does.
        """
        told = msgspec.json.decode(message.body, type=github_reports.Comment)
        token, issues = self.token.text(), f"{self.url(message.address)}/issues"
        there = await self._there(outbound, token, message, told.mark)
        content = {"body": told.body}
        if there is None:
            url = f"{issues}/{message.address['number']}/comments"
            return str(id_in(await ask(outbound, token, "POST", url, content, now=message.now)))
        if not told.is_newer(there.body or ""):
            try:
                url = f"{issues}/comments/{there.id}"
                await ask(outbound, token, "PATCH", url, content, now=message.now, repeatable=True)
            except Refused as refused:
                if refused.status not in _GONE:
                    raise
                raise Transient("GitHub: the comment was deleted at this moment") from None
        return str(there.id)

    async def _there(self, outbound: Outbound, token: str, message: Message, mark: str) -> _Comment | None:
        """Return our comment, if there is one: with our mark, which anybody can copy, and written by us."""
        us = await self._who(outbound, token, message.now)
        issues = f"{self.url(message.address)}/issues"

        def ours(comment: _Comment) -> bool:
            by_us = comment.user is not None and comment.user.id == us
            return by_us and (comment.body or "").startswith(mark)

        if message.made is not None:
            try:
                url = f"{issues}/comments/{message.made}"
                found = msgspec.convert(await ask(outbound, token, "GET", url, now=message.now), _Comment)
                if ours(found):
                    return found
            except (Refused, msgspec.ValidationError):
                pass  # somebody deleted it: there may be another, or there will be
        for number in range(1, _MOST_PAGES + 1):
            url = f"{issues}/{message.address['number']}/comments"
            comments = await page(outbound, token, url, number, list[_Comment], now=message.now)
            first = next(filter(ours, comments), None)
            if first is not None or len(comments) < PER_PAGE:
                return first
        return None

    async def _who(self, outbound: Outbound, token: str, now: float) -> int:
        """Return the id of whose token it is."""
        url = base_url(self.api_url)
        known = outbound.beside(("GitHub user", url, token), lambda _: _Whoami())
        if known.id is None:
            known.id = id_in(await ask(outbound, token, "GET", f"{url}/user", now=now))
        return known.id
