"""Every payload GitHub publishes, through the github source.

The 329 payloads of the npm package @octokit/webhooks-examples 7.6.1 are not in this repository: unpack it and name its
folder in GITHUB_EXAMPLES_DIR. Right is, for each payload, signed and sent both as JSON and as a form:

- it is read without an error, and its body is the payload;
- the event's name is the one GitHub files it under, its action the payload's own `action` (none where it has none);
- `repo`, `owner` and `sender` are the payload's own names, and missing exactly where the payload has none;
- what a fact says stands in the payload: no text is made up, but for refs without their prefix and shortened commits;
- each fact comes from a place the table of facts (bridge.github_facts, docs/rules.md) names for that event, and
  wherever the payload has such a value in such a place, the fact is there;
- no fact is null or empty text, every fact is JSON, and `${{ fact }}` gives a text for each of them;
- only a ping is ignored.
"""

import json
import os
from pathlib import Path

import msgspec
import pytest

from bridge.contracts import Request
from bridge.emulators import github as sender
from bridge.expressions import Text
from bridge.github_facts import EVENTS, FACTS
from bridge.secret import Secret
from bridge.smallest import GITHUB, github, github_event
from bridge.sources.github import GitHub

SECRET = "It's a Secret to Everybody"
SOURCE = GitHub(secrets=[Secret("env: GITHUB", SECRET.encode())])
TEXTS = {name: Text("${{ %s }}" % name) for name in FACTS}  # noqa: UP031 - an f-string would need six braces
VARIABLE = "GITHUB_EXAMPLES_DIR"


@pytest.fixture(scope="module")
def examples():
    """Return every published payload with its event's name; skip where they are not at hand, fail in CI."""
    return published("api.github.com")


@pytest.fixture(scope="module", params=["ghes-31", "ghes-32", "ghes-33", "ghes-34", "ghes-35"])
def enterprise_examples(request):
    """Return the payloads of one old Enterprise Server."""
    return published(request.param)


def published(server):
    """Return the payloads that one kind of server sends, each with its event's name."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        reason = f"{VARIABLE} does not name the unpacked npm package @octokit/webhooks-examples 7.6.1"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    events = json.loads((Path(folder) / server / "index.json").read_text())
    return [(event["name"], payload) for event in events for payload in event["examples"]]


def read(name, payload, *, form):
    """Read one payload as GitHub would send it."""
    headers, body = sender.deliver(name, json.dumps(payload).encode(), secret=SECRET, guid="g-1", form=form)
    lower = {header.lower(): value for header, value in headers.items()}
    return SOURCE.read(Request(headers=lower, query={}, body=body, now=0))


def texts_in(value):
    """Yield every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts_in(inner)


def test_all_of_them_are_there(examples):
    """The package holds 329 payloads of 58 events."""
    assert (len(examples), len({name for name, _ in examples})) == (329, 58)


@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
def test_every_published_payload_is_read_right(examples, form):
    """Name, action, body and the names of repository, owner and sender are the payload's; only pings are ignored."""
    for name, payload in examples:
        event = read(name, payload, form=form)
        assert (event.name, event.action, event.key) == (name, payload.get("action"), "g-1")
        assert event.body == payload
        assert (event.ignored is not None) is (name == "ping")
        repository, organization = payload.get("repository") or {}, payload.get("organization") or {}
        owner = repository.get("owner") or organization
        expected = {
            "repo": repository.get("full_name"),
            "owner": owner.get("login"),
            "sender": (payload.get("sender") or {}).get("login"),
        }
        assert {fact: event.facts.get(fact) for fact in expected} == expected


def value_at(payload, path):
    """Return what stands at a path of the table, read here by other means than the code's."""
    for step in path.split("."):
        payload = payload[step] if isinstance(payload, dict) and step in payload else None
    return payload


def used_of(examples):
    """Hold every payload's facts against the table; return which (event, fact) there were.

    For each event of the table: what it promises is there or the payload lacks it, and nothing else is.
    """
    used = set()
    for name, payload in examples:
        facts = read(name, payload, form=False).facts
        for fact, row in FACTS.items():
            group, _, inner = fact.partition(".")
            found = facts.get(group, {}).get(inner) if inner else facts.get(group)
            promised = [way for way in row.ways if not way.events or name in way.events.split()]
            values = [way.take(value_at(payload, way.path.replace("*", name)), payload) for way in promised]
            expected = [value for value in values if type(value) is row.kind and value != ""]
            if expected:
                assert found == expected[0], (name, fact)
                used.add((name, fact))
            elif name in EVENTS:
                assert found is None, (name, fact)
    return used


def test_every_payload_has_the_facts_the_table_promises(examples):
    """And each event and fact of the table has a payload that shows it."""
    used = used_of(examples)
    assert {name for name, _ in used} >= set(EVENTS)
    assert {fact for _, fact in used} == set(FACTS)


def test_old_servers_have_the_same_facts(enterprise_examples):
    """What Enterprise Server 3.1 to 3.5 sends is read by the same table."""
    used = used_of(enterprise_examples)
    assert {("push", "repo"), ("pull_request", "sha"), ("workflow_run", "branch")} <= used


def test_every_fact_is_the_payloads_own_and_has_a_text(examples):
    """Facts are declared, JSON, never empty, taken from the payload, and each can stand in a variable."""
    seen = set()
    for name, payload in examples:
        event = read(name, payload, form=False)
        names, said = event.names(), set(texts_in(payload))
        said |= {text.removeprefix(prefix) for text in said for prefix in ("refs/heads/", "refs/tags/")}
        assert msgspec.json.decode(msgspec.json.encode(event.facts)) == event.facts
        for fact, value in event.facts.items():
            declared = [one for one in TEXTS if one.partition(".")[0] == fact]
            seen.update(declared)
            assert declared
            assert value not in (None, "")
            assert set(texts_in(value)) <= said or value == event.facts["sha"][:7]
            assert all(isinstance(TEXTS[one].render(names), str) for one in declared)
    assert seen == set(FACTS)


def paths(value, above=()):
    """Yield the path of everything in a JSON value; all items of a list have one."""
    yield above
    for key, inner in value.items() if isinstance(value, dict) else (("*", item) for item in _items(value)):
        yield from paths(inner, (*above, key))


def _items(value):
    return value if isinstance(value, list) else []


# Arrays that the examples happen to have empty, and what examples of that event lack and its schema has.
ABSENT = {("commits", "*", "modified", "*"), ("head_commit", "modified", "*"), ("pull_request", "draft")}


def test_the_smallest_bodies_have_nothing_that_github_does_not_send(examples):
    """Every key of a row stands in a published payload of its event."""
    seen = {}
    for name, payload in examples:
        seen.setdefault(name, set()).update(paths(payload))
    for name in GITHUB.keys() & seen.keys():
        assert set(paths(github(name))) - seen[name] <= ABSENT, name


def test_no_payload_is_taken_for_another_event(examples):
    """Most tell which event they are; the rest tell nothing rather than something wrong."""
    told = [(name, github_event(payload)) for name, payload in examples]
    assert [pair for pair in told if pair[1] not in (None, pair[0])] == []
    assert sum(name == guess for name, guess in told) >= 270
