"""GitHub's commit statuses, check runs and comments, against an emulator that refuses what GitHub refuses."""

import json
import re
import time
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec import structs

from bridge.emulators.exchange import Answer
from bridge.emulators.github_api import GitHubApi
from bridge.emulators.github_apps import App
from bridge.emulators.github_reports import CONCLUSIONS, LONGEST_DESCRIPTION, STATES, Reports
from bridge.emulators.github_repository import Comment, Repository
from bridge.emulators.serving import Server
from bridge.errors import Ambiguous, EvaluationError, Permanent, Transient
from bridge.expressions import Text
from bridge.github_api import Refused
from bridge.github_notifier import Report
from bridge.github_reports import check_run, comment, commit_status
from bridge.model import FINAL, Execution, Link, Message, Progress, Status
from bridge.notifiers.github_check import GitHubCheck
from bridge.notifiers.github_comment import GitHubComment
from bridge.notifiers.github_status import GitHubStatus
from bridge.outbound import Outbound
from bridge.secret import Secret
from tests.github_keys import PRIVATE_KEY, PUBLIC_KEY

TOKEN = "t0ken-of-github"
SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
CREATED = "2026-03-16T10:00:00.000Z"
NOW = datetime.fromisoformat(CREATED).timestamp() + 60
NAMES = {"event": "pull_request", "repo": "o/r", "sha": SHA, "number": 7, "body": {"installation": {"id": 55}}}
EXECUTION = Execution(
    id="x_aaaaaaaaaaaaaaaaaaaaaaaa",
    delivery_id="d_1",
    rule="e2e",
    source="github",
    engine="genesis",
    template="suite",
    variables={},
    status=Status.QUEUED,
    final=False,
    created_at=CREATED,
)
RENDER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def at(status, **more):
    """Return the execution at a status, with the times that go with it."""
    began = {} if status is Status.QUEUED else {"started_at": "2026-03-16T10:00:01.000Z"}
    ended = {"finished_at": "2026-03-16T10:04:06.400Z"} if status.final else {}
    return structs.replace(EXECUTION, status=status, final=status.final, **(began | ended | more))


class World:
    """GitHub with one repository, an App and a pull request, and a client."""

    def __init__(self):
        self.api = GitHubApi(token=TOKEN)
        self.api.url = "https://github.example.com"
        self.repo = Repository(name="o/r", pulls={7: {"number": 7}}, reports=Reports(commits=[SHA]))
        self.api.repositories = [self.repo]
        self.app = App(id=9, public_key=PUBLIC_KEY, installations={55: ["o/r"]})
        self.api.apps = [self.app]
        self.now = NOW
        self.api.clock = lambda: self.now
        self.outbound = None
        self.made = {}

    def status(self, **more):
        return GitHubStatus(token=Secret("env: T", TOKEN.encode()), api_url=f"{self.api.url}/", **more)

    def check(self, **more):
        key = Secret("env: K", PRIVATE_KEY.encode())
        return GitHubCheck(**{"app_id": 9, "private_key": key, "api_url": self.api.url} | more)

    def comment(self, **more):
        return GitHubComment(token=Secret("env: T", TOKEN.encode()), api_url=self.api.url, **more)

    async def tell(self, notifier, execution, names=NAMES, *, made=True, attempt=1):
        """Send one message as `report` does, what was made for an execution being remembered."""
        key = (type(notifier), execution.id)
        message = Message(
            id="m",
            body=notifier.compose(execution, "qa"),
            address=notifier.address(names),
            attempt=attempt,
            now=self.now,
            made=self.made.get(key) if made else None,
        )
        found = await notifier.send(self.outbound, message)
        self.made[key] = found or self.made.get(key)
        return found

    @property
    def checks(self):
        return list(self.repo.reports.checks.values())

    @property
    def comments(self):
        return list(self.repo.comments.values())

    def requests(self, *kinds):
        return [f"{record.method} {record.status}" for record in self.api.journal if record.kind in kinds]


