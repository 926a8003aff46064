"""GitHub's REST API: one request made as GitHub wants it, and every answer sorted into what it means for a retry.

https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

import re
from typing import Any, TypeVar

import msgspec

from bridge.bodies import read_object
from bridge.errors import Ambiguous, AttemptError, Malformed, Permanent, Throttled, Transient
from bridge.outbound import Answer, Outbound

T = TypeVar("T")

GITHUB_API = "https://api.github.com"
TIMEOUT_SECONDS = 10.0

_MAX_ANSWER_BYTES = 2_000_000
"""A pull request is about 25 kB, and its description, of at most 256 kB, may stand in it more than once."""
PER_PAGE = 100
_MAX_PAGE_BYTES = 32_000_000
"""So many comments of at most 256 kB: strangers must not be able to make a page unreadable."""
_SECONDARY_LIMIT_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 3_600.0
_REPOSITORY = re.compile(r"[A-Za-z0-9_-][\w.-]{0,99}/(?!\.{1,2}$)[\w.-]{1,100}", re.ASCII)
_ADVICE = {
    401: "check the token",
    403: "the token may not do this",
    404: "is it there, and may the token see and change it?",
}


class Refused(Permanent):
    """GitHub refused, and will refuse again; `status` is the HTTP status it said so with."""

    def __init__(self, reason: str, status: int) -> None:
        """Keep the status beside the reason."""
        self.status = status
        super().__init__(reason)


def headers(token: str) -> dict[str, str]:
    """Return what every request to the API carries."""
    return {
        "authorization": f"Bearer {token}",
        "accept": "application/vnd.github+json",
        "x-github-api-version": "2022-11-28",
    }


def is_repository(text: str) -> bool:
    """Say whether a text is a repository's owner/name."""
    return _REPOSITORY.fullmatch(text) is not None


def repository_path(repository: str) -> str:
    """Return the path of a repository that an event names; Permanent when that is no owner/name."""
    if not is_repository(repository):
        raise Permanent(f"{repository[:80]!r} is not a repository's owner/name")
    return f"repos/{repository}"


def wait_seconds(answer: Answer, now: float) -> float | None:
    """Return how long a rate limit asks to wait; None: this is no rate limit.

    They come as 403 or 429, and only headers and words tell which 403 is one.
    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
    """
    if answer.status not in (403, 429):
        return None
    asked = answer.retry_after(now)
    if asked is not None:
        return asked
    reset = answer.headers.get("x-ratelimit-reset", "")
    if answer.headers.get("x-ratelimit-remaining") == "0" and re.fullmatch("[0-9]{1,12}", reset):
        return min(max(0.0, float(reset) - now), _LONGEST_WAIT_SECONDS)
    limited = answer.status == 429 or "rate limit" in answer.text(2_000).lower()  # noqa: PLR2004 - HTTP's own words
    return _SECONDARY_LIMIT_SECONDS if limited else None


async def ask(  # noqa: PLR0913 - each is one property of one request
    outbound: Outbound,
    token: str,
    method: str,
    url: str,
    content: Any = None,
    *,
    now: float,
    timeout_seconds: float = TIMEOUT_SECONDS,
    repeatable: bool = False,
) -> dict[str, Any]:
    """Make one request and return the object it is answered with; one that changes something has its own connection.

    `repeatable` says that a change made twice is the same as made once. Raises Transient (rate limits, GitHub in
    trouble at a question or something repeatable), Refused and Ambiguous.
    """
    json = {} if content is None else {"content-type": "application/json; charset=utf-8"}
    answer = await outbound.request(
        method,
        url,
        headers={**headers(token), **json},
        content=None if content is None else msgspec.json.encode(content),
        timeout_seconds=timeout_seconds,
        max_bytes=_MAX_ANSWER_BYTES,
        fresh=method != "GET",
    )
    _check(answer, token, now, harmless=repeatable or method == "GET")
    try:
        return read_object(answer.body)  # a truncated one is no JSON
    except Malformed as error:
        raise Ambiguous(f"GitHub: HTTP {answer.status}, but its answer cannot be read: {error}") from None


async def page(outbound: Outbound, token: str, url: str, number: int, kind: type[T], *, now: float) -> T:
    """Return one page of a list, from 1 on, with PER_PAGE entries unless it is the last, read as `kind`.

    Raises as `ask` does.
    """
    answer = await outbound.request(
        "GET",
        f"{url}{'&' if '?' in url else '?'}per_page={PER_PAGE}&page={number}",
        headers=headers(token),
        timeout_seconds=TIMEOUT_SECONDS,
        max_bytes=_MAX_PAGE_BYTES,
    )
    _check(answer, token, now, harmless=True)
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Ambiguous(f"GitHub: HTTP {answer.status}, but its answer cannot be read") from None


async def probe(outbound: Outbound, token: str, api_url: str) -> str | None:
    """Say what is wrong with a token; None: GitHub knows it, whatever it may do. Raises AttemptError."""
    answer = await outbound.request(
        "GET",
        f"{api_url}/rate_limit",
        headers=headers(token),
        timeout_seconds=TIMEOUT_SECONDS,
        max_bytes=_MAX_ANSWER_BYTES,
    )
    # An Enterprise Server without rate limits has none to show; it looks at the token before it says so.
    return None if answer.status in (200, 404) else str(_judged(answer, token, 0, harmless=True))


def _check(answer: Answer, token: str, now: float, *, harmless: bool) -> None:
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - success is any 2xx
        raise _judged(answer, token, now, harmless=harmless)


def _judged(answer: Answer, token: str, now: float, *, harmless: bool) -> AttemptError:
    words = f"GitHub: {answer.words(token)}"
    wait = wait_seconds(answer, now)
    if wait is not None:
        return Throttled(words, wait)
    if answer.status >= 500:  # noqa: PLR2004 - it is in trouble
        return Transient(words, answer.retry_after(now)) if harmless else Ambiguous(words)
    advice = _ADVICE.get(answer.status)
    return Refused(f"{words} - {advice}" if advice else words, answer.status)
