"""GitHub webhooks: verify, read JSON and form deliveries into events, and answer commands in comments.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

import hashlib
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import structs

from bridge import github_comments, github_events, smallest
from bridge.addresses import base_url
from bridge.authentication import refuse_weak, signed
from bridge.bodies import FORM, JSON, media_type, read_form, read_object
from bridge.contracts import Reception, Request, Source
from bridge.errors import Malformed, Permanent, UnsupportedMedia
from bridge.github_api import GITHUB_API, ask, probe, repository_path
from bridge.github_facts import DOCUMENTS, ORIGINS, find
from bridge.github_values import commit
from bridge.model import Acknowledgement, Event, Message, Press
from bridge.outbound import Outbound
from bridge.paths import at
from bridge.reconcile import GitHubHook, Reconcile
from bridge.scheme import PRESETS, without_credentials
from bridge.secret import Secret
from bridge.signatures import Secrets
from bridge.signing import Signing

# Neither header is signed, so neither is taken as it comes.
_EVENT = re.compile(r"[a-z0-9_]{1,64}")
_GUID = re.compile(r"[!-~]{1,128}")
_EXECUTION = re.compile(r"x_[a-z2-7]{24}")
"""What `decision.derived_id` calls an execution: no check of anybody else's goes by such an id."""
_COMPLETE_SECONDS = 4.0
"""GitHub gives up on a delivery after 10 s, and storing it may take 2.5."""


