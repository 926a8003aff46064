"""What rules may name of Slack's commands, events and interactions: a declared table, which docs/rules.md shows. Pure.

https://docs.slack.dev/reference/events and https://docs.slack.dev/interactivity/handling-user-interaction
"""

from collections.abc import Mapping
from typing import Any, Literal

from bridge.credentials import Concealed
from bridge.mrkdwn import plain, unescape
from bridge.paths import at

Kind = Literal["commands", "events", "interactions"]
"""A form of its own; JSON; a form that holds JSON."""

_TABLE: dict[str, tuple[str, dict[Kind, tuple[str, ...]]]] = {
    "command": ("the slash command, such as /genesis; of a mention the app's @U0123", {"commands": ("command",)}),
    "text": (
        "what was typed, with plain quotes and spaces and Slack's escapes undone; what follows a command or mention",
        {"commands": ("text",), "events": ("event.text",), "interactions": ("message.text",)},
    ),
    "user": (
        "id of who did it",
        {"commands": ("user_id",), "events": ("event.user", "event.user.id"), "interactions": ("user.id",)},
    ),
    "user_name": ("name of who did it", {"commands": ("user_name",), "interactions": ("user.username", "user.name")}),
    "channel": (
        "id of the channel it was done in",
        {
            "commands": ("channel_id",),
            "events": ("event.channel", "event.channel.id", "event.item.channel"),
            "interactions": ("channel.id", "container.channel_id"),
        },
    ),
    "channel_name": (
        "name of that channel",
        {"commands": ("channel_name",), "events": ("event.channel.name",), "interactions": ("channel.name",)},
    ),
    "team": (
        "id of the workspace",
        {"commands": ("team_id",), "events": ("team_id",), "interactions": ("team.id", "user.team_id")},
    ),
    "response_url": (
        "where answers may go for 30 minutes; whoever knows it can answer, so keep it",
        {"commands": ("response_url",), "interactions": ("response_url",)},
    ),
    "thread_ts": (
        "the thread that answers go to: the one it was done in, else the one its message begins",
        {
            "commands": ("thread_ts",),
            "events": ("event.thread_ts", "event.ts", "event.item.ts"),
            "interactions": ("message.thread_ts", "message.ts"),
        },
    ),
}
"""Fact -> documentation, and where each kind of request has it: the first of these paths with a text."""
DOCUMENTS = {fact: document for fact, (document, _) in _TABLE.items()}
ORIGINS = {
    fact: "; ".join(f"{kind}: {', '.join(f'`{path}`' for path in paths)}" for kind, paths in places.items())
    for fact, (_, places) in _TABLE.items()
}
ORIGINS["command"] += "; app_mention: `event.text`"
CREDENTIALS = frozenset({"response_url", "response_urls", "token", "trigger_id", "bot_access_token"})
"""Keys of bodies, and facts, with which their reader could answer or act in the sender's name."""


def find(kind: Kind, body: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts a body has; what has another type than text is missing."""
    facts = {}
    for fact, (_, places) in _TABLE.items():
        value = next((text for path in places.get(kind, ()) if isinstance(text := at(body, path), str)), None)
        if value is not None:
            facts[fact] = Concealed(value) if fact in CREDENTIALS else value
    return facts | ({"text": plain(unescape(facts["text"]))} if "text" in facts else {})


def without_credentials(value: Any) -> Any:
    """Leave out, at any depth, what would let a reader of the record answer or act in the sender's name."""
    if isinstance(value, dict):
        return {key: without_credentials(inner) for key, inner in value.items() if key not in CREDENTIALS}
    if isinstance(value, list):
        return [without_credentials(inner) for inner in value]
    return value
