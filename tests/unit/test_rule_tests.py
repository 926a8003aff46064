"""Tests beside rules: what passes, what fails, and what a person reads when it does."""

import json
from textwrap import indent

import pytest

from bridge.config import load
from bridge.errors import ConfigError
from bridge.rule_tests import run

HEAD = """\
version: 1
sources:
  github: {type: github, secrets: [{env: A}]}
  slack: {type: slack, secrets: [{env: A}]}
  relay: {type: generic, auth: {type: bearer, secrets: [{env: A}]}, event: "${{ headers['x-event'] }}"}
engines:
  genesis: {type: genesis, api_key: {env: A}}
templates:
  e2e:
    engine: genesis
    id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44
    variables: {url: {required: true}, branch: {default: main}, note: }
rules:
"""
PREVIEW = """\
  - name: preview
    source: github
    event: deployment_status
    when:
      - state == 'success'
      - environment is like 'Preview*'
    template: e2e
    variables: {url: "${{ url }}", branch: "${{ branch }}"}
    tests:
"""
SLASH = """\
  - name: slash
    source: slack
    event: /genesis
    usage: e2e <url> [branch=main]
    when: [user_name != 'mallory']
    template: e2e
    variables: {url: "${{ args.url }}", branch: "${{ args.branch }}"}
    tests:
"""
COMMENT = """\
  - name: comment
    source: github
    event: comment:/run
    usage: e2e <url>
    when: [not fork]
    template: e2e
    variables: {url: "${{ args.url }}", branch: "${{ sha }}"}
    tests:
"""
ANY = """\
  - name: any
    source: github
    always: true
    template: e2e
    variables: {url: "https://${{ event }}/${{ number | default('none') }}/${{ query.q | default('') }}"}
    tests:
"""
RELAYED = """\
  - name: relayed
    source: relay
    event: [run, again]
    template: e2e
    variables: {url: "${{ body.url }}", note: "${{ event }} ${{ headers['x-more'] | default('-') }}"}
    tests:
"""


@pytest.fixture
def tested(tmp_path):
    """Return a function that runs one rule's tests and gives what failed, its file left out."""

    def outcome(rule, tests):
        path = tmp_path / "bridge.yaml"
        path.write_text(HEAD + rule + indent(tests, "      "))
        found = run(load(path, None))
        lines = HEAD.count("\n") + rule.count("\n")
        return found, [(one.line - lines, one.column, one.message) for one in found.problems]

    return outcome


@pytest.mark.parametrize(
    ("rule", "tests"),
    [
        # A fact's name sets the fact: tests speak as rules do.
        (PREVIEW, "- {event: {state: failure}, skips: state == 'success'}"),
        (PREVIEW, "- {event: {environment: Preview 7}, runs: {url: https://production.example.com, branch: main}}"),
        (PREVIEW, "- {event: {environment: Preview 7, branch: dev}, runs: {branch: dev}}"),
        (PREVIEW, "- {event: {environment: Preview 7, branch: dev}, runs: true}"),
        (PREVIEW, "- {event: {environment: null}, skips: environment is like 'Preview*'}"),
        (PREVIEW, "- {event: {}, skips: true}"),
        (PREVIEW, "- {event: , skips: true}"),
        # The body itself, deep.
        (PREVIEW, "- {event: {deployment_status: {environment: Preview 1}}, runs: {note: null, branch: main}}"),
        # Another event than the rule's: it is skipped.
        (PREVIEW, "- {event: {}, as: push, skips: true}"),
        (SLASH, "- {event: {text: e2e https://x branch=dev}, runs: {url: https://x, branch: dev}}"),
        (SLASH, "- {event: {text: e2e “https://x y”}, runs: {url: https://x y}}"),
        (SLASH, "- {event: {text: e2e}, skips: true}"),
        (SLASH, "- {event: {text: help}, skips: true}"),
        (SLASH, "- {event: {text: e2e x, user_name: mallory}, skips: user_name != 'mallory'}"),
        (COMMENT, "- {event: {comment: {body: /run e2e https://x}, fork: false, sha: abc}, runs: {branch: abc}}"),
        (COMMENT, "- {event: {comment: {body: /run e2e https://x}, fork: true}, skips: not fork}"),
        (COMMENT, "- {event: {comment: {body: /run e2e https://x, author_association: NONE}}, skips: true}"),
        (COMMENT, "- {event: {fork: false, sha: abc}, skips: true}"),
        (ANY, "- {event: {number: 7}, as: pull_request.opened, runs: {url: https://pull_request/7/}}"),
        (ANY, "- {event: {number: 1}, as: issues, runs: {url: https://issues/1/}}"),
        (ANY, "- {event: {sender: alice}, as: push, query: {q: x}, runs: {url: https://push/none/x}}"),
        (ANY, "- {event: {}, as: ping, skips: true}"),
        (RELAYED, "- {event: {url: https://x}, runs: {url: https://x, note: run -}}"),
        (RELAYED, "- {event: {url: https://x}, as: again, headers: {X-More: more}, runs: {note: again more}}"),
    ],
)
def test_what_passes(tested, rule, tests):
    """Facts and bodies, files of every kind of source, headers and query."""
    outcome, problems = tested(rule, tests)
    assert (problems, outcome.ran, outcome.failed) == ([], 1, 0)


