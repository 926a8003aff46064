"""Slack as a sender: slash commands, button presses and events, signed and in Slack's wire form."""

import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from bridge.emulators.signing import slack_signature

TEAM, CHANNEL, USER, APP, BOT = "T0001", "C2147483705", "U2147483697", "A123456", "U0001"


def slash(
    command: str, text: str, *, secret: str, now: float | None = None, **fields: str
) -> tuple[dict[str, str], bytes]:
    """Build a signed slash command; `fields` replace or add form fields, `now` (epoch seconds) may be stale."""
    form = {
        "token": "gIkuvaNzQIHg97ATvDxqgjtO",
        "team_id": TEAM,
        "team_domain": "example",
        "channel_id": CHANNEL,
        "channel_name": "test",
        "user_id": USER,
        "user_name": "steve",
        "command": command,
        "text": text,
        "api_app_id": APP,
        "is_enterprise_install": "false",
        "response_url": f"https://hooks.slack.com/commands/{TEAM}/1/{secrets.token_urlsafe(12)}",
        "trigger_id": trigger_id(),
    }
    body = urlencode(form | fields).encode()
    return _signed(body, "application/x-www-form-urlencoded", secret, now), body


def button(
    action_id: str, value: str, *, secret: str, now: float | None = None, **fields: Any
) -> tuple[dict[str, str], bytes]:
    """Build a signed button press (`block_actions`); `fields` replace or add top-level ones, such as `response_url`."""
    pressed: dict[str, Any] = {
        "type": "block_actions",
        "team": {"id": TEAM, "domain": "example"},
        "user": {"id": USER, "username": "steve", "name": "steve", "team_id": TEAM},
        "channel": {"id": CHANNEL, "name": "test"},
        "api_app_id": APP,
        "trigger_id": trigger_id(),
        "actions": [{"type": "button", "action_id": action_id, "block_id": "actions", "value": value}],
    }
    return _interaction(pressed | fields, secret, now)


def event(
    inner: dict[str, Any],
    *,
    secret: str,
    now: float | None = None,
    event_id: str | None = None,
    retry: int = 0,
    retry_reason: str = "http_timeout",
    **fields: Any,
) -> tuple[dict[str, str], bytes]:
    """Build a signed event; a retry keeps its `event_id`, counts 1 to 3 and is signed afresh."""
    envelope = {
        "token": "gIkuvaNzQIHg97ATvDxqgjtO",
        "team_id": TEAM,
        "api_app_id": APP,
        "event": inner,
        "type": "event_callback",
        "event_id": event_id or "Ev" + secrets.token_hex(5).upper(),
        "event_time": int(time.time() if now is None else now),
        "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
    }
    body = msgspec.json.encode(envelope | fields)
    headers = _signed(body, "application/json", secret, now)
    if retry:
        headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": retry_reason}
    return headers, body


def mention(
    text: str,
    *,
    secret: str,
    user: str = USER,
    channel: str = CHANNEL,
    ts: str | None = None,
    thread_ts: str | None = None,
    **more: Any,
) -> tuple[dict[str, str], bytes]:
    """Build the signed event of a message that begins with the app's name; in a thread with `thread_ts`.

    `more` are those of `event`, such as `event_id` and `retry`.
    """
    moment = ts or f"{int(time.time())}.{secrets.randbelow(10**6):06d}"
    inner = {"type": "app_mention", "user": user, "text": f"<@{BOT}> {text}", "ts": moment, "team": TEAM}
    inner |= {"channel": channel, "event_ts": moment} | ({} if thread_ts is None else {"thread_ts": thread_ts})
    return event(inner, secret=secret, **more)


def shortcut(
    callback_id: str,
    *,
    secret: str,
    now: float | None = None,
    message: dict[str, Any] | None = None,
    response_url: str | None = None,
    **fields: Any,
) -> tuple[dict[str, str], bytes]:
    """Build a signed shortcut: a global one, or with `message` the one in that message's menu.

    Only the latter has a channel and a response URL; `fields` replace or add top-level ones.
    """
    used: dict[str, Any] = {
        "type": "shortcut" if message is None else "message_action",
        "token": "gIkuvaNzQIHg97ATvDxqgjtO",
        "action_ts": f"{time.time() if now is None else now:.6f}",
        "team": {"id": TEAM, "domain": "example"},
        "user": {"id": USER, "username": "steve", "team_id": TEAM},
        "callback_id": callback_id,
        "trigger_id": trigger_id(),
    }
    if message is not None:
        url = response_url or f"https://hooks.slack.com/app/{TEAM}/1/{secrets.token_urlsafe(12)}"
        used |= {"channel": {"id": CHANNEL, "name": "test"}, "message": {"type": "message"} | message}
        used |= {"message_ts": message.get("ts"), "response_url": url}
    return _interaction(used | fields, secret, now)


def press(
    message: Mapping[str, Any],
    action_id: str,
    *,
    secret: str,
    user: str = USER,
    user_name: str = "steve",
    now: float | None = None,
    **fields: Any,
) -> tuple[dict[str, str], bytes]:
    """Build the signed press of the button that a message (channel, ts, text, blocks) has under this action_id.

    LookupError where it has none: people press only what they see.
    """
    found = [
        (block, element)
        for block in message.get("blocks") or []
        for element in [*block.get("elements", []), block.get("accessory", {})]
        if element.get("type") == "button" and element.get("action_id") == action_id
    ]
    if not found:
        raise LookupError(f"the message has no button {action_id!r}")
    block, pressed = found[0]
    known: dict[str, Any] = {
        name: pressed[name] for name in ("type", "action_id", "value", "text", "style", "url") if name in pressed
    }
    moment = f"{time.time() if now is None else now:.6f}"
    action = known | {"block_id": block.get("block_id", "actions"), "action_ts": moment}
    shown = {name: message[name] for name in ("text", "blocks", "ts", "thread_ts") if message.get(name)}
    where = {"type": "message", "message_ts": message["ts"], "channel_id": message["channel"], "is_ephemeral": False}
    person = {"id": user, "username": user_name, "name": user_name, "team_id": TEAM}
    more = {
        "user": person,
        "channel": {"id": message["channel"], "name": "test"},
        "container": where,
        "message": {"type": "message", "bot_id": "B0001", "app_id": APP} | shown,
        "actions": [action],
    }
    return button(action_id, "", secret=secret, now=now, **(more | fields))


def url_verification(challenge: str, *, secret: str, now: float | None = None) -> tuple[dict[str, str], bytes]:
    """Build the signed request with which Slack tries a new events URL."""
    body = msgspec.json.encode(
        {"token": "gIkuvaNzQIHg97ATvDxqgjtO", "challenge": challenge, "type": "url_verification"}
    )
    return _signed(body, "application/json", secret, now), body


def trigger_id() -> str:
    """Make a trigger id: the only thing that tells two equal slash commands apart."""
    return f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**11)}.{secrets.token_hex(16)}"


def _interaction(payload: dict[str, Any], secret: str, now: float | None) -> tuple[dict[str, str], bytes]:
    body = urlencode({"payload": msgspec.json.encode(payload)}).encode()
    return _signed(body, "application/x-www-form-urlencoded", secret, now), body


def _signed(body: bytes, content_type: str, secret: str, now: float | None) -> dict[str, str]:
    timestamp = str(int(time.time() if now is None else now))
    return {
        "Content-Type": content_type,
        "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": slack_signature(body, secret=secret, timestamp=timestamp),
    }