@pytest.fixture
async def github():
    """Run GitHub for one test."""
    async with opened() as world:
        yield world


@asynccontextmanager
async def opened():
    world = World()
    async with Server(world.api), Outbound() as outbound:
        world.outbound = outbound
        yield world


# ------------------------------------------------------------------------------------------------- what is in common


every_kind = pytest.mark.parametrize("kind", ["status", "check", "comment"])


@every_kind
def test_every_pending_is_followed_by_an_end(kind):
    """By default every end is told; a list that leaves something under way for good is refused."""
    make = getattr(World(), kind)
    told = [status for status in Status if make().wants(status)]
    assert told == [Status.QUEUED, Status.PENDING, Status.REVIEW_PENDING, *[one for one in Status if one.final]]
    ends = [status for status in Status if status in FINAL]
    assert [status for status in Status if make(on_status=ends).wants(status)] == ends
    with pytest.raises(ValueError, match="add lost to `on_status`"):
        make(on_status=[Status.RUNNING, *[one for one in ends if one is not Status.LOST]])
    if kind == "status":
        assert make(on_status=[Status.FAILED]).wants(Status.FAILED)
    else:
        with pytest.raises(ValueError, match="add completed, cancelled, skipped"):
            make(on_status=[Status.FAILED])  # for progress is told whatever is listed


@every_kind
def test_an_api_url_must_take_paths(kind):
    """One with a query is refused at load."""
    world = World()
    world.api.url = "https://x.example.com/?a=1"
    with pytest.raises(ValueError, match="the URL cannot be used"):
        getattr(world, kind)()


@every_kind
def test_requests_to_one_repository_are_spaced(kind):
    """All three share a lane, whatever the case of the repository's name."""
    notifier = getattr(World(), kind)()
    assert notifier.lane({"repo": "O/r"}) == "github https://github.example.com o/r"
    assert isinstance(notifier, Report)
    assert notifier.in_order


@pytest.mark.parametrize(
    ("kind", "names", "address"),
    [
        ("status", NAMES, {"repo": "o/r", "sha": SHA}),
        ("check", NAMES, {"repo": "o/r", "sha": SHA, "installation": "55"}),
        ("check", NAMES | {"body": {}}, {"repo": "o/r", "sha": SHA}),
        ("check", NAMES | {"body": {"installation": {"id": "../1"}}}, {"repo": "o/r", "sha": SHA}),
        ("comment", NAMES, {"repo": "o/r", "number": "7"}),
        ("status", {"repo": "o/r"}, "names no commit"),
        ("status", {"sha": SHA}, "about no repository"),
        ("status", {"repo": "o/r", "sha": "main"}, "'main' is not a commit's whole id"),
        ("status", {"repo": "o/../r", "sha": SHA}, "is not a repository's owner/name"),
        ("comment", {"repo": "o/r"}, "about no pull request or issue"),
        ("comment", {"repo": "o/r", "number": 7, "event": "discussion_comment"}, "about no pull request or issue"),
        ("comment", {"repo": "o/r", "number": "7/../8"}, "is not the number of"),
    ],
)
def test_an_event_says_what_it_is_about(kind, names, address):
    """The repository, the commit or number; where the event has none of them, a sentence says so."""
    notifier = getattr(World(), kind)()
    if isinstance(address, dict):
        assert notifier.address(names) == address
    else:
        with pytest.raises(EvaluationError, match=address):
            notifier.address(names)


@pytest.mark.parametrize(
    ("kind", "place", "value"), [("status", "sha", SHA), ("check", "sha", SHA), ("comment", "number", "12")]
)
def test_any_source_can_say_what_it_is_about(kind, place, value):
    """With both places given by expressions, a notifier answers events of every source, else GitHub's only."""
    names = {"body": {"repo": "o/r", "at": value}}
    where = {"repo": Text("${{ body.repo }}"), place: Text("${{ body.at }}")}
    notifier = getattr(World(), kind)(**where)
    assert notifier.answers is None
    assert notifier.texts() == where
    assert notifier.address(names) == {"repo": "o/r", place: value}
    part = getattr(World(), kind)(repo=Text("o/r"))
    assert part.answers == {"github"}
    assert list(part.texts()) == ["repo"]


