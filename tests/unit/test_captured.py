"""A file with an event becomes the request its sender would send, whatever somebody saved."""

import json
from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.captured import guessed, is_captured, read
from bridge.errors import Malformed
from bridge.expressions import Text
from bridge.secret import Secret
from bridge.sources.generic import Bearer, Generic
from bridge.sources.github import GitHub
from bridge.sources.slack import Slack

SECRETS = [Secret("env: A", None)]
GITHUB, SLACK = GitHub(secrets=SECRETS), Slack(secrets=SECRETS)
GENERIC = Generic(auth=Bearer(secrets=SECRETS))
PUSH = {"ref": "refs/heads/main", "commits": [], "before": "0", "after": "1"}
CAPTURED = """POST /hooks/github?from=proxy&from=second HTTP/1.1
Host: example.com
X-GitHub-Event: push
Content-Type: application/json
Content-Length: 999

{"ref": "refs/heads/dev"}
"""


def parsed(source, data, event=""):
    return source.parse(read(source, data if isinstance(data, bytes) else data.encode(), event))


def test_a_json_body_travels_byte_for_byte():
    """So a signature over it is one over the file, but for the space around it."""
    data = b'\xef\xbb\xbf {"ref" :  "refs/heads/main"}\n'
    request = read(GITHUB, data, "push")
    assert request.body == b'{"ref" :  "refs/heads/main"}'
    assert request.headers == {"content-type": "application/json", "x-github-event": "push"}
    assert parsed(GITHUB, data, "push").facts["branch"] == "main"


def test_an_action_in_the_events_name_is_put_into_a_body_without_one():
    """The body's own counts."""
    assert parsed(GITHUB, "{}", "issues.opened").action == "opened"
    assert parsed(GITHUB, '{"action": "closed"}', "issues.opened").action == "closed"


def test_a_body_without_headers_is_told_by_its_keys():
    """Where nothing tells, nothing is made up."""
    push = json.dumps({**PUSH, "head_commit": None, "compare": "", "pusher": {}}).encode()
    assert guessed(GITHUB, push) == ""
    full = json.dumps({**PUSH, "created": 1, "deleted": 0, "forced": 0, "compare": "", "head_commit": 0, "pusher": 0})
    assert guessed(GITHUB, full.encode()) == "push"
    assert parsed(GITHUB, full).name == "push"
    assert guessed(GITHUB, CAPTURED.encode()) == ""
    assert guessed(GITHUB, b"[]") == ""
    assert guessed(GENERIC, b"{}") == ""
    with pytest.raises(Malformed, match="X-GitHub-Event"):
        parsed(GITHUB, "{}")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_request_as_it_was_captured(ending, first):
    """With and without the request line, with either line end; its headers name the event."""
    data = ending.join(CAPTURED.split("\n")[first:]).encode()
    assert is_captured(data)
    request = read(GITHUB, data, "issues")
    assert request.headers == {"x-github-event": "push", "content-type": "application/json"}
    assert request.query == ({} if first else {"from": "second"})
    assert GITHUB.parse(request).facts["branch"] == "dev"


def test_what_github_shows_of_a_delivery_can_be_copied():
    """Its page has two lines above the headers that are none."""
    data = "Request URL: https://example.com/hooks/github\nRequest method: POST\nX-GitHub-Event: push\n"
    assert parsed(GITHUB, f'{data}Content-Type: application/json\n\n{{"ref": "refs/heads/dev"}}').name == "push"


def test_an_empty_line_in_the_body_is_the_bodys():
    """The first one ends the headers, whichever line ends each of them has."""
    data = "POST / HTTP/1.1\nX-GitHub-Event: push\nContent-Type: application/json\n\n{\r\n\r\n}"
    assert read(GITHUB, data.encode(), "").body == b"{\r\n\r\n}"


def test_a_captured_request_without_the_events_header_takes_the_name_given():
    """Somebody left a line out."""
    data = CAPTURED.replace("X-GitHub-Event: push\n", "")
    assert parsed(GITHUB, data, "push").name == "push"
    assert not is_captured(b"{}")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("{", "not JSON"),
        ("POST / HTTP/1.1\nno header\n\n{}", "'no header' is no header"),
        ("POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n2\r\n{}", "chunked"),
    ],
)
def test_what_cannot_be_read_is_said(data, words):
    """In words for the person who saved it."""
    with pytest.raises(Malformed, match=words):
        read(GITHUB, data.encode())


def test_forms():
    """A slash command as Slack sends it, its fields as JSON, and GitHub's form content."""
    fields = {"command": "/genesis", "text": "e2e https://x", "user_id": "U1"}
    for data in (urlencode(fields), json.dumps(fields)):
        event = parsed(SLACK, data)
        assert (event.name, event.facts["text"], event.facts["user"]) == ("/genesis", "e2e https://x", "U1")
    assert parsed(GITHUB, urlencode({"payload": json.dumps(PUSH)}), "push").facts["branch"] == "main"
    event = parsed(SLACK, '{"type": "event_callback", "event_id": "Ev1"}')
    assert (event.name, event.key) == ("event_callback", "Ev1")


@pytest.mark.parametrize(
    ("event", "named", "smallest"),
    [
        (None, "run", {"type": "run"}),
        ("${{ body.kind }}", "run", {"kind": "run"}),
        ('${{body["a"].b}}', "run", {"a": {"b": "run"}}),
        ("${{ headers['x-event'] }}", "run", {}),
        ("${{ query.event }}", "run", {}),
        ("fixed", "fixed", {}),
    ],
)
def test_a_generic_source_gets_its_events_name_where_it_reads_it(event, named, smallest):
    """Body, headers or query."""
    source = Generic(auth=Bearer(secrets=SECRETS), event=None if event is None else Text(event))
    assert source.smallest("run") == smallest
    assert source.parse(source.packed("run", source.smallest("run"))).name == named
    assert source.smallest("") == {}


@pytest.mark.parametrize("event", ["${{ body.a ~ body.b }}", "${{ body.a[0] }}", "x-${{ body.a }}"])
def test_a_name_made_of_several_things_is_left_to_the_test(event):
    """Nobody can tell what to put where."""
    source = Generic(auth=Bearer(secrets=SECRETS), event=Text(event))
    assert source.smallest("run") == {}
    assert source.packed("run", {}).headers == {"content-type": "application/json"}


@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode), event=st.sampled_from(["", "push", "a.b"]))
def test_reading_is_total(data, event):
    """Any bytes are a request or Malformed."""
    for source in (GITHUB, SLACK, GENERIC):
        with suppress(Malformed):
            assert isinstance(read(source, data, event).body, bytes)
