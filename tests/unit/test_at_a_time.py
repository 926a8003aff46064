"""`at_a_time:` as it is written, and the key it comes to."""

from pathlib import Path

import pytest

from bridge.at_a_time import AtATime
from bridge.config import Config, load
from bridge.decision import decide
from bridge.duration import Duration
from bridge.errors import ConfigError
from bridge.model import Command, Event
from bridge.records import Record

CONFIG = """
version: 1
sources:
  github: {type: github, secrets: [{env: A}]}
  slack: {type: slack, secrets: [{env: A}]}
engines:
  genesis: {type: genesis, api_key: {env: A}}
templates:
  e2e: {engine: genesis, id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44}
rules:
  - name: pushed
    source: github
    event: push
    template: e2e
    at_a_time: %s
  - name: said
    source: slack
    event: /genesis
    usage: e2e <branch>
    template: e2e
    at_a_time: {key: "${{ args.branch }}", keep: first}
"""
KEY = '{key: "${{ repo }}:${{ branch }}", keep: latest, debounce: 30s}'


@pytest.fixture
def read(tmp_path: Path):
    """Read the configuration above with another `at_a_time:`."""

    def config(written: str = KEY) -> Config:
        path = tmp_path / "bridge.yaml"
        path.write_text(CONFIG % written)
        return load(path, {"A": "a-secret-of-16-bytes"})

    return config


def pushed(config: Config, **facts: str) -> Record:
    [record] = decide(config, Event(name="push", source="github", facts=facts), "d_1").executions.values()
    return record


def test_the_same_key_is_the_same_group_within_one_rule_only(read) -> None:
    """Another branch is another group; how others of it are treated goes into the record."""
    config = read()
    one, other = pushed(config, repo="octo/hello", branch="main"), pushed(config, repo="octo/hello", branch="dev")
    assert one.at_a_time == pushed(config, repo="octo/hello", branch="main").at_a_time
    assert (one.at_a_time.keep, one.at_a_time.debounce_seconds) == ("latest", 30)
    assert one.at_a_time.group != other.at_a_time.group
    command = Command(name="/genesis", word="/genesis", text="e2e octo/hello:main")
    said = Event(name="/genesis", source="slack", command=command)
    [record] = decide(config, said, "d_1").executions.values()
    assert record.at_a_time.keep == "first"
    assert record.at_a_time.group != one.at_a_time.group


def test_without_a_key_all_of_a_rule_are_of_one(read) -> None:
    """Nothing of the event is looked at."""
    config = read("{keep: queue}")
    assert pushed(config).at_a_time == pushed(config, branch="main").at_a_time


def test_the_verdict_names_the_key(read) -> None:
    """Whoever asks why something waits sees what it shares."""
    decision = decide(read(), Event(name="push", source="github", facts={"repo": "a/b", "branch": "c"}), "d_1")
    assert decision.results[0].at_a_time == "a/b:c"


def test_an_event_without_the_key_is_a_rule_error(read) -> None:
    """As with a variable: nobody could say what it may run beside."""
    decision = decide(read(), Event(name="push", source="github", facts={"repo": "a/b"}), "d_1")
    assert (decision.outcome, decision.reason) == (
        "rule_error",
        "rule 'pushed': the key of `at_a_time`: branch is missing",
    )


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{}", "15:16: rule 'pushed': this lets all run at once, as without it"),
        ("{keep: all}", "15:16: rule 'pushed': this lets all run at once, as without it"),
        ("{key: x}", "15:16: rule 'pushed': this lets all run at once, as without it"),
        ("{keep: first, debounce: 5s}", "15:16: rule 'pushed': `keep: first` keeps the older, `debounce` the newer"),
        ("{debounce: 2d}", "15:16: rule 'pushed': `debounce` is at most 1d"),
        ("{keep: last}", "15:23: rule 'pushed': unknown value 'last'"),
        ('{keep: queue, key: "${{ brunch }}"}', "15:35: rule 'pushed': unknown name 'brunch': did you mean 'branch'?"),
        ('{keep: queue, key: "${{ args.x }}"}', "15:35: rule 'pushed': `args` is what a command's `usage:` line names"),
        ("{keep: queue, group: x}", "15:30: rule 'pushed': unknown key 'group'"),
        ("queue", "15:16: rule 'pushed': expected a mapping"),
    ],
)
def test_mistakes_are_found_at_their_place(read, written: str, problem: str) -> None:
    """With what to do instead."""
    with pytest.raises(ConfigError) as refused:
        read(written)
    [found] = refused.value.problems
    assert f":{found.line}:{found.column}: {found.message}".startswith(f":{problem}")


def test_a_debounce_alone_keeps_all_others() -> None:
    """It is no limit to what runs side by side."""
    assert AtATime(debounce=Duration(seconds=5)).keep == "all"