@every_kind
async def test_a_token_or_key_can_be_tried(kind, github):
    """Doctor asks harmlessly; what is wrong is said without the token."""
    github.now = time.time()
    assert await getattr(github, kind)().probe(github.outbound) is None
    if kind == "check":
        assert "HTTP 401" in await github.check(app_id=8).probe(github.outbound)
        github.api.answers.add(Answer(body='{"id": 10}'))
        assert "not of the App 9" in await github.check().probe(github.outbound)
    else:
        github.api.token = "another"
        problem = await getattr(github, kind)().probe(github.outbound)
        assert "check the token" in problem
        assert TOKEN not in problem


@every_kind
async def test_a_limit_is_waited_out_as_github_says(kind, github):
    """After 80 requests that create something within a minute: Retry-After, or a minute where there is none."""
    notifier = getattr(github, kind)()
    await github.tell(notifier, at(Status.QUEUED))
    github.api.journal *= 90
    for said, wait in (("17", 17), ("", 60)):
        github.api.retry_after = said
        with pytest.raises(Transient, match="secondary rate limit") as failed:
            await github.tell(notifier, at(Status.PENDING))
        assert failed.value.retry_after == wait
    github.now += 61
    await github.tell(notifier, at(Status.PENDING))


@every_kind
async def test_what_may_not_be_done_ends_in_the_dead_letters(kind, github):
    """A refusal that is no limit is final, and says what to look at."""
    on = {"status": "status", "check": "check", "comment": "comment"}[kind]
    github.api.answers.add(Answer(status=403, body='{"message": "Resource not accessible"}'), on=on)
    with pytest.raises(Permanent, match="the token may not do this"):
        await github.tell(getattr(github, kind)(), at(Status.QUEUED))


# ---------------------------------------------------------------------------------------------------- commit statuses


@pytest.mark.parametrize(
    ("status", "state"),
    [(one, "pending") for one in Status if not one.final]
    + [(Status.COMPLETED, "success"), (Status.SKIPPED, "success")]
    + [(one, "failure") for one in (Status.FAILED, Status.REJECTED, Status.TIMED_OUT)]
    + [(one, "error") for one in (Status.CANCELLED, Status.UNKNOWN, Status.LOST)],
)
async def test_a_commit_has_the_state_of_its_execution(github, status, state):
    """Each status is one of GitHub's four states, under the rule's name or the configured one."""
    await github.tell(github.status(), at(Status.QUEUED))
    await github.tell(github.status(), at(status))
    assert github.repo.reports.states(SHA) == {"genesis-bridge/e2e": state}
    await github.tell(github.status(context="CI / e2e"), at(status))
    assert github.repo.reports.states(SHA)["ci / e2e"] == state
    assert state in STATES


