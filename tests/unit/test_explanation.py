"""What is explained is what was decided: one evaluation, told in spec 4.1's shape, recorded in short."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.config import load
from bridge.decision import decide
from bridge.explanation import ask, explain, recorded
from bridge.model import Command, Event
from tests.unit.test_decision import CONFIG as DECISIONS

CONFIG = (
    DECISIONS
    + """
  - {name: issue, source: github, event: [issues.opened, issue_comment], when: [title == 'x'], template: e2e,
     variables: {url: "${{ url }}"}}
  - {name: any, source: github, when: [body.a.b == 'x', branch is like 'v*'], template: e2e,
     variables: {url: "https://${{ branch }}"}}
"""
)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Return the configuration above."""
    path = tmp_path_factory.mktemp("explained") / "bridge.yaml"
    path.write_text(CONFIG)
    return load(path, {"A": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"})


def pushed(**facts):
    return Event(name="push", source="github", facts={"branch": "main", "url": "https://x"} | facts, body={})


def test_the_json_is_the_documented_one(config):
    """Spec 4.1, every key; rules for other events of the source included and those of other sources not."""
    told = json.loads(msgspec.json.encode(explain(config, pushed())))
    told["rules"] = [rule for rule in told["rules"] if rule["rule"] in ("pushed", "issue", "any")]
    assert told == {
        "source": "github",
        "event": "push",
        "facts": {"branch": "main", "url": "https://x"},
        "rules": [
            {
                "rule": "pushed",
                "verdict": "match",
                "reason": None,
                "conditions": [
                    {"text": "branch == 'main'", "verdict": "true", "values": {"branch": "main"}, "reason": None}
                ],
                "variables": {"url": "https://x"},
            },
            {
                "rule": "issue",
                "verdict": "no_match",
                "reason": "event is 'push', the rule wants 'issues.opened' or 'issue_comment'",
                "conditions": [],
                "variables": {},
            },
            {
                "rule": "any",
                "verdict": "no_match",
                "reason": "body.a.b == 'x' does not hold: body.a.b is missing",
                "conditions": [
                    {
                        "text": "body.a.b == 'x'",
                        "verdict": "missing",
                        "values": {},
                        "reason": "body.a.b is missing",
                    },
                    {
                        "text": "branch is like 'v*'",
                        "verdict": "false",
                        "values": {"branch": "main"},
                        "reason": "branch is 'main'",
                    },
                ],
                "variables": {},
            },
        ],
    }


def test_a_wrong_use_has_the_same_keys_as_all_others(config):
    """Its line for the person is the reason."""
    typed = Event(name="/genesis", source="slack", command=Command(name="/genesis", word="/genesis", text="e2e"))
    [told] = json.loads(msgspec.json.encode(explain(config, typed)))["rules"]
    assert told.keys() == {"rule", "verdict", "reason", "conditions", "variables"}
    assert "<url> is missing" in told["reason"]


def test_a_rule_that_cannot_tell_anybody_is_an_error_here_too(config):
    """The address is part of the decision: explaining the conditions alone would call it a match."""
    relayed = Event(name="alone", source="relay", body={"url": "https://x"})
    verdicts = {result.rule: result for result in explain(config, relayed).rules}
    assert verdicts["alone"].verdict == "error"
    assert str(verdicts["alone"].reason).startswith("notifier 'asker': ")
    assert verdicts["alone"].variables == {"url": "https://x"}


def test_an_ignored_event_and_help_are_said_of_every_rule(config):
    """Nothing was matched, and that is the reason."""
    ping = Event(name="ping", source="github", ignored="a ping")
    assert {result.reason for result in explain(config, ping).rules} == {"a ping"}
    help_ = Event(name="/genesis", source="slack", command=Command(name="/genesis", word="/genesis", text="help"))
    assert [result.reason for result in explain(config, help_).rules] == [
        "the command asks for help, which starts nothing"
    ]


def test_a_record_is_short_where_a_value_is_long(config):
    """Half the body is not kept a second time; a person who asks gets more of it, but not megabytes."""
    event = pushed(branch="x" * 10_000)
    kept = msgspec.to_builtins(recorded(decide(config, event, "d_1").results[0]))
    assert kept["conditions"][0]["values"]["branch"] == "x" * 200 + "..."
    assert explain(config, event).rules[0].conditions[0].values["branch"] == "x" * 2000 + "..."
    assert kept.keys() == {"rule", "verdict", "reason", "conditions", "variables"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "url", "to", "text"]), inner)
    ),
    max_leaves=8,
)
EVENTS = st.builds(
    Event,
    name=st.sampled_from(["push", "run", "alone", "/genesis", "other"]),
    source=st.sampled_from(["github", "slack", "relay"]),
    body=JSON,
    facts=st.dictionaries(st.sampled_from(["branch", "url", "title", "command", "text"]), JSON),
    command=st.none()
    | st.builds(
        Command,
        name=st.sampled_from(["/genesis", "comment:/run", "comment:/x"]),
        word=st.just("/genesis"),
        text=st.text(max_size=8) | st.sampled_from(["help", "e2e https://x", "e2e"]),
        guarded=st.booleans(),
        association=st.sampled_from(["", "OWNER", "NONE"]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(event=EVENTS)
def test_the_explanation_is_the_decision(config, event):
    """For any JSON: total, twice the same, and no verdict differs from the one by which the server acts."""
    decision = decide(config, event, "d_1")
    told = explain(config, event)
    assert told == explain(config, event, ask(config, event))
    verdicts = {result.rule: result.verdict for result in told.rules}
    assert {result.rule: result.verdict for result in decision.results}.items() <= verdicts.items()
    assert {name for name, verdict in verdicts.items() if verdict == "match"} == {
        record.rule for record in decision.executions.values()
    }
    for result in told.rules:
        assert (result.reason is None) == (result.verdict == "match")
        # What keeps a rule from running may come after its variables: nobody could be told.
        assert result.verdict != "no_match" or not result.variables


HOSTILE = ["${{ 1 + 1 }}", "{{ 7 * 7 }}", "{% raw %}", "$(id)", "`id`", "%(a)s", "{0.__class__}", "<!channel>"]


@pytest.mark.parametrize("text", HOSTILE)
@given(around=st.text(max_size=5))
def test_a_value_from_an_event_is_never_evaluated(config, text, around):
    """Whatever it looks like, it arrives as the text it is: in variables, in values seen, in reasons."""
    hostile = f"{around}{text}{around}"
    told = {result.rule: result for result in explain(config, pushed(url=hostile, branch="main")).rules}
    assert told["pushed"].variables == {"url": hostile}
    told = {result.rule: result for result in explain(config, pushed(branch=hostile)).rules}
    assert told["any"].conditions[1].values == {"branch": hostile}
