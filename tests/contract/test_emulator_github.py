"""The emulator of GitHub's statuses, checks, comments and Apps refuses what GitHub refuses."""

import json
import time
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bridge.emulators.github_api import GitHubApi
from bridge.emulators.github_apps import App, app_of
from bridge.emulators.github_reports import Reports
from bridge.emulators.github_repository import Comment, Repository
from bridge.emulators.serving import Server
from bridge.github_api import Refused, ask
from bridge.github_app import jwt
from bridge.outbound import Outbound
from tests.github_keys import PRIVATE_KEY, PUBLIC_KEY

TOKEN = "t0ken-of-github"
SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
BASE = "repos/o/r"
RUN = {"name": "ci", "head_sha": SHA}
NOW = 1_800_000_000


def api():
    """Return GitHub with one repository, two Apps and a comment of somebody else's."""
    built = GitHubApi(token=TOKEN)
    comments = {1: Comment(id=1, number=7, body="hm", user=2), 2: Comment(id=2, kind="pulls", number=7, body="hm")}
    reports = Reports(commits=[SHA])
    built.repositories = [Repository(name="o/r", pulls={7: {}}, comments=comments, reports=reports)]
    built.apps = [
        App(id=9, public_key=PUBLIC_KEY, installations={55: ["o/r"], 56: ["o/other"]}),
        App(id=10, public_key=PUBLIC_KEY, installations={57: ["o/r"]}),
    ]
    return built


def own_token(app_id=9):
    return jwt(app_id, PRIVATE_KEY.encode(), time.time())


async def installed(outbound, emulator, number=55, app_id=9):
    """Return a token of an installation."""
    url = f"{emulator.url}/app/installations/{number}/access_tokens"
    return (await ask(outbound, own_token(app_id), "POST", url, now=0))["token"]


async def refused(outbound, emulator, token, method, path, content=None):
    """Return how a request is refused."""
    with pytest.raises(Refused) as failed:
        await ask(outbound, token, method, f"{emulator.url}/{path}", content, now=0)
    return str(failed.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"state": "pending", "description": "x" * 141}, "HTTP 422"),
        ({"state": "pending", "description": "\U0001f41b"}, "HTTP 422"),
        ({"state": "pending", "target_url": "javascript:x"}, "HTTP 422"),
        ({"state": "running"}, "HTTP 422"),
        ([], "HTTP 422"),
    ],
)
async def test_a_status_that_github_refuses(content, words):
    """Too long, with four-byte characters, with another scheme, of another state."""
    emulator = api()
    async with Server(emulator), Outbound() as outbound:
        assert words in await refused(outbound, emulator, TOKEN, "POST", f"{BASE}/statuses/{SHA}", content)
        missing = await refused(outbound, emulator, TOKEN, "POST", f"{BASE}/statuses/{'0' * 40}", {"state": "error"})
        assert "No commit found" in missing
        made = await ask(outbound, TOKEN, "POST", f"{emulator.url}/{BASE}/statuses/{SHA}", {"state": "error"}, now=0)
        assert made["context"] == "default"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"head_sha": SHA}, "name is missing"),
        (RUN | {"head_sha": "0" * 40}, "No commit found"),
        (RUN | {"nonsense": 1}, "nonsense is not a permitted key"),
        (RUN | {"output": {"title": "t"}}, "output needs"),
        (RUN | {"output": {"title": "t", "summary": "x" * 65_536}}, "Only 65535 characters"),
        (RUN | {"status": "completed"}, "None is not a member"),
        (RUN | {"status": "done"}, "done is not a member"),
        (RUN | {"details_url": "ftp://x"}, "http(s)"),
    ],
)
async def test_a_check_that_github_refuses(content, words):
    """Made or changed, with what is wrong in words."""
    emulator = api()
    async with Server(emulator), Outbound() as outbound:
        token = await installed(outbound, emulator)
        said = await refused(outbound, emulator, token, "POST", f"{BASE}/check-runs", content)
        assert words in said or "Invalid request" in said
        await ask(outbound, token, "POST", f"{emulator.url}/{BASE}/check-runs", RUN, now=0)
        if "name" in content and content["head_sha"] == SHA:
            changed = await refused(outbound, emulator, token, "PATCH", f"{BASE}/check-runs/1", content)
            assert "Invalid request" in changed


async def test_checks_are_an_apps_own():
    """A person's token makes none, another App changes none, and what is completed stays so."""
    emulator = api()
    async with Server(emulator), Outbound() as outbound:
        token, other = await installed(outbound, emulator), await installed(outbound, emulator, 57, 10)
        url = f"{emulator.url}/{BASE}/check-runs"
        for method, path in (("POST", "check-runs"), ("PATCH", "check-runs/1")):
            said = await refused(outbound, emulator, TOKEN, method, f"{BASE}/{path}", RUN)
            assert "HTTP 403: You must authenticate via a GitHub App" in said
        done = RUN | {"conclusion": "success", "external_id": "x"}
        assert (await ask(outbound, token, "POST", url, done, now=0))["status"] == "completed"
        assert "HTTP 403" in await refused(outbound, emulator, other, "PATCH", f"{BASE}/check-runs/1", {})
        assert "HTTP 404" in await refused(outbound, emulator, token, "PATCH", f"{BASE}/check-runs/2", {})
        after = await ask(outbound, token, "PATCH", f"{url}/1", {"status": "in_progress"}, now=0)
        assert (after["status"], after["conclusion"]) == ("completed", "success")
        again = await ask(outbound, token, "PATCH", f"{url}/1", {"conclusion": "failure"}, now=0)
        assert again["conclusion"] == "failure"
        await ask(outbound, other, "POST", url, RUN | {"name": "other"}, now=0)
        lists = f"{emulator.url}/{BASE}/commits/{SHA}/check-runs"
        whole = await ask(outbound, TOKEN, "GET", f"{lists}?filter=all", now=0)
        assert [run["name"] for run in whole["check_runs"]] == ["other", "ci"]
        assert (await ask(outbound, TOKEN, "GET", lists, now=0))["total_count"] == 1
        mine = await ask(outbound, TOKEN, "GET", f"{lists}?app_id=9&check_name=ci", now=0)
        assert [run["external_id"] for run in mine["check_runs"]] == ["x"]