async def test_a_status_says_how_it_stands_and_where(github):
    """Words, progress and duration or reason, and a link, if it is one that people can follow."""
    url = "https://g.example.com/r?a=1&b=2"
    done = at(Status.COMPLETED, progress=Progress(5, 5), url=url)
    await github.tell(github.status(), done)
    await github.tell(github.status(), at(Status.FAILED, reason="step 2: no\nsuch\tbutton", url="javascript:alert(1)"))
    await github.tell(github.status(text=Text("${{ outputs.a }}!")), at(Status.COMPLETED, outputs={"a": "fine"}))
    await github.tell(github.status(), at(Status.RUNNING, progress=Progress(2, 5)))
    said = [(one["description"], one.get("target_url")) for one in github.repo.reports.statuses]
    assert said == [
        ("completed, 5/5 steps in 4 min 5 s", url),
        ("failed - step 2: no such button", None),
        ("fine!", None),
        ("running, 2/5 steps", None),
    ]


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\uffff", "\U0001f469\u200d\U0001f4bb", "e\u0301", "\n", "\u202e"])
@pytest.mark.parametrize("count", [100, 130, 131, 140, 1000])
async def test_a_description_fits(github, letter, count):
    """Within 140 code points, none of them of four bytes, cut with an ellipsis."""
    await github.tell(github.status(text=Text("${{ reason }}")), at(Status.FAILED, reason="x" + letter * count + "x"))
    said = github.repo.reports.statuses[-1]["description"]
    assert len(said) <= LONGEST_DESCRIPTION
    assert said.endswith("\u2026" if len(letter) * count > 138 else "x")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_description_is_refused(reason):
    """Whatever an engine says, what is sent is a status that GitHub takes."""
    api = Reports(commits=[SHA])
    for own in (None, reason):
        said = commit_status(at(Status.FAILED, reason=reason, url=reason), "", own)
        assert api.set_status(SHA, json.dumps(said).encode()).status == 201


async def test_the_thousandth_status_is_the_last(github):
    """Then GitHub takes none of that context any more, and the message is a dead letter."""
    for number in range(1000):
        github.repo.reports.statuses.append({"sha": SHA, "context": "genesis-bridge/e2e", "state": str(number)})
    with pytest.raises(Permanent, match="HTTP 422"):
        await github.tell(github.status(), at(Status.COMPLETED))


async def test_a_status_may_be_set_twice(github):
    """An answer that was lost costs nothing: the next attempt sets the same."""
    github.api.answers.add(Answer(drop="close"), on="status", runs=True)
    with pytest.raises(Ambiguous):
        await github.tell(github.status(), at(Status.COMPLETED))
    await github.tell(github.status(), at(Status.COMPLETED))
    github.api.answers.add(Answer(status=502), on="status")
    with pytest.raises(Transient):
        await github.tell(github.status(), at(Status.COMPLETED))
    assert github.repo.reports.states(SHA) == {"genesis-bridge/e2e": "success"}


# --------------------------------------------------------------------------------------------------------- check runs


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.QUEUED, ("queued", None)),
        *[(one, ("in_progress", None)) for one in Status if not one.final and one is not Status.QUEUED],
        (Status.COMPLETED, ("completed", "success")),
        (Status.FAILED, ("completed", "failure")),
        (Status.REJECTED, ("completed", "failure")),
        (Status.CANCELLED, ("completed", "cancelled")),
        (Status.SKIPPED, ("completed", "skipped")),
        (Status.TIMED_OUT, ("completed", "timed_out")),
        (Status.UNKNOWN, ("completed", "action_required")),
        (Status.LOST, ("completed", "action_required")),
    ],
)
async def test_a_check_has_the_conclusion_of_its_execution(github, status, expected):
    """It is made once, and changed from then on."""
    await github.tell(github.check(), at(Status.QUEUED))
    await github.tell(github.check(), at(status, url="https://g.example.com/r"))
    [check] = github.checks
    assert (check["status"], check["conclusion"]) == expected
    assert (check["name"], check["external_id"], check["head_sha"]) == ("genesis-bridge/e2e", EXECUTION.id, SHA)
    assert check["details_url"] == "https://g.example.com/r"
    assert ("completed_at" in check) == status.final
    assert expected[1] is None or expected[1] in CONCLUSIONS
    assert github.requests("check") == ["POST 201", "PATCH 200"]


