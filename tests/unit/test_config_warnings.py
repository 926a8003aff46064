"""What can be run but is surely not meant is told with its place, and nothing else is."""

import time

import pytest

from bridge import github_events
from bridge.config import load
from bridge.errors import ConfigError
from tests.unit.test_config import BASE as WHOLE
from tests.unit.test_config import ENVIRON, RULES

BASE = WHOLE.split("notifiers:")[0].replace("      note:\n", "")
RULE = {"source": "github", "event": "push", "template": "e2e", "variables": "{target_url: https://x}"}
SLACK = RULE | {"source": "slack", "event": "/genesis"}
OTHERS = """\
  - {name: other-1, source: github, event: star, template: e2e, variables: {target_url: https://x/1}}
  - {name: other-2, source: slack, event: /other, template: e2e, variables: {target_url: https://x/2}}
  - {name: other-3, source: relay, event: other, template: e2e, variables: {target_url: https://x/3}}
"""
FIRST = BASE.count("\n") + OTHERS.count("\n") + 2
"""The line of the first rule's name; each rule's keys follow, a line each."""


def rules(*some):
    """Return a configuration with these rules, named a, b ..., and others that use everything there is."""
    text = f"{BASE}rules:\n{OTHERS}"
    for name, rule in zip("abcdef", some, strict=False):
        text += f"  - name: {name}\n" + "".join(f"    {key}: {value}\n" for key, value in rule.items() if value)
    return text


@pytest.fixture
def warned(tmp_path):
    """Return the warnings of a configuration as `line:column: message`."""

    def read(text):
        path = tmp_path / "bridge.yaml"
        path.write_text(text)
        return [
            str(found).removeprefix(f"{path}:").replace(str(tmp_path), "") for found in load(path, ENVIRON).warnings
        ]

    return read


def test_a_sound_configuration_has_none(warned):
    """Everything used, every rule on its own."""
    assert warned(rules(RULE, SLACK)) == []


def test_what_nobody_uses_is_told_where_it_stands(warned):
    """Sources, engines, templates and notifiers, each with what would use it."""
    assert warned(WHOLE) == [
        "3:3: source 'github': no rule takes its events",
        "4:3: source 'slack': no rule takes its events",
        "5:3: source 'relay': no rule takes its events",
        "12:3: template 'e2e': no rule starts it",
        "22:3: notifier 'ci': no rule tells it",
        "23:3: notifier 'asker': no rule tells it",
        "24:3: notifier 'qa': no rule tells it",
        "25:3: notifier 'reply': no rule tells it",
    ]
    other = WHOLE.replace("engines:\n", "engines:\n  other: {type: genesis, api_key: {env: GENESIS_API_KEY}}\n")
    assert warned(other + RULES) == [
        "5:3: source 'relay': no rule takes its events",
        "10:3: engine 'other': no template runs on it",
        "24:3: notifier 'asker': no rule tells it",
    ]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("deploymnt_status", "GitHub is not known to send 'deploymnt_status': did you mean 'deployment_status'?"),
        (
            "pull_request:opened",
            "GitHub is not known to send 'pull_request:opened': did you mean 'pull_request.opened'?",
        ),
        ("qqq", "GitHub is not known to send 'qqq'"),
        ("issues.open", "GitHub's 'issues' is not known to have the action 'open': did you mean 'opened'?"),
        (
            "release.qqq",
            "GitHub's 'release' is not known to have the action 'qqq'; "
            "there are: created, deleted, edited, prereleased, published, released, unpublished",
        ),
        ("push.created", "GitHub's 'push' has no actions: write `push`"),
        ("ping", "GitHub's ping says that the webhook is set up; it starts nothing"),
    ],
)
def test_an_event_github_does_not_send_is_doubted(warned, event, message):
    """By its name or its action, at its own place in a list."""
    assert warned(rules(RULE | {"event": event})) == [f"{FIRST + 2}:12: rule 'a': {message}"]
    assert warned(rules(RULE | {"event": f"[push, {event}]"})) == [f"{FIRST + 2}:19: rule 'a': {message}"]


def test_events_github_sends_are_not_doubted():
    """Nor an action of a repository_dispatch, which its sender chooses."""
    assert {github_events.doubt(name) for name in github_events.EVENTS if name != "ping"} == {None}
    assert github_events.doubt("pull_request.ready_for_review") is None
    assert github_events.doubt("repository_dispatch.deploy-now") is None
    assert github_events.EVENTS["watch"] == {"started"}
    assert github_events.EVENTS["push"] == frozenset()


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("genesis", "Slack is not known to send 'genesis': did you mean '/genesis'?"),
        ("app_mentoin", "Slack is not known to send 'app_mentoin': did you mean 'app_mention'?"),
        (
            "message.im",
            "all messages are called 'message': a condition says where, such as body.event.channel_type == 'im'",
        ),
        (
            "block_actions",
            "Slack's block_actions is recorded and starts nothing; a shortcut is 'shortcut:' and its callback_id",
        ),
    ],
)
def test_an_event_slack_does_not_send_is_doubted(warned, event, message):
    """With the nearest that it does send; of a sender of its own kind nothing is known."""
    assert warned(rules(RULE | {"source": "slack", "event": event})) == [f"{FIRST + 2}:12: rule 'a': {message}"]
    assert warned(rules(RULE | {"source": "relay", "event": "whatever.it.is"})) == []


