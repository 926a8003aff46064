"""Slack: one message for each execution, in a channel or where the command came from, changed in place as it goes on.

https://docs.slack.dev/reference/methods/chat.postMessage and chat.update
https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from bridge import slack_api, slack_message
from bridge.addresses import base_url
from bridge.contracts import Notifier
from bridge.credentials import Concealed
from bridge.duration import Duration
from bridge.errors import EvaluationError, Permanent
from bridge.expressions import Text
from bridge.model import Execution, Message, Press, Status
from bridge.outbound import Outbound
from bridge.secret import Secret
from bridge.slack_api import API_URL, RESPONSE_GUARD, RESPONSE_HOST, NotThere, Unchangeable

_RESPONSE_URL_SECONDS = 29 * 60
"""They are good for 30 minutes and 5 messages."""
_PROGRESS_USES = 2
"""The start and one progress; the rest is for a review, the result, and one to spare."""
_LAST_USE = 5
_BY_URL = "response_url"
_ID = re.compile("[A-Za-z0-9.]{1,100}")
_DIGITS = 32

_TOLD = frozenset(
    {Status.QUEUED, Status.PENDING, Status.REVIEW_PENDING, *(status for status in Status if status.final)}
)
"""An engine that takes an order makes it `pending` first; what is `queued` is told only if it waits."""
_MOVING = frozenset({Status.QUEUED, Status.STARTING, Status.PENDING, Status.RUNNING})


class Buttons(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may use the buttons under a message, and for how long."""

    users: tuple[str, ...] = ()
    """Ids of people, such as U0123ABCD."""
    groups: tuple[str, ...] = ()
    """Ids of user groups, such as S0123ABCD; the token needs the scope usergroups:read."""
    anyone: bool = False
    """Whether everybody who sees the message may."""
    expire: Duration = Duration(days=7)
    """How long after the end of the run."""

    def __post_init__(self) -> None:
        """Refuse buttons that nobody may use, and such that are for some and for everybody."""
        if self.anyone == bool(self.users or self.groups):
            raise ValueError("say who may use the buttons: `users`, `groups`, or `anyone: true`")