@pytest.mark.parametrize(
    ("rule", "tests", "problems"),
    [
        (
            PREVIEW,
            "- name: seven\n  event: {environment: Preview 7}\n  runs:\n    url: https://p7\n    branch: main\n",
            [
                (
                    4,
                    16,
                    "rule 'preview': test 1 (seven): variable 'url' differs\n"
                    "      expected  https://p7\n      actual    https://production.example.com",
                )
            ],
        ),
        (
            PREVIEW,
            "- {event: {environment: Preview 7}, runs: {url: null, note: ''}}",
            [
                (
                    1,
                    55,
                    "rule 'preview': test 1: variable 'url' differs\n"
                    "      expected  (not given)\n      actual    https://production.example.com",
                ),
                (
                    1,
                    67,
                    "rule 'preview': test 1: variable 'note' differs\n      expected  ''\n      actual    (not given)",
                ),
            ],
        ),
        (
            PREVIEW,
            "- {event: {state: failure}, runs: true}",
            [
                (
                    1,
                    41,
                    "rule 'preview': test 1: it should run, but does not: "
                    "state == 'success' is false: state is 'failure'",
                )
            ],
        ),
        (
            PREVIEW,
            "- {event: {environment: Preview 7}, skips: true}",
            [
                (
                    1,
                    50,
                    "rule 'preview': test 1: it should not run, but does, with\n"
                    "      branch  main\n      url     https://production.example.com",
                )
            ],
        ),
        (
            PREVIEW,
            "- {event: {state: failure, environment: Preview}, skips: environment is like 'Preview*'}",
            [
                (
                    1,
                    64,
                    "rule 'preview': test 1: it should be skipped by environment is like 'Preview*', but that is true. "
                    "It is skipped: state == 'success' is false: state is 'failure'",
                )
            ],
        ),
        (
            PREVIEW,
            "- {event: {environment: 5}, skips: environment is like 'Preview*'}",
            [
                (
                    1,
                    42,
                    "rule 'preview': test 1: it should be skipped, but cannot be decided: "
                    "environment is like 'Preview*' cannot be decided: EvaluationError: `is like` needs text, not 5",
                )
            ],
        ),
        (
            SLASH,
            "- {event: {text: e2e}, skips: user_name != 'mallory'}",
            [
                (
                    1,
                    37,
                    "rule 'slash': test 1: it should be skipped by user_name != 'mallory', "
                    "but it does not come to that. It is skipped: <url> is missing. Expected: e2e <url> [branch=main]",
                )
            ],
        ),
        (
            ANY,
            "- {event: {}, runs: true}",
            [
                (
                    1,
                    17,
                    "rule 'any': test 1: the event cannot be read: the header X-GitHub-Event is missing or names no "
                    "event; say which event it is, with `as:`",
                )
            ],
        ),
        (
            RELAYED,
            "- {event: {}, headers: {X-Event: ''}, runs: true}",
            [
                (
                    1,
                    17,
                    "rule 'relayed': test 1: the event cannot be read: the event's name, ${{ headers['x-event'] }}, "
                    "is empty",
                )
            ],
        ),
    ],
)
def test_what_fails_is_shown_where_it_was_expected(tested, rule, tests, problems):
    """File, line and column of the expectation; expected and actual below one another."""
    outcome, found = tested(rule, tests)
    assert found == problems
    assert (outcome.ran, outcome.failed) == (1, 1)


