"""Slack's Web API and response URLs: one request each, and what its answers mean.

https://docs.slack.dev/reference/methods/chat.postMessage and chat.update
https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from bridge.addresses import Guard, base_url, origin, parse
from bridge.answers import json_object
from bridge.errors import Ambiguous, AttemptError, Permanent, Throttled, Transient
from bridge.outbound import Answer, Outbound
from bridge.secret import Secret

API_URL = "https://slack.com/api"
RESPONSE_HOST = "hooks.slack.com"
RESPONSE_GUARD = Guard(allow_hosts=(RESPONSE_HOST,))

_TIMEOUT_SECONDS = 10.0
_MAX_ANSWER_BYTES = 1 << 16
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json; charset=utf-8"
_USED_UP = frozenset({"used_url", "expired_url"})
_NOT_THERE = frozenset("not_in_channel channel_not_found is_archived restricted_action".split())
_UNCHANGEABLE = frozenset("message_not_found cant_update_message edit_window_closed is_inactive".split())
_TRY_AGAIN = frozenset("internal_error fatal_error request_timeout service_unavailable".split())
_WHAT_TO_DO = {
    "not_in_channel": "invite the app into the channel",
    "channel_not_found": "check the channel's id, and invite the app if it is private",
    "is_archived": "choose another channel",
    "missing_scope": "give the app the scope chat:write",
    "invalid_auth": "check the token",
    "not_authed": "check the token",
    "token_revoked": "install the app anew and use its new token",
    "account_inactive": "install the app anew and use its new token",
}


class NotThere(Permanent):
    """The app may not write in that channel; another way may be open."""


class Unchangeable(Permanent):
    """The message is gone, or cannot be changed any more; a new one can be written."""


async def probe(outbound: Outbound, api_url: str, token: Secret) -> str | None:
    """Ask whose token it is; None: it is good."""
    answer = await _ask(outbound, api_url, token, "auth.test", _FORM, b"")
    return None if _ok(answer) else str(_judged(answer, 0, *token.texts()))


async def look(
    outbound: Outbound, api_url: str, token: Secret, method: str, asked: Mapping[str, str], *, now: float
) -> dict[str, Any]:
    """Call a method that only reads: those take a form, and no JSON. Raises as `call` does."""
    answer = await _ask(outbound, api_url, token, method, _FORM, urlencode(asked).encode())
    return _said(answer, token, now)


async def call(
    outbound: Outbound, api_url: str, token: Secret, method: str, content: Mapping[str, Any], *, now: float
) -> dict[str, Any]:
    """Call a method and return its answer; `now` in Unix seconds.

    Raises Transient, Permanent (NotThere, Unchangeable) and Ambiguous.
    """
    # On a connection of its own: chat.postMessage has no idempotency key, and a kept connection that Slack closed at
    # just that moment would leave open whether it was posted.
    answer = await _ask(outbound, api_url, token, method, _JSON, msgspec.json.encode(content), fresh=True)
    return _said(answer, token, now)


async def respond(outbound: Outbound, url: str, content: Mapping[str, Any], *, ours: bool, now: float) -> bool:
    """Answer to a response URL; False: it is used up. `ours`: it is of the origin that the operator named.

    Raises Transient, Permanent and Ambiguous.
    """
    answer = await outbound.request(
        "POST",
        url,
        headers={"content-type": _JSON},
        content=msgspec.json.encode(content),
        timeout_seconds=_TIMEOUT_SECONDS,
        max_bytes=_MAX_ANSWER_BYTES,
        fresh=True,
        guard=None if ours else RESPONSE_GUARD,
    )
    body = json_object(answer)
    if answer.status in (404, 410) or body.get("error") in _USED_UP:
        return False
    if not 200 <= answer.status < 300 or body.get("ok") is False:  # noqa: PLR2004 - success is any 2xx, mostly `ok`
        raise _judged(answer, now, url, parse(url).raw_path.decode())
    return True


def of_origin(url: str, api_url: str) -> bool:
    """Whether a response URL is of the origin that the operator named as Slack's API."""
    try:
        return origin(url) == origin(api_url)
    except ValueError:
        return False


async def _ask(
    outbound: Outbound, api_url: str, token: Secret, method: str, kind: str, content: bytes, *, fresh: bool = False
) -> Answer:
    return await outbound.request(
        "POST",
        f"{base_url(api_url)}/{method}",
        headers={"authorization": f"Bearer {token.text()}", "content-type": kind},
        content=content,
        timeout_seconds=_TIMEOUT_SECONDS,
        max_bytes=_MAX_ANSWER_BYTES,
        fresh=fresh,
    )


def _said(answer: Answer, token: Secret, now: float) -> dict[str, Any]:
    if not _ok(answer):
        raise _judged(answer, now, *token.texts())
    return json_object(answer)


def _ok(answer: Answer) -> bool:
    return answer.status == 200 and json_object(answer).get("ok") is True  # noqa: PLR2004 - and 200 alone means nothing


def _judged(answer: Answer, now: float, *hidden: str) -> AttemptError:
    """Sort an answer that is no success.

    Slack says 200 to most failures and names them in `error`. Transient when it may work later, Permanent when not,
    Ambiguous when the answer cannot be read.
    """
    words = f"Slack: {answer.words(*hidden)}"
    error = json_object(answer).get("error")
    if answer.status == 429 or error == "ratelimited":  # noqa: PLR2004 - slow down
        return Throttled(words, answer.retry_after(now))
    if answer.status >= 500 or error in _TRY_AGAIN:  # noqa: PLR2004 - in trouble
        return Transient(words, answer.retry_after(now))
    if answer.status == 200 and not isinstance(error, str):  # noqa: PLR2004 - neither success nor a named failure
        return Ambiguous(f"{words} - which is not an answer of Slack's API")
    hint = _WHAT_TO_DO.get(error) if isinstance(error, str) else None
    kind = NotThere if error in _NOT_THERE else Unchangeable if error in _UNCHANGEABLE else Permanent
    return kind(f"{words} - {hint}" if hint else words)
