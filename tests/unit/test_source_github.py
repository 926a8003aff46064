import json
from urllib.parse import urlencode

import pytest

from bridge.contracts import Request
from bridge.decision import derived_id
from bridge.emulators import github as sender
from bridge.errors import BadSignature, Malformed, UnsupportedMedia
from bridge.github_facts import EVENTS, FACTS
from bridge.model import Press
from bridge.secret import Secret
from bridge.sources.github import GitHub

SECRET = "It's a Secret to Everybody"
SOURCE = GitHub(secrets=[Secret("env: NEW", b"new-0123456789abcdef"), Secret("env: OLD", SECRET.encode())])
SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
ZEROS = "0" * 40


def read(event, body, *, form=False, query=None, **headers):
    """Read a delivery that GitHub signed, with some headers replaced, or left out where None."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent, data = sender.deliver(event, raw, secret=SECRET, guid="72d3162e-cc78-11e3-81ab-4c9367dc0958", form=form)
    replaced = {name.lower(): value for name, value in sent.items()}
    replaced |= {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: value for name, value in replaced.items() if value is not None}
    return SOURCE.read(Request(headers=kept, query=query or {}, body=data, now=0))


def facts(event, body):
    """Return the facts of a delivery, those of every event aside."""
    return read(event, body).facts


@pytest.mark.parametrize("form", [False, True])
def test_a_delivery_becomes_an_event(form):
    """JSON and form deliveries are read alike, signed by any of the secrets, and keep no signature."""
    event = read("issues", {"action": "opened", "issue": {"number": 7}}, form=form, query={"a": "b"})
    assert (event.name, event.action, event.key) == ("issues", "opened", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
    assert event.body == {"action": "opened", "issue": {"number": 7}}
    assert event.facts == {"number": 7}
    assert event.query == {"a": "b"}
    assert event.headers["x-github-event"] == "issues"
    assert not [name for name in event.headers if "signature" in name]
    assert (event.keep, event.ignored) == (None, None)


def test_a_ping_is_ignored():
    """GitHub's ping is an event that says why it starts nothing."""
    event = read("ping", {"zen": "Design for failure.", "hook_id": 1})
    assert event.name == "ping"
    assert "starts nothing" in event.ignored


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"x_hub_signature_256": None}, BadSignature),
        ({"x_hub_signature_256": "sha256=00"}, BadSignature),
        ({"x_github_event": None}, Malformed),
        ({"x_github_event": "Not An Event"}, Malformed),
        ({"x_github_delivery": "a b"}, Malformed),
        ({"x_github_delivery": "a" * 129}, Malformed),
        ({"content_type": "text/plain"}, UnsupportedMedia),
        ({"content_type": None}, UnsupportedMedia),
    ],
)
def test_headers_that_do_not_fit_are_refused(headers, error):
    """A missing or wrong header ends in the refusal that names it."""
    with pytest.raises(error):
        read("push", {}, **headers)


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"{", "not JSON"), (b"[]", "not an object"), (b"1", "not an object"), (b"\xff", "not JSON")],
)
@pytest.mark.parametrize("form", [False, True])
def test_a_signed_body_that_is_no_object_is_malformed(body, reason, form):
    """A rightly signed body that is not GitHub's is refused in words."""
    if form and body == b"\xff":
        reason = "not UTF-8"
    with pytest.raises(Malformed, match=reason):
        read("push", body, form=form)


def test_a_form_without_payload_is_malformed():
    """A signed form that lacks GitHub's field says which."""
    with pytest.raises(Malformed, match="no field 'payload'"):
        read("push", urlencode({"a": "b"}).encode(), content_type="application/x-www-form-urlencoded")


@pytest.mark.parametrize("form", [False, True])
def test_a_repeat_can_be_known_by_what_is_signed(form):
    """With `dedupe: body` a captured delivery has the same key under another GUID and event; another body has not."""
    source, keys = GitHub(secrets=SOURCE.secrets, dedupe="body"), []
    for event, guid, body in (("push", "g-1", b"{}"), ("issues", "g-2", b"{}"), ("push", "g-1", b"{ }")):
        sent, data = sender.deliver(event, body, secret=SECRET, guid=guid, form=form)
        headers = {name.lower(): value for name, value in sent.items()}
        keys.append(source.read(Request(headers=headers, query={}, body=data, now=0)).key)
    assert keys[0] == keys[1] != keys[2]
    assert keys[0].startswith("sha256:")


