from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from bridge.commands import taken
from bridge.config import Config, load
from bridge.decision import acknowledgement, decide, derived_id
from bridge.expressions import Condition, Text
from bridge.model import Command, Event
from bridge.rules import Rule, RuleSet
from bridge.sources.github import GitHub
from bridge.usage import Usage

CONFIG = """
version: 1
sources:
  github: {type: github, secrets: [{env: A}], token: {env: A}}
  slack: {type: slack, secrets: [{env: A}], token: {env: A}}
  relay: {type: generic, auth: {type: bearer, secrets: [{env: A}]}}
engines:
  genesis: {type: genesis, api_key: {env: A}}
templates:
  e2e: {engine: genesis, id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44, variables: {url: {required: true}}, deadline: 90s}
notifiers:
  asker: {type: callback, url: "${{ body.to }}", allow_hosts: ["*.example.com"], secrets: [{env: A}]}
rules:
  - {name: one, source: relay, event: run, template: e2e, variables: {url: "${{ body.url }}"}, notify: [asker]}
  - {name: two, source: relay, event: run, template: e2e, variables: {url: constant}, on_unknown: retry}
  - {name: alone, source: relay, event: alone, template: e2e, variables: {url: "${{ body.url }}"}, notify: [asker]}
  - {name: pushed, source: github, event: push, when: [branch == 'main'], template: e2e, variables: {url: "${{ url }}"}}
  - {name: one-branch, source: github, event: "comment:/one", when: [number == 1], template: e2e, variables: {url: x}}
  - name: run
    source: github
    event: comment:/run
    usage: e2e <url>
    template: e2e
    variables: {url: "${{ args.url }}"}
  - name: said
    source: slack
    event: /genesis
    usage: e2e <url>
    description: Run it
    template: e2e
    variables: {url: "${{ args.url }}"}
"""
MENTIONED = """
  - name: mentioned
    source: slack
    event: app_mention
    usage: e2e <url>
    when: [channel == 'C1']
    template: e2e
    variables: {url: "${{ args.url }}"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return the configuration above."""
    path = tmp_path / "bridge.yaml"
    path.write_text(CONFIG)
    return load(path, {"A": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"})


def relayed(name: str, **body: str) -> Event:
    return Event(name=name, source="relay", body=body)


def typed(text: str) -> Event:
    return Event(name="/genesis", source="slack", command=Command(name="/genesis", word="/genesis", text=text))


def test_every_match_is_an_execution_of_its_own(config: Config) -> None:
    """Two rules, two records, each with its rule's own settings and the notifier's address for this event."""
    decision = decide(config, relayed("run", url="https://x", to="https://ci.example.com/x"), "d_1")
    assert decision.outcome == "accepted"
    one, two = decision.executions.values()
    assert (one.rule, one.variables, one.deadline_seconds, one.on_unknown) == ("one", {"url": "https://x"}, 90, "hold")
    assert [(recipient.notifier, recipient.address) for recipient in one.notify] == [
        ("asker", {"url": "https://ci.example.com/x"})
    ]
    assert (two.rule, two.variables, two.on_unknown, two.notify) == ("two", {"url": "constant"}, "retry", [])


def test_a_rule_that_cannot_run_does_not_keep_others_from_running(config: Config) -> None:
    """Its error stands in the results."""
    decision = decide(config, relayed("run"), "d_1")
    assert decision.outcome == "accepted"
    assert [record.rule for record in decision.executions.values()] == ["two"]
    assert [result.verdict for result in decision.results] == ["error", "match"]


def test_where_only_errors_are_left_the_outcome_says_so(config: Config) -> None:
    """The reason names rule and cause."""
    decision = decide(config, relayed("alone", to="https://ci.example.com"), "d_1")
    assert (decision.outcome, decision.executions) == ("rule_error", {})
    assert decision.reason == "rule 'alone': variable 'url': body.url is missing"


def test_an_address_that_cannot_be_used_keeps_the_rule_from_running(config: Config) -> None:
    """Nobody could be told, so nothing is started."""
    decision = decide(config, relayed("alone", url="https://x", to="https://elsewhere.example.net"), "d_1")
    assert decision.outcome == "rule_error"
    assert str(decision.reason).startswith("rule 'alone': notifier 'asker': ")


def test_nothing_wanted_is_no_match(config: Config) -> None:
    """With the verdict of every rule that was asked."""
    decision = decide(config, Event(name="push", source="github", facts={"branch": "dev"}), "d_1")
    assert (decision.outcome, decision.reason) == ("no_match", None)
    assert [result.reason for result in decision.results] == ["branch == 'main' is false: branch is 'dev'"]


def test_an_ignored_event_is_not_matched(config: Config) -> None:
    """Its own reason is the reason."""
    decision = decide(config, Event(name="ping", source="github", ignored="a ping"), "d_1")
    assert (decision.outcome, decision.reason, decision.results) == ("ignored", "a ping", [])


@pytest.mark.parametrize("text", ["help", " help ", ""])
def test_help_and_nothing_list_the_usage_lines(config: Config, text: str) -> None:
    """Whoever asks, or does not know what to say, is told."""
    decision = decide(config, typed(text), "d_1")
    assert (decision.outcome, decision.reason) == ("ignored", "/genesis e2e <url> - Run it")


def test_a_wrong_use_is_told(config: Config) -> None:
    """The rule's own line."""
    decision = decide(config, typed("e2e"), "d_1")
    assert decision.outcome == "ignored"
    assert "<url>" in str(decision.reason)


def test_words_no_rule_knows_are_no_match(config: Config) -> None:
    """Nothing runs, and whoever typed it hears what there is."""
    decision = decide(config, typed("deploy"), "d_1")
    words = "there is no 'deploy' here; there is: e2e. Write /genesis help to see how each is used"
    assert (decision.outcome, decision.reason) == ("no_match", words)
    assert decide(config, typed("e3e x"), "d_1").reason == words.replace(
        "'deploy' here; there is: e2e.", "'e3e' here; did you mean e2e?"
    )


def test_nothing_is_suggested_where_a_rule_takes_any_words(config: Config) -> None:
    """A command whose rules have no usage lines, or of which one was meant, has no words to mistype."""
    for event in (
        commented("x", word="/one"),
        structs.replace(typed("x"), name="/else", command=Command(name="/else", word="/else", text="x")),
    ):
        assert (decide(config, event, "d_1").outcome, decide(config, event, "d_1").reason) == ("no_match", None)


@pytest.mark.parametrize("text", ["--help", "?", "\u2014help", "HELP", "help e2e", "help e3e"])
def test_help_may_be_asked_for_in_many_ways(config: Config, text: str) -> None:
    """As on a command line, and about one of the words."""
    decision = decide(config, typed(text), "d_1")
    assert (decision.outcome, decision.reason) == ("ignored", "/genesis e2e <url> - Run it")


def test_ids_are_derived() -> None:
    """The same parts give the same id, other parts another, and it can stand in a path and a webhook-id."""
    assert derived_id("x", "d_1", "rule") == derived_id("x", "d_1", "rule")
    assert derived_id("x", "d_1", "rule") != derived_id("x", "d_1r", "ule")
    assert derived_id("x", "\ud800").replace("_", "").isalnum()


def commented(text: str = "e2e x", word: str = "/run", association: str = "MEMBER", **more: Any) -> Event:
    command = Command(
        name=f"comment:{word}", word=word, text=text, guarded=True, by="ann", association=association, **more
    )
    body = {"comment": {"id": 5}}
    facts = {"repo": "o/r", "number": 3}
    return Event(name="issue_comment", action="created", source="github", command=command, body=body, facts=facts)


def told(config: Config, event: Event) -> tuple[str, dict[str, str] | None]:
    """Return the outcome, and what the commenter hears of it."""
    decision = decide(config, event, "d_1")
    new = acknowledgement(config, event, decision, "d_1")
    return decision.outcome, None if new is None else msgspec.json.decode(new.body)


def mentioned(text: str, channel: str = "C1") -> Event:
    command = Command(name="app_mention", word="@U1", text=text, in_thread=True)
    facts = {"channel": channel, "thread_ts": "1.2"}
    return Event(name="app_mention", source="slack", command=command, facts=facts)


@pytest.fixture
def listening(config: Config, tmp_path: Path) -> Config:
    """Return the configuration above with a rule for mentions."""
    path = tmp_path / "bridge.yaml"
    path.write_text(CONFIG + MENTIONED)
    return load(path, {"A": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"})


@pytest.mark.parametrize(
    ("text", "outcome", "said"),
    [
        ("e2e https://x", "accepted", None),
        ("e2e", "ignored", "&lt;url&gt; is missing. Expected: e2e &lt;url&gt;"),
        ("help", "ignored", "<@U1> e2e &lt;url&gt;"),
        ("", "ignored", "<@U1> e2e &lt;url&gt;"),
        ("e3e x", "no_match", "there is no 'e3e' here; did you mean e2e? Write <@U1> help to see how each is used"),
    ],
)
def test_a_mention_is_answered_like_a_command(listening: Config, text: str, outcome: str, said: str | None) -> None:
    """What is wrong, or the help; nothing where it runs, for the run tells of itself."""
    assert told(listening, mentioned(text)) == (outcome, None if said is None else {"text": said})


def test_why_a_right_mention_did_not_run_is_for_the_operator(listening: Config) -> None:
    """Conditions are not for everybody to read: the answer names the delivery."""
    assert told(listening, mentioned("e2e x", channel="C2")) == (
        "no_match",
        {"text": "see the delivery d_1 for the reason"},
    )


def test_a_mention_that_no_rule_reads_is_not_answered(config: Config) -> None:
    """Neither without a rule for mentions, nor where rules take them as events: a word to the app is no question."""
    assert told(config, mentioned("help")) == ("no_match", None)
    event = Rule(name="any", source="slack", template="e2e", event="app_mention", variables={"url": Text("x")})
    never = structs.replace(event, name="never", when=[Condition("channel == 'C2'")])
    for rule, outcome in ((event, "accepted"), (never, "no_match")):
        both = structs.replace(config, ruleset=RuleSet([*config.ruleset.rules, rule], config.ruleset.templates))
        assert told(both, mentioned("help")) == (outcome, None)


def test_a_comment_by_who_may_runs(config: Config) -> None:
    """The command's arguments become variables, and its author is told that it was seen."""
    decision = decide(config, commented(), "d_1")
    [execution] = decision.executions.values()
    assert (execution.rule, execution.variables) == ("run", {"url": "x"})
    new = acknowledgement(config, commented(), decision, "d_1")
    assert new is not None
    assert (new.notifier, new.status) == ("source:github", "queued")
    assert new.address == {"repo": "o/r", "comment": "5", "number": "3", "kind": "issues"}
    assert told(config, commented()) == ("accepted", {"reaction": "eyes"})


@pytest.mark.parametrize("association", ["CONTRIBUTOR", "FIRST_TIMER", "NONE", ""])
@pytest.mark.parametrize("text", ["e2e x", "e2e", "help", ""])
def test_a_strangers_comment_causes_nothing(config: Config, association: str, text: str) -> None:
    """Neither a run nor an answer: what anybody can write must not make us send anything."""
    event = commented(text, association=association)
    assert taken(config, event) is None
    assert told(config, event) == ("no_match", None)
    [result] = decide(config, event, "d_1").results
    assert result.reason is not None
    assert result.reason.startswith("author_association in ['OWNER', 'MEMBER', 'COLLABORATOR'] is false: ann is ")
    assert [condition.verdict for condition in result.conditions] == ["false"]


def test_what_other_rules_make_of_a_comment_is_not_the_commands_affair(config: Config) -> None:
    """A rule for every comment runs, too, but a wrong command is told to be wrong."""
    rules = [
        *config.ruleset.rules,
        Rule(name="any", source="github", template="e2e", event="issue_comment", variables={"url": Text("x")}),
    ]
    both = structs.replace(config, ruleset=RuleSet(rules, config.ruleset.templates))
    assert told(both, commented()) == ("accepted", {"reaction": "eyes"})
    outcome, said = told(both, commented("e2e"))
    assert (outcome, said and said["reaction"]) == ("accepted", "confused")


def test_a_wrong_use_is_no_help(config: Config) -> None:
    """Nothing after a command that wants something is wrong, and said to be."""
    usage = [
        structs.replace(rule, usage=Usage("<url>")) if rule.name == "run" else rule for rule in config.ruleset.rules
    ]
    wants = structs.replace(config, ruleset=RuleSet(usage, config.ruleset.templates))
    said = told(wants, commented(""))[1]
    assert said is not None
    assert said["reaction"] == "confused"
    assert "<url> is missing" in said["comment"]


def test_a_mistyped_word_is_told_in_a_comment(config: Config) -> None:
    """With the nearest that there is."""
    outcome, said = told(config, commented("e3e x"))
    assert (outcome, said and said["reaction"]) == ("no_match", "confused")
    assert said is not None
    assert "did you mean e2e?" in said["comment"]
    assert told(config, commented("e3e x", association="NONE"))[1] is None


def test_a_wrong_use_is_told_in_a_comment(config: Config) -> None:
    """With the line that says what is wrong; the reaction shows it at once."""
    outcome, said = told(config, commented("e2e"))
    assert (outcome, said and said["reaction"]) == ("ignored", "confused")
    assert said is not None
    assert "    <url> is missing. Expected: e2e <url>" in said["comment"]


@pytest.mark.parametrize("text", ["help", " Help ", ""])
def test_help_is_told_in_a_comment(config: Config, text: str) -> None:
    """Whoever asks gets the lines of that command, and no sign of confusion."""
    outcome, said = told(config, commented(text))
    assert (outcome, said and sorted(said)) == ("ignored", ["comment"])
    assert said is not None
    assert "    /run e2e <url>" in said["comment"]


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (commented(word="/one"), "no_match"),
        (structs.replace(commented(), incomplete="GitHub does not answer"), "rule_error"),
    ],
)
def test_why_a_right_command_did_not_run_is_for_the_operator(config: Config, event: Event, outcome: str) -> None:
    """The comment names the delivery, for conditions and reasons are not for everybody to read."""
    heard, said = told(config, event)
    assert (heard, said and said["reaction"]) == (outcome, "confused")
    assert said is not None
    assert "see the delivery d_1 for the reason" in said["comment"]


def test_a_command_of_somebody_else_is_none_of_ours(config: Config) -> None:
    """Other bots take `/approve`; there is nothing to say to it."""
    assert told(config, commented("help", word="/approve")) == ("no_match", None)


def test_facts_that_could_not_be_asked_for_keep_the_rule_from_running(config: Config) -> None:
    """Rather than on a wrong commit it does not run, and says why; other rules are not concerned."""
    event = structs.replace(commented(), incomplete="GitHub does not answer")
    decision = decide(config, event, "d_1")
    assert decision.reason == "rule 'run': GitHub does not answer"
    assert decide(config, structs.replace(relayed("run", url="x", to="https://ci.example.com"), incomplete="x"), "d_1")


def test_where_nobody_can_be_told_nothing_is(config: Config) -> None:
    """Slack's people have their answer already, and a source without a token cannot speak."""
    for event in (typed("e2e x"), relayed("run", url="x")):
        assert acknowledgement(config, event, decide(config, event, "d_1"), "d_1") is None
    silent = structs.replace(config, sources={**config.sources, "github": GitHub(secrets=[])})
    assert told(silent, commented()) == ("accepted", None)
    assert told(config, structs.replace(commented(), body={})) == ("accepted", None)
