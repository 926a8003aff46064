"""What Slack's events and interactions ask of us: which start nothing, and the mentions and buttons among them. Pure.

https://docs.slack.dev/apis/events-api and https://docs.slack.dev/interactivity
"""

import hashlib
import re
from typing import Any

import msgspec

from bridge.model import Command, Press
from bridge.mrkdwn import escape
from bridge.paths import at
from bridge.suggest import nearest

MENTION = "app_mention"
SHORTCUT = "shortcut:"
"""How the event of a shortcut begins; its callback_id follows."""
INTERACTIONS = frozenset(
    "block_actions block_suggestion message_action shortcut view_closed view_submission workflow_step_edit".split()
)
"""The types of what comes as a form's `payload`."""

# https://docs.slack.dev/reference/events, the ones that the Events API sends; new ones appear at any time.
EVENTS = frozenset(
    """
    app_deleted app_home_opened app_installed app_mention app_requested app_uninstalled app_uninstalled_team
    assistant_thread_context_changed assistant_thread_started call_rejected channel_archive channel_created
    channel_deleted channel_history_changed channel_id_changed channel_left channel_rename channel_shared
    channel_unarchive channel_unshared dnd_updated dnd_updated_user email_domain_changed emoji_changed file_change
    file_created file_deleted file_public file_shared file_unshared function_executed grid_migration_finished
    grid_migration_started group_archive group_close group_deleted group_history_changed group_left group_open
    group_rename group_unarchive im_close im_created im_history_changed im_open invite_requested link_shared
    member_joined_channel member_left_channel message message_metadata_deleted message_metadata_posted
    message_metadata_updated pin_added pin_removed reaction_added reaction_removed resources_added resources_removed
    scope_denied scope_granted shared_channel_invite_accepted shared_channel_invite_approved
    shared_channel_invite_declined shared_channel_invite_received shared_channel_invite_requested star_added
    star_removed subteam_created subteam_members_changed subteam_self_added subteam_self_removed subteam_updated
    team_access_granted team_access_revoked team_domain_change team_join team_rename tokens_revoked user_change
    user_connection user_huddle_changed user_profile_changed user_resource_denied user_resource_granted
    user_resource_removed user_status_changed
    """.split()
)
_NAME = re.compile(r"[a-z][a-z0-9_.]{0,99}")
_WRITTEN = frozenset({"", "file_share", "me_message", "thread_broadcast"})
"""The subtypes of what people write; the others are Slack's notes, such as that somebody joined."""
_CHANGES = {"message_changed": "edited", "message_deleted": "deleted"}
_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^<>]*)?>[\s:,]*")
_UNNAMED = "@app"
"""What stands for a mention where there is none in the text."""
_OURS = "gb:"
"""How the action_id of every button of ours begins."""
_LONGEST_ANSWER = 3_000


def doubt(event: str) -> str | None:
    """Say why no event that starts something is called this, as far as is known; None: one may be."""
    if event.startswith(("/", SHORTCUT)) or event in EVENTS:
        return None
    if event.startswith("message."):
        return "all messages are called 'message': a condition says where, such as body.event.channel_type == 'im'"
    if event in INTERACTIONS:
        return f"Slack's {event} is recorded and starts nothing; a shortcut is '{SHORTCUT}' and its callback_id"
    close = nearest(event, EVENTS)
    return f"Slack is not known to send {event!r}: did you mean '{close or '/' + event}'?"


def event_name(envelope: dict[str, Any]) -> str:
    """Return what a rule's `event:` says of an event: the type of what is in the envelope, else the envelope's own."""
    inner = at(envelope, "event.type")
    if envelope.get("type") == "event_callback" and isinstance(inner, str) and _NAME.fullmatch(inner):
        return inner
    return _own_type(envelope)


def ignored(envelope: dict[str, Any]) -> str | None:
    """Say why an event starts nothing; None: rules decide."""
    name = _own_type(envelope)
    if name == "app_rate_limited":
        return "Slack holds events back: there were more than 30,000 of this workspace within an hour"
    if name != "event_callback" or event_name(envelope) == name:
        return f"only commands, events and shortcuts start something; this is Slack's {name}"
    return _written_by_nobody(envelope) or _written_by_a_bot(envelope)


def mention(envelope: dict[str, Any]) -> Command | None:
    """Return what was said to the app by a mention of it: the text that follows."""
    text = at(envelope, "event.text")
    if event_name(envelope) != MENTION or not isinstance(text, str):
        return None
    found = list(_MENTION.finditer(text))
    ours = next((one for one in found if one[1] in _our_users(envelope)), found[0] if found else None)
    word, said = (_UNNAMED, text) if ours is None else (f"@{ours[1]}", text[ours.end() :])
    return Command(name=MENTION, word=word, text=said.strip(), in_thread=True)


def answer(command: Command, words: str) -> str:
    """Return `words` as mrkdwn in which nothing pings or links but the app's own name, as people type it."""
    text = escape(words, _LONGEST_ANSWER)
    return text if command.word == _UNNAMED else re.sub(rf"{command.word}\b", f"<{command.word}>", text)