@pytest.mark.parametrize("event", ["/genesis", "app_mention", "message", "reaction_added", "shortcut:run_e2e"])
def test_events_slack_sends_are_not_doubted(warned, event):
    """Commands, events and shortcuts."""
    assert warned(rules(RULE | {"source": "slack", "event": event})) == []


def test_a_dot_in_an_event_is_part_of_its_name_where_there_are_no_actions(warned):
    """So `build` and `build.done` are two events, unless GitHub sends them."""
    relay = RULE | {"source": "relay"}
    assert warned(rules(relay | {"event": "[build, build.done]"})) == []
    assert warned(rules(relay | {"event": "build.done", "when": "event == 'build.done'"})) == []
    assert warned(rules(relay | {"event": "build"}, relay | {"event": "build.done"})) == []
    assert len(warned(rules(relay | {"event": "build.done"}, relay | {"event": "build.done"}))) == 1
    slack = [SLACK | {"event": event, "usage": "e2e <url>"} for event in ("/a", "/a.b")]
    assert warned(rules(*slack)) == []


def test_an_event_that_is_taken_already_is_superfluous(warned):
    """Named twice, or with an action beside the event as a whole."""
    assert warned(rules(RULE | {"event": "[push, push]"})) == [f"{FIRST + 2}:19: rule 'a': 'push' is named twice"]
    [found] = warned(rules(RULE | {"event": "[issues, issues.opened]"}))
    assert found == f"{FIRST + 2}:21: rule 'a': 'issues' takes 'issues.opened' already"


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("false", "false is never true"),
        ("1 == 2", "1 == 2 is never true"),
        ("event == 'issues'", "event == 'issues' is never true (event is 'push')"),
        ("source == 'gitlab'", "source == 'gitlab' is never true (source is 'github')"),
        ("event.name == 'push'", "event.name == 'push' is never true (event.name is missing)"),
        ("'x' + 'y'", "'x' + 'y' is never true (a condition must be true or false, this is text)"),
    ],
)
def test_a_condition_that_cannot_hold_is_told(warned, when, why):
    """Where everything in it is known before any event comes."""
    wanted = f"rule 'a': this rule never runs: {why}"
    assert warned(rules(RULE | {"when": f'"{when}"'})) == [f"{FIRST + 5}:11: {wanted}"]
    assert warned(rules(RULE | {"when": f'["branch is defined", "{when}"]'})) == [f"{FIRST + 5}:33: {wanted}"]


def test_conditions_that_exclude_each_other_are_told(warned):
    """A list is `and`, which is not always what was meant."""
    [found] = warned(rules(RULE | {"when": """["branch == 'main'", "number == 10", "branch == 'dev'"]"""}))
    assert found == (
        f"{FIRST + 5}:48: rule 'a': this rule never runs: branch == 'main' must hold as well; "
        "if either will do, write branch in ['main', 'dev']"
    )
    assert len(warned(rules(RULE | {"when": "[number == 10, number == 20]"}))) == 1
    assert warned(rules(RULE | {"when": """["branch == 'a'", 'branch == "a"', "tag == 'b'"]"""})) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"when": "true"},
        {"when": "event in ['push', 'issues']"},
        {"when": "event == 'push'", "event": "[push, issues]"},
        {"when": "action == 'opened'", "event": "pull_request"},
        {"when": "action == 'opened'", "event": "pull_request.opened"},
        {"when": "event == 'push'", "event": None},
        {"when": "branch == 'x' or branch == 'y'"},
    ],
)
def test_a_condition_that_may_hold_is_not_told(warned, changes):
    """For some event of the rule, or as far as can be known."""
    assert warned(rules(RULE | changes)) == []


def test_a_rule_that_starts_the_same_as_another_is_told(warned):
    """Same template, values and conditions, whatever their order, for an event both take: each would start it."""
    conditions = ["[branch == 'a', number == 1]", "[number == 1, branch == 'a']"]
    first, second = (RULE | {"when": when} for when in conditions)
    twice = f"rule 'a' (/bridge.yaml:{FIRST}) starts the same for the same events: it would run twice"
    at = f"{FIRST + 6}:5: rule 'b': {twice}"
    assert warned(rules(first, second)) == [at]
    assert warned(rules(first, second | {"event": "[issues, push]"})) == [at]
    at = f"{FIRST + 5}:5: rule 'b': {twice}"
    wide, narrow, everything = ({"event": "issues"}, {"event": "issues.opened"}, {"event": None, "always": "true"})
    for one, other in ((wide, narrow), (narrow, wide), (RULE, everything)):
        assert warned(rules(RULE | one, RULE | other)) == [at]
    assert warned(rules(RULE | everything, RULE)) == [at]


