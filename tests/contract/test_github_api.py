"""What we ask of GitHub's API and how every answer is understood, against an emulator as strict as GitHub."""

import json
import time

import pytest

from bridge.contracts import Request
from bridge.emulators import github as sender
from bridge.emulators.exchange import Answer
from bridge.emulators.github_api import GitHubApi
from bridge.emulators.github_repository import Comment, Repository
from bridge.emulators.serving import Server
from bridge.errors import Ambiguous, Permanent, Transient
from bridge.github_api import ask, repository_path, wait_seconds
from bridge.model import Message
from bridge.outbound import Answer as Answered
from bridge.outbound import Outbound
from bridge.secret import Secret
from bridge.sources.github import GitHub

TOKEN = "t0ken-of-github"
SECRET = "a-secret-of-16-bytes"
SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
PULL = {
    "number": 7,
    "draft": False,
    "head": {"ref": "changes", "sha": SHA, "repo": {"full_name": "stranger/r"}},
    "base": {"ref": "main", "repo": {"full_name": "o/r"}},
}
CREATED = {
    "action": "created",
    "repository": {"full_name": "o/r"},
    "issue": {"number": 7, "title": "T", "pull_request": {"url": "u"}, "user": {"login": "stranger"}},
    "comment": {"id": 70, "body": "/run e2e", "user": {"login": "ann"}, "author_association": "MEMBER"},
}


def api(**more):
    """Return GitHub with one repository: a pull request, an issue, and a comment on each kind of place."""
    built = GitHubApi(token=TOKEN)
    comments = {70: Comment(id=70, number=7, body="/run"), 71: Comment(id=71, kind="pulls", number=7, body="/run")}
    built.repositories = [Repository(name="o/r", pulls={7: PULL}, issues=[1], comments=comments, **more)]
    return built


def source(emulator, token=TOKEN):
    """Return a github source whose API is the emulator."""
    given = Secret("env: T", token.encode()) if token else None
    return GitHub(secrets=[Secret("env: S", SECRET.encode())], token=given, api_url=f"{emulator.url}/")


def event(configured, body=CREATED, name="issue_comment"):
    """Return a comment's event, as GitHub sends it."""
    headers, raw = sender.deliver(name, json.dumps(body).encode(), secret=SECRET)
    lower = {header.lower(): value for header, value in headers.items()}
    return configured.read(Request(headers=lower, query={}, body=raw, now=0))


async def completed(emulator, body=CREATED, **more):
    """Return a comment's event with what GitHub says of the pull request."""
    async with Server(emulator), Outbound() as outbound:
        configured = source(emulator, **more)
        return await configured.complete(outbound, event(configured, body))


async def send(emulator, body, *, now=None, **address):
    """Send one acknowledgement."""
    where = {"repo": "o/r", "comment": "70", "number": "7", "kind": "issues"} | address
    message = Message(
        id="m", body=json.dumps(body).encode(), address=where, attempt=1, now=time.time() if now is None else now
    )
    async with Server(emulator), Outbound() as outbound:
        await source(emulator).send(outbound, message)


async def test_a_comment_gets_the_head_of_its_pull_request():
    """With the token the branch, the commit and the fork are asked for; what the comment says stays."""
    emulator = api()
    found = (await completed(emulator)).facts
    assert (found["sha"], found["branch"], found["base"], found["fork"]) == (SHA, "changes", "main", True)
    assert (found["number"], found["title"], found["commenter"], found["command"]) == (7, "T", "ann", "/run")
    assert [(record.method, record.path) for record in emulator.journal] == [("GET", "/repos/o/r/pulls/7")]