def interaction_name(payload: dict[str, Any]) -> str:
    """Return what a rule's `event:` says of an interaction: a shortcut's callback_id, else its type."""
    kind, callback = _own_type(payload), payload.get("callback_id")
    if kind in ("shortcut", "message_action") and isinstance(callback, str) and callback:
        return f"{SHORTCUT}{callback}"
    return kind


def interaction_key(payload: dict[str, Any]) -> str | None:
    """Return what tells a press or shortcut from another one like it; None where Slack says nothing of the kind.

    Whoever has the trigger_id can open a view, if only for three seconds: it is kept as a hash.
    """
    trigger, at_ts = payload.get("trigger_id"), payload.get("action_ts")
    if isinstance(trigger, str) and trigger:
        return f"sha256:{hashlib.sha256(trigger.encode(errors='surrogatepass')).hexdigest()}"
    return at_ts if isinstance(at_ts, str) and at_ts else None


def press(payload: dict[str, Any]) -> Press | None:
    """Return the order that a button of ours gives; None: it is no such button.

    Its value is `<notifier>|<execution>|<expiry, Unix seconds>|<signature>`; whether that holds is for the notifier.
    """
    pressed = _pressed(payload)
    value = pressed.get("value")
    if not _is_ours(pressed) or not isinstance(value, str):
        return None
    notifier, _, rest = value.partition("|")
    known = {"execution_id": rest.partition("|")[0], "notifier": notifier, "value": value, "by": _by(payload)}
    try:
        return msgspec.convert(known | {"action": str(pressed["action_id"]).removeprefix(_OURS)}, Press)
    except msgspec.ValidationError:
        return None


def interaction_ignored(payload: dict[str, Any]) -> str | None:
    """Say why an interaction is nothing for rules; None: it is a shortcut, and they decide."""
    name = interaction_name(payload)
    if name.startswith(SHORTCUT):
        return None
    if _is_ours(_pressed(payload)):
        return "a button under a message of ours: nothing for rules"
    return f"only commands, events and shortcuts start something; this is Slack's {name}"


def smallest(event: str) -> dict[str, Any]:
    """Return the smallest body of an event or a shortcut."""
    if event.startswith(SHORTCUT):
        return {
            "type": "message_action",
            "callback_id": event.removeprefix(SHORTCUT),
            "team": {"id": "T0001"},
            "user": {"id": "U2147483697", "username": "steve"},
            "channel": {"id": "C2147483705", "name": "test"},
            "message": {"type": "message", "text": "", "ts": "1531420618.000100"},
            "response_url": "https://hooks.slack.com/app/T0001/1/example",
        }
    if not _NAME.fullmatch(event) or event in INTERACTIONS or event in ("app_rate_limited", "url_verification"):
        return {"type": event} if event else {}
    inner = {"type": event, "user": "U2147483697", "channel": "C2147483705", "ts": "1531420618.000100"}
    text = {MENTION: "<@U0001>", "message": ""}.get(event)
    return {
        "type": "event_callback",
        "team_id": "T0001",
        "event": inner if text is None else inner | {"text": text},
    }


def _own_type(body: dict[str, Any]) -> str:
    name = body.get("type")
    return name if isinstance(name, str) and name else "request"


def _written_by_nobody(envelope: dict[str, Any]) -> str | None:
    subtype = at(envelope, "event.subtype")
    if event_name(envelope) != "message" or not isinstance(subtype, str) or subtype in _WRITTEN:
        return None
    if subtype == "bot_message":
        return "a bot wrote it: bots that answer each other would never end"
    change = _CHANGES.get(subtype)
    return f"a message was {change}: only new ones start something" if change else f"Slack's own note: {subtype}"


def _written_by_a_bot(envelope: dict[str, Any]) -> str | None:
    app = envelope.get("api_app_id")
    written_with = (at(envelope, "event.app_id"), at(envelope, "event.bot_profile.app_id"))
    if (isinstance(app, str) and app in written_with) or at(envelope, "event.user") in _our_users(envelope):
        return "our own doing"
    if isinstance(at(envelope, "event.bot_id"), str):
        return "a bot wrote it: bots that answer each other would never end"
    return None


def _our_users(envelope: dict[str, Any]) -> list[str]:
    """Return the ids under which the app itself writes."""
    given = envelope.get("authorizations")
    bots = (one for one in given if at(one, "is_bot") is True) if isinstance(given, list) else ()
    return [user for user in (at(one, "user_id") for one in bots) if isinstance(user, str)]


def _pressed(payload: dict[str, Any]) -> dict[str, Any]:
    actions = payload.get("actions")
    first = actions[0] if payload.get("type") == "block_actions" and isinstance(actions, list) and actions else None
    return first if isinstance(first, dict) else {}


def _is_ours(pressed: dict[str, Any]) -> bool:
    return str(pressed.get("action_id")).startswith(_OURS)


def _by(payload: dict[str, Any]) -> str:
    user = _text(payload, "user.id")
    name = _text(payload, "user.username") or _text(payload, "user.name")
    return f"{name} ({user})" if name and user else name or user


def _text(body: dict[str, Any], path: str) -> str:
    value = at(body, path)
    return value if isinstance(value, str) else ""
