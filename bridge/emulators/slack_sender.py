"""Slack as a sender: slash commands, button presses and events, signed and in Slack's wire form."""

import secrets
import time
from typing import Any
from urllib.parse import urlencode

import msgspec

from bridge.emulators.signing import slack_signature

TEAM, CHANNEL, USER, APP = "T0001", "C2147483705", "U2147483697", "A123456"


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
    press = {
        "type": "block_actions",
        "team": {"id": TEAM, "domain": "example"},
        "user": {"id": USER, "username": "steve", "name": "steve", "team_id": TEAM},
        "channel": {"id": CHANNEL, "name": "test"},
        "api_app_id": APP,
        "trigger_id": trigger_id(),
        "actions": [{"type": "button", "action_id": action_id, "block_id": "actions", "value": value}],
    }
    body = urlencode({"payload": msgspec.json.encode(press | fields)}).encode()
    return _signed(body, "application/x-www-form-urlencoded", secret, now), body


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
        "authorizations": [{"team_id": TEAM, "user_id": "U0001", "is_bot": True}],
    }
    body = msgspec.json.encode(envelope | fields)
    headers = _signed(body, "application/json", secret, now)
    if retry:
        headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": retry_reason}
    return headers, body


def url_verification(challenge: str, *, secret: str, now: float | None = None) -> tuple[dict[str, str], bytes]:
    """Build the signed request with which Slack tries a new events URL."""
    body = msgspec.json.encode(
        {"token": "gIkuvaNzQIHg97ATvDxqgjtO", "challenge": challenge, "type": "url_verification"}
    )
    return _signed(body, "application/json", secret, now), body


def trigger_id() -> str:
    """Make a trigger id: the only thing that tells two equal slash commands apart."""
    return f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**11)}.{secrets.token_hex(16)}"


def _signed(body: bytes, content_type: str, secret: str, now: float | None) -> dict[str, str]:
    timestamp = str(int(time.time() if now is None else now))
    return {
        "Content-Type": content_type,
        "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": slack_signature(body, secret=secret, timestamp=timestamp),
    }
