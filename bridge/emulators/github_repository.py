"""One repository as GitHub's REST API has it: its pull requests, comments and reactions, refused in GitHub's words.

https://docs.github.com/en/rest/reactions/reactions
https://docs.github.com/en/rest/issues/comments
"""

from typing import Any, Literal

import msgspec

from bridge.emulators.exchange import Answer, json_answer

REACTIONS = frozenset("+1 -1 laugh confused heart hooray rocket eyes".split())
LONGEST_BODY = 65_536
API_VERSION = "2022-11-28"
Kind = Literal["issues", "pulls"]


class Comment(msgspec.Struct, kw_only=True):
    """A comment in a conversation (`issues`) or on a line of a pull request (`pulls`)."""

    id: int
    kind: Kind = "issues"
    number: int
    body: str
    reactions: list[str] = []
    in_reply_to: int | None = None


class Repository(msgspec.Struct, kw_only=True):
    """What there is; issues and pull requests share their numbers, and `locked` ones take no comments."""

    name: str
    pulls: dict[int, dict[str, Any]] = {}
    issues: list[int] = []
    locked: list[int] = []
    comments: dict[int, Comment] = {}

    def answer(self, method: str, rest: tuple[str, ...], body: bytes) -> Answer:
        """Answer a request for a path below the repository's own."""
        match method, rest:
            case "GET", ("pulls", number):
                pull = self.pulls.get(_number(number))
                return not_found() if pull is None else json_answer(pull)
            case "POST", (("issues" | "pulls") as kind, "comments", comment, "reactions"):
                return self._react(kind, _number(comment), body)
            case "POST", ("issues", number, "comments"):
                return self._comment("issues", _number(number), body)
            case "POST", ("pulls", number, "comments", comment, "replies"):
                first = self.comments.get(_number(comment))
                if first is None or (first.kind, first.number) != ("pulls", _number(number)):
                    return not_found()
                return self._comment("pulls", first.number, body, first.id)
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

    def _comment(self, kind: Kind, number: int, body: bytes, in_reply_to: int | None = None) -> Answer:
        if number not in self.pulls and (kind == "pulls" or number not in self.issues):
            return not_found()
        if number in self.locked:
            return json_answer({"message": "Unable to create comment because issue is locked."}, 403)
        text = _field(body, "body")
        if not text.strip() or len(text) > LONGEST_BODY:
            return invalid("body")
        made = Comment(
            id=max(self.comments, default=0) + 1, kind=kind, number=number, body=text, in_reply_to=in_reply_to
        )
        self.comments = {**self.comments, made.id: made}
        return json_answer({"id": made.id, "body": text}, 201)


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
