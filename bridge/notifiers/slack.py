"""Slack: posts to a channel, or replies to the command that asked.

https://docs.slack.dev/reference/methods/chat.postMessage
https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from bridge.addresses import Guard, base_url, origin, parse
from bridge.contracts import Message, Notifier
from bridge.credentials import Concealed
from bridge.errors import Ambiguous, AttemptError, EvaluationError, Permanent, Transient
from bridge.expressions import Text
from bridge.model import Execution, Link, Output, Status
from bridge.mrkdwn import escape
from bridge.outbound import Answer, Outbound
from bridge.secret import Secret

_API_URL = "https://slack.com/api"
_RESPONSE_HOST = "hooks.slack.com"
_RESPONSE_GUARD = Guard(allow_hosts=(_RESPONSE_HOST,))
_RESPONSE_URL_SECONDS = 29 * 60
"""They are good for 30 minutes and 5 messages; a reply is at most three."""
_USED_UP = frozenset({"used_url", "expired_url"})
_TIMEOUT_SECONDS = 10.0
_MAX_ANSWER_BYTES = 1 << 16

# Block Kit takes 50 blocks of 3,000 characters, and chat.postMessage about 11,000 in all (slackapi/bolt-js #2509).
_MAX_OUTPUTS = 5
_MAX_OUTPUT_CHARACTERS = 1_000
_MAX_REASON_CHARACTERS = 1_000
_MAX_OWN_CHARACTERS = 3_000
_MAX_NAME_CHARACTERS = 150
_MAX_LINK_CHARACTERS = 1_000

_TRY_AGAIN = frozenset("ratelimited internal_error fatal_error request_timeout service_unavailable".split())
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

_TOLD = frozenset({Status.PENDING, Status.REVIEW_PENDING, *(status for status in Status if status.final)})
"""An engine that takes an order makes it `pending` first, so that is the one message that it has begun."""

_SAID = {
    Status.QUEUED: "… queued",
    Status.STARTING: "… starting",
    Status.PENDING: "… started",
    Status.RUNNING: "… running",
    Status.REVIEW_PENDING: "! waiting for a review: somebody has to approve it in the engine",
    Status.COMPLETED: "✓ completed",
    Status.FAILED: "✗ failed",
    Status.CANCELLED: "- cancelled",
    Status.SKIPPED: "- skipped",
    Status.REJECTED: "✗ rejected: the engine did not take it",
    Status.UNKNOWN: "? unknown: it may or may not have run; somebody has to look",
    Status.TIMED_OUT: "✗ timed out",
    Status.LOST: "? lost: the engine no longer knows the run",
}


class Slack(Notifier, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="slack"):
    """A channel."""

    in_order: ClassVar[bool] = True

    token: Secret
    """The app's bot token, with chat:write."""
    channel: Text
    """The channel's id; ${{ }} may take it from the event."""
    on_status: list[Status] | None = None
    """The statuses that are told; by default the start, review_pending and the result."""
    api_url: str = _API_URL
    """The address of Slack's Web API, for those who go through a proxy of their own."""

    def __post_init__(self) -> None:
        """Refuse an API URL that paths cannot be appended to."""
        base_url(self.api_url)

    def texts(self) -> dict[str, Text]:
        """Return the channel."""
        return {"channel": self.channel}

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Resolve the channel."""
        return {"channel": self.channel.render(names)}

    def wants(self, status: Status) -> bool:
        """Tell the start, reviews and ends, unless the configuration lists something else."""
        return status in (_TOLD if self.on_status is None else self.on_status)

    def compose(self, execution: Execution) -> bytes:
        """Write the message, within Block Kit's limits whatever the engine said."""
        return msgspec.json.encode(_message(execution, self.said(execution)))

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask whose token it is."""
        return await _probe(outbound, self.api_url, self.token)

    async def send(self, outbound: Outbound, message: Message) -> None:
        """Post it; raises as `_judged` says."""
        await _post(outbound, self.api_url, self.token, message.address, msgspec.json.decode(message.body), message.now)


class SlackReply(Notifier, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="slack_reply"):
    """Where the command came from: its response URL as long as that is good, then the channel, with a token."""

    in_order: ClassVar[bool] = True
    sources: ClassVar[frozenset[str] | None] = frozenset({"slack"})
    sealed: ClassVar[frozenset[str]] = frozenset({"response_url"})

    token: Secret | None = None
    """The app's bot token, for answers after the 30 minutes the command's own address is good for."""
    api_url: str = _API_URL
    """The address of Slack's Web API, for those who go through a proxy of their own."""

    def __post_init__(self) -> None:
        """Refuse an API URL that paths cannot be appended to."""
        base_url(self.api_url)

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Keep every way back that the event names; EvaluationError when none can be used."""
        found = {name: names[name] for name in ("response_url", "channel", "user", "thread_ts") if name in names}
        known = {name: value.reveal() if isinstance(value, Concealed) else value for name, value in found.items()}
        ways = {name: value for name, value in known.items() if isinstance(value, str) and value}
        # Posting to a person opens the conversation with them.
        channel = ways.get("channel") or ways.pop("user", None)
        if "response_url" in ways:
            self._check(ways["response_url"])
        elif self.token is None or channel is None:
            raise EvaluationError("the event has no response_url; without a token and a channel nobody can be answered")
        ways.pop("user", None)
        return ways if channel is None else {**ways, "channel": channel}

    def wants(self, status: Status) -> bool:
        """Tell the start, a review and the end: three of the five messages a response URL takes."""
        return status in _TOLD

    def compose(self, execution: Execution) -> bytes:
        """Write the message, and when the command was given, for its response URL expires."""
        message = _message(execution, self.said(execution))
        return msgspec.json.encode({**message, "asked_at": execution.created_at})

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask whose token it is, if there is one."""
        return None if self.token is None else await _probe(outbound, self.api_url, self.token)

    async def send(self, outbound: Outbound, message: Message) -> None:
        """Reply to the response URL, or post to the channel once that is used up.

        Raises as `_judged` says, and Permanent when no way back is left.
        """
        content = msgspec.json.decode(message.body)
        asked_at = datetime.fromisoformat(content.pop("asked_at")).timestamp()
        url = message.address.get("response_url")
        fresh = message.now < asked_at + _RESPONSE_URL_SECONDS
        if url is not None and fresh and await self._respond(outbound, url, content, message.now):
            return
        if self.token is None or "channel" not in message.address:
            raise Permanent(
                "the command's response URL is used up or older than 30 minutes; with a token it would go on"
            )
        await _post(outbound, self.api_url, self.token, message.address, content, message.now)

    async def _respond(self, outbound: Outbound, url: str, content: dict[str, Any], now: float) -> bool:
        """Return False when the URL is used up."""
        # For everybody to see, as what the token posts is; an ephemeral one would be gone by the time a run ends.
        reply = {**content, "response_type": "in_channel", "replace_original": False}
        answer = await outbound.request(
            "POST",
            url,
            headers={"content-type": "application/json; charset=utf-8"},
            content=msgspec.json.encode(reply),
            timeout_seconds=_TIMEOUT_SECONDS,
            max_bytes=_MAX_ANSWER_BYTES,
            fresh=True,
            guard=None if self._ours(url) else _RESPONSE_GUARD,
        )
        body = _object(answer)
        if answer.status in (404, 410) or body.get("error") in _USED_UP:
            return False
        if not 200 <= answer.status < 300 or body.get("ok") is False:  # noqa: PLR2004 - success is any 2xx, mostly `ok`
            raise _judged(answer, now, url, parse(url).raw_path.decode())
        return True

    def _check(self, url: str) -> None:
        """Refuse a response URL that is not Slack's: what is posted there must not go to anybody else."""
        if not (self._ours(url) or _RESPONSE_GUARD.problem(url) is None):
            raise EvaluationError(f"the response_url is not one of Slack's (https://{_RESPONSE_HOST}/...)")

    def _ours(self, url: str) -> bool:
        """Whether a response URL is of the origin that the operator named as Slack's API."""
        try:
            return origin(url) == origin(self.api_url)
        except ValueError:
            return False