def test_a_delivery_without_guid_has_no_key():
    """Without a GUID nothing tells a repeat from a new event."""
    assert read("push", {}, x_github_delivery=None).key is None


def test_facts_of_every_event():
    """Repository, owner and sender are told the same way everywhere; an organization's events have its name."""
    body = {"repository": {"full_name": "o/r", "owner": {"login": "o"}}, "sender": {"login": "s"}}
    assert facts("watch", body) == {"repo": "o/r", "owner": "o", "sender": "s"}
    assert facts("push", {"repository": {"owner": {"name": "n"}}})["owner"] == "n"
    assert facts("team", {"organization": {"login": "org"}}) == {"owner": "org"}


def test_facts_of_a_push():
    """A push to a branch has its head commit and each changed path once, in order."""
    body = {
        "ref": "refs/heads/feature/login",
        "after": SHA,
        "compare": "https://github.example/compare",
        "head_commit": {"id": SHA, "author": {"username": "ann"}},
        "commits": [
            {"added": ["a", "b"], "modified": ["m"], "removed": []},
            {"added": ["b", 7], "modified": None, "removed": ["a"]},
            None,
        ],
    }
    assert facts("push", body) == {
        "branch": "feature/login",
        "sha": SHA,
        "short_sha": "6113728",
        "author": "ann",
        "url": "https://github.example/compare",
        "files": {"added": ["a", "b"], "modified": ["m"], "removed": ["a"], "complete": True},
    }


def test_facts_of_a_deleted_branch():
    """Where a branch is gone there is a branch, and no commit."""
    body = {"ref": "refs/heads/old", "after": ZEROS, "deleted": True, "head_commit": None, "commits": []}
    files = {"added": [], "modified": [], "removed": [], "complete": True}
    assert facts("push", body) == {"branch": "old", "files": files}


def test_facts_of_an_annotated_tag():
    """Of a pushed tag the commit is told, not the tag object, and no branch."""
    body = {"ref": "refs/tags/v1", "after": "a" * 40, "head_commit": {"id": SHA}, "base_ref": "refs/heads/main"}
    assert facts("push", body) == {"tag": "v1", "sha": SHA, "short_sha": SHA[:7]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"ref": "x", "ref_type": "branch"}, {"branch": "x"}),
        ({"ref": "v1", "ref_type": "tag"}, {"tag": "v1"}),
        ({"ref": "x", "ref_type": None}, {}),
        ({"ref": None, "ref_type": "repository"}, {}),
        ({"ref": "refs/pull/1/merge"}, {}),
        ({"ref": "refs/heads/main"}, {"branch": "main"}),
        ({"branch": "main"}, {"branch": "main"}),
    ],
)
def test_refs_are_branches_or_tags(body, expected):
    """Full refs say what they are, short ones have their type beside them, others are neither."""
    assert facts("create", body) == expected


def pull_request(**more):
    """Return a pull request of a branch in the same repository."""
    return {
        "number": 2,
        "title": "Update",
        "state": "open",
        "draft": False,
        "html_url": "https://github.example/pull/2",
        "user": {"login": "ann"},
        "labels": [{"name": "bug"}, {"name": None}, "x", {"name": "e2e"}],
        "head": {"ref": "changes", "sha": SHA, "repo": {"full_name": "o/r"}},
        "base": {"ref": "main", "repo": {"full_name": "o/r"}},
    } | more


OF_PULL_REQUEST = {
    "branch": "changes",
    "head": "changes",
    "base": "main",
    "sha": SHA,
    "short_sha": SHA[:7],
    "number": 2,
    "title": "Update",
    "author": "ann",
    "labels": ["bug", "e2e"],
    "draft": False,
    "fork": False,
    "state": "open",
    "url": "https://github.example/pull/2",
}


