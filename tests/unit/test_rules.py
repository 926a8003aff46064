"""Rules decide, explain themselves, and cost nothing for events that do not concern them."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ExpressionError
from bridge.expressions import Condition, Text
from bridge.model import Command, Event
from bridge.rules import Rule, RuleSet, Template, Variable, evaluate, help_text
from bridge.usage import Usage

TEMPLATE = Template(
    engine="genesis",
    id="7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44",
    variables={
        "target_url": Variable(required=True, pattern="https://.*"),
        "branch": Variable(default="main"),
        "browser": Variable(default="chrome", choices=["chrome", "firefox"]),
        "note": Variable(),
    },
)


def rule(name="r", *, when=(), variables=None, usage=None, **fields):
    """Return a rule of source `github` with its expressions compiled."""
    given_variables = {"target_url": "${{ url }}"} if variables is None else variables
    return Rule(
        name=name,
        template="e2e",
        **{"source": "github", "event": "deployment_status"} | fields,
        when=[Condition(text) for text in when],
        variables={key: Text(text) for key, text in given_variables.items()},
        usage=None if usage is None else Usage(usage),
    )


def event(name="deployment_status", *, source="github", action=None, body=None, **facts):
    """Return an event with a url, unless it is told otherwise."""
    return Event(name=name, source=source, action=action, body=body, facts={"url": "https://x.example"} | facts)


def slash(text, word="/genesis"):
    """Return a slash command with this text."""
    return Event(name=word, source="slack", command=Command(name=word, word=word, text=text), facts={})


def ruleset(*rules):
    """Return a rule set over the one template."""
    return RuleSet(rules, {"e2e": TEMPLATE})


def test_a_match_has_its_variables_over_the_defaults():
    """All conditions hold: the rule's values and the template's defaults are the variables, unset ones absent."""
    deciding = rule(
        when=["state == 'success'"], variables={"target_url": "${{ url }}/${{ n }}", "branch": "${{ branch }}"}
    )
    result = evaluate(deciding, TEMPLATE, event(state="success", branch="dev", n=3))
    assert result.verdict == "match"
    assert result.reason is None
    assert result.variables == {"target_url": "https://x.example/3", "branch": "dev", "browser": "chrome"}


@pytest.mark.parametrize(
    ("facts", "verdict", "reason"),
    [
        (
            {"state": "failure", "environment": "Preview 7"},
            "no_match",
            "state == 'success' is false: state is 'failure'",
        ),
        (
            {"state": "success"},
            "no_match",
            "environment is like 'Preview*' does not hold: environment is missing",
        ),
        (
            {"state": "failure", "environment": 5},
            "error",
            "environment is like 'Preview*' cannot be decided: EvaluationError: `is like` needs text, not 5",
        ),
    ],
)
def test_every_condition_is_explained_on_its_own(facts, verdict, reason):
    """All conditions are evaluated; an error is said before a false one, and the first reason is the rule's."""
    result = evaluate(rule(when=["state == 'success'", "environment is like 'Preview*'"]), TEMPLATE, event(**facts))
    assert (result.verdict, result.reason, result.variables) == (verdict, reason, {})
    assert [condition.text for condition in result.conditions] == [
        "state == 'success'",
        "environment is like 'Preview*'",
    ]