async def _probe(outbound: Outbound, api_url: str, token: Secret) -> str | None:
    answer = await outbound.request(
        "POST",
        f"{base_url(api_url)}/auth.test",
        headers={"authorization": f"Bearer {token.text()}", "content-type": "application/x-www-form-urlencoded"},
        timeout_seconds=_TIMEOUT_SECONDS,
        max_bytes=_MAX_ANSWER_BYTES,
    )
    return None if _ok(answer) else str(_judged(answer, 0, *token.texts()))


async def _post(
    outbound: Outbound, api_url: str, token: Secret, address: Mapping[str, str], content: dict[str, Any], now: float
) -> None:
    where = {name: address[name] for name in ("channel", "thread_ts") if name in address}
    # On a connection of its own: chat.postMessage has no idempotency key, and a kept connection that Slack closed at
    # just that moment would leave open whether it was posted.
    answer = await outbound.request(
        "POST",
        f"{base_url(api_url)}/chat.postMessage",
        headers={"authorization": f"Bearer {token.text()}", "content-type": "application/json; charset=utf-8"},
        content=msgspec.json.encode({**content, **where, "unfurl_links": False}),
        timeout_seconds=_TIMEOUT_SECONDS,
        max_bytes=_MAX_ANSWER_BYTES,
        fresh=True,
    )
    if not _ok(answer):
        raise _judged(answer, now, *token.texts())