def test_long_and_many_lined_values_are_shown_on_a_line(tested):
    """Nothing breaks the terminal."""
    _, [(_, _, message)] = tested(ANY, '- {event: {number: "a\\nb"}, as: push, runs: {url: ' + "x" * 300 + "}}")
    [_, expected, actual] = message.split("\n")
    assert expected == f"      expected  {'x' * 200}... (300 characters)"
    assert actual == "      actual    'https://push/a\\nb/'"


def test_an_event_may_be_a_file_beside_the_rule(tested, tmp_path):
    """A body or a captured request; relative to the file the rule is written in."""
    (tmp_path / "events").mkdir()
    body = {"deployment_status": {"state": "success", "environment": "Preview 9", "environment_url": "https://p9"}}
    body |= {"deployment": {"ref": "dev"}}
    (tmp_path / "events" / "body.json").write_text(json.dumps(body))
    captured = "POST / HTTP/1.1\nX-GitHub-Event: deployment_status\nContent-Type: application/json\n\n"
    (tmp_path / "captured.http").write_text(captured + json.dumps(body))
    for name in ("events/body.json", "captured.http"):
        assert tested(PREVIEW, f"- {{event: {name}, runs: {{url: https://p9, branch: dev}}}}")[1] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone.json", "gone.json' cannot be read: No such file or directory"), ("bad.json", "the body is not JSON")],
)
def test_a_file_that_cannot_be_read_fails_its_test(tested, tmp_path, name, words):
    """At the place where it is named."""
    (tmp_path / "bad.json").write_text("{")
    outcome, [(line, column, message)] = tested(PREVIEW, f"- {{event: {name}, runs: true}}")
    assert (line, column, outcome.failed) == (1, 17, 1)
    assert words in message


@pytest.mark.parametrize(
    ("tests", "line", "words"),
    [
        ("- {event: {}, skips: state == 'succes'}", 1, "test 1: unknown condition \"state == 'succes'\": did you mean"),
        ("- {event: {}, runs: {brunch: x}}", 1, "test 1: unknown variable 'brunch': did you mean 'branch'?"),
        ("- {event: {}, runs: true, skips: true}", 1, "say what the rule must do"),
        ("- {event: {}, skip: true}", 1, "unknown key 'skip': did you mean 'skips'?"),
        ("- {runs: true}", 1, "'event' is missing"),
        ("- {event: [], runs: true}", 1, "expected text or a mapping (key: value), not a list"),
    ],
)
def test_a_test_that_could_never_pass_is_refused_at_load(tested, tests, line, words):
    """The server does not start with it either: the file is wrong, not the event."""
    with pytest.raises(ConfigError) as error:
        tested(PREVIEW, tests)
    problems = [problem for problem in error.value.problems if words in problem.message]
    assert [problem.line - (HEAD + PREVIEW).count("\n") for problem in problems] == [line]


def test_a_test_of_a_rule_without_a_template_adds_nothing(tested):
    """The template is the mistake; which variables it has nobody knows."""
    with pytest.raises(ConfigError) as error:
        tested(PREVIEW.replace("template: e2e", "template: e3e"), "- {event: {}, runs: {brunch: x}}")
    assert [problem.message for problem in error.value.problems] == [
        "rule 'preview': unknown template 'e3e': did you mean 'e2e'?"
    ]