@pytest.mark.parametrize(
    ("body", "token"), [(CREATED, ""), (CREATED | {"issue": {"number": 1}}, TOKEN)], ids=["no-token", "an-issue"]
)
async def test_nothing_is_asked_where_there_is_nothing_to_ask(body, token):
    """Without a token, and of an issue, the commit stays missing."""
    emulator = api()
    assert "sha" not in (await completed(emulator, body, token=token)).facts
    assert emulator.journal == []


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Answer(status=404, body='{"message": "Not Found"}'), Permanent, "HTTP 404: Not Found - is it there"),
        (Answer(status=502), Transient, "HTTP 502"),
        (Answer(body="{"), Ambiguous, "cannot be read"),
        (Answer(body="{}"), Permanent, "is not that pull request"),
        (Answer(body=json.dumps(PULL | {"number": 8})), Permanent, "is not that pull request"),
        (Answer(body=json.dumps(PULL | {"head": {"sha": "0" * 40}})), Permanent, "is not that pull request"),
        (Answer(drop="close"), Ambiguous, "without an answer"),
    ],
)
async def test_a_wrong_answer_is_no_commit(answer, error, words):
    """Whatever GitHub says instead of the pull request, it is an error with a reason, never another commit."""
    emulator = api()
    emulator.answers.add(answer, times=0)
    with pytest.raises(error, match=words):
        await completed(emulator)


async def test_a_slow_github_is_not_waited_for():
    """The delivery has to be answered within GitHub's own ten seconds."""
    emulator = api()
    emulator.answers.add(Answer(delay_seconds=30))
    began = time.monotonic()
    with pytest.raises(Ambiguous, match="within 4 s"):
        await completed(emulator)
    assert time.monotonic() - began < 6


@pytest.mark.parametrize("name", ["", "o", "../r", "o/..", "o/r/x", "o/r?x", "o/r\n", ".o/r", "o/" + "r" * 101])
def test_only_a_repository_gets_into_a_path(name):
    """A name that is none could lead the token elsewhere."""
    with pytest.raises(Permanent, match="is not a repository"):
        repository_path(name)
    assert repository_path("O-1/r.x_y") == "repos/O-1/r.x_y"


async def test_a_reaction_is_put_once():
    """A second attempt finds the first one's reaction, and is as good."""
    emulator = api()
    for _ in range(2):
        await send(emulator, {"reaction": "eyes"})
    assert emulator.repositories[0].comments[70].reactions == ["eyes"]
    assert [record.status for record in emulator.journal] == [201, 200]


async def test_a_comment_is_answered_where_it_stands():
    """In the conversation, or in the thread on the line."""
    emulator = api()
    await send(emulator, {"reaction": "confused", "comment": "In words."})
    await send(emulator, {"reaction": "confused", "comment": "Here."}, kind="pulls", comment="71")
    await send(emulator, {"comment": "Help."})
    comments = emulator.repositories[0].comments
    assert [(one.kind, one.number, one.body, one.in_reply_to) for one in list(comments.values())[2:]] == [
        ("issues", 7, "In words.", None),
        ("pulls", 7, "Here.", 71),
        ("issues", 7, "Help.", None),
    ]
    assert comments[71].reactions == ["confused"]


@pytest.mark.parametrize(
    ("answer", "error", "wait"),
    [
        (Answer(status=403, body='{"message": "Resource not accessible"}'), Permanent, None),
        (Answer(status=401, body='{"message": "Bad credentials"}'), Permanent, None),
        (Answer(status=410), Permanent, None),
        (Answer(status=403, headers={"retry-after": "7"}), Transient, 7),
        (Answer(status=429), Transient, 60),
        (Answer(status=403, body='{"message": "You have exceeded a secondary rate limit"}'), Transient, 60),
        (
            Answer(status=403, headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}),
            Transient,
            30,
        ),
        (Answer(status=500), Ambiguous, None),
        (Answer(status=301, headers={"location": "/elsewhere"}), Permanent, None),
    ],
)
async def test_what_changes_something_is_repeated_only_where_that_is_right(answer, error, wait):
    """Rate limits are waited out, refusals are final, and an answer lost on the way may have been a success."""
    emulator = api()
    emulator.answers.add(answer, times=0)
    with pytest.raises(error) as caught:
        await send(emulator, {"reaction": "eyes"}, now=1000)
    assert getattr(caught.value, "retry_after", None) == wait
    assert TOKEN not in str(caught.value)


