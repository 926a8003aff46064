"""Slack: slash commands read into events, Slack's own checks answered, and every answer worded for people.

https://docs.slack.dev/interactivity/implementing-slash-commands
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

import msgspec

from bridge.authentication import refuse_weak, signed
from bridge.bodies import FORM, JSON, media_type, read_form, read_object
from bridge.contracts import Acceptance, Reply, Request, Skipped, Source
from bridge.credentials import Concealed
from bridge.errors import BadSignature, Malformed, Refusal, TooLarge, UnsupportedMedia
from bridge.model import Command, Event
from bridge.mrkdwn import escape, plain, unescape
from bridge.paths import at
from bridge.scheme import PRESETS, without_credentials
from bridge.signatures import Secrets
from bridge.signing import Signing

_FACTS = {
    "command": ("the slash command, such as /genesis", {"commands": "command"}),
    "text": (
        "what was typed, with plain quotes and spaces and Slack's escapes undone; of a command what follows it",
        {"commands": "text", "events": "event.text"},
    ),
    "user": ("id of who did it", {"commands": "user_id", "events": "event.user", "interactions": "user.id"}),
    "user_name": ("name of who did it", {"commands": "user_name", "interactions": "user.username"}),
    "channel": (
        "id of the channel it was done in",
        {"commands": "channel_id", "events": "event.channel", "interactions": "channel.id"},
    ),
    "channel_name": ("name of that channel", {"commands": "channel_name", "interactions": "channel.name"}),
    "team": ("id of the workspace", {"commands": "team_id", "events": "team_id", "interactions": "team.id"}),
    "response_url": (
        "where answers may go for 30 minutes; whoever knows it can answer, so keep it",
        {"commands": "response_url", "interactions": "response_url"},
    ),
    "thread_ts": (
        "the thread it was done in, where Slack says so",
        {"commands": "thread_ts", "events": "event.thread_ts", "interactions": "message.thread_ts"},
    ),
}
"""Fact -> documentation, and where each kind of request has it."""
_Kind = Literal["commands", "events", "interactions"]
"""Fact -> form field and documentation."""
_SMALLEST = {
    "team_id": "T0001",
    "channel_id": "C2147483705",
    "channel_name": "test",
    "user_id": "U2147483697",
    "user_name": "steve",
    "text": "",
    "response_url": "https://hooks.slack.com/commands/T0001/1/example",
}
_CREDENTIALS = frozenset({"response_url", "response_urls", "token", "trigger_id", "bot_access_token"})
_LONGEST_ANSWER = 3000
_MOST_SKIPPED = 5
_NOTHING = "Nothing was started"


class Slack(Source, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="slack"):
    """A Slack app's request URL."""

    secrets: Secrets
    """The app's signing secret; any of several may match, so that it can be changed without a gap."""

    facts: ClassVar[Mapping[str, str]] = {fact: document for fact, (document, _) in _FACTS.items()}
    origins: ClassVar[Mapping[str, str]] = {
        fact: "; ".join(f"{kind}: `{path}`" for kind, path in places.items()) for fact, (_, places) in _FACTS.items()
    }
    max_body_bytes: ClassVar[int] = 100_000
    commands: ClassVar[bool] = True
    credentials: ClassVar[frozenset[str]] = _CREDENTIALS

    @classmethod
    def doubt(cls, event: str) -> str | None:
        """Doubt what is no command."""
        return None if event.startswith("/") else f"only slash commands start something: did you mean '/{event}'?"

    def __post_init__(self) -> None:
        """Refuse secrets that can be guessed."""
        refuse_weak(PRESETS["slack"], self.secrets)

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
        """Return the form of a slash command, or the envelope of another event."""
        if event.startswith("/"):
            return _SMALLEST | {"command": event}
        return {"type": event} if event else {}

    def packed(self, event: str, body: Any) -> Request:  # noqa: ARG002 - the body says which command it is
        """Return the request in which Slack sends a body: a form for commands, JSON for events."""
        if isinstance(body, dict) and "command" in body:
            form = urlencode({key: value for key, value in body.items() if value is not None})
            return Request(headers={"content-type": FORM}, query={}, body=form.encode(), now=0)
        return Request(headers={"content-type": JSON}, query={}, body=msgspec.json.encode(body), now=0)

    def signing(self) -> Signing:
        """Sign with the first secret."""
        return Signing(secrets=self.secrets, scheme=PRESETS["slack"])

    def parse(self, request: Request) -> Event:
        """Read one request: a command, or what is none."""
        media = media_type(request.headers)
        if media == FORM:
            form = read_form(request.body)
            if form.get("command"):
                return _command(form, request)
            if "payload" in form:
                return _other(read_object(form["payload"]), request, form=True)
            raise Malformed("the form has neither a command nor a payload")
        if media == JSON:
            return _other(read_object(request.body), request)
        raise UnsupportedMedia(f"Slack sends {JSON} or {FORM}")

    def answer(self, acceptance: Acceptance) -> Reply:
        """Say to the person who typed the command what became of it."""
        return _say(_WORDING[acceptance.outcome](acceptance))

    def refuse(self, refusal: Refusal) -> Reply | None:
        """Say to the person what is wrong; whoever is not Slack, or sends what Slack never does, gets the status."""
        if isinstance(refusal, (BadSignature, TooLarge)):
            return None
        return _say(f"Not taken: {refusal}.")

    def unavailable(self) -> Reply:
        """Ask the person to type it again, for Slack itself never repeats a command."""
        return _say("Not taken, please try again in a moment.")


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
    body = {field: Concealed(value) if field in _CREDENTIALS else value for field, value in form.items()}
    return Event(
        name=form["command"],
        key=form.get("trigger_id") or None,
        body=body,
        headers=without_credentials(request.headers),
        query=dict(request.query),
        facts=_facts("commands", form),
        command=Command(name=form["command"], word=form["command"], text=form.get("text", "")),
        keep=urlencode(_without_credentials(form)).encode(),
    )


def _facts(kind: _Kind, body: Mapping[str, Any]) -> dict[str, str]:
    found = {fact: at(body, places[kind]) for fact, (_, places) in _FACTS.items() if kind in places}
    facts = {
        fact: Concealed(value) if fact in _CREDENTIALS else value
        for fact, value in found.items()
        if isinstance(value, str)
    }
    return facts | ({"text": plain(unescape(facts["text"]))} if "text" in facts else {})


def _other(body: dict[str, Any], request: Request, *, form: bool = False) -> Event:
    """Return a signed request that is no command: it is recorded, and starts nothing."""
    name = body.get("type")
    name = name if isinstance(name, str) and name else "request"
    key = body.get("event_id")
    known = _without_credentials(body)
    keep = msgspec.json.encode(known)
    return Event(
        name=name,
        key=key if isinstance(key, str) and key else None,
        body=known,
        headers=without_credentials(request.headers),
        query=dict(request.query),
        facts=_facts("interactions" if form else "events", body),
        keep=urlencode({"payload": keep}).encode() if form else keep,
        ignored=f"only slash commands start something; this is Slack's {name}",
    )


def _without_credentials(value: Any) -> Any:
    """Leave out, at any depth, what would let a reader of the record answer or act in the sender's name."""
    if isinstance(value, dict):
        return {key: _without_credentials(inner) for key, inner in value.items() if key not in _CREDENTIALS}
    if isinstance(value, list):
        return [_without_credentials(inner) for inner in value]
    return value


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
