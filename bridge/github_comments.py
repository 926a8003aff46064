"""Commands in GitHub's comments: which comment is one, and how its answer is worded. Pure.

Only a comment's first line can be a command. So what is quoted (`>`), fenced or indented as code, or hidden in an
HTML comment, as all of ours begin, is none without any reading of Markdown.
"""

import re
from typing import Any

from bridge.model import Command
from bridge.mrkdwn import escape, plain, unescape
from bridge.paths import at

EVENTS = frozenset({"issue_comment", "pull_request_review_comment"})
PREFIX = "comment:"
MARK = "<!-- genesis-bridge -->"
"""How a comment of ours begins; nobody sees it."""
MARKED = MARK.removesuffix(" -->")
"""How every comment of ours begins, those that are edited in place too."""
FACTS = {
    "command": "the command a comment begins with, such as /run",
    "text": "what follows the command on its line",
}
ORIGINS = dict.fromkeys(FACTS, "issue_comment, pull_request_review_comment: `comment.body`")

_COMMAND = re.compile(r" {0,3}(/[a-z0-9][a-z0-9_-]{0,63})(?:\s+(.*))?", re.IGNORECASE | re.ASCII)
_LINK = re.compile(r"<((?:https?|mailto):[^<>\s]*)>")


def command(event: str, body: dict[str, Any]) -> Command | None:
    """Return the command that a comment gives; None where there is none, or where it stood there before an edit."""
    if event not in EVENTS or body.get("action") not in ("created", "edited"):
        return None
    typed = _typed(at(body, "comment.body"))
    if typed is None:
        return None
    by = at(body, "comment.user.login")
    edited = body["action"] == "edited"
    if edited and (_typed(at(body, "changes.body.from")) == typed or at(body, "sender.login") != by):
        # A change further down is no new command; and what others with write access edit in is not the author's word.
        return None
    association = at(body, "comment.author_association")
    word, text = typed
    return Command(
        name=f"{PREFIX}{word}",
        word=word,
        text=text,
        guarded=True,
        by=by if isinstance(by, str) else "",
        association=association if isinstance(association, str) else "",
        bot=at(body, "comment.user.type") == "Bot",
        edited=edited,
    )


def facts(given: Command | None) -> dict[str, str]:
    """Return what rules may name of a command."""
    return {} if given is None else {"command": given.word, "text": plain(unescape(given.text))}


def answer(given: Command, words: str, *, helps: bool) -> str:
    """Return the comment that tells `words` to whoever gave a command: the help asked for, or why nothing runs.

    As indented code, in which nothing can ping anybody, link, or end it: part of the words may be what they typed.
    """
    lines = "\n".join(f"    {line}" for line in words.splitlines())
    heading = f"`{given.word}` can do this:" if helps else f"`{given.word}` was not run:"
    return f"{MARK}\n{heading}\n\n{lines}"


def _typed(text: Any) -> tuple[str, str] | None:
    """Return the command's word and what follows it on a comment's first line."""
    if not isinstance(text, str):
        return None
    found = _COMMAND.fullmatch(next((line for line in text.splitlines() if line.strip()), ""))
    if found is None:
        return None
    # Usage lines undo Slack's escapes; Markdown has none of them, but its <https://...> is a link, too.
    return found[1].lower(), escape(_LINK.sub(r"\1", (found[2] or "").strip()))
