import pytest

from bridge.command_check import problems
from bridge.permission import Allow
from bridge.rules import Rule
from bridge.sources.generic import Generic
from bridge.sources.github import GitHub
from bridge.sources.slack import Slack
from bridge.usage import Usage


def found(source, **more):
    """Return what is wrong with a rule of a source."""
    return list(problems(Rule(name="r", source="s", template="t", **more), source, "source 's'"))


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        (GitHub, {"event": "comment:/run"}),
        (GitHub, {"event": ["comment:/run", "comment:/run-all_2"], "usage": Usage("<x>"), "allow": Allow()}),
        (GitHub, {"event": "push"}),
        (Slack, {"event": "/genesis", "usage": Usage("<x>")}),
        (Slack, {"usage": Usage("<x>")}),
        (Slack, {"event": ["/genesis", "app_mention"], "usage": Usage("<x>")}),
        (Generic, {"event": "comment:/Run"}),
    ],
)
def test_commands_that_can_work_are_right(source, rule):
    """Each source has its own commands, and a generic one may call its events what it likes."""
    assert found(source, **rule) == []


@pytest.mark.parametrize(
    ("source", "rule", "key", "message"),
    [
        (GitHub, {"event": "comment:run"}, "event", "'comment:run' is no command: write comment:/ and a word"),
        (GitHub, {"event": "comment:/Run"}, "event", "'comment:/Run' is no command"),
        (GitHub, {"event": "comment:/run e2e"}, "event", "'comment:/run e2e' is no command"),
        (GitHub, {"event": ["comment:/run", "push"]}, "event", "a rule for commands in comments takes no other"),
        (GitHub, {"event": "push", "usage": Usage("x")}, "usage", "`usage:` is for commands, and source 's' has them"),
        (GitHub, {"usage": Usage("x")}, "usage", "`usage:` is for commands, and source 's' has them as events such"),
        (Generic, {"event": "run", "usage": Usage("x")}, "usage", "`usage:` is for commands, and source 's' has none"),
        (GitHub, {"event": "push", "allow": Allow()}, "allow", "`allow:` is for commands in comments"),
        (
            Slack,
            {"event": ["app_mention", "message"], "usage": Usage("x")},
            "usage",
            "`usage:` is for what people type",
        ),
        (Slack, {"event": "/genesis", "allow": Allow()}, "allow", "`allow:` is for commands in comments"),
    ],
)
def test_commands_that_cannot_work_are_refused(source, rule, key, message):
    """With the key that is wrong, and what to write instead."""
    [(where, what)] = found(source, **rule)
    assert where == key
    assert what.startswith(message)
