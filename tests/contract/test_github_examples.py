"""Every payload GitHub publishes, through the github source.

The 329 payloads of the npm package @octokit/webhooks-examples 7.6.1 are not in this repository: unpack it and name its
folder in GITHUB_EXAMPLES_DIR. Right is, for each payload, signed and sent both as JSON and as a form:

- it is read without an error, and its body is the payload;
- the event's name is the one GitHub files it under, its action the payload's own `action` (none where it has none);
- `repo`, `owner` and `sender` are the payload's own names, and missing exactly where the payload has none;
- what a fact says stands in the payload: no text is made up, but for refs without their prefix and shortened commits;
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
from bridge.secret import Secret
from bridge.smallest import GITHUB, github, github_event
from bridge.sources.github import GitHub

SECRET = "It's a Secret to Everybody"
SOURCE = GitHub(secrets=[Secret("env: GITHUB", SECRET.encode())])
TEXTS = {name: Text("${{ %s }}" % name) for name in GitHub.facts}  # noqa: UP031 - an f-string would need six braces
VARIABLE = "GITHUB_EXAMPLES_DIR"


@pytest.fixture(scope="module")
def examples():
    """Return every published payload with its event's name; skip where they are not at hand, fail in CI."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        reason = f"{VARIABLE} does not name the unpacked npm package @octokit/webhooks-examples 7.6.1"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    events = json.loads((Path(folder) / "api.github.com" / "index.json").read_text())
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
    assert seen == set(GitHub.facts)


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