async def test_a_check_shows_progress_and_outputs(github):
    """The title says how it stands, the summary all there is, with links to files."""
    outputs = {
        "summary": "all good",
        "shot.png": Link(url="https://bridge.example.com/files/x/abc?a=1&copy;=2", type="image/png", size=123_456),
        "odd": Link(url="javascript:x"),
    }
    await github.tell(github.check(name="E2E"), at(Status.RUNNING, progress=Progress(2, 5)))
    assert github.checks[0]["output"]["title"] == "running, 2/5 steps"
    done = at(
        Status.COMPLETED, progress=Progress(5, 5), outputs=outputs, reason="as planned", url="https://g.example.com/1"
    )
    await github.tell(github.check(name="E2E"), done)
    [check] = github.checks
    assert check["output"]["title"] == "completed, 5/5 steps in 4 min 5 s"
    summary = check["output"]["summary"]
    for part in (
        "| template | `suite` on `genesis` |",
        "| steps | 5/5 |",
        "| took | 4 min 5 s |",
        "[Open](<https://g.example.com/1>)",
        "```text\nas planned\n```",
        "`summary`\n\n```text\nall good\n```",
        "`shot.png` [Open](<https://bridge.example.com/files/x/abc?a=1&amp;copy;=2>) `image/png` 123,456 bytes",
        "`odd` `javascript:x`",
    ):
        assert part in summary
    own = structs.replace(done, finished_at="2026-03-16T10:00:08.000Z")
    await github.tell(github.check(text=Text("Said ${{ outputs.summary }}")), own, made=False)
    assert "took | 7 s |" in github.checks[1]["output"]["summary"]
    assert github.checks[1]["output"]["summary"].endswith("```text\nSaid all good\n```")
    silent = comment(own, "", "")
    assert "all good" not in silent.text


def test_what_does_not_fit_is_counted():
    """A summary and a comment keep to what GitHub takes, and say how much is missing."""
    outputs = {f"output-{number}": "`" * 9_000 for number in range(50)}
    run = check_run(at(Status.COMPLETED, outputs=outputs), "", None)["output"]["summary"]
    assert len(run) <= 65_000
    assert re.search("and (4[0-9]) more outputs", run)
    assert len(comment(at(Status.COMPLETED, outputs=outputs), "", None).body) <= 65_536
    assert (
        "more outputs"
        not in check_run(at(Status.COMPLETED, outputs={"a": "b" * 20_000}), "", None)["output"]["summary"]
    )


async def test_an_ambiguous_create_is_no_second_check(github):
    """The next attempt finds the first one's by the execution's id, among those of others."""
    await github.tell(github.check(), structs.replace(EXECUTION, id="x_other"))
    github.api.answers.add(Answer(drop="close"), on="check", runs=True)
    with pytest.raises(Ambiguous):
        await github.tell(github.check(), at(Status.QUEUED))
    assert await github.tell(github.check(), at(Status.PENDING), attempt=2) == "2"
    assert await github.tell(github.check(), at(Status.COMPLETED)) == "2 completed"
    assert [(one["external_id"], one["status"]) for one in github.checks] == [
        ("x_other", "queued"),
        (EXECUTION.id, "completed"),
    ]


async def test_a_check_is_found_on_a_later_page(github):
    """A commit may have very many of one name; after a thousand nothing more is looked for."""
    await github.tell(github.check(), at(Status.QUEUED))
    for number in range(150):
        await github.tell(github.check(), structs.replace(EXECUTION, id=f"x_{number}"), made=False)
        github.now += 1
    await github.tell(github.check(), at(Status.RUNNING), made=False)
    assert len(github.checks) == 151
    assert github.checks[0]["status"] == "in_progress"
    many = {"total_count": 100, "check_runs": [{"id": 1, "external_id": None, "status": "queued"}] * 100}
    github.api.answers.add(Answer(body=json.dumps(many)), on="repository", times=10)
    assert await github.tell(github.check(), at(Status.RUNNING), made=False) == "152"


async def test_an_execution_that_goes_on_after_all_gets_another_check(github):
    """GitHub takes no completion back: what was unknown and is run again is a new check, and ends as its own."""
    await github.tell(github.check(), at(Status.UNKNOWN))
    assert await github.tell(github.check(), at(Status.PENDING)) == "2"
    assert await github.tell(github.check(), at(Status.COMPLETED)) == "2 completed"
    assert await github.tell(github.check(), at(Status.FAILED)) == "2 completed"
    assert [one["conclusion"] for one in github.checks] == ["action_required", "failure"]
    await github.tell(github.check(), at(Status.RUNNING), made=False)
    assert len(github.checks) == 3


