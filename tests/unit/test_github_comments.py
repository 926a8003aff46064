import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.github_comments import MARK, answer, command, facts
from bridge.model import Command


def said(text, *, action="created", event="issue_comment", **more):
    """Return the command in a comment by ann."""
    user = {"login": "ann", "type": "User"}
    comment = {"body": text, "user": user, "author_association": "MEMBER"}
    return command(event, {"action": action, "comment": comment, "sender": {"login": "ann"}, **more})


@pytest.mark.parametrize(
    ("text", "word", "rest"),
    [
        ("/run", "/run", ""),
        ("/run e2e x=1", "/run", "e2e x=1"),
        ("/Run\te2e\r\nPlease, and thank you.", "/run", "e2e"),
        ("\r\n  \n/run e2e", "/run", "e2e"),
        ("   /run-all_2  e2e  ", "/run-all_2", "e2e"),
        ("/run <https://x.example/?a=1&b=2>", "/run", "https://x.example/?a=1&amp;b=2"),
        ("/run a<b &lt;", "/run", "a&lt;b &amp;lt;"),
    ],
)
@pytest.mark.parametrize("event", ["issue_comment", "pull_request_review_comment"])
def test_the_first_line_may_be_a_command(text, word, rest, event):
    """The word is in lower case, what follows on its line is escaped for the usage line, the rest is prose."""
    found = said(text, event=event)
    assert (found.name, found.word, found.text) == (f"comment:{word}", word, rest)
    assert (found.guarded, found.by, found.association, found.bot, found.edited) == (
        True,
        "ann",
        "MEMBER",
        False,
        False,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "run",
        "please /run",
        "Hello\n/run",
        "> /run",
        "> a quote\n\n/run",
        "```\n/run\n```",
        "~~~\n/run\n~~~",
        "    /run",
        "\t/run",
        "`/run`",
        "- /run",
        "/usr/bin/env",
        "/run, please",
        "/-x",
        f"/{'x' * 65}",
        "<!-- /run -->",
        answer(Command(name="comment:/run", word="/run", text=""), "/run", helps=True),
        None,
        7,
        ["/run"],
    ],
)
def test_quotes_code_and_prose_are_no_commands(text):
    """What is quoted, fenced, indented, hidden, further down or ours is not meant for us."""
    assert said(text) is None


@pytest.mark.parametrize("event", ["issues", "commit_comment", "discussion_comment", "pull_request_review", "push"])
def test_other_events_have_no_commands(event):
    """Only comments on issues and pull requests, and on lines of these, give commands."""
    assert said("/run", event=event) is None


@pytest.mark.parametrize(
    ("before", "sender", "edited"),
    [
        ("run", "ann", True),
        ("/run e2f", "ann", True),
        ("/run e2e\nmore", "ann", None),
        ("run", "bob", None),
        (None, "ann", True),
    ],
)
def test_an_edit_gives_a_command_only_when_its_author_changed_it(before, sender, edited):
    """An edit elsewhere in the comment, or by somebody else, gives none."""
    found = said("/run e2e", action="edited", changes={"body": {"from": before}}, sender={"login": sender})
    assert (found and found.edited) is edited
    assert said("/run", action="deleted") is None


def test_bots_and_the_deleted_are_told():
    """A bot's comment says so; a deleted account has no name and no association."""
    body = {"action": "created", "comment": {"body": "/run", "user": {"login": "x[bot]", "type": "Bot"}}}
    assert command("issue_comment", body).bot is True
    found = command("issue_comment", {"action": "created", "comment": {"body": "/run", "user": None}})
    assert (found.by, found.association, found.bot) == ("", "", False)


def test_a_command_has_facts():
    """Rules may name the word and what follows it, as it was typed."""
    assert facts(said("/run \u201ca<b\u201d")) == {"command": "/run", "text": '"a<b"'}
    assert facts(None) == {}


def test_an_answer_is_code_that_nothing_can_leave():
    """Each line of ours is indented, so that what somebody typed cannot ping, link or end the block."""
    given_ = said("/run x")
    assert answer(given_, "@team ```\n<b>", helps=False) == (f"{MARK}\n`/run` was not run:\n\n    @team ```\n    <b>")
    assert "can do this" in answer(given_, "x", helps=True)


@given(st.text(), st.sampled_from(["created", "edited", "x"]), st.text() | st.none() | st.integers())
def test_any_comment_is_read(text, action, before):
    """Whatever is written: a command of a known form, or none."""
    found = said(text, action=action, changes={"body": {"from": before}})
    assert found is None or found.word[1:].replace("-", "a").replace("_", "a").isalnum()
