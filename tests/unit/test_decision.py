from pathlib import Path

import pytest

from bridge.config import Config, load
from bridge.decision import decide, derived_id
from bridge.model import Event

CONFIG = """
version: 1
sources:
  github: {type: github, secrets: [{env: A}]}
  slack: {type: slack, secrets: [{env: A}]}
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
  - name: said
    source: slack
    event: /genesis
    usage: e2e <url>
    description: Run it
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
    facts = {"command": "/genesis", **({"text": text} if text else {})}
    return Event(name="/genesis", source="slack", body={"text": text}, facts=facts)


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
    """There is nothing to correct."""
    assert decide(config, typed("deploy"), "d_1").outcome == "no_match"


def test_ids_are_derived() -> None:
    """The same parts give the same id, other parts another, and it can stand in a path and a webhook-id."""
    assert derived_id("x", "d_1", "rule") == derived_id("x", "d_1", "rule")
    assert derived_id("x", "d_1", "rule") != derived_id("x", "d_1r", "ule")
    assert derived_id("x", "\ud800").replace("_", "").isalnum()
