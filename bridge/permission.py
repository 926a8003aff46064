"""Who may start what by a comment: a rule's `allow:`, safe without a word. Pure."""

from typing import Any, Literal

from msgspec import Struct

from bridge.expressions import ConditionResult
from bridge.model import Command

Association = Literal[
    "OWNER", "MEMBER", "COLLABORATOR", "CONTRIBUTOR", "FIRST_TIME_CONTRIBUTOR", "FIRST_TIMER", "MANNEQUIN", "NONE"
]
"""https://docs.github.com/en/graphql/reference/enums#commentauthorassociation"""


class Allow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose comments a rule takes commands from: those of an association, and those named."""

    associations: tuple[Association, ...] = ("OWNER", "MEMBER", "COLLABORATOR")
    """What GitHub says the commenter is to the repository."""
    users: tuple[str, ...] = ()
    """Logins; they may whatever their association, and a bot only if it is named."""
    edited: bool = False
    """Whether a command counts that was edited into a comment, by its author."""

    def __post_init__(self) -> None:
        """Refuse what allows nobody."""
        if not self.associations and not self.users:
            raise ValueError("nobody is allowed: name `associations:` or `users:`")

    def check(self, command: Command) -> ConditionResult:
        """Say whether the command may be taken, in the form of a condition."""
        named = command.by != "" and command.by.casefold() in {user.casefold() for user in self.users}
        reason = None
        if command.edited and not self.edited:
            reason = "the command was edited into the comment; write a new one"
        elif command.bot and not named:
            reason = f"{command.by or 'the author'} is a bot"
        elif not named and command.association not in self.associations:
            reason = f"{command.by or 'a deleted account'} is {command.association or 'nothing'} here"
        values: dict[str, Any] = {"commenter": command.by, "author_association": command.association}
        return ConditionResult(self._text(), "false" if reason else "true", values, reason)

    def _text(self) -> str:
        either = [f"author_association in {list(self.associations)}"] if self.associations else []
        either += [f"commenter in {list(self.users)}"] if self.users else []
        return " or ".join(either)


ALLOW = Allow()
"""What a rule that says nothing allows."""