def test_facts_of_a_pull_request():
    """A pull request's facts are its own; a synchronize's `after` changes none."""
    body = {"number": 2, "after": "b" * 40, "pull_request": pull_request()}
    assert facts("pull_request", body) == OF_PULL_REQUEST


def test_facts_of_what_is_said_to_a_pull_request():
    """Reviews and comments have the pull request's facts; a review has its own state."""
    said = {"user": {"login": "bob"}, "html_url": "https://github.example/said", "commit_id": "c" * 40}
    comment = {"comment": said, "pull_request": pull_request()}
    assert facts("pull_request_review_comment", comment) == OF_PULL_REQUEST | {"commenter": "bob"}
    review = {"review": said | {"state": "approved"}, "pull_request": pull_request()}
    expected = OF_PULL_REQUEST | {"state": "approved", "commenter": "bob"}
    assert facts("pull_request_review", review) == expected


@pytest.mark.parametrize(
    ("head", "fork"),
    [
        ({"repo": {"full_name": "stranger/r"}}, True),
        ({"repo": {"full_name": "o/r"}}, False),
        ({"repo": None}, True),
        ({"repo": {}}, None),
        ({}, None),
    ],
)
def test_a_fork_is_another_repository_or_a_deleted_one(head, fork):
    """A pull request is from a fork unless its two repositories are the same; unknown ones say nothing."""
    body = {"pull_request": pull_request(head=head)}
    assert facts("pull_request", body).get("fork") is fork


def test_a_fork_needs_a_home_to_differ_from():
    """Without the repository's own name nothing is said of forks; `repository` is as good as the base."""
    head = {"repo": {"full_name": "stranger/r"}}
    assert "fork" not in facts("pull_request", {"pull_request": {"head": head}})
    body = {"pull_request": {"head": head}, "repository": {"full_name": "o/r"}}
    assert facts("pull_request", body)["fork"] is True


@pytest.mark.parametrize("event", ["issues", "issue_comment"])
def test_facts_of_an_issue(event):
    """An issue and what is said to it have the issue's facts, and neither branch nor commit."""
    issue = {"number": 1, "title": "Typo", "state": "open", "labels": [], "user": {"login": "ann"}, "html_url": "u"}
    body = {"issue": issue | {"author_association": "NONE"}}
    expected = {"number": 1, "title": "Typo", "state": "open", "labels": [], "author": "ann", "url": "u"}
    assert facts(event, body) == expected | {"author_association": "NONE"}
    body["comment"] = {"user": {"login": "bob"}, "html_url": "c", "author_association": "MEMBER"}
    assert facts(event, body) == expected | {"commenter": "bob", "author_association": "MEMBER"}


def test_facts_of_a_release():
    """A release has its tag; the branch GitHub was to make the tag from says nothing about it."""
    release = {"tag_name": "v1", "target_commitish": "main", "name": None, "draft": True, "html_url": "u"}
    assert facts("release", {"release": release}) == {"tag": "v1", "draft": True, "url": "u"}


def deployment(**more):
    """Return a deployment of a branch to a preview environment."""
    return {"ref": "changes", "sha": SHA, "environment": "Preview"} | more


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("changes", {"branch": "changes"}),
        ("refs/heads/changes", {"branch": "changes"}),
        ("refs/tags/v1", {"tag": "v1"}),
        (SHA, {}),
        ("", {}),
    ],
)
def test_facts_of_a_deployment(ref, expected):
    """What was deployed is a branch unless it is plainly a tag or a commit; a deployment itself has no state."""
    body = {"deployment": deployment(ref=ref), "workflow_run": {"status": "in_progress"}}
    common = {"sha": SHA, "short_sha": SHA[:7], "environment": "Preview"}
    assert facts("deployment", body) == common | expected


def test_a_deployed_commit_has_the_branch_of_its_run():
    """Where a commit was deployed by a workflow run, the run knows the branch."""
    body = {"deployment": deployment(ref=SHA), "workflow_run": {"head_branch": "main"}}
    assert facts("deployment", body)["branch"] == "main"


