"""How an execution reads in Slack: one message, laid out anew whenever it changes, within Block Kit's limits. Pure.

https://docs.slack.dev/reference/block-kit/blocks
Whatever we did not write is escaped and cut: it can neither ping nor disguise a link.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bridge.model import Execution, Link, Output, Status
from bridge.mrkdwn import escape
from bridge.status_words import WORDS, took

# Block Kit takes 50 blocks of 3,000 characters, and chat.postMessage about 11,000 in all (slackapi/bolt-js #2509).
_MAX_OUTPUTS = 5
_MAX_OUTPUT_CHARACTERS = 800
_MAX_REASON_CHARACTERS = 1_000
_MAX_OWN_CHARACTERS = 3_000
_MAX_FIELDS = 10
_MAX_FIELD_CHARACTERS = 150
_MAX_FIELD_NAME_CHARACTERS = 60
_MAX_PRESSED_CHARACTERS = 300
_MAX_NAME_CHARACTERS = 150
_MAX_LINK_CHARACTERS = 1_000

_MARKS = {
    Status.QUEUED: "…",
    Status.STARTING: "…",
    Status.PENDING: "…",
    Status.RUNNING: "…",
    Status.REVIEW_PENDING: "!",
    Status.COMPLETED: "✓",
    Status.FAILED: "✗",
    Status.CANCELLED: "-",
    Status.SKIPPED: "-",
    Status.REJECTED: "✗",
    Status.UNKNOWN: "?",
    Status.TIMED_OUT: "✗",
    Status.LOST: "?",
}

Block = dict[str, Any]


def message(
    execution: Execution, own: str | None, fields: Mapping[str, str], buttons: list[Block], pressed: str = ""
) -> dict[str, Any]:
    """Lay the message out; words of the notifier's `own` stand in the place of the outputs.

    `pressed` says who did what about it by a button, which is then no more there.
    """
    said, name = f"{_MARKS[execution.status]} {WORDS[execution.status]}", escape(execution.rule, _MAX_NAME_CHARACTERS)
    opens = any("url" in element for element in buttons) and not pressed
    blocks = [_section(f"*{name}*: {said}"), _context(" · ".join(_facts(execution, link=not opens)))]
    if execution.reason:
        blocks.append(_section(escape(execution.reason, _MAX_REASON_CHARACTERS)))
    if fields:
        blocks.append(_fields(fields))
    if own is None:
        blocks += _outputs(execution.outputs)
    elif own:
        blocks.append(_section(escape(own, _MAX_OWN_CHARACTERS)))
    if pressed:
        blocks.append(_context(escape(pressed, _MAX_PRESSED_CHARACTERS)))
    elif buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return {"text": f"{name}: {said}", "blocks": blocks}


def button(text: str, action: str, value: str, *, style: str = "", confirm: str = "") -> Block:
    """Return a button of ours; one with `confirm` asks first."""
    found: Block = {
        "type": "button",
        "text": {"type": "plain_text", "text": text},
        "action_id": f"gb:{action}",
        "value": value,
    }
    if style:
        found["style"] = style
    if confirm:
        found["confirm"] = {
            "title": {"type": "plain_text", "text": text},
            "text": {"type": "plain_text", "text": confirm},
            "confirm": {"type": "plain_text", "text": text},
            "deny": {"type": "plain_text", "text": "No"},
        }
    return found


def link_button(text: str, url: str) -> Iterator[Block]:
    """Yield a button that leads to a URL; none where a person should not follow it."""
    if followable(url):
        yield {**button(text, "open", "|"), "url": url}


def _facts(execution: Execution, *, link: bool) -> Iterator[str]:
    yield f"template {escape(execution.template, _MAX_NAME_CHARACTERS)}"
    if execution.progress is not None:
        yield f"{execution.progress.done}/{execution.progress.total} steps"
    if lasted := took(execution):
        yield lasted
    at = execution.finished_at or execution.started_at
    if at:
        yield _moment(at)
    if link and (found := _link(execution.url or "", "Open")):
        yield found


def _moment(at: str) -> str:
    """Return a moment in the zone of whoever reads it; the rest is for those who cannot show that."""
    seconds = int(datetime.fromisoformat(at).timestamp())
    return f"<!date^{seconds}^{{date_short_pretty}} {{time}}|{at}>"


def _fields(fields: Mapping[str, str]) -> Block:
    shown = [
        _mrkdwn(f"*{escape(name, _MAX_FIELD_NAME_CHARACTERS)}*\n{escape(text, _MAX_FIELD_CHARACTERS)}")
        for name, text in list(fields.items())[:_MAX_FIELDS]
    ]
    return {"type": "section", "fields": shown}


def _outputs(outputs: Mapping[str, Output]) -> Iterator[Block]:
    for name, value in list(outputs.items())[:_MAX_OUTPUTS]:
        yield from _output(name, value)
    more = len(outputs) - _MAX_OUTPUTS
    if more > 0:
        yield _context(f"and {more} more outputs")


def _output(name: str, value: Output) -> list[Block]:
    """Show an output in blocks of its own: a `*` or fence in what others wrote ends there, and styles nothing of ours.

    A link says 'Open', never what somebody named it, which could be another address.
    """
    told = [escape(name, _MAX_NAME_CHARACTERS)]
    if not isinstance(value, Link):
        return [_context(*told), _section(escape(value, _MAX_OUTPUT_CHARACTERS))]
    told += [escape(value.type, _MAX_NAME_CHARACTERS)] if value.type else []
    told += [f"{value.size:,} bytes"] if value.size is not None else []
    return [_context(*told), _section(_link(value.url, "Open") or escape(value.url, _MAX_LINK_CHARACTERS))]


def followable(url: str) -> bool:
    """Whether a URL is one for a browser, and short enough for Slack."""
    return url.startswith(("https://", "http://")) and len(url) <= _MAX_LINK_CHARACTERS


def _link(url: str, text: str) -> str:
    """Return a link as mrkdwn has it; nothing where the URL is none a person should follow."""
    if not followable(url):
        return ""
    # `|` would begin the link's text.
    return f"<{escape(url).replace('|', '%7C')}|{text}>"


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _context(*texts: str) -> Block:
    return {"type": "context", "elements": [_mrkdwn(text) for text in texts]}


def _mrkdwn(text: str) -> Block:
    # verbatim: Slack does not make links, channels or people out of words by itself.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