async def test_installations_and_their_tokens():
    """They see their own repositories only, for an hour, and are asked for with the App's own token."""
    emulator = api()
    async with Server(emulator), Outbound() as outbound:
        token, elsewhere = await installed(outbound, emulator), await installed(outbound, emulator, 56)
        found = await ask(outbound, own_token(), "GET", f"{emulator.url}/{BASE}/installation", now=0)
        assert found["id"] == 55
        for asked, method, path, words in (
            (own_token(), "GET", "repos/o/nowhere/installation", "HTTP 404"),
            (own_token(), "POST", "app/installations/58/access_tokens", "HTTP 404"),
            (own_token(), "POST", "app/installations/x/access_tokens", "HTTP 404"),
            (own_token(), "GET", "app/nothing", "HTTP 404"),
            (own_token(), "GET", f"{BASE}/pulls/7", "HTTP 401"),
            (own_token(11), "GET", "app", "HTTP 401"),
            (token, "GET", "app", "HTTP 403"),
            (token, "GET", "user", "HTTP 403"),
            (TOKEN, "GET", "app", "HTTP 403"),
            (elsewhere, "GET", f"{BASE}/pulls/7", "HTTP 404"),
        ):
            assert words in await refused(outbound, emulator, asked, method, path)
        content = {"permissions": {"issues": "write"}}
        path = "app/installations/55/access_tokens"
        assert "HTTP 422" in await refused(outbound, emulator, own_token(), "POST", path, content)
        assert await ask(outbound, token, "GET", f"{emulator.url}/rate_limit", now=0) == {"resources": {}}
        emulator.clock = lambda: time.time() + 3600
        assert "HTTP 401: Bad credentials" in await refused(outbound, emulator, token, "GET", f"{BASE}/pulls/7")


def changed(claims=None, header=None, signature=None):
    """Return an App's own token with something different in it."""
    parts = jwt(9, PRIVATE_KEY.encode(), NOW).split(".")
    for place, value in enumerate((header, claims, signature)):
        if value is not None:
            raw = value if isinstance(value, bytes) else json.dumps(value).encode()
            parts[place] = urlsafe_b64encode(raw).rstrip(b"=").decode()
    return ".".join(parts)


def signed(claims):
    """Return an App's own token that claims something else, rightly signed."""
    first, second, _ = changed(claims).split(".")
    key = load_pem_private_key(PRIVATE_KEY.encode(), None)
    return changed(claims, signature=key.sign(f"{first}.{second}".encode(), PKCS1v15(), SHA256()))


@pytest.mark.parametrize(
    ("token", "now", "words"),
    [
        (changed(), NOW + 541, "future time"),
        (changed(), NOW - 61, "Issued at"),
        (signed({"iss": "9", "iat": NOW, "exp": NOW + 601}), NOW, "too far in the future"),
        (signed({"iss": "9", "iat": NOW}), NOW, "future time"),
        (signed({"iss": "9", "exp": NOW + 60}), NOW, "Issued at"),
        (changed({"iss": "9", "exp": NOW}), NOW, "decoded"),
        (changed({"iss": "8"}), NOW, "Issuer"),
        (changed(header={"alg": "none"}), NOW, "decoded"),
        (changed(signature=b"forged"), NOW, "decoded"),
        ("a.b.c", NOW, "decoded"),
        ("[].[].", NOW, "decoded"),
        ("ghs_1", NOW, None),
    ],
)
def test_an_apps_token_that_does_not_count(token, now, words):
    """Expired, from the future, for too long, of nobody, unsigned, or none at all."""
    found = app_of(token, api().apps, now)
    if words is None:
        assert found is None
    else:
        assert words in found


async def test_comments_are_listed_and_edited_by_their_writers():
    """Page by page, those of one conversation; others' and those on lines are none of the caller's."""
    emulator = api()
    async with Server(emulator), Outbound() as outbound:
        made = await ask(outbound, TOKEN, "POST", f"{emulator.url}/{BASE}/issues/7/comments", {"body": "mine"}, now=0)
        path = f"{BASE}/issues/comments"
        edited = await ask(outbound, TOKEN, "PATCH", f"{emulator.url}/{path}/{made['id']}", {"body": "new"}, now=0)
        assert edited == {"id": 3, "body": "new", "user": {"id": 1, "login": "user-1"}}
        for method, place, content, words in (
            ("PATCH", 1, {"body": "x"}, "HTTP 403"),
            ("PATCH", 2, {"body": "x"}, "HTTP 404"),
            ("PATCH", 3, {"body": " "}, "HTTP 422"),
            ("PATCH", 3, {"body": "x" * 65_537}, "HTTP 422"),
            ("PATCH", 4, {"body": "x"}, "HTTP 404"),
            ("GET", 2, None, "HTTP 404"),
            ("GET", 4, None, "HTTP 404"),
            ("DELETE", 3, None, "HTTP 404"),
        ):
            assert words in await refused(outbound, emulator, TOKEN, method, f"{path}/{place}", content)
        listed = await outbound.request(
            "GET",
            f"{emulator.url}/{BASE}/issues/7/comments?per_page=1&page=2",
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout_seconds=5,
            max_bytes=10_000,
        )
        assert [one["body"] for one in json.loads(listed.body)] == ["new"]