@pytest.mark.parametrize(
    ("urls", "url"),
    [
        (
            {"environment_url": "https://preview.example", "target_url": "https://log.example"},
            "https://preview.example",
        ),
        ({"environment_url": "", "target_url": "https://log.example"}, "https://log.example"),
        ({"target_url": ""}, None),
    ],
)
def test_facts_of_a_deployment_status(urls, url):
    """A deployment's url is where it can be visited; an empty one is none."""
    status = {"state": "success", "environment": "Preview"} | urls
    body = {
        "deployment_status": status,
        "deployment": deployment(),
        "check_run": {"status": "queued", "html_url": "https://run.example"},
    }
    found = facts("deployment_status", body)
    assert (found["state"], found["environment"], found["branch"], found["sha"]) == (
        "success",
        "Preview",
        "changes",
        SHA,
    )
    assert found.get("url") == url


@pytest.mark.parametrize("event", ["check_suite", "workflow_run", "workflow_job"])
def test_facts_of_runs(event):
    """The state of a run is its conclusion once it has one, else its status."""
    run = {"head_branch": "main", "head_sha": SHA, "status": "completed", "conclusion": "success", "html_url": "u"}
    expected = {"branch": "main", "sha": SHA, "short_sha": SHA[:7], "state": "success", "url": "u"}
    assert facts(event, {event: run}) == expected
    assert facts(event, {event: run | {"conclusion": None}})["state"] == "completed"


def test_facts_of_a_check_run():
    """A check run's branch is its suite's."""
    run = {"head_sha": SHA, "status": "queued", "check_suite": {"head_branch": "main"}}
    expected = {"branch": "main", "sha": SHA, "short_sha": SHA[:7], "state": "queued"}
    assert facts("check_run", {"check_run": run}) == expected


def test_a_run_from_another_repository_is_a_forks():
    """A workflow run of a fork's branch is told from one of our own."""
    body = {"workflow_run": {"head_repository": {"full_name": "stranger/r"}}, "repository": {"full_name": "o/r"}}
    assert facts("workflow_run", body)["fork"] is True


@pytest.mark.parametrize(
    ("branches", "branch"),
    [([{"name": "main"}], "main"), ([{"name": "main"}, {"name": "x"}], None), ([{}], None), ([], None), (None, None)],
)
def test_facts_of_a_commit_status(branches, branch):
    """A commit status has a branch where its commit is the head of exactly one."""
    body = {"sha": SHA, "state": "success", "target_url": "u", "branches": branches}
    found = facts("status", body)
    assert (found["sha"], found["state"], found["url"], found.get("branch")) == (SHA, "success", "u", branch)


def test_facts_of_a_merge_group():
    """A merge group goes from its queue's branch into the base."""
    group = {"head_ref": "refs/heads/gh-readonly-queue/main/pr-1", "head_sha": SHA, "base_ref": "refs/heads/main"}
    found = facts("merge_group", {"merge_group": group})
    assert (found["head"], found["branch"]) == ("gh-readonly-queue/main/pr-1",) * 2
    assert (found["base"], found["sha"]) == ("main", SHA)


@pytest.mark.parametrize("wrong", [None, 7, "", [], {}, [1], {"a": None}, True])
def test_a_payload_of_another_shape_has_no_facts(wrong):
    """Whatever stands where a fact is looked for: of the wrong type it is missing, never an error."""
    tops = "repository organization sender pull_request issue release deployment deployment_status workflow_run "
    tops += "check_run merge_group ref after head_commit commit comment review discussion number environment branch"
    body = dict.fromkeys(tops.split(), wrong) | {"commits": wrong if wrong != [] else None, "branches": wrong}
    for key in ("pull_request", "issue", "repository", "deployment"):
        nested = dict.fromkeys(["head", "base", "labels", "owner", "user", "ref", "sha", "full_name", "draft"], wrong)
        found = facts("deployment_status", body | {key: nested})
        expected = {"labels"} if isinstance(wrong, list) else {"draft", "fork"} if wrong is True else set()
        assert found.keys() <= expected | {"number", "files"}


@pytest.mark.parametrize(
    ("commits", "complete"),
    [([], True), ([{}] * 19, True), ([{}] * 20, False), ([{}] * 2047, True), ([{}] * 2048, False), (None, None)],
)
def test_a_push_that_meets_githubs_limits_may_have_changed_more(commits, complete):
    """Files are those of the commits in the payload; at 2048 of them, and 20 of old servers, there may be more."""
    assert facts("push", {"commits": commits}).get("files", {}).get("complete") is complete


