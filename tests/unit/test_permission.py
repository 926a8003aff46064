import pytest

from bridge.model import Command
from bridge.permission import ALLOW, Allow


def by(association="NONE", login="ann", **more):
    """Return the command of somebody."""
    return Command(name="comment:/run", word="/run", text="", guarded=True, by=login, association=association, **more)


@pytest.mark.parametrize("association", ["OWNER", "MEMBER", "COLLABORATOR"])
def test_those_with_a_say_may(association):
    """Without a word, owners, members and collaborators may."""
    assert ALLOW.check(by(association)).verdict == "true"


@pytest.mark.parametrize(
    ("allow", "command", "reason"),
    [
        (ALLOW, by("CONTRIBUTOR"), "ann is CONTRIBUTOR here"),
        (ALLOW, by("NONE", ""), "a deleted account is NONE here"),
        (ALLOW, by("", ""), "a deleted account is nothing here"),
        (ALLOW, by("member"), "ann is member here"),
        (ALLOW, by("OWNER", bot=True), "ann is a bot"),
        (ALLOW, by("OWNER", edited=True), "the command was edited into the comment; write a new one"),
        (Allow(users=("bob",)), by(), "ann is NONE here"),
        (Allow(associations=(), users=("bob",)), by("OWNER"), "ann is OWNER here"),
        (
            Allow(users=("bob",)),
            by(login="bob", edited=True),
            "the command was edited into the comment; write a new one",
        ),
        (Allow(users=("",)), by(login=""), "a deleted account is NONE here"),
    ],
)
def test_others_may_not(allow, command, reason):
    """Strangers, bots and edits are refused, with the reason and the values that were looked at."""
    result = allow.check(command)
    assert (result.verdict, result.reason) == ("false", reason)
    assert result.values == {"commenter": command.by, "author_association": command.association}


def test_those_named_may_whatever_they_are():
    """A login counts without its capitals, and is the only way for a bot."""
    allow = Allow(associations=(), users=("Ann", "x[bot]"))
    assert allow.check(by()).verdict == "true"
    assert allow.check(by(login="x[bot]", bot=True)).verdict == "true"
    assert allow.check(by()).text == "commenter in ['Ann', 'x[bot]']"


def test_edits_may_count():
    """With `edited: true` an edited command is as good as a new one, from the same people."""
    allow = Allow(edited=True)
    assert allow.check(by("MEMBER", edited=True)).verdict == "true"
    assert allow.check(by("NONE", edited=True)).verdict == "false"


def test_it_reads_as_a_condition():
    """What is explained is what would be written into `when:`."""
    either = "author_association in ['OWNER', 'MEMBER', 'COLLABORATOR']"
    assert ALLOW.check(by()).text == either
    assert Allow(users=("bob",)).check(by()).text == f"{either} or commenter in ['bob']"


def test_a_rule_that_allows_nobody_is_a_mistake():
    """An empty list without names would be a rule that never runs."""
    with pytest.raises(ValueError, match="nobody is allowed"):
        Allow(associations=())
