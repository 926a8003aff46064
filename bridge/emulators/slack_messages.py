"""Messages as Slack takes them: read from a request, held to their limits, refused in Slack's words."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from bridge.emulators import slack_blocks
from bridge.emulators.exchange import Answer, json_answer

TEXT_LIMIT = 40_000


class Record(msgspec.Struct, kw_only=True):
    """One request in the journal, written before its answer leaves.

    `kind` is the method, or `response_url`; `error` is Slack's word for what was wrong with it; `ts` names the
    message it made or changed, empty if none; `status` 0 means that the connection is dropped.
    """

    kind: str
    at: float
    monotonic: float
    client: tuple[str, int]
    path: str
    body: dict[str, Any]
    channel: str = ""
    text: str = ""
    blocks: Any = None
    ts: str = ""
    error: str = ""
    status: int = 200


class Message(msgspec.Struct, kw_only=True):
    """One message as people see it; `edits` counts its changes."""

    channel: str
    ts: str
    text: str
    blocks: Any
    thread_ts: str = ""
    via: str
    ephemeral: bool = False
    edits: int = 0


class Failed(Exception):
    """A refusal in Slack's words."""

    def __init__(self, error: str, details: list[str] | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.details = details or []


def error(word: str, details: list[str] | None = None) -> Answer:
    """Fail as the Web API does: with 200 and the reason in the body."""
    body: dict[str, Any] = {"ok": False, "error": word}
    if details:
        body["response_metadata"] = {"messages": details}
    return json_answer(body)


def ratelimited(seconds: float) -> Answer:
    """Ask for patience, in whole seconds."""
    return json_answer({"ok": False, "error": "ratelimited"}, 429, {"retry-after": f"{seconds:.0f}"})


def json_object(raw: bytes, complaint: str) -> dict[str, Any]:
    """Decode a JSON object, or fail with the given complaint."""
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Failed(complaint) from None


def arguments(content_type: str, raw: bytes, *, form: bool = False) -> dict[str, Any]:
    """Read a method's arguments from JSON or a form, or from a `form` only."""
    if not raw:  # slack_sdk's auth.test says JSON and sends nothing
        return {}
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" and form:
        raise Failed("invalid_form_data")
    if kind == "application/json":
        return json_object(raw, "invalid_json")
    if kind != "application/x-www-form-urlencoded":
        raise Failed("invalid_post_type")
    return dict(parse_qsl(raw.decode(errors="replace")))


def take_content(record: Record) -> None:
    """Take text and blocks from the body, as strict as Slack is."""
    text, blocks = record.body.get("text") or "", record.body.get("blocks")
    if isinstance(blocks, str):  # in a form
        blocks = json_object(b'{"blocks":' + blocks.encode() + b"}", "invalid_blocks_format")["blocks"]
    if not isinstance(text, str) or not (text or blocks):
        raise Failed("no_text")
    record.text, record.blocks = text[:TEXT_LIMIT], blocks
    if blocks is not None and (details := slack_blocks.problems(blocks)):
        raise Failed("invalid_blocks", details)


def edit(message: Message, record: Record) -> Message:
    """Put the record's content into a message that is already there."""
    message.text, message.blocks = record.text, record.blocks
    message.edits += 1
    record.ts = message.ts
    return message