def test_a_403_is_a_rate_limit_by_its_headers_or_words_only():
    """Others, and other statuses, are none."""
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "999"}
    assert wait_seconds(Answered(status=403, headers=headers, body=b""), 1000) == 0
    assert wait_seconds(Answered(status=403, headers=headers | {"x-ratelimit-remaining": "5"}, body=b""), 0) is None
    assert wait_seconds(Answered(status=403, headers=headers | {"x-ratelimit-reset": "soon"}, body=b""), 0) is None
    assert wait_seconds(Answered(status=404, headers={"retry-after": "5"}, body=b""), 0) is None


async def test_without_its_token_a_source_tells_nothing():
    """A message that waited while the token was taken out of the configuration is a dead letter."""
    async with Outbound() as outbound:
        message = Message(id="m", body=b"{}", address={}, attempt=1, now=0)
        with pytest.raises(Permanent, match="no token any more"):
            await GitHub(secrets=[]).send(outbound, message)


@pytest.mark.parametrize(
    ("token", "answer", "problem"),
    [
        (TOKEN, None, None),
        (TOKEN, Answer(status=404, body='{"message": "Rate limiting is not enabled."}'), None),
        ("an-old-token", None, "GitHub: HTTP 401: Bad credentials - check the token"),
    ],
)
async def test_a_token_can_be_tried(token, answer, problem):
    """Without doing anything, and also at a server that has no rate limits; a source without one asks nothing."""
    emulator = api()
    if answer is not None:
        emulator.answers.add(answer)
    async with Server(emulator), Outbound() as outbound:
        assert source(emulator).asks
        assert await source(emulator, token=token).probe(outbound) == problem
        assert not source(emulator, token="").asks
        assert await source(emulator, token="").probe(outbound) is None


async def test_the_emulator_refuses_what_github_refuses():
    """Wrong tokens and versions, unknown things, other reactions, empty and too long texts, locked conversations."""
    emulator = api(locked=[1])
    base = "repos/o/r"
    refused = [
        ("GET", f"{base}/pulls/8", None, "HTTP 404"),
        ("GET", f"{base}/pulls/x", None, "HTTP 404"),
        ("GET", f"{base}/nothing", None, "HTTP 404"),
        ("GET", "repos/o/other/pulls/7", None, "HTTP 404"),
        ("POST", f"{base}/issues/comments/71/reactions", {"content": "eyes"}, "HTTP 404"),
        ("POST", f"{base}/issues/comments/70/reactions", {"content": "wink"}, "HTTP 422"),
        ("POST", f"{base}/issues/comments/70/reactions", [], "HTTP 422"),
        ("POST", f"{base}/issues/comments/70/reactions", {"content": 1}, "HTTP 422"),
        ("POST", f"{base}/issues/1/comments", {"body": "x"}, "HTTP 403: Unable to create comment"),
        ("POST", f"{base}/issues/2/comments", {"body": "x"}, "HTTP 404"),
        ("POST", f"{base}/issues/7/comments", {"body": " "}, "HTTP 422"),
        ("POST", f"{base}/issues/7/comments", {"body": "x" * 65_537}, "HTTP 422"),
        ("POST", f"{base}/pulls/7/comments/70/replies", {"body": "x"}, "HTTP 404"),
    ]
    async with Server(emulator), Outbound() as outbound:
        for method, path, content, words in refused:
            with pytest.raises(Permanent, match=words):
                await ask(outbound, TOKEN, method, f"{emulator.url}/{path}", content, now=0)
        with pytest.raises(Permanent, match="check the token"):
            await ask(outbound, "wrong-token", "GET", f"{emulator.url}/{base}/pulls/7", now=0)
        answer = await outbound.request(
            "GET",
            f"{emulator.url}/{base}/pulls/7",
            headers={"authorization": f"Bearer {TOKEN}", "x-github-api-version": "2012-01-01"},
            timeout_seconds=5,
            max_bytes=1000,
        )
        assert answer.status == 400