def test_a_false_condition_without_names_has_a_reason_too():
    """A constant that is false is said to be false, and nothing is made up."""
    assert evaluate(rule(when=["1 == 2"]), TEMPLATE, event()).reason == "1 == 2 is false"


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"target_url": "${{ gone }}"}, "variable 'target_url': gone is missing"),
        ({"target_url": "https://x", "branch": "${{ gone }}"}, "variable 'branch': gone is missing"),
        ({"target_url": "${{ nothing }}"}, "variable 'target_url': the value is null"),
        ({"target_url": ""}, "variable 'target_url' is required, and its value is empty"),
        ({}, "variable 'target_url' is required, but neither the rule nor the template gives it"),
        (
            {"target_url": "ftp://${{ url }}"},
            "variable 'target_url' is 'ftp://https://x.example', which does not match the pattern 'https://.*'",
        ),
        ({"target_url": "x https://y"}, "variable 'target_url' is 'x https://y', which does not match"),
        ({"target_url": "${{ half }}"}, "variable 'target_url' is 'https://\\ud800', which does not match"),
        (
            {"target_url": "https://x", "browser": "opera"},
            "variable 'browser' is 'opera', which is none of: chrome, firefox",
        ),
        ({"target_url": "https://x", "browser": "o" * 999}, f"variable 'browser' is '{'o' * 57}'..., which is none"),
        ({"target_url": "${{ a }}", "branch": "${{ b }}"}, "variable 'target_url': a is missing; variable 'branch': b"),
        ({"target_url": "", "browser": ""}, "variable 'target_url' is required, and its value is empty; variable 'br"),
    ],
)
def test_a_value_that_is_missing_or_not_allowed_is_an_error(variables, reason):
    """The rule does not run, and says which variable, what it is and what is allowed."""
    facts = {"nothing": None, "half": "https://\ud800"}
    result = evaluate(rule(variables=variables), TEMPLATE, event(**facts))
    assert (result.verdict, result.variables) == ("error", {})
    assert result.reason.startswith(reason)


def test_event_text_is_never_an_expression():
    """What looks like an expression in an event is passed on as it is."""
    result = evaluate(rule(variables={"target_url": "https://${{ branch }}"}), TEMPLATE, event(branch="${{ 1+1 }}"))
    assert result.variables["target_url"] == "https://${{ 1+1 }}"


SLASH = {
    "source": "slack",
    "event": "/genesis",
    "usage": "e2e <url> [branch=main]",
    "variables": {"target_url": "${{ args.url }}", "branch": "${{ args.branch }}"},
}


@pytest.mark.parametrize("text", ["e2e https://x branch=dev", "e2e branch=dev https://x"])
def test_usage_makes_args(text):
    """A command's text becomes `args` for conditions and values."""
    deciding = rule(**SLASH, when=["args.branch == 'dev'"])
    result = evaluate(deciding, TEMPLATE, slash(text))
    assert result.variables == {"target_url": "https://x", "branch": "dev", "browser": "chrome"}


@pytest.mark.parametrize("happened", [slash("deploy x"), slash(""), event("/genesis", source="slack")])
def test_a_text_for_another_rule_is_no_match(happened):
    """Other words, and events without a command, are not for this rule, and nobody is corrected."""
    result = evaluate(rule(**SLASH), TEMPLATE, happened)
    assert (result.verdict, result.usage_error) == ("no_match", None)
    assert result.reason


def test_a_wrong_use_is_said_to_its_user():
    """A command meant for the rule but wrong does not run, and carries the line for the person."""
    result = evaluate(rule(**SLASH), TEMPLATE, slash("e2e"))
    assert result.verdict == "no_match"
    assert result.usage_error == result.reason
    assert "url" in result.usage_error


@pytest.mark.parametrize(
    ("wanted", "name", "action", "found"),
    [
        ("push", "push", None, True),
        ("push", "Push", None, False),
        (None, "anything", None, True),
        ("pull_request", "pull_request", "opened", True),
        ("pull_request.opened", "pull_request", "opened", True),
        ("pull_request.opened", "pull_request", "closed", False),
        ("pull_request.opened", "pull_request", None, False),
        (["push", "pull_request.opened"], "pull_request", "opened", True),
        (["pull_request", "pull_request.opened"], "pull_request", "opened", True),
        ("build.published", "build.published", None, True),
    ],
)
def test_candidates_are_found_by_source_event_and_action(wanted, name, action, found):
    """A rule is a candidate, once, for its events of its source and no others."""
    rules = ruleset(rule(event=wanted), rule("other", source="slack", event=wanted))
    assert [one.name for one in rules.candidates(event(name, action=action))] == (["r"] if found else [])


def test_candidates_stand_in_file_order():
    """However they are found, rules are tried in the order they are written."""
    rules = [
        rule(str(at), event=wanted) for at, wanted in enumerate(["push", None, "push.x", ["push", "push.x"], None])
    ]
    assert [one.name for one in ruleset(*rules).candidates(event("push", action="x"))] == ["0", "1", "2", "3", "4"]
    assert [rule.name for rule, _ in ruleset(*rules).evaluate(event("push"))] == ["0", "1", "3", "4"]


