"""GitHub's REST API: a webhook's deliveries, listed page by page and sent again, Apps, and what is in repositories.

https://docs.github.com/en/rest/repos/webhooks
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import parse_qs

import msgspec

from bridge.emulators.emulator import Emulator
from bridge.emulators.exchange import Answer, Exchange, Script, json_answer
from bridge.emulators.github_apps import App, app_of
from bridge.emulators.github_repository import API_VERSION, CALLER, Caller, Repository, not_found

Kind = Literal["list", "attempt", "repository", "status", "check", "comment", "app", "user", "other"]
CREATING = frozenset({"status", "check", "comment"})
"""What a secondary limit counts: 80 a minute.
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits"""
MOST_A_MINUTE = 80


class HookDelivery(msgspec.Struct, kw_only=True):
    """One attempt to deliver an event; an event's attempts share the GUID."""

    id: int
    guid: str
    delivered_at: str
    event: str
    action: str | None = None
    status: str = "OK"
    status_code: int = 200
    redelivery: bool = False


class Record(msgspec.Struct, kw_only=True):
    """One request in the journal."""

    kind: Kind
    at: float
    path: str
    status: int
    method: str = ""
    body: str = ""
    delivery_id: int | None = None


class GitHubApi(Emulator[Record]):
    """The deliveries of one hook, `hook` being its path such as `repos/o/r/hooks/1`; newest first, as GitHub has them.

    `repositories` are those the token may see and change, `token` being the one accepted beside those of `apps`.
    `redeliver` sends an event again and gives the status it was answered with; `answers` are given instead of the
    normal ones, by kind of request. `clock` gives Unix seconds; `retry_after` is what a secondary limit says.
    """

    def __init__(
        self, hook: str = "", *, token: str, redeliver: Callable[[HookDelivery], Awaitable[int]] | None = None
    ) -> None:
        super().__init__()
        self.hook = hook
        self.token = token
        self.redeliver = redeliver
        self.deliveries: list[HookDelivery] = []
        self.repositories: list[Repository] = []
        self.apps: list[App] = []
        self.answers = Script()
        self.clock = time.time
        self.retry_after = "60"

    async def handle(self, exchange: Exchange) -> Answer:
        """Route, note and answer one request."""
        kind, delivery_id = self._kind(exchange)
        body = await exchange.body()
        scripted = self.answers.take(kind)
        obeyed = scripted is None or scripted.runs
        normal = await self._normal(exchange, kind, delivery_id, body) if obeyed else Answer()
        answer = normal if scripted is None else scripted.answer
        self.journal.append(
            Record(
                kind=kind,
                at=self.clock(),
                path=exchange.path,
                status=answer.status,
                delivery_id=delivery_id,
                method=exchange.method,
                body=body.decode(errors="replace"),
            )
        )
        return answer

    async def _normal(self, exchange: Exchange, kind: Kind, delivery_id: int | None, body: bytes) -> Answer:
        caller = self._caller(exchange)
        if isinstance(caller, Answer):
            return caller
        if exchange.headers.get("x-github-api-version", API_VERSION) != API_VERSION:
            return json_answer({"message": "The X-GitHub-Api-Version is not supported"}, 400)
        if isinstance(caller, App):
            return caller.answer(exchange.method, exchange.segments, body, self.clock())
        if kind in CREATING and self._too_many():
            said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            headers = {"retry-after": self.retry_after} if self.retry_after else {}
            return json_answer({"message": said}, 403, headers)
        if kind in ("attempt", "other") and exchange.path != "/rate_limit":
            return await self._attempt(delivery_id)
        return self._asked(exchange, kind, body, caller)

    def _asked(self, exchange: Exchange, kind: Kind, body: bytes, caller: Caller) -> Answer:
        if exchange.path == "/rate_limit":
            return json_answer({"resources": {}})
        if kind == "user" and caller.app is None:
            return json_answer({"id": caller.id, "login": caller.login})
        if kind in ("user", "app"):
            return json_answer({"message": "Resource not accessible by integration"}, 403)
        if kind == "list":
            return self._page(exchange)
        found = [one for one in self.repositories if one.name == "/".join(exchange.segments[1:3])]
        if not found:
            return not_found()
        return found[0].answer(exchange.method, exchange.segments[3:], body, query=exchange.query, caller=caller)

    def _caller(self, exchange: Exchange) -> Caller | App | Answer:
        """Say who asks: a person, an App's installation, or an App as itself, which may do so in a few places only."""
        token = exchange.headers.get("authorization", "").removeprefix("Bearer ")
        if token == self.token:
            return CALLER
        own = exchange.segments[0] == "app" or exchange.segments[3:] == ("installation",)
        app = app_of(token, self.apps, self.clock())
        if isinstance(app, str):
            return json_answer({"message": app}, 401)
        if app is not None:
            return app if own else json_answer({"message": "Bad credentials"}, 401)
        repository = "/".join(exchange.segments[1:3]) if exchange.segments[0] == "repos" else ""
        for one in self.apps:
            found = one.caller(token, repository, self.clock())
            if found is not None:
                return found
        return json_answer({"message": "Bad credentials"}, 401)

    def _too_many(self) -> bool:
        since = self.clock() - 60
        return sum(record.kind in CREATING and record.at > since for record in self.journal) >= MOST_A_MINUTE

    async def control(self, exchange: Exchange) -> Answer | None:  # noqa: ARG002 - there is nothing to obey
        """Obey nothing: a test steers it in Python."""
        return None

    def _kind(self, exchange: Exchange) -> tuple[Kind, int | None]:
        path, rest = "/".join(exchange.segments), f"{self.hook}/deliveries"
        if exchange.method == "GET" and path == rest:
            return "list", None
        wanted = path.removeprefix(f"{rest}/").removesuffix("/attempts")
        if exchange.method == "POST" and path == f"{rest}/{wanted}/attempts" and wanted.isdecimal():
            return "attempt", int(wanted)
        return _kind_of(exchange.method, exchange.segments), None

    def _page(self, exchange: Exchange) -> Answer:
        query = parse_qs(exchange.query)
        size, start = int(query.get("per_page", ["30"])[0]), int(query.get("cursor", ["0"])[0])
        newest = sorted(self.deliveries, key=lambda delivery: delivery.delivered_at, reverse=True)
        headers = {}
        if start + size < len(newest):
            following = f"{self.url}/{self.hook}/deliveries?per_page={size}&cursor={start + size}"
            headers["link"] = f'<{following}>; rel="next"'
        page: list[Any] = [msgspec.to_builtins(delivery) for delivery in newest[start : start + size]]
        return json_answer(page, headers=headers)

    async def _attempt(self, delivery_id: int | None) -> Answer:
        found = next((delivery for delivery in self.deliveries if delivery.id == delivery_id), None)
        if found is None:
            return json_answer({"message": "Not Found"}, 404)
        if self.redeliver is not None:
            status = await self.redeliver(found)
            word = "OK" if status < 400 else f"Invalid HTTP Response: {status}"  # noqa: PLR2004 - HTTP's own line
            self.deliveries.append(
                msgspec.structs.replace(
                    found, id=max(d.id for d in self.deliveries) + 1, status=word, status_code=status, redelivery=True
                )
            )
        return json_answer({}, 202)


def _kind_of(method: str, segments: tuple[str, ...]) -> Kind:
    """Say what a request is about, for scripts and limits."""
    match method, segments:
        case _, (("app" | "user") as kind, *_):
            return "app" if kind == "app" else "user"
        case "POST", ("repos", _, _, "statuses", _):
            return "status"
        case (("POST" | "PATCH"), ("repos", _, _, "check-runs", *_)):
            return "check"
        case (
            ("POST" | "PATCH"),
            (("repos", _, _, "issues", _, "comments") | ("repos", _, _, "issues", "comments", _)),
        ):
            return "comment"
    return "repository" if segments[0] == "repos" and "hooks" not in segments else "other"