def test_facts_of_old_payloads():
    """Without full_name, login and sender, as early servers sent them, a push has the same facts."""
    body = {"repository": {"name": "r", "owner": {"name": "o"}}, "pusher": {"name": "ann"}, "sender": None}
    assert facts("push", body) == {"repo": "o/r", "owner": "o", "sender": "ann"}
    assert "repo" not in facts("push", {"repository": {"name": "r", "owner": {"login": ""}}})


def test_people_who_are_gone_are_missing():
    """GitHub has null for a deleted account: there is no author then, and nobody of an empty name."""
    issue = {"number": 1, "user": None}
    assert facts("issue_comment", {"issue": issue, "comment": {"user": None}, "sender": None}) == {"number": 1}


def test_facts_of_a_merge_and_of_a_label():
    """A closed pull request says whether it was merged, a labeled one which label that was."""
    body = {"pull_request": pull_request(merged=True), "label": {"name": "e2e"}}
    assert facts("pull_request", body) == OF_PULL_REQUEST | {"merged": True, "label": "e2e"}


@pytest.mark.parametrize(
    ("event", "body", "name"),
    [
        ("workflow_run", {"workflow_run": {"name": "CI"}}, "CI"),
        ("workflow_job", {"workflow_job": {"name": "build"}}, "build"),
        ("check_run", {"check_run": {"name": "lint"}}, "lint"),
        ("check_suite", {"check_suite": {"app": {"name": "Checker"}}}, "Checker"),
        ("status", {"context": "ci/x"}, "ci/x"),
    ],
)
def test_runs_have_a_name(event, body, name):
    """The workflow, job, check or status it is about."""
    assert facts(event, body)["name"] == name


@pytest.mark.parametrize("event", ["workflow_run", "check_run", "check_suite"])
def test_runs_have_the_facts_of_their_one_pull_request(event):
    """A run that belongs to one pull request has its number and branches; with two it is about none."""
    one = {"number": 7, "base": {"ref": "main"}, "head": {"ref": "changes"}}
    assert facts(event, {event: {"pull_requests": [one]}}) == {"number": 7, "base": "main", "head": "changes"}
    assert facts(event, {event: {"pull_requests": [one, one]}}) == {}


def test_every_fact_is_documented():
    """Each fact has a line that says what it is, and its places; those of the specification are there."""
    names = (
        "repo owner sender branch tag base head sha short_sha number title author labels draft fork state environment "
        "url files.added files.modified files.removed"
    )
    assert set(names.split()) <= set(GitHub.facts)
    assert all(GitHub.facts.values())
    for fact, row in FACTS.items():
        assert row.ways, fact
        for way in row.ways:
            assert set(way.events.split()) <= set(EVENTS), fact


EXECUTION = derived_id("x", "d_1", "rule")


@pytest.mark.parametrize(
    ("event", "more", "pressed"),
    [
        ("check_run", {}, True),
        ("check_run", {"action": "completed"}, False),
        ("check_run", {"action": "requested_action"}, False),
        ("check_suite", {}, False),
        ("check_run", {"check_run": {"external_id": "x_1"}}, False),
        ("check_run", {"check_run": {"external_id": f"{EXECUTION}\n"}}, False),
        ("check_run", {"check_run": {"external_id": None}}, False),
        ("check_run", {"check_run": 7}, False),
        ("check_run", {"sender": {"login": 7}}, False),
        ("check_run", {"sender": None}, False),
    ],
)
def test_re_run_asks_for_the_execution_again(event, more, pressed):
    """Under a check of ours, which is known by its execution's id; the event stays what it is for rules."""
    body = {
        "action": "rerequested",
        "check_run": {"external_id": EXECUTION, "id": 4, "app": {"id": 9}},
        "sender": {"login": "ann"},
    }
    read_event = read(event, body | more)
    assert read_event.press == (
        Press(action="again", execution_id=EXECUTION, by="ann", value="app 9") if pressed else None
    )
    assert (read_event.name, read_event.ignored) == (event, None)