class _Chat(Notifier, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both have in common."""

    in_order: ClassVar[bool] = True
    living: ClassVar[bool] = True

    api_url: str = API_URL
    """The address of Slack's Web API, for those who go through a proxy of their own."""
    buttons: Buttons | None = None
    """Whether there are buttons to run it again and to settle an unknown one, and who may use them."""

    def __post_init__(self) -> None:
        """Refuse an API URL that paths cannot be appended to."""
        base_url(self.api_url)

    def lane(self, address: Mapping[str, str]) -> str:
        """Name the channel: about one message a second may be written there."""
        if self._key() is None or "channel" not in address:
            return ""  # a response URL has limits of its own
        where = f"{self.api_url} {address['channel']}"
        return f"slack {hashlib.sha256(where.encode()).hexdigest()[:_DIGITS]}"

    async def allows(self, outbound: Outbound, press: Press, user: str, now: float) -> str | None:
        """Hold a button to its signature, its time and who may use it."""
        key, buttons = self._key(), self.buttons
        if key is None or buttons is None:
            return "there are no buttons in the configuration"
        name, execution, expires, signature = (*press.value.split("|"), "", "", "", "")[:4]
        good = [_signature(one, name, press.action, execution, expires) for one in key.values()]
        known = (name, execution) == (press.notifier, press.execution_id)
        if not known or not any(hmac.compare_digest(signature, one) for one in good):
            return "that button is not one of ours"
        if not expires.isdecimal() or now > int(expires):
            return "that button is too old"
        if buttons.anyone or user in buttons.users or await self._in_groups(outbound, key, buttons, user, now):
            return None
        return "you are not among those who may use it"

    async def _in_groups(self, outbound: Outbound, key: Secret, buttons: Buttons, user: str, now: float) -> bool:
        for group in buttons.groups:
            told = await slack_api.look(
                outbound, self.api_url, key, "usergroups.users.list", {"usergroup": group}, now=now
            )
            members = told.get("users")
            if isinstance(members, list) and user in members:
                return True
        return False

    def _key(self) -> Secret | None:
        raise NotImplementedError

    def _layout(self, execution: Execution, name: str) -> dict[str, Any]:
        fields, buttons = self.said_fields(execution), list(self._buttons(execution, name))
        return slack_message.message(execution, self.said(execution), fields, buttons, _pressed(execution))

    def _buttons(self, execution: Execution, name: str) -> Iterator[dict[str, Any]]:
        key = self._key()
        if key is None or self.buttons is None or not execution.final or not execution.finished_at:
            return
        expires = int(datetime.fromisoformat(execution.finished_at).timestamp() + self.buttons.expire.total_seconds())

        def value(action: str) -> str:
            signature = _signature(key.reveal(), name, action, execution.id, str(expires))
            return f"{name}|{execution.id}|{expires}|{signature}"

        if execution.status == Status.UNKNOWN:
            start = "Only if you have looked: it would run twice if it did."
            yield slack_message.button(
                "It did not run: start it", "did_not_run", value("did_not_run"), style="danger", confirm=start
            )
            yield slack_message.button("Close", "close", value("close"))
        else:
            yield slack_message.button("Run again", "again", value("again"))
        yield from slack_message.link_button("Open", execution.url or "")


class Slack(_Chat, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="slack"):
    """A channel."""

    token: Secret
    """The app's bot token, with chat:write."""
    channel: Text
    """The channel's id; ${{ }} may take it from the event."""
    thread: bool = False
    """Whether what changes is told in a thread under the first message, instead of in its place."""
    on_status: list[Status] | None = None
    """The statuses that are told; by default a wait, the start with its progress, review_pending and the result."""

    def texts(self) -> dict[str, Text]:
        """Return the channel."""
        return {"channel": self.channel}

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Resolve the channel."""
        return {"channel": self.channel.render(names)}

    def wants(self, status: Status) -> bool:
        """Tell a wait, the start, reviews and ends, unless the configuration lists something else."""
        return status in (_TOLD if self.on_status is None else self.on_status)

    def compose(self, execution: Execution, name: str) -> bytes:
        """Write the message, within Block Kit's limits whatever the engine said."""
        return msgspec.json.encode(self._layout(execution, name))

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask whose token it is."""
        return await slack_api.probe(outbound, self.api_url, self.token)

    async def send(self, outbound: Outbound, message: Message) -> str | None:
        """Write the message, or change the one that is there; raises as `slack_api.call` does."""
        content = msgspec.json.decode(message.body)
        return await _write(outbound, self, self.token, message, content, message.address, thread=self.thread)

    def _key(self) -> Secret:
        return self.token


class SlackReply(_Chat, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="slack_reply"):
    """Where the command came from: a message of the token's that changes, else the response URL while it is good."""

    sources: ClassVar[frozenset[str] | None] = frozenset({"slack"})
    sealed: ClassVar[frozenset[str]] = frozenset({"response_url"})

    token: Secret | None = None
    """The app's bot token; without it there are at most five messages, within 30 minutes."""

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
        """Tell a wait, the start, a review and the end."""
        return status in _TOLD

    def compose(self, execution: Execution, name: str) -> bytes:
        """Write the message, and when the command was given, for its response URL expires."""
        asked = {"asked_at": execution.created_at, "moving": execution.status in _MOVING}
        waits = {"waits": execution.status == Status.QUEUED}
        return msgspec.json.encode({**self._layout(execution, name), **asked, **waits})

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask whose token it is, if there is one."""
        return None if self.token is None else await slack_api.probe(outbound, self.api_url, self.token)

    async def send(self, outbound: Outbound, message: Message) -> str | None:
        """Write, or change, the token's message; where it may not write, or there is none, use the response URL.

        Raises as `slack_api.call` does, and Permanent when no way back is left.
        """
        content = msgspec.json.decode(message.body)
        asked_at = datetime.fromisoformat(content.pop("asked_at")).timestamp()
        moving, waits = content.pop("moving"), content.pop("waits")
        url, refused = message.address.get("response_url"), ""
        uses = _uses(message.made)
        if self.token is not None and "channel" in message.address and not uses:
            try:
                return await _write(outbound, self, self.token, message, content, message.address)
            except NotThere as error:
                if url is None:
                    raise
                refused = str(error)
        if waits or (moving and uses >= _PROGRESS_USES):
            return None  # not worth one of the few
        fresh = message.now < asked_at + _RESPONSE_URL_SECONDS and uses < _LAST_USE
        if url is not None and fresh and await self._respond(outbound, url, content, message.now):
            return f"{_BY_URL} {uses + 1}"
        if self.token is not None and "channel" in message.address and not refused:
            return await _write(outbound, self, self.token, message, content, message.address)
        if moving:
            return None
        raise Permanent(
            refused or "the command's response URL is used up or older than 30 minutes; with a token it would go on"
        )

    async def _respond(self, outbound: Outbound, url: str, content: dict[str, Any], now: float) -> bool:
        # For everybody to see, as what the token posts is; an ephemeral one would be gone by the time a run ends.
        reply = {**content, "response_type": "in_channel", "replace_original": False}
        return await slack_api.respond(outbound, url, reply, ours=slack_api.of_origin(url, self.api_url), now=now)

    def _check(self, url: str) -> None:
        """Refuse a response URL that is not Slack's: what is posted there must not go to anybody else."""
        if not (slack_api.of_origin(url, self.api_url) or RESPONSE_GUARD.problem(url) is None):
            raise EvaluationError(f"the response_url is not one of Slack's (https://{RESPONSE_HOST}/...)")

    def _key(self) -> Secret | None:
        return self.token


async def _write(
    outbound: Outbound,
    chat: _Chat,
    token: Secret,
    message: Message,
    content: dict[str, Any],
    address: Mapping[str, str],
    *,
    thread: bool = False,
) -> str | None:
    """Write a message, or change the one that an earlier send has made; return where it is, if Slack says so."""
    channel, _, ts = (message.made or "").partition(" ")
    where = {name: address[name] for name in ("channel", "thread_ts") if name in address}
    if ts and channel != _BY_URL:
        if thread:
            # The first message always says how it stands; the thread keeps how it came to that.
            reply = {**content, "channel": channel, "thread_ts": ts, "unfurl_links": False}
            await slack_api.call(outbound, chat.api_url, token, "chat.postMessage", reply, now=message.now)
        try:
            changed = {**content, "channel": channel, "ts": ts}
            await slack_api.call(outbound, chat.api_url, token, "chat.update", changed, now=message.now)
        except Unchangeable:
            pass  # somebody deleted it, say; then there is a new one
        else:
            return f"{channel} {ts}"
    posted = {**content, **where, "unfurl_links": False}
    told = await slack_api.call(outbound, chat.api_url, token, "chat.postMessage", posted, now=message.now)
    # Posting to a person answers with the conversation's own id, by which alone the message can be changed.
    found = told.get("channel", address["channel"]), told.get("ts")
    return f"{found[0]} {found[1]}" if all(isinstance(one, str) and _ID.fullmatch(one) for one in found) else None


def _uses(made: str | None) -> int:
    """Return how many messages went to the response URL."""
    kind, _, count = (made or "").partition(" ")
    return int(count) if kind == _BY_URL and count.isdecimal() else 0


def _signature(key: bytes, name: str, action: str, execution: str, expires: str) -> str:
    # With the notifier's name: another one may have the same token, and let others press.
    signed = f"slack button|{name}|{action}|{execution}|{expires}"
    return hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def _pressed(execution: Execution) -> str:
    """Return what a person did about an execution that has ended: it stands in its history without another status."""
    history = execution.history
    told = execution.final and len(history) > 1 and history[-1].status == history[-2].status
    return (history[-1].note or "") if told else ""