def test_rules_of_other_events_cost_nothing():
    """A thousand rules of other events and sources are not even looked at."""
    looked_at = []

    class Watched(Condition):
        """A condition that says when it is evaluated."""

        def evaluate(self, names):
            """Note it."""
            looked_at.append(self.source)
            return super().evaluate(names)

    def watched(name, wanted, source="github"):
        return msgspec.structs.replace(rule(name, event=wanted, source=source), when=[Watched(f"'{name}' != ''")])

    others = [watched(f"o{at}", f"event-{at}", "github" if at % 2 else "relay") for at in range(1000)]
    results = [
        result for _, result in ruleset(*others[:500], watched("mine", "push"), *others[500:]).evaluate(event("push"))
    ]
    assert [result.rule for result in results] == ["mine"]
    assert looked_at == ["'mine' != ''"]


def test_what_a_condition_said_of_an_event_is_not_asked_again():
    """Rules of one event share conditions; `args` is each rule's own, so those of commands are asked each time."""
    asked = []

    class Watched(Condition):
        """A condition that says when it is evaluated."""

        def evaluate(self, names):
            """Note it."""
            asked.append(self.source)
            return super().evaluate(names)

    def watched(name, **fields):
        return msgspec.structs.replace(
            rule(name, **fields), when=[Watched("branch == 'x'"), Watched(f"'{name}' != ''")]
        )

    results = list(ruleset(watched("a"), watched("b")).evaluate(event(branch="x")))
    assert [result.conditions[0].verdict for _, result in results] == ["true", "true"]
    assert asked == ["branch == 'x'", "'a' != ''", "'b' != ''"]
    asked.clear()
    typed = msgspec.structs.replace(slash("e2e https://x"), facts={"branch": "x"})
    list(ruleset(watched("a", **SLASH), watched("b", **SLASH)).evaluate(typed))
    assert asked == ["branch == 'x'", "'a' != ''", "branch == 'x'", "'b' != ''"]


def test_help_lists_usage_and_description():
    """Each rule of the command is a line with its usage and, if it has one, its description."""
    rules = ruleset(
        rule("a", **SLASH, description="Run the suite"),
        rule("b", **SLASH | {"usage": "smoke", "event": ["/genesis", "/other"]}),
        rule("c", **SLASH | {"event": None, "usage": "any"}),
        rule("d", **SLASH | {"event": "/other"}),
        rule("e", source="slack", event="/genesis"),
        rule("f", **SLASH | {"source": "slack2"}),
    )
    assert help_text(rules, "slack", slash("").command).split("\n") == [
        "/genesis e2e <url> [branch=main] - Run the suite",
        "/genesis smoke",
        "/genesis any",
    ]
    assert help_text(rules, "slack", slash("", "/nothing").command) == "/nothing any"
    assert help_text(rules, "github", slash("", "/nothing").command) == "No rule takes /nothing yet."


def test_a_variable_with_a_broken_pattern_says_so():
    """A pattern that is no RE2 is an error of the template, not a value that does not match."""
    with pytest.raises(ExpressionError, match="not a regular expression"):
        Variable(pattern="(").problem("x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "a", "url"]), inner),
    max_leaves=6,
)
TRIED = [
    rule(when=["body.a == 'x'", "a is like '*'"], variables={"target_url": "${{ body.text }}", "note": "${{ a }}"}),
    rule(**SLASH),
]


@settings(max_examples=100, deadline=None)
@given(body=JSON, a=JSON)
def test_evaluate_is_total_and_deterministic(body, a):
    """Whatever JSON an event holds, each rule ends in a verdict with a reason unless it matches, twice the same."""
    happened = event("/genesis", source="slack", body=body, a=a)
    for tried in TRIED:
        result = evaluate(tried, TEMPLATE, happened)
        assert result.verdict in ("match", "no_match", "error")
        assert (result.reason is None) == (result.verdict == "match")
        assert result == evaluate(tried, TEMPLATE, happened)
