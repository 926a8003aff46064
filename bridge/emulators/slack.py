"""Slack as bridge meets it: Web API methods, response URLs with their limits, and the slash commands it sends."""

import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from bridge.emulators import slack_blocks, slack_html, slack_sender
from bridge.emulators.emulator import Emulator
from bridge.emulators.exchange import Answer, Exchange, Script, Scripted, json_answer, text_answer
from bridge.emulators.slack_messages import (
    Failed,
    Message,
    Record,
    arguments,
    edit,
    error,
    json_object,
    ratelimited,
    take_content,
)
from bridge.emulators.slack_mrkdwn import Reader
from bridge.emulators.slack_sender import slash

__all__ = ["Message", "Record", "Slack", "error", "ratelimited", "slash"]

RESPONSE_URL_USES = 5
RESPONSE_URL_SECONDS = 30 * 60
RATE_SECONDS = 1.0

UrlKind = Literal["commands", "actions"]


_IDENTITY: dict[str, Any] = {
    "url": "https://example.slack.com/",
    "team": "Example",
    "user": "genesis-bridge",
    "team_id": slack_sender.TEAM,
    "user_id": slack_sender.BOT,
    "bot_id": "B0001",
    "is_enterprise_install": False,
}


_FORMS = frozenset({"usergroups.users.list"})
"""Methods that only read: they take a form, and no JSON."""


class ResponseUrl(msgspec.Struct, kw_only=True):
    """What a response URL still allows."""

    kind: UrlKind
    channel: str
    issued: float
    message_ts: str = ""
    uses: int = 0