async def test_an_installations_token_is_kept_and_made_anew(github):
    """One for an hour, less five minutes; once more where it is refused, and for the installation of the event."""
    notifier = github.check()
    await github.tell(notifier, at(Status.QUEUED))
    await github.tell(notifier, at(Status.PENDING))
    assert github.requests("app") == ["POST 201"]
    github.now += 54 * 60
    await github.tell(notifier, at(Status.RUNNING))
    assert github.requests("app") == ["POST 201"]
    github.now += 2 * 60
    await github.tell(notifier, at(Status.RUNNING))
    assert github.requests("app") == ["POST 201"] * 2
    github.app.tokens = {}
    await github.tell(notifier, at(Status.COMPLETED))
    assert github.requests("app") == ["POST 201"] * 3
    assert github.checks[0]["status"] == "completed"
    github.api.answers.add(Answer(status=401, body='{"message": "Bad credentials"}'), on="check", times=0)
    with pytest.raises(Refused, match="HTTP 401"):
        await github.tell(notifier, at(Status.FAILED))
    assert github.requests("app") == ["POST 201"] * 4


async def test_an_installation_can_be_asked_for(github):
    """Where the event does not say which it is; elsewhere than installed, it is refused."""
    names = NAMES | {"body": {}}
    await github.tell(github.check(), at(Status.QUEUED), names)
    await github.tell(github.check(), at(Status.COMPLETED), names)
    [check] = github.checks
    assert check["status"] == "completed"
    assert "completed_at" not in check_run(at(Status.UNKNOWN, finished_at=None), "", None)
    with pytest.raises(Permanent, match="HTTP 404"):
        await github.tell(github.check(), structs.replace(EXECUTION, id="x"), names | {"repo": "o/elsewhere"})
    github.app.permissions = {}
    with pytest.raises(Permanent, match="HTTP 422"):
        await github.tell(github.check(), structs.replace(EXECUTION, id="y"))


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"token": 1, "expires_at": "2030-01-01T00:00:00Z"}',
        '{"token": "a", "expires_at": "soon"}',
        '{"token": ""}',
    ],
)
async def test_what_is_no_token_is_none(github, body):
    """GitHub is asked again later."""
    github.api.answers.add(Answer(status=201, body=body), on="app")
    with pytest.raises(Ambiguous, match="no token"):
        await github.tell(github.check(), at(Status.QUEUED))


async def test_what_the_installation_may_not_do_is_final(github):
    """No other token would change that."""
    await github.tell(github.check(), at(Status.QUEUED))
    github.api.answers.add(Answer(status=403, body='{"message": "Resource not accessible"}'), on="check")
    with pytest.raises(Refused, match="HTTP 403"):
        await github.tell(github.check(), at(Status.PENDING))
    assert github.requests("app") == ["POST 201"]


async def test_a_check_without_an_id_is_no_check(github):
    """What GitHub answered is no check run then."""
    github.api.answers.add(Answer(status=201, body="{}"), on="check")
    with pytest.raises(Permanent, match="no id"):
        await github.tell(github.check(), at(Status.QUEUED))


@pytest.mark.parametrize("body", ["{", "[]", '{"check_runs": 1}', "[" * 100_000])
async def test_a_list_that_cannot_be_read_is_ambiguous(github, body):
    """No check is made on such an answer, for there may be one."""
    github.api.answers.add(Answer(body=body), on="repository")
    with pytest.raises(Ambiguous, match="cannot be read"):
        await github.tell(github.check(), at(Status.QUEUED))
    assert github.checks == []


