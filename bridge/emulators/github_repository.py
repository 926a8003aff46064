"""One repository as GitHub's REST API has it: its pull requests, comments and reactions, refused in GitHub's words.

https://docs.github.com/en/rest/reactions/reactions
https://docs.github.com/en/rest/issues/comments
"""

from typing import Any, Literal

import msgspec

from bridge.emulators.exchange import Answer, json_answer
from bridge.emulators.github_reports import Reports, paged

REACTIONS = frozenset("+1 -1 laugh confused heart hooray rocket eyes".split())
LONGEST_BODY = 65_536
API_VERSION = "2022-11-28"
Kind = Literal["issues", "pulls"]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a person, or an App's installation."""

    id: int = 1
    login: str = "bridge-bot"
    app: int | None = None


CALLER = Caller()


class Comment(msgspec.Struct, kw_only=True):
    """A comment in a conversation (`issues`) or on a line of a pull request (`pulls`)."""

    id: int
    kind: Kind = "issues"
    number: int
    body: str
    reactions: list[str] = []
    in_reply_to: int | None = None
    user: int = 0
    """The id of who wrote it; 0 is nobody that asks here."""


class Repository(msgspec.Struct, kw_only=True):
    """What there is; issues and pull requests share their numbers, and `locked` ones take no comments."""

    name: str
    pulls: dict[int, dict[str, Any]] = {}
    issues: list[int] = []
    locked: list[int] = []
    comments: dict[int, Comment] = {}
    reports: Reports = msgspec.field(default_factory=Reports)

    def answer(
        self, method: str, rest: tuple[str, ...], body: bytes, *, query: str = "", caller: Caller = CALLER
    ) -> Answer:
        """Answer a request for a path below the repository's own."""
        match method, rest:
            case "POST", ("statuses", sha):
                return self.reports.set_status(sha, body)
            case "POST", ("check-runs",):
                return self.reports.create_check(body, caller.app)
            case "PATCH", ("check-runs", number):
                return self.reports.change_check(_number(number), body, caller.app)
            case "GET", ("commits", sha, "check-runs"):
                return self.reports.list_checks(sha, query)
            case _, ("issues", *_):
                return self._issues(method, rest, body, query, caller) or not_found()
        return self._pulls(method, rest, body, caller)

    def _issues(self, method: str, rest: tuple[str, ...], body: bytes, query: str, caller: Caller) -> Answer | None:
        match method, rest:
            case "GET", ("issues", "comments", number):
                found = self.comments.get(_number(number))
                return not_found() if found is None or found.kind != "issues" else json_answer(_shown(found))
            case "PATCH", ("issues", "comments", number):
                return self._edit(_number(number), body, caller)
            case "GET", ("issues", number, "comments"):
                kept = [one for one in self.comments.values() if (one.kind, one.number) == ("issues", _number(number))]
                return json_answer(paged([_shown(one) for one in kept], query))
            case "POST", ("issues", "comments", comment, "reactions"):
                return self._react("issues", _number(comment), body)
            case "POST", ("issues", number, "comments"):
                return self._comment("issues", _number(number), body, caller)
        return None

    def _pulls(self, method: str, rest: tuple[str, ...], body: bytes, caller: Caller) -> Answer:
        match method, rest:
            case "GET", ("pulls", number):
                pull = self.pulls.get(_number(number))
                return not_found() if pull is None else json_answer(pull)
            case "POST", ("pulls", "comments", comment, "reactions"):
                return self._react("pulls", _number(comment), body)
            case "POST", ("pulls", number, "comments", comment, "replies"):
                first = self.comments.get(_number(comment))
                if first is None or (first.kind, first.number) != ("pulls", _number(number)):
                    return not_found()
                return self._comment("pulls", first.number, body, caller, first.id)
        return not_found()

    def _react(self, kind: str, comment_id: int, body: bytes) -> Answer:
        comment = self.comments.get(comment_id)
        if comment is None or comment.kind != kind:
            return not_found()
        content = _field(body, "content")
        if content not in REACTIONS:
            return invalid("content")
        there = content in comment.reactions
        if not there:
            comment.reactions = [*comment.reactions, content]
        return json_answer({"id": 1, "content": content}, 200 if there else 201)

    def _edit(self, number: int, body: bytes, caller: Caller) -> Answer:
        """Edit a comment; with the right to push, which nobody has here, those of others could be edited as well."""
        there, text = self.comments.get(number), _field(body, "body")
        if there is None or there.kind != "issues":
            return not_found()
        if there.user != caller.id:
            return json_answer({"message": "Must have admin rights to Repository."}, 403)
        if not text.strip() or len(text) > LONGEST_BODY:
            return invalid("body")
        there.body = text
        return json_answer(_shown(there))

    def _comment(self, kind: Kind, number: int, body: bytes, caller: Caller, in_reply_to: int | None = None) -> Answer:
        if number not in self.pulls and (kind == "pulls" or number not in self.issues):
            return not_found()
        if number in self.locked:
            return json_answer({"message": "Unable to create comment because issue is locked."}, 403)
        text = _field(body, "body")
        if not text.strip() or len(text) > LONGEST_BODY:
            return invalid("body")
        made = Comment(
            id=max(self.comments, default=0) + 1,
            kind=kind,
            number=number,
            body=text,
            in_reply_to=in_reply_to,
            user=caller.id,
        )
        self.comments = {**self.comments, made.id: made}
        return json_answer(_shown(made), 201)


def _shown(comment: Comment) -> dict[str, Any]:
    user = {"id": comment.user, "login": f"user-{comment.user}"} if comment.user else None
    return {"id": comment.id, "body": comment.body, "user": user}


def not_found() -> Answer:
    """Say that it is not there, or that the token may not know."""
    return json_answer({"message": "Not Found", "status": "404"}, 404)


def invalid(field: str) -> Answer:
    """Refuse a field's value."""
    return json_answer({"message": "Validation Failed", "errors": [{"field": field, "code": "invalid"}]}, 422)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else -1


def _field(body: bytes, name: str) -> str:
    try:
        found = msgspec.json.decode(body, type=dict[str, Any]).get(name)
    except msgspec.DecodeError:
        return ""
    return found if isinstance(found, str) else ""