class Slack(Emulator[Record]):
    """`/api/<method>`, `/commands/...` and `/actions/...` over a list of `messages`; `/` shows them to people.

    `tokens` and `channels`: None accepts any. `strict_rate` allows one chat.postMessage a second and channel. A spent
    or expired response URL answers with `spent_status`, for both 404 and 200 were seen in the wild. `answers` are
    given instead of the normal ones, by method name or `response_url`. `clock` gives epoch seconds.
    """

    def __init__(
        self,
        *,
        tokens: Iterable[str] | None = None,
        channels: Iterable[str] | None = None,
        strict_rate: bool = False,
        spent_status: int = 404,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.tokens = None if tokens is None else set(tokens)
        self.channels = None if channels is None else set(channels)
        self.strict_rate = strict_rate
        self.spent_status = spent_status
        self.groups: dict[str, list[str]] = {}
        """Who is in which user group."""
        self.answers = Script()
        self.messages: list[Message] = []
        self.response_urls: dict[str, ResponseUrl] = {}
        self._clock = clock
        self._posted: dict[str, float] = {}
        self._made = 0

    def new_response_url(
        self, kind: UrlKind = "commands", *, channel: str = slack_sender.CHANNEL, message_ts: str = ""
    ) -> str:
        """Issue a response URL; one of a button (`actions`) may replace the message it stands under."""
        path = f"/{kind}/{slack_sender.TEAM}/{len(self.response_urls) + 1}/{secrets.token_urlsafe(12)}"
        self.response_urls[path] = ResponseUrl(kind=kind, channel=channel, issued=self._clock(), message_ts=message_ts)
        return self.url + path

    def slash(
        self, command: str, text: str, *, secret: str, now: float | None = None, **fields: str
    ) -> tuple[dict[str, str], bytes]:
        """Build a signed slash command whose response_url leads back here."""
        channel = fields.get("channel_id", slack_sender.CHANNEL)
        fields = {"response_url": self.new_response_url(channel=channel)} | fields
        return slash(command, text, secret=secret, now=self._clock() if now is None else now, **fields)

    def press(
        self, message: Message, action_id: str, *, secret: str, now: float | None = None, **fields: Any
    ) -> tuple[dict[str, str], bytes]:
        """Build the signed press of a message's button; its response_url leads back here and may replace the message.

        LookupError where the message has no such button. `fields` are those of `slack_sender.press`, such as `user`.
        """
        url = self.new_response_url("actions", channel=message.channel, message_ts=message.ts)
        shown, moment = msgspec.to_builtins(message), self._clock() if now is None else now
        return slack_sender.press(shown, action_id, secret=secret, now=moment, **({"response_url": url} | fields))

    def shortcut(
        self, callback_id: str, message: Message | None = None, *, secret: str, now: float | None = None, **fields: Any
    ) -> tuple[dict[str, str], bytes]:
        """Build a signed shortcut: a global one, or a message's, whose response_url leads back here."""
        moment = self._clock() if now is None else now
        if message is None:
            return slack_sender.shortcut(callback_id, secret=secret, now=moment, **fields)
        shown = {"ts": message.ts, "text": message.text, "blocks": message.blocks}
        shown |= {"thread_ts": message.thread_ts} if message.thread_ts else {}
        where = {"id": message.channel, "name": "test"}
        known = {"message": shown, "channel": where, "response_url": self.new_response_url(channel=message.channel)}
        return slack_sender.shortcut(callback_id, secret=secret, now=moment, **(known | fields))

    def requests(self, kind: str) -> list[Record]:
        """List the requests received so far for one method, or for `response_url`."""
        return [record for record in self.journal if record.kind == kind]

    async def handle(self, exchange: Exchange) -> Answer:
        """Route, note and answer one request."""
        match exchange.method, exchange.segments:
            case "GET", ("",):
                return self._page()
            case "POST", ("api", method):
                kind = method
            case "POST", ("commands" | "actions", *_):
                kind = "response_url"
            case _:
                return text_answer("not found", 404)
        raw = await exchange.body()
        record = Record(
            kind=kind,
            at=time.time(),
            monotonic=time.monotonic(),
            client=exchange.client,
            path=exchange.path,
            body={},
        )
        scripted = self.answers.take(kind)
        if scripted and not scripted.runs:
            answer = scripted.answer
        else:
            own = self._respond(record, raw) if kind == "response_url" else self._call(record, exchange, raw)
            answer = scripted.answer if scripted else own
        record.status = 0 if answer.drop else answer.status
        self.journal.append(record)
        return answer

    async def control(self, exchange: Exchange) -> Answer | None:
        """Obey `/_emulator/...`: answers, messages, response_urls."""
        body = await exchange.body()
        match exchange.method, exchange.segments[1:]:
            case "POST", ("answers",):
                self.answers.append(msgspec.json.decode(body, type=Scripted))
            case "DELETE", ("answers",):
                self.answers.clear()
            case "GET", ("messages",):
                return json_answer(self.messages)
            case "POST", ("response_urls",):
                return json_answer({"url": self.new_response_url()})
            case _:
                return None
        return Answer(status=204)

    def _page(self) -> Answer:
        """Draw the channels as people see them."""
        names = {slack_sender.BOT: _IDENTITY["user"], slack_sender.USER: "steve", slack_sender.CHANNEL: "test"}
        drawn = slack_html.page(self.messages, Reader(now=self._clock(), names=names), refresh_seconds=2)
        headers = {"content-security-policy": slack_html.POLICY}
        return Answer(body=drawn, content_type="text/html; charset=utf-8", headers=headers)

    def _call(self, record: Record, exchange: Exchange, raw: bytes) -> Answer:
        """Answer a Web API method: 200 whether it worked or not, but for the rate limit."""
        try:
            self._check_token(exchange.headers.get("authorization"))
            record.body = arguments(exchange.headers.get("content-type", ""), raw, form=record.kind in _FORMS)
            reply = self._method(record)
        except Failed as failed:
            record.error = failed.error
            if failed.error == "ratelimited":
                return ratelimited(RATE_SECONDS)
            return error(failed.error, failed.details)
        return json_answer({"ok": True} | reply)

    def _method(self, record: Record) -> dict[str, Any]:
        match record.kind:
            case "auth.test":
                return _IDENTITY
            case "usergroups.users.list":
                if record.body.get("usergroup") not in self.groups:
                    raise Failed("no_such_subteam")
                return {"users": self.groups[record.body["usergroup"]]}
            case "chat.postMessage":
                self._read(record)
                message = self._post(record)
            case "chat.update":
                self._read(record)
                message = self._update(record)
            case _:
                raise Failed("unknown_method")
        shown = {"type": "message", "text": message.text, "blocks": message.blocks or [], "ts": message.ts}
        return {"channel": message.channel, "ts": message.ts, "message": shown}

    def _check_token(self, authorization: str | None) -> None:
        if not authorization:
            raise Failed("not_authed")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or (self.tokens is not None and token not in self.tokens):
            raise Failed("invalid_auth")

    def _read(self, record: Record) -> None:
        record.channel = str(record.body.get("channel") or "")
        if not record.channel or (self.channels is not None and record.channel not in self.channels):
            raise Failed("channel_not_found")
        take_content(record)
        # Seen for chat.postMessage only: the same blocks pass through a response URL (slackapi/bolt-js#2867).
        if slack_blocks.characters(record.blocks) > slack_blocks.TOTAL_CHARACTERS_LIMIT:
            raise Failed("msg_blocks_too_long")

    def _post(self, record: Record) -> Message:
        now = self._clock()
        if self.strict_rate and now - self._posted.get(record.channel, float("-inf")) < RATE_SECONDS:
            raise Failed("ratelimited")
        self._posted[record.channel] = now
        return self._say(record, thread_ts=str(record.body.get("thread_ts") or ""))

    def _update(self, record: Record) -> Message:
        wanted = (record.channel, record.body.get("ts"))
        for message in self.messages:
            if (message.channel, message.ts) == wanted and not message.ephemeral:
                return edit(message, record)
        raise Failed("message_not_found")

    def _respond(self, record: Record, raw: bytes) -> Answer:
        """Answer a message to a response URL: no token, five uses, half an hour."""
        try:
            url = self._usable(record.path)
            record.channel = url.channel
            record.body = json_object(raw, "invalid_payload")
            take_content(record)
        except Failed as failed:
            record.error = failed.error
            if failed.error.endswith("_url"):
                return json_answer({"ok": False, "error": failed.error}, self.spent_status)
            return text_answer(failed.error, 400)
        url.uses += 1
        # On a slash command's URL replace_original does nothing (slackapi/bolt-js#2287); a button's does it by default.
        replaced = [message for message in self.messages if url.kind == "actions" and message.ts == url.message_ts]
        if replaced and record.body.get("replace_original") is not False:
            edit(replaced[0], record)
        else:
            self._say(record, ephemeral=record.body.get("response_type") != "in_channel")
        return text_answer("ok")

    def _usable(self, path: str) -> ResponseUrl:
        url = self.response_urls.get(path)
        if url is None:
            raise Failed("invalid_url")
        if self._clock() - url.issued > RESPONSE_URL_SECONDS:
            raise Failed("expired_url")
        if url.uses >= RESPONSE_URL_USES:
            raise Failed("used_url")
        return url

    def _say(self, record: Record, *, thread_ts: str = "", ephemeral: bool = False) -> Message:
        self._made += 1
        record.ts = f"{int(self._clock())}.{self._made:06d}"
        message = Message(
            channel=record.channel,
            ts=record.ts,
            text=record.text,
            blocks=record.blocks,
            thread_ts=thread_ts,
            via=record.kind,
            ephemeral=ephemeral,
        )
        self.messages.append(message)
        return message