async def test_no_key_or_token_is_in_any_message(github):
    """However GitHub fails, and whatever of the request it repeats."""
    await github.tell(github.check(), at(Status.QUEUED))
    [token] = github.app.tokens
    for on in ("check", "app"):
        github.app.tokens = {}
        said = json.dumps({"message": f"{token} and the rest"})
        github.api.answers.add(Answer(status=422, body=said), on=on)
        with pytest.raises(Permanent) as failed:
            await github.tell(github.check(), at(Status.PENDING))
        assert "PRIVATE KEY" not in str(failed.value)
    github.app.tokens = {token: (55, github.now + 3600)}
    github.api.answers.add(Answer(status=422, body=said), on="check")
    async with Outbound() as github.outbound:
        github.api.answers.add(
            Answer(status=201, body=json.dumps({"token": token, "expires_at": "2030-01-01T00:00:00Z"})), on="app"
        )
        with pytest.raises(Permanent, match=r"\*\*\* and the rest"):
            await github.tell(github.check(), at(Status.PENDING))
    assert PRIVATE_KEY not in repr(github.check())


@pytest.mark.parametrize("key", ["no key", PRIVATE_KEY[:-200], "-----BEGIN PUBLIC KEY-----"])
def test_a_key_that_is_none_is_found_at_load(key):
    """By the name of its secret, and not shown; one that was not read is not looked at."""
    with pytest.raises(ValueError, match=r"the private key \(env: K\) cannot be used: it is no private key") as failed:
        GitHubCheck(app_id=9, private_key=Secret("env: K", key.encode()))
    assert key not in str(failed.value)
    assert GitHubCheck(app_id=9, private_key=Secret("env: K", None)).app_id == 9


# ----------------------------------------------------------------------------------------------------------- comments


async def test_there_is_one_comment_and_it_is_edited(github):
    """Over all messages of an execution, and over those of the next one."""
    first = await github.tell(github.comment(), at(Status.QUEUED))
    assert await github.tell(github.comment(), at(Status.RUNNING, progress=Progress(2, 5))) == first
    assert "### `e2e`: running, 2/5 steps" in github.comments[0].body
    again = at(Status.COMPLETED, id="x_next", created_at="2026-03-16T11:00:00.000Z")
    assert await github.tell(github.comment(), again) == first
    assert await github.tell(github.comment(key="other"), again, made=False) != first
    assert await github.tell(github.comment(), at(Status.QUEUED, rule="unit"), made=False) != first
    assert [one.body.partition(" |")[0] for one in github.comments] == [
        "<!-- genesis-bridge: e2e",
        "<!-- genesis-bridge: other",
        "<!-- genesis-bridge: unit",
    ]
    assert [record.kind for record in github.api.journal].count("user") == 1


async def test_a_late_word_on_an_older_run_does_not_overwrite_the_newer(github):
    """The comment is left as it is, and is the older one's all the same."""
    newer = at(Status.PENDING, id="x_newer", created_at="2026-03-16T11:00:00.000Z")
    await github.tell(github.comment(), newer)
    body = github.comments[0].body
    assert await github.tell(github.comment(), at(Status.COMPLETED)) == "1"
    assert github.comments[0].body == body
    github.comments[0].body = "<!-- genesis-bridge: e2e | nonsense -->"
    await github.tell(github.comment(), at(Status.COMPLETED))
    assert "completed" in github.comments[0].body


async def test_an_ambiguous_comment_is_no_second_one(github):
    """The next attempt finds what the first one wrote."""
    github.api.answers.add(Answer(drop="close"), on="comment", runs=True)
    with pytest.raises(Ambiguous):
        await github.tell(github.comment(), at(Status.QUEUED))
    await github.tell(github.comment(), at(Status.COMPLETED), attempt=2)
    [there] = github.comments
    assert "completed" in there.body