@pytest.mark.parametrize(
    "changes",
    [
        {"event": "issues"},
        {"variables": "{target_url: https://y}"},
        {"when": "branch == 'a'"},
        {"source": "relay"},
    ],
)
def test_rules_that_differ_are_not_told(warned, changes):
    """In their event, their values, their conditions, their source."""
    assert warned(rules(RULE, RULE | changes)) == []
    assert warned(rules(RULE | {"event": "issues.opened"}, RULE | {"event": "issues.closed"})) == []


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        ("e2e <url>", "e2e <branch>", "e2e x"),
        ("e2e <url>", "E2E smoke", "E2E smoke"),
        ("e2e smoke", "e2e <url>", "e2e smoke"),
        ("e2e <url>", "e2e smoke [branch=main]", "e2e smoke"),
        ("<rest...>", "deploy <where>", "deploy x"),
        ("deploy <where>", "<rest...>", "deploy x"),
        ("e2e <url> [browser=chrome|firefox]", "e2e <url> <browser>", "e2e x chrome"),
        ("e2e <a> [--fast]", "e2e [a=b] [--slow]", "e2e x"),
        ("e2e [a=x|y]", "e2e <b>", "e2e x"),
        ("e2e [a=p|q]", "e2e [b=q|r]", "e2e"),
    ],
)
def test_usage_lines_that_take_the_same_text_are_told(warned, one, other, text):
    """Whoever types it would start both; the text is an example of it."""
    first, second = SLACK | {"usage": one}, SLACK | {"usage": other, "variables": "{target_url: https://y}"}
    assert warned(rules(first, second)) == [
        f"{FIRST + 6 + 5}:12: rule 'b': rule 'a' (/bridge.yaml:{FIRST}) takes {text!r} as well: both would run"
    ]


@pytest.mark.parametrize(
    ("one", "other", "changes"),
    [
        ("e2e <url>", "smoke <url>", {}),
        ("e2e", "e2e <url>", {}),
        ("e2e <a>", "e2e <a> <b>", {}),
        ("e2e smoke", "e2e fast", {}),
        ("e2e <a> [b=p|q]", "e2e now <c> <d>", {}),
        ("e2e <url>", "e2e <url>", {"event": "/other"}),
        ("e2e <url>", "e2e <url>", {"when": "channel_name == 'dev'"}),
    ],
)
def test_usage_lines_that_are_told_apart_are_not_told(warned, one, other, changes):
    """By their words, how many values they take, their command, or conditions that may keep them apart."""
    when = {"when": "channel_name == 'qa'"} if "when" in changes else {}
    second = SLACK | {"usage": other, "variables": "{target_url: https://y}"} | changes
    assert warned(rules(SLACK | {"usage": one} | when, second)) == []


def test_a_usage_line_of_help_is_told(warned):
    """It is answered with the list of lines."""
    [found] = warned(rules(SLACK | {"usage": "help"}))
    assert found.startswith(f"{FIRST + 5}:12: rule 'a': `help` lists the usage lines")


def test_a_rule_that_starts_the_same_is_told_once(warned):
    """Not for its usage line as well."""
    assert len(warned(rules(SLACK | {"usage": "e2e <url>"}, SLACK | {"usage": "e2e <url>"}))) == 1


def test_mistakes_come_first(tmp_path):
    """A template is not called unused because the one rule for it has its name wrong."""
    path = tmp_path / "bridge.yaml"
    path.write_text(rules(RULE | {"template": "e2"}).replace("template: e2e", "template: e3"))
    with pytest.raises(ConfigError) as caught:
        load(path, ENVIRON)
    assert all("unknown template" in problem.message for problem in caught.value.problems)


def test_a_thousand_rules_are_looked_through_quickly(warned):
    """Their number does not multiply: twice the rules take less than four times as long."""

    def took(count):
        lines = [
            f"  - {{name: r{at}, source: slack, event: /c, usage: w{at} <a>, template: e2e, "
            f"variables: {{target_url: 'https://{at}'}}}}\n"
            for at in range(count)
        ]
        begin = time.process_time()
        found = warned(f"{rules()}{''.join(lines)}")
        assert found == []
        return time.process_time() - begin

    # Processor time, and the shortest of several: what else the machine does only ever adds to it.
    assert min(took(1000) for _ in range(3)) < 4 * min(took(500) for _ in range(3))
