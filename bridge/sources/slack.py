"""Slack: commands, events, shortcuts and buttons read into events, and every answer worded for people.

https://docs.slack.dev/interactivity/implementing-slash-commands, https://docs.slack.dev/apis/events-api and
https://docs.slack.dev/interactivity/handling-user-interaction
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import urlencode

import msgspec

from bridge import slack_api, slack_events
from bridge.addresses import base_url
from bridge.authentication import refuse_weak, signed
from bridge.bodies import FORM, JSON, media_type, read_form, read_object
from bridge.contracts import Acceptance, Reception, Reply, Request, Skipped, Source
from bridge.credentials import Concealed
from bridge.errors import (
    AttemptError,
    BadSignature,
    BodyTimeout,
    Malformed,
    Permanent,
    Refusal,
    TooLarge,
    TooMany,
    UnsupportedMedia,
)
from bridge.model import Acknowledgement, Command, Event, Message
from bridge.mrkdwn import escape, plain, unescape
from bridge.outbound import Outbound
from bridge.scheme import PRESETS
from bridge.scheme import without_credentials as without_header_credentials
from bridge.secret import Secret
from bridge.signatures import Secrets
from bridge.signing import Signing
from bridge.slack_events import INTERACTIONS
from bridge.slack_facts import CREDENTIALS, DOCUMENTS, ORIGINS, find, without_credentials

_SMALLEST = {
    "team_id": "T0001",
    "channel_id": "C2147483705",
    "channel_name": "test",
    "user_id": "U2147483697",
    "user_name": "steve",
    "text": "",
    "response_url": "https://hooks.slack.com/commands/T0001/1/example",
}
_LONGEST_ANSWER = 3000
_MOST_SKIPPED = 5
_NOTHING = "Nothing was started"


class Slack(Source, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="slack"):
    """A Slack app's request URL."""

    secrets: Secrets
    """The app's signing secret; any of several may match, so that it can be changed without a gap."""

    token: Secret | None = None
    """The app's bot token, with chat:write: answers mentions in their threads, with help or what was wrong."""
    api_url: str = slack_api.API_URL
    """The address of Slack's Web API, for those who go through a proxy of their own."""

    facts: ClassVar[Mapping[str, str]] = DOCUMENTS
    origins: ClassVar[Mapping[str, str]] = ORIGINS
    max_body_bytes: ClassVar[int] = 100_000
    commands: ClassVar[bool] = True
    credentials: ClassVar[frozenset[str]] = CREDENTIALS

    @classmethod
    def doubt(cls, event: str) -> str | None:
        """Doubt events that Slack does not document."""
        return slack_events.doubt(event)

    @classmethod
    def reads_usage(cls, event: str) -> bool:
        """Say whether it is a slash command, or a mention of the app."""
        return event.startswith("/") or event == slack_events.MENTION

    def __post_init__(self) -> None:
        """Refuse secrets that can be guessed, and an API URL that paths cannot be appended to."""
        refuse_weak(PRESETS["slack"], self.secrets)
        base_url(self.api_url)

    def read(self, request: Request) -> Event | Reply:
        """Verify and read one request; Slack's own two checks are answered.

        The check of the certificate comes unsigned and is answered without a look at anything else in it.
        """
        media = media_type(request.headers)
        if media == FORM and _is_ssl_check(request.body):
            return Reply(status=200, content_type="text/plain")
        read = Source.read(self, request)
        if media == JSON and isinstance(read, Event) and read.body.get("type") == "url_verification":
            return _handshake(read.body)
        return read

    def verify(self, request: Request) -> bool:
        """Say whether Slack signed this.

        https://docs.slack.dev/authentication/verifying-requests-from-slack
        """
        return signed(PRESETS["slack"], request, self.secrets)

    def smallest(self, event: str) -> dict[str, Any]:
        """Return the form of a slash command, the envelope of an event, or a shortcut."""
        return _SMALLEST | {"command": event} if event.startswith("/") else slack_events.smallest(event)

    def packed(self, event: str, body: Any) -> Request:  # noqa: ARG002 - the body says which command it is
        """Return the request in which Slack sends a body: a form for commands and interactions, JSON for events."""
        if isinstance(body, dict) and ("command" in body or body.get("type") in INTERACTIONS):
            fields = body if "command" in body else {"payload": msgspec.json.encode(body)}
            form = urlencode({key: value for key, value in fields.items() if value is not None})
            return Request(headers={"content-type": FORM}, query={}, body=form.encode(), now=0)
        return Request(headers={"content-type": JSON}, query={}, body=msgspec.json.encode(body), now=0)

    def signing(self) -> Signing:
        """Sign with the first secret."""
        return Signing(secrets=self.secrets, scheme=PRESETS["slack"])

    def parse(self, request: Request) -> Event:
        """Read one request: a command, an interaction or an event."""
        media = media_type(request.headers)
        if media == FORM:
            form = read_form(request.body)
            if form.get("command"):
                return _command(form, request)
            if "payload" in form:
                return _interaction(read_object(form["payload"]), request)
            raise Malformed("the form has neither a command nor a payload")
        if media == JSON:
            return _event(read_object(request.body), request)
        raise UnsupportedMedia(f"Slack sends {JSON} or {FORM}")

    def acknowledge(self, event: Event, reception: Reception, words: str | None) -> Acknowledgement | None:  # noqa: ARG002
        """Answer a mention in its thread with what its author should know; that something runs, notifiers tell."""
        channel, thread = event.facts.get("channel"), event.facts.get("thread_ts")
        if self.token is None or event.command is None or not words or channel is None or thread is None:
            return None
        said = {"text": slack_events.answer(event.command, words)}
        return Acknowledgement(body=msgspec.json.encode(said), address={"channel": channel, "thread_ts": thread})

    async def send(self, outbound: Outbound, message: Message) -> None:
        """Post the answer; raises as `slack_api.call` does."""
        if self.token is None:
            raise Permanent("the source has no token any more")
        content = msgspec.json.decode(message.body, type=dict[str, str]) | message.address | {"unfurl_links": False}
        await slack_api.call(outbound, self.api_url, self.token, "chat.postMessage", content, now=message.now)

    async def whisper(self, outbound: Outbound, event: Event, words: str) -> None:
        """Answer to the response URL of the button, beside its message and only to who pressed it."""
        url = event.facts.get("response_url")
        if not isinstance(url, Concealed):
            return
        said = {"response_type": "ephemeral", "replace_original": False, "text": escape(words, _LONGEST_ANSWER)}
        ours = slack_api.of_origin(url.reveal(), self.api_url)
        with suppress(AttemptError):  # what became of it stands in the message as well
            await slack_api.respond(outbound, url.reveal(), said, ours=ours, now=time.time())

    @property
    def asks(self) -> bool:
        """Whether it has a token."""
        return self.token is not None

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask whose token it is."""
        return None if self.token is None else await slack_api.probe(outbound, self.api_url, self.token)

    def answer(self, acceptance: Acceptance, request: Request) -> Reply:
        """Say to the person who typed a command what became of it; of the rest, that it was taken is enough.

        An answer to an event is read by nobody, and one to a button or shortcut may be taken for a view.
        """
        if not _is_typed(request):
            return Reply(status=200, content_type="text/plain")
        return _say(_WORDING[acceptance.outcome](acceptance))

    def refuse(self, refusal: Refusal, request: Request) -> Reply | None:
        """Say to the person what is wrong; whoever is not Slack, or sends what Slack never does, gets the status.

        So does what comes later than it may and is no command, for an event Slack sends again, up to three times.
        """
        later = isinstance(refusal, (TooMany, BodyTimeout)) and not _is_typed(request)
        if later or isinstance(refusal, (BadSignature, TooLarge)):
            return None
        return _say(f"Not taken: {refusal}.")

    def unavailable(self, request: Request) -> Reply | None:
        """Ask the person to type it again, for a command itself Slack never repeats; an event it does."""
        return _say("Not taken, please try again in a moment.") if _is_typed(request) else None


def _is_typed(request: Request) -> bool:
    """Whether it is a slash command, whose answer a person sees; also where it cannot be read."""
    return media_type(request.headers) == FORM and not request.body.startswith(b"payload=")


def _is_ssl_check(body: bytes) -> bool:
    if b"ssl_check" not in body:
        return False
    try:
        return read_form(body).get("ssl_check") == "1"
    except Malformed:
        return False


def _handshake(body: dict[str, Any]) -> Reply:
    challenge = body.get("challenge")
    if not isinstance(challenge, str):
        raise Malformed("the url_verification carries no challenge")
    return Reply(status=200, body=msgspec.json.encode({"challenge": challenge}))


def _command(form: dict[str, str], request: Request) -> Event:
    body = {field: Concealed(value) if field in CREDENTIALS else value for field, value in form.items()}
    return Event(
        name=form["command"],
        key=form.get("trigger_id") or None,
        body=body,
        headers=without_header_credentials(request.headers),
        query=dict(request.query),
        facts=find("commands", form),
        command=Command(name=form["command"], word=form["command"], text=form.get("text", "")),
        keep=urlencode(without_credentials(form)).encode(),
    )


def _event(body: dict[str, Any], request: Request) -> Event:
    key, known, command = body.get("event_id"), without_credentials(body), slack_events.mention(body)
    typed = {} if command is None else {"command": command.word, "text": plain(unescape(command.text))}
    return Event(
        name=slack_events.event_name(body),
        # Of a retry, too: whether the first attempt came at all, its headers do not say.
        key=key if isinstance(key, str) and key else None,
        body=known,
        headers=without_header_credentials(request.headers),
        query=dict(request.query),
        facts=find("events", body) | typed,
        command=command,
        keep=msgspec.json.encode(known),
        ignored=slack_events.ignored(body),
    )


def _interaction(body: dict[str, Any], request: Request) -> Event:
    known = without_credentials(body)
    return Event(
        name=slack_events.interaction_name(body),
        key=slack_events.interaction_key(body),
        body=known,
        headers=without_header_credentials(request.headers),
        query=dict(request.query),
        facts=find("interactions", body),
        press=slack_events.press(body),
        keep=urlencode({"payload": msgspec.json.encode(known)}).encode(),
        ignored=slack_events.interaction_ignored(body),
    )


def _say(text: str) -> Reply:
    body = {"response_type": "ephemeral", "text": escape(text, _LONGEST_ANSWER)}
    return Reply(status=200, body=msgspec.json.encode(body))


def _accepted(acceptance: Acceptance) -> str:
    started = ", ".join(execution.rule for execution in acceptance.executions)
    # The rules that did not run are no news here: most are for other commands, and a wrong use starts nothing.
    return f"Started: {started}."


def _no_match(acceptance: Acceptance) -> str:
    if acceptance.reason:
        return f"{_NOTHING}: {acceptance.reason}."
    return "\n".join([f"{_NOTHING}: no rule is meant for this command.", *_skipped(acceptance.skipped)])


def _ignored(acceptance: Acceptance) -> str:
    return acceptance.reason or f"{_NOTHING}."


def _duplicate(acceptance: Acceptance) -> str:
    started = ", ".join(execution.rule for execution in acceptance.executions)
    return f"This command was taken before{f' and started: {started}' if started else ''}. {_NOTHING} anew."


def _rule_error(acceptance: Acceptance) -> str:
    return f"{_NOTHING}: {acceptance.reason}." if acceptance.reason else f"{_NOTHING}."


def _skipped(skipped: list[Skipped]) -> list[str]:
    lines = [f"{one.rule} did not run: {one.reason}" for one in skipped[:_MOST_SKIPPED]]
    more = len(skipped) - _MOST_SKIPPED
    return [*lines, f"... and {more} more."] if more > 0 else lines


_WORDING = {
    "accepted": _accepted,
    "no_match": _no_match,
    "ignored": _ignored,
    "duplicate": _duplicate,
    "rule_error": _rule_error,
}