async def test_nobody_elses_comment_is_ever_edited(github):
    """A mark that somebody copied is not enough, and neither is an id of ours under which other words stand."""
    ours = comment(at(Status.QUEUED), "", None).body
    stranger = Comment(id=1, number=7, body=ours, user=666)
    ghost = Comment(id=2, number=7, body=ours)
    quoted = Comment(id=3, number=7, body=f"> {ours}", user=1)
    github.repo.comments = {one.id: one for one in (stranger, ghost, quoted)}
    assert await github.tell(github.comment(), at(Status.QUEUED)) == "4"
    for made in ("1", "2", "3", "99"):
        github.made[(GitHubComment, EXECUTION.id)] = made
        assert await github.tell(github.comment(), at(Status.COMPLETED)) == "4"
    assert [one.body for one in (stranger, ghost)] == [ours, ours]
    assert "PATCH 403" not in github.requests("comment")


async def test_our_comment_is_found_on_a_later_page(github):
    """Behind hundreds of others; of 2,500 the last are the last that are looked at."""
    others = [Comment(id=number, number=7, body="hm", user=2) for number in range(1, 251)]
    github.repo.comments = {one.id: one for one in others}
    assert await github.tell(github.comment(), at(Status.QUEUED)) == "251"
    assert await github.tell(github.comment(), at(Status.RUNNING), made=False) == "251"
    page = json.dumps([{"id": 1, "body": None, "user": None}] * 100)
    github.api.answers.add(Answer(body=page), on="repository", times=25)
    assert await github.tell(github.comment(), at(Status.RUNNING), made=False) == "252"


async def test_a_comment_that_was_deleted_is_written_again(github):
    """Also where that happens between the look and the edit."""
    await github.tell(github.comment(), at(Status.QUEUED))
    github.repo.comments = {}
    assert await github.tell(github.comment(), at(Status.RUNNING)) == "1"
    github.api.answers.add(Answer(status=404), on="comment")
    with pytest.raises(Transient, match="deleted at this moment"):
        await github.tell(github.comment(), at(Status.COMPLETED))
    github.api.answers.add(Answer(status=403), on="comment")
    with pytest.raises(Permanent, match="HTTP 403"):
        await github.tell(github.comment(), at(Status.COMPLETED))
    github.api.answers.add(Answer(body='{"id": "1"}'), on="repository")
    assert await github.tell(github.comment(), at(Status.COMPLETED)) == "1"


HOSTILE = [
    "@everyone #1 https://evil.example.net <img src=x onerror=alert(1)>",
    "```\n@everyone\n```\n# heading",
    "-->\n@everyone",
    "<!-- genesis-bridge: e2e | 2030 x -->",
    "a | b |\n|---|---|\n| [x](https://evil.example.net) |",
    "`` ` ```` ~~~",
    "\u202e\x00\r@everyone",
]


@given(st.sampled_from(HOSTILE) | st.text(st.sampled_from("`~|\\ \n@#<>!-*_[]()&;a"), max_size=40))
def test_nothing_an_engine_says_is_markup(said):
    """No mention, link, heading or HTML comes out of names, reasons, outputs and addresses."""
    outputs = {said: said, "file": Link(url=f"https://x.example.com/{said}", type=said, size=1), "f": Link(url=said)}
    execution = at(Status.FAILED, template=said, engine=said, reason=said, outputs=outputs, url=f"https://x/{said}")
    text = comment(execution, "", None).text
    for token in RENDER.parse(text):
        assert token.type not in ("html_block", "code_block", "blockquote_open", "list_item_open")
        assert token.type != "heading_open" or token.tag == "h3"
        for part in token.children or []:
            assert part.type in ("text", "code_inline", "link_open", "link_close", "softbreak")
            if part.type == "text":
                assert not set(part.content) & set("@#<`[*")
            if part.type == "link_open":
                assert part.attrs["href"].startswith(("https://x/", "https://x.example.com/"))
    own = RENDER.parse(comment(execution, "", said).text)
    assert own[-1].type == ("fence" if said else "table_close")
    title = check_run(execution, "", said)["output"]["title"]
    assert title == "failed"