class GitHub(Source, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="github"):
    """A webhook of a repository, an organization or an app, with JSON or form content."""

    secrets: Secrets
    """The webhook's secret; any of several may match, so that it can be changed without a gap."""
    token: Secret | None = None
    """For commands in comments: asks for the head of a pull request, reacts and answers."""
    api_url: str = GITHUB_API
    """GitHub Enterprise Server: https://HOST/api/v3."""
    reconcile: Reconcile | None = None
    """Asks GitHub, every now and then, to send again what it could not deliver; by itself it never does."""
    dedupe: Literal["guid", "body"] = "guid"
    """What a repeat is known by. Only the body is signed: with `body` a captured delivery cannot be sent again under
    another GUID, but two equal `repository_dispatch` events run once."""

    facts: ClassVar[Mapping[str, str]] = {**DOCUMENTS, **github_comments.FACTS}
    origins: ClassVar[Mapping[str, str]] = {**ORIGINS, **github_comments.ORIGINS}
    commands: ClassVar[bool] = True
    guarded_commands: ClassVar[str] = github_comments.PREFIX
    actions: ClassVar[bool] = True
    max_body_bytes: ClassVar[int] = 25_000_000
    """GitHub's own cap: what is larger it does not deliver at all."""

    def __post_init__(self) -> None:
        """Refuse secrets that can be guessed, and an API URL that paths cannot be appended to."""
        refuse_weak(PRESETS["github"], self.secrets)
        base_url(self.api_url)
        if self.reconcile is not None and self._reconciling() is None:
            raise ValueError("`reconcile` needs a token that may administer the webhook: give it one, or the source")

    @classmethod
    def doubt(cls, event: str) -> str | None:
        """Doubt events and actions that GitHub does not document."""
        return None if event.startswith(github_comments.PREFIX) else github_events.doubt(event)

    def verify(self, request: Request) -> bool:
        """Say whether one of the secrets signed this.

        Only the SHA-256 signature counts, and it is over the raw bytes of a form, too. GitHub signs no time: a
        delivery's GUID, which a redelivery keeps, is what guards against repeats.
        https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
        """
        return signed(PRESETS["github"], request, self.secrets)

    def smallest(self, event: str) -> dict[str, Any]:
        """Return the smallest body of an event (`push`, `pull_request.closed`) or of a command's comment."""
        if event.startswith(github_comments.PREFIX):
            return smallest.github_comment(event.removeprefix(github_comments.PREFIX))
        return smallest.github(event)

    def packed(self, event: str, body: Any) -> Request:
        """Return the request in which GitHub sends a body; the action in an event's name goes into a body without."""
        name, _, action = event.partition(".")
        if event.startswith(github_comments.PREFIX):
            name, action = "issue_comment", ""
        if action and isinstance(body, dict):
            body = {"action": action} | body
        headers = {"content-type": JSON} | ({"x-github-event": name} if name else {})
        return Request(headers=headers, query={}, body=msgspec.json.encode(body), now=0)

    def guess(self, body: Any) -> str:
        """Tell the event by the keys that only it has."""
        return (isinstance(body, dict) and smallest.github_event(body)) or ""

    def signing(self) -> Signing:
        """Sign with the first secret; every delivery has a GUID of its own."""
        return Signing(secrets=self.secrets, scheme=PRESETS["github"], id_header="x-github-delivery")

    def parse(self, request: Request) -> Event:
        """Read one delivery, of whatever event."""
        name = request.headers.get("x-github-event", "")
        if not _EVENT.fullmatch(name):
            raise Malformed("the header X-GitHub-Event is missing or names no event")
        key = request.headers.get("x-github-delivery")
        if key is not None and not _GUID.fullmatch(key):
            raise Malformed("the header X-GitHub-Delivery is not an id")
        if self.dedupe == "body":
            key = f"sha256:{hashlib.sha256(request.body).hexdigest()}"
        body = _read_body(request)
        action, command = body.get("action"), github_comments.command(name, body)
        return Event(
            name=name,
            action=action if isinstance(action, str) and action else None,
            key=key,
            body=body,
            headers=without_credentials(request.headers),
            query=dict(request.query),
            facts={**find(name, body), **github_comments.facts(command)},
            command=command,
            press=_press(name, body),
            ignored="GitHub's ping says that the webhook is set up; it starts nothing" if name == "ping" else None,
        )

    def _reconciling(self) -> Secret | None:
        return self.token if self.reconcile is None else self.reconcile.token or self.token

    @property
    def catches_up(self) -> timedelta | None:
        """How often GitHub is asked."""
        return None if self.reconcile is None else self.reconcile.every

    async def catch_up(self, outbound: Outbound, since: timedelta, most: int) -> list[str]:
        """Ask for redelivery of what failed; safe, for a redelivery keeps its GUID."""
        token = self._reconciling()
        if self.reconcile is None or token is None:
            return []
        hook = GitHubHook(outbound, self.reconcile.hook, token.text(), api_url=base_url(self.api_url))
        asked = (await hook.failed(since))[:most]
        for attempt in asked:
            await hook.redeliver(attempt)
        return [attempt.guid for attempt in asked]

    async def complete(self, outbound: Outbound, event: Event) -> Event:
        """Ask for the pull request that was commented on, for an issue_comment has none of its branches and commits.

        Without a token nothing is asked, and those facts stay missing.
        """
        if self.token is None or at(event.body, "issue.pull_request") is None:
            return event
        number = event.facts.get("number")
        path = f"{repository_path(str(event.facts.get('repo')))}/pulls/{number}"
        pull = await ask(
            outbound,
            self.token.text(),
            "GET",
            f"{base_url(self.api_url)}/{path}",
            now=time.time(),
            timeout_seconds=_COMPLETE_SECONDS,
        )
        if pull.get("number") != number or not commit(at(pull, "head.sha"), pull):
            raise Permanent(f"GitHub: what it answered for {path} is not that pull request")
        found = find(event.name, {**event.body, "pull_request": pull})
        return structs.replace(event, facts={**found, **github_comments.facts(event.command)})

    def acknowledge(self, event: Event, reception: Reception, words: str | None) -> Acknowledgement | None:
        """React to the comment: eyes where something runs, else confused, and then a comment says why."""
        comment, number, repo = at(event.body, "comment.id"), event.facts.get("number"), event.facts.get("repo")
        known = isinstance(comment, int) and number is not None and repo is not None
        if self.token is None or event.command is None or not known:
            return None
        reaction = {"runs": "eyes", "not_run": "confused"}.get(reception)
        said = {} if reaction is None else {"reaction": reaction}
        if words:
            said["comment"] = github_comments.answer(event.command, words, helps=reception == "help")
        where = {"repo": str(repo), "comment": str(comment), "number": str(number)}
        kind = "pulls" if event.name == "pull_request_review_comment" else "issues"
        return Acknowledgement(body=msgspec.json.encode(said), address={**where, "kind": kind})

    @property
    def asks(self) -> bool:
        """Whether it has a token."""
        return self.token is not None

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask for the token's rate limit, which costs none of it."""
        return None if self.token is None else await probe(outbound, self.token.text(), base_url(self.api_url))

    async def send(self, outbound: Outbound, message: Message) -> None:
        """React first, which may be repeated without harm, then comment; raises as `github_api.ask` does."""
        if self.token is None:
            raise Permanent("the source has no token any more")
        said, where = msgspec.json.decode(message.body, type=dict[str, str]), message.address
        base = f"{base_url(self.api_url)}/{repository_path(where['repo'])}/{where['kind']}"
        requests = []
        if "reaction" in said:
            requests.append((f"{base}/comments/{where['comment']}/reactions", {"content": said["reaction"]}))
        if "comment" in said:
            place = f"comments/{where['comment']}/replies" if where["kind"] == "pulls" else "comments"
            requests.append((f"{base}/{where['number']}/{place}", {"body": said["comment"]}))
        for url, content in requests:
            await ask(outbound, self.token.text(), "POST", url, content, now=message.now)


def _press(event: str, body: dict[str, Any]) -> Press | None:
    """Return what 'Re-run' under one of our checks asks for; GitHub sends it to the check's own App only.

    'Re-run all checks' (check_suite) names no execution: that is for rules to take.
    https://docs.github.com/en/webhooks/webhook-events-and-payloads#check_run
    """
    execution, by = at(body, "check_run.external_id"), at(body, "sender.login")
    if event != "check_run" or body.get("action") != "rerequested" or not isinstance(execution, str):
        return None
    if not _EXECUTION.fullmatch(execution) or not isinstance(by, str):
        return None
    return Press(action="again", execution_id=execution, by=by, value=f"app {at(body, 'check_run.app.id')}")


def _read_body(request: Request) -> dict[str, Any]:
    media = media_type(request.headers)
    if media == JSON:
        return read_object(request.body)
    if media == FORM:
        form = read_form(request.body)
        if "payload" not in form:
            raise Malformed("the form has no field 'payload', where GitHub puts the event")
        return read_object(form["payload"])
    raise UnsupportedMedia(f"a GitHub webhook sends {JSON} or {FORM}; set its content type to either")