def _ok(answer: Answer) -> bool:
    return answer.status == 200 and _object(answer).get("ok") is True  # noqa: PLR2004 - and 200 alone means nothing


def _judged(answer: Answer, now: float, *hidden: str) -> AttemptError:
    """Sort an answer that is no success.

    Slack says 200 to most failures and names them in `error`. Transient when it may work later, Permanent when not,
    Ambiguous when the answer cannot be read.
    """
    words = f"Slack: {answer.words(*hidden)}"
    error = _object(answer).get("error")
    if answer.status == 429 or answer.status >= 500 or error in _TRY_AGAIN:  # noqa: PLR2004 - slow down; in trouble
        return Transient(words, answer.retry_after(now))
    if answer.status == 200 and not isinstance(error, str):  # noqa: PLR2004 - neither success nor a named failure
        return Ambiguous(f"{words} - which is not an answer of Slack's API")
    hint = _WHAT_TO_DO.get(error) if isinstance(error, str) else None
    return Permanent(f"{words} - {hint}" if hint else words)


def _object(answer: Answer) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _message(execution: Execution, own: str | None) -> dict[str, Any]:
    """Lay the message out; words of the notifier's own stand in the place of the outputs.

    Whatever we did not write is escaped and cut: it can neither ping nor disguise a link.
    """
    said, name = _SAID[execution.status], escape(execution.rule, _MAX_NAME_CHARACTERS)
    blocks = [_section(f"*{name}*: {said}"), _context(" · ".join(_facts(execution)))]
    if execution.reason:
        blocks.append(_section(escape(execution.reason, _MAX_REASON_CHARACTERS)))
    if own is not None:
        own_words = [_section(escape(own, _MAX_OWN_CHARACTERS))] if own else []
        return {"text": f"{name}: {said}", "blocks": blocks + own_words}
    for output, value in list(execution.outputs.items())[:_MAX_OUTPUTS]:
        blocks += _output(output, value)
    more = len(execution.outputs) - _MAX_OUTPUTS
    if more > 0:
        blocks.append(_context(f"and {more} more outputs"))
    return {"text": f"{name}: {said}", "blocks": blocks}


def _facts(execution: Execution) -> Iterator[str]:
    yield f"template {escape(execution.template, _MAX_NAME_CHARACTERS)}"
    if execution.progress is not None:
        yield f"{execution.progress.done}/{execution.progress.total} steps"
    if execution.started_at is not None and execution.finished_at is not None:
        took = datetime.fromisoformat(execution.finished_at) - datetime.fromisoformat(execution.started_at)
        minutes, seconds = divmod(round(took.total_seconds()), 60)
        yield f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    link = _link(execution.url or "", "Open")
    if link:
        yield link


def _output(name: str, value: Output) -> list[dict[str, Any]]:
    """Show an output in blocks of its own: a `*` or fence in what others wrote ends there, and styles nothing of ours.

    A link says 'Open', never what somebody named it, which could be another address.
    """
    told = [escape(name, _MAX_NAME_CHARACTERS)]
    if not isinstance(value, Link):
        return [_context(*told), _section(escape(value, _MAX_OUTPUT_CHARACTERS))]
    told += [escape(value.type, _MAX_NAME_CHARACTERS)] if value.type else []
    told += [f"{value.size:,} bytes"] if value.size is not None else []
    return [_context(*told), _section(_link(value.url, "Open") or escape(value.url, _MAX_LINK_CHARACTERS))]


def _link(url: str, text: str) -> str:
    """Return a link as mrkdwn has it; nothing where the URL is none a person should follow."""
    if not url.startswith(("https://", "http://")) or len(url) > _MAX_LINK_CHARACTERS:
        return ""
    # `|` would begin the link's text.
    return f"<{escape(url).replace('|', '%7C')}|{text}>"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(text)}


def _context(*texts: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_mrkdwn(text) for text in texts]}


def _mrkdwn(text: str) -> dict[str, Any]:
    # verbatim: Slack does not make links, channels or people out of words by itself.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
